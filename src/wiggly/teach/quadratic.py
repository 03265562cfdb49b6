"""Fit by hand: a quadratic, how far it is from points, and which way to turn each of its three numbers.

In: points and a, b, c. Out: the loss and its slopes. The page computes the same
(`web/widgets/src/core/quadratic.ts`). Read next: `relus.py`, where the function has more than three numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from wiggly.errors import DataError
from wiggly.teach.explorable import Explorable

__all__ = ["distance", "fit_by_hand", "quadratic", "slopes"]

LossName = Literal["square", "absolute"]
FEWEST_POINTS = 3  # fewer leave the best quadratic open


def quadratic(x: np.ndarray, abc: np.ndarray) -> np.ndarray:
    """`a·x² + b·x + c`.

    Example:
        >>> quadratic(np.array([0.0, 1.0, 2.0]), np.array([3.0, 2.0, 1.0]))
        array([ 1.,  6., 17.])
    """
    return abc[0] * x**2 + abc[1] * x + abc[2]


def distance(abc: np.ndarray, x: np.ndarray, y: np.ndarray, kind: LossName = "square") -> float:
    """The loss: the mean of the squared, or of the absolute, errors.

    Args:
        abc: The three numbers, `(3,)`.
        x: Places of the points, `(n,)`.
        y: Their heights, `(n,)`.
        kind: Which mean.
    """
    error = quadratic(x, abc) - y
    return float((error**2).mean() if kind == "square" else np.abs(error).mean())


def slopes(abc: np.ndarray, x: np.ndarray, y: np.ndarray, kind: LossName = "square") -> np.ndarray:
    """The gradient: how much the loss changes per unit of a, of b and of c, `(3,)`.

    Args:
        abc: The three numbers, `(3,)`.
        x: Places of the points, `(n,)`.
        y: Their heights, `(n,)`.
        kind: Which mean.
    """
    error = quadratic(x, abc) - y
    outer = 2 * error if kind == "square" else np.sign(error)
    return np.stack([x**2, x, np.ones_like(x)]) @ outer / len(x)


def fit_by_hand(x: Sequence[float] | None = None, y: Sequence[float] | None = None) -> Explorable:
    """The explorable: three sliders, points, a loss.

    Args:
        x: Places of your own points; None takes twenty points of a noisy quadratic.
        y: Their heights.

    Raises:
        DataError: There are fewer than three different x, or x and y differ in length.

    Example:
        >>> fit_by_hand([0, 1, 2, 3], [1.0, 0.2, 0.9, 4.1])
        Fit by hand: an explorable. ...
    """
    code = (quadratic, distance, slopes)
    if x is None and y is None:
        return Explorable("fit-by-hand", code=code)
    places, heights = [[float(value) for value in each or ()] for each in (x, y)]
    if len(places) != len(heights) or len(set(places)) < FEWEST_POINTS:
        raise DataError(
            "a quadratic needs points with three different x at least, and a y for each",
            f"there are {len(places)} x and {len(heights)} y",
            "Pass both as lists of numbers of the same length.",
        )
    return Explorable("fit-by-hand", {"points": {"x": places, "y": heights}}, code)
