"""Logs on the disk: `CSVLogger` for tables and spreadsheets, `JSONLogger` for programs.

In: the history's row after each epoch, and the state after some steps. Out: lines, each written whole and at
once, so a killed run leaves all that it had done; one that is resumed goes on where its checkpoint was. Read
next: `trackers.py`.
"""

from __future__ import annotations

import csv
import io
import json
import math
import os
from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from wiggly.errors import ArgumentError, StorageError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.checks import check_number

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["CSVLogger", "JSONLogger", "describe_fit"]


class _Lines(Callback):
    """A file of lines that grows through all fits of this callback.

    Args:
        fname: The file; a relative path starts at the learner's `path`.
        append: Whether lines of earlier runs stay in it.
    """

    order: ClassVar[int] = 70
    in_lr_find: ClassVar[bool] = False

    def __init__(self, fname: str | Path, append: bool) -> None:
        if not isinstance(fname, (str, Path)) or not Path(fname).name:  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(
                "`fname` must be the name of a file", f"it is {str(fname)!r}", "Pass e.g. 'history.csv'."
            )
        self.fname, self.append = fname, append
        self._size: int | None = None  # bytes of the file after the last line; None before the first

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.learner.path) / self.fname

    @abstractmethod
    def first_lines(self) -> str:
        """What a new file begins with."""

    def write(self, lines: str) -> None:
        """Adds lines to the file; the first ones replace what an earlier run left, unless `append`."""
        if not self.learner.engine.is_main:
            return
        new = self._size is None and not self.append
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(self.path, "w" if new else "a", encoding="utf-8", newline="") as file:
                file.write(lines if file.tell() else self.first_lines() + lines)
                file.flush()
                self._size = file.tell()
        except OSError as error:
            raise StorageError(
                f"`{self.path}` must be writable",
                f"writing failed: {error.strerror}",
                "Free space on the disk, or pass another `fname`.",
            ) from error

    def state_dict(self) -> dict[str, Any]:
        size = self._size
        if size is None and self.append:  # before the first line: what an earlier run left
            size = self.path.stat().st_size if self.path.exists() else 0
        return {"size": size}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes away the lines of what will be done again."""
        self._size = state["size"]
        if self.learner.engine.is_main and self._size is not None and self.path.exists():
            os.truncate(self.path, min(self._size, self.path.stat().st_size))


class CSVLogger(_Lines):
    """Writes the table of epochs as CSV, with all digits and the time in seconds.

    Both phases of `fine_tune` go into one file; the second begins where `epoch` is 0 again.

    Args:
        fname: The file; a relative path starts at the learner's `path`.
        append: Add to what an earlier run left, instead of replacing it.

    Raises:
        ArgumentError: `fname` is empty.
        StorageError: The file cannot be written.

    Example:
        >>> CSVLogger("table.csv").fname
        'table.csv'
    """

    def __init__(self, fname: str | Path = "history.csv", append: bool = False) -> None:
        super().__init__(fname, append)

    def first_lines(self) -> str:
        return _csv_line(self.learner.recorder.metric_names)

    def after_epoch(self, state: State) -> None:
        self.write(_csv_line([state.row.get(name, "") for name in self.learner.recorder.metric_names]))


def _csv_line(cells: list[Any]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


class JSONLogger(_Lines):
    """Writes one JSON object per line: when a fit begins, every so many steps, after each epoch, at the end.

    Every line has `event`: "fit" (with the fit's settings), "step" (epoch, step, loss, lr), "epoch" (the
    table's row), and "end" or "error". A number that is not finite is null.

    Args:
        fname: The file; a relative path starts at the learner's `path`. None prints the lines instead.
        every: Steps from one line to the next; 0 leaves steps out.
        append: Add to what an earlier run left, instead of replacing it.

    Raises:
        ArgumentError: `every` is negative, or `fname` empty.
        StorageError: The file cannot be written.

    Example:
        >>> JSONLogger("log.jsonl", every=100).every
        100
    """

    def __init__(self, fname: str | Path | None = None, every: int = 50, append: bool = False) -> None:
        super().__init__("log.jsonl" if fname is None else fname, append)
        check_number("every", every, "0 or more", lambda steps: steps >= 0, "50, or 0 to log no steps")
        self.every, self.prints = every, fname is None
        self._begun = self._failed = False
        self._step = 0

    def first_lines(self) -> str:
        return ""

    def _tell(self, event: str, values: dict[str, Any]) -> None:
        line = json.dumps({"event": event, **_plain(values)})
        if not self.prints:
            self.write(f"{line}\n")
        elif self.learner.engine.is_main:
            print(line, flush=True)

    def before_fit(self, state: State) -> None:
        self._begun = self._failed = False
        self._step = 0

    def before_epoch(self, state: State) -> None:
        if not self._begun:  # not in `before_fit`: a resumed fit has begun before
            self._tell("fit", {"settings": describe_fit(self.learner)})
            self._begun = True

    def after_batch(self, state: State) -> None:
        if not (state.training and self.every and state.step > self._step and state.loss is not None):
            return
        self._step = state.step
        if state.step % self.every == 0:
            rate = max(state.lrs, default=math.nan)
            loss = float(state.loss.detach())
            self._tell("step", {"epoch": state.epoch, "step": state.step, "loss": loss, "lr": rate})

    def after_epoch(self, state: State) -> None:
        self._tell("epoch", state.row)

    def on_error(self, state: State, error: BaseException) -> None:
        self._tell("error", {"kind": type(error).__name__, "message": str(error)})
        self._failed = True

    def cleanup(self, state: State) -> None:
        if self._begun and not self._failed:
            self._tell("end", {"steps": state.step})

    def state_dict(self) -> dict[str, Any]:
        own = {"begun": self._begun, "step": self._step}
        return {**({"size": None} if self.prints else super().state_dict()), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self._begun, self._step = state["begun"], state["step"]


def describe_fit(learner: Learner) -> dict[str, Any]:
    """What a log says of the fit that runs: its settings, and what it trains on what.

    Returns:
        JSON types only.
    """
    measured = ("columns", "rows", "seconds", "steps", "losses")
    settings = {name: value for name, value in learner.recorder.phases[-1].items() if name not in measured}
    loss: Any = learner.loss_func
    made = {
        "model": learner.model_config or type(learner.model).__name__,
        "parameters": sum(p.numel() for p in learner.model.parameters()),
        "optimizer": type(learner.opt.inner).__name__,
        "loss": getattr(loss, "__name__", type(loss).__name__),
        "batch_size": getattr(learner.dls.train, "bs", getattr(learner.dls.train, "batch_size", None)),
        "device": str(learner.engine.device),
        "precision": learner.engine.precision,
    }
    return {**settings, **made}


def _plain(value: Any) -> Any:
    """JSON has no NaN and no infinity."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value
