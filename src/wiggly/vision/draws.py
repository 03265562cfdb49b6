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
        at = [k for k, value in enumerate(values) if hasattr(value, "moved")]
        if len(at) == 1:  # nearly always: one picture and a label
            k, value = at[0], values[at[0]]
            geometry = self.draw_geometry(random, value.size, train)
            return values if geometry is None else (*values[:k], value.moved(geometry), *values[k + 1 :])
        return self._apply_to_several(values, at, random, train)

    def _apply_to_several(
        self, values: tuple[Any, ...], at: Sequence[int], random: Random, train: bool
    ) -> tuple[Any, ...]:
        """The same draw for all; for a picture of another size it is made again from the same state."""
        start = random.getstate()
        drawn: dict[tuple[int, int], Geometry | None] = {}
        for size in dict.fromkeys(values[k].size for k in at):
            random.setstate(start)
            drawn[size] = self.draw_geometry(random, size, train)
        changed = list(values)
        for k in at:
            geometry = drawn[values[k].size]
            changed[k] = values[k] if geometry is None else values[k].moved(geometry)
        return tuple(changed)


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
