"""Both loaders together: new items, other settings, where batches go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from tests.data.support import photo_folder

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import ColReader, get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders, default_device
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return photo_folder(tmp_path_factory.mktemp("photos"), {"cat": 10, "dog": 10})


@pytest.fixture(scope="module")
def dls(photos: Path) -> DataLoaders:
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_items=get_image_files,
        get_y=parent_label,
        splitter=RandomSplitter(0.3, seed=0),
        item_tfms=Resize(20),
        batch_tfms=aug_transforms(size=16),
    )
    return block.dataloaders(photos, bs=4, seed=1, device="cpu", num_workers=1)


def rows(loader: Any) -> torch.Tensor:
    return torch.cat([batch[0] for batch in loader])


def test_new_items_of_any_kind_give_the_same_batches(dls: DataLoaders, photos: Path) -> None:
    files = get_image_files(photos)[3:10]
    want = rows(dls.test_dl(files))
    assert want.shape == (7, 3, 16, 16)
    pictures = [Image.open(f) for f in files]
    for items in (
        [str(f) for f in files],
        pictures,
        [np.asarray(Image.open(f)) for f in files],
        [torch.from_numpy(np.array(Image.open(f))).permute(2, 0, 1) for f in files],
        [f.read_bytes() for f in files],
        np.array([str(f) for f in files]),
        pd.Series(files, index=range(50, 57)),
        (f for f in files),
        files,
    ):
        assert torch.equal(rows(dls.test_dl(items)), want)
    assert torch.equal(rows(dls.test_dl(files, bs=2, num_workers=0)), want)


def test_new_items_are_not_shuffled_not_dropped_not_drawn(dls: DataLoaders, photos: Path) -> None:
    files = get_image_files(photos)
    test = dls.test_dl(files)
    assert [p for b in test.batches() for p in b.positions] == list(range(20)) and test.n_items == 20
    assert torch.equal(rows(test), rows(test)) and not test.shuffle and not test.drop_last
    assert all(b.targets == () for b in test.batches())
    assert torch.equal(rows(dls.test_dl(dls.valid_ds.items)), rows(dls.valid))


def test_new_items_with_labels(dls: DataLoaders, photos: Path) -> None:
    files = get_image_files(photos)[8:13]
    y = torch.cat([y for _, y in dls.test_dl(files, with_labels=True)])
    assert [dls.vocab[i] for i in y] == [f.parent.name for f in files]


def test_new_rows_of_a_table(photos: Path) -> None:
    files = get_image_files(photos)
    table = pd.DataFrame(
        {"name": [f.relative_to(photos) for f in files], "label": [f.parent.name for f in files]}
    )
    block = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=ColReader("name", pref=photos),
        get_y=ColReader("label"),
        splitter=RandomSplitter(0.3, seed=0),
        item_tfms=Resize(16),
    )
    made = block.dataloaders(table, bs=4, num_workers=0, device="cpu")
    new = table.loc[[15, 2], ["name"]]  # without labels, in another order
    assert torch.equal(rows(made.test_dl(new)), rows(made.test_dl([files[15], files[2]])))
    labelled = next(iter(made.test_dl(table.loc[[15, 2]], with_labels=True)))
    assert labelled[1].tolist() == [1, 0]


def test_new_items_that_cannot_be(dls: DataLoaders) -> None:
    for single in ("a.jpg", Path("a.jpg"), b"\xff"):
        with pytest.raises(ArgumentError, match="must be a list of items"):
            dls.test_dl(single)
    with pytest.raises(DataError, match="at least 1 item"):
        dls.test_dl([])
    with pytest.raises(DataError, match=r"nowhere\.jpg"):
        list(dls.test_dl(["nowhere.jpg"]))


def test_new_settings(dls: DataLoaders) -> None:
    again = dls.new(bs=5)
    assert (again.train.bs, again.valid.bs) == (5, 5) and again.vocab == dls.vocab and again.path == dls.path
    assert again.train_ds is dls.train_ds and dls.train.bs == 4
    assert dls.new(bs=5, val_bs=3).valid.bs == 3
    still = dls.new(shuffle=False)
    assert still.train.order(0) == list(range(14)) and not still.train.drop_last
    assert again.recipe()["source"] == dls.recipe()["source"]


def test_show_batch_draws(dls: DataLoaders) -> None:
    import matplotlib.pyplot as plt

    dls.show_batch(max_n=4, nrows=1, figsize=(8, 2))
    figure = plt.gcf()
    assert len(figure.axes) == 4 and tuple(figure.get_size_inches()) == (8, 2)
    assert {ax.get_title() for ax in figure.axes} <= {"cat", "dog"}
    x, y = dls.one_batch()
    dls.show_batch((x, y))
    drawn = plt.gcf().axes
    assert [ax.get_title() for ax in drawn] == [dls.vocab[i] for i in y]
    shown = drawn[0].get_images()[0].get_array()
    assert np.abs(np.asarray(shown) / 255 - x[0].permute(1, 2, 0).numpy()).max() <= 0.5 / 255 + 1e-6
    dls.show_batch(unique=True, max_n=6)
    pictures = [np.asarray(ax.get_images()[0].get_array()) for ax in plt.gcf().axes]
    assert len({ax.get_title() for ax in plt.gcf().axes}) == 1 and len({p.tobytes() for p in pictures}) > 3
    dls.valid.show_batch(max_n=2)
    dls.test_dl(dls.valid_ds.items[:2]).show_batch()
    assert [ax.get_title() for ax in plt.gcf().axes] == ["", ""]


def test_devices(dls: DataLoaders) -> None:
    assert dls.to("cpu") is dls and dls.device == torch.device("cpu")
    elsewhere = dls.new().to("meta")
    assert next(iter(elsewhere.train))[0].device.type == "meta" and elsewhere.one_batch()[1].is_meta
    assert next(elsewhere.train.batches()).inputs[0].device.type == "cpu"
    assert elsewhere.cpu().one_batch()[0].device.type == "cpu"
    assert default_device().type in ("cpu", "cuda", "mps")


def test_loaders_of_plain_sequences() -> None:
    pairs = [(torch.tensor([float(i)]), torch.tensor(i % 2)) for i in range(9)]
    made = DataLoaders(DataLoader(pairs, bs=4, shuffle=True), DataLoader(pairs, bs=4))
    assert made.one_batch()[0].shape == (4, 1) and made.c == [] and made.blocks == []
    assert [len(x) for x, _ in made.valid] == [4, 4, 1]
    with pytest.raises(DataError, match="show_batch"):
        made.show_batch()
