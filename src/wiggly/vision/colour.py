"""Every colour transform is a table of 256 levels.

In: curves, functions on grey levels in [0, 1]. Out: one table per image that maps uint8 straight to float32,
scaled and, if a model lent its statistics, normalised, so that lighting, scaling and normalising are one pass
over the pixels. Read next: `image.py`, which keeps curves and geometry until an image is made.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["Curve", "apply_curves", "joined", "lighting", "look_up", "table"]

# A function on grey levels in [0, 1], elementwise on an array of any shape.
Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]

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


def joined(curves: tuple[Curve, ...], later: Curve) -> tuple[Curve, ...]:
    """One more curve behind the others, merged with the last one where the two are one curve."""
    last = curves[-1] if curves else None
    if isinstance(last, Lighting) and isinstance(later, Lighting):
        return (*curves[:-1], last.then(later))
    return (*curves, later)


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
    return ((levels[:, None] - np.asarray(mean)) / np.asarray(std)).astype(np.float32)


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
