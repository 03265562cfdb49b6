"""Callbacks that watch one number of the epochs' table: `EarlyStopping` and `ReduceLROnPlateau`.

In: `State.row` at the end of each epoch. Out: the end of the fit, or lower rates. Read next: `save.py`, which
keeps the best epoch.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Literal

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelFit
from wiggly.train.checks import check_number, whole_number

__all__ = ["EarlyStopping", "Mode", "Monitor", "ReduceLROnPlateau", "lower_is_better"]

Mode = Literal["auto", "min", "max"]

# Parts of names, and whole words in them, whose number is better when lower.
LOWER_PARTS = ("loss", "error", "perplexity", "brier", "distance", "deviation")
LOWER_WORDS = {"mae", "mse", "rmse", "msle", "rmsle", "mape", "nll", "ece", "wer", "cer", "fid", "hamming"}


def lower_is_better(name: str) -> bool:
    """Whether a number of this name is better when it is lower: losses and errors are, all else is not.

    Args:
        name: A column of the table.

    Example:
        >>> [lower_is_better(name) for name in ("valid_loss", "error_rate", "rmse", "accuracy", "dice")]
        [True, True, True, False, False]
    """
    lowered = name.lower()
    return any(part in lowered for part in LOWER_PARTS) or bool(LOWER_WORDS & set(lowered.split("_")))


class Monitor(Callback):
    """Base of callbacks that compare epochs by one number of the table.

    Args:
        monitor: Column of the table: "train_loss", "valid_loss" or a metric's name.
        min_delta: A change of this much or less is no improvement.
        mode: "min": lower is better, "max": higher is; "auto" goes by the name: losses and errors should be
            low, all else high.
        reset_on_fit: Whether each fit (`fine_tune` has two) starts without a best value.

    Attributes:
        best: Best value so far; None before the first.
        best_epoch: Its epoch in its fit.
    """

    in_lr_find: ClassVar[bool] = False

    def __init__(
        self,
        monitor: str = "valid_loss",
        min_delta: float = 0.0,
        mode: Mode = "auto",
        reset_on_fit: bool = True,
    ) -> None:
        if mode not in ("auto", "min", "max"):
            raise ArgumentError(
                "`mode` must be 'auto', 'min' or 'max'", f"it is {mode!r}", "Pass 'max' if higher is better."
            )
        if not isinstance(monitor, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(
                "`monitor` must be the name of a column of the table",
                f"it is {monitor!r}",
                "Pass e.g. 'valid_loss', and numbers by name: patience=3.",
            )
        check_number("min_delta", min_delta, "0 or more", lambda change: change >= 0, "0.001")
        self.monitor, self.min_delta, self.reset_on_fit = monitor, min_delta, reset_on_fit
        self.lower = lower_is_better(monitor) if mode == "auto" else mode == "min"
        self.best: float | None = None
        self.best_epoch: int | None = None

    def before_fit(self, state: State) -> None:
        self._check_monitor()
        if self.reset_on_fit:
            self.best = self.best_epoch = None

    def _check_monitor(self) -> None:
        valid = self.learner.dls.valid
        columns = self.learner.recorder.metric_names[1:-1]
        if valid is None or not len(valid):
            columns = columns[:1]
        if self.monitor not in columns:
            raise ArgumentError(
                "`monitor` must be a column of the table that this fit fills",
                f"{type(self).__name__} got {self.monitor!r}; there are {', '.join(columns)}",
                "Pass one of these, or add the metric: learn.metrics = [...].",
            )

    def improves(self, state: State) -> bool | None:
        """Compares this epoch with the best before and remembers it if it is better.

        Returns:
            Whether it is; None if the epoch has no such number, since its validation was cancelled.
        """
        value = state.row.get(self.monitor)
        if value is None:
            return None
        if not is_better(value, self.best, self.lower, self.min_delta):
            return False
        self.best, self.best_epoch = value, state.epoch
        return True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "best_epoch": self.best_epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best, self.best_epoch = state["best"], state["best_epoch"]


def is_better(value: float, best: float | None, lower: bool, min_delta: float = 0.0) -> bool:
    """Whether a value beats the best by more than `min_delta`; what is no finite number never does."""
    if not math.isfinite(value):
        return False
    return best is None or (value < best - min_delta if lower else value > best + min_delta)


class EarlyStopping(Monitor):
    """Ends the fit when a number has not improved for some epochs.

    Args:
        monitor: Column of the table: "train_loss", "valid_loss" or a metric's name.
        min_delta: A change of this much or less is no improvement.
        patience: The fit ends after so many epochs in a row without improvement.
        mode: "min", "max", or "auto" to go by the name.

    Raises:
        ArgumentError: An argument is out of range; when a fit begins, if it has no such column.

    Example:
        >>> EarlyStopping("accuracy", patience=3).lower
        False
    """

    order: ClassVar[int] = 150  # the last to hear of an epoch, as the fit ends here

    def __init__(
        self,
        monitor: str = "valid_loss",
        min_delta: float = 0.0,
        patience: int = 1,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        self.patience, self.waited = whole_number("patience", patience, lowest=1), 0

    def before_fit(self, state: State) -> None:
        super().before_fit(state)
        self.waited = 0

    def after_epoch(self, state: State) -> None:
        better = self.improves(state)
        if better is not None:
            self.waited = 0 if better else self.waited + 1
        if self.waited >= self.patience:
            raise CancelFit

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "waited": self.waited}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.waited = state["waited"]


class ReduceLROnPlateau(Monitor):
    """Lowers the rates when a number has not improved for some epochs, as torch's scheduler of this name
    does.

    It multiplies what the fit's schedule gives; `fit`, with its constant rate, suits it best.

    Args:
        monitor: Column of the table: "train_loss", "valid_loss" or a metric's name.
        factor: Rates are multiplied by this, in (0, 1).
        patience: So many epochs in a row without improvement are let pass; the next one lowers the rates.
        min_delta: A change of this much or less is no improvement.
        min_lr: No rate is lowered below this.
        cooldown: Epochs after a reduction that do not count.
        mode: "min", "max", or "auto" to go by the name.

    Attributes:
        scale: What rates are multiplied by now.

    Raises:
        ArgumentError: An argument is out of range; when a fit begins, if it has no such column.

    Example:
        >>> ReduceLROnPlateau(patience=2).scale
        1.0
    """

    order: ClassVar[int] = 30  # after the schedule has set the rates, and after the history has made the row

    def __init__(
        self,
        monitor: str = "valid_loss",
        factor: float = 0.1,
        patience: int = 10,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
        cooldown: int = 0,
        mode: Mode = "auto",
    ) -> None:
        super().__init__(monitor, min_delta, mode)
        rule = "between 0 and 1, as rates are multiplied by it"
        other = "0.1" if isinstance(factor, str) or not factor > 1 else f"{1 / factor:.3g}"
        check_number("factor", factor, rule, lambda share: 0 < share < 1, other)
        for name, number in {"patience": patience, "cooldown": cooldown, "min_lr": min_lr}.items():
            check_number(name, number, "0 or more", lambda value: value >= 0, "0")
        self.factor, self.patience, self.min_lr, self.cooldown = factor, patience, min_lr, cooldown
        self._restart()

    def _restart(self) -> None:
        self.scale, self._waited, self._cooling = 1.0, 0, 0

    def before_fit(self, state: State) -> None:
        super().before_fit(state)
        self._restart()

    def before_batch(self, state: State) -> None:
        if state.training and self.scale < 1:
            state.lrs = [max(rate * self.scale, min(rate, self.min_lr)) for rate in state.lrs]
            self.learner.opt.set_lrs(state.lrs)

    def after_epoch(self, state: State) -> None:
        better = self.improves(state)
        if better is None:
            return
        self._waited = 0 if better else self._waited + 1
        if self._cooling:
            self._cooling -= 1
            self._waited = 0
        if self._waited > self.patience:
            self.scale *= self.factor
            self._waited, self._cooling = 0, self.cooldown

    def state_dict(self) -> dict[str, Any]:
        own = {"scale": self.scale, "waited": self._waited, "cooling": self._cooling}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.scale, self._waited, self._cooling = state["scale"], state["waited"], state["cooling"]
