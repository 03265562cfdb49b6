"""Files, labels and rows: what is found where, and how an item is called."""

from __future__ import annotations

import errno
import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly.data.items import (
    ColReader,
    RegexLabeller,
    TableItems,
    as_items,
    get_files,
    get_image_files,
    get_text_files,
    item_name,
    parent_label,
    using_attr,
)
from wiggly.data.split import grandparent_name
from wiggly.errors import ArgumentError, DataError, ItemError, LabelError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "cat/b.jpg",
        "cat/a.JPG",
        "cat/deep/er/c.jpeg",
        "dog/d.png",
        "dog/notes.txt",
        "dog/movie.mp4",
        "dog/._d.png",
        ".hidden/e.jpg",
        "f.webp",
        "no_suffix",
        "jpg",
        "g.svg",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / "album.jpg").mkdir()
    return tmp_path


def names(files: Any, root: Path) -> list[str]:
    return [f.relative_to(root).as_posix() for f in files]


def test_image_files(tree: Path) -> None:
    found = get_image_files(tree)
    assert names(found, tree) == ["cat/a.JPG", "cat/b.jpg", "cat/deep/er/c.jpeg", "dog/d.png", "f.webp"]
    assert all(isinstance(f, Path) for f in found)
    assert get_image_files(str(tree)) == found
    assert names(get_image_files(tree, recurse=False), tree) == ["f.webp"]
    assert names(get_image_files(tree, folders=["dog"]), tree) == ["dog/d.png"]
    assert names(get_image_files(tree, folders="dog"), tree) == ["dog/d.png"]
    assert names(get_files(tree, [".TXT"]), tree) == ["dog/notes.txt"]
    assert len(get_files(tree)) == 10  # everything without a leading dot


def test_a_folder_that_may_not_be_read_is_named(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scan = os.scandir

    def closed(folder: str) -> Any:
        if Path(folder).name == "dog":  # chmod does not stop root
            raise PermissionError(errno.EACCES, "Permission denied", folder)
        return scan(folder)

    monkeypatch.setattr(os, "scandir", closed)
    with pytest.warns(UserWarning, match="dog' may not be read"):
        found = get_image_files(tree)
    assert {file.name for file in found} >= {"a.JPG", "b.jpg"}
    assert "d.png" not in {file.name for file in found}


def test_links(tree: Path) -> None:
    (tree / "again").symlink_to(tree, target_is_directory=True)
    (tree / "cat" / "up").symlink_to(tree / "cat", target_is_directory=True)
    (tree / "broken.jpg").symlink_to(tree / "nowhere.jpg")
    outside = tree.parent / f"{tree.name} elsewhere"
    outside.mkdir()
    (outside / "z.jpg").touch()
    (tree / "linked").symlink_to(outside, target_is_directory=True)
    found = names(get_image_files(tree), tree)
    assert "linked/z.jpg" in found and sum(n.endswith("a.JPG") for n in found) == 1


def test_folders_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file.txt").touch()
    for path, what in ((tmp_path / "missing", "missing"), (tmp_path / "file.txt", "a file")):
        with pytest.raises(DataError, match=f"is {what}") as caught:
            get_image_files(path)
        assert str(path) in str(caught.value) and os.getcwd() in str(caught.value)
    assert get_image_files(tmp_path) == []


PARTS = st.lists(st.sampled_from(["a", "b", "b-c", "B", "a.x", "z"]), min_size=1, max_size=4)


@settings(deadline=None, max_examples=25)
@given(st.sets(PARTS.map("/".join)))
def test_files_are_sorted_as_paths(names: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            file = Path(folder, name + ".jpg")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
        want = sorted(p for p in Path(folder).rglob("*.jpg") if p.is_file())
        assert get_image_files(folder) == want
        parts = sorted(
            {p.relative_to(folder).parts[0] for p in want if p.parent != Path(folder)}, reverse=True
        )
        found = get_image_files(folder, folders=parts)
        assert found == sorted(found) and set(found) == {p for p in want if p.parent != Path(folder)}


def test_text_files(tree: Path) -> None:
    assert names(get_text_files(tree), tree) == ["dog/notes.txt"]
    assert get_text_files(tree, recurse=False) == get_text_files(tree, folders="cat") == []


@given(st.lists(st.sampled_from(["a", ".", "..", "", "b.c", "Bär"]), min_size=1, max_size=5).map("/".join))
def test_parent_label_is_pathlibs(text: str) -> None:
    want = Path(text).parent.name
    assert parent_label(text) == parent_label(Path(text)) == want
    assert grandparent_name(text) == grandparent_name(Path(text)) == Path(text).parent.parent.name


def test_regex_labeller_is_res() -> None:
    pattern = r"([^/]+)_\d+.jpg$"
    for text in ("pets/great_pyrenees_12.jpg", "Abyssinian_1.jpg"):
        want = re.search(pattern, text).group(1)  # type: ignore[union-attr]
        assert RegexLabeller(pattern)(text) == RegexLabeller(pattern)(Path(text)) == want
    assert RegexLabeller(r"(\w+)/", match=True)("pets/a.jpg") == "pets"
    with pytest.raises(LabelError, match=r"'x\.png'"):
        RegexLabeller(pattern)("x.png")
    with pytest.raises(LabelError):
        RegexLabeller(r"a(.)", match=True)("xab")
    with pytest.raises(ArgumentError, match="group"):
        RegexLabeller(r"\d+")
    with pytest.raises(ArgumentError, match="regular expression"):
        RegexLabeller("(")


def test_using_attr() -> None:
    assert (
        using_attr(RegexLabeller(r"^(.*)_\d+.jpg$"), "name")(Path("x_1.jpg/american_bulldog_3.jpg"))
        == "american_bulldog"
    )


TABLE = {"file": ["a", "b", "c"], "tags": ["x y", "", "y"], "score": [0.5, 1.5, 2.5], "n": [1, 2, 3]}


@pytest.fixture(params=["pandas", "polars", "pyarrow"])
def table(request: pytest.FixtureRequest) -> Any:
    library = pytest.importorskip(request.param)
    return library.table(TABLE) if request.param == "pyarrow" else library.DataFrame(TABLE)


def test_rows_of_any_table(table: Any) -> None:
    items = as_items(table)
    assert isinstance(items, TableItems) and len(items) == 3
    rows = list(items)
    assert [r["file"] for r in rows] == list("abc") and [r["n"] for r in rows] == [1, 2, 3]
    assert [r["score"] for r in items.subset([2, 0])] == [2.5, 0.5]
    assert len(items[1:]) == 2 and items[1:][0]["file"] == "b"
    assert items[np.int64(2)]["file"] == "c"
    assert ColReader("file", pref="p/", suff=".jpg")(rows[0]) == "p/a.jpg"
    assert ColReader("tags", label_delim=" ")(rows[0]) == ["x", "y"]
    assert ColReader("tags", label_delim=" ")(rows[1]) == []
    assert ColReader(2)(rows[1]) == 1.5 and ColReader(["n", "file"])(rows[2]) == [3, "c"]
    with pytest.raises(DataError, match=r"'nope'; the columns are \['file', 'tags'"):
        ColReader("nope")(rows[0])
    with pytest.raises(DataError, match="no column 9"):
        ColReader(9)(rows[0])


def test_rows_keep_their_own_names() -> None:
    table = pd.DataFrame({"file": list("abc")}, index=[10, 20, 30])
    items = as_items(table[table.file != "b"])
    assert [r["file"] for r in items] == ["a", "c"]
    assert item_name(items[1], 1) == "row 30"


def test_col_reader_joins_folders() -> None:
    row = pd.Series({"file": "a.jpg", "full": "/photos/b.jpg", "tags": float("nan")})
    assert Path(ColReader("file", pref=Path("root/x"))(row)) == Path("root/x/a.jpg")
    assert ColReader("full", pref=Path("root"))(row) == "/photos/b.jpg"
    assert ColReader("file", pref=Path("root"), suff=".png")(row) == os.path.join("root", "a.jpg.png")
    assert ColReader("tags", label_delim=";")(row) == []
    assert ColReader("file")({"file": "of a dict"}) == "of a dict"


def test_several_columns_missing_values_and_lists() -> None:
    frame = pd.DataFrame({"a": ["x", None], "b": [1, 2], "c": [["p", "q"], []]})
    first, second = as_items(frame)
    assert ColReader(["b", "a"])(first) == [1, "x"] and ColReader([0, 1])(first) == ["x", 1]
    assert ColReader(["a", "b"], pref="p/", suff=".jpg")(first) == ["p/x.jpg", "p/1.jpg"]
    assert (
        ColReader("c", label_delim=" ")(first) == ["p", "q"] and ColReader("c", label_delim=" ")(second) == []
    )
    assert ColReader("t", label_delim=";")({"t": "a;;b;"}) == ["a", "b"], (
        "nothing between two marks is no label"
    )
    for reader in (ColReader("a", suff=".jpg"), ColReader("a", pref=Path("p"))):
        with pytest.raises(ItemError, match="'row 1' is not: it has no value in column 'a'"):
            reader(second)
    with pytest.raises(DataError, match=r"no column 'z'; the columns are \['t'\]"):
        ColReader("z")({"t": 1})


def test_as_items() -> None:
    assert as_items([1, 2]) == [1, 2] and as_items(range(3)) == range(3)
    assert as_items(x for x in "ab") == ["a", "b"]
    array = np.zeros((3, 4, 4))
    assert as_items(array) is array
    for series in (pd.Series(["a", "b"], index=[7, 9]), pd.Series(["a", "b"]).astype("category")):
        assert list(as_items(series)) == ["a", "b"]  # a series' own index need not count from 0
    for path in ("photos", Path("photos")):
        with pytest.raises(DataError, match="get_items=get_image_files"):
            as_items(path)


def test_item_names() -> None:
    from PIL import Image

    assert item_name(Path("a/b.jpg"), 3) == "a/b.jpg" and item_name("b.jpg", 3) == "b.jpg"
    assert item_name(Image.new("L", (2, 2)), 3) == item_name(np.zeros(3), 3) == "item 3"
    assert item_name(pd.Series({"a": 1}, name=12), 3) == "row 12"
    assert item_name((Path("a/b.jpg"), "cat"), 3) == item_name(("a/b.jpg", "cat"), 3) == "a/b.jpg"
    assert item_name(("some words", 1), 3) == item_name((), 3) == "item 3"


def test_col_reader_of_tuples_and_of_columns_called_by_numbers() -> None:
    frame = pd.DataFrame({"file": ["a"], "n": [3]})
    (named,) = frame.itertuples()
    assert ColReader("file")(named) == "a" and ColReader(2)(named) == 3 and ColReader(1)(("a", 3)) == 3
    assert ColReader([1, 0], suff="!")(("a", 3)) == ["3!", "a!"]
    for row, wrong in ((named, "nope"), (("a", 3), 2), (("a", 3), "file")):
        with pytest.raises(DataError, match=f"no column {wrong!r}; the columns are"):
            ColReader(wrong)(row)
    turned = pd.DataFrame([["x", "y"]], columns=[1, 0])  # as pandas has it: the name, not the position
    for row in (turned.iloc[0], TableItems(turned)[0], {1: "x", 0: "y"}):
        assert (ColReader(1)(row), ColReader(0)(row), ColReader(-1, suff="")(row)) == ("x", "y", "y")
    assert ColReader(0).read_all(TableItems(turned)) == ["y"]
