"""Lighting and tables, compared with torch's logit and sigmoid, and with numpy's indexing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.data.support import noise

from wiggly.vision.colour import apply_curves, lighting, look_up, table

STATS = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


@pytest.mark.parametrize("shift", [-1.5, -0.2, 0.0, 0.4, 2.0])
@pytest.mark.parametrize("scale", [0.5, 0.8, 1.0, 1.25, 2.0])
def test_lighting_is_torchs_logit_and_sigmoid(shift: float, scale: float) -> None:
    levels = np.linspace(0, 1, 256)
    want = torch.sigmoid(scale * (torch.logit(torch.from_numpy(levels), eps=1e-7) + shift))
    found = lighting(shift, scale)(levels)
    np.testing.assert_allclose(found, want.numpy(), atol=1e-9)
    assert found.min() >= 0 and found.max() <= 1
    assert (np.diff(found) > 0).all()


def test_lighting_of_nothing_is_nothing() -> None:
    assert np.abs(lighting()(np.linspace(0, 1, 256)) - np.linspace(0, 1, 256)).max() < 1e-6


def test_brightness_and_contrast_in_order() -> None:
    levels = np.linspace(0.05, 0.95, 50)
    both = apply_curves([lighting(shift=0.3), lighting(scale=1.4)], levels)
    np.testing.assert_allclose(both, lighting(scale=1.4)(lighting(shift=0.3)(levels)))
    assert np.abs(both - apply_curves([lighting(scale=1.4), lighting(shift=0.3)], levels)).max() > 1e-3


@pytest.mark.parametrize("stats", [None, STATS, ((0.5,) * 3, (0.5,) * 3), ((0.5,) * 3, (0.2, 0.3, 0.4))])
@pytest.mark.parametrize("curves", [[], [lighting(0.5, 1.2)]])
def test_look_up_of_colour_is_numpys_indexing(stats: Any, curves: Any) -> None:
    pixels, out = noise(33, 47), np.full((33, 47, 3), np.nan, np.float32)
    look_up(pixels, table(curves, *(stats or ())), out)
    want = apply_curves(curves, pixels / 255.0)
    if stats:
        want = (want - np.array(stats[0])) / np.array(stats[1])
    np.testing.assert_allclose(out, want, atol=1e-6)


@pytest.mark.parametrize("stats", [None, ((0.13,), (0.31,))])
@pytest.mark.parametrize("shape", [(33, 47, 1), (1, 1, 1), (1, 9, 1), (9, 1, 1)])
def test_look_up_of_grey_is_numpys_indexing(stats: Any, shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    out = np.full(shape, np.nan, np.float32)
    look_up(pixels, table([lighting(0.1)], *(stats or ())), out)
    want = lighting(0.1)(pixels / 255.0)
    np.testing.assert_allclose(out, (want - stats[0][0]) / stats[1][0] if stats else want, atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (9, 1, 3)])
def test_look_up_writes_in_place_whatever_the_shape(shape: tuple[int, int, int]) -> None:
    batch = np.full((2, *shape), np.nan, np.float32)
    look_up(np.full(shape, 51, np.uint8), table([]), batch[1])
    assert np.isnan(batch[0]).all() and np.allclose(batch[1], 0.2)


def test_table_has_the_right_shape() -> None:
    assert table([]).shape == (256,) and table([]).dtype == np.float32
    assert table([], *STATS).shape == (256, 3)
    np.testing.assert_allclose(table([]), np.arange(256) / 255, atol=1e-7)
