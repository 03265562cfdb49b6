"""Damaged bytes of every format: cut, flipped, overwritten, spliced, under a wrong header.

Whatever is done to a file, reading it gives pixels of the size it claims or an `ItemError`: no crash, no
hang, no other exception; and through the loader every row keeps the label of its own file.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, features
from tests.data.support import encoded, gradient, noise

from wiggly.data.block import DataBlock
from wiggly.data.blocks import CategoryBlock
from wiggly.data.items import get_image_files, parent_label
from wiggly.data.loader import DataLoader
from wiggly.data.split import IndexSplitter
from wiggly.errors import BadItemsError, ItemError
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.decode import open_image

SECONDS = 30.0  # far above what any of these small files may take


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def picture(mode: str) -> Image.Image:
    return Image.fromarray(gradient()).convert(mode)


FORMATS: dict[str, Callable[[], bytes]] = {
    "jpeg": lambda: encoded(gradient(), "JPEG"),
    "jpeg 4:4:4": lambda: encoded(noise(), "JPEG", subsampling=0, quality=98),
    "jpeg progressive": lambda: encoded(gradient(), "JPEG", progressive=True),
    "jpeg restarts": lambda: encoded(gradient(), "JPEG", restart_marker_rows=1),
    "jpeg grey": lambda: encoded(picture("L"), "JPEG"),
    "jpeg cmyk": lambda: encoded(picture("CMYK"), "JPEG"),
    "jpeg exif": lambda: encoded(gradient(), "JPEG", exif=turned()),
    "png": lambda: encoded(gradient(), "PNG"),
    "png 1 bit": lambda: encoded(picture("1"), "PNG"),
    "png palette": lambda: encoded(picture("P"), "PNG"),
    "png alpha": lambda: encoded(picture("RGBA"), "PNG"),
    "png 16 bit": lambda: encoded(Image.fromarray(noise()[:, :, 0].astype(np.uint16) * 257), "PNG"),
    "gif": lambda: encoded(picture("P"), "GIF"),
    "gif animated": lambda: encoded(
        picture("P"), "GIF", save_all=True, append_images=[Image.fromarray(noise()).convert("P")]
    ),
    "bmp": lambda: encoded(gradient(), "BMP"),
    "webp": lambda: encoded(gradient(), "WEBP"),
    "webp lossless": lambda: encoded(gradient(), "WEBP", lossless=True),
    "tiff": lambda: encoded(gradient(), "TIFF"),
    "tiff lzw": lambda: encoded(gradient(), "TIFF", compression="tiff_lzw"),
    "tiff jpeg": lambda: encoded(gradient(), "TIFF", compression="jpeg"),
    "tiff float": lambda: encoded(Image.fromarray(noise()[:, :, 0] / np.float32(255)), "TIFF"),
    "ppm": lambda: encoded(gradient(), "PPM"),
    "jp2": lambda: encoded(gradient(), "JPEG2000"),
    "avif": lambda: encoded(gradient(), "AVIF"),
}
NEEDS = {"jp2": "jpg_2000", "avif": "avif", "webp": "webp", "webp lossless": "webp"}

_made: dict[str, bytes] = {}


def whole(name: str) -> bytes:
    """The bytes of an undamaged file of a format."""
    if name in NEEDS and not features.check(NEEDS[name]):
        pytest.skip(f"this Pillow was built without {NEEDS[name]}")
    if name not in _made:
        _made[name] = FORMATS[name]()
    return _made[name]


@st.composite
def damage(draw: st.DrawFn) -> Callable[[bytes], bytes]:
    """One to three injuries, as functions of the bytes."""

    def injure(data: bytes, kind: str, place: float, amount: int, other: bytes) -> bytes:
        at = int(place * len(data))
        if kind == "cut":
            return data[:at]
        if kind == "flip":
            changed = bytearray(data)
            for k in range(amount):
                spot = (at + k * 97) % max(len(data), 1)
                changed[spot : spot + 1] = bytes([changed[spot] ^ (1 << (k % 8))]) if changed else b""
            return bytes(changed)
        if kind == "overwrite":
            return data[:at] + other + data[at + len(other) :]
        if kind == "remove":
            return data[:at] + data[at + amount :]
        if kind == "insert":
            return data[:at] + other + data[at:]
        if kind == "head":  # the first bytes of something else
            return other[:12] + data[12:]
        return data[at:] + data[:at]  # rotate

    kinds = st.sampled_from(["cut", "flip", "overwrite", "remove", "insert", "head", "rotate"])
    # The front, where headers are, as often as the rest.
    places = st.one_of(st.floats(0, 0.05), st.floats(0, 1))
    step = st.tuples(kinds, places, st.integers(1, 40), st.binary(min_size=1, max_size=40))
    steps = draw(st.lists(step, min_size=1, max_size=3))

    def all_of_them(data: bytes) -> bytes:
        for kind, place, amount, other in steps:
            data = injure(data, kind, place, amount, other)
        return data

    return all_of_them


def read(data: bytes, channels: int) -> Any:
    """Pixels, or the `ItemError`; anything else is raised."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow talks about damaged files
        try:
            image = open_image(data, channels, "it.jpg")
            pixels = [image.pixels(), image.pixels(image.height / 5, image.width / 5)]
        except ItemError as error:
            return error
    return image, pixels


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(hurt=damage(), channels=st.sampled_from([3, 1]))
def test_damaged_bytes_are_pixels_or_an_item_error(
    name: str, hurt: Callable[[bytes], bytes], channels: int
) -> None:
    data = hurt(whole(name))
    with ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(read, data, channels).result(timeout=SECONDS)
    if isinstance(outcome, ItemError):
        assert "it.jpg" in str(outcome)
        return
    image, (full, small) = outcome
    assert full.shape == (image.height, image.width, channels)
    assert small.shape[2] == channels
    assert small.shape[0] <= image.height
    assert full.dtype in (np.uint8, np.float32)
    assert full.dtype == np.uint8 or (np.isfinite(full).all() and full.min() >= 0 and full.max() <= 1)


@pytest.mark.parametrize("name", FORMATS)
def test_whole_bytes_are_pillows_pixels(name: str) -> None:
    """The tests above would pass if nothing could be read; this one would not."""
    data = whole(name)
    found = open_image(data).pixels()
    assert found.shape[2] == 3
    if name in ("png 16 bit", "tiff float", "png alpha"):
        return  # deep and clear pictures have tests of their own
    with Image.open(io.BytesIO(data)) as image:
        upright = image.transpose(Image.Transpose.ROTATE_270) if name == "jpeg exif" else image
        want = np.asarray(upright.convert("RGB")).astype(int)
    assert np.abs(found.astype(int) - want).max() <= 1


COLOURS = {"blue": (30, 30, 220), "green": (30, 200, 30), "red": (220, 30, 30)}


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data(), workers=st.sampled_from([0, 2]))
def test_no_row_gets_the_label_of_another(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, workers: int
) -> None:
    """Photos whose colour is their label, some damaged: every row is its own file, colour and label."""
    folder = tmp_path_factory.mktemp("colours")
    kinds = ["JPEG", "PNG", "WEBP", "BMP", "TIFF"]
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for k in range(10):
            kind = kinds[k % len(kinds)]
            file = folder / name / f"{k}.{kind.lower()}"
            file.write_bytes(encoded(Image.new("RGB", (40, 30), colour), kind))
    files = get_image_files(folder)
    injured = data.draw(st.sets(st.integers(0, len(files) - 1), min_size=1, max_size=12))
    for i in injured:
        files[i].write_bytes(data.draw(damage())(files[i].read_bytes()))
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter([0]),
        get_y=parent_label,
        item_tfms=Resize(16),
        batch_tfms=aug_transforms(max_lighting=0.0),
    )
    dls = block.dataloaders(files, seed=0)
    loader = DataLoader(dls.train_ds, bs=4, shuffle=True, num_workers=workers, max_bad=1.0)
    seen: dict[Path, str] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for batch in loader.batches():
            for x, y, position in zip(batch.inputs[0], batch.targets[0], batch.positions, strict=True):
                file = dls.train_ds.items[position]
                seen[file] = dls.vocab[y]
                if files.index(file) not in injured:
                    found = 255 * x.mean((1, 2)).numpy()
                    assert np.abs(found - COLOURS[seen[file]]).max() < 4
    assert all(label == file.parent.name for file, label in seen.items())
    unseen = {str(f) for f in files[1:] if f not in seen}
    assert unseen == set(loader.bad_items)
    assert unseen <= {str(files[i]) for i in injured}


def test_more_damage_than_allowed_stops_the_run(tmp_path: Path) -> None:
    for k in range(40):
        photo = encoded(gradient(), "JPEG")
        (tmp_path / f"{k}.jpg").write_bytes(photo[: len(photo) // 3] if k % 8 == 0 else photo)
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter([1]),
        get_y=lambda f: str(int(f.stem) % 2),
        item_tfms=Resize(16),
    )
    dls = block.dataloaders(get_image_files(tmp_path), bs=4, num_workers=2)
    with pytest.raises(BadItemsError, match="damaged"):
        list(dls.train)
