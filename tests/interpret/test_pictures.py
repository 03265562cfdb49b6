"""Thumbnails: any picture becomes a small JPEG, anything else becomes None."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

from wiggly.interpret.pictures import thumbnail


def opened(uri: str | None) -> Image.Image:
    assert uri is not None
    return Image.open(io.BytesIO(base64.b64decode(uri.split(",")[1])))


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA", "LA", "P", "CMYK", "1", "I;16", "F"])
def test_every_mode(mode: str) -> None:
    image = opened(thumbnail(Image.new(mode, (300, 100)), 60))
    assert (image.size, image.mode, image.format) == ((60, 20), "RGB", "JPEG")


@pytest.mark.parametrize("size", [(1, 1), (30_000, 2), (2, 5000)])
def test_odd_sizes(size: tuple[int, int]) -> None:
    assert max(opened(thumbnail(Image.new("RGB", size), 60)).size) == 60


def test_colours_and_orientation_stay() -> None:
    array = np.zeros((40, 80, 3), dtype=np.uint8)
    array[:, 40:, 0] = 255
    small = np.asarray(opened(thumbnail(array, 80)), dtype=int)
    assert small[20, 60, 0] > 240
    assert small[20, 20].max() < 15


def test_transparent_becomes_white_and_sixteen_bits_keep_their_greys() -> None:
    assert np.asarray(opened(thumbnail(Image.new("RGBA", (50, 50), (0, 0, 0, 0)), 50))).min() > 250
    grey = Image.fromarray(np.full((50, 50), 32768, dtype=np.uint16))
    assert abs(int(np.asarray(opened(thumbnail(grey, 50))).mean()) - 128) <= 2


def test_tensors() -> None:
    assert opened(thumbnail(torch.rand(3, 30, 60), 40)).size == (40, 20)
    assert opened(thumbnail(torch.rand(1, 40, 40), 40)).size == (40, 40)


def test_noise_stays_within_its_bytes() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (500, 500, 3), dtype=np.uint8)
    uri = thumbnail(noise, 96, most_bytes=5_000)
    assert uri is not None
    assert len(base64.b64decode(uri.split(",")[1])) <= 5_000


@pytest.mark.parametrize("thing", ["text", 3.5, None, np.zeros(5), torch.zeros(2, 3, 4, 5)])
def test_no_picture(thing: object) -> None:
    assert thumbnail(thing, 60) is None
