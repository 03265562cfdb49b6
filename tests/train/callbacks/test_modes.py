"""Precision, short epochs, held norms, smoothed labels: torch's numbers, and all as before afterwards."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.train.support import digit_learner, digit_loaders, digits, equal, small_model, weights_of
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelBatch
from wiggly.train.callbacks.gradients import GradientAccumulation
from wiggly.train.callbacks.modes import BnFreeze, LabelSmoothing, MixedPrecision, ShortEpoch, half_precision
from wiggly.train.losses.core import CrossEntropyLossFlat, LabelSmoothingCrossEntropy
from wiggly.train.mix import CutMix, MixUp


class Watch(Callback):
    order = 90

    def __init__(self) -> None:
        self.train: list[dict[str, Any]] = []
        self.valid: list[dict[str, Any]] = []

    def after_loss(self, state: State) -> None:
        assert state.batch is not None
        seen = {"x": state.batch.inputs[0], "y": state.batch.targets[0], "pred": state.pred.detach().clone()}
        seen |= {"loss": state.loss.detach().clone(), "items": state.batch.positions, "lr": state.lrs[-1:]}
        (self.train if state.training else self.valid).append(seen)


# Mixed precision


def test_bfloat16_is_torchs_autocast_by_hand() -> None:
    watch = Watch()
    dls = digit_loaders(64, 64)
    learn = digit_learner(dls=dls, opt_func=torch.optim.SGD)
    learn.fit(1, 0.1, cbs=[MixedPrecision("bfloat16"), watch])
    model, one = small_model(), watch.train[0]
    model.to(memory_format=torch.channels_last)
    with torch.autocast("cpu", torch.bfloat16):
        pred = model(one["x"])
    loss = F.cross_entropy(pred.float(), one["y"])
    loss.backward()
    assert one["pred"].dtype == one["loss"].dtype == torch.float32
    assert torch.equal(one["pred"], pred.float().detach()) and torch.equal(one["loss"], loss.detach())
    for mine, theirs in zip(learn.model.parameters(), model.parameters(), strict=True):
        assert mine.dtype == torch.float32 and theirs.grad is not None
        torch.testing.assert_close(mine.detach(), theirs.detach() - 0.1 * theirs.grad)


def test_training_in_half_precision_learns_as_well_as_in_full() -> None:
    def run(cbs: Any) -> list[float]:
        learn = digit_learner(dls=digit_loaders(1024, 400))
        learn.fit_one_cycle(3, 2e-2, cbs=cbs)
        assert all(math.isfinite(loss) for loss in learn.recorder.raw_losses)
        return learn.recorder.values[-1]

    full, half = run(None), run(MixedPrecision("bfloat16"))
    assert half[1] == pytest.approx(full[1], abs=0.05)


def test_the_choice_for_a_device() -> None:
    chosen = half_precision(torch.device("cpu"))
    able = torch.cpu.get_capabilities()
    assert (chosen == "bfloat16") == any(able.get(n) for n in ("avx512_bf16", "amx_bf16", "bf16"))
    assert half_precision(torch.device("mps")) == "float16"
    watch = Watch()
    learn = digit_learner(dls=digit_loaders(64, 20))
    learn.fit(1, cbs=[MixedPrecision(), watch])
    assert learn.engine.precision == "float32"


@pytest.mark.parametrize("fails", [False, True])
def test_precision_is_put_back(fails: bool) -> None:
    class Looks(Callback):
        def before_train(self, state: State) -> None:
            self.seen = self.learner.engine.precision
            if fails:
                raise KeyboardInterrupt

    looks, learn = Looks(), digit_learner(dls=digit_loaders(64, 20))
    try:
        learn.fit(1, cbs=[looks, MixedPrecision("bfloat16")])
    except KeyboardInterrupt:
        assert fails
    assert looks.seen == "bfloat16" and learn.engine.precision == "float32"


def test_unknown_precision() -> None:
    with pytest.raises(ArgumentError, match="float16"):
        MixedPrecision("half")


# Short epochs


def test_a_share_of_the_batches_and_other_ones_each_epoch() -> None:
    watch = Watch()
    learn = digit_learner(dls=digit_loaders(512, 200, bs=16))
    learn.fit_one_cycle(3, 1e-2, cbs=[ShortEpoch(0.25), watch])
    assert len(watch.train) == 3 * 8 and len(watch.valid) == 3 * math.ceil(13 * 0.25)
    epochs = [tuple(i for b in watch.train[k : k + 8] for i in b["items"]) for k in (0, 8, 16)]
    whole = [learn.dls.train.order(epoch)[: 8 * 16] for epoch in range(3)]
    assert [list(epoch) for epoch in epochs] == whole
    assert learn.dls.train.epoch == 3


def test_schedules_complete() -> None:
    """The rates are those of a fit whose loader has so many batches."""
    short, watch = digit_learner(dls=digit_loaders(512, 20, bs=16)), Watch()
    short.fit_one_cycle(2, 1e-2, cbs=[ShortEpoch(0.25, short_valid=False), watch])
    plain = digit_learner(dls=digit_loaders(128, 20, bs=16))
    plain.fit_one_cycle(2, 1e-2)
    assert short.recorder.lrs == pytest.approx(plain.recorder.lrs)
    assert len(watch.valid) == 2 * 2


def test_the_last_group_of_accumulation_is_stepped() -> None:
    learn = digit_learner(dls=digit_loaders(512, 20, bs=16))
    learn.fit(2, cbs=[ShortEpoch(0.25), GradientAccumulation(48)])
    assert learn.recorder.phases[-1]["steps"] == 2 * 3  # 8 batches: 3 + 3 + 2


def test_whole_epochs_are_those_without_it() -> None:
    one, other = digit_learner(), digit_learner()
    one.fit(2, 1e-2)
    other.fit(2, 1e-2, cbs=ShortEpoch(1.0))
    assert equal(weights_of(one), weights_of(other))
    assert one.dls.train.state_dict() == other.dls.train.state_dict()


def test_validate_and_lr_find_are_whole() -> None:
    learn, plain = digit_learner(cbs=ShortEpoch(0.01)), digit_learner()
    assert learn.validate() == plain.validate()
    assert learn.lr_find(num_it=10, show_plot=False) == plain.lr_find(num_it=10, show_plot=False)


def test_another_librarys_loader() -> None:
    x, y = digits()
    data = torch.utils.data.TensorDataset(x[:64], y[:64])
    dls = digit_loaders(64, 20)
    dls.train = torch.utils.data.DataLoader(data, 16, shuffle=True)
    watch = Watch()
    digit_learner(dls=dls).fit(2, cbs=[ShortEpoch(0.5), watch])
    assert len(watch.train) == 4


@pytest.mark.parametrize("pct", [0, 1.1, float("nan")])
def test_bad_share(pct: float) -> None:
    with pytest.raises(ArgumentError, match="pct"):
        ShortEpoch(pct)


# Held norms


def statistics(learn: Any) -> list[Tensor]:
    return [b.clone() for name, b in learn.model.named_buffers() if "running" in name]


@pytest.mark.parametrize("frozen", [True, False])
def test_running_statistics_stay_and_the_step_is_that_of_evaluation_mode(frozen: bool) -> None:
    learn = digit_learner(dls=digit_loaders(64, 64), opt_func=partial(torch.optim.SGD, lr=0.1))
    learn.fit(1, 0.1)  # statistics unlike those at the start
    learn.freeze() if frozen else learn.unfreeze()
    before, held = weights_of(learn), statistics(learn)
    watch = Watch()
    learn.fit(1, 0.1, cbs=[BnFreeze(), watch])
    assert all(torch.equal(a, b) for a, b in zip(held, statistics(learn), strict=True))

    model = small_model()
    model.load_state_dict(before)
    for name, parameter in learn.model.named_parameters():
        model.get_parameter(name).requires_grad_(parameter.requires_grad)
    model.train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    one = watch.train[0]
    F.cross_entropy(model(one["x"]), one["y"]).backward()
    for mine, theirs in zip(learn.model.parameters(), model.parameters(), strict=True):
        if theirs.grad is not None:  # in the frozen body the norms learn, at a tenth of the rate
            torch.testing.assert_close(
                mine.detach(), theirs.detach() - 0.1 * theirs.grad, rtol=1e-4, atol=1e-6
            )
    learn.fit(1, 0.1)
    assert not all(torch.equal(a, b) for a, b in zip(held, statistics(learn), strict=True))


def test_norms_are_held_again_after_predicting_in_between() -> None:
    class Predicts(Callback):
        def after_loss(self, state: State) -> None:
            if state.training:
                self.learner.validate()

    learn = digit_learner()
    held = statistics(learn)
    learn.fit(1, 1e-2, cbs=[BnFreeze(), Predicts()])
    assert all(torch.equal(a, b) for a, b in zip(held, statistics(learn), strict=True))


def test_norms_of_the_head_are_not_held() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Flatten(), nn.BatchNorm1d(144), nn.Linear(144, 10)),
    )
    learn = digit_learner(model=model)
    body, head = model[0][1].running_mean.clone(), model[1][1].running_mean.clone()
    learn.fit(1, 1e-2, cbs=BnFreeze())
    assert torch.equal(body, model[0][1].running_mean) and not torch.equal(head, model[1][1].running_mean)


# Smoothed labels


@pytest.mark.parametrize("eps", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("weight", [None, torch.rand(10, generator=torch.Generator().manual_seed(0))])
def test_the_loss_is_torchs(eps: float, weight: Tensor | None) -> None:
    torch.manual_seed(0)
    scores, y = torch.randn(32, 10), torch.randint(10, (32,))
    for reduction in ("mean", "sum", "none"):
        mine = LabelSmoothingCrossEntropy(eps, weight, reduction)
        theirs = nn.CrossEntropyLoss(weight, label_smoothing=eps, reduction=reduction)
        torch.testing.assert_close(mine(scores, y), theirs(scores, y))
    assert torch.equal(mine.activation(scores), scores.softmax(1)) and torch.equal(
        mine.decodes(scores), scores.argmax(1)
    )


@pytest.mark.parametrize("loss", [nn.CrossEntropyLoss(), CrossEntropyLossFlat(weight=torch.rand(10) + 0.1)])
def test_labels_are_smoothed_in_training_only(loss: Any) -> None:
    watch = Watch()
    learn = digit_learner(loss_func=loss, cbs=LabelSmoothing(0.2))
    learn.fit(1, 1e-2, cbs=watch)
    for one in watch.train:
        want = F.cross_entropy(one["pred"], one["y"], loss.weight, label_smoothing=0.2)
        torch.testing.assert_close(one["loss"], want)
    for one in watch.valid:
        torch.testing.assert_close(one["loss"], F.cross_entropy(one["pred"], one["y"], loss.weight))
    assert loss.label_smoothing == 0.0
    assert learn.validate() == pytest.approx([learn.recorder.values[-1][1]])


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_mixed_and_smoothed(make: Any) -> None:
    class Lam(Callback):
        def __init__(self, mix: Any) -> None:
            self.mix, self.kept = mix, list[float]()

        def after_loss(self, state: State) -> None:
            if state.training:
                self.kept.append(self.mix.lam)

    for order in (1, -1):
        watch, mix = Watch(), make()
        lam = Lam(mix)
        digit_learner().fit(1, 1e-2, cbs=[mix, LabelSmoothing(0.1), watch, lam][::order])
        for one, share in zip(watch.train, lam.kept, strict=True):
            both = (one["y"], one["y"].roll(1, 0))
            losses = [F.cross_entropy(one["pred"], y, label_smoothing=0.1) for y in both]
            torch.testing.assert_close(one["loss"], share * losses[0] + (1 - share) * losses[1])


def test_smoothing_ends_with_an_error_or_a_cancelled_batch() -> None:
    class Ends(Callback):
        def __init__(self, error: Any) -> None:
            self.error = error

        def after_pred(self, state: State) -> None:
            if state.training and state.batch_index == 1:
                raise self.error

    for error in (KeyboardInterrupt, CancelBatch):
        learn = digit_learner()
        try:
            learn.fit(1, cbs=[LabelSmoothing(), Ends(error)])
        except KeyboardInterrupt:
            assert error is KeyboardInterrupt
        assert learn.loss_func.label_smoothing == 0.0


def test_smoothing_needs_classes() -> None:
    with pytest.raises(ArgumentError, match="cross_entropy"):
        digit_learner(loss_func=F.cross_entropy).fit(1, cbs=LabelSmoothing())
    with pytest.raises(ArgumentError, match="eps"):
        LabelSmoothing(1.5)
