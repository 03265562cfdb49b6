"""What a model has learnt of the values of a category: its embedding, drawn as a map.

In: a learner of a table and a category. Out: `EmbeddingMap`: two coordinates per value; near ones are alike
to the model. Read next: `view.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.tables.drawing import name_points
from wiggly.tabular.collab.ranking import Ranking
from wiggly.tabular.models import TableModel

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from wiggly.train.learner import Learner

__all__ = ["EmbeddingMap", "embedding_map"]

NAMED = 60  # values whose name is written beside their point


@dataclass(frozen=True)
class EmbeddingMap:
    """The values of a category on the two directions in which their vectors differ most.

    Attributes:
        column: The category.
        values: Its values, the most frequent in training first.
        places: Two coordinates of each, `(values, 2)`.
        shares: Share of the training rows that have it.
        kept: Share of the differences that the two directions hold, in [0, 1].
    """

    column: str
    values: list[Any]
    places: npt.NDArray[np.float64]
    shares: npt.NDArray[np.float64]
    kept: float

    def to_frame(self) -> pd.DataFrame:
        """A row per value."""
        import pandas as pd

        columns = {self.column: self.values, "x": self.places[:, 0], "y": self.places[:, 1]}
        return pd.DataFrame({**columns, "share of rows": self.shares})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws a point per value, as large as it is frequent, and names the 60 most frequent where there is
        room.

        Args:
            axes: Where to draw; None makes a figure.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(figsize=(6.5, 5), layout="constrained")
        sizes = 20 + 600 * self.shares
        axes.scatter(*self.places.T, s=sizes, alpha=0.45)
        axes.margins(0.12)
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_title(f"{self.column}: near values are alike to the model ({self.kept:.0%})", fontsize=10)
        named = name_points(axes, [str(value) for value in self.values], self.places, sizes, NAMED)
        if named < len(self.values):
            axes.set_xlabel(f"{named} of {len(self.values):,} values have room for their name", fontsize=8)
        return axes


def embedding_map(learn: Learner, column: str) -> EmbeddingMap:
    """The values of a category, laid out by their embeddings' first two principal components.

    Args:
        learn: A trained learner of a table.
        column: A category.

    Raises:
        DataError: The model has no embeddings.
        ArgumentError: It has none of that column.

    Example:
        >>> import wiggly as wg
        >>> table = {"city": ["Rome", "Oslo"] * 10, "age": range(20), "sold": ["yes", "no"] * 10}
        >>> dls = wg.TabularDataLoaders.from_df(table, y_names="sold", cat_names=["city"],
        ...     cont_names=["age"], bs=8, seed=0, verbose=False)
        >>> embedding_map(wg.tabular_learner(dls), "city").places.shape
        (2, 2)
    """
    tables, names = _tables(learn.model), list(learn.dls.cat_names)
    if column not in names:
        raise ArgumentError(
            "the column must be a category of the model", f"{column!r} is none of {names}", "Pass one."
        )
    place = names.index(column)
    vocab: Any = learn.dls.classes[column]
    vectors = tables[place].weight.detach().cpu().double().numpy()
    counts = _counts(learn, place, len(vocab))
    codes = [int(code) for code in np.argsort(-counts, kind="stable") if counts[code]]
    centred = vectors[codes] - vectors[codes].mean(0)
    left, sizes, _ = np.linalg.svd(centred, full_matrices=False)
    places = np.zeros((len(codes), 2))
    n = min(2, len(sizes))
    places[:, :n] = left[:, :n] * sizes[:n]
    kept = float((sizes[:n] ** 2).sum() / max((sizes**2).sum(), 1e-12))
    return EmbeddingMap(column, [vocab[code] for code in codes], places, counts[codes] / counts.sum(), kept)


def _tables(model: Any) -> list[Any]:
    """The embeddings of a model, in the order of the categories."""
    if isinstance(model, TableModel):
        return list(model.embeds)
    if isinstance(model, Ranking):
        return [model.u_weight, model.i_weight]
    raise DataError(
        "a map of embeddings needs a model made by `tabular_learner` or `collab_learner`",
        f"this is a {type(model).__name__}",
        "Plot its weights with matplotlib.",
    )


def _counts(learn: Learner, place: int, n: int) -> npt.NDArray[Any]:
    """How often each value is there among the training rows, or the first of them."""
    dataset: Any = learn.dls.train.dataset
    cats = dataset.cats if hasattr(dataset, "cats") else learn.dls.train.look(1 << 16).inputs[0]
    return np.bincount(cats[:, place].cpu().numpy(), minlength=n)
