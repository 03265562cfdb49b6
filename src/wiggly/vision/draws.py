"""What a transform draws: a matrix or a colour step, applied to every value of a sample that can be changed
so.

In: a generator and an image's size. Out: values with one more step. A transform of your own derives from
`GeometricTransform` or `ColourTransform`, or from `Transform` itself. Read next: `resize.py`, `augment.py`
and `lighting.py`, the transforms themselves.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from operator import index
from random import Random
from typing import Any

from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError
from wiggly.vision.colour import ColourStep
from wiggly.vision.geometry import BORDERS, Geometry

__all__ = [
    "ColourTransform",
    "GeometricTransform",
    "PadMode",
    "Size",
    "check",
    "check_count",
    "check_max_lighting",
    "check_pad_mode",
    "check_probability",
    "moved",
    "pair_of",
    "recoloured",
]

# Pixels of both sides, or (height, width).
Size = int | tuple[int, int]


class PadMode:
    """What lies outside a picture; plain strings do as well."""

    Zeros, Border, Reflection = "zeros", "border", "reflection"


class GeometricTransform(Transform):
    """A draw of a matrix; subclasses say which.

    Example:
        >>> from dataclasses import dataclass
        >>> from wiggly.vision.geometry import translation
        >>> @dataclass(frozen=True, repr=False)
        ... class Shift(GeometricTransform):
        ...     pixels: float = 10.0
        ...     def draw_geometry(self, random, size, train):
        ...         if not train:
        ...             return None
        ...         return Geometry(translation(random.uniform(0, self.pixels), 0), size, "zeros")
        >>> Shift(5.0).draw_geometry(Random(0), (30, 40), train=False)
    """

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
        drawn: dict[tuple[int, int], Geometry | None] = dict.fromkeys(values[k].size for k in at)
        # Nearly always there is one size, and the generator's state, 625 numbers, is dear to save.
        start = random.getstate() if len(drawn) > 1 else None
        for size in drawn:
            if start is not None:
                random.setstate(start)
            drawn[size] = self.draw_geometry(random, size, train)
        changed = list(values)
        for k in at:
            geometry = drawn[values[k].size]
            changed[k] = values[k] if geometry is None else values[k].moved(geometry)
        return tuple(changed)


class ColourTransform(Transform):
    """A draw of a colour step in training; subclasses say which."""

    @abstractmethod
    def draw_curve(self, random: Random) -> ColourStep | None:
        """A curve on grey levels in [0, 1], a matrix or another step of `colour.py`; None leaves the image
        alone."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        step = self.draw_curve(random) if train else None
        return values if step is None else recoloured(values, step)


def moved(values: tuple[Any, ...], make: Callable[[tuple[int, int]], Geometry]) -> tuple[Any, ...]:
    """Values with one more geometric step, made for the size of each."""
    return tuple(v.moved(make(v.size)) if hasattr(v, "moved") else v for v in values)


def recoloured(values: tuple[Any, ...], step: ColourStep) -> tuple[Any, ...]:
    """Values with one more colour step."""
    return tuple(v.recoloured(step) if hasattr(v, "recoloured") else v for v in values)


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


def check_count(n: int, name: str) -> None:
    """Raises an `ArgumentError` unless it is a whole number above 0."""
    fits = hasattr(n, "__index__") and n >= 1
    check(fits, f"`{name}` must be a whole number from 1 on", n, f"Pass e.g. {name}=1.")


def check_probability(p: float, name: str = "p") -> None:
    """Raises an `ArgumentError` unless `p` is in [0, 1]."""
    check(0 <= p <= 1, f"`{name}` must be a probability", p, f"Pass {name} between 0 and 1.")


def check_max_lighting(max_lighting: float) -> None:
    """Raises an `ArgumentError` unless it is in [0, 1)."""
    check(0 <= max_lighting < 1, "`max_lighting` must be in [0, 1)", max_lighting, "Pass e.g. 0.2.")


def check_pad_mode(pad_mode: str) -> None:
    """Raises an `ArgumentError` unless there is such a way to fill the outside."""
    modes = tuple(BORDERS)
    check(pad_mode in modes, f"`pad_mode` must be one of {modes}", pad_mode, "Choose one.")
