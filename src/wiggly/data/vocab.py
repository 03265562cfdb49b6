"""Labels by index and back, and how a vocabulary is found in the labels of the training items.

In: labels of any hashable kind, cells of tables. Out: a `Vocab`. Read next: `blocks.py`, which encodes
with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from wiggly.errors import LabelError

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["MISSING", "Vocab", "is_missing", "make_vocab", "plain_label", "plain_value", "some_of"]

MISSING = "#na#"


class Vocab(list[Any]):
    """Labels by index; a list that also takes a tensor as the index and knows the way back.

    Example:
        >>> import torch
        >>> v = Vocab(["ant", "bee"])
        >>> v[torch.tensor(1)], v.o2i["ant"]
        ('bee', 0)
    """

    def __init__(self, labels: Iterable[Any]) -> None:
        super().__init__(labels)
        self.o2i: dict[Any, int] = {label: i for i, label in enumerate(self)}

    @overload
    def __getitem__(self, index: SupportsIndex, /) -> Any: ...
    @overload
    def __getitem__(self, index: slice | Tensor | np.ndarray[Any, Any] | Sequence[int], /) -> Any: ...
    def __getitem__(self, index: Any, /) -> Any:
        if hasattr(index, "tolist"):  # an array, or a tensor of torch, which need not be there
            index = index.tolist()
        if isinstance(index, (list, tuple)):
            return [self[i] for i in index]  # pyright: ignore[reportUnknownVariableType]
        return super().__getitem__(index)


def plain_value(value: Any) -> Any:
    """A cell as Python's own type: the same value from pandas, polars, pyarrow and JSON is then equal.

    Example:
        >>> plain_value(np.int8(3)), plain_value(date(2024, 2, 29))
        (3, datetime.datetime(2024, 2, 29, 0, 0))
    """
    if value is None or type(value) in (str, int, float, bool):
        return value
    if hasattr(value, "to_pydatetime"):
        return value.to_pydatetime(warn=False)
    if hasattr(value, "to_pytimedelta"):
        return value.to_pytimedelta()
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day)
    return value.item() if isinstance(value, np.generic) else value


def plain_label(label: Any) -> Any:
    """numpy and torch scalars as Python ones, so that labels are JSON and `False` stays false."""
    if (isinstance(label, np.generic) or hasattr(label, "detach")) and label.ndim == 0:
        return label.item()
    try:
        hash(label)
    except TypeError:
        raise LabelError(
            "a label must be a single value",
            f"it is {label!r}, a {type(label).__name__}",
            "Return one value from `get_y`, or use MultiCategoryBlock for lists of labels.",
        ) from None
    return label


def is_missing(label: Any) -> bool:
    """Whether a label is None or NaN."""
    return label is None or (isinstance(label, float) and label != label)


def make_vocab(labels: Iterable[Any], sort: bool, add_na: bool) -> Vocab:
    """The distinct labels: sorted in Python order (capitals first) or by first appearance, `#na#` in front if
    asked."""
    found = list(labels)
    with suppress(TypeError):  # one is a list: said below
        found = list(dict.fromkeys(found))  # of a million labels a few remain to be looked at
    distinct = list(dict.fromkeys(plain_label(label) for label in found if not is_missing(label)))
    if sort:
        try:
            distinct = sorted(distinct)
        except TypeError:  # labels of several types
            distinct = sorted(distinct, key=str)
    return Vocab([MISSING, *(d for d in distinct if d != MISSING)] if add_na else distinct)


def some_of(labels: Sequence[Any], n: int = 6) -> str:
    """The first labels, for a message."""
    shown = ", ".join(str(label) for label in labels[:n])
    return f"{shown}, ..." if len(labels) > n else shown
