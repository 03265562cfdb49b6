"""Columns that are something else than they seem, and targets that cannot be one, are named."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from wiggly.data.blocks import CategoryBlock, RegressionBlock
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.show import show_table
from wiggly.tabular.table import TabularPandas

N = 100


def base(**columns: Any) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    df = pd.DataFrame({"age": draw.normal(40, 10, N), "sold": draw.choice(["no", "yes"], N)})
    return df.assign(**columns)


def said(df: pd.DataFrame, target: str = "sold") -> str:
    to = TabularPandas(df, y_names=target, verbose=False)
    return "\n".join([str(to.kinds), to.targets.note, *to.notes])


def test_texts_that_are_something_else() -> None:
    days = [date(2024, 1, 1) + timedelta(k) for k in range(N)]
    assert "look like dates; add_datepart(df, 'x')" in said(base(x=[f"{d:%Y-%m-%d}" for d in days]))
    assert "look like dates; add_datepart(df, 'x')" in said(base(x=[f"{d:%d/%m/%Y}" for d in days[:50] * 2]))
    assert "add_datepart(df, 'x')" in said(base(x=days))
    assert "look like numbers, e.g. '1', but not '?'" in said(
        base(x=["?" if k % 9 == 0 else str(k) for k in range(N)])
    )
    assert "look like numbers" in said(base(x=[f"{k},000" for k in range(1, N + 1)]))
    for honest in (["00123", "00124"] * 50, ["a1", "b2"] * 50, [f"{k} Main Street" for k in range(N)]):
        assert "look like" not in said(base(x=honest))


def test_what_is_printed() -> None:
    lines = said(base(a="x", b="x", c=[[1]] * N)).splitlines()
    assert lines[:2] == ["0 categories: -", "1 number: age"]
    assert lines[2:4] == [
        "left out: a, b (always 'x')",
        "left out: c (holds values of type list, no single values)",
    ]
    many = said(base(**{f"x{k}": np.random.default_rng(k).normal(size=N) for k in range(80)}))
    assert ", and 31 more" in many


def test_row_numbers() -> None:
    assert "left out: Unnamed: 0 (numbers the rows)" in said(base(**{"Unnamed: 0": range(N)}))
    assert "number: numbers the rows, like an id" in said(base(number=range(1, N + 1)))
    assert "numbers the rows" not in said(base(number=np.random.default_rng(0).permutation(N)))


def test_na_written_out_is_a_missing_value() -> None:
    assert "of no use" not in said(base(x=["#na#", "x"] * 50))


def test_targets() -> None:
    with pytest.raises(DataError, match="'sold' holds dates"):
        said(base(sold=pd.date_range("2024", periods=N)))
    with pytest.raises(LabelError, match="'sold' is always 'no'"):
        said(base(sold="no"))
    with pytest.raises(LabelError, match="hardly labels"):
        TabularDataLoaders.from_df(base(sold=[f"s{k}" for k in range(N)]), y_names="sold", seed=0)
    blocks = {"price": RegressionBlock, "mixed": CategoryBlock}
    df = base(price=[Decimal(k) for k in range(N)], mixed=[1, "x"] * 50)
    for name, kind in blocks.items():
        assert type(TabularPandas(df, y_names=name, verbose=False).targets.blocks[0]) is kind
    assert "3 whole numbers: taken as numbers; y_block=CategoryBlock" in said(base(sold=[0, 1, 2, 1] * 25))


def test_a_leak_by_what_is_missing_and_no_false_one() -> None:
    df = base()
    assert "left: gives the target 'sold' away" in said(base(left=df["age"].where(df["sold"] == "yes")))
    draw = np.random.default_rng(1)
    rare = pd.DataFrame({"x": draw.normal(size=4000), "sold": np.where(np.arange(4000) < 8, "yes", "no")})
    half = rare.assign(x=rare["x"] + 20 * (np.arange(4000) < 5))  # finds 5 of 8, so is right for 99.9 %
    assert "away" not in said(half.sample(frac=1, random_state=0))


def test_single_names_splitters_and_weights() -> None:
    df = base(city=["Rome", "Oslo"] * 50)
    to = TabularPandas(df, None, "city", "age", "sold", None, lambda rows: (range(80), range(80, len(rows))))
    assert (to.cat_names, to.cont_names, len(to.valid)) == (["city"], ["age"], 20)
    assert repr(to.valid).startswith("TabularPandas(20 rows,")
    heavy = np.where(df["sold"] == "yes", 1.0, 0.0)
    assert all(bool((y == 1).all()) for _, _, y in to.dataloaders(bs=8, wgts=heavy).train)
    with pytest.raises(ArgumentError, match="there are 2 for 100 rows"):
        to.dataloaders(wgts=[1, 2])
    assert len(to.dataloaders().test_dl([])) == 0
    for wrong in ("64", 1.5):
        with pytest.raises(ArgumentError, match="`bs` must be at least 1"):
            to.dataloaders(bs=wrong)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ArgumentError, match=r"it holds 1\.5"):
        TabularDataLoaders.from_df(df, y_names="sold", valid_idx=[1.5])  # pyright: ignore[reportArgumentType]


def test_categories_of_another_type_are_said() -> None:
    to = TabularPandas(base(zone=["1", "2"] * 50), None, ["zone"], ["age"], "sold")
    told = str(to.new(base(zone=[1, 2] * 50)).surprises)
    assert told == (
        "zone: 100 values were not in training, taken as #na# (the values are int, in training they were str)"
    )
    assert "(" not in str(to.new(base(zone=["1", "3"] * 50)).surprises)


def test_half_characters_are_values_like_others() -> None:
    values = pd.Series(["\ud800", "x"] * 50, dtype=object)
    to = TabularPandas(base(name=values), None, ["name"], ["age"], "sold", verbose=False)
    assert to.decode()["name"].tolist() == values.tolist()


def test_shown_tables_fit_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({f"column {k}": [k, 1000 + k] for k in range(40)})
    for width in (60, 200):
        monkeypatch.setenv("COLUMNS", str(width))
        assert shutil.get_terminal_size().columns == width
        show_table(table)
        printed = capsys.readouterr().out
        assert max(map(len, printed.splitlines())) <= width
        assert [f"column {k}" in printed for k in range(40)] == [True] * 40
    show_table(pd.DataFrame({"a" * 300: [1]}))  # a single column may be wider: nothing is lost
    assert "a" * 300 in capsys.readouterr().out


def test_profile_of_a_table() -> None:
    from wiggly.tabular.learner import tabular_learner

    dls = TabularDataLoaders.from_df(base(), y_names="sold", bs=16, seed=0, verbose=False)
    learn = tabular_learner(dls)
    before = [p.clone() for p in learn.model.parameters()]
    alone, made = dls.profile(), dls.profile(learn)
    assert alone.items_per_second > 0
    assert "dls.profile(learn)" in alone.fix
    assert made.model_items_per_second is not None
    assert all(torch.equal(a, b) for a, b in zip(before, learn.model.parameters(), strict=True))
