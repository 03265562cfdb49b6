"""What happens to gradients between backward pass and step: gathered over several batches, and clipped.

In: gradients of a batch, in `before_step`. Out: gradients to step with, or none yet. Read next: `ema.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.records import Batch, State
from wiggly.train.callback import Callback, CancelBatch
from wiggly.train.checks import check_number
from wiggly.train.losses.core import CrossEntropyLossFlat, MSELossFlat
from wiggly.train.optim.base import Optimizer

__all__ = ["GradientAccumulation", "GradientClip"]


class GradientAccumulation(Callback):
    """Steps once every `n_acc` items instead of after every batch: a large batch in the memory of a small
    one.

    The gradient of a step is that of one batch of all items since the step before (but norm layers in
    training mode see the small batches). Items are weighted as the loss weighs them, so batches may differ in
    size. The last step of an epoch takes what is left. Losses that are shown stay those of the batches.

    Args:
        n_acc: Items to step after, counted in whole batches.

    Raises:
        ArgumentError: `n_acc` is below 1.

    Example:
        >>> GradientAccumulation(64).n_acc
        64
    """

    order: ClassVar[int] = -5  # before all that reads gradients, so that it sees complete ones only

    def __init__(self, n_acc: int = 32) -> None:
        check_number("n_acc", n_acc, "at least 1", lambda items: items >= 1, "n_acc=64, a number of items")
        self.n_acc = n_acc
        self._start()

    def _start(self) -> None:
        """The true sum of gradients is `unit` times what parameters hold; weights add up to `total`."""
        self._items = 0
        self._unit: float | Tensor = 1.0
        self._total: float | Tensor = 0.0

    def before_train(self, state: State) -> None:
        self._drop()

    def after_loss(self, state: State) -> None:
        if not state.training or state.batch is None or _is_sum(self.learner.loss_func):
            return
        weight = self._weight(state.batch)
        if self._items:  # the gradient to come counts `weight`; what is there has to count in the same unit
            _scale(self.learner.opt, self._unit, weight)
        self._unit = weight

    def _weight(self, batch: Batch) -> float | Tensor:
        """What the mean over this batch counts, over all processes."""
        engine = self.learner.engine
        weight = weight_of(self.learner.loss_func, batch.targets)
        return engine.rows(batch) if weight is None else sum(engine.from_all(weight))

    def before_step(self, state: State) -> None:
        assert state.batch is not None
        self._total = self._total + self._unit
        self._items += self.learner.engine.rows(state.batch)
        if self._items < self.n_acc and state.batch_index + 1 < state.n_batches:
            raise CancelBatch
        if not _is_sum(self.learner.loss_func):
            _scale(self.learner.opt, self._unit, self._total)
        self._start()

    def cleanup(self, state: State) -> None:
        self._drop()

    def _drop(self) -> None:
        """Forgets what no step took: the last batch of the epoch was cancelled."""
        if self._items:
            self.learner.opt.zero_grad()
        self._start()


def _scale(optimizer: Optimizer, numerator: float | Tensor, denominator: float | Tensor) -> None:
    """Multiplies all gradients by a ratio."""
    if not isinstance(numerator, Tensor) and numerator == denominator:
        return
    for parameter in _learning(optimizer):
        assert parameter.grad is not None
        parameter.grad.mul_(numerator / denominator)


def _learning(optimizer: Optimizer) -> list[Tensor]:
    return [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]


def setting_of(loss_func: Callable[..., Any], name: str) -> Any:
    """A setting of a loss: an attribute, or an argument that `partial` has bound."""
    if isinstance(loss_func, partial):
        return loss_func.keywords.get(name)
    return getattr(loss_func, name, None)


def _is_sum(loss_func: Callable[..., Any]) -> bool:
    return setting_of(loss_func, "reduction") == "sum"


def weight_of(loss_func: Callable[..., Any], targets: tuple[Tensor, ...]) -> float | Tensor | None:
    """What the mean in a loss divides by, where that is not the number of items: the weights of their
    classes, or how many are not ignored.

    Args:
        loss_func: The loss.
        targets: The batch's targets.

    Returns:
        A number; on a GPU a tensor of one, since reading it would make the host wait. None: the items count.

    Example:
        >>> weight_of(nn.CrossEntropyLoss(torch.tensor([1.0, 3.0])), (torch.tensor([0, 1, 1, -100]),))
        7.0
    """
    target = targets[0]
    bare = loss_func.func if isinstance(loss_func, partial) else loss_func
    classes = isinstance(bare, (CrossEntropyLossFlat, nn.CrossEntropyLoss, nn.NLLLoss))
    if (classes or bare in (F.cross_entropy, F.nll_loss)) and not target.is_floating_point():
        ignored, weights = setting_of(loss_func, "ignore_index"), setting_of(loss_func, "weight")
        counted = target != (-100 if ignored is None else ignored)  # -100 is torch's default
        if weights is not None:
            counted = counted * weights.to(target.device)[torch.where(counted, target, 0)]
        found = counted.sum()
    elif isinstance(bare, MSELossFlat) and bare.skip_nan:
        found = target.isfinite().sum()
    else:
        return None
    return float(found) if found.device.type == "cpu" else found


class GradientClip(Callback):
    """Shortens gradients that are too long before each step.

    Args:
        max_norm: Longest that the gradient of all parameters together may be; a longer one keeps its
            direction (Pascanu et al., "On the difficulty of training recurrent neural networks",
            arXiv:1211.5063).
        norm_type: Which norm: 2 is the Euclidean one, `inf` the largest magnitude.
        max_value: Instead, limit every single number of the gradient to plus or minus this.

    Attributes:
        norm: The gradient's norm before it was clipped at the last step, a tensor; None before, and by value.

    Raises:
        ArgumentError: A limit is not above 0.

    Example:
        >>> GradientClip(0.5).max_norm
        0.5
    """

    order: ClassVar[int] = 20

    def __init__(
        self, max_norm: float | None = 1.0, norm_type: float = 2.0, max_value: float | None = None
    ) -> None:
        limits = {"max_norm": max_norm, "norm_type": norm_type, "max_value": max_value}
        for name, limit in limits.items():
            if limit is not None or name == "norm_type":
                check_number(name, limit, "above 0", lambda number: number > 0, "1.0")
        if max_norm is None and max_value is None:
            raise ArgumentError(
                "`max_norm` or `max_value` must be given", "both are None", "Pass e.g. GradientClip(1.0)."
            )
        self.max_norm, self.norm_type, self.max_value = max_norm, norm_type, max_value
        self.norm: Tensor | None = None

    def before_step(self, state: State) -> None:
        optimizer = self.learner.opt
        self.learner.engine.unscale(optimizer)
        if self.max_value is not None:
            nn.utils.clip_grad_value_(_learning(optimizer), self.max_value)
        elif self.max_norm is not None:
            self.norm = nn.utils.clip_grad_norm_(_learning(optimizer), self.max_norm, self.norm_type)
