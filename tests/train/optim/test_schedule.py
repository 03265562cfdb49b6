"""Schedules against the numbers of behaviour.md 3.2 to 3.4, and against torch's one-cycle scheduler."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.support import digit_learner, equal, weights_of
from torch import nn
from torch.optim import lr_scheduler

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelBatch
from wiggly.train.optim.schedule import ParamScheduler, rates_for, torch_schedule
from wiggly.train.optim.shapes import SchedCos, SchedLin, one_cycle


class Watch(Callback):
    """Writes down rates and momentum of every group at every training step."""

    def __init__(self) -> None:
        self.lrs: list[list[float]] = []
        self.momenta: list[float] = []

    def before_step(self, state: State) -> None:
        self.lrs.append(self.learner.opt.lrs)
        self.momenta.append(self.learner.opt.param_groups[0]["betas"][0])


def three_groups(model):
    body, head = model[0], model[1]
    return [list(body[:3].parameters()), list(body[3:].parameters()), list(head.parameters())]


def test_fine_tune_has_the_rates_that_its_users_know() -> None:
    watch = Watch()
    learn = digit_learner(splitter=three_groups)
    learn.fine_tune(25, base_lr=2e-3, freeze_epochs=25, cbs=watch)  # 100 steps each
    frozen, unfrozen = watch.lrs[:100], watch.lrs[100:]

    assert frozen[0] == pytest.approx([8e-6, 8e-6, 8e-5], rel=1e-6)  # div 25
    assert [max(rates) for rates in zip(*frozen, strict=True)] == pytest.approx([2e-4, 2e-4, 2e-3], rel=1e-6)
    assert frozen[99] == pytest.approx([2e-4, 2e-4, 2e-3], rel=1e-6)  # the peak is at 99 %
    assert unfrozen[0] == pytest.approx([2e-6, 2e-5, 2e-4], rel=1e-6)  # div 5
    assert [max(rates) for rates in zip(*unfrozen, strict=True)] == pytest.approx(
        [1e-5, 1e-4, 1e-3], rel=1e-6
    )
    assert unfrozen[30] == pytest.approx([1e-5, 1e-4, 1e-3], rel=1e-6)  # the peak is at 30 %
    # One step before the end of the way down, from 1e-3 to 1e-8 over 70 steps.
    last = 1e-8 + (1e-3 - 1e-8) * (1 + math.cos(math.pi * 69 / 70)) / 2
    assert unfrozen[99][2] == pytest.approx(last, rel=1e-6)
    assert watch.momenta[0] == pytest.approx(0.95)
    assert watch.momenta[130] == pytest.approx(0.85)
    assert watch.momenta[199] == pytest.approx(0.95, abs=1e-3)


def test_one_cycle_equals_torch() -> None:
    parameter = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([parameter], lr=1.0, momentum=0.9)
    steps = 101  # torch's progress runs from 0 to 1 over its steps, ours from 0 to just below 1
    scheduler = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, 0.5, steps, pct_start=0.25, div_factor=25, final_div_factor=4000, cycle_momentum=False
    )
    ours = one_cycle(0.5, div=25, div_final=25 * 4000, pct_start=0.25)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch minds that the optimizer never steps
        for step in range(steps - 1):
            # torch puts the peak at pct_start * steps - 1
            peak = 0.25 * steps - 1
            progress = (
                step / peak * 0.25 if step <= peak else 0.25 + 0.75 * (step - peak) / (steps - 1 - peak)
            )
            assert ours(progress) == pytest.approx(scheduler.get_last_lr()[0], rel=1e-9)
            scheduler.step()


def test_fit_keeps_its_rate_and_the_optimizer_its_momentum() -> None:
    watch = Watch()
    learn = digit_learner()
    learn.fit_one_cycle(1, 1e-3)
    learn.fit(1, 3e-4, cbs=watch)
    assert watch.lrs == [[3e-4, 3e-4]] * 4
    assert watch.momenta == [0.9] * 4  # not what the one cycle left behind


def test_start_epoch_goes_on_where_the_cycle_was() -> None:
    whole, rest = Watch(), Watch()
    digit_learner().fit_one_cycle(3, 1e-2, cbs=whole)
    digit_learner().fit_one_cycle(3, 1e-2, start_epoch=2, cbs=rest)
    assert rest.lrs == whole.lrs[8:]
    assert len(rest.lrs) == 4


@pytest.mark.parametrize(
    ("lr", "n_groups", "wanted"),
    [
        (1e-3, 3, [1e-3, 1e-3, 1e-3]),
        (slice(1e-2), 3, [1e-3, 1e-3, 1e-2]),
        (slice(None, 1e-2), 2, [1e-3, 1e-2]),
        (slice(1e-5, 1e-3), 3, [1e-5, 1e-4, 1e-3]),
        (slice(1e-5, 1e-3), 1, [1e-3]),
        ([1e-5, 1e-4], 2, [1e-5, 1e-4]),
        (torch.tensor([0.5, 0.25]), 2, [0.5, 0.25]),
        (slice(1e-3, 1e-5), 3, [1e-3, 1e-4, 1e-5]),  # first layers fastest: unusual, but asked for
        (np.float32(0.5), 2, [0.5, 0.5]),
        (np.array(0.5), 2, [0.5, 0.5]),
        (torch.tensor(0.5), 2, [0.5, 0.5]),
        (np.array([0.5, 0.25]), 2, [0.5, 0.25]),
    ],
)
def test_rates_for_groups(lr, n_groups: int, wanted: list[float]) -> None:
    assert rates_for(lr, n_groups) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "lr",
    [
        [1e-3],
        (1e-3, 1e-4, 1e-5),
        [],
        0,
        -1e-3,
        float("nan"),
        float("inf"),
        "fast",
        "1e-3",
        True,
        None,
        {"body": 1e-5, "head": 1e-3},
        [[1e-3], [1e-4]],
        [1e-3, None],
        [1e-3, "1e-4"],
        [1e-3, math.nan],
        torch.tensor([[1e-3, 1e-4]] * 2),
        np.array([1e-3, -1e-4]),
        1e-3 + 0j,
        slice(None),
        slice(1e-5, None),
        slice(0, 1e-3),
        slice(1e-5, math.inf),
        slice(1e-5, 1e-3, 1e-4),
        slice("1e-5", "1e-3"),
        lambda step: 1e-3,
    ],
)
def test_wrong_rates_are_refused(lr) -> None:
    with pytest.raises(ArgumentError):
        rates_for(lr, 2)


def test_a_list_of_wrong_length_says_how_many_groups_there_are() -> None:
    with pytest.raises(ArgumentError, match="it has 3, the model has 2"):
        digit_learner().fit(1, [1e-5, 1e-4, 1e-3])


def test_fit_flat_cos_has_the_rates_that_its_users_know() -> None:
    watch = Watch()
    digit_learner().fit_flat_cos(10, slice(1e-3, 1e-2), cbs=watch)  # 40 steps
    assert watch.lrs[:30] == [[1e-3, 1e-2]] * 30
    half = (1 + 1e-5) / 2  # half way down from 1 to 1 / 1e5
    assert watch.lrs[35] == pytest.approx([1e-3 * half, 1e-2 * half], rel=1e-9)
    assert watch.momenta == [0.9] * 40
    watch = Watch()
    digit_learner(lr=5e-3).fit_flat_cos(1, div_final=10, pct_start=0.5, cbs=watch)
    assert watch.lrs[0] == [5e-3, 5e-3]
    assert watch.lrs[3][0] == pytest.approx((5e-3 + 5e-4) / 2)


def test_fit_sgdr_is_torchs_warm_restarts_by_epochs() -> None:
    watch = Watch()
    learn = digit_learner()
    learn.fit_sgdr(3, 1, slice(1e-3, 1e-2), cbs=watch)
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1e-3, 1e-2)]
    optimizer = torch.optim.SGD(groups)
    scheduler = lr_scheduler.CosineAnnealingWarmRestarts(optimizer, T_0=4, T_mult=2)
    for rates in watch.lrs:
        assert rates == pytest.approx(scheduler.get_last_lr(), rel=1e-9)
        optimizer.step()
        scheduler.step()
    assert len(learn.recorder.values) == 1 + 2 + 4
    assert len(watch.lrs) == 28
    digit_learner().fit_sgdr(2, 1, cycle_mult=1, cbs=(watch := Watch()))
    assert watch.lrs[:4] == watch.lrs[4:]


@pytest.mark.parametrize("wrong", [(0, 1, 2), (1, 0, 2), (1, 1, 0), (1.5, 1, 2)])
def test_fit_sgdr_wants_whole_numbers(wrong: tuple[int, int, int]) -> None:
    n_cycles, cycle_len, cycle_mult = wrong
    with pytest.raises(ArgumentError, match=r"must be (a whole number|at least 1)"):
        digit_learner().fit_sgdr(n_cycles, cycle_len, cycle_mult=cycle_mult)


def test_an_own_schedule_is_a_function_of_the_step() -> None:
    for value, wanted in (
        (lambda step: 1e-3 / (1 + step), lambda step: [1e-3 / (1 + step)] * 2),
        (lambda step: [1e-4 * step, 1e-3 * step], lambda step: [1e-4 * step, 1e-3 * step]),  # from 0
        (lambda step: slice(1e-3 / (1 + step)), lambda step: [1e-4 / (1 + step), 1e-3 / (1 + step)]),
        (lambda step: torch.tensor(1e-3) * 0.5**step, lambda step: [1e-3 * 0.5**step] * 2),
    ):
        watch = Watch()
        digit_learner().fit(2, schedule=value, cbs=watch)
        assert watch.lrs == [pytest.approx(wanted(step), rel=1e-6) for step in range(8)]


def test_an_own_schedule_counts_steps_and_not_batches() -> None:
    class EverySecond(Callback):
        order = 90

        def before_step(self, state: State) -> None:
            if state.batch_index % 2 == 0:
                raise CancelBatch

    watch = Watch()
    watch.order = 95  # pyright: ignore
    digit_learner().fit(2, schedule=lambda step: 1e-3 * (1 + step), cbs=[EverySecond(), watch])
    assert [rates[0] for rates in watch.lrs] == pytest.approx([1e-3, 2e-3, 3e-3, 4e-3])


def test_an_own_schedule_goes_on_after_start_epoch() -> None:
    whole, rest = Watch(), Watch()
    digit_learner().fit(3, schedule=lambda step: 1e-4 * (1 + step), cbs=whole)
    digit_learner().fit(3, schedule=lambda step: 1e-4 * (1 + step), start_epoch=2, cbs=rest)
    assert rest.lrs == whole.lrs[8:]


def test_an_own_schedule_that_gives_no_rate_is_refused_at_once() -> None:
    for wrong in (lambda step: None, lambda step: -1.0, lambda step: [1e-3], lambda step: math.nan):
        learn = digit_learner()
        before = weights_of(learn)
        with pytest.raises(ArgumentError, match=r"must give a rate for every step.*at step 0"):
            learn.fit(1, schedule=wrong)
        assert equal(before, weights_of(learn))
    with pytest.raises(ArgumentError, match="at step 3"):
        digit_learner().fit(1, schedule=lambda step: 1e-3 if step < 3 else math.inf)
    with pytest.raises(ArgumentError, match="`lr` must be left out"):
        digit_learner().fit(1, 1e-3, schedule=lambda step: 1e-3)
    with pytest.raises(ArgumentError, match="passed to `fit` as `schedule`"):
        digit_learner().fit(1, lambda step: 1e-3)


@pytest.mark.parametrize(
    "make",
    [
        lambda opt: lr_scheduler.StepLR(opt, 3, gamma=0.5),
        lambda opt: lr_scheduler.OneCycleLR(opt, [1e-3, 1e-2], total_steps=9),
        lambda opt: lr_scheduler.CosineAnnealingWarmRestarts(opt, 2),
        lambda opt: lr_scheduler.ChainedScheduler([lr_scheduler.LinearLR(opt), lr_scheduler.StepLR(opt, 2)]),
    ],
)
def test_torchs_schedulers_are_schedules(make) -> None:
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in (1e-3, 1e-2)]
    optimizer = torch.optim.SGD(groups, momentum=0.9)
    scheduler = make(optimizer)
    wanted = []
    for _ in range(8):
        wanted.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    watch = Watch()
    schedule = torch_schedule(make, [1e-3, 1e-2])
    assert schedule(5) == wanted[5]  # in any order
    digit_learner().fit(2, schedule=schedule, cbs=watch)
    assert watch.lrs == wanted


def test_torchs_schedulers_have_their_limits() -> None:
    short = torch_schedule(lambda opt: lr_scheduler.OneCycleLR(opt, 1e-2, total_steps=2), 1e-3)
    with pytest.raises(ArgumentError, match="at step 3 torch says: Tried to step 3 times"):
        digit_learner().fit(1, schedule=short)
    with pytest.raises(ArgumentError, match="callback of that name"):
        torch_schedule(lr_scheduler.ReduceLROnPlateau, 1e-3)


def test_param_scheduler_moves_what_it_is_given() -> None:
    class WatchDecay(Watch):
        decays: list[float] = []  # noqa: RUF012 - one learner only

        def before_step(self, state: State) -> None:
            super().before_step(state)
            self.decays.append(self.learner.opt.param_groups[0]["weight_decay"])

    watch = WatchDecay()
    scheds = {"lr": SchedLin(1e-2, 1e-3), "mom": SchedCos(0.9, 0.8), "wd": SchedLin(0.0, 0.4)}
    learn = digit_learner()
    learn.fit_one_cycle(1, 5e-3, cbs=[ParamScheduler(scheds), watch])
    assert [rates[0] for rates in watch.lrs] == pytest.approx([1e-2, 7.75e-3, 5.5e-3, 3.25e-3])
    assert watch.momenta == pytest.approx([SchedCos(0.9, 0.8)(step / 4) for step in range(4)])
    assert watch.decays == pytest.approx([0.0, 0.1, 0.2, 0.3])
    assert learn.recorder.lrs == pytest.approx([1e-2, 7.75e-3, 5.5e-3, 3.25e-3])
    learn.fit(1, 1e-3, cbs=(after := WatchDecay()))
    assert after.momenta == [0.9] * 4
    assert learn.opt.param_groups[0]["weight_decay"] == 0.01
    by_group = digit_learner()
    by_group.fit(1, cbs=[ParamScheduler({"lr": lambda progress: [1e-3, progress]}), watch := Watch()])
    assert watch.lrs == [[1e-3, step / 4] for step in range(4)]


def test_param_scheduler_refuses_what_it_cannot_move() -> None:
    wrongs: list[Any] = [{"eps": SchedLin(0, 1)}, {"lr": 1e-3}, [SchedLin(0, 1)], SchedLin(0, 1)]
    for wrong in wrongs:
        with pytest.raises(ArgumentError, match="functions of progress"):
            ParamScheduler(wrong)


def test_the_history_has_rates_and_momentum_and_draws_them() -> None:
    watch = Watch()
    learn = digit_learner()
    learn.fit_one_cycle(2, slice(1e-3, 1e-2), cbs=watch)
    assert learn.recorder.lrs == [rates[-1] for rates in watch.lrs]
    assert learn.recorder.momenta == watch.momenta
    axes = learn.recorder.plot_sched()
    assert list(axes.lines[0].get_ydata()) == learn.recorder.lrs
    other = next(one for one in axes.figure.axes if one is not axes)
    assert list(other.lines[0].get_ydata()) == watch.momenta
    none = digit_learner(opt_func="adagrad")
    none.fit(1)
    assert len(none.recorder.plot_sched().figure.axes) == 1


@pytest.mark.parametrize(
    ("schedule", "says"),
    [
        (lambda step: [0.1, 0.1][step], "at step 2 IndexError"),
        (lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 3), "torch_schedule"),
        (torch.optim.lr_scheduler.StepLR, "torch_schedule"),
        (0.1, "at step 0 TypeError"),
    ],
)
def test_a_schedule_that_fails_says_at_which_step(schedule: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        digit_learner().fit(1, schedule=schedule)


@pytest.mark.parametrize("lr", [np.float32(0.5), torch.tensor(0.5)])
def test_torch_schedules_start_from_any_number(lr: Any) -> None:
    schedule = torch_schedule(lambda opt: torch.optim.lr_scheduler.StepLR(opt, 1, gamma=0.5), lr)
    assert [schedule(step) for step in range(3)] == [0.5, 0.25, 0.125]


@pytest.mark.parametrize(
    ("make", "lr", "says"),
    [
        (lambda opt: None, 0.1, "return one of torch's schedulers"),
        (lambda opt: torch.optim.lr_scheduler.StepLR(opt, 1), -1.0, "positive number"),
        (lambda opt: torch.optim.lr_scheduler.StepLR(opt, 1), "fast", "positive number"),
    ],
)
def test_torch_schedules_of_something_else(make: Any, lr: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        torch_schedule(make, lr)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"div": 0}, "`div` must be above 0"),
        ({"div": -1}, "`div` must be above 0"),
        ({"div_final": 0}, "`div_final` must be above 0"),
        ({"div_final": float("nan")}, "`div_final` must be above 0"),
        ({"pct_start": "a third"}, "`pct_start`"),
        ({"moms": 0.9}, "`moms` must be three numbers"),
        ({"moms": ("a", "b", "c")}, "`moms` must be three numbers"),
        ({"moms": (2, 1, 2)}, "`moms` must be three numbers"),
        ({"wd": "some"}, "`wd` must be at least 0"),
        ({"lr_max": 10**400}, "positive number"),
        ({"lr_max": {1e-3, 1e-2}}, "positive number"),
    ],
)
def test_shapes_of_no_sense_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        digit_learner().fit_one_cycle(1, **settings)


def test_numpy_numbers_of_cycles() -> None:
    learn = digit_learner()
    learn.fit_sgdr(np.int64(1), np.int64(1), cycle_mult=np.int64(1))  # type: ignore[arg-type]
    assert len(learn.recorder.values) == 1
