"""A fit within a time budget: measures what a step costs, decides, says why in a sentence, and ends on time.

In: a learner and a time. Out: a trained learner. Read next: `timetable.py`, which keeps to the time, and
`probing.py`, the first part of the budget of a frozen body.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar

from wiggly.errors import ArgumentError, WigglyError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelFit, as_callbacks
from wiggly.train.callbacks.not_worse import NotWorse
from wiggly.train.lr_find import find_lr, put_back, valley
from wiggly.train.optim.schedule import one_cycle_scheduler
from wiggly.train.probe.probing import can_probe, probe_head
from wiggly.train.probe.timetable import Clock, SmallerImages, Timetable, side_of
from wiggly.train.resume.run import resumable

if TYPE_CHECKING:
    from wiggly.train.fitting import Fitting
    from wiggly.train.loop import Callbacks

__all__ = ["fit_within", "seconds_of", "seconds_of_validation"]

# Highest rates where the head is trained already: those of `fine_tune` after a probe.
BODY_RATE, HEAD_RATE = 2.5e-6, 2.5e-4
# With fewer epochs than this, smaller images are taken to have more of them.
EPOCHS_WANTED = 2.0
# Sides to choose from, as shares of the loader's; half the pixels are a side of 0.71.
SIDES = (1.0, 0.86, 0.71, 0.57)
SMALLEST_SIDE = 64
# An epoch is planned with so many of its batches, so that it may become longer if they take less time.
PART_OF_EPOCH = 0.9
# What is less than this part of the budget is not worth another phase.
LEAST_PART = 0.08
STEPS_TO_MEASURE = 6
STEPS_TO_SEARCH = 60

NAMES_OF_UNITS = {1: "s sec second", 60: "m min minute", 3600: "h hr hour", 86400: "d day"}
UNITS = {name: unit for unit, names in NAMES_OF_UNITS.items() for name in names.split()}
PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-z]+)\s*")
SECONDS = re.compile(r"\d+(?:\.\d+)?")


def seconds_of(budget: str | float) -> float:
    """A time in seconds.

    Args:
        budget: "90 s", "10 min", "1 h 30 min", or a number of seconds, also as text.

    Raises:
        ArgumentError: It is none of these, or not above 0.

    Example:
        >>> seconds_of("1 h 30 min"), seconds_of("90s"), seconds_of(20), seconds_of("12")
        (5400.0, 90.0, 20.0, 12.0)
    """
    found = (
        float(budget)
        if isinstance(budget, (int, float)) and not isinstance(budget, bool)
        else _sum_of(budget)
    )
    if not (math.isfinite(found) and found > 0):
        raise ArgumentError(
            "`budget` must be a time above 0",
            f"it is {budget!r}",
            'Pass e.g. "10 min", "90 s", "1 h 30 min", or a number of seconds.',
        )
    return found


def _sum_of(text: Any) -> float:
    """The sum of "1 h 30 min"; not a number for what is none."""
    rest, total = str(text).strip().lower(), 0.0
    if SECONDS.fullmatch(rest):
        return float(rest)
    while rest:
        part = PART.match(rest)
        unit = UNITS.get(part[2]) or UNITS.get(part[2].removesuffix("s")) if part else None
        if part is None or unit is None:
            return math.nan
        total, rest = total + float(part[1]) * unit, rest[part.end() :]
    return total


def fit_within(
    learner: Fitting,
    budget: str | float,
    fit: Callable[..., None],
    wd: float | None,
    cbs: Callbacks,
    reset_opt: bool,
    resume: bool,
) -> None:
    """The work behind `learn.fit(budget=...)`; see there.

    Args:
        learner: Is trained.
        budget: A time, as for `seconds_of`.
        fit: Runs one phase of the learner: epochs, scheduler, `wd`, `cbs`, `reset_opt`, `name=`.
        wd: As for `Learner.fit`, and so are `cbs`, `reset_opt` and `resume`.
    """
    clock = Clock(seconds_of(budget))
    probing = learner.first_unfrozen > 0 and can_probe(learner)
    with resumable(learner, resume) as run:
        learned: list[int] = []

        def begin() -> None:
            learned.append(probe_head(learner, seconds=clock.total))

        run.once({"budget": clock.total}, begin if probing else _nothing, recorded=probing)
        known = run.known()
        # Of a run that goes on within its second phase, the history is not here yet.
        head = learner.recorder.phases[-1] if probing and known is None else None
        if head is not None and not learned:  # the head was done in the run that was killed
            clock.started -= head["seconds"]
        if probing:
            learner.unfreeze()
        plan = learner.engine.agreed(
            _planned(learner, clock, cbs, probing) if known is None else _Plan.again(known)
        )
        why = f"Budget {clock.total:.3g} s: {_why(learner, head, learned, plan, clock.total)}."
        if learner.show_table and learner.engine.is_main:
            print(why, flush=True)
        if plan is None:
            learner.freeze()
        else:
            _run(learner, plan, clock, fit, wd, cbs, reset_opt, probing)
        learner.recorder.phases[-1]["why"] = why


def _run(
    learner: Fitting,
    plan: _Plan,
    clock: Clock,
    fit: Callable[..., None],
    wd: float | None,
    cbs: Callbacks,
    reset_opt: bool,
    has_head: bool,
) -> None:
    callbacks = [*as_callbacks(cbs), Timetable(clock, plan.step, plan.valid), SmallerImages(plan.side)]
    callbacks += [NotWorse()] if has_head else []
    div, pct_start = (5.0, 0.3) if has_head else (25.0, 0.25)  # as `fine_tune` and `fit_one_cycle` do
    scheduler = one_cycle_scheduler(plan.rates, learner.moms, div, 1e5, pct_start)
    fit(plan.epochs, scheduler, wd, callbacks, reset_opt, name="budget")


def _nothing() -> None:
    """The first phase of a model without a head to probe."""


@dataclass(frozen=True)
class _Plan:
    """What is trained after the head.

    Attributes:
        epochs: Validations; each comes after `batches` training batches.
        batches: Training batches of an epoch, out of `of`.
        of: Batches the training loader has.
        side: Height that images are shrunk to; 0 leaves them.
        full_side: Height of the loader's images; 0 for what are no images.
        step: Seconds of a training batch.
        valid: Seconds of a validation.
        rates: Highest rate of each parameter group.
        late: Whether there is not even the time for one batch and a validation.
    """

    epochs: int
    rates: list[float]
    batches: int = 0
    of: int = 0
    side: int = 0
    full_side: int = 0
    step: float = 0.0
    valid: float = 0.0
    late: bool = False

    @property
    def amount(self) -> str:
        """How much is learned, in words."""
        epochs = "1 epoch" if self.epochs == 1 else f"{self.epochs:,} epochs"
        if self.batches == self.of:
            return epochs
        part = f"{self.batches:,} of the {self.of:,} batches"
        return f"{epochs} of {part}" if self.epochs == 1 else f"{epochs} of {part} each"

    @classmethod
    def again(cls, settings: dict[str, Any]) -> _Plan:
        """The plan of a run that was killed, from the settings of its phase; the rest is in the callbacks."""
        return cls(settings["epochs"], settings["lr"])


def _planned(learner: Fitting, clock: Clock, cbs: Callbacks, has_head: bool) -> _Plan | None:
    """Measures a few steps and chooses; None if the rest of the budget does not pay for any."""
    if has_head and learner.engine.agreed(clock.left < LEAST_PART * clock.total):
        return None
    extra = as_callbacks(cbs)
    valid = seconds_of_validation(learner, clock.left / 8)
    step, full_side = _seconds_of_step(learner, clock.left / 4, [*extra])
    rates = _rates(learner, clock, step, has_head)
    left = learner.engine.agreed(clock.left)
    plan = _fitted(_Plan(1, rates, of=len(learner.dls.train), step=step, valid=valid), left)
    plan = replace(plan, full_side=full_side)
    for share in SIDES[1:]:
        side = round(share * full_side / 32) * 32
        if plan.epochs * plan.batches >= EPOCHS_WANTED * plan.of or side < SMALLEST_SIDE:
            break
        if side >= (plan.side or full_side):
            continue
        try:
            step, _ = _seconds_of_step(learner, clock.left / 8, [*extra, SmallerImages(side)])
        except (WigglyError, RuntimeError):  # a network that is made for one size
            break
        plan = _fitted(replace(plan, step=step, side=side), learner.engine.agreed(clock.left))
    late = learner.engine.agreed(clock.left < plan.valid + plan.step)
    return None if has_head and late else replace(plan, late=late)


def _fitted(plan: _Plan, left: float) -> _Plan:
    """As many epochs and batches as the time left pays for."""
    whole = max(1.0, PART_OF_EPOCH * plan.of)
    epochs = max(1, math.ceil(left / (whole * plan.step + plan.valid)))
    batches = int((left / epochs - plan.valid) / plan.step)
    return replace(plan, epochs=epochs, batches=min(max(1, batches), plan.of))


def _rates(learner: Fitting, clock: Clock, step: float, has_head: bool) -> list[float]:
    """Those of `fine_tune` above a head that is trained already; else what a search finds, if there is
    time."""
    if has_head:
        return learner.rates(slice(BODY_RATE, HEAD_RATE))
    if learner.engine.agreed(STEPS_TO_SEARCH * step > 0.15 * clock.left):
        return learner.rates()
    with learner.no_bar():
        found = find_lr(learner, 1e-7, 10, STEPS_TO_SEARCH, True, False, valley)
    return learner.rates(float(found.valley))


def seconds_of_validation(learner: Fitting, allowed: float) -> float:
    """How long a pass over the validation items takes, from its first few batches.

    Args:
        learner: Makes the pass.
        allowed: Seconds after which it is over.
    """
    dl, times = learner.dls.valid, [time.perf_counter()]
    if dl is None or not len(dl):
        return 0.0
    for _ in learner.outputs(dl):
        times.append(time.perf_counter())
        if learner.engine.agreed(len(times) == 4 or times[-1] - times[0] > allowed):
            break
    rounds = [b - a for a, b in pairwise(times)]
    return learner.engine.agreed(len(dl) * median(rounds[1:] or rounds))


def _seconds_of_step(learner: Fitting, allowed: float, cbs: list[Callback]) -> tuple[float, int]:
    """Of a training batch with everything around it, and the height of the images; nothing is learned."""
    timer = _Timer(allowed)
    with put_back(learner):
        learner.run(STEPS_TO_MEASURE, [timer, *learner.cbs, *cbs])
    rounds = [b - a for a, b in pairwise(timer.times)]
    return learner.engine.agreed(median(rounds[1:] or rounds)), timer.side


class _Timer(Callback):
    """Notes when batches were done, and ends the run after a few."""

    order: ClassVar[int] = 200

    def __init__(self, allowed: float) -> None:
        self.allowed, self.side, self.times = allowed, 0, [time.perf_counter()]

    def before_batch(self, state: State) -> None:
        assert state.batch is not None
        self.side = max(self.side, side_of(state.batch))

    def after_batch(self, state: State) -> None:
        self.times.append(time.perf_counter())
        done = len(self.times) > STEPS_TO_MEASURE or self.times[-1] - self.times[0] > self.allowed
        if self.learner.engine.agreed(done) or not state.training:
            raise CancelFit


def _why(
    learner: Fitting, head: dict[str, Any] | None, learned: list[int], plan: _Plan | None, total: float
) -> str:
    items = len(getattr(learner.dls.train, "dataset", ()))
    if plan is None:
        assert head is not None
        if learned and learned[0] < items:
            part = f"so the head learned from {learned[0]} of {items} training items"
            return f"not even one pass over the data fits, {part} in {head['seconds']:.1f} s"
        return (
            f"the head alone learned, from one pass over the data in {head['seconds']:.1f} s, because "
            "training the body as well does not fit into the rest"
        )
    rates = f"at rates up to {plan.rates[-1]:.1g}"
    cost = f"a batch takes {plan.step:.2g} s and a validation {plan.valid:.2g} s"
    if plan.late:
        used = ", and measuring that has used up the rest" if plan.step + plan.valid < total else ""
        return f"everything learns for {plan.amount} {rates}, and ends late, because {cost}{used}"
    if not plan.of:
        return f"going on with the plan of the run that was interrupted, {rates}"
    first = f"the head learned from frozen features in {head['seconds']:.1f} s, then " if head else ""
    size = f" of {plan.side} px instead of {plan.full_side}" if plan.side else ""
    return f"{first}everything learns for {plan.amount}{size} {rates}, because {cost}"
