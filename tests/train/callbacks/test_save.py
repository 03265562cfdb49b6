"""The best epoch is what the model has in the end, from memory or a file; no better file is overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.train.callbacks.test_monitor import Series
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.monitor import EarlyStopping
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.metrics.core import accuracy


class Epochs(Callback):
    """A copy of the weights as each epoch was validated."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []

    def after_validate(self, state: State) -> None:
        self.weights.append(weights_of(self.learner))


def learner(path: Path, **settings: Any) -> Any:
    return digit_learner(dls=digit_loaders(128, 20), path=path, metrics=accuracy, **settings)


VALUES = [3.0, 1.0, 2.0, 1.5]


@pytest.mark.parametrize("fname", [None, "best"])
def test_the_best_epoch_is_there_in_the_end(fname: str | None, tmp_path: Path) -> None:
    epochs, save = Epochs(), SaveModel(fname=fname)
    learn = learner(tmp_path)
    learn.fit(4, 1e-2, cbs=[epochs, Series(VALUES), save])
    assert equal(weights_of(learn), epochs.weights[1])
    assert (save.best, save.best_epoch) == (1.0, 1)
    if fname:
        assert equal(load_file(tmp_path / "models" / "best.safetensors"), epochs.weights[1])
    else:
        assert not (tmp_path / "models").exists()


def test_higher_is_better_for_accuracy_and_the_table_names_it(tmp_path: Path) -> None:
    """On real numbers: the model in the end has the best accuracy of the table."""
    learn = learner(tmp_path)
    learn.fit(4, 3e-2, cbs=SaveModel("accuracy"))
    assert learn.validate()[1] == pytest.approx(max(row[2] for row in learn.recorder.values))


def test_both_phases_of_fine_tune_count(tmp_path: Path) -> None:
    """The second phase is worse than the first: the end is the best of the first."""

    class Phases(Series):
        def after_epoch(self, state: State) -> None:
            state.row["valid_loss"] = 1.0 if len(self.learner.recorder.phases) == 1 else 2.0

    for fname in (None, "model"):
        epochs = Epochs()
        learn = learner(tmp_path)
        learn.fine_tune(2, 1e-2, cbs=[epochs, Phases([]), SaveModel(fname=fname)])
        assert equal(weights_of(learn), epochs.weights[0])


def test_a_restarted_run_does_not_overwrite_a_better_one(tmp_path: Path, capsys: Any) -> None:
    first = learner(tmp_path)
    first.fit(2, 1e-2, cbs=[Series([1.0, 2.0]), SaveModel(fname="best")])
    file = tmp_path / "models" / "best.safetensors"
    kept = file.read_bytes()

    epochs, worse = Epochs(), learner(tmp_path)
    worse.fit(2, 1e-3, cbs=[epochs, Series([1.7, 1.5]), SaveModel(fname="best")])
    assert file.read_bytes() == kept
    assert "best.safetensors' of an earlier run is better (valid_loss 1.000000" in capsys.readouterr().out
    assert equal(weights_of(worse), epochs.weights[1])

    other = learner(tmp_path)
    other.fit(1, 1e-3, cbs=[Series([0.5], "accuracy"), SaveModel("accuracy", fname="best")])
    assert file.read_bytes() != kept  # another number: there is nothing to compare

    better = learner(tmp_path)
    better.fit(1, 1e-3, cbs=[Series([0.9], "accuracy"), SaveModel("accuracy", fname="best")])
    assert equal(load_file(file), weights_of(better))
    assert not capsys.readouterr().out


def test_a_file_that_the_user_saved_carries_no_value(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.save("best")
    learn.fit(1, 1e-2, cbs=SaveModel(fname="best"))
    assert equal(load_file(tmp_path / "models" / "best.safetensors"), weights_of(learn))


def test_with_averages_what_was_validated_is_saved(tmp_path: Path) -> None:
    for cbs in ([EMA(0.9), SaveModel()], [SaveModel(), EMA(0.9)]):
        epochs, learn = Epochs(), learner(tmp_path)
        learn.fit(3, 1e-2, cbs=[*cbs, epochs, Series([2.0, 1.0, 3.0])])
        assert equal(weights_of(learn), epochs.weights[1])
        (tmp_path / "models" / "model.safetensors").unlink()


def test_with_early_stopping_in_any_order(tmp_path: Path) -> None:
    for cbs in ([EarlyStopping(), SaveModel(fname=None)], [SaveModel(fname=None), EarlyStopping()]):
        epochs, learn = Epochs(), learner(tmp_path)
        learn.fit(5, 1e-2, cbs=[*cbs, epochs, Series([2.0, 1.0, 3.0, 0.1, 0.1])])
        assert len(epochs.weights) == 3 and equal(weights_of(learn), epochs.weights[1])


def test_every_epoch_and_at_end(tmp_path: Path) -> None:
    epochs, learn = Epochs(), learner(tmp_path)
    save = SaveModel(fname="run", every_epoch=True)
    learn.fine_tune(2, 1e-2, cbs=[epochs, save])
    assert sorted(p.stem for p in (tmp_path / "models").glob("*.safetensors")) == ["run_0", "run_1", "run_2"]
    for number, weights in enumerate(epochs.weights):
        assert equal(load_file(tmp_path / "models" / f"run_{number}.safetensors"), weights)
    assert equal(weights_of(learn), epochs.weights[-1])
    learn.fit(4, cbs=SaveModel(fname="two", every_epoch=2))
    assert sorted(p.stem for p in (tmp_path / "models").glob("two*")) == ["two_1", "two_3"]
    learn.fit(2, 1e-2, cbs=SaveModel(fname="last", at_end=True))
    assert equal(load_file(tmp_path / "models" / "last.safetensors"), weights_of(learn))


def test_the_optimizer_is_saved_and_loaded_when_asked(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    learn.fit(2, 1e-2, cbs=[Series([1.0, 2.0]), SaveModel(with_opt=True)])
    steps = {int(s["step"]) for s in learn.opt.inner.state.values()}
    assert steps == {2}  # of the first epoch: 2 batches
    without = learner(tmp_path / "other")
    without.fit(2, 1e-2, cbs=[Series([1.0, 2.0]), SaveModel()])
    assert {int(s["step"]) for s in without.opt.inner.state.values()} == {4}


def test_reset_on_fit_and_another_model(tmp_path: Path) -> None:
    save = SaveModel(fname=None)
    learn = learner(tmp_path)
    learn.fit(1, cbs=[Series([1.0]), save])
    learn.fit(1, cbs=[Series([2.0]), save])
    assert save.best == 1.0
    again = SaveModel(fname=None, reset_on_fit=True)
    learn.fit(1, cbs=[Series([1.0]), again])
    learn.fit(1, cbs=[Series([2.0]), again])
    assert again.best == 2.0
    epochs, other = Epochs(), learner(tmp_path)
    other.fit(1, cbs=[Series([3.0]), save, epochs])  # weights of the first learner are not put into another
    assert save.best == 3.0 and equal(weights_of(other), epochs.weights[0])


def test_nothing_is_loaded_when_nothing_was_measured(tmp_path: Path) -> None:
    learn = learner(tmp_path)
    epochs = Epochs()
    learn.fit(2, 1e-2, cbs=[epochs, Series([float("nan")] * 2), SaveModel(fname=None)])
    assert equal(weights_of(learn), epochs.weights[1])


def test_state_survives_json_and_safetensors(tmp_path: Path) -> None:
    save = SaveModel(fname=None)
    learn = learner(tmp_path)
    learn.fit(3, 1e-2, cbs=[Series([2.0, 1.0, 3.0]), save])
    state = save.state_dict()
    tensors = {name: value.clone() for name, value in state.pop("kept").items()}
    other = SaveModel(fname=None)
    other.learner = learn
    other.load_state_dict({**json.loads(json.dumps(state)), "kept": tensors})
    assert (other.best, other.best_epoch, other.epochs_done) == (1.0, 1, 3)
    assert equal(other._kept, weights_of(learn))
    assert all(isinstance(value, torch.Tensor) for value in other.state_dict()["kept"].values())


def test_a_number_that_is_none_in_all_epochs_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    def nothing(pred: Any, target: Any) -> float:
        return float("nan")

    learn = digit_learner(metrics=nothing)
    learn.fit(2, cbs=SaveModel("nothing", fname=None))
    assert "nothing was nan: there is no best epoch, so none was kept" in capsys.readouterr().out


def test_bad_arguments() -> None:
    with pytest.raises(ArgumentError, match="safetensors"):
        SaveModel(fname="model.pth")
    with pytest.raises(ArgumentError, match="need a file"):
        SaveModel(fname=None, every_epoch=True)
