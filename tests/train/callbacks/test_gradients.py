"""Accumulated gradients are those of one large batch, with any loss and batch size; clipping is torch's."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.train.support import digit_learner, digit_loaders, digits
from torch import Tensor, nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelBatch
from wiggly.train.callbacks.gradients import GradientAccumulation, GradientClip, weight_of
from wiggly.train.losses.core import CrossEntropyLossFlat, LabelSmoothingCrossEntropy, MSELossFlat
from wiggly.train.mix import MixUp


class Watch(Callback):
    """Keeps the items and the gradients of every step, and the losses that callbacks see."""

    order = 15

    def __init__(self) -> None:
        self.steps: list[tuple[list[int], list[Tensor]]] = []
        self.losses: list[float] = []
        self._items: list[int] = []

    def after_pred(self, state: State) -> None:
        if state.training:
            assert state.batch is not None
            self._items += state.batch.positions

    def after_loss(self, state: State) -> None:
        if state.training:
            self.losses.append(float(state.loss.detach()))

    def before_step(self, state: State) -> None:
        gradients = [p.grad.clone() for p in self.learner.model.parameters() if p.grad is not None]
        self.steps.append((self._items, gradients))
        self._items = []


def linear(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def learner(n_train: int, bs: int, **settings: Any) -> Any:
    x, y = digits()
    pairs = list(zip(x[:n_train], y[:n_train], strict=True))
    dls = DataLoaders(DataLoader(pairs, bs), DataLoader(pairs[:20], 20), device="cpu")
    chosen = {"model": linear(), "opt_func": partial(torch.optim.SGD, lr=0.1), **settings}
    return digit_learner(dls=dls, splitter=lambda m: [list(m.parameters())], **chosen)


class_weights = torch.rand(10, generator=torch.Generator().manual_seed(1)) + 0.1


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        F.cross_entropy,
        CrossEntropyLossFlat(),
        CrossEntropyLossFlat(weight=class_weights),
        nn.CrossEntropyLoss(weight=class_weights, label_smoothing=0.1),
        nn.CrossEntropyLoss(ignore_index=3),
        nn.CrossEntropyLoss(ignore_index=0),
        CrossEntropyLossFlat(weight=class_weights, ignore_index=7),
        nn.CrossEntropyLoss(reduction="sum"),
        partial(F.cross_entropy, weight=class_weights),
        partial(F.cross_entropy, reduction="sum"),
        LabelSmoothingCrossEntropy(),
    ],
)
def test_steps_are_those_of_large_batches(loss: Any) -> None:
    """61 items in batches of 8, stepping every 20: groups of 24, 24 and a smaller last one of 13."""
    watch = Watch()
    learn = learner(61, 8, loss_func=loss)
    learn.fit(2, 0.1, cbs=[watch, GradientAccumulation(20)])
    assert [len(items) for items, _ in watch.steps] == [24, 24, 13] * 2
    assert len(learn.recorder.raw_losses) == 16

    model = linear()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    x, y = digits()
    for items, gradients in watch.steps:
        loss(model(x[items]), y[items]).backward()
        for mine, theirs in zip(gradients, model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.grad, rtol=1e-4, atol=1e-6)
        optimizer.step()
        optimizer.zero_grad()
    for mine, theirs in zip(learn.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-6)


def test_missing_points_weigh_nothing() -> None:
    x, _ = digits()
    target = torch.rand(40, 10, generator=torch.Generator().manual_seed(0))
    target[target < 0.4] = torch.nan
    pairs = list(zip(x[:40], target, strict=True))
    dls = DataLoaders(DataLoader(pairs, 8), DataLoader(pairs, 8), device="cpu")
    watch, loss = Watch(), MSELossFlat(skip_nan=True)
    learn = digit_learner(
        dls=dls,
        model=linear(),
        loss_func=loss,
        splitter=lambda m: [list(m.parameters())],
        opt_func=torch.optim.SGD,
    )
    learn.fit(1, 0.1, cbs=[GradientAccumulation(40), watch])
    model = linear()
    loss(model(x[:40]), target).backward()
    for mine, theirs in zip(watch.steps[0][1], model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad)


def test_losses_that_are_seen_are_those_of_the_batches() -> None:
    plain, gathered = Watch(), Watch()
    learner(40, 8).fit(1, 1e-12, cbs=plain)
    learner(40, 8).fit(1, 1e-12, cbs=[gathered, GradientAccumulation(40)])
    assert gathered.losses == pytest.approx(plain.losses)
    assert len(plain.steps) == 5 and len(gathered.steps) == 1


def test_a_step_is_counted_once_and_schedules_go_by_batches() -> None:
    learn = learner(64, 8)
    learn.fit_one_cycle(1, 0.1, cbs=GradientAccumulation(32))
    assert learn.recorder.phases[-1]["steps"] == 2 and len(learn.recorder.lrs) == 8


def test_a_batch_that_is_large_enough_steps_at_once() -> None:
    one, other = learner(40, 8), learner(40, 8)
    one.fit(1, 0.1)
    other.fit(1, 0.1, cbs=GradientAccumulation(8))
    for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_cancelled_batch_does_not_count() -> None:
    class Skip(Callback):
        order = 5

        def __init__(self, event: str) -> None:
            self.event = event

        def after_pred(self, state: State) -> None:
            self._maybe(state, "after_pred")

        def after_loss(self, state: State) -> None:
            self._maybe(state, "after_loss")

        def _maybe(self, state: State, event: str) -> None:
            if state.training and event == self.event and state.batch_index == 1:
                raise CancelBatch

    for event in ("after_pred", "after_loss"):
        watch = Watch()
        learner(36, 9).fit(1, 0.1, cbs=[GradientAccumulation(27), Skip(event), watch])
        model, (x, y) = linear(), digits()
        kept = [*range(9), *range(18, 36)]
        F.cross_entropy(model(x[kept]), y[kept]).backward()
        for mine, theirs in zip(watch.steps[0][1], model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.grad)


def test_with_mixup_the_step_is_that_of_the_mixed_batches() -> None:
    class Mixed(Callback):
        order = -25

        def __init__(self) -> None:
            self.parts: list[tuple[Tensor, Tensor, float]] = []

        def after_loss(self, state: State) -> None:
            if state.training:
                assert state.batch is not None
                mix = next(cb for cb in self.learner.cbs if isinstance(cb, MixUp))
                self.parts.append((state.batch.inputs[0], state.batch.targets[0], mix.lam))

    mixed, watch = Mixed(), Watch()
    learn = learner(20, 8, loss_func=nn.CrossEntropyLoss(), cbs=MixUp())
    learn.fit(1, 0.1, cbs=[mixed, watch, GradientAccumulation(20)])
    model = linear()
    total = torch.zeros(())
    for x, y, lam in mixed.parts:
        pred = model(x)
        one, other = F.cross_entropy(pred, y), F.cross_entropy(pred, y.roll(1, 0))
        total = total + (lam * one + (1 - lam) * other) * len(y) / 20
    total.backward()
    for mine, theirs in zip(watch.steps[0][1], model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad)


@pytest.mark.parametrize("kind", [2.0, 1.0, float("inf")])
def test_clipping_by_norm_is_torchs(kind: float) -> None:
    seen = Watch()
    clip = GradientClip(0.05, kind)
    learn = learner(24, 24)
    learn.fit(1, 0.1, cbs=[clip, Watching(seen)])
    model, (x, y) = linear(), digits()
    F.cross_entropy(model(x[:24]), y[:24]).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 0.05, kind)
    for mine, theirs in zip(seen.steps[0][1], model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.grad)
    assert clip.norm is not None
    torch.testing.assert_close(clip.norm, norm)


class Watching(Callback):
    """Looks after the clipping has been done."""

    order = 50

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    def before_step(self, state: State) -> None:
        self.watch.learner = self.learner
        self.watch.before_step(state)


def test_clipping_by_value_and_after_accumulation_in_any_order_given() -> None:
    model, (x, y) = linear(), digits()
    F.cross_entropy(model(x[:24]), y[:24]).backward()
    nn.utils.clip_grad_value_(model.parameters(), 0.001)
    for order in (1, -1):
        seen = Watch()
        given: list[Callback] = [GradientClip(max_value=0.001), GradientAccumulation(24), Watching(seen)]
        learner(24, 8).fit(1, 0.1, cbs=given[::order])
        assert len(seen.steps) == 1
        for mine, theirs in zip(seen.steps[0][1], model.parameters(), strict=True):
            torch.testing.assert_close(mine, theirs.grad, rtol=1e-4, atol=1e-7)


def test_with_a_grad_scaler_gradients_have_their_true_size() -> None:
    """A scaler that multiplies losses by 2 ** 16, as on a GPU in float16."""

    def run(scaled: bool) -> Any:
        learn = learner(40, 8)
        if scaled:
            learn.engine._scaler = torch.amp.GradScaler("cpu")
        learn.fit(2, 0.1, cbs=[GradientAccumulation(20), GradientClip(0.1)])
        return learn.model.state_dict()

    plain, scaled = run(False), run(True)
    for name in plain:
        torch.testing.assert_close(plain[name], scaled[name], rtol=1e-4, atol=1e-6)


def test_in_lr_find_and_both_phases_of_fine_tune() -> None:
    learn = digit_learner(cbs=[GradientAccumulation(100), GradientClip(1.0)], dls=digit_loaders(bs=32))
    before = {k: v.clone() for k, v in learn.model.state_dict().items()}
    learn.lr_find(num_it=20, show_plot=False)
    assert all(torch.equal(before[k], v) for k, v in learn.model.state_dict().items())
    learn.fine_tune(2, 1e-2)
    assert [phase["steps"] for phase in learn.recorder.phases] == [2, 4]


def test_a_failed_fit_leaves_no_gradient_behind() -> None:
    class Fails(Callback):
        def after_batch(self, state: State) -> None:
            if state.batch_index == 2:
                raise KeyboardInterrupt

    learn = learner(64, 8)
    with pytest.raises(KeyboardInterrupt):
        learn.fit(1, cbs=[GradientAccumulation(64), Fails()])
    assert all(p.grad is None for p in learn.model.parameters())


def test_state_is_nothing() -> None:
    """After each step there is nothing to remember, so resuming needs nothing."""
    assert GradientAccumulation().state_dict() == {} and GradientClip().state_dict() == {}


def test_weights_of_a_batch() -> None:
    target = (torch.tensor([0, 1, 255, 1]),)
    assert weight_of(nn.CrossEntropyLoss(ignore_index=255), target) == 3
    assert weight_of(nn.CrossEntropyLoss(torch.tensor([1.0, 3.0]), ignore_index=255), target) == 7
    assert weight_of(nn.MSELoss(), target) is None
    assert weight_of(nn.CrossEntropyLoss(), (torch.rand(4, 3),)) is None


@pytest.mark.parametrize(
    "make",
    [
        lambda: GradientAccumulation(0),
        lambda: GradientClip(0),
        lambda: GradientClip(1, 0),
        lambda: GradientClip(max_value=-1),
        lambda: GradientClip(float("nan")),
    ],
)
def test_bad_arguments(make: Any) -> None:
    with pytest.raises(ArgumentError, match=r"at least 1|above 0"):
        make()
