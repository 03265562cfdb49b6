"""The operations that augmentation policies choose from, each with a strength: matrices and colour steps.

In: a strength in the unit of the operation. Out: a matrix for an image's size, or a colour step. The results
are those of Pillow's `ImageEnhance` and `ImageOps` and torchvision's functions, to within rounding.
Read next: `policy.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from wiggly.vision.colour import GREY, Curve, MeasuredCurve, PixelStep
from wiggly.vision.geometry import Matrix

__all__ = [
    "AutoContrast",
    "Equalize",
    "MeanContrast",
    "Sharpness",
    "brightened",
    "posterized",
    "shear",
    "solarized",
]


def shear(x: float, y: float) -> Matrix:
    """Moves each row by `x` times its height and each column by `y` times its distance from the left.

    The corner (0, 0) stays. Positive numbers move the rows' content to the left and the columns' upwards, as
    Pillow's inverse matrices have it.
    """
    return np.linalg.inv(np.array([[1.0, x, 0.0], [y, 1.0, 0.0], [0.0, 0.0, 1.0]]))


def brightened(factor: float) -> Curve:
    """Every level times a factor, cut at white."""
    return lambda levels: np.clip(levels * factor, 0, 1)


def posterized(bits: int) -> Curve:
    """Only the highest `bits` of the 8 bits of a level are kept."""
    kept = 256 - 2 ** (8 - bits)
    return lambda levels: (np.rint(levels * 255).astype(np.int64) & kept) / 255


def solarized(threshold: float) -> Curve:
    """Levels from the threshold on are inverted."""
    return lambda levels: np.where(levels >= threshold, 1 - levels, levels)


@dataclass(frozen=True, slots=True)
class MeanContrast(MeasuredCurve):
    """Every level's distance from the picture's mean grey times a factor, cut to [0, 1]."""

    factor: float

    def measured(self, levels: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> Curve:
        means = (levels * counts).sum(0) / counts.sum(0)
        mean = float(means @ np.array(GREY)) if len(means) == 3 else float(means.mean())
        return lambda x: np.clip(mean + self.factor * (x - mean), 0, 1)


@dataclass(frozen=True, slots=True)
class AutoContrast(MeasuredCurve):
    """Each channel is stretched so that its darkest level is 0 and its brightest 1."""

    def measured(self, levels: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> Curve:
        low = np.where(counts > 0, levels, np.inf).min(0)
        high = np.where(counts > 0, levels, -np.inf).max(0)
        flat = high <= low  # a channel of one level stays
        low, width = np.where(flat, 0, low), np.where(flat, 1, high - low)
        return lambda x: np.clip((_channels(x) - low) / width, 0, 1)


@dataclass(frozen=True, slots=True)
class Equalize(MeasuredCurve):
    """Each channel gets about as many pixels of every level."""

    def measured(self, levels: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> Curve:
        values = _bytes(levels)
        tables = [_equal(values[:, c], counts[:, c]) for c in range(counts.shape[1])]
        luts = np.stack(tables)  # (c, 256)
        return lambda x: luts[np.arange(len(luts)), _bytes(_channels(x))]


def _equal(values: npt.NDArray[np.int64], counts: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """One channel's table, by Pillow's rule: the share of darker pixels, in steps that leave the brightest
    out."""
    histogram = np.bincount(values, counts, minlength=256).astype(np.int64)
    used = histogram[histogram > 0]
    step = (int(used.sum()) - int(used[-1])) // 255
    if step == 0:
        return np.arange(256) / 255
    darker = np.concatenate([[0], np.cumsum(histogram)[:-1]])
    return np.minimum((darker + step // 2) // step, 255) / 255


def _bytes(levels: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    return np.rint(np.clip(levels, 0, 1) * 255).astype(np.int64)


def _channels(levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """With an axis for the channels: a table that all share has none yet."""
    return levels[:, None] if levels.ndim == 1 else levels


@dataclass(frozen=True, slots=True)
class Sharpness(PixelStep):
    """The picture mixed with a smoothed version of itself; its outermost pixels stay.

    Attributes:
        factor: 0 gives the smooth picture, 1 changes nothing, more than 1 sharpens.
    """

    factor: float

    def on(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if min(pixels.shape[:2]) < 3:
            return pixels
        smooth = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13  # Pillow's SMOOTH
        kernel = (1 - self.factor) * smooth
        kernel[1, 1] += self.factor
        changed = cv2.filter2D(pixels, -1, kernel).reshape(pixels.shape)
        out = pixels.copy()
        out[1:-1, 1:-1] = changed[1:-1, 1:-1]
        return out if pixels.dtype == np.uint8 else np.clip(out, 0, 1)
