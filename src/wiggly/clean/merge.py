"""Two people's journals as one, and where they disagree.

In: two journals. Out: a third with the rows of both, and `Conflict`s: items about which both decided, each
without knowing of the other, and not alike. Read next: `../cli/cleaning.py`.
"""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from wiggly.data.edits.appending import append, locked
from wiggly.data.edits.edit import Edit, ItemRef, made_edit, write_edit
from wiggly.data.edits.journal import DamagedRow, Journal, Row, user_name
from wiggly.data.edits.state import ItemState
from wiggly.errors import ArgumentError, StorageError

__all__ = ["Conflict", "Merged", "Prefer", "merge_journals"]

Prefer = Literal["none", "first", "second", "latest"]


@dataclass(frozen=True)
class Conflict:
    """An item that two people decided differently.

    Attributes:
        item: Its id.
        path: Where it was.
        first: The row of the first journal.
        second: The row of the second.
        kept: The row that stands in the merged journal; None when nobody's does.
    """

    item: str
    path: str
    first: Edit
    second: Edit
    kept: Edit | None = None

    def __str__(self) -> str:
        sides = [f"{edit.author or 'unknown'}: {_decision(edit)}" for edit in (self.first, self.second)]
        stands = "marked unsure" if self.kept is None else f"{self.kept.author}'s stands"
        return f"{self.path or self.item}: {', '.join(sides)} ({stands})"


@dataclass
class Merged:
    """What merging two journals gave.

    Attributes:
        journal: The merged one.
        n_rows: Rows in it.
        conflicts: Items decided differently.
        damaged: Lines of either that are no rows, after the name of their file; the merged journal has them
            too.
    """

    journal: Journal
    n_rows: int = 0
    conflicts: list[Conflict] = field(default_factory=lambda: list[Conflict]())
    damaged: list[str] = field(default_factory=lambda: list[str]())

    def __str__(self) -> str:
        lines = [f"'{self.journal.path}': {self.n_rows:,} rows, {len(self.conflicts):,} conflicts"]
        lines += [f"conflict: {conflict}" for conflict in self.conflicts]
        return "\n".join([*lines, *(f"set aside: {row}" for row in self.damaged)])


def merge_journals(
    first: str | Path | Journal,
    second: str | Path | Journal,
    to: str | Path,
    prefer: Prefer = "none",
    author: str | None = None,
) -> Merged:
    """Writes a journal with the rows of two, each row once.

    Who edited a copy of a journal knew the rows that were in it, and may overrule them; a conflict is only
    where both decided apart from each other. Such an item is marked unsure by one more row, or decided as
    `prefer` says; both people's rows stay in the journal.

    Args:
        first: A journal, or its path.
        second: Another.
        to: The merged journal; a file that does not exist yet.
        prefer: "none", "first", "second" or "latest" (by time), for conflicts.
        author: Who merges; None takes the system's user.

    Raises:
        ArgumentError: There is a file at `to`, or no such `prefer`.
        StorageError: A journal is missing, or the new one could not be written.
    """
    if prefer not in get_args(Prefer):
        raise ArgumentError(
            "`prefer` must be one of none, first, second, latest", f"it is {prefer!r}", "Pass one of these."
        )
    ours, theirs = (_existing(journal) for journal in (first, second))
    path = Path(to)
    if os.path.lexists(path):
        raise ArgumentError(
            "a merged journal needs a file of its own", f"'{path}' is there", "Name a new file."
        )
    made = Merged(Journal(path, user_name() if author is None else author))
    rows = _in_order(ours.rows, theirs.rows)
    made.conflicts = _conflicts(ours, theirs, prefer)
    settled = [_settled(conflict, made.journal.author) for conflict in made.conflicts]
    damaged = [(journal.path, row) for journal in (ours, theirs) for row in journal.damaged]
    made.damaged = [f"{file.name} {row}" for file, row in damaged]
    lines = [*(row.text for row in rows), *_lost(damaged, rows), *map(write_edit, settled)]
    made.n_rows = len(rows) + len(settled)
    with locked(path) as descriptor:
        append(descriptor, path, "".join(f"{line}\n" for line in lines))
    return made


def _existing(given: str | Path | Journal) -> Journal:
    journal = given if isinstance(given, Journal) else Journal(given)
    if not journal.path.is_file():
        raise StorageError(
            "a journal to merge must exist", f"there is no file '{journal.path}'", "Check the path."
        )
    return journal


def _lost(damaged: Sequence[tuple[Path, DamagedRow]], rows: Sequence[Row]) -> list[str]:
    """Lines that are no rows, kept as they are, each once; undo rows whose row is now there count."""
    known = {row.text for row in rows}
    return [text for text in dict.fromkeys(row.text for _, row in damaged) if text not in known]


def _in_order(first: Sequence[Row], second: Sequence[Row]) -> list[Row]:
    """The rows of both, each once: by time, and each journal's own order is kept whatever its clocks said."""
    known = {row.edit.id for row in first}
    shared = {row.edit.id: place for place, row in enumerate(second) if row.edit.id in known}
    right = [(place, row) for place, row in enumerate(second) if row.edit.id not in known]
    places = sorted(shared.values())
    # How many rows that both have must come before a row of the second.
    before = {place: bisect_left(places, place) for place, _ in right}
    made: list[Row] = []
    n_shared = 0
    for row in first:
        here = shared.get(row.edit.id)
        while right and before[right[0][0]] <= n_shared:
            place, other = right[0]
            if other.edit.time >= row.edit.time if here is None else place > here:
                break
            made.append(right.pop(0)[1])
        made.append(row)
        n_shared += here is not None
    return [*made, *(row for _, row in right)]


def _conflicts(ours: Journal, theirs: Journal, prefer: Prefer) -> list[Conflict]:
    mine, yours = ours.state(), theirs.state()
    known = [{edit.id for edit in journal.edits} for journal in (ours, theirs)]
    found: list[Conflict] = []
    for about in [about for about in mine if about in yours]:
        for slot in ("decided", "moved"):
            a, b = (cast("Edit | None", getattr(states[about], slot)) for states in (mine, yours))
            apart = a is not None and b is not None and a.id not in known[1] and b.id not in known[0]
            if a is None or b is None or not apart or _alike(mine[about], yours[about], slot):
                continue
            kept = {"first": a, "second": b, "latest": max(a, b, key=lambda e: e.time), "none": None}
            found.append(Conflict(a.item, a.path or b.path, a, b, kept[prefer]))
    return found


def _alike(mine: ItemState, yours: ItemState, slot: str) -> bool:
    if slot == "moved":
        return mine.side == yours.side
    same: Any = mine.label == yours.label
    return mine.verdict == yours.verdict and mine.relabelled == yours.relabelled and same


def _settled(conflict: Conflict, author: str) -> Edit:
    """The row that says what stands."""
    edit, kept = conflict.first, conflict.kept
    about = ItemRef(edit.item, conflict.path, edit.old, edit.size, edit.copies)
    both = " or ".join(f"{e.author}: {_decision(e)}" for e in (conflict.first, conflict.second))
    if kept is None and edit.kind != "move":
        return made_edit("unsure", about, reason=f"conflict: {both}", author=author)
    # Of two moves one goes to where the item was: it stays there.
    stays = conflict.second if edit.old == conflict.second.new else edit
    kept = stays if kept is None else kept
    return made_edit(
        kept.kind,
        about,
        kept.new,
        old=kept.old,
        reason=f"conflict: {both}",
        author=author,
        new_class=kept.new_class,
    )


def _decision(edit: Edit) -> str:
    return f"{edit.kind} {edit.new!r}" if edit.kind in ("relabel", "move") else edit.kind
