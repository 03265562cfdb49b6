"""Which columns are categories and which are numbers: inferred, said in a line or two, or named by the user.

In: a table and the target's name. Out: `Kinds`. Read next: `checks.py`, what is wrong with columns.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import narwhals as nw
import numpy as np

from wiggly.data.vocab import plain_value
from wiggly.errors import DataError
from wiggly.tabular.encoder import Columns
from wiggly.tabular.hints import text_hint
from wiggly.tabular.packing import is_packable
from wiggly.tabular.reading import as_frame, check_columns

__all__ = ["Kinds", "cont_cat_split", "has_more_values", "infer_kinds"]

MAX_CARD = 20  # whole numbers with more values than this count as numbers
FEW_ROWS = 20  # among fewer, all texts may differ by chance
LOOKED_AT = 1000  # rows, before whole numbers are told apart in all
MOST_NAMES = 50  # that are printed


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
            f"{_counted(self.categories, 'category', 'categories')}: {_listed(self.categories)}",
            f"{_counted(self.numbers, 'number', 'numbers')}: {_listed(self.numbers)}",
        ]
        for why in dict.fromkeys(self.left_out.values()):
            names = [name for name, reason in self.left_out.items() if reason == why]
            lines.append(f"left out: {_listed(names)} ({why})")
        return "\n".join(lines + self.notes)


def _counted(names: Sequence[str], one: str, several: str) -> str:
    return f"{len(names)} {one if len(names) == 1 else several}"


def _listed(names: Sequence[str]) -> str:
    """Names for a person; of very many the first."""
    shown = ", ".join(name if name.strip() else repr(name) for name in names[:MOST_NAMES])
    return f"{shown}, and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else shown or "-"


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
        return has_more_values(columns, name, max_card)
    return isinstance(kind, nw.Object) and _holds_numbers(columns, name, max_card)


def has_more_values(columns: Columns, name: str, most: int) -> bool:
    """Whether a column of whole numbers has more distinct values than `most`; all of them are only told apart
    where the first do not settle it."""
    found = columns.numbers(name)
    some = found.values[:LOOKED_AT][~found.missing[:LOOKED_AT]]
    return len(np.unique(some)) > most or len(columns.codes(name).values) > most


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
    cat_names, cont_names = (as_names(names) for names in (cat_names, cont_names))
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


def as_names(names: str | Sequence[str] | None) -> list[str] | None:
    """A single name as a list of one."""
    return [names] if isinstance(names, str) else None if names is None else list(names)


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
        kinds.notes.extend(filter(None, [_note(columns, name)]))
    return kinds


def _note(columns: Columns, name: str) -> str:
    """What else a column might be."""
    kind = columns.frame[name].dtype
    if kind.is_integer() or kind.is_float():
        return ""
    try:
        values = columns.codes(name).values
    except DataError:
        return ""
    dates = isinstance(kind, (nw.Datetime, nw.Date)) or isinstance(next(iter(values), None), datetime)
    if dates and len(values) > 1:
        return f"{name}: dates, read as seconds; add_datepart(df, {name!r}) makes more of them"
    return text_hint(name, values) if values and all(isinstance(value, str) for value in values) else ""


def _useless(columns: Columns, name: str) -> str:
    """Why nothing can be learnt from a column, in a few words; empty where something can."""
    kind = columns.frame[name].dtype
    if kind.is_nested():
        return f"holds {kind}"
    if kind.is_integer() or kind.is_float():
        return _useless_number(columns, name)
    try:
        codes = columns.codes(name)
    except DataError:
        return f"holds {_kind_of_values(columns, name)}, no single values"
    if not codes.values:
        return "empty"
    if not is_packable(codes.values[0]):
        return f"holds {type(codes.values[0]).__name__}"
    present = int((codes.codes >= 0).sum())
    missing = present < len(columns)
    if len(codes.values) == 1 and not missing:
        return f"always {codes.values[0]!r:.30}"
    text = isinstance(codes.values[0], str)
    if text and present > FEW_ROWS and len(codes.values) == present:
        return "every text differs"
    return ""


def _useless_number(columns: Columns, name: str) -> str:
    """The same of a column of numbers, whose distinct values, often one per row, are not looked for."""
    found = columns.numbers(name)
    there = found.values[~found.missing | found.infinite]
    if not len(there):
        return "empty"
    whole = len(there) == len(columns)
    if whole and there.min() == there.max():
        return f"always {plain_value(columns.frame[name][0])!r:.30}"
    # As `to_csv` writes the index of a table.
    unnamed = whole and re.fullmatch(r"(Unnamed: \d+)?", name) is not None
    if unnamed and there.dtype.kind in "iu" and np.array_equal(there, np.arange(len(there))):
        return "numbers the rows"
    return ""


def _kind_of_values(columns: Columns, name: str) -> str:
    first = next((value for value in columns.frame[name].to_list() if value is not None), None)
    return f"values of type {type(first).__name__}"
