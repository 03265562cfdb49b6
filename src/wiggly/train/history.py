"""The history of a fit: losses and rates of every step, a row of numbers for every epoch.

In: events of the loop. Out: `learn.recorder`, which the table, the plots and the report read. Also the place
where a loss that is no number stops the run. Read next: `progress.py`.
"""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from wiggly.errors import TrainingError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.metrics import Metric, explain_metric_error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wiggly.train.loop import Loop

__all__ = ["History", "Smoother"]

# On a GPU reading a loss makes the host wait for it, so it is done for this many steps at once.
STEPS_BETWEEN_READS = 16


class Smoother:
    """Debiased exponential average, as Adam's (arXiv:1412.6980, section 3).

    Args:
        beta: Weight of the past, in [0, 1).

    Example:
        >>> smoother = Smoother(0.5)
        >>> smoother.add(1.0), round(smoother.add(4.0), 4)
        (1.0, 3.0)
    """

    def __init__(self, beta: float = 0.98) -> None:
        self.beta = beta
        self._total, self._count = 0.0, 0

    def add(self, value: float) -> float:
        """Takes in a value; returns the average so far."""
        self._total = self.beta * self._total + (1 - self.beta) * value
        self._count += 1
        return self._total / (1 - self.beta**self._count)


class History(Callback):
    """Records the current or last fit; reset at the start of each.

    Attributes:
        values: For each epoch `[train_loss, valid_loss, *metrics]`; the training loss is the smoothed one at
            its end.
        losses: Smoothed training loss after every step.
        raw_losses: Training loss of every step.
        lrs: Learning rate of the last parameter group at every step.
        metric_names: Columns of the printed table: epoch, train_loss, valid_loss, the metrics, time.
        phases: One JSON-able record per fit of this learner's life, `fine_tune` adds two: settings, rows,
            seconds.
        lr_search: Rates, losses and suggestions of the last `lr_find`; None before.
    """

    order = -10
    in_lr_find = False

    def __init__(self, learner: Loop) -> None:
        self.learner = cast("Any", learner)
        self.values: list[list[float]] = []
        self.losses: list[float] = []
        self.raw_losses: list[float] = []
        self.lrs: list[float] = []
        self.metric_names: list[str] = []
        self.phases: list[dict[str, Any]] = []
        self.lr_search: dict[str, Any] | None = None
        self.epoch_ends: list[int] = []
        self._smoother = Smoother()
        self._unread: list[Tensor] = []
        self._evaluating = False

    @property
    def metrics(self) -> list[Metric]:
        """The learner's metrics."""
        return self.learner.metrics

    @property
    def smooth_loss(self) -> float:
        """Smoothed training loss of the last step that was read; not a number before the first."""
        return self.losses[-1] if self.losses else math.nan

    def start(self, settings: dict[str, Any]) -> None:
        """Begins a new phase.

        Args:
            settings: JSON-able description of the fit: name, epochs, rates, what is frozen.
        """
        self.values, self.losses, self.raw_losses, self.lrs, self.epoch_ends = [], [], [], [], []
        self._smoother, self._unread = Smoother(), []
        self.metric_names = ["epoch", "train_loss", "valid_loss", *(m.name for m in self.metrics), "time"]
        phase = {
            **settings,
            "columns": self.metric_names,
            "rows": list[list[float | None]](),
            "seconds": 0.0,
            "steps": 0,
        }
        self.phases.append(phase)

    def before_fit(self, state: State) -> None:
        self._fit_started = time.perf_counter()

    def before_epoch(self, state: State) -> None:
        state.row = {}
        self._epoch_started = time.perf_counter()

    def after_loss(self, state: State) -> None:
        if not state.training:
            return
        self.lrs.append(state.lrs[-1] if state.lrs else math.nan)
        self._unread.append(state.loss.detach())
        waiting_costs = state.loss.device.type != "cpu"
        if not waiting_costs or len(self._unread) >= STEPS_BETWEEN_READS:
            self.read_losses(state)

    def read_losses(self, state: State) -> None:
        """Fetches the losses of the last steps from the device.

        Raises:
            TrainingError: One of them is not a finite number.
        """
        if not self._unread:
            return
        values = torch.stack([loss.reshape(()) for loss in self._unread]).tolist()
        self._unread = []
        for value in values:
            if not math.isfinite(value):
                raise _not_finite(value, len(self.raw_losses), state)
            self.raw_losses.append(value)
            self.losses.append(self._smoother.add(value))

    def after_batch(self, state: State) -> None:
        if self._evaluating and state.loss is not None:  # None: a callback cancelled the batch
            self._evaluate(state)

    def after_train(self, state: State) -> None:
        self.read_losses(state)

    def before_validate(self, state: State) -> None:
        self._evaluating = True
        self._loss_total: Any = 0.0
        self._loss_rows = 0
        for metric in self.metrics:
            metric.reset()

    def _evaluate(self, state: State) -> None:
        assert state.batch is not None
        rows = len(state.batch)
        self._loss_total = self._loss_total + state.loss.detach() * rows
        self._loss_rows += rows
        for metric in self.metrics:
            try:
                metric.accumulate(state.pred, state.batch.targets)
            except Exception as error:
                raise explain_metric_error(metric, error) from error

    def after_validate(self, state: State) -> None:
        self._evaluating = False
        if not self._loss_rows:
            return
        state.row["valid_loss"] = float(self._loss_total) / self._loss_rows
        for metric in self.metrics:
            try:
                state.row[metric.name] = metric.value()
            except Exception as error:
                raise explain_metric_error(metric, error) from error

    def after_epoch(self, state: State) -> None:
        self.read_losses(state)
        measured = {"train_loss": self.smooth_loss, **state.row}
        seconds = time.perf_counter() - self._epoch_started
        values = [measured.get(name, math.nan) for name in self.metric_names[1:-1]]
        state.row = {"epoch": state.epoch, **measured, "time": seconds}
        self.values.append(values)
        self.epoch_ends.append(len(self.losses))
        row = [state.epoch, *values, seconds]
        self.phases[-1]["rows"].append([None if math.isnan(value) else value for value in row])

    def cleanup(self, state: State) -> None:
        self._unread, self._evaluating = [], False
        seconds = time.perf_counter() - self._fit_started
        self.phases[-1].update(seconds=seconds, steps=state.step, losses=list(self.losses))

    def to_frame(self) -> pd.DataFrame:
        """One row per epoch of the last fit, one column per number, as a pandas DataFrame."""
        import pandas as pd

        frame = pd.DataFrame(self.values, columns=pd.Index(self.metric_names[1:-1]))
        frame.index.name = "epoch"
        return frame

    def plot_loss(self, skip_start: int = 5, with_valid: bool = True) -> Axes:
        """Draws the smoothed training loss by step, and the validation loss at the end of each epoch.

        Args:
            skip_start: Steps left out at the start, where the loss is still far off.
            with_valid: Whether to draw the validation loss.

        Returns:
            The axes drawn on.
        """
        import matplotlib.pyplot as plt

        _, axes = plt.subplots()
        axes.plot(range(skip_start, len(self.losses)), self.losses[skip_start:], label="train")
        shown = [
            (end, row[1]) for end, row in zip(self.epoch_ends, self.values, strict=True) if end > skip_start
        ]
        if with_valid and shown:
            axes.plot([end - 1 for end, _ in shown], [loss for _, loss in shown], marker="o", label="valid")
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.legend()
        return axes


def _not_finite(value: float, step: int, state: State) -> TrainingError:
    rate = max(state.lrs, default=math.nan)
    return TrainingError(
        "the loss must stay a finite number",
        f"it is {value} at step {step + 1} (epoch {state.epoch}), at a learning rate of {rate:.2g}",
        f"Train with a lower rate (try {rate / 10:.1g}; `learn.lr_find()` suggests one), and check that "
        "inputs and targets hold no NaN. Weights may be spoilt: make the learner anew or load a saved state.",
    )
