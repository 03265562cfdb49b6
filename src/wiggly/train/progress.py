"""Progress: a table with one row per epoch and, where it can be redrawn, a bar.

In: the state after each batch and epoch. Out: rich in a terminal, one HTML block in a notebook, plain lines
in a log or a pipe. Read next: `learner.py`.
"""

from __future__ import annotations

import html
import math
import sys
import time
from collections.abc import Mapping
from typing import Any, Protocol

from wiggly.records import State
from wiggly.train.callback import Callback

__all__ = [
    "Display",
    "NotebookDisplay",
    "PlainDisplay",
    "Progress",
    "RichDisplay",
    "choose_display",
    "in_notebook",
    "show_phase",
]

SECONDS_BETWEEN_DRAWS = 0.2


def in_notebook() -> bool:
    """Whether output goes to a Jupyter front end that shows HTML."""
    if "IPython" not in sys.modules:
        return False
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    return shell is not None and type(shell).__name__ in ("ZMQInteractiveShell", "Shell")  # Jupyter, Colab


class Display(Protocol):
    """Where progress is drawn."""

    def header(self, columns: list[str]) -> None:
        """Begins a table."""

    def row(self, cells: list[str]) -> None:
        """Adds a line to it."""

    def note(self, text: str) -> None:
        """A line of text: above the table before it has begun, between its rows afterwards."""

    def bar(self, share: float, text: str) -> None:
        """Redraws the bar at this share of the whole, in [0, 1]."""

    def close(self) -> None:
        """Takes the bar away."""


def widths(columns: list[str]) -> list[int]:
    """Width of each column: its name, at least 8 for a number of 6 decimals."""
    return [max(len(name), 8) for name in columns]


class PlainDisplay:
    """Lines of text, for logs."""

    def __init__(self) -> None:
        self._widths: list[int] = []

    def header(self, columns: list[str]) -> None:
        self._widths = widths(columns)
        self._write(columns)

    def row(self, cells: list[str]) -> None:
        self._write(cells)

    def note(self, text: str) -> None:
        self._print(text)

    def _write(self, cells: list[str]) -> None:
        self._print("  ".join(cell.rjust(w) for cell, w in zip(cells, self._widths, strict=True)))

    def _print(self, line: str) -> None:
        print(line, flush=True)

    def bar(self, share: float, text: str) -> None:
        """A log has no bar."""

    def close(self) -> None:
        """Nothing to take away."""


class RichDisplay(PlainDisplay):
    """The same lines in a terminal, above a bar with the time left."""

    def __init__(self) -> None:
        super().__init__()
        self._bar: Any = None
        self._task: Any = None

    def _print(self, line: str) -> None:
        if self._bar is None:
            print(line, flush=True)
        else:
            self._bar.console.print(line, markup=False, highlight=False, soft_wrap=True)

    def bar(self, share: float, text: str) -> None:
        if self._bar is None:
            self._bar, self._task = self._started()
        self._bar.update(self._task, completed=share, description=text)

    def _started(self) -> tuple[Any, Any]:
        from rich.progress import (
            BarColumn,
            TaskProgressColumn,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )
        from rich.progress import Progress as RichProgress

        columns = (
            BarColumn(),
            TaskProgressColumn(),
            TimeElapsedColumn(),
            TextColumn("<"),
            TimeRemainingColumn(),
        )
        bar = RichProgress(*columns, TextColumn("{task.description}"), transient=True)
        bar.start()
        return bar, bar.add_task("", total=1.0)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


class NotebookDisplay:
    """One HTML block that is updated in place: the table, and the bar under it."""

    def __init__(self) -> None:
        self._columns: list[str] = []
        self._rows: list[str] = []
        self._bar_html = self._caption = ""
        self._handle: Any = None

    def header(self, columns: list[str]) -> None:
        self._columns = columns
        self._draw()

    def row(self, cells: list[str]) -> None:
        self._rows.append("".join(f"<td>{html.escape(cell)}</td>" for cell in cells))
        self._draw()

    def note(self, text: str) -> None:
        cell = f'<td colspan="{len(self._columns)}" style="text-align:left">{html.escape(text)}</td>'
        if self._columns:
            self._rows.append(cell)
        else:
            self._caption = f'<caption style="text-align:left">{html.escape(text)}</caption>'
        self._draw()

    def bar(self, share: float, text: str) -> None:
        self._bar_html = (
            f'<progress value="{share:.4f}" max="1" style="width:300px;vertical-align:middle"></progress> '
            f"{share:.0%} {html.escape(text)}"
        )
        self._draw()

    def close(self) -> None:
        if self._bar_html:
            self._bar_html = ""
            self._draw()

    def _draw(self) -> None:
        from IPython.display import HTML, display

        page = HTML(self.table() + self._bar_html)
        if self._handle is None:
            self._handle = display(page, display_id=True)
        else:
            self._handle.update(page)

    def table(self) -> str:
        """The rows so far as an HTML table."""
        if not self._columns:
            return ""
        head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in self._columns)
        body = "".join(f"<tr>{row}</tr>" for row in self._rows)
        return (
            f'<table style="text-align:right">{self._caption}<thead><tr>{head}</tr></thead>'
            f"<tbody>{body}</tbody></table>"
        )


def choose_display(bar: bool = True) -> Display:
    """The display that suits where output goes.

    Args:
        bar: Whether a bar may be drawn; without one a terminal gets plain lines.
    """
    if in_notebook():
        return NotebookDisplay()
    if bar and sys.stdout.isatty():
        return RichDisplay()
    return PlainDisplay()


def cells_of(columns: list[str], row: dict[str, float]) -> list[str]:
    """One line of the table: 6 decimals, minutes and seconds, a dash for what was not measured.

    Example:
        >>> cells_of(["epoch", "train_loss", "valid_loss"], {"epoch": 0, "train_loss": 0.25})
        ['0', '0.250000', '-']
    """
    return [_cell(name, row[name]) if name in row else "-" for name in columns]


def show_phase(display: Display, phase: Mapping[str, Any]) -> None:
    """Begins the table of a phase of the history: what learns, the columns, the rows that are there.

    Args:
        display: Where.
        phase: One of `learn.recorder.phases`.
    """
    columns: list[str] = phase["columns"]
    if "phase" in phase:
        learning = phase["groups"] - phase["first_unfrozen"]
        display.note(f"{phase['phase']}: {learning} of {phase['groups']} parameter groups learn")
    display.header(columns)
    for row in phase["rows"]:
        measured = {name: value for name, value in zip(columns, row, strict=True) if value is not None}
        display.row(cells_of(columns, measured))


def _cell(name: str, value: float) -> str:
    if name == "epoch":
        return str(int(value))
    if name == "time":
        minutes, seconds = divmod(round(value), 60)
        hours, minutes = divmod(minutes, 60)
        return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
    return f"{value:.6f}"


class Progress(Callback):
    """Draws the table and the bar; `learn.no_bar()` and `learn.no_logging()` silence it.

    Args:
        n_steps: Training steps of a run that is known to end after so many, as that of `lr_find`; None: all
            epochs.
    """

    order = 100

    def __init__(self, n_steps: int | None = None) -> None:
        self.n_steps = n_steps
        self.display: Display | None = None
        self._drawn, self._begun = 0.0, False

    def before_fit(self, state: State) -> None:
        if not self.learner.engine.is_main:
            return
        self.display = choose_display(self.learner.show_bar)
        self._begun = False

    def before_epoch(self, state: State) -> None:
        self._begin(state)  # only now the rows are there with which a run goes on

    def after_fit(self, state: State) -> None:
        self._begin(state)

    def _begin(self, state: State) -> None:
        if self._begun or self.display is None or self.n_steps is not None or not self.learner.show_table:
            return
        self._begun = True
        show_phase(self.display, self.learner.recorder.phases[-1])
        if state.step:
            self.display.note(f"resumed at epoch {state.epoch}, step {state.step}")

    def after_batch(self, state: State) -> None:
        now = time.monotonic()
        if self.display is None or not self.learner.show_bar or now - self._drawn < SECONDS_BETWEEN_DRAWS:
            return
        self._drawn = now
        self.display.bar(self._share(state), self._text(state))

    def _share(self, state: State) -> float:
        if self.n_steps is not None:
            return state.step / self.n_steps
        # An epoch's validation is drawn as the last fifth of it, about its share of the time.
        done = (state.batch_index + 1) / max(state.n_batches, 1)
        within = 0.8 * done if state.training else 0.8 + 0.2 * done
        return (state.epoch + within) / state.n_epochs

    def _text(self, state: State) -> str:
        if not state.training:
            return f"epoch {state.epoch}, validation"
        loss = self.learner.recorder.smooth_loss
        shown = "" if math.isnan(loss) or self.n_steps is not None else f", loss {loss:.4f}"
        return f"epoch {state.epoch}, batch {state.batch_index + 1}/{state.n_batches}{shown}"

    def after_epoch(self, state: State) -> None:
        if self.display is not None and self.learner.show_table and self.n_steps is None:
            self.display.row(cells_of(self.learner.recorder.metric_names, state.row))

    def cleanup(self, state: State) -> None:
        if self.display is not None:
            self.display.close()
            self.display = None
