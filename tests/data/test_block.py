"""`DataBlock`: the recipe's parts, its data sets, what `summary` says, and labels that cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.data.support import noise, photo_folder

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock, TransformBlock
from wiggly.data.items import ColReader, RegexLabeller, get_image_files, parent_label, using_attr
from wiggly.data.loader import DataLoader
from wiggly.data.split import (
    ColSplitter,
    FuncSplitter,
    GrandparentSplitter,
    IndexSplitter,
    RandomSplitter,
    TrainTestSplitter,
)
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage, PILImageBW


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 12, "Dog": 8})


def recipe(**changes: Any) -> DataBlock:
    options: dict[str, Any] = {
        "blocks": (ImageBlock, CategoryBlock),
        "get_items": get_image_files,
        "splitter": RandomSplitter(0.25, seed=1),
        "get_y": parent_label,
        "item_tfms": Resize(16),
    }
    return DataBlock(**{**options, **changes})


QUIET: dict[str, Any] = {"bs": 4, "num_workers": 0, "device": "cpu"}


def test_the_recipe_of_the_readme(photos: Path) -> None:
    block = recipe(item_tfms=Resize(46), batch_tfms=aug_transforms(size=22))
    dls = block.dataloaders(photos, **QUIET)
    assert dls.vocab == ["Dog", "cat"] and dls.c == 2 and dls.path == Path() and dls.bs == 4
    assert (len(dls.train_ds), len(dls.valid_ds)) == (15, 5) and dls.n_inp == 1
    x, y = dls.one_batch()
    assert x.shape == (4, 3, 22, 22) and y.shape == (4,)
    assert dls.item_tfms == [Resize(46)] and dls.batch_tfms == aug_transforms(size=22)
    assert dls[0] is dls.train and dls[1] is dls.valid and list(dls) == [dls.train, dls.valid]
    assert dls.input_blocks[0].name == "ImageBlock" and dls.target_blocks[0].n_out == 2


def test_nothing_given() -> None:
    datasets = DataBlock().datasets(range(10))
    assert len(datasets.train) == 8 and len(datasets.valid) == 2 and len(datasets) == 2
    item = datasets.train[0]
    assert len(item) == 2 and item[0] == item[1]
    with pytest.raises(TypeError, match="get_z"):
        DataBlock(get_z=len)  # type: ignore[call-arg]


def test_datasets(photos: Path) -> None:
    datasets = recipe().datasets(photos)
    picture, label = datasets.train[0]
    assert isinstance(picture, PILImage) and datasets.vocab is not None
    path = datasets.train.items[0]
    assert np.array_equal(np.asarray(picture), np.asarray(Image.open(path)))
    assert datasets.vocab[label] == parent_label(path) == datasets.train.raw_targets[0]
    assert datasets[1] is datasets.valid and len(list(datasets.valid)) == 5
    assert datasets.train[-1][1] == datasets.train[14][1] and len(datasets.train[2:5]) == 3
    assert int(datasets.train.encoded_target(0)) == int(label) and datasets.train.item_name(0) == str(path)
    with pytest.raises(IndexError):
        datasets.train[15]


@pytest.mark.parametrize(
    ("splitter", "n_valid"),
    [
        (TrainTestSplitter(0.25, random_state=0), 5),
        (FuncSplitter(lambda p: p.stem.endswith("3")), 2),
        (IndexSplitter([0, 5, 19]), 3),
        (lambda items: (range(1, 20), [0]), 1),
        (lambda items: (np.arange(1, 20), np.array([0])), 1),
    ],
)
def test_splitters(photos: Path, splitter: Any, n_valid: int) -> None:
    dls = recipe(splitter=splitter, blocks=(ImageBlock, CategoryBlock(vocab=["Dog", "cat"]))).dataloaders(
        photos, **QUIET
    )
    assert (len(dls.train_ds), len(dls.valid_ds)) == (20 - n_valid, n_valid)


def test_grandparents_and_regular_expressions(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        photo_folder(tmp_path / part, {"cat": 3, "dog": 3})
    block = recipe(
        splitter=GrandparentSplitter(), get_y=using_attr(RegexLabeller(r"^(.+)_\d+\.png$"), "name")
    )
    dls = block.dataloaders(tmp_path, **QUIET)
    assert (len(dls.train_ds), len(dls.valid_ds), dls.vocab) == (6, 6, ["cat", "dog"])
    assert all(p.parent.parent.name == "valid" for p in dls.valid_ds.items)


@pytest.mark.parametrize("kind", ["pandas", "polars", "pyarrow"])
def test_a_table_as_the_source(photos: Path, kind: str) -> None:
    library = pytest.importorskip(kind)
    files = get_image_files(photos)
    columns = {
        "file": [f.relative_to(photos).as_posix() for f in files],
        "tags": [f"{f.parent.name} {'even' if i % 2 else 'odd'}" for i, f in enumerate(files)],
        "is_valid": [i % 5 == 0 for i in range(len(files))],
    }
    table = library.table(columns) if kind == "pyarrow" else library.DataFrame(columns)
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock),
        get_x=ColReader("file", pref=photos),
        get_y=ColReader("tags", label_delim=" "),
        splitter=ColSplitter(),
        item_tfms=Resize(16),
    )
    dls = block.dataloaders(table, **QUIET)
    assert dls.vocab == ["Dog", "cat", "even", "odd"] and dls.c == 4 and len(dls.valid_ds) == 4
    x, y = next(iter(dls.valid))
    assert x.shape == (4, 3, 16, 16) and y.shape == (4, 4) and y.dtype == torch.float32
    assert dls.valid_ds.items[1]["file"] == columns["file"][5] and dls.valid_ds.item_name(0).startswith(
        "row "
    )
    again = dls.test_dl(table, with_labels=True, bs=20)
    assert next(iter(again))[1].sum() == 40 and len(dls.test_dl(files[:3]).dataset) == 3


def test_functions_of_a_row(photos: Path) -> None:
    table = pd.DataFrame({"f": get_image_files(photos)[:10], "y": np.linspace(0, 1, 10)}, index=range(5, 15))
    block = recipe(
        blocks=(ImageBlock, RegressionBlock),
        get_items=None,
        get_x=lambda row: row["f"],
        get_y=lambda row: row.y,
    )
    dls = block.dataloaders(table, **QUIET)
    assert dls.c == 1 and next(iter(dls.train))[1].dtype == torch.float32
    with pytest.raises(DataError, match="target with labels"):
        _ = dls.vocab


def test_two_inputs_two_targets(photos: Path) -> None:
    block = recipe(
        blocks=(ImageBlock, ImageBlock(PILImageBW), CategoryBlock, RegressionBlock),
        n_inp=2,
        get_x=[lambda p: p, lambda p: p],
        get_y=[parent_label, lambda p: len(p.name)],
    )
    dls = block.dataloaders(photos, **QUIET)
    x1, x2, y1, y2 = next(iter(dls.train))
    assert x1.shape == (4, 3, 16, 16) and x2.shape == (4, 1, 16, 16)
    assert y1.dtype == torch.int64 and y2.dtype == torch.float32 and dls.c == [2, 1]
    assert dls.vocab == ["Dog", "cat"] and len(dls.input_blocks) == len(dls.target_blocks) == 2
    both = recipe(
        blocks=(ImageBlock, CategoryBlock, CategoryBlock),
        n_inp=1,
        get_y=[parent_label, lambda p: len(p.stem)],
    )
    assert len(both.dataloaders(photos, **QUIET).vocab) == 2


def test_labels_as_inputs_are_fitted_too(photos: Path) -> None:
    block = recipe(blocks=(CategoryBlock, CategoryBlock), get_x=lambda p: len(p.stem), item_tfms=None)
    x, y = next(iter(block.dataloaders(photos, **QUIET).valid))
    assert x.dtype == y.dtype == torch.int64


def test_number_of_getters() -> None:
    for wrong in ({"getters": [len]}, {"get_y": [len, len]}, {"get_x": [len, len]}):
        with pytest.raises(ArgumentError, match="one getter per block"):
            DataBlock((TransformBlock, TransformBlock), **wrong)
    pair = DataBlock(
        (TransformBlock, TransformBlock),
        getters=[lambda t: t[0], lambda t: t[1]],
        splitter=IndexSplitter([0]),
    )
    assert pair.datasets([(1, 2), (3, 4)]).train[0] == (torch.tensor(3), torch.tensor(4))
    assert DataBlock(TransformBlock, n_inp=1, splitter=IndexSplitter([0])).datasets([5, 6]).train[0] == (6,)


def test_new_changes_the_transforms_alone(photos: Path) -> None:
    first = recipe()
    second = first.new(item_tfms=Resize(24), batch_tfms=aug_transforms(size=20))
    third = second.new()
    assert second.dataloaders(photos, **QUIET).one_batch()[0].shape[2:] == (20, 20)
    assert first.dataloaders(photos, **QUIET).one_batch()[0].shape[2:] == (16, 16)
    assert third.item_tfms == third.batch_tfms == [] and third.get_y is first.get_y
    a, b = (block.datasets(photos).train.items for block in (first, second))
    assert a == b


def test_an_own_loader(photos: Path) -> None:
    class Mine(DataLoader):
        pass

    dls = recipe(dl_type=Mine).dataloaders(photos, **QUIET)
    assert type(dls.train) is type(dls.valid) is Mine


def test_summary_tells_every_step(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe(batch_tfms=aug_transforms(size=12)).summary(photos, show_batch=True)
    said = capsys.readouterr().out
    for part in (
        "items   20 from",
        "split   15 training, 5 validation by RandomSplitter(valid_pct=0.25, seed=1)",
        "CategoryBlock, 2 classes: Dog, cat",
        "parent_label gives 'cat'",
        "change  Resize(size=16), Flip(), ",
        "Contrast(): image 16×16",
        "change  Resize(size=12, method='squish'): image 12×12",
        "(height × width)",
        "batch   x (4, 3, 12, 12) float32, y (4,) int64 (4 items)",
    ):
        assert part in said, said


def test_summary_names_what_does_not_fit(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match=r"(?s)same size.*Resize\(224\)"):
        recipe(item_tfms=None).summary(photos)
    assert "ImageBlock encodes" in capsys.readouterr().out


def test_verbose(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe().datasets(photos)
    assert capsys.readouterr().out == ""
    recipe().datasets(photos, verbose=True)
    assert "items   20 from" in capsys.readouterr().out


def test_the_recipe_can_be_told(photos: Path) -> None:
    import json

    told = recipe().dataloaders(photos, **QUIET, seed=7).recipe()
    assert json.loads(json.dumps(told)) == told
    assert told["seed"] == 7 and told["n_train"] == 15 and str(photos) in told["source"]
    assert told["item_tfms"] == ["Resize(size=16)"]


# ------------------------------------------------------------------------------------ what cannot be
def test_sources_without_items(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="gave none"):
        recipe().dataloaders(tmp_path)
    with pytest.raises(DataError, match="missing"):
        recipe().dataloaders(tmp_path / "nowhere")
    with pytest.raises(DataError, match="get_items=get_image_files"):
        recipe(get_items=None).dataloaders(tmp_path)
    with pytest.raises(DataError, match="validation; it left 0 of 3"):
        recipe(get_items=None).dataloaders(["a", "b", "c"])


def test_a_label_function_that_fails_on_one_item(photos: Path) -> None:
    def label(path: Path) -> str:
        return {"cat": "c", "Dog": "d"}[parent_label(path)] if path.stem != "cat_5" else {}["cat_5"]

    with pytest.raises(LabelError) as caught:
        recipe(get_y=label).dataloaders(photos)
    assert str(photos / "cat" / "cat_5.png") in str(caught.value) and "KeyError" in str(caught.value)
    with pytest.raises(LabelError, match=r"(?s)`get_y`.*Dog_\d\.png.*'\^\(cat\)_'"):
        recipe(get_y=using_attr(RegexLabeller("^(cat)_"), "name")).dataloaders(photos)


@pytest.mark.parametrize(
    ("get_y", "says"),
    [
        (None, "`get_y` must say"),
        (lambda p: None, "at least 2 classes"),
        (lambda p: "same", "at least 2 classes; the training items have 1: ['same']"),
        (lambda p: [p.parent.name], "MultiCategoryBlock"),
        (lambda p: None if p.stem == "cat_3" else p.parent.name, "cat_3.png"),
    ],
)
def test_labels_that_cannot_be(photos: Path, get_y: Any, says: str) -> None:
    with pytest.raises((LabelError, ArgumentError)) as caught:
        recipe(get_y=get_y).dataloaders(photos)
    assert says in str(caught.value)


def test_a_class_in_validation_alone(photos: Path) -> None:
    only = FuncSplitter(lambda p: p.stem == "Dog_2")
    with pytest.raises(LabelError) as caught:
        recipe(splitter=only, get_y=lambda p: p.stem if p.stem == "Dog_2" else p.parent.name).dataloaders(
            photos
        )
    assert "Dog_2.png" in str(caught.value) and "in validation" in str(caught.value)
    dls = recipe(
        splitter=only,
        blocks=(ImageBlock, CategoryBlock(add_na=True)),
        get_y=lambda p: p.stem if p.stem == "Dog_2" else p.parent.name,
    ).dataloaders(photos, **QUIET)
    assert next(iter(dls.valid))[1].tolist() == [0] and dls.vocab[0] == "#na#"


def test_a_class_with_one_item(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"cat": 5, "dog": 5, "emu": 1})
    at = get_image_files(folder).index(folder / "emu" / "emu_0.png")
    assert recipe(splitter=IndexSplitter([0, 6])).dataloaders(folder, **QUIET).vocab == ["cat", "dog", "emu"]
    with pytest.raises(LabelError, match=r"'emu' is not among the 2: cat, dog"):
        recipe(splitter=IndexSplitter([0, at])).dataloaders(folder)


def test_items_of_the_wrong_kind_are_named() -> None:
    items = [noise(8, 8), noise(8, 8), np.zeros((8, 8, 2), np.uint8)]
    block = DataBlock((ImageBlock,), n_inp=1, splitter=IndexSplitter([0]))
    with pytest.raises(ArgumentError, match=r"\(8, 8, 2\) \(item 'item 1'\)"):
        list(block.dataloaders(items, bs=2, num_workers=0, shuffle=False).train)


def test_a_get_x_that_fails_is_named_with_its_item(digits_folder: Path) -> None:
    def get_x(path: Path) -> Path:
        return path if path.stem < "0005" else 1 / 0  # pyright: ignore[reportReturnType]

    block = DataBlock((ImageBlock, CategoryBlock), get_items=get_image_files, get_x=get_x, get_y=parent_label)
    dls = block.dataloaders(digits_folder, num_workers=0, bs=8)
    with pytest.raises(DataError, match=r"`get_x`[\s\S]*png': ZeroDivisionError"):
        list(dls.valid)
