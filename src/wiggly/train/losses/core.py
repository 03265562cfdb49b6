"""Losses that know how to read the model's output: `activation` gives probabilities, `decodes` a target.

In: outputs `(n, c, ...)` and targets. Out: a scalar to minimise, or one number per item. torch's own losses
and plain functions work as well: what they lack is inferred here. Read next: `../metrics/core.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.train.nested import each_tensor

__all__ = [
    "BCEWithLogitsLossFlat",
    "CrossEntropyLossFlat",
    "LabelSmoothingCrossEntropy",
    "MSELossFlat",
    "NoneReduce",
    "activation_of",
    "decodes_of",
    "loss_for",
    "loss_per_item",
]

LossFunction = Callable[..., Any]


class CrossEntropyLossFlat(nn.Module):
    """Cross entropy of class scores.

    Args:
        axis: Axis of the classes in the output; all others are flattened, so it serves one label per item and
            one per pixel.
        weight: Weight of each class, `(c,)`.
        ignore_index: Targets of this value do not count.
        label_smoothing: Share of the target spread over all classes, in [0, 1].
        reduction: "mean", "sum" or "none" (then one number per target, in the target's shape).

    Example:
        >>> loss = CrossEntropyLossFlat()
        >>> scores = torch.tensor([[0.0, 0.0]])
        >>> round(loss(scores, torch.tensor([1])).item(), 4), loss.activation(scores)
        (0.6931, tensor([[0.5000, 0.5000]]))
    """

    weight: Tensor | None

    def __init__(
        self,
        axis: int = -1,
        weight: Tensor | None = None,
        ignore_index: int = -100,
        label_smoothing: float = 0.0,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        if isinstance(label_smoothing, str) or not 0 <= label_smoothing <= 1:
            raise ArgumentError(
                "label smoothing must be in [0, 1]", f"it is {label_smoothing!r}", "Pass e.g. 0.1."
            )
        self.axis, self.ignore_index = axis, ignore_index
        self.label_smoothing, self.reduction = label_smoothing, reduction
        self.register_buffer("weight", weight)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        scores = pred.movedim(self.axis, -1)
        flat = scores.reshape(-1, scores.shape[-1])
        weight = self.weight if self.weight is None else self.weight.to(flat.device)
        loss = F.cross_entropy(
            flat,
            target.reshape(-1),
            weight,
            ignore_index=self.ignore_index,
            reduction=self.reduction,
            label_smoothing=self.label_smoothing,
        )
        return loss.reshape(target.shape) if self.reduction == "none" else loss

    def activation(self, pred: Tensor) -> Tensor:
        """Probabilities of the classes."""
        return pred.softmax(self.axis)

    def decodes(self, activated: Tensor) -> Tensor:
        """Index of the likeliest class."""
        return activated.argmax(self.axis)


class LabelSmoothingCrossEntropy(CrossEntropyLossFlat):
    """Cross entropy against `1 - eps` on the label and `eps` spread over all classes.

    From Szegedy et al., "Rethinking the Inception Architecture", arXiv:1512.00567, section 7.

    Args:
        eps: Share spread, in [0, 1].
        weight: Weight of each class, `(c,)`.
        reduction: "mean", "sum" or "none".
    """

    def __init__(self, eps: float = 0.1, weight: Tensor | None = None, reduction: str = "mean") -> None:
        super().__init__(weight=weight, label_smoothing=eps, reduction=reduction)


class BCEWithLogitsLossFlat(nn.Module):
    """Binary cross entropy of independent yes-or-no scores, for any number of labels per item.

    Args:
        thresh: Probability above which a label is predicted.
        weight: Weight of each label, `(c,)`.
        pos_weight: Weight of the positive targets of each label, `(c,)`.
        reduction: "mean", "sum" or "none" (then in the target's shape).
    """

    weight: Tensor | None
    pos_weight: Tensor | None

    def __init__(
        self,
        thresh: float = 0.5,
        weight: Tensor | None = None,
        pos_weight: Tensor | None = None,
        reduction: str = "mean",
    ) -> None:
        super().__init__()
        self.thresh, self.reduction = thresh, reduction
        self.register_buffer("weight", weight)
        self.register_buffer("pos_weight", pos_weight)

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        weight, positive = (None if w is None else w.to(pred.device) for w in (self.weight, self.pos_weight))
        target = target.reshape(pred.shape).to(pred.dtype)
        return F.binary_cross_entropy_with_logits(
            pred, target, weight, reduction=self.reduction, pos_weight=positive
        )

    def activation(self, pred: Tensor) -> Tensor:
        """Probability of each label."""
        return pred.sigmoid()

    def decodes(self, activated: Tensor) -> Tensor:
        """True where the label is predicted."""
        return activated > self.thresh


class MSELossFlat(nn.Module):
    """Mean squared difference; `(n, 1)` against `(n,)` is no trap, as both are flattened.

    Args:
        reduction: "mean", "sum" or "none" (then in the target's shape).
        skip_nan: Leave out targets that are NaN, such as missing key points; with "none" their loss is 0.
    """

    def __init__(self, reduction: str = "mean", skip_nan: bool = False) -> None:
        super().__init__()
        self.reduction, self.skip_nan = reduction, skip_nan

    def forward(self, pred: Tensor, target: Tensor) -> Tensor:
        pred, target = pred.reshape(target.shape), target.to(pred.dtype)
        if not self.skip_nan:
            return F.mse_loss(pred, target, reduction=self.reduction)
        known = ~target.isnan()
        # Filled before the difference is taken: a gradient through NaN is NaN even where it is not used.
        squares = (pred - torch.where(known, target, pred.detach())).square() * known
        if self.reduction == "none":
            return squares
        return squares.sum() / known.sum().clamp(min=1) if self.reduction == "mean" else squares.sum()

    def activation(self, pred: Tensor) -> Tensor:
        """The output as it is."""
        return pred

    def decodes(self, activated: Tensor) -> Tensor:
        """The output as it is."""
        return activated


def loss_for(block: Any) -> nn.Module:
    """The loss that a target block asks for by name, with its settings.

    Raises:
        ArgumentError: It asks for one that is not known.

    Example:
        >>> from wiggly.data.blocks import RegressionBlock
        >>> loss_for(RegressionBlock())
        MSELossFlat()
    """
    known: dict[str, type[nn.Module]] = {
        "cross_entropy": CrossEntropyLossFlat,
        "bce_logits": BCEWithLogitsLossFlat,
        "mse": MSELossFlat,
    }
    if block.loss not in known:
        raise ArgumentError(
            f"a target block's `loss` must be one of {', '.join(known)}",
            f"{type(block).__name__} has {block.loss!r}",
            "Pass `loss_func`, e.g. loss_func=MSELossFlat() where numbers or pictures are learned.",
        )
    return known[block.loss](**block.loss_settings)


ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda pred: pred.softmax(1),
    "sigmoid": torch.sigmoid,
    "none": lambda pred: pred,
}
DECODERS: dict[str, Callable[[Any], Any]] = {
    "softmax": lambda activated: activated.argmax(1),
    "sigmoid": lambda activated: activated > 0.5,
    "none": lambda activated: activated,
}


def _kind_of(loss_func: LossFunction, block: Any) -> str:
    """The activation that a loss without one of its own implies: "softmax", "sigmoid" or "none"."""
    if isinstance(loss_func, partial):
        return _kind_of(cast("LossFunction", loss_func.func), block)
    if isinstance(loss_func, nn.CrossEntropyLoss) or loss_func is F.cross_entropy:
        return "softmax"
    if isinstance(loss_func, nn.BCEWithLogitsLoss) or loss_func is F.binary_cross_entropy_with_logits:
        return "sigmoid"
    known = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.NLLLoss)
    if isinstance(loss_func, known) or block is None:
        return "none"
    return block.activation


def activation_of(loss_func: LossFunction, block: Any = None) -> Callable[[Any], Any]:
    """What turns outputs into what users see: the loss's own, else what torch's or the block imply.

    Args:
        loss_func: The loss.
        block: The target block, if there is one.

    Example:
        >>> activation_of(nn.BCEWithLogitsLoss())(torch.zeros(1))
        tensor([0.5000])
    """
    own = getattr(loss_func, "activation", None)
    if own is not None:
        return own
    if isinstance(loss_func, nn.NLLLoss):
        return torch.exp
    return ACTIVATIONS[_kind_of(loss_func, block)]


def decodes_of(loss_func: LossFunction, block: Any = None) -> Callable[[Any], Any]:
    """What turns activated outputs into predicted targets."""
    own = getattr(loss_func, "decodes", None)
    if own is not None:
        return own
    if isinstance(loss_func, nn.NLLLoss):
        return DECODERS["softmax"]
    return DECODERS[_kind_of(loss_func, block)]


class NoneReduce:
    """Has a loss give one number per target within a block, and its mean or sum again afterwards.

    Args:
        loss_func: A loss with an attribute, or an argument, `reduction`.

    Raises:
        ArgumentError: It has neither.

    Example:
        >>> loss = CrossEntropyLossFlat()
        >>> with NoneReduce(loss) as each:
        ...     each(torch.zeros(3, 2), torch.tensor([0, 1, 1])).shape
        torch.Size([3])
        >>> loss.reduction
        'mean'
    """

    def __init__(self, loss_func: LossFunction) -> None:
        reduction = getattr(loss_func, "reduction", None)
        self.loss_func, self.reduction = loss_func, reduction if isinstance(reduction, str) else None
        if self.reduction is None and not _takes_reduction(loss_func):
            raise ArgumentError(
                "`NoneReduce` needs a loss with a `reduction`",
                f"got {loss_func!r:.80}",
                "Give it one, as torch's losses have, or call it with one item at a time.",
            )

    def __enter__(self) -> LossFunction:
        if self.reduction is None:
            return partial(self.loss_func, reduction="none")
        cast("Any", self.loss_func).reduction = "none"
        return self.loss_func

    def __exit__(self, *_: object) -> None:
        if self.reduction is not None:
            cast("Any", self.loss_func).reduction = self.reduction


def loss_per_item(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]) -> Tensor:
    """Loss of every row, `(n,)`: the unreduced loss averaged over all but the first axis.

    A loss that cannot be asked for its unreduced form is called row by row.
    """
    n = targets[0].shape[0]
    if isinstance(getattr(loss_func, "reduction", None), str) or _takes_reduction(loss_func):
        with NoneReduce(loss_func) as each:
            loss = cast("Tensor", each(pred, *targets))
    else:
        rows = (loss_func(_row(pred, i), *(t[i : i + 1] for t in targets)) for i in range(n))
        loss = torch.stack([cast("Tensor", row).reshape(()) for row in rows])
    return loss.reshape(n, -1).mean(1)


def _row(pred: Any, i: int) -> Any:
    return each_tensor(pred, lambda tensor: tensor[i : i + 1])


def _takes_reduction(loss_func: LossFunction) -> bool:
    try:
        return "reduction" in inspect.signature(loss_func).parameters
    except (TypeError, ValueError):
        return False


CLASS_LOSSES = (CrossEntropyLossFlat, nn.CrossEntropyLoss, nn.NLLLoss)
SAME_SHAPE_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss)
