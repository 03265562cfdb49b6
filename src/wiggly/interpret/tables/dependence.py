"""Partial dependence: what the model predicts on average when all rows have the same value in a column.

In: a learner of a table and a column. Out: `Dependence`, a curve over numbers or a value per category. Read
next: `slices.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.blocks import CategoryBlock
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.tables.drawing import with_thousands
from wiggly.interpret.tables.rows import Places, TableRows

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wiggly.train.learner import Learner

__all__ = ["Dependence", "partial_dependence"]

MOST_ROWS = 2000
GRID = 40  # points of a curve
MOST_VALUES = 25  # of a category, the most frequent ones
ENDS = (0.05, 0.95)  # quantiles between which there are rows enough to believe a curve
CONTINUOUS = ("number", "date", "duration")
LIKELIEST = 5  # labels with a curve of their own in a picture


@dataclass(frozen=True)
class Dependence:
    """Mean predictions over the values of a column.

    Attributes:
        column: Its name.
        values: The values set, numbers in their own unit, or those of a category.
        means: Mean prediction, `(values, outputs)`: probabilities of labels, or numbers.
        names: What the outputs are: labels, or columns that are predicted.
        is_number: Whether the column holds numbers.
        weights: Share of the rows that have each value of a category; of numbers, those that lie nearest to
            each.
    """

    column: str
    values: list[Any]
    means: npt.NDArray[np.float64]
    names: list[str]
    is_number: bool
    weights: npt.NDArray[np.float64]

    def to_frame(self) -> pd.DataFrame:
        """A row per value."""
        import pandas as pd

        means = {name: self.means[:, k] for k, name in enumerate(self.names)}
        return pd.DataFrame({self.column: self.values, **means, "share of rows": self.weights})

    def shown(self) -> list[int]:
        """The outputs worth a curve: of two labels the second, of many those that change most."""
        if len(self.names) <= 2:
            return [len(self.names) - 1] if self.means.shape[1] == 2 else list(range(len(self.names)))
        moves = np.ptp(self.means, axis=0)
        return sorted(np.argsort(-moves)[:LIKELIEST].tolist())

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the curve, with the rows' share under it, or bars.

        Args:
            axes: Where to draw; None makes a figure.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            size = (6, 3.6) if self.is_number else (6, 0.3 * len(self.values) + 1.4)
            _, axes = plt.subplots(figsize=size, layout="constrained")
        (self._curve if self.is_number else self._bars)(axes)
        beside = "" if self.is_number else " (share of rows)"
        axes.set_title(f"Mean prediction by {self.column}{beside}", fontsize=10)
        return axes

    def _curve(self, axes: Axes) -> None:
        for k in self.shown():
            axes.plot(self.values, self.means[:, k], label=self.names[k])
        below = axes.twinx()
        below.fill_between(self.values, self.weights, step="mid", color="grey", alpha=0.25)
        below.set_ylim(0, 4 * max(self.weights.max(), 1e-9))
        below.set_yticks([])
        axes.set_xlabel(f"{self.column} (grey: how many rows have it)")
        self._label(axes, "y")

    def _bars(self, axes: Axes) -> None:
        shown, places = self.shown(), np.arange(len(self.values))
        height = 0.8 / len(shown)
        for number, k in enumerate(shown):
            axes.barh(places + number * height, self.means[:, k], height, label=self.names[k])
        named = [f"{value} ({share:.0%})" for value, share in zip(self.values, self.weights, strict=True)]
        axes.set_yticks(places + 0.4 - height / 2, named)
        axes.invert_yaxis()
        self._label(axes, "x")

    def _label(self, axes: Axes, side: str) -> None:
        shown = self.shown()
        getattr(axes, f"set_{side}label")(self.names[shown[0]] if len(shown) == 1 else "mean prediction")
        with_thousands(axes, side)
        if len(shown) > 1:
            axes.legend(fontsize=8)


def partial_dependence(
    learn: Learner,
    column: str,
    ds_idx: int = 1,
    dl: Any = None,
    values: Sequence[Any] | None = None,
    max_rows: int | None = MOST_ROWS,
    seed: int = 0,
) -> Dependence:
    """What the model predicts on average when all rows are given the same value in a column, value by value.

    It says what the model does, not what the world does: rows come about that do not exist where columns hang
    together (Friedman, "Greedy function approximation", Annals of Statistics 29(5), 2001, section 8.2).

    Args:
        learn: A trained learner of a table.
        column: One that the model reads.
        ds_idx: 1 for the validation rows, 0 for those of training.
        dl: A loader instead.
        values: Of the column; None takes 40 numbers from the 5 % to the 95 % quantile, or the 25 most
            frequent values of a category.
        max_rows: Draw this many rows where there are more; None takes all.
        seed: Of that draw.

    Raises:
        DataError: The learner's data is no table, or it has several targets.
        ArgumentError: The model has no such column, or a category no such value.

    Example:
        >>> import wiggly as wg
        >>> table = {"city": ["Rome", "Oslo"] * 10, "age": range(20), "sold": ["yes", "no"] * 10}
        >>> dls = wg.TabularDataLoaders.from_df(table, y_names="sold", cat_names=["city"],
        ...     cont_names=["age"], bs=8, seed=0, verbose=False)
        >>> found = partial_dependence(wg.tabular_learner(dls), "city")
        >>> found.values, found.means.shape, found.names
        (['Oslo', 'Rome'], (2, 2), ['P(sold = no)', 'P(sold = yes)'])
    """
    rows = TableRows.of(learn, ds_idx, dl, max_rows, seed)
    places = rows.places(column)
    if places.conts:
        wanted, encoded, weights = _numbers(rows, column, places, values)
        codes = [torch.ones(len(places.cats), dtype=torch.int64)] * len(wanted)  # not missing
    else:
        wanted, codes, weights = _categories(rows, column, places, values)
        encoded = [torch.zeros(0)] * len(wanted)
    means: list[Tensor] = []
    for code, number in zip(codes, encoded, strict=True):
        probs = rows.with_column(places, code, number).predictions()
        if not isinstance(probs, Tensor):
            raise DataError(
                "partial dependence needs one target",
                f"there are {len(probs)}",
                "Train a model of one of them.",
            )
        means.append(probs.double().mean(0).reshape(-1))
    return Dependence(column, wanted, torch.stack(means).numpy(), _names(learn), bool(places.conts), weights)


def _names(learn: Learner) -> list[str]:
    block = learn.target_block
    names = list(learn.dls.y_names)
    if not isinstance(block, CategoryBlock):
        return names
    return [f"P({names[0] if len(names) == 1 else 'target'} = {label})" for label in block.vocab]


def _numbers(
    rows: TableRows, column: str, places: Places, values: Sequence[Any] | None
) -> tuple[list[Any], list[Tensor], npt.NDArray[np.float64]]:
    spec = rows.encoder.numbers[places.conts[0]]
    own = rows.conts[:, places.conts[0]]
    if values is None:
        low, high = torch.quantile(own, torch.tensor(ENDS)).tolist()
        few = own[(own >= low) & (own <= high)].unique()
        grid = few
        if len(few) > GRID:  # whole numbers stay whole
            thinned = few[torch.linspace(0, len(few) - 1, GRID).round().long()]
            grid = torch.linspace(low, high, GRID) if spec.kind in CONTINUOUS else thinned
        numbers = spec.decode(grid.numpy(), None).tolist()
    else:
        encoded = rows.encoder.encode(_table(rows, column, values))
        grid, numbers = encoded.conts[:, places.conts[0]], list(values)
    there = own[(own >= grid.min()) & (own <= grid.max())]  # those beyond would heap up at the ends
    nearest = (there[:, None] - grid[None]).abs().argmin(1)
    weights = np.bincount(nearest.numpy(), minlength=len(grid)) / len(own)
    return numbers, [value.reshape(1) for value in grid], weights


def _table(rows: TableRows, column: str, values: Sequence[Any]) -> Any:
    """A table of as many rows as there are values, whose other columns are those of the first row."""
    import pandas as pd

    first = rows.encoder.decode(rows.cats[:1], rows.conts[:1])
    return pd.concat([first] * len(values), ignore_index=True).assign(**{column: list(values)})


def _categories(
    rows: TableRows, column: str, places: Places, values: Sequence[Any] | None
) -> tuple[list[Any], list[Tensor], npt.NDArray[np.float64]]:
    vocab = rows.encoder.categories[places.cats[0]].vocab
    counts = np.bincount(rows.cats[:, places.cats[0]].numpy(), minlength=len(vocab))
    if values is None:
        usual = np.argsort(-counts, kind="stable")[:MOST_VALUES]
        chosen = sorted(int(code) for code in usual if counts[code])
    else:
        unknown = [value for value in values if value not in list(vocab)]
        if unknown:
            raise ArgumentError(
                f"`values` must be among those of {column!r}",
                f"{unknown[0]!r} is none of {list(vocab)[:20]}",
                "Leave it out for the usual ones.",
            )
        chosen = [list(vocab).index(value) for value in values]
    return (
        [vocab[code] for code in chosen],
        [torch.tensor([code]) for code in chosen],
        counts[chosen] / len(rows),
    )
