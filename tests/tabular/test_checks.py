"""Columns that cannot help, or that give the target away, are named; honest ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from wiggly.tabular.table import TabularPandas

N = 400


def honest() -> pd.DataFrame:
    draw = np.random.default_rng(0)
    x = draw.normal(size=N)
    return pd.DataFrame(
        {
            "x": x,
            "city": draw.choice(["Rome", "Oslo", "Bern"], N),
            "label": np.where(x + draw.normal(size=N) > 0, "yes", "no"),
            "price": x * 3 + draw.normal(size=N),
        }
    )


def notes(df: pd.DataFrame, target: str, **named: Any) -> str:
    others = [name for name in df if name not in ("label", "price")]
    cats = named.get("cat_names", [n for n in others if not pd.api.types.is_numeric_dtype(df[n])])
    return "\n".join(
        TabularPandas(df, None, cats, [n for n in others if n not in cats], target, verbose=False).notes
    )


@pytest.mark.parametrize("target", ["label", "price"])
def test_honest_columns_are_not_named(target: str) -> None:
    assert notes(honest(), target) == ""


@pytest.mark.parametrize(
    ("target", "leak"),
    [
        ("label", lambda df: df["label"]),  # an exact copy
        ("label", lambda df: df["label"].map({"yes": "1", "no": "0"})),  # a bijection
        ("label", lambda df: df["label"] + df["city"]),  # finer than the target
        ("label", lambda df: (df["label"] == "yes") * 3.5),  # as numbers
        ("label", lambda df: (df["label"] == "yes") * 10 + df["x"].clip(-3, 3)),  # a threshold
        ("price", lambda df: df["price"]),
        ("price", lambda df: -5 * df["price"] + 3),
        ("price", lambda df: np.exp(df["price"])),  # any rising function
    ],
)
def test_a_leaking_column_is_named(target: str, leak: Any) -> None:
    df = honest()
    said = notes(df.assign(leak=leak(df)), target)
    assert said.startswith(f"leak: gives the target '{target}' away")
    assert len(said.splitlines()) == 1


def test_constant_twin_id_and_infinite_columns_are_named() -> None:
    df = honest()
    df = df.assign(
        always=1.5,
        single="only",
        twin=df["x"],
        town=df["city"].str.upper(),
        person=[f"p{k}" for k in range(N)],
        street=[f"s{k % 300}" for k in range(N)],
        ratio=df["x"].where(df["x"] < 2, np.inf),
    )
    said = notes(df, "label")
    infinite = int((df["ratio"] == np.inf).sum())
    for line in (
        "always: always 1.5 in training, of no use",
        "single: always 'only' in training, of no use",
        "twin: says the same as 'x'; leave one out",
        "town: says the same as 'city'; leave one out",
        "person: every training row has another value, like an id; leave it out",
        "street: 300 values in 400 training rows, most of them seen once",
        f"ratio: {infinite} infinite or beyond float32, taken as missing",
    ):
        assert line in said
    assert len(said.splitlines()) == 7


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("adult.csv", "salary"),
        ("titanic_train.csv", "Survived"),
        ("california_housing.csv", "median_house_value"),
    ],
)
def test_real_tables_have_no_leak(file: str, target: str, shared: Path) -> None:
    to = TabularPandas(shared / "data" / "tabular" / file, y_names=target, verbose=False)
    assert not [note for note in to.notes if "away" in note]
