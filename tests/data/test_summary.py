"""What `summary` prints, and that a failing step ends in its error and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.data.support import photo_folder

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.items import ColReader, RegexLabeller, get_image_files, parent_label, using_attr
from wiggly.data.split import ColSplitter, IndexSplitter, RandomSplitter
from wiggly.errors import DataError, ItemError, LabelError, WigglyError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return photo_folder(tmp_path, {"cat": 6, "dog": 6})


def recipe(**changes: Any) -> DataBlock:
    options: dict[str, Any] = {
        "get_items": get_image_files,
        "splitter": IndexSplitter([5, 11]),
        "get_y": parent_label,
        "item_tfms": Resize(16),
    }
    return DataBlock((ImageBlock, CategoryBlock), **{**options, **changes})


def lines_of(said: str) -> list[str]:
    lines = said.splitlines()
    told = [line for line in lines if "/" not in line]  # a path stays in one piece
    assert len(lines) <= 25 and max(map(len, told)) <= 101, said
    return lines


def fails(block: DataBlock, source: Any, capsys: pytest.CaptureFixture[str]) -> tuple[WigglyError, list[str]]:
    """The error that `summary` raises, which its last lines repeat, and the lines before."""
    with pytest.raises(WigglyError) as caught:
        block.summary(source)
    lines = lines_of(capsys.readouterr().out)
    at = next(k for k, line in enumerate(lines) if line.startswith("fails"))
    told = " ".join(line[8:].strip() for line in lines[at:])
    assert told == f"{caught.value.rule}; {caught.value.received}. {caught.value.fix}"
    assert any(line.startswith("fix ") for line in lines[at:])
    return caught.value, lines[:at]


def test_each_step_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    calls: list[str] = []

    def label(path: Path) -> str:
        calls.append("label")
        return path.parent.name

    def items(folder: Path) -> Any:
        calls.append("items")
        return get_image_files(folder)

    recipe(get_items=items, get_y=label).summary(photos)
    lines = lines_of(capsys.readouterr().out)
    assert [line[:8].strip() for line in lines] == [
        *("items", "split", "blocks", "", "sample", "x", "y", "load", "change", "x", "y", "batch")
    ]
    assert calls == ["items"] + ["label"] * 12, "the recipe ran more than once"
    assert "label gives 'cat'" in lines[6] and "image 20×24, 'cat' (height × width)" in lines[7]
    assert "Resize(size=16): image 16×16" in lines[8] and "(3, 16, 16) float32" in lines[9]
    assert lines[-1].startswith("batch   x (4, 3, 16, 16) float32, y (4,) int64 (4 items)")
    for k in (0, 1, 2, 7, 8, 9, 11):
        assert lines[k].endswith(" ms")


def test_images_of_several_sizes(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error, lines = fails(recipe(item_tfms=None), photos, capsys)
    assert "21×25" in error.received and "20×24" in error.received and "cat_1.png" in error.received
    assert "Resize(224)" in error.fix and lines[-1].startswith("y ")


def test_a_getter_that_fails(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    error, lines = fails(recipe(get_x=lambda p: p.nope), photos, capsys)
    assert "`get_x`" in error.rule and "cat_0.png" in error.received and lines[-1].startswith("sample")
    error, lines = fails(recipe(get_y=using_attr(RegexLabeller("^(cat)"), "name")), photos, capsys)
    assert isinstance(error, LabelError) and "dog_0.png" in error.received and lines[-1].startswith("split")
    error, lines = fails(recipe(get_items=lambda folder: folder["x"]), photos, capsys)
    assert "`get_items`" in error.rule and "a lambda raised TypeError" in error.received and not lines
    error, _ = fails(recipe(splitter=lambda items: 1 / 0), photos, capsys)
    assert "`splitter`" in error.rule and "ZeroDivisionError" in error.received


def test_columns_that_are_not_there(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = get_image_files(photos)
    table = pd.DataFrame(
        {"name": files, "label": [f.parent.name for f in files], "is_valid": [True] * 2 + [False] * 10}
    )
    options = {"get_items": None, "splitter": ColSplitter(), "get_x": ColReader("name")}
    error, lines = fails(recipe(**options, get_y=ColReader("labels")), table, capsys)
    assert "'labels'; the columns are ['name', 'label', 'is_valid']" in error.received
    assert lines[-1].startswith("split")
    error, _ = fails(
        recipe(**{**options, "get_x": ColReader("file")}, get_y=ColReader("label")), table, capsys
    )
    assert "'file'" in error.received
    recipe(**options, get_y=ColReader("label")).summary(table)
    assert "ColReader('label') gives 'cat'" in capsys.readouterr().out


def test_an_unreadable_first_file(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "cat" / "cat_0.png").write_bytes(b"<html>")
    content = (photos / "cat" / "cat_1.png").read_bytes()
    (photos / "cat" / "cat_1.png").write_bytes(content[: len(content) // 2])
    recipe().summary(photos)
    lines = lines_of(capsys.readouterr().out)
    assert lines[4].endswith("cat_2.png'") and lines[5].strip().startswith("2 before it cannot be read: ")
    assert lines[-1].startswith("batch   x (2, 3, 16, 16)"), "those of the first four that can be read"
    for file in get_image_files(photos):
        file.write_bytes(b"no")
    error, _ = fails(recipe(), photos, capsys)
    assert isinstance(error, ItemError) and "cat_0.png" in error.received


def test_transforms_that_fail(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(picture: Any) -> Any:
        return picture.nope

    error, lines = fails(recipe(item_tfms=[Resize(16), broken]), photos, capsys)
    assert "broken" in error.rule and "cat_0.png" in error.received and "Resize(size=16)" in lines[-1]
    error, lines = fails(recipe(batch_tfms=[lambda x: x[:2]]), photos, capsys)
    assert "`batch_tfms`" in error.rule and lines[-1].startswith("y ")


def test_several_inputs_and_targets(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    blocks = (ImageBlock, ImageBlock, CategoryBlock, MultiCategoryBlock, RegressionBlock)
    getters = [lambda p: p, lambda p: p, parent_label, lambda p: [p.parent.name], lambda p: len(p.name)]
    block = DataBlock(
        blocks,
        n_inp=2,
        getters=getters,
        get_items=get_image_files,
        splitter=RandomSplitter(seed=0),
        item_tfms=Resize(8),
        batch_tfms=aug_transforms(),
    )
    block.summary(photos, show_batch=True)
    lines = lines_of(capsys.readouterr().out)
    assert [line[:2] for line in lines if line[:1] in "xy"] == ["x1", "x2", "y1", "y2", "y3"] * 2
    assert (
        "y1 (4,) int64 (4 items)" in lines[-2] and lines[-1].strip() == "y2 (4, 2) float32, y3 (4,) float32"
    )
    assert any("Flip(), Warp(p=0.75), Rotate(p=0.75)" in line for line in lines)


@pytest.mark.parametrize("bs", [1, 6])
def test_the_size_of_the_batch(photos: Path, capsys: pytest.CaptureFixture[str], bs: int) -> None:
    recipe().summary(photos, bs=bs)
    assert f"({bs}, 3, 16, 16)" in capsys.readouterr().out.splitlines()[-1]


def test_any_other_error_is_raised_as_it_is(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Mine(CategoryBlock):
        def encode(self, value: Any) -> Any:
            raise RuntimeError("mine")

    block = DataBlock(
        (ImageBlock, Mine), get_items=get_image_files, get_y=parent_label, splitter=IndexSplitter([0])
    )
    with pytest.raises(RuntimeError, match="mine"):
        block.summary(photos)
    assert capsys.readouterr().out.splitlines()[-1].startswith("fails   RuntimeError: mine")
    with pytest.raises(DataError):
        recipe().summary(photos / "nowhere")


def test_no_end_of_an_error_is_cut_off(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for length in range(80, 90):  # lines as long as the width, and longer
        frame = pd.DataFrame({"a": [1] * 12, "b" * length: [1] * 12})
        fails(recipe(get_y=ColReader("nope"), get_items=lambda _, frame=frame: frame), photos, capsys)


def test_a_step_is_one_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe(get_y=lambda path: f"a\n{path.parent.name}").summary(photos)
    assert "CategoryBlock, 2 classes: a cat, a dog" in capsys.readouterr().out
    with pytest.raises(DataError, match="Check where it comes from"):
        DataBlock().summary([])
