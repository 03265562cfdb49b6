"""Which columns are categories and which are numbers: inferred, said in a line or two, or named by the user.

In: a table and the target's name. Out: `Kinds`. Read next: `checks.py`, what is wrong with columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import narwhals as nw

from wiggly.errors import DataError
from wiggly.tabular.encoder import Columns
from wiggly.tabular.packing import is_packable
from wiggly.tabular.reading import as_frame, check_columns

__all__ = ["Kinds", "cont_cat_split", "infer_kinds"]

MAX_CARD = 20  # whole numbers with more values than this count as numbers
FEW_ROWS = 20  # among fewer, all texts may differ by chance


@dataclass(frozen=True)
class Kinds:
    """Which columns are what.

    Attributes:
        categories: Names.
        numbers: Names.
        left_out: Names, and for each why.
        notes: What the user may want to know.
    """

    categories: list[str]
    numbers: list[str]
    left_out: dict[str, str] = field(default_factory=lambda: dict[str, str]())
    notes: list[str] = field(default_factory=lambda: list[str]())

    def __str__(self) -> str:
        lines = [
            f"{len(self.categories)} categories: {', '.join(self.categories) or '-'}",
            f"{len(self.numbers)} numbers: {', '.join(self.numbers) or '-'}",
        ]
        lines += [f"left out: {name} ({why})" for name, why in self.left_out.items()]
        return "\n".join(lines + self.notes)


def cont_cat_split(df: Any, max_card: int = MAX_CARD, dep_var: Any = None) -> tuple[list[str], list[str]]:
    """Names of the columns of numbers and of categories.

    Args:
        df: A table.
        max_card: Whole numbers with at most so many values are categories.
        dep_var: Column(s) to leave out: the target.

    Returns:
        `(numbers, categories)`.

    Example:
        >>> cont_cat_split({"age": [31.5, 40], "rooms": [2, 3], "city": ["Rome", "Oslo"]}, dep_var="city")
        (['age'], ['rooms'])
    """
    columns = Columns(as_frame(df))
    targets = [dep_var] if isinstance(dep_var, str) else list(dep_var or ())
    check_columns(columns.frame, targets, "`dep_var`")
    names = [name for name in columns.frame.columns if name not in targets]
    numbers = [name for name in names if is_number(columns, name, max_card)]
    return numbers, [name for name in names if name not in numbers]


def is_number(columns: Columns, name: str, max_card: int = MAX_CARD) -> bool:
    """Whether a column is better read as numbers than as categories."""
    kind = columns.frame[name].dtype
    if kind.is_float() or isinstance(kind, (nw.Decimal, nw.Datetime, nw.Date, nw.Duration)):
        return True
    if kind.is_integer():
        return len(columns.codes(name).values) > max_card
    return isinstance(kind, nw.Object) and _holds_numbers(columns, name, max_card)


def _holds_numbers(columns: Columns, name: str, max_card: int) -> bool:
    """Whether a pandas column of objects holds decimals, durations, or whole numbers larger than 64 bits."""
    try:
        values, numbers = columns.codes(name).values, columns.numbers(name)
    except DataError:
        return False
    if all(isinstance(value, bool) for value in values):
        return False
    return numbers.values.dtype.kind == "f" or len(values) > max_card


def infer_kinds(
    columns: Columns,
    cat_names: Sequence[str] | None,
    cont_names: Sequence[str] | None,
    targets: Sequence[str],
) -> Kinds:
    """What the columns are; those that the user names are what they are named.

    Args:
        columns: The table.
        cat_names: Categories; None infers them, unless numbers are named.
        cont_names: Numbers; None infers them, unless categories are named.
        targets: Columns to predict.

    Raises:
        ArgumentError: A named column is not there.
        DataError: A column is named twice, or no column is left.
    """
    given = [*(cat_names or ()), *(cont_names or ())]
    check_columns(columns.frame, given, "`cat_names` and `cont_names`")
    _check_once(given, targets)
    if cat_names is not None or cont_names is not None:
        kinds = Kinds(list(cat_names or ()), list(cont_names or ()))
    else:
        kinds = _inferred(columns, targets)
    if not kinds.categories and not kinds.numbers:
        raise DataError(
            "there must be at least 1 column to predict from",
            "; ".join(f"{name}: {why}" for name, why in kinds.left_out.items()) or "there is none",
            "Name the columns in `cat_names` and `cont_names`.",
        )
    return kinds


def _check_once(given: Sequence[str], targets: Sequence[str]) -> None:
    twice = sorted({name for name in given if given.count(name) > 1} | (set(given) & set(targets)))
    if twice:
        what = "a target too" if twice[0] in targets else "named twice"
        raise DataError(
            "a column must be one thing: a category, a number, or the target",
            f"{twice[0]!r} is {what}",
            "Name it once.",
        )


def _inferred(columns: Columns, targets: Sequence[str]) -> Kinds:
    kinds = Kinds([], [])
    for name in columns.frame.columns:
        if name in targets:
            continue
        why = _useless(columns, name)
        if why:
            kinds.left_out[name] = why
        elif is_number(columns, name):
            kinds.numbers.append(name)
        else:
            kinds.categories.append(name)
        if not why and isinstance(columns.frame[name].dtype, (nw.Datetime, nw.Date)):
            kinds.notes.append(
                f"{name}: dates, read as seconds; add_datepart(df, {name!r}) makes more of them"
            )
    return kinds


def _useless(columns: Columns, name: str) -> str:
    """Why nothing can be learnt from a column, in a few words; empty where something can."""
    kind = columns.frame[name].dtype
    if kind.is_nested():
        return f"holds {kind}"
    try:
        codes = columns.codes(name)
    except DataError as error:
        return error.received
    if not codes.values:
        return "empty"
    if not is_packable(codes.values[0]):
        return f"holds {type(codes.values[0]).__name__}"
    missing = bool((codes.codes < 0).any())
    if len(codes.values) == 1 and not missing:
        return f"always {codes.values[0]!r:.30}"
    present = int((codes.codes >= 0).sum())
    text = isinstance(codes.values[0], str)
    if text and present > FEW_ROWS and len(codes.values) == present:
        return "every text differs"
    return ""
