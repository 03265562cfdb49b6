"""Saturation and hue: beside torchvision's, what they keep, how they are drawn, how they join."""

from __future__ import annotations

import math
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from tests.data.support import noise
from torchvision.transforms.v2 import functional as tvf

from wiggly.errors import ArgumentError
from wiggly.vision.colour import GREY, ColourMatrix, hue, joined, lighting, saturation
from wiggly.vision.decode import open_image
from wiggly.vision.image import LazyImage
from wiggly.vision.lighting import Hue, Saturation


def painted(step: Any, pixels: Any) -> Any:
    row = np.empty(pixels.shape, np.float32)
    LazyImage(open_image(pixels, pixels.shape[2])).recoloured(step).write(row)
    return row


@pytest.mark.parametrize("factor", [0.0, 0.5, 0.8, 1.0, 1.25, 2.0])
def test_saturation_is_torchvisions(factor: float) -> None:
    want = tvf.adjust_saturation(torch.from_numpy(noise()).permute(2, 0, 1) / 255, factor)
    difference = painted(saturation(factor), noise()) - want.permute(1, 2, 0).numpy()
    assert np.abs(difference).max() < 1.2 / 255  # their grey weighs red by 0.2989


@pytest.mark.parametrize("turns", [0.03, 0.1, -0.1, 1 / 3, 0.5])
def test_hue_turns_as_torchvisions_does_and_keeps_brightness(turns: float) -> None:
    muted = (noise().astype(float) * 0.3 + 90).astype(np.uint8)  # so that nothing is cut off
    found = painted(hue(turns), muted)
    np.testing.assert_allclose(found @ np.array(GREY), muted @ np.array(GREY) / 255, atol=0.75 / 255)
    theirs = tvf.adjust_hue(torch.from_numpy(muted).permute(2, 0, 1) / 255, turns)
    ours, theirs = found - found.mean(-1, keepdims=True), theirs.permute(1, 2, 0).numpy()
    theirs = theirs - theirs.mean(-1, keepdims=True)
    cosine = (ours * theirs).sum() / np.sqrt((ours**2).sum() * (theirs**2).sum())
    assert cosine > 0.9


@pytest.mark.parametrize("step", [saturation(1.7), hue(0.2), saturation(0.0)])
def test_grey_stays_grey(step: ColourMatrix) -> None:
    grey = noise()[..., :1].repeat(3, 2)
    assert np.abs(painted(step, grey) - grey / 255).max() <= 0.51 / 255
    assert np.array_equal(painted(step, noise()[..., :1].copy()), noise()[..., :1] / np.float32(255))


@pytest.mark.parametrize("step", [saturation(1.0), hue(0.0), hue(1.0)])
def test_neutral_draws_change_nothing(step: ColourMatrix) -> None:
    assert np.abs(painted(step, noise()) - noise() / 255).max() < 1e-6


def test_turning_back() -> None:
    both = joined((hue(0.3),), hue(-0.3))
    assert len(both) == 1 and isinstance(both[0], ColourMatrix)
    np.testing.assert_allclose(np.array(both[0].rows), np.eye(4)[:3], atol=1e-12)
    thirds = joined(joined((hue(1 / 3),), hue(1 / 3)), hue(1 / 3))
    np.testing.assert_allclose(np.array(thirds[0].rows), np.eye(4)[:3], atol=1e-12)


def test_neighbours_join_and_others_keep_their_place() -> None:
    steps: tuple[Any, ...] = ()
    for step in (lighting(0.1), lighting(0.2), saturation(1.2), hue(0.1), saturation(0.9), lighting(0.3)):
        steps = joined(steps, step)
    assert [type(s).__name__ for s in steps] == ["Lighting", "ColourMatrix", "Lighting"]
    offset = ColourMatrix(((1, 0, 0, 0.1), (0, 1, 0, 0.2), (0, 0, 1, 0.3)))
    at_once = painted(joined((offset,), saturation(0.5))[0], noise())
    one_by_one = np.clip(noise() / 255 + [0.1, 0.2, 0.3], 0, 5)
    one_by_one = 0.5 * one_by_one + 0.5 * (one_by_one @ np.array(GREY))[..., None]
    assert np.abs(at_once - np.clip(one_by_one, 0, 1)).max() < 0.75 / 255


def test_draws() -> None:
    factors, turns = [], []
    for seed in range(600):
        step = Saturation(0.2, 1.0).draw_curve(Random(seed))
        assert isinstance(step, ColourMatrix)
        factors.append((step.rows[0][0] - GREY[0]) / (1 - GREY[0]))
        turned = Hue(0.1, 1.0).draw_curve(Random(seed))
        assert isinstance(turned, ColourMatrix)
        trace = sum(turned.rows[k][k] for k in range(3))  # of a rotation: 1 + 2 cos
        turns.append(math.acos(min(1.0, (trace - 1) / 2)) / (2 * math.pi))
    assert 0.8 <= min(factors) < 0.805 and 1.24 < max(factors) <= 1.2501
    assert abs(np.log(factors).mean()) < 0.02
    assert min(turns) < 0.002 and 0.099 < max(turns) <= 0.10001 and abs(np.mean(turns) - 0.05) < 0.005
    for make in (Saturation, Hue):
        drawn = sum(make(p=0.25).draw_curve(Random(s)) is not None for s in range(2000))
        assert abs(drawn - 500) < 80
    assert Saturation(p=1.0, draw=0.0).draw_curve(Random(0)) == saturation(0.0)
    assert Hue(p=1.0, draw=0.25).draw_curve(Random(0)) == hue(0.25)
    image = LazyImage(open_image(noise()))
    assert Hue(0.5, 1.0).apply((image, "label"), Random(0), False) == (image, "label")


@pytest.mark.parametrize(
    "make", [lambda: Saturation(1.0), lambda: Saturation(draw=-1), lambda: Hue(0.6), lambda: Hue(p=2)]
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError):
        make()
