"""`NotWorse`: a fit that ends worse than it began gives back the weights it began with, and says so.

In: the numbers of the validation items before and after. Out: the better of two models. Read next: `save.py`,
which keeps the best of all epochs.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor

from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.callbacks.monitor import lower_is_better

__all__ = ["NotWorse"]


class NotWorse(Callback):
    """Compares the last epoch of a fit with the last one of the fit before, by the first metric (without one
    by the validation loss), and puts the weights from before back if the fit has made it worse.

    It chooses between two models by the validation items, so of two that are equally good the score of the
    kept one is a little too high; the history says which was kept (`learn.recorder.phases[-1]["kept"]`).

    Example:
        >>> NotWorse().is_worse(0.10, 0.12, lower=True), NotWorse().is_worse(0.10, 0.10, lower=True)
        (True, False)
    """

    order: ClassVar[int] = 65  # when averaged weights and saved ones are in the model
    in_lr_find: ClassVar[bool] = False

    def __init__(self) -> None:
        self._before: dict[str, Tensor] = {}

    @staticmethod
    def is_worse(before: float, after: float, lower: bool) -> bool:
        """Whether a number became worse; one that is no number counts as that."""
        return math.isnan(after) or (after > before if lower else after < before)

    def before_fit(self, state: State) -> None:
        tensors = self.learner.model.state_dict().items()
        self._before = {name: value.detach().clone() for name, value in tensors if isinstance(value, Tensor)}

    def after_fit(self, state: State) -> None:
        history = self.learner.recorder
        earlier, rows = history.phases[-2] if len(history.phases) > 1 else None, history.phases[-1]["rows"]
        if earlier is None or not earlier["rows"] or not rows:
            return
        name = self.learner.metrics[0].name if self.learner.metrics else "valid_loss"
        before, after = (_number(phase, name) for phase in (earlier, history.phases[-1]))
        if before is None or after is None or not self.is_worse(before, after, lower_is_better(name)):
            return
        self._put_back()
        history.phases[-1]["kept"] = earlier.get("phase", "before")
        if self.learner.show_table and self.learner.engine.is_main:
            kept = earlier.get("phase", "the phase before")
            print(f"{name} was {before:.4f} before and {after:.4f} at the end: the model of {kept} is kept.")

    @torch.no_grad()
    def _put_back(self) -> None:
        for name, value in self.learner.model.state_dict().items():
            if name in self._before:
                value.copy_(self._before[name])

    def cleanup(self, state: State) -> None:
        self._before = {}

    def state_dict(self) -> dict[str, Any]:
        return {"before": self._before}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name, value in state["before"].items():
            self._before[name] = value.to(self._before[name]) if name in self._before else value


def _number(phase: dict[str, Any], name: str) -> float | None:
    """A number of a phase's last row; None if it has no such column, or nothing in it."""
    columns: list[str] = phase["columns"]
    return phase["rows"][-1][columns.index(name)] if name in columns else None
