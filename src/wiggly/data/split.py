"""Items to positions of the training and validation part.

In: the items. Out: a `Split`, two sequences of positions; a splitter is any function `items -> (train,
valid)`. Read next: `blocks.py`.
"""

from __future__ import annotations

import operator
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.data.items import TableItems
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Split

__all__ = [
    "ColSplitter",
    "FuncSplitter",
    "GrandparentSplitter",
    "IndexSplitter",
    "RandomSplitter",
    "Splitter",
    "TrainTestSplitter",
    "check_split",
]

Splitter = Callable[[Any], tuple[Sequence[int], Sequence[int]]]


class RandomSplitter:
    """A random part of the items for validation.

    Args:
        valid_pct: Share of the items in validation, in (0, 1).
        seed: Makes the split repeatable: the first `int(valid_pct * n)` positions of torch's permutation
            under this seed. No global random state is touched.

    Example:
        >>> train, valid = RandomSplitter(0.2, seed=42)(range(10))
        >>> len(train), len(valid)
        (8, 2)
    """

    def __init__(self, valid_pct: float = 0.2, seed: int | None = None) -> None:
        if not 0 < valid_pct < 1:
            raise ArgumentError(
                "`valid_pct` must be a share between 0 and 1",
                f"it is {valid_pct}",
                "Pass e.g. valid_pct=0.2.",
            )
        if seed is not None and not hasattr(seed, "__index__"):
            raise ArgumentError("`seed` must be a whole number", f"it is {seed!r}", "Pass e.g. seed=42.")
        self.valid_pct, self.seed = valid_pct, seed

    def __call__(self, items: Any) -> Split:
        import torch

        generator = None if self.seed is None else torch.Generator().manual_seed(self.seed)
        order: list[int] = torch.randperm(len(items), generator=generator).tolist()
        cut = int(self.valid_pct * len(items))
        return Split(order[cut:], order[:cut])


class TrainTestSplitter:
    """scikit-learn's `train_test_split`, which can keep the share of each class equal on both sides.

    Args:
        test_size: Share (float) or number (int) of validation items.
        random_state: Seed.
        stratify: One label per item; classes then appear on both sides in equal shares.
        train_size: Share or number of training items; None for the rest.
        shuffle: Whether to shuffle before splitting.

    Raises:
        DataError: scikit-learn refuses, e.g. because a class has a single item.

    Example:
        >>> train, valid = TrainTestSplitter(0.5, random_state=0, stratify=list("aabb"))(range(4))
        >>> sorted("aabb"[i] for i in valid)
        ['a', 'b']
    """

    def __init__(
        self,
        test_size: float = 0.2,
        random_state: int | None = None,
        stratify: Sequence[Any] | None = None,
        train_size: float | None = None,
        shuffle: bool = True,
    ) -> None:
        self.options: dict[str, Any] = {
            "test_size": test_size,
            "random_state": random_state,
            "stratify": stratify,
            "train_size": train_size,
            "shuffle": shuffle,
        }

    def __call__(self, items: Any) -> Split:
        from sklearn.model_selection import train_test_split

        try:
            train, valid = train_test_split(np.arange(len(items)), **self.options)
        except ValueError as error:
            raise DataError(
                "TrainTestSplitter must be able to divide the items",
                f"scikit-learn says: {error}",
                "Change `test_size`, or drop `stratify` or the classes with a single item.",
            ) from error
        return Split(np.asarray(train).tolist(), np.asarray(valid).tolist())


class GrandparentSplitter:
    """By the name of the folder above the label's folder: `train/cat/1.jpg` and `valid/cat/2.jpg`.

    Args:
        train_name: Folder (or several) of the training items.
        valid_name: Folder (or several) of the validation items. Items elsewhere are left out.

    Example:
        >>> GrandparentSplitter()([Path("train/cat/1.jpg"), Path("valid/cat/2.jpg"), Path("test/cat/3.jpg")])
        Split(train=[0], valid=[1])
    """

    def __init__(
        self, train_name: str | Sequence[str] = "train", valid_name: str | Sequence[str] = "valid"
    ) -> None:
        self.train_names = _names(train_name)
        self.valid_names = _names(valid_name)

    def __call__(self, items: Any) -> Split:
        folders = [grandparent_name(item) for item in items]
        train = [i for i, name in enumerate(folders) if name in self.train_names]
        valid = [i for i, name in enumerate(folders) if name in self.valid_names]
        if not train or not valid:
            raise DataError(
                f"there must be images in folders named {self.train_names[0]!r} and {self.valid_names[0]!r}",
                f"of {len(folders)} images {len(train)} are in the first and {len(valid)} in the second",
                "Pass `valid_pct=0.2` to split at random instead, or the folders' names as `train=` "
                "and `valid=`.",
            )
        return Split(train, valid)


def grandparent_name(item: Any) -> str:
    """Name of the folder above the one a file lies in.

    Raises:
        DataError: The item is no path.

    Example:
        >>> grandparent_name(Path("data/train/cat/1.jpg"))
        'train'
    """
    if not isinstance(item, (str, os.PathLike)):
        raise DataError(
            "GrandparentSplitter needs paths",
            f"an item is a {type(item).__name__}",
            "Use ColSplitter for a table, FuncSplitter for other items.",
        )
    # `Path.parent.parent.name`, which takes five times as long; it also understands "a/./b".
    parts = os.fspath(item).replace(os.sep, "/").rsplit("/", 3)
    odd = not all(parts[1:]) or "." in parts
    return parts[-3] if len(parts) > 2 and not odd else Path(item).parent.parent.name


def _names(value: str | Sequence[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


class IndexSplitter:
    """The given positions for validation, all others for training.

    Example:
        >>> IndexSplitter([1])("abc")
        Split(train=[0, 2], valid=[1])
    """

    def __init__(self, valid_idx: Iterable[int]) -> None:
        self.valid = list(dict.fromkeys(_whole(i) for i in valid_idx))

    def __call__(self, items: Any) -> Split:
        n, valid = len(items), set(self.valid)
        outside = sorted(i for i in valid if not 0 <= i < n)
        if outside:
            raise ArgumentError(
                f"`valid_idx` must hold positions from 0 to {n - 1}",
                f"it holds {outside[:5]}",
                "Count positions in the list of items, from 0.",
            )
        rest = np.ones(n, dtype=bool)
        rest[self.valid] = False
        return Split(np.flatnonzero(rest).tolist(), self.valid)


def _whole(position: Any) -> int:
    try:
        return operator.index(position)
    except TypeError:
        raise ArgumentError(
            "`valid_idx` must hold whole numbers, positions from 0",
            f"it holds {position!r:.60}, a {type(position).__name__}",
            "Pass e.g. range(100), or np.flatnonzero(marks) for marks.",
        ) from None


class FuncSplitter:
    """`func(item)` true for validation.

    Example:
        >>> FuncSplitter(str.isupper)("aBc")
        Split(train=[0, 2], valid=[1])
    """

    def __init__(self, func: Callable[[Any], bool]) -> None:
        self.func = func

    def __call__(self, items: Any) -> Split:
        marks = [bool(self.func(item)) for item in items]
        return _by_marks(marks)


class ColSplitter:
    """A column of the table decides.

    Args:
        col: Name or position of the column.
        on: Values that mean validation; None reads the column as true or false, a missing value as false.

    Raises:
        DataError: The items are not a table or have no such column.

    Example:
        >>> import pandas as pd
        >>> ColSplitter()(pd.DataFrame({"is_valid": [False, True]}))
        Split(train=[0], valid=[1])
    """

    def __init__(self, col: str | int = "is_valid", on: object = None) -> None:
        self.col, self.on = col, on

    def __call__(self, items: Any) -> Split:
        import narwhals as nw

        if not (isinstance(items, TableItems) or nw.dependencies.is_into_dataframe(items)):
            raise DataError(
                "ColSplitter needs a table",
                f"the items are a {type(items).__name__}",
                "Pass a DataFrame as the source.",
            )
        table = items if isinstance(items, TableItems) else TableItems(items)
        values = table.column(self.col)
        if self.on is None:
            return _by_marks([v if type(v) is bool else _truth(v) for v in values])
        wanted = set(self.on) if isinstance(self.on, (list, tuple, set)) else {self.on}  # pyright: ignore[reportUnknownArgumentType]
        return _by_marks([v in wanted for v in values])


def _truth(value: Any) -> bool:
    # A CSV written elsewhere may hold the words; bool("False") would put every row into validation.
    if isinstance(value, str):
        return value.strip().lower() in {"true", "1", "yes", "valid"}
    return not _is_missing(value) and bool(value)


def _is_missing(value: Any) -> bool:
    # NaN is not equal to itself, and pandas' NA has no truth value at all.
    return value is None or str(value) == "<NA>" or bool(value != value)


def _by_marks(marks: Sequence[bool]) -> Split:
    marked = np.fromiter(marks, dtype=bool, count=len(marks))
    return Split(np.flatnonzero(~marked).tolist(), np.flatnonzero(marked).tolist())


def check_split(split: tuple[Sequence[int], Sequence[int]], n: int) -> Split:
    """The splitter's answer as a `Split` of plain integers, refused when a side is empty or out of range.

    Raises:
        DataError: It is no pair of positions, one side is empty, both share items, or a position is not in
            `0..n-1`.
    """
    train, valid = _positions(split)
    for name, side, other in (("training", train, len(valid)), ("validation", valid, len(train))):
        if not len(side):
            raise DataError(
                f"`splitter` must leave at least 1 item for {name}",
                f"it left 0 of {n} (the other side got {other})",
                "Pass another `valid_pct`, more items, or a splitter that finds both parts.",
            )
        if side.min() < 0 or side.max() >= n:
            raise DataError(
                f"`splitter` must return positions from 0 to {n - 1}",
                f"the {name} part goes from {side.min()} to {side.max()}",
                "Return positions in the list of items.",
            )
    in_training = np.zeros(n, dtype=bool)
    in_training[train] = True
    shared = np.unique(valid[in_training[valid]])
    if len(shared):
        raise DataError(
            "no item may be in training and validation",
            f"{len(shared)} of {n} are in both, e.g. position {shared[0]}",
            "Make the splitter's two lists disjoint; scores are meaningless otherwise.",
        )
    return Split(train.tolist(), valid.tolist())


def _positions(split: Any) -> list[npt.NDArray[np.int64]]:
    try:
        train, valid = (_integers(side) for side in split)
        return [train, valid]
    except (TypeError, ValueError):
        raise DataError(
            "`splitter` must return two lists of positions: training, validation",
            f"it returned {split!r:.80}",
            "Return e.g. ([0, 1, 2], [3]); FuncSplitter makes them from a function of the item.",
        ) from None


def _integers(side: Any) -> npt.NDArray[np.int64]:
    """Positions as one array.

    Raises:
        TypeError: They are marks, or no whole numbers.
    """
    if not (hasattr(side, "dtype") or isinstance(side, range)):
        side = list(side)
        if not {bool, np.bool_}.isdisjoint(map(type, side)):  # numpy would take [True, 2] for [1, 2]
            raise TypeError("marks are no positions")
    found = np.asarray(side)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise TypeError("not whole numbers")
    return found.astype(np.int64)
