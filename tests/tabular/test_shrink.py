"""Smaller types hold the same values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.tabular.shrink import df_shrink


@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1), st.booleans())
@settings(max_examples=40, deadline=None)
def test_integers_keep_their_values_in_the_smallest_type(values: list[int], unsigned: bool) -> None:
    made = df_shrink(pd.DataFrame({"x": values}), int2uint=unsigned)["x"]
    assert made.tolist() == values
    family = "ui" if unsigned and min(values) >= 0 else "i"
    smallest = [n for n in (1, 2, 4, 8) if not (n < made.dtype.itemsize and fits(values, n, family))]
    assert made.dtype.itemsize == smallest[0] or not fits(values, smallest[0], family)


def fits(values: list[int], size: int, family: str) -> bool:
    info = np.iinfo(f"{'u' if family == 'ui' else ''}int{8 * size}")
    return info.min <= min(values) and max(values) <= info.max


def test_kinds_and_the_table_stays() -> None:
    df = pd.DataFrame(
        {
            "small": [1, 2],
            "huge": [1e300, 2.0],
            "float": [0.5, None],
            "text": ["a", "b"],
            "truth": [True, False],
            "when": pd.to_datetime(["2024-01-01", None]),
        }
    )
    before = df.copy(deep=True)
    made = df_shrink(df)
    pd.testing.assert_frame_equal(df, before)
    found = [str(made[name].dtype).split("[")[0] for name in made]
    assert found == ["int8", "float64", "float32", "category", "bool", "datetime64"]
    assert str(df_shrink(df, skip=["small"], obj2cat=False)["small"].dtype) == "int64"
    assert made.memory_usage(deep=True).sum() < df.memory_usage(deep=True).sum()


@pytest.mark.parametrize(
    ("column", "kind"), [([1, 300], pl.Int16), ([None, 5], pl.Int8), ([], pl.Int64), ([None], pl.Int64)]
)
def test_polars(column: list[int | None], kind: Any) -> None:
    made = df_shrink(pl.DataFrame({"x": column}, schema={"x": pl.Int64}))
    assert made["x"].to_list() == column
    assert made["x"].dtype == kind
