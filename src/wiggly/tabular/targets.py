"""The columns to predict: which block each is, and its whole column as a tensor.

In: a table, the target's name(s) and perhaps a block. Out: fitted target blocks, one tensor each. Read next:
`loader.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import narwhals as nw
import numpy as np
import torch
from torch import Tensor

from wiggly.data.blocks import Block, CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.datasets import made_block
from wiggly.data.vocab import MISSING, is_missing, plain_value
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.tabular.columns import has_more_values
from wiggly.tabular.encoder import Columns
from wiggly.tabular.reading import check_columns

__all__ = ["Targets", "fit_labels", "made_targets"]

FEW_LABELS = 10  # whole numbers, of which the user may have meant labels


@dataclass
class Targets:
    """What is predicted.

    Attributes:
        names: For each block the columns it reads.
        blocks: One per target of the model.
        note: What was inferred, if that may surprise.
    """

    names: list[list[str]]
    blocks: list[Block]
    note: str = ""

    @property
    def columns(self) -> list[str]:
        """All columns that are predicted."""
        return [name for names in self.names for name in names]

    def fit(self, columns: Columns, rows: Sequence[int] | None = None) -> None:
        """Has the blocks learn their labels from the training rows."""
        chosen = None if rows is None else np.asarray(rows, dtype=np.int64)
        for names, block in zip(self.names, self.blocks, strict=True):
            several = isinstance(block, MultiCategoryBlock)  # a value of those is a list
            if isinstance(block, CategoryBlock) and len(names) == 1 and not several:
                fit_labels(block, names[0], _labels(columns, names[0], chosen))
            elif isinstance(block, RegressionBlock):
                block.fit([[0.0] * len(names)])
            else:
                values = _rows(columns, names)
                block.fit(values if chosen is None else [values[i] for i in chosen])

    def encode(self, columns: Columns) -> tuple[Tensor, ...]:
        """One tensor per block, rows in the table's order.

        Raises:
            LabelError: A target is missing, unknown or no number; the message has the row.
        """
        check_columns(columns.frame, self.columns, "targets")
        pairs = zip(self.names, self.blocks, strict=True)
        return tuple(_encoded(columns, names, block) for names, block in pairs)


def fit_labels(block: Block, name: str, labels: Sequence[Any]) -> None:
    """Has a block of labels learn those of a column.

    Args:
        block: The block.
        name: Of the column.
        labels: Those of the training rows.

    Raises:
        LabelError: There are fewer than two; the message has the column.
    """
    if block.needs_fit and len(labels) < 2:
        raise LabelError(
            "a target of labels must have at least 2 among the training rows",
            f"{name!r} is {'always ' + repr(labels[0]) if labels else 'always missing'} there",
            "Predict another column, or split so that both labels are in training.",
        )
    block.fit(labels)


def made_targets(columns: Columns, y_names: str | Sequence[str], y_block: Any = None) -> Targets:
    """The blocks of the targets: as given, else a label for what is no number (or a whole number with two
    values) and numbers for the rest.

    Args:
        columns: The table.
        y_names: One column or several.
        y_block: A block, a class or a function that makes one; a list has one for each column.

    Raises:
        ArgumentError: A column is not there, or the list has another length.
    """
    names = [y_names] if isinstance(y_names, str) else list(y_names)
    check_columns(columns.frame, names, "`y_names`")
    if not names:
        raise ArgumentError(
            "`y_names` must name the column to predict", "it is empty", 'Pass e.g. y_names="salary".'
        )
    if isinstance(y_block, (list, tuple)):
        if len(y_block) != len(names):
            raise ArgumentError(
                "`y_block` must have one block for each of `y_names`",
                f"there are {len(y_block)} for {len(names)}",
                "Pass a single block for all of them, or one each.",
            )
        return Targets([[name] for name in names], [made_block(block) for block in y_block])
    if y_block is not None:
        return Targets([names], [made_block(y_block)])
    if len(names) > 1 and all(columns.frame[name].dtype.is_numeric() for name in names):
        return Targets([names], [RegressionBlock(len(names))])
    notes = [_note(columns, name) for name in names]
    blocks: list[Block] = [_inferred(columns, name) for name in names]
    return Targets([[name] for name in names], blocks, "\n".join(filter(None, notes)))


def _is_pair(columns: Columns, name: str) -> bool:
    return columns.frame[name].dtype.is_integer() and not has_more_values(columns, name, 2)


def _inferred(columns: Columns, name: str) -> Block:
    kind = columns.frame[name].dtype
    if kind.is_integer() or kind.is_float():
        return CategoryBlock() if _is_pair(columns, name) else RegressionBlock(1)
    values = columns.codes(name).values
    if values and all(isinstance(value, (datetime, timedelta)) for value in values[:100]):
        raise DataError(
            "a target must be labels or numbers",
            f"{name!r} holds {'dates' if isinstance(values[0], datetime) else 'durations'}",
            f"Make a number of it, e.g. the days since a date: (df[{name!r}] - start).dt.days.",
        )
    # Decimals, and whole numbers larger than 64 bits, are objects for pandas.
    objects = isinstance(kind, nw.Object) and values and isinstance(values[0], (Decimal, int, float))
    odd = objects and not any(isinstance(value, (str, bool)) for value in values)
    return RegressionBlock(1) if kind.is_numeric() or odd else CategoryBlock()


def _note(columns: Columns, name: str) -> str:
    if not columns.frame[name].dtype.is_integer() or has_more_values(columns, name, FEW_LABELS):
        return ""
    values = columns.codes(name).values
    if _is_pair(columns, name):
        two = " and ".join(map(str, sorted(values)))
        return f"{name} has the values {two}: taken as labels; y_block=RegressionBlock for numbers"
    return f"{name} has {len(values)} whole numbers: taken as numbers; y_block=CategoryBlock for labels"


def _labels(columns: Columns, name: str, rows: Any) -> list[Any]:
    """The distinct labels among the training rows, in the order of the column's own type if it has one."""
    found = columns.codes(name)
    codes = found.codes if rows is None else found.codes[rows]
    present = np.bincount(codes + 1, minlength=len(found.values) + 1)[1:]
    return [value for value, n in zip(found.values, present, strict=True) if n]


def _rows(columns: Columns, names: Sequence[str]) -> list[Any]:
    lists = [columns.frame[name].to_list() for name in names]
    return lists[0] if len(names) == 1 else [list(row) for row in zip(*lists, strict=True)]


def _encoded(columns: Columns, names: Sequence[str], block: Block) -> Tensor:
    if isinstance(block, MultiCategoryBlock):
        return torch.stack([_placed(block.encode, v, i) for i, v in enumerate(_rows(columns, names))])
    if isinstance(block, CategoryBlock) and len(names) == 1:
        return _categories(columns, names[0], block)
    if isinstance(block, RegressionBlock):
        found = [_numbers(columns, name) for name in names]
        return found[0] if len(found) == 1 else torch.stack(found, dim=1)
    values = _rows(columns, names)
    return torch.stack([_placed(lambda v: block.encode(block.load(v)), v, i) for i, v in enumerate(values)])


def _placed(encode: Callable[[Any], Tensor], value: Any, row: int) -> Tensor:
    try:
        return encode(value)
    except LabelError as error:
        raise LabelError(error.rule, f"in row {row} {error.received}", error.fix) from error


def _categories(columns: Columns, name: str, block: CategoryBlock) -> Tensor:
    found = columns.codes(name)
    values: list[Any] = [None, *found.values]
    present = np.bincount(found.codes + 1, minlength=len(values))
    codes = np.zeros(len(values), dtype=np.int64)
    for place, value in enumerate(values):
        if not present[place]:
            continue
        lost = None if is_missing(value) or value == MISSING else value
        try:
            codes[place] = block.index_of(lost)
        except LabelError as error:
            row = int(np.flatnonzero(found.codes == place - 1)[0])
            fix = error.fix
            if len(found.values) * 2 > len(columns):
                many = f"{name!r} has {len(found.values):,} values in {len(columns):,} rows, hardly labels"
                fix = f"{many}: predict another column, or make numbers of it."
            raise LabelError(error.rule, f"in row {row} of {name!r} {error.received}", fix) from error
    return torch.from_numpy(codes[found.codes + 1])


def _numbers(columns: Columns, name: str) -> Tensor:
    found = columns.numbers(name)
    if found.missing.any():
        row = int(np.flatnonzero(found.missing)[0])
        raise LabelError(
            "a regression target must be a finite number",
            f"{name!r} in row {row} is {plain_value(columns.frame[name][row])!r}",
            "Fill or drop such rows.",
        )
    return torch.from_numpy(found.values.astype(np.float32))
