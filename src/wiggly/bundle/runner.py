"""`Runner`: reader, network and answer in a row: an item becomes a prediction.

In: paths, pictures, rows of a table. Out: `Prediction`s. What a bundle predicts and what is proved before one
is written run through the same lines. Read next: `predictor.py`.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.bundle.answers import Answer
from wiggly.bundle.readers import Reader
from wiggly.errors import ArgumentError
from wiggly.records import Prediction

__all__ = ["Prepared", "Runner"]


@dataclass(frozen=True)
class Prepared:
    """An item that was read.

    Attributes:
        inputs: The network's, with a batch axis of 1.
        seen: The item's values as the network sees them, for answers that lie on the picture.
    """

    inputs: tuple[Tensor, ...]
    seen: tuple[Any, ...]

    @property
    def key(self) -> Hashable:
        """Equal for items that may go through the model together."""
        return tuple(tuple(part.shape[1:]) for part in self.inputs)


class Runner:
    """What predicts.

    Args:
        reader: Items to tensors.
        model: The network, in evaluation mode.
        answer: Outputs to what people read.
        device: Where the network is.
    """

    def __init__(
        self, reader: Reader, model: nn.Module, answer: Answer, device: str | torch.device = "cpu"
    ) -> None:
        self.reader, self.model, self.answer = reader, model, answer
        self.device = torch.device(device)

    def predict(self, item: Any) -> Prediction:
        """Predict one item.

        Args:
            item: For pictures a path, bytes of an image file, PIL image, array `(h, w)` or `(h, w, c)`, or
                tensor `(c, h, w)`; for tables a row: a mapping from column to value, a pandas row, a table of
                one row, or bytes of JSON.

        Returns:
            `(decoded, index, probs)`, as the learner's own `predict` gives them for this kind of target: a
            label, its index and all probabilities; a number; points or boxes in pixels of the picture; a
            mask of its size.

        Raises:
            ItemError: It cannot be read as an image.
            DataError: It cannot be read as a row.
        """
        [found] = self.predict_prepared([self.prepare(item)])
        return found

    def prepare(self, item: Any) -> Prepared:
        """Read one item, without the model; may run in several threads at once.

        Args:
            item: As for `predict`.

        Returns:
            What `predict_prepared` takes.

        Raises:
            ItemError: It cannot be read as an image.
            DataError: It cannot be read as a row.
        """
        return Prepared(*self.reader.one(item))

    def predict_prepared(self, prepared: Sequence[Prepared]) -> list[Prediction]:
        """Predict items that were read before, in one pass through the model.

        Args:
            prepared: What `prepare` returned, all of one `key`; at least 1.

        Returns:
            One prediction per item, in their order.
        """
        columns = zip(*(one.inputs for one in prepared), strict=True)
        inputs = prepared[0].inputs if len(prepared) == 1 else tuple(torch.cat(parts) for parts in columns)
        rows = self.run(inputs)
        return [self.answer.decode(row, one.seen) for row, one in zip(rows, prepared, strict=True)]

    def predict_batch(self, items: Any, bs: int | None = None) -> list[Prediction]:
        """Predict many items: files are read in threads while the model runs.

        Args:
            items: As for `predict`, or a whole table.
            bs: Items per pass through the model; None takes 32 pictures or 4,096 rows.

        Returns:
            One prediction per item, in their order.

        Raises:
            ItemError: One cannot be read as an image; the message names it.
            DataError: The table lacks a column, or a value is no number; the message names it.
        """
        wanted = self.reader.items(items)
        found: list[Prediction] = []
        for position, row in enumerate(self._rows(wanted, bs)):
            seen = self.reader.seen(wanted, position) if self.answer.on_picture else ()
            found.append(self.answer.decode(row, seen))
        return found

    def get_preds(self, dl: Any, bs: int | None = None) -> tuple[Any, None]:
        """The activated outputs for many items in one tensor, as a learner's method of that name gives them.

        Args:
            dl: Items, as for `predict_batch`.
            bs: As there.

        Returns:
            `(outputs, None)`: there are no targets here. Of several targets, or boxes, a tuple of tensors.

        Raises:
            ArgumentError: There are no items, or their outputs are not of one shape.
        """
        rows = list(self._rows(self.reader.items(dl), bs))
        if not rows:
            raise ArgumentError("`get_preds` needs at least 1 item", "there are 0 items", "Pass some.")
        return _stacked(rows), None

    def _rows(self, wanted: Any, bs: int | None) -> Iterator[Any]:
        if not len(wanted):
            return
        for inputs in self.reader.batches(wanted, bs or self.reader.batch_size):
            yield from self.run(inputs)

    def run(self, inputs: tuple[Tensor, ...]) -> Any:
        """A batch through the model: one activated row for each item, which `answer.decode` takes.

        Args:
            inputs: One batch of `reader.batches`.
        """
        with torch.inference_mode():
            return self.answer.rows(self.model(*(part.to(self.device) for part in inputs)))


def _stacked(rows: list[Any]) -> Any:
    if isinstance(rows[0], tuple):
        return tuple(_stacked(list(column)) for column in zip(*rows, strict=True))
    if any(row.shape != rows[0].shape for row in rows):
        raise ArgumentError(
            "`get_preds` needs items whose outputs are of one shape",
            f"they are {tuple(rows[0].shape)} and others",
            "Use `predict_batch`.",
        )
    return torch.stack(rows)
