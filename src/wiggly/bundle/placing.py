"""Where the pixels of a prepared picture lie in the picture of the file: the specification's first half.

In: the steps that `model.json` lists, and the height and width of a picture. Out: for each axis a straight
line from prepared pixels to those of the file. Plain arithmetic in 64 bits, on numbers or, in the exported
graph, on tensors; docs/format.md has the same in words. Needs no torch. Read next:
`../vision/exact.py`, which resamples along these lines.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from wiggly.bundle.parts import Step
from wiggly.vision.exact import DEFAULT_BORDER, Axis, Placement

__all__ = ["MOVING", "Arithmetic", "place"]

#: The steps that move pixels in validation. All others wait for training's draws and change nothing.
MOVING = ("Resize", "RandomResizedCrop")

EXTRA_STEP = 8  # the margin of RandomResizedCrop is a multiple of so many pixels


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """The few functions the formulas need, for one kind of number."""

    smaller: Callable[[Any, Any], Any] = min
    larger: Callable[[Any, Any], Any] = max
    rounded: Callable[[Any], Any] = round  # halves to the even neighbour
    floor: Callable[[Any], Any] = math.floor


NUMBERS = Arithmetic()


def place(steps: Sequence[Step], height: Any, width: Any, using: Arithmetic = NUMBERS) -> Placement:
    """Where a prepared picture looks into a picture of this size.

    Args:
        steps: As `model.json` lists them.
        height: Of the upright picture, in pixels.
        width: The same.
        using: Functions for these numbers.

    Example:
        >>> place([Step("Resize", {"size": 50})], 100, 300).x
        Axis(start=100.0, step=2.0, length=50)
    """
    y, x, border = Axis(0.0, 1.0, height), Axis(0.0, 1.0, width), None
    for step in steps:
        if step.name not in MOVING:
            continue
        size = step.args["size"]
        target = (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if step.name == "RandomResizedCrop":
            y, x = _middle(y, x, target, float(step.args.get("val_xtra", 0.14)), using)
            continue
        method = step.args.get("method", "crop")
        if method == "squish":
            y, x = y.box(0, y.length, target[0]), x.box(0, x.length, target[1])
        elif method == "crop":
            top, left, high, wide = _crop(y.length, x.length, target, using)
            y, x = y.box(top, high, target[0]), x.box(left, wide, target[1])
        else:
            y, x = _padded(y, x, target, using)
            border = border or _border(step.args)
    return Placement(y, x, border or DEFAULT_BORDER)


def _border(args: Mapping[str, Any]) -> str:
    return str(args.get("pad_mode", DEFAULT_BORDER))


def _crop(height: Any, width: Any, target: tuple[int, int], using: Arithmetic) -> tuple[Any, Any, Any, Any]:
    """Top, left, height and width of the largest box of the target's proportions, in the middle, at whole
    pixels."""
    scale = using.smaller(height / target[0], width / target[1])
    high = using.smaller(using.larger(using.rounded(target[0] * scale), 1), height)
    wide = using.smaller(using.larger(using.rounded(target[1] * scale), 1), width)
    return using.floor((height - high) / 2), using.floor((width - wide) / 2), high, wide


def _padded(y: Axis, x: Axis, target: tuple[int, int], using: Arithmetic) -> tuple[Axis, Axis]:
    """All of it in the middle of the target."""
    scale = using.smaller(target[0] / y.length, target[1] / x.length)
    above, left = (target[0] - y.length * scale) / 2, (target[1] - x.length * scale) / 2
    extent = target[0] / scale, target[1] / scale
    return y.box(-above / scale, extent[0], target[0]), x.box(-left / scale, extent[1], target[1])


def _middle(y: Axis, x: Axis, target: tuple[int, int], extra: float, using: Arithmetic) -> tuple[Axis, Axis]:
    """The middle of what a crop with a margin would show."""
    margin = math.ceil(max(target) * extra / EXTRA_STEP) * EXTRA_STEP
    top, left, high, wide = _crop(y.length, x.length, (target[0] + margin, target[1] + margin), using)
    whole = target[0] + margin, target[1] + margin
    # Whole numbers only: the exporter keeps other constants in 32 bits.
    top, left = top + high * margin / (2 * whole[0]), left + wide * margin / (2 * whole[1])
    return y.box(top, high * target[0] / whole[0], target[0]), x.box(
        left, wide * target[1] / whole[1], target[1]
    )
