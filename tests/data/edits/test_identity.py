"""Items by content: the same hash wherever a file lies and whatever library holds a table."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from PIL import Image
from tests.data.support import photo_folder

from wiggly import ColReader, ItemIds, get_image_files
from wiggly.data.edits import hashing, identity
from wiggly.data.edits.hashing import HashStore, file_hashes
from wiggly.data.edits.identity import row_ids, value_id
from wiggly.data.table import TableItems
from wiggly.errors import DataError


def test_a_file_goes_by_its_content(tmp_path: Path) -> None:
    files = get_image_files(photo_folder(tmp_path / "photos", {"ant": 2, "bee": 2}))
    ids = ItemIds(files, root=tmp_path / "photos")
    ref = ids.ref(1)
    assert ref.id == "file:" + hashlib.sha256(files[1].read_bytes()).hexdigest()
    assert (ref.path, ref.size, ref.copies) == ("ant/ant_1.png", files[1].stat().st_size, 1)
    moved = files[1].rename(tmp_path / "photos" / "bee" / "new name.png")
    again = ItemIds([str(moved), *files[2:]])
    assert again.find({ref.id: ref.size}) == {ref.id: [0]} == again.find({ref.id: None})
    assert again.find({ref.id: 1}) == {}


def test_only_files_of_the_right_size_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(20):
        (tmp_path / f"{n}.jpg").write_bytes(bytes(n))
    files = get_image_files(tmp_path)
    read: list[str] = []
    monkeypatch.setattr(identity, "file_hashes", lambda paths: read.extend(paths) or file_hashes(paths))
    ids = ItemIds(files)
    assert ids.ref(3).copies == 1 and read == [str(files[3])]
    ids.find({"file:" + "0" * 64: 7})
    assert [os.path.basename(path) for path in read[1:]] == ["7.jpg"]


def test_copies_are_counted(tmp_path: Path) -> None:
    for name, data in {"a.jpg": b"same", "b.jpg": b"same", "c.jpg": b"else"}.items():
        (tmp_path / name).write_bytes(data)
    ids = ItemIds(get_image_files(tmp_path))
    assert [ids.ref(i).copies for i in range(3)] == [2, 2, 1]


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    ids = ItemIds([tmp_path / "gone.jpg", "lost.jpg", object()])
    for position in range(3):
        with pytest.raises(DataError, match="to be edited"):
            ids.ref(position)


ROWS = {"city": ["Rome", "Oslo", None], "age": [31.0, 45.5, 7.0], "old": [False, True, False]}


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame(ROWS),
        pd.DataFrame(ROWS)[["old", "city", "age"]].set_index(pd.Index([7, 8, 9])),
        pd.DataFrame(ROWS).convert_dtypes(),
        pd.DataFrame(ROWS).astype({"city": "category"}),
        pl.DataFrame(ROWS),
        pa.table(ROWS),
    ],
)
def test_a_row_is_the_same_in_every_library(table: Any) -> None:
    assert row_ids(TableItems(table)) == row_ids(TableItems(pd.DataFrame(ROWS)))


def test_a_column_that_became_broken_numbers_keeps_its_rows() -> None:
    whole = pd.DataFrame({"n": [1, 2, 3]})
    joined = pd.concat([whole, pd.DataFrame({"n": [np.nan]})])
    assert joined["n"].dtype == np.float64
    assert row_ids(TableItems(joined))[:3] == row_ids(TableItems(whole))


def test_dates_and_lists_in_rows() -> None:
    days = ["2024-02-29", "2024-03-01"]
    one = pd.DataFrame({"day": pd.to_datetime(days), "tags": [["a"], []]})
    other = pl.DataFrame({"day": days, "tags": [["a"], []]}).with_columns(pl.col("day").str.to_date())
    assert row_ids(TableItems(one)) == row_ids(TableItems(other))
    assert len(set(row_ids(TableItems(one)))) == 2


def test_a_row_that_names_a_file_goes_by_the_file(tmp_path: Path) -> None:
    files = get_image_files(photo_folder(tmp_path, {"ant": 2}))
    table = TableItems(pd.DataFrame({"file": ["ant/ant_0", "ant/ant_1"], "label": ["x", "y"]}))
    ids = ItemIds(table, ColReader("file", pref=tmp_path, suff=".png"), tmp_path)
    assert ids.ref(1).id == ItemIds(files).ref(1).id and ids.ref(1).path == "ant/ant_1.png"
    assert ItemIds(table).ref(1).path == "row 1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (np.arange(3), np.arange(4)),
        (torch.zeros(2), torch.ones(2)),
        ("text", "Text"),
        (("a", 1), ("a", 2)),
        ({"a": 1}, {"a": 2}),
        (Image.new("L", (2, 2)), Image.new("L", (2, 3))),
        (True, False),
    ],
)
def test_values_of_many_kinds(one: Any, other: Any) -> None:
    assert value_id(one) == value_id(one) != value_id(other)
    assert (value_id(one) or "").startswith("value:")


def test_hashes_that_took_long_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "BYTES_WORTH_KEEPING", 0)
    files = [tmp_path / f"{n}.jpg" for n in range(3)]
    past = time.time() - 60
    for n, file in enumerate(files):
        file.write_bytes(bytes([n]) * 10)
        os.utime(file, (past, past))
    names = [str(file) for file in files]
    first = file_hashes(names, tmp_path / "cache")
    assert first[1] == hashlib.sha256(b"\1" * 10).hexdigest()
    read: list[str] = []
    monkeypatch.setattr(hashing, "file_hash", lambda path: read.append(str(path)) or "new")
    assert file_hashes(names, tmp_path / "cache") == first and not read
    files[1].write_bytes(b"x" * 10)  # just now: may change again within the clock's grain
    for _ in range(2):
        assert file_hashes(names, tmp_path / "cache") == [first[0], "new", first[2]]
    assert read == [names[1]] * 2
    (tmp_path / "cache" / "hashes.sqlite").write_bytes(b"no database" * 500)
    assert file_hashes(names, tmp_path / "cache") == ["new"] * 3
    monkeypatch.undo()
    assert file_hashes(["gone.jpg", names[0]]) == [None, first[0]]


def test_where_nothing_can_be_remembered_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = HashStore(tmp_path / "file" / "hashes.sqlite")
    store.put({("a", 1, 1): "x"})
    assert store.get([("a", 1, 1)]) == {}
