"""Schedules against the numbers of behaviour.md 3.2 to 3.4, and against torch's one-cycle scheduler."""

from __future__ import annotations

import math
import warnings

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train.support import digit_learner

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.schedule import combine, cosine, exponential, flat, one_cycle, rates_for


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
    ],
)
def test_rates_for_groups(lr, n_groups: int, wanted: list[float]) -> None:
    assert rates_for(lr, n_groups) == pytest.approx(wanted, rel=1e-12)


@pytest.mark.parametrize(
    "lr", [[1e-3], (1e-3, 1e-4, 1e-5), 0, -1e-3, "fast", float("nan"), slice(None), [1e-3, None]]
)
def test_wrong_rates_are_refused(lr) -> None:
    with pytest.raises(ArgumentError):
        rates_for(lr, 2)


def test_a_list_of_wrong_length_says_how_many_groups_there_are() -> None:
    with pytest.raises(ArgumentError, match="it has 3, the model has 2"):
        digit_learner().fit(1, [1e-5, 1e-4, 1e-3])


@given(st.floats(0, 1), st.floats(1e-6, 1), st.floats(0.01, 0.99))
def test_one_cycle_stays_between_end_and_peak(progress: float, peak: float, pct_start: float) -> None:
    value = one_cycle(peak, 25, 1e5, pct_start)(progress)
    assert peak / 1e5 * (1 - 1e-9) <= value <= peak * (1 + 1e-9)


@pytest.mark.parametrize("pct_start", [0.0, 1.0])
def test_a_cycle_may_be_all_down_or_all_up(pct_start: float) -> None:
    rate = one_cycle(1.0, 25, 1e5, pct_start)
    assert rate(0.0) == pytest.approx(1.0 if pct_start == 0 else 1 / 25)
    assert rate(1.0) == pytest.approx(1e-5)


def test_combine_refuses_shares_that_are_not_a_whole() -> None:
    for shares in ([0.5, 0.4], [1.5, -0.5], [1.0]):
        with pytest.raises(ArgumentError, match="adding up to 1"):
            combine(shares, [flat(1), cosine(1, 0)])
    with pytest.raises(ArgumentError, match="pct_start"):
        one_cycle(1.0, 25, 1e5, 1.2)


def test_exponential_has_a_constant_factor() -> None:
    schedule = exponential(1e-7, 10)
    factors = [schedule((i + 1) / 8) / schedule(i / 8) for i in range(8)]
    assert factors == pytest.approx([10.0] * 8)
