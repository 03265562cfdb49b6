"""The named transforms: geometry by hand, distributions of the draws, validation, JSON, bad arguments."""

from __future__ import annotations

import json
import math
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import gradient, noise
from torchvision.transforms import v2

from wiggly.data.block import DataBlock
from wiggly.data.split import IndexSplitter
from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError, BundleError, DataError
from wiggly.vision import decode as decode_module
from wiggly.vision import image as image_module
from wiggly.vision.augment import (
    IntToFloatTensor,
    Normalize,
    Rotate,
    ToTensor,
    Warp,
    Zoom,
    aug_transforms,
    imagenet_stats,
    setup_aug_tfms,
)
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.decode import open_image
from wiggly.vision.draws import PadMode
from wiggly.vision.erase import CutOut, RandomErasing
from wiggly.vision.flip import Dihedral, DihedralItem, Flip, FlipItem
from wiggly.vision.geometry import resample
from wiggly.vision.image import LazyImage
from wiggly.vision.lighting import Brightness, Contrast, Hue, Saturation
from wiggly.vision.policy import RandAugment, TrivialAugment
from wiggly.vision.resize import RandomResizedCrop, Resize, ResizeMethod


def box_of(transform: Any, size: tuple[int, int], seed: int = 0, train: bool = True) -> tuple[float, ...]:
    """What part of the picture is kept: left, top, width, height in source pixels."""
    geometry = transform.draw_geometry(Random(seed), size, train)
    inverse = np.linalg.inv(geometry.matrix)
    h, w = geometry.size
    (x0, y0), (x1, y1) = inverse[:2, 2], (inverse @ [w, h, 1])[:2]
    return x0, y0, x1 - x0, y1 - y0


def block(item_tfms: Any, batch_tfms: Any = None) -> DataBlock:
    return DataBlock(
        (ImageBlock,), item_tfms=item_tfms, batch_tfms=batch_tfms, splitter=IndexSplitter([0]), n_inp=1
    )


# Validation is resampled exactly, training quickly: on a smooth picture two grey levels apart at most.
ROUNDED = 2.5 / 255


def both_sides(item_tfms: Any, batch_tfms: Any = None, pixels: Any = None, n: int = 8) -> tuple[Any, Any]:
    """The training batch and the validation batch of the same picture."""
    picture = gradient() if pixels is None else pixels
    dls = block(item_tfms, batch_tfms).dataloaders(
        [picture] * (n + 1), bs=n, num_workers=0, seed=3, device="cpu"
    )
    return next(iter(dls.train))[0], next(iter(dls.valid))[0]


# ------------------------------------------------------------------------------------------------ Resize
def test_resize_size_is_height_then_width() -> None:
    train, valid = both_sides(Resize((20, 50)))
    assert train.shape[2:] == valid.shape[2:] == (20, 50)


def test_resize_crop_takes_the_largest_part() -> None:
    assert box_of(Resize(30), (60, 80), train=False) == pytest.approx((10, 0, 60, 60))
    assert box_of(Resize(30), (80, 60), train=False) == pytest.approx((0, 10, 60, 60))
    assert box_of(Resize((10, 40)), (60, 80), train=False) == pytest.approx((0, 20, 80, 20))
    lefts = [box_of(Resize(30), (60, 80), seed) for seed in range(300)]
    assert all(b[1:] == pytest.approx((0, 60, 60)) for b in lefts)
    found = np.array([b[0] for b in lefts]).round().astype(int)
    assert found.min() == 0 and found.max() == 20 and abs(found.mean() - 10) < 1.1  # 3 standard errors


def test_resize_crop_in_validation_is_pillows_middle() -> None:
    _, valid = both_sides(Resize(30), pixels=noise())
    want = Image.fromarray(noise()).resize((30, 30), Image.Resampling.BILINEAR, box=(10, 0, 70, 60))
    difference = np.abs(valid[0].permute(1, 2, 0).numpy() * 255 - np.asarray(want))
    assert difference[2:-2, 2:-2].max() < 2
    assert difference.mean() < 1.5


def test_resize_squish() -> None:
    for train in (True, False):
        assert box_of(Resize(30, ResizeMethod.Squish), (60, 80), train=train) == pytest.approx((0, 0, 80, 60))


@pytest.mark.parametrize("pad_mode", [PadMode.Zeros, PadMode.Border, PadMode.Reflection])
def test_resize_pad_shows_everything(pad_mode: str) -> None:
    tfm = Resize(40, ResizeMethod.Pad, pad_mode=pad_mode)
    assert box_of(tfm, (60, 80), train=False) == pytest.approx((0, -10, 80, 80))
    tops = [box_of(tfm, (60, 80), seed)[1] for seed in range(200)]
    assert -20 <= min(tops) < -18 and -2 < max(tops) <= 0
    _, valid = both_sides(tfm, pixels=np.full((60, 80, 3), 200, np.uint8))
    rows = (valid[0, 0, :, 20] * 255).round().tolist()
    assert rows[5:35] == [200] * 30
    assert rows[:4] == rows[-4:] == ([0] * 4 if pad_mode == "zeros" else [200] * 4)


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (500, 1), (3, 2)])
@pytest.mark.parametrize("tfm", [Resize(16), Resize(16, "squish"), Resize(16, "pad"), RandomResizedCrop(16)])
def test_tiny_and_thin_pictures(size: tuple[int, int], tfm: Any) -> None:
    for batch in both_sides([tfm], aug_transforms(), np.full((*size, 3), 99, np.uint8), n=3):
        assert batch.shape[2:] == (16, 16) and torch.isfinite(batch).all()


# ------------------------------------------------------------------------------------ RandomResizedCrop
def test_random_resized_crop_stays_in_its_ranges() -> None:
    tfm = RandomResizedCrop(32, min_scale=0.3, ratio=(0.5, 2.0))
    boxes = np.array([box_of(tfm, (300, 400), seed) for seed in range(1000)])
    x, y, w, h = boxes.T
    assert (x > -1e-6).all() and (y > -1e-6).all() and (x + w < 400.001).all() and (y + h < 300.001).all()
    area, ratio = w * h / 120_000, w / h
    assert 0.29 < area.min() < 0.35 and area.max() < 1.001
    assert 0.49 < ratio.min() < 0.6 and 1.7 < ratio.max() < 2.03
    assert np.unique(x.round()).size > 100


def test_random_resized_crop_like_torchvisions() -> None:
    """The same distribution of boxes as torchvision's, by mean and spread of area and ratio."""
    torch.manual_seed(0)
    picture = Image.new("L", (400, 300))
    theirs = [v2.RandomResizedCrop.make_params] if hasattr(v2.RandomResizedCrop, "missing") else []
    crop = v2.RandomResizedCrop(32, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3))
    drawn = [crop.make_params([picture]) for _ in range(2000)]
    theirs = np.array([(d["width"] * d["height"] / 120_000, d["width"] / d["height"]) for d in drawn])
    boxes = np.array([box_of(RandomResizedCrop(32), (300, 400), seed) for seed in range(2000)])
    ours = np.stack([boxes[:, 2] * boxes[:, 3] / 120_000, boxes[:, 2] / boxes[:, 3]], 1)
    np.testing.assert_allclose(ours.mean(0), theirs.mean(0), atol=0.03)
    np.testing.assert_allclose(ours.std(0), theirs.std(0), atol=0.03)


def test_random_resized_crop_falls_back_to_the_middle() -> None:
    """No box of the allowed ratio fits into a picture so long: the middle, as near as can be."""
    x, y, w, h = box_of(RandomResizedCrop(32, min_scale=0.9), (10, 1000))
    assert (y, h) == pytest.approx((0, 10)) and w == pytest.approx(13) and x == pytest.approx(493, abs=1)


def test_random_resized_crop_in_validation() -> None:
    """As if resized to 256 (224 and 14 %, rounded up to 8), then the middle 224."""
    share = 224 / 256
    found = box_of(RandomResizedCrop(224, min_scale=0.5), (512, 512), train=False)
    assert found == pytest.approx((32, 32, 512 * share, 512 * share))
    found = box_of(RandomResizedCrop(224), (512, 768), train=False)
    assert found == pytest.approx((128 + 32, 32, 448, 448))
    share = 128 / 152  # 14 % of 128 are 17.9: 24 as a multiple of 8
    found = box_of(RandomResizedCrop(128), (512, 512), train=False)
    assert found[2:] == pytest.approx((512 * share, 512 * share))
    assert box_of(RandomResizedCrop(64, val_xtra=0), (512, 512), train=False) == pytest.approx(
        (0, 0, 512, 512)
    )


# ------------------------------------------------------------------------------ one transform at a time
def chances(transform: Any, n: int = 1000) -> float:
    """In how many of `n` draws the transform does anything."""
    image = LazyImage(open_image(gradient()))
    return sum(transform.apply((image,), Random(seed), True)[0] is not image for seed in range(n)) / n


@pytest.mark.parametrize(
    "make",
    [Flip, Rotate, Zoom, Warp, Brightness, Contrast, Saturation, Hue, lambda p: Flip(p, vertical=True)],
)
@pytest.mark.parametrize("p", [0.0, 0.25, 0.75, 1.0])
def test_probability(make: Any, p: float) -> None:
    assert abs(chances(make(p=p)) - p) <= 4 * math.sqrt(p * (1 - p) / 1000)


def drawn_angles(tfm: Rotate, n: int = 1000) -> Any:
    matrices = [tfm.matrix(Random(seed), (60, 80)) for seed in range(n)]
    return np.degrees([math.atan2(m[0, 1], m[0, 0]) for m in matrices])


def test_rotate_draws_evenly() -> None:
    angles = drawn_angles(Rotate(30))
    assert -30 <= angles.min() < -29 and 29 < angles.max() <= 30
    assert abs(angles.mean()) < 2 and abs(angles.std() - 30 / math.sqrt(3)) < 1
    assert drawn_angles(Rotate(draw=7.5), 3) == pytest.approx([7.5] * 3)


def test_zoom_keeps_its_centre_in_place() -> None:
    matrices = [Zoom(1.2, 1.6).matrix(Random(seed), (60, 80)) for seed in range(500)]
    factors = np.array([m[0, 0] for m in matrices])
    assert 1.2 <= factors.min() < 1.21 and 1.59 < factors.max() <= 1.6
    fixed = Zoom(draw=2, draw_x=0.25, draw_y=0.5).matrix(Random(0), (60, 80))
    np.testing.assert_allclose(fixed @ [20, 30, 1], [20, 30, 1])
    for m in matrices:  # enlarged around a point of the picture, nothing outside comes in
        left, top = (np.linalg.inv(m) @ [0, 0, 1])[:2]
        right, bottom = (np.linalg.inv(m) @ [80, 60, 1])[:2]
        assert left >= -1e-9 and top >= -1e-9 and right <= 80 + 1e-9 and bottom <= 60 + 1e-9


def test_warp_moves_each_corner_by_its_tilts() -> None:
    matrix = Warp(draw_x=0.2, draw_y=0.0).matrix(Random(0), (100, 100))
    corners = np.array([[0, 0, 1], [100, 0, 1], [0, 100, 1], [100, 100, 1]]) @ matrix.T
    xy = corners[:, :2] / corners[:, 2:]
    np.testing.assert_allclose(xy, [[-10, 0], [110, 0], [10, 100], [90, 100]], atol=1e-3)
    still = Warp(draw_x=0, draw_y=0).matrix(Random(0), (100, 100))
    np.testing.assert_allclose(still / still[2, 2], np.eye(3), atol=1e-6)


@pytest.mark.parametrize("magnitude", [0.5, 0.8, 0.99])
def test_a_strong_warp_never_folds_the_picture(magnitude: float) -> None:
    """Two strong tilts together would show what lies behind the horizon, or have no map at all."""
    for seed in range(300):
        matrix = Warp(magnitude).matrix(Random(seed), (60, 80))
        corners = np.array([[0, 0, 1], [80, 0, 1], [0, 60, 1], [80, 60, 1]], float)
        assert (corners @ matrix[2] > 0).all()
        # ... and the other way round: no point of the target comes from behind the eye.
        assert (corners @ np.linalg.inv(matrix)[2] > 0).all()


def test_brightness_moves_mid_grey_to_its_draw() -> None:
    for draw in (0.3, 0.5, 0.65):
        curve = Brightness(p=1.0, draw=draw).draw_curve(Random(0))
        assert curve is not None and curve(np.array([0.5]))[0] == pytest.approx(draw)
    moved = [Brightness(0.2, 1.0).draw_curve(Random(s))(np.array([0.5]))[0] for s in range(500)]  # type: ignore[misc]
    assert 0.4 <= min(moved) < 0.402 and 0.598 < max(moved) <= 0.6


def test_contrast_keeps_mid_grey() -> None:
    slopes = []
    for seed in range(500):
        curve = Contrast(0.2, 1.0).draw_curve(Random(seed))
        assert curve is not None and curve(np.array([0.5]))[0] == pytest.approx(0.5)
        a, b = torch.logit(torch.from_numpy(curve(np.array([0.4, 0.6]))))
        slopes.append(float((b - a) / (torch.logit(torch.tensor(0.6)) * 2)))
    assert 0.8 <= min(slopes) < 0.805 and 1.24 < max(slopes) <= 1.2501
    assert abs(np.log(slopes).mean()) < 0.02


def test_flip_item_is_flip() -> None:
    train, valid = both_sides(FlipItem(1.0))
    assert torch.equal(train[0], valid[0].flip(-1))


# ------------------------------------------------------------------------------------- aug_transforms
def names(tfms: list[Any]) -> list[str]:
    return [t.name for t in tfms]


def test_aug_transforms_list() -> None:
    assert names(aug_transforms()) == ["Flip", "Warp", "Rotate", "Zoom", "Brightness", "Contrast"]
    nothing = aug_transforms(do_flip=False, max_rotate=0, max_zoom=1.0, max_lighting=0, max_warp=0)
    assert nothing == []
    flips = {"max_rotate": 0, "max_zoom": 1, "max_lighting": 0, "max_warp": 0, "flip_vert": True}
    assert aug_transforms(**flips) == [Dihedral(0.5)]
    assert aug_transforms(do_flip=False, **flips) == [Flip(0.5, vertical=True)]
    assert setup_aug_tfms(aug_transforms()) == aug_transforms()
    assert aug_transforms(mode="bilinear", align_corners=False, batch=False) == aug_transforms()
    assert (
        aug_transforms(xtra_tfms=[Rotate(90)])[-1] == aug_transforms(xtra_tfms=Rotate(90))[-1] == Rotate(90)
    )
    assert aug_transforms(size=64)[-1] == Resize(64, "squish")
    assert aug_transforms(size=64, min_scale=0.5)[-1].min_scale == 0.5


def test_mult_leaves_zoom_alone() -> None:
    once, twice = aug_transforms(), aug_transforms(mult=2.0)
    by_name = {t.name: (t, u) for t, u in zip(once, twice, strict=True)}
    assert (by_name["Rotate"][0].max_deg, by_name["Rotate"][1].max_deg) == (10, 20)
    assert (by_name["Warp"][0].magnitude, by_name["Warp"][1].magnitude) == (0.2, 0.4)
    assert by_name["Brightness"][1].max_lighting == by_name["Contrast"][1].max_lighting == 0.4
    assert by_name["Zoom"][0] == by_name["Zoom"][1]


def test_aug_transforms_arguments() -> None:
    with pytest.raises(ArgumentError, match="size"):
        aug_transforms(min_scale=0.5)
    with pytest.raises(ArgumentError):
        aug_transforms(max_zoom=0.5)
    with pytest.raises(ArgumentError, match="masks take the nearest"):
        aug_transforms(mode="bicubic")
    with pytest.raises(ArgumentError, match="seed, epoch and image"):
        aug_transforms(batch=True)
    for wrong in ((3, 0), (2, 2)):
        with pytest.raises(ArgumentError, match="resamples"):
            Resize(8, resamples=wrong)
    bilinear, nearest = Image.Resampling.BILINEAR, Image.Resampling.NEAREST
    assert Resize(8, resamples=(bilinear, nearest)) == Resize(8)
    for transform in aug_transforms(p_affine=0.3, p_lighting=0.4, pad_mode="zeros"):
        assert transform.p == {"Flip": 0.5, "Brightness": 0.4, "Contrast": 0.4}.get(transform.name, 0.3)
        assert getattr(transform, "pad_mode", "zeros") == "zeros"


@pytest.mark.parametrize(
    "batch_tfms",
    [aug_transforms(size=24), aug_transforms(size=24, min_scale=0.5), aug_transforms(mult=4, size=24)],
)
def test_validation_changes_only_the_size(batch_tfms: list[Any]) -> None:
    train, valid = both_sides(Resize(48), batch_tfms, noise())
    assert train.shape[2:] == valid.shape[2:] == (24, 24)
    _, again = both_sides(Resize(48), batch_tfms, noise())
    assert torch.equal(valid, again)
    _, plain = both_sides([Resize(48), Resize(24)], None, noise())
    assert torch.equal(valid, plain)
    assert len({t.numpy().tobytes() for t in train}) == len(train)  # in training every item draws anew


def test_every_image_is_resampled_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(image_module, "resample", lambda *a, **k: calls.append(1) or resample(*a, **k))
    exactly = decode_module.resample_exactly
    monkeypatch.setattr(decode_module, "resample_exactly", lambda *a: calls.append(1) or exactly(*a))
    tfms = aug_transforms(p_affine=1.0, p_lighting=1.0, size=24)
    train, valid = both_sides(Resize(48), tfms, n=5)
    assert len(train) == 5 and len(valid) == 1 and len(calls) == 6


def test_presizing_equals_the_matrices_multiplied() -> None:
    """Turned, then squished: what numpy's product of the two maps gives, sampled by torch in one go."""
    tfms = [Resize(60, "squish"), Rotate(p=1.0, draw=20), Resize(30, "squish")]
    train, _ = both_sides(tfms, pixels=gradient(60, 60))
    turned = Image.fromarray(gradient(60, 60)).rotate(20, Image.Resampling.BILINEAR)
    want = np.asarray(turned.resize((30, 30), Image.Resampling.BOX)) / 255
    assert np.abs(train[0].permute(1, 2, 0).numpy() - want)[8:-8, 8:-8].max() < 0.02


# --------------------------------------------------------------------- the user's own, in between
def test_own_callables_anywhere() -> None:
    seen: list[Any] = []

    def darker(picture: Image.Image) -> Any:
        seen.append(picture.size)
        return np.asarray(picture) // 2

    train, valid = both_sides(
        [Resize((30, 40), "squish"), darker, lambda p: p.rotate(90, expand=True), Flip(1.0)]
    )
    assert set(seen) == {(40, 30)} and train.shape[2:] == (40, 30)
    assert (train[0] - valid[0].flip(-1)).abs().max() < ROUNDED and float(train.max()) < 0.51


def test_torchvision_in_item_tfms() -> None:
    for tfm in (v2.ColorJitter(0.5), v2.RandomHorizontalFlip(1.0), v2.CenterCrop(20), v2.Grayscale(3)):
        train, _ = both_sides([Resize(32), tfm], pixels=noise())
        assert train.shape[:2] == (8, 3)
    as_tensor = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    a, _ = both_sides([Resize(32, "squish"), as_tensor], pixels=noise())
    b, _ = both_sides([Resize(32, "squish")], pixels=noise())
    assert (a - b).abs().max() < 1e-6


def test_own_callable_on_the_batch_then_ours() -> None:
    shapes = []

    def mirror(images: Any) -> Any:
        shapes.append((tuple(images.shape), float(images.min()) >= 0, float(images.max()) <= 1))
        return images.flip(-1)

    train, valid = both_sides(Resize(32, "squish"), [mirror, Flip(1.0), Resize(16, "squish")])
    assert ((8, 3, 32, 32), True, True) in shapes
    assert train.shape[2:] == valid.shape[2:] == (16, 16)
    assert (train[0] - valid[0].flip(-1)).abs().max() < ROUNDED


def test_split_idx_of_a_callable() -> None:
    class Half:
        split_idx = 0

        def __call__(self, images: Any) -> Any:
            return images / 2

    train, valid = both_sides(Resize(32, "squish"), [Half()])
    assert (train[0] * 2 - valid[0]).abs().max() < ROUNDED


@pytest.mark.parametrize(
    ("fails", "says"),
    [
        (lambda p: 1 / 0, "ZeroDivisionError"),
        (lambda p: None, "NoneType"),
        (lambda p: np.asarray(p) * 1.0, "0..255 or floats in"),
    ],
)
def test_a_failing_callable_is_named_with_its_item(fails: Any, says: str) -> None:
    with pytest.raises(DataError) as caught:
        both_sides([Resize(32), fails])
    assert says in str(caught.value) and "item " in str(caught.value)
    assert "<lambda>" in str(caught.value)


@pytest.mark.parametrize(
    ("wrong", "says"), [("no callable", "no callable"), (Resize, r"Resize\.\nCall the class: Resize")]
)
def test_what_is_no_transform_is_refused_when_the_recipe_is_written(wrong: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        both_sides([Resize(32), wrong])


@pytest.mark.parametrize("fails", [lambda x: x.nothing, lambda x: None, lambda x: x[:1], lambda x: x.numpy()])
def test_a_failing_batch_callable_is_named(fails: Any) -> None:
    with pytest.raises(DataError, match=r"<lambda>.*batch_tfms"):
        both_sides(Resize(32), [fails])


def test_two_pictures_of_different_size_each_get_their_own_map() -> None:
    """A pair of photos: the second is cropped by its own size, not by that of the first."""
    pairs = [(noise(60, 80, s), noise(90, 50, s)) for s in range(3)]
    two = DataBlock(
        (ImageBlock, ImageBlock),
        n_inp=2,
        getters=[lambda p: p[0], lambda p: p[1]],
        item_tfms=[Resize(20), Flip(1.0)],
        splitter=IndexSplitter([0]),
    )
    first, second = next(iter(two.dataloaders(pairs, bs=2, num_workers=0, device="cpu").valid))
    for found, pixels in ((first, pairs[0][0]), (second, pairs[0][1])):
        alone = block(Resize(20)).dataloaders([pixels] * 2, bs=1, num_workers=0, device="cpu")
        assert torch.equal(found, next(iter(alone.valid))[0])


def test_two_pictures_of_different_size_get_the_same_draw() -> None:
    """A photo and its smaller twin are mirrored, turned and cropped alike."""
    small, large = gradient(60, 80), np.asarray(Image.fromarray(gradient(60, 80)).resize((160, 120)))
    for seed in range(20):
        random = Random(seed)
        pair = (LazyImage(open_image(small)), LazyImage(open_image(large)))
        for tfm in (Flip(0.5), Rotate(40, 0.5), Zoom(1, 2, 0.5), Resize(40, "squish")):
            pair = tfm.apply(pair, random, True)
        a, b = (image.pixels().astype(int) for image in pair)
        assert np.abs(a - b).mean() < 3


# ------------------------------------------------------------------------------------------ as values
ALL = [
    Resize(64),
    Resize((32, 48), "pad", "zeros"),
    RandomResizedCrop(64, 0.5, (0.5, 2.0)),
    Flip(0.3, vertical=True),
    Rotate(20, 0.1, draw=3.0),
    Zoom(1, 2, 0.9, draw_x=0.5),
    Warp(0.1, pad_mode="border"),
    Brightness(0.3),
    Contrast(0.1, draw=1.5),
    Dihedral(0.5, draw=3),
    DihedralItem(0.5, draw=3),
    Saturation(0.4),
    Hue(0.2, draw=0.3),
    RandomErasing(max_count=3, fill=(0.1, 0.2, 0.3)),
    CutOut(16),
    RandAugment(3, 12),
    TrivialAugment("zeros"),
    ToTensor(),
    IntToFloatTensor(),
    Normalize.from_stats(*imagenet_stats),
]


@pytest.mark.parametrize("transform", ALL, ids=lambda t: t.name)
def test_transforms_are_values(transform: Any) -> None:
    written = json.loads(json.dumps(transform.config()))
    again = Transform.from_config(written)
    assert again == transform and hash(again) == hash(transform) and type(again) is type(transform)
    assert written["name"] == transform.name == type(transform).__name__
    scope = {type(transform).__name__: type(transform)}
    assert eval(repr(transform), scope) == transform
    assert len({*ALL, transform}) == len(ALL)
    with pytest.raises(AttributeError):
        transform.p = 1


@pytest.mark.parametrize(
    "config",
    [
        {"name": "Teleport"},
        {"name": "Resize", "args": {}},
        {"name": "Resize", "args": {"size": 0}},
        {"name": "Resize", "args": {"size": 3, "evil": 1}},
        {"name": "CategoryBlock"},
        {},
    ],
)
def test_configs_that_do_not_fit(config: dict[str, Any]) -> None:
    with pytest.raises(BundleError):
        Transform.from_config(config)


@pytest.mark.parametrize(
    "make",
    [
        *(lambda s=s: Resize(s) for s in (0, -3, 224.5, "224", None, (3, 224, 224), (0, 5), (5,), (16, "a"))),
        lambda: Resize(8, "stretch"),
        lambda: Resize(8, pad_mode="mirror"),
        lambda: RandomResizedCrop(8, min_scale=0),
        lambda: RandomResizedCrop(8, min_scale=1.5),
        lambda: RandomResizedCrop(8, min_scale=0.6, max_scale=0.5),
        *(lambda r=r: RandomResizedCrop(8, ratio=r) for r in ((2, 1), (0, 1), 0.75, (1, 2, 3))),
        lambda: RandomResizedCrop(8, val_xtra=-1),
        *(lambda k=k: k(p=1.5) for k in (Flip, Rotate, Zoom, Warp, Brightness, Contrast)),
        *(lambda k=k: k(p=-0.1) for k in (Flip, Rotate, Zoom, Warp, Brightness, Contrast)),
        *(lambda k=k: k(pad_mode="nothing") for k in (Rotate, Zoom, Warp)),
        lambda: Zoom(0, 1),
        lambda: Zoom(1.5, 1.2),
        lambda: Zoom(draw=0),
        lambda: Warp(1.0),
        *(lambda d=d: Brightness(draw=d) for d in (0, 1, 1.5)),
        lambda: Contrast(draw=0),
        lambda: Brightness(1.0),
        lambda: Contrast(-0.1),
        lambda: IntToFloatTensor(1.0),
        lambda: Normalize((0.5,), (0.5, 0.5)),
        lambda: Normalize((0.5,), (0.0,)),
    ],
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        make()
    rule, _, rest = str(caught.value).partition("; ")
    assert rule and "\n" in rest


def test_sizes_of_numpy() -> None:
    assert Resize(np.int64(16)).size == (16, 16)
    assert Resize([16, 24]) == Resize((16, 24))
    assert json.dumps(Resize((np.int64(3), np.int64(4))).config())


def test_fastais_no_ops() -> None:
    a, _ = both_sides([Resize(16, "squish"), ToTensor()], [IntToFloatTensor(), *aug_transforms(p_affine=0)])
    b, _ = both_sides(Resize(16, "squish"), aug_transforms(p_affine=0))
    assert torch.equal(a, b)


def test_everything_at_once_is_one_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(image_module, "resample", lambda *a, **k: calls.append(1) or resample(*a, **k))
    tfms = [
        DihedralItem(),
        Resize(48),
        Dihedral(1.0),
        RandAugment(3, 20),
        CutOut(8),
        Hue(0.3),
        Saturation(0.5),
    ]
    train, valid = both_sides(tfms, [*aug_transforms(size=24, flip_vert=True), RandomErasing(1.0)], n=6)
    assert (
        train.shape[2:] == valid.shape[2:] == (24, 24) and len(calls) == 6
    )  # validation has a resampling of its own
    assert len({t.numpy().tobytes() for t in train}) == 6
    plain = both_sides([Resize(48), Resize(24)])[1]
    assert torch.equal(valid, plain)


@pytest.mark.parametrize(
    "last", [RandomErasing(1.0, 0.1), CutOut(), RandAugment(3, 15), Saturation(0.5, 1.0)]
)
def test_lent_statistics_change_nothing_else(last: Any) -> None:
    mean, std = (torch.tensor(s).view(3, 1, 1) for s in imagenet_stats)
    rows = []
    for stats in (None, imagenet_stats):
        dls = block(Resize(32), [*aug_transforms(), last]).dataloaders(
            [noise()] * 9, bs=8, num_workers=2, seed=1, device="cpu"
        )
        rows.append(next(dls.train.batches(stats)).inputs[0])
    torch.testing.assert_close((rows[0] - mean) / std, rows[1], atol=1e-4, rtol=0)


@pytest.mark.parametrize(
    "last", [RandomErasing(1.0, 0.2), CutOut(), Dihedral(1.0), TrivialAugment(), Hue(0.5)]
)
def test_behind_a_callable_on_the_batch(last: Any) -> None:
    train, valid = both_sides(Resize(32, "squish"), [lambda images: images * 0.9, last], noise(), n=12)
    _, plain = both_sides(Resize(32, "squish"), [lambda images: images * 0.9], noise(), n=12)
    assert (valid[0] - plain[0]).abs().max() < 1e-6
    assert len({t.numpy().tobytes() for t in train}) > 3 and train.min() >= 0 and train.max() <= 1


def test_normalize_leaves_images_alone() -> None:
    a, _ = both_sides(Resize(16, "squish"), [Normalize.from_stats(*imagenet_stats)])
    b, _ = both_sides(Resize(16, "squish"))
    assert torch.equal(a, b)
