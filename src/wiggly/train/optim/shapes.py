"""Shapes of schedules: plain functions from progress in [0, 1] to a value.

In: start, end and whatever bends the way between. Out: a function. The one-cycle shape is from Smith & Topin,
"Super-Convergence", arXiv:1708.07120, with half cosines for its two legs; warm restarts are from Loshchilov &
Hutter, arXiv:1608.03983. Read next: `schedule.py`, which applies them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from wiggly.errors import ArgumentError

__all__ = [
    "SchedCos",
    "SchedExp",
    "SchedLin",
    "SchedNo",
    "SchedPoly",
    "Schedule",
    "combine",
    "combine_scheds",
    "combined_cos",
    "cosine",
    "exponential",
    "flat",
    "flat_cosine",
    "linear",
    "one_cycle",
    "polynomial",
    "warm_restarts",
]

Schedule = Callable[[float], float]
# Steps lie further apart than this, and sums of shares closer to where they should be.
NO_TIME = 1e-9


def flat(value: float) -> Schedule:
    """The same value throughout."""
    return lambda progress: value


def linear(start: float, end: float) -> Schedule:
    """From `start` to `end` by the same amount per step."""
    return lambda progress: start + (end - start) * progress


def cosine(start: float, end: float) -> Schedule:
    """From `start` to `end` along half a cosine.

    Example:
        >>> [round(cosine(0.0, 1.0)(p), 3) for p in (0, 0.25, 0.5, 1)]
        [0.0, 0.146, 0.5, 1.0]
    """
    return lambda progress: start + (end - start) * (1 - math.cos(math.pi * progress)) / 2


def exponential(start: float, end: float) -> Schedule:
    """From `start` to `end` by a constant factor per step, both above 0."""
    return lambda progress: start * (end / start) ** progress


def polynomial(start: float, end: float, power: float) -> Schedule:
    """From `start` to `end` as progress to the power of `power`; 1 is `linear`.

    Example:
        >>> polynomial(0.0, 1.0, power=2)(0.5)
        0.25
    """
    return lambda progress: start + (end - start) * progress**power


def combine(shares: Sequence[float], schedules: Sequence[Schedule]) -> Schedule:
    """Schedules one after the other.

    Args:
        shares: Part of the whole that each one takes; they add up to 1.
        schedules: As many schedules.

    Raises:
        ArgumentError: The numbers differ, a share is negative, or they do not add up to 1.

    Example:
        >>> combine([0.5, 0.5], [flat(1.0), flat(2.0)])(0.5)
        2.0
    """
    if len(shares) != len(schedules) or min(shares, default=-1) < 0 or not math.isclose(sum(shares), 1):
        raise ArgumentError(
            "`shares` must be one number per schedule, none negative, adding up to 1",
            f"got {list(shares)} for {len(schedules)} schedules",
            "Pass e.g. combine([0.25, 0.75], [first, second]).",
        )

    def value(progress: float) -> float:
        start = 0.0
        for share, schedule in zip(shares, schedules, strict=True):
            if progress < start + share - NO_TIME:
                return schedule(max(progress - start, 0.0) / share)
            start += share
        return schedules[-1](1.0)

    return value


def one_cycle(peak: float, div: float, div_final: float, pct_start: float) -> Schedule:
    """Up from `peak / div` to `peak`, then down to `peak / div_final`, each along half a cosine.

    Args:
        peak: Highest value.
        div: Start is `peak / div`; 25 by default of `fit_one_cycle`.
        div_final: End is `peak / div_final`.
        pct_start: Share of the steps on the way up, in [0, 1].

    Example:
        >>> rate = one_cycle(1e-3, div=25, div_final=1e5, pct_start=0.25)
        >>> [float(f"{rate(p):.3g}") for p in (0, 0.25, 1)]
        [4e-05, 0.001, 1e-08]
    """
    _check_share(pct_start)
    _check_divisors(div=div, div_final=div_final)
    return combine([pct_start, 1 - pct_start], [cosine(peak / div, peak), cosine(peak, peak / div_final)])


def flat_cosine(value: float, div_final: float, pct_start: float) -> Schedule:
    """`value` for a share of the steps, then down to `value / div_final` along half a cosine.

    Args:
        value: Highest value.
        div_final: End is `value / div_final`.
        pct_start: Share of the steps before the way down, in [0, 1].

    Example:
        >>> rate = flat_cosine(1e-3, div_final=1e5, pct_start=0.75)
        >>> [float(f"{rate(p):.3g}") for p in (0, 0.75, 1)]
        [0.001, 0.001, 1e-08]
    """
    _check_share(pct_start)
    _check_divisors(div_final=div_final)
    return combine([pct_start, 1 - pct_start], [flat(value), cosine(value, value / div_final)])


def warm_restarts(peak: float, n_cycles: int, cycle_mult: int = 2) -> Schedule:
    """Cycles from `peak` down to 0 along half a cosine, each `cycle_mult` times as long as the one before.

    Args:
        peak: Highest value.
        n_cycles: Cycles.
        cycle_mult: How the cycles grow.

    Example:
        >>> rate = warm_restarts(1.0, n_cycles=2, cycle_mult=2)
        >>> [round(rate(step / 6), 3) for step in range(6)]
        [1.0, 0.5, 1.0, 0.854, 0.5, 0.146]
    """
    lengths = [cycle_mult**cycle for cycle in range(n_cycles)]
    return combine([length / sum(lengths) for length in lengths], [cosine(peak, 0.0)] * n_cycles)


def combined_cos(pct: float, start: float, middle: float, end: float) -> Schedule:
    """From `start` to `middle` in the share `pct`, then to `end`, each along half a cosine."""
    _check_share(pct)
    return combine([pct, 1 - pct], [cosine(start, middle), cosine(middle, end)])


# The names that readers of the course know.
SchedLin, SchedCos, SchedExp, SchedPoly, combine_scheds = linear, cosine, exponential, polynomial, combine


def SchedNo(start: float, end: float) -> Schedule:
    """`start` throughout; `end` is there because the other shapes have one."""
    return flat(start)


def _check_share(pct_start: Any) -> None:
    if isinstance(pct_start, str) or not 0 <= pct_start <= 1:
        raise ArgumentError(
            "`pct_start` must be in [0, 1]", f"it is {pct_start!r}", "Pass a share, e.g. pct_start=0.25."
        )


def _check_divisors(**divisors: Any) -> None:
    for name, divisor in divisors.items():
        if isinstance(divisor, str) or not (math.isfinite(divisor) and divisor > 0):
            raise ArgumentError(
                f"`{name}` must be above 0, as the rate is divided by it",
                f"it is {divisor!r}",
                f"Pass e.g. {name}={25 if name == 'div' else 1e5:g}.",
            )
