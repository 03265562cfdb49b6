"""What a column of texts might rather be: dates, or numbers that a few other words keep from being read.

In: a column's values. Out: a sentence for the user, or none. Read next: `columns.py`, which prints it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

__all__ = ["text_hint"]

MANY = 20  # of fewer numbers a column may well be categories
MOST = 0.8  # of the values are numbers
LOOKED_AT = 1000  # values
# Year, month and day in either direction, perhaps with a time.
DATE = re.compile(r"(\d{4}([-/.])\d{1,2}\2\d{1,2}|\d{1,2}([-/.])\d{1,2}\3\d{4})([T ]\d{1,2}:\d{2}.*)?")
# Not those with a zero in front: codes, in which the zero says something.
NUMBER = re.compile(r"[-+]?[$€£]?(0|[1-9]\d*|[1-9]\d{0,2}(,\d{3})+)?([.]\d+)?([eE][-+]?\d+)?\s?[%€]?")


def text_hint(name: str, values: Sequence[str]) -> str:
    """A sentence about texts that look like something else; empty if they do not.

    Args:
        name: Of the column.
        values: Its distinct values.

    Example:
        >>> text_hint("sold", ["2024-02-29", "2023-12-31"])
        "sold: texts that look like dates; add_datepart(df, 'sold') makes columns of them"
        >>> text_hint("city", ["Rome", "Oslo"])
        ''
    """
    some = list(values[:LOOKED_AT])
    if some and all(DATE.fullmatch(value.strip()) for value in some):
        return f"{name}: texts that look like dates; add_datepart(df, {name!r}) makes columns of them"
    numbers = [value for value in some if any(map(str.isdigit, value)) and NUMBER.fullmatch(value.strip())]
    if len(numbers) < MANY or len(numbers) < MOST * len(some):
        return ""
    other = next((value for value in some if value not in numbers), None)
    but = "" if other is None else f", but not {other!r:.30}"
    return (
        f"{name}: texts that look like numbers, e.g. {numbers[0]!r}{but};"
        f" pd.to_numeric(df[{name!r}], errors='coerce') makes numbers of them"
        + (" (without commas and signs)" if _has_signs(numbers) else "")
    )


def _has_signs(numbers: Sequence[str]) -> bool:
    return any(sign in number for number in numbers for sign in ",$€£%")
