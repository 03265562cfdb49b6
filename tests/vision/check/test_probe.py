"""One file at a time: whatever its bytes are, a check ends with a reason or with what training would read."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from wiggly.errors import ItemError
from wiggly.vision.check import check_folder
from wiggly.vision.check.probe import probe
from wiggly.vision.decode import open_image

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


def picture() -> Image.Image:
    grid = np.random.default_rng(0).integers(0, 255, (6, 9, 3), dtype=np.uint8)
    return Image.fromarray(grid).resize((90, 60), Image.Resampling.BICUBIC)


def encoded(kind: str) -> bytes:
    stream = io.BytesIO()
    picture().save(stream, kind)
    return stream.getvalue()


WHOLE = {kind: encoded(kind) for kind in FORMATS}


def readable(data: bytes) -> bool:
    """Whether the loader would use the file."""
    try:
        open_image(data).pixels()
    except ItemError:
        return False
    return True


@pytest.mark.parametrize("kind", FORMATS)
def test_a_whole_file_is_known(kind: str) -> None:
    found = probe(WHOLE[kind])
    assert (found.reason, found.damage, found.format) == ("", "", kind)
    assert (found.height, found.width, found.orientation) == (60, 90, 1)
    assert found.sketch is not None


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_turned_by_exif_have_the_sketch_and_size_of_the_upright_one(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = io.BytesIO()
    picture().resize((360, 240)).save(stored, "JPEG", exif=exif, quality=95)
    with Image.open(stored) as image:
        from PIL import ImageOps

        upright = ImageOps.exif_transpose(image).convert("RGB")
    found, expected = probe(stored.getvalue()), probe(np.asarray(upright))
    assert (found.height, found.width, found.orientation) == (upright.height, upright.width, orientation)
    assert found.sketch is not None
    assert expected.sketch is not None
    assert float(found.sketch.vectors[0] @ expected.sketch.vectors[0]) > 0.999


@settings(max_examples=150, deadline=2000, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(FORMATS), st.data())
def test_damaged_bytes_end_in_a_reason_or_in_what_the_loader_reads(kind: str, data: st.DataObject) -> None:
    whole = bytearray(WHOLE[kind])
    for _ in range(data.draw(st.integers(0, 5))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    damaged = bytes(whole[: data.draw(st.integers(1, len(whole)))])
    found = probe(damaged)
    assert (found.reason == "") == readable(damaged)
    assert "\n" not in found.reason + found.damage


@settings(max_examples=50, deadline=2000)
@given(st.binary(max_size=2000))
def test_any_bytes_end_in_a_reason(data: bytes) -> None:
    assert probe(data).reason or readable(data)


def test_a_pipe_does_not_block(tmp_path: Path) -> None:
    picture().save(tmp_path / "good.png")
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    found = check_folder(tmp_path)["unreadable"]
    assert dict(zip(found.items, found.details, strict=True)) == {
        "gone.jpg": "there is no such file",
        "pipe.jpg": "it is no regular file",
    }


def test_a_file_that_claims_too_many_pixels_is_refused() -> None:
    data = bytearray(WHOLE["JPEG"])
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = b"\xff\xff\xff\xff"
    assert "too many pixels" in probe(bytes(data)).reason


def test_sixteen_bits_and_floats_have_sketches_too() -> None:
    grey = np.asarray(picture().convert("L"))
    sketches = [
        probe(array).sketch for array in (grey, grey.astype(np.float32) / 255, grey.astype(np.uint16) * 257)
    ]
    for sketch in sketches:
        assert sketch is not None
        assert sketches[0] is not None
        assert float(sketch.vectors[0] @ sketches[0].vectors[0]) == pytest.approx(1, abs=1e-3)
