"""What a comparison of architectures says: rows, a table, a figure, and which one to start with.

In: `Compared`, one per architecture. Out: `Comparison`. Read next: `compare.py`, which trains them.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from wiggly.errors import DataError
from wiggly.interpret.score import Interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["Compared", "Comparison"]

ADVICE = "Start simple; trying architectures is the last step."


@dataclass(frozen=True, slots=True)
class Compared:
    """One architecture.

    Attributes:
        arch: Its name.
        score: What `Comparison.metric` measures, on the validation items; None if it could not be trained.
        interval: 95 % confidence interval of the score.
        seconds: From making the model to the end of its training.
        parameters: Numbers in the model that training may change.
        megabytes: Size of its weights in float32, 10⁶ bytes.
        images_per_second: The trained model alone, on a batch that lies ready.
        reason: Why there is no score; empty if there is one.
    """

    arch: str
    score: float | None = None
    interval: Interval | None = None
    seconds: float = 0.0
    parameters: int = 0
    megabytes: float = 0.0
    images_per_second: float = 0.0
    reason: str = ""

    @property
    def low(self) -> float:
        """Lower end of the interval; the score itself without one."""
        return self.interval.low if self.interval else self.score or 0.0

    @property
    def high(self) -> float:
        """Upper end of the interval; the score itself without one."""
        return self.interval.high if self.interval else self.score or 0.0


class Comparison:
    """Architectures side by side, the best first, those that failed last.

    Args:
        rows: In any order.
        metric: Name of the score.
        higher: Whether a higher score is better.
        baseline: Score of the best answer that looks at no input; None if there is none.
        baseline_name: What that answer is.

    Attributes:
        rows: In their order.

    Example:
        >>> rows = [Compared("big", 0.91, Interval(0.88, 0.93), 60.0, 30_000_000, 120.0, 50.0),
        ...         Compared("small", 0.90, Interval(0.87, 0.92), 10.0, 3_000_000, 12.0, 400.0),
        ...         Compared("typo", reason="there is no such architecture")]
        >>> found = Comparison(rows, "accuracy", baseline=0.5)
        >>> found.best.arch, found.simplest.arch
        ('big', 'small')
    """

    def __init__(
        self,
        rows: list[Compared],
        metric: str,
        higher: bool = True,
        baseline: float | None = None,
        baseline_name: str = "baseline",
    ) -> None:
        self.metric, self.higher = metric, higher
        self.baseline, self.baseline_name = baseline, baseline_name
        scored = [row for row in rows if row.score is not None]
        sign = -1 if higher else 1
        scored.sort(key=lambda row: (sign * (row.score or 0.0), row.parameters))
        self.rows = scored + [row for row in rows if row.score is None]

    @property
    def best(self) -> Compared:
        """The highest score; of equal ones the smallest model.

        Raises:
            DataError: None could be trained.
        """
        if not self.rows or self.rows[0].score is None:
            reasons = "; ".join(f"{row.arch}: {row.reason}" for row in self.rows) or "none was tried"
            raise DataError(
                "`best` needs an architecture that could be trained", reasons, "Mend one of them."
            )
        return self.rows[0]

    @property
    def simplest(self) -> Compared:
        """The smallest model whose score lies within the interval of the best: there is no telling them
        apart.

        Raises:
            DataError: None could be trained.
        """
        best = self.best
        near = [row for row in self.rows if row.score is not None and best.low <= row.score <= best.high]
        return min(near, key=lambda row: row.parameters)

    def to_frame(self) -> pd.DataFrame:
        """One row per architecture, as a pandas DataFrame; `low` and `high` are the ends of the interval."""
        import pandas as pd

        records = [
            {
                **{name: value for name, value in asdict(row).items() if name != "interval"},
                "low": row.interval.low if row.interval else None,
                "high": row.interval.high if row.interval else None,
            }
            for row in self.rows
        ]
        frame = pd.DataFrame.from_records(records).rename(columns={"score": self.metric})
        return frame.assign(baseline=self.baseline)

    def __str__(self) -> str:
        head = ["arch", self.metric, "95 % interval", "seconds", "parameters", "MB", "images/s"]
        table = [head, *map(_cells, self.rows)]
        whole = [line for line in table if len(line) == len(head)]
        widths = [max(len(line[i]) for line in (whole if i else table)) for i in range(len(head))]
        lines = ["  ".join(_aligned(line, widths)).rstrip() for line in table]
        if self.baseline is not None:
            lines.append(f"{self.baseline_name}: {self.baseline:.4f}")
        return "\n".join([*lines, self._advice()])

    def _advice(self) -> str:
        if not self.rows or self.rows[0].score is None:
            return ADVICE
        best, simple = self.best, self.simplest
        if best is simple:
            return f"{ADVICE} Here the best is also the simplest of the good ones: {best.arch}."
        return (
            f"{ADVICE} Here `{simple.arch}` ({simple.parameters / 1e6:.1f} million parameters) cannot be "
            f"told from the best, `{best.arch}` ({best.parameters / 1e6:.1f} million)."
        )

    def plot(self) -> Figure:
        """Draws the score against training time, size and images per second, with intervals and baseline.

        Returns:
            The figure.
        """
        import matplotlib.pyplot as plt

        figure, axes = plt.subplots(1, 3, figsize=(12, 4.2), sharey=True, layout="constrained")
        panels = (("seconds", "training time, s"), ("megabytes", "size, MB"))
        for one, (field, label) in zip(axes, (*panels, ("images_per_second", "images/s")), strict=True):
            self._draw(one, field, label)
        axes[0].set_ylabel(self.metric)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=4, frameon=False)
        return figure

    def _draw(self, axes: Any, field: str, label: str) -> None:
        drawn = [(float(getattr(row, field)), row) for row in self.rows if row.score is not None]
        for number, (x, row) in enumerate(drawn):
            score = row.score or 0.0
            reach = [[score - row.low], [row.high - score]]
            marker = MARKERS[number % len(MARKERS)]
            axes.errorbar(x, score, reach, fmt=marker, capsize=3, label=row.arch)
        if self.baseline is not None:
            axes.axhline(self.baseline, linestyle=":", color="grey", label=self.baseline_name)
        values = [x for x, _ in drawn if x > 0]
        if values and max(values) > WIDE * min(values):
            axes.set_xscale("log")
        else:
            axes.set_xlim(0, 1.15 * max(values, default=1.0))
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)


# Colours repeat after ten; with the marker they stay apart for longer.
MARKERS = "osD^v<>PX*h"
# From here on points at the low end would lie on top of each other.
WIDE = 20


def _cells(row: Compared) -> list[str]:
    if row.score is None:
        return [row.arch, f"- {row.reason}"]
    return [
        row.arch,
        f"{row.score:.4f}",
        f"{row.low:.4f} to {row.high:.4f}",
        f"{row.seconds:.1f}",
        f"{row.parameters:,}",
        f"{row.megabytes:.1f}",
        f"{row.images_per_second:.0f}",
    ]


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    if len(line) == 2:  # a reason may be longer than its column
        return [line[0].ljust(widths[0]), line[1]]
    return [line[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True))]
