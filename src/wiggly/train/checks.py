"""What must fit before anything is computed: loaders, model, numbers in arguments; and model and batch.

In: arguments, and a batch about to be computed. Out: the same, or an error that names what was received and
what to change. Read next: `losses/checks.py`, the same for outputs, targets and losses.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn

from wiggly.errors import ArgumentError, TrainingError, WigglyError
from wiggly.records import Batch
from wiggly.train.losses.checks import briefly
from wiggly.train.memory import is_out_of_memory

__all__ = ["check_learner", "check_number", "checked_forward", "length_of", "whole_number"]

Result = TypeVar("Result")


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
    unmade = (nn.UninitializedParameter, nn.UninitializedBuffer)
    named = (*model.named_parameters(), *model.named_buffers())
    lazy = [name for name, tensor in named if isinstance(tensor, unmade)]
    if lazy:
        raise ArgumentError(
            "`model` must have all its parameters",
            f"{lazy[0]!r} of a lazy layer has no shape before the layer sees a batch",
            "Show it one before you make the learner: model(dls.one_batch()[0]).",
        )
    if meta := [name for name, p in model.named_parameters() if p.is_meta]:
        raise ArgumentError(
            "`model` must have weights",
            f"{meta[0]!r} is on the meta device and has none",
            "Make the model outside of torch.device('meta'), or call model.to_empty(device='cpu') and load "
            "its weights.",
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
            f"{type(model).__name__} failed with {briefly(error)} (inputs: {inputs})",
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
