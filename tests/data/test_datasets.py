"""`Datasets` by hand, columns, and loaders of any two data sets."""

from __future__ import annotations

from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.data.support import photo_folder
from torch.utils.data import Dataset as TorchDataset
from torch.utils.data import TensorDataset

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, RegressionBlock, TransformBlock
from wiggly.data.datasets import Datasets
from wiggly.data.items import ColReader, get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.vision.augment import (
    Flip,
    IntToFloatTensor,
    Normalize,
    Resize,
    ToTensor,
    aug_transforms,
    imagenet_stats,
)
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.image import PILImage


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 9, "dog": 7})


# ------------------------------------------------------------------------------------------ Datasets
def test_the_same_as_the_block(photos: Path) -> None:
    files, splitter = get_image_files(photos), RandomSplitter(0.25, seed=2)
    block = DataBlock(
        (ImageBlock, CategoryBlock), get_y=parent_label, splitter=splitter, item_tfms=Resize(20)
    )
    by_block = block.dataloaders(files, bs=4, seed=3, device="cpu")
    sets = Datasets(files, [[ImageBlock], [parent_label, CategoryBlock()]], splitter)
    by_hand = sets.dataloaders(bs=4, seed=3, device="cpu", after_item=[Resize(20)])
    assert by_hand.vocab == by_block.vocab == sets.vocab and by_hand.n_inp == 1
    for ours, theirs in zip(by_hand.train, by_block.train, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert isinstance(sets.train[0][0], PILImage) and sets[1] is sets.valid and len(sets) == 2
    assert sorted([*sets.splits[0], *sets.splits[1]]) == list(range(16))
    assert sets.train.item_tfms == [], "the loaders' transforms were added to the data sets"


def test_functions_before_the_block() -> None:
    table = pd.DataFrame({"x": [1, 2, 3, 4], "y": ["p", "q", "p", "q"]})
    sets = Datasets(
        table, [[ColReader("x"), float], [ColReader("y"), str.upper, CategoryBlock]], ([0, 1], [2, 3])
    )
    assert [v.item() for v in sets.train[1]] == [2.0, 1] and sets.vocab == ["P", "Q"]
    plain = Datasets([3, 4], [[], lambda x: x * 2], ([0], [1]))
    assert plain.valid[0] == (4, 8) and plain.vocab is None
    parity = [lambda i: i % 2, str, CategoryBlock]
    two = Datasets(range(4), [[float], parity, parity], ([0, 1, 2], [3]), n_inp=1)
    assert two.vocab == [["0", "1"]] * 2 and two.n_inp == 1
    with pytest.raises(LabelError, match="'3' is not among"):
        Datasets(range(4), [[float], [str, CategoryBlock]], ([0, 1, 2], [3]))
    with pytest.raises(DataError, match="validation; it left 0"):
        Datasets(range(4), [[float]], ([0, 1, 2, 3], []))


# ------------------------------------------------------------------------------------------- columns
def test_columns_become_rows(photos: Path) -> None:
    files = get_image_files(photos)
    labels = [f.parent.name for f in files]
    block = DataBlock.from_columns(
        (ImageBlock, CategoryBlock),
        get_items=lambda folder: (get_image_files(folder), labels),
        splitter=IndexSplitter([0, 15]),
        item_tfms=Resize(16),
    )
    dls = block.dataloaders(photos, bs=4, device="cpu")
    assert dls.vocab == ["cat", "dog"] and dls.one_batch()[0].shape == (4, 3, 16, 16)
    assert dls.valid_ds.items == [(files[0], "cat"), (files[15], "dog")]
    assert dls.valid_ds.item_name(0) == str(files[0])
    turned = DataBlock.from_columns(
        (TransformBlock, RegressionBlock), [itemgetter(1), itemgetter(0)], splitter=IndexSplitter([0])
    )
    arrays = np.arange(3), pd.Series([0.5, 1.5, 2.5], index=[7, 8, 9])
    assert [v.item() for v in turned.datasets(arrays).train[0]] == [1.5, 1.0]
    assert DataBlock.from_columns(splitter=IndexSplitter([0])).datasets([[1, 2], [3, 4]]).train[0] == (2, 4)


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (([1, 2], [1]), r"lengths are \[2, 1\]"),
        ((), r"lengths are \[\]"),
        (("abc", [1, 2, 3]), "one is 'abc'"),
        (([1, 2], (x for x in "ab")), "generator"),
        (5, "one is 5"),
    ],
)
def test_columns_that_cannot_be(columns: Any, says: str) -> None:
    with pytest.raises(DataError, match=says):
        DataBlock.from_columns((TransformBlock, TransformBlock)).datasets(columns)


# ----------------------------------------------------------------------------------------- any two sets
class Squares(TorchDataset[Any]):
    def __len__(self) -> int:
        return 6

    def __getitem__(self, i: int) -> Any:
        return torch.tensor([float(i)]), i * i


def test_loaders_of_torchs_data_sets() -> None:
    dls = DataLoaders.from_dsets(Squares(), Squares(), bs=4, val_bs=3, shuffle=False, device="cpu")
    assert [y.tolist() for _, y in dls.train] == [[0, 1, 4, 9], [16, 25]]
    assert [len(y) for _, y in dls.valid] == [3, 3] and dls.blocks == []
    tensors = TensorDataset(torch.arange(6.0).view(6, 1), torch.arange(6))
    shuffled = DataLoaders.from_dsets(tensors, tensors, 2, seed=1, device="cpu")
    seen = [int(i) for _, y in shuffled.train for i in y]
    assert sorted(seen) == list(range(6)) and seen == shuffled.train.order(0)
    weighted = DataLoaders.from_dsets(tensors, tensors, 2, wgts=[0, 0, 1, 0, 0, 0], device="cpu")
    assert {int(i) for _, y in weighted.train for i in y} == {2} and len(weighted.valid) == 3


def test_what_is_done_after_an_item_and_after_a_batch() -> None:
    pairs = [(torch.ones(3), i) for i in range(4)]
    dls = DataLoaders.from_dsets(
        pairs,
        pairs,
        bs=4,
        device="cpu",
        after_item=lambda pair: (pair[0] * 2, pair[1] + 10),
        after_batch=[lambda x: x + 1],
    )
    x, y = next(iter(dls.valid))
    assert x.tolist() == [[3.0] * 3] * 4 and y.tolist() == [10, 11, 12, 13]
    for wrong in ({"after_item": Resize(4)}, {"after_batch": [lambda x: x, Flip()]}):
        with pytest.raises(ArgumentError, match="made by blocks"):
            DataLoaders.from_dsets(pairs, pairs, **wrong)


def test_after_a_batch_of_images(photos: Path) -> None:
    class Mine(DataLoader):
        pass

    files = get_image_files(photos)
    block = DataBlock((ImageBlock, CategoryBlock), get_y=parent_label, item_tfms=Resize(24))
    sets = block.datasets(files)
    dls = DataLoaders.from_dsets(
        sets.train,
        sets.valid,
        bs=4,
        after_batch=[*aug_transforms(size=16), lambda x: x * 0],
        dl_type=Mine,
        path=photos,
        device="cpu",
    )
    x, y = dls.one_batch()
    assert x.shape == (4, 3, 16, 16) and not x.any() and y.dtype == torch.int64
    assert type(dls.train) is Mine and dls.path == photos and dls.vocab == ["cat", "dog"]
    assert dls.test_dl(files[:2]).one_batch()[0].shape == (2, 3, 16, 16)


def test_a_block_in_several_places_learns_for_each(photos: Path) -> None:
    """An object that was fitted again would rename the classes of loaders made before."""
    block, table = CategoryBlock(), pd.DataFrame({"x": range(4), "y": list("abab"), "z": list("pqqp")})
    getters = [ColReader("x"), ColReader("y"), ColReader("z")]
    both = DataBlock((TransformBlock, block, block), getters=getters, n_inp=1, splitter=IndexSplitter([3]))
    first = both.datasets(table)
    assert first.vocab == [["a", "b"], ["p", "q"]] and [v.item() for v in first.train[1]] == [1, 1, 1]
    second = both.datasets(table.assign(y=list("cdcd")))
    assert second.vocab == [["c", "d"], ["p", "q"]] and first.vocab == [["a", "b"], ["p", "q"]]


@pytest.mark.parametrize("wgts", [None, (w for w in [1.0] * 4), {0: 1.0, 1: 1.0, 2: 1.0, 3: 1.0}, 3])
def test_weights_that_are_no_list(wgts: Any) -> None:
    with pytest.raises(ArgumentError, match="one number per item"):
        Datasets(range(4), [[float]], ([0, 1, 2], [3])).weighted_dataloaders(wgts)


def test_options_that_do_not_exist(capsys: pytest.CaptureFixture[str]) -> None:
    sets: Any = Datasets(range(4), [[float]], ([0, 1, 2], [3]))
    with pytest.raises(TypeError, match="no option 'shufle'; did you mean 'shuffle'"):
        sets.dataloaders(bs=2, shufle=False)
    with pytest.raises(TypeError, match="no option 'weights'"):
        DataLoaders.from_dsets([(1, 2)], [(1, 2)], weights=[1.0])  # pyright: ignore
    block = DataBlock(TransformBlock, splitter=IndexSplitter([0]))
    block.weighted_dataloaders([1.0, 2.0, 3.0], [1, 1, 1], bs=2, device="cpu", verbose=True)
    assert "2 training, 1 validation" in capsys.readouterr().out


def test_classes_of_transforms_are_made(photos: Path) -> None:
    files = get_image_files(photos)
    sets = Datasets(files, [[ImageBlock], [parent_label, CategoryBlock]], RandomSplitter(0.25, seed=2))
    later = [IntToFloatTensor, Normalize.from_stats(*imagenet_stats)]
    dls = sets.dataloaders(bs=4, device="cpu", after_item=[Resize(20), ToTensor, Flip], after_batch=later)
    assert dls.one_batch()[0].shape == (4, 3, 20, 20) and Flip() in dls.train_ds.item_tfms
    for wrong, says in ((Resize, "Call the class: Resize"), ([[Flip()]], "Write a star before it")):
        with pytest.raises(ArgumentError, match=says):
            sets.dataloaders(after_item=wrong)
