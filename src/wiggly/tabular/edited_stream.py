"""The edits of a journal on parquet files that need not fit into memory.

In: row groups, the sides they are drawn on, a journal. Out: row groups that read the new labels, and sides
without the rows that were deleted. One pass hashes every row; only what was edited is kept. Read next:
`stream.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from wiggly.data.edits.identity import ItemIds, row_ids
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.plan import EditPlan, plan_edits
from wiggly.data.table import TableItems
from wiggly.data.vocab import plain_value
from wiggly.records import Split
from wiggly.tabular.edited import relabelled
from wiggly.tabular.reading import Frame, factorised
from wiggly.tabular.stream import Positions, RowGroup, RowGroups, Taken
from wiggly.tabular.targets import Targets

__all__ = ["edited_groups"]


class _StreamedIds(ItemIds):
    """The ids of the rows of all groups; found in one pass, with the labels of those that are wanted."""

    def __init__(self, groups: RowGroups, target: str) -> None:
        super().__init__(())
        self.groups, self.target = groups, target
        self.values: dict[int, Any] = {}
        self.distinct: dict[Any, None] = {}

    def __len__(self) -> int:
        return len(self.groups)

    def find(self, wanted: Mapping[str, int | None]) -> dict[str, list[int]]:
        found: dict[str, list[int]] = {}
        for group in self.groups.groups:
            frame = self.groups.read(group, self.groups.columns)
            self.distinct.update(dict.fromkeys(factorised(frame[self.target]).values))
            for row, made in enumerate(row_ids(TableItems(frame.to_native()))):
                if made in wanted:
                    found.setdefault(made, []).append(group.first + row)
                    self.values[group.first + row] = plain_value(frame[self.target][row])
        return found

    def name(self, position: int) -> str:
        return f"row {position}"


@dataclass(frozen=True)
class _EditedSide(Taken):
    """A side of the split without some rows, and with rows of the other side.

    Attributes:
        gone: Rows that are on neither side, or on the other.
        come: Rows that came from the other side.
    """

    gone: Positions
    come: Positions

    def rows(self, group: RowGroup) -> Positions:
        drawn = super().rows(group) + group.first
        inside = (self.come >= group.first) & (self.come < group.first + group.rows)
        return np.union1d(np.setdiff1d(drawn, self.gone), self.come[inside]) - group.first


class _EditedGroups(RowGroups):
    """Row groups whose target has new values in some rows."""

    def __init__(self, groups: RowGroups, target: str, new: Mapping[int, Any]) -> None:
        self.files, self.groups, self.columns = groups.files, groups.groups, groups.columns
        self.target, self.new = target, new

    def read(self, group: RowGroup, columns: Sequence[str], rows: Any = None) -> Frame:
        frame = super().read(group, columns, rows)
        if self.target not in columns:
            return frame
        numbers = range(group.rows) if rows is None else np.asarray(rows).tolist()
        places = {group.first + number: place for place, number in enumerate(numbers)}
        here = {places[i]: label for i, label in self.new.items() if i in places}
        return relabelled(frame, self.target, here) if here else frame


def edited_groups(
    groups: RowGroups,
    sides: Sequence[Taken],
    targets: Targets,
    edits: str | Path | Journal,
) -> tuple[RowGroups, list[Taken], EditPlan]:
    """Row groups and sides after the edits of a journal.

    Args:
        groups: All rows.
        sides: Training and validation.
        targets: What is predicted, not fitted.
        edits: The journal, or its path: beside the files, else below the working folder.

    Raises:
        DataError: There is no such journal, or it is of another table.
    """
    ids = _StreamedIds(groups, targets.columns[0])
    plan = plan_edits(edits, groups.files[0].parent, ids, ids.values.get)
    edited = [i for i in plan.states if i not in plan.deleted]
    # All labels there are stand behind those of the edited rows, at places that no row has.
    parts = [[*(ids.values[i] for i in edited), *ids.distinct], list[Any]()]
    places = [*edited, *range(-len(ids.distinct), 0)]
    plan.relabel(parts, Split(places, []), targets.blocks[0], ids.values.get, n_targets=len(targets.columns))
    gone = plan.deleted
    moves = {i: s.side == "valid" for i, s in plan.states.items() if s.side is not None and i not in gone}
    made: list[Taken] = []
    for side in sides:
        come = [i for i, valid in moves.items() if valid == side.valid and not _has(groups, side, i)]
        left = [i for i, valid in moves.items() if valid != side.valid]
        plan.moved.update(come)
        away, here = (np.asarray(sorted(rows), dtype=np.int64) for rows in ([*gone, *left], come))
        made.append(_EditedSide(side.valid_pct, side.seed, side.valid, away, here))
    return _EditedGroups(groups, targets.columns[0], plan.applied), made, plan


def _has(groups: RowGroups, side: Taken, position: int) -> bool:
    """Whether a row was drawn on a side."""
    group = next(g for g in groups.groups if g.first <= position < g.first + g.rows)
    return position - group.first in side.rows(group)
