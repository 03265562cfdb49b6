"""Small pictures inside the page: bounded in pixels and in bytes, whatever the photo.

In: what a data set shows for an item. Out: a JPEG as a data URI, or None for what is no picture.
Read next: `facts.py`.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["thumbnail"]

TINY = 32  # pixels: smaller pictures are enlarged without smoothing, or scans of 8 x 8 would be a blur


def thumbnail(picture: Any, size: int, most_bytes: int = 24_000) -> str | None:
    """A picture as a small JPEG data URI.

    Args:
        picture: A PIL image, or an array or tensor `(h, w)`, `(h, w, c)` or `(c, h, w)`; floats are in [0,
            1].
        size: Longest side in pixels.
        most_bytes: Upper bound of the JPEG; the quality is lowered until it fits.

    Returns:
        The URI, None when `picture` is no picture.

    Example:
        >>> thumbnail(Image.new("RGB", (300, 200)), 96)[:23]
        'data:image/jpeg;base64,'
    """
    image = picture if isinstance(picture, Image.Image) else _from_array(picture)
    if image is None:
        return None
    small = _shrink(_on_white(image), size)
    for quality in (80, 60, 40, 20):
        stream = io.BytesIO()
        small.save(stream, format="JPEG", quality=quality, optimize=True)
        if stream.tell() <= most_bytes:
            break
    return "data:image/jpeg;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _shrink(image: Image.Image, size: int) -> Image.Image:
    longest = max(image.size)
    scale = size / longest
    target = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    if longest <= TINY:
        return image.resize(target, Image.Resampling.NEAREST)
    return image if scale >= 1 else image.resize(target, Image.Resampling.BICUBIC, reducing_gap=3.0)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode == "I;16":  # Pillow clips 16 bits to 8 instead of scaling them
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if "A" not in image.getbands() and "transparency" not in image.info:
        return image.convert("RGB")
    layer = image.convert("RGBA")
    ground = Image.new("RGBA", layer.size, "white")
    return Image.alpha_composite(ground, layer).convert("RGB")


def _from_array(picture: Any) -> Image.Image | None:
    if not hasattr(picture, "shape"):
        return None
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[0] in (1, 3) and array.shape[2] not in (1, 3):
        array = array.transpose(1, 2, 0)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.dtype.kind == "f":
        array = np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    drawable = array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))
    return Image.fromarray(array) if drawable and array.dtype == np.uint8 and array.size else None
