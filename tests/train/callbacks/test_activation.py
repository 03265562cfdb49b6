"""Activation statistics: the numbers are torch's of the same outputs, at the steps asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from tests.train.support import digit_learner, equal, small_model, weights_of
from torch import Tensor
from torch.nn.functional import batch_norm

from wiggly.errors import ArgumentError
from wiggly.train.callback import Callback
from wiggly.train.callbacks.activation import ActivationStats


class Outputs(Callback):
    """Runs the second convolution by hand on each training batch, before the step changes it."""

    def __init__(self) -> None:
        self.found: list[Tensor] = []

    def after_loss(self, state: Any) -> None:
        if state.training:
            conv, norm, _, second = self.learner.model[0][:4]
            with torch.no_grad():
                x = conv(state.batch.inputs[0])
                x = batch_norm(x, None, None, norm.weight, norm.bias, training=True, eps=norm.eps)
                self.found.append(second(x.relu()))


def test_they_are_torchs_numbers_of_the_same_outputs() -> None:
    outputs, stats = Outputs(), ActivationStats(with_hist=True)
    learn = digit_learner()
    learn.fit(2, cbs=[stats, outputs])
    assert stats.names == ["0.0", "0.1", "0.3", "0.4", "1.1"]
    assert stats.steps == list(range(8))
    layer = stats.layer_stats(2)
    for step, output in enumerate(outputs.found):
        assert layer["mean"][step] == pytest.approx(output.mean().item(), rel=1e-4, abs=1e-6)
        assert layer["std"][step] == pytest.approx(output.std().item(), rel=1e-4)
        share = (output.abs() <= 0.05).double().mean().item()
        assert layer["near_zero"][step] == pytest.approx(share, abs=1e-4)
        counts = np.histogram(output.numpy(), bins=40, range=(-5, 5))[0]
        assert (
            np.abs(stats.hists[step, 2].numpy() - counts).sum() <= 2
        )  # a value on a border may go either way
    assert stats.stats.shape == (8, 5, 3)


def test_looking_changes_nothing_and_leaves_nothing() -> None:
    plain, watched = digit_learner(), digit_learner(cbs=ActivationStats(every=3))
    plain.fit(2)
    watched.fit(2)
    assert equal(weights_of(plain), weights_of(watched))
    assert watched.activation_stats.steps == [0, 3, 6]
    assert not any(part._forward_hooks for part in watched.model.modules())
    watched.lr_find(num_it=5, show_plot=False)
    watched.fit(1)
    assert watched.activation_stats.steps == [0, 3, 6, 9]


def test_hooks_go_when_a_fit_fails() -> None:
    class Fail(Callback):
        def after_batch(self, state: Any) -> None:
            raise RuntimeError("made to fail")

    learn = digit_learner(cbs=[ActivationStats(), Fail()])
    with pytest.raises(RuntimeError, match="made to fail"):
        learn.fit(1)
    assert not any(part._forward_hooks for part in learn.model.modules())


def test_only_the_layers_named() -> None:
    model = small_model()
    stats = ActivationStats(modules=[model[0][2]])
    learn = digit_learner(model=model)
    learn.fit(1, cbs=stats)
    assert stats.names == ["0.2"]
    assert min(stats.layer_stats(0)["mean"]) > 0  # behind a ReLU


def test_a_dead_layer_shows() -> None:
    learn = digit_learner(cbs=ActivationStats())
    with torch.no_grad():
        learn.model[0][4].weight.zero_()
    learn.fit(1, lr=1e-9)
    assert learn.activation_stats.layer_stats(-2)["near_zero"] == [1.0] * 4


def test_its_state_goes_on_in_another_run() -> None:
    learn = digit_learner(cbs=ActivationStats(with_hist=True))
    learn.fit(1)
    state = learn.activation_stats.state_dict()
    other = ActivationStats(with_hist=True)
    again = digit_learner(model=learn.model, cbs=other)
    other.load_state_dict(state)
    again.fit(1)
    assert other.steps == list(range(8))
    assert torch.equal(other.stats[:4], learn.activation_stats.stats)


def test_the_pictures_show_every_step() -> None:
    learn = digit_learner(cbs=ActivationStats(with_hist=True))
    learn.fit(1)
    stats = learn.activation_stats
    stats.plot_layer_stats(-2)
    import matplotlib.pyplot as plt

    assert [len(axis.lines[0].get_xdata()) for axis in plt.gcf().axes] == [4, 4, 4]
    axes = stats.color_dim(-2)
    assert np.asarray(axes.images[0].get_array()).shape == (40, 4)
    assert axes.get_title() == "0.4"


def test_what_is_missing_is_named() -> None:
    with pytest.raises(ArgumentError, match="cbs=ActivationStats"):
        _ = digit_learner().activation_stats
    with pytest.raises(ArgumentError, match="every"):
        ActivationStats(every=0)
    stats = ActivationStats()
    with pytest.raises(ArgumentError, match="Fit first"):
        stats.layer_stats(0)
    with pytest.raises(ArgumentError, match="with_hist=True"):
        _ = stats.hists
    digit_learner().fit(1, cbs=stats)
    with pytest.raises(ArgumentError, match="got 9; there are 5 layers"):
        stats.plot_layer_stats(9)
