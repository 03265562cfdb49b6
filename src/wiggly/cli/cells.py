"""The cells of a table exactly as its file has them, quotes and blanks too, with predictions beside them.

In: a CSV file; of other files the table. Out: `Cells`, and lines of CSV. Read next: `using.py`, which prints
them.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from wiggly.tabular.files import csv_form

__all__ = ["Cells", "cells_of", "lines_of", "written_cells"]


@dataclass(frozen=True)
class Cells:
    """A table as text.

    Attributes:
        names: For each column its name, and how that is written.
        rows: For each row its cells as they are written.
        separator: What stands between them.
    """

    names: dict[str, str]
    rows: list[list[str]]
    separator: str = ","

    def with_columns(self, columns: Mapping[str, Sequence[Any]]) -> Cells:
        """More columns at the end, or in the place of those of the same name.

        Args:
            columns: Name to values, one for each row.

        Example:
            >>> cells = cells_of('name,age\\n Ann,"31"\\n').with_columns({"income_pred": ["high"]})
            >>> list(lines_of([cells]))
            ['name,age,income_pred', ' Ann,"31",high']
        """
        places = {name: place for place, name in enumerate(self.names)}
        names, rows = dict(self.names), [list(row) for row in self.rows]
        for name, values in columns.items():
            names.setdefault(name, _quoted(name, self.separator))
            for row, value in zip(rows, values, strict=True):
                cell = _quoted(str(value), self.separator)
                if name in places:
                    row[places[name]] = cell
                else:
                    row.append(cell)
        return Cells(names, rows, self.separator)


def written_cells(path: Path, table: Any) -> Cells:
    """The cells of a file.

    Args:
        path: Of a CSV file, or of any other.
        table: What was read from it, a narwhals table: of other files than CSV its values are written.
    """
    if path.suffix.lower() not in (".json", ".parquet", ".pq"):
        encoding, separator = csv_form(path)
        try:
            with path.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as file:
                found = cells_of(file.read(), separator)
        except UnicodeDecodeError:  # a packed file, .csv.gz
            found = None
        if found is not None and len(found.rows) == len(table):
            return found
    return cells_of(_as_csv(table))


def _as_csv(table: Any) -> str:
    native: Any = table.to_native()
    if hasattr(native, "column_names"):  # of pyarrow, whose whole numbers pandas itself makes 1.0 beside gaps
        import pandas as pd

        native = native.to_pandas(types_mapper=pd.ArrowDtype)
    return native.to_csv(index=False) if hasattr(native, "iloc") else native.write_csv()


def cells_of(text: str, separator: str = ",") -> Cells:
    """The cells in a CSV text. Blank lines are left out, short rows filled up, as pandas does.

    Args:
        text: With a line of names.
        separator: What stands between cells.

    Example:
        >>> cells_of('a,b\\n x, "y,\\nz"\\n\\n1\\n').rows
        [[' x', ' "y,\\nz"'], ['1', '']]
    """
    records = _records(text, separator)
    names: dict[str, str] = {}
    for written in next(records, []):
        name, times = _plain(written), 0
        while name in names:
            times += 1
            name = f"{_plain(written)}.{times}"
        names[name] = written
    rows = [[*record, *[""] * (len(names) - len(record))] for record in records]
    return Cells(names, rows, separator)


def _records(text: str, separator: str) -> Iterator[list[str]]:
    mark, blank = re.escape(separator), " " if separator == "\t" else " \t"
    quoted = rf'[{blank}]*"[^"]*(?:""[^"]*)*"'
    cell = re.compile(rf"((?:{quoted})?[^{mark}\r\n]*)({mark}|\r\n|\n|\r|\Z)")
    record: list[str] = []
    for match in cell.finditer(text):
        record.append(match[1])
        if match[2] != separator:
            if len(record) > 1 or record[0].strip():
                yield record
            record = []


def _plain(written: str) -> str:
    """What a cell holds."""
    text = written.lstrip(" \t")
    return next(csv.reader([text]), [""])[0] if text.startswith('"') else text


def _quoted(text: str, separator: str) -> str:
    stream = io.StringIO()
    csv.writer(stream, delimiter=separator, lineterminator="").writerow([text, ""])
    return stream.getvalue()[: -len(separator)]


def lines_of(tables: Sequence[Cells]) -> Iterator[str]:
    """Tables one below the other as lines of CSV; a column that one of them lacks is empty there.

    Args:
        tables: At least one.
    """
    separator = tables[0].separator
    names: dict[str, str] = {}
    for table in tables:
        names |= {name: written for name, written in table.names.items() if name not in names}
    yield separator.join(names.values())
    for table in tables:
        places = [list(table.names).index(name) if name in table.names else None for name in names]
        for row in table.rows:
            cells = ["" if place is None else row[place] for place in places]
            same = table.separator == separator
            yield separator.join(cells if same else [_quoted(_plain(cell), separator) for cell in cells])
