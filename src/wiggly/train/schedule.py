"""Schedules: plain functions from progress in [0, 1] to a value, and the callback that applies them.

In: what the user typed as a rate (a number, a slice, a list). Out: a rate for every parameter group at every
step. The one-cycle shape is from Smith & Topin, "Super-Convergence", arXiv:1708.07120, with half cosines for
its two legs. Read next: `optim.py`, whose groups they drive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback

__all__ = [
    "Rate",
    "Schedule",
    "Scheduler",
    "combine",
    "cosine",
    "exponential",
    "flat",
    "flat_scheduler",
    "one_cycle",
    "one_cycle_scheduler",
    "rates_for",
]

Schedule = Callable[[float], float]
Rate = float | slice | Sequence[float]


def flat(value: float) -> Schedule:
    """The same value throughout."""
    return lambda progress: value


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
            if progress < start + share:
                return schedule((progress - start) / share)
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
    if not 0 <= pct_start <= 1:
        raise ArgumentError(
            "`pct_start` must be in [0, 1]", f"it is {pct_start}", "Pass a share, e.g. pct_start=0.25."
        )
    return combine([pct_start, 1 - pct_start], [cosine(peak / div, peak), cosine(peak, peak / div_final)])


def rates_for(lr: Rate, n_groups: int) -> list[float]:
    """One learning rate per parameter group.

    Args:
        lr: A number for all groups; `slice(a, b)`: from a (first group) to b (last), evenly on a log scale;
            `slice(b)`: b for the last group and b / 10 for the others; or a list with one number per group.
        n_groups: Number of groups.

    Raises:
        ArgumentError: A rate is not a positive finite number, or a list has another length.

    Example:
        >>> rates_for(slice(1e-5, 1e-3), 3), rates_for(slice(1e-2), 3)
        ([1e-05, 0.0001, 0.001], [0.001, 0.001, 0.01])
    """
    if isinstance(lr, slice):
        rates = _spread(lr, n_groups)
    elif isinstance(lr, str) or not hasattr(lr, "__len__"):
        rates = [_number(lr)] * n_groups
    else:
        rates = [_number(rate) for rate in cast("Sequence[float]", lr)]
    if len(rates) != n_groups:
        raise ArgumentError(
            "a list of learning rates must have one number per parameter group",
            f"it has {len(rates)}, the model has {n_groups}",
            f"Pass {n_groups} numbers, one number for all, or slice(lowest, highest).",
        )
    return rates


def _spread(lr: Any, n_groups: int) -> list[float]:
    high = _number(lr.stop)
    if lr.start is None:
        return [high / 10] * (n_groups - 1) + [high]
    low = _number(lr.start)
    if n_groups == 1:
        return [high]
    spread = exponential(low, high)
    # Rounding to 15 digits: so that 1e-4 between 1e-5 and 1e-3 reads as 1e-4 in reports.
    return [float(f"{spread(i / (n_groups - 1)):.15g}") for i in range(n_groups)]


def _number(value: Any) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise ArgumentError(
            "a learning rate must be a positive number",
            f"got {value!r}",
            "Pass e.g. 1e-3, or slice(1e-5, 1e-3).",
        )
    return number


class Scheduler(Callback):
    """Sets rates and momentum before every training batch.

    Args:
        rates: One schedule per parameter group.
        momentum: Schedule of the momentum (beta1 of Adam); None leaves the optimizer's own.
        settings: What a report says about it; only JSON types.
    """

    order = -20

    def __init__(
        self,
        rates: Sequence[Schedule],
        momentum: Schedule | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.rates, self.momentum, self.settings = rates, momentum, dict(settings or {})

    def before_batch(self, state: State) -> None:
        if not state.training:
            return
        state.lrs = [rate(state.progress) for rate in self.rates]
        self.learner.opt.set_lrs(state.lrs)
        if self.momentum is not None:
            self.learner.opt.set_momentum(self.momentum(state.progress))


def flat_scheduler(peaks: Sequence[float]) -> Scheduler:
    """Constant rates, one per parameter group."""
    return Scheduler([flat(peak) for peak in peaks], settings={"schedule": "flat", "lr": list(peaks)})


def one_cycle_scheduler(
    peaks: Sequence[float], moms: tuple[float, float, float], div: float, div_final: float, pct_start: float
) -> Scheduler:
    """One cycle per parameter group, with momentum going the other way.

    Args:
        peaks: Highest rate of each group.
        moms: Momentum at start, peak and end.
        div: Rates start at their highest divided by this.
        div_final: They end at their highest divided by this.
        pct_start: Share of the steps on the way up.
    """
    rates = [one_cycle(peak, div, div_final, pct_start) for peak in peaks]
    high, low, end = moms
    momentum = combine([pct_start, 1 - pct_start], [cosine(high, low), cosine(low, end)])
    shape = {"div": div, "div_final": div_final, "pct_start": pct_start, "moms": list(moms)}
    return Scheduler(rates, momentum, {"schedule": "one_cycle", "lr": list(peaks), **shape})
