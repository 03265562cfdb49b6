"""Stretching outputs, and folding the stretch into the weights without changing what comes out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from wiggly.train.losses.core import MSELossFlat
from wiggly.train.probe.stretch import Stretch, stretch_for
from wiggly.vision.heads import create_head


@pytest.mark.parametrize(
    "head",
    [
        create_head(8, 2)[2:],
        nn.Sequential(nn.Linear(16, 2)),
        nn.Sequential(nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2)),
    ],
)
def test_folding_changes_nothing(head: nn.Sequential) -> None:
    torch.manual_seed(0)
    head.train()
    head(torch.randn(64, 16))  # statistics that are not the first ones
    head.eval()
    stretch, x = Stretch(torch.tensor([10.0, 0.1]), torch.tensor([40.0, -3.0])), torch.randn(9, 16)
    with torch.no_grad():
        expected = stretch(head(x))
        stretch.fold_into(head)
        torch.testing.assert_close(head(x), expected, rtol=1e-4, atol=1e-3)


def test_mean_and_spread_of_the_targets() -> None:
    numbers = torch.tensor([[1.0, 7.0], [3.0, float("nan")], [5.0, 7.0]])
    stretch = stretch_for(nn.Sequential(nn.Linear(4, 2)), MSELossFlat(), (numbers,))
    assert stretch is not None
    assert stretch.shift.tolist() == [3.0, 7.0]
    assert stretch.scale.tolist() == pytest.approx([(8 / 3) ** 0.5, 1.0])


def test_only_where_numbers_are_compared() -> None:
    numbers, linear = torch.rand(4, 2), nn.Sequential(nn.Linear(4, 2))
    assert stretch_for(linear, nn.BCEWithLogitsLoss(), (numbers,)) is None
    assert stretch_for(linear, nn.MSELoss(), (numbers.long(),)) is None
    assert stretch_for(nn.Sequential(nn.Linear(4, 2), nn.Sigmoid()), nn.MSELoss(), (numbers,)) is None
    assert stretch_for(nn.Sequential(nn.Linear(4, 2, bias=False)), nn.MSELoss(), (numbers,)) is None
    assert stretch_for(nn.Sequential(nn.Linear(4, 3)), nn.MSELoss(), (numbers,)) is None
