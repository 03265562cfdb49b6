"""Slices: the score of each group of rows that have the same value in a column, beside that of all.

In: an interpretation of a model of tables and a column. Out: `Slices`, a row per group with an interval. Read
next: `calibration.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.interpret.score import wilson_interval
from wiggly.interpret.tables.drawing import with_thousands

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Slice", "Slices", "errors_by_group", "groups_of"]

MOST_GROUPS = 12
QUANTILES = 4  # groups that numbers are divided into
FEW = 10  # rows: a group of fewer is not told on its own
Z = 1.959963984540054  # the normal's 97.5 % point


@dataclass(frozen=True)
class Slice:
    """One group of rows.

    Attributes:
        group: Its value, or range of values.
        n: Rows.
        score: Share of wrong answers, or root mean square error.
        low: Lower end of its 95 % interval.
        high: Upper end.
    """

    group: str
    n: int
    score: float
    low: float
    high: float


@dataclass(frozen=True)
class Slices:
    """The groups of a column, in the order of its values.

    Attributes:
        column: Its name.
        score_name: "error rate", "RMSE" or "loss"; less is better.
        whole: All rows.
        groups: The groups.
    """

    column: str
    score_name: str
    whole: Slice
    groups: list[Slice]

    @property
    def worst(self) -> Slice | None:
        """The group whose score is the highest among those that are surely above that of all; None where
        there is none."""
        above = [group for group in self.groups if group.low > self.whole.score]
        return max(above, key=lambda group: group.score, default=None)

    def to_frame(self) -> pd.DataFrame:
        """A row per group, and one for all."""
        import pandas as pd

        rows = [*self.groups, self.whole]
        columns: dict[str, Any] = {self.column: [row.group for row in rows], "rows": [row.n for row in rows]}
        columns[self.score_name] = [row.score for row in rows]
        return pd.DataFrame({**columns, "low": [row.low for row in rows], "high": [row.high for row in rows]})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws a bar per group, with its interval, and the score of all as a line.

        Args:
            axes: Where to draw; None makes a figure.
        """
        import matplotlib.pyplot as plt

        shown = self.groups
        if axes is None:
            _, axes = plt.subplots(figsize=(6, 0.34 * len(shown) + 1.3), layout="constrained")
        scores = np.array([group.score for group in shown])
        ends = np.array([[g.score - g.low for g in shown], [g.high - g.score for g in shown]])
        axes.barh(range(len(shown)), scores, xerr=np.maximum(ends, 0), color="#7a9cc6")
        axes.set_yticks(range(len(shown)), [f"{group.group} ({group.n:,})" for group in shown])
        axes.axvline(self.whole.score, color="black", linewidth=1, linestyle="--")
        axes.invert_yaxis()
        axes.set_xlabel(f"{self.score_name} (dashed: all {self.whole.n:,} rows)")
        axes.set_title(f"By {self.column}", fontsize=10)
        with_thousands(axes, "x")
        return axes


def groups_of(column: Any, max_groups: int = MOST_GROUPS) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Groups of a column: the values of a category, most frequent first where there are many; quarters of
    numbers, or a value that half of them have and halves of the others; missing ones by themselves.

    Args:
        column: A pandas column.
        max_groups: Values that are told by name; the others are one group.

    Returns:
        Names of the groups, and for each row its group.

    Example:
        >>> import pandas as pd
        >>> names, which = groups_of(pd.Series(["b", "a", None, "a"]))
        >>> names, which.tolist()
        (['a', 'b', 'missing'], [1, 0, 2, 0])
    """
    import pandas as pd

    missing = column.isna().to_numpy()
    known = column[~missing]
    if pd.api.types.is_bool_dtype(known) or not (
        pd.api.types.is_numeric_dtype(known) or pd.api.types.is_datetime64_any_dtype(known)
    ):
        names, codes = _values(known.astype(str), max_groups)
    elif known.nunique() <= max_groups // 2:
        values = sorted(known.unique())
        names, codes = [f"{value:g}" for value in values], np.searchsorted(values, known.to_numpy())
    else:
        names, codes = _ranges(known)
    which = np.full(len(column), len(names), dtype=np.int64)
    which[~missing] = codes
    return ([*names, "missing"] if missing.any() else names), which


def _ranges(known: Any) -> tuple[list[str], npt.NDArray[np.int64]]:
    """Quarters; where one value is half of all, as 0 among gains, that value and halves of the others."""
    import pandas as pd

    usual = known.mode().iloc[0]
    others = (known != usual).to_numpy()
    alone = others.mean() <= 0.5
    spread = known[others] if alone else known
    cut: Any = pd.qcut(spread, 2 if alone else QUANTILES, duplicates="drop")
    borders = [(part.left, part.right) for part in cut.cat.categories]
    borders[0] = spread.min(), borders[0][1]  # pandas puts it a little lower
    names, codes = [f"{_border(a)} to {_border(b)}" for a, b in borders], cut.cat.codes.to_numpy()
    if not alone:
        return names, codes
    which = np.zeros(len(known), dtype=np.int64)
    which[others] = codes + 1
    return [_border(usual), *names], which


def _border(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, (int, float)) else str(value)


def _values(known: Any, max_groups: int) -> tuple[list[str], npt.NDArray[np.int64]]:
    usual = [str(value) for value in known.value_counts().index[:max_groups]]
    names = sorted(usual)
    places = {name: place for place, name in enumerate(names)}
    codes = known.map(places).fillna(len(names)).to_numpy().astype(np.int64)
    return ([*names, "all others"] if (codes == len(names)).any() else names), codes


def errors_by_group(
    column: str, names: Sequence[str], which: npt.NDArray[Any], errors: npt.NDArray[Any], score_name: str
) -> Slices:
    """The score of each group.

    Args:
        column: What the groups are of.
        names: Their names.
        which: For each row its group.
        errors: For each row: 1 where the answer is wrong ("error rate"), its squared error ("RMSE"), or its
            loss.
        score_name: Which of these.

    Returns:
        Groups of 10 rows or more. Intervals: Wilson's of a share; of the others by the normal approximation
        of the mean.

    Example:
        >>> found = errors_by_group("sex", ["f", "m"], np.array([0] * 20 + [1] * 20),
        ...     np.array([0] * 20 + [1] * 20), "error rate")
        >>> [(part.group, part.score) for part in found.groups], found.worst.group
        ([('f', 0.0), ('m', 1.0)], 'm')
    """
    parts = [(name, errors[which == code]) for code, name in enumerate(names)]
    groups = [_scored(name, part, score_name) for name, part in parts if len(part) >= FEW]
    return Slices(column, score_name, _scored("all", errors, score_name), groups)


def _scored(name: str, errors: npt.NDArray[Any], score_name: str) -> Slice:
    n, mean = len(errors), float(errors.mean())
    if score_name == "error rate":
        low, high = wilson_interval(int(errors.sum()), n)
        return Slice(name, n, mean, low, high)
    reach = Z * float(errors.std(ddof=1)) / sqrt(n) if n > 1 else 0.0
    if score_name == "RMSE":
        return Slice(name, n, sqrt(mean), sqrt(max(mean - reach, 0.0)), sqrt(mean + reach))
    return Slice(name, n, mean, mean - reach, mean + reach)
