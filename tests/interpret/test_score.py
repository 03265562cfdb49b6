"""Intervals, tests and errors of a score against published values, scipy, scikit-learn and simulation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from wiggly.errors import ArgumentError
from wiggly.interpret.score import (
    calibration_error,
    mcnemar_p,
    paired_interval,
    score_against,
    wilson_interval,
)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [  # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_as_published(right: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(right, n) == pytest.approx((low, high), abs=5e-5)


@given(n=st.integers(1, 5000), share=st.floats(0, 1), level=st.floats(0.5, 0.999))
def test_wilson_as_scipy(n: int, share: float, level: float) -> None:
    right = round(share * n)
    theirs = binomtest(right, n).proportion_ci(level, method="wilson")
    assert wilson_interval(right, n, level) == pytest.approx((theirs.low, theirs.high), abs=1e-9)


@pytest.mark.parametrize(("right", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_impossible_counts(right: int, n: int) -> None:
    with pytest.raises(ArgumentError):
        wilson_interval(right, n)


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (8, 2), (5, 5), (100, 300), (9000, 9500)])
def test_mcnemar_as_scipy(first: int, second: int) -> None:
    theirs = binomtest(first, first + second).pvalue if first + second else 1.0
    assert mcnemar_p(first, second) == pytest.approx(theirs, rel=1e-9)
    assert mcnemar_p(second, first) == mcnemar_p(first, second)


def test_paired_interval_covers_as_often_as_it_says() -> None:
    """Drawn 2,000 times from a known table, the 95 % interval holds the truth 93 to 98 times in 100."""
    random = np.random.default_rng(0)
    shares = np.array([0.55, 0.25, 0.08, 0.12])
    tables = random.multinomial(80, shares, size=2000)
    inside = [low <= 0.17 <= high for low, high in (paired_interval(*map(int, t)) for t in tables)]
    assert 0.93 < np.mean(inside) < 0.98


def test_paired_interval_is_antisymmetric_and_bounded() -> None:
    low, high = paired_interval(20, 12, 2, 16)
    other_low, other_high = paired_interval(20, 2, 12, 16)
    assert (low, high) == pytest.approx((-other_high, -other_low))
    assert paired_interval(0, 10, 0, 0)[1] == 1.0


def test_calibration_error_by_hand() -> None:
    # Bins of a half: (0, .5] holds .4 (right), (.5, 1] holds .9, .8 (one right of two).
    error = calibration_error(np.array([0.4, 0.9, 0.8]), np.array([True, True, False]), bins=2)
    assert error == pytest.approx((abs(0.4 - 1) + abs(1.7 - 1)) / 3)


def test_calibration_error_of_a_calibrated_model_is_small_and_of_a_boaster_large() -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.5, 1, 200_000)
    right = random.uniform(size=200_000) < confidence
    assert calibration_error(confidence, right) < 0.01
    assert calibration_error(np.ones(1000), np.arange(1000) < 700) == pytest.approx(0.3)


def test_calibration_error_refuses_nothing() -> None:
    with pytest.raises(ArgumentError):
        calibration_error(np.array([]), np.array([]))


def test_a_good_model_is_better_than_the_constant_answer_and_chance_is_not() -> None:
    random = np.random.default_rng(0)
    actual = random.integers(0, 3, 300)
    good = score_against(actual, np.where(random.uniform(size=300) < 0.9, actual, 0), majority=0)
    assert good.better
    assert good.gain_interval.low > 0.4 < good.accuracy
    guess = score_against(actual, random.integers(0, 3, 300), majority=int(np.bincount(actual).argmax()))
    assert not guess.better


def test_the_constant_answer_itself_gains_nothing() -> None:
    actual = np.array([0, 0, 0, 1, 2])
    score = score_against(actual, np.zeros(5, dtype=int), majority=0)
    assert (score.accuracy, score.baseline, score.gain, score.p_value) == (0.6, 0.6, 0.0, 1.0)
    assert not score.better
    assert score.interval == score.baseline_interval


def test_a_worse_model_is_never_better() -> None:
    actual = np.zeros(100, dtype=int)
    assert not score_against(actual, np.ones(100, dtype=int), majority=0).better
