"""The optimizer of heads is torch's AdamW; a fit ends when it is told to, and at a loss that is no number."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from wiggly.errors import TrainingError
from wiggly.train.probe.features import FeatureLoader, Features
from wiggly.train.probe.head_fit import DecoupledAdam, fit_head


def test_the_steps_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = [torch.randn(3, 4), torch.randn(4)]
    theirs = [nn.Parameter(p.clone()) for p in ours]
    mine = DecoupledAdam(ours)
    reference = torch.optim.AdamW(theirs, lr=1.0, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.3)
    for lr in (0.01, 0.1, 0.05, 0.002):
        grads = [torch.randn_like(p) for p in ours]
        mine.step(grads, lr, 0.3)
        for parameter, grad in zip(theirs, grads, strict=True):
            parameter.grad = grad
        reference.param_groups[0]["lr"] = lr
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-5, atol=1e-6)


def blobs(n: int = 200) -> FeatureLoader:
    generator = torch.Generator().manual_seed(0)
    y = torch.arange(n) % 2
    x = torch.randn(n, 4, generator=generator) + 2 * y[:, None]
    return FeatureLoader(Features(x, (y,), list(range(n)), [0]), 50, lambda epoch: list(range(n)))


def test_it_learns_along_one_cycle() -> None:
    torch.manual_seed(0)
    shares: list[float] = []
    done = fit_head(
        nn.Linear(4, 2), blobs(), nn.CrossEntropyLoss(), 10, 0.05, 0.0, lambda s, _: shares.append(s) is None
    )
    assert done.losses[-1] < 0.2 < done.losses[0]
    assert (len(done.losses), shares[-1], max(done.lrs)) == (40, 1.0, pytest.approx(0.05))


def test_it_ends_when_told() -> None:
    done = fit_head(
        nn.Linear(4, 2), blobs(), nn.CrossEntropyLoss(), 10, 0.05, 0.0, lambda share, loss: share < 0.2
    )
    assert len(done.losses) == 8


def test_a_loss_that_is_no_number_stops() -> None:
    head = nn.Linear(4, 2)
    nn.init.constant_(head.weight, float("nan"))
    with pytest.raises(TrainingError, match="step 1"):
        fit_head(head, blobs(), nn.CrossEntropyLoss(), 1, 0.05, 0.0, lambda share, loss: True)


def test_nothing_imports_the_compiler() -> None:
    """It would take longer than the whole fit."""
    code = """
import sys, torch
from torch import nn
from wiggly.data.loaders import DataLoaders
from wiggly.train.learner import Learner
pairs = [(torch.randn(4), i % 2) for i in range(64)]
dls = DataLoaders.from_dsets(pairs[:48], pairs[48:], bs=16, device="cpu")
groups = lambda model: [list(part.parameters()) for part in model]
learn = Learner(dls, nn.Sequential(nn.Linear(4, 8), nn.Linear(8, 2)), nn.CrossEntropyLoss(), splitter=groups)
learn.freeze()
learn.probe()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_a_loss_that_is_no_number_leaves_the_weights() -> None:
    torch.manual_seed(0)
    head = nn.Linear(4, 2)
    before = [p.detach().clone() for p in head.parameters()]
    with pytest.raises(TrainingError, match=r"nan at step 1, at a learning rate of 0.002"):
        fit_head(head, blobs(), lambda p, y: p.sum() * float("nan"), 1, 0.05, 0.0, lambda share, loss: True)
    assert all(torch.equal(a, b) for a, b in zip(before, head.parameters(), strict=True))
