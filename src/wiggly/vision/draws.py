"""What a transform draws: a matrix or a curve, applied to every value of a sample that can be changed so.

In: a generator and an image's size. Out: values with one more step. Read next: `resize.py` and `augment.py`,
the transforms themselves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from operator import index
from random import Random
from typing import Any

from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError
from wiggly.vision.colour import Curve
from wiggly.vision.geometry import BORDERS, Geometry

__all__ = [
    "ColourTransform",
    "GeometricTransform",
    "PadMode",
    "Size",
    "check",
    "check_pad_mode",
    "check_probability",
    "pair_of",
]

# Pixels of both sides, or (height, width).
Size = int | tuple[int, int]


class PadMode:
    """What lies outside a picture; plain strings do as well."""

    Zeros, Border, Reflection = "zeros", "border", "reflection"


class GeometricTransform(Transform):
    """A draw of a matrix; subclasses say which."""

    @abstractmethod
    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry | None:
        """The map for an image of `size` (height, width); None leaves it alone."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        movable = [v for v in values if hasattr(v, "moved")]
        start = random.getstate() if len(movable) > 1 else None
        drawn: dict[tuple[int, int], Geometry | None] = {}
        for value in movable:
            if value.size in drawn:
                continue
            if drawn and start is not None:  # a second picture of another size: the same draw on its own size
                random.setstate(start)
            drawn[value.size] = self.draw_geometry(random, value.size, train)
        if all(geometry is None for geometry in drawn.values()):
            return values
        return tuple(_moved(v, drawn[v.size]) if hasattr(v, "moved") else v for v in values)


def _moved(value: Any, geometry: Geometry | None) -> Any:
    return value if geometry is None else value.moved(geometry)


class ColourTransform(Transform):
    """A draw of a curve; subclasses say which."""

    @abstractmethod
    def draw_curve(self, random: Random) -> Curve | None:
        """The curve, or None to leave the image alone."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        curve = self.draw_curve(random) if train else None
        if curve is None:
            return values
        return tuple(v.recoloured(curve) if hasattr(v, "recoloured") else v for v in values)


def pair_of(size: Size | Sequence[int], name: str = "size") -> tuple[int, int]:
    """`(height, width)` from one number or two.

    Raises:
        ArgumentError: Not one or two whole numbers above 0.
    """
    try:
        pair = tuple(index(s) for s in (size if isinstance(size, Iterable) else (size, size)))
    except TypeError:
        pair = ()
    if len(pair) != 2 or min(pair) < 1:
        raise ArgumentError(
            f"`{name}` must be a number of pixels or (height, width)",
            f"it is {size!r}",
            f"Pass e.g. {name}=224.",
        )
    return pair[0], pair[1]


def check(condition: bool, rule: str, received: object, fix: str) -> None:
    """Raises an `ArgumentError` unless the condition holds."""
    if not condition:
        raise ArgumentError(rule, f"it is {received!r}", fix)


def check_probability(p: float, name: str = "p") -> None:
    """Raises an `ArgumentError` unless `p` is in [0, 1]."""
    check(0 <= p <= 1, f"`{name}` must be a probability", p, f"Pass {name} between 0 and 1.")


def check_pad_mode(pad_mode: str) -> None:
    """Raises an `ArgumentError` unless there is such a way to fill the outside."""
    modes = tuple(BORDERS)
    check(pad_mode in modes, f"`pad_mode` must be one of {modes}", pad_mode, "Choose one.")
