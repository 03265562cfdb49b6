"""Callbacks that change how a fit runs and put everything back after it: precision, length, norms, targets.

In: a fit. Out: the same fit in half precision, on a share of the batches, with norm layers held, or with
smoothed labels; validation and prediction afterwards are as before. Read next: `gradients.py`.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelPass
from wiggly.train.checks import check_number
from wiggly.train.engine import PRECISIONS
from wiggly.train.losses.core import CrossEntropyLossFlat
from wiggly.train.optim.groups import NORM_LAYERS

__all__ = ["BnFreeze", "LabelSmoothing", "MixedPrecision", "ShortEpoch", "half_precision", "start_next_epoch"]


def half_precision(device: torch.device) -> str:
    """The 16-bit precision that this device computes fast, else "float32".

    bfloat16 where there are instructions for it: it has the range of float32, so no loss needs scaling
    (Kalamkar et al., "A Study of BFLOAT16 for Deep Learning Training", arXiv:1905.12322). Otherwise float16
    on GPUs; a CPU without them is fastest in float32.

    Args:
        device: Where the model runs.

    Example:
        >>> half_precision(torch.device("cpu")) in ("bfloat16", "float32")
        True
    """
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
    if device.type != "cpu":
        return "float16"
    able = torch.cpu.get_capabilities()
    return "bfloat16" if any(able.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16")) else "float32"


class MixedPrecision(Callback):
    """Runs the forward passes of a fit in 16 bits; weights, their updates and the loss stay in float32.

    `learn.to_bf16()` and its kin do it for good. Micikevicius et al., "Mixed Precision Training",
    arXiv:1710.03740.

    Args:
        precision: "float16", "bfloat16", "float32", or "auto" for `half_precision` of the device.

    Raises:
        ArgumentError: There is no such precision.

    Example:
        >>> MixedPrecision("bfloat16").precision
        'bfloat16'
    """

    order: ClassVar[int] = -40

    def __init__(self, precision: str = "auto") -> None:
        if precision not in ("auto", *PRECISIONS):
            known = ", ".join(("auto", *PRECISIONS))
            raise ArgumentError(f"`precision` must be one of {known}", f"got {precision!r}", "Pass 'auto'.")
        self.precision = precision
        self._before: str | None = None

    def before_fit(self, state: State) -> None:
        engine = self.learner.engine
        self._before = engine.precision
        engine.set_precision(half_precision(engine.device) if self.precision == "auto" else self.precision)

    def cleanup(self, state: State) -> None:
        if self._before is not None:
            self.learner.engine.set_precision(self._before)
            self._before = None


class ShortEpoch(Callback):
    """Ends every epoch after a share of its batches, to try a recipe out quickly.

    Schedules complete all the same: an epoch counts as done when its share is. Every epoch has other batches
    than the one before. Numbers of a shortened validation are of its first batches only.

    Args:
        pct: Share of the batches, in (0, 1]; at least 1 batch is done.
        short_valid: Whether validation is shortened as well.

    Raises:
        ArgumentError: `pct` is not in (0, 1].

    Example:
        >>> ShortEpoch(0.1).pct
        0.1
    """

    order: ClassVar[int] = 200  # the last to hear of a batch, as the pass ends here
    in_lr_find: ClassVar[bool] = False

    def __init__(self, pct: float = 0.01, short_valid: bool = True) -> None:
        check_number("pct", pct, "above 0 and at most 1", lambda share: 0 < share <= 1, "0.01")
        self.pct, self.short_valid = pct, short_valid

    def before_train(self, state: State) -> None:
        state.n_batches = math.ceil(state.n_batches * self.pct)

    def before_validate(self, state: State) -> None:
        if self.short_valid and state.n_epochs:  # `learn.validate()`, outside of a fit, is whole
            state.n_batches = math.ceil(state.n_batches * self.pct)

    def after_batch(self, state: State) -> None:
        if state.batch_index + 1 >= state.n_batches:
            raise CancelPass

    def after_train(self, state: State) -> None:
        start_next_epoch(self.learner.dls.train)


def start_next_epoch(loader: Any) -> None:
    """Has a loader whose pass was cut go on with the next epoch, which would else begin as this one did."""
    if not hasattr(loader, "state_dict") or not hasattr(loader, "epoch"):
        return  # another library's loader draws anew by itself
    place = loader.state_dict()
    cut = place["batches"] > 0
    loader.load_state_dict({**place, "epoch": place["epoch"] + cut, "batches": 0})


class BnFreeze(Callback):
    """Keeps the running statistics of norm layers of the body, and of all that are frozen, as they are.

    The body is all parameter groups but the last. Scale and shift learn where they are not frozen. For a
    whole learner, `train_bn=False` does the same and trains faster.

    Example:
        >>> layer = nn.BatchNorm1d(2).requires_grad_(False)
        >>> BnFreeze.holds(layer, set())
        True
    """

    @staticmethod
    def holds(layer: nn.Module, body: set[nn.Parameter]) -> bool:
        """Whether this norm layer is held."""
        own = list(layer.parameters())
        return bool(own) and all(p in body or not p.requires_grad for p in own)

    def before_train(self, state: State) -> None:
        body = {p for group in self.learner.groups[:-1] for p in group}
        norms = [m for m in self.learner.model.modules() if isinstance(m, NORM_LAYERS)]
        self._held = [layer for layer in norms if self.holds(layer, body)]

    def before_batch(self, state: State) -> None:
        if state.training:  # anew for each batch: predicting in between puts layers back into training mode
            for layer in self._held:
                layer.eval()


class LabelSmoothing(Callback):
    """Smooths labels in training only, so that validation losses compare with those of other runs.

    The target is `1 - eps` on the label and `eps` spread over all classes (Szegedy et al., arXiv:1512.00567,
    section 7). For training and validation alike take the loss `LabelSmoothingCrossEntropy`.

    Args:
        eps: Share that is spread, in [0, 1].

    Raises:
        ArgumentError: `eps` is not in [0, 1]; when a fit begins, if the loss is no cross entropy of classes.

    Example:
        >>> LabelSmoothing(0.1).eps
        0.1
    """

    order: ClassVar[int] = -25  # between mixing, which takes the loss of other targets too, and the schedule

    def __init__(self, eps: float = 0.1) -> None:
        check_number("eps", eps, "in [0, 1]", lambda share: 0 <= share <= 1, "0.1")
        self.eps = eps
        self._before: float | None = None

    def before_fit(self, state: State) -> None:
        loss = self.learner.loss_func
        if not isinstance(loss, (CrossEntropyLossFlat, nn.CrossEntropyLoss)):
            raise ArgumentError(
                "label smoothing needs a cross entropy of classes as loss",
                f"it is {getattr(loss, '__name__', type(loss).__name__)}",
                "Leave it out, unless each item is of one class: then pass loss_func=CrossEntropyLossFlat().",
            )

    def after_pred(self, state: State) -> None:
        if state.training:
            loss: Any = self.learner.loss_func
            self._before, loss.label_smoothing = loss.label_smoothing, self.eps

    def after_loss(self, state: State) -> None:
        self._put_back()

    def after_batch(self, state: State) -> None:
        self._put_back()  # the batch may have been cancelled before its loss

    def cleanup(self, state: State) -> None:
        self._put_back()

    def _put_back(self) -> None:
        if self._before is not None:
            loss: Any = self.learner.loss_func
            loss.label_smoothing, self._before = self._before, None
