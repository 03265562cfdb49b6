"""`CollabDataLoaders`: from a table of ratings to training and validation batches in one line.

In: a row per rating: a user, an item, a number. Out: loaders of batches `(x, y)`: codes of user and item
`(n, 2)`, ratings `(n,)`. Read next: `learner.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from wiggly.data.blocks import RegressionBlock
from wiggly.data.edits.journal import Journal, opened_journal
from wiggly.data.loaders import Recipe
from wiggly.data.order import WHOLE, Part
from wiggly.data.split import RandomSplitter, Splitter
from wiggly.data.summary import describe
from wiggly.data.vocab import plain_label, plain_value
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Batch
from wiggly.tabular.edited import edited_recipe, edited_table
from wiggly.tabular.files import read_csv
from wiggly.tabular.loader import TableLoader
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.procs import Categorify
from wiggly.tabular.reading import Frame, as_frame, check_columns
from wiggly.tabular.table import TabularPandas

__all__ = ["CollabDataLoaders", "RatingLoader"]


class RatingLoader(TableLoader):
    """Batches of encoded ratings: those of `TableLoader` without numbers, of which there are none."""

    def batches(
        self, stats: tuple[Sequence[float], Sequence[float]] | None = None, part: Part = WHOLE
    ) -> Iterator[Batch]:
        for batch in super().batches(stats, part):
            yield _pairs_of(batch)

    def look(self, n: int | None = None) -> Batch:
        return _pairs_of(super().look(n))


def _pairs_of(batch: Batch) -> Batch:
    return Batch(batch.inputs[:1], batch.targets, batch.positions)


class CollabDataLoaders(TabularDataLoaders):
    """Training and validation loader of ratings; made by `from_df` or `from_csv`.

    The first column of `x` is the user's code, the second the item's; `classes` has the labels by column.
    """

    loader_class: ClassVar[type[TableLoader]] = RatingLoader

    @classmethod
    def from_df(  # pyright: ignore[reportIncompatibleMethodOverride]  (other tables have other columns)
        cls,
        ratings: Any,
        valid_pct: float = 0.2,
        user_name: str | None = None,
        item_name: str | None = None,
        rating_name: str | None = None,
        seed: int | None = None,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        *,
        splitter: Splitter | None = None,
        verbose: bool = True,
        edits: str | Path | Journal | None = None,
    ) -> CollabDataLoaders:
        """Loaders of a table of ratings.

        Args:
            ratings: A pandas, polars or pyarrow table with a row per rating, or the path of a `.csv` or
                `.parquet` file.
            valid_pct: Share of the ratings in validation, drawn at random.
            user_name: Column of the users; None takes the first.
            item_name: Column of the items; None takes the second.
            rating_name: Column of the ratings; None takes the third.
            seed: Of the split and the order.
            bs: Ratings per training batch.
            val_bs: Ratings per validation batch; None for the same.
            shuffle: Whether training is shuffled.
            path: Folder where models are saved.
            device: Where the ratings are kept; None for the best there is.
            splitter: Table to positions, instead of `valid_pct`; a split by time is the harder, honest one
                where ratings of the future are to be predicted.
            verbose: Print what was found.
            edits: A journal of edits, or its path; see `TabularDataLoaders.from_df`.

        Raises:
            ArgumentError: A column is not there.
            DataError: A user or an item is missing; the message has the row.
            LabelError: A rating is missing or no number; the message has the row.

        Example:
            >>> table = {"user": [1, 1, 2, 2, 3] * 4, "book": list("abacb") * 4, "stars": [5, 3, 4, 4, 1] * 4}
            >>> dls = CollabDataLoaders.from_df(table, seed=0, bs=8)
            3 users (user), 3 items (book), 20 ratings (stars) from 1 to 5
            15 ratings are of a user and an item that came before, which may be on both sides of the split
            >>> x, y = dls.one_batch()
            >>> x.shape, y.shape, dls.classes["book"]
            (torch.Size([8, 2]), torch.Size([8]), ['#na#', 'a', 'b', 'c'])
        """
        source, frame = describe(ratings), as_frame(ratings)
        names = _named(frame, user_name, item_name, rating_name)
        _check_rows(frame, names)
        splitter = splitter or RandomSplitter(valid_pct, seed)
        split, plan, block, whole = splitter(frame.to_native()), None, RegressionBlock(1), frame
        if edits is not None:
            frame, split, plan = edited_table(frame, split, names[2], block, edits, path)
            plan.warn()
        table = TabularPandas(frame, [Categorify], names[:2], [], names[2], block, split, verbose=False)
        table.notes = _notes(table)
        if verbose:
            print("\n".join([_told(table), *table.notes]))
        recipe = edited_recipe(source, describe(splitter), path, whole, split, plan)
        return cls.from_table(table, bs, val_bs, shuffle, path, device, seed, recipe)

    @classmethod
    def from_csv(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        csv: str | Path,
        valid_pct: float = 0.2,
        user_name: str | None = None,
        item_name: str | None = None,
        rating_name: str | None = None,
        seed: int | None = None,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        *,
        splitter: Splitter | None = None,
        verbose: bool = True,
        edits: str | Path | Journal | None = None,
    ) -> CollabDataLoaders:
        """Loaders of a CSV file with a row per rating; the arguments are those of `from_df`.

        Raises:
            StorageError: The file is not there.
        """
        names = (user_name, item_name, rating_name)
        journal = None if edits is None else opened_journal(edits, Path(csv).parent)
        options: dict[str, Any] = {"splitter": splitter, "verbose": verbose, "edits": journal}
        made = cls.from_df(
            read_csv(Path(csv)), valid_pct, *names, seed, bs, val_bs, shuffle, path, device, **options
        )
        made.remember_source(f"'{csv}'", Path(csv).parent)
        return made

    @classmethod
    def from_table(
        cls,
        table: TabularPandas,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        path: str | Path = ".",
        device: str | torch.device | None = None,
        seed: int | None = None,
        recipe: Recipe | None = None,
        wgts: Sequence[float] | None = None,
    ) -> CollabDataLoaders:
        made = super().from_table(table, bs, val_bs, shuffle, path, device, seed, recipe, wgts)
        assert isinstance(made, CollabDataLoaders)
        return made

    @property
    def user_name(self) -> str:
        """Column of the users."""
        return self.cat_names[0]

    @property
    def item_name(self) -> str:
        """Column of the items."""
        return self.cat_names[1]

    @property
    def rating_name(self) -> str:
        """Column of the ratings."""
        return self.y_names[0]

    def rated(self, user: Any) -> list[Any]:
        """The items that a user has rated, in training or validation.

        Args:
            user: A user; one who is not there has rated none.
        """
        code = self.classes[self.user_name].o2i.get(plain_label(plain_value(user)), 0)
        cats = self.table.dataset(labelled=False).cats
        found = cats[cats[:, 0] == code, 1].unique() if code else cats[:0, 1]
        items = self.classes[self.item_name]
        return [items[place] for place in found.tolist() if place]

    def show_batch(
        self,
        b: tuple[Tensor, ...] | None = None,
        max_n: int = 10,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        x, *targets = self.look(max_n).tensors if b is None else b
        super().show_batch((x, _no_numbers(x), *targets), max_n)

    def show_results(
        self,
        inputs: Sequence[Tensor],
        targets: Sequence[Tensor],
        predicted: Sequence[Tensor],
        max_n: int = 10,
    ) -> None:
        super().show_results((inputs[0], _no_numbers(inputs[0])), targets, predicted, max_n)

    def _with(self, train: Any, valid: Any) -> CollabDataLoaders:
        return CollabDataLoaders(train, valid, self.table, self.path, self.device, recipe=self._recipe)


def _no_numbers(x: Tensor) -> Tensor:
    return torch.zeros(len(x), 0, device=x.device)


def _named(frame: Frame, *given: str | None) -> list[str]:
    """Columns of users, items and ratings."""
    columns = frame.columns
    if len(columns) < 3:
        raise ArgumentError(
            "a table of ratings must have a column of users, one of items and one of ratings",
            f"it has {columns}",
            "Add what is missing.",
        )
    names = [name or columns[place] for place, name in enumerate(given)]
    check_columns(frame, names, "`user_name`, `item_name` and `rating_name`")
    if len(set(names)) < 3:
        raise ArgumentError(
            "users, items and ratings must be three different columns",
            f"they are {names}",
            "Name them: user_name=..., item_name=..., rating_name=....",
        )
    return names


def _check_rows(frame: Frame, names: Sequence[str]) -> None:
    if len(frame) < 2:
        raise DataError(
            "there must be at least 2 ratings, one to train and one to validate on",
            f"there are {len(frame)}",
            "Pass more rows.",
        )
    for what, name in zip(("user", "item"), names, strict=False):
        missing = frame[name].is_null()
        if missing.any():
            raise DataError(
                f"every rating must have its {what}",
                f"{name!r} is missing in row {int(missing.arg_true()[0])} and {int(missing.sum()):,} in all",
                "Drop such rows.",
            )


def _told(table: TabularPandas) -> str:
    users, items = (len(values) - 1 for values in table.classes.values())
    ratings = table.dataset().targets[0]
    (user, item), rating = table.cat_names, table.y_names[0]
    return (
        f"{users:,} users ({user}), {items:,} items ({item}), {len(ratings):,} ratings ({rating})"
        f" from {ratings.min():g} to {ratings.max():g}"
    )


def _notes(table: TabularPandas) -> list[str]:
    """What the user may want to know about the pairs."""
    pairs, notes = table.dataset(labelled=False).cats.numpy(), list[str]()
    known = pairs[(pairs > 0).all(1)]
    again = len(known) - len(np.unique(known[:, 0] << 32 | known[:, 1]))
    if again:
        notes.append(
            f"{_counted(again, 'rating')} of a user and an item that came before, which may be on both sides"
            " of the split"
        )
    cold = len(pairs) - len(known)
    if cold:
        notes.append(
            f"{_counted(cold, 'validation rating')} of a user or an item without a training rating, taken as"
            " the mean of all"
        )
    return notes


def _counted(n: int, noun: str) -> str:
    return f"{n:,} {noun} is" if n == 1 else f"{n:,} {noun}s are"
