"""How good is it really: a share with its interval, beside the answer that needs no model.

In: counts, or the actual and predicted class of every item. Out: intervals, p-values, a `Score`. Arrays and
numbers only, no learner. Read next: `classification.py`, which calls it, and `report.py`, which says it in a
sentence.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, lgamma, log, sqrt
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError

__all__ = [
    "Interval",
    "Score",
    "calibration_error",
    "mcnemar_p",
    "paired_interval",
    "score_against",
    "wilson_interval",
]


class Interval(NamedTuple):
    """Lower and upper end of a confidence interval."""

    low: float
    high: float


def wilson_interval(right: int, n: int, level: float = 0.95) -> Interval:
    """Confidence interval of a share `right / n`.

    Wilson's score interval: unlike share ± 1.96 standard errors it stays inside [0, 1] and keeps its promise
    for few items and for shares near 0 or 1.

    Args:
        right: Number of successes, 0 to `n`.
        n: Number of trials, at least 1.
        level: Coverage in (0, 1); 0.95 because readers expect it.

    Returns:
        The interval as shares in [0, 1].

    Raises:
        ArgumentError: `n` is 0, or `right` is outside 0 to `n`.

    Source: E. B. Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22
    (1927), 209-212; recommended by Brown, Cai and DasGupta, Statistical Science 16 (2001), 101-133.

    Example:
        >>> low, high = wilson_interval(81, 263)
        >>> round(low, 4), round(high, 4)
        (0.2553, 0.3662)
    """
    if n < 1:
        raise ArgumentError("a share needs at least 1 item", f"`n` is {n}", "Score a set that has items.")
    if not 0 <= right <= n:
        raise ArgumentError(
            "`right` must lie between 0 and `n`", f"it is {right} of {n}", "Check the counts."
        )
    z = NormalDist().inv_cdf((1 + level) / 2)
    share = right / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    reach = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # At the two ends the formula is exactly 0 or 1; rounding would leave 1e-17 there.
    low = 0.0 if right == 0 else max(0.0, centre - reach)
    high = 1.0 if right == n else min(1.0, centre + reach)
    return Interval(low, high)


def mcnemar_p(only_first: int, only_second: int) -> float:
    """Chance of so uneven a split if two classifiers were equally good on the items where just one is right.

    Args:
        only_first: Items that the first alone gets right, at least 0.
        only_second: Items that the second alone gets right, at least 0.

    Returns:
        The exact two-sided p-value in [0, 1]; 1 when they never differ.

    Source: Q. McNemar, Psychometrika 12 (1947), 153-157, in its exact binomial form (a sign test).

    Example:
        >>> mcnemar_p(8, 2)
        0.109375
    """
    n, fewer = only_first + only_second, min(only_first, only_second)
    logs = [lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) - n * log(2) for k in range(fewer + 1)]
    top = max(logs)  # log-sum-exp: 0.5 ** n alone underflows from n = 1,075
    p = min(1.0, 2 * exp(top) * sum(exp(value - top) for value in logs))
    return float(f"{p:.12g}")  # lgamma is good to about 13 digits; the rest is noise


def paired_interval(
    both: int, only_first: int, only_second: int, neither: int, level: float = 0.95
) -> Interval:
    """Confidence interval of the difference of two shares that were measured on the same items.

    Args:
        both: Items that both get right.
        only_first: Items that the first alone gets right.
        only_second: Items that the second alone gets right.
        neither: Items that both get wrong.
        level: Coverage in (0, 1).

    Returns:
        The interval of (share of the first - share of the second), within [-1, 1].

    Raises:
        ArgumentError: All four counts are 0.

    Source: R. G. Newcombe, "Improved confidence intervals for the difference between binomial proportions
        based on
    paired data", Statistics in Medicine 17 (1998), 2635-2650, method 10.

    Example:
        >>> low, high = paired_interval(20, 12, 2, 16)
        >>> round(low, 3), round(high, 3)
        (0.056, 0.329)
    """
    n = both + only_first + only_second + neither
    first, second = both + only_first, both + only_second
    low_1, high_1 = wilson_interval(first, n, level)
    low_2, high_2 = wilson_interval(second, n, level)
    share_1, share_2 = first / n, second / n
    margins = first * (n - first) * second * (n - second)
    cross = both * neither - only_first * only_second
    if cross > 0:  # the paper's continuity correction of phi
        cross = max(cross - n / 2, 0.0)
    phi = cross / sqrt(margins) if margins else 0.0
    down_1, up_1, down_2, up_2 = share_1 - low_1, high_1 - share_1, share_2 - low_2, high_2 - share_2
    below = sqrt(max(0.0, down_1**2 - 2 * phi * down_1 * up_2 + up_2**2))
    above = sqrt(max(0.0, up_1**2 - 2 * phi * up_1 * down_2 + down_2**2))
    gain = share_1 - share_2
    return Interval(max(-1.0, gain - below), min(1.0, gain + above))


def calibration_error(confidence: npt.NDArray[Any], right: npt.NDArray[Any], bins: int = 15) -> float:
    """Expected calibration error: how far "90 % sure" is from "right 90 % of the time".

    Items are sorted into equal bins of confidence; the answer is the mean over the items of
    |mean confidence - share right| of their bin. With few items per bin it is biased upwards.

    Args:
        confidence: Probability of the predicted class of each item, shape `(n,)`, in [0, 1].
        right: Whether the prediction is right, shape `(n,)`.
        bins: Number of bins; 15 as in the paper.

    Returns:
        The error in [0, 1]; 0 is perfect.

    Raises:
        ArgumentError: No items, or not as many of `right` as of `confidence`.

    Source: Naeini, Cooper and Hauskrecht, AAAI 2015; 15 bins: Guo et al., "On calibration of modern neural
    networks", ICML 2017.

    Example:
        >>> round(calibration_error(np.array([0.9, 0.9, 0.6, 0.6]), np.array([1, 1, 1, 0])), 3)
        0.1
    """
    if len(confidence) == 0 or len(confidence) != len(right):
        received = f"there are {len(confidence)} and {len(right)}"
        raise ArgumentError(
            "`confidence` and `right` need equally many items, at least 1", received, "Check both."
        )
    # Bins are open on the left, (0, 1/15], as in the paper, so that probability 1 needs no bin of its own.
    which = np.clip(
        np.ceil(np.asarray(confidence, dtype=np.float64) * bins).astype(np.int64) - 1, 0, bins - 1
    )
    surplus = np.bincount(which, weights=confidence, minlength=bins) - np.bincount(
        which, weights=right, minlength=bins
    )
    return float(np.abs(surplus).sum() / len(confidence))


@dataclass(frozen=True, slots=True)
class Score:
    """Accuracy beside "always answer the most frequent training class", on the same items.

    Attributes:
        n: Items scored.
        right: Items the model gets right.
        baseline_right: Items the constant answer gets right.
        interval: 95 % Wilson interval of the model's accuracy.
        baseline_interval: The same of the constant answer.
        gain_interval: 95 % interval of the difference of the two accuracies, paired.
        p_value: Exact McNemar test of the two against each other.
    """

    n: int
    right: int
    baseline_right: int
    interval: Interval
    baseline_interval: Interval
    gain_interval: Interval
    p_value: float

    @property
    def accuracy(self) -> float:
        """Share of items the model gets right."""
        return self.right / self.n

    @property
    def baseline(self) -> float:
        """Share of items the constant answer gets right."""
        return self.baseline_right / self.n

    @property
    def gain(self) -> float:
        """Accuracy minus baseline, in [-1, 1]."""
        return (self.right - self.baseline_right) / self.n

    @property
    def better(self) -> bool:
        """Whether the model beats the constant answer by more than chance explains (p < 0.05)."""
        return self.gain > 0 and self.p_value < 0.05


def score_against(actual: npt.NDArray[Any], predicted: npt.NDArray[Any], majority: int) -> Score:
    """Score predictions beside the constant answer `majority`.

    Args:
        actual: Class index of each item, shape `(n,)`, n at least 1.
        predicted: Predicted class index, shape `(n,)`.
        majority: The class that is most frequent in training.

    Returns:
        The `Score`.

    Raises:
        ArgumentError: There are no items.

    Example:
        >>> result = score_against(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), majority=0)
        >>> result.accuracy, result.baseline, result.better
        (0.75, 0.5, False)
    """
    model, constant = predicted == actual, actual == majority
    both, only_model = int((model & constant).sum()), int((model & ~constant).sum())
    only_constant, neither = int((~model & constant).sum()), int((~model & ~constant).sum())
    n, right, baseline_right = len(actual), both + only_model, both + only_constant
    return Score(
        n=n,
        right=right,
        baseline_right=baseline_right,
        interval=wilson_interval(right, n),
        baseline_interval=wilson_interval(baseline_right, n),
        gain_interval=paired_interval(both, only_model, only_constant, neither),
        p_value=mcnemar_p(only_model, only_constant),
    )
