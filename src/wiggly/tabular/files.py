"""Tables in files: CSV with whatever stands between its values, parquet as a file, a folder or a pattern.

In: paths. Out: a pandas table of CSV, a pyarrow one of parquet. Read next: `reading.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from wiggly.errors import DataError, DependencyError, StorageError

__all__ = [
    "Cells",
    "csv_form",
    "is_pandas_index",
    "open_parquet",
    "parquet_files",
    "read_csv",
    "read_table",
    "with_folders",
]

Cells = Mapping[str, str | int | None]  # by the name of the column

PARQUET = (".parquet", ".pq")
SEPARATORS = (";", "\t", "|")  # beside the comma
READERS = {
    ".xlsx": "pd.read_excel(path)",
    ".xls": "pd.read_excel(path)",
    ".json": "pd.read_json(path)",
    ".jsonl": "pd.read_json(path, lines=True)",
    ".feather": "pd.read_feather(path)",
    ".arrow": "pd.read_feather(path)",
    ".orc": "pd.read_orc(path)",
}
# What Hive and its followers call a folder of rows that have no value.
NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


def read_table(path: Path) -> Any:
    """The table in a CSV or parquet file, or in a folder of parquet files or those of a pattern; blanks after
    a comma are no part of a value.

    Raises:
        StorageError: There is no such file, or it cannot be read.
        DataError: It holds no table.
    """
    if path.suffix in PARQUET or path.is_dir() or (_is_pattern(path) and not path.exists()):
        return _read_parquet(path)
    if path.suffix.lower() in READERS and path.exists():
        raise DataError(
            "a table's file must be .csv or .parquet",
            f"'{path}' is {path.suffix}",
            f"Pass the table itself: {READERS[path.suffix.lower()]}.",
        )
    return read_csv(path)


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[")


def parquet_files(source: str | Path) -> list[tuple[Path, Cells]]:
    """The parquet files that a path means: itself, those below the folder, or those that fit the pattern; and
    for each the columns whose value is in the names of its folders, as in `year=2024/month=5/part.parquet`.

    Args:
        source: A file, a folder or a pattern such as `rows/*.parquet`.

    Raises:
        StorageError: There is none.
    """
    path = Path(source)
    root, found = path, list[Path]()
    if path.is_dir():
        found = [file for kind in PARQUET for file in path.rglob(f"*{kind}") if file.is_file()]
    elif path.exists():
        root, found = path.parent, [path]
    elif _is_pattern(path):
        while _is_pattern(root):
            root = root.parent
        found = [file for file in root.glob(str(path.relative_to(root))) if file.is_file()]
    if not found:
        raise StorageError(
            "there must be at least 1 parquet file", f"there is none at '{path}'", "Check the path."
        )
    found = sorted(found)
    return list(zip(found, _folder_cells(found, root), strict=True))


def _folder_cells(files: Sequence[Path], root: Path) -> list[Cells]:
    """The columns that the names of folders give; a column of whole numbers holds such."""
    from urllib.parse import unquote

    found: list[dict[str, str | None]] = []
    for file in files:
        pairs = [folder.partition("=") for folder in file.parent.relative_to(root).parts if "=" in folder]
        found.append({name: None if value == NO_VALUE else unquote(value) for name, _, value in pairs})
    names = {name for cells in found for name in cells}
    texts = {name: [cells[name] for cells in found if cells.get(name) is not None] for name in names}
    whole = {name for name in names if all(str(text).isdecimal() for text in texts[name])}
    return [
        {name: int(v) if v is not None and name in whole else v for name, v in cells.items()}
        for cells in found
    ]


def open_parquet(file: Path) -> Any:
    """A parquet file, of which only the footer is read.

    Raises:
        DependencyError: pyarrow is not installed.
        DataError: It is none, or is damaged.
    """
    try:
        import pyarrow.parquet as pq
    except ImportError as error:
        raise DependencyError(
            "parquet files need pyarrow", "it is not installed", 'Install "wiggly[stream]".'
        ) from error
    try:
        return pq.ParquetFile(file, memory_map=False)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(
        "a parquet file must be readable", f"'{file}' is not: {error!s:.200}", "Write it again, whole."
    )


def _read_parquet(path: Path) -> Any:
    if not path.exists() and not _is_pattern(path):
        raise StorageError("the file of a table must exist", f"there is no '{path}'", "Check the path.")
    import pyarrow as pa

    files = [(open_parquet(file), cells) for file, cells in parquet_files(path)]
    try:
        tables = [with_folders(file.read(), cells) for file, cells in files]
        return tables[0] if len(tables) == 1 else pa.concat_tables(tables, promote_options="permissive")
    except (OSError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error


def with_folders(table: Any, cells: Cells) -> Any:
    """A pyarrow table with the columns that the names of its folders give, and without the row numbers that
    pandas writes beside a table."""
    import pyarrow as pa

    table = table.drop_columns([name for name in table.column_names if is_pandas_index(name)])
    for name, cell in cells.items():
        if name not in table.column_names:
            kind = pa.int64() if isinstance(cell, int) else pa.string()
            table = table.append_column(name, pa.array([cell] * len(table), kind))
    return table


def is_pandas_index(name: str) -> bool:
    """Whether a column of a parquet file is the index of a pandas table, which had no name.

    Example:
        >>> is_pandas_index("__index_level_0__"), is_pandas_index("age")
        (True, False)
    """
    return name.startswith("__index_level_") and name.endswith("__")


def read_csv(path: Path, skipinitialspace: bool = True, texts: Sequence[str] = ()) -> Any:
    """The pandas table in a CSV file. Values may be separated by commas, or by semicolons, tabs or bars if
    the line of names has no comma; with semicolons a decimal comma is understood too.

    Args:
        path: The file; UTF-8, or UTF-16 that says so in its first bytes.
        skipinitialspace: Whether blanks after a comma are no part of the value.
        texts: Columns that hold texts, even if all of them look like numbers.

    Raises:
        StorageError: It is not there, or cannot be read.
        DataError: It is no CSV file.
    """
    import pandas as pd

    if not path.exists():
        raise StorageError("the file of a table must exist", f"there is no '{path}'", "Check the path.")
    how: dict[str, Any] = {
        "skipinitialspace": skipinitialspace,
        "dtype": dict.fromkeys(texts, str),
        "index_col": False,  # else a value too many per row makes pandas shift all columns by one
        "low_memory": False,  # else a column's type is found anew in each part of a large file
    }
    try:
        how["encoding"], how["sep"] = csv_form(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            table = pd.read_csv(path, **how)
        if how["sep"] == ";" and _has_decimal_commas(table, texts):
            table = pd.read_csv(path, **how, decimal=",")
        return table
    except OSError as error:
        why = f"'{path}' cannot: {error.strerror}"
        raise StorageError("the file of a table must be one that can be read", why, "Check it.") from error
    except pd.errors.ParserWarning as error:
        raise _no_csv(path, "rows have more values than there are names", MEND) from error
    except UnicodeDecodeError as error:
        raise _no_csv(path, str(error), f"If it is text, say in which letters: {OTHER_LETTERS}.") from error
    except ValueError as error:  # pandas' own errors are of this kind
        raise _no_csv(path, " ".join(str(error).split()), MEND) from error


MEND = "Mend the file, or read it with pandas and pass the table."
OTHER_LETTERS = 'pass the table pd.read_csv(path, encoding="cp1252"), or save the file as UTF-8'


def _no_csv(path: Path, why: str, fix: str) -> DataError:
    return DataError(
        "a CSV file must have a line of column names and as many values in each row, in UTF-8",
        f"'{path}' cannot be read: {why:.200}",
        fix,
    )


def csv_form(path: Path) -> tuple[str, str]:
    """The encoding of a CSV file, and what stands between its values.

    Args:
        path: The file; it must be there.
    """
    import pandas as pd

    encoding = _encoding(path)
    return encoding, _separator(pd.read_csv(path, nrows=0, encoding=encoding).columns)


def _encoding(path: Path) -> str:
    with path.open("rb") as file:
        return "utf-16" if file.read(2) in (b"\xff\xfe", b"\xfe\xff") else "utf-8"


def _separator(names: Any) -> str:
    """What stands between the values, by the line of names as it is read with commas."""
    if len(names) != 1:
        return ","
    most = max(SEPARATORS, key=str(names[0]).count)
    return most if most in str(names[0]) else ","


def _has_decimal_commas(table: Any, texts: Sequence[str]) -> bool:
    """Whether a column of texts holds only numbers with a comma."""
    for name in table.select_dtypes(["object", "string"]):
        found = table[name].dropna()
        if name not in texts and len(found) and found.astype(str).str.fullmatch(r"-?\d+(,\d+)?").all():
            return True
    return False
