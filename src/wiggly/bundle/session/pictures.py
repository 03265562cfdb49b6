"""Pictures for a session: read by Pillow, prepared by the written specification. Needs no torch.

In: paths, bytes, PIL images, arrays. Out: bytes `(1, h, w, c)` as the graph takes them, and where each came
from. Read next: `decoding.py`, which puts places back onto the picture.
"""

from __future__ import annotations

import io
import os
import struct
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from wiggly.bundle.parts import ImageInput
from wiggly.bundle.placing import place
from wiggly.errors import ArgumentError
from wiggly.vision.exact import Placement, resample_exactly
from wiggly.vision.plain import array_pixels, by_pillow, check_area, pil_pixels, read_file

__all__ = ["PictureSource", "Shown", "open_pixels"]

Pixels = npt.NDArray[np.uint8]
Feeds = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Shown:
    """A picture, and where what the model saw lies in it.

    Attributes:
        height: Of the upright picture, in pixels.
        width: The same.
        placement: For each axis the way from the pixels that the model saw to the picture's.
    """

    height: int
    width: int
    placement: Placement


class PictureSource:
    """What turns items into the graph's input.

    Args:
        described: What `model.json` says of the input.
    """

    batch_size = 32

    def __init__(self, described: ImageInput) -> None:
        self.described = described

    def items(self, items: Any) -> list[Any]:
        """Items one by one."""
        return list(items)

    def one(self, item: Any) -> tuple[Feeds, Shown]:
        """The graph's input for one item, and how places in it are put back."""
        pixels = open_pixels(item, self.described.channels)
        height, width = pixels.shape[:2]
        placement = place(self.described.preprocessing, height, width)
        return {"image": resample_exactly(pixels, placement)[None]}, Shown(height, width, placement)


def open_pixels(source: Any, channels: int = 3) -> Pixels:
    """The upright pixels of a picture, `(h, w, channels)`.

    Args:
        source: Path, bytes of a file, PIL image, or array `(h, w)` or `(h, w, c)`: bytes, or floats in
            [0, 1].
        channels: 3 for RGB, 1 for grey.

    Raises:
        ItemError: It cannot be read or is no image.
        ArgumentError: `source` is of no kind that can hold an image.

    Example:
        >>> open_pixels(np.zeros((4, 6), dtype=np.uint8)).shape
        (4, 6, 3)
    """
    if isinstance(source, str | os.PathLike):
        name = os.fspath(cast("str", source))
        return _of_bytes(read_file(name, name), channels, name)
    if isinstance(source, bytes | bytearray | memoryview):
        return _of_bytes(bytes(source), channels, "an image given as bytes")
    if isinstance(source, Image.Image):
        name = str(getattr(source, "filename", "") or "a PIL image")
        return _levels(pil_pixels(source, name, channels))
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return _levels(array_pixels(source, channels))
    raise ArgumentError(
        "an image must be a path, bytes, a PIL image or an array",
        f"got a {type(source).__name__}",
        "Pass the path of a file.",
    )


def _of_bytes(data: bytes, channels: int, name: str) -> Pixels:
    if data[:2] == b"\xff\xd8":
        try:  # not by Image.open: its limit of 179 megapixels is below what phones make and learners read
            with JpegImageFile(io.BytesIO(data)) as image:
                check_area(name, image.width, image.height, len(data))
                return _levels(pil_pixels(image, name, channels))
        except (OSError, SyntaxError, IndexError, TypeError, struct.error):
            pass  # no whole header: said below, in the words for all formats
    return _levels(by_pillow(data, name, channels))


def _levels(pixels: npt.NDArray[Any]) -> Pixels:
    """Deep pixels in the 256 levels that the graph takes."""
    return pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
