"""A CSV file as text: rows leave, cells change, all other cells keep every character.

In: a CSV file. Out: its rows as texts and as values, and the text without some rows and with other cells.
Read next: `folder.py`, for tables of pictures, and `tables.py`, for tables of anything.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from wiggly.data.blocks import Block
from wiggly.data.datasets import made_block
from wiggly.errors import DataError
from wiggly.vision.recipes import target_of_table

__all__ = ["TextTable"]


class TextTable:
    """The rows of a CSV file with a header.

    Args:
        file: The file.
        label_delim: What separates several labels in a cell.
        label_col: The labels' column, by name or position.

    Raises:
        DataError: It cannot be read as a table.
    """

    def __init__(self, file: Path, label_delim: str | None = None, label_col: str | int = 1) -> None:
        self.file, self.label_delim = file, label_delim
        try:
            with open(file, newline="", encoding="utf-8-sig") as opened:
                rows = [row for row in csv.reader(opened) if row]
        except (OSError, UnicodeError, csv.Error) as error:
            raise DataError(
                "the table must be a readable CSV file", f"'{file}': {error}", "Check its path."
            ) from error
        self.header, self.rows = (rows[0], rows[1:]) if rows else ([], [])
        self.label_col = self._place(label_col)

    def _place(self, column: str | int) -> int:
        place = self.header.index(column) if column in self.header else column
        if not isinstance(place, int) or place >= len(self.header):
            raise DataError(
                "the table must have the column of labels",
                f"'{self.file}' has no column {column!r}, but {self.header}",
                "Check its name.",
            )
        return place

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, place: int) -> list[str]:
        """The texts of a column."""
        return [row[place] if place < len(row) else "" for row in self.rows]

    @cached_property
    def values(self) -> Any:
        """The table as the loaders read it.

        Raises:
            DataError: Its rows are not those of the text.
        """
        import pandas as pd

        table: Any = pd.read_csv(self.file)
        if len(table) != len(self.rows):
            raise DataError(
                "every line of the table must be a row",
                f"'{self.file}' has {len(self.rows):,} lines and {len(table):,} rows",
                "Write it again with pandas.",
            )
        return table

    @cached_property
    def labels(self) -> list[Any]:
        """The label of each row, or its list of labels."""
        if self.label_delim is None:
            return self.values.iloc[:, self.label_col].tolist()
        return [[t for t in text.split(self.label_delim) if t] for text in self.column(self.label_col)]

    def block(self) -> Block:
        """The kind of target that the labels are."""
        return made_block(target_of_table(self.values, self.label_col, self.label_delim is not None))

    def cell(self, label: Any) -> str:
        """A label as a cell has it."""
        return (self.label_delim or " ").join(map(str, label)) if isinstance(label, list) else str(label)  # pyright: ignore[reportUnknownArgumentType]

    def edited(self, gone: Collection[int], labels: Mapping[int, str]) -> str:
        """The file's text without some rows, and with other labels."""
        made = [self.header]
        for i, row in enumerate(self.rows):
            if i in gone:
                continue
            changed = list(row)
            if i in labels:
                changed[self.label_col] = labels[i]
            made.append(changed)
        return self.written(made)

    @staticmethod
    def written(rows: Sequence[Sequence[str]]) -> str:
        """Rows as the text of a CSV file."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        return text.getvalue()
