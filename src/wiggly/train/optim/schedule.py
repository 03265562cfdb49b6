"""Schedules at work: the callbacks that set rates, momentum and weight decay before every training batch.

In: what the user typed as a rate (a number, a slice, a list), shapes (`shapes.py`), or a function of the
step. Out: a rate for every parameter group at every step. Nothing is kept between steps, so a fit that goes
on after a kill has the same rates. Read next: `base.py`, whose groups they drive.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsFloat, cast

import torch
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.optim.shapes import (
    Schedule,
    combined_cos,
    exponential,
    flat,
    flat_cosine,
    one_cycle,
    warm_restarts,
)

__all__ = [
    "ParamScheduler",
    "Rate",
    "Scheduler",
    "StepSchedule",
    "StepScheduler",
    "flat_cosine_scheduler",
    "flat_scheduler",
    "one_cycle_scheduler",
    "rates_for",
    "restarts_scheduler",
    "torch_schedule",
]

Rate = float | slice | Sequence[float]
StepSchedule = Callable[[int], Rate]


def rates_for(lr: Rate, n_groups: int, lowest: float | None = None) -> list[float]:
    """One learning rate per parameter group.

    Args:
        lr: A number for all groups; `slice(a, b)`: from a (first group) to b (last), evenly on a log scale;
            `slice(b)`: b for the last group and b / 10 for the others; or a list with one number per group.
        n_groups: Number of groups.
        lowest: A rate may be as low as this; None wants it above 0.

    Raises:
        ArgumentError: A rate is not a positive finite number, or a list has another length.

    Example:
        >>> rates_for(slice(1e-5, 1e-3), 3), rates_for(slice(1e-2), 3)
        ([1e-05, 0.0001, 0.001], [0.001, 0.001, 0.01])
    """
    if isinstance(lr, slice):
        rates = _spread(lr, n_groups)
    elif isinstance(lr, str) or not hasattr(lr, "__getitem__") or getattr(lr, "ndim", 1) == 0:
        rates = [_number(lr, lowest)] * n_groups
    else:
        rates = [_number(rate, lowest) for rate in cast("Sequence[float]", lr)]
    if len(rates) != n_groups:
        raise ArgumentError(
            "a list of learning rates must have one number per parameter group",
            f"it has {len(rates)}, the model has {n_groups}",
            f"Pass {n_groups} numbers, one number for all, or slice(lowest, highest).",
        )
    return rates


def _spread(lr: Any, n_groups: int) -> list[float]:
    if lr.step is not None:
        raise ArgumentError(
            "a slice of learning rates must have one or two numbers", f"got {lr!r}", "Pass slice(1e-5, 1e-3)."
        )
    high = _number(lr.stop)
    if lr.start is None:
        return [high / 10] * (n_groups - 1) + [high]
    low = _number(lr.start)
    if n_groups == 1:
        return [high]
    spread = exponential(low, high)
    # Rounding to 15 digits: so that 1e-4 between 1e-5 and 1e-3 reads as 1e-4 in reports.
    return [float(f"{spread(i / (n_groups - 1)):.15g}") for i in range(n_groups)]


def _number(value: Any, lowest: float | None = None) -> float:
    try:
        number = math.nan if isinstance(value, str | bool) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):  # RuntimeError: a tensor of several numbers
        number = math.nan
    if not (math.isfinite(number) and (number > 0 if lowest is None else number >= lowest)):
        given = f"a function, {value!r}" if callable(value) else repr(value)
        raise ArgumentError(
            "a learning rate must be a positive number",
            f"got {given}",
            "Pass e.g. 1e-3, or slice(1e-5, 1e-3). A function of the step is passed to `fit` as `schedule`.",
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
        state.lrs = self.rates_at(state)
        self.learner.opt.set_lrs(state.lrs)
        if self.momentum is not None:
            self.learner.opt.set_momentum(self.momentum(state.progress))

    def rates_at(self, state: State) -> list[float]:
        """The rate of each parameter group at this step."""
        return [rate(state.progress) for rate in self.rates]


class StepScheduler(Scheduler):
    """Sets the rates that a function of the optimizer step gives.

    Args:
        schedule: Takes the number of steps done, from 0; returns a rate: a number for all groups, a slice or
            a list, as `lr` of `fit`; 0 is allowed here.
        n_groups: Number of parameter groups.
        first_step: Steps that count as done when the fit begins.

    Raises:
        ArgumentError: What it gives for the first step is no rate.
    """

    def __init__(self, schedule: StepSchedule, n_groups: int, first_step: int = 0) -> None:
        self.schedule, self.n_groups, self.first_step = schedule, n_groups, first_step
        name = getattr(schedule, "__name__", type(schedule).__name__)
        super().__init__((), settings={"schedule": "own", "name": name, "lr": self._at(first_step)})

    def rates_at(self, state: State) -> list[float]:
        return self._at(self.first_step + state.step)

    def _at(self, step: int) -> list[float]:
        try:
            return rates_for(self.schedule(step), self.n_groups, lowest=0.0)
        except Exception as error:
            known = error.received if isinstance(error, ArgumentError) else f"{type(error).__name__}: {error}"
            raise ArgumentError(
                "`schedule` must give a rate for every step: a number, a slice or one number per group",
                f"at step {step} {known}",
                f"Check it with schedule({step}); it must last as long as the fit. For a scheduler of torch"
                " pass wiggly.torch_schedule(...).",
            ) from error


class ParamScheduler(Callback):
    """Moves settings of the optimizer along schedules of your own; it wins over the fit's schedule.

    Args:
        scheds: Functions of progress in [0, 1] by setting: "lr" (a rate as for `fit`), "mom" (momentum, or
            beta1) and "wd" (weight decay).

    Raises:
        ArgumentError: There is no such setting.

    Example:
        >>> from wiggly.train.optim.shapes import linear
        >>> callback = ParamScheduler({"lr": linear(1e-3, 1e-5), "wd": linear(0.0, 0.1)})
        >>> callback.scheds["wd"](0.5)
        0.05
    """

    order = -15

    def __init__(self, scheds: Mapping[str, Callable[[float], Any]]) -> None:
        known: Any = dict(scheds) if hasattr(scheds, "items") else {"": scheds}
        if not known.keys() <= {"lr", "mom", "wd"} or not all(map(callable, known.values())):
            raise ArgumentError(
                "`scheds` must map 'lr', 'mom' or 'wd' to functions of progress",
                f"got {scheds!r}",
                "Pass e.g. {'lr': SchedCos(1e-3, 1e-5)}.",
            )
        self.scheds: dict[str, Callable[[float], Any]] = known

    def before_batch(self, state: State) -> None:
        if not state.training:
            return
        values = {name: sched(state.progress) for name, sched in self.scheds.items()}
        opt = self.learner.opt
        if "lr" in values:
            state.lrs = rates_for(values["lr"], len(self.learner.groups), lowest=0.0)
            opt.set_lrs(state.lrs)
        if "mom" in values:
            opt.set_momentum(values["mom"])
        if "wd" in values:
            opt.set_wd(values["wd"])


def torch_schedule(make: Callable[[torch.optim.Optimizer], Any], lr: float | Sequence[float]) -> StepSchedule:
    """One of torch's schedulers as a function of the step, which `fit` takes as `schedule`.

    The scheduler drives an optimizer of its own with nothing to learn; the rates are kept, so the function
    gives the same for the same step in any order.

    Args:
        make: Takes that optimizer, returns the scheduler.
        lr: Rate that the scheduler starts from: a number for all parameter groups, or a list with one each.

    Raises:
        ArgumentError: `make` gives no scheduler, or one that looks at more than the step; a rate is no
            positive number.

    Example:
        >>> schedule = torch_schedule(lambda opt: torch.optim.lr_scheduler.StepLR(opt, 2, gamma=0.5), lr=1.0)
        >>> [schedule(step) for step in range(4)]
        [1.0, 1.0, 0.5, 0.5]
    """
    given: Any = lr
    several = hasattr(given, "__len__") and getattr(given, "ndim", 1) != 0
    rates = rates_for(lr, len(given) if several else 1)
    groups = [{"params": [nn.Parameter(torch.zeros(()))], "lr": rate} for rate in rates]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = make(optimizer)
    if not isinstance(scheduler, torch.optim.lr_scheduler.LRScheduler):
        raise ArgumentError(
            "`make` must take an optimizer and return one of torch's schedulers",
            f"it returned {scheduler!r}",
            "Pass e.g. lambda opt: torch.optim.lr_scheduler.StepLR(opt, 100).",
        )
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        raise ArgumentError(
            "`make` must return a scheduler of steps alone",
            "ReduceLROnPlateau looks at a metric",
            "Pass the callback of that name in `cbs`.",
        )
    done: list[list[float]] = [[float(group["lr"]) for group in optimizer.param_groups]]

    def rates_at(step: int) -> Rate:
        while len(done) <= step:
            optimizer.step()
            try:
                scheduler.step()
            except ValueError as error:  # OneCycleLR knows its last step
                raise ArgumentError(
                    "a scheduler must last as long as the fit", f"torch says: {error}", "Give it more steps."
                ) from error
            done.append([float(group["lr"]) for group in optimizer.param_groups])
        return done[step] if several else done[step][0]

    return rates_at


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
    given: Any = moms
    if not hasattr(given, "__len__") or len(given) != 3 or not all(map(_is_momentum, given)):
        raise ArgumentError(
            "`moms` must be three numbers from 0 to below 1: momentum at start, peak and end",
            f"got {moms!r}",
            "Pass e.g. moms=(0.95, 0.85, 0.95).",
        )
    high, low, end = moms
    momentum = combined_cos(pct_start, high, low, end)
    shape = {"div": div, "div_final": div_final, "pct_start": pct_start, "moms": list(moms)}
    return Scheduler(rates, momentum, {"schedule": "one_cycle", "lr": list(peaks), **shape})


def _is_momentum(value: Any) -> bool:
    return isinstance(value, SupportsFloat) and 0 <= float(value) < 1


def flat_cosine_scheduler(peaks: Sequence[float], div_final: float, pct_start: float) -> Scheduler:
    """Constant rates, then down along half a cosine; see `flat_cosine`."""
    rates = [flat_cosine(peak, div_final, pct_start) for peak in peaks]
    shape = {"div_final": div_final, "pct_start": pct_start}
    return Scheduler(rates, settings={"schedule": "flat_cos", "lr": list(peaks), **shape})


def restarts_scheduler(peaks: Sequence[float], n_cycles: int, cycle_len: int, cycle_mult: int) -> Scheduler:
    """Cosine cycles with warm restarts; see `warm_restarts`."""
    rates = [warm_restarts(peak, n_cycles, cycle_mult) for peak in peaks]
    shape = {"n_cycles": int(n_cycles), "cycle_len": int(cycle_len), "cycle_mult": int(cycle_mult)}
    return Scheduler(rates, settings={"schedule": "sgdr", "lr": list(peaks), **shape})
