"""Losses against torch's, activations, and the errors for outputs and targets that do not fit."""

from __future__ import annotations

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from tests.train.support import digit_learner
from torch import nn

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.errors import ArgumentError, TrainingError
from wiggly.train.losses.checks import check_loss, checked_loss
from wiggly.train.losses.core import (
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    LabelSmoothingCrossEntropy,
    MSELossFlat,
    NoneReduce,
    activation_of,
    decodes_of,
    loss_for,
    loss_per_item,
)

GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(6, 4, generator=GENERATOR)
CLASSES = torch.tensor([0, 1, 2, 3, 1, 1])
PIXEL_SCORES = torch.randn(2, 4, 5, 6, generator=GENERATOR)
PIXELS = torch.randint(0, 4, (2, 5, 6), generator=GENERATOR)
HOT = torch.randint(0, 2, (6, 4), generator=GENERATOR)


def test_cross_entropy_is_torchs() -> None:
    torch.testing.assert_close(CrossEntropyLossFlat()(SCORES, CLASSES), F.cross_entropy(SCORES, CLASSES))
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])
    ours = CrossEntropyLossFlat(weight=weight)(SCORES, CLASSES)
    torch.testing.assert_close(ours, F.cross_entropy(SCORES, CLASSES, weight))


def test_cross_entropy_takes_a_class_axis() -> None:
    loss = CrossEntropyLossFlat(axis=1)
    torch.testing.assert_close(loss(PIXEL_SCORES, PIXELS), F.cross_entropy(PIXEL_SCORES, PIXELS))
    torch.testing.assert_close(loss.activation(PIXEL_SCORES), PIXEL_SCORES.softmax(1))
    assert torch.equal(loss.decodes(PIXEL_SCORES), PIXEL_SCORES.argmax(1))


def test_label_smoothing_is_torchs() -> None:
    ours = LabelSmoothingCrossEntropy(eps=0.2)(SCORES, CLASSES)
    torch.testing.assert_close(ours, F.cross_entropy(SCORES, CLASSES, label_smoothing=0.2))


def test_binary_cross_entropy_takes_integer_targets() -> None:
    ours = BCEWithLogitsLossFlat()(SCORES, HOT)
    torch.testing.assert_close(ours, F.binary_cross_entropy_with_logits(SCORES, HOT.float()))
    assert torch.equal(
        BCEWithLogitsLossFlat(thresh=0.9).decodes(torch.tensor([0.8, 0.95])), torch.tensor([False, True])
    )


def test_squared_error_ignores_a_lonely_axis() -> None:
    output, target = torch.randn(6, 1), torch.randn(6)
    torch.testing.assert_close(MSELossFlat()(output, target), F.mse_loss(output[:, 0], target))


@pytest.mark.parametrize(
    ("loss", "block", "wanted"),
    [
        (nn.CrossEntropyLoss(), None, SCORES.softmax(1)),
        (F.cross_entropy, None, SCORES.softmax(1)),
        (partial(F.cross_entropy, label_smoothing=0.1), None, SCORES.softmax(1)),
        (nn.BCEWithLogitsLoss(), None, SCORES.sigmoid()),
        (F.binary_cross_entropy_with_logits, None, SCORES.sigmoid()),
        (nn.NLLLoss(), None, SCORES.exp()),
        (nn.MSELoss(), None, SCORES),
        (lambda pred, target: pred.sum(), None, SCORES),
        (lambda pred, target: pred.sum(), CategoryBlock(["a", "b"]), SCORES.softmax(1)),
        (lambda pred, target: pred.sum(), MultiCategoryBlock(vocab=["a"]), SCORES.sigmoid()),
        (CrossEntropyLossFlat(), RegressionBlock(), SCORES.softmax(1)),
    ],
)
def test_the_activation_is_inferred(loss, block, wanted) -> None:
    torch.testing.assert_close(activation_of(loss, block)(SCORES), wanted)


def test_decoding_is_inferred() -> None:
    assert torch.equal(decodes_of(nn.CrossEntropyLoss())(SCORES.softmax(1)), SCORES.argmax(1))
    assert torch.equal(decodes_of(nn.NLLLoss())(SCORES), SCORES.argmax(1))
    assert torch.equal(decodes_of(nn.BCEWithLogitsLoss())(SCORES.sigmoid()), SCORES > 0)
    assert decodes_of(nn.MSELoss())(SCORES) is SCORES


@pytest.mark.parametrize(
    ("block", "kind"),
    [
        (CategoryBlock(["a", "b"]), CrossEntropyLossFlat),
        (MultiCategoryBlock(vocab=["a"]), BCEWithLogitsLossFlat),
        (RegressionBlock(), MSELossFlat),
    ],
)
def test_a_block_names_its_loss(block, kind) -> None:
    assert type(loss_for(block)) is kind


def test_an_unknown_loss_name_is_refused() -> None:
    block = CategoryBlock(["a", "b"])
    block.loss = "hinge"  # pyright: ignore
    with pytest.raises(ArgumentError, match="hinge"):
        loss_for(block)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(),
        CrossEntropyLossFlat(),
        F.cross_entropy,
        lambda pred, target: F.cross_entropy(pred, target),
    ],
)
def test_the_loss_of_every_item(loss) -> None:
    torch.testing.assert_close(
        loss_per_item(loss, SCORES, (CLASSES,)), F.cross_entropy(SCORES, CLASSES, reduction="none")
    )
    assert getattr(loss, "reduction", "mean") == "mean"  # put back


def test_reduction_is_left_out_within_a_block_only() -> None:
    pred, target = torch.randn(3, 4), torch.tensor([0, 3, 1])
    loss = nn.CrossEntropyLoss()
    with NoneReduce(loss) as each:
        assert torch.equal(each(pred, target), F.cross_entropy(pred, target, reduction="none"))
    assert loss.reduction == "mean"
    with pytest.raises(ValueError, match="batch_size"), NoneReduce(loss) as each:
        each(pred, target[:2])
    assert loss.reduction == "mean"
    with NoneReduce(partial(F.cross_entropy, label_smoothing=0.1)) as each:
        assert each(pred, target).shape == (3,)
    with pytest.raises(ArgumentError, match="needs a loss with a `reduction`"):
        NoneReduce(lambda pred, target: pred.mean())


def test_the_loss_of_every_item_averages_over_its_pixels() -> None:
    wanted = F.cross_entropy(PIXEL_SCORES, PIXELS, reduction="none").mean((1, 2))
    torch.testing.assert_close(loss_per_item(CrossEntropyLossFlat(axis=1), PIXEL_SCORES, (PIXELS,)), wanted)


def test_the_loss_of_every_item_with_two_targets() -> None:
    def loss(pred, first, second):
        return F.cross_entropy(pred[:, :2], first) + F.cross_entropy(pred[:, 2:], second)

    ones = torch.ones(6, dtype=torch.long)
    wanted = F.cross_entropy(SCORES[:, :2], ones, reduction="none") * 1.0
    wanted += F.cross_entropy(SCORES[:, 2:], ones, reduction="none")
    torch.testing.assert_close(loss_per_item(loss, SCORES, (ones, ones)), wanted)


@pytest.mark.parametrize(
    ("loss", "pred", "target", "words"),
    [
        (CrossEntropyLossFlat(), SCORES, torch.tensor([0, 1, 2, 3, 4, 1]), "n_out=5"),
        (nn.CrossEntropyLoss(), SCORES, torch.tensor([0, 1, 2, 3, -1, 1]), "from 0 to 3"),
        (nn.CrossEntropyLoss(), SCORES, torch.ones(6), "class numbers"),
        (CrossEntropyLossFlat(), SCORES, SCORES.softmax(1), "class numbers"),
        (F.cross_entropy, SCORES[:, :1], torch.zeros(6, dtype=torch.long), "at least 2 outputs"),
        (CrossEntropyLossFlat(), PIXEL_SCORES, torch.tensor([0, 1]), "from 0 to 5|one class number per row"),
        (nn.MSELoss(), torch.ones(6, 1), torch.ones(6), r"\(6, 1\) and \(6,\)"),
        (MSELossFlat(), torch.ones(6, 2), torch.ones(6), "n_out"),
        (nn.BCEWithLogitsLoss(), SCORES, CLASSES, "one shape"),
        (nn.MSELoss(), torch.ones(5, 1), torch.ones(6, 1), "one row per item"),
    ],
)
def test_what_does_not_fit_is_explained(loss, pred, target, words: str) -> None:
    with pytest.raises(TrainingError, match=words):
        check_loss(loss, pred, (target,))


def test_what_fits_passes() -> None:
    check_loss(
        nn.CrossEntropyLoss(), SCORES, (SCORES.softmax(1),)
    )  # class probabilities are torch's good right
    check_loss(nn.CrossEntropyLoss(ignore_index=255), PIXEL_SCORES, (PIXELS.clone().fill_(255),))
    check_loss(CrossEntropyLossFlat(axis=1), PIXEL_SCORES, (PIXELS,))
    check_loss(MSELossFlat(), torch.ones(6, 1), (torch.ones(6),))


def test_an_error_inside_the_loss_names_it_with_shapes() -> None:
    def my_loss(pred, target):
        return pred @ target

    with pytest.raises(
        TrainingError, match=r"`my_loss`[\s\S]*output \(6, 4\) torch.float32; targets \(6,\) torch.int64"
    ):
        checked_loss(my_loss, SCORES, (CLASSES,), first=True)
    with pytest.raises(TrainingError, match="one number"):
        checked_loss(partial(F.cross_entropy, reduction="none"), SCORES, (CLASSES,), first=True)
    with pytest.raises(TrainingError, match="must have a target"):
        checked_loss(my_loss, SCORES, (), first=True)


def test_training_with_too_few_outputs_says_so() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 9))
    with pytest.raises(TrainingError, match="n_out=10"):
        digit_learner(model=model, splitter=lambda m: list(m.parameters())).fit(1)
