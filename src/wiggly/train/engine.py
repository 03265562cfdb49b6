"""Engines: where the arithmetic runs: device, precision, backward pass and step.

In: a model and batches on the CPU. Out: outputs in float32, gradients, updated weights. Another engine (many
processes, many machines) derives from `Engine` and is passed as `Learner(engine=...)`. Read next:
`learner.py`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.data.loaders import default_device
from wiggly.data.transfer import on_device
from wiggly.errors import ArgumentError
from wiggly.records import Batch
from wiggly.train.optim import Optimizer

__all__ = ["Engine", "LocalEngine", "keep_freed_memory"]

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Engine(ABC):
    """What the training loop needs of the machine.

    Attributes:
        device: Where the model is.
        precision: "float32", "float16" or "bfloat16".
    """

    device: torch.device
    precision: str

    @abstractmethod
    def prepare(self, model: nn.Module) -> None:
        """Moves the model to the device, in the memory format that suits it; called before every pass."""

    @abstractmethod
    def start_fit(self) -> None:
        """Called once at the start of a fit."""

    @abstractmethod
    def set_precision(self, precision: str) -> None:
        """Chooses the precision of forward passes."""

    @abstractmethod
    def to_device(self, batch: Batch) -> Batch:
        """The batch on the device."""

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        """All batches of a pass on the device, in order and none before its turn."""
        return map(self.to_device, batches)

    @abstractmethod
    def forward(self, model: nn.Module, batch: Batch) -> Any:
        """The model's output for a batch, in float32."""

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Adds the loss's gradient to every parameter's."""

    @abstractmethod
    def unscale(self, optimizer: Optimizer) -> None:
        """Makes gradients their true size; call it in `before_step` before reading or clipping them."""

    @abstractmethod
    def step(self, optimizer: Optimizer) -> None:
        """One optimizer step; gradients are forgotten."""


class LocalEngine(Engine):
    """One process, one device.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps" or a torch device; None takes the best there is.
        precision: "float32", "float16" (GPU only: a CPU computes it 12 times slower than float32, so it stays
            in float32 there) or "bfloat16".

    Raises:
        ArgumentError: The device is not there, or the precision is unknown.

    Example:
        >>> LocalEngine("cpu").precision
        'float32'
    """

    def __init__(self, device: str | torch.device | None = None, precision: str = "float32") -> None:
        self.device = default_device() if device is None else _checked_device(device)
        self._channels_last = False
        self._unscaled = False
        self.set_precision(precision)

    def set_precision(self, precision: str) -> None:
        if precision not in PRECISIONS:
            known = ", ".join(PRECISIONS)
            raise ArgumentError(
                f"`precision` must be one of {known}", f"got {precision!r}", "Pass one of them."
            )
        self.precision = "float32" if (precision, self.device.type) == ("float16", "cpu") else precision
        self._dtype = PRECISIONS[self.precision]
        # float16 gradients underflow without scaling (Micikevicius et al., arXiv:1710.03740); bfloat16's do
        # not.
        self._scaler = torch.amp.GradScaler(self.device.type) if self._dtype is torch.float16 else None

    def prepare(self, model: nn.Module) -> None:
        self._channels_last = any(isinstance(m, nn.Conv2d) for m in model.modules())
        if self._channels_last:
            # torch's stub for this overload lacks `device`.
            cast("Any", model).to(device=self.device, memory_format=torch.channels_last)
        else:
            model.to(self.device)

    def start_fit(self) -> None:
        if self.device.type == "cpu":
            keep_freed_memory()

    def to_device(self, batch: Batch) -> Batch:
        inputs = tuple(self._move(t) for t in batch.inputs)
        targets = tuple(t.to(self.device, non_blocking=True) for t in batch.targets)
        return Batch(inputs, targets, batch.positions)

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        return on_device(batches, self.to_device, self.device)

    def _move(self, tensor: Tensor) -> Tensor:
        if self._channels_last and tensor.ndim == 4:
            return tensor.to(self.device, non_blocking=True, memory_format=torch.channels_last)
        return tensor.to(self.device, non_blocking=True)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        if self._dtype is None:
            return model(*batch.inputs)
        with torch.autocast(self.device.type, self._dtype):
            return _to_float32(model(*batch.inputs))

    def backward(self, loss: Tensor) -> None:
        scaled = self._scaler.scale(loss) if self._scaler is not None else loss
        scaled.backward()

    def unscale(self, optimizer: Optimizer) -> None:
        if self._scaler is not None and not self._unscaled:
            self._scaler.unscale_(cast("Any", optimizer))
            self._unscaled = True

    def step(self, optimizer: Optimizer) -> None:
        if self._scaler is None:
            optimizer.step()
        else:
            self._scaler.step(cast("Any", optimizer))  # our Optimizer has the two members it uses
            self._scaler.update()
            self._unscaled = False
        optimizer.zero_grad()


def _checked_device(device: str | torch.device) -> torch.device:
    try:
        chosen = torch.device(device)
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ArgumentError(
            "`device` must be one this machine and this torch have",
            f"got {str(device)!r}: {str(error).splitlines()[0]}",
            f"Leave it out to take the best there is ({default_device()}).",
        ) from error
    return chosen


def _to_float32(pred: Any) -> Any:
    if isinstance(pred, Tensor):
        return pred.float() if pred.is_floating_point() else pred
    return tuple(_to_float32(part) for part in pred)


# glibc's mallopt parameters, from its malloc.h.
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4


def keep_freed_memory() -> bool:
    """Tells glibc to keep freed memory for the next step instead of handing it back to the system.

    A training step frees hundreds of large activations. By default each one is mapped anew from the system at
    the next step, and the
    page faults take two thirds of the time: a mobilenetv2 step (batch 32, 224 px, 2 cores) took 2.20 s with
    the default and 0.76 s with this.
    The price: the process keeps its peak memory until it ends. `WIGGLY_MALLOC=system` in the environment
    leaves malloc alone.

    Returns:
        Whether it was done: only on Linux with glibc; elsewhere nothing happens.
    """
    if sys.platform != "linux" or os.environ.get("WIGGLY_MALLOC") == "system":
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library, e.g. musl
        return False
    settings = ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 512 * 1024**2))
    done = [mallopt(name, value) == 1 for name, value in settings]
    return all(done)
