"""torchvision's and Albumentations' transforms: all of a sample together, seeded by the item, or refused."""

from __future__ import annotations

import os
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import gradient, noise
from torchvision import transforms as v1
from torchvision.transforms import v2

from wiggly.data.block import DataBlock
from wiggly.data.foreign import apply_foreign, drawing_from, library_of
from wiggly.data.split import IndexSplitter
from wiggly.data.transform import apply_item_transform
from wiggly.errors import DataError
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, Boxes
from wiggly.vision.decode import open_image
from wiggly.vision.image import LazyImage
from wiggly.vision.mask import LazyMask, MaskBlock
from wiggly.vision.points import Points
from wiggly.vision.resize import Resize

os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"  # else it asks the network for a newer version
A = pytest.importorskip("albumentations")

H, W = 60, 80
XY = np.array([[10.5, 20.5], [70.5, 5.5], [40.5, 50.5], [np.nan, np.nan]])
XYXY = np.array([[5.0, 10.0, 30.0, 40.0], [50.0, 2.0, 78.0, 58.0]])


def marked() -> Any:
    """A picture whose red channel is a mask, with a bright dot at each point and a frame at each box."""
    picture = np.zeros((H, W, 3), np.uint8)
    picture[15:45, 20:60, 0] = 200
    for x, y in XY[:3]:
        picture[int(y), int(x), 1] = 255
    for x0, y0, x1, y1 in XYXY.astype(int):
        picture[y0:y1, x0:x1, 2] = 255
    return picture


def sample() -> tuple[Any, ...]:
    mask = (marked()[..., 0] > 0).astype(np.uint8)
    return (
        LazyImage(open_image(marked())),
        LazyMask(mask, "mask"),
        Points(XY).on((H, W)),
        Boxes.of(XYXY).on((H, W)),
        "label",
    )


def agree(values: tuple[Any, ...], dot_tolerance: float = 0.76) -> None:
    """The mask, points and boxes are still where the picture shows them."""
    image, mask, points, boxes, label = values
    pixels = np.asarray(image.picture()).astype(int)
    assert label == "label" and image.size == mask.size == points.size == boxes.size == pixels.shape[:2]
    assert ((pixels[..., 0] > 100) != (mask.pixels() > 0)).mean() < 0.02
    rows, columns = np.indices(pixels.shape[:2]) + 0.5
    for x, y in points.xy[:3]:
        near = (np.abs(columns - x) < 3) & (np.abs(rows - y) < 3)
        weight = pixels[..., 1] * near
        if 3 < x < pixels.shape[1] - 3 and 3 < y < pixels.shape[0] - 3:
            centre = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
            assert np.abs(centre - (x, y)).max() < dot_tolerance
    assert np.isnan(points.xy[3]).all()
    first = boxes.xyxy
    inside = pixels[..., 2] > 127
    ys, xs = np.nonzero(inside)
    h, w = pixels.shape[:2]
    around = np.clip(
        [first[:, 0].min(), first[:, 1].min(), first[:, 2].max(), first[:, 3].max()], 0, [w, h] * 2
    )
    assert np.abs(np.array([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]) - around).max() < 1.6


TORCHVISION = [
    v2.RandomHorizontalFlip(1.0),
    v2.RandomVerticalFlip(1.0),
    v2.RandomRotation((90, 90), expand=True),
    v2.RandomAffine(0, translate=(0.1, 0.1)),
    v2.Resize((90, 120)),
    v2.Pad(7),
    v2.ColorJitter(0.05),
    v2.Compose([v2.RandomHorizontalFlip(1.0), v2.Pad(3), v2.CenterCrop((62, 82))]),
    v2.RandomResizedCrop((60, 80), scale=(0.8, 1.0)),
]


@pytest.mark.parametrize("tfm", TORCHVISION, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_torchvision_moves_all_together(tfm: Any, seed: int) -> None:
    agree(apply_foreign(tfm, sample(), 1, Random(seed)))


def test_flips_of_points_and_boxes_are_exact() -> None:
    for tfm in (v2.RandomHorizontalFlip(1.0), A.HorizontalFlip(p=1.0)):
        _, mask, points, boxes, _ = apply_foreign(tfm, sample(), 1, Random(0))
        np.testing.assert_allclose(points.xy[:3], np.abs(XY[:3] - (W, 0)), atol=1e-4)
        np.testing.assert_allclose(boxes.xyxy, np.abs(XYXY - (W, 0, W, 0))[:, [2, 1, 0, 3]], atol=1e-4)
        assert np.array_equal(mask.pixels(), sample()[1].pixels()[:, ::-1])


def test_points_beyond_the_edge_stay_there() -> None:
    for tfm in (v2.CenterCrop(20), A.CenterCrop(20, 20)):
        _, _, points, boxes, _ = apply_foreign(tfm, sample(), 1, Random(0))
        np.testing.assert_allclose(points.xy[:3], XY[:3] - (30, 20), atol=1e-4)
        assert len(boxes) == 2 and points.size == (20, 20)


ALBUMENTATIONS = [
    A.HorizontalFlip(p=1.0),
    A.VerticalFlip(p=1.0),
    A.Transpose(p=1.0),
    A.RandomRotate90(p=1.0),
    A.D4(p=1.0),
    A.Affine(rotate=(-15, 15), scale=(0.9, 1.1), p=1.0),
    A.Perspective(scale=(0.05, 0.1), keep_size=True, p=1.0),
    A.Resize(90, 120),
    A.RandomResizedCrop((60, 80), scale=(0.8, 1.0)),
    A.RandomBrightnessContrast(0.05, 0.05, p=1.0),
    A.Compose([A.HorizontalFlip(p=1.0), A.OneOf([A.VerticalFlip(p=1.0), A.Transpose(p=1.0)], p=1.0)]),
]


@pytest.mark.parametrize("tfm", ALBUMENTATIONS, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("seed", [0, 1])
def test_albumentations_moves_all_together(tfm: Any, seed: int) -> None:
    agree(apply_foreign(tfm, sample(), 1, Random(seed)), dot_tolerance=1.0)


@pytest.mark.parametrize("tfm", [v2.RandomRotation(40), A.Affine(rotate=(-40, 40), p=1.0)])
def test_two_pictures_of_a_sample_get_one_draw(tfm: Any) -> None:
    a, b = LazyImage(open_image(gradient())), LazyImage(open_image(gradient()))
    for seed in range(5):
        first, second = apply_foreign(tfm, (a, b), 2, Random(seed))
        assert np.array_equal(np.asarray(first.picture()), np.asarray(second.picture()))


@pytest.mark.parametrize(
    "tfm",
    [
        v2.Compose(
            [v2.RandomAffine(20, (0.1, 0.1)), v2.ColorJitter(0.3, 0.3, 0.3, 0.1), v2.RandomGrayscale(0.5)]
        ),
        v2.RandAugment(),
        v2.AugMix(),
        v2.ElasticTransform(),
        v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.GaussianNoise()]),
        v2.RandomApply([v2.GaussianBlur(3)], 0.5),
        v2.RandomChoice([v2.RandomPosterize(3), v2.RandomInvert(0.5)]),
        v1.Compose([v1.RandomResizedCrop(50), v1.ColorJitter(0.5)]),
        A.Compose(
            [A.Affine(rotate=(-20, 20)), A.GaussNoise(p=1.0), A.OneOf([A.Blur(p=1.0), A.CLAHE(p=1.0)])]
        ),
        A.RandomBrightnessContrast(p=0.9),
    ],
    ids=lambda t: type(t).__name__,
)
def test_seeded_by_the_item_whatever_the_threads(tfm: Any) -> None:
    def rows(workers: int) -> Any:
        recipe = DataBlock((ImageBlock,), n_inp=1, item_tfms=[tfm, Resize(32)], splitter=IndexSplitter([0]))
        dls = recipe.dataloaders([noise()] * 25, bs=4, num_workers=workers, seed=5, device="cpu")
        return torch.cat([b[0] for b in dls.train])

    state = torch.get_rng_state()
    alone, threads = rows(0), rows(4)
    assert torch.equal(alone, threads) and len({r.numpy().tobytes() for r in alone}) > 5
    assert torch.equal(torch.get_rng_state(), state)


def test_parts_of_a_composition_draw_apart() -> None:
    """One seed for all would have whatever has the same probability happen together."""
    tfm = A.Compose([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5), A.Transpose(p=0.5)])
    seen = set()
    pixels = noise(16, 16)
    for seed in range(60):
        image = apply_foreign(tfm, (LazyImage(open_image(pixels)),), 1, Random(seed))[0]
        seen.add(np.asarray(image.picture()).tobytes())
    assert len(seen) == 8


def test_torchs_modes_are_left_and_draws_are_those_of_a_generator() -> None:
    with drawing_from(Random(1)):
        like = torch.zeros(1000)
        drawn = [torch.rand(1000), torch.randn(1000), torch.rand_like(like), torch.randn_like(like)]
        drawn += [torch.empty(1000).uniform_(), torch.empty(1000).normal_(), torch.randperm(1000)]
        drawn += [torch.randint(9, (1000,)), torch.bernoulli(like + 0.5), torch.normal(0.0, 1.0, (1000,))]
        drawn += [torch.multinomial(torch.ones(1000), 1000)]
        drawn += [torch.distributions.Beta(torch.ones(1000), 1.0).sample()]
    state = torch.get_rng_state()
    with drawing_from(Random(1)):
        again = [torch.rand(1000), torch.randn(1000), torch.rand_like(like), torch.randn_like(like)]
        again += [torch.empty(1000).uniform_(), torch.empty(1000).normal_(), torch.randperm(1000)]
        again += [torch.randint(9, (1000,)), torch.bernoulli(like + 0.5), torch.normal(0.0, 1.0, (1000,))]
        again += [torch.multinomial(torch.ones(1000), 1000)]
        again += [torch.distributions.Beta(torch.ones(1000), 1.0).sample()]
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(a, b) for a, b in zip(drawn, again, strict=True))
    assert abs(drawn[0].mean() - 0.5) < 0.05 and abs(drawn[3].std() - 1) < 0.1
    with drawing_from(Random(1)):
        own = torch.Generator().manual_seed(3)
        mine = torch.rand(3, generator=own)
    assert torch.equal(mine, torch.rand(3, generator=torch.Generator().manual_seed(3)))
    torch.manual_seed(0)
    first = torch.rand(3)
    torch.manual_seed(0)
    assert torch.equal(torch.rand(3), first)


def test_version_1_moves_pictures_only() -> None:
    with pytest.raises(DataError, match=r"transforms\.v2"):
        apply_foreign(v1.RandomHorizontalFlip(1.0), sample(), 1, Random(0))
    agree(apply_foreign(v1.ColorJitter(0.01), sample(), 1, Random(0)))
    (image,) = apply_foreign(v1.RandomHorizontalFlip(1.0), sample()[:1], 1, Random(0))
    assert np.array_equal(np.asarray(image.picture()), marked()[:, ::-1])


def test_what_cannot_move_points_is_refused() -> None:
    class MasksOnly(A.DualTransform):
        def apply(self, img: Any, **params: Any) -> Any:
            return img[:, ::-1]

    for tfm in (MasksOnly(p=1.0), A.Compose([A.HorizontalFlip(p=1.0), A.OneOf([MasksOnly(p=1.0)], p=1.0)])):
        with pytest.raises(NotImplementedError, match="MasksOnly"):
            apply_foreign(tfm, sample(), 1, Random(0))
    image, mask, *_ = apply_foreign(MasksOnly(p=1.0), (*sample()[:2], 0), 1, Random(0))
    assert np.array_equal(np.asarray(image.picture()), marked()[:, ::-1])
    assert np.array_equal(mask.pixels(), sample()[1].pixels()[:, ::-1])


def test_what_loses_boxes_is_refused() -> None:
    class Loses(v2.Transform):
        def forward(self, image: Any, mask: Any, points: Any, boxes: Any) -> Any:
            return image, mask, points, boxes[:1]

    with pytest.raises(DataError, match="Loses made 1 of 2 boxes"):
        apply_foreign(Loses(), sample(), 1, Random(0))


def recipe(item_tfms: Any, batch_tfms: Any = None, blocks: Any = None, y: Any = None) -> Any:
    pictures = [noise(48, 64, k) for k in range(9)]
    made = DataBlock(
        blocks or (ImageBlock, MaskBlock([0, 1, 2])),
        getters=[lambda k: pictures[k], y or (lambda k: pictures[k][..., 0] // 100)],
        item_tfms=item_tfms,
        batch_tfms=batch_tfms,
        splitter=IndexSplitter([8]),
    )
    return made.dataloaders(range(9), bs=4, num_workers=2, seed=2, device="cpu")


def test_masks_through_loaders() -> None:
    for tfm in (
        v2.RandomHorizontalFlip(0.5),
        A.HorizontalFlip(p=0.5),
        v2.RandomCrop(32),
        A.RandomCrop(32, 32),
    ):
        for x, y in recipe(tfm).train:  # whole pixels: nothing is interpolated
            assert y.dtype == torch.int64 and x.shape[2:] == y.shape[1:]
            assert torch.equal((x[:, 0] * 255).round().long() // 100, y)


def test_torchvision_in_batch_tfms() -> None:
    flip = v2.RandomHorizontalFlip(0.5)
    drawn = set()
    for _ in range(3):
        for x, y in recipe(None, [flip]).train:
            assert torch.equal((x[:, 0] * 255).round().long() // 100, y)
    for _ in range(2):
        rows = [x for x, _ in recipe(None, [v2.RandomRotation(30), v2.ColorJitter(0.3)]).train]
        drawn.add(torch.cat(rows).numpy().tobytes())
    assert len(drawn) == 1
    boxes = recipe(Resize(40), [flip], (ImageBlock, BBoxBlock), lambda k: [[1.0, 2.0, 30.0, 40.0]])
    with pytest.raises(DataError, match="item_tfms"):
        next(iter(boxes.train))


def test_a_message_keeps_its_fix_and_names_the_item() -> None:
    with pytest.raises(DataError, match=r"mask together[\s\S]*on 'item [\s\S]*transforms.v2"):
        next(iter(recipe([v1.RandomCrop(20)]).train))


@pytest.mark.parametrize("picture", [noise()[..., 0].copy(), noise()])
def test_grey_and_colour(picture: Any) -> None:
    image = LazyImage(open_image(picture, 1 if picture.ndim == 2 else 3))
    for tfm in (A.HorizontalFlip(p=1.0), v2.RandomHorizontalFlip(1.0)):
        found = apply_item_transform(tfm, (image, 1), 1, Random(0), True)[0]
        assert np.array_equal(np.asarray(found.picture()), picture[:, ::-1])


def test_whose_it_is() -> None:
    class Mine(v2.Transform):
        pass

    class Theirs(A.ImageOnlyTransform):
        pass

    kinds = {Mine: "torchvision", Theirs: "albumentations", v1.Resize: "torchvision v1", Image.Image: ""}
    assert {kind: library_of(kind) for kind in kinds} == kinds


class Forgetful(A.HorizontalFlip):
    """Loses a point, as some distortions do that move points by way of a picture."""

    def apply_to_keypoints(self, keypoints: Any, **params: Any) -> Any:
        return super().apply_to_keypoints(keypoints, **params)[:-1]


def test_lost_points_are_told() -> None:
    with pytest.raises(DataError, match="Forgetful made 10 of 11"):
        apply_foreign(Forgetful(p=1.0), sample(), 1, Random(0))


@pytest.mark.parametrize(
    ("item_tfms", "batch_tfms", "says"),
    [
        ([A.Normalize()], [], r"Normalize.from_stats\(mean, std\)\. It gets the picture with its mask"),
        ([lambda picture: np.asarray(picture) * 2.0], [], r"floats in \[0, 1\]"),
        ([v2.Compose([v2.PILToTensor(), v2.SanitizeBoundingBoxes()])], [], "leave out what filters boxes"),
        ([], [A.HorizontalFlip()], "Put it into `item_tfms`"),
        ([], [v2.CutMix(num_classes=2)], r"cbs=CutMix\(\)"),
    ],
)
def test_what_fails_says_what_to_do(item_tfms: Any, batch_tfms: Any, says: str) -> None:
    block = DataBlock(ImageBlock, item_tfms=item_tfms, batch_tfms=batch_tfms, splitter=IndexSplitter([0]))
    dls = block.dataloaders([noise(20, 20, seed) for seed in range(5)], bs=2, device="cpu")
    with pytest.raises(DataError, match=says) as caught:
        next(iter(dls.train))
    assert len(str(caught.value)) < 800, "the repr of a picture"
