"""Transforms of the user's own: chosen by type, whole samples, probability, in both lists, by name."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.data.support import gradient, noise
from torch import Tensor

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.split import IndexSplitter
from wiggly.data.transform import (
    Configurable,
    DisplayedTransform,
    ItemTransform,
    RandTransform,
    Transform,
    apply_item_transform,
    transform_names,
)
from wiggly.errors import ArgumentError, BundleError, DataError
from wiggly.vision.augment import aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.flip import Flip
from wiggly.vision.image import PILImage, PILImageBW
from wiggly.vision.mask import MaskBlock, PILMask
from wiggly.vision.resize import Resize


class Inverted(Transform):
    def encodes(self, x: PILImage) -> Any:
        assert type(x) is PILImage
        return ImageOps.invert(x)


class OnlyGrey(Transform):
    def encodes(self, x: PILImageBW) -> Any:
        raise AssertionError("there is no grey picture")


class Anything(Transform):
    def encodes(self, x):  # type: ignore[no-untyped-def]
        return np.asarray(x) // 2


class MaskPlusOne(Transform):
    def encodes(self, x: PILMask) -> Any:
        return np.asarray(x) + 1


class Mirrored(ItemTransform):
    split_idx = 0

    def encodes(self, sample: Any) -> Any:
        image, mask = sample
        assert isinstance(image, Image.Image) and isinstance(mask, PILMask)
        return ImageOps.mirror(image), ImageOps.mirror(mask)


def batches(tfms: Any, batch_tfms: Any = None) -> Any:
    masks = [np.arange(48 * 64).reshape(48, 64) // 400 for _ in range(5)]
    pictures = [noise(48, 64, k) for k in range(5)]
    recipe = DataBlock(
        (ImageBlock, MaskBlock(list(range(10)))),
        getters=[lambda k: pictures[k], lambda k: masks[k]],
        item_tfms=tfms,
        batch_tfms=batch_tfms,
        splitter=IndexSplitter([4]),
    )
    dls = recipe.dataloaders(range(5), bs=4, num_workers=0, seed=1, device="cpu", shuffle=False)
    return next(iter(dls.train)), next(iter(dls.valid))


def test_a_type_chooses_the_values() -> None:
    (x, y), _ = batches([Inverted(), OnlyGrey()])
    (plain, mask), _ = batches([])
    assert (x - (1 - plain)).abs().max() < 1e-6 and torch.equal(y, mask)
    (x, y), _ = batches([MaskPlusOne()])
    assert torch.equal(x, plain) and torch.equal(y, mask + 1)
    (x, y), _ = batches([Anything()])
    assert (x * 255).max() <= 127 and torch.equal(y, mask)


def test_a_whole_sample_in_training_only() -> None:
    train, valid = batches([Resize((24, 32), "squish"), Mirrored()])
    plain_train, plain_valid = batches([Resize((24, 32), "squish")])
    assert all(torch.equal(a, b.flip(-1)) for a, b in zip(train, plain_train, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(valid, plain_valid, strict=True))


def test_what_comes_back_untouched_stays() -> None:
    class Same(ItemTransform):
        def encodes(self, sample: Any) -> Any:
            return sample

    train, _ = batches([Flip(1.0), Same()])
    plain, _ = batches([Flip(1.0)])
    assert all(torch.equal(a, b) for a, b in zip(train, plain, strict=True))


@pytest.mark.parametrize("answer", [None, (1,), "ab?"])
def test_a_wrong_answer_is_named(answer: Any) -> None:
    class Wrong(ItemTransform):
        def encodes(self, sample: Any) -> Any:
            return answer

    with pytest.raises(DataError, match=r"must return 2 values[\s\S]*item "):
        batches([Wrong()])


def test_a_failing_one_is_named_with_its_item() -> None:
    class Fails(Transform):
        def encodes(self, x: PILImage) -> Any:
            raise ZeroDivisionError

    with pytest.raises(DataError, match=r"Fails[\s\S]*ZeroDivisionError[\s\S]*item "):
        batches([Fails()])


def test_in_batch_tfms_it_gets_the_batch() -> None:
    shapes: list[Any] = []

    class Dark(Transform):
        split_idx = 0

        def encodes(self, x: Tensor) -> Tensor:
            shapes.append(tuple(x.shape))
            return x / 2

    train, valid = batches(Resize(32, "squish"), [*aug_transforms(max_warp=0, p_affine=0), Dark()])
    assert shapes == [(4, 3, 32, 32)] and train[0].max() <= 0.5 < valid[0].max()


def test_rand_transform_draws_from_the_item() -> None:
    class Seen(RandTransform):
        def __init__(self, p: float) -> None:
            super().__init__(p)
            self.calls: list[int] = []

        def before_call(self, b: Any, split_idx: int) -> None:
            self.calls.append(split_idx)

        def encodes(self, x: int) -> int:
            return x + 1

    tfm = Seen(0.3)
    found = [apply_item_transform(tfm, (0, "a"), 1, Random(s), True) for s in range(1000)]
    assert abs(sum(x for x, _ in found) - 300) < 60 and len(tfm.calls) == sum(x for x, _ in found)
    assert found == [apply_item_transform(tfm, (0, "a"), 1, Random(s), True) for s in range(1000)]
    assert all(apply_item_transform(tfm, (0, "a"), 1, Random(s), False) == (0, "a") for s in range(50))


def test_torchs_draws_in_a_callable_belong_to_the_item() -> None:
    """The same whatever the order of the items, and torch's own generator is left alone."""

    def noisy(picture: Any) -> Any:
        return torch.rand(3, 8, 8)

    class Noisy(Transform):
        def encodes(self, x: PILImage) -> Any:
            return torch.rand(3, 8, 8)

    def rows(tfm: Any, workers: int) -> Any:
        recipe = DataBlock((ImageBlock,), n_inp=1, item_tfms=tfm, splitter=IndexSplitter([0]))
        dls = recipe.dataloaders([gradient()] * 9, bs=2, num_workers=workers, seed=5, device="cpu")
        return torch.cat([b[0] for b in dls.train])

    for tfm in (noisy, Noisy()):
        torch.manual_seed(0)
        state = torch.get_rng_state()
        first = rows(tfm, 0)
        assert torch.equal(torch.get_rng_state(), state)
        assert torch.equal(first, rows(tfm, 3)) and len({r.numpy().tobytes() for r in first}) == 8


@dataclass(frozen=True, repr=False)
class Own(Transform):
    """Given `apply`, a transform of the user's own is like one of wiggly's."""

    by: int = 1

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return tuple(v + self.by if isinstance(v, int) else v for v in values)


def test_apply_gets_all_values() -> None:
    assert apply_item_transform(Own(3), (1, 2, "x"), 1, Random(0), True) == (4, 5, "x")
    assert transform_names([Own(3), Anything(), print]) == ["Own(by=3)", "Anything()", "print"]
    assert Transform.from_config(Own(3).config()) == Own(3)
    with pytest.raises(ArgumentError, match="`encodes` or `apply`"):
        Transform().apply((1,), Random(0), True)
    assert DisplayedTransform is Transform


def test_a_name_of_ours_cannot_be_taken() -> None:
    class Resize(Transform):  # the user's, of the same name
        def encodes(self, x: PILImage) -> Any:
            return x

    assert Configurable.registry["Resize"].__module__ == "wiggly.vision.resize"
    found = Transform.from_config({"name": "Resize", "args": {"size": 8}})
    assert type(found).__module__ == "wiggly.vision.resize"
    with pytest.raises(BundleError):
        Transform.from_config({"name": "Resize", "args": {}})


def test_labels_are_left_alone() -> None:
    recipe = DataBlock(
        (ImageBlock, CategoryBlock),
        get_x=lambda k: noise(8, 8, k),
        get_y=lambda k: "ab"[k % 2],
        item_tfms=[Anything(), Inverted()],
        splitter=IndexSplitter([4, 5]),
    )
    x, y = next(iter(recipe.dataloaders(range(6), bs=4, num_workers=0, device="cpu").valid))
    assert y.tolist() == [0, 1]
    assert torch.allclose(x[0], 1 - torch.from_numpy(noise(8, 8, 4) // 2).permute(2, 0, 1) / 255)
