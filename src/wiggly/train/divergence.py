"""Divergence: a loss that is far above that of a model that has learnt nothing, and stays there.

In: the loss of every step. Out: an error that says where, at which rate, and what to do. Read next:
`history.py`, which asks after every step.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import DivergedError
from wiggly.records import State
from wiggly.train.losses.core import CLASS_LOSSES, SAME_SHAPE_LOSSES, BCEWithLogitsLossFlat, MSELossFlat

__all__ = ["DivergedError", "Divergence", "check_finite", "level_of"]

# A smoothed loss above so many times its lowest counts as diverging, as in `lr_find` (arXiv:1506.01186).
TIMES_LOWEST = 4.0
# And the loss itself must be above so many times that of a model that has learnt nothing.
TIMES_LEVEL = 10.0
# The powers of ten by which it is above that level are added up step by step: 50 steps at 10 times, 5 steps
# at 10^10 times. Runs on digits (three networks, Adam and SGD, rates from 0.001 to 1000): those that learnt
# got to 12 at most, those that came back by themselves, some from 10^5 times, to 30, and those that did not
# come back to 63 and more.
MOST = 50.0
KNOWN = (*CLASS_LOSSES, *SAME_SHAPE_LOSSES, MSELossFlat, BCEWithLogitsLossFlat)
KNOWN_FUNCTIONS = (F.cross_entropy, F.mse_loss, F.l1_loss, F.binary_cross_entropy_with_logits)


class Divergence:
    """Watches the loss of one fit.

    Args:
        level: Loss of a model that has learnt nothing; not a number if that is not known: then the first
            loss of the fit stands for it.

    Example:
        >>> watch = Divergence(2.3)
        >>> [watch.add(loss, loss) for loss in (2.4, 1.0, 1e9, 1e9, 1e9, 1e9, 1e9, 1e9)].index(True)
        7
    """

    def __init__(self, level: float = math.nan) -> None:
        self.level, self.lowest, self.excess = level, math.inf, 0.0
        self._begun = False

    def add(self, loss: float, smooth: float) -> bool:
        """Takes in the loss of a step, and the smoothed one; returns whether it has diverged."""
        if not self._begun:
            self._begun = True
            self.level = loss if math.isnan(self.level) else max(loss, self.level)
        self.lowest = min(self.lowest, smooth)
        high = self.level > 0 and loss > TIMES_LEVEL * self.level and smooth > TIMES_LOWEST * self.lowest
        self.excess = self.excess + math.log10(loss / self.level) if high else 0.0
        return self.excess >= MOST

    def state(self) -> list[Any]:
        """All that it remembers."""
        return [self.level, self.lowest, self.excess, self._begun]

    def load(self, state: list[Any]) -> None:
        """Goes on from what `state` gave."""
        self.level, self.lowest, self.excess, self._begun = state


@torch.no_grad()
def level_of(loss_func: Any, pred: Any, targets: tuple[Tensor, ...]) -> float:
    """The loss of a model whose output is 0 everywhere: that of guessing, for scores of classes.

    Args:
        loss_func: A loss of ours or torch's; others are not called for it.
        pred: The output for a batch.
        targets: Its targets.

    Returns:
        The loss; not a number where it cannot be said.

    Example:
        >>> round(level_of(nn.CrossEntropyLoss(), torch.rand(2, 4), (torch.tensor([0, 3]),)), 4)  # log 4
        1.3863
    """
    known = isinstance(loss_func, KNOWN) or loss_func in KNOWN_FUNCTIONS
    if not known or isinstance(loss_func, (nn.NLLLoss, nn.BCELoss)) or not isinstance(pred, Tensor):
        return math.nan
    return float(loss_func(torch.zeros_like(pred), *targets))


def check_finite(value: float, step: int, state: State) -> None:
    """Raises if a loss is no number.

    Args:
        value: The loss.
        step: Steps before it.
        state: Of the loop.

    Raises:
        DivergedError: It is not finite.
    """
    if not math.isfinite(value):
        found = (
            [
                side
                for side, tensors in (("inputs", state.batch.inputs), ("targets", state.batch.targets))
                if any(t.is_floating_point() and not bool(t.isfinite().all()) for t in tensors)
            ]
            if state.batch is not None
            else []
        )
        why = f", and so are {' and '.join(found)} of a batch" if found else ""
        raise diverged(f"it is {value}{why}", "the loss must stay a finite number", step, state)


def diverged(what: str, rule: str, step: int, state: State) -> DivergedError:
    """The error for a run whose loss has gone.

    Args:
        what: What the loss is.
        rule: What it should be.
        step: Steps before it.
        state: Of the loop.
    """
    rate = max(state.lrs, default=math.nan)
    return DivergedError(
        rule,
        f"{what} at step {step + 1} (epoch {state.epoch}), at a learning rate of {rate:.2g}",
        f"Train with a lower rate (try {rate / 10:.1g}; `learn.lr_find()` suggests one), and check that "
        "inputs and targets hold no NaN. ",
    )
