"""An image in the making: steps are kept and run once; a person's picture and a batch's row agree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.data.support import encoded, noise

from wiggly.errors import ArgumentError
from wiggly.vision import image as module
from wiggly.vision.colour import lighting
from wiggly.vision.decode import open_image
from wiggly.vision.geometry import Geometry, rotation, scaling, scaling_around, translation
from wiggly.vision.image import LazyImage, PILImage, PILImageBW


def lazy(pixels: Any = None, channels: int = 3) -> LazyImage:
    return LazyImage(open_image(noise() if pixels is None else pixels, channels))


def test_pil_image_is_a_whole_pillow_image(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(noise(), "PNG"))
    for source in (path, str(path), path.read_bytes(), noise(), Image.open(path)):
        made = PILImage.create(source)
        assert isinstance(made, Image.Image) and isinstance(made, PILImage)
        assert made.size == (80, 60) and made.shape == (60, 80) and made.mode == "RGB"
        assert np.array_equal(np.asarray(made), noise())
    grey = PILImageBW.create(path)
    assert grey.mode == "L"
    assert np.array_equal(np.asarray(grey), np.asarray(Image.open(path).convert("L")))
    made = PILImage.create(path)
    made.save(tmp_path / "again.jpg")
    assert np.array_equal(np.asarray(made.rotate(90, expand=True)), np.rot90(noise()))
    assert np.array_equal(np.asarray(made.crop((1, 2, 30, 20))), noise()[2:20, 1:30])
    assert made.to_thumb(32).size == (32, 24) and made.to_thumb(20, 40).size == (27, 20)
    made.putpixel((0, 0), (1, 2, 3))
    assert made.getpixel((0, 0)) == (1, 2, 3) and made.copy().size == made.size


def test_steps_compose_into_one_resampling(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Geometry] = []
    real = module.resample

    def counted(pixels: Any, geometry: Geometry, *args: Any, **kwargs: Any) -> Any:
        calls.append(geometry)
        return real(pixels, geometry, *args, **kwargs)

    monkeypatch.setattr(module, "resample", counted)
    steps = [Geometry(rotation(9, 40, 30), (60, 80)), Geometry(scaling(0.5, 0.5), (30, 40))]
    image = lazy()
    for step in steps:
        image = image.moved(step).recoloured(lighting(0.1))
    assert calls == [] and image.size == (30, 40)
    assert image.picture().size == (40, 30)
    assert len(calls) == 1
    np.testing.assert_allclose(calls[0].matrix, steps[1].matrix @ steps[0].matrix)


def test_steps_leave_the_image_before_alone() -> None:
    image = lazy()
    image.moved(Geometry(scaling(2, 2), (120, 160))).recoloured(lighting(1)).normalised(
        (0.5,) * 3, (0.5,) * 3
    )
    assert image == LazyImage(image.source) and image.size == (60, 80)


@pytest.mark.parametrize("source", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3])
def test_picture_row_and_statistics_agree(source: str, channels: int) -> None:
    pixels = noise() if source == "uint8" else noise().astype(np.float32) / 255
    image = lazy(pixels, channels).moved(Geometry(scaling_around(-1, 1, 40, 30), (60, 80)))
    image = image.recoloured(lighting(0.4, 1.3))
    row = np.empty((60, 80, channels), np.float32)
    image.write(row)
    assert row.min() >= 0 and row.max() <= 1
    shown = np.asarray(image.picture()).reshape(60, 80, channels)
    assert np.abs(shown / 255 - row).max() <= 0.5 / 255 + 1e-6
    mean, std = (0.4, 0.5, 0.6)[:channels], (0.2, 0.25, 0.3)[:channels]
    lent = np.empty_like(row)
    image.normalised(mean, std).write(lent)
    np.testing.assert_allclose(lent, (row - np.array(mean)) / np.array(std), atol=3e-6)


def test_statistics_of_another_kind_of_image() -> None:
    with pytest.raises(ArgumentError, match="one number per channel"):
        lazy(channels=1).normalised((0.5,) * 3, (0.5,) * 3)


@pytest.mark.parametrize("give", [lambda i: i, np.asarray, lambda i: np.asarray(i) / 255])
def test_a_callable_in_the_middle(give: Any) -> None:
    """PIL in; PIL, bytes or floats out; what was drawn before is done before, statistics stay for the end."""
    seen: list[Image.Image] = []

    def invert(picture: Image.Image) -> Any:
        seen.append(picture)
        return give(ImageOps.invert(picture))

    image = lazy().moved(Geometry(translation(-5, -3), (40, 50))).normalised((0.5,) * 3, (0.25,) * 3)
    changed = image.mapped(invert)
    assert isinstance(seen[0], PILImage) and seen[0].size == (50, 40)
    row = np.empty((40, 50, 3), np.float32)
    changed.write(row)
    want = (1 - noise()[3:43, 5:55] / 255 - 0.5) / 0.25
    np.testing.assert_allclose(row, want, atol=1e-5)


def test_a_callable_sees_the_colours_so_far() -> None:
    seen: list[Any] = []
    lazy().recoloured(lighting(0.8)).mapped(lambda p: seen.append(np.asarray(p)) or p)
    want = lighting(0.8)(noise() / 255.0) * 255
    assert np.abs(seen[0] - want).max() <= 0.51


def test_deep_grey_keeps_its_depth() -> None:
    deep = (np.arange(65536, dtype=np.uint16)).reshape(256, 256)
    image = LazyImage(open_image(encoded(Image.fromarray(deep), "PNG"), 1))
    row = np.empty((256, 256, 1), np.float32)
    image.recoloured(lighting()).write(row)
    assert len(np.unique(row)) > 60_000
