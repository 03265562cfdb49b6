"""From ratings to batches: any library, any kind of name; what cannot be is refused with its row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from tests.tabular.support import DATES, HUGE, TEXTS, in_all_libraries

from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, DataError, LabelError, StorageError
from wiggly.tabular.collab.loaders import CollabDataLoaders

COLUMNS: dict[str, list[Any]] = {
    "who": [900, 7, 7, 12, 900, 12, 7, 900, 31, 31],
    "what": ["Élan", "b", "a b", "", "b", "b", "Élan", "", "b", "日本"],
    "stars": [1, 5, 4, 3, 2, 5, 4, 1, 2, 3],
    "when": [1.0] * 10,
}


def made(table: Any = None, **options: Any) -> CollabDataLoaders:
    options = {"seed": 0, "bs": 2, "verbose": False, "device": "cpu", **options}
    return CollabDataLoaders.from_df(COLUMNS if table is None else table, **options)


def rows_of(dls: CollabDataLoaders) -> list[list[tuple[Any, Any, float]]]:
    """Training and validation rows as a person reads them, sorted."""
    users, items = dls.classes.values()
    sides: list[list[tuple[Any, Any, float]]] = []
    for loader in dls.loaders:
        whole = [
            (users[a], items[b], y)
            for batch in loader.in_order().batches()
            for (a, b), y in zip(batch.inputs[0].tolist(), batch.targets[0].tolist(), strict=True)
        ]
        sides.append(sorted(whole, key=str))
    return sides


@pytest.mark.parametrize("library", ["pandas", "polars", "pyarrow"])
def test_batches_hold_the_ratings_of_the_table(library: str) -> None:
    table = in_all_libraries(COLUMNS)[library]
    splitter = IndexSplitter([4, 5])
    dls = made(table, splitter=splitter)
    rows = list(zip(COLUMNS["who"], COLUMNS["what"], map(float, COLUMNS["stars"]), strict=True))
    train = [row for place, row in enumerate(rows) if place not in (4, 5)]
    assert rows_of(dls) == [sorted(train, key=str), sorted(rows[4:6], key=str)]
    assert dls.classes == {"who": ["#na#", 7, 12, 31, 900], "what": ["#na#", "", "a b", "b", "Élan", "日本"]}
    assert dls.c == 1
    assert (dls.user_name, dls.item_name, dls.rating_name) == ("who", "what", "stars")


def test_batches_are_pairs_and_numbers() -> None:
    dls = made()
    x, y = dls.one_batch()
    assert (x.dtype, y.dtype) == (torch.int64, torch.float32)
    assert (x.shape, y.shape) == ((2, 2), (2,))
    assert all(len(batch) == 2 for batch in dls.train)
    assert sum(len(x) for x, _ in dls.valid) == 2
    bigger = dls.new(bs=5)
    assert isinstance(bigger, CollabDataLoaders)
    assert [len(batch[0]) for batch in bigger.train] == [5]
    assert [len(part) for part in dls.shard(0, 2).train.dataset[:2]] == [2, 2, 2]


@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_names_come_back(data: st.DataObject) -> None:
    users = data.draw(st.sampled_from([TEXTS, HUGE, DATES, st.booleans()]))
    rows = data.draw(st.lists(st.tuples(users, TEXTS, st.floats(-9, 9, width=32)), min_size=2, max_size=12))
    table = pd.DataFrame(rows, columns=["u", "i", "r"])
    dls = made(table, splitter=lambda _: (range(1, len(rows)), [0]))
    known = [(u, i, r) for u, i, r in rows[1:] if i != "#na#"]
    found = [row for row in rows_of(dls)[0] if row[1] != "#na#"]
    assert found == sorted(known, key=str)


def test_the_split_is_that_of_the_random_splitter() -> None:
    dls = made(valid_pct=0.3, seed=5)
    expected = RandomSplitter(0.3, seed=5)(range(10))
    assert dls.table.split == ([*expected.train], [*expected.valid])
    assert made(valid_pct=0.3, seed=5).train.order(0) == dls.train.order(0)


def test_columns_are_taken_by_name_or_place() -> None:
    table = pd.DataFrame(COLUMNS)[["when", "stars", "what", "who"]]
    dls = made(table, user_name="who", item_name="what", rating_name="stars")
    assert rows_of(dls)[0] == rows_of(made())[0]
    assert made(table[["who", "what", "stars"]]).rating_name == "stars"
    swapped = made(table, user_name="what", item_name="who", rating_name="stars")
    assert list(swapped.classes) == ["what", "who"]
    with pytest.raises(ArgumentError, match="Nearest: stars"):
        made(rating_name="star")
    with pytest.raises(ArgumentError, match="three different columns"):
        made(table, item_name="when")
    with pytest.raises(ArgumentError, match="a column of users, one of items"):
        made(table[["who", "stars"]])


@pytest.mark.parametrize(
    ("column", "values", "error", "said"),
    [
        ("stars", [1, 2, None, *[3] * 7], LabelError, r"'stars' in row 2"),
        ("stars", [1, 2, 3, float("inf"), *[3] * 6], LabelError, r"'stars' in row 3"),
        ("stars", [1, "good", *[3] * 8], DataError, r"'stars' must hold numbers; row 1 holds 'good'"),
        ("who", [1, 2, 3, None, *[4] * 6], DataError, r"its user; 'who' is missing in row 3 and 1 in all"),
        ("what", [None, *["x"] * 8, None], DataError, r"its item; 'what' is missing in row 0 and 2 in all"),
    ],
)
def test_what_is_missing_or_no_number_is_refused_with_its_row(
    column: str, values: list[Any], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        made(pd.DataFrame({**COLUMNS, column: values}))
    if not any(isinstance(value, str) and value == "good" for value in values):
        with pytest.raises(error, match=said):
            made(pl.DataFrame({**COLUMNS, column: values}, strict=False))


def test_a_single_rating_is_refused() -> None:
    with pytest.raises(DataError, match="at least 2 ratings"):
        made(pd.DataFrame(COLUMNS)[:1])


def test_what_was_found_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    table = pd.DataFrame({"u": [1, 1, 2, 2, 3], "i": list("abbbc"), "r": [1, 2, 4.5, 3, 3]})
    dls = made(table, splitter=IndexSplitter([4]), verbose=True)
    assert capsys.readouterr().out.splitlines() == [
        "2 users (u), 2 items (i), 5 ratings (r) from 1 to 4.5",
        "1 rating is of a user and an item that came before, which may be on both sides of the split",
        "1 validation rating is of a user or an item without a training rating, taken as the mean of all",
    ]
    assert dls.recipe()["notes"] == dls.table.notes
    assert dls.valid.dataset.cats.tolist() == [[0, 0]]


def test_the_table_of_the_user_is_not_changed() -> None:
    table = pd.DataFrame(COLUMNS)
    before = table.copy(deep=True)
    made(table)
    pd.testing.assert_frame_equal(table, before)


def test_a_file_is_the_same_as_its_table(tmp_path: Path) -> None:
    table = pd.DataFrame({"u": np.arange(20) % 6, "i": np.arange(20) % 7, "r": np.arange(20) % 5})
    table.to_csv(tmp_path / "ratings.csv", index=False)
    from_file = CollabDataLoaders.from_csv(tmp_path / "ratings.csv", seed=3, verbose=False)
    assert rows_of(from_file) == rows_of(made(table, seed=3))
    assert "ratings.csv" in from_file.recipe()["source"]
    with pytest.raises(StorageError):
        CollabDataLoaders.from_csv(tmp_path / "none.csv")


def test_what_a_user_has_rated_on_either_side() -> None:
    dls = made(splitter=IndexSplitter([4]))
    assert sorted(dls.rated(900)) == sorted(dls.rated(np.int64(900))) == ["", "b", "Élan"]
    assert dls.rated(5) == []


def test_batches_and_results_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    dls = made()
    dls.show_batch(max_n=2)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["who", "what", "stars"]
    assert len(shown) == 3
    x, y = dls.one_batch()
    dls.show_results((x,), (y,), (y,), max_n=1)
    assert capsys.readouterr().out.split()[:4] == ["who", "what", "stars", "stars_pred"]


def test_new_rows_may_be_of_people_never_seen() -> None:
    dls = made(splitter=IndexSplitter([4]))
    rows = [{"who": 12, "what": "b"}, {"who": 13, "what": "b"}, {"who": None, "what": "?"}]
    loader = dls.test_dl(rows, bs=3)
    users, items = dls.classes.values()
    (batch,) = loader.batches()
    assert batch.inputs[0].tolist() == [[users.o2i[12], items.o2i["b"]], [0, items.o2i["b"]], [0, 0]]
    assert batch.targets == ()
