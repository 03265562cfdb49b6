"""Early stopping and lower rates on a plateau: torch's scheduler on the same series, names, resuming."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.train.support import digit_learner, digit_loaders
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.monitor import EarlyStopping, Monitor, ReduceLROnPlateau, lower_is_better
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.metrics.core import accuracy, error_rate


class Series(Callback):
    """Puts given numbers in the place of a column, as if they had been measured; notes rates and epochs."""

    order = -9  # right after the history has made the row

    def __init__(self, values: list[float], name: str = "valid_loss") -> None:
        self.values, self.name = values, name
        self.rates: list[float] = []
        self.epochs = 0

    def after_epoch(self, state: State) -> None:
        state.row[self.name] = self.values[state.epoch]
        self.epochs += 1
        self.rates.append(self.learner.recorder.lrs[-1])


def run(values: list[float], cbs: Any, name: str = "valid_loss", lr: float = 0.1) -> Series:
    series = Series(values, name)
    learn = digit_learner(dls=digit_loaders(64, 20), metrics=[accuracy])
    learn.fit(len(values), lr, cbs=[cbs, series])
    return series


def torchs_rates(values: list[float], lr: float = 0.1, **options: Any) -> list[float]:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=lr)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, threshold_mode="abs", eps=0, **options)
    rates: list[float] = []
    for value in values:
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step(value)
    return rates


PLATEAUS = [1.0, 0.5, 0.5, 0.6, 0.5, 0.4, 0.41, 0.42, 0.4, 0.399, 0.5, 0.5, 0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("mine", "theirs"),
    [
        ({"patience": 0}, {"patience": 0, "threshold": 0}),
        ({"patience": 2}, {"patience": 2, "threshold": 0}),
        ({"patience": 1, "cooldown": 2}, {"patience": 1, "cooldown": 2, "threshold": 0}),
        ({"patience": 1, "min_delta": 0.02}, {"patience": 1, "threshold": 0.02}),
        (
            {"patience": 0, "factor": 0.5, "min_lr": 0.02},
            {"patience": 0, "factor": 0.5, "min_lr": 0.02, "threshold": 0},
        ),
    ],
)
def test_rates_are_those_of_torchs_scheduler(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert run(PLATEAUS, ReduceLROnPlateau(**mine)).rates == pytest.approx(torchs_rates(PLATEAUS, **theirs))
    higher = [-value for value in PLATEAUS]
    found = run(higher, ReduceLROnPlateau("accuracy", **mine), "accuracy").rates
    assert found == pytest.approx(torchs_rates(higher, mode="max", **theirs))


@settings(deadline=None, max_examples=200)
@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.4, math.nan, math.inf]), min_size=1, max_size=30),
    st.integers(0, 4),
    st.integers(0, 3),
)
def test_any_series(values: list[float], patience: int, cooldown: int) -> None:
    """Events only, no training: NaN counts as no improvement, as for torch."""
    mine = ReduceLROnPlateau(patience=patience, cooldown=cooldown, factor=0.5)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, patience=patience, cooldown=cooldown, factor=0.5, threshold=0, threshold_mode="abs", eps=0
    )
    for value in values:
        mine.after_epoch(State(row={"valid_loss": value}))
        theirs.step(value)
        assert mine.scale == pytest.approx(optimizer.param_groups[0]["lr"])


def test_every_group_is_lowered_and_cycles_are_scaled() -> None:
    class Rates(Callback):
        order = 90

        def __init__(self) -> None:
            self.seen: list[list[float]] = []

        def after_loss(self, state: State) -> None:
            if state.training:
                groups = self.learner.opt.param_groups
                assert {g["layer"]: g["lr"] for g in groups} == dict(enumerate(state.lrs))
                self.seen.append(state.lrs)

    plain, lowered = Rates(), Rates()
    for rates, cbs in ((plain, []), (lowered, [ReduceLROnPlateau(patience=0, factor=0.5)])):
        learn = digit_learner(dls=digit_loaders(64, 20, bs=32))
        learn.fit_one_cycle(4, slice(1e-3, 1e-1), cbs=[rates, *cbs, Series([1.0, 2.0, 0.5, 3.0])])
    scales = [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5]
    for a, b, scale in zip(plain.seen, lowered.seen, scales, strict=True):
        assert b == pytest.approx([rate * scale for rate in a])


@pytest.mark.parametrize(
    ("values", "patience", "min_delta", "stops_after"),
    [
        ([3.0, 2.0, 2.0, 1.0], 1, 0.0, 3),
        ([3.0, 2.0, 2.0, 1.0, 1.0, 1.0, 0.5], 2, 0.0, 6),
        ([3.0, 2.0, 1.95, 1.0], 1, 0.1, 3),
        ([3.0, 2.0, 1.0], 1, 0.0, 3),
        ([3.0, math.nan, 1.0], 1, 0.0, 2),
    ],
)
def test_early_stopping(values: list[float], patience: int, min_delta: float, stops_after: int) -> None:
    """Counted by hand; the same as Keras' and Lightning's rule."""
    assert run(values, EarlyStopping("valid_loss", min_delta, patience)).epochs == stops_after
    higher = [1 - value for value in values]
    assert run(higher, EarlyStopping("accuracy", min_delta, patience), "accuracy").epochs == stops_after
    down = EarlyStopping("accuracy", min_delta, patience, mode="min")
    assert run(values, down, "accuracy").epochs == stops_after


def test_the_last_row_is_there_and_the_next_phase_runs() -> None:
    learn = digit_learner(dls=digit_loaders(64, 20), cbs=[Series([1.0, 2.0, 2.0]), EarlyStopping()])
    learn.fine_tune(3, freeze_epochs=3)
    assert [len(phase["rows"]) for phase in learn.recorder.phases] == [2, 2]


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau, lambda name: SaveModel(name, fname=None)])
def test_an_unknown_name_is_refused_before_training(make: Any) -> None:
    learn = digit_learner(metrics=[accuracy, error_rate])
    with pytest.raises(ArgumentError, match="train_loss, valid_loss, accuracy, error_rate"):
        learn.fit(1, cbs=make("acuracy"))
    assert learn.recorder.losses == []
    no_valid = digit_loaders()
    no_valid.valid = None
    with pytest.raises(ArgumentError, match="train_loss"):
        digit_learner(dls=no_valid).fit(1, cbs=make("valid_loss"))
    digit_learner(dls=no_valid).fit(1, cbs=make("train_loss"))


def test_directions_of_all_metrics_of_the_project() -> None:
    lower = ("train_loss", "valid_loss", "error_rate", "mae", "mse", "rmse", "point_error", "brier_score")
    higher = (
        "accuracy",
        "accuracy_multi",
        "f1_score",
        "roc_auc",
        "dice",
        "jaccard",
        "pixel_accuracy",
        "r2_score",
    )
    assert all(lower_is_better(name) for name in (*lower, "hamming_loss", "error_rate_2", "MAE"))
    assert not any(lower_is_better(name) for name in (*higher, "map", "top_k_accuracy", "remae"))


@pytest.mark.parametrize("make", [EarlyStopping, ReduceLROnPlateau, Monitor])
def test_state_survives_json(make: Any) -> None:
    one, other = make(), make()
    for value in (3.0, 2.0, 2.5):
        if isinstance(one, EarlyStopping):
            one.patience = 9
        one.after_epoch(State(row={"valid_loss": value}))
    other.load_state_dict(json.loads(json.dumps(one.state_dict())))
    assert vars(one).items() - {("patience", 9)} <= vars(other).items()


def test_a_fit_starts_afresh() -> None:
    stop, plateau = EarlyStopping(patience=2), ReduceLROnPlateau(patience=0)
    learn = digit_learner(dls=digit_loaders(64, 20))
    learn.fit(3, cbs=[Series([1.0, 2.0, 3.0]), stop, plateau])
    assert (stop.best, stop.waited) == (1.0, 2) and plateau.scale < 1
    learn.fit(1, cbs=[Series([5.0]), stop, plateau])
    assert (stop.best, stop.waited, plateau.scale) == (5.0, 0, 1.0)


def test_lr_find_goes_without_them() -> None:
    learn = digit_learner(cbs=[EarlyStopping(), ReduceLROnPlateau(), SaveModel(fname=None)])
    assert learn.lr_find(num_it=10, show_plot=False).valley > 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: EarlyStopping(patience=0), "patience"),
        (lambda: EarlyStopping(min_delta=-1), "min_delta"),
        (lambda: EarlyStopping(mode="lower"), "mode"),  # type: ignore[arg-type]
        (lambda: ReduceLROnPlateau(factor=20), r"Pass e\.g\. 0\.05"),
        (lambda: ReduceLROnPlateau(factor=0), "factor"),
        (lambda: ReduceLROnPlateau(patience=-1), "patience"),
    ],
)
def test_bad_arguments(make: Any, says: str) -> None:
    with pytest.raises(ArgumentError, match=says):
        make()
