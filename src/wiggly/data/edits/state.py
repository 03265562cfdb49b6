"""What holds: rows that were not undone, and what the last of them say about an item.

In: rows in their order. Out: those that count, and an `ItemState` for each item. Read next: `matching.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from wiggly.data.edits.edit import VERDICTS, Edit

__all__ = ["ItemState", "active_edits", "state_of", "to_redo", "to_undo"]


@dataclass(frozen=True)
class ItemState:
    """What holds for an item.

    Attributes:
        verdict: keep, relabel, delete, unsure; None when nobody has said.
        relabelled: Whether it has another label than the data gives it.
        label: That label.
        new_class: Whether that label is meant to be new.
        side: "train" or "valid" when it was moved there.
        decided: The row behind the verdict.
        moved: The row behind the side.
    """

    verdict: str | None = None
    relabelled: bool = False
    label: Any = None
    new_class: bool = False
    side: str | None = None
    decided: Edit | None = None
    moved: Edit | None = None


def active_edits(edits: Iterable[Edit]) -> list[Edit]:
    """The rows that decide something and are not undone, in order."""
    found: list[Edit] = []
    undone: set[str] = set()
    for edit in edits:
        if edit.kind == "undo":
            undone.add(edit.of)
        elif edit.kind == "redo":
            undone.discard(edit.of)
        else:
            found.append(edit)
    return [edit for edit in found if edit.id not in undone]


def state_of(edits: Iterable[Edit]) -> ItemState:
    """What the active rows about one item say together: the last verdict and the last move.

    Who keeps (or is unsure of) an item that was relabelled before speaks of the label it had then, which the
    row has as `old`: if that is the new label it stays, else the data's own label is back.

    Example:
        >>> from wiggly.data.edits.edit import ItemRef, made_edit
        >>> ant = ItemRef("file:" + "0" * 64, label="ant")
        >>> rows = [made_edit("relabel", ant, "bee"), made_edit("keep", ant, old="bee")]
        >>> state_of(rows).label, state_of([*rows, made_edit("keep", ant)]).relabelled
        ('bee', False)
    """
    state = ItemState()
    for edit in edits:
        if edit.kind == "move":
            state = replace(state, side=str(edit.new), moved=edit)
        elif edit.kind == "relabel":
            state = ItemState("relabel", True, edit.new, edit.new_class, state.side, edit, state.moved)
        elif edit.kind != "delete" and state.relabelled and edit.old == state.label:
            state = replace(state, verdict=edit.kind, decided=edit)
        elif edit.kind in VERDICTS:
            state = ItemState(edit.kind, side=state.side, decided=edit, moved=state.moved)
    return state


def to_undo(edits: Sequence[Edit], author: str | None) -> Edit | None:
    """The last row that counts, of an author or of anybody."""
    return next((e for e in reversed(active_edits(edits)) if author in (None, e.author)), None)


def to_redo(edits: Sequence[Edit], author: str | None) -> Edit | None:
    """The row that was undone last and may be redone: nothing new was decided since."""
    by_id = {edit.id: edit for edit in edits}
    undone: list[str] = []
    for edit in edits:
        if author not in (None, edit.author):
            continue
        if edit.kind == "undo":
            undone.append(edit.of)
        elif edit.kind == "redo":
            undone = [of for of in undone if of != edit.of]
        else:
            undone.clear()
    active = {edit.id for edit in active_edits(edits)}
    return next((by_id[of] for of in reversed(undone) if of in by_id and of not in active), None)
