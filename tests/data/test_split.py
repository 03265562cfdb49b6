"""Splitters against torch, scikit-learn and folder names; the answers of a user's own are checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import train_test_split

from wiggly.data.items import TableItems
from wiggly.data.split import (
    ColSplitter,
    FuncSplitter,
    GrandparentSplitter,
    IndexSplitter,
    RandomSplitter,
    TrainTestSplitter,
    check_split,
)
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Split


@given(st.integers(2, 300), st.floats(0.01, 0.99), st.integers(0, 2**32))
def test_random_splitter_is_torchs_permutation(n: int, pct: float, seed: int) -> None:
    state = torch.get_rng_state()
    train, valid = RandomSplitter(pct, seed)(range(n))
    assert torch.equal(torch.get_rng_state(), state), "the user's random numbers moved"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        order = torch.randperm(n).tolist()
    assert valid == order[: int(pct * n)] and train == order[int(pct * n) :]


def test_random_splitter_of_many_kinds_of_items() -> None:
    want = RandomSplitter(seed=42)(range(10))
    for items in (list("abcdefghij"), pd.DataFrame({"a": range(10)}), np.zeros((10, 3)), tuple(range(10))):
        assert RandomSplitter(seed=42)(items) == want
    assert RandomSplitter()(range(1000)) != RandomSplitter()(range(1000))


@pytest.mark.parametrize("pct", [0, 1, -0.1, 20, float("nan")])
def test_random_splitter_of_no_share(pct: float) -> None:
    with pytest.raises(ArgumentError, match="valid_pct"):
        RandomSplitter(pct)


def test_train_test_splitter_is_scikit_learns() -> None:
    labels = list("aab") * 20
    for options in ({}, {"stratify": labels}, {"train_size": 0.5}):
        found = TrainTestSplitter(0.25, random_state=7, **options)(range(60))
        train, valid = train_test_split(np.arange(60), test_size=0.25, random_state=7, **options)
        assert list(found.train) == train.tolist() and list(found.valid) == valid.tolist()
    valid = TrainTestSplitter(0.25, random_state=7, stratify=labels)(range(60)).valid
    assert sorted(labels[i] for i in valid) == ["a"] * 10 + ["b"] * 5


@pytest.mark.parametrize("stratify", [[*"aaaaaaaaab"], [*"ab"]])
def test_train_test_splitter_says_why_not(stratify: list[str]) -> None:
    with pytest.raises(DataError, match="scikit-learn says"):
        TrainTestSplitter(0.25, stratify=stratify)(range(10))


def test_grandparent_splitter() -> None:
    files = [Path(f"data/{part}/cat/{i}.jpg") for part in ("train", "valid", "test") for i in range(2)]
    assert GrandparentSplitter()(files) == ([0, 1], [2, 3])
    assert GrandparentSplitter("valid", ["train", "test"])(files) == ([2, 3], [0, 1, 4, 5])
    assert GrandparentSplitter()([str(f) for f in files]) == ([0, 1], [2, 3])
    with pytest.raises(DataError, match=r"2 are in the first and 0 in the second.*\n.*valid_pct=0\.2"):
        GrandparentSplitter(valid_name="val")(files)


def test_grandparent_splitter_of_a_table_says_what_to_use() -> None:
    with pytest.raises(DataError, match="ColSplitter for a table"):
        GrandparentSplitter()(TableItems(pd.DataFrame({"a": [1, 2]})))


def test_index_and_func_splitters() -> None:
    assert IndexSplitter([3, 1])(range(5)) == ([0, 2, 4], [3, 1])
    assert IndexSplitter(np.array([0]))(range(2)) == ([1], [0])
    for outside in ([5], [-1]):
        with pytest.raises(ArgumentError, match="from 0 to 4"):
            IndexSplitter(outside)(range(5))
    assert FuncSplitter(lambda x: x > 2)(range(5)) == ([0, 1, 2], [3, 4])


FRAME = {"name": list("abcd"), "is_valid": [False, True, False, True], "part": ["x", "y", "x", "z"]}


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_col_splitter(kind: str) -> None:
    library = pytest.importorskip(kind)
    table = library.table(FRAME) if kind == "pyarrow" else library.DataFrame(FRAME)
    for items in (table, TableItems(table)):
        assert ColSplitter()(items) == ([0, 2], [1, 3])
        assert ColSplitter(1)(items) == ([0, 2], [1, 3])
        assert ColSplitter("part", on="z")(items) == ([0, 1, 2], [3])
        assert ColSplitter("part", on=["y", "z"])(items) == ([0, 2], [1, 3])
        for col in ("nope", 7):
            with pytest.raises(DataError, match="column"):
                ColSplitter(col)(items)


@pytest.mark.parametrize(
    "values",
    [
        [0, 1, 0, 1],
        [0.0, 1.0, float("nan"), 1.0],
        [None, True, False, True],
        ["False", "True", "no", "valid"],
        pd.array([None, True, False, True], dtype="boolean"),
        pd.array([0, 1, None, 1], dtype="Int64"),
    ],
)
def test_col_splitter_reads_what_csv_files_hold(values: Any) -> None:
    """Words are read as words, and a missing mark does not put the row into validation."""
    assert ColSplitter()(pd.DataFrame({"is_valid": values})) == ([0, 2], [1, 3])


def test_col_splitter_needs_a_table() -> None:
    with pytest.raises(DataError, match="needs a table"):
        ColSplitter()([1, 2])


def test_check_split_takes_any_integers() -> None:
    assert check_split((np.array([0, 1]), torch.tensor([2])), 3) == Split([0, 1], [2])
    assert check_split([range(2), {2}], 3) == Split([0, 1], [2])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (([0, 1], []), "validation; it left 0 of 3"),
        (([], [0]), "training; it left 0 of 3"),
        (([0, 3], [1]), "from 0 to 2; the training part goes from 0 to 3"),
        (([0], [-1]), "the validation part goes from -1"),
        (([0, 1], [1, 2]), "1 of 3 are in both, e.g. position 1"),
        (None, "two lists of positions"),
        (([0], [1], [2]), "two lists of positions"),
        ([True, False, True], "two lists of positions"),
        (([True, True, False], [False, False, True]), "two lists of positions"),
        ((["a"], ["b"]), "two lists of positions"),
        (([True, 2], [0]), "two lists of positions"),
        (([[0]], [[1]]), "two lists of positions"),
        (([0.5], [1.5]), "two lists of positions"),
    ],
)
def test_check_split_refuses(answer: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        check_split(answer, 3)
    assert says in str(caught.value)
