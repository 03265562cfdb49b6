"""Files, bytes, arrays and pictures as pixels, compared with Pillow's; damaged ones are named."""

from __future__ import annotations

import io
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageOps
from tests.data.support import encoded, gradient, noise

from wiggly.errors import ArgumentError, ItemError
from wiggly.vision.decode import open_image

ORIENTATION = 0x0112


def pixels_by_pillow(data: bytes, mode: str = "RGB") -> Any:
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert(mode)).astype(int)


def difference(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a).astype(int) - np.asarray(b).astype(int)).mean())


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "WEBP"])
def test_pixels_equal_pillows(kind: str) -> None:
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(noise(), kind, **options)
    opened = open_image(data)
    assert (opened.height, opened.width, opened.channels) == (60, 80, 3)
    assert opened.pixels().dtype == np.uint8
    assert np.array_equal(opened.pixels(), pixels_by_pillow(data))
    grey = open_image(data, channels=1).pixels()
    assert np.array_equal(grey[:, :, 0], pixels_by_pillow(data, "L"))


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_jpeg_is_near_pillows(options: dict[str, Any]) -> None:
    data = encoded(gradient(211, 307), "JPEG", **options)
    assert difference(open_image(data).pixels(), pixels_by_pillow(data)) < 1.5
    grey = open_image(data, channels=1).pixels()
    assert grey.shape == (211, 307, 1)
    assert difference(grey[:, :, 0], pixels_by_pillow(data, "L")) < 1.5


def test_real_photos_are_near_pillows(shared: Path) -> None:
    files = sorted((shared / "data" / "pets" / "images").glob("*.jpg"))[::100]
    assert len(files) >= 10
    found = [difference(open_image(f).pixels(), pixels_by_pillow(f.read_bytes())) for f in files]
    assert np.mean(found) < 1.6 and max(found) < 2.5  # fast inverse transform and chroma: seen 1.27 and 2.3


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_orientation(kind: str, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(gradient(48, 72), kind, exif=exif, quality=95)
    opened, want = open_image(data), pixels_by_pillow(data)
    assert (opened.height, opened.width) == want.shape[:2] == ((48, 72) if orientation < 5 else (72, 48))
    assert difference(opened.pixels(), want) < 2  # mirrored or turned wrongly it would be over 60


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_a_reduced_jpeg(orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(gradient(480, 720), "JPEG", exif=exif, quality=95)
    want = Image.fromarray(pixels_by_pillow(data).astype(np.uint8))
    opened = open_image(data)
    # A quarter of each upright side: the decoder may give exactly that, and must not swap the two.
    found = opened.pixels(opened.height / 4, opened.width / 4)
    assert found.shape[:2] == (opened.height // 4, opened.width // 4)
    small = want.resize((found.shape[1], found.shape[0]), Image.Resampling.BOX)
    assert difference(found, small) < 1.5


def test_reduced_decode_is_never_smaller_than_asked() -> None:
    opened = open_image(encoded(gradient(301, 203), "JPEG"))
    for height in (1, 37, 38, 75, 76, 150, 151, 152, 301):
        found = opened.pixels(height, height * 203 / 301)
        assert found.shape[0] >= height and found.shape[1] >= height * 203 / 301
        assert found.shape[0] <= 301
    assert opened.pixels(0, 0).shape == (301, 203, 3)


def test_damaged_exif_keeps_the_photo() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    data = bytearray(encoded(gradient(), "JPEG", exif=exif))
    at = data.index(b"Exif\0\0") + 6
    data[at : at + 8] = b"\xff" * 8
    assert open_image(bytes(data)).pixels().shape == (60, 80, 3)


def test_grey_and_cmyk_jpeg() -> None:
    grey = encoded(Image.fromarray(gradient()[:, :, 0]), "JPEG", quality=95)
    assert difference(open_image(grey).pixels(), pixels_by_pillow(grey)) < 1
    cmyk = encoded(Image.fromarray(gradient()).convert("CMYK"), "JPEG", quality=95)
    assert np.array_equal(open_image(cmyk).pixels(), pixels_by_pillow(cmyk))


def on_paper(image: Image.Image) -> Any:
    rgba = image.convert("RGBA")
    paper = Image.new("RGBA", rgba.size, "white")
    return np.asarray(Image.alpha_composite(paper, rgba).convert("RGB"))


def test_transparency_lies_on_white() -> None:
    rgba = np.dstack([noise(), gradient()[:, :, 0]])
    for image in (Image.fromarray(rgba), Image.fromarray(rgba).convert("LA")):
        data = encoded(image, "PNG")
        assert np.array_equal(open_image(data).pixels(), on_paper(image))
    palette = Image.fromarray(noise()).convert("P", palette=Image.Palette.ADAPTIVE)
    data = encoded(palette, "PNG", transparency=palette.getpixel((3, 4)))
    assert (open_image(data).pixels()[4, 3] == 255).all()
    clear = open_image(encoded(Image.new("RGBA", (4, 4), (0, 0, 0, 0)), "PNG"))
    assert (clear.pixels() == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey(kind: str) -> None:
    deep = (gradient()[:, :, 0].astype(np.uint16) * 257) ^ 3
    found = open_image(encoded(Image.fromarray(deep), kind)).pixels()
    assert found.shape == (60, 80, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found[:, :, 1], deep / 65535, atol=1e-6)


def test_float_tiff() -> None:
    levels = np.linspace(0, 1, 48, dtype=np.float32).reshape(6, 8)
    found = open_image(encoded(Image.fromarray(levels), "TIFF"), channels=1).pixels()
    np.testing.assert_allclose(found[:, :, 0], levels, atol=1e-6)
    with pytest.raises(ItemError, match="nan"):
        open_image(encoded(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_animation_gives_its_first_frame(kind: str) -> None:
    frames = [Image.new("RGB", (9, 7), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert (open_image(data).pixels() == (255, 0, 0)).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (2, 3), (8, 8), (30_000, 3)])
def test_odd_sizes(kind: str, size: tuple[int, int]) -> None:
    data = encoded(Image.new("RGB", size, (200, 30, 90)), kind)
    opened = open_image(data)
    assert (opened.width, opened.height) == size
    assert np.abs(opened.pixels().astype(int) - (200, 30, 90)).max() <= 3
    assert np.abs(opened.pixels(0.5, 0.5).astype(int) - (200, 30, 90)).max() <= 3


def names(error: ItemError, item: Any) -> bool:
    assert f"'{item}'" in str(error) and error.item == str(item) and error.reason
    return True


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_cut_files_are_named_or_whole(kind: str, tmp_path: Path) -> None:
    data = encoded(noise(), kind)
    whole = open_image(data).pixels()
    refused = 0
    for share in (0.001, 0.01, 0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.9999):
        path = tmp_path / f"cut {share}.{kind.lower()}"
        path.write_bytes(data[: max(1, int(len(data) * share))])
        try:
            found = open_image(path).pixels()
        except ItemError as error:
            refused += names(error, path)
        else:
            assert np.array_equal(found, whole), f"{share} of the file gave another picture silently"
    assert refused >= 8


def test_no_jpeg_header_can_crash_it() -> None:
    """Every prefix of the header: a cut before the colours are named once raised a bare KeyError."""
    data = encoded(gradient(), "JPEG")
    for length in range(1, 700):
        with pytest.raises(ItemError, match="'cut'"):
            open_image(data[:length], name="cut").pixels()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "PPM", "AVIF", "JPEG2000"])
def test_damaged_bytes_never_crash_it(kind: str) -> None:
    data = encoded(noise(40, 50), kind)
    for trial in range(60):
        draw, damaged = random.Random(trial), bytearray(data)
        for _ in range(draw.randint(1, 5)):
            damaged[draw.randrange(len(damaged) if trial % 2 else min(200, len(damaged)))] = draw.randrange(
                256
            )
        try:
            found = open_image(bytes(damaged), name="damaged").pixels()
        except ItemError as error:
            names(error, "damaged")
        else:
            assert found.ndim == 3 and found.shape[2] == 3 and found.dtype in (np.uint8, np.float32)


def with_size(jpeg: bytes, height: int, width: int) -> bytes:
    at = jpeg.index(b"\xff\xc0")
    return jpeg[: at + 5] + height.to_bytes(2, "big") + width.to_bytes(2, "big") + jpeg[at + 9 :]


@pytest.mark.parametrize("side", [65_500, 30_000, 20_000, 0])
def test_a_jpeg_that_claims_to_be_huge(side: int) -> None:
    bomb = with_size(encoded(gradient(), "JPEG"), side, side)
    with pytest.raises(ItemError, match="'bomb'"):
        open_image(bomb, name="bomb").pixels()
    with pytest.raises(ItemError, match="'bomb'"):
        open_image(bomb, name="bomb").pixels(10, 10)


def test_a_png_that_claims_to_be_huge() -> None:
    import struct
    import zlib

    data = bytearray(encoded(gradient(), "PNG"))
    data[16:24] = struct.pack(">II", 60_000, 60_000)
    data[29:33] = struct.pack(">I", zlib.crc32(data[12:29]))
    with pytest.raises(ItemError, match="too many pixels"):
        open_image(bytes(data), name="bomb")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"<!DOCTYPE html><html>404 Not Found</html>", "not an image"),
        (b"hello", "not an image"),
        (b"\xff\xd8", "image"),
        (b"\x89PNG\r\n\x1a\n", "image"),
        (b"\0" * 1000, "not an image"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
    ],
)
def test_files_that_are_no_images(content: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ItemError) as caught:
        open_image(path).pixels()
    assert str(path) in str(caught.value) and reason in str(caught.value)
    assert str(caught.value).endswith("Repair or remove it, then run again.")


def test_a_tiff_of_many_bands_names_the_block_that_reads_it() -> None:
    tifffile = pytest.importorskip("tifffile")
    file = io.BytesIO()
    tifffile.imwrite(file, np.zeros((8, 9, 5), np.uint16), photometric="minisblack", planarconfig="contig")
    with pytest.raises(ItemError, match=r"more bands, which ImageBlock\(channels=...\) reads"):
        open_image(file.getvalue()).pixels()


def test_paths_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "loop.jpg").symlink_to(tmp_path / "loop.jpg")
    for name in ("folder.jpg", "missing.jpg", "loop.jpg", "folder.jpg/inside.jpg", "x" * 300):
        with pytest.raises(ItemError) as caught:
            open_image(tmp_path / name)
        assert name in str(caught.value)


def test_no_permission(tmp_path: Path) -> None:
    path = tmp_path / "locked.png"
    path.write_bytes(encoded(gradient(), "PNG"))
    path.chmod(0)
    if not hasattr(os, "geteuid"):
        pytest.skip("this system knows no users that may not read")
    is_root = os.geteuid() == 0
    if is_root:
        os.seteuid(65534)  # nobody: root may read everything
    try:
        with pytest.raises(ItemError, match=r"locked\.png' is not: Permission denied.*\n.*permissions"):
            open_image(path)
    finally:
        if is_root:
            os.seteuid(0)


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "really a png.jpg"
    path.write_bytes(encoded(noise(), "PNG"))
    assert np.array_equal(open_image(path).pixels(), noise())
    assert np.array_equal(open_image(str(path)).pixels(), noise())


@pytest.mark.parametrize(
    ("dtype", "high"),
    [
        ("uint8", 255),
        ("int16", 255),
        ("int32", 255),
        ("int64", 255),
        ("uint32", 255),
        ("uint16", 65535),
        ("float16", 1),
        ("float32", 1),
        ("float64", 1),
        ("bool", 1),
    ],
)
def test_array_types(dtype: str, high: int) -> None:
    array = (np.array([[0, 1], [1, 0]]) * high).astype(dtype)
    found = open_image(array).pixels()
    assert found.shape == (2, 2, 3)
    scaled = found / 255 if found.dtype == np.uint8 else found
    assert np.array_equal(scaled[:, :, 0], [[0, 1], [1, 0]])
    if dtype not in ("uint16", "uint32"):
        as_tensor = open_image(torch.from_numpy(array)[None])
        assert np.array_equal(as_tensor.pixels(), found)


def test_tensors_of_training() -> None:
    for made in (torch.rand(3, 4, 5).requires_grad_(), torch.rand(3, 4, 5).bfloat16()):
        np.testing.assert_allclose(
            open_image(made).pixels(), made.detach().float().permute(1, 2, 0).numpy(), atol=1e-6
        )


def test_grey_of_an_array_is_pillows() -> None:
    found = open_image(noise(), channels=1).pixels()
    want = np.asarray(Image.fromarray(noise()).convert("L")).astype(int)
    assert np.abs(found[:, :, 0] - want).max() <= 1


@pytest.mark.parametrize(
    "source",
    [
        None,
        3,
        3.5,
        ["a.jpg"],
        np.zeros((4, 4, 2), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
        np.zeros(4),
        np.full((4, 4), np.nan),
        np.full((4, 4), 300),
        np.full((4, 4), -1.0),
        np.full((4, 4), "a"),
        torch.zeros(2, 3, 4, 4),
        np.full((4, 4), 1j),
    ],
)
def test_what_can_hold_no_image(source: Any) -> None:
    with pytest.raises(ArgumentError) as caught:
        open_image(source)
    assert str(caught.value).count(";") >= 1


def test_a_pil_image_opened_lazily(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(encoded(noise(), "PNG"))
    with Image.open(path) as lazy:
        opened = open_image(lazy)
    assert opened.name == str(path)
    assert np.array_equal(opened.pixels(), noise())
    path.write_bytes(path.read_bytes()[:2000])
    with Image.open(path) as lazy, pytest.raises(ItemError, match=r"a\.png"):
        open_image(lazy)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LA", "I", "F", "PA"])
def test_every_mode_of_pillow(mode: str) -> None:
    image = Image.fromarray(noise(6, 8)).convert("L" if mode in ("I", "F") else "RGB")
    image = image.convert("P").convert("PA") if mode == "PA" else image.convert(mode)
    for channels in (1, 3):
        assert open_image(image, channels).pixels().shape == (6, 8, channels)
