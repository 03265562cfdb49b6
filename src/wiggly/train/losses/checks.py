"""Whether output, target and loss fit together; what does not is said with its fix.

In: what a model gave, targets and a loss. Out: the loss of a batch, or an error that names shapes, types and
what to change. torch says these things late, unclearly, or not at all. Read next: `core.py`, the losses.
"""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Mapping
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError, TrainingError, WigglyError
from wiggly.train.callback import CancelBatch, CancelEpoch, CancelFit, CancelPass
from wiggly.train.losses.core import (
    CLASS_LOSSES,
    SAME_SHAPE_LOSSES,
    BCEWithLogitsLossFlat,
    CrossEntropyLossFlat,
    LossFunction,
    MSELossFlat,
)
from wiggly.train.memory import is_out_of_memory

__all__ = ["briefly", "check_gradient", "check_loss", "checked_loss", "name_of"]

# Losses that compare numbers one by one. Of outputs (n, 1) and targets (n,) torch makes n x n pairs.
SHAPED_LOSSES = (*SAME_SHAPE_LOSSES, nn.PoissonNLLLoss, MSELossFlat, BCEWithLogitsLossFlat)
SHAPED_FUNCTIONS = (
    F.mse_loss,
    F.l1_loss,
    F.smooth_l1_loss,
    F.huber_loss,
    F.poisson_nll_loss,
    F.binary_cross_entropy,
    F.binary_cross_entropy_with_logits,
)
KNOWN_FUNCTIONS = (F.cross_entropy, F.nll_loss, *SHAPED_FUNCTIONS)
ROUNDING = 1e-3  # logarithms of probabilities in half precision may be so far above 0
LONGEST = 300
OURS = (WigglyError, CancelBatch, CancelPass, CancelEpoch, CancelFit)


def briefly(error: Exception) -> str:
    """The kind of an error and its first line: torch's may list all its kernels below."""
    lines = str(error).strip().splitlines() or [""]
    said = textwrap.shorten(lines[0].removesuffix("."), LONGEST, placeholder=" ...")
    return f"{type(error).__name__}: {said}"


def check_loss(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]) -> None:
    """Checks that output and target fit, once per pass.

    Raises:
        TrainingError: They do not; the message says what to change.
        ArgumentError: The loss is no function.
    """
    is_class = isinstance(loss_func, type)
    if is_class or not callable(loss_func):
        name = getattr(loss_func, "__name__", "CrossEntropyLossFlat")
        raise ArgumentError(
            "`loss_func` must be a function of output and targets",
            f"it is the class {name}" if is_class else f"it is {loss_func!r:.80}",
            f"Pass one that is made, e.g. loss_func={name}().",
        )
    if not targets:
        raise TrainingError(
            "a batch to learn from must have a target", "it has inputs only", "Use labelled items."
        )
    known = isinstance(loss_func, (*CLASS_LOSSES, *SHAPED_LOSSES)) or _base(loss_func) in KNOWN_FUNCTIONS
    if not isinstance(pred, Tensor) and known:
        raise TrainingError(
            f"{name_of(loss_func)} needs one tensor as the model's output",
            f"the model returned {_described(pred)}",
            _part_fix(pred),
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
    if isinstance(loss_func, CLASS_LOSSES) or _base(loss_func) in (F.cross_entropy, F.nll_loss):
        _check_classes(pred, target, loss_func)
    elif isinstance(loss_func, SHAPED_LOSSES) or _base(loss_func) in SHAPED_FUNCTIONS:
        _check_shapes(pred, target, loss_func)


def _base(function: Any) -> Any:
    return _base(function.func) if isinstance(function, partial) else function


def _described(pred: Any) -> str:
    if isinstance(pred, Mapping):
        return f"a {type(pred).__name__} with {', '.join(map(repr, cast('Mapping[str, Any]', pred)))}"
    if isinstance(pred, (tuple, list)):
        return f"a {type(pred).__name__} of {len(cast('list[Any]', pred))}"
    return f"a {type(pred).__name__}" if pred is not None else "None"


def _part_fix(pred: Any) -> str:
    """How to take the scores out of an output that is no tensor."""
    if pred is None:
        return "Its `forward` must end with `return`."
    part = "out[0]"
    if isinstance(pred, Mapping):
        names = list(cast("Mapping[str, Any]", pred))
        part = f"out[{('logits' if 'logits' in names else names[0] if names else 'logits')!r}]"
    elif hasattr(pred, "logits"):
        part = "out.logits"
    return f"Pass a loss that takes its part: loss_func=lambda out, y: F.cross_entropy({part}, y)."


def _check_shapes(pred: Tensor, target: Tensor, loss_func: LossFunction) -> None:
    name, base = name_of(loss_func), _base(loss_func)
    flat = isinstance(loss_func, (MSELossFlat, BCEWithLogitsLossFlat))
    if pred.numel() != target.numel() or not (flat or pred.shape == target.shape):
        # torch would broadcast (n, 1) against (n,) to (n, n) and train on nonsense.
        same = "BCEWithLogitsLossFlat" if "BCE" in name or "binary" in name else "MSELossFlat"
        raise TrainingError(
            f"{name} needs output and target of one shape",
            f"they are {tuple(pred.shape)} and {tuple(target.shape)}",
            f"Set `n_out` to the number of targets of an item; for (n, 1) against (n,) use {same}.",
        )
    probabilities = isinstance(loss_func, nn.BCELoss) or base is F.binary_cross_entropy
    binary = probabilities or isinstance(loss_func, nn.BCEWithLogitsLoss)
    binary = binary or base is F.binary_cross_entropy_with_logits
    if binary and not target.is_floating_point():
        raise TrainingError(
            f"{name} needs targets that are floats",
            f"they are {target.dtype}",
            "Use BCEWithLogitsLossFlat, which converts them, or make them floats: y.float().",
        )
    low, high = _extremes(pred)
    if probabilities and (low < 0 or high > 1):
        raise TrainingError(
            f"{name} needs outputs that are probabilities, from 0 to 1",
            f"they are from {low:.3g} to {high:.3g}",
            "Use BCEWithLogitsLossFlat, which takes scores, or end the model with nn.Sigmoid().",
        )


def _extremes(pred: Tensor) -> tuple[float, float]:
    return (float(pred.detach().min()), float(pred.detach().max())) if pred.numel() else (0.0, 0.0)


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
    if n_out < 2:
        raise TrainingError(
            "cross entropy needs at least 2 outputs",
            f"the model has {n_out}, so the loss would always be 0",
            "Pass n_out=2, or one output with BCEWithLogitsLossFlat.",
        )
    shapes = f"output and target have shapes {tuple(pred.shape)} and {tuple(target.shape)}"
    if pred.numel() // n_out != target.numel():
        fix = "With one label per pixel, output (n, classes, h, w), as `unet_learner` does."
        if target.ndim == 1:
            fix = "With one label per item, output (n, classes), as `vision_learner` does."
        if target.shape == pred.shape:
            fix = "Of targets with 0 or 1 per class pass y.argmax(1), or use BCEWithLogitsLossFlat."
        raise TrainingError("cross entropy needs one class number per row of scores", shapes, fix)
    plain = not isinstance(loss_func, CrossEntropyLossFlat)
    if plain and target.shape == (pred.shape[0], 1) and pred.ndim == 2:
        fix = "Drop the last axis of the targets, y.squeeze(1), or use CrossEntropyLossFlat, which does."
        raise TrainingError("cross entropy needs targets of shape (n,)", shapes, fix)
    if target.dtype not in (torch.int64, torch.uint8):
        raise TrainingError(
            "cross entropy needs class numbers as 64-bit integers",
            f"they are {target.dtype}",
            "Make them so: y.long().",
        )
    _check_range(target, n_out, getattr(loss_func, "ignore_index", -100))
    logarithms = isinstance(loss_func, nn.NLLLoss) or _base(loss_func) is F.nll_loss
    if logarithms and _extremes(pred)[1] > ROUNDING:  # torch would make the loss smaller and smaller
        raise TrainingError(
            f"{name_of(loss_func)} needs outputs that are logarithms of probabilities, so at most 0",
            f"they go up to {_extremes(pred)[1]:.3g}",
            "End the model with nn.LogSoftmax(1), or use nn.CrossEntropyLoss(), which takes scores.",
        )


def _check_range(target: Tensor, n_out: int, ignored: int) -> None:
    counted = target[target != ignored]
    low, high = (int(counted.min()), int(counted.max())) if counted.numel() else (0, 0)
    if low < 0 or high >= n_out:
        many = f"Make the model with n_out={high + 1}, or number the classes from 0"
        none = "Number the classes from 0; what shall not count is the loss's `ignore_index`."
        fix = f"{many}." if low >= 0 else none
        raise TrainingError(
            f"class numbers must be from 0 to {n_out - 1}, as the model has {n_out} outputs",
            f"this batch has {low} to {high}",
            fix,
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
        loss: Any = loss_func(pred, *targets)
    except Exception as error:
        if isinstance(error, OURS) or is_out_of_memory(error):
            raise
        raise _explained(error, loss_func, pred, targets) from error
    if first and not (isinstance(loss, Tensor) and loss.numel() == 1):
        what, fix = f"a {type(loss).__name__}", "Have it return the tensor alone, without .item() or float()."
        if isinstance(loss, Tensor):
            what, fix = f"one of shape {tuple(loss.shape)}", "Take the mean, e.g. reduction='mean'."
        rule = "the loss must be a tensor of one number"
        raise TrainingError(rule, f"`{name_of(loss_func)}` gave {what}", fix)
    return cast("Tensor", loss)


def check_gradient(loss: Tensor, pred: Any, model: nn.Module) -> None:
    """Checks that there is something to learn from a loss.

    Raises:
        TrainingError: The loss has no gradient; the message says where it was lost.
    """
    if loss.requires_grad:
        return
    rule = "the loss must depend on parameters that learn"
    if not any(p.requires_grad for p in model.parameters()):
        raise TrainingError(rule, "all parameters of the model are frozen", "Call learn.unfreeze().")
    if isinstance(pred, Tensor) and pred.requires_grad:
        received = "the model's output has a gradient, but what the loss made of it has none"
        fix = "Look in the loss for .detach(), .item(), argmax, round or a comparison."
    else:
        received = "the model's output has no gradient"
        fix = "Look in the model for .detach(), torch.no_grad(), argmax or a detour over numpy."
    raise TrainingError(rule, received, fix)


def name_of(function: Any) -> str:
    """A loss's name for messages."""
    base = _base(function)
    return str(getattr(base, "__name__", type(base).__name__))


def _explained(
    error: Exception, loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]
) -> TrainingError:
    said = str(error)
    if isinstance(pred, Tensor) and pred.ndim > 1 and len(targets) == 1 and "out of bounds" in said:
        try:
            _check_range(targets[0], pred.shape[1], getattr(loss_func, "ignore_index", -100))
        except TrainingError as found:
            return found
    output = f"{tuple(pred.shape)} {pred.dtype}" if isinstance(pred, Tensor) else type(pred).__name__
    wanted = ", ".join(f"{tuple(t.shape)} {t.dtype}" for t in targets)
    fix = "Change `n_out`, the target block or `loss_func` so that the shapes and types fit."
    if not isinstance(pred, Tensor) and ("must be Tensor" in said or "not a Tensor" in said):
        fix = _part_fix(pred)
    elif "positional argument" in said:
        fix = f"It is called with the output and {len(targets)} target(s): {_signature(loss_func)}."
    return TrainingError(
        f"the loss `{name_of(loss_func)}` must accept the model's output and the targets",
        f"{briefly(error)} (output {output}; targets {wanted})",
        fix,
    )


def _signature(loss_func: LossFunction) -> str:
    try:
        called: Any = loss_func.forward if isinstance(loss_func, nn.Module) else loss_func
        return f"it takes {inspect.signature(called)}"
    except (TypeError, ValueError):
        return "change what it takes"
