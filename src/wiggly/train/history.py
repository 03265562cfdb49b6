"""The history of a fit: losses and rates of every step, a row of numbers for every epoch.

In: events of the loop. Out: `learn.recorder`, which the table, the plots and the report read. Also the place
where a loss that is no number stops the run. Read next: `progress.py`.
"""

from __future__ import annotations

import copy
import math
import time
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from wiggly.records import Batch, State
from wiggly.train.callback import Callback
from wiggly.train.divergence import Divergence, check_finite, diverged, level_of
from wiggly.train.metrics.core import Metric, as_number, explain_metric_error

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

    def state(self) -> list[float]:
        """All that it remembers."""
        return [self._total, self._count]

    def load(self, state: list[float]) -> None:
        """Goes on from what `state` gave."""
        self._total, self._count = state[0], int(state[1])


class History(Callback):
    """Records the current or last fit; reset at the start of each.

    Attributes:
        values: For each epoch `[train_loss, valid_loss, *metrics]`; the training loss is the smoothed one at
            its end.
        losses: Smoothed training loss after every step.
        raw_losses: Training loss of every step.
        lrs: Learning rate of the last parameter group at every step.
        momenta: Momentum (beta1 of Adam) at every step; not a number where the optimizer has none.
        metric_names: Columns of the printed table: epoch, train_loss, valid_loss, the metrics, time.
        phases: One JSON-able record per fit of this learner's life, `fine_tune` adds two: settings, rows,
            seconds.
        stop_diverging: Whether a fit stops where its loss stays far above that of a model that has learnt
            nothing (`divergence.py` has the rule); set it to False for losses that rise by nature. A loss
            that is no number always stops it.
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
        self.momenta: list[float] = []
        self.metric_names: list[str] = []
        self.phases: list[dict[str, Any]] = []
        self.lr_search: dict[str, Any] | None = None
        self.epoch_ends: list[int] = []
        self._smoother, self._divergence = Smoother(), Divergence()
        self.stop_diverging = True
        self._unread: list[Tensor] = []
        self._evaluating = False
        self._fit_started = self._epoch_started = 0.0

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
        self.values, self.losses, self.raw_losses, self.epoch_ends = [], [], [], []
        self.lrs, self.momenta = [], []
        self._smoother, self._unread, self._divergence = Smoother(), [], Divergence()
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
        if not self.lrs and state.batch is not None:
            self._divergence = Divergence(level_of(self.learner.loss_func, state.pred, state.batch.targets))
        momentum = self.learner.opt.momentum
        self.lrs.append(state.lrs[-1] if state.lrs else math.nan)
        self.momenta.append(math.nan if momentum is None else momentum)
        self._unread.append(state.loss.detach())
        waiting_costs = state.loss.device.type != "cpu"
        if not waiting_costs or len(self._unread) >= STEPS_BETWEEN_READS:
            self.read_losses(state)

    def read_losses(self, state: State) -> None:
        """Fetches the losses of the last steps from the device.

        Raises:
            DivergedError: One of them is not a finite number, or they have diverged.
        """
        if not self._unread:
            return
        if len(self._unread) == 1:
            values = [self._unread[0].item()]
        else:
            values = torch.stack([loss.reshape(()) for loss in self._unread]).tolist()
        self._unread = []
        for value in values:
            check_finite(value, len(self.raw_losses), state)
            self.raw_losses.append(value)
            self.losses.append(self._smoother.add(value))
            if self._divergence.add(value, self.losses[-1]) and self.stop_diverging:
                rule = "the loss must not stay far above that of a model that has learnt nothing"
                what = f"it is {value:.3g} and was {min(self.losses):.3g} (smoothed) at its lowest"
                raise diverged(what, rule, len(self.raw_losses) - 1, state)

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
        engine = self.learner.engine
        rows = engine.rows(state.batch)
        self._loss_total = self._loss_total + state.loss.detach() * rows
        self._loss_rows += rows
        for batch, pred in engine.collected(state.batch, state.pred) if self.metrics else ():
            self._accumulate(pred, batch)

    def _accumulate(self, pred: Any, batch: Batch) -> None:
        for metric in self.metrics:
            try:
                metric.accumulate(pred, batch.targets)
            except Exception as error:
                raise explain_metric_error(metric, error) from error

    def after_validate(self, state: State) -> None:
        self._evaluating = False
        if not self._loss_rows:
            return
        state.row["valid_loss"] = float(self._loss_total) / self._loss_rows
        for metric in self.metrics:
            try:
                state.row[metric.name] = as_number(metric.value())
            except Exception as error:
                self._check_valid_loss(state)  # scikit-learn's metrics refuse what is no number
                raise explain_metric_error(metric, error) from error
        state.row = self.learner.engine.agreed(state.row)  # what is decided by it is decided alike

    def _check_valid_loss(self, state: State) -> None:
        """Raises a `DivergedError` if weights were spoilt by the last step of training."""
        loss, trained = state.row["valid_loss"], bool(self.raw_losses) and state.n_epochs > 0
        if trained and not math.isfinite(loss):
            rule, what = "the loss must stay a finite number", f"that of the validation items is {loss}"
            raise diverged(what, rule, len(self.raw_losses) - 1, state)

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

    def take_over(
        self, losses: list[float], lrs: list[float], measured: dict[str, float], seconds: float
    ) -> dict[str, float]:
        """Records a whole fit that ran outside of the loop as one row of the phase begun last; probing does
        so.

        Args:
            losses: Training loss of every step.
            lrs: Rate of every step.
            measured: Validation loss and metrics.
            seconds: What it took, with everything around it.

        Returns:
            The row, as `State.row` has it.
        """
        self.losses, self.raw_losses, self.lrs = [self._smoother.add(loss) for loss in losses], losses, lrs
        row = {"epoch": 0, "train_loss": self.smooth_loss, **measured, "time": seconds}
        values = [row.get(name, math.nan) for name in self.metric_names[1:-1]]
        self.values, self.epoch_ends = [values], [len(losses)]
        told = [None if math.isnan(value) else value for value in values]
        done = {"seconds": seconds, "steps": len(losses), "losses": list(self.losses)}
        self.phases[-1].update(rows=[[0, *told, seconds]], **done)
        return row

    def state_dict(self) -> dict[str, Any]:
        self.read_losses(self.learner.state)
        now = time.perf_counter()
        columns = ("losses", "raw_losses", "lrs", "momenta")
        return {
            **{name: torch.tensor(getattr(self, name), dtype=torch.float64) for name in columns},
            "values": self.values,
            "metric_names": self.metric_names,
            "phases": self.phases,
            "lr_search": self.lr_search,
            "epoch_ends": self.epoch_ends,
            "smoother": self._smoother.state(),
            "divergence": self._divergence.state(),
            "seconds": [now - self._fit_started, now - self._epoch_started],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for name in ("losses", "raw_losses", "lrs", "momenta"):
            setattr(self, name, state[name].tolist())
        self.values, self.epoch_ends = list(state["values"]), list(state["epoch_ends"])
        self.metric_names, self.phases = list(state["metric_names"]), copy.deepcopy(state["phases"])
        self.lr_search = state["lr_search"]
        self._smoother.load(state["smoother"])
        self._divergence.load(state["divergence"])
        self._unread = []
        now = time.perf_counter()
        self._fit_started, self._epoch_started = (now - seconds for seconds in state["seconds"])

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

    def plot_sched(self) -> Axes:
        """Draws the learning rate of the last parameter group and the momentum by step.

        Returns:
            The axes of the rate.
        """
        import matplotlib.pyplot as plt

        _, axes = plt.subplots()
        lines = axes.plot(self.lrs, label="lr")
        axes.set_xlabel("step")
        axes.set_ylabel("learning rate")
        if not all(map(math.isnan, self.momenta)):
            other = axes.twinx()
            lines += other.plot(self.momenta, label="momentum", color="C1", linestyle="--")
            other.set_ylabel("momentum")
        axes.legend(handles=lines)
        return axes
