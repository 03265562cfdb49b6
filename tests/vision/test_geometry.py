"""Matrices and the one resampling, compared with numpy, Pillow and torch's `grid_sample`."""

from __future__ import annotations

import math
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.support import encoded, gradient, noise
from torch.nn import functional

from wiggly.errors import ArgumentError
from wiggly.vision import geometry as module
from wiggly.vision.decode import open_image
from wiggly.vision.geometry import (
    Geometry,
    inverted,
    perspective,
    resample,
    rotation,
    scaling,
    scaling_around,
    source_scale,
    translation,
)
from wiggly.vision.image import LazyImage


def smooth(height: int = 120, width: int = 160, seed: int = 0) -> Any:
    """Soft blobs: a picture on which half a pixel more or less is a level or two."""
    small = Image.fromarray(noise(max(2, height // 16), max(2, width // 16), seed))
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def levels(a: Any, b: Any) -> Any:
    return np.abs(np.asarray(a).astype(float) - np.asarray(b).astype(float))


def tilted(height: int, width: int, x: float, y: float) -> Any:
    corners = np.array([[0, 0], [0, height], [width, 0], [width, height]], dtype=float)
    inside = corners + np.array([[x, y], [y, -x], [-y, x], [-x, -y]]) * min(height, width)
    return cv2.getPerspectiveTransform(corners.astype(np.float32), inside.astype(np.float32)).astype(
        np.float64
    )


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_identity_is_equal_to_the_bit(dtype: Any) -> None:
    pixels = noise() if dtype == np.uint8 else noise().astype(dtype) / np.float32(255)
    found = resample(pixels, Geometry(np.eye(3), (60, 80)))
    assert found.dtype == dtype and np.array_equal(found, pixels)


@pytest.mark.parametrize("x", [1.0, -1.0])
@pytest.mark.parametrize("y", [1.0, -1.0])
def test_flips_are_numpys(x: float, y: float) -> None:
    flip = scaling_around(x, y, 40, 30)
    found = resample(noise(), Geometry(flip, (60, 80)))
    assert np.array_equal(found, noise()[:: int(y), :: int(x)])
    assert np.array_equal(resample(found, Geometry(flip, (60, 80))), noise())


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_crops_are_slices(data: st.DataObject) -> None:
    left, top = data.draw(st.integers(0, 79)), data.draw(st.integers(0, 59))
    width, height = data.draw(st.integers(1, 80 - left)), data.draw(st.integers(1, 60 - top))
    part = noise()[top : top + height, left : left + width]
    assert np.array_equal(resample(noise(), Geometry(translation(-left, -top), (height, width))), part)
    mirrored = scaling(-1, 1) @ translation(-left - width, -top)
    assert np.array_equal(resample(noise(), Geometry(mirrored, (height, width))), part[:, ::-1])


def test_quarter_turns_are_numpys() -> None:
    square = noise(50, 50)
    for turns in range(4):
        found = resample(square, Geometry(rotation(90 * turns, 25, 25), (50, 50)))
        assert levels(found, np.rot90(square, turns)).max() <= 1


def test_then_is_the_product() -> None:
    first, second = Geometry(rotation(20, 30, 40), (60, 80)), Geometry(scaling(0.5, 2), (120, 40), "zeros")
    both = first.then(second)
    np.testing.assert_allclose(both.matrix, second.matrix @ first.matrix)
    assert both.size == (120, 40) and both.border == "zeros"
    xy = np.array([[3.0, 4.0], [50.0, 10.0]])
    np.testing.assert_allclose(both.points(xy), second.points(first.points(xy)))
    once = resample(smooth(), both)
    twice = resample(resample(smooth(), Geometry(first.matrix, (60, 80), "zeros")), second)
    assert levels(once, twice)[8:-8, 8:-8].mean() < 4  # one resampling instead of two


MAPS = {
    "shift": translation(7.3, -4.8),
    "turn": rotation(17, 80, 60),
    "shrink": scaling(0.6, 0.8),
    "enlarge": scaling_around(1.7, 1.4, 80, 60),
    "average": scaling(0.3, 0.22),
    "tilt": tilted(120, 160, 0.1, 0.05),
    "mirror": scaling_around(-1, 1, 80, 60) @ rotation(-8, 80, 60),
}


@pytest.mark.parametrize("name", MAPS)
def test_points_move_with_the_pixels(name: str) -> None:
    """A bright dot is found where `points` says, to a fraction of a pixel."""
    geometry = Geometry(MAPS[name], (120, 160), "zeros")
    for x, y in ((70, 50), (90, 66), (83, 71)):
        spot = np.zeros((120, 160, 3), np.float32)
        yy, xx = np.mgrid[0:120, 0:160]
        spot[..., :] = np.exp(-((xx + 0.5 - x) ** 2 + (yy + 0.5 - y) ** 2) / 32)[..., None]
        found = resample(spot, geometry)[..., 0].astype(float)
        rows, columns = np.mgrid[0:120, 0:160] + 0.5
        centre = (found * columns).sum() / found.sum(), (found * rows).sum() / found.sum()
        want = geometry.points(np.array([[x, y]]))[0]
        # A perspective enlarges one side of the dot more than the other, which moves its centre a little.
        assert np.abs(np.array(centre) - want).max() < (0.3 if name == "tilt" else 0.05), (centre, want)


def by_grid_sample(pixels: Any, matrix: Any, size: tuple[int, int], border: str) -> Any:
    """torch's sampler, fed the same map in its own coordinates (align_corners, the reflection at centres)."""
    h, w = pixels.shape[:2]
    rows, columns = np.mgrid[0 : size[0], 0 : size[1]] + 0.5
    targets = np.stack([columns.ravel(), rows.ravel(), np.ones(columns.size)])
    x, y, z = np.linalg.inv(matrix) @ targets
    normal = np.stack([2 * (x / z - 0.5) / (w - 1) - 1, 2 * (y / z - 0.5) / (h - 1) - 1], -1)
    grid = torch.from_numpy(normal.reshape(1, *size, 2)).double()
    image = torch.from_numpy(pixels.astype(np.float64)).permute(2, 0, 1)[None]
    sampled = functional.grid_sample(image, grid, padding_mode=border, align_corners=True)
    return sampled[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("border", ["reflection", "border", "zeros"])
@pytest.mark.parametrize("name", ["shift", "turn", "shrink", "enlarge", "tilt", "mirror"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_warp_is_torchs_grid_sample(name: str, border: str, dtype: Any) -> None:
    matrix = MAPS[name] @ rotation(3, 80, 60)  # never axis-aligned: all through the warp
    pixels = smooth().astype(dtype)
    found = resample(pixels, Geometry(matrix, (120, 160), border))
    difference = levels(found, by_grid_sample(pixels, matrix, (120, 160), border))
    assert difference.mean() < 0.5
    assert np.quantile(difference, 0.995) < 1.5  # OpenCV rounds positions to 1/32 pixel


def reference(pixels: Any, geometry: Geometry) -> Any:
    """The whole picture through the warp, without cutting it first and without fast paths."""
    scale = source_scale(geometry.matrix, geometry.size)
    source, matrix = module._filtered(pixels, geometry.matrix.tolist(), scale, 1)
    border = module.BORDERS[geometry.border or "reflection"]
    return module._by_warp(source, matrix, geometry.size, border, False).reshape(*geometry.size, -1)


def random_geometry(draw: Random, height: int, width: int, least: float) -> Geometry:
    target = draw.randint(1, 90), draw.randint(1, 90)
    scale = math.exp(draw.uniform(math.log(least), math.log(4)))
    matrix = (
        translation(target[1] / 2, target[0] / 2)
        @ rotation(draw.uniform(-180, 180), 0, 0)
        @ scaling(scale * draw.choice([1, -1]), scale * draw.uniform(0.8, 1.25))
        @ translation(-draw.uniform(-0.4, 1.4) * width, -draw.uniform(-0.4, 1.4) * height)
    )
    if draw.random() < 0.3:
        tilt = np.eye(3)
        tilt[2, :2] = draw.uniform(-0.2, 0.2) / width, draw.uniform(-0.2, 0.2) / height
        matrix = matrix @ tilt
    return Geometry(matrix, target, draw.choice(["reflection", "border", "zeros"]))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.integers(0, 2**32))
def test_cutting_out_the_region_changes_nothing(seed: int) -> None:
    """Crops, far outsides and repeated reflections included: the detail-rich picture would show one pixel."""
    draw = Random(seed)
    pixels = noise(draw.randint(1, 80), draw.randint(1, 100), seed % 1000)
    geometry = random_geometry(draw, *pixels.shape[:2], least=0.15)
    assert levels(resample(pixels, geometry), reference(pixels, geometry)).max() <= 1


def test_reflection_of_an_averaged_picture() -> None:
    """Ten degrees at a quarter of the size: the mirrored corners are those of the sharp picture, small."""
    pixels = np.asarray(Image.fromarray(smooth()).resize((800, 600), Image.Resampling.BICUBIC))
    matrix = scaling(0.25, 0.25) @ rotation(10, 400, 300)
    found = resample(pixels, Geometry(matrix, (150, 200)))
    sharp = resample(pixels, Geometry(rotation(10, 400, 300), (600, 800)))
    small = Image.fromarray(sharp).resize((200, 150), Image.Resampling.BOX)
    assert levels(found, small).mean() < 1
    assert np.quantile(levels(found, small), 0.999) < 10


@pytest.mark.parametrize("scale", [(1.0, 1.0), (0.5, 0.6), (0.75, 0.9), (1.5, 2.0), (0.26, 0.3), (3.0, 1.0)])
def test_the_fast_path_equals_the_warp(scale: tuple[float, float]) -> None:
    size = round(120 * scale[1]), round(160 * scale[0])
    geometry = Geometry(scaling(size[1] / 160, size[0] / 120), size)
    edge = 4  # the warp mirrors at the edge, resizing repeats it
    a, b = resample(smooth(), geometry), reference(smooth(), geometry)
    assert levels(a, b)[edge:-edge, edge:-edge].max() <= 1
    assert levels(a, b).mean() < 1


def real_photos(shared: Path) -> list[Image.Image]:
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[::100]
    return [Image.open(f).convert("RGB") for f in files]


@pytest.mark.parametrize(
    "shrink", [1.0, 1.15, 1.3, 1.5, 1.7, 1.9, 2.0, 2.2, 2.7, 3.1, 3.9, 4.0, 5.0, 6.0, 7.3, 8.0]
)
def test_shrinking_is_pillows_antialiased_resize(shared: Path, shrink: float) -> None:
    """Photos' own pixels, in memory and from their files: at most 1.5 grey levels apart on average."""
    from_memory, from_file = [], []
    for file in sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[::70]:
        photo = Image.open(file).convert("RGB")
        size = round(photo.height / shrink), round(photo.width / shrink)
        want = photo.resize(size[::-1], Image.Resampling.BILINEAR)
        geometry = Geometry(scaling(size[1] / photo.width, size[0] / photo.height), size)
        from_memory.append(levels(resample(np.asarray(photo), geometry), want).mean())
        from_file.append(levels(LazyImage(open_image(file), geometry).pixels(), want).mean())
    assert np.mean(from_memory) <= 1.5
    assert np.mean(from_file) <= 1.5


@pytest.mark.parametrize("shrink", [1.25, 1.6, 3.1, 6.1, 7.0])
def test_shrinking_detailed_photos(shared: Path, shrink: float) -> None:
    """Insects in leaves and grass, the finest detail there is, at the shrinks that are hardest."""
    from_memory, from_file = [], []
    for file in sorted((shared / "data" / "hymenoptera").glob("*/*/*.jpg"))[::20]:
        photo = Image.open(file).convert("RGB")
        size = round(photo.height / shrink), round(photo.width / shrink)
        want = photo.resize(size[::-1], Image.Resampling.BILINEAR)
        geometry = Geometry(scaling(size[1] / photo.width, size[0] / photo.height), size)
        from_memory.append(levels(resample(np.asarray(photo), geometry), want).mean())
        from_file.append(levels(LazyImage(open_image(file), geometry).pixels(), want).mean())
    assert max(np.mean(from_memory), np.mean(from_file)) <= 1.5


@pytest.mark.parametrize("size", [64, 100, 187, 188, 375, 376, 700])
def test_a_reduced_decode_gives_the_same_picture(size: int) -> None:
    """A 1,500-pixel JPEG decoded small, against all of it decoded: the same to a level, moved by nothing."""
    data = encoded(Image.fromarray(smooth(1000, 1500)), "JPEG", quality=95)
    encoded_image = open_image(data)
    geometry = Geometry(scaling(size / 1500, size / 1500), (round(size / 1.5), size))
    reduced = LazyImage(encoded_image, geometry).pixels()
    full = resample(encoded_image.pixels(), geometry)
    assert levels(reduced, full).mean() < 1
    # Where the picture would fit better if it were moved: nowhere, to a hundredth of a target pixel.
    a, b = reduced[..., 1].astype(float), full[..., 1].astype(float)
    for axis in (0, 1):
        slope = np.gradient(b, axis=axis)
        moved = ((a - b) * slope).sum() / (slope**2).sum()
        assert abs(moved) < 0.02, f"moved by {moved} pixels along axis {axis}"


def test_source_scale_is_the_slope_of_the_map() -> None:
    for seed in range(40):
        draw = Random(seed)
        geometry = random_geometry(draw, 120, 160, least=0.3)
        h, w = geometry.size
        corners = np.array([[0, 0], [w, 0], [0, h], [w, h], [w / 2, h / 2]], dtype=float)
        back = Geometry(np.linalg.inv(geometry.matrix), (120, 160)).points(corners)
        step, slopes = 1e-4, []
        for move in ((step, 0), (0, step)):
            change = geometry.points(back + move) - geometry.points(back - move)
            slopes.append(np.hypot(*change.T).max() / (2 * step))
        np.testing.assert_allclose(source_scale(geometry.matrix, geometry.size), slopes, rtol=1e-4)


def test_inverse_is_numpys() -> None:
    for seed in range(50):
        matrix = random_geometry(Random(seed), 300, 400, least=0.1).matrix
        np.testing.assert_allclose(inverted(matrix), np.linalg.inv(matrix), rtol=1e-8, atol=1e-10)
    with pytest.raises(ArgumentError, match="invertible"):
        inverted(scaling(0, 1))


def test_rotation_turns_counter_clockwise() -> None:
    """Pillow's `rotate` does so too."""
    photo = Image.fromarray(smooth(100, 100))
    want = photo.rotate(25, Image.Resampling.BILINEAR)
    found = resample(np.asarray(photo), Geometry(rotation(25, 50, 50), (100, 100), "zeros"))
    assert levels(found, want).mean() < 1.5


def test_borders() -> None:
    row = np.arange(10, 60, 10, dtype=np.uint8).reshape(1, 5, 1)
    seen = {
        border: resample(row, Geometry(translation(2, 0), (1, 9), border))[0, :, 0].tolist()
        for border in ("reflection", "border", "zeros")
    }
    assert seen["reflection"] == [30, 20, 10, 20, 30, 40, 50, 40, 30]
    assert seen["border"] == [10, 10, 10, 20, 30, 40, 50, 50, 50]
    assert seen["zeros"] == [0, 0, 10, 20, 30, 40, 50, 0, 0]


def test_nearest_makes_no_new_values() -> None:
    mask = (gradient()[:, :, :1] // 64) * 50
    for name in MAPS:
        found = resample(mask, Geometry(MAPS[name], (60, 80)), nearest=True)
        assert set(np.unique(found)) <= set(np.unique(mask))


@pytest.mark.parametrize("height", [1, 40])
@pytest.mark.parametrize(
    "matrix", [scaling(64 / 40_000, 1), rotation(10, 20_000, 20), translation(-39_000, 0)]
)
def test_very_wide_pictures(height: int, matrix: Any) -> None:
    """OpenCV's warp takes at most 32,767 source pixels per side."""
    wide = np.full((height, 40_000, 3), 77, np.uint8)
    found = resample(wide, Geometry(matrix, (height, 64)))
    assert found.shape == (height, 64, 3)
    assert np.median(found) == 77


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (7, 1), (2, 2)])
def test_very_small_pictures(shape: tuple[int, int]) -> None:
    flat = np.full((*shape, 3), 123, np.uint8)
    for matrix in (scaling(64 / shape[1], 64 / shape[0]), rotation(10, 0.5, 0.5), scaling(0.2, 0.2)):
        for border in ("reflection", "border"):
            assert (resample(flat, Geometry(matrix, (64, 64), border)) == 123).all()


@pytest.mark.parametrize("tilts", [(0.2, 0.0), (0.0, -0.2), (0.13, 0.19), (-0.3, 0.3)])
def test_perspective_moves_the_corners_as_it_says(tilts: tuple[float, float]) -> None:
    # The same four corners given to OpenCV's solver.
    square = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]], dtype=np.float64)
    moved = square - square.prod(axis=1, keepdims=True) * tilts
    to_pixels = np.array([50.0, 30.0])
    corners, targets = (((p + 1) * to_pixels).astype(np.float32) for p in (square, moved))
    expected = cv2.getPerspectiveTransform(corners, targets)
    matrix = perspective(*tilts, (60, 100))
    assert matrix / matrix[2, 2] == pytest.approx(expected, rel=1e-4, abs=1e-6)
