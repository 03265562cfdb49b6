"""Every colour transform is a table of 256 levels or a 3×4 matrix; neighbours of one kind are one.

In: steps of three kinds: a curve on grey levels in [0, 1]; a curve that first looks at the picture's
histogram; a step that needs the pixels, such as a matrix that mixes the channels. Out: one table per image
that maps uint8 straight to float32, scaled and, if a model lent its statistics, normalised, so that lighting,
scaling and normalising are one pass over the pixels; each step of the third kind ends a table and costs a
pass of its own. Steps keep their order. Read next: `image.py`, which keeps steps and geometry until an image
is made.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = [
    "GREY",
    "ColourMatrix",
    "ColourStep",
    "Curve",
    "MeasuredCurve",
    "PixelStep",
    "apply_curves",
    "hue",
    "joined",
    "lighting",
    "look_up",
    "repainted",
    "saturation",
    "settled",
    "table",
]

# A function on grey levels in [0, 1]: elementwise on an array of any shape, or per channel on the last axis.
Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

# How much red, green and blue make up grey: ITU-R BT.601, as in Pillow's and torchvision's conversions.
GREY = (0.299, 0.587, 0.114)

_LEVELS = np.arange(256, dtype=np.float64) / 255
_TINY = 1e-7  # black and white have no finite logit


def _logit(levels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    inner = np.clip(levels, _TINY, 1 - _TINY)
    return np.log(inner / (1 - inner))


_LOGITS = _logit(_LEVELS)


@dataclass(frozen=True, slots=True)
class Lighting:
    """The curve `sigmoid(scale * (logit(x) + shift))`; two of them in a row are one."""

    shift: float
    scale: float

    def __call__(self, levels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
        logits = _LOGITS if levels is _LEVELS else _logit(levels)
        return 1 / (1 + np.exp(-self.scale * (logits + self.shift)))

    def then(self, later: Lighting) -> Lighting:
        """This curve followed by another one."""
        return Lighting(self.shift + later.shift / self.scale, self.scale * later.scale)


def lighting(shift: float = 0.0, scale: float = 1.0) -> Curve:
    """`sigmoid(scale * (logit(x) + shift))`: brightness shifts, contrast scales, and no level leaves [0, 1].

    Args:
        shift: Added in logit space; positive is brighter.
        scale: Factor in logit space, above 0; more than 1 is more contrast.

    Example:
        >>> lighting()(np.array([0.25])).round(6)
        array([0.25])
    """
    return Lighting(shift, scale)


class MeasuredCurve(ABC):
    """A curve that depends on the picture: equalising, say. It is found from a histogram, so it stays part of
    the table."""

    @abstractmethod
    def measured(self, levels: npt.NDArray[np.float64], counts: npt.NDArray[np.float64]) -> Curve:
        """The curve of one picture.

        Args:
            levels: `(256, c)`, the level that each of the source's 256 values has by now.
            counts: `(256, c)`, how many pixels have that value.
        """


class PixelStep(ABC):
    """A colour step that needs the pixels themselves."""

    @abstractmethod
    def on(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """New pixels `(h, w, c)` from such, uint8 or float32 in [0, 1]; the type stays."""


ColourStep = Curve | MeasuredCurve | PixelStep


@dataclass(frozen=True, slots=True)
class ColourMatrix(PixelStep):
    """Mixes the channels: each is a weighted sum of red, green and blue and a constant, cut to [0, 1].

    Pictures that do not have three channels stay as they are.

    Attributes:
        rows: Three rows of four: factors of red, green and blue, and the constant on the [0, 1] scale.
    """

    rows: tuple[tuple[float, ...], ...]

    def then(self, later: ColourMatrix) -> ColourMatrix:
        """This matrix followed by another one; nothing is cut off in between."""
        square = np.vstack([np.array(self.rows), [0.0, 0.0, 0.0, 1.0]])
        return ColourMatrix(tuple(map(tuple, (np.array(later.rows) @ square).tolist())))

    def on(self, pixels: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if pixels.shape[2] != 3:
            return pixels
        matrix = np.array(self.rows, dtype=np.float32)
        if pixels.dtype == np.uint8:
            matrix[:, 3] *= 255
            return cv2.transform(pixels, matrix)  # rounds, and cuts to 0..255
        return np.clip(cv2.transform(pixels.astype(np.float32), matrix), 0, 1)


def saturation(factor: float) -> ColourMatrix:
    """More or less colour, grey kept: the picture mixed with its grey version, as torchvision and Pillow do.

    Args:
        factor: 0 gives grey, 1 changes nothing, more than 1 leads away from grey.

    Example:
        >>> saturation(0.0).on(np.full((1, 1, 3), (255, 0, 0), np.uint8)).tolist()
        [[[76, 76, 76]]]
    """
    matrix = factor * np.eye(3) + (1 - factor) * np.array([GREY] * 3)
    return _matrix(matrix)


# NTSC's YIQ: brightness and two colour axes, here as red, green and blue see them (FCC, 47 CFR 73.682).
_YIQ = np.array([GREY, (0.595716, -0.274453, -0.321263), (0.211456, -0.522591, 0.311135)])
_RGB = np.linalg.inv(_YIQ)


def hue(turns: float) -> ColourMatrix:
    """Colours turned round the colour circle, brightness and grey kept: a rotation of the I and Q of YIQ.

    Being linear it is one matrix. The hue of HSV, which torchvision and fastai turn, is not: there red turned
    to blue keeps its "value" and gets much darker to the eye.

    Args:
        turns: Share of a whole turn: a third leads from red towards green, 0 and 1 change nothing.
    """
    c, s = math.cos(2 * math.pi * turns), math.sin(2 * math.pi * turns)
    turned = np.array([[1.0, 0.0, 0.0], [0.0, c, s], [0.0, -s, c]])
    return _matrix(_RGB @ turned @ _YIQ)


def _matrix(mixing: npt.NDArray[np.float64]) -> ColourMatrix:
    return ColourMatrix(tuple((*row, 0.0) for row in mixing.tolist()))


def joined(steps: tuple[ColourStep, ...], later: ColourStep) -> tuple[ColourStep, ...]:
    """One more step behind the others, merged with the last one where the two are one."""
    last = steps[-1] if steps else None
    if isinstance(last, Lighting) and isinstance(later, Lighting):
        return (*steps[:-1], last.then(later))
    if isinstance(last, ColourMatrix) and isinstance(later, ColourMatrix):
        return (*steps[:-1], last.then(later))
    return (*steps, later)


def settled(
    pixels: npt.NDArray[Any], steps: Sequence[ColourStep]
) -> tuple[npt.NDArray[Any], Sequence[Curve]]:
    """Everything up to the last step that needs pixels is done to them; the curves behind it are left to do.

    Args:
        pixels: `(h, w, c)`, uint8 or float32 in [0, 1].
        steps: In order.
    """
    curves: list[Curve] = []
    for step in steps:
        if isinstance(step, PixelStep):
            pixels, curves = step.on(repainted(pixels, curves)), []
        elif isinstance(step, MeasuredCurve):
            levels = apply_curves(curves, _LEVELS)
            counts = _histogram(pixels)
            shaped = np.broadcast_to(levels if levels.ndim == 2 else levels[:, None], counts.shape)
            curves.append(step.measured(shaped, counts))
        else:
            curves.append(step)
    return pixels, curves


def _histogram(pixels: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """How many pixels have each of the 256 values, `(256, c)`."""
    values = pixels if pixels.dtype == np.uint8 else np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    each = [cv2.calcHist([values], [c], None, [256], [0, 256]) for c in range(values.shape[2])]
    return np.stack([counts.ravel() for counts in each], 1).astype(np.float64)


def repainted(pixels: npt.NDArray[Any], curves: Sequence[Curve]) -> npt.NDArray[Any]:
    """Pixels after curves, of the same type."""
    if not curves:
        return pixels
    if pixels.dtype != np.uint8:
        return np.clip(apply_curves(curves, pixels), 0, 1).astype(np.float32)
    values = np.rint(np.clip(apply_curves(curves, _LEVELS), 0, 1) * 255).astype(np.uint8)
    return cv2.LUT(pixels, values.reshape(1, 256, -1)).reshape(pixels.shape)


def apply_curves(curves: Sequence[Curve], levels: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Levels after all curves in order."""
    for curve in curves:
        levels = curve(levels)
    return levels


def table(
    curves: Sequence[Curve], mean: Sequence[float] | None = None, std: Sequence[float] | None = None
) -> npt.NDArray[np.float32]:
    """The look-up table of an image: `(256,)`, or `(256, c)` when the channels are normalised differently.

    Args:
        curves: Applied in order to the levels 0/255 .. 255/255.
        mean: Per channel, subtracted after the curves; None for none.
        std: Per channel, divided by.

    Example:
        >>> table([])[[0, 255]]
        array([0., 1.], dtype=float32)
    """
    levels = apply_curves(curves, _LEVELS)
    if mean is None or std is None:
        return levels.astype(np.float32)
    if len(set(mean)) == 1 and len(set(std)) == 1:  # one channel's table is looked up a third faster
        return ((levels - mean[0]) / std[0]).astype(np.float32)
    shaped = levels if levels.ndim == 2 else levels[:, None]  # two axes: curves of each channel's own
    return ((shaped - np.asarray(mean)) / np.asarray(std)).astype(np.float32)


def look_up(
    pixels: npt.NDArray[np.uint8], values: npt.NDArray[np.float32], out: npt.NDArray[np.float32]
) -> None:
    """Writes `values[pixels]` into `out`.

    Args:
        pixels: `(h, w, c)` uint8, contiguous.
        values: `(256,)` or `(256, c)`.
        out: `(h, w, c)` float32, contiguous; the memory of a row of a batch.
    """
    shaped = values.reshape(1, 256, -1)
    # A single channel comes back from OpenCV without its axis, so hand it in without.
    flat = pixels.shape[2] == 1
    cv2.LUT(pixels[:, :, 0] if flat else pixels, shaped, out[:, :, 0] if flat else out)
