"""Photos larger than Pillow opens, without PyTorch: as the learner reads them, or refused in plain words."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from wiggly.bundle.session.pictures import open_pixels
from wiggly.errors import ItemError
from wiggly.vision.decode import open_image
from wiggly.vision.plain import ORIENTATION_TAG


def photo(kind: str, width: int = 100, height: int = 60) -> bytes:
    random = np.random.default_rng(0)
    buffer = io.BytesIO()
    pixels = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def claiming(content: bytes, height: int, width: int) -> bytes:
    """A JPEG whose header says another size (SOF0; JPEG, ITU-T T.81, B.2.2)."""
    place = content.index(b"\xff\xc0") + 5
    return content[:place] + height.to_bytes(2) + width.to_bytes(2) + content[place + 4 :]


@pytest.fixture
def small_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow refuses more than 2,000 pixels, so that the tests need no picture of 180 megapixels."""
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)


@pytest.mark.usefixtures("small_limit")
def test_a_jpeg_larger_than_pillows_limit_is_read_as_the_learner_reads_it() -> None:
    content = photo("JPEG")
    with pytest.raises(Image.DecompressionBombError):
        Image.open(io.BytesIO(content))
    found, wanted = open_pixels(content), open_image(content).pixels()
    assert found.shape == wanted.shape == (60, 100, 3)
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.usefixtures("small_limit")
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_large_jpeg_is_turned_by_both(orientation: int) -> None:
    exif, buffer = Image.Exif(), io.BytesIO()
    exif[ORIENTATION_TAG] = orientation
    Image.fromarray(np.arange(6000, dtype=np.uint32).view(np.uint8).reshape(60, 100, 4)[:, :, :3]).save(
        buffer, "JPEG", exif=exif
    )
    found, wanted = open_pixels(buffer.getvalue()), open_image(buffer.getvalue()).pixels()
    assert found.shape == wanted.shape == ((100, 60, 3) if orientation in (6, 8) else (60, 100, 3))
    assert np.abs(found.astype(int) - wanted).max() <= 1


@pytest.mark.usefixtures("small_limit")
def test_other_formats_are_refused_in_three_parts() -> None:
    with pytest.raises(ItemError) as caught:
        open_pixels(photo("PNG"))
    error = caught.value
    assert error.rule == "every item must be readable"
    assert "too many pixels" in error.received and "Make it smaller" in error.fix


def test_a_jpeg_that_claims_more_than_it_can_hold() -> None:
    with pytest.raises(ItemError, match=r"too many pixels: 60,000×60,000"):
        open_pixels(claiming(photo("JPEG"), 60_000, 60_000))


@pytest.mark.parametrize("cut", [2, 3, 20, 200, 400])
def test_a_header_that_ends(cut: int) -> None:
    with pytest.raises(ItemError):
        open_pixels(photo("JPEG")[:cut])


@pytest.mark.slow
def test_200_megapixels() -> None:
    """What the largest cameras of phones make; some 2 GB of memory."""
    picture, buffer = Image.new("L", (16_320, 12_240), 90), io.BytesIO()
    picture.save(buffer, "JPEG")
    found = open_pixels(buffer.getvalue(), channels=1)
    assert found.shape == (12_240, 16_320, 1) and (found == 90).all()
