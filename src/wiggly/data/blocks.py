"""Blocks of no modality: one label, several labels, numbers.

In: raw values (a label, a list of labels, a number). Out: tensors for the model, and values a person reads. A
block knows its kind of data, not the model; a learner function asks the fitted target block how many outputs,
which loss, activation and metric. Read next: `transform.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.base import Block, TransformBlock
from wiggly.data.vocab import Vocab, is_missing, make_vocab, plain_label, some_of
from wiggly.errors import ArgumentError, DataError, LabelError

__all__ = [
    "Block",
    "CategoryBlock",
    "MultiCategoryBlock",
    "RegressionBlock",
    "TransformBlock",
    "Vocab",
    "labels_of",
]

# Of float32.
LARGEST = float(np.finfo(np.float32).max)


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

    @property
    def needs_fit(self) -> bool:
        return not self._given

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
                "Check how labels are found (`get_y`); of photos, each class may have a folder of its own.",
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
                f"{label!r} is not among the {len(self.vocab)}: {some_of(self.vocab)}",
                "Split so that each class is in training (TrainTestSplitter(stratify=...)), add items "
                f"of that class, or pass {type(self).__name__}(vocab=[...]).",
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
        return f"{type(self).__name__}, {len(self.vocab)} classes: {some_of(self.vocab)}"


def labels_of(raw: Any, block: str) -> list[Any]:
    """The labels of one item.

    Raises:
        LabelError: It is no list of labels.
    """
    if isinstance(raw, (str, bytes, dict)) or not isinstance(raw, Iterable):
        raise LabelError(
            f"{block} needs a list of labels for every item",
            f"it got {raw!r:.80}",
            "Return a list, e.g. with ColReader('labels', label_delim=' ').",
        )
    return list(cast("Iterable[Any]", raw))


class MultiCategoryBlock(CategoryBlock):
    """Any number of labels of a fixed set, as a multi-hot vector.

    Args:
        encoded: The raw values are multi-hot already; then `vocab` is needed, in the order of the columns.
        vocab: All labels, kept in this order; None finds them in the training items and sorts them.
        add_na: Puts `#na#` in front, which is set for unknown labels; not used with `encoded`.

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
        if encoded and vocab is None:
            raise ArgumentError(
                "`vocab` is needed with `encoded=True`", "it is None", "Pass the labels in column order."
            )
        # The columns of encoded targets are `vocab` as it is: there is none for unknown labels.
        super().__init__(vocab, sort=vocab is None, add_na=add_na and not encoded)
        self.encoded = encoded

    def _labels(self, raws: Sequence[Any]) -> Iterable[Any]:
        for raw in raws:
            yield from labels_of(raw, type(self).__name__)

    def _check_classes(self) -> None:
        if not self.vocab:
            raise LabelError(
                "there must be at least 1 class", "no training item has a label", "Check `get_y`."
            )

    def encode(self, value: Any) -> Tensor:
        if self.encoded:
            return self._checked_hot(value)
        hot = torch.zeros(len(self.vocab))
        for label in labels_of(value, type(self).__name__):
            hot[self.index_of(label)] = 1.0
        return hot

    def _checked_hot(self, value: Any) -> Tensor:
        try:
            hot = np.asarray(value, dtype=np.float32)
        except (TypeError, ValueError):
            hot = np.empty(0, dtype=np.float32)
        n = len(self.vocab)
        if hot.shape != (n,) or not np.isin(hot, (0, 1)).all():
            raise LabelError(
                f"an encoded target must have {n} zeros and ones, one per label of `vocab`",
                f"it is {value!r:.80}",
                "Mend the columns or `vocab`, or pass lists of labels without `encoded=True`.",
            )
        return torch.from_numpy(hot.copy())

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
        n_out: How many; None counts them in the first training item.

    Raises:
        LabelError: When a target is no number, not finite, or has another number of them.

    Example:
        >>> block = RegressionBlock()
        >>> block.fit([1.5, 2.0])
        >>> block.n_out, block.encode(1.5)
        (1, tensor(1.5000))
    """

    loss = "mse"
    metric = "rmse"

    def __init__(self, n_out: int | None = None) -> None:
        if n_out is not None and n_out < 1:
            raise ArgumentError("`n_out` must be at least 1", f"it is {n_out}", "Leave it out to count them.")
        self._n_out = n_out

    @property
    def n_out(self) -> int:
        return self._n_out or 1

    @property
    def needs_fit(self) -> bool:
        return self._n_out is None

    def fit(self, raws: Sequence[Any]) -> None:
        if self._n_out is None and raws:
            self._n_out = max(1, self._numbers(raws[0]).size)

    def check(self, raw: Any) -> None:
        # A plain number needs no array to be found good: tables have millions of them.
        plain = type(raw) in (int, float) and self.n_out == 1
        if not plain or not abs(raw) <= LARGEST:
            super().check(raw)

    def encode(self, value: Any) -> Tensor:
        numbers = self._numbers(value)
        if self._n_out is not None and numbers.size != self._n_out:
            raise LabelError(
                f"every regression target must have {self._n_out} number{'s'[: self._n_out > 1]}",
                f"it has {numbers.size}: {value!r:.80}",
                "Mend such items, or pass RegressionBlock(n_out=...).",
            )
        if not np.isfinite(numbers).all():
            raise LabelError(
                "a regression target must be finite", f"it is {value!r}", "Fill or drop such items."
            )
        single = numbers.size == 1 and numbers.ndim == 1  # [1.5] is the same target as 1.5
        return torch.from_numpy(numbers.reshape(()) if single else numbers)

    def _numbers(self, value: Any) -> npt.NDArray[np.float32]:
        try:
            with np.errstate(over="ignore"):  # too large for float32 is infinite, and refused as that
                return np.array(value, dtype=np.float32)
        except (TypeError, ValueError):
            raise LabelError(
                "a regression target must be a number",
                f"it is {value!r}",
                "Mend the column, or pass y_block=CategoryBlock.",
            ) from None

    def decode(self, encoded: Tensor) -> Any:
        return encoded.item() if encoded.numel() == 1 else tuple(encoded.flatten().tolist())

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        numbers = value if isinstance(value, tuple) else (value,)
        super().draw(value, axes, ", ".join(f"{v:.4g}" for v in numbers) if title is None else title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"n_out": self.n_out}
