"""Every geometric transform is a 3×3 matrix; composing is multiplying; each image is resampled once.

Coordinates are pixels with the corner of the picture at (0, 0) and the centre of its first pixel at (0.5,
0.5), x to the right and y down: scaling is then a pure multiplication and a flip is `x -> width - x`. In:
matrices and pixels. Out: pixels of the target size. Read next: `colour.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError

__all__ = [
    "BORDERS",
    "Geometry",
    "Matrix",
    "resample",
    "rotation",
    "scaling",
    "translation",
    "warp_of_corners",
]

Matrix = npt.NDArray[np.float64]

BORDERS = {
    "reflection": cv2.BORDER_REFLECT_101,  # around the centre of the outermost pixel
    "border": cv2.BORDER_REPLICATE,
    "zeros": cv2.BORDER_CONSTANT,
}

# Beyond this shrink a bilinear look-up would skip source pixels, so the source is averaged first.
LARGEST_BILINEAR_SHRINK = 2.0


@dataclass(frozen=True, slots=True)
class Geometry:
    """A map from source pixels to the pixels of a target of known size.

    Attributes:
        matrix: 3×3, float64, maps homogeneous source coordinates (x, y, 1) to target coordinates.
        size: Height and width of the target in pixels.
        border: What lies outside the source: a key of `BORDERS`, or None when this step does not care.
    """

    matrix: Matrix
    size: tuple[int, int]
    border: str | None = None

    def then(self, later: Geometry) -> Geometry:
        """This map followed by another one."""
        return Geometry(later.matrix @ self.matrix, later.size, self.border or later.border)

    def points(self, xy: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        """Points `(k, 2)` in source pixels as target pixels."""
        mapped = np.c_[xy, np.ones(len(xy))] @ self.matrix.T
        return mapped[:, :2] / mapped[:, 2:]


def translation(x: float, y: float) -> Matrix:
    """Moves by `x` and `y` pixels."""
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])


def scaling(x: float, y: float) -> Matrix:
    """Scales around the corner (0, 0)."""
    return np.array([[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]])


def around(matrix: Matrix, x: float, y: float) -> Matrix:
    """A map with (x, y) as its origin."""
    return translation(x, y) @ matrix @ translation(-x, -y)


def inverted(matrix: Matrix) -> Matrix:
    """The inverse, by cofactors: a quarter of the time of numpy's solver, and needed several times per image.

    Raises:
        ArgumentError: The matrix has no inverse.
    """
    (a, b, c), (d, e, f), (g, h, i) = matrix.tolist()
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    det = a * first + b * second + c * third
    if det == 0 or not math.isfinite(det):
        raise ArgumentError(
            "a geometric transform must be invertible",
            f"its matrix is {matrix.tolist()}",
            "Check its arguments.",
        )
    cofactors = [
        [first, c * h - b * i, b * f - c * e],
        [second, a * i - c * g, c * d - a * f],
        [third, b * g - a * h, a * e - b * d],
    ]
    return np.array(cofactors) / det


def rotation(degrees: float, x: float, y: float) -> Matrix:
    """Turns counter-clockwise, as seen, around (x, y)."""
    a = math.radians(degrees)
    turn = np.array([[math.cos(a), math.sin(a), 0.0], [-math.sin(a), math.cos(a), 0.0], [0.0, 0.0, 1.0]])
    return around(turn, x, y)


def warp_of_corners(source: npt.NDArray[Any], target: npt.NDArray[Any]) -> Matrix:
    """The perspective map that takes four corners `(4, 2)` to four others."""
    return cv2.getPerspectiveTransform(source.astype(np.float32), target.astype(np.float32)).astype(
        np.float64
    )


def source_scale(matrix: Matrix, size: tuple[int, int]) -> tuple[float, float]:
    """Target pixels per source pixel along the source's x and y, the larger value over the target's corners
    and centre.

    A perspective map shrinks one side more than the other; the side that keeps most detail decides.
    """
    h, w = size
    (a, b, _), (c, d, _), (g, k, _) = matrix.tolist()
    matrix_x, matrix_y, matrix_z = matrix.tolist()
    inverse = inverted(matrix).tolist()
    sx = sy = 0.0
    for corner in ((0, 0, 1), (w, 0, 1), (0, h, 1), (w, h, 1), (w / 2, h / 2, 1)):
        p = [_dot(row, corner) for row in inverse]
        source = (p[0] / p[2], p[1] / p[2], 1.0)
        z = _dot(matrix_z, source)
        u, v = _dot(matrix_x, source) / z, _dot(matrix_y, source) / z
        # Columns of the Jacobian of (u, v) by the source's (x, y), times z.
        sx = max(sx, math.hypot(a - u * g, c - v * g) / abs(z))
        sy = max(sy, math.hypot(b - u * k, d - v * k) / abs(z))
    return sx, sy


def _dot(row: list[float], point: tuple[float, float, float]) -> float:
    return row[0] * point[0] + row[1] * point[1] + row[2] * point[2]


def resample(
    pixels: npt.NDArray[Any],
    geometry: Geometry,
    nearest: bool = False,
    scale: tuple[float, float] | None = None,
) -> npt.NDArray[Any]:
    """Pixels of the target: one look-up per target pixel, after averaging when the source is more than twice
    as fine.

    Args:
        pixels: `(h, w, c)`, uint8 or float32, contiguous or a view.
        geometry: Map from these pixels to the target.
        nearest: Take the nearest pixel instead of mixing four, for masks.
        scale: `source_scale` of the map, if the caller knows it already.

    Returns:
        `(h, w, c)` of the target size, same type, contiguous. An identity map gives the same pixels to the
        bit.
    """
    matrix, (h, w) = geometry.matrix, geometry.size
    channels = pixels.shape[2]
    matrix, pixels = _region(pixels, matrix, (h, w))
    if not nearest:
        matrix, pixels = _averaged(pixels, matrix, scale or source_scale(matrix, (h, w)))
    out = _exact_copy(pixels, matrix, (h, w))
    if out is None and not nearest:
        out = _by_resize(pixels, matrix, (h, w))
    if out is None:
        out = _by_warp(pixels, matrix, (h, w), BORDERS[geometry.border or "reflection"], nearest)
    return out.reshape(h, w, channels)


def _region(
    pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int]
) -> tuple[Matrix, npt.NDArray[Any]]:
    """The part of the source that the target can see, as a view, and the matrix from there.

    A small crop of a large photo then touches little memory, and OpenCV's limit of 32,767 source pixels per
    side is far. Kept whole when the target looks outside the source: borders are reflected at the picture's
    true edge.
    """
    h, w = size
    inverse = inverted(matrix)
    corners = np.array([[0, 0, 1], [w, 0, 1], [0, h, 1], [w, h, 1]], dtype=np.float64) @ inverse.T
    if (corners[:, 2] <= 0).any() and (corners[:, 2] >= 0).any():
        return matrix, pixels
    xy = corners[:, :2] / corners[:, 2:]
    height, width = pixels.shape[:2]
    # Two pixels of margin: bilinear look-up needs one, averaging by halves rounds by one.
    left, top = math.floor(xy[:, 0].min()) - 2, math.floor(xy[:, 1].min()) - 2
    right, bottom = math.ceil(xy[:, 0].max()) + 2, math.ceil(xy[:, 1].max()) + 2
    x0, x1 = (left, right) if left >= 0 and right <= width else _inside(left, right, width)
    y0, y1 = (top, bottom) if top >= 0 and bottom <= height else _inside(top, bottom, height)
    if (x0, y0, x1, y1) == (0, 0, width, height):
        return matrix, pixels
    return matrix @ translation(x0, y0), pixels[y0:y1, x0:x1]


def _inside(low: int, high: int, n: int) -> tuple[int, int]:
    """A range cut to the picture, kept wide enough that mirroring at the picture's edge never meets the
    cut."""
    beyond = max(-low, high - n, 0)
    if beyond <= 2:  # only the margin: nothing outside is looked at, or one pixel of it
        return max(low, 0), min(high, n)
    low = 0 if low < 0 else min(low, n - beyond - 1)
    high = n if high > n else max(high, beyond + 1)
    return max(low, 0), min(high, n)


def _averaged(
    pixels: npt.NDArray[Any], matrix: Matrix, scale: tuple[float, float]
) -> tuple[Matrix, npt.NDArray[Any]]:
    """The source area-averaged by whole factors until the remaining shrink is at most 2."""
    h, w = pixels.shape[:2]
    fx, fy = _whole_factor(scale[0], w), _whole_factor(scale[1], h)
    if fx == 1 and fy == 1:
        return matrix, pixels
    small_w, small_h = -(-w // fx), -(-h // fy)
    if (small_w * fx, small_h * fy) != (w, h):
        # Whole blocks only (OpenCV's fast path): repeat the last row or column to fill the last block.
        pixels = cv2.copyMakeBorder(pixels, 0, small_h * fy - h, 0, small_w * fx - w, cv2.BORDER_REPLICATE)
    small = cv2.resize(np.ascontiguousarray(pixels), (small_w, small_h), interpolation=cv2.INTER_AREA)
    return matrix @ scaling(fx, fy), small.reshape(small_h, small_w, -1)


def _whole_factor(scale: float, n: int) -> int:
    """By how much to average: the largest power of two that leaves at least the target's resolution."""
    factor = 1
    while scale * factor * LARGEST_BILINEAR_SHRINK <= 1.0 + 1e-9 and factor < n:
        factor *= 2
    return factor


def _exact_copy(pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """A crop at whole pixels, mirrored or not, is a copy: same pixels to the bit."""
    h, w = size
    if not _is_axis_aligned(matrix) or abs(abs(matrix[0, 0]) - 1) > 1e-9 or abs(matrix[1, 1] - 1) > 1e-9:
        return None
    mirrored = matrix[0, 0] < 0
    x = (matrix[0, 2] - w) if mirrored else -matrix[0, 2]
    y = -matrix[1, 2]
    if abs(x - round(x)) > 1e-6 or abs(y - round(y)) > 1e-6:
        return None
    x0, y0 = round(x), round(y)
    if x0 < 0 or y0 < 0 or x0 + w > pixels.shape[1] or y0 + h > pixels.shape[0]:
        return None
    part = pixels[y0 : y0 + h, x0 : x0 + w]
    return np.ascontiguousarray(part[:, ::-1] if mirrored else part)


def _is_axis_aligned(matrix: Matrix) -> bool:
    others = matrix[[0, 1, 2, 2], [1, 0, 0, 1]]
    return bool((np.abs(others) < 1e-12).all()) and abs(matrix[2, 2] - 1) < 1e-12


def _by_resize(pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """A pure crop and scale, by OpenCV's resize, which is 2–3× faster than a warp; None where that is not
    exact."""
    h, w = size
    if not _is_axis_aligned(matrix) or matrix[0, 0] == 0 or matrix[1, 1] <= 0:
        return None
    sx, sy = abs(matrix[0, 0]), matrix[1, 1]
    mirrored = matrix[0, 0] < 0
    x = (matrix[0, 2] - w) / sx if mirrored else -matrix[0, 2] / sx
    y = -matrix[1, 2] / sy
    x1, y1 = x + w / sx, y + h / sy
    box = round(x), round(y), round(x1), round(y1)
    # resize() maps a whole-pixel box onto the whole target; other boxes go through the warp.
    if max(abs(a - b) for a, b in zip(box, (x, y, x1, y1), strict=True)) > 1e-6:
        return None
    if box[0] < 0 or box[1] < 0 or box[2] > pixels.shape[1] or box[3] > pixels.shape[0]:
        return None
    part = np.ascontiguousarray(pixels[box[1] : box[3], box[0] : box[2]])
    out = cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
    return np.ascontiguousarray(out[:, ::-1]) if mirrored else out


def _by_warp(
    pixels: npt.NDArray[Any], matrix: Matrix, size: tuple[int, int], border: int, nearest: bool
) -> npt.NDArray[Any]:
    # OpenCV puts the centre of the first pixel at (0, 0).
    inverse = translation(-0.5, -0.5) @ inverted(matrix) @ translation(0.5, 0.5)
    flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    source = np.ascontiguousarray(pixels)
    return cv2.warpPerspective(source, inverse, (size[1], size[0]), flags=flags, borderMode=border)
