"""A bundle on ONNX Runtime, ready to answer: `open_session(path).predict("photo.jpg")`. No torch is imported.

In: a bundle with an ONNX graph. Out: `Prediction`s, the same as `load_bundle` gives, with numpy arrays in the
place of tensors. Read next: `pictures.py` and `rows.py`, what goes in; `decoding.py`, what comes out.
"""

from __future__ import annotations

import os
from collections.abc import Hashable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.bundle.archive import Archive, read_archive
from wiggly.bundle.parts import BoxesOutput, ImageInput
from wiggly.bundle.session.decoding import decode
from wiggly.bundle.session.pictures import PictureSource, Shown
from wiggly.bundle.session.rows import RowSource
from wiggly.bundle.session.runtime import Runtime, choose_graph
from wiggly.bundle.worked import Worked, check_examples, worked_examples
from wiggly.data.vocab import Vocab
from wiggly.records import Prediction

__all__ = ["SessionPredictor", "open_session"]

Arrays = dict[str, npt.NDArray[Any]]

READING_THREADS = 4  # files are read while nothing else can be done; more only cost memory


@dataclass(frozen=True)
class PreparedItem:
    """An item that was read.

    Attributes:
        inputs: The graph's, with a batch axis of 1.
        shown: The picture, for answers that lie on it.
    """

    inputs: Arrays
    shown: Shown | None

    @property
    def key(self) -> Hashable:
        """Equal for items that may go through the model together."""
        return tuple((name, part.shape[1:]) for name, part in self.inputs.items())


class SessionPredictor:
    """A trained model with everything that belongs to it, for predictions only, without PyTorch.

    Args:
        archive: A bundle that was read; `open_session(path)` does both.
        graph: Which of its graphs: "float32", "float16" or "int8"; None takes float32.
        threads: How many compute one answer; None leaves it to ONNX Runtime.
        name: How errors call the bundle.

    Attributes:
        manifest: The content of `model.json`.
        vocab: The classes, in the order of `Prediction.probs`; empty for numbers and points.
        sha256: Hash of `model.json`: which model it is.
        reader: Turns items into the graph's inputs; for tables it has the `surprises` of the last rows.

    Raises:
        DependencyError: onnxruntime is not installed.
        BundleError: There is no graph, or it does not run here.
    """

    def __init__(
        self,
        archive: Archive,
        graph: str | None = None,
        threads: int | None = None,
        name: str = "the bundle",
    ) -> None:
        self.manifest, self._files, self.sha256 = archive.manifest, archive.files, archive.sha256
        self.runtime = Runtime(archive, choose_graph(archive, graph, name), name, threads)
        described = self.manifest.inputs[0]
        self.reader = PictureSource(described) if isinstance(described, ImageInput) else RowSource(described)
        outputs = self.manifest.outputs
        self.vocab = Vocab(getattr(outputs[0], "vocabulary", ()) if len(outputs) == 1 else ())
        self._one_by_one = isinstance(outputs[0], BoxesOutput)

    def __repr__(self) -> str:
        classes = f", {len(self.vocab)} classes" if self.vocab else ""
        return f"<SessionPredictor {self.manifest.title!r}: {self.manifest.task}{classes}>"

    @property
    def examples(self) -> list[Worked]:
        """The worked examples that came with the model."""
        return worked_examples(self.manifest, self._files)

    def file(self, name: str) -> bytes:
        """Content of one of the bundle's files.

        Args:
            name: As `manifest.files` has it.
        """
        return self._files[name]

    def predict(self, item: Any) -> Prediction:
        """Predict one item.

        Args:
            item: For pictures a path, bytes of an image file, PIL image, or array `(h, w)` or `(h, w, c)`;
                for tables a row: a mapping from column to value, or bytes of JSON.

        Returns:
            `(decoded, index, probs)`, as `load_bundle(path).predict(item)` gives them, with numpy arrays.

        Raises:
            ItemError: It cannot be read as an image.
            DataError: It cannot be read as a row.
        """
        [found] = self.predict_prepared([self.prepare(item)])
        return found

    def prepare(self, item: Any) -> PreparedItem:
        """Read one item, without the model; may run in several threads at once.

        Args:
            item: As for `predict`.

        Returns:
            What `predict_prepared` takes.
        """
        return PreparedItem(*self.reader.one(item))

    def predict_prepared(self, prepared: Sequence[PreparedItem]) -> list[Prediction]:
        """Predict items that were read before, in one pass through the model.

        Args:
            prepared: What `prepare` returned, all of one `key`; at least 1.

        Returns:
            One prediction per item, in their order.
        """
        if self._one_by_one:
            arrays = [self.runtime.run(one.inputs) for one in prepared]
            pairs = zip(arrays, prepared, strict=True)
            return [decode(self.manifest.outputs, found, one.shown) for found, one in pairs]
        if len(prepared) == 1:
            whole = self.runtime.run(prepared[0].inputs)
        else:
            names = prepared[0].inputs
            whole = self.runtime.run(
                {name: np.concatenate([p.inputs[name] for p in prepared]) for name in names}
            )
        return [self._decoded(whole, row, one.shown) for row, one in enumerate(prepared)]

    def predict_batch(self, items: Any, bs: int | None = None) -> list[Prediction]:
        """Predict many items: files are read in threads.

        Args:
            items: A list of what `predict` takes; for tables also the path of a .csv or .json file.
            bs: Items per pass through the model; None takes 32 pictures or 4,096 rows.

        Returns:
            One prediction per item, in their order.

        Raises:
            ItemError: One cannot be read as an image; the message names it.
            DataError: The table lacks a column, or a value is no number; the message names it.
        """
        wanted, size = self.reader.items(items), bs or self.reader.batch_size
        found: list[Prediction] = []
        if isinstance(self.reader, RowSource):
            whole = self.reader.encode(wanted) if wanted else {}
            for first in range(0, len(wanted), size):
                part = self.runtime.run({name: array[first : first + size] for name, array in whole.items()})
                found += [self._decoded(part, row, None) for row in range(len(wanted[first : first + size]))]
            return found
        with ThreadPoolExecutor(READING_THREADS) as pool:
            for first in range(0, len(wanted), size):
                prepared = list(pool.map(self.prepare, wanted[first : first + size]))
                for group in _groups(prepared):
                    found += self.predict_prepared(group)
        return found

    def verify(self, tolerance: float | None = None) -> float:
        """Run the worked examples and compare with what is recorded.

        Args:
            tolerance: Largest difference allowed; None takes 1e-4 of a probability, of a number as a share of
                its range, and 1e-3 of a mask's pixels.

        Returns:
            The largest difference seen; 0.0 without examples.

        Raises:
            BundleError: It is above `tolerance`, or a label is another one.
        """
        return check_examples(self.manifest, self._files, self.predict, tolerance)

    def _decoded(self, arrays: Arrays, row: int, shown: Shown | None) -> Prediction:
        one = {name: array[row] for name, array in arrays.items()}
        return decode(self.manifest.outputs, one, shown)


def _groups(prepared: Sequence[PreparedItem]) -> Iterator[list[PreparedItem]]:
    """Neighbours that may go through the model together."""
    group: list[PreparedItem] = []
    for one in prepared:
        if group and group[-1].key != one.key:
            yield group
            group = []
        group.append(one)
    if group:
        yield group


def open_session(
    path: str | os.PathLike[str], graph: str | None = None, threads: int | None = None
) -> SessionPredictor:
    """Open what `learn.export` wrote on ONNX Runtime, without PyTorch.

    Args:
        path: The bundle.
        graph: Which of its graphs: "float32", "float16" or "int8"; None takes float32.
        threads: How many compute one answer; None leaves it to ONNX Runtime.

    Returns:
        A `SessionPredictor`: `.predict(item)`, `.vocab`, `.verify()`, `.manifest`.

    Raises:
        StorageError: The file cannot be read.
        BundleError: It is no bundle, damaged, of a newer version, or has no graph that runs here.
        DependencyError: onnxruntime is not installed.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("holiday.jpg").write_text("a photo, perhaps")
        >>> open_session("holiday.jpg")
        Traceback (most recent call last):
        ...
        wiggly.errors.BundleError: 'holiday.jpg' must be a bundle; it is a file of another kind.
        Pass the path of a file that `learn.export` wrote.
    """
    return SessionPredictor(read_archive(path), graph, threads, f"'{os.fspath(path)}'")
