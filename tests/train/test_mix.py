"""MixUp and CutMix: torchvision's numbers, any loss, training only, the same draws again, after `lr_find`."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.train.support import digit_learner, digit_loaders, digits, equal, small_model, weights_of
from torch import Tensor, nn
from torchvision.transforms import v2

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, TrainingError
from wiggly.records import Batch, State
from wiggly.train.callback import Callback
from wiggly.train.learner import Learner
from wiggly.train.losses.core import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
)
from wiggly.train.mix import CutMix, MixUp


class Watch(Callback):
    """Keeps what each training batch was like after mixing."""

    order = -25

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def after_loss(self, state: State) -> None:
        if state.training:
            mix = next((cb for cb in self.learner._active if isinstance(cb, (MixUp, CutMix))), None)
            batch = state.batch
            assert batch is not None
            one = {"x": batch.inputs, "y": batch.targets, "pred": state.pred.detach().clone()}
            self.seen.append(
                {**one, "loss": float(state.loss.detach()), "lam": mix.lam if mix else None, "batch": batch}
            )


@pytest.mark.parametrize("seed", range(5))
def test_mix_up_is_torchvisions(seed: int) -> None:
    x, y = digits()[0][:16], digits()[1][:16]
    (mixed,), lam = MixUp(0.4).mix((x,), Random(seed))
    theirs = v2.MixUp(num_classes=10)
    want = theirs.transform(x.clone(), {"labels": y, "batch_size": 16, "lam": lam})
    torch.testing.assert_close(mixed, want)
    scores = torch.randn(16, 10)
    soft = theirs.transform(y, {"labels": y, "batch_size": 16, "lam": lam})
    check_loss(scores, y, soft, lam)


@pytest.mark.parametrize("seed", range(5))
def test_cut_mix_is_torchvisions(seed: int) -> None:
    x, y = torch.rand(16, 3, 20, 31), digits()[1][:16]
    (mixed,), lam = CutMix().mix((x,), Random(seed))
    rows, columns = CutMix().draw_box(Random(seed), (20, 31))
    theirs = v2.CutMix(num_classes=10)
    box = (columns.start, rows.start, columns.stop, rows.stop)
    drawn = {"labels": y, "batch_size": 16, "box": box, "lam_adjusted": lam}
    torch.testing.assert_close(mixed, theirs.transform(x.clone(), drawn), rtol=0, atol=0)
    hidden = (rows.stop - rows.start) * (columns.stop - columns.start)
    assert lam == pytest.approx(1 - hidden / 620)
    check_loss(torch.randn(16, 10), y, theirs.transform(y, drawn), lam)


def check_loss(scores: Tensor, y: Tensor, soft: Tensor, lam: float) -> None:
    """The weighted losses of two labels are the loss of torchvision's soft label."""

    class Fixed(Callback):
        def compute_loss(self, batch: Batch, pred: Tensor, targets: tuple[Tensor, ...]) -> Tensor:
            return F.cross_entropy(pred, *targets)

    mix = MixUp()
    mix.learner, mix.lam = Fixed(), lam  # type: ignore[assignment]
    state = State(batch=Batch((scores,), (y,), list(range(16))), pred=scores, loss=F.cross_entropy(scores, y))
    mix.after_loss(state)
    torch.testing.assert_close(state.loss, F.cross_entropy(scores, soft))


def test_boxes_are_distributed_as_torchvisions() -> None:
    torch.manual_seed(0)
    theirs = v2.CutMix(num_classes=2)
    flat = [torch.zeros(4, 1, 30, 40)]
    want = torch.tensor([theirs.make_params(flat)["lam_adjusted"] for _ in range(3000)])
    x = (torch.zeros(2, 1, 30, 40),)
    found = torch.tensor([CutMix().mix(x, Random(seed))[1] for seed in range(3000)])
    assert abs(found.mean() - want.mean()) < 0.02 and abs(found.std() - want.std()) < 0.02
    lams = torch.tensor([MixUp(0.4).mix(x, Random(seed))[1] for seed in range(3000)])
    beta = torch.distributions.Beta(0.4, 0.4).sample((3000,))
    assert abs(lams.mean() - 0.5) < 0.03 and abs(lams.std() - beta.std()) < 0.02


def multi_label(n: int = 96) -> DataLoaders:
    x, y = digits()
    pairs = [(a, torch.stack([b % 2, b // 5]).float()) for a, b in zip(x[:n], y[:n], strict=True)]
    return DataLoaders(DataLoader(pairs, 32, shuffle=True, seed=1), DataLoader(pairs[:32], 32), device="cpu")


def two_outputs() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 2))


@pytest.mark.parametrize("make", [MixUp, CutMix])
@pytest.mark.parametrize(
    ("loss", "many"),
    [
        (nn.CrossEntropyLoss(), False),
        (nn.CrossEntropyLoss(weight=torch.rand(10), label_smoothing=0.1), False),
        (nn.CrossEntropyLoss(reduction="sum"), False),
        (LabelSmoothingCrossEntropy(), False),
        (CrossEntropyLossFlat(), False),
        (F.cross_entropy, False),
        (BCEWithLogitsLossFlat(), True),
        (MSELossFlat(), True),
        (nn.L1Loss(), True),
        (lambda pred, y: ((pred - y) ** 2).mean() + 1, True),
    ],
)
def test_every_loss_is_weighted(make: Any, loss: Any, many: bool) -> None:
    watch = Watch()
    settings = {"dls": multi_label(), "model": two_outputs()} if many else {}
    learn = digit_learner(
        loss_func=loss, cbs=[make(), watch], splitter=lambda m: [list(m.parameters())], **settings
    )
    learn.fit(1, 1e-2)
    assert len(watch.seen) >= 3
    for one in watch.seen:
        (y,), lam = one["y"], one["lam"]
        want = lam * loss(one["pred"], y) + (1 - lam) * loss(one["pred"], y.roll(1, 0))
        assert one["loss"] == pytest.approx(float(want), rel=1e-5)
    assert learn.loss_func is loss


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_gradients_are_of_the_mixed_loss(make: Any) -> None:
    """One step by hand, from the same weights, gives the same weights."""
    watch = Watch()
    dls = digit_loaders(n_train=64)
    learn = digit_learner(dls=dls, cbs=[make(), watch], opt_func=torch.optim.SGD, model=two_layers())
    learn.fit(1, 0.1)
    model = two_layers()
    one = watch.seen[0]
    pred = model(one["x"][0])
    y, lam = one["y"][0], one["lam"]
    loss = lam * F.cross_entropy(pred, y) + (1 - lam) * F.cross_entropy(pred, y.roll(1, 0))
    loss.backward()
    for mine, theirs in zip(model.parameters(), learn.model.parameters(), strict=True):
        assert mine.grad is not None
        torch.testing.assert_close(mine.detach() - 0.1 * mine.grad, theirs.detach())


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_validation_and_prediction_are_left_alone(make: Any) -> None:
    plain, mixed = digit_learner(), digit_learner(cbs=make())
    mixed.model.load_state_dict(plain.model.state_dict())
    assert plain.validate() == mixed.validate()
    for a, b in zip(plain.get_preds(), mixed.get_preds(), strict=True):
        assert torch.equal(a, b)
    for a, b in zip(plain.get_preds(ds_idx=0), mixed.get_preds(ds_idx=0), strict=True):
        assert torch.equal(a, b)
    mixed.fit(1, 1e-3)
    before = mixed.validate()
    mixed.cbs.clear()
    assert mixed.validate() == before


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_the_same_draws_again_and_after_lr_find(make: Any) -> None:
    def run(search: bool) -> tuple[Any, list[float]]:
        watch = Watch()
        learn = digit_learner(cbs=[make(), watch])
        if search:
            learn.lr_find(num_it=10, show_plot=False)
            watch.seen.clear()
        learn.fit(2, 1e-2)
        return weights_of(learn), [one["lam"] for one in watch.seen]

    (first, lams), (second, again), (third, searched) = run(False), run(False), run(True)
    assert lams == again == searched and len(set(lams)) > 3 and len(lams) == 8
    assert equal(first, second) and equal(first, third)


def test_another_librarys_loader_draws_from_torch() -> None:
    x, y = digits()
    data = torch.utils.data.TensorDataset(x[:64], y[:64])

    def run() -> list[float]:
        torch.manual_seed(3)
        dls = DataLoaders(torch.utils.data.DataLoader(data, 16), DataLoader(list(data), 16), device="cpu")
        watch = Watch()
        digit_learner(dls=dls, cbs=[MixUp(), watch]).fit(2, 1e-3)
        return [one["lam"] for one in watch.seen]

    assert run() == run() and len(set(run())) == 8


def test_a_callback_that_predicts_in_between() -> None:
    class Predicts(Callback):
        def after_pred(self, state: State) -> None:
            if state.training:
                self.learner.get_preds()

    watch = Watch()
    digit_learner(cbs=[MixUp(), watch, Predicts()]).fit(1, 1e-3)
    for one in watch.seen:
        y, lam, pred = one["y"][0], one["lam"], one["pred"]
        want = lam * F.cross_entropy(pred, y) + (1 - lam) * F.cross_entropy(pred, y.roll(1, 0))
        assert one["loss"] == pytest.approx(float(want), rel=1e-5)


def test_several_inputs_get_one_weight_and_one_box() -> None:
    a, b = torch.rand(4, 3, 8, 8), torch.rand(4, 1, 8, 8)
    for make in (MixUp, CutMix):
        (first, second), _ = make().mix((a, b), Random(1))
        both = make().mix((torch.cat([a, b], 1),), Random(1))[0][0]
        assert torch.equal(torch.cat([first, second], 1), both)


@pytest.mark.parametrize("make", [MixUp, CutMix])
def test_memory_format_and_inputs_are_kept(make: Any) -> None:
    x = torch.rand(4, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    before = x.clone()
    (mixed,), _ = make().mix((x,), Random(0))
    assert mixed.is_contiguous(memory_format=torch.channels_last) and torch.equal(x, before)
    one = torch.rand(1, 3, 8, 8)
    (alone,), _ = make().mix((one,), Random(0))
    torch.testing.assert_close(alone, one)


def test_training_with_it_learns() -> None:
    for cb in (MixUp(), CutMix()):
        learn = digit_learner(dls=digit_loaders(1024, 400), cbs=cb, metrics=[_accuracy], model=small_model())
        learn.fit_one_cycle(6, 2e-2)
        assert learn.validate()[1] > 0.9


def _accuracy(pred: Tensor, y: Tensor) -> Tensor:
    return (pred.argmax(1) == y).float().mean()


@pytest.mark.parametrize(
    ("cb", "x", "y", "says"),
    [
        (MixUp(), torch.zeros(4, 3, dtype=torch.long), torch.zeros(4), "floats"),
        (CutMix(), torch.zeros(4, 3), torch.zeros(4), "images"),
        (CutMix(), torch.zeros(4, 1, 8, 8), torch.zeros(4, 8, 8), "whole pictures"),
    ],
)
def test_what_cannot_be_mixed_is_refused(cb: Any, x: Tensor, y: Tensor, says: str) -> None:
    pairs = list(zip(x, y, strict=True))
    dls = DataLoaders(DataLoader(pairs, 2), DataLoader(pairs, 2), device="cpu")
    learn = Learner(dls, nn.Linear(3, 1), loss_func=nn.MSELoss(), cbs=cb)
    with learn.no_bar(), pytest.raises(TrainingError, match=says):
        learn.fit(1)


@pytest.mark.parametrize("alpha", [0, -1, float("inf"), float("nan")])
def test_bad_alpha(alpha: float) -> None:
    for make in (MixUp, CutMix):
        with pytest.raises(ArgumentError, match="alpha"):
            make(alpha)


def test_a_batch_is_mixed_once() -> None:
    with pytest.raises(TrainingError, match="once"):
        digit_learner(cbs=[MixUp(), CutMix()]).fit(1)
    both = digit_learner(cbs=MixUp())
    both.fit(1)
    with pytest.raises(TrainingError, match="once"):
        both.fit(1, cbs=MixUp())
