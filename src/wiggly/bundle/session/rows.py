"""Rows for a session: mappings, JSON, CSV files, as the graph takes them. Needs no torch and no pandas.

In: rows. Out: `categories` int64 `(n, k)` and `numbers` float32 `(n, m)`, or `pairs`. Read next:
`csv_file.py`, which reads CSV by Python's own module.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from wiggly.bundle.parts import CategoryField, NumberField, PairInput, TableInput
from wiggly.bundle.session.columns import (
    Numbers,
    category_codes,
    encoded_numbers,
    read_numbers,
    vocab_of,
)
from wiggly.bundle.session.csv_file import read_csv_rows
from wiggly.errors import ArgumentError, DataError, StorageError
from wiggly.tabular.packing import unpack
from wiggly.tabular.surprises import Surprises

__all__ = ["RowSource", "read_json_rows"]

Feeds = dict[str, npt.NDArray[Any]]
Row = Mapping[str, Any]
LISTED = 12  # columns in a message


class RowSource:
    """What turns rows into the graph's inputs.

    Args:
        described: What `model.json` says of the input.

    Attributes:
        surprises: What the rows that were encoded last hold that the training rows did not.
    """

    batch_size = 4096

    def __init__(self, described: TableInput | PairInput) -> None:
        pairs = isinstance(described, PairInput)
        self.pairs = pairs
        self.categories: tuple[CategoryField, ...] = (
            (described.user, described.item) if isinstance(described, PairInput) else described.categories
        )
        self.numbers: tuple[NumberField, ...] = () if isinstance(described, PairInput) else described.numbers
        self.vocabs = [vocab_of(field) for field in self.categories]
        self.surprises = Surprises()

    @property
    def column_names(self) -> list[str]:
        """The columns that rows must have."""
        own = [field.name for field in self.categories if field.flag_of is None]
        return own + [field.name for field in self.numbers]

    def items(self, items: Any) -> list[Row]:
        """Rows one by one.

        Args:
            items: One row or several: a mapping, JSON as bytes, or a list of these; a mapping from column to
                lists; the path of a .csv or .json file.

        Raises:
            StorageError: The file is not there.
            DataError: They are no rows.
        """
        if isinstance(items, str | Path):
            return self._file(Path(items))
        if isinstance(items, bytes | bytearray):
            return read_json_rows(bytes(items))
        if isinstance(items, Mapping):
            return _rows_of(cast("Row", items))
        rows: list[Row] = []
        for position, item in enumerate(cast("Sequence[Any]", items)):
            if isinstance(item, bytes | bytearray):
                rows += read_json_rows(bytes(item))
            elif isinstance(item, Mapping) or hasattr(item, "to_dict"):
                row: Any = item if isinstance(item, Mapping) else item.to_dict()
                rows.append({str(name): value for name, value in row.items()})
            else:
                raise _no_row(position, item)
        return rows

    def _file(self, path: Path) -> list[Row]:
        if not path.exists():
            raise StorageError("the file of a table must exist", f"there is no '{path}'", "Check the path.")
        if path.suffix == ".json":
            return read_json_rows(path.read_bytes())
        if path.suffix in (".parquet", ".pq"):
            raise DataError(
                "without PyTorch a table's file must be .csv or .json",
                f"'{path}' is {path.suffix}",
                "Use `load_bundle`, or write it as CSV.",
            )
        return read_csv_rows(path, self.categories, self.numbers)

    def one(self, item: Any) -> tuple[Feeds, None]:
        """The graph's inputs for one row."""
        rows = self.items([item] if hasattr(item, "to_dict") and not isinstance(item, Mapping) else item)
        if len(rows) != 1:
            raise ArgumentError(
                "`predict` takes one row", f"there are {len(rows)}", "Pass one, or use `predict_batch`."
            )
        return self.encode(rows), None

    def encode(self, rows: Sequence[Row]) -> Feeds:
        """Rows as the graph takes them.

        Raises:
            ArgumentError: A column is not there.
            DataError: A column of numbers holds something else; the message has the row.
        """
        self._check_columns(rows)
        surprises = Surprises()
        read = {f.name: read_numbers(f, [row.get(f.name) for row in rows]) for f in self.numbers}
        codes = np.empty((len(rows), len(self.categories)), dtype=np.int64)
        for k, (field, vocab) in enumerate(zip(self.categories, self.vocabs, strict=True)):
            if field.flag_of is None:
                codes[:, k] = category_codes(
                    field.name, vocab, [row.get(field.name) for row in rows], surprises
                )
            else:
                codes[:, k] = read[field.flag_of].missing + 1
        numbers = self._encoded(rows, read, surprises)
        self.surprises = surprises
        return {"pairs": codes} if self.pairs else {"categories": codes, "numbers": numbers}

    def _encoded(
        self, rows: Sequence[Row], read: Mapping[str, Numbers], surprises: Surprises
    ) -> npt.NDArray[np.float32]:
        numbers = np.empty((len(rows), len(self.numbers)), dtype=np.float32)
        for k, field in enumerate(self.numbers):
            numbers[:, k] = encoded_numbers(field, read[field.name], surprises)
        return numbers

    def _check_columns(self, rows: Sequence[Row]) -> None:
        there = list(dict.fromkeys(name for row in rows for name in row))
        known = set(there)
        for name in self.column_names:
            if name not in known:
                raise ArgumentError(
                    "the columns of training must be among the columns of the table",
                    f"there is no {name!r}",
                    _nearest(name, there),
                )


def read_json_rows(content: bytes) -> list[Row]:
    """The rows in a JSON text: one object, or a list of them.

    Raises:
        DataError: It is something else.

    Example:
        >>> read_json_rows(b'{"age": 31, "since": {"date": "2024-02-29T00:00:00"}}')
        [{'age': 31, 'since': datetime.datetime(2024, 2, 29, 0, 0)}]
    """
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise _no_json(str(error)) from error
    rows: list[Any] = cast("list[Any]", found) if isinstance(found, list) else [found]
    for row in rows:
        if not isinstance(row, dict):
            raise _no_json(f"it holds {row!r:.60}")
    return [{name: unpack(value) for name, value in row.items()} for row in rows]


def _no_json(received: str) -> DataError:
    return DataError(
        "rows as JSON must be an object, or a list of objects, from column to value",
        received,
        'Pass e.g. {"age": 31, "city": "Rome"}.',
    )


def _no_row(position: int, item: Any) -> DataError:
    return DataError(
        "a new row must map columns to values, as a dict or a row of a table does",
        f"row {position} is a {type(item).__name__}",
        "Pass e.g. {'age': 31, 'city': 'Rome'} or df.iloc[0].",
    )


def _rows_of(given: Row) -> list[Row]:
    """One row, or the rows of a mapping from column to lists."""
    lists = {str(name): value for name, value in given.items() if isinstance(value, list | np.ndarray)}
    if not lists:
        return [{str(name): value for name, value in given.items()}]
    lengths = {name: len(value) for name, value in lists.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(
            "the columns of a table must have as many values each",
            f"they have {lengths}",
            "Pass a list for each column, all of the same length.",
        )
    n = next(iter(lengths.values()))
    columns = {str(name): lists.get(str(name), [value] * n) for name, value in given.items()}
    return [{name: values[row] for name, values in columns.items()} for row in range(n)]


def _nearest(name: str, columns: Sequence[str]) -> str:
    """Which columns may be meant; where none is like it, which there are."""
    by_small = {column.lower(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.lower(), by_small, 3, 0.6)
    if near:
        return f"Nearest: {', '.join(by_small[small] for small in near)}."
    more = f", and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    return f"The columns are {', '.join(columns[:LISTED]) or '-'}{more}."
