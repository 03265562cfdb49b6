"""A CSV file by Python's own module, cells read as pandas would read them for the same model.

In: a path, and the columns of a model. Out: rows. Only the model's columns get another type than text: a
column of categories that are texts stays text, even where all of it are digits. Read next: `columns.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from wiggly.bundle.parts import CategoryField, NumberField
from wiggly.errors import DataError, StorageError

__all__ = ["read_csv_rows"]

SEPARATORS = (";", "\t", "|")  # beside the comma, where the line of names has none

#: Words for a missing value, those of `pandas.read_csv`.
NOTHING = frozenset(
    [
        *("", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>"),
        *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
    ]
)
TRUTHS = {"True": True, "TRUE": True, "true": True, "False": False, "FALSE": False, "false": False}
WHOLE = re.compile(r"[+-]?\d+")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
DECIMAL_COMMA = re.compile(r"-?\d+(,\d+)?")

Row = dict[str, Any]


def read_csv_rows(
    path: Path, categories: Sequence[CategoryField], numbers: Sequence[NumberField]
) -> list[Mapping[str, Any]]:
    """The rows of a CSV file; blanks after a comma are no part of a value.

    Args:
        path: The file; UTF-8, or UTF-16 that says so in its first bytes.
        categories: Columns of categories.
        numbers: Columns of numbers.

    Raises:
        StorageError: It cannot be read.
        DataError: It is no CSV file.
    """
    lines, separator = _lines(path)
    if not lines:
        raise _no_csv(path, "there is no line of names")
    names, found = lines[0], lines[1:]
    columns: dict[str, list[Any]] = {name: [] for name in names}
    for number, cells in enumerate(found, 2):
        if len(cells) > len(names):
            raise _no_csv(path, f"line {number} has more values than there are names")
        for k, name in enumerate(names):
            cell = cells[k] if k < len(cells) else ""
            columns[name].append(None if cell in NOTHING else cell)
    readers = _readers(categories, numbers)
    for name, cells in columns.items():
        if name in readers:
            columns[name] = readers[name](_with_points(cells) if separator == ";" else cells)
    return [{name: cells[row] for name, cells in columns.items()} for row in range(len(found))]


def _lines(path: Path) -> tuple[list[list[str]], str]:
    try:
        with path.open("rb") as file:
            wide = file.read(2) in (b"\xff\xfe", b"\xfe\xff")
        with path.open(encoding="utf-16" if wide else "utf-8-sig", newline="") as file:
            first = file.readline()
            file.seek(0)
            separator = _separator(first)
            return [
                line for line in csv.reader(file, delimiter=separator, skipinitialspace=True) if line
            ], separator
    except OSError as error:
        why = f"'{path}' cannot: {error.strerror}"
        raise StorageError("the file of a table must be one that can be read", why, "Check it.") from error
    except (UnicodeError, csv.Error) as error:
        raise _no_csv(path, str(error)) from error


def _separator(names: str) -> str:
    if "," in names:
        return ","
    most = max(SEPARATORS, key=names.count)
    return most if most in names else ","


def _no_csv(path: Path, why: str) -> DataError:
    return DataError(
        "a CSV file must have a line of column names and as many values in each row, in UTF-8",
        f"'{path}' cannot be read: {why:.200}",
        "Mend the file, or read it with pandas and pass its rows.",
    )


def _readers(
    categories: Sequence[CategoryField], numbers: Sequence[NumberField]
) -> dict[str, Callable[[list[Any]], list[Any]]]:
    """How the cells of each column of the model are read; texts stay as they are."""
    found: dict[str, Callable[[list[Any]], list[Any]]] = {}
    for field in categories:
        if field.flag_of is None and not all(isinstance(value, str) for value in field.vocab):
            found[field.name] = _typed
    for field in numbers:
        if field.kind != "date":
            found[field.name] = _typed
    return found


def _with_points(cells: list[Any]) -> list[Any]:
    """A column of numbers with decimal commas, with points."""
    known = [cell for cell in cells if cell is not None]
    if known and all(DECIMAL_COMMA.fullmatch(cell) for cell in known):
        return [None if cell is None else cell.replace(",", ".") for cell in cells]
    return cells


def _typed(cells: list[Any]) -> list[Any]:
    """A whole column as numbers or truths where every cell is one; texts where one is none."""
    known = [cell.strip() for cell in cells if cell is not None]
    if not known:
        return cells
    if all(cell in TRUTHS for cell in known):
        return [None if cell is None else TRUTHS[cell.strip()] for cell in cells]
    if not all(NUMBER.fullmatch(cell) for cell in known):
        return cells
    whole = len(known) == len(cells) and all(WHOLE.fullmatch(cell) for cell in known)
    read: Callable[[str], Any] = int if whole else float
    return [None if cell is None else read(cell) for cell in cells]
