"""Stored numbers as they are: palette indices, 16 bits, any number of channels; no colours are converted.

In: PNG, TIFF, `.npy` and other files, bytes, arrays, tensors, Pillow pictures. Out: an array, upright; class
indices for masks, `EncodedImage` for pictures of any number of channels. Read next: `mask.py`.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.format import read_array_header_1_0, read_array_header_2_0, read_magic
from PIL import Image, ImageOps, UnidentifiedImageError

from wiggly.errors import ArgumentError, DependencyError, ItemError, LabelError
from wiggly.vision.decode import EncodedImage, read_file

__all__ = ["Array", "open_bands", "open_indices", "stored"]

Array = npt.NDArray[Any]

JPEG, NUMPY = b"\xff\xd8", b"\x93NUMPY"
TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # TIFF 6.0 and BigTIFF, both byte orders
# What Pillow reads without loss; everything else in a TIFF needs a reader for any number of bands.
PLAIN_MODES = {"1", "L", "P", "LA", "RGB", "RGBA", "I", "F", "I;16", "I;16B"}
LARGEST = 4 << 30  # bytes of one picture
BITS_PER_SAMPLE = 258  # TIFF 6.0, section 8


def stored(source: Any, name: str = "") -> tuple[Array, str]:
    """The numbers of a file, `(h, w)` or with channels as they are stored, and how messages call it.

    Args:
        source: Path, bytes, array, tensor or Pillow picture.
        name: By default the path.

    Raises:
        ItemError: It cannot be read.
        ArgumentError: `source` is of no kind that can hold an array.

    Example:
        >>> stored(Image.new("P", (3, 2), 7))[0]
        array([[7, 7, 7],
               [7, 7, 7]], dtype=uint8)
    """
    data, name = _bytes_of(source, name)
    if data is not None:
        return _of_bytes(data, name), name
    if isinstance(source, Image.Image):
        name = name or str(getattr(source, "filename", "") or "a PIL image")
        return _guarded(lambda: _of_picture(source), name), name
    if isinstance(source, np.ndarray) or hasattr(source, "detach"):
        return _of_array(source), name or "an array"
    raise ArgumentError(
        "an image must be a path, bytes, a PIL image, an array or a tensor",
        f"got a {type(source).__name__}",
        "Check what `get_x` or `get_y` returns.",
    )


def _bytes_of(source: Any, name: str) -> tuple[bytes | None, str]:
    if isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
        return read_file(os.fspath(source), name), name
    if isinstance(source, (bytes, bytearray, memoryview)):
        return bytes(source), name or "an image given as bytes"
    return None, name


def _of_array(source: Any) -> Array:
    if isinstance(source, np.ndarray):
        return source
    tensor = source.detach().cpu()
    array = np.asarray(tensor.float() if tensor.is_floating_point() else tensor)  # numpy has no bfloat16
    return array.transpose(1, 2, 0) if array.ndim == 3 else array  # tensors are (c, h, w)


def _of_bytes(data: bytes, name: str) -> Array:
    if data.startswith(NUMPY):
        return _guarded(lambda: _of_numpy(data), name)
    if data.startswith(TIFF):
        return _guarded(lambda: _of_tiff(data), name)
    return _guarded(lambda: _of_picture(Image.open(io.BytesIO(data))), name)


def _guarded(read: Any, name: str) -> Array:
    """What `read` returns; whatever damaged bytes make a reader raise becomes one error."""
    try:
        array: Array = read()
    except (DependencyError, ItemError):
        raise
    except UnidentifiedImageError:
        raise ItemError(name, "it is not an image (no known format)") from None
    except Exception as error:
        raise ItemError(name, f"damaged image: {str(error) or type(error).__name__}") from error
    if array.size == 0 or array.ndim not in (2, 3):
        raise ItemError(name, f"an array of shape {array.shape} is no picture")
    return array


def _of_picture(image: Image.Image) -> Array:
    image.load()
    upright = ImageOps.exif_transpose(image)
    return np.array(upright)


def _of_numpy(data: bytes) -> Array:
    file = io.BytesIO(data)
    read_header = {1: read_array_header_1_0, 2: read_array_header_2_0}[read_magic(file)[0]]
    shape, _, kind = read_header(file)
    if math.prod(shape) * kind.itemsize > len(data):  # numpy would ask for the memory first
        raise ValueError(f"it is cut: an array of {shape} {kind} in {len(data):,} bytes")
    return np.load(io.BytesIO(data), allow_pickle=False)


def _of_tiff(data: bytes) -> Array:
    try:
        with Image.open(io.BytesIO(data)) as image:
            tags: Any = getattr(image, "tag_v2", {})
            deep = image.mode.startswith("RGB") and max(tags.get(BITS_PER_SAMPLE, (8,))) > 8
            if image.mode in PLAIN_MODES and getattr(image, "n_frames", 1) == 1 and not deep:
                return _of_picture(image)
    except UnidentifiedImageError:
        pass  # more bands than Pillow knows
    try:
        import tifffile
    except ImportError as error:
        raise DependencyError(
            "a TIFF of several bands or pages needs the package tifffile",
            "it is not installed",
            "pip install 'wiggly[tiff]', or save the arrays as .npy.",
        ) from error
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        series: Any = file.series[0]
        if series.nbytes > LARGEST:  # a few bytes can claim any size
            raise ValueError(f"too large: {series.nbytes:,} bytes")
        array, axes = series.asarray(), str(series.axes)
    # The samples or pages come first unless they are interleaved: (c, h, w) becomes (h, w, c).
    return array.transpose(1, 2, 0) if array.ndim == 3 and axes.endswith("YX") else array


def open_indices(source: Any, name: str = "") -> tuple[Array, str]:
    """The class indices of a mask, `(h, w)`, uint8 if that is enough, and how messages call it.

    Args:
        source: What `stored` takes. A picture in colours that are all grey is taken for its grey levels.
        name: By default the path.

    Raises:
        ItemError: It cannot be read.
        LabelError: It holds no indices: colours, fractions, or a JPEG's approximations.

    Example:
        >>> open_indices(np.array([[True, False]]))
        (array([[1, 0]], dtype=uint8), 'an array')
    """
    data, name = _bytes_of(source, name)
    if data is not None and data.startswith(JPEG):
        raise LabelError(
            "a mask must be stored without loss",
            f"'{name}' is a JPEG, whose pixels are close to the indices but not them",
            "Use the PNG it came from, or return an array from `get_y`, "
            "e.g. np.asarray(Image.open(p).convert('L')) > 127 for two classes.",
        )
    array, name = stored(source if data is None else data, name)
    array = _one_channel(array, name)
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.trunc(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "iub":
        raise LabelError(
            "a mask must hold whole numbers, one class index per pixel",
            f"'{name}' holds {array.dtype} with fractions" if array.dtype.kind == "f" else f"{array.dtype}",
            "Round or threshold it in `get_y`.",
        )
    low, high = int(array.min()), int(array.max())
    fitting = np.uint8 if low >= 0 and high < 256 else np.int32
    if not -(2**31) <= low <= high < 2**31:
        raise LabelError("an index must have at most 31 bits", f"'{name}' has {high}", "Renumber them.")
    return np.ascontiguousarray(array.astype(fitting, copy=False)), name


def _one_channel(array: Array, name: str) -> Array:
    if array.ndim == 2:
        return array
    grey = array[:, :, :1]
    colours = array[:, :, :3] if array.shape[2] in (3, 4) else grey
    opaque = array.shape[2] in (1, 3) or (array.shape[2] in (2, 4) and bool((array[:, :, -1] == 255).all()))
    if opaque and bool((colours == grey).all()):
        return grey[:, :, 0]
    raise LabelError(
        "a mask must have one index per pixel",
        f"'{name}' has {array.shape[2]} different channels: colours, perhaps, one per class",
        "Return an array of indices from `get_y`: look the colours up there.",
    )


def open_bands(
    source: Any, channels: int, value_range: tuple[float, float] | None = None, name: str = ""
) -> EncodedImage:
    """A picture of any number of channels, as stored.

    Args:
        source: What `stored` takes; `(h, w, c)`, or `(c, h, w)` where only the first axis has `channels`.
        channels: How many it must have.
        value_range: The stored values that become 0 and 1; beyond them is clipped. None takes 0 to 255 for 8
            bits, 0 to 65,535 for 16 bits without sign, and floats as they are, which must then be in [0, 1].
        name: By default the path.

    Raises:
        ItemError: It cannot be read, has another number of channels, or values that are no numbers.
        ArgumentError: Its type of numbers needs a `value_range`.

    Example:
        >>> image = open_bands(np.full((2, 3, 5), 500, dtype=np.int16), 5, value_range=(0, 1000))
        >>> image.channels, image.pixels().max()
        (5, np.float32(0.5))
    """
    array, name = stored(source, name)
    array = array[:, :, None] if array.ndim == 2 else array
    if array.shape[2] != channels and array.shape[0] == channels:
        array = array.transpose(1, 2, 0)
    if array.shape[2] != channels:
        raise ItemError(
            name,
            f"its shape is {array.shape}, and {channels} channels are needed",
            "Choose its channels, or pass ImageBlock(channels=...) with their number.",
        )
    levels = np.ascontiguousarray(_levels(array, value_range, name))
    return EncodedImage(name, levels.shape[0], levels.shape[1], channels, array=levels)


def _levels(array: Array, value_range: Sequence[float] | None, name: str) -> Array:
    """uint8 as it is, everything else as float32 in [0, 1]."""
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * np.uint8(255)
    if value_range is None and array.dtype == np.uint8:
        return array
    if array.dtype.kind not in "iuf" or not np.isfinite(array).all():
        raise ItemError(name, f"its {array.dtype} values are not all numbers", "Fill what is missing (NaN).")
    if value_range is None and array.dtype == np.uint16:
        value_range = (0, 65535)
    if value_range is None:
        low, high = float(array.min()), float(array.max())
        if array.dtype.kind == "f" and low >= 0 and high <= 1:
            return array.astype(np.float32)
        raise ArgumentError(
            "`value_range` is needed for images of this type",
            f"'{name}' has {array.dtype} values from {low:.4g} to {high:.4g}",
            "Say which values become 0 and 1, e.g. ImageBlock(channels=12, value_range=(0, 10_000)).",
        )
    low, high = value_range
    return np.clip((array.astype(np.float32) - low) / (high - low), 0, 1)
