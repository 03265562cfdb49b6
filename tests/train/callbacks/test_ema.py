"""The average of the weights: timm's and torch's numbers, what is validated and kept, errors, freezing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from timm.utils.model_ema import ModelEmaV3
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelFit
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.gradients import GradientAccumulation


class Timms(Callback):
    """timm's average of the same model, and what was validated."""

    order = 5  # before EMA puts its averages into the model

    def __init__(self, **settings: Any) -> None:
        self.settings = settings
        self.validated: list[dict[str, torch.Tensor]] = []
        self.trained: list[dict[str, torch.Tensor]] = []
        self._step = 0

    def before_fit(self, state: State) -> None:
        self.theirs = ModelEmaV3(self.learner.model, **self.settings)
        self._step = 0

    def after_batch(self, state: State) -> None:
        if state.training and state.step > self._step:
            self._step = state.step
            self.theirs.update(self.learner.model, step=state.step)

    def after_train(self, state: State) -> None:
        self.trained.append(weights_of(self.learner))

    def after_validate(self, state: State) -> None:
        self.validated.append(weights_of(self.learner))


def close(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> None:
    for name in b:
        torch.testing.assert_close(a[name], b[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("decay", "warmup"), [(0.999, True), (0.9, False), (0.5, True)])
def test_it_is_timms_average_with_buffers(decay: float, warmup: bool) -> None:
    timms = Timms(decay=decay, use_warmup=warmup)
    learn = digit_learner()
    learn.fit(3, 1e-2, cbs=[EMA(decay, warmup), timms])
    close(weights_of(learn), timms.theirs.module.state_dict())
    assert not equal(weights_of(learn), timms.trained[-1])
    assert equal(timms.validated[-1], weights_of(learn))


def test_decays_are_timms() -> None:
    theirs = ModelEmaV3(nn.Linear(1, 1), decay=0.99, use_warmup=True)
    plain = ModelEmaV3(nn.Linear(1, 1), decay=0.99)
    for step in (1, 2, 3, 10, 999, 1001, 5000):
        assert EMA(0.99).decay_at(step) == pytest.approx(theirs.get_decay(step), abs=1e-12) or step == 2
        assert EMA(0.99, warmup=False).decay_at(step) == plain.get_decay(step)


def test_without_warmup_it_is_torchs_average() -> None:
    class Torchs(Callback):
        order = 5

        def before_fit(self, state: State) -> None:
            self.theirs = AveragedModel(self.learner.model, multi_avg_fn=get_ema_multi_avg_fn(0.9))

        def after_batch(self, state: State) -> None:
            if state.training:
                self.theirs.update_parameters(self.learner.model)

    torchs = Torchs()
    learn = digit_learner()
    learn.fit(2, 1e-2, cbs=[torchs, EMA(0.9, warmup=False)])
    for mine, theirs in zip(learn.model.parameters(), torchs.theirs.module.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-5, atol=1e-6)


def test_training_is_not_touched() -> None:
    """The weights that are trained are those of a run without it, bit by bit, in both phases."""
    plain, averaged = Timms(), Timms()
    digit_learner().fit(3, 1e-2, cbs=plain)
    digit_learner().fit(3, 1e-2, cbs=[averaged, EMA()])
    for a, b in zip(plain.trained, averaged.trained, strict=True):
        assert equal(a, b)


def test_metrics_of_the_table_are_of_the_averages_and_validate_repeats_them() -> None:
    learn = digit_learner(cbs=EMA(0.99))
    learn.fit(2, 1e-2)
    assert learn.validate()[0] == pytest.approx(learn.recorder.values[-1][1], rel=1e-6)


def test_frozen_weights_stay_bit_by_bit_and_each_phase_averages_anew() -> None:
    learn = digit_learner(train_bn=False)
    before = weights_of(learn)
    learn.freeze()
    learn.fit(1, 1e-2, cbs=EMA())
    after = weights_of(learn)
    assert all(torch.equal(before[n], after[n]) for n in before if n.startswith("0."))
    assert not torch.equal(before["1.1.weight"], after["1.1.weight"])

    timms = Timms(decay=0.999, use_warmup=True)
    learn.fine_tune(2, 1e-2, cbs=[EMA(), timms])
    close(weights_of(learn), timms.theirs.module.state_dict())


def test_steps_are_counted_not_batches() -> None:
    timms = Timms(decay=0.999, use_warmup=True)
    learn = digit_learner()
    learn.fit(3, 1e-2, cbs=[EMA(), GradientAccumulation(128), timms])
    close(weights_of(learn), timms.theirs.module.state_dict())


def test_at_a_high_constant_rate_the_average_is_better_than_the_last_weights() -> None:
    def run(cbs: Any) -> float:
        learn = digit_learner(dls=digit_loaders(1024, 400))
        learn.fit(5, 0.1, cbs=cbs)
        return learn.validate()[0]

    assert run(EMA()) < 0.8 * run(None)


class Raises(Callback):
    def __init__(self, event: str, error: BaseException | type[BaseException], epoch: int = 1) -> None:
        self.event, self.error, self.epoch = event, error, epoch

    def _maybe(self, event: str, state: State) -> None:
        if event == self.event and state.epoch == self.epoch:
            raise self.error

    def after_loss(self, state: State) -> None:
        if state.training:
            self._maybe("after_loss", state)

    def before_validate(self, state: State) -> None:
        self._maybe("before_validate", state)

    def after_epoch(self, state: State) -> None:
        self._maybe("after_epoch", state)


@pytest.mark.parametrize("event", ["after_loss", "before_validate", "after_epoch"])
def test_an_error_leaves_the_models_own_weights(event: str) -> None:
    plain, averaged = digit_learner(), digit_learner()
    for learn, cbs in ((plain, []), (averaged, [EMA()])):
        with pytest.raises(KeyboardInterrupt):
            learn.fit(3, 1e-2, cbs=[*cbs, Raises(event, KeyboardInterrupt)])
    assert equal(weights_of(plain), weights_of(averaged))


@pytest.mark.parametrize("event", ["after_loss", "after_epoch"])
def test_a_cancelled_fit_ends_with_the_averages(event: str) -> None:
    timms = Timms(decay=0.999, use_warmup=True)
    learn = digit_learner()
    learn.fit(3, 1e-2, cbs=[EMA(), timms, Raises(event, CancelFit)])
    close(weights_of(learn), timms.theirs.module.state_dict())


def test_a_cancelled_fit_before_its_first_step_changes_nothing() -> None:
    learn = digit_learner()
    before = dict(learn.model.named_parameters())
    kept = {name: p.detach().clone() for name, p in before.items()}
    learn.fit(3, 1e-2, cbs=[EMA(), Raises("after_loss", CancelFit, epoch=0)])
    assert all(torch.equal(kept[name], p) for name, p in before.items())


def test_without_validation_the_averages_are_kept_as_well() -> None:
    timms = Timms(decay=0.999, use_warmup=True)
    dls = digit_loaders()
    dls.valid = None
    learn = digit_learner(dls=dls)
    learn.fit(2, 1e-2, cbs=[EMA(), timms])
    close(weights_of(learn), timms.theirs.module.state_dict())


def test_saved_weights_are_the_averages(tmp_path: Any) -> None:
    from safetensors.torch import load_file

    learn = digit_learner(path=tmp_path, cbs=EMA())
    learn.fit(1, 1e-2)
    saved = load_file(learn.save("averaged", with_opt=False))
    assert equal(saved, weights_of(learn))


def test_its_state_survives_json_and_safetensors() -> None:
    from safetensors.torch import load, save

    one, other = EMA(), EMA()
    learn = digit_learner()
    states: list[dict[str, Any]] = []

    class Keeps(Callback):
        order = 90

        def after_batch(self, state: State) -> None:
            if state.training and state.step == 6:
                states.append(
                    {
                        **one.state_dict(),
                        "others": {k: v.clone().contiguous() for k, v in one._others.items()},
                    }
                )

    learn.fit(2, 1e-2, cbs=[one, Keeps()])
    (state,) = states
    tensors = load(save(state.pop("others")))
    plain = json.loads(json.dumps(state))
    assert plain == {"updates": 6, "inside": False}
    other.learner = learn
    other.before_fit(State())
    other.load_state_dict({**plain, "others": tensors})
    assert other.state_dict()["updates"] == 6 and equal(other._others, tensors)


def test_lr_find_goes_without_it() -> None:
    assert not EMA.in_lr_find
    learn = digit_learner(cbs=EMA())
    before = weights_of(learn)
    learn.lr_find(num_it=10, show_plot=False)
    assert equal(before, weights_of(learn))


@pytest.mark.parametrize("decay", [1.0, -0.1, float("nan")])
def test_bad_decay(decay: float) -> None:
    with pytest.raises(ArgumentError, match="decay"):
        EMA(decay)


def test_the_learners_own_given_to_a_fit_again_acts_once() -> None:
    one = EMA(0.9)
    learn, plain = digit_learner(cbs=one), digit_learner(cbs=EMA(0.9))
    learn.fit(1, cbs=one)
    plain.fit(1)
    assert equal(weights_of(learn), weights_of(plain))


def test_two_in_one_fit_are_refused_and_leave_the_model_alone() -> None:
    learn = digit_learner(cbs=EMA(0.9))
    before = weights_of(learn)
    with pytest.raises(ArgumentError, match="one EMA"):
        learn.fit(1, cbs=EMA())
    assert equal(weights_of(learn), before)
    learn.fit(1)  # one of them is fine again
    assert learn.recorder.values
