"""The state of a review: items, what is suspected of them, and what people decided; page and widget show it.

In: items and a journal. Out: `Review`, which lists, shows and marks them. Every mark is a row of the journal,
on the disk, before it is answered; nothing else is kept, so a restart finds all of them. Read next:
`listing.py`, which picks and counts; `protocol.py`, the requests of the page; `serving.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from wiggly.clean.folder import is_below
from wiggly.clean.review.item import ReviewItem, items_of, parts_of, vocab_of
from wiggly.clean.review.listing import Counts, Filter, counts_of, listed, record
from wiggly.clean.review.protocol import answer
from wiggly.clean.review.thumbnails import Thumbnails, full_picture
from wiggly.data.edits.edit import Edit, made_edit
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.matching import Matched, match_edits
from wiggly.data.edits.plan import plan_edits
from wiggly.data.edits.state import ItemState
from wiggly.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from wiggly.clean.suspects.suspect import Suspect

__all__ = ["ACTIONS", "Action", "Marked", "Review", "review_loaders"]

Action = Literal["keep", "relabel", "delete", "unsure", "clear"]
ACTIONS = cast("tuple[Action, ...]", get_args(Action))
LONGEST_LABEL = 200


@dataclass(frozen=True)
class Marked:
    """What a mark, an undo or a redo did.

    Attributes:
        positions: Items that were touched.
        said: In words.
        refused: Items that were not marked, each with the reason.
    """

    positions: list[int]
    said: str
    refused: dict[int, str]


class Review:
    """Items to look at, and what was decided about them.

    Args:
        items: The items; their positions are what the methods speak of.
        journal: Where decisions go.
        vocab: The labels there are.
        root: Folder below which paths are written down.
        several: Whether an item may have several labels.
        title: What is reviewed.
        confined: Only pictures below `root` are read, wherever a table or a link points.
        note: Said on top of the page.
        thumbnails: Maker of small pictures; None for one in the cache folder.

    Raises:
        DataError: The journal is of other data.

    Example:
        >>> from pathlib import Path
        >>> for name in ("ant", "bee"):
        ...     Path(name).mkdir()
        ...     _ = Path(name, "1.jpg").write_text(name)
        >>> items = [ReviewItem("ant/1.jpg", "ant"), ReviewItem("bee/1.jpg", "bee")]
        >>> review = Review(items, Journal("edits.jsonl", author="Ann"), ["ant", "bee"], root=".")
        >>> review.mark([0, 1], "relabel", "ant").said
        '2 relabelled to ant'
        >>> review.undo().said
        'undone: 2 relabelled to ant'
        >>> review.states
        {}
    """

    def __init__(
        self,
        items: Sequence[ReviewItem],
        journal: Journal,
        vocab: Sequence[Any],
        *,
        root: str | Path | None = None,
        several: bool = False,
        title: str = "",
        confined: bool = True,
        note: str = "",
        thumbnails: Thumbnails | None = None,
    ) -> None:
        if confined and root is None:
            raise ArgumentError("a review needs its folder", "`root` is None", "Pass root=.")
        self.items, self.journal, self.vocab = list(items), journal, list(vocab)
        self.root, self.several, self.confined = root, several, confined
        self.title, self.note = title, note
        self.thumbnails = Thumbnails() if thumbnails is None else thumbnails
        self.ids = ItemIds([item.file for item in self.items], root=root, labels=self._given)
        self._lock = RLock()
        self._matched = plan_edits(journal, root or ".", self.ids, self._given).matched
        self._seen = _mark_of(journal)

    def _given(self, position: int) -> Any:
        return self.items[position].given

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def data(self) -> str:
        """Which list of items this is: positions mean the same as long as it is the same."""
        rows = [[self.ids.name(i), item.given, item.split] for i, item in enumerate(self.items)]
        return hashlib.sha256(json.dumps(rows).encode()).hexdigest()[:16]

    # What was decided

    @property
    def matched(self) -> Matched:
        """Which items the journal's rows are about, as the file is now: others may write to it too."""
        with self._lock:
            now = _mark_of(self.journal)
            if now != self._seen:
                self._matched, self._seen = match_edits(self.journal, self.ids, self._given), now
            return self._matched

    @property
    def states(self) -> dict[int, ItemState]:
        """What holds for each item that has a decision, by position."""
        return self.matched.states

    def mark(
        self, positions: Sequence[int], action: Action, label: Any = None, new_class: bool = False
    ) -> Marked:
        """Decides about items; when this returns it is on the disk.

        Args:
            positions: The items.
            action: "keep", "relabel", "delete", "unsure"; "clear" takes all decisions about them back.
            label: For "relabel" the new label; a list where items have several.
            new_class: The label is meant to be one that no item has yet.

        Raises:
            ArgumentError: A position, the action or the label is not one.
            StorageError: It could not be written; nothing was.
        """
        self._check(positions, action, label, new_class)
        with self._lock:
            if action == "clear":
                return self._clear(positions)
            edits, refused = list[Edit](), dict[int, str]()
            for position in dict.fromkeys(positions):
                try:
                    edits.append(self._edit(position, action, label, new_class))
                except DataError as error:
                    refused[position] = str(error.received)
            # One time for all: what was decided together is undone together.
            edits = [replace(edit, time=edits[0].time) for edit in edits]
            if edits:
                self.journal.extend(edits)
            self._learn(label if edits and action == "relabel" else None)
        done = [p for p in dict.fromkeys(positions) if p not in refused]
        return Marked(done, _told(edits), refused)

    def _edit(self, position: int, action: Action, label: Any, new_class: bool) -> Edit:
        if not Path(self.items[position].file).is_file():
            raise DataError("a picture must be there to be marked", "its file is gone", "Look for it.")
        reasons = [finding.reason for finding in self.items[position].findings[:1]]
        return made_edit(
            cast("Any", action),
            self.ids.ref(position),
            label if action == "relabel" else None,
            reason="; ".join(reasons),
            author=self.journal.author,
            new_class=new_class and action == "relabel",
        )

    def _check(self, positions: Sequence[int], action: Any, label: Any, new_class: bool) -> None:
        wrong = [p for p in cast("Sequence[Any]", positions) if type(p) is not int or not 0 <= p < len(self)]
        if wrong or not positions:
            raise ArgumentError(
                "a mark must be about items of this review",
                f"got {wrong[:3] or 'none'}",
                "Load the page again.",
            )
        if action not in ACTIONS:
            raise ArgumentError("an action must be a known one", f"got {action!r}", f"Pass one of {ACTIONS}.")
        if action != "relabel":
            return
        parts = parts_of(label)
        if self.several != isinstance(label, list) or any(not _is_label(part) for part in parts):
            kind = "a list of labels" if self.several else "a label"
            raise ArgumentError(f"an item here takes {kind}", f"got {label!r:.60}", "Give another one.")
        lacking = [part for part in parts if part not in self.vocab]
        if lacking and not new_class:
            raise ArgumentError(
                "a label must be one that there is",
                f"nothing is called {lacking[0]!r}",
                "Say it is new.",
            )

    def _learn(self, label: Any) -> None:
        """Labels that are new from now on are known."""
        self.vocab += [part for part in parts_of(label) if part not in self.vocab]

    def _clear(self, positions: Sequence[int]) -> Marked:
        ids = self.ids.ids(positions)
        about = {f"{ids[p]} {self.ids.name(p)}" for p in positions if p in ids}
        once = {ids[p] for p in positions if p in ids}
        rows = [
            edit
            for edit in self.journal.active
            if f"{edit.item} {edit.path}" in about or (edit.copies == 1 and edit.item in once)
        ]
        if rows:
            self.journal.undo_all(rows)
        return Marked(list(positions), f"{len(positions):,} cleared", {})

    def undo(self) -> Marked:
        """Takes back what this author decided last, for all items that were marked together."""
        with self._lock:
            return self._again("undo")

    def redo(self) -> Marked:
        """Decides again what was undone last."""
        with self._lock:
            return self._again("redo")

    def _again(self, kind: Literal["undo", "redo"]) -> Marked:
        before = self.states
        rows = self.journal.undo_together() if kind == "undo" else self.journal.redo_together()
        if not rows:
            return Marked([], f"nothing to {kind}", {})
        after = self.states
        touched = [p for p in sorted({*before, *after}) if before.get(p) != after.get(p)]
        return Marked(touched, f"{'undone' if kind == 'undo' else 'done again'}: {_told(rows)}", {})

    # What is shown

    def query(self, wanted: Filter | None = None) -> list[int]:
        """Positions of the items that a filter lets through, in its order."""
        return listed(self, Filter() if wanted is None else wanted)

    def counts(self) -> Counts:
        """Items by class before and after, decisions by kind, and how many suspects were looked at."""
        return counts_of(self)

    def page(self, positions: Sequence[int]) -> list[dict[str, Any]]:
        """Items as the page shows them, in JSON types."""
        states = self.states
        return [record(self, position, states.get(position)) for position in positions]

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answers one request of the page; see `protocol.py`. What cannot be done is said under "error"."""
        return answer(self, request)

    def thumbnail(self, position: int, size: int = 320) -> bytes:
        """A small picture of an item as JPEG.

        Raises:
            ItemError: It cannot be read.
            DataError: It lies outside the folder, or is gone.
        """
        file = self._file(position)
        return self.thumbnails.get(file, self._item(position), size)

    def picture(self, position: int) -> tuple[bytes, str]:
        """The picture of an item as a browser shows it, and its media type.

        Raises:
            ItemError: It cannot be read.
            DataError: It lies outside the folder, or is gone.
        """
        return full_picture(self._file(position))

    def _item(self, position: int) -> str:
        found = self.ids.ids([position]).get(position)
        if found is None:
            raise DataError("a picture must be readable", "its file is gone", "Look for it.")
        return found

    def _file(self, position: int) -> str:
        """The file of an item, if this review may read it."""
        if not 0 <= position < len(self):
            raise DataError("a position must be that of an item", f"got {position}", "Load the page again.")
        file = self.items[position].file
        if self.confined and not is_below(file, str(self.root)):
            raise DataError(
                "only pictures in the folder are shown", "this one lies elsewhere", "Copy it into the folder."
            )
        return file

    def make_ahead(self) -> None:
        """Makes small pictures in the background, suspects first; `close` ends that."""
        order = self.query()
        ids = self.ids.ids(order)
        wanted: list[tuple[str, str]] = []
        for position in order:
            with suppress(DataError):
                if position in ids:
                    wanted.append((self._file(position), ids[position]))
        self.thumbnails.make_ahead(wanted)

    def close(self) -> None:
        """Ends what is under way in the background."""
        self.thumbnails.stop()


def review_loaders(
    dls: Any,
    journal: Journal,
    suspects: Sequence[Suspect] = (),
    *,
    root: str | Path | None = None,
    confined: bool = True,
    title: str = "",
    note: str = "",
) -> Review:
    """A review of the pictures of loaders, training items first.

    Args:
        dls: Loaders whose first input is a file.
        journal: Where decisions go.
        suspects: From `suggest`.
        root: The data's folder; None takes the loaders' own.
        confined: See `Review`.
        title: See `Review`.
        note: See `Review`.

    Raises:
        ArgumentError: Their items are no files.
        DataError: The journal is of other data.
    """
    items = items_of(dls, suspects)
    several = any(isinstance(item.given, list) for item in items)
    folder = getattr(dls, "path", None) if root is None else root
    return Review(
        items,
        journal,
        vocab_of(dls, items),
        root=folder,
        several=several,
        title=title,
        confined=confined,
        note=note,
    )


def _mark_of(journal: Journal) -> tuple[int, str]:
    """What tells whether a journal has grown."""
    rows = journal.rows
    return len(rows), rows[-1].edit.id if rows else ""


def _is_label(part: Any) -> bool:
    return isinstance(part, int) or (isinstance(part, str) and 0 < len(part.strip()) <= LONGEST_LABEL)


def _told(edits: Sequence[Edit]) -> str:
    """What rows that were written together say."""
    if not edits:
        return "nothing"
    said = {
        "keep": "kept",
        "delete": "deleted",
        "unsure": "marked as unsure",
        "move": "moved",
        "relabel": f"relabelled to {', '.join(map(str, parts_of(edits[0].new)))}",
    }[edits[0].kind]
    return f"{len(edits):,} {said}"
