"""Losses for masks, beside cross entropy: overlap of regions, and less weight for what is easy.

In: scores `(n, c, h, w)` and masks `(n, h, w)`. Out: a scalar to minimise, or one number per item. Read next:
`../metrics/pixels.py`, the metrics of masks.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.train.losses.core import CrossEntropyLossFlat, activation_of, decodes_of, loss_per_item

__all__ = ["CombinedLoss", "DiceLoss", "FocalLoss", "FocalLossFlat"]

REDUCTIONS = ("mean", "sum", "none")


class FocalLoss(CrossEntropyLossFlat):
    """Cross entropy in which what is already predicted well hardly counts: `(1 - p)^gamma` times it.

    From Lin et al., "Focal Loss for Dense Object Detection", arXiv:1708.02002, equation 4, where `p` is the
    probability of the target's class.

    Args:
        gamma: How little easy pixels count; 0 is cross entropy, 2 the paper's best.
        weight: Weight of each class, `(c,)`; the paper's alpha.
        reduction: "mean" (over what counts), "sum" or "none" (then in the target's shape).
        axis: Axis of the classes in the output.
        ignore_index: Targets of this value do not count.

    Example:
        >>> scores = torch.tensor([[4.0, 0.0]])  # sure, and right
        >>> sure = FocalLoss()(scores, torch.tensor([0]))
        >>> bool(sure < 0.01 * CrossEntropyLossFlat()(scores, torch.tensor([0])))
        True
    """

    def __init__(
        self,
        gamma: float = 2.0,
        weight: Tensor | None = None,
        reduction: str = "mean",
        axis: int = 1,
        ignore_index: int = -100,
    ) -> None:
        super().__init__(axis, weight, ignore_index, reduction=reduction)
        self.gamma = gamma

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        scores = pred.movedim(self.axis, -1)
        flat, wanted = scores.reshape(-1, scores.shape[-1]), target.reshape(-1)
        entropy = F.cross_entropy(flat, wanted, ignore_index=self.ignore_index, reduction="none")
        loss = (-torch.expm1(-entropy)) ** self.gamma * entropy
        counted = wanted != self.ignore_index
        if self.weight is not None:
            loss = loss * self.weight.to(loss.device)[torch.where(counted, wanted, 0)]
        if self.reduction == "none":
            return loss.reshape(target.shape)
        return loss.sum() / counted.sum().clamp(min=1) if self.reduction == "mean" else loss.sum()


class FocalLossFlat(FocalLoss):
    """`FocalLoss` with the classes on the last axis, for one label per item; `axis=1` for masks.

    Args:
        gamma: As for `FocalLoss`, and so are the others.
        axis: Axis of the classes in the output.
        weight: Weight of each class.
        reduction: "mean", "sum" or "none".
        ignore_index: Targets of this value do not count.
    """

    def __init__(
        self,
        gamma: float = 2.0,
        axis: int = -1,
        weight: Tensor | None = None,
        reduction: str = "mean",
        ignore_index: int = -100,
    ) -> None:
        super().__init__(gamma, weight, reduction, axis, ignore_index)


class DiceLoss(nn.Module):
    """1 minus the overlap of predicted and true regions, as probabilities: large and small ones count alike.

    The soft Dice coefficient `2 Σ p t / (Σ p + Σ t)` of every class in an item's mask (Milletari et al.,
    "V-Net", arXiv:1606.04797, whose sums of squares `square_in_union` gives), averaged over those classes.
    A class that is not in the mask has no region to overlap with and is left out.

    Args:
        axis: Axis of the classes in the output.
        smooth: Added above and below the line, so that an empty region divides nothing by nothing.
        reduction: "mean" or "sum" over the items, or "none": one number per item, `(n,)`.
        square_in_union: Sum squares below the line.
        ignore_index: Pixels of this value in the mask do not count; None counts all.

    Example:
        >>> sure = torch.tensor([[[[9.0, -9.0]], [[-9.0, 9.0]]]])  # pixel 0 of class 0, pixel 1 of class 1
        >>> round(DiceLoss()(sure, torch.tensor([[[0, 1]]])).item(), 3)
        0.0
    """

    def __init__(
        self,
        axis: int = 1,
        smooth: float = 1e-6,
        reduction: str = "mean",
        square_in_union: bool = False,
        ignore_index: int | None = None,
    ) -> None:
        super().__init__()
        if reduction not in REDUCTIONS:
            raise ArgumentError(
                f"`reduction` must be one of {REDUCTIONS}", f"it is {reduction!r}", "Leave it out."
            )
        self.axis, self.smooth, self.reduction = axis, smooth, reduction
        self.square_in_union, self.ignore_index = square_in_union, ignore_index

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        probs = pred.movedim(self.axis, 1).flatten(2).softmax(1)  # (n, c, pixels)
        n_classes, wanted = probs.shape[1], target.reshape(len(target), -1)
        counted = (
            torch.ones_like(wanted) if self.ignore_index is None else (wanted != self.ignore_index).long()
        )
        _check_range(wanted * counted, n_classes)
        true = F.one_hot(wanted * counted, n_classes).movedim(-1, 1).to(probs.dtype) * counted[:, None]
        probs = probs * counted[:, None]
        overlap = (probs * true).sum(2)
        both = (probs.square() + true if self.square_in_union else probs + true).sum(2)
        loss = 1 - (2 * overlap + self.smooth) / (both + self.smooth)  # (n, c)
        present = (true.sum(2) > 0).to(loss.dtype)
        items = (loss * present).sum(1) / present.sum(1).clamp(min=1)
        return (
            items if self.reduction == "none" else items.mean() if self.reduction == "mean" else items.sum()
        )

    def activation(self, pred: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return pred.softmax(self.axis)

    def decodes(self, activated: Tensor) -> Tensor:
        """Index of the likeliest class."""
        return activated.argmax(self.axis)


def _check_range(target: Tensor, n_classes: int) -> None:
    if target.is_cuda:  # asking for the extremes would stop the GPU at every step
        return
    if target.numel() and not 0 <= int(target.min()) <= int(target.max()) < n_classes:
        raise ArgumentError(
            f"the classes of a mask must be from 0 to {n_classes - 1}, as the model has {n_classes} outputs",
            f"this batch has {int(target.min())} to {int(target.max())}",
            "Pass `ignore_index` for an index that means no label, or a larger `n_out`.",
        )


class CombinedLoss(nn.Module):
    """The weighted sum of several losses.

    Args:
        losses: Their probabilities and predictions are the first one's.
        weights: One number per loss; None takes 1 for all.

    Raises:
        ArgumentError: Weights and losses are not as many.

    Example:
        >>> both = CombinedLoss([CrossEntropyLossFlat(axis=1), DiceLoss()], weights=[1.0, 0.5])
        >>> both(torch.zeros(1, 2, 4, 4), torch.ones(1, 4, 4, dtype=torch.long)).item() > 0
        True
    """

    def __init__(self, losses: Sequence[nn.Module], weights: Sequence[float] | None = None) -> None:
        super().__init__()
        self.weights = [1.0] * len(losses) if weights is None else list(weights)
        if not losses or len(self.weights) != len(losses):
            received = f"{len(losses)} losses and {len(self.weights)} weights"
            raise ArgumentError("there must be one weight for each loss", received, "Leave `weights` out.")
        self.losses = nn.ModuleList(losses)
        self.reduction = "mean"

    def forward(self, pred: Tensor, *targets: Tensor) -> Tensor:
        parts = [_reduced(loss, self.reduction, pred, targets) for loss in self.losses]
        return torch.stack([w * part for w, part in zip(self.weights, parts, strict=True)]).sum(0)

    def activation(self, pred: Tensor) -> Tensor:
        """That of the first loss."""
        return activation_of(self.losses[0])(pred)

    def decodes(self, activated: Tensor) -> Tensor:
        """That of the first loss."""
        return decodes_of(self.losses[0])(activated)


def _reduced(loss: nn.Module, reduction: str, pred: Tensor, targets: tuple[Tensor, ...]) -> Tensor:
    return loss_per_item(loss, pred, targets) if reduction == "none" else loss(pred, *targets)
