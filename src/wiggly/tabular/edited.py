"""A table after the edits of a journal: rows left out, sides changed, targets relabelled.

In: a table, its split and a journal. Out: another table, the split in its rows, and what was changed. The
user's own table stays as it is. Read next: `../data/edits/plan.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import narwhals as nw
import numpy as np

from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.plan import EditPlan, plan_edits
from wiggly.data.loaders import Origin, Recipe
from wiggly.data.split import check_split
from wiggly.data.table import TableItems
from wiggly.data.vocab import plain_value
from wiggly.records import Split
from wiggly.tabular.encoder import Columns
from wiggly.tabular.reading import Frame
from wiggly.tabular.targets import made_targets

__all__ = ["edited_recipe", "edited_table", "relabelled"]


def edited_table(
    frame: Frame,
    split: tuple[Sequence[int], Sequence[int]],
    y_names: str | Sequence[str],
    y_block: Any,
    edits: str | Path | Journal,
    folder: str | Path,
) -> tuple[Frame, Split, EditPlan]:
    """A table without the rows that were deleted, with the new labels in its target.

    Args:
        frame: The table.
        split: Drawn on all its rows.
        y_names: The target's column.
        y_block: Its block; None finds it.
        edits: The journal, or its path.
        folder: Where a relative path is looked for first.

    Returns:
        The table, the split in its rows, and what was changed.

    Raises:
        DataError: There is no such journal, or it is of another table.
    """
    whole, n = check_split(split, len(frame)), len(frame)
    names = [y_names] if isinstance(y_names, str) else list(y_names)
    targets = made_targets(Columns(frame), y_names, y_block)
    values = [plain_value(value) for value in frame[names[0]].to_list()]
    ids = ItemIds(TableItems(frame.to_native()), labels=values.__getitem__)
    plan = plan_edits(edits, folder, ids, values.__getitem__)
    kept = plan.split(whole)
    parts = [[values[i] for i in side] for side in kept]
    plan.relabel(parts, kept, targets.blocks[0], values.__getitem__, n_targets=len(names))
    stays = np.ones(n, dtype=bool)
    stays[list(plan.deleted)] = False
    place = np.cumsum(stays) - 1
    made = relabelled(frame, names[0], plan.applied) if plan.applied else frame
    made = made if stays.all() else made[np.flatnonzero(stays)]
    return made, Split(*(place[np.asarray(side, dtype=np.int64)].tolist() for side in kept)), plan


def edited_recipe(
    source: str,
    splitter: str,
    folder: str | Path,
    whole: Frame,
    split: tuple[Sequence[int], Sequence[int]],
    plan: EditPlan | None,
) -> Recipe:
    """How loaders of a table came about.

    Args:
        source: Where the table came from, in words.
        splitter: In words.
        folder: The data's.
        whole: The table without edits.
        split: The split of the loaders, in the rows of their own table.
        plan: What edits changed; None without any.
    """
    if plan is None or plan.drawn_split is None or plan.kept_split is None:
        made = check_split(split, len(whole))
        return Recipe(source, splitter, folder=folder, origin=Origin(whole, made, made, folder))
    origin = Origin(whole, plan.drawn_split, plan.kept_split, folder)
    return Recipe(source, splitter, edits=plan.summary(), folder=folder, origin=origin)


def relabelled(frame: Frame, name: str, new: Mapping[int, Any]) -> Frame:
    """The table with other values in a column.

    Args:
        frame: The table; it stays as it is.
        name: The column.
        new: Row to value.
    """
    if frame[name].dtype.is_integer() and any(isinstance(value, float) for value in new.values()):
        frame = frame.with_columns(nw.col(name).cast(nw.Float64))
    native: Any = frame.to_native()
    if hasattr(native, "iloc"):
        column = native[name].copy()
        if hasattr(column, "cat"):
            lacking = [v for v in dict.fromkeys(new.values()) if v not in column.cat.categories]
            column = column.cat.add_categories(lacking)
        column.iloc[list(new)] = list(new.values())
        return nw.from_native(native.assign(**{name: column}), eager_only=True)
    return frame.with_columns(frame[name].scatter(list(new), list(new.values())))
