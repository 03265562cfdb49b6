"""Pictures that the tests of items, loaders and images draw themselves."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image


def gradient(height: int = 60, width: int = 80) -> npt.NDArray[np.uint8]:
    """A smooth colour picture whose every corner differs, so that turning or mirroring it shows."""
    y, x = np.mgrid[0:height, 0:width]
    channels = [x * 255 / max(width - 1, 1), y * 255 / max(height - 1, 1), (x + y) * 255 / (height + width)]
    return np.stack(channels, -1).round().astype(np.uint8)


def noise(height: int = 60, width: int = 80, seed: int = 0) -> npt.NDArray[np.uint8]:
    """A picture with as much detail as can be."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(picture: Any, kind: str, **options: Any) -> bytes:
    """The bytes of a picture in a format."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    file = io.BytesIO()
    picture.save(file, format=kind, **options)
    return file.getvalue()


def photo_folder(root: Path, classes: dict[str, int], kind: str = "png") -> Path:
    """`root/<class>/<class>_<number>.<kind>`: pictures of several sizes, all different."""
    for c, (name, n) in enumerate(classes.items()):
        (root / name).mkdir(parents=True, exist_ok=True)
        for i in range(n):
            picture = Image.fromarray(noise(20 + i % 5, 24 + i % 7, seed=1000 * c + i))
            picture.save(root / name / f"{Path(name).name or 'photo'}_{i}.{kind}")
    return root
