"""The methods of an interpretation that look at the columns of a table.

In: predictions beside the truth, and the learner that made them. Out: data and pictures; each method calls
the file that does the work. Read next: `../interpretation.py`, which inherits them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError, DataError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from torch import Tensor

    from wiggly.interpret.tables.calibration import Calibration
    from wiggly.interpret.tables.dependence import Dependence
    from wiggly.interpret.tables.importance import Importance
    from wiggly.interpret.tables.rows import TableRows
    from wiggly.interpret.tables.slices import Slices
    from wiggly.train.learner import Learner

__all__ = ["TableViews"]


class TableViews(ABC):
    """What can be asked of a model of tables; `calibration` of every model of one label per item.

    Attributes:
        learn: The learner that predicted.
        dl: The loader that was read.
        preds: Activated outputs.
        targs: Encoded targets.
        losses: Loss of each row.
    """

    learn: Learner | None
    dl: Any
    preds: Tensor
    targs: Tensor
    losses: Tensor

    @property
    def _learner(self) -> Learner:
        if self.learn is None:
            raise DataError(
                "this needs the learner that predicted",
                "it is not known",
                "Make it with from_learner(learn).",
            )
        return self.learn

    def permutation_importance(self, n_repeats: int = 5, seed: int = 0) -> Importance:
        """How much worse the model becomes when a column is shuffled; see
        `wiggly.permutation_importance`.

        Args:
            n_repeats: Shuffles of each column.
            seed: Of the shuffles.
        """
        from wiggly.interpret.tables.importance import permutation_importance

        return permutation_importance(self._learner, dl=self.dl, n_repeats=n_repeats, seed=seed)

    def plot_importance(self, max_n: int = 20) -> Axes:
        """Draws the permutation importance of the columns.

        Args:
            max_n: At most this many.
        """
        return self.permutation_importance().plot(max_n)

    def partial_dependence(self, column: str) -> Dependence:
        """The mean prediction over the values of a column; see `wiggly.partial_dependence`.

        Args:
            column: One that the model reads.
        """
        from wiggly.interpret.tables.dependence import partial_dependence

        return partial_dependence(self._learner, column, dl=self.dl)

    def plot_partial_dependence(self, column: str) -> Axes:
        """Draws the mean prediction over the values of a column.

        Args:
            column: One that the model reads.
        """
        return self.partial_dependence(column).plot()

    def plot_embedding(self, column: str) -> Axes:
        """Draws what the model has learnt of the values of a category: near ones are alike to it.

        Args:
            column: A category.
        """
        from wiggly.interpret.tables.embedding import embedding_map

        return embedding_map(self._learner, column).plot()

    def slices(self, column: str) -> Slices:
        """The score of each group of rows that have the same value in a column, or, of numbers, lie in the
        same quarter.

        Args:
            column: Any column of the table, also one that the model does not read.

        Raises:
            ArgumentError: There is no such column.
        """
        from wiggly.interpret.tables.rows import score_name
        from wiggly.interpret.tables.slices import errors_by_group, groups_of

        values = self._column(column)
        names, which = groups_of(values)
        return errors_by_group(column, names, which, self.row_errors(), score_name(self._learner))

    def plot_slices(self, column: str) -> Axes:
        """Draws the score of each group of a column beside that of all rows.

        Args:
            column: Any column of the table.
        """
        return self.slices(column).plot()

    def calibration(self, label: Any = None) -> Calibration:
        """Whether what is said with 80 % confidence is right 80 times in 100.

        Args:
            label: Look at the probability of this label; None looks at the answers given, and of two labels
                at the second.

        Raises:
            DataError: The target is not one label per row.
            ArgumentError: There is no such label.
        """
        from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock
        from wiggly.interpret.tables.calibration import calibration_of

        block = self._learner.target_block
        if not isinstance(block, CategoryBlock) or isinstance(block, MultiCategoryBlock):
            raise DataError(
                "calibration is of probabilities of one label per item",
                f"the target is {'several' if block is None else block.describe()}",
                "Look at plot_slices, or at the losses.",
            )
        vocab = list(block.vocab)
        if label is None and len(vocab) == 2:
            label = vocab[1]
        if label is not None and label not in vocab:
            raise ArgumentError(
                "`label` must be one of the target", f"it is {label!r}", f"There are {vocab}."
            )
        place = None if label is None else vocab.index(label)
        what = "confidence in the answer" if label is None else f"predicted probability of {label!r}"
        return calibration_of(self.preds.numpy(), self.targs.flatten().numpy(), place, what)

    def plot_calibration(self, label: Any = None) -> Axes:
        """Draws how often what is said comes true.

        Args:
            label: As for `calibration`.
        """
        return self.calibration(label).plot()

    def top_table(self, k: int = 9, largest: bool = True) -> pd.DataFrame:
        """The rows with the largest losses, as a pandas table: what the model read, truth, prediction, loss.

        Args:
            k: How many.
            largest: False gives the smallest losses instead.
        """
        chosen = self.top_rows(k, largest)
        rows = self._rows()
        table = rows.encoder.decode(rows.cats[chosen], rows.conts[chosen])
        table.insert(0, "actual", [self.decoded_target(row) for row in chosen])
        table.insert(1, "predicted", [self.decoded_pred(row) for row in chosen])
        table.insert(2, "loss", [float(self.losses[row]) for row in chosen])
        return table

    @abstractmethod
    def top_rows(self, k: int | None = None, largest: bool = True) -> list[int]:
        """Row numbers by loss."""

    @abstractmethod
    def decoded_pred(self, row: int) -> Any:
        """The prediction of a row."""

    @abstractmethod
    def decoded_target(self, row: int) -> Any:
        """The truth of a row."""

    def row_errors(self) -> npt.NDArray[Any]:
        """For each row what its score is the mean of: 1 where the answer is wrong, its squared error, or its
        loss."""
        from wiggly.interpret.tables.rows import score_name

        name = score_name(self._learner)
        if name == "error rate":
            return (self.preds.argmax(1) != self.targs.flatten()).numpy().astype(np.float64)
        if name == "RMSE":
            squares = (self.preds - self.targs.reshape(self.preds.shape)).double().square()
            return squares.reshape(len(squares), -1).mean(1).numpy()
        return self.losses.double().numpy()

    def _rows(self) -> TableRows:
        from wiggly.interpret.tables.rows import TableRows

        return TableRows.of(self._learner, dl=self.dl)

    def _column(self, column: str) -> Any:
        """A column of the rows that were predicted, as a person reads it."""
        rows = self._rows()
        if column in rows.encoder.column_names:
            return rows.decoded(column)
        table: Any = self._learner.dls.table
        dataset: Any = getattr(self.dl, "dataset", None)
        own = any(dataset is loader.dataset for loader in self._learner.dls)
        if not own or column not in table.column_names:
            raise ArgumentError(
                "the column must be one of the table",
                f"{column!r} is none of {table.column_names if own else rows.encoder.column_names}",
                "Pass one of them.",
            )
        return table.raw_column(column, dataset.rows[rows.positions].tolist())
