"""Arguments of the wrong kind: every callback names the one that is wrong, and one that is right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.train.support import digit_learner
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.split import IndexSplitter
from wiggly.errors import ArgumentError, TrainingError
from wiggly.train.callbacks.activation import ActivationStats
from wiggly.train.callbacks.ema import EMA
from wiggly.train.callbacks.gradients import GradientAccumulation, GradientClip
from wiggly.train.callbacks.logs import CSVLogger, JSONLogger
from wiggly.train.callbacks.modes import LabelSmoothing, ShortEpoch
from wiggly.train.callbacks.monitor import EarlyStopping, ReduceLROnPlateau
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.losses.core import BCEWithLogitsLossFlat, LabelSmoothingCrossEntropy
from wiggly.train.mix import CutMix, MixUp
from wiggly.train.optim.groups import trainable_params
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.points import PointBlock

Make = Callable[..., Any]


@pytest.mark.parametrize(
    ("make", "value", "named"),
    [
        (GradientAccumulation, "64", "n_acc"),
        (GradientAccumulation, None, "n_acc"),
        (GradientClip, "1", "max_norm"),
        (GradientClip, None, "max_norm"),
        (EMA, "0.9", "decay"),
        (EMA, None, "decay"),
        (MixUp, "0.4", "alpha"),
        (CutMix, None, "alpha"),
        (LabelSmoothing, "0.1", "eps"),
        (LabelSmoothingCrossEntropy, 2, "label smoothing"),
        (LabelSmoothingCrossEntropy, "0.1", "label smoothing"),
        (ShortEpoch, "10%", "pct"),
        (EarlyStopping, 3, "monitor"),
        (EarlyStopping, None, "monitor"),
        (lambda patience: EarlyStopping(patience=patience), 1.5, "patience"),
        (lambda delta: EarlyStopping(min_delta=delta), "1", "min_delta"),
        (lambda factor: ReduceLROnPlateau(factor=factor), "0.1", "factor"),
        (lambda patience: ReduceLROnPlateau(patience=patience), "3", "patience"),
        (lambda every: SaveModel(every_epoch=every), -1, "every_epoch"),
        (lambda every: SaveModel(every_epoch=every), 2.5, "every_epoch"),
        (lambda every: JSONLogger(every=every), "50", "every"),
        (JSONLogger, "", "fname"),
        (CSVLogger, "", "fname"),
        (CSVLogger, None, "fname"),
        (lambda fname: SaveModel(fname=fname), "", "name of a file"),
        (lambda every: ActivationStats(every=every), "50", "every"),
    ],
)
def test_the_message_names_the_argument(make: Make, value: Any, named: str) -> None:
    with pytest.raises(ArgumentError, match=named) as caught:
        make(value)
    assert "Pass" in str(caught.value)


def test_what_is_watched_must_be_a_module() -> None:
    with pytest.raises(ArgumentError, match="get_submodule"):
        digit_learner().fit(1, cbs=ActivationStats(modules=["0.0"]))  # type: ignore[list-item]


def test_smoothing_several_labels_is_not_told_to_take_the_loss_of_one() -> None:
    with pytest.raises(ArgumentError, match="Leave it out, unless each item is of one class"):
        digit_learner(loss_func=BCEWithLogitsLossFlat()).fit(1, cbs=LabelSmoothing())


def test_clipping_by_value_needs_no_norm() -> None:
    clip = GradientClip(None, max_value=0.01)
    learn = digit_learner()
    learn.fit(1, cbs=clip)
    assert clip.norm is None


def test_cutmix_refuses_points() -> None:
    photos = [np.zeros((8, 8, 3), np.uint8)] * 6
    recipe = DataBlock(
        blocks=(ImageBlock, PointBlock),
        get_y=lambda photo: np.array([[1.0, 2.0], [3.0, 4.0]]),
        splitter=IndexSplitter(range(4, 6)),
    )
    dls = recipe.dataloaders(photos, bs=2, device="cpu")
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Unflatten(1, (2, 2)))
    learn = digit_learner(dls=dls, model=model, loss_func=None, splitter=trainable_params)
    with pytest.raises(TrainingError, match="a PointBlock says where things are"):
        learn.fit(1, cbs=CutMix())
    learn.fit(1, cbs=MixUp())
