"""Fitting a head on features that lie ready: a small loop of its own, with AdamW written out.

In: the layers that learn, features, a loss. Out: the losses; the layers have learned. Why not the training
loop and torch's optimizers: their first use in a process imports torch's compiler, which takes longer (2 to 3
s) than all steps here. Read next: `probing.py`, which calls it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import TrainingError
from wiggly.train.losses.checks import checked_loss
from wiggly.train.optim.schedule import one_cycle
from wiggly.train.probe.features import FeatureLoader

__all__ = ["DecoupledAdam", "HeadFit", "fit_head"]


class DecoupledAdam:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101), all parameters at one rate and one decay.

    Args:
        params: What it moves.
        betas: Decay of the average gradient and of the average squared gradient.
        eps: Added to the square root of the latter.

    Example:
        >>> weight = torch.ones(1)
        >>> optimizer = DecoupledAdam([weight])
        >>> optimizer.step([torch.ones(1)], lr=0.1, wd=0.0)
        >>> round(weight.item(), 4)
        0.9
    """

    def __init__(
        self, params: Sequence[Tensor], betas: tuple[float, float] = (0.9, 0.99), eps: float = 1e-5
    ) -> None:
        self.params, self.betas, self.eps = list(params), betas, eps
        self.averages = [torch.zeros_like(p) for p in self.params]
        self.squares = [torch.zeros_like(p) for p in self.params]
        self.steps = 0

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor], lr: float, wd: float) -> None:
        """One update."""
        self.steps += 1
        first, second = (1 - beta**self.steps for beta in self.betas)
        for p, grad, average, square in zip(self.params, grads, self.averages, self.squares, strict=True):
            average.lerp_(grad, 1 - self.betas[0])
            square.mul_(self.betas[1]).addcmul_(grad, grad, value=1 - self.betas[1])
            p.mul_(1 - lr * wd)
            p.addcdiv_(average, square.sqrt().div_(math.sqrt(second)).add_(self.eps), value=-lr / first)


@dataclass
class HeadFit:
    """What a fit of a head was like.

    Attributes:
        losses: Training loss of every step.
        lrs: Rate of every step.
    """

    losses: list[float] = field(default_factory=list[float])
    lrs: list[float] = field(default_factory=list[float])


def fit_head(
    head: nn.Module,
    loader: FeatureLoader,
    loss_func: Callable[..., Any],
    n_epochs: int,
    lr: float,
    wd: float,
    goes_on: Callable[[float, float], bool],
) -> HeadFit:
    """Trains the layers of a head along one cycle; everything decays, norm layers and biases too.

    Args:
        head: On the device where it learns.
        loader: Gives features and targets.
        loss_func: Takes outputs and targets.
        n_epochs: Passes over the features.
        lr: Highest rate.
        wd: Decay.
        goes_on: Called after every step with the share of the steps done and the loss; False ends the fit.

    Raises:
        TrainingError: The loss is no finite number.
    """
    parameters = [p for p in head.parameters() if p.requires_grad]
    optimizer, done = DecoupledAdam(parameters), HeadFit()
    rate, steps = one_cycle(lr, div=25.0, div_final=1e5, pct_start=0.25), n_epochs * len(loader)
    device = parameters[0].device
    head.train()
    for _ in range(n_epochs):
        for batch in loader:
            number = len(done.losses)
            inputs, targets = (tuple(t.to(device) for t in ts) for ts in (batch.inputs, batch.targets))
            loss = checked_loss(loss_func, head(*inputs), targets, first=number == 0)
            done.lrs.append(rate(number / steps))
            done.losses.append(float(loss.detach()))
            if not math.isfinite(done.losses[-1]):  # before the step, which would spoil the weights
                raise _not_finite(done.losses[-1], number, done.lrs[-1])
            optimizer.step(torch.autograd.grad(loss, parameters), done.lrs[-1], wd)
            if not goes_on((number + 1) / steps, done.losses[-1]):
                return done
    return done


def _not_finite(loss: float, step: int, rate: float) -> TrainingError:
    return TrainingError(
        "the loss of a head must stay a finite number",
        f"it is {loss} at step {step + 1}, at a learning rate of {rate:.2g}",
        "Check that inputs and targets hold no NaN, and that the body's features are finite.",
    )
