"""Sum of ReLUs: hinges that add up to a wiggly function, and how gradient descent places them.

In: where hinges are and how far each bends. Out: the function, its loss against a curve, one step of Adam.
The page computes the same (`web/widgets/src/core/relus.ts`). Read next: `descent.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from wiggly.errors import DataError
from wiggly.teach.explorable import Explorable

__all__ = ["Hinges", "Moments", "adam_step", "fold", "loss_and_gradient", "relu_sum", "sum_of_relus"]

# A hinge's position may move this much less in a step than its bend: moved as fast, hinges run into each
# other before they are bent, and stay together.
POSITION_SHARE = 0.05


@dataclass(frozen=True)
class Hinges:
    """A network with one layer of ReLUs, as a person sees it.

    Attributes:
        bias: The height where no hinge has bent yet.
        positions: Where each hinge bends, `(k,)`.
        bends: By how much it changes the slope there, `(k,)`.
    """

    bias: float
    positions: np.ndarray
    bends: np.ndarray


@dataclass(frozen=True)
class Moments:
    """Adam's memory: mean and mean square of the gradient, in the order bias, positions, bends."""

    steps: int
    mean: np.ndarray
    square: np.ndarray

    @classmethod
    def none(cls, k: int) -> Moments:
        """Before the first step, for `k` hinges."""
        return cls(0, np.zeros(1 + 2 * k), np.zeros(1 + 2 * k))


def relu_sum(x: np.ndarray, hinges: Hinges) -> np.ndarray:
    """Adds up hinges: `bias + Σ bend · relu(x − position)`.

    Args:
        x: Where to compute it, `(n,)`.
        hinges: The hinges.

    Example:
        >>> relu_sum(np.array([0.0, 1.0, 2.0]), Hinges(1.0, np.array([1.0]), np.array([-3.0])))
        array([ 1.,  1., -2.])
    """
    right_of_hinge = np.maximum(x[:, None] - hinges.positions, 0)  # (n, k)
    return hinges.bias + right_of_hinge @ hinges.bends


def loss_and_gradient(x: np.ndarray, y: np.ndarray, hinges: Hinges) -> tuple[float, np.ndarray]:
    """The mean square error against a curve, and its gradient in the order bias, positions, bends.

    Args:
        x: Places on the curve, `(n,)`.
        y: Its heights there, `(n,)`.
        hinges: The hinges.

    Returns:
        The loss and the gradient, `(1 + 2k,)`.
    """
    distance = x[:, None] - hinges.positions
    error = relu_sum(x, hinges) - y
    by_position = -(error[:, None] * (distance > 0)).mean(0) * hinges.bends
    by_bend = (error[:, None] * np.maximum(distance, 0)).mean(0)
    gradient = 2 * np.concatenate([[error.mean()], by_position, by_bend])
    return float((error**2).mean()), gradient


def adam_step(
    x: np.ndarray, y: np.ndarray, hinges: Hinges, moments: Moments, lr: float
) -> tuple[Hinges, Moments]:
    """One step of Adam on all the numbers of the hinges (Kingma & Ba, arXiv:1412.6980).

    Args:
        x: Places on the curve, `(n,)`.
        y: Its heights there, `(n,)`.
        hinges: The hinges before.
        moments: Adam's memory before.
        lr: Learning rate of bias and bends; positions take `POSITION_SHARE` of it.
    """
    _, gradient = loss_and_gradient(x, y, hinges)
    k, steps = len(hinges.bends), moments.steps + 1
    mean = 0.9 * moments.mean + 0.1 * gradient
    square = 0.999 * moments.square + 0.001 * gradient**2
    rates = lr * np.concatenate([[1.0], np.full(k, POSITION_SHARE), np.ones(k)])
    step = rates * (mean / (1 - 0.9**steps)) / (np.sqrt(square / (1 - 0.999**steps)) + 1e-8)
    after = np.concatenate([[hinges.bias], hinges.positions, hinges.bends]) - step
    moved = Hinges(float(after[0]), after[1 : 1 + k], after[1 + k :])
    return moved, Moments(steps, mean, square)


def fold(x: np.ndarray, depth: int) -> np.ndarray:
    """A line folded `depth` times by layers of two ReLUs: 2 to the power of `depth` straight pieces.

    The construction is Telgarsky's, "Representation benefits of deep feedforward networks", arXiv:1509.08101.

    Example:
        >>> fold(np.array([0.0, 0.25, 0.5, 0.75, 1.0]), 2)
        array([0., 1., 0., 1., 0.])
    """
    for _ in range(depth):
        x = 2 * np.maximum(x, 0) - 4 * np.maximum(x - 0.5, 0)
    return x


def sum_of_relus(x: Sequence[float] | None = None, y: Sequence[float] | None = None) -> Explorable:
    """The explorable: hinges that a hand or gradient descent bends until they match a curve.

    Args:
        x: Where a curve of your own was measured; None counts 0, 1, 2, ...
        y: Its values; None begins with a wave. The page stretches the curve to fill its axes.

    Raises:
        DataError: The curve has fewer than two places, or x and y differ in length.

    Example:
        >>> sum_of_relus(y=[3, 1, 4, 1, 5])
        Sum of relus: an explorable. ...
    """
    code = (relu_sum, loss_and_gradient, adam_step)
    if y is None:
        return Explorable("sum-of-relus", code=code)
    heights = [float(value) for value in y]
    places = [float(value) for value in (range(len(heights)) if x is None else x)]
    if len(places) != len(heights) or len(set(places)) < 2:
        raise DataError(
            "a curve needs as many x as y, and two different x at least",
            f"there are {len(places)} x and {len(heights)} y",
            "Pass both as lists of numbers of the same length.",
        )
    pairs = sorted(zip(places, heights, strict=True))
    curve = {"x": [place for place, _ in pairs], "y": [height for _, height in pairs]}
    return Explorable("sum-of-relus", {"curve": curve}, code)
