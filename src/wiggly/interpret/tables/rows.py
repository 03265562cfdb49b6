"""Rows of a table as a model sees them, to be changed column by column and predicted again.

In: a learner of a table. Out: `TableRows`: encoded rows, which columns lie where, predictions and a score.
Read next: `importance.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.order import Ordered
from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.encoder import TableEncoder
from wiggly.tabular.loader import TableDataset, TableLoader
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.surprises import Surprises
from wiggly.train.learner import Learner
from wiggly.train.predict import collect

__all__ = ["Places", "TableRows", "score_name"]

BATCH = 4096


@dataclass(frozen=True)
class Places:
    """Where a column of the user's lies among the encoded ones.

    Attributes:
        cats: Its positions in `cats`: of the column, or of the category that says where a number was missing.
        conts: Its position in `conts`.
    """

    cats: list[int]
    conts: list[int]


@dataclass(frozen=True)
class TableRows:
    """Encoded rows beside the learner that predicts them.

    Attributes:
        learn: The learner.
        cats: int64 `(n, k)`.
        conts: float32 `(n, m)`.
        targets: One tensor per target block; empty for unlabelled rows.
        positions: For each row its position in the loader's data set.
    """

    learn: Learner
    cats: Tensor
    conts: Tensor
    targets: tuple[Tensor, ...]
    positions: list[int]

    @classmethod
    def of(
        cls, learn: Learner, ds_idx: int = 1, dl: Any = None, max_rows: int | None = None, seed: int = 0
    ) -> TableRows:
        """Rows of a loader.

        Args:
            learn: A learner of a table.
            ds_idx: 0 for the training rows, 1 for the validation rows.
            dl: A loader instead, e.g. `dls.test_dl(table, with_labels=True)`.
            max_rows: Draw this many where there are more; None takes all.
            seed: Of that draw.

        Raises:
            DataError: The learner's data is no table.
        """
        if not isinstance(learn.dls, TabularDataLoaders):
            raise DataError(
                "only a model of tables has columns to look at",
                f"these loaders are {type(learn.dls).__name__}",
                "Pass a learner made by `tabular_learner`.",
            )
        loader = learn.dls[ds_idx] if dl is None else dl
        loader = loader.in_order() if isinstance(loader, Ordered) else loader
        batches = list(loader.batches())
        if not batches:
            raise DataError("there must be rows to look at", "the loader gave none", "Check the table.")
        columns = [
            torch.cat(parts).cpu() for parts in zip(*(batch.tensors for batch in batches), strict=True)
        ]
        positions = [position for batch in batches for position in batch.positions]
        if max_rows is not None and len(positions) > max_rows:
            chosen = np.sort(np.random.default_rng(seed).permutation(len(positions))[:max_rows])
            columns = [column[torch.from_numpy(chosen)] for column in columns]
            positions = [positions[i] for i in chosen]
        if len(batches[0].inputs) == 1:  # ratings: no numbers
            columns.insert(1, torch.zeros(len(columns[0]), 0))
        return cls(learn, columns[0], columns[1], tuple(columns[2:]), positions)

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def encoder(self) -> TableEncoder:
        """The columns and how they are encoded."""
        return self.learn.dls.table.encoder

    def places(self, column: str) -> Places:
        """Where a column lies.

        Raises:
            ArgumentError: The model has no such column.
        """
        found = self.encoder
        cats = [k for k, c in enumerate(found.categories) if column in (c.name, c.flag_of)]
        conts = [k for k, c in enumerate(found.numbers) if c.name == column]
        if column not in found.column_names:
            raise ArgumentError(
                "the column must be one that the model reads",
                f"{column!r} is none of {found.column_names}",
                "Pass one of them.",
            )
        return Places(cats, conts)

    def with_column(self, places: Places, cats: Tensor, conts: Tensor) -> TableRows:
        """The same rows with another column.

        Args:
            places: Where it lies.
            cats: Its codes, `(n, number of its categories)`.
            conts: Its numbers, `(n, number of its numbers)`.
        """
        new_cats, new_conts = self.cats.clone(), self.conts.clone()
        new_cats[:, places.cats], new_conts[:, places.conts] = cats, conts
        return replace(self, cats=new_cats, conts=new_conts)

    def loader(self) -> TableLoader:
        """These rows as batches, in their order."""
        data = TableDataset(self.cats, self.conts, self.targets, torch.arange(len(self)), Surprises())
        return self.learn.dls.loader_class(data, BATCH, seed=0).to(self.learn.engine.device)

    def predictions(self) -> Any:
        """Activated outputs."""
        return collect(self.learn, self.loader()).probs

    def score(self) -> float:
        """How wrong the predictions are: `score_name` says what it is.

        Raises:
            DataError: The rows have no targets.
        """
        if not self.targets:
            raise DataError(
                "a score needs targets", "these rows have none", "Use test_dl(table, with_labels=True)."
            )
        name = score_name(self.learn)
        found = collect(self.learn, self.loader(), with_loss=name == "loss")
        if name == "error rate":
            return float((found.probs.argmax(1) != found.targets[0].flatten()).float().mean())
        if name == "RMSE":
            return float((found.probs - found.targets[0].reshape(found.probs.shape)).square().mean().sqrt())
        assert found.losses is not None
        return float(found.losses.mean())

    def decoded(self, column: str) -> Any:
        """A column as a person reads it, a pandas column."""
        return self.encoder.decode(self.cats, self.conts)[column]


def score_name(learn: Learner) -> str:
    """What is told of predictions: "error rate" for one label, "RMSE" for numbers, else "loss"."""
    block = learn.target_block
    if isinstance(block, CategoryBlock) and not isinstance(block, MultiCategoryBlock):
        return "error rate"
    return "RMSE" if isinstance(block, RegressionBlock) else "loss"
