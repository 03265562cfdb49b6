"""Pictures resampled once by a triangle filter, exactly: what a model is asked about, in every runtime.

In: uint8 pixels of any size and, for each axis, where the prepared ones lie. Out: pixels of the target.
docs/format.md says it in words, for readers in other languages; the exported graph and Pillow's
`resize(..., BILINEAR, box=...)` compute the same to within one grey level. Training reads by a quicker
approximation, `geometry.py`. Needs no torch and no OpenCV. Read next: `image.py`, which uses both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["DEFAULT_BORDER", "EDGE", "HALF", "Axis", "Placement", "placement_of", "resample_exactly"]

DEFAULT_BORDER = "reflection"

#: Added before rounding down. A little more than a half, because exact halves are frequent (a picture made
#: half as large) and sums in another order must not fall to another side of them.
HALF = 0.5 + 2**-10

#: A centre on the picture's edge is inside, however its place was rounded.
EDGE = 2**-20

#: How far a box may seem to reach over the edge that it ends at.
ROUNDING = 1e-9

#: Target rows that are computed together by matrices.
TOGETHER = 16

#: Bytes of a picture from which on matrices are quicker than Pillow.
LARGE = 1_500_000


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a prepared picture: the place `v`, in its pixels, shows `start + v * step` of the file's.

    Attributes:
        start: Where its edge lies, in pixels of the file; the file's own edge is 0.
        step: Pixels of the file per prepared pixel.
        length: Prepared pixels.
    """

    start: Any
    step: Any
    length: Any

    def box(self, first: Any, extent: Any, length: int) -> Axis:
        """A part of it, from `first` on and so long, on `length` pixels."""
        return Axis(self.start + self.step * first, self.step * extent / length, length)


@dataclass(frozen=True, slots=True)
class Placement:
    """Both axes, and what lies outside the picture: "reflection", "border" or "zeros"."""

    y: Axis
    x: Axis
    border: str = DEFAULT_BORDER


def placement_of(
    matrix: npt.NDArray[np.float64], size: tuple[int, int], border: str = DEFAULT_BORDER
) -> Placement | None:
    """Where a target lies, axis by axis; None if it is turned, mirrored or tilted.

    Args:
        matrix: 3×3, from pixels of the picture to those of the target.
        size: Height and width of the target.
        border: What lies outside the picture.
    """
    (sx, b, tx), (d, sy, ty), last = matrix.tolist()
    if b or d or last != [0, 0, 1] or sx <= 0 or sy <= 0:
        return None
    return Placement(Axis(-ty / sy, 1 / sy, size[0]), Axis(-tx / sx, 1 / sx, size[1]), border)


def resample_exactly(pixels: npt.NDArray[Any], placement: Placement) -> npt.NDArray[Any]:
    """Pixels of the target, each a weighted mean of the source's.

    Args:
        pixels: `(h, w, c)`, uint8; or float32 in [0, 1], which stays so.
        placement: Where the target's axes lie in the source.

    Returns:
        `(H, W, c)`, of the same type.

    Example:
        >>> half = Placement(Axis(0.0, 2.0, 2), Axis(0.0, 2.0, 2))
        >>> resample_exactly(np.arange(16, dtype=np.uint8).reshape(4, 4, 1), half)[:, :, 0].tolist()
        [[4, 5], [10, 11]]
    """
    y, x = placement.y, placement.x
    if _is_same(y, pixels.shape[0]) and _is_same(x, pixels.shape[1]):
        return np.ascontiguousarray(pixels)
    inside = _is_inside(y, pixels.shape[0]) and _is_inside(x, pixels.shape[1])
    # Pillow is quicker on small pictures, matrices on large ones.
    quick = inside and pixels.size < LARGE
    made = _by_pillow(pixels, placement) if quick else _by_weights(pixels, placement)
    if pixels.dtype != np.uint8:
        return made
    return np.clip(np.floor(made + np.float32(HALF)), 0, 255).astype(np.uint8)


def _by_pillow(pixels: npt.NDArray[Any], placement: Placement) -> npt.NDArray[np.float32]:
    """By Pillow, whose filter this is; channel by channel as floats, which it does not round in between."""
    y, x = placement.y, placement.x
    box = (x.start, y.start, x.start + x.step * x.length, y.start + y.step * y.length)
    box = (max(box[0], 0.0), max(box[1], 0.0), min(box[2], pixels.shape[1]), min(box[3], pixels.shape[0]))
    made = np.empty((y.length, x.length, pixels.shape[2]), np.float32)
    for k in range(pixels.shape[2]):
        channel = Image.fromarray(pixels[:, :, k].astype(np.float32))
        made[:, :, k] = np.asarray(channel.resize((x.length, y.length), Image.Resampling.BILINEAR, box=box))
    return made


def _by_weights(pixels: npt.NDArray[Any], placement: Placement) -> npt.NDArray[np.float32]:
    """By matrices, also where the target looks outside the picture."""
    (height, width, channels), y, x = pixels.shape, placement.y, placement.x
    rows = _along(pixels.reshape(height, width * channels), y, placement.border)
    turned = rows.reshape(y.length, width, channels).transpose(1, 0, 2).reshape(width, y.length * channels)
    return _along(turned, x, placement.border).reshape(x.length, y.length, channels).transpose(1, 0, 2)


def _is_same(axis: Axis, length: int) -> bool:
    return axis.start == 0 and axis.step == 1 and axis.length == length


def _is_inside(axis: Axis, length: int) -> bool:
    return axis.start >= -ROUNDING and axis.start + axis.step * axis.length <= length + ROUNDING


def _along(values: npt.NDArray[Any], axis: Axis, border: str) -> npt.NDArray[np.float32]:
    """The first axis resampled: `(n, m)` to `(axis.length, m)`."""
    n, m = values.shape
    if _is_same(axis, n):
        return values.astype(np.float32)
    first, weights = _taps(axis, n, border)
    made = np.empty((axis.length, m), np.float32)
    for start in range(0, axis.length, TOGETHER):
        some = slice(start, min(start + TOGETHER, axis.length))
        low, high = int(first[some].min()), int(first[some].max()) + weights.shape[1]
        dense = np.zeros((some.stop - some.start, high - low), np.float32)
        columns = first[some, None] - low + np.arange(weights.shape[1])
        np.put_along_axis(dense, columns, weights[some], axis=1)
        there = slice(max(low, 0), min(high, n))
        made[some] = dense[:, there.start - low : there.stop - low] @ values[there].astype(np.float32)
    return made


def _taps(axis: Axis, n: int, border: str) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """For each target pixel the first source pixel that it may see, and weights of those from there on."""
    centres = axis.start + (np.arange(axis.length) + 0.5) * axis.step
    places = _folded(centres, n, border)
    reach = max(1.0, axis.step)
    first = np.ceil(places - reach).astype(np.int64)
    seen = first[:, None] + np.arange(int(2 * reach) + 2)
    weights = np.maximum(0, 1 - np.abs(seen - places[:, None]) / reach) * ((seen >= 0) & (seen < n))
    weights /= weights.sum(1, keepdims=True)
    if border == "zeros":
        weights *= (~_outside(centres, n))[:, None]
    return first, weights.astype(np.float32)


def _folded(centres: npt.NDArray[np.float64], n: int, border: str) -> npt.NDArray[np.float64]:
    """Places counted from the centre of the first pixel; those outside the picture brought into it."""
    places = centres - 0.5
    if border == "reflection" and n > 1:
        period = 2 * (n - 1)
        back = np.abs(places)
        back = back - period * np.floor(back / period)
        inside = np.minimum(back, period - back)
    else:
        inside = np.clip(places, 0, n - 1)
    return np.where(_outside(centres, n), inside, places)


def _outside(centres: npt.NDArray[np.float64], n: int) -> npt.NDArray[np.bool_]:
    return (centres < -EDGE) | (centres > n + EDGE)
