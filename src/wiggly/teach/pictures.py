"""Pictures inside a page: read from anything, made small, written as text.

In: a path, array, tensor or Pillow image. Out: a data URL, which a page shows without asking for a file. Read
next: `crops.py` and `convolution.py`, which use it.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from wiggly.vision.image import PILImage, PILImageBW

__all__ = ["as_data_url", "grey", "mask_url", "upright"]

QUALITY = 80  # of JPEG: a photo of 480 pixels takes some 40 kB


def upright(photo: Any) -> Image.Image:
    """A picture in RGB, turned as its camera was held.

    Raises:
        ItemError: It cannot be read.
    """
    return PILImage.create(photo)


def grey(photo: Any) -> Image.Image:
    """A picture in shades of grey.

    Raises:
        ItemError: It cannot be read.
    """
    return PILImageBW.create(photo)


def as_data_url(picture: Image.Image, side: int) -> str:
    """A picture as a JPEG inside a URL, its longer side at most `side` pixels.

    Example:
        >>> as_data_url(Image.new("L", (300, 200)), 96)[:23]
        'data:image/jpeg;base64,'
    """
    small = Image.new(picture.mode, picture.size)
    small.paste(picture)
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return _url(small, "jpeg", quality=QUALITY)


def mask_url(mask: np.ndarray) -> str:
    """A mask as a black and white PNG inside a URL.

    Args:
        mask: `(h, w)`, true on the object.
    """
    return _url(Image.fromarray(np.where(mask, 255, 0).astype(np.uint8)).convert("1"), "png")


def _url(picture: Image.Image, kind: str, quality: int = 100) -> str:
    stream = io.BytesIO()
    picture.save(stream, kind, quality=quality)
    return f"data:image/{kind};base64,{base64.b64encode(stream.getvalue()).decode()}"
