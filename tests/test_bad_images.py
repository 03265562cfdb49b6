"""A folder as people have them: every odd and damaged file at once, through the loaders to a batch."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.data.support import encoded, gradient, noise, photo_folder

from wiggly.data.items import get_image_files
from wiggly.errors import BadItemsError
from wiggly.vision.augment import RandomResizedCrop, Resize, aug_transforms
from wiggly.vision.loaders import ImageDataLoaders


def odd_but_whole() -> dict[str, bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    rgba = np.dstack([noise(), gradient()[:, :, 0]])
    frames = [Image.fromarray(noise(seed=s)) for s in range(3)]
    return {
        "cmyk.jpg": encoded(Image.fromarray(noise()).convert("CMYK"), "JPEG"),
        "grey.jpg": encoded(Image.fromarray(noise()).convert("L"), "JPEG"),
        "turned.jpg": encoded(gradient(), "JPEG", exif=exif),
        "progressive.jpeg": encoded(gradient(), "JPEG", progressive=True),
        "deep.png": encoded(Image.fromarray(noise()[:, :, 0].astype(np.uint16) * 257), "PNG"),
        "clear.png": encoded(Image.fromarray(rgba), "PNG"),
        "palette.png": encoded(Image.fromarray(noise()).convert("P"), "PNG"),
        "animated.gif": encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        "animated.webp": encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
        "dot.png": encoded(Image.new("RGB", (1, 1), "red"), "PNG"),
        "dot.jpg": encoded(Image.new("RGB", (1, 1), "red"), "JPEG"),
        "line.png": encoded(Image.new("RGB", (1, 300), "red"), "PNG"),
        "wide.jpg": encoded(Image.new("RGB", (30_000, 8), "red"), "JPEG"),
        "wide.png": encoded(Image.new("RGB", (30_000, 8), "red"), "PNG"),
        "really_png.jpg": encoded(noise(), "PNG"),
        "paper.tiff": encoded(Image.fromarray(noise()[:, :, 0] > 127), "TIFF"),
        "ümläut и space.PNG": encoded(noise(), "PNG"),
    }


def damaged() -> dict[str, bytes]:
    jpeg, png = encoded(noise(), "JPEG"), encoded(noise(), "PNG")
    return {
        "empty.jpg": b"",
        "half.jpg": jpeg[: len(jpeg) // 2],
        "header.jpg": jpeg[:100],
        "start.jpg": jpeg[:2],
        "half.png": png[: len(png) // 2],
        "page.jpg": b"<!DOCTYPE html><html><body>404</body></html>",
        "words.png": "Grüße".encode(),
    }


TRANSFORMS: list[Any] = [
    {"item_tfms": Resize(32)},
    {"item_tfms": Resize(32, "pad")},
    {"item_tfms": Resize(64, "squish"), "batch_tfms": aug_transforms(size=32)},
    {"item_tfms": RandomResizedCrop(32)},
]


@pytest.mark.parametrize("options", TRANSFORMS, ids=range(len(TRANSFORMS)))
@pytest.mark.parametrize("workers", [0, 3])
def test_odd_files_are_images_like_any_other(tmp_path: Path, options: Any, workers: int) -> None:
    folder = photo_folder(tmp_path, {"plain": 5})
    (folder / "odd").mkdir()
    for name, data in odd_but_whole().items():
        (folder / "odd" / name).write_bytes(data)
    dls = ImageDataLoaders.from_folder(
        folder, valid_pct=0.3, seed=0, bs=4, num_workers=workers, device="cpu", max_bad=0, **options
    )
    seen = 0
    for loader in (dls.train.__class__(dls.train_ds, 4, num_workers=workers), dls.valid):
        for batch in loader.batches():
            seen += len(batch)
            assert batch.inputs[0].shape[1:] == (3, 32, 32)
            assert torch.isfinite(batch.inputs[0]).all()
            assert batch.inputs[0].min() >= 0 and batch.inputs[0].max() <= 1
            for row, position in enumerate(batch.positions):
                if "dot" in loader.dataset.item_name(position) or "wide" in loader.dataset.item_name(
                    position
                ):
                    r, g, b = batch.inputs[0][row].mean((1, 2)).tolist()
                    assert r > 0.8 and g < 0.1 and b < 0.1
    assert seen == len(get_image_files(folder)) == 22


@pytest.mark.parametrize("workers", [0, 3])
def test_damaged_files_are_skipped_and_named(tmp_path: Path, workers: int) -> None:
    folder = photo_folder(tmp_path, {"cat": 30, "dog": 30})
    for name, data in damaged().items():
        (folder / "dog" / name).write_bytes(data)
    options: dict[str, Any] = {
        "bs": 8,
        "num_workers": workers,
        "device": "cpu",
        "item_tfms": Resize(32),
        "shuffle": False,
    }
    dls = ImageDataLoaders.from_folder(folder, valid_pct=0.3, seed=0, max_bad=0.5, **options)
    rows = sum(len(x) for loader in dls for x, _ in loader)
    assert rows == 60
    assert sorted(Path(name).name for name in dls.bad_items) == sorted(damaged())
    assert all(reason for reason in dls.bad_items.values())
    strict = ImageDataLoaders.from_folder(folder, valid_pct=0.3, seed=0, **options)
    with pytest.raises(BadItemsError, match=r"at most 1%"):
        list(map(list, strict))
    for name, data in damaged().items():
        assert (folder / "dog" / name).read_bytes() == data, "reading must not change a file"


def test_a_file_that_vanishes_between_two_epochs(tmp_path: Path) -> None:
    folder = photo_folder(tmp_path, {"cat": 10, "dog": 10})
    dls = ImageDataLoaders.from_folder(
        folder, valid_pct=0.2, seed=0, bs=4, device="cpu", item_tfms=Resize(16)
    )
    list(dls.train)
    gone = dls.train_ds.items[2]
    gone.unlink()
    list(dls.train)
    assert list(dls.bad_items) == [str(gone)] and "No such file" in dls.bad_items[str(gone)]


def test_a_photo_of_a_hundred_megapixels_is_no_bomb(tmp_path: Path) -> None:
    """Decoded at an eighth of its size, so neither slow nor large."""
    (tmp_path / "large.jpg").write_bytes(encoded(Image.new("L", (12_000, 9_000), 99), "JPEG"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from wiggly.vision.blocks import ImageBlock

        block = ImageBlock()
        small = block.encode(Resize(64).apply((block.load(tmp_path / "large.jpg"),), None, False)[0])  # type: ignore[arg-type]
    assert small.shape == (3, 64, 64) and (small * 255).round().unique().tolist() == [99]
