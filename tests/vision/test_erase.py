"""Erasing: where, how much, with what; alike in bytes, floats and normalised; after geometry; masks stay."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from tests.data.support import noise
from torchvision.transforms import v2

from wiggly.errors import ArgumentError
from wiggly.vision.augment import Rotate, imagenet_stats
from wiggly.vision.decode import open_image
from wiggly.vision.erase import CutOut, Hole, RandomErasing
from wiggly.vision.flip import Dihedral, Flip
from wiggly.vision.image import LazyImage
from wiggly.vision.lighting import Brightness
from wiggly.vision.resize import Resize


def lazy(pixels: Any) -> LazyImage:
    return LazyImage(open_image(pixels, 1 if pixels.ndim == 2 else 3))


def erased(transform: Any, pixels: Any, seed: int = 0) -> Any:
    return np.asarray(transform.apply((lazy(pixels),), Random(seed), True)[0].picture())


WHITE = np.full((60, 80, 3), 255, np.uint8)


def test_areas_and_shapes_are_in_their_ranges() -> None:
    tfm = RandomErasing(1.0, 0.05, 0.2, 0.4, fill=0.0)
    shapes = []
    for seed in range(400):
        rows, columns = np.nonzero(erased(tfm, WHITE, seed)[..., 0] == 0)
        h, w = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert h * w == len(rows)  # a full rectangle
        shapes.append((h * w / 4800, h / w))
    areas, aspects = np.array(shapes).T
    assert 0.045 < areas.min() < 0.06 and 0.19 < areas.max() < 0.21
    assert 0.35 < aspects.min() < 0.45 and 2.2 < aspects.max() < 2.8


def test_like_torchvisions() -> None:
    """The same distribution of areas and places as torchvision's, by mean and spread."""
    torch.manual_seed(0)
    theirs = v2.RandomErasing(1.0, (0.02, 0.3), (0.3, 1 / 0.3))
    picture = torch.zeros(3, 60, 80)
    drawn = [theirs.make_params([picture]) for _ in range(1500)]
    want = np.array([(d["h"] * d["w"] / 4800, d["i"] + d["h"] / 2, d["j"] + d["w"] / 2) for d in drawn])
    ours = []
    for seed in range(1500):
        (hole,) = RandomErasing(1.0, 0.02, 0.3).draw_holes(Random(seed), (60, 80))
        (x0, y0), _, (x1, y1), _ = hole.corners
        ours.append(((x1 - x0) * (y1 - y0) / 4800, (y0 + y1) / 2, (x0 + x1) / 2))
    found = np.array(ours)
    np.testing.assert_allclose(found.mean(0), want.mean(0), rtol=0.05)
    np.testing.assert_allclose(found.std(0), want.std(0), rtol=0.1)


def test_probability_and_training_only() -> None:
    hit = sum(
        bool((erased(RandomErasing(0.3, 0.1, fill=0.0), WHITE, seed) == 0).any()) for seed in range(500)
    )
    assert abs(hit - 150) < 45
    image = lazy(WHITE)
    for tfm in (RandomErasing(1.0), CutOut()):
        assert tfm.apply((image, 3), Random(0), False) == (image, 3)
        assert tfm.split_idx == 0


def test_several_share_the_area() -> None:
    tfm = RandomErasing(1.0, 0.3, 0.3, max_count=4, fill=0.0)
    counts = {len(tfm.draw_holes(Random(seed), (60, 80))) for seed in range(100)}
    assert counts == {1, 2, 3, 4}
    for seed in range(50):
        assert (erased(tfm, WHITE, seed)[..., 0] == 0).mean() <= 0.32


@pytest.mark.parametrize("fill", ["noise", "mean", 0.25, (0.1, 0.5, 0.9)])
@pytest.mark.parametrize("kind", ["bytes", "floats"])
def test_a_picture_a_row_and_a_normalised_row_agree(fill: Any, kind: str) -> None:
    pixels = WHITE if kind == "bytes" else WHITE.astype(np.float32) / 255
    image = RandomErasing(1.0, 0.2, fill=fill).apply((lazy(pixels),), Random(1), True)[0]
    row, lent = np.empty((60, 80, 3), np.float32), np.empty((60, 80, 3), np.float32)
    image.write(row)
    mean, std = imagenet_stats
    image.normalised(mean, std).write(lent)
    np.testing.assert_allclose(lent, (row - np.array(mean)) / np.array(std), atol=1e-5)
    assert np.abs(np.asarray(image.picture()) / 255 - row).max() <= 0.51 / 255
    hole = (row != 1).any(-1)
    assert 0.15 < hole.mean() < 0.31
    if fill == "mean":
        np.testing.assert_allclose(lent[hole], 0, atol=1e-5)
    if fill == "noise":
        assert abs(row[hole].mean() - 0.5) < 0.03 and abs(row[hole].std() - 12**-0.5) < 0.02
    assert np.array_equal(pixels, WHITE if kind == "bytes" else np.ones_like(pixels))  # the source is whole


def test_grey_pictures() -> None:
    found = erased(RandomErasing(1.0, 0.2, fill="mean"), WHITE[..., 0])
    assert set(np.unique(found)) == {round(255 * (0.485 * 0.299 + 0.456 * 0.587 + 0.406 * 0.114)), 255}


def test_a_hole_moves_with_what_comes_later_and_keeps_its_level() -> None:
    hole = Hole.at(10, 20, 30, 10, 0.0, 0)
    image = lazy(WHITE).erased([hole])
    random = Random(0)
    turned = Rotate(draw=30, p=1.0, pad_mode="border").apply((image,), random, True)
    bright = Brightness(p=1.0, draw=0.7).apply(turned, random, True)[0]
    drawn = Image.new("L", (640, 480), 255)
    corners = bright.holes[0].corners
    ImageDraw.Draw(drawn).polygon([(8 * x, 8 * y) for x, y in corners], fill=0)
    want = np.asarray(drawn.resize((80, 60), Image.Resampling.BOX))
    found = np.asarray(bright.picture())[..., 0]
    assert np.abs(found.astype(float) - want)[(want == 0) | (want == 255)].max() == 0
    assert abs((found == 0).sum() - 300) < 15  # a turn keeps the area
    mirrored = Flip(1.0).apply((image,), random, True)[0]
    assert np.array_equal(np.asarray(mirrored.picture()), np.asarray(image.picture())[:, ::-1])
    for number in range(8):
        square = lazy(WHITE[:, :60]).erased([hole])
        turned = Dihedral(1.0, number).apply((square,), random, True)[0]
        want = np.asarray(square.picture()) if number == 0 else None
        if number:
            want = np.asarray(square.picture().transpose(Image.Transpose(number - 1)))
        assert np.array_equal(np.asarray(turned.picture()), want)
    half = Resize((30, 40), "squish").apply((image,), random, True)[0]
    assert (np.asarray(half.picture())[10:15, 5:20] == 0).all()
    assert (np.asarray(half.picture()) == 0).sum() == 15 * 5 * 3


def test_a_callable_sees_the_hole() -> None:
    seen: list[Any] = []
    lazy(WHITE).erased([Hole.at(0, 0, 10, 10, 0.0, 0)]).mapped(lambda p: seen.append(np.asarray(p)) or p)
    assert (seen[0][:10, :10] == 0).all() and (seen[0][10:, 10:] == 255).all()


def test_pairs_lose_the_same_part_and_others_nothing() -> None:
    for tfm in (RandomErasing(1.0, 0.1), CutOut(0.3)):
        a, b, label = tfm.apply((lazy(noise()), lazy(WHITE), "cat"), Random(3), True)
        assert label == "cat"
        same = np.asarray(a.picture()) == np.asarray(b.picture())
        hole = (np.asarray(b.picture()) != 255).any(-1)
        assert hole.any() and same[hole].all()


@pytest.mark.parametrize(("length", "side"), [(16, 16), (0.5, 30), (0.25, 15), (1, 1)])
def test_cut_out_is_a_square_around_any_pixel(length: Any, side: int) -> None:
    full, middles = 0, []
    for seed in range(300):
        (hole,) = CutOut(length).draw_holes(Random(seed), (60, 80))
        (x, y), _, (x1, y1), _ = hole.corners
        assert x1 - x == y1 - y == side
        middles.append((x + side // 2, y + side // 2))
        full += (erased(CutOut(length, fill=0.0), WHITE, seed)[..., 0] == 0).sum() == side * side
    xs, ys = np.array(middles).T
    assert (xs.min(), ys.min()) < (3, 3) and xs.max() > 76 and ys.max() > 56
    assert full == 300 if side == 1 else 0 < full < 300  # others reach over the edge
    assert len(CutOut(length, count=3).draw_holes(Random(0), (60, 80))) == 3


def test_noise_is_drawn_anew() -> None:
    tfm = RandomErasing(1.0, 0.3)
    pictures = {erased(tfm, WHITE, seed).tobytes() for seed in range(20)}
    assert len(pictures) == 20
    assert np.array_equal(erased(tfm, WHITE, 5), erased(tfm, WHITE, 5))


def test_thin_pictures() -> None:
    for size in ((1, 1, 3), (1, 200, 3), (3, 2, 3)):
        for tfm in (RandomErasing(1.0), CutOut(5), RandomErasing(1.0, 1.0, 1.0)):
            for seed in range(20):
                assert erased(tfm, np.zeros(size, np.uint8), seed).shape == size


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomErasing(1.5),
        lambda: RandomErasing(sl=0.4),
        lambda: RandomErasing(sh=1.2),
        lambda: RandomErasing(min_aspect=0),
        lambda: RandomErasing(max_count=0),
        lambda: RandomErasing(fill="red"),
        lambda: RandomErasing(fill=7),
        lambda: RandomErasing(fill=(0.1, 2)),
        lambda: CutOut(0),
        lambda: CutOut(1.5),
        lambda: CutOut(count=0),
        lambda: CutOut(count=1.5),
        lambda: RandomErasing(max_count=1.5),
        lambda: erased(RandomErasing(1.0, fill=(0.1, 0.2, 0.3)), WHITE[..., 0]),
    ],
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()


def test_levels_as_arrays_and_tensors() -> None:
    for make in (list, np.array, torch.tensor):
        assert (
            json.dumps(RandomErasing(fill=make([0.25, 0.5, 1.0])).arguments()["fill"]) == "[0.25, 0.5, 1.0]"
        )
