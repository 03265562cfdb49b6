"""Several inputs and several targets, from the table to a fitted model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.items import ColReader, get_image_files
from wiggly.data.pipeline import Pipeline
from wiggly.data.split import ColSplitter, RandomSplitter
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock

SMALL: dict[str, Any] = {"bs": 8, "seed": 0, "device": "cpu", "num_workers": 2}


class Pooled(nn.Module):
    """4 × 4 averages of every image and channel, then one linear map per output."""

    def __init__(self, n_images: int, *n_out: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(nn.Linear(48 * n_images, n) for n in n_out)

    def forward(self, *images: Tensor) -> Any:
        x = torch.cat([F.adaptive_avg_pool2d(image, 4).flatten(1) for image in images], 1)
        outputs = tuple(head(x) for head in self.heads)
        return outputs if len(outputs) > 1 else outputs[0]


def learned(dls: Any, model: nn.Module, **options: Any) -> Learner:
    torch.manual_seed(0)
    learn = Learner(dls, model, **options)
    with learn.no_bar(), learn.no_logging():
        learn.fit(4, 3e-3)
    losses = [row[0] for row in learn.recorder.values]
    assert losses[-1] < losses[0], "nothing was learnt"
    return learn


@pytest.fixture(scope="module")
def pets(shared: Path) -> pd.DataFrame:
    table = pd.read_csv(shared / "data" / "pets" / "index.csv")
    folder = shared / "data" / "pets" / "images"
    there = table[[(folder / name).exists() for name in table.fname]].iloc[::9]
    return there.assign(fname=[str(folder / name) for name in there.fname])


def test_an_image_with_two_labels_and_a_number(pets: pd.DataFrame) -> None:
    breeds = sorted(pets.breed.unique())
    block = DataBlock(
        (ImageBlock, CategoryBlock(vocab=breeds), CategoryBlock, RegressionBlock),
        n_inp=1,
        get_x=ColReader("fname"),
        get_y=[
            ColReader("breed"),
            ColReader("species"),
            Pipeline([ColReader(["orig_w", "orig_h"]), lambda size: size[0] / size[1]]),
        ],
        splitter=RandomSplitter(seed=1),
        item_tfms=Resize(48),
    )
    dls = block.dataloaders(pets, **SMALL)
    assert dls.vocab == [breeds, ["cat", "dog"]] and dls.c == [len(breeds), 2, 1] and dls.n_inp == 1
    row = pets.iloc[dls.valid_ds.items._rows[0]]
    x, breed, species, ratio = dls.valid_ds[0]
    assert (dls.vocab[0][breed], dls.vocab[1][species]) == (row.breed, row.species)
    assert ratio.item() == pytest.approx(row.orig_w / row.orig_h) and x.size[0] > 0
    x, *targets = dls.one_batch()
    assert x.shape == (8, 3, 48, 48) and [t.dtype for t in targets] == [torch.int64] * 2 + [torch.float32]
    dls.show_batch(max_n=2)
    titles = [ax.get_title().split("\n") for ax in plt.gcf().axes]
    assert all(t[0] in breeds and t[1] in ("cat", "dog") and float(t[2]) > 0 for t in titles)
    assert [len(b.tensors) for b in dls.test_dl(pets[:3]).batches()] == [1]
    assert [len(b.tensors) for b in dls.test_dl(pets[:3], with_labels=True).batches()] == [4]

    def loss(pred: Any, breed: Tensor, species: Tensor, ratio: Tensor) -> Tensor:
        classes = F.cross_entropy(pred[0], breed) + F.cross_entropy(pred[1], species)
        return classes + F.mse_loss(pred[2][:, 0], ratio)

    def species_accuracy(pred: Any, breed: Tensor, species: Tensor, ratio: Tensor) -> Tensor:
        return (pred[1].argmax(-1) == species).float().mean()

    learn = learned(dls, Pooled(1, len(breeds), 2, 1), loss_func=loss, metrics=species_accuracy)
    assert 0 <= learn.validate()[1] <= 1 and learn.recorder.metric_names[-2] == "species_accuracy"


def test_two_images_with_one_and_with_two_targets(shared: Path) -> None:
    files = get_image_files(shared / "data" / "hymenoptera")[::6]
    pairs = [(a, b) for a in files[::2] for b in (files[1], files[-1])]

    def alike(pair: Any) -> str:
        return "same" if pair[0].parent.name == pair[1].parent.name else "different"

    getters = [lambda pair: pair[0], lambda pair: pair[1], alike, lambda pair: float(alike(pair) == "same")]
    options: dict[str, Any] = {"splitter": RandomSplitter(seed=0), "item_tfms": Resize(40)}
    one = DataBlock(
        (ImageBlock, ImageBlock, CategoryBlock), getters=getters[:3], batch_tfms=aug_transforms(), **options
    )
    dls = one.dataloaders(pairs, **SMALL)
    assert dls.n_inp == 2 and dls.vocab == ["different", "same"] and dls.c == 2
    first = dls.train.look(1)
    a, b = (image.clone() for image in first.inputs)
    same_pair = DataBlock(
        (ImageBlock, ImageBlock, CategoryBlock), getters=[*getters[:1] * 2, alike], **options
    )
    twins = same_pair.new(item_tfms=Resize(40), batch_tfms=aug_transforms()).dataloaders(pairs, **SMALL)
    x1, x2, _ = twins.one_batch()
    assert torch.equal(x1, x2) and not torch.equal(a, b), "both images of a sample move alike"
    dls.show_batch(max_n=2)
    assert sum(bool(ax.get_images()) for ax in plt.gcf().axes) == 4
    learn = learned(dls, Pooled(2, 2), metrics=accuracy)
    probs, targets = learn.get_preds()
    assert probs.shape == (len(dls.valid_ds), 2) and targets.shape == (len(dls.valid_ds),)
    assert learn.predict(pairs[0])[0] in dls.vocab
    both = DataBlock(
        (ImageBlock, ImageBlock, CategoryBlock, RegressionBlock), getters=getters, n_inp=2, **options
    ).dataloaders(pairs, **SMALL)
    assert both.c == [2, 1] and both.vocab == dls.vocab
    learned(
        both,
        Pooled(2, 2, 1),
        loss_func=lambda pred, y1, y2: F.cross_entropy(pred[0], y1) + F.mse_loss(pred[1][:, 0], y2),
    )


def test_the_table_of_the_book(shared: Path) -> None:
    folder = shared / "data" / "voc2007_sub"
    table = pd.read_csv(folder / "train.csv")
    block = DataBlock(
        (ImageBlock, MultiCategoryBlock),
        get_x=ColReader("fname", pref=folder / "images"),
        get_y=ColReader("labels", label_delim=" "),
        splitter=ColSplitter(),
        item_tfms=Resize(32),
    )
    dls = block.dataloaders(table, **SMALL)
    want = sorted({label for labels in table[~table.is_valid].labels for label in labels.split(" ")})
    assert dls.vocab == want and len(dls.valid_ds) == table.is_valid.sum()
    batch = next(dls.valid.batches())
    rows = table[table.is_valid].iloc[batch.positions]
    decoded = [set(dls.target_blocks[0].decode(hot)) for hot in batch.targets[0]]
    assert decoded == [set(labels.split(" ")) for labels in rows.labels]
    assert dls.valid_ds.items[0].fname == rows.iloc[0].fname == dls.valid_ds.items[0]["fname"]
