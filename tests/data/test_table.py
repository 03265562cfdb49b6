"""Rows of tables beside pandas' own rows, and columns read whole."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, TransformBlock
from wiggly.data.items import ColReader, item_name
from wiggly.data.pipeline import Pipeline
from wiggly.data.split import ColSplitter
from wiggly.data.table import Row, TableItems
from wiggly.errors import DataError

COLUMNS: dict[str, list[Any]] = {
    "file": ["a.jpg", "b.jpg", "c.jpg", "d.jpg"],
    "n": [1, 2, 3, 4],
    "score": [0.5, float("nan"), 2.5, 3.5],
    "is_valid": [False, True, False, True],
    "count": [9, 8, 7, 6],
}
FRAME = pd.DataFrame(COLUMNS, index=[10, 20, 30, 40])


def table_of(kind: str, columns: dict[str, list[Any]]) -> Any:
    library = pytest.importorskip(kind)
    return library.table(columns) if kind == "pyarrow" else library.DataFrame(columns)


def test_a_row_is_pandas_row() -> None:
    for position, row in enumerate(TableItems(FRAME)):
        theirs = FRAME.iloc[position]
        assert type(row) is Row and isinstance(row, pd.Series)
        pd.testing.assert_series_equal(row.series(), theirs)
        assert row.name == theirs.name and list(row.index) == list(theirs.index) and len(row) == 5
        for name in ("file", "n", "is_valid"):
            assert row[name] == theirs[name] == row.iloc[list(COLUMNS).index(name)] == row.get(name)
        assert row.file == theirs.file and row.count() == theirs.count()  # a method hides its column
        assert "file" in row and "nope" not in row and row.get("nope", 7) == 7
        assert list(row)[:2] == [theirs["file"], theirs["n"]] and repr(row) == repr(theirs)
        assert row[["file", "n"]].tolist() == theirs[["file", "n"]].tolist()
        assert dict(row)["count"] == row.to_dict()["count"] == COLUMNS["count"][position]
        assert np.asarray(row, dtype=object)[1] == theirs["n"]
        assert (row == theirs)[["file", "n"]].all() and (row == row)["n"]
        with pytest.raises(KeyError):
            row["nope"]
        with pytest.raises(AttributeError):
            _ = row.nope
    rows = list(TableItems(FRAME))
    pd.testing.assert_frame_equal(pd.DataFrame(rows), pd.DataFrame([FRAME.iloc[i] for i in range(4)]))
    again = pickle.loads(pickle.dumps(rows[2]))
    assert type(again) is pd.Series and again["file"] == "c.jpg" and item_name(rows[2], 0) == "row 30"


def test_a_cell_keeps_the_type_of_its_column() -> None:
    numbers = pd.DataFrame({"n": [1, 2], "x": [0.5, 1.5]})
    assert isinstance(numbers.iloc[0]["n"], float)  # what a Series does to it
    row = TableItems(numbers)[0]
    assert isinstance(row["n"], np.integer) and ColReader("n", suff=".jpg")(row) == "1.jpg"


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@settings(deadline=None, max_examples=40)
@given(picks=st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=6), max_size=3))
def test_parts_of_parts(kind: str, picks: list[list[int]]) -> None:
    items, expected = TableItems(table_of(kind, COLUMNS)), list(range(4))
    for pick in picks:
        items, expected = items.subset(pick), [expected[i] for i in pick]
    assert items.column("n") == items.column(1) == [COLUMNS["n"][i] for i in expected]
    assert [row["file"] for row in items] == [COLUMNS["file"][i] for i in expected]
    assert len(items) == len(expected) == len(items.table)
    assert TableItems(items.table).column(0) == items.column(0) == [r.iloc[0] for r in items]
    assert items[-1]["n"] == items.column("n")[-1] and items[1:].column("n") == items.column("n")[1:]


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
@pytest.mark.parametrize(
    "reader",
    [
        ColReader("file"),
        ColReader(["n", "file"]),
        ColReader("n", pref="p/", suff=".jpg"),
        ColReader("file", label_delim="."),
        Pipeline([ColReader("n"), lambda n: n * 2, str]),
        ColReader(-1),
    ],
)
def test_a_column_read_whole_is_the_column_read_by_rows(kind: str, reader: Any) -> None:
    items = TableItems(table_of(kind, COLUMNS)).subset([3, 1, 1])
    assert reader.read_all(items) == [reader(row) for row in items]


def test_missing_values_of_any_table() -> None:
    columns: dict[str, list[Any]] = {"tags": ["x y", None], "n": [None, 3]}
    tables = [table_of(kind, columns) for kind in ("pandas", "polars", "pyarrow")]
    tables.append(pd.DataFrame(columns).astype({"tags": "string", "n": "Int64"}))
    for table in tables:
        items = TableItems(table)
        reader = ColReader("tags", label_delim=" ")
        assert reader.read_all(items) == [["x", "y"], []] == [reader(row) for row in items]
        with pytest.raises(DataError, match=r"(?s)row 1.*no value in column 'tags'.*Fill or drop"):
            ColReader("tags", suff=".jpg")(items[1])


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_start_up_makes_no_rows(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Labels that a column holds are read as a column, whatever the number of rows."""
    made: list[int] = []
    before = TableItems.__getitem__

    def counting(self: TableItems, index: Any) -> Any:
        made.append(1)
        return before(self, index)

    n = 1000
    table = table_of(kind, {"x": list(range(n)), "y": list("ab") * (n // 2), "v": [i < 10 for i in range(n)]})
    block = DataBlock(
        (TransformBlock, CategoryBlock),
        get_x=ColReader("x"),
        get_y=Pipeline([ColReader("y"), str.upper]),
        splitter=ColSplitter("v"),
    )
    monkeypatch.setattr(TableItems, "__getitem__", counting)
    monkeypatch.setattr(TableItems, "__iter__", counting)
    dls = block.dataloaders(table, bs=4, num_workers=0, device="cpu")
    assert not made and dls.vocab == ["A", "B"] and len(dls.train_ds) == 990
    x, y = next(iter(dls.valid))
    assert x.tolist() == [0, 1, 2, 3] and y.tolist() == [0, 1, 0, 1] and len(made) <= 8


def test_a_label_that_cannot_be_read_is_named_with_its_row() -> None:
    block = DataBlock(
        (TransformBlock, CategoryBlock),
        get_x=ColReader("n"),
        get_y=Pipeline([ColReader("score"), lambda s: int(s) > 1]),
        splitter=ColSplitter(),
    )
    with pytest.raises(DataError, match=r"(?s)`get_y`.*'row 20'.*step 2 of Pipeline.*nan.*Mend step 2"):
        block.datasets(FRAME)


def test_columns_of_the_same_name() -> None:
    frame = pd.concat([FRAME, FRAME["n"]], axis=1)
    with pytest.raises(DataError, match="'n' is there 2 times"):
        TableItems(frame)


def test_a_splitter_column_by_its_place_from_the_end_or_a_number_as_its_name() -> None:
    assert ColSplitter(-2)(FRAME) == ([0, 2], [1, 3])
    assert ColSplitter(7)(pd.DataFrame({7: [False, True]})) == ([0], [1])
