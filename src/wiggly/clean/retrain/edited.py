"""Loaders once more, of the same items and the same split, after edits.

In: loaders and a journal. Out: `Edited`: other loaders, and which of their validation items can be compared.
Read next: `retraining.py`.

The split is the one that was drawn, whatever drew it: scores before and after are about the same items.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wiggly.data.cache.keeping import keep_decoded
from wiggly.data.datasets import Datasets
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.plan import EditPlan, EditSummary, plan_edits
from wiggly.data.loaders import DataLoaders, Origin, Recipe
from wiggly.data.order import Ordered
from wiggly.errors import ArgumentError
from wiggly.tabular.edited import edited_recipe, edited_table
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.table import TabularPandas

__all__ = ["Edited", "edited_loaders"]


@dataclass(frozen=True)
class Edited:
    """Loaders after edits.

    Attributes:
        dls: The loaders.
        valid: Of each of their validation items its position among all items.
        seen: Positions of the items that the loaders before had for training.
        name: What an item is called, by its position.
        summary: What was changed and what was set aside.
    """

    dls: Any
    valid: list[int]
    seen: set[int]
    name: Callable[[int], str]
    summary: EditSummary


def edited_loaders(dls: Any, edits: str | Path | Journal) -> Edited:
    """Applies a journal to the items behind loaders.

    Args:
        dls: Loaders made by blocks or of a table.
        edits: The journal, or its path (below the data's folder, else below the working folder).

    Raises:
        ArgumentError: Items are not known one by one.
        DataError: There is no such journal, or it is of other data.
    """
    origin: Origin | None = getattr(dls, "origin", None)
    if origin is None:
        raise ArgumentError(
            "`retrain` needs loaders whose items are known one by one",
            f"these are {type(dls).__name__} of {type(getattr(dls, 'train_ds', dls)).__name__}",
            "Build them anew with edits=..., make a learner of them, and train it.",
        )
    if isinstance(dls, TabularDataLoaders):
        return _of_table(dls, origin, edits)
    return _of_blocks(dls, origin, edits)


def _of_blocks(dls: Any, origin: Origin, edits: str | Path | Journal) -> Edited:
    before, items = dls.train.dataset, origin.items
    getters, n_inp = before.getters, before.n_inp
    label_of = (lambda i: getters[n_inp](items[i])) if len(getters) > n_inp else None
    plan = plan_edits(edits, origin.folder, ItemIds(items, getters[0], origin.folder), label_of)
    split = plan.split(origin.drawn)
    said = dls.recipe()
    recipe = Recipe(
        said["source"], said["splitter"], tuple(dls.item_tfms), tuple(dls.batch_tfms), folder=origin.folder
    )
    blocks = [copy.copy(block) for block in dls.blocks]
    made = Datasets.from_parts(items, split, getters, blocks, n_inp, before.item_tfms, recipe, plan)
    plan.warn()
    if before.keeping is not None:
        keep_decoded([made.train, made.valid], before.keeping.cache, None, None)
    weights = _weights(dls.train, origin.split.train, split.train)
    again = DataLoaders(
        dls.train.over(made.train, weights),
        dls.valid.over(made.valid),
        dls.path,
        dls.device,
        blocks=made.blocks,
        n_inp=n_inp,
        recipe=made.recipe,
    )
    return _edited(again, list(split.valid), origin, plan)


def _weights(loader: Ordered, before: Sequence[int], after: Sequence[int]) -> list[float] | None:
    """The weights of training items; one that comes from validation gets the mean."""
    if loader.weights is None:
        return None
    known = dict(zip(before, loader.weights, strict=True))
    usual = 1 / len(known)
    return [known.get(position, usual) for position in after]


def _of_table(dls: TabularDataLoaders, origin: Origin, edits: str | Path | Journal) -> Edited:
    table, drawn = dls.table, origin.drawn
    names, kinds = list(table.y_names), table.kinds
    blocks = [copy.copy(block) for block in table.targets.blocks]
    target, block = (names[0] if len(names) == 1 else names), (blocks[0] if len(blocks) == 1 else blocks)
    frame, split, plan = edited_table(origin.items, drawn, target, block, edits, origin.folder)
    plan.warn()
    columns = kinds.categories, kinds.numbers
    again = TabularPandas(frame, table.procs, *columns, target, block, split, verbose=False)
    said, loader = dls.recipe(), dls.train
    recipe = edited_recipe(said["source"], said["splitter"], origin.folder, origin.items, split, plan)
    rows = np.setdiff1d(np.arange(len(origin.items)), list(plan.deleted))  # of the whole table, those left
    train, valid = (rows[np.asarray(side, dtype=np.int64)].tolist() for side in split)
    weights = _weights(loader, origin.split.train, train)
    if weights is not None:
        drawn_by = np.zeros(len(frame))
        drawn_by[np.asarray(split.train, dtype=np.int64)] = weights
        weights = drawn_by.tolist()
    sizes = loader.bs, dls.valid.bs, loader.shuffle
    made = type(dls).from_table(again, *sizes, dls.path, dls.device, loader.seed, recipe, weights)
    return _edited(made, valid, origin, plan)


def _edited(dls: Any, valid: list[int], origin: Origin, plan: EditPlan) -> Edited:
    return Edited(dls, valid, set(origin.split.train), plan.ids.name, plan.summary())
