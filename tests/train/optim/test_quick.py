"""Adam without torch's bookkeeping: bit by bit torch's numbers; torch itself where something is unusual."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from wiggly.train.optim.base import Adam, Optimizer, torch_class
from wiggly.train.optim.quick import QuickAdam


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))


def step(model: nn.Module, optimizer: Any, seed: int) -> None:
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(seed))
    model(x).square().sum().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.AdamW])
def test_steps_are_those_of_torch_bit_by_bit(kind: Any) -> None:
    first, second = network(), network()
    ours = Optimizer(torch_class(kind, weight_decay=0.1)(first.parameters(), lr=0.01))
    theirs = kind(second.parameters(), lr=0.01, weight_decay=0.1, fused=True)
    ours.set_wd(0.1)
    for seed in range(6):
        ours.set_lrs([0.01 * (seed + 1)])
        theirs.param_groups[0]["lr"] = 0.01 * (seed + 1)
        step(first, ours, seed)
        step(second, theirs, seed)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    found, wanted = ours.inner.state_dict()["state"], theirs.state_dict()["state"]
    assert all(torch.equal(found[k][name], wanted[k][name]) for k in wanted for name in wanted[k])
    assert all(p.grad is None for p in first.parameters())


def test_it_goes_on_with_state_that_was_loaded() -> None:
    first, second = network(), network()
    one, two = Adam([list(first.parameters())], 0.01), Adam([list(second.parameters())], 0.01)
    for seed in range(3):
        step(first, one, seed)
    second.load_state_dict(first.state_dict())
    two.load_state_dict(copy.deepcopy(one.state_dict()))
    step(first, one, 3)
    kept = copy.deepcopy(one.state_dict())  # another's step must not move it
    step(second, two, 3)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))
    one.clear_state()
    step(first, one, 4)
    counts = {float(values["step"]) for values in one.inner.state.values()}
    assert counts == {1.0}
    assert {float(values["step"]) for values in kept["state"].values()} == {4.0}


def test_parameters_without_a_gradient_do_not_count_the_step() -> None:
    model = network()
    optimizer = Adam([list(model[0].parameters()), list(model[2].parameters())], 0.01)
    step(model, optimizer, 0)
    step(model, optimizer, 1)
    before = model[0].weight.detach().clone()
    for p in model[0].parameters():
        p.requires_grad_(False)
    step(model, optimizer, 2)  # a whole group without gradients is passed over
    assert torch.equal(model[0].weight, before)
    model[2].weight.requires_grad_(False)
    step(model, optimizer, 3)  # a part of one is left to torch
    counts = [
        float(optimizer.inner.state[p]["step"]) for p in (model[0].weight, model[2].weight, model[2].bias)
    ]
    assert counts == [2.0, 3.0, 4.0]


def hooked(optimizer: Any) -> None:
    optimizer.register_step_post_hook(lambda *_: None)


def wrapped(optimizer: Any) -> None:
    optimizer.step = optimizer.step


@pytest.mark.parametrize("unusual", [hooked, wrapped])
def test_what_others_have_hung_on_a_step_still_runs(unusual: Callable[[Any], None]) -> None:
    model = network()
    inner = torch.optim.AdamW(model.parameters(), fused=True)
    quick = QuickAdam(inner)
    model(torch.randn(5, 3)).sum().backward()
    assert not quick.step()  # there is no state yet
    inner.step()
    assert quick.step()
    unusual(inner)
    assert not quick.step()


@pytest.mark.parametrize(
    "inner",
    [
        lambda p: torch.optim.SGD(p, fused=True),
        lambda p: torch.optim.Adam(p, fused=True, amsgrad=True),
        lambda p: torch.optim.Adam(p, fused=True, maximize=True),
        lambda p: torch.optim.Adam(p, foreach=True),
        lambda p: torch.optim.Adam(p, lr=torch.tensor(0.1), fused=True),
    ],
)
def test_other_kinds_are_left_to_torch(inner: Any) -> None:
    model = network()
    made = inner(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    made.step()
    assert not QuickAdam(made).step()
