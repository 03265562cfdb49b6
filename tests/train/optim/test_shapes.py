"""Shapes of schedules against torch's schedulers on the same steps."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from wiggly.errors import ArgumentError
from wiggly.train.optim.shapes import (
    SchedCos,
    SchedExp,
    SchedLin,
    SchedNo,
    SchedPoly,
    Schedule,
    combine,
    combine_scheds,
    combined_cos,
    cosine,
    exponential,
    flat,
    flat_cosine,
    linear,
    one_cycle,
    polynomial,
    warm_restarts,
)


def torchs(make: Callable[[torch.optim.Optimizer], Any], lr: float, steps: int) -> list[float]:
    """The rates of the first steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr, momentum=0.9)
    rates: list[float] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the optimizer never steps
        scheduler = make(optimizer)
        for _ in range(steps):
            rates.append(scheduler.get_last_lr()[0])
            scheduler.step()
    return rates


def ours(schedule: Schedule, steps: int) -> list[float]:
    return [schedule(step / steps) for step in range(steps)]


def test_linear_is_torchs() -> None:
    wanted = torchs(lambda o: lr_scheduler.LinearLR(o, 1.0, 0.1, total_iters=50), 0.5, 50)
    assert ours(linear(0.5, 0.05), 50) == pytest.approx(wanted, rel=1e-12)


def test_polynomial_is_torchs() -> None:
    wanted = torchs(lambda o: lr_scheduler.PolynomialLR(o, 40, power=2.5), 0.5, 40)
    falling = polynomial(0.0, 0.5, 2.5)  # torch's goes to 0, with the power of what is left
    assert [falling(1 - step / 40) for step in range(40)] == pytest.approx(wanted, rel=1e-9)


def test_exponential_is_torchs() -> None:
    wanted = torchs(lambda o: lr_scheduler.ExponentialLR(o, 0.01 ** (1 / 30)), 0.5, 30)
    assert ours(exponential(0.5, 0.005), 30) == pytest.approx(wanted, rel=1e-12)


def test_cosine_is_torchs() -> None:
    wanted = torchs(lambda o: lr_scheduler.CosineAnnealingLR(o, 60, eta_min=0.01), 0.5, 60)
    assert ours(cosine(0.5, 0.01), 60) == pytest.approx(wanted, rel=1e-9)


def test_flat_then_cosine_is_torchs() -> None:
    def make(optimizer: torch.optim.Optimizer) -> Any:
        parts = [
            lr_scheduler.ConstantLR(optimizer, 1.0),
            lr_scheduler.CosineAnnealingLR(optimizer, 20, eta_min=0.5 / 1e5),
        ]
        return lr_scheduler.SequentialLR(optimizer, parts, milestones=[60])

    assert ours(flat_cosine(0.5, 1e5, 0.75), 80) == pytest.approx(torchs(make, 0.5, 80), rel=1e-9)


@pytest.mark.parametrize(
    ("first", "mult", "cycles"), [(7, 1, 6), (5, 2, 3), (3, 3, 3), (10, 2, 5), (1, 2, 6)]
)
def test_warm_restarts_are_torchs(first: int, mult: int, cycles: int) -> None:
    steps = sum(first * mult**cycle for cycle in range(cycles))
    wanted = torchs(lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, first, mult), 0.5, steps)
    assert ours(warm_restarts(0.5, cycles, mult), steps) == pytest.approx(wanted, rel=1e-9, abs=1e-12)


@given(st.integers(1, 6), st.integers(1, 3), st.integers(1, 400))
def test_every_restart_is_hit(cycles: int, mult: int, first: int) -> None:
    schedule = warm_restarts(1.0, cycles, mult)
    lengths = [first * mult**cycle for cycle in range(cycles)]
    starts = [sum(lengths[:cycle]) for cycle in range(cycles)]
    assert [schedule(start / sum(lengths)) for start in starts] == pytest.approx([1.0] * cycles)


def test_the_names_of_the_course_mean_the_same() -> None:
    for theirs, shape in ((SchedLin, linear), (SchedCos, cosine), (SchedExp, exponential)):
        assert ours(theirs(2.0, 1.0), 9) == ours(shape(2.0, 1.0), 9)
    assert ours(SchedNo(2.0, 1.0), 3) == [2.0] * 3
    assert SchedPoly(1.0, 3.0, 2)(0.5) == 1.5
    two = combine_scheds([0.3, 0.7], [SchedCos(0.3, 0.6), SchedCos(0.6, 0.2)])
    assert ours(two, 50) == pytest.approx(ours(combined_cos(0.3, 0.3, 0.6, 0.2), 50))
    assert (two(0.0), two(1.0)) == pytest.approx((0.3, 0.2))


def test_combine_refuses_shares_that_are_not_a_whole() -> None:
    for shares in ([0.5, 0.4], [1.5, -0.5], [1.0]):
        with pytest.raises(ArgumentError, match="adding up to 1"):
            combine(shares, [flat(1), cosine(1, 0)])
    for shape in (lambda: one_cycle(1.0, 25, 1e5, 1.2), lambda: flat_cosine(1.0, 1e5, -0.1)):
        with pytest.raises(ArgumentError, match="pct_start"):
            shape()


def test_exponential_has_a_constant_factor() -> None:
    schedule = exponential(1e-7, 10)
    factors = [schedule((i + 1) / 8) / schedule(i / 8) for i in range(8)]
    assert factors == pytest.approx([10.0] * 8)


@given(st.floats(0, 1), st.floats(1e-6, 1), st.floats(0.01, 0.99))
def test_one_cycle_stays_between_end_and_peak(progress: float, peak: float, pct_start: float) -> None:
    value = one_cycle(peak, 25, 1e5, pct_start)(progress)
    assert peak / 1e5 * (1 - 1e-9) <= value <= peak * (1 + 1e-9)


@pytest.mark.parametrize("pct_start", [0.0, 1.0])
def test_a_cycle_may_be_all_down_or_all_up(pct_start: float) -> None:
    rate = one_cycle(1.0, 25, 1e5, pct_start)
    assert rate(0.0) == pytest.approx(1.0 if pct_start == 0 else 1 / 25)
    assert rate(1.0) == pytest.approx(1e-5)
