"""Pictures by Pillow and numpy alone: every format, orientation, transparency, deep greys, arrays.

In: the bytes of a file, a PIL image, an array. Out: upright pixels `(h, w, c)`, uint8, or float32 in [0, 1].
What does without torch and OpenCV reads pictures here, and `decode.py` whatever is not an ordinary JPEG.
Read next: `decode.py`.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from wiggly.errors import ArgumentError, ItemError

__all__ = ["ORIENTATION_TAG", "Pixels", "array_pixels", "by_pillow", "check_area", "pil_pixels", "read_file"]

Pixels = npt.NDArray[Any]

# A file of a few bytes can claim JPEG's limit of 65,535 pixels per side, 13 GB; phones reach 200 megapixels.
LARGEST_JPEG = 500_000_000
# Huffman coding spends at least 1 bit on 8×8 pixels; a file that claims more is cut or made to harm.
MOST_PIXELS_PER_BYTE = 512
HARMLESS_JPEG = 10_000_000

ORIENTATION_TAG = 0x0112  # EXIF 2.32, table 4


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


def check_area(name: str, width: int, height: int, length: int) -> None:
    """Refuses a JPEG that claims more pixels than its bytes can hold.

    Raises:
        ItemError: It does.
    """
    if height * width > min(LARGEST_JPEG, max(HARMLESS_JPEG, MOST_PIXELS_PER_BYTE * length)):
        raise ItemError(
            name,
            f"too many pixels: {width:,}×{height:,} in {length:,} bytes",
            "Make it smaller; such files are refused as unsafe.",
        )


def by_pillow(data: bytes, name: str, channels: int, upright: bool = True) -> Pixels:
    """The pixels in a file of any format that Pillow knows.

    Args:
        data: Content of the file.
        name: How messages call it.
        channels: 3 for RGB, 1 for grey.
        upright: Whether to turn it as EXIF says.

    Raises:
        ItemError: It is no image, damaged, or has too many pixels.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            return pil_pixels(image, name, channels, upright)
    except UnidentifiedImageError:
        if data.startswith(b"\x93NUMPY"):
            raise ItemError(name, "it is a NumPy array: ImageBlock(channels=...) reads those") from None
        if data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):  # TIFF and BigTIFF
            reason = "a damaged TIFF, or one of more bands, which ImageBlock(channels=...) reads"
            raise ItemError(name, reason) from None
        raise ItemError(name, "it is not an image (no known format)") from None
    except Image.DecompressionBombError as error:
        raise ItemError(
            name,
            f"too many pixels: {str(error).rstrip('.')}",
            "Make it smaller; such files are refused as unsafe.",
        ) from None
    except ItemError:
        raise
    except Exception as error:  # Pillow's readers raise all kinds on damaged bytes
        raise ItemError(name, f"damaged image: {str(error) or type(error).__name__}") from error


def pil_pixels(image: Image.Image, name: str, channels: int, upright: bool = True) -> Pixels:
    """The pixels of a Pillow image; of an animation those of its first frame.

    Raises:
        ItemError: It is damaged.
    """
    try:
        image.load()
        return _converted(_turned(image) if upright else image, channels)
    except Exception as error:
        raise ItemError(name, f"damaged image: {str(error) or type(error).__name__}") from error


def _turned(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ORIENTATION_TAG, 1) in range(2, 9)
        return ImageOps.exif_transpose(image) if turned else image  # which would make a copy
    except Exception:  # a damaged EXIF block is no reason to lose the photo
        return image


def _converted(image: Image.Image, channels: int) -> Pixels:
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        return array_pixels(_deep_pixels(np.asarray(image)), channels)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        image = _on_white(image)
    mode = "RGB" if channels == 3 else "L"
    converted = np.asarray(image if image.mode == mode else image.convert(mode))
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


def array_pixels(source: Any, channels: int) -> Pixels:
    """An array or tensor as `(h, w, channels)` uint8, or float32 in [0, 1].

    Raises:
        ArgumentError: Its shape or its values are not those of a picture.
    """
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
    return np.repeat(array, 3, axis=2) if channels == 3 else _grey(array)


def _grey(array: Pixels) -> Pixels:
    """Luma of ITU-R BT.601; of bytes in the whole numbers that OpenCV computes in."""
    if array.dtype == np.uint8:
        levels = array.astype(np.uint32) @ np.array([9798, 19235, 3735], np.uint32)
        return ((levels + (1 << 14)) >> 15).astype(np.uint8)[:, :, None]
    return (array @ np.array([0.299, 0.587, 0.114], np.float32))[:, :, None]


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
