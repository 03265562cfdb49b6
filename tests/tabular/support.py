"""Tables that hypothesis draws, and the same table in three libraries."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
DATES = st.datetimes(datetime(1700, 1, 1), datetime(2250, 1, 1))
FLOATS = st.floats(-1e30, 1e30, width=64) | st.floats(-100, 100, width=32)
HUGE = st.integers(-(2**63), 2**63 - 1) | st.integers(2**62, 2**62 + 50)
SPANS = st.timedeltas(timedelta(days=-9999), timedelta(days=9999))

CATEGORIES: dict[str, Any] = {
    "texts": TEXTS,
    "truths": st.booleans(),
    "whole": st.integers(-3, 3),
    "huge": HUGE,
    "dates": DATES,
    "broken": FLOATS,
    "spans": SPANS,
}
NUMBERS: dict[str, Any] = {
    "floats": FLOATS,
    "ints": st.integers(-(10**6), 10**6),
    "huges": HUGE,
    "stamps": DATES,
    "bits": st.booleans(),
    "lengths": SPANS,
}


@st.composite
def tables(draw: Any, least: int = 0, missing: bool = True) -> pd.DataFrame:
    """A pandas table of 0 to 12 rows with all kinds of columns, cells missing here and there."""
    n = draw(st.integers(least, 12))
    found: dict[str, Any] = {}
    for name, values in (CATEGORIES | NUMBERS).items():
        cells = draw(st.lists(values | st.none() if missing else values, min_size=n, max_size=n))
        found[name] = column(name, cells)
    return pd.DataFrame(found, index=range(n))


def column(name: str, cells: list[Any]) -> Any:
    """Cells as a pandas column of the type a user would have."""
    if name in ("dates", "stamps"):
        return pd.Series(pd.array(cells, dtype="datetime64[us]"))
    if name in ("spans", "lengths"):
        return pd.Series(pd.array(cells, dtype="timedelta64[us]"))
    if name in ("huge", "huges", "whole", "ints"):
        return pd.Series(pd.array(cells, dtype="Int64" if None in cells else "int64"))
    if name in ("truths", "bits"):
        return pd.Series(pd.array(cells, dtype="boolean" if None in cells else "bool"))
    if name in ("broken", "floats"):
        return pd.Series([np.nan if v is None else v for v in cells], dtype="float64")
    return pd.Series(cells, dtype="str")


def in_all_libraries(columns: dict[str, list[Any]]) -> dict[str, Any]:
    """The same table three times."""
    return {
        "pandas": pd.DataFrame(columns),
        "polars": pl.DataFrame(columns),
        "pyarrow": pa.table(columns),
    }
