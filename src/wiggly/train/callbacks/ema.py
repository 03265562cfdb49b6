"""`EMA`: an exponential moving average of the weights, which validates and is kept instead of the last ones.

In: the model after every step. Out: the averaged model, in place. The warm-up of the decay is that of timm's
`ModelEmaV3`. Read next: `monitor.py`.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.checks import check_number

__all__ = ["EMA"]

# Average over a window that grows with the run: 1 - k ** (-2 / 3) at step k, as timm's `use_warmup`.
WARMUP_POWER = 2 / 3


class EMA(Callback):
    """Averages weights over the steps of a fit (Polyak & Juditsky, SIAM J. Control Optim. 30, 1992).

    Parameters that learn and running statistics of norm layers are averaged. After each epoch's training the
    averages take the model's place: they are validated, and saved by whatever saves at the end of an epoch;
    training goes on from its own weights. When the fit ends well the averages stay in the model, so `save`
    and `export` write them; after an error or Ctrl-C the model has its own weights. Each fit averages anew,
    so the second phase of `fine_tune` starts from the averages of the first.

    Args:
        decay: Weight of the past at each step, in [0, 1): 0.999 averages over about 1000 steps.
        warmup: Less of it at first, so that a short fit does not average its first steps: 1 - k^(-2/3) at
            step k, until that reaches `decay`.

    Raises:
        ArgumentError: `decay` is not in [0, 1); when a fit begins, if it has another EMA.

    Example:
        >>> [round(EMA(0.999).decay_at(step), 3) for step in (1, 10, 1000, 100_000)]
        [0.0, 0.785, 0.99, 0.999]
    """

    order: ClassVar[int] = 10
    in_lr_find: ClassVar[bool] = False
    _averaged: ClassVar[weakref.WeakSet[nn.Module]] = weakref.WeakSet()  # models of the fits under way

    def __init__(self, decay: float = 0.999, warmup: bool = True) -> None:
        check_number("decay", decay, "at least 0 and below 1", lambda share: 0 <= share < 1, "0.999")
        self.decay, self.warmup = decay, warmup
        self._end()

    def _end(self) -> None:
        self._others: dict[str, Tensor] = {}  # averages; while they are in the model, the model's own weights
        self._inside = False
        self._updates = self._step = 0

    def decay_at(self, step: int) -> float:
        """Weight of the past at a step, counted from 1."""
        if step <= 1:
            return 0.0  # the average begins with the weights after the first step
        return min(self.decay, 1 - step**-WARMUP_POWER) if self.warmup else self.decay

    def before_fit(self, state: State) -> None:
        model = self.learner.model
        if model in self._averaged:
            raise ArgumentError(
                "a fit can have one EMA, as averages take the model's place",
                "there is another, in `cbs` or among the learner's callbacks",
                "Leave one of them out.",
            )
        self._end()
        self._averaged.add(model)
        self._others = {name: tensor.detach().clone() for name, tensor in self._tensors()}

    def before_train(self, state: State) -> None:
        if self._inside:
            self._swap()

    def before_batch(self, state: State) -> None:
        if state.training:
            self._step = state.step

    def after_batch(self, state: State) -> None:
        if state.training and state.step > self._step:
            self._update()

    def after_train(self, state: State) -> None:
        self._swap()

    def after_fit(self, state: State) -> None:
        if self._updates and not self._inside:  # the fit was ended in the middle of an epoch
            self._swap()
        self._end()

    def cleanup(self, state: State) -> None:
        if self._inside:
            self._swap()
        self._end()
        self._averaged.discard(self.learner.model)

    def state_dict(self) -> dict[str, Any]:
        return {"updates": self._updates, "inside": self._inside, "others": dict(self._others)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._updates, self._inside = state["updates"], state["inside"]
        for name, value in state["others"].items():
            self._others[name].copy_(value)

    def _tensors(self) -> Iterator[tuple[str, Tensor]]:
        yield from self.learner.model.named_parameters()
        yield from self.learner.model.named_buffers()

    @torch.no_grad()
    def _update(self) -> None:
        self._updates += 1
        pairs: dict[tuple[torch.device, torch.dtype], list[tuple[Tensor, Tensor]]] = {}
        for name, tensor in self._tensors():
            if not tensor.is_floating_point():
                self._others[name].copy_(tensor)
            elif tensor.requires_grad or not isinstance(tensor, nn.Parameter):
                pairs.setdefault((tensor.device, tensor.dtype), []).append((self._others[name], tensor))
        average = get_ema_multi_avg_fn(self.decay_at(self._updates))
        for group in pairs.values():
            averages, current = zip(*group, strict=True)
            average(averages, current, None)

    @torch.no_grad()
    def _swap(self) -> None:
        """Exchanges values, not tensors: the optimizer and compiled code hold on to the model's."""
        for name, tensor in self._tensors():
            kept = tensor.clone()
            tensor.copy_(self._others[name])
            self._others[name].copy_(kept)
        self._inside = not self._inside
