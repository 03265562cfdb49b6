"""Metrics of masks against scikit-learn on all pixels at once, and losses against their formulas."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, jaccard_score
from torch import Tensor
from torchvision.ops import sigmoid_focal_loss

from wiggly.errors import ArgumentError
from wiggly.train.losses.core import CrossEntropyLossFlat, loss_per_item
from wiggly.train.losses.pixels import CombinedLoss, DiceLoss, FocalLoss, FocalLossFlat
from wiggly.train.metrics.core import as_metrics, foreground_acc, pixel_accuracy
from wiggly.train.metrics.pixels import (
    Dice,
    DiceMulti,
    JaccardCoeff,
    JaccardCoeffMulti,
    count_pixels,
    leave_out,
)

SCORES = {"dice": (DiceMulti, f1_score), "jaccard": (JaccardCoeffMulti, jaccard_score)}


def batches(seed: int, c: int = 4, sizes: tuple[int, ...] = (3, 1, 2)) -> list[tuple[Tensor, Tensor]]:
    """Scores and masks in batches of unequal size; the masks differ in what they hold."""
    made = torch.Generator().manual_seed(seed)
    found: list[tuple[Tensor, Tensor]] = []
    for k, n in enumerate(sizes):
        target = torch.randint(0, max(1, c - k), (n, 6, 5), generator=made)
        noise = torch.randn(n, c, 6, 5, generator=made)
        found.append((noise + 1.5 * F.one_hot(target, c).movedim(-1, 1), target))
    return found


def flat(data: list[tuple[Tensor, Tensor]]) -> tuple[Any, Any]:
    said = torch.cat([pred.argmax(1).flatten() for pred, _ in data]).numpy()
    return torch.cat([target.flatten() for _, target in data]).numpy(), said


def value_of(metric: Any, data: list[tuple[Tensor, Tensor]]) -> float:
    metric.reset()
    for pred, target in data:
        metric.accumulate(pred, (target,))
    return metric.value()


@pytest.mark.parametrize("name", SCORES)
@given(seed=st.integers(0, 10_000), c=st.integers(2, 6), ignore=st.sampled_from([None, 0, 1]))
@settings(max_examples=30, deadline=None)
def test_is_scikit_learns_score_of_all_pixels(name: str, seed: int, c: int, ignore: int | None) -> None:
    metric, reference = SCORES[name]
    data = batches(seed, c)
    true, said = flat(data)
    counted = np.ones_like(true, bool) if ignore is None else true != ignore
    true, said = true[counted], said[counted]
    labels = sorted({*true.tolist(), *said.tolist()} - {ignore})
    if not labels:
        return
    wanted = reference(true, said, average="macro", labels=labels)
    assert value_of(metric(ignore=ignore), data) == pytest.approx(wanted)


@pytest.mark.parametrize(("metric", "reference"), [(Dice, f1_score), (JaccardCoeff, jaccard_score)])
def test_foreground_of_two_is_the_binary_score(metric: Any, reference: Any) -> None:
    for seed in range(5):
        data = batches(seed, 2)
        assert value_of(metric(), data) == pytest.approx(reference(*flat(data)))


def test_a_single_score_says_yes_above_0() -> None:
    data = batches(0, 2)
    single = [(pred[:, 1:] - pred[:, :1], target) for pred, target in data]
    for metric in (Dice, JaccardCoeff, DiceMulti):
        assert value_of(metric(), single) == pytest.approx(value_of(metric(), data))
    for function in (pixel_accuracy, foreground_acc):
        assert value_of(as_metrics(function)[0], single) == value_of(as_metrics(function)[0], data)


def test_is_not_the_mean_over_batches() -> None:
    data = batches(1)
    means = np.mean([value_of(DiceMulti(), [part]) for part in data])
    assert abs(value_of(DiceMulti(), data) - means) > 0.01


def test_foreground_of_more_than_two_classes_is_refused() -> None:
    with pytest.raises(ArgumentError, match="DiceMulti"):
        value_of(Dice(), batches(0, 3))
    assert 0 <= value_of(Dice(ignore=2), batches(0, 3)) <= 1


def test_memory_does_not_grow() -> None:
    metric = JaccardCoeffMulti()
    for pred, target in batches(0) * 3:
        metric.accumulate(pred, (target,))
    kept = [v for v in vars(metric).values() if isinstance(v, Tensor)]
    assert sum(v.numel() for v in kept) == 16


def test_accuracies_count_every_pixel_once() -> None:
    data = batches(3)
    true, said = flat(data)
    plain, without, front = as_metrics(
        [pixel_accuracy, partial(pixel_accuracy, ignore=1), partial(foreground_acc, bkg_idx=2)]
    )
    assert [m.name for m in (plain, without, front)] == [
        "pixel_accuracy",
        "pixel_accuracy_2",
        "foreground_acc",
    ]
    assert value_of(plain, data) == pytest.approx(accuracy_score(true, said))
    assert value_of(without, data) == pytest.approx(accuracy_score(true[true != 1], said[true != 1]))
    assert value_of(front, data) == pytest.approx(accuracy_score(true[true != 2], said[true != 2]))
    pred, target = data[0]
    assert foreground_acc(pred, target).item() == pytest.approx(
        accuracy_score(target[target != 0], pred.argmax(1)[target != 0])
    )


def test_classes_out_of_range_are_named() -> None:
    pred, target = batches(0)[0]
    for wrong in (4, -1):
        bad = target.clone()
        bad[0, 0, 0] = wrong
        with pytest.raises(ArgumentError, match=f"this batch has {wrong}"):
            DiceMulti().accumulate(pred, (bad,))
        with pytest.raises(ArgumentError, match="from 0 to 3"):
            DiceLoss()(pred, bad)
    with pytest.raises(ArgumentError, match="one shape"):
        count_pixels(target, target[:, :2], 4)


def test_dice_loss_is_its_formula() -> None:
    pred, target = batches(5, 3)[0]
    probs = pred.softmax(1)
    items = []
    for p, t in zip(probs, target, strict=True):
        scores = [2 * p[k][t == k].sum() / (p[k].sum() + (t == k).sum()) for k in range(3) if (t == k).any()]
        items.append(1 - torch.stack(scores).mean())
    assert torch.allclose(DiceLoss(reduction="none")(pred, target), torch.stack(items), atol=1e-5)
    assert DiceLoss()(pred, target).item() == pytest.approx(torch.stack(items).mean().item(), abs=1e-5)
    assert torch.allclose(loss_per_item(DiceLoss(), pred, (target,)), torch.stack(items), atol=1e-5)


def test_dice_loss_leaves_ignored_pixels_out() -> None:
    pred, target = batches(5, 3)[0]
    target[:, :3] = 255
    wanted = DiceLoss()(pred[:, :, 3:], target[:, 3:])
    assert torch.allclose(DiceLoss(ignore_index=255)(pred, target), wanted, atol=1e-6)
    assert DiceLoss(ignore_index=255)(pred, torch.full_like(target, 255)).item() == 0


def test_dice_loss_is_0_for_the_mask_itself_and_falls_on_the_way_there() -> None:
    _, target = batches(2, 3)[0]
    sure = F.one_hot(target, 3).movedim(-1, 1).float()
    losses = [DiceLoss()(scale * sure, target).item() for scale in (0, 1, 3, 30)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 1e-6


def test_focal_loss_of_two_classes_is_torchvisions() -> None:
    """The second score minus the first is the logit of a sigmoid."""
    pred, target = batches(4, 2)[0]
    logit = pred[:, 1] - pred[:, 0]
    for gamma in (0.0, 1.0, 2.0):
        wanted = sigmoid_focal_loss(logit, target.float(), alpha=-1, gamma=gamma, reduction="none")
        assert torch.allclose(FocalLoss(gamma, reduction="none")(pred, target), wanted, atol=1e-6)
    weighted = sigmoid_focal_loss(logit, target.float(), alpha=0.25, gamma=2, reduction="mean")
    assert torch.allclose(FocalLoss(2.0, torch.tensor([0.75, 0.25]))(pred, target), weighted, atol=1e-6)


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    pred, target = batches(4)[0]
    target[0, :2] = 255
    assert torch.allclose(
        FocalLoss(0.0, ignore_index=255)(pred, target), F.cross_entropy(pred, target, ignore_index=255)
    )
    flat_scores, labels = torch.randn(7, 5), torch.arange(7) % 5
    assert torch.allclose(FocalLossFlat(0.0)(flat_scores, labels), F.cross_entropy(flat_scores, labels))


def test_losses_add_up() -> None:
    pred, target = batches(6)[0]
    parts = [CrossEntropyLossFlat(axis=1), DiceLoss()]
    both = CombinedLoss(parts, [1.0, 0.5])
    wanted = parts[0](pred, target) + 0.5 * parts[1](pred, target)
    assert torch.allclose(both(pred, target), wanted)
    assert torch.equal(both.decodes(both.activation(pred)), pred.argmax(1))
    rows = loss_per_item(both, pred, (target,))
    single = torch.stack([both(pred[i : i + 1], target[i : i + 1]) for i in range(len(pred))])
    assert torch.allclose(rows, single, atol=1e-6)
    with pytest.raises(ArgumentError, match="one weight"):
        CombinedLoss(parts, [1.0])


def test_void_is_told_to_those_that_were_not_told() -> None:
    told, untold = DiceMulti(ignore=0), DiceMulti()
    share = as_metrics(pixel_accuracy)[0]
    loss = CombinedLoss([CrossEntropyLossFlat(axis=1), DiceLoss(ignore_index=1)])
    leave_out(3, [told, untold, share, loss, torch.nn.MSELoss()])
    assert (told.ignore, untold.ignore, share.ignore) == (0, 3, 3)
    assert [part.ignore_index for part in loss.losses] == [3, 1]
