"""Date parts are those of pandas and of Python's own calendar, in every library."""

from __future__ import annotations

from datetime import UTC, datetime

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.dates import add_datepart

NAMES = [
    "Year",
    "Month",
    "Week",
    "Day",
    "Dayofweek",
    "Dayofyear",
    "Is_month_end",
    "Is_month_start",
    "Is_quarter_end",
    "Is_quarter_start",
    "Is_year_end",
    "Is_year_start",
    "Elapsed",
]


@given(st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1)))
@settings(max_examples=30, deadline=None)
def test_parts_are_those_of_the_calendar(when: datetime) -> None:
    row = add_datepart(pd.DataFrame({"saledate": [when]}), "saledate", time=True).iloc[0]
    known = (when.year, when.month, when.isocalendar().week, when.day, when.weekday())
    assert tuple(row[f"sale{name}"] for name in NAMES[:5]) == known
    assert row["saleDayofyear"] == when.timetuple().tm_yday
    assert (row["saleHour"], row["saleMinute"], row["saleSecond"]) == (when.hour, when.minute, when.second)
    assert row["saleElapsed"] == int(when.replace(tzinfo=UTC, microsecond=0).timestamp())
    ends = (when + pd.Timedelta(days=1)).day == 1
    assert (row["saleIs_month_start"], row["saleIs_month_end"]) == (when.day == 1, ends)


def test_thirteen_columns_and_the_table_stays() -> None:
    df = pd.DataFrame({"Date": ["2024-12-31", "2024-04-01"], "x": [1, 2]}, index=["a", "b"])
    before = df.copy(deep=True)
    made = add_datepart(df, "Date")
    pd.testing.assert_frame_equal(df, before)
    assert list(made.columns) == ["x", *NAMES]
    assert list(made.index) == ["a", "b"]
    assert made["Is_year_end"].tolist() == [True, False]
    assert made["Is_quarter_start"].tolist() == [False, True]
    assert list(add_datepart(df, "Date", prefix="p_", drop=False).columns[:3]) == ["Date", "x", "p_Year"]


def test_missing_dates() -> None:
    made = add_datepart(pd.DataFrame({"d": pd.to_datetime(["2024-02-29", None])}), "d")
    assert made["dYear"].isna().tolist() == made["dElapsed"].isna().tolist() == [False, True]
    assert made["dIs_month_end"].tolist() == [True, False]


def test_other_libraries() -> None:
    dates = [datetime(2024, 2, 29), None, datetime(1999, 12, 31, 23, 59, 59)]
    reference = add_datepart(pd.DataFrame({"d": dates}), "d", time=True)
    for table in (pl.DataFrame({"d": dates}), pa.table({"d": dates})):
        made = add_datepart(table, "d", time=True)
        assert type(made) is type(table)
        back = made.to_pandas() if isinstance(made, pa.Table) else pd.DataFrame(made.to_dict(as_series=False))
        assert list(back.columns) == list(reference.columns)
        for name in reference.columns:
            assert back[name].fillna(-1).tolist() == reference[name].fillna(-1).tolist()


def test_refusals() -> None:
    with pytest.raises(ArgumentError, match="Nearest: date"):
        add_datepart(pd.DataFrame({"date": ["2024-01-01"]}), "dat")
    with pytest.raises(DataError, match="'d' has a value that is none"):
        add_datepart(pd.DataFrame({"d": ["2024-01-01", "yesterday evening"]}), "d")
    with pytest.raises(DataError, match="'d' holds Int64"):
        add_datepart(pd.DataFrame({"d": [1, 2]}), "d")
    with pytest.raises(ArgumentError, match="a column 'saleYear' already"):
        add_datepart(pd.DataFrame({"saleYear": [1], "saledate": ["2024-01-01"]}), "saledate")


def test_periods_are_dates_of_their_start() -> None:
    made = add_datepart(pd.DataFrame({"d": pd.period_range("2024-01", periods=2, freq="M")}), "d")
    assert (made["dYear"].tolist(), made["dMonth"].tolist()) == ([2024, 2024], [1, 2])
