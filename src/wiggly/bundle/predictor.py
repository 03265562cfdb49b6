"""A bundle, ready to answer: `load_bundle(path).predict("photo.jpg")`. No training code is imported.

In: a bundle file. Out: `Prediction`s, the same as those of the learner that wrote it. Read next:
`runner.py`, which predicts; `export.py`, which writes the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from wiggly.bundle.answers import answer_of
from wiggly.bundle.archive import Archive, read_archive
from wiggly.bundle.manifest import WEIGHTS
from wiggly.bundle.networks import build_network, made_with
from wiggly.bundle.readers import reader_of
from wiggly.bundle.runner import Runner
from wiggly.data.vocab import Vocab
from wiggly.errors import BundleError
from wiggly.records import Prediction

__all__ = ["Predictor", "WorkedExample", "load_bundle", "load_learner"]


@dataclass(frozen=True)
class WorkedExample:
    """An input and what the model must answer.

    Attributes:
        name: File name in the bundle.
        content: The bytes of the file, a picture or a row as JSON: `predictor.predict(example.content)`.
        answer: What the learner predicted for exactly these bytes.
        actual: What the data says, None if unknown.
    """

    name: str
    content: bytes
    answer: Prediction
    actual: Any


@dataclass(frozen=True)
class PredictorData:
    """What is left of the loaders: `predictor.dls.vocab`, where the course's code looks for the classes."""

    vocab: Vocab

    def test_dl(self, test_items: Any) -> Any:
        """The items themselves, for `predictor.get_preds(dl=...)`."""
        return test_items


class Predictor(Runner):
    """A trained model with everything that belongs to it, for predictions only.

    Args:
        archive: A bundle that was read; `load_bundle(path)` does both.
        device: Where to run.
        name: How errors call the bundle.

    Attributes:
        manifest: The content of `model.json`.
        model: The network, in evaluation mode.
        vocab: The classes, in the order of `Prediction.probs`; empty for numbers and points.
        sha256: Hash of `model.json`: which model it is.

    Raises:
        BundleError: The network cannot be built from the manifest, or the weights do not fit it.
    """

    def __init__(
        self, archive: Archive, device: str | torch.device = "cpu", name: str = "the bundle"
    ) -> None:
        self.manifest, self._files, self.sha256 = archive.manifest, archive.files, archive.sha256
        reader = reader_of(self.manifest.inputs[0], name)
        answer = answer_of(self.manifest.outputs)
        model = build_network(self.manifest, archive.files[WEIGHTS], reader, answer, name)
        super().__init__(reader, model.to(torch.device(device)), answer, device)
        self.vocab = answer.vocab

    def __repr__(self) -> str:
        classes = f", {len(self.vocab)} classes" if self.vocab else ""
        return f"<Predictor {self.manifest.title!r}: {self.manifest.task}{classes}>"

    @property
    def dls(self) -> PredictorData:
        """`.dls.vocab`: the classes, where code written for a learner looks for them."""
        return PredictorData(self.vocab)

    @property
    def examples(self) -> list[WorkedExample]:
        """The worked examples that came with the model."""
        return [
            WorkedExample(
                example.file,
                self._files[example.file],
                self.answer.recorded(example, self._files),
                getattr(example, "actual", None),
            )
            for example in self.manifest.examples
        ]

    def file(self, name: str) -> bytes:
        """Content of one of the bundle's files.

        Args:
            name: As `manifest.files` has it.
        """
        return self._files[name]

    def verify(self, tolerance: float | None = None) -> float:
        """Run the worked examples and compare with what the learner answered.

        Args:
            tolerance: Largest difference allowed: of a probability or score, of a number as a share of the
                range it had in training, of the share of a mask's pixels. None takes one above what rounding
                does, and below what anybody would notice.

        Returns:
            The largest difference seen; 0.0 without examples.

        Raises:
            BundleError: It is above `tolerance`.
        """
        allowed, worst = self.answer.tolerance if tolerance is None else tolerance, 0.0
        for example in self.examples:
            difference = self.answer.apart(example.answer, self.predict(example.content), allowed)
            if not difference <= allowed:  # so that NaN does not pass
                raise BundleError(
                    f"worked examples must come out within {allowed:g} of what was recorded",
                    f"'{example.name}' {self.answer.unlike(difference)}",
                    "This machine computes something else: use the versions the model was made with "
                    f"({made_with(self.manifest)}), or export it again.",
                )
            worst = max(worst, difference)
        return worst


def load_bundle(path: str | os.PathLike[str], device: str | torch.device = "cpu") -> Predictor:
    """Load what `learn.export` wrote. Nothing in the file is executed, whoever made it.

    Args:
        path: The bundle.
        device: Where predictions run; "cpu" because a single photo gains nothing from a GPU.

    Returns:
        A `Predictor`: `.predict(item)`, `.vocab`, `.verify()`, `.manifest`.

    Raises:
        StorageError: The file cannot be read.
        BundleError: It is no bundle, damaged, changed after it was written, or of a newer version.

    Example:
        >>> from pathlib import Path
        >>> _ = Path("holiday.jpg").write_text("a photo, perhaps")
        >>> load_bundle("holiday.jpg")
        Traceback (most recent call last):
        ...
        wiggly.errors.BundleError: 'holiday.jpg' must be a bundle; it is a file of another kind.
        Pass the path of a file that `learn.export` wrote.
    """
    return Predictor(read_archive(path), device, f"'{os.fspath(path)}'")


def load_learner(fname: str | os.PathLike[str], cpu: bool = True) -> Predictor:
    """`load_bundle` under the name the course uses.

    Args:
        fname: The bundle, whatever its suffix.
        cpu: False runs on the GPU where there is one.
    """
    return load_bundle(fname, "cuda" if not cpu and torch.cuda.is_available() else "cpu")
