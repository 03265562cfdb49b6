"""`tta`: the mean of passes made by hand, rows in order, the same at every call; refused for masks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.support import digit_learner
from torch import Tensor, nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.loaders import DataLoaders
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.train.learner import Learner
from wiggly.vision.augment import aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.mask import MaskBlock
from wiggly.vision.points import PointBlock
from wiggly.vision.resize import Resize

N = 20


def pictures() -> list[np.ndarray[Any, Any]]:
    random = np.random.default_rng(0)
    return [random.integers(0, 256, (24, 24, 3), dtype=np.uint8) for _ in range(N)]


def loaders(target: Any, labels: list[Any], tfms: Any = None, **settings: Any) -> DataLoaders:
    items = list(zip(pictures(), labels, strict=True))
    recipe = DataBlock(
        blocks=(ImageBlock, target),
        get_x=lambda item: item[0],
        get_y=lambda item: item[1],
        splitter=IndexSplitter(range(12, N)),
        item_tfms=Resize(16),
        batch_tfms=aug_transforms(max_rotate=30) if tfms is None else tfms,
    )
    return recipe.dataloaders(items, bs=3, device="cpu", seed=5, **settings)


def learner(target: Any, labels: list[Any], n_out: int, **settings: Any) -> Learner:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, n_out))
    return Learner(loaders(target, labels), model, **settings)


def classifier() -> Learner:
    return learner(CategoryBlock, ["a", "b", "c", "a"] * (N // 4), 3)


def drawn_by_hand(learn: Learner, epoch: int) -> Tensor:
    """Raw outputs of the validation items as training would draw them, item by item."""
    loader = learn.dls.valid
    dataset = loader.dataset
    from copy import copy

    training = copy(dataset)
    training.train = True
    from wiggly.data.loader import item_seed

    rows = []
    for position in range(len(dataset)):
        values = training.sample(position, item_seed(loader.seed, epoch, position))
        rows.append(dataset.blocks[0].encode(values[0]))
    with torch.no_grad():
        return learn.model.eval()(torch.stack(rows))


def test_it_is_the_mean_of_four_drawn_passes_and_the_plain_one() -> None:
    learn = classifier()
    plain, targets = learn.get_preds()
    passes = torch.stack([drawn_by_hand(learn, (1 << 29) + k).softmax(1) for k in range(4)])
    found, found_targets = learn.tta()
    torch.testing.assert_close(found, 0.75 * passes.mean(0) + 0.25 * plain)
    assert torch.equal(found_targets, targets)
    torch.testing.assert_close(found.sum(1), torch.ones(N - 12))
    (augmented, alone), _ = learn.tta(beta=None)
    torch.testing.assert_close(augmented, passes.mean(0))
    assert torch.equal(alone, plain)
    most, _ = learn.tta(use_max=True)
    torch.testing.assert_close(most, torch.cat([passes, plain[None]]).amax(0))


def test_each_pass_draws_anew_and_each_call_the_same() -> None:
    learn = classifier()
    one, two = (learn.tta(n=n, beta=0)[0] for n in (1, 2))
    assert not torch.allclose(one, two)
    assert torch.equal(learn.tta()[0], learn.tta()[0])
    assert torch.equal(learn.tta(beta=1)[0], learn.get_preds()[0])


def test_the_draws_of_training_are_not_moved() -> None:
    learn = classifier()
    first = [batch.inputs[0] for batch in loaders(CategoryBlock, ["a", "b", "c", "a"] * 5).train.batches()]
    epoch = learn.dls.train.epoch
    learn.tta(ds_idx=0)
    assert learn.dls.train.epoch == epoch
    assert not learn.dls.valid_ds.train
    again = [batch.inputs[0] for batch in learn.dls.train.batches()]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))


def test_training_items_come_in_the_order_of_the_data_set() -> None:
    learn = classifier()
    _, targets = learn.tta(ds_idx=0, n=1)
    assert targets.tolist() == [int(learn.dls.train_ds.encoded_target(i)) for i in range(12)]


def test_new_items_without_labels() -> None:
    learn = classifier()
    preds, targets = learn.tta(dl=learn.dls.test_dl(pictures()[:5]))
    assert preds.shape == (5, 3)
    assert targets is None


def test_several_labels_and_numbers() -> None:
    many = learner(MultiCategoryBlock, [["a"], ["b"], ["a", "b"], []] * (N // 4), 2)
    preds, _ = many.tta()
    assert bool(((preds >= 0) & (preds <= 1)).all())
    numbers = learner(RegressionBlock, [float(i) for i in range(N)], 1)
    passes = torch.stack([drawn_by_hand(numbers, (1 << 29) + k) for k in range(2)])
    torch.testing.assert_close(numbers.tta(n=2, beta=0)[0].flatten(), passes.mean(0).flatten())


def test_what_lies_on_the_picture_is_refused(tmp_path: Path) -> None:
    learn = learner(PointBlock, [[[3.0, 4.0]]] * N, 2)
    with pytest.raises(DataError, match="PointBlock says where things are"):
        learn.tta()
    masks = learner(MaskBlock(codes=["x", "y"]), [np.zeros((24, 24), np.uint8)] * N, 2)
    with pytest.raises(DataError, match="get_preds"):
        masks.tta()


def test_bad_arguments_and_foreign_loaders() -> None:
    with pytest.raises(ArgumentError, match="`n` must be at least 1"):
        classifier().tta(n=0)
    with pytest.raises(ArgumentError, match="`beta` must be from 0 to 1"):
        classifier().tta(beta=1.5)
    with pytest.raises(DataError, match="built from blocks"):
        digit_learner().tta()


@pytest.mark.parametrize(
    ("settings", "named"), [({"n": 1.5}, "n"), ({"n": "2"}, "n"), ({"beta": "x"}, "beta")]
)
def test_numbers_that_are_none(settings: dict[str, Any], named: str) -> None:
    with pytest.raises(ArgumentError, match=f"`{named}` must be"):
        digit_learner().tta(**settings)


def test_a_loader_that_is_not_there() -> None:
    with pytest.raises(ArgumentError, match="test_dl"):
        digit_learner().get_preds(ds_idx=2)
