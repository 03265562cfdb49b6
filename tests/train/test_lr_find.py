"""The learning-rate search: it leaves no trace, and its suggestions are right on curves made by hand."""

from __future__ import annotations

import copy
import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from torch import nn

from wiggly.errors import ArgumentError, TrainingError
from wiggly.train.callback import Callback
from wiggly.train.lr_find import longest_decrease, minimum, plot_lr_find, slide, steep, valley

RATES = list(np.geomspace(1e-7, 10, 84))


def curve(start_at: float, lowest_at: float) -> list[float]:
    """Flat at 2, falling in a straight line (over the log rate) to 1, then rising."""
    logs, low, high = np.log10(RATES), np.log10(start_at), np.log10(lowest_at)
    fall = 2 - np.clip((logs - low) / (high - low), 0, 1)
    return list(fall + np.clip(logs - high, 0, None))


def longest_by_hand(values: list[float]) -> int:
    """O(n²) dynamic programming, straight from the definition."""
    lengths: list[int] = []
    for i, value in enumerate(values):
        lengths.append(1 + max((lengths[j] for j in range(i) if values[j] > value), default=0))
    return max(lengths)


@given(st.lists(st.integers(0, 20), min_size=1, max_size=40))
def test_the_longest_decrease(values: list[int]) -> None:
    members = longest_decrease([float(v) for v in values])
    assert members == sorted(set(members))
    assert all(values[a] > values[b] for a, b in pairwise(members))
    assert len(members) == longest_by_hand([float(v) for v in values])


def test_valley_is_the_middle_of_the_fall() -> None:
    assert valley(RATES, curve(1e-5, 1e-1)) == pytest.approx(1e-3, rel=0.25)


def test_minimum_is_a_tenth_of_the_lowest() -> None:
    assert minimum(RATES, curve(1e-5, 1e-1)) == pytest.approx(1e-2, rel=0.25)


def test_steep_is_where_it_falls_fastest() -> None:
    logs = np.log10(RATES)
    losses = 2 - 1 / (1 + np.exp(-4 * (logs + 3)))  # a logistic fall, steepest at 1e-3
    assert steep(RATES, list(losses)) == pytest.approx(1e-3, rel=0.3)


def test_slide_stays_below_the_rise() -> None:
    losses = curve(1e-5, 1e-1)
    losses[-8:] = [loss * 2 ** (i + 1) for i, loss in enumerate(losses[-8:])]
    assert 1e-7 < slide(RATES, losses) < RATES[-8]
    assert slide(RATES, [1.0] * 84) == RATES[83 - 15]  # nothing to see: where the interval starts


def test_suggestions_come_in_the_order_asked() -> None:
    learn = digit_learner()
    found = learn.lr_find(suggest_funcs=(slide, valley, minimum, steep), show_plot=False)
    assert type(found).__name__ == "SuggestedLRs"
    assert found._fields == ("slide", "valley", "minimum", "steep")
    assert all(1e-7 < rate < 10 for rate in found)
    assert learn.lr_find(show_plot=False)._fields == ("valley",)


def test_a_suggestion_of_ones_own() -> None:
    def middle(lrs, losses):
        return lrs[len(lrs) // 2]

    assert digit_learner().lr_find(suggest_funcs=[middle], show_plot=False).middle > 0


def test_the_suggested_rate_trains() -> None:
    learn = digit_learner(dls=digit_loaders(1400, 300))
    learn.fit_one_cycle(3, learn.lr_find(show_plot=False).valley)
    assert learn.recorder.values[-1][1] < 1.0


def generators():
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_no_trace_is_left() -> None:
    def continued(search: bool):
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        learn = digit_learner()
        learn.model[1].insert(1, nn.Dropout(0.5))
        learn.fit_one_cycle(1)
        modes = [m.training for m in learn.model.modules()]
        before, state = weights_of(learn), copy.deepcopy(learn.opt.state_dict())
        if search:
            learn.lr_find(show_plot=False, num_it=20)
        assert equal(before, weights_of(learn))
        assert learn.dls.train.epoch == 1
        assert [m.training for m in learn.model.modules()] == modes
        assert learn.opt.state_dict()["param_groups"] == state["param_groups"]
        drawn = generators()
        learn.fit(1)
        return weights_of(learn), drawn

    searched, plain = continued(True), continued(False)
    assert equal(searched[0], plain[0])
    assert searched[1] == plain[1]


def test_no_trace_is_left_after_an_error_either() -> None:
    class Stop(Callback):
        def after_batch(self, state):
            if state.step == 7:
                raise KeyboardInterrupt

    learn = digit_learner(cbs=Stop())
    before = weights_of(learn)
    with pytest.raises(KeyboardInterrupt):
        learn.lr_find(show_plot=False)
    assert equal(before, weights_of(learn))


def test_frozen_parts_stay_frozen() -> None:
    learn = digit_learner()
    learn.freeze()
    learn.lr_find(show_plot=False, num_it=10)
    assert not learn.model[0][0].weight.requires_grad


def test_it_takes_as_many_epochs_as_it_needs() -> None:
    learn = digit_learner()  # 4 batches an epoch
    learn.lr_find(num_it=50, stop_div=False, show_plot=False)
    search = learn.recorder.lr_search
    assert len(search["lrs"]) == 50
    assert search["lrs"][0] == pytest.approx(1e-7)
    assert search["lrs"][-1] == pytest.approx(10)
    assert np.ptp(np.diff(np.log(search["lrs"]))) < 1e-9


def test_early_divergence_still_gives_a_suggestion() -> None:
    learn = digit_learner(opt_func=torch.optim.SGD)
    found = learn.lr_find(start_lr=1e-2, end_lr=1e6, num_it=40, show_plot=False)
    assert 1e-2 < found.valley < 1e3
    assert len(learn.recorder.lr_search["lrs"]) < 25


def test_divergence_at_once_says_what_to_do() -> None:
    class Explode(Callback):
        def after_pred(self, state):
            state.pred = state.pred * 10.0 ** (3 * self.learner.state.step)

    learn = digit_learner(cbs=Explode())
    with pytest.raises(TrainingError, match="start_lr"):
        learn.lr_find(show_plot=False)

    class Spoil(Callback):
        def after_pred(self, state):
            state.pred = state.pred * float("nan")

    with pytest.raises(TrainingError, match="hold no NaN"):
        digit_learner(cbs=Spoil()).lr_find(show_plot=False)


def test_ranges_are_checked() -> None:
    learn = digit_learner()
    for wrong in ({"start_lr": 0}, {"start_lr": 1, "end_lr": 0.1}, {"num_it": 2}):
        with pytest.raises(ArgumentError, match="lr_find"):
            learn.lr_find(**wrong)


def test_callbacks_that_save_or_stop_sit_out() -> None:
    class Save(Callback):
        in_lr_find = False

        def after_batch(self, state):
            raise AssertionError("must not run")

    digit_learner(cbs=Save()).lr_find(num_it=8, show_plot=False)


def test_the_plot_marks_every_suggestion() -> None:
    losses = curve(1e-5, 1e-1)
    axes = plot_lr_find(RATES, losses, {"valley": 1e-3, "minimum": 1e-2})
    line, valley_mark, minimum_mark = axes.get_lines()
    np.testing.assert_array_equal(line.get_xdata(), RATES)
    assert axes.get_xscale() == "log"
    assert [float(mark.get_xdata()[0]) for mark in (valley_mark, minimum_mark)] == [1e-3, 1e-2]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "valley: 1.0e-03",
        "minimum: 1.0e-02",
    ]
    assert float(valley_mark.get_ydata()[0]) == pytest.approx(np.interp(-3, np.log10(RATES), losses))


def test_plotting_is_on_by_default() -> None:
    import matplotlib.pyplot as plt

    digit_learner().lr_find(num_it=10)
    assert len(plt.get_fignums()) == 1
