"""Engines: where the arithmetic runs: device, precision, backward pass and step.

In: a model and batches on the CPU. Out: outputs in float32, gradients, updated weights. Where several
processes work together, on one machine or many, the engine is that of `distributed/engine.py`. Read next:
`learner.py`.
"""

from __future__ import annotations

import ctypes
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from wiggly.data.loaders import default_device
from wiggly.data.order import Part
from wiggly.data.transfer import on_device
from wiggly.errors import ArgumentError
from wiggly.records import Batch
from wiggly.train.compiling import CompiledForward
from wiggly.train.nested import each_tensor
from wiggly.train.optim.base import Optimizer

__all__ = ["Engine", "LocalEngine", "default_engine", "keep_freed_memory"]

Result = TypeVar("Result")

PRECISIONS: dict[str, torch.dtype | None] = {
    "float32": None,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
}


class Engine(ABC):
    """What the training loop needs of the machine.

    The methods that end this class matter where several processes train one model; those of a single process
    do nothing. Whatever they exchange, all processes must call them, in the same order.

    Attributes:
        device: Where the model is.
        precision: "float32", "float16" or "bfloat16".
        compiled: What `learn.compile()` has asked for; None runs models as they are.
        rank: Number of this process, from 0.
        n_processes: How many there are.
        is_sharded: Whether each process has a part of every weight only.
    """

    device: torch.device
    precision: str
    compiled: CompiledForward | None = None
    rank: int = 0
    n_processes: int = 1
    is_sharded: bool = False

    @abstractmethod
    def prepare(self, model: nn.Module) -> None:
        """Moves the model to the device, in the memory format that suits it; called before every pass."""

    def start_fit(self) -> None:  # noqa: B027  (most engines have nothing to do)
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

    def run(self, model: nn.Module, batch: Batch) -> Any:
        """The model called on a batch, through its compiled program where there is one."""
        return model(*batch.inputs) if self.compiled is None else self.compiled(model, *batch.inputs)

    @abstractmethod
    def backward(self, loss: Tensor) -> None:
        """Adds the loss's gradient to every parameter's."""

    @abstractmethod
    def unscale(self, optimizer: Optimizer) -> None:
        """Makes gradients their true size; call it in `before_step` before reading or clipping them."""

    @abstractmethod
    def step(self, optimizer: Optimizer) -> None:
        """One optimizer step; gradients are forgotten."""

    def state_dict(self) -> dict[str, Any]:
        """What a run that goes on must know: tensors and values that JSON can hold."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:  # noqa: B027
        """Takes back what `state_dict` gave."""

    # Several processes

    @property
    def is_main(self) -> bool:
        """Whether this process prints, draws and writes files; one of them does."""
        return self.rank == 0

    @property
    def part(self) -> Part:
        """Which rows of every batch this process reads; see `DataLoader.batches`."""
        return self.rank, self.n_processes

    def adopt(self, model: nn.Module) -> None:  # noqa: B027
        """Called once, before parameter groups are made of the model; may replace its parameters."""

    def same_draws(self) -> None:  # noqa: B027
        """Puts the random generators of all processes into the state of the first one's."""

    def same_data(self, loaders: Iterable[Any]) -> None:  # noqa: B027
        """Called at the start of a fit: checks that all processes have the same items, and gives their
        loaders the same seed."""

    def anywhere(self, flag: bool) -> bool:
        """Whether a flag was set in any process, as all of them know it since their last batch; one that is
        set now counts from the next batch on."""
        return flag

    @property
    def writes_weights(self) -> bool:
        """Whether this process takes part in writing weights: the first, or each where each has a part of
        them."""
        return self.is_main or self.is_sharded

    def rows(self, batch: Batch) -> int:
        """Rows of a batch over all processes."""
        return len(batch)

    def whole_loss(
        self, loss: Tensor, loss_func: Callable[..., Any], targets: tuple[Tensor, ...], n: int
    ) -> Tensor:
        """The loss of the batch over all processes: the same number in all of them, with the gradient that
        belongs to the rows here.

        Args:
            loss: Of the rows here.
            loss_func: What gave it.
            targets: What it was given.
            n: How many of the rows count.
        """
        return loss

    def collected(self, batch: Batch, pred: Any, inputs: bool = False) -> list[tuple[Batch, Any]]:
        """The rows of all processes with their outputs, on the CPU, in the order of the batch; in several
        parts where their shapes differ.

        Args:
            batch: The rows here.
            pred: The model's output for them.
            inputs: Whether the inputs are wanted.
        """
        return [(batch, pred)]

    def around(self, batch: Batch) -> tuple[Batch | None, int]:
        """The row that comes before those here in the whole batch, the last one before the first, if another
        process has it; and the position of the whole batch's first item."""
        return None, batch.positions[0]

    def from_all(self, value: Result) -> list[Result]:
        """The values of all processes, by rank."""
        return [value]

    def agreed(self, value: Result) -> Result:
        """The value of the first process, in all of them."""
        return value

    def once(self, work: Callable[[], Result]) -> Result:
        """Does something in the first process only, while the others wait; all get its result, or its
        error."""
        return work()

    def alone(self) -> AbstractContextManager[None]:
        """Within the block this process works by itself: it reads whole batches and waits for nobody."""
        return nullcontext()

    def failed(self, error: BaseException) -> None:  # noqa: B027
        """Told of an error that ends a fit here, so that the other processes can say why theirs ends."""


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
        self._format: torch.memory_format | None = None
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
        if self.device.type == "cpu":
            keep_freed_memory()
        if self.compiled is not None:
            self.compiled.start_pass()
        self._format = _format_for(model, self.device)
        if self._format is None:
            model.to(self.device)
        else:  # torch's stub for this overload lacks `device`
            cast("Any", model).to(device=self.device, memory_format=self._format)

    def to_device(self, batch: Batch) -> Batch:
        inputs = tuple(self._move(t) for t in batch.inputs)
        targets = tuple(t.to(self.device, non_blocking=True) for t in batch.targets)
        return Batch(inputs, targets, batch.positions)

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        return on_device(batches, self.to_device, self.device)

    def _move(self, tensor: Tensor) -> Tensor:
        if self._format is not None and tensor.ndim == 4:
            return tensor.to(self.device, non_blocking=True, memory_format=self._format)
        return tensor.to(self.device, non_blocking=True)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        if self._dtype is None:
            return self.run(model, batch)
        with torch.autocast(self.device.type, self._dtype):
            return _to_float32(self.run(model, batch))

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

    def state_dict(self) -> dict[str, Any]:
        return {} if self._scaler is None else {"scaler": self._scaler.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self._scaler is not None and "scaler" in state:
            self._scaler.load_state_dict(state["scaler"])


def default_engine(device: str | torch.device | None = None) -> Engine:
    """The engine of a learner that is given none: of all processes together where a launcher such as
    `torchrun` or `accelerate launch` has started several, else of this one.

    Args:
        device: As for `LocalEngine`.

    Raises:
        DependencyError: There are several processes, and accelerate is not installed.

    Example:
        >>> default_engine("cpu").n_processes
        1
    """
    # Both launchers, and those of most clusters, set these two.
    if "RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1:
        from wiggly.train.distributed.engine import AccelerateEngine

        return AccelerateEngine(device)
    return LocalEngine(device)


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
    return each_tensor(pred, lambda tensor: tensor.float() if tensor.is_floating_point() else tensor)


FEW_CHANNELS = 16  # a block of oneDNN's with AVX-512; half of it with AVX2


def _format_for(model: nn.Module, device: torch.device) -> torch.memory_format | None:
    """channels_last for convolutions, which it makes faster; None without any.

    On a CPU the gradient of a 1x1 convolution with a stride and few input channels (the first layers of
    fastvit, repvgg, mobileone) is computed wrongly in channels_last, and memory beyond it overwritten, up to
    a crash: https://github.com/uxlfoundation/oneDNN/issues/6035, seen with torch 2.15. Such models stay NCHW.
    """
    convolutions = [part for part in model.modules() if isinstance(part, nn.Conv2d)]
    if not convolutions:
        return None
    unsafe = device.type == "cpu" and any(_is_spoilt(part) for part in convolutions)
    return torch.contiguous_format if unsafe else torch.channels_last


def _is_spoilt(layer: nn.Conv2d) -> bool:
    strided = layer.kernel_size == (1, 1) and max(layer.stride) > 1
    return strided and layer.in_channels // layer.groups < FEW_CHANNELS


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
