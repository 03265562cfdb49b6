"""Losses of tables: of many members side by side, of several targets at once, and weights of classes.

In: outputs of a network of `models.py` and targets. Out: a scalar to minimise, or one number per row. Read
next: `learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.train.losses.core import activation_of, decodes_of

__all__ = ["EvenLoss", "MembersLoss", "SeveralLosses", "weights_of_classes"]


class MembersLoss(nn.Module):
    """The mean of the members' losses in training, where TabM gives the outputs of all of them; the loss of
    their mean in evaluation.

    Args:
        base: The loss of one network.
        block: The target block; it tells the activation where the loss does not.

    Example:
        >>> from wiggly.train.losses.core import MSELossFlat
        >>> loss = MembersLoss(MSELossFlat())
        >>> members = torch.tensor([[[1.0], [3.0]]])  # one row, two members
        >>> loss(members, torch.tensor([2.0])), loss(members.mean(1), torch.tensor([2.0]))
        (tensor(1.), tensor(0.))
    """

    def __init__(self, base: Callable[..., Any], block: Any = None) -> None:
        super().__init__()
        self.base = base
        self.activation, self.decodes = activation_of(base, block), decodes_of(base, block)

    @property
    def reduction(self) -> Any:
        """That of the loss of one network."""
        return cast("Any", self.base).reduction

    @reduction.setter
    def reduction(self, how: str) -> None:
        cast("Any", self.base).reduction = how

    def forward(self, pred: Any, *targets: Tensor) -> Tensor:
        first: Tensor = pred if isinstance(pred, Tensor) else pred[0]
        if first.ndim < 3:
            return self.base(pred, *targets)
        n, members = first.shape[:2]
        flat = pred.flatten(0, 1) if pred is first else tuple(part.flatten(0, 1) for part in pred)
        loss = self.base(flat, *(target.repeat_interleave(members, 0) for target in targets))
        return loss if not loss.ndim else loss.reshape(n, members, -1).mean((1, 2))


class EvenLoss(nn.Module):
    """The loss of several numbers, each divided by its standard deviation: else the one with the largest unit
    would be all that counts.

    Args:
        base: The loss of numbers.
        std: Standard deviation of each among the training rows.

    Example:
        >>> from wiggly.train.losses.core import MSELossFlat
        >>> loss = EvenLoss(MSELossFlat(), torch.tensor([1.0, 1000.0]))
        >>> loss(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1000.0]]))
        tensor(1.)
    """

    std: Tensor

    def __init__(self, base: nn.Module, std: Tensor) -> None:
        super().__init__()
        self.base = base
        self.register_buffer("std", std.clone())
        self.activation, self.decodes = activation_of(base, None), decodes_of(base, None)

    @property
    def reduction(self) -> Any:
        """That of the loss of numbers."""
        return cast("Any", self.base).reduction

    @reduction.setter
    def reduction(self, how: str) -> None:
        cast("Any", self.base).reduction = how

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        std = self.std.to(pred.device)
        return self.base(pred / std, target.reshape(pred.shape) / std)


class SeveralLosses(nn.Module):
    """The sum of the losses of several targets.

    Args:
        losses: One for each target.
        weights: What each is multiplied by; None for 1.
        blocks: The target blocks.

    Example:
        >>> from wiggly.train.losses.core import CrossEntropyLossFlat, MSELossFlat
        >>> loss = SeveralLosses([CrossEntropyLossFlat(), MSELossFlat()], [1.0, 2.0])
        >>> scores, numbers = torch.zeros(1, 2), torch.tensor([[3.0]])
        >>> round(loss((scores, numbers), torch.tensor([0]), torch.tensor([2.0])).item(), 4)
        2.6931
    """

    def __init__(
        self,
        losses: Sequence[nn.Module],
        weights: Sequence[float] | None = None,
        blocks: Sequence[Any] | None = None,
    ) -> None:
        super().__init__()
        self.losses = nn.ModuleList(losses)
        self.weights = [1.0] * len(losses) if weights is None else list(weights)
        self._blocks = list(blocks or [None] * len(losses))

    @property
    def reduction(self) -> str:
        """Of all of them."""
        return cast("Any", self.losses[0]).reduction

    @reduction.setter
    def reduction(self, how: str) -> None:
        for loss in self.losses:
            cast("Any", loss).reduction = how

    def forward(self, preds: Sequence[Tensor], *targets: Tensor) -> Tensor:
        parts = zip(self.losses, preds, targets, self.weights, strict=True)
        found = [weight * loss(pred, target) for loss, pred, target, weight in parts]
        if found[0].ndim:  # unreduced: one number per row
            found = [loss.reshape(len(loss), -1).mean(1) for loss in found]
        return torch.stack(found).sum(0)

    def activation(self, preds: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """What users see of each target's output."""
        parts = zip(self.losses, self._blocks, preds, strict=True)
        return tuple(activation_of(loss, block)(pred) for loss, block, pred in parts)

    def decodes(self, activated: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The predicted targets."""
        parts = zip(self.losses, self._blocks, activated, strict=True)
        return tuple(decodes_of(loss, block)(pred) for loss, block, pred in parts)


def weights_of_classes(
    weights: str | Mapping[Any, float] | Sequence[float], vocab: Sequence[Any], targets: Tensor
) -> Tensor:
    """How much each class counts in the loss.

    Args:
        weights: "balanced" for `n / (classes * rows of the class)`, so that all classes count alike (King &
            Zeng, "Logistic Regression in Rare Events Data", Political Analysis 9(2), 2001); or a number for
            each label.
        vocab: The labels.
        targets: Encoded targets of the training rows.

    Raises:
        ArgumentError: They are not one positive number for each label.

    Example:
        >>> weights_of_classes("balanced", ["no", "yes"], torch.tensor([0, 0, 0, 1]))
        tensor([0.6667, 2.0000])
        >>> weights_of_classes({"yes": 3}, ["no", "yes"], torch.tensor([0, 1]))
        tensor([1., 3.])
    """
    fix = 'Pass "balanced", or e.g. {label: weight}; labels left out count 1.'
    if isinstance(weights, str):
        if weights != "balanced":
            raise ArgumentError("`class_weights` must be weights", f"it is {weights!r}", fix)
        counts = torch.bincount(targets.flatten().cpu(), minlength=len(vocab)).float()
        return counts.sum() / (len(vocab) * counts.clamp(min=1))
    if isinstance(weights, Mapping):
        unknown = [label for label in weights if label not in list(vocab)]
        if unknown:
            raise ArgumentError(
                "`class_weights` must be of labels of the target",
                f"{unknown[0]!r} is not among {list(vocab)}",
                fix,
            )
        weights = [float(weights.get(label, 1.0)) for label in vocab]
    found = torch.tensor([float(weight) for weight in weights])
    if len(found) != len(vocab) or not bool((found.isfinite() & (found >= 0)).all()) or not bool(found.any()):
        raise ArgumentError(
            f"`class_weights` must be {len(vocab)} numbers, none below 0 and one above",
            f"they are {found.tolist()}",
            fix,
        )
    return found
