"""Hooks: what they keep is what torch computes, in-place layers or not, and nothing of them stays behind."""

from __future__ import annotations

import pytest
import torch
from tests.train.support import small_model
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.train.hooks import (
    Hook,
    dummy_eval,
    evaluating,
    hook_output,
    hook_outputs,
    model_sizes,
    num_features_model,
)


def handles(model: nn.Module) -> int:
    return sum(len(part._forward_hooks) + len(part._backward_hooks) for part in model.modules())


def test_outputs_are_those_before_a_layer_in_place_changes_them() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(1, 4, 3)
    model = nn.Sequential(conv, nn.ReLU(inplace=True))
    x = torch.randn(2, 1, 6, 6)
    with hook_output(conv) as hook:
        model(x)
    assert (hook.stored < 0).any()
    assert torch.equal(hook.stored, conv(x).detach())
    assert not hook.stored.requires_grad


def test_gradients_are_those_of_autograd() -> None:
    torch.manual_seed(0)
    first, last = nn.Linear(3, 4), nn.Linear(4, 1)
    x = torch.randn(5, 3)
    with hook_outputs([first, last], grad=True) as hooks:
        last(torch.relu_(first(x))).square().sum().backward()
    hidden = first(x)
    out = last(torch.relu(hidden))
    expected = torch.autograd.grad(out.square().sum(), [hidden, out])
    for found, wanted in zip(hooks.stored, expected, strict=True):
        torch.testing.assert_close(found, wanted)


def test_nothing_of_them_stays_even_after_an_error() -> None:
    model = small_model()
    with pytest.raises(RuntimeError), hook_outputs(model.modules()) as hooks:  # noqa: PT012
        assert handles(model) == len(hooks)
        model(torch.zeros(1, 2, 8, 8))
    assert handles(model) == 0


def test_a_function_of_ones_own_decides_what_is_kept() -> None:
    with Hook(nn.Flatten(), lambda module, inputs, output: tuple(output.shape)) as hook:
        assert hook.stored is None
    layer = nn.Linear(2, 3)
    with Hook(layer, lambda module, inputs, output: inputs[0].sum().item()) as hook:
        layer(torch.ones(1, 2))
        assert hook.stored == 2
        layer(torch.zeros(1, 2))
    assert hook.stored == 0


def test_several_outputs_are_copied() -> None:
    layer = nn.LSTM(2, 3)
    with hook_output(layer) as hook:
        layer(torch.zeros(4, 1, 2))
    out, (h, c) = hook.stored
    assert [tuple(t.shape) for t in (out, h, c)] == [(4, 1, 3), (1, 1, 3), (1, 1, 3)]


def test_sizes_and_features_are_those_of_the_network() -> None:
    model = small_model()
    assert [tuple(s) for s in model_sizes(model[0], (8, 8))] == [
        *[(1, 8, 8, 8)] * 3,
        *[(1, 16, 4, 4)] * 3,
    ]
    assert num_features_model(model[0]) == 16
    assert model.training
    assert dummy_eval(model[0], (16, 16)).shape == (1, 16, 8, 8)
    with pytest.raises(ModelError, match="takes pictures"):
        num_features_model(nn.Sequential(nn.Linear(7, 1)))


def test_evaluating_puts_every_part_back() -> None:
    model = small_model()
    model[0][1].eval()
    with evaluating(model):
        assert not any(part.training for part in model.modules())
        assert not torch.is_grad_enabled()
    assert model.training
    assert not model[0][1].training
    with evaluating(model, grad=True):
        assert isinstance(model(torch.zeros(1, 1, 8, 8)), Tensor)
        assert torch.is_grad_enabled()


class OnlyPart(nn.Module):
    """Uses its child's method, as the bodies of `vision_learner` do: the child is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 5, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.model.forward(x)


def test_features_of_a_model_that_calls_no_child() -> None:
    assert model_sizes(OnlyPart()) == []
    assert num_features_model(OnlyPart()) == 5


def test_a_hook_goes_on_a_module() -> None:
    with pytest.raises(ArgumentError, match="Pass a module"):
        Hook("0.model.layer4")  # type: ignore[arg-type]
