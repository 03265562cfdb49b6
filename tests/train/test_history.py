"""The history: smoothing against its formula, rows against what is measured by hand, and the stop at NaN."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from torch import nn

from wiggly.errors import TrainingError
from wiggly.train.callback import Callback
from wiggly.train.history import Smoother
from wiggly.train.metrics.core import accuracy, error_rate


def test_smoothing_is_a_debiased_average() -> None:
    values = np.random.default_rng(0).normal(size=30)
    smoother = Smoother(0.98)
    made = [smoother.add(value) for value in values]
    for n in (1, 2, 30):
        weights = (
            0.98 ** np.arange(n)[::-1]
        )  # the same as a weighted mean with weights that fade into the past
        assert made[n - 1] == pytest.approx(np.average(values[:n], weights=weights))


def test_a_row_for_every_epoch_of_the_last_fit() -> None:
    learn = digit_learner(metrics=[accuracy, error_rate])
    learn.fine_tune(2)
    recorder = learn.recorder
    assert recorder.metric_names == ["epoch", "train_loss", "valid_loss", "accuracy", "error_rate", "time"]
    assert len(recorder.values) == 2
    assert len(recorder.losses) == len(recorder.lrs) == 8
    assert recorder.values[-1][0] == recorder.losses[-1]
    assert recorder.values[-1][1:] == pytest.approx(learn.validate())
    assert sum(recorder.values[-1][2:]) == pytest.approx(1)
    frame = recorder.to_frame()
    assert list(frame.columns) == recorder.metric_names[1:-1]
    np.testing.assert_array_equal(frame.to_numpy(), recorder.values)


def test_the_phases_of_fine_tune_are_both_kept_as_json() -> None:
    learn = digit_learner(metrics=error_rate)
    learn.fine_tune(2, base_lr=1e-2)
    phases = json.loads(json.dumps(learn.recorder.phases))
    assert [phase["first_unfrozen"] for phase in phases] == [1, 0]
    assert [phase["lr"] for phase in phases] == [pytest.approx([1e-3, 1e-2]), pytest.approx([5e-5, 5e-3])]
    assert [len(phase["rows"]) for phase in phases] == [1, 2]
    assert [phase["steps"] for phase in phases] == [4, 8]
    assert phases[1]["rows"][1][1:-1] == learn.recorder.values[1]
    assert all(phase["seconds"] > 0 for phase in phases)


def test_the_loss_of_an_epoch_without_validation_is_missing() -> None:
    learn = digit_learner()
    learn.dls.valid = []
    learn.fit(1)
    assert math.isnan(learn.recorder.values[0][1])
    assert learn.recorder.phases[0]["rows"][0][2] is None  # NaN is not JSON


class Spoil(Callback):
    """Makes the loss NaN at one step."""

    def __init__(self, at: int) -> None:
        self.at = at

    def after_pred(self, state):
        if state.training and state.step == self.at:
            state.pred = state.pred * math.nan


def test_a_loss_that_is_no_number_stops_before_it_spoils_the_weights() -> None:
    learn = digit_learner()
    with pytest.raises(
        TrainingError, match=r"nan at step 6 \(epoch 1\), at a learning rate of 0.003"
    ) as caught:
        learn.fit(2, 3e-3, cbs=Spoil(5))
    assert "0.0003" in caught.value.fix
    assert all(value.isfinite().all() for name, value in weights_of(learn).items() if "running" not in name)
    assert len(learn.recorder.losses) == 5


def test_on_a_device_that_waits_losses_are_read_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU is not at hand: a tensor that says it lives elsewhere takes its place."""
    reads = []

    class CountedTorch:
        @staticmethod
        def stack(values):
            reads.append(len(values))
            return torch.stack(values)

    monkeypatch.setattr("wiggly.train.history.torch", CountedTorch)

    class Elsewhere(torch.Tensor):
        @property
        def device(self):
            return torch.device("meta")

    class Pretend(Callback):
        order = -15  # before the history

        def after_loss(self, state):
            state.loss = state.loss.as_subclass(Elsewhere)

    learn = digit_learner(dls=digit_loaders(n_train=20 * 8, bs=8))
    learn.fit(1, cbs=Pretend())
    assert reads == [16, 4]
    assert len(learn.recorder.losses) == len(learn.recorder.raw_losses) == 20


def test_plot_loss_draws_both_curves() -> None:
    learn = digit_learner()
    learn.fit(3)
    axes = learn.recorder.plot_loss(skip_start=2)
    train, valid = axes.get_lines()
    np.testing.assert_array_equal(train.get_ydata(), learn.recorder.losses[2:])
    np.testing.assert_array_equal(train.get_xdata(), range(2, 12))
    np.testing.assert_array_equal(valid.get_xdata(), [3, 7, 11])
    np.testing.assert_array_equal(valid.get_ydata(), [row[1] for row in learn.recorder.values])
    assert len(learn.recorder.plot_loss(with_valid=False).get_lines()) == 1


def test_the_training_loss_is_the_models() -> None:
    learn = digit_learner(dls=digit_loaders(n_train=64), model=nn.Sequential(nn.Flatten(), nn.Linear(64, 10)))
    learn.splitter = lambda model: list(model.parameters())
    x, y = (torch.stack(column) for column in zip(*learn.dls.train.dataset, strict=True))
    wanted = nn.functional.cross_entropy(learn.model(x), y).item()
    learn.fit(1)
    assert learn.recorder.raw_losses == [pytest.approx(wanted, rel=1e-5)]


def test_lr_find_leaves_the_history_alone() -> None:
    learn = digit_learner()
    learn.fit(1)
    values, before = learn.recorder.values, weights_of(learn)
    learn.lr_find(show_plot=False)
    assert learn.recorder.values is values
    assert len(learn.recorder.phases) == 1
    assert equal(before, weights_of(learn))
