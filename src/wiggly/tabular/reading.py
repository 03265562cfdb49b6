"""A table from wherever it is, and its columns as arrays: categories as codes, numbers as numbers.

In: a pandas, polars or pyarrow table, a list of rows, or the path of a CSV or parquet file. Out: narwhals
columns, and of each whole arrays. Nothing is written to the user's table. Read next: `columns.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np
import numpy.typing as npt

from wiggly.data.vocab import is_missing, plain_value
from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.files import read_table

__all__ = [
    "Codes",
    "Frame",
    "Numbers",
    "as_frame",
    "check_columns",
    "factorised",
    "numbers_of",
    "rows_as_frame",
    "typed",
]

Frame = nw.DataFrame[Any]
Integers = npt.NDArray[np.int64]

# Of float32, in which the model computes; what is beyond would be infinite there.
LARGEST = float(np.finfo(np.float32).max)
EPOCH = datetime(1970, 1, 1)
LISTED = 12  # columns in a message


def as_frame(source: Any) -> Frame:
    """The table as narwhals sees it; the user's own is neither copied nor changed.

    Args:
        source: A pandas, polars (also lazy) or pyarrow table, a mapping of columns, or the path of a `.csv`
            or `.parquet` file, of a folder of parquet files, or their pattern (`rows/*.parquet`).

    Raises:
        DataError: It is no table, or two columns have the same name.
        StorageError: The file is not there.

    Example:
        >>> as_frame({"age": [31, 45]}).columns
        ['age']
    """
    if isinstance(source, (str, Path)):
        source = read_table(Path(source))
    if isinstance(source, Mapping):
        source = _frame_of_columns(source)
    try:
        frame: Any = nw.from_native(source)
    except nw.exceptions.DuplicateError as error:
        names = [str(name) for name in source.columns]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(
            "the columns of a table must have different names",
            f"{twice!r} is there {names.count(twice)} times",
            "Rename or drop one, e.g. with df.loc[:, ~df.columns.duplicated()].",
        ) from error
    except TypeError as error:
        raise DataError(
            "a table must be a pandas, polars or pyarrow table, or the path of a .csv or .parquet file",
            f"it is a {type(source).__name__}",
            "Make it one, e.g. with pd.DataFrame(rows).",
        ) from error
    frame = frame.collect() if isinstance(frame, nw.LazyFrame) else frame
    unnamed = [name for name in frame.columns if not isinstance(name, str)]
    if unnamed:
        raise DataError(
            "the columns of a table must have texts as names",
            f"one is called {unnamed[0]!r}",
            "Rename them, e.g. with df.columns = df.columns.map(str).",
        )
    return frame


def _frame_of_columns(columns: Mapping[Any, Any]) -> Any:
    import pandas as pd

    try:
        return pd.DataFrame(dict(columns))
    except ValueError as error:
        sizes = {name: len(values) for name, values in columns.items() if hasattr(values, "__len__")}
        raise DataError(
            "the columns of a table must have as many values each",
            f"they have {sizes}" if sizes else f"they are single values: {list(columns)}",
            "Pass a list for each column, all of the same length.",
        ) from error


def rows_as_frame(rows: Any) -> Frame:
    """New rows as a table: one row (a mapping, a pandas row) or a list of such, or a table.

    Raises:
        DataError: It is neither.
    """
    import pandas as pd

    if isinstance(rows, pd.Series):
        rows = [rows]
    if isinstance(rows, Mapping):
        single = not any(isinstance(v, (list, np.ndarray, pd.Series)) for v in rows.values())
        rows = [rows] if single else rows
    if isinstance(rows, Sequence) and not isinstance(rows, (str, bytes)):
        return as_frame(_frame_of_rows(list(rows)))
    return as_frame(rows)


def _frame_of_rows(rows: list[Any]) -> Any:
    import pandas as pd

    dicts: list[dict[str, Any]] = []
    for position, row in enumerate(rows):
        native: Any = nw.to_native(row, pass_through=True)
        if hasattr(native, "to_dicts"):  # a polars table of one row
            dicts += native.to_dicts()
        elif isinstance(native, pd.DataFrame):
            dicts += [{str(k): v for k, v in row.items()} for row in native.to_dict("records")]
        elif isinstance(row, (Mapping, pd.Series)) or hasattr(row, "to_dict"):
            dicts.append({str(k): v for k, v in row.items()})
        else:
            raise DataError(
                "a new row must map columns to values, as a dict or a row of a table does",
                f"row {position} is a {type(row).__name__}",
                "Pass e.g. {'age': 31, 'city': 'Rome'} or df.iloc[0].",
            )
    # Each column gets the type of its values: of a Series of a whole row, all would be objects.
    names = list(dict.fromkeys(name for row in dicts for name in row))
    return pd.DataFrame({n: _typed([row.get(n) for row in dicts]) for n in names})


def _typed(values: list[Any]) -> Any:
    import pandas as pd

    return typed(pd.Series(values, dtype=object))


def typed(column: Any) -> Any:
    """A pandas column of objects with the type of its values."""
    try:
        return column.infer_objects()
    except UnicodeEncodeError:  # half a character, as in names of files, which pandas' texts cannot hold
        return column


@dataclass(frozen=True)
class Codes:
    """A column of categories.

    Attributes:
        codes: For each row the place of its value in `values`, -1 where there is none; numbered by first
            appearance.
        values: The distinct values.
        ordered: All values in the order that the column's own type gives them; None without one.
    """

    codes: Integers
    values: list[Any]
    ordered: list[Any] | None = None


def factorised(column: nw.Series[Any]) -> Codes:
    """A column as codes of its distinct values, in one pass of its own library.

    Raises:
        DataError: Its values cannot be compared (lists, dicts).

    Example:
        >>> factorised(as_frame({"city": ["Rome", None, "Rome"]})["city"])
        Codes(codes=array([ 0, -1,  0]), values=['Rome'], ordered=None)
    """
    native: Any = column.to_native()
    try:
        if nw.dependencies.is_pandas_series(native):
            codes, values = _factorised_pandas(native)
        elif nw.dependencies.is_pyarrow_chunked_array(native):
            codes, values = _factorised_arrow(native)
        else:
            codes, values = _factorised_generic(column)
    except (TypeError, nw.exceptions.InvalidOperationError, NotImplementedError) as error:
        raise DataError(
            "the values of a category must be single values",
            f"column {column.name!r} has others: {error}",
            "Make them texts, or leave the column out.",
        ) from error
    if column.dtype.is_nested():
        raise DataError(
            "the values of a category must be single values",
            f"column {column.name!r} holds {column.dtype}",
            "Make columns of their parts, or leave the column out.",
        )
    plain = [plain_value(value) for value in values]
    if any(map(is_missing, plain)):  # NaN among the values, of libraries that tell it from a missing one
        there = [not is_missing(value) for value in plain]
        codes = np.append(np.where(there, np.cumsum(there) - 1, -1), -1)[codes]
        plain = [value for value in plain if not is_missing(value)]
    return Codes(codes, plain, _ordered(column))


def _factorised_pandas(native: Any) -> tuple[Integers, list[Any]]:
    import pandas as pd

    codes, values = pd.factorize(native)
    return np.asarray(codes, dtype=np.int64), list(values)


def _factorised_arrow(native: Any) -> tuple[Integers, list[Any]]:
    import pyarrow as pa

    if pa.types.is_dictionary(native.type):
        native = native.cast(native.type.value_type)
    whole = native.combine_chunks().dictionary_encode()
    whole = whole.combine_chunks() if isinstance(whole, pa.ChunkedArray) else whole
    codes = whole.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return codes.astype(np.int64), whole.dictionary.to_pylist()


def _factorised_generic(column: nw.Series[Any]) -> tuple[Integers, list[Any]]:
    if isinstance(column.dtype, (nw.Categorical, nw.Enum)):
        column = column.cast(nw.String)
    present = column.drop_nulls()
    values = present.unique(maintain_order=True)
    if not len(values):
        return np.full(len(column), -1, dtype=np.int64), []
    order = np.arange(len(values), dtype=np.int64)
    codes = column.replace_strict(values.to_list(), order.tolist(), default=-1, return_dtype=nw.Int64)
    return codes.fill_null(-1).to_numpy().astype(np.int64), values.to_list()


def _ordered(column: nw.Series[Any]) -> list[Any] | None:
    native: Any = column.to_native()
    if nw.dependencies.is_pandas_series(native) and hasattr(native, "cat"):
        return [plain_value(value) for value in native.cat.categories.tolist()]
    if isinstance(column.dtype, nw.Enum):
        return list(getattr(column.dtype, "categories", ())) or None
    return None


@dataclass(frozen=True)
class Numbers:
    """A column of numbers.

    Attributes:
        values: int64, uint64 or float64; Python integers as objects where they are larger than 64 bits.
        missing: Where there is none.
        infinite: Where it is infinite, or beyond float32; these count as missing too.
    """

    values: npt.NDArray[Any]
    missing: npt.NDArray[np.bool_]
    infinite: npt.NDArray[np.bool_]


def numbers_of(column: nw.Series[Any]) -> Numbers:
    """A column as numbers; dates are seconds since 1970, durations seconds, booleans 0 and 1.

    Raises:
        DataError: A value is no number; the message has its row.

    Example:
        >>> numbers_of(as_frame({"age": [31.0, None]})["age"]).missing
        array([False,  True])
    """
    kind, missing = column.dtype, column.is_null().to_numpy().astype(bool)
    if kind.is_integer():
        values = (column.fill_null(0) if missing.any() else column).to_numpy()
        unsigned = values.dtype == np.uint64
        return _checked(values.astype(np.uint64 if unsigned else np.int64), missing)
    if kind.is_float():
        return _checked(column.to_numpy().astype(np.float64), missing)
    if isinstance(kind, nw.Boolean):
        values = (column.fill_null(False) if missing.any() else column).to_numpy().astype(np.int64)
        return _checked(values, missing)
    if isinstance(kind, (nw.Datetime, nw.Date)):
        stamps = column.cast(nw.Datetime("us")) if isinstance(kind, nw.Date) else column
        return _checked(_floats(stamps.dt.timestamp("us")) / 1e6, missing)
    if isinstance(kind, nw.Duration):
        return _checked(_floats(column.dt.total_microseconds()) / 1e6, missing)
    if isinstance(kind, nw.Decimal):
        return _checked(_floats(column.cast(nw.Float64)), missing)
    if missing.all():
        return _checked(np.full(len(column), np.nan), missing)
    return _checked_objects(column, missing)


def _floats(column: nw.Series[Any]) -> npt.NDArray[np.float64]:
    return column.cast(nw.Float64).to_numpy().astype(np.float64)


def _checked(values: npt.NDArray[Any], missing: npt.NDArray[np.bool_]) -> Numbers:
    if values.dtype.kind != "f":
        return Numbers(values, missing, np.zeros(len(values), dtype=bool))
    infinite = np.abs(values) > LARGEST
    return Numbers(values, missing | ~np.isfinite(values) | infinite, infinite)


def _checked_objects(column: nw.Series[Any], missing: npt.NDArray[np.bool_]) -> Numbers:
    found: list[Any] = []
    infinite = np.zeros(len(column), dtype=bool)
    for row, value in enumerate(column.to_list()):
        number = None if missing[row] else _number(value)
        if number is not None and abs(number) > LARGEST:
            missing[row] = infinite[row] = True
            found.append(0)
        elif number is not None:
            found.append(number)
        elif missing[row] or _is_none(value):
            missing[row] = True
            found.append(0)
        else:
            raise DataError(
                f"column {column.name!r} must hold numbers",
                f"row {row} holds {value!r:.60}, a {type(value).__name__}",
                "Mend the value or make it missing (None); text in a whole column is a category.",
            )
    whole = all(type(value) is int for value in found)
    if whole and any(abs(value) >= 2**63 for value in found):
        return Numbers(np.array(found, dtype=object), missing, infinite)
    return Numbers(np.array(found, dtype=np.int64 if whole else np.float64), missing, infinite)


def _is_none(value: Any) -> bool:
    return is_missing(plain_value(value)) or (isinstance(value, Decimal) and value.is_nan())


def _number(value: Any) -> int | float | None:
    """The value as a number; None if it is none."""
    value = plain_value(value)
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, (int, float)):
        return None if value != value else value
    if isinstance(value, Decimal):
        return None if value.is_nan() else float(value)
    if isinstance(value, datetime):
        return value.timestamp() if value.tzinfo else (value - EPOCH).total_seconds()
    return value.total_seconds() if isinstance(value, timedelta) else None


def check_columns(frame: Frame, names: Sequence[str], what: str) -> None:
    """Refuses names that the table has not.

    Raises:
        ArgumentError: One is missing; the message has the nearest ones.
    """
    for name in names:
        if name not in frame.columns:
            raise ArgumentError(
                f"{what} must be among the columns of the table",
                f"there is no {name!r}",
                _nearest(str(name), frame.columns),
            )


def _nearest(name: str, columns: Sequence[str]) -> str:
    """Which columns may be meant; where none is like it, which there are."""
    import difflib

    by_small = {column.lower(): column for column in reversed(columns)}
    near = difflib.get_close_matches(name.lower(), by_small, 3, 0.6)
    if near:
        return f"Nearest: {', '.join(by_small[small] for small in near)}."
    more = f", and {len(columns) - LISTED} more" if len(columns) > LISTED else ""
    return f"The columns are {', '.join(columns[:LISTED]) or '-'}{more}."
