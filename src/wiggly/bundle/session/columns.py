"""Columns of a table as codes and numbers, exactly as training had them. Needs no torch and no pandas.

In: the cells of one column as Python values, and what `model.json` says of it. Out: int64 codes or float32
numbers. `../../tabular/fields.py` does the same for whole tables of pandas, polars or pyarrow. Read next:
`rows.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from wiggly.bundle.parts import CategoryField, NumberField
from wiggly.data.vocab import MISSING, Vocab, is_missing, plain_value
from wiggly.errors import DataError
from wiggly.tabular.packing import unpack
from wiggly.tabular.surprises import Surprises

__all__ = ["Numbers", "category_codes", "encoded_numbers", "read_numbers", "vocab_of"]

LARGEST = float(np.finfo(np.float32).max)  # the model computes in float32
EPOCH = datetime(1970, 1, 1)


class Numbers(NamedTuple):
    """A column of numbers.

    Attributes:
        values: Whole numbers, all exact, or floats; anything where there is none.
        missing: Where there is none, or an infinite one.
        infinite: Where it is infinite, or beyond float32.
    """

    values: list[Any]
    missing: npt.NDArray[np.bool_]
    infinite: npt.NDArray[np.bool_]


def vocab_of(field: CategoryField) -> Vocab:
    """The values of a column of categories by their code; 0 is `#na#`."""
    return Vocab([MISSING, *(unpack(value) for value in field.vocab)])


def category_codes(
    name: str, vocab: Vocab, cells: Sequence[Any], surprises: Surprises
) -> npt.NDArray[np.int64]:
    """The code of every cell; 0 for what is missing or was not in training.

    Args:
        name: Of the column.
        vocab: Its values by code.
        cells: One for each row.
        surprises: Gets what was not in training.

    Raises:
        DataError: A cell is no single value.

    Example:
        >>> category_codes("city", Vocab(["#na#", "Oslo", "Rome"]), ["Rome", None, "Bern"], Surprises())
        array([2, 0, 0])
    """
    codes, unseen = np.zeros(len(cells), dtype=np.int64), 0
    for row, cell in enumerate(cells):
        value = plain_value(cell)
        if is_missing(value) or _is_nothing(value):
            continue
        try:
            code = vocab.o2i.get(value, 0)
        except TypeError as error:
            raise DataError(
                "the values of a category must be single values",
                f"column {name!r} has others: {error}",
                "Make them texts, or leave the column out.",
            ) from error
        codes[row] = code
        unseen += not code
    if unseen:
        surprises.unseen[name] = unseen
    return codes


def _is_nothing(value: Any) -> bool:
    """Whether it is the word for missing, or pandas' own mark of it."""
    return (isinstance(value, str) and value == MISSING) or type(value).__name__ in ("NAType", "NaTType")


def read_numbers(field: NumberField, cells: Sequence[Any]) -> Numbers:
    """The cells of a column of numbers; dates are seconds since 1970, durations seconds, booleans 0 and 1.

    Raises:
        DataError: A cell is no number; the message has its row.
    """
    n = len(cells)
    missing, infinite = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    values: list[Any] = [0] * n
    whole = True
    for row, cell in enumerate(cells):
        number = _number(field, row, plain_value(cell))
        if number is None or not abs(number) <= LARGEST:
            missing[row], infinite[row] = True, number is not None
            whole = whole and not isinstance(cell, float)  # with NaN or infinity a column holds floats
        else:
            values[row] = number
            whole = whole and isinstance(number, int)
    return Numbers(values if whole else [float(value) for value in values], missing, infinite)


def _number(field: NumberField, row: int, value: Any) -> int | float | None:
    """A cell as a number; None where there is none."""
    if isinstance(value, str) and field.kind == "date":
        value = _date(field.name, value)
    if is_missing(value) or _is_nothing(value):
        return None
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int | float):
        return value
    if isinstance(value, Decimal):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo else (value - EPOCH).total_seconds()
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise _no_number(field.name, row, value)


def _no_number(name: str, row: int, value: Any) -> DataError:
    return DataError(
        f"column {name!r} must hold numbers",
        f"row {row} holds {value!r:.60}, a {type(value).__name__}",
        "Mend the value or make it missing (None); text in a whole column is a category.",
    )


def _date(name: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise DataError(
            f"column {name!r} must hold dates",
            f"one cannot be read: {error}",
            "Write them as 2024-02-29 or 2024-02-29T12:30:00.",
        ) from error


def encoded_numbers(field: NumberField, numbers: Numbers, surprises: Surprises) -> npt.NDArray[np.float32]:
    """`(x - center - mean) / std` of every cell; a missing one is filled.

    Args:
        field: What `model.json` says of the column.
        numbers: Its cells.
        surprises: Gets what was not in training.
    """
    center = int(unpack(field.center))
    values = _less(numbers.values, center)
    values[numbers.missing] = field.fill - center
    values -= field.mean
    values /= field.std
    np.clip(values, -LARGEST, LARGEST, out=values)
    infinite = int(numbers.infinite.sum())
    lacking = int(numbers.missing.sum()) - infinite
    if infinite:
        surprises.infinite[field.name] = infinite
    if lacking > 0 and not field.flagged:
        surprises.missing[field.name] = lacking
    return values.astype(np.float32)


def _less(values: list[Any], center: int) -> npt.NDArray[np.float64]:
    """The values minus a whole number, of which only the difference is rounded."""
    if any(isinstance(value, float) for value in values):
        return np.array(values, dtype=np.float64) - float(center)
    return np.array([float(value - center) for value in cast("list[int]", values)], dtype=np.float64)
