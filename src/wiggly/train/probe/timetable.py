"""Keeping to a time: epochs as long as the clock allows, and smaller images to have more of them.

In: a clock and what a step costs. Out: two callbacks. Read next: `budget.py`, which plans what they keep to.
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from wiggly.records import Batch, State
from wiggly.train.callback import Callback, CancelFit, CancelPass
from wiggly.train.callbacks.modes import start_next_epoch

__all__ = ["Clock", "SmallerImages", "Timetable", "side_of"]


class Clock:
    """How much of a budget is gone."""

    def __init__(self, total: float) -> None:
        self.total, self.started = total, time.perf_counter()

    @property
    def elapsed(self) -> float:
        return time.perf_counter() - self.started

    @property
    def left(self) -> float:
        return self.total - self.elapsed


class SmallerImages(Callback):
    """Shrinks the images of training batches, which makes steps shorter; validation sees them as they are.

    A network that was trained on somewhat smaller objects than it is tested on does not lose by it (Touvron
    et al., "Fixing the train-test resolution discrepancy", arXiv:1906.06423).

    Args:
        side: Height that they get, in pixels; the width follows. 0 leaves them as they are.

    Example:
        >>> import torch
        >>> state = State(batch=Batch((torch.rand(2, 3, 64, 96),), (), [0, 1]))
        >>> SmallerImages(32).before_batch(state)
        >>> state.batch.inputs[0].shape
        torch.Size([2, 3, 32, 48])
    """

    order: ClassVar[int] = -30

    def __init__(self, side: int) -> None:
        self.side = side

    def before_batch(self, state: State) -> None:
        if state.training and self.side and state.batch is not None:
            inputs = tuple(self._shrunk(tensor) for tensor in state.batch.inputs)
            state.batch = Batch(inputs, state.batch.targets, state.batch.positions)

    def _shrunk(self, tensor: Tensor) -> Tensor:
        if not _is_images(tensor) or tensor.shape[2] <= self.side:
            return tensor
        width = round(tensor.shape[3] * self.side / tensor.shape[2])
        return F.interpolate(tensor, (self.side, width), mode="bilinear", antialias=True)

    def state_dict(self) -> dict[str, Any]:
        return {"side": self.side}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.side = int(state["side"])


class Timetable(Callback):
    """Gives every epoch as many batches as the time left pays for, so that schedules complete when it is
    over.

    Before each epoch the batches that can still be done are shared evenly between it and those to come.
    Within the last epoch the number follows the clock. A run that goes on after a kill takes over the plan
    and the time that was used; as what comes depends on the clock, it is not bit-equal with another run.

    Args:
        clock: Has `elapsed` and `total`, in seconds.
        step: Seconds of a training batch, as measured before.
        valid: Seconds of a validation.
    """

    order: ClassVar[int] = 200  # the last to hear of a batch, as the pass ends here
    in_lr_find: ClassVar[bool] = False

    def __init__(self, clock: Clock, step: float, valid: float) -> None:
        self.clock, self.step, self.valid = clock, step, valid
        self._batches = self._done = 0
        self._spent = 0.0
        self._mark = time.perf_counter()

    def before_epoch(self, state: State) -> None:
        over = self.clock.elapsed + self.valid + self.step > self.clock.total
        if state.epoch and self.learner.engine.agreed(over):
            raise CancelFit

    def before_train(self, state: State) -> None:
        left = state.n_epochs - state.epoch
        self._batches = self._affordable(left) // left
        state.n_batches = min(max(1, self._batches), state.n_batches)
        self._batches = state.n_batches
        self._mark = time.perf_counter()

    def _affordable(self, validations: int) -> int:
        """Batches that the time left pays for, beside so many validations."""
        left = self.clock.total - self.clock.elapsed - validations * self.valid
        return self.learner.engine.agreed(int(left / self.step))

    def after_batch(self, state: State) -> None:
        if not state.training:
            return
        now = time.perf_counter()
        self._spent, self._done, self._mark = self._spent + now - self._mark, self._done + 1, now
        self.step = self._spent / self._done
        done = state.batch_index + 1
        if state.epoch == state.n_epochs - 1 and not done % max(1, self._batches // 20):
            state.n_batches = min(max(done, done + self._affordable(1)), len(self.learner.dls.train))
        if done >= state.n_batches:
            raise CancelPass

    def after_train(self, state: State) -> None:
        self._mark = time.perf_counter()
        start_next_epoch(self.learner.dls.train)

    def after_validate(self, state: State) -> None:
        self.valid = time.perf_counter() - self._mark

    def state_dict(self) -> dict[str, Any]:
        names = ("step", "valid", "_batches", "_done", "_spent")
        return {"elapsed": self.clock.elapsed, **{name: getattr(self, name) for name in names}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.clock.started = time.perf_counter() - state["elapsed"]
        for name in ("step", "valid", "_batches", "_done", "_spent"):
            setattr(self, name, state[name])


def side_of(batch: Batch) -> int:
    """Height of the images that may be shrunk; 0 where targets are as large as images."""
    if any(target.ndim > 2 for target in batch.targets):
        return 0
    return max((t.shape[2] for t in batch.inputs if _is_images(t)), default=0)


def _is_images(tensor: Tensor) -> bool:
    return tensor.ndim == 4 and tensor.is_floating_point()
