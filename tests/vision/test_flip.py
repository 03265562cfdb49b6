"""Flips and quarter turns: Pillow's pixels to the bit, the same for masks and points, in any company."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.data.support import noise

from wiggly.errors import ArgumentError
from wiggly.vision.decode import open_image
from wiggly.vision.flip import Dihedral, DihedralItem, Flip
from wiggly.vision.geometry import resample
from wiggly.vision.image import LazyImage
from wiggly.vision.resize import Resize


def done(transforms: Any, pixels: Any, seed: int = 0) -> Any:
    values: tuple[Any, ...] = (LazyImage(open_image(pixels)),)
    random = Random(seed)
    for transform in transforms:
        values = transform.apply(values, random, True)
    return np.asarray(values[0].picture())


def transposed(pixels: Any, number: int) -> Any:
    picture = Image.fromarray(pixels)
    return np.asarray(picture if number == 0 else picture.transpose(Image.Transpose(number - 1)))


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("size", [(60, 60), (61, 61), (60, 80), (7, 31)])
def test_pillows_transpose_to_the_bit(number: int, size: tuple[int, int]) -> None:
    pixels = noise(*size)
    assert np.array_equal(done([DihedralItem(draw=number)], pixels), transposed(pixels, number))
    if size[0] == size[1]:
        assert np.array_equal(done([Dihedral(1.0, number)], pixels), transposed(pixels, number))


@pytest.mark.parametrize("vertical", [False, True])
def test_flipping_twice_is_nothing_to_the_bit(vertical: bool) -> None:
    flip, pixels = Flip(1.0, vertical), noise(60, 81)
    assert np.array_equal(done([flip, flip], pixels), pixels)
    assert np.array_equal(done([flip], pixels), pixels[::-1] if vertical else pixels[:, ::-1])


@pytest.mark.parametrize("numbers", [(3, 5), (4, 4), (6, 6), (7, 7), (1, 1), (3, 3, 3, 3), (1, 2, 4)])
def test_there_and_back(numbers: tuple[int, ...]) -> None:
    pixels = noise(60, 80)
    assert np.array_equal(done([DihedralItem(draw=n) for n in numbers], pixels), pixels)


def test_all_eight_are_drawn_evenly() -> None:
    pixels = noise(5, 5)
    names = {transposed(pixels, k).tobytes(): k for k in range(8)}
    found = Counter(names[done([Dihedral(1.0)], pixels, seed).tobytes()] for seed in range(1600))
    assert set(found) == set(range(8)) and all(abs(n - 200) < 60 for n in found.values())
    left = sum(Dihedral(0.25).draw_geometry(Random(s), (5, 5), True) is None for s in range(2000))
    assert abs(left - 1500) < 80
    assert Dihedral(1.0).draw_geometry(Random(0), (5, 5), False) is None


def test_a_rectangle_keeps_its_size() -> None:
    """Drawn: one of its four symmetries; a quarter turn asked for is stretched."""
    pixels = noise(6, 9)
    wanted = {transposed(pixels, k).tobytes() for k in (0, 1, 2, 4)}
    assert {done([Dihedral(1.0)], pixels, seed).tobytes() for seed in range(200)} == wanted
    assert done([Dihedral(1.0, 3)], pixels).shape == (6, 9, 3)
    corners = np.array([[0, 0], [9, 0], [9, 6], [0, 6]])
    turned = Dihedral(1.0, 3).draw_geometry(Random(0), (6, 9), True)
    assert turned is not None
    np.testing.assert_allclose(turned.points(corners), [[0, 6], [0, 0], [9, 0], [9, 6]], atol=1e-12)


def test_what_comes_later_sees_the_new_size() -> None:
    turned = DihedralItem(draw=3).apply((LazyImage(open_image(noise(60, 80))),), Random(0), True)
    assert turned[0].size == (80, 60)
    small = Resize(30, "squish").apply(turned, Random(0), True)[0]
    plain = Resize(30, "squish").apply((LazyImage(open_image(noise(60, 80))),), Random(0), True)[0]
    difference = np.asarray(small.picture()).astype(int) - transposed(np.asarray(plain.picture()), 3)
    assert np.abs(difference).max() <= 2


def test_a_mask_and_its_points_turn_with_the_picture() -> None:
    mask = (np.arange(48, dtype=np.uint8).reshape(6, 8, 1)).repeat(1, 2)
    for number in range(8):
        geometry = DihedralItem(draw=number).draw_geometry(Random(0), (6, 8), True)
        assert geometry is not None
        turned = resample(mask, geometry, nearest=True)[..., 0]
        assert np.array_equal(turned, transposed(mask[..., 0], number))
        centres = geometry.points(np.argwhere(mask[..., 0] >= 0)[:, ::-1] + 0.5)
        at = np.floor(centres).astype(int)
        assert np.array_equal(turned[at[:, 1], at[:, 0]], mask.ravel())


@pytest.mark.parametrize(
    "make", [lambda: Dihedral(2.0), lambda: Dihedral(draw=8), lambda: DihedralItem(draw=-1)]
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()
