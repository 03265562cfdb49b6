"""Symmetries as draws: `Flip` and `Dihedral`, exact to the bit.

In: the values of a sample. Out: the same values with one more step, in training. Read next: `augment.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import ClassVar

import numpy as np

from wiggly.vision.draws import GeometricTransform, check, check_probability
from wiggly.vision.geometry import Geometry, scaling, scaling_around

__all__ = ["Dihedral", "DihedralItem", "Flip", "FlipItem"]


@dataclass(frozen=True, repr=False)
class Flip(GeometricTransform):
    """Mirrors left and right.

    Args:
        p: Probability.
        vertical: Mirror top and bottom instead.
    """

    p: float = 0.5
    vertical: bool = False

    def __post_init__(self) -> None:
        check_probability(self.p)

    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry | None:
        if not train or random.random() >= self.p:
            return None
        h, w = size
        x, y = (1.0, -1.0) if self.vertical else (-1.0, 1.0)
        return Geometry(scaling_around(x, y, w / 2, h / 2), size)


FlipItem = Flip

# The eight symmetries of a square as (x, y, 1) -> target pixels for a picture of width w and height h:
# factors of x, y, w and h in the target's x, and in its y. Number 0 leaves it, number k + 1 is Pillow's
# `Image.Transpose` k.
_SYMMETRIES = (
    ((1, 0, 0, 0), (0, 1, 0, 0)),
    ((-1, 0, 1, 0), (0, 1, 0, 0)),  # left and right swapped
    ((1, 0, 0, 0), (0, -1, 0, 1)),  # top and bottom swapped
    ((0, 1, 0, 0), (-1, 0, 1, 0)),  # a quarter turn, counter-clockwise
    ((-1, 0, 1, 0), (0, -1, 0, 1)),  # half a turn
    ((0, -1, 0, 1), (1, 0, 0, 0)),  # three quarters
    ((0, 1, 0, 0), (1, 0, 0, 0)),  # mirrored at the falling diagonal
    ((0, -1, 0, 1), (-1, 0, 1, 0)),  # mirrored at the rising diagonal
)
_UPRIGHT = (0, 1, 2, 4)  # those that keep a rectangle's sides


def _symmetry(number: int, size: tuple[int, int]) -> Geometry:
    """The symmetry as a map; a quarter turn swaps height and width."""
    h, w = size
    rows = [(float(a), float(b), float(c * w + d * h)) for a, b, c, d in _SYMMETRIES[number]]
    return Geometry(np.array([*rows, (0.0, 0.0, 1.0)]), size if number in _UPRIGHT else (w, h))


@dataclass(frozen=True, repr=False)
class Dihedral(GeometricTransform):
    """One of the eight symmetries of a square, for pictures without an up and down (from satellites and
    microscopes); exact to the bit.

    The size stays. A picture that is not square therefore gets one of the four symmetries of a rectangle,
    unless `draw` asks for a quarter turn, which is then stretched. `DihedralItem` swaps the sides instead.

    Args:
        p: Probability.
        draw: A fixed symmetry instead of a drawn one: 0 leaves the picture alone, k + 1 is Pillow's
            `Image.Transpose` number k.

    Example:
        >>> Dihedral(p=1.0, draw=3).draw_geometry(Random(0), (30, 30), train=True).points([[30, 0]]).tolist()
        [[0.0, 0.0]]
    """

    p: float = 0.5
    draw: int | None = None
    split_idx: ClassVar[int] = 0

    def __post_init__(self) -> None:
        check_probability(self.p)
        fits = self.draw is None or self.draw in range(len(_SYMMETRIES))
        check(fits, "`draw` must be a number from 0 to 7", self.draw, "Leave it out to draw one.")

    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry | None:
        if not train or random.random() >= self.p:
            return None
        # Drawn from eight whatever the size, so that two pictures of one sample stay together.
        number = random.randrange(len(_SYMMETRIES)) if self.draw is None else self.draw
        return self._fitted(number, size)

    def _fitted(self, number: int, size: tuple[int, int]) -> Geometry:
        square = size[0] == size[1]
        if self.draw is None and not square:
            number = _UPRIGHT[number % 4]
        turned = _symmetry(number, size)
        if turned.size == size:
            return turned
        stretched = scaling(size[1] / turned.size[1], size[0] / turned.size[0])
        return turned.then(Geometry(stretched, size))


@dataclass(frozen=True, repr=False)
class DihedralItem(Dihedral):
    """Like `Dihedral`, but a quarter turn swaps height and width: use it before `Resize`.

    Args:
        p: Probability.
        draw: A fixed symmetry instead of a drawn one.

    Example:
        >>> DihedralItem(draw=3).draw_geometry(Random(0), (30, 40), train=True).size
        (40, 30)
    """

    p: float = 1.0

    def _fitted(self, number: int, size: tuple[int, int]) -> Geometry:
        return _symmetry(number, size)
