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
    "LARGEST_SHRINK",
    "Geometry",
    "Matrix",
    "Rows",
    "blur_variance",
    "box_to",
    "inverted",
    "perspective",
    "resample",
    "rotation",
    "scaling",
    "scaling_around",
    "source_scale",
    "translation",
]

Matrix = npt.NDArray[np.float64]
Rows = list[list[float]]  # a matrix as plain floats

BORDERS = {
    "reflection": cv2.BORDER_REFLECT_101,  # around the centre of the outermost pixel
    "border": cv2.BORDER_REPLICATE,
    "zeros": cv2.BORDER_CONSTANT,
}

# The source is averaged by halves while the shrink is at least this; a blur and a bilinear look-up do the
# rest. A higher limit is nearer to Pillow's filter and slower: with 3 the mean absolute difference stays
# below 1.5 grey levels for shrinks from 1 to 8, with 2 it is above just behind the powers of two.
LARGEST_SHRINK = 3.0
# Below this missing variance (a shrink of 1.2) no blur is worth its time.
LEAST_VARIANCE = 0.075
# The look-up's variance is 1/6 only on average: from 0 on a pixel to 1/4 between two. So much blur more than
# is missing, where less than `MOST_MISSING` is, comes nearest to Pillow's filter on photos, whose variance is
# the same at every pixel (dev/LOG.md).
FURTHER_VARIANCE, MOST_MISSING = 0.06, 0.4
# Between these OpenCV's ready-made kernel (1, 2, 1)/4, variance 1/2, is near enough and takes half the time.
READY_MADE = 0.43, 0.65


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


def scaling_around(sx: float, sy: float, x: float, y: float) -> Matrix:
    """Scales around (x, y); a factor of -1 mirrors."""
    return np.array([[sx, 0.0, x - sx * x], [0.0, sy, y - sy * y], [0.0, 0.0, 1.0]])


def box_to(x: float, y: float, w: float, h: float, size: tuple[int, int]) -> Matrix:
    """Maps a box, its corner at (x, y), `w` wide and `h` high, onto a target of `size` (height, width)."""
    sx, sy = size[1] / w, size[0] / h
    return np.array([[sx, 0.0, -sx * x], [0.0, sy, -sy * y], [0.0, 0.0, 1.0]])


def rotation(degrees: float, x: float, y: float) -> Matrix:
    """Turns counter-clockwise, as seen, around (x, y)."""
    a = math.radians(degrees)
    c, s = math.cos(a), math.sin(a)
    return np.array([[c, s, x - c * x - s * y], [-s, c, y + s * x - c * y], [0.0, 0.0, 1.0]])


def perspective(tilt_x: float, tilt_y: float, size: tuple[int, int]) -> Matrix:
    """Moves the corners: with sides from -1 to 1, the corner (x, y) goes to `(x, y) - x * y * tilt`.

    The eight equations of the four corners have this solution in closed form.
    """
    h, w = size
    plus, minus = 1 + tilt_x + tilt_y, 1 + tilt_y - tilt_x
    a, b = (1 - tilt_x) * plus - tilt_y, (1 + tilt_x) * minus - tilt_y  # sum and difference of x's factors
    c, d = (1 - tilt_y) * plus - tilt_x, (tilt_y - 1) * minus - tilt_x  # and of y's
    tilted = np.array(
        [
            [(a + b) / 2, (a - b) / 2, tilt_y],
            [(c + d) / 2, (c - d) / 2, tilt_x],
            [tilt_y, tilt_x, 1.0],
        ]
    )
    to_pixels = np.array([[w / 2, 0.0, w / 2], [0.0, h / 2, h / 2], [0.0, 0.0, 1.0]])
    from_pixels = np.array([[2 / w, 0.0, -1.0], [0.0, 2 / h, -1.0], [0.0, 0.0, 1.0]])
    return to_pixels @ tilted @ from_pixels


def inverted(matrix: Matrix) -> Matrix:
    """The inverse.

    Raises:
        ArgumentError: The matrix has no inverse.
    """
    return np.array(_inverse_rows(matrix.tolist()))


def _inverse_rows(rows: Rows) -> Rows:
    """By cofactors, in plain floats: on 3×3 numbers that is several times faster than numpy."""
    (a, b, c), (d, e, f), (g, h, i) = rows
    first, second, third = e * i - f * h, f * g - d * i, d * h - e * g
    det = a * first + b * second + c * third
    if det == 0 or not math.isfinite(det):
        raise ArgumentError(
            "a geometric transform must be invertible", f"its matrix is {rows}", "Check its arguments."
        )
    return [
        [first / det, (c * h - b * i) / det, (b * f - c * e) / det],
        [second / det, (a * i - c * g) / det, (c * d - a * f) / det],
        [third / det, (b * g - a * h) / det, (a * e - b * d) / det],
    ]


def source_scale(matrix: Matrix, size: tuple[int, int]) -> tuple[float, float]:
    """Target pixels per source pixel along the source's x and y, the larger value over the target's corners
    and centre.

    A perspective map shrinks one side more than the other; the side that keeps most detail decides.
    """
    h, w = size
    rows: Rows = matrix.tolist()
    (a, b, _), (c, d, _), (g, k, one) = rows
    if g == 0 and k == 0:  # the same everywhere
        return math.hypot(a, c) / abs(one), math.hypot(b, d) / abs(one)
    inverse = _inverse_rows(rows)
    sx = sy = 0.0
    for u, v in ((0, 0), (w, 0), (0, h), (w, h), (w / 2, h / 2)):
        x, y = _mapped(inverse, u, v)
        z = abs(g * x + k * y + one)
        # Columns of the Jacobian of (u, v) by the source's (x, y), times z.
        sx = max(sx, math.hypot(a - u * g, c - v * g) / z)
        sy = max(sy, math.hypot(b - u * k, d - v * k) / z)
    return sx, sy


def _mapped(rows: Rows, x: float, y: float) -> tuple[float, float]:
    (a, b, c), (d, e, f), (g, h, i) = rows
    z = g * x + h * y + i
    return (a * x + b * y + c) / z, (d * x + e * y + f) / z


def resample(
    pixels: npt.NDArray[Any],
    geometry: Geometry,
    nearest: bool = False,
    scale: tuple[float, float] | None = None,
    averaged: int = 1,
) -> npt.NDArray[Any]:
    """Pixels of the target: one look-up per target pixel, after a low-pass filter when the source is finer.

    Args:
        pixels: `(h, w, c)`, uint8 or float32, contiguous or a view.
        geometry: Map from these pixels to the target.
        nearest: Take the nearest pixel instead of mixing four, for masks.
        scale: `source_scale` of the map, if the caller knows it already.
        averaged: By how much the decoder has shrunk the picture to `pixels`.

    Returns:
        `(h, w, c)` of the target size, same type, contiguous. An identity map gives the same pixels to the
        bit.
    """
    channels = pixels.shape[2]
    if channels > 4:  # OpenCV's limit
        parts = [pixels[:, :, k : k + 4] for k in range(0, channels, 4)]
        return np.concatenate([resample(p, geometry, nearest, scale, averaged) for p in parts], axis=2)
    rows: Rows = geometry.matrix.tolist()
    size = geometry.size
    if scale is None:
        scale = (1.0, 1.0) if nearest else source_scale(geometry.matrix, size)
    fx, fy = (1, 1) if nearest else (_halving(scale[0]), _halving(scale[1]))
    x0, y0, x1, y1 = _region(pixels.shape, _inverse_rows(rows), size, fx, fy)
    part = pixels[y0:y1, x0:x1]
    rows = [[a, b, a * x0 + b * y0 + c] for a, b, c in rows]
    out = _exact_copy(part, rows, size)
    if out is None and not nearest:
        part, rows = _filtered(part, rows, scale, averaged)
        out = _by_resize(part, rows, size)
    if out is None:
        out = _by_warp(part, rows, size, BORDERS[geometry.border or "reflection"], nearest)
    return out.reshape(*size, channels)


def _region(
    shape: tuple[int, ...], inverse: Rows, size: tuple[int, int], fx: int = 1, fy: int = 1
) -> tuple[int, int, int, int]:
    """The part of the source that the target can see: left, top, right and bottom, in pixels; left and top
    at whole blocks of `fx` × `fy` pixels, so that a crop is averaged as the whole picture would be.

    A small crop of a large photo then touches little memory, and OpenCV's limit of 32,767 source pixels per
    side is far. Kept whole when the target looks outside the source: borders are reflected at the picture's
    true edge.
    """
    h, w = size
    height, width = shape[:2]
    _, _, (g, k, one) = inverse
    depths = (one, g * w + one, k * h + one, g * w + k * h + one)
    if min(depths) <= 0 <= max(depths):
        return 0, 0, width, height
    corners = [_mapped(inverse, u, v) for u, v in ((0, 0), (w, 0), (0, h), (w, h))]
    xs, ys = [x for x, _ in corners], [y for _, y in corners]
    # Margin in averaged pixels: bilinear look-up needs one, the blur two.
    left, top = math.floor(min(xs)) - 3 * fx, math.floor(min(ys)) - 3 * fy
    right, bottom = math.ceil(max(xs)) + 3 * fx, math.ceil(max(ys)) + 3 * fy
    x0, x1 = (left, right) if left >= 0 and right <= width else _inside(left, right, width, 3 * fx)
    y0, y1 = (top, bottom) if top >= 0 and bottom <= height else _inside(top, bottom, height, 3 * fy)
    return x0 - x0 % fx, y0 - y0 % fy, x1, y1


def _inside(low: int, high: int, n: int, margin: int) -> tuple[int, int]:
    """A range cut to the picture, kept wide enough that mirroring at the picture's edge never meets the
    cut."""
    beyond = max(-low, high - n, 0)
    if beyond <= margin:  # nothing outside is looked at, or one pixel of it
        return max(low, 0), min(high, n)
    low = 0 if low < 0 else min(low, n - beyond - 1)
    high = n if high > n else max(high, beyond + 1)
    return max(low, 0), min(high, n)


def _filtered(
    pixels: npt.NDArray[Any], rows: Rows, scale: tuple[float, float], averaged: int
) -> tuple[npt.NDArray[Any], Rows]:
    """The source as fine as the target needs it, and the map from it: averaged by halves, then blurred."""
    fx, fy = _halving(scale[0]), _halving(scale[1])
    if fx > 1 or fy > 1:
        pixels, rows = _averaged(pixels, fx, fy), [[a * fx, b * fy, c] for a, b, c in rows]
    across, down = blur_variance(scale[0], fx, averaged), blur_variance(scale[1], fy, averaged)
    return _blurred(pixels, across, down), rows


def _averaged(pixels: npt.NDArray[Any], fx: int, fy: int) -> npt.NDArray[Any]:
    """Means of blocks of `fx` × `fy` pixels; the last row or column is repeated to fill the last block."""
    h, w = pixels.shape[:2]
    small_w, small_h = -(-w // fx), -(-h // fy)
    if (small_w * fx, small_h * fy) != (w, h):  # OpenCV is ten times faster on whole blocks
        pixels = cv2.copyMakeBorder(pixels, 0, small_h * fy - h, 0, small_w * fx - w, cv2.BORDER_REPLICATE)
    small = cv2.resize(pixels, (small_w, small_h), interpolation=cv2.INTER_AREA)
    return small.reshape(small_h, small_w, -1)


def _halving(scale: float) -> int:
    """By which power of two to average, so that the remaining shrink is below `LARGEST_SHRINK`."""
    factor = 1
    while scale * factor * LARGEST_SHRINK <= 1.0 + 1e-9:
        factor *= 2
    return factor


def blur_variance(scale: float, factor: int, averaged: int) -> float:
    """How much to blur, as variance in averaged pixels, for what a triangle filter would have done.

    A triangle that reaches `s` pixels to both sides has the variance s²/6, the bilinear look-up 1/6, and the
    mean of `f` pixels, seen in pixels `f` times as large, (1 - 1/f²)/12.
    """
    shrink, whole = 1 / (scale * factor), factor * averaged
    missing = (shrink * shrink - 1) / 6 - (1 - 1 / (whole * whole)) / 12
    if missing < LEAST_VARIANCE:
        return 0.0
    return missing + FURTHER_VARIANCE if missing < MOST_MISSING else missing


def _blurred(pixels: npt.NDArray[Any], across: float, down: float) -> npt.NDArray[Any]:
    """A separable blur of these variances, in pixels²."""
    if across == 0 and down == 0:
        return pixels
    low, high = READY_MADE
    if low <= across <= high and low <= down <= high:
        blurred = cv2.GaussianBlur(pixels, (3, 3), 0)
    else:
        blurred = cv2.sepFilter2D(pixels, -1, _kernel(across), _kernel(down))
    return blurred.reshape(pixels.shape)


def _kernel(variance: float) -> npt.NDArray[np.float32]:
    """Three weights of this variance, up to 1/2; above, such three applied twice."""
    side = variance / 2
    if side <= 0.25:
        return np.array([side, 1 - 2 * side, side], np.float32)
    three = np.array([side / 2, 1 - side, side / 2], np.float32)
    return np.convolve(three, three)


def _exact_copy(pixels: npt.NDArray[Any], rows: Rows, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """A crop at whole pixels, mirrored or not, is a copy: same pixels to the bit."""
    (sx, _, tx), (_, sy, ty), _ = rows
    if abs(abs(sx) - 1) > 1e-9 or abs(sy - 1) > 1e-9 or not _is_axis_aligned(rows):
        return None
    h, w = size
    x, y = tx - w if sx < 0 else -tx, -ty
    x0, y0 = round(x), round(y)
    if abs(x - x0) > 1e-6 or abs(y - y0) > 1e-6:
        return None
    if x0 < 0 or y0 < 0 or x0 + w > pixels.shape[1] or y0 + h > pixels.shape[0]:
        return None
    part = pixels[y0 : y0 + h, x0 : x0 + w]
    return np.ascontiguousarray(part[:, ::-1] if sx < 0 else part)


def _is_axis_aligned(rows: Rows) -> bool:
    (_, b, _), (d, _, _), (g, k, one) = rows
    return max(abs(b), abs(d), abs(g), abs(k), abs(one - 1)) < 1e-12


def _by_resize(pixels: npt.NDArray[Any], rows: Rows, size: tuple[int, int]) -> npt.NDArray[Any] | None:
    """A pure crop and scale, by OpenCV's resize, which is 2–3× faster than a warp; None where that is not
    exact."""
    (sx, _, tx), (_, sy, ty), _ = rows
    if sx == 0 or sy <= 0 or not _is_axis_aligned(rows):
        return None
    h, w = size
    x, y = (tx - w) / -sx if sx < 0 else -tx / sx, -ty / sy
    edges = x, y, x + w / abs(sx), y + h / sy
    x0, y0, x1, y1 = box = [round(edge) for edge in edges]
    # resize() maps a whole-pixel box onto the whole target; other boxes go through the warp.
    if max(abs(a - b) for a, b in zip(box, edges, strict=True)) > 1e-6:
        return None
    if x0 < 0 or y0 < 0 or x1 > pixels.shape[1] or y1 > pixels.shape[0]:
        return None
    part = pixels[y0:y1, x0:x1]
    out = cv2.resize(part, (w, h), interpolation=cv2.INTER_LINEAR).reshape(h, w, -1)
    return np.ascontiguousarray(out[:, ::-1]) if sx < 0 else out


def _by_warp(
    pixels: npt.NDArray[Any], rows: Rows, size: tuple[int, int], border: int, nearest: bool
) -> npt.NDArray[Any]:
    # OpenCV puts the centre of the first pixel at (0, 0): half a pixel is added before and taken off after.
    x, y, z = ([a, b, a / 2 + b / 2 + c] for a, b, c in _inverse_rows(rows))
    inverse = np.array(
        [[p - r / 2 for p, r in zip(x, z, strict=True)], [q - r / 2 for q, r in zip(y, z, strict=True)], z]
    )
    flags = (cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR) | cv2.WARP_INVERSE_MAP
    return cv2.warpPerspective(pixels, inverse, (size[1], size[0]), flags=flags, borderMode=border)
