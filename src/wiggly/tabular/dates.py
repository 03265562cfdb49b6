"""`add_datepart`: what a model can use of a date: its year, month, weekday, whether a month ends.

In: a table with a column of dates. Out: a new table with columns of the parts. Read next: `columns.py`.
"""

from __future__ import annotations

import re
from typing import Any

import narwhals as nw
import numpy as np

from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.reading import as_frame, check_columns

__all__ = ["add_datepart"]

PARTS = ("Year", "Month", "Week", "Day", "Dayofweek", "Dayofyear")
MARKS = (
    "Is_month_end",
    "Is_month_start",
    "Is_quarter_end",
    "Is_quarter_start",
    "Is_year_end",
    "Is_year_start",
)
TIMES = ("Hour", "Minute", "Second")


def add_datepart(
    df: Any, field_name: str, prefix: str | None = None, drop: bool = True, time: bool = False
) -> Any:
    """The table with columns for the parts of a date; the table that is passed stays as it is.

    `Week` is that of ISO 8601, `Dayofweek` counts from Monday = 0, `Elapsed` is seconds since 1970. Where the
    date is missing so are the parts, and the marks (`Is_month_end`, ...) are false.

    Args:
        df: A pandas, polars or pyarrow table.
        field_name: The column; dates, or texts that pandas can read as dates.
        prefix: In front of the parts' names; None takes the column's name without a final "Date" or "date".
        drop: Leave the column itself out.
        time: Also hour, minute and second.

    Returns:
        A table of the same kind.

    Raises:
        ArgumentError: There is no such column, or one is called like a part.
        DataError: It holds something else than dates; the message has one.

    Example:
        >>> import pandas as pd
        >>> df = add_datepart(pd.DataFrame({"saledate": ["2024-02-29"]}), "saledate")
        >>> df[["saleYear", "saleDayofweek", "saleIs_month_end", "saleElapsed"]].to_dict("records")
        [{'saleYear': 2024, 'saleDayofweek': 3, 'saleIs_month_end': True, 'saleElapsed': 1709164800}]
    """
    frame = as_frame(df)
    check_columns(frame, [field_name], "`field_name`")
    dates = _dates(frame[field_name])
    start = re.sub(r"[Dd]ate$", "", field_name) if prefix is None else prefix
    found = {f"{start}{name}": values for name, values in _parts(dates, time).items()}
    taken = next((name for name in found if name in frame.columns and (name != field_name or not drop)), None)
    if taken is not None:
        raise ArgumentError(
            "the parts of a date must have names that no other column has",
            f"there is a column {taken!r} already",
            f'Pass another `prefix`, e.g. prefix="{start}_".',
        )
    made = [_column(frame, name, values) for name, values in found.items()]
    frame = frame.drop([field_name]) if drop else frame
    return frame.with_columns(*made).to_native()


def _column(frame: nw.DataFrame[Any], name: str, values: Any) -> nw.Series[Any]:
    native: Any = frame.to_native()
    if hasattr(native, "iloc"):
        return nw.from_native(values.set_axis(native.index).rename(name), series_only=True)
    cells = [None if value != value else value for value in values.tolist()]
    return nw.new_series(name, cells, backend=frame.implementation)


def _dates(column: nw.Series[Any]) -> Any:
    """The column as a pandas one of dates, numbered from 0."""
    import pandas as pd

    native: Any = column.to_native()
    if pd.api.types.is_datetime64_any_dtype(native) and not hasattr(native.dtype, "pyarrow_dtype"):
        return native.reset_index(drop=True)
    values = [v.to_timestamp() if isinstance(v, pd.Period) else v for v in column.to_list()]
    try:
        if all(value is None or not isinstance(value, (int, float)) or value != value for value in values):
            return pd.Series(pd.to_datetime(pd.Series(values, dtype=object)))
    except (ValueError, TypeError) as error:
        raise DataError(
            "`field_name` must be a column of dates",
            f"{column.name!r} has a value that is none: {error!s:.200}",
            'Mend it, or convert the column with pd.to_datetime(..., errors="coerce").',
        ) from error
    raise DataError(
        "`field_name` must be a column of dates",
        f"{column.name!r} holds {column.dtype}, e.g. {values[0]!r}",
        "Convert it first, e.g. with pd.to_datetime(column, unit='s').",
    )


def _parts(dates: Any, time: bool) -> dict[str, Any]:
    import pandas as pd

    lacking = dates.isna().to_numpy()
    week = dates.dt.isocalendar().week
    found: dict[str, Any] = {}
    for name in PARTS:
        values = week if name == "Week" else getattr(dates.dt, name.lower().replace("dayof", "day_of_"))
        found[name] = values.astype("float64" if lacking.any() else "int32")
    for name in MARKS:
        found[name] = getattr(dates.dt, name.lower()).astype(bool)
    for name in TIMES if time else ():
        found[name] = getattr(dates.dt, name.lower()).astype("float64" if lacking.any() else "int32")
    plain = dates if dates.dt.tz is None else dates.dt.tz_convert("UTC").dt.tz_localize(None)
    seconds = plain.to_numpy().astype("datetime64[s]").astype(np.int64)
    found["Elapsed"] = pd.Series(np.where(lacking, np.nan, seconds) if lacking.any() else seconds)
    return found
