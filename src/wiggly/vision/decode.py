"""File to uint8 pixels: the smallest JPEG scale that serves, orientation from EXIF, and fallbacks for the odd
rest.

In: a path, bytes, an array, a PIL image. Out: `EncodedImage`, whose header is known and whose pixels are
decoded when asked for. Read next: `geometry.py`.
"""

from __future__ import annotations

import io
import os
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import simplejpeg
from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

from wiggly.errors import ArgumentError, ItemError
from wiggly.vision.exact import Placement, resample_exactly
from wiggly.vision.plain import (
    ORIENTATION_TAG,
    Pixels,
    array_pixels,
    by_pillow,
    check_area,
    pil_pixels,
    read_file,
)

__all__ = ["EncodedImage", "Pixels", "open_image", "read_file"]

# The loader's threads each work on an image of their own; OpenCV's inner threads would only fight them for
# the cores.
cv2.setNumThreads(1)

# EXIF 2.32: where the first row and column of the stored image belong -> how numpy brings it upright.
_SWAPS_SIDES = {5, 6, 7, 8}


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """An image whose header has been read.

    Attributes:
        name: How messages call it.
        height: Pixels, upright.
        width: Pixels, upright.
        channels: 3 for RGB, 1 for grey: what `pixels` gives.
        data: JPEG bytes, or None when `array` holds the pixels already.
        array: Upright pixels `(h, w, c)`: uint8, or float32 in [0, 1].
        orientation: EXIF orientation, 1 to 8, still to be applied to `data`.
    """

    name: str
    height: int
    width: int
    channels: int
    data: bytes | None = None
    array: Pixels | None = None
    orientation: int = 1

    def pixels(self, min_height: float = 0, min_width: float = 0) -> Pixels:
        """Upright pixels `(h, w, c)`, at the smallest scale the format offers that is not below the given
        size.

        Args:
            min_height: Least height in pixels that is needed; 0 gives full size.
            min_width: Least width in pixels that is needed; 0 gives full size.

        Raises:
            ItemError: The bytes are damaged.
        """
        if self.array is not None:
            return self.array
        return _upright(self._decode_jpeg(*self.scale_for(min_height, min_width)), self.orientation)

    def placed(self, placement: Placement) -> Pixels:
        """Pixels of a target, resampled exactly from those at full size.

        Args:
            placement: Where the target lies in the upright picture.

        Raises:
            ItemError: The bytes are damaged.
        """
        return resample_exactly(self.pixels(), placement)

    def scale_for(self, min_height: float, min_width: float) -> tuple[int, int, bool]:
        """How a JPEG is decoded for a least size, before it is turned upright: height and width (0 for full
        size), and whether colour, which is stored at half size, is enlarged the quick way.
        """
        stored = self.height, self.width
        if self.orientation in _SWAPS_SIDES:
            stored = self.width, self.height
            min_height, min_width = min_width, min_height
        # Where the picture is made smaller anyway, interpolating its colour is lost.
        shrinks = 0 < min_height < stored[0] and 0 < min_width < stored[1]
        return *_reduced(*stored, min_height, min_width), shrinks

    def _decode_jpeg(self, height: int, width: int, shrinks: bool) -> Pixels:
        assert self.data is not None
        try:
            return simplejpeg.decode_jpeg(
                self.data,
                colorspace="RGB" if self.channels == 3 else "GRAY",
                fastdct=False,  # the fast one is 1 grey level too dark, and only 3 % faster
                fastupsample=shrinks,
                min_height=height,
                min_width=width,
            )
        except (ValueError, KeyError, MemoryError):
            # Warnings count as errors above; Pillow tells harmless ones from real damage.
            return by_pillow(self.data, self.name, self.channels, upright=False)


def _reduced(height: int, width: int, min_height: float, min_width: float) -> tuple[int, int]:
    """Size at the smallest of the scales 1/8, 1/4, 1/2 that is not below the minimum; (0, 0) for full size.

    libjpeg-turbo's other scales (M/8) lack its fast inverse transforms: 5/8 takes longer than full size.
    """
    if min_height > 0 and min_width > 0:
        for factor in (8, 4, 2):
            reduced = -(-height // factor), -(-width // factor)
            if reduced[0] >= min_height and reduced[1] >= min_width:
                return reduced
    return 0, 0


def open_image(source: Any, channels: int = 3, name: str = "") -> EncodedImage:
    """Reads the header of an image; a JPEG's pixels wait, anything else is decoded at once.

    Args:
        source: Path, bytes, PIL image, array `(h, w)` or `(h, w, c)`, or tensor `(c, h, w)`; uint8, or floats
            in [0, 1]; or `{"bytes": ..., "path": ...}`, as Hugging Face datasets keep pictures.
        channels: 3 for RGB, 1 for grey.
        name: How messages call it; by default the path.

    Raises:
        ItemError: It cannot be read or is no image.
        ArgumentError: `source` is of no kind that can hold an image.

    Example:
        >>> image = open_image(np.zeros((4, 6), dtype=np.uint8))
        >>> image.height, image.width, image.pixels().shape
        (4, 6, (4, 6, 3))
    """
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
        return _open_bytes(read_file(os.fspath(source), name), channels, name)
    if isinstance(source, dict) and ("bytes" in source or "path" in source):
        content, path = source.get("bytes"), source.get("path")
        if content is None and path is None:
            raise ItemError(name or "a picture", "it has neither bytes nor a path")
        return open_image(path if content is None else content, channels, name or str(path or ""))
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _open_bytes(bytes(source), channels, name or "an image given as bytes")
    if isinstance(source, Image.Image):
        name = name or str(getattr(source, "filename", "") or "a PIL image")
        return _from_array(pil_pixels(source, name, channels), name)
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return _from_array(array_pixels(source, channels), name or "an array")
    raise ArgumentError(
        "an image must be a path, bytes, a PIL image, an array or a tensor",
        f"got a {type(source).__name__}",
        "Check what `get_x` or `get_items` returns.",
    )


def _open_bytes(data: bytes, channels: int, name: str) -> EncodedImage:
    if data[:2] == b"\xff\xd8":
        try:
            stored_height, stored_width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
            height, width = int(stored_height), int(stored_width)
        except (ValueError, KeyError):  # KeyError: a header cut off before the colours are named
            height, width, colours = 0, 0, "damaged"
        check_area(name, width, height, len(data))
        # CMYK and its kin go through Pillow, which knows Adobe's inverted values.
        if height and colours in ("Gray", "YCbCr", "RGB"):
            orientation = _orientation(data)
            if orientation in _SWAPS_SIDES:
                height, width = width, height
            return EncodedImage(name, height, width, channels, data=data, orientation=orientation)
    return _from_array(by_pillow(data, name, channels), name)


def _orientation(data: bytes) -> int:
    if not _has_exif(data):  # most photos on the web have none, and parsing it holds Python's lock
        return 1
    try:  # not by Image.open, which refuses or warns above 89 megapixels
        with JpegImageFile(io.BytesIO(data)) as image:
            value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return 1
    return value if value in range(1, 9) else 1


def _has_exif(data: bytes) -> bool:
    """Whether a segment before the image data is an EXIF block (ITU T.81, B.1: marker, length, content)."""
    at = 2
    while at + 4 <= len(data) and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker == 0xE1 and data[at + 4 : at + 10] == b"Exif\0\0":
            return True
        if marker in (0xDA, 0xD9):  # image data begin, or end
            return False
        at += 2 + int.from_bytes(data[at + 2 : at + 4])
    return False


def _upright(pixels: Pixels, orientation: int) -> Pixels:
    """The stored pixels turned and mirrored as EXIF says; views where possible."""
    if orientation in _SWAPS_SIDES:
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return pixels


def _from_array(array: Pixels, name: str) -> EncodedImage:
    return EncodedImage(name, array.shape[0], array.shape[1], array.shape[2], array=array)
