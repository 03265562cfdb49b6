"""The pieces that a notebook builds its own factor model of."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from wiggly.tabular.collab.parts import Embedding, Module, one_hot, sigmoid_range


def test_an_embedding_is_drawn_from_a_narrow_normal_distribution() -> None:
    torch.manual_seed(0)
    weight = Embedding(500, 40, std=0.05).weight.detach()
    assert weight.shape == (500, 40)
    assert weight.abs().max() <= 0.1
    # Of a normal distribution cut off at two widths the standard deviation is 0.88 of the width.
    assert weight.std().item() == pytest.approx(0.05 * 0.8796, rel=0.02)
    assert abs(weight.mean().item()) < 0.001


def test_sigmoid_range_is_the_stretched_logistic_function() -> None:
    x = torch.linspace(-4, 4, 9)
    assert torch.allclose(sigmoid_range(x, 1, 5), 1 + 4 / (1 + torch.exp(-x)))


def test_one_hot_is_that_of_torch() -> None:
    assert torch.equal(one_hot(3, 6).long(), nn.functional.one_hot(torch.tensor(3), 6))
    assert one_hot(torch.tensor([0, 2]), 3).tolist() == [1, 0, 1]
    assert one_hot([], 2).tolist() == [0, 0]


@pytest.mark.parametrize("calls", [False, True])
def test_a_module_needs_no_call_of_its_base(calls: bool) -> None:
    class Two(Module):
        def __init__(self, width: int, scale: float = 2.0) -> None:
            if calls:
                super().__init__()
            self.inner, self.scale = nn.Linear(width, 1), scale

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.inner(x) * self.scale

    model = Two(3, scale=3.0)
    again = copy.deepcopy(model)
    again.load_state_dict(model.state_dict())
    x = torch.rand(2, 3)
    assert torch.equal(again(x), model.inner(x) * 3)
    assert [name for name, _ in model.named_parameters()] == ["inner.weight", "inner.bias"]
