"""From rows of a journal to the items they are about, and what could not be found.

In: a journal and the ids of items. Out: `Matched`: what holds for each item by its position, and the rows set
aside, each with its reason. Read next: `plan.py`, which carries it out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from wiggly.data.edits.edit import Edit
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.state import ItemState, state_of

__all__ = ["Aside", "Matched", "match_edits", "same_label"]


@dataclass(frozen=True)
class Aside:
    """A row that was not applied.

    Attributes:
        name: The item, or the line of the journal.
        reason: Why.
        edit: The row; None for a line that is no row.
    """

    name: str
    reason: str
    edit: Edit | None = None

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


@dataclass
class Matched:
    """What a journal says of the items at hand.

    Attributes:
        states: What holds for each item that has edits, by position.
        aside: Rows that are not applied: damaged, or about no item, or one cannot tell about which.
        gone: Deletions of items that are not here, as after they were carried out.
        n_edits: Rows that count.
        any_here: Whether any item has the content that any row speaks of.
    """

    states: dict[int, ItemState] = field(default_factory=lambda: dict[int, ItemState]())
    aside: list[Aside] = field(default_factory=lambda: list[Aside]())
    gone: list[Edit] = field(default_factory=lambda: list[Edit]())
    n_edits: int = 0
    any_here: bool = False


def match_edits(journal: Journal, ids: ItemIds, label_of: Callable[[int], Any] | None = None) -> Matched:
    """Finds the items that a journal is about.

    An id that one item has is that item, wherever it lies now. Of several items with the same content each
    edit takes the one at its path, else of its name, else of the label it had.

    Args:
        journal: The edits.
        ids: Of the items.
        label_of: Label of an item by its position, to tell copies apart; None where that is not known.
    """
    active = journal.active
    made = Matched(n_edits=len(active))
    made.aside = [Aside(f"{journal.path.name} line {row.line}", row.reason) for row in journal.damaged]
    wanted: dict[str, int | None] = {}
    for edit in active:
        unsized = edit.item in wanted and wanted[edit.item] is None
        wanted[edit.item] = None if unsized else edit.size
    found = ids.find(wanted)
    made.any_here = bool(found)
    per_item: dict[int, list[Edit]] = {}
    lost: dict[str, list[Edit]] = {}
    dealt = _dealt(active, found, ids)
    for edit in active:
        places = found.get(edit.item, [])
        if edit.item in dealt:
            chosen = dealt[edit.item].get(edit.path)
        else:
            chosen = _chosen(edit, places, ids, label_of) if places else None
        if chosen is not None:
            per_item.setdefault(chosen, []).append(edit)
        elif places and edit.copies == 1 and edit.item not in dealt:
            paths = ", ".join(ids.name(i) for i in places[:3])
            made.aside.append(Aside(edit.path, f"which of {len(places)} copies is meant: {paths}?", edit))
        else:
            lost.setdefault(edit.about, []).append(edit)
    made.states = {i: state_of(edits) for i, edits in sorted(per_item.items())}
    for edits in lost.values():
        _set_aside(made, edits)
    return made


def _set_aside(made: Matched, edits: Sequence[Edit]) -> None:
    """Edits of an item that is not here: a deletion has been carried out, all else is named."""
    last = state_of(edits)
    if last.verdict == "delete" and last.decided is not None:
        made.gone.append(last.decided)
        return
    for edit in filter(None, (last.decided, last.moved)):
        reason = "no item has this content: the file is gone or was changed, or this is other data"
        made.aside.append(Aside(edit.path or edit.item, reason, edit))


def _chosen(
    edit: Edit, places: Sequence[int], ids: ItemIds, label_of: Callable[[int], Any] | None
) -> int | None:
    """The one of several items with the same content that an edit is about; None if one cannot tell."""
    if len(places) == 1 and edit.copies == 1:
        return places[0]
    names = {i: ids.name(i) for i in places}
    at_path = [i for i in places if _same_path(names[i], edit.path)]
    if not at_path and edit.kind == "relabel":  # it was carried out: the file lies in its label's folder
        at_path = [i for i in places if _same_path(names[i], _relabelled_path(edit))]
    if at_path:
        # Rows of a table may name one file several times; those with the same label are alike in all.
        return next(iter(_labelled(at_path, edit.old, label_of)), at_path[0])
    if edit.copies > 1:  # its copies are other items: rather none than the wrong one
        return None
    like = [i for i in places if _base(names[i]) == _base(edit.path)]
    if len(like) != 1:
        like = _labelled(places, edit.old, label_of)
    return like[0] if len(like) == 1 else None


def _labelled(places: Sequence[int], label: Any, label_of: Callable[[int], Any] | None) -> list[int]:
    """Those that have a label; none where labels are not known."""
    found: list[int] = []
    for i in places if label_of is not None else ():
        with suppress(Exception):  # a label that cannot be read is not this one
            if label_of is not None and same_label(label_of(i), label):
                found.append(i)
    return found


def _same_path(here: str, there: str) -> bool:
    """Whether two paths are the same, or one is written from a folder further up."""
    return here == there or (bool(there) and (here.endswith(f"/{there}") or there.endswith(f"/{here}")))


def _relabelled_path(edit: Edit) -> str:
    folders = edit.path.split("/")
    return "/".join([*folders[:-2], str(edit.new), folders[-1]])


def _base(path: str) -> str:
    return path.rpartition("/")[2]


def _dealt(
    active: Sequence[Edit], found: Mapping[str, Sequence[int]], ids: ItemIds
) -> dict[str, dict[str, int]]:
    """For rows and values that are there several times, or were: which of them the edits of each path take.

    They are equal in all, so any will do as long as each path has one of its own. As many deletions as there
    are fewer of them now were carried out.
    """
    edits: dict[str, list[Edit]] = {}
    for edit in active:
        if not edit.item.startswith("file:") and edit.item in found:
            edits.setdefault(edit.item, []).append(edit)
    made: dict[str, dict[str, int]] = {}
    for item, own in edits.items():
        n_then, places = max(edit.copies for edit in own), list(found[item])
        if n_then == len(places) == 1:
            continue
        by_path: dict[str, list[Edit]] = {}
        for edit in own:
            by_path.setdefault(edit.path, []).append(edit)
        gone = [path for path, those in by_path.items() if state_of(those).verdict == "delete"]
        paths = [path for path in by_path if path not in gone[: max(0, n_then - len(places))]]
        here = {ids.name(i): i for i in places}
        made[item] = {path: here[path] for path in paths if path in here}
        free = iter([i for i in places if i not in made[item].values()])
        made[item].update(zip([path for path in paths if path not in here], free, strict=False))
    return made


def same_label(raw: Any, label: Any) -> bool:
    """Whether a raw label is one that a journal holds: an array or a tuple is the list of its parts."""
    plain = raw.tolist() if hasattr(raw, "tolist") else raw
    if isinstance(plain, (tuple, set, frozenset)):
        parts: list[Any] = list(plain)  # pyright: ignore[reportUnknownArgumentType]
        plain = parts if isinstance(plain, tuple) else sorted(parts, key=str)
    with suppress(TypeError, ValueError):  # pandas' missing value is neither equal nor unequal
        return bool(plain == label)
    return False
