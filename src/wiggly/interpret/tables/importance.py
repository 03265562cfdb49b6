"""Permutation importance: how much worse a model becomes when a column is shuffled.

In: a learner of a table. Out: `Importance`, a number per column of the user's, to be read and drawn. Read
next: `dependence.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError
from wiggly.interpret.tables.drawing import said_of_score, with_thousands
from wiggly.interpret.tables.rows import TableRows, score_name

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wiggly.train.learner import Learner

__all__ = ["Importance", "permutation_importance"]

MOST_ROWS = 20_000


@dataclass(frozen=True)
class Importance:
    """What shuffling each column costs, the dearest first.

    Attributes:
        columns: Their names.
        rises: How much the score rises, one row per column and one number per shuffle.
        score: The score without shuffling.
        score_name: "error rate", "RMSE" or "loss"; less is better.
        n: Rows that were predicted.
    """

    columns: list[str]
    rises: npt.NDArray[np.float64]
    score: float
    score_name: str
    n: int

    def to_frame(self) -> pd.DataFrame:
        """A row per column: mean and standard deviation of the rise."""
        import pandas as pd

        spread = self.rises.std(1)
        return pd.DataFrame({"column": self.columns, "rise": self.rises.mean(1), "std": spread})

    def plot(self, max_n: int = 20, axes: Axes | None = None) -> Axes:
        """Draws the dearest columns as bars.

        Args:
            max_n: At most this many.
            axes: Where to draw; None makes a figure.
        """
        import matplotlib.pyplot as plt

        shown = list(range(min(max_n, len(self.columns))))
        if axes is None:
            _, axes = plt.subplots(figsize=(6, 0.32 * len(shown) + 1.2), layout="constrained")
        axes.barh([self.columns[k] for k in shown], self.rises.mean(1)[shown], xerr=self.rises.std(1)[shown])
        axes.invert_yaxis()
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set_xlabel(f"{self.score_name} rises by (it is {said_of_score(self.score)})")
        axes.set_title("What the model goes by: each column shuffled", fontsize=10)
        with_thousands(axes, "x")
        return axes


def permutation_importance(
    learn: Learner,
    ds_idx: int = 1,
    dl: Any = None,
    columns: Sequence[str] | None = None,
    n_repeats: int = 5,
    max_rows: int | None = MOST_ROWS,
    seed: int = 0,
) -> Importance:
    """How much worse the model becomes when the values of a column are dealt out anew among the rows.

    A column that the model does not use costs nothing; neither does one whose content another column has as
    well, so read it for groups of columns that belong together. A number and the category that says where it
    was missing are shuffled as one. Breiman, "Random Forests", Machine Learning 45 (2001), section 10.

    Args:
        learn: A trained learner of a table.
        ds_idx: 1 for the validation rows (what the model goes by where it has not learnt by heart), 0 for
            those of training.
        dl: A loader instead, with targets.
        columns: Names; None takes all.
        n_repeats: Shuffles of each column.
        max_rows: Draw this many rows where there are more; None takes all.
        seed: Of rows and shuffles.

    Raises:
        DataError: The learner's data is no table, or the rows have no targets.
        ArgumentError: A column is not there, or `n_repeats` is below 1.

    Example:
        >>> import wiggly as wg
        >>> rows = {"a": [0.0, 1.0] * 50, "b": [0.0, 0.0, 1.0, 1.0] * 25, "y": ["no", "yes"] * 50}
        >>> dls = wg.TabularDataLoaders.from_df(rows, cat_names=[], cont_names=["a", "b"], y_names="y",
        ...     bs=16, seed=0, verbose=False)
        >>> learn = wg.tabular_learner(dls)
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit(3, 1e-2)
        >>> permutation_importance(learn).columns  # y depends on a alone
        ['a', 'b']
    """
    if n_repeats < 1:
        raise ArgumentError("`n_repeats` must be at least 1", f"it is {n_repeats}", "Pass e.g. 5.")
    rows = TableRows.of(learn, ds_idx, dl, max_rows, seed)
    names = list(columns if columns is not None else rows.encoder.column_names)
    draw, score = np.random.default_rng(seed), rows.score()
    rises = np.zeros((len(names), n_repeats))
    for place, name in enumerate(names):
        where = rows.places(name)
        for repeat in range(n_repeats):
            order = draw.permutation(len(rows))
            other = rows.with_column(
                where, rows.cats[:, where.cats][order], rows.conts[:, where.conts][order]
            )
            rises[place, repeat] = other.score() - score
    ranked = np.argsort(-rises.mean(1), kind="stable")
    return Importance([names[k] for k in ranked], rises[ranked], score, score_name(learn), len(rows))
