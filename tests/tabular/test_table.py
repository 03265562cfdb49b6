"""TabularPandas and the loaders: the table stays as it is, the split holds, the kinds are right."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from tests.tabular.support import in_all_libraries

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, DataError, LabelError, StorageError
from wiggly.tabular.columns import cont_cat_split
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.procs import Categorify, FillMissing, Normalize
from wiggly.tabular.table import TabularPandas

PROCS = [Categorify, FillMissing, Normalize]


def people(n: int = 60) -> pd.DataFrame:
    draw = np.random.default_rng(0)
    age = draw.integers(18, 80, n).astype(float)
    age[::7] = np.nan
    return pd.DataFrame(
        {
            "city": draw.choice(["Rome", "Oslo", "Bern"], n),
            "age": age,
            "rooms": draw.integers(1, 5, n),
            "income": draw.normal(50, 10, n),
            "buys": draw.choice(["no", "yes"], n),
        },
        index=[f"p{k}" for k in range(n)],
    )


def test_the_users_table_is_never_changed() -> None:
    df = people()
    before, memory = df.copy(deep=True), df.memory_usage(deep=True)
    dls = TabularDataLoaders.from_df(df, y_names="buys", seed=1)
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    learn.get_preds(dl=dls.test_dl(df))
    dls.table.show()
    pd.testing.assert_frame_equal(df, before)
    assert df.memory_usage(deep=True).equals(memory)


@pytest.mark.parametrize("kind", ["polars", "pyarrow"])
def test_other_tables_are_not_changed_and_give_the_same(kind: str) -> None:
    df = people()
    table = pl.from_pandas(df) if kind == "polars" else pa.Table.from_pandas(df, preserve_index=False)
    before = table.clone() if isinstance(table, pl.DataFrame) else table.slice(0)
    dls = TabularDataLoaders.from_df(table, y_names="buys", seed=1)
    same = TabularDataLoaders.from_df(df, y_names="buys", seed=1)
    assert dls.table.encoder.config() == same.table.encoder.config()
    for one, other in zip(dls.valid, same.valid, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    assert table.equals(before)


def test_parquet_and_csv_files(tmp_path: Path) -> None:
    df = people()
    df.to_parquet(tmp_path / "t.parquet", index=False)
    df.to_csv(tmp_path / "t.csv", index=False)
    config = TabularDataLoaders.from_df(df, y_names="buys", seed=1).table.encoder.config()
    for name in ("t.parquet", "t.csv"):
        made = TabularDataLoaders.from_df(tmp_path / name, y_names="buys", seed=1).table.encoder
        assert made.config()["categories"] == config["categories"]
        assert made.numbers[0].fill == config["numbers"][0]["fill"]
    with pytest.raises(StorageError, match=r"no\.csv"):
        TabularDataLoaders.from_csv(tmp_path / "no.csv", y_names="buys")


def test_arrays_for_scikit_learn() -> None:
    df = people()
    split = RandomSplitter(0.25, seed=3)(df)
    to = TabularPandas(df, PROCS, ["city", "rooms"], ["age", "income"], y_names="buys", splits=split)
    assert list(to.train.xs.columns) == ["city", "rooms", "age_na", "age", "income"]
    assert list(to.train.xs.index) == [f"p{k}" for k in split.train]
    assert list(to.valid.xs.index) == [f"p{k}" for k in split.valid]
    assert list(to.xs.index) == [f"p{k}" for k in [*split.train, *split.valid]]
    assert to.train.y.tolist() == [["no", "yes"].index(v) for v in df["buys"].iloc[list(split.train)]]
    filled = df["age"].fillna(df["age"].iloc[list(split.train)].median()).iloc[list(split.train)]
    np.testing.assert_allclose(
        to.train.conts["age"], (filled - filled.mean()) / filled.std(ddof=0), atol=1e-6
    )
    assert to.classes["city"] == ["#na#", "Bern", "Oslo", "Rome"]
    row = to.decode_row(to.items.iloc[0])
    assert row["city"] == df["city"].iloc[split.train[0]]
    assert row["buys"] == df["buys"].iloc[split.train[0]]
    back = to.decode()
    assert back["city"].tolist() == df["city"].loc[back.index].tolist()
    np.testing.assert_allclose(back["income"], df["income"].loc[back.index], rtol=1e-6)


def test_new_rows() -> None:
    df = people()
    to = TabularPandas(df, PROCS, ["city"], ["age"], y_names="buys", splits=RandomSplitter(seed=0)(df))
    new = to.new(df.drop(columns="buys").head(5))
    new.process()
    assert len(new) == 5
    assert new.xs.equals(to.xs.loc[new.xs.index])
    assert to.new(df.head(3)).y.tolist() == to.y.loc[["p0", "p1", "p2"]].tolist()
    with pytest.raises(DataError, match="`y` needs a target"):
        new.y  # noqa: B018


def test_batches_are_the_rows_they_say() -> None:
    df = people()
    dls = TabularDataLoaders.from_df(df, y_names="buys", bs=8, seed=1)
    whole = dls.table.dataset()
    seen: list[int] = []
    split = dls.table.split
    for batch in dls.train.batches():
        rows = [split.train[p] for p in batch.positions]
        assert torch.equal(batch.inputs[0], whole.cats[rows])
        assert torch.equal(batch.inputs[1], whole.conts[rows])
        assert torch.equal(batch.targets[0], whole.targets[0][rows])
        seen += batch.positions
    assert len(set(seen)) == len(seen) == 48  # drop_last
    assert [p for batch in dls.valid.batches() for p in batch.positions] == list(range(12))


def test_predictions_are_in_order_and_of_the_right_rows() -> None:
    df = people()
    dls = TabularDataLoaders.from_df(df, y_names="buys", bs=8, seed=1)
    learn = tabular_learner(dls)
    probs, targets = learn.get_preds(ds_idx=0)
    assert len(probs) == 48
    assert targets.tolist() == dls.train.dataset.targets[0].tolist()
    learn.model.eval()
    with torch.no_grad():
        expected = learn.model(dls.train.dataset.cats, dls.train.dataset.conts).softmax(1)
    torch.testing.assert_close(probs, expected)
    test, none = learn.get_preds(dl=dls.test_dl(df.drop(columns="buys")))
    assert none is None
    torch.testing.assert_close(test[list(dls.table.split.train)], probs)
    for row in (df.iloc[4], df.iloc[[4]], dict(df.iloc[4])):
        index = learn.predict(row).index
        assert int(index) == int(test[4].argmax())


def test_inference_of_kinds() -> None:
    df = people(100).assign(
        name=[f"person {k}" for k in range(100)],
        constant=1,
        nothing=None,
        when=pd.date_range("2024-01-01", periods=100),
        tags=[["a"]] * 100,
        member=[True, False] * 50,
        spent=range(100),
        size=pd.Categorical(["s", "l"] * 50, categories=["s", "l"]),
    )
    to = TabularPandas(df, y_names="buys", verbose=False)
    assert to.kinds.categories == ["city", "rooms", "member", "size"]
    assert to.kinds.numbers == ["age", "income", "when", "spent"]
    assert set(to.kinds.left_out) == {"name", "constant", "nothing", "tags"}
    assert "add_datepart(df, 'when')" in str(to.kinds)
    assert cont_cat_split(people(), dep_var="buys") == (["age", "income"], ["city", "rooms"])
    assert cont_cat_split(people(), max_card=2, dep_var="buys")[0] == ["age", "rooms", "income"]


def test_columns_of_every_library() -> None:
    n = 100
    base = people(n)[["income", "buys"]].reset_index(drop=True)
    table = base.assign(
        price=[Decimal(k) for k in range(n)],
        mixed=[1, "x"] * 50,
        whole=pd.array([1, None, 3, 4] * 25, dtype="Int64"),
        part=pd.array([1.5, None] * 50, dtype="Float64"),
        maybe=pd.array([True, None] * 50, dtype="boolean"),
        zone=pd.date_range("2020", periods=n, tz="Europe/Rome"),
        span=pd.to_timedelta(np.arange(n), unit="s"),
        month=pd.period_range("2020", periods=n, freq="D"),
        waves=1j * np.arange(n),
        text=["", None, "x", "y"] * 25,
        huge=[2**60 + k for k in range(n)],
    )
    to = TabularPandas(table, y_names="buys", verbose=False)
    assert to.kinds.categories == ["mixed", "whole", "maybe", "text"]
    assert to.kinds.numbers == ["income", "price", "part", "zone", "span", "huge"]
    assert to.kinds.left_out == {"month": "holds Period", "waves": "holds complex"}
    assert sorted(to.notes) == [
        "huge: whole numbers beyond 2**53, like an id; leave it out unless their size matters",
        "span: says the same as 'price'; leave one out",
        "text: says the same as 'whole'; leave one out",
    ]
    assert to.classes["text"] == ["#na#", "", "x", "y"]
    assert to.conts["huge"].nunique() == n
    with pytest.raises(DataError, match="in column 'month' Period"):
        TabularPandas(table, None, ["month"], [], "buys")

    sizes = pl.Series("size", ["s", "m"] * 50, dtype=pl.Enum(["s", "m", "l"]))
    polars = pl.from_pandas(base).with_columns(
        sizes,
        pl.Series("gone", [None] * n),
        pl.Series("lists", [[1]] * n),
        pl.Series("nan", [1.0, np.nan] * 50),
    )
    other = TabularPandas(polars.lazy(), y_names="buys", verbose=False)
    assert other.classes["size"] == ["#na#", "s", "m", "l"]
    assert other.kinds.left_out == {"gone": "empty", "lists": "holds List(Int64)"}
    assert TabularPandas(polars, None, ["nan"], [], "buys", verbose=False).classes["nan"] == ["#na#", 1.0]

    arrow = pa.Table.from_pandas(base).append_column("kind", pa.array(["x", "y"] * 50).dictionary_encode())
    third = TabularPandas(arrow.append_column("gone", pa.nulls(n)), y_names="buys", verbose=False)
    assert third.kinds.categories == ["kind"]
    assert third.kinds.left_out == {"gone": "empty"}
    arrows = TabularPandas(base.convert_dtypes(dtype_backend="pyarrow"), y_names="buys", verbose=False)
    assert arrows.xs.equals(TabularPandas(base, y_names="buys", verbose=False).xs)


def test_kinds_are_printed_once_and_can_be_overridden(capsys: pytest.CaptureFixture[str]) -> None:
    TabularDataLoaders.from_df(people(), y_names="buys", seed=1)
    said = capsys.readouterr().out
    assert said.splitlines() == ["2 categories: city, rooms", "2 numbers: age, income"]
    dls = TabularDataLoaders.from_df(people(), y_names="buys", cont_names=["rooms"], seed=1)
    assert capsys.readouterr().out == ""
    assert (dls.cat_names, dls.cont_names) == ([], ["rooms"])


def test_kinds_of_targets() -> None:
    df = people().assign(pair=lambda t: (t.rooms > 2).astype(int), truth=lambda t: t.rooms > 2)
    expected = {
        "buys": CategoryBlock,
        "income": RegressionBlock,
        "pair": CategoryBlock,
        "truth": CategoryBlock,
    }
    for name, kind in expected.items():
        dls = TabularDataLoaders.from_df(df, y_names=name, cat_names=["city"], seed=1)
        assert type(dls.target_blocks[0]) is kind
        assert dls.one_batch()[2].shape == (48,)
    both = TabularDataLoaders.from_df(df, y_names=["income", "rooms"], cat_names=["city"], seed=1)
    assert both.c == 2
    assert both.one_batch()[2].shape == (48, 2)
    assert both.one_batch()[1].shape == (48, 0)
    hot = df.assign(a=(df.rooms > 1) * 1, b=(df.rooms > 2) * 1)
    block = MultiCategoryBlock(encoded=True, vocab=["a", "b"])
    many = TabularDataLoaders.from_df(hot, y_names=["a", "b"], y_block=block, cat_names=["city"], seed=1)
    assert many.one_batch()[2].shape == (48, 2)
    assert many.table.ys.columns.tolist() == ["a", "b"]


def test_a_missing_target_is_named_with_its_row() -> None:
    df = people().assign(buys=lambda t: t.buys.where(t.rooms.index != "p5"), income=np.inf)
    with pytest.raises(LabelError, match="in row 5 of 'buys'"):
        TabularDataLoaders.from_df(df, y_names="buys", cat_names=["city"], seed=1)
    with pytest.raises(LabelError, match="'income' in row 0 is inf"):
        TabularDataLoaders.from_df(df, y_names="income", cat_names=["city"], seed=1)


def test_refusals() -> None:
    df = people()
    with pytest.raises(ArgumentError, match="Nearest: buys"):
        TabularDataLoaders.from_df(df, y_names="buy")
    with pytest.raises(DataError, match="'buys' is a target too"):
        TabularDataLoaders.from_df(df, y_names="buys", cat_names=["city", "buys"])
    with pytest.raises(DataError, match="it has 1"):
        TabularDataLoaders.from_df(df.head(1), y_names="buys")
    with pytest.raises(DataError, match="it has 0"):
        TabularDataLoaders.from_df(df.head(0), y_names="buys")
    with pytest.raises(DataError, match="at least 1 column to predict from"):
        TabularDataLoaders.from_df(df[["buys"]], y_names="buys")
    with pytest.raises(ArgumentError, match="may hold Categorify"):
        TabularPandas(df, [len], ["city"])
    twice = pd.concat([df, df[["city"]]], axis=1)
    with pytest.raises(DataError, match="'city' is there 2 times"):
        TabularDataLoaders.from_df(twice, y_names="buys")


def test_one_and_no_new_row() -> None:
    df = people()
    dls = TabularDataLoaders.from_df(df, y_names="buys", seed=1)
    assert len(list(dls.test_dl(df.head(1)))) == 1
    assert list(dls.test_dl(df.head(0))) == []


def test_surprises_are_counted_and_printed(capsys: pytest.CaptureFixture[str]) -> None:
    df = people()
    dls = TabularDataLoaders.from_df(df, y_names="buys", seed=1, verbose=False)
    dl = dls.test_dl(df.head(4).assign(city="Pisa", income=[1.0, None, np.inf, 2.0]))
    assert dl.surprises.unseen == {"city": 4}
    assert dl.surprises.missing == {"income": 1}
    assert dl.surprises.infinite == {"income": 1}
    assert "Pisa" not in capsys.readouterr().out


def test_show(capsys: pytest.CaptureFixture[str]) -> None:
    df = people()
    dls = TabularDataLoaders.from_df(df, y_names="buys", seed=1, verbose=False)
    dls.show_batch(max_n=3)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["city", "rooms", "age", "income", "buys"]
    assert len(lines) == 4
    learn = tabular_learner(dls)
    learn.show_results(max_n=2)
    assert capsys.readouterr().out.splitlines()[0].split()[-2:] == ["buys", "buys_pred"]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_titanic_from_file_to_predictions(kind: str, shared: Path) -> None:
    folder = shared / "data" / "tabular"
    df = pd.read_csv(folder / "titanic_train.csv")
    table = in_all_libraries({k: [None if v != v else v for v in df[k]] for k in df})[kind]
    dls = TabularDataLoaders.from_df(table, y_names="Survived", seed=0, verbose=False)
    assert "Name" in dls.table.kinds.left_out
    learn = tabular_learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(4, 1e-2)
    assert learn.validate()[1] < 0.25
    preds, none = learn.get_preds(dl=dls.test_dl(pd.read_csv(folder / "titanic_test.csv")))
    assert preds.shape == (418, 2)
    assert none is None
    assert preds.isfinite().all()  # Fare is missing in the test set and not in training
