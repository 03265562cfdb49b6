"""Memory: says which batch size fits where one does not, or sends a batch through the model in parts.

In: the error of a full device, or batches. Out: an error that names a size, found by trial; or the same
gradient with less memory. Read next: `loop.py`, which calls both.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError, TrainingError, WigglyError
from wiggly.records import Batch, State
from wiggly.train.callback import Callback
from wiggly.train.resume.snapshot import generators, set_generators

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["SplitBatches", "is_out_of_memory", "out_of_memory"]

# What torch says where it has no error class of its own: a CPU, Apple's MPS, some CUDA libraries.
FULL = ("can't allocate memory", "out of memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the memory of a device, or of the machine, is full.

    Example:
        >>> is_out_of_memory(RuntimeError("MPS backend out of memory")), is_out_of_memory(ValueError())
        (True, False)
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if isinstance(error, WigglyError):  # it may tell of another process's memory
        return False
    return isinstance(error, RuntimeError) and any(text in str(error) for text in FULL)


def out_of_memory(learner: Loop, error: BaseException) -> TrainingError:
    """The error for a batch that did not fit, with the largest size that does, found by trial.

    The learner keeps its weights; what the trials change in it is put back.

    Args:
        learner: Its state has the batch.
        error: What was raised; its hold on the memory is released.
    """
    # The frames of the failed step would hold on to its activations.
    traceback.clear_frames(error.__traceback__)
    state, engine = learner.state, learner.engine
    batch, state.pred, state.loss = state.batch, None, None
    rows = 0 if batch is None else len(batch)
    smaller = "use smaller images, or call learn.to_bf16()"
    rule = "a batch must fit into the device's memory"
    if batch is None or not rows:
        return TrainingError(rule, "it is full before the first one", f"Use a smaller model, {smaller}.")
    if engine.is_sharded:  # no trial: all processes would have to make it together
        received = f"one of {rows} items in each of {engine.n_processes} processes did not"
        return TrainingError(rule, received, f"Pass half of the `bs`, or {smaller}.")
    with engine.alone():  # the others do not know of it
        most = largest_fit(learner, batch, state.training)
    received = (
        f"one of {rows} items did not {'' if state.training else 'in validation '}(by trial: {most} fit)"
    )
    n = engine.n_processes
    if most >= rows:
        received = (
            f"one of {rows} items fits, but not with all that came after it, as the optimizer's averages"
        )
        fix = f"Pass a smaller `bs`, e.g. {max(1, rows // 2) * n}, {smaller}."
        return TrainingError(rule, received, fix)
    if not most:
        return TrainingError(rule, received, f"Use a smaller model, {smaller}.")
    size = most * n
    fix = f"Pass bs={size} (val_bs={size})" if not state.training else f"Pass bs={size}"
    if n > 1:
        received += f" in one of {n} processes"
    elif state.training:
        fix += ", or cbs=SplitBatches(), which sends each batch through in parts, with the same gradient"
    return TrainingError(rule, received, f"{fix}; or {smaller}.")


def largest_fit(learner: Loop, batch: Batch, training: bool) -> int:
    """How many of a batch's rows go through the model at once, by trial: halving, then between the last two.

    Args:
        learner: Its model, loss and engine are used.
        batch: The rows.
        training: Whether the backward pass must fit as well.

    Returns:
        The number; 0 if not even one row does.
    """
    with _put_back(learner):
        fits, fails = len(batch), len(batch) + 1
        while fits and not _goes_through(learner, rows_of(batch, slice(0, fits)), training):
            fits, fails = fits // 2, fits
        while fits and fails - fits > max(1, fits // 8):
            middle = (fits + fails) // 2
            if _goes_through(learner, rows_of(batch, slice(0, middle)), training):
                fits = middle
            else:
                fails = middle
    return fits


def _goes_through(learner: Loop, batch: Batch, training: bool) -> bool:
    try:
        with torch.set_grad_enabled(training):
            pred = learner.engine.forward(learner.model, batch)
            if training:
                loss = cast("Tensor", learner.loss_func(pred, *batch.targets))
                learner.engine.backward(loss)
        return True
    except Exception as error:
        if not is_out_of_memory(error) and len(batch) > 1:
            raise
        traceback.clear_frames(error.__traceback__)
        return False
    finally:
        learner.opt.zero_grad()
        if learner.engine.device.type == "cuda":
            torch.cuda.empty_cache()


@contextlib.contextmanager
def _put_back(learner: Loop) -> Generator[None]:
    """Puts running statistics, random generators and gradients back."""
    kept = _buffers(learner.model)
    before = generators()
    try:
        yield
    finally:
        _set_buffers(learner.model, kept)
        set_generators(before)


def _buffers(model: nn.Module) -> list[Tensor]:
    return [buffer.clone() for buffer in model.buffers()]


@torch.no_grad()
def _set_buffers(model: nn.Module, kept: list[Tensor]) -> None:
    for buffer, value in zip(model.buffers(), kept, strict=True):
        buffer.copy_(value)


def rows_of(batch: Batch, rows: slice) -> Batch:
    """Some rows of a batch."""
    inputs, targets = (tuple(t[rows] for t in side) for side in (batch.inputs, batch.targets))
    return Batch(inputs, targets, batch.positions[rows])


class SplitBatches(Callback):
    """Sends batches through the model in parts, where they do not fit into memory whole.

    Loaders, schedule, loss and steps stay as they are, and so does the gradient: the outputs of all parts are
    computed first, without what a backward pass needs; from the loss of the whole batch comes the gradient of
    each output; then each part goes through once more, forward and backward (the two-pass scheme of Gao et
    al., "Scaling Deep Contrastive Learning Batch Size", arXiv:2101.06983, which suits losses that look at all
    rows together). The second forward pass costs about a third more time, of batches that are split. Norm
    layers that take statistics of a batch in training see those of the parts.

    Args:
        rows: At most so many go through at once; None sends batches whole until one does not fit, then finds
            the number by trial and goes on with that batch.

    Raises:
        ArgumentError: `rows` is below 1, or several processes train together.

    Example:
        >>> SplitBatches(16).rows
        16
    """

    order: ClassVar[int] = -40
    in_lr_find: ClassVar[bool] = True

    def __init__(self, rows: int | None = None) -> None:
        if rows is not None and rows < 1:
            raise ArgumentError("`rows` must be at least 1", f"it is {rows}", "Leave it out to find it.")
        self.rows = rows
        self._forget()

    def _forget(self) -> None:
        self._batch: Batch | None = None
        self._outputs: list[Tensor] = []  # of a whole batch, with what its backward pass needs
        self._leaves: list[Tensor] = []
        self._draws: list[dict[str, Any]] = []
        self._statistics: list[Tensor] = []

    def before_fit(self, state: State) -> None:
        if self.learner.engine.n_processes > 1:
            raise ArgumentError(
                "SplitBatches is for one process",
                f"there are {self.learner.engine.n_processes}",
                "Pass a smaller `bs`: each process reads its part of a batch.",
            )
        self.learner.split_batches = self

    def cleanup(self, state: State) -> None:
        self.learner.split_batches = None
        self._forget()

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rows = state["rows"]

    def forward(self, batch: Batch) -> Any:
        """The model's output for a batch; `backward` takes its gradient further, into the model."""
        self._forget()
        self._batch = batch
        pred = self._whole_or_parts(batch)
        if not torch.is_grad_enabled():
            return pred
        if not self._draws:
            self._outputs = _floats(pred)
        pred = _mapped(pred, lambda t: t.detach().requires_grad_(t.is_floating_point()))
        self._leaves = _floats(pred)
        return pred

    def _whole_or_parts(self, batch: Batch) -> Any:
        learner = self.learner
        self._statistics = _buffers(learner.model)
        if self.rows is None or self.rows >= len(batch):
            try:
                return learner.engine.forward(learner.model, batch)
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                traceback.clear_frames(error.__traceback__)
            _set_buffers(learner.model, self._statistics)
            self._find(batch)
        preds: list[Any] = []
        with torch.no_grad():
            for part in self._parts(batch):
                self._draws.append(generators())
                preds.append(learner.engine.forward(learner.model, part))
        return _joined(preds)

    def _find(self, batch: Batch) -> None:
        """Finds how many rows fit.

        Raises:
            TrainingError: Not even one does.
        """
        state = self.learner.state
        found = largest_fit(self.learner, batch, state.training)
        if not found:
            raise torch.OutOfMemoryError("not even one row of a batch fits")
        self.rows = min(found, max(1, len(batch) - 1))
        if self.learner.show_table:
            print(
                f"A batch of {len(batch)} does not fit: parts of {self.rows} go through the model.",
                flush=True,
            )

    def _parts(self, batch: Batch) -> Iterator[Batch]:
        assert self.rows is not None
        return (rows_of(batch, slice(i, i + self.rows)) for i in range(0, len(batch), self.rows))

    def backward(self) -> None:
        """Adds the gradient of the model's parameters, once that of its output is known."""
        assert self._batch is not None
        gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in self._leaves]
        if self._outputs:
            if self._goes_backward(gradients):
                return
            self.learner.opt.zero_grad()
            self._find(self._batch)
        after = generators()
        _set_buffers(self.learner.model, self._statistics)
        start = 0
        for number, part in enumerate(self._parts(self._batch)):
            if self._draws:  # of dropout, say: those with which the output was computed
                set_generators(self._draws[number])
            rows = slice(start, start + len(part))
            start += len(part)
            outputs = _floats(self.learner.engine.forward(self.learner.model, part))
            _add_gradient(outputs, [g[rows] for g in gradients])
        if self._draws:
            set_generators(after)

    def _goes_backward(self, gradients: list[Tensor]) -> bool:
        """Whether the backward pass of a whole batch fits."""
        waiting = any(p.grad is not None for p in self.learner.model.parameters())
        try:
            _add_gradient(self._outputs, gradients)
            return True
        except Exception as error:
            if not is_out_of_memory(error) or waiting:  # what was added cannot be told apart any more
                raise
            traceback.clear_frames(error.__traceback__)
        self._outputs = []
        return False


def _add_gradient(outputs: list[Tensor], gradients: list[Tensor]) -> None:
    pairs = [(output, g) for output, g in zip(outputs, gradients, strict=True) if output.requires_grad]
    torch.autograd.backward([output for output, _ in pairs], [g for _, g in pairs])


def _floats(pred: Any) -> list[Tensor]:
    """The tensors of an output that may have a gradient."""
    if isinstance(pred, Tensor):
        return [pred] if pred.is_floating_point() else []
    return [tensor for part in cast("tuple[Any, ...]", pred) for tensor in _floats(part)]


def _mapped(pred: Any, function: Any) -> Any:
    if isinstance(pred, Tensor):
        return function(pred)
    return tuple(_mapped(part, function) for part in cast("tuple[Any, ...]", pred))


def _joined(preds: list[Any]) -> Any:
    if isinstance(preds[0], Tensor):
        return torch.cat(preds)
    return tuple(_joined(list(column)) for column in zip(*preds, strict=True))
