"""`fit(budget=...)`: it ends on time, whatever a batch costs, and says why it did what it did."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, digits, small_model
from torch import nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError
from wiggly.records import Batch, State
from wiggly.train.callback import Callback
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy
from wiggly.train.probe.budget import seconds_of
from wiggly.train.probe.timetable import SmallerImages


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10 min", 600),
        ("90 s", 90),
        ("90s", 90),
        ("1 h", 3600),
        ("1.5 hours", 5400),
        ("1h30m", 5400),
        ("2 Minutes 5 sec", 125),
        ("1 day", 86400),
        (20, 20),
        ("12", 12),
        (" 0.5 ", 0.5),
        (0.5, 0.5),
    ],
)
def test_times(text: Any, seconds: float) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize(
    "nonsense", ["", "soon", "1 0", "min", "-3 s", "3 s s 4", 0, -1, float("nan"), None, True, "inf h"]
)
def test_what_is_no_time_is_refused(nonsense: Any) -> None:
    with pytest.raises(ArgumentError, match="budget"):
        seconds_of(nonsense)


class Slow(nn.Module):
    """Takes a given time per batch, so that a test does not depend on how busy the machine is."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(self.seconds)
        return x * self.scale


def slow_learner(seconds: float, **settings: Any) -> Learner:
    model = small_model()
    model[0].insert(0, Slow(seconds))
    return digit_learner(model=model, **settings)


def spent(learn: Learner, budget: Any, **settings: Any) -> float:
    started = time.perf_counter()
    learn.fit(budget=budget, **settings)
    return time.perf_counter() - started


def test_ends_on_time_from_random_weights() -> None:
    learn = slow_learner(0.02, metrics=accuracy)
    assert spent(learn, "4 s") == pytest.approx(4, rel=0.1)
    assert learn.recorder.lrs[-1] < 0.01 * max(learn.recorder.lrs)  # the cycle is complete
    assert len(learn.recorder.values) == learn.recorder.phases[-1]["epochs"]


def test_a_frozen_body_is_probed_first_and_then_joins_in() -> None:
    learn = slow_learner(0.02)
    learn.freeze()
    assert spent(learn, 4) == pytest.approx(4, rel=0.1)
    assert [phase["phase"] for phase in learn.recorder.phases] == ["probe", "budget"]
    assert learn.first_unfrozen == 0
    why = learn.recorder.phases[-1]["why"]
    assert re.search(r"everything learns for \d+ epochs?( of \d+ of the \d+ batches( each)?)? at", why)


class Slowing(Callback):
    """Batches that take three times as long from the middle of the fit on."""

    def after_loss(self, state: State) -> None:
        if state.training and state.n_epochs and state.progress > 0.4:
            time.sleep(0.04)


def test_it_adapts_when_batches_become_slower() -> None:
    learn = slow_learner(0.02)
    assert spent(learn, 5, cbs=Slowing()) == pytest.approx(5, rel=0.1)
    assert learn.recorder.lrs[-1] < 0.02 * max(learn.recorder.lrs)


def test_too_little_for_one_pass_trains_on_a_part_and_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    learn = slow_learner(0.3, dls=digit_loaders(bs=32))
    learn.freeze()
    learn.show_table = True
    taken = spent(learn, "1.5 s")
    assert taken < 3
    said = capsys.readouterr().out
    assert "not even one pass over the data fits, so the head learned from" in said
    assert said.count("Budget 1.5 s") == 1
    assert learn.first_unfrozen == 1  # as it was


def test_too_little_for_one_batch_does_one_and_says_that_it_ends_late() -> None:
    learn = slow_learner(0.2, dls=digit_loaders(bs=32))
    learn.fit(budget=0.1)
    assert learn.recorder.phases[-1]["why"].startswith(
        "Budget 0.1 s: everything learns for 1 epoch of 1 of the 8 batches at rates up to 0.001, and ends"
    )
    assert len(learn.recorder.lrs) == 1


def test_the_head_alone_when_the_body_does_not_pay() -> None:
    learn = slow_learner(0.0)
    learn.freeze()
    started = time.perf_counter()
    learn.probe()
    learn.fit(budget=1.03 * (time.perf_counter() - started))
    assert [phase["phase"] for phase in learn.recorder.phases][:2] == ["probe", "probe"]


@pytest.mark.parametrize(
    "more", [{"n_epoch": 3}, {"lr": 0.1}, {"start_epoch": 1}, {"schedule": lambda step: 0.1}]
)
def test_nothing_else_may_choose_epochs_or_rates(more: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match="budget"):
        digit_learner().fit(budget="1 s", **more)


def test_neither_epochs_nor_budget() -> None:
    with pytest.raises(ArgumentError, match="n_epoch"):
        digit_learner().fit()


class _Stop(Callback):
    def after_batch(self, state: State) -> None:
        if state.training and state.n_epochs and state.step == 12:
            raise KeyboardInterrupt


def test_a_run_that_was_killed_goes_on_with_its_plan(tmp_path: Path) -> None:
    def learner() -> Learner:
        torch.manual_seed(0)
        made = slow_learner(0.02, path=tmp_path, checkpoint_every=0)
        made.freeze()
        return made

    cut, cbs = learner(), _Stop()
    with pytest.raises(KeyboardInterrupt):
        cut.fit(budget=5, resume=True, cbs=cbs)
    planned = cut.recorder.phases[-1]
    again = learner()
    cbs.after_batch = lambda state: None  # type: ignore[method-assign]
    taken = spent(again, 5, resume=True, cbs=cbs)
    assert taken < 4.8  # what was spent before counts
    done = again.recorder.phases[-1]
    assert [phase["phase"] for phase in again.recorder.phases] == ["probe", "budget"]
    assert (done["epochs"], done["lr"]) == (planned["epochs"], planned["lr"])
    assert len(again.recorder.losses) > 12


def test_smaller_images_in_training_only() -> None:
    def batch() -> Batch:
        return Batch(
            (torch.rand(2, 3, 64, 48).to(memory_format=torch.channels_last),), (torch.zeros(2),), [0, 1]
        )

    shrink, state = SmallerImages(32), State(batch=batch())
    shrink.before_batch(state)
    assert state.batch is not None
    x = state.batch.inputs[0]
    assert (x.shape, x.is_contiguous(memory_format=torch.channels_last)) == ((2, 3, 32, 24), True)
    whole = State(batch=batch(), training=False)
    shrink.before_batch(whole)
    assert whole.batch is not None
    assert whole.batch.inputs[0].shape == (2, 3, 64, 48)


class Pixels(nn.Module):
    """A step costs in proportion to the pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        time.sleep(0.1 * x.shape[-1] * x.shape[-2] / 128**2)
        if self.training:
            self.seen.append(x.shape[-1])
        return nn.functional.adaptive_avg_pool2d(x, 8) * self.scale


@pytest.mark.slow
def test_images_are_shrunk_where_there_would_be_too_few_epochs() -> None:
    x, y = digits()
    large = nn.functional.interpolate(x[:160], (128, 128))
    pairs = list(zip(large, y[:160], strict=True))
    dls = DataLoaders(DataLoader(pairs, 8, shuffle=True, seed=1), DataLoader(pairs[:16], 8), device="cpu")
    model = small_model()
    pixels = Pixels()
    model[0].insert(0, pixels)
    learn = digit_learner(dls=dls, model=model)
    assert spent(learn, 4) == pytest.approx(4, rel=0.12)
    assert min(pixels.seen) < 128
    assert "px instead of 128" in learn.recorder.phases[-1]["why"]
