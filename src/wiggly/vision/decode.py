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
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from wiggly.errors import ArgumentError, ItemError

__all__ = ["EncodedImage", "Pixels", "open_image", "read_file"]

Pixels = npt.NDArray[Any]

# The loader's threads each work on an image of their own; OpenCV's inner threads would only fight them for
# the cores.
cv2.setNumThreads(1)

# A file of a few bytes can claim JPEG's limit of 65,535 pixels per side, 13 GB; phones reach 200 megapixels.
LARGEST_JPEG = 500_000_000
# Huffman coding spends at least 1 bit on 8×8 pixels; a file that claims more is cut or made to harm.
MOST_PIXELS_PER_BYTE = 512
HARMLESS_JPEG = 10_000_000

ORIENTATION_TAG = 0x0112  # EXIF 2.32, table 4
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
            return _by_pillow(self.data, self.name, self.channels, upright=False)


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
        return _from_array(_pil_pixels(source, name, channels), name)
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return _from_array(_array_pixels(source, channels), name or "an array")
    raise ArgumentError(
        "an image must be a path, bytes, a PIL image, an array or a tensor",
        f"got a {type(source).__name__}",
        "Check what `get_x` or `get_items` returns.",
    )


def read_file(path: str, name: str) -> bytes:
    """The bytes of an image's file; an `ItemError` if it cannot be read or is empty."""
    try:
        with open(path, "rb", buffering=0) as file:
            data = file.read()
    except OSError as error:
        raise ItemError(name, error.strerror or str(error), "Check the path and its permissions.") from error
    if not data:
        raise ItemError(name, "the file is empty (0 bytes)")
    return data


def _open_bytes(data: bytes, channels: int, name: str) -> EncodedImage:
    if data[:2] == b"\xff\xd8":
        try:
            stored_height, stored_width, colours, _ = simplejpeg.decode_jpeg_header(data, strict=False)
            height, width = int(stored_height), int(stored_width)
        except (ValueError, KeyError):  # KeyError: a header cut off before the colours are named
            height, width, colours = 0, 0, "damaged"
        if height * width > min(LARGEST_JPEG, max(HARMLESS_JPEG, MOST_PIXELS_PER_BYTE * len(data))):
            raise ItemError(
                name,
                f"too many pixels: {width:,}×{height:,} in {len(data):,} bytes",
                "Make it smaller; such files are refused as unsafe.",
            )
        # CMYK and its kin go through Pillow, which knows Adobe's inverted values.
        if height and colours in ("Gray", "YCbCr", "RGB"):
            orientation = _orientation(data)
            if orientation in _SWAPS_SIDES:
                height, width = width, height
            return EncodedImage(name, height, width, channels, data=data, orientation=orientation)
    return _from_array(_by_pillow(data, name, channels), name)


def _orientation(data: bytes) -> int:
    if not _has_exif(data):  # most photos on the web have none, and parsing it holds Python's lock
        return 1
    try:
        with Image.open(io.BytesIO(data)) as image:
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


def _by_pillow(data: bytes, name: str, channels: int, upright: bool = True) -> Pixels:
    try:
        with Image.open(io.BytesIO(data)) as image:
            return _pil_pixels(image, name, channels, upright)
    except UnidentifiedImageError:
        if data.startswith(b"\x93NUMPY"):
            raise ItemError(name, "it is a NumPy array: ImageBlock(channels=...) reads those") from None
        if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # TIFF and BigTIFF
            reason = "a damaged TIFF, or one of more bands, which ImageBlock(channels=...) reads"
            raise ItemError(name, reason) from None
        raise ItemError(name, "it is not an image (no known format)") from None
    except Image.DecompressionBombError as error:
        raise ItemError(
            name, f"too many pixels: {error}", "Make it smaller; such files are refused as unsafe."
        ) from None
    except ItemError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds on damaged bytes
        raise ItemError(name, f"damaged image: {str(error) or type(error).__name__}") from error


def _pil_pixels(image: Image.Image, name: str, channels: int, upright: bool = True) -> Pixels:
    try:
        image.load()  # of an animation the first frame
        return _converted(_turned(image) if upright else image, channels)
    except Exception as error:
        raise ItemError(name, f"damaged image: {str(error) or type(error).__name__}") from error


def _turned(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return image


def _converted(image: Image.Image, channels: int) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return _array_pixels(_deep_pixels(np.asarray(image)), channels)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = _on_white(image)
    converted = np.asarray(image.convert("RGB" if channels == 3 else "L"))
    return converted if converted.ndim == 3 else converted[:, :, None]


def _on_white(image: Image.Image) -> Image.Image:
    # Hidden pixels hold anything (often black): put the picture on paper, as a viewer does.
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba)


def _deep_pixels(values: Pixels) -> Pixels:
    """16- and 32-bit greys as floats in [0, 1]: integers by their 16-bit range, floats as they are if in [0,
    1]."""
    if values.dtype.kind in "iu":
        return np.clip(values.astype(np.float32) / 65535, 0, 1)
    high = float(values.max(initial=0))
    return np.clip(values.astype(np.float32) / (1 if high <= 1 else 255 if high <= 255 else 65535), 0, 1)


def _array_pixels(source: Any, channels: int) -> Pixels:
    """An array or tensor as `(h, w, channels)` uint8, or float32 in [0, 1]."""
    is_tensor = hasattr(source, "detach")
    array: Pixels = _numpy_of(source) if is_tensor else source
    if is_tensor and array.ndim == 3:  # tensors are (c, h, w)
        array = array.transpose(1, 2, 0)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ArgumentError(
            "an image array must be (h, w), (h, w, 1), (h, w, 3) or (h, w, 4), a tensor (c, h, w)",
            f"its shape is {tuple(source.shape)}",
            "Transpose it, or say how many channels it has: ImageBlock(channels=12).",
        )
    array = array[:, :, :3] if array.shape[2] == 4 else array
    array = _as_known_type(array)
    if array.shape[2] == channels:
        return np.ascontiguousarray(array)
    code = cv2.COLOR_GRAY2RGB if channels == 3 else cv2.COLOR_RGB2GRAY
    converted = cv2.cvtColor(np.ascontiguousarray(array), code)
    return converted if converted.ndim == 3 else converted[:, :, None]


def _numpy_of(tensor: Any) -> Pixels:
    tensor = tensor.detach().cpu()
    return np.asarray(tensor.float() if tensor.is_floating_point() else tensor)  # numpy has no bfloat16


def _as_known_type(array: Pixels) -> Pixels:
    if array.dtype == np.uint8:
        return array
    if array.dtype == np.bool_:
        return array.astype(np.uint8) * np.uint8(255)
    if array.dtype == np.uint16:
        return (array.astype(np.float32) / 65535).astype(np.float32)
    if array.dtype.kind in "iu" and array.size and array.min() >= 0 and array.max() <= 255:
        return array.astype(np.uint8)
    if (
        array.dtype.kind == "f"
        and array.size
        and np.isfinite(array).all()
        and array.min() >= 0
        and array.max() <= 1
    ):
        return array.astype(np.float32)
    raise ArgumentError(
        "image values must be integers in 0..255 or floats in [0, 1]",
        f"{array.dtype} from {array.min():.4g} to {array.max():.4g}"
        if array.dtype.kind in "iuf"
        else f"{array.dtype}",
        "Scale them.",
    )


def _from_array(array: Pixels, name: str) -> EncodedImage:
    return EncodedImage(name, array.shape[0], array.shape[1], array.shape[2], array=array)
