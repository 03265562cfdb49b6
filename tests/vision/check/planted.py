"""A folder of real photos with faults planted in it, and what a check must find there: no more, no less."""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

__all__ = ["COPYING", "Planted", "copied", "plant", "text_page", "write_folder"]


def _jpeg(image: Image.Image, quality: int = 92, **options: object) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", quality=quality, **options)
    return stream.getvalue()


def _cut(image: Image.Image, share: float, off_centre: bool = False) -> Image.Image:
    x, y = round(image.width * share), round(image.height * share)
    return image.crop(
        (x, y, image.width, image.height) if off_centre else (x, y, image.width - x, image.height - y)
    )


#: What people and programs do to a photo that makes a copy of it.
COPYING = {
    "quality 60": lambda image: _jpeg(image, 60),
    "quality 30": lambda image: _jpeg(image, 30),
    "half the size": lambda image: _jpeg(image.resize((image.width // 2, image.height // 2))),
    "3 % cropped": lambda image: _jpeg(_cut(image, 0.03)),
    "5 % cropped at one corner": lambda image: _jpeg(_cut(image, 0.05, off_centre=True)),
    "brighter": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.3)),
    "darker": lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(0.7)),
    "more contrast": lambda image: _jpeg(ImageEnhance.Contrast(image).enhance(1.3)),
    "grey": lambda image: _jpeg(image.convert("L")),
    "squashed": lambda image: _jpeg(image.resize((224, 224))),
    "all of it": lambda image: _jpeg(
        ImageEnhance.Brightness(_cut(image, 0.02)).enhance(1.15).resize((300, 240)), 70
    ),
}


def copied(photo: Path, how: str) -> bytes:
    """A copy of a photo, as the bytes of a JPEG."""
    with Image.open(photo) as image:
        return COPYING[how](image.convert("RGB"))


@dataclass
class Planted:
    """The folder, and for each kind of finding the files (or classes) that it must name."""

    folder: Path
    expected: dict[str, set[str]] = field(default_factory=lambda: dict[str, set[str]]())

    def put(self, name: str, data: bytes, *kinds: str) -> None:
        """Writes a file that must be named in findings of these kinds."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.expect(name, *kinds)

    def expect(self, name: str, *kinds: str) -> None:
        """A name that findings of these kinds must hold."""
        for kind in kinds:
            self.expected.setdefault(kind, set()).add(name)


def write_folder(folder: Path, photos: list[Path], n_train: int = 20, n_valid: int = 10) -> Planted:
    """A sound folder: `train` and `valid`, classes `cat` and `dog`, all photos different."""
    made, rest = Planted(folder), iter(photos)
    for side, n in (("train", n_train), ("valid", n_valid)):
        for label in ("cat", "dog"):
            for k in range(n):
                made.put(f"{side}/{label}/{label}{k:02}.jpg", next(rest).read_bytes())
    return made


def plant(folder: Path, photos: list[Path]) -> Planted:
    """A folder with one of everything that can be wrong with files, classes and the split.

    Args:
        folder: An empty folder.
        photos: 120 photos that are all different.
    """
    made, spare = write_folder(folder, photos[:60]), photos[60:]
    _plant_files(made, spare)
    _plant_copies(made, spare[20:])
    _plant_classes(made, spare[50:])
    return made


def _plant_files(made: Planted, spare: list[Path]) -> None:
    whole = spare[0].read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("photo.txt", "no photo")
    unreadable = {
        "empty.jpg": b"",
        "cut.jpg": whole[: len(whole) // 2],
        "header_only.jpg": whole[:300],
        "archive.jpg": archive.getvalue(),
        "page.jpg": b"<!DOCTYPE html><html><body>404 not found</body></html>",
        "text.png": b"this is no picture",
        "heic.jpg": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100),
        "zeros.jpg": bytes(5000),
    }
    for name, data in unreadable.items():
        made.put(f"train/cat/{name}", data, "unreadable")
    png = io.BytesIO()
    _photo(spare[1]).save(png, "PNG")
    made.put("train/cat/cut.png", png.getvalue()[: len(png.getvalue()) // 2], "unreadable")
    made.put("train/cat/really_png.jpg", png.getvalue(), "wrong-suffix")
    made.put("train/dog/iphone.HEIC", b"\0\0\0\x18ftypheic" + bytes(100), "left-out")
    exif = Image.Exif()
    exif[0x0112] = 6
    made.put("train/cat/turned.jpg", _jpeg(_photo(spare[2]), exif=exif), "turned-by-exif")
    made.put("train/cat/print.jpg", _jpeg(_photo(spare[3]).convert("CMYK")), "colour-modes")
    made.put("train/dog/icon.jpg", _jpeg(_photo(spare[4]).resize((20, 16))), "small")
    made.put("train/dog/banner.jpg", _jpeg(_photo(spare[5]).resize((900, 120))), "elongated")


def _plant_copies(made: Planted, spare: list[Path]) -> None:
    for k, how in enumerate(COPYING):
        name = f"train/cat/copied{k:02}.jpg"
        made.put(name, spare[k].read_bytes(), "near-copies")
        made.put(f"train/cat/copied{k:02}_{how.split()[0]}.jpg", copied(spare[k], how), "near-copies")
        if how == "grey":
            made.expect(f"train/cat/copied{k:02}_grey.jpg", "colour-modes")
    names = [f"{side}/dog/shown.jpg" for side in ("train", "valid")]
    for name in names:
        made.put(name, spare[12].read_bytes(), "exact-across")
    made.put("train/dog/shown_again.jpg", spare[13].read_bytes(), "near-across")
    made.put("valid/dog/small_again.jpg", copied(spare[13], "half the size"), "near-across")
    for name in ("train/dog/twice.jpg", "train/dog/twice copy.jpg"):
        made.put(name, spare[14].read_bytes(), "exact-copies")
    for name in ("train/dog/whose.jpg", "train/cat/whose.jpg"):
        made.put(name, spare[15].read_bytes(), "conflicting-labels")
    made.put("train/dog/likely_whose.jpg", spare[16].read_bytes(), "near-conflict")
    made.put("train/cat/likely_whose.jpg", copied(spare[16], "quality 60"), "near-conflict")
    made.put("train/dog/left.jpg", spare[17].read_bytes(), "mirrored-copies")
    made.put("train/dog/right.jpg", _jpeg(ImageOps.mirror(_photo(spare[17]))), "mirrored-copies")
    for side, k in (("train", 18), ("train", 19), ("valid", 20)):
        made.put(f"{side}/dog/patient7_{k:03}.jpg", spare[k].read_bytes(), "group-across")
    made.put("train/dog/patient8_001.jpg", spare[21].read_bytes())


def _plant_classes(made: Planted, spare: list[Path]) -> None:
    (made.folder / "train" / "horse").mkdir()
    made.expect("horse", "empty-class")
    made.put("train/bird/only.jpg", spare[0].read_bytes())
    made.expect("bird", "rare-class", "class-not-in-valid", "imbalance")
    made.expect("cat", "imbalance")
    for k in range(1, 3):
        made.put(f"valid/fish/fish{k}.jpg", spare[k].read_bytes())
    made.expect("fish", "rare-class", "class-only-in-valid")
    made.put("train/lost.jpg", spare[3].read_bytes(), "no-label")


def _photo(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.convert("RGB")


def text_page(seed: int, size: tuple[int, int] = (800, 1100)) -> Image.Image:
    """A printed page: lines of words of random lengths in one layout, as forms and books have."""
    random = np.random.default_rng(seed)
    page = np.full((size[1], size[0]), 255, dtype=np.uint8)
    for top in range(60, size[1] - 60, 30):
        left = 50
        while left < size[0] - 120:
            width = int(random.integers(20, 90))
            letters = random.random((14, width)) < 0.45
            page[top : top + 14, left : left + width][letters] = 20
            left += width + 12
    return Image.fromarray(page).convert("RGB")
