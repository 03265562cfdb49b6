"""Blocks: one side of a sample each, from what a getter returned to a tensor and back.

In: raw values (a path, a label). Out: tensors for the model, and values a person reads. A block knows its
kind of data, not the model; a learner function asks the fitted target block how many outputs, which loss,
activation and metric. Read next: `transform.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from wiggly.data.transform import Configurable
from wiggly.data.vocab import Vocab, is_missing, make_vocab, plain_label
from wiggly.errors import ArgumentError, DataError, LabelError

__all__ = ["Block", "CategoryBlock", "MultiCategoryBlock", "RegressionBlock", "TransformBlock", "Vocab"]


class Block(Configurable):
    """One side of a sample.

    A block of your own overrides `load` and `encode`, and `decode` and `draw` if it is to be shown.

    Attributes:
        loss: For a target: "cross_entropy", "bce_logits" or "mse"; "" when this block is no target.
        activation: What turns the model's output into what users see: "softmax", "sigmoid" or "none".
        metric: Name of the metric shown when the user names none.
        ragged: Whether values of one batch may differ in shape; then `collate` makes the batch's tensor.
        item_tfms: Transforms that run on every sample with this block, after those the user gave.
    """

    loss: ClassVar[str] = ""
    activation: ClassVar[str] = "none"
    metric: ClassVar[str] = ""
    ragged: ClassVar[bool] = False
    item_tfms: Sequence[Any] = ()

    def fit(self, raws: Sequence[Any]) -> None:
        """Learns what it must know from the raw values of the training items (a vocabulary, say)."""

    def accepts(self, raw: Any) -> bool:
        """Whether `raw` can be loaded as it is, without the getter; asked for new items at prediction."""
        return False

    def load(self, raw: Any) -> Any:
        """The value that transforms act on.

        Raises:
            ItemError: The item cannot be read; the loader then skips and reports it.
        """
        return raw

    def check(self, raw: Any) -> None:
        """Raises a `LabelError` if this target cannot be encoded; asked for every item before anything is
        trained. A block whose targets are files leaves them for later.
        """
        self.encode(self.load(raw))

    def encode(self, value: Any) -> Tensor:
        """One value as a tensor, without the batch axis."""
        return torch.as_tensor(value)

    def encode_into(self, value: Any, out: Tensor) -> None:
        """Writes the encoded value into its row of the batch."""
        encoded = self.encode(value)
        if encoded.shape != out.shape:
            raise DataError(
                "the values of one batch must have the same shape",
                f"{type(self).__name__} got {tuple(encoded.shape)} after {tuple(out.shape)}",
                "Add a transform to `item_tfms` that makes them equal.",
            )
        out.copy_(encoded)

    def allocate(self, first: Tensor, n: int) -> Tensor:
        """Room for `n` rows like `first`."""
        return torch.empty((n, *first.shape), dtype=first.dtype)

    def collate(self, rows: Sequence[Tensor]) -> Tensor:
        """The batch's tensor from the encoded rows; only asked of ragged blocks."""
        return torch.stack(list(rows))

    def revive(self, encoded: Tensor) -> Any:
        """A value on which transforms can act again, from a row of a batch."""
        return encoded

    def decode(self, encoded: Tensor) -> Any:
        """What a person reads."""
        return encoded

    def predicted(self, activated: Tensor) -> Tensor:
        """The encoded prediction from activated outputs `(..., c)`."""
        return activated

    def present(self, value: Any) -> Any:
        """What `dls.train_ds[i]` shows for a loaded value."""
        return self.encode(value)

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Draws a decoded value on matplotlib axes; by default as their title."""
        text = str(value) if title is None else title
        old = axes.get_title()
        axes.set_title(f"{old}\n{text}" if old else text, color=colour, fontsize=10)

    @property
    def n_out(self) -> int:
        """Number of model outputs for this target."""
        return 0

    @property
    def vocab(self) -> Vocab | None:
        """Labels by index, for blocks that have them."""
        return None

    def describe(self) -> str:
        """A few words for `summary` and reports."""
        return type(self).__name__


class TransformBlock(Block):
    """Passes values through unchanged; the base for inputs that are tensors already.

    Example:
        >>> TransformBlock().encode([1.0, 2.0])
        tensor([1., 2.])
    """


class CategoryBlock(Block):
    """One label of a fixed set.

    Args:
        vocab: All labels; None finds them in the training items.
        sort: Sort the labels found, or the vocabulary given; False keeps their order.
        add_na: Puts `#na#` in front, for missing and unknown labels.

    Raises:
        LabelError: From `fit`, when the training items have fewer than two classes.

    Example:
        >>> block = CategoryBlock()
        >>> block.fit(["cat", "dog", "cat"])
        >>> block.vocab, block.encode("dog"), block.decode(torch.tensor(0))
        (['cat', 'dog'], tensor(1), 'cat')
    """

    loss = "cross_entropy"
    activation = "softmax"
    metric = "error_rate"

    def __init__(self, vocab: Sequence[Any] | None = None, sort: bool = True, add_na: bool = False) -> None:
        self.sort, self.add_na = sort, add_na
        self._given = vocab is not None
        self._vocab = None if vocab is None else make_vocab(vocab, sort, add_na)

    @property
    def vocab(self) -> Vocab:
        if self._vocab is None:
            raise DataError(
                "a CategoryBlock must be fitted before it is used",
                "it has no vocabulary yet",
                "Build the loaders first.",
            )
        return self._vocab

    @property
    def n_out(self) -> int:
        return len(self.vocab)

    def fit(self, raws: Sequence[Any]) -> None:
        if not self._given:
            self._vocab = make_vocab(self._labels(raws), self.sort, self.add_na)
        self._check_classes()

    def _labels(self, raws: Sequence[Any]) -> Iterable[Any]:
        return raws

    def _check_classes(self) -> None:
        if len(self.vocab) < 2:
            raise LabelError(
                "there must be at least 2 classes",
                f"the training items have {len(self.vocab)}: {list(self.vocab)}",
                "Put the photos of each class into a folder of its own, or check how labels are found "
                "(`get_y`).",
            )

    def index_of(self, label: Any) -> int:
        """Position of a label.

        Raises:
            LabelError: It is missing, or not in the vocabulary.
        """
        label = plain_label(label)
        if self.add_na and (is_missing(label) or label not in self.vocab.o2i):
            return 0
        if is_missing(label):
            raise LabelError(
                "every item must have a label", "one is missing", "Fill or drop it, or pass add_na=True."
            )
        found = self.vocab.o2i.get(label)
        if found is None:
            raise LabelError(
                "every label must be one of the classes of the training items",
                f"{label!r} is not among the {len(self.vocab)}: {_some(self.vocab)}",
                "Split so that each class is in training (TrainTestSplitter(stratify=...)), add items "
                "of that class, or pass CategoryBlock(vocab=[...]).",
            )
        return found

    def encode(self, value: Any) -> Tensor:
        return torch.tensor(self.index_of(value))

    def encode_into(self, value: Any, out: Tensor) -> None:
        out.fill_(self.index_of(value))

    def decode(self, encoded: Tensor) -> Any:
        return self.vocab[int(encoded)]

    def predicted(self, activated: Tensor) -> Tensor:
        return activated.argmax(-1)

    def arguments(self) -> dict[str, Any]:
        return {"vocab": list(self.vocab), "sort": False, "add_na": self.add_na}

    def describe(self) -> str:
        return f"{type(self).__name__}, {len(self.vocab)} classes: {_some(self.vocab)}"


def _some(labels: Sequence[Any], n: int = 6) -> str:
    shown = ", ".join(str(label) for label in labels[:n])
    return f"{shown}, ..." if len(labels) > n else shown


class MultiCategoryBlock(CategoryBlock):
    """Any number of labels of a fixed set, as a multi-hot vector.

    Args:
        encoded: The raw values are multi-hot already; then `vocab` is needed.
        vocab: All labels; None finds them in the training items.
        add_na: Puts `#na#` in front, for unknown labels.

    Example:
        >>> block = MultiCategoryBlock()
        >>> block.fit([["cat"], ["cat", "dog"], []])
        >>> block.encode(["dog"]), block.decode(torch.tensor([1.0, 1.0]))
        (tensor([0., 1.]), ['cat', 'dog'])
    """

    loss = "bce_logits"
    activation = "sigmoid"
    metric = "accuracy_multi"

    def __init__(
        self, encoded: bool = False, vocab: Sequence[Any] | None = None, add_na: bool = False
    ) -> None:
        super().__init__(vocab, sort=vocab is None, add_na=add_na)
        if encoded and vocab is None:
            raise ArgumentError(
                "`vocab` is needed with `encoded=True`", "it is None", "Pass the labels in column order."
            )
        self.encoded = encoded

    def _labels(self, raws: Sequence[Any]) -> Iterable[Any]:
        for raw in raws:
            if isinstance(raw, str) or not isinstance(raw, Iterable):
                raise LabelError(
                    "MultiCategoryBlock needs a list of labels for every item",
                    f"it got {raw!r}",
                    "Return a list, e.g. with ColReader('labels', label_delim=' ').",
                )
            yield from raw

    def _check_classes(self) -> None:
        if not self.vocab:
            raise LabelError(
                "there must be at least 1 class", "no training item has a label", "Check `get_y`."
            )

    def encode(self, value: Any) -> Tensor:
        if self.encoded:
            return torch.as_tensor(np.asarray(value), dtype=torch.float32)
        hot = torch.zeros(len(self.vocab))
        for label in value:
            hot[self.index_of(label)] = 1.0
        return hot

    def encode_into(self, value: Any, out: Tensor) -> None:
        Block.encode_into(self, value, out)

    def decode(self, encoded: Tensor) -> list[Any]:
        return [label for label, on in zip(self.vocab, encoded.tolist(), strict=True) if on]

    def predicted(self, activated: Tensor) -> Tensor:
        return activated > 0.5

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        super().draw(value, axes, "; ".join(map(str, value)) if title is None else title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"encoded": self.encoded, "vocab": list(self.vocab), "add_na": self.add_na}


class RegressionBlock(Block):
    """One or several numbers.

    Args:
        n_out: How many; None counts them in the training items.

    Example:
        >>> block = RegressionBlock()
        >>> block.fit([1.5, 2.0])
        >>> block.n_out, block.encode(1.5)
        (1, tensor(1.5000))
    """

    loss = "mse"
    metric = "rmse"

    def __init__(self, n_out: int | None = None) -> None:
        self._n_out = n_out

    @property
    def n_out(self) -> int:
        return self._n_out or 1

    def fit(self, raws: Sequence[Any]) -> None:
        if self._n_out is None and raws:
            self._n_out = int(np.size(np.asarray(raws[0])))

    def encode(self, value: Any) -> Tensor:
        try:
            encoded = torch.as_tensor(np.asarray(value, dtype=np.float32))
        except (TypeError, ValueError):
            raise LabelError(
                "a regression target must be a number",
                f"it is {value!r}",
                "Mend the column, or pass y_block=CategoryBlock.",
            ) from None
        if not bool(torch.isfinite(encoded).all()):
            raise LabelError(
                "a regression target must be finite", f"it is {value!r}", "Fill or drop such items."
            )
        return encoded

    def decode(self, encoded: Tensor) -> Any:
        return encoded.item() if encoded.numel() == 1 else tuple(encoded.tolist())

    def predicted(self, activated: Tensor) -> Tensor:
        return activated

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        super().draw(value, axes, ", ".join(f"{v:.4g}" for v in numbers) if title is None else title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"n_out": self.n_out}
