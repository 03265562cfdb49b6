"""Losses that know how to read the model's output: `activation` gives probabilities, `decodes` a target.

In: outputs `(n, c, ...)` and targets. Out: a scalar to minimise, or one number per item. torch's own losses
and plain functions work as well: what they lack is inferred here. Read next: `metrics.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError, TrainingError, WigglyError

__all__ = [
    "BCEWithLogitsLossFlat",
    "CrossEntropyLossFlat",
    "LabelSmoothingCrossEntropy",
    "MSELossFlat",
    "activation_of",
    "check_loss",
    "checked_loss",
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
            "Pass `loss_func`, e.g. loss_func=torch.nn.functional.cross_entropy.",
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


def loss_per_item(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]) -> Tensor:
    """Loss of every row, `(n,)`: the unreduced loss averaged over all but the first axis.

    A loss that cannot be asked for its unreduced form is called row by row.
    """
    n = targets[0].shape[0]
    reduction = getattr(loss_func, "reduction", None)
    if isinstance(reduction, str):
        owner = cast("Any", loss_func)
        owner.reduction = "none"
        try:
            loss = cast("Tensor", loss_func(pred, *targets))
        finally:
            owner.reduction = reduction
    elif _takes_reduction(loss_func):
        loss = cast("Tensor", loss_func(pred, *targets, reduction="none"))
    else:
        rows = (loss_func(_row(pred, i), *(t[i : i + 1] for t in targets)) for i in range(n))
        loss = torch.stack([cast("Tensor", row).reshape(()) for row in rows])
    return loss.reshape(n, -1).mean(1)


def _row(pred: Any, i: int) -> Any:
    return pred[i : i + 1] if isinstance(pred, Tensor) else tuple(_row(part, i) for part in pred)


def _takes_reduction(loss_func: LossFunction) -> bool:
    try:
        return "reduction" in inspect.signature(loss_func).parameters
    except (TypeError, ValueError):
        return False


CLASS_LOSSES = (CrossEntropyLossFlat, nn.CrossEntropyLoss, nn.NLLLoss)
SAME_SHAPE_LOSSES = (nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss, nn.BCELoss, nn.BCEWithLogitsLoss)


def check_loss(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]) -> None:
    """Checks that output and target fit, once per pass: what torch would say late, unclearly, or not at all.

    Raises:
        TrainingError: They do not; the message says what to change.
    """
    if not targets:
        raise TrainingError(
            "a batch to learn from must have a target", "it has inputs only", "Use labelled items."
        )
    if not isinstance(pred, Tensor) or len(targets) != 1:
        return
    target = targets[0]
    if pred.shape[:1] != target.shape[:1]:
        raise TrainingError(
            "the model must return one row per item",
            f"{target.shape[0]} items gave an output of shape {tuple(pred.shape)}",
            "Check the model's last layers: the first axis is the item.",
        )
    if isinstance(loss_func, CLASS_LOSSES) or loss_func is F.cross_entropy:
        _check_classes(pred, target, loss_func)
    elif isinstance(loss_func, (*SAME_SHAPE_LOSSES, MSELossFlat, BCEWithLogitsLossFlat)):
        flat = isinstance(loss_func, (MSELossFlat, BCEWithLogitsLossFlat))
        if pred.numel() != target.numel() or not (flat or pred.shape == target.shape):
            # torch would broadcast (n, 1) against (n,) to (n, n) and train on nonsense.
            raise TrainingError(
                f"{type(loss_func).__name__} needs output and target of one shape",
                f"they are {tuple(pred.shape)} and {tuple(target.shape)}",
                "Set `n_out` to the number of targets of an item; for (n, 1) against (n,) use MSELossFlat.",
            )


def _check_classes(pred: Tensor, target: Tensor, loss_func: LossFunction) -> None:
    axis = loss_func.axis if isinstance(loss_func, CrossEntropyLossFlat) else 1
    if target.is_floating_point():
        if target.shape == pred.shape and not isinstance(loss_func, CrossEntropyLossFlat):
            return  # torch takes class probabilities as targets
        raise TrainingError(
            "cross entropy needs targets that are class numbers (integers)",
            f"they are {target.dtype} of shape {tuple(target.shape)}",
            "Use CategoryBlock for classes, MSELossFlat for numbers, BCEWithLogitsLossFlat for labels.",
        )
    n_out = pred.shape[axis] if pred.ndim > 1 else 1
    ignored = getattr(loss_func, "ignore_index", -100)
    counted = target[target != ignored]
    low, high = (int(counted.min()), int(counted.max())) if counted.numel() else (0, 0)
    if n_out < 2:
        raise TrainingError(
            "cross entropy needs at least 2 outputs",
            f"the model has {n_out}, so the loss would always be 0",
            "Pass n_out=2, or one output with BCEWithLogitsLossFlat.",
        )
    if low < 0 or high >= n_out:
        raise TrainingError(
            f"class numbers must be from 0 to {n_out - 1}, as the model has {n_out} outputs",
            f"this batch has {low} to {high}",
            f"Make the model with n_out={max(high + 1, n_out)}, or number the classes from 0.",
        )
    if pred.numel() // n_out != target.numel():
        raise TrainingError(
            "cross entropy needs one class number per row of scores",
            f"output and target have shapes {tuple(pred.shape)} and {tuple(target.shape)}",
            "With one label per pixel, output (n, classes, h, w) and use CrossEntropyLossFlat(axis=1).",
        )


def checked_loss(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...], first: bool) -> Tensor:
    """The loss of a batch.

    Args:
        loss_func: The loss.
        pred: The model's output.
        targets: The batch's targets.
        first: Whether this is the first batch of a pass; then output and target are compared first.

    Raises:
        TrainingError: They do not fit the loss; the message has shapes and types.
    """
    if first:
        check_loss(loss_func, pred, targets)
    try:
        loss = cast("Tensor", loss_func(pred, *targets))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, (WigglyError, torch.OutOfMemoryError)):
            raise
        raise _explained(error, loss_func, pred, targets) from error
    if first and loss.numel() != 1:
        raise TrainingError(
            "the loss must be one number",
            f"it has shape {tuple(loss.shape)}",
            "Take the mean, e.g. reduction='mean'.",
        )
    return loss


def _explained(
    error: Exception, loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]
) -> TrainingError:
    name = getattr(loss_func, "__name__", type(loss_func).__name__)
    output = f"{tuple(pred.shape)} {pred.dtype}" if isinstance(pred, Tensor) else type(pred).__name__
    wanted = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in targets)
    return TrainingError(
        f"the loss `{name}` must accept the model's output and the targets",
        f"{type(error).__name__}: {error} (output {output}; targets {wanted})",
        "Change `n_out`, the target block or `loss_func` so that the shapes and types fit.",
    )
