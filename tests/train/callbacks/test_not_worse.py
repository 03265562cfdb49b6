"""`NotWorse`: the weights from before come back if, and only if, the fit has made the model worse."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.support import digit_learner, equal, weights_of

from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.not_worse import NotWorse
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy, error_rate

RUINOUS, GOOD = 5.0, 1e-2


def trained() -> Learner:
    learn = digit_learner(metrics=[error_rate, accuracy])
    learn.fit_one_cycle(3, 2e-2)
    return learn


def test_a_fit_that_ruins_the_model_is_undone(capsys: pytest.CaptureFixture[str]) -> None:
    learn = trained()
    before, score = weights_of(learn), learn.validate()
    learn.show_table = True
    learn.fit(1, RUINOUS, cbs=NotWorse())
    assert learn.recorder.values[-1][2] > score[1]
    assert equal(before, weights_of(learn))
    assert learn.validate() == score
    assert learn.recorder.phases[-1]["kept"] == "before"
    assert "is kept" in capsys.readouterr().out


def test_a_fit_that_helps_stands() -> None:
    learn = digit_learner(metrics=accuracy)
    learn.fit(1, 1e-4)
    before = weights_of(learn)
    learn.fit_one_cycle(3, GOOD, cbs=NotWorse())
    assert not equal(before, weights_of(learn))
    assert "kept" not in learn.recorder.phases[-1]


def test_without_a_metric_the_loss_decides() -> None:
    learn = trained()
    learn.metrics = None
    learn.fit(1, 1e-6)
    before = weights_of(learn)
    learn.fit(1, RUINOUS, cbs=NotWorse())
    assert equal(before, weights_of(learn))


def test_nothing_before_and_nothing_to_validate() -> None:
    learn = digit_learner(metrics=accuracy)
    learn.fit(1, GOOD, cbs=NotWorse())
    learn.dls.valid = None
    learn.fit(1, RUINOUS, cbs=NotWorse())
    assert "kept" not in learn.recorder.phases[-1]


@pytest.mark.parametrize(
    ("before", "after", "lower", "worse"),
    [
        (0.1, 0.2, True, True),
        (0.2, 0.1, True, False),
        (0.9, 0.8, False, True),
        (0.1, float("nan"), False, True),
    ],
)
def test_what_is_worse(before: float, after: float, lower: bool, worse: bool) -> None:
    assert NotWorse.is_worse(before, after, lower) is worse


class _Stop(Callback):
    def after_epoch(self, state: State) -> None:
        if state.epoch == 0 and len(self.learner.recorder.phases) == 2:
            raise KeyboardInterrupt


def test_a_run_that_goes_on_remembers_the_weights_from_before(tmp_path: Path) -> None:
    def learner() -> Learner:
        learn = digit_learner(metrics=error_rate, path=tmp_path, checkpoint_every=0)
        torch.manual_seed(0)
        learn.fit_one_cycle(3, 2e-2, resume=True)
        return learn

    first = learner()
    kept = weights_of(first)
    with pytest.raises(KeyboardInterrupt):
        first.fit(2, RUINOUS, cbs=[NotWorse(), _Stop()], resume=True)
    again = learner()
    again.fit(2, RUINOUS, cbs=[NotWorse(), _Quiet()], resume=True)
    assert equal(kept, weights_of(again))


class _Quiet(_Stop):
    def after_epoch(self, state: State) -> None:
        """Lets the run go on."""


def test_fine_tune_uses_it_after_a_probe_unless_a_file_is_kept() -> None:
    seen: list[list[str]] = []

    class Watch(Callback):
        def before_fit(self, state: State) -> None:
            seen.append([type(cb).__name__ for cb in self.learner._active])  # pyright: ignore

    learn = digit_learner(metrics=error_rate, train_bn=False)
    learn.fine_tune(1, cbs=Watch())
    learn.fine_tune(1, cbs=[Watch(), SaveModel("error_rate", fname=None)])
    assert ["NotWorse" in names for names in seen] == [True, False]
