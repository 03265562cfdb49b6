"""What must fit together: model and batch, output and target and loss; what does not is said with its fix.

In: what training is about to compute. Out: the result, or an error that names shapes, types and what to
change. torch says these things late, unclearly, or not at all. Read next: `losses/core.py`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ArgumentError, TrainingError, WigglyError
from wiggly.records import Batch
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

__all__ = [
    "check_gradient",
    "check_learner",
    "check_loss",
    "check_number",
    "checked_forward",
    "checked_loss",
    "whole_number",
]

Result = TypeVar("Result")
OURS = (WigglyError, CancelBatch, CancelPass, CancelEpoch, CancelFit)


def check_learner(dls: Any, model: Any) -> None:
    """Checks what a learner is made of.

    Raises:
        ArgumentError: The model is no module or a lazy one, or the loaders are not two.
    """
    if not isinstance(model, nn.Module):
        received = f"got the class {model.__name__}" if isinstance(model, type) else f"got {model!r:.80}"
        fix = "Make one of it, e.g. Net()." if isinstance(model, type) else "Pass a torch module."
        raise ArgumentError("`model` must be an nn.Module", received, fix)
    if not (hasattr(dls, "train") and hasattr(dls, "valid")):
        raise ArgumentError(
            "`dls` must have a training loader `train` and a validation loader `valid`",
            f"got a {type(dls).__name__}",
            "Put yours together: DataLoaders(train, valid).",
        )
    lazy = [name for name, p in model.named_parameters() if isinstance(p, nn.UninitializedParameter)]
    if lazy:
        raise ArgumentError(
            "`model` must have all its parameters",
            f"{lazy[0]!r} of a lazy layer has no shape before the layer sees a batch",
            "Show it one before you make the learner: model(dls.one_batch()[0]).",
        )


def whole_number(name: str, value: Any, lowest: int) -> int:
    """A number of epochs as an int.

    Raises:
        ArgumentError: It is no whole number, or too low.
    """
    try:
        number = int(value) if not isinstance(value, str) and int(value) == value else None
    except (TypeError, ValueError):
        number = None
    if number is None or number < lowest:
        rule = f"`{name}` must be " + (f"at least {lowest}" if number is not None else "a whole number")
        raise ArgumentError(rule, f"it is {value!r}", "Pass e.g. 3.")
    return number


def check_number(name: str, value: Any, rule: str, fits: Callable[[Any], bool], example: str) -> None:
    """Checks an argument that is a number.

    Args:
        name: The argument.
        value: What was passed.
        rule: What it must be, e.g. "above 0".
        fits: Whether a number is that.
        example: One that is.

    Raises:
        ArgumentError: It is not, or no number at all.

    Example:
        >>> check_number("pct", 0.1, "in [0, 1]", lambda share: 0 <= share <= 1, "0.5")
    """
    try:
        good = not isinstance(value, str) and bool(fits(value))
    except (TypeError, ValueError):
        good = False
    if not good:
        raise ArgumentError(f"`{name}` must be {rule}", f"it is {value!r}", f"Pass e.g. {example}.")


def length_of(dl: Any) -> int:
    """Batches of the training loader.

    Raises:
        TrainingError: It does not say, or there is none.
    """
    try:
        n = len(dl)
    except TypeError:
        raise TrainingError(
            "the training loader must know how many batches it has",
            f"a {type(dl).__name__} does not",
            "Give it a `__len__`, or make a list of its batches: schedules need to know where the end is.",
        ) from None
    if not n:
        raise TrainingError(
            "training needs at least 1 batch", "the loader has none", "Pass a smaller `bs`, or more items."
        )
    return n


def checked_forward(forward: Callable[[], Result], model: nn.Module, batch: Batch) -> Result:
    """The model's output, or an error that says what it was given.

    Args:
        forward: Computes it.
        model: The model.
        batch: The batch.

    Raises:
        TrainingError: The model fails on the batch.
    """
    try:
        return forward()
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        if isinstance(error, WigglyError) or is_out_of_memory(error):
            raise
        inputs = ", ".join(f"{tuple(t.shape)} {str(t.dtype).removeprefix('torch.')}" for t in batch.inputs)
        raise TrainingError(
            "the model must accept the loaders' batches",
            f"{type(model).__name__} failed with {type(error).__name__}: {error} (inputs: {inputs})",
            _model_fix(model, batch, str(error)),
        ) from error


def _model_fix(model: nn.Module, batch: Batch, said: str) -> str:
    if len(batch) == 1 and "more than 1 value per channel" in said:
        return "Norm layers need 2 rows in training: pass drop_last=True, or another `bs`."
    kind = next((p.dtype for p in model.parameters()), torch.float32)
    if any(t.is_floating_point() and t.dtype != kind for t in batch.inputs) and "dtype" in said:
        return f"Make inputs of the model's type: x.to({kind}), as of numpy's 64-bit floats."
    if any(not t.is_floating_point() for t in batch.inputs) and "dtype" in said:
        return f"Make numbers of the inputs: x.to({kind}); a first layer for whole numbers is nn.Embedding."
    if "positional argument" in said:
        return f"The loaders give {len(batch.inputs)} input(s): change `n_inp`, or the model's `forward`."
    return "Change its first layers, or the transforms; to try: learn.model(*learn.dls.one_batch()[:-1])."


def check_loss(loss_func: LossFunction, pred: Any, targets: tuple[Tensor, ...]) -> None:
    """Checks that output and target fit, once per pass.

    Raises:
        TrainingError: They do not; the message says what to change.
    """
    if not targets:
        raise TrainingError(
            "a batch to learn from must have a target", "it has inputs only", "Use labelled items."
        )
    known = (*CLASS_LOSSES, *SAME_SHAPE_LOSSES, MSELossFlat, BCEWithLogitsLossFlat)
    if not isinstance(pred, Tensor) and isinstance(loss_func, known):
        raise TrainingError(
            f"{type(loss_func).__name__} needs one tensor as the model's output",
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
    if isinstance(loss_func, CLASS_LOSSES) or _base(loss_func) is F.cross_entropy:
        _check_classes(pred, target, loss_func)
    elif isinstance(loss_func, (*SAME_SHAPE_LOSSES, MSELossFlat, BCEWithLogitsLossFlat)):
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
    name = type(loss_func).__name__
    flat = isinstance(loss_func, (MSELossFlat, BCEWithLogitsLossFlat))
    if pred.numel() != target.numel() or not (flat or pred.shape == target.shape):
        # torch would broadcast (n, 1) against (n,) to (n, n) and train on nonsense.
        same = "BCEWithLogitsLossFlat" if "BCE" in name else "MSELossFlat"
        raise TrainingError(
            f"{name} needs output and target of one shape",
            f"they are {tuple(pred.shape)} and {tuple(target.shape)}",
            f"Set `n_out` to the number of targets of an item; for (n, 1) against (n,) use {same}.",
        )
    if isinstance(loss_func, (nn.BCELoss, nn.BCEWithLogitsLoss)) and not target.is_floating_point():
        raise TrainingError(
            f"{name} needs targets that are floats",
            f"they are {target.dtype}",
            "Use BCEWithLogitsLossFlat, which converts them, or make them floats: y.float().",
        )
    low, high = (float(pred.detach().min()), float(pred.detach().max())) if pred.numel() else (0.0, 0.0)
    if isinstance(loss_func, nn.BCELoss) and (low < 0 or high > 1):
        raise TrainingError(
            "BCELoss needs outputs that are probabilities, from 0 to 1",
            f"they are from {low:.3g} to {high:.3g}",
            "Use BCEWithLogitsLossFlat, which takes scores, or end the model with nn.Sigmoid().",
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
    if n_out < 2:
        raise TrainingError(
            "cross entropy needs at least 2 outputs",
            f"the model has {n_out}, so the loss would always be 0",
            "Pass n_out=2, or one output with BCEWithLogitsLossFlat.",
        )
    shapes = f"output and target have shapes {tuple(pred.shape)} and {tuple(target.shape)}"
    if pred.numel() // n_out != target.numel():
        fix = "With one label per pixel, output (n, classes, h, w) and use CrossEntropyLossFlat(axis=1)."
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
        f"{type(error).__name__}: {error} (output {output}; targets {wanted})",
        fix,
    )


def _signature(loss_func: LossFunction) -> str:
    try:
        return f"it takes {inspect.signature(loss_func)}"
    except (TypeError, ValueError):
        return "change what it takes"
