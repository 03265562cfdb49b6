"""`Journal`: a file of edits that only grows, `edits.jsonl`.

In: a path. Out: its rows, what holds after them, and new rows appended. A row that `add` returned is on the
disk whatever happens next; several people, programs and threads may write at once. Rows that cannot be read
stay where they are and are named. Read next: `matching.py`, which finds the items the rows are about.
"""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import RLock
from typing import Any

from wiggly.data.edits.appending import append, locked
from wiggly.data.edits.edit import Edit, ItemRef, Kind, made_edit, read_edit, write_edit
from wiggly.data.edits.state import ItemState, active_edits, state_of, to_redo, to_undo
from wiggly.errors import ArgumentError, DataError, StorageError

__all__ = ["NAME", "DamagedRow", "Journal", "Row", "opened_journal", "user_name"]

#: What a journal beside the data is called.
NAME = "edits.jsonl"


@dataclass(frozen=True)
class Row:
    """A line of a journal as it was read.

    Attributes:
        line: Its number, from 1.
        text: The line.
        edit: The row in it.
    """

    line: int
    text: str
    edit: Edit


@dataclass(frozen=True)
class DamagedRow:
    """A line of a journal that is no row; it stays in the file.

    Attributes:
        line: Its number, from 1.
        text: The line.
        reason: What is wrong with it.
    """

    line: int
    text: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.reason}: {self.text[:60]!r}"


def user_name() -> str:
    """Who edits: `WIGGLY_AUTHOR`, else the name of the system's user."""
    try:
        return os.environ.get("WIGGLY_AUTHOR") or getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container without users
        return "unknown"


class Journal:
    """Edits in a file that only grows; it is made with the first of them.

    Args:
        path: The file, e.g. `photos/edits.jsonl`.
        author: Who edits; None takes `WIGGLY_AUTHOR`, else the system's user.

    Example:
        >>> journal = Journal("edits.jsonl", author="Ann")
        >>> ant = ItemRef("file:" + "0" * 64, "ant/1.jpg", "ant")
        >>> _ = journal.add("relabel", ant, "bee", reason="has a sting")
        >>> journal.state()[ant.id].label
        'bee'
        >>> _ = journal.undo()
        >>> len(journal.edits), journal.state()
        (2, {})
    """

    def __init__(self, path: str | Path, author: str | None = None) -> None:
        self.path = Path(path)
        self.author = user_name() if author is None else author
        self._lock = RLock()
        self._forget()

    def __repr__(self) -> str:
        return f"Journal({str(self.path)!r})"

    # Writing

    def add(
        self,
        kind: Kind,
        item: ItemRef,
        new: Any = None,
        *,
        old: Any = None,
        reason: str = "",
        new_class: bool = False,
    ) -> Edit:
        """Appends a row; when this returns it is on the disk.

        Args:
            kind: "keep", "relabel", "delete", "unsure" or "move".
            item: About which item: `refs_of(dls)` and `ItemIds.ref` make these.
            new: The new label (a list where items have several), or the side of a move: "train", "valid".
            old: The label before; None takes the item's. Of a move, the side.
            reason: Why.
            new_class: The label is one that no item has yet; otherwise such a label is set aside when the
                journal is applied, as one that no longer exists.

        Raises:
            ArgumentError: A field is not what it must be.
            StorageError: It could not be written; the journal is as it was.
        """
        edit = made_edit(kind, item, new, old=old, reason=reason, author=self.author, new_class=new_class)
        return self.extend([edit])[0]

    def extend(self, edits: Sequence[Edit]) -> list[Edit]:
        """Appends several rows with one write: all of them are kept, or none.

        Args:
            edits: From `made_edit`.

        Raises:
            ArgumentError: One is an undo or redo, which `undo` and `redo` write.
            StorageError: They could not be written.
        """
        wrong = [edit for edit in edits if edit.kind in ("undo", "redo")]
        if wrong:
            raise ArgumentError("undo and redo are methods", f"got {wrong[0]}", "Call `journal.undo()`.")
        return self._append(lambda: list(edits))

    def undo(self, edit: str | None = None) -> Edit | None:
        """Undoes a row by one more row.

        Args:
            edit: Its id; None takes the last of this journal's author that counts.

        Returns:
            The row that was undone; None when there is none.

        Raises:
            ArgumentError: There is no such row, or it is undone already.
        """
        return self._again("undo", edit)

    def redo(self, edit: str | None = None) -> Edit | None:
        """Redoes a row that was undone.

        Args:
            edit: Its id; None takes the last that this journal's author undid, if nothing was decided since.

        Returns:
            The row that counts again; None when there is none.

        Raises:
            ArgumentError: There is no such row, or it counts already.
        """
        return self._again("redo", edit)

    def _again(self, kind: Kind, named: str | None) -> Edit | None:
        chosen: list[Edit] = []

        def rows() -> list[Edit]:
            edits = self.edits
            find = to_undo if kind == "undo" else to_redo
            edit = find(edits, self.author) if named is None else _named(edits, named, kind)
            if edit is None:
                return []
            chosen.append(edit)
            about = ItemRef(edit.item, edit.path, size=edit.size, copies=edit.copies)
            return [made_edit(kind, about, author=self.author, of=edit.id)]

        self._append(rows)
        return chosen[0] if chosen else None

    def undo_together(self) -> list[Edit]:
        """Undoes the last row of this journal's author that counts, and all that were written with it (those
        of the same time, to the microsecond), with one write.

        Returns:
            The rows that were undone.
        """
        return self._all("undo", lambda edits: _together(edits, to_undo(edits, self.author), counts=True))

    def redo_together(self) -> list[Edit]:
        """Redoes what `undo_together` undid last, if nothing was decided since."""
        return self._all("redo", lambda edits: _together(edits, to_redo(edits, self.author), counts=False))

    def undo_all(self, edits: Sequence[Edit]) -> list[Edit]:
        """Undoes these rows with one write, those that count; returns them."""
        named = {edit.id for edit in edits}
        return self._all("undo", lambda now: [edit for edit in active_edits(now) if edit.id in named])

    def _all(self, kind: Kind, choose: Callable[[list[Edit]], list[Edit]]) -> list[Edit]:
        chosen: list[Edit] = []

        def rows() -> list[Edit]:
            chosen.extend(choose(self.edits))
            about = (ItemRef(edit.item, edit.path, size=edit.size, copies=edit.copies) for edit in chosen)
            return [
                made_edit(kind, ref, author=self.author, of=edit.id)
                for ref, edit in zip(about, chosen, strict=True)
            ]

        self._append(rows)
        return chosen

    def _append(self, made: Callable[[], list[Edit]]) -> list[Edit]:
        with self._lock, locked(self.path) as descriptor:
            edits = made()
            if edits:
                append(descriptor, self.path, "".join(f"{write_edit(edit)}\n" for edit in edits))
        return edits

    # Reading

    @property
    def rows(self) -> list[Row]:
        """Every row, with its line, as the file is now."""
        return self._read()[0]

    @property
    def edits(self) -> list[Edit]:
        """Every row in order, those that were undone among them."""
        return [row.edit for row in self._read()[0]]

    @property
    def active(self) -> list[Edit]:
        """The rows that decide something and are not undone, in order."""
        return active_edits(self.edits)

    @property
    def damaged(self) -> list[DamagedRow]:
        """Lines that are no row: cut off by a kill, changed by hand, of a newer version. One that another
        process is writing this very moment may show here too, until the next look."""
        rows, damaged = self._read()
        known = {row.edit.id for row in rows}
        lost = [
            DamagedRow(row.line, row.text, f"the row that it would {row.edit.kind} is not here")
            for row in rows
            if row.edit.of and row.edit.of not in known
        ]
        return sorted([*damaged, *lost], key=lambda row: row.line)

    def state(self) -> dict[str, ItemState]:
        """What holds for each item that somebody decided about, by its id; of items with the same content
        that were told apart, each by id and path (`Edit.about`).
        """
        by_item: dict[str, list[Edit]] = {}
        for edit in self.active:
            by_item.setdefault(edit.about, []).append(edit)
        return {about: state_of(edits) for about, edits in by_item.items()}

    def _forget(self) -> None:
        self._rows: list[Row] = []
        self._damaged: list[DamagedRow] = []
        self._ids: dict[str, str] = {}
        self._file: tuple[int, int] | None = None
        self._offset, self._line, self._changed, self._last = 0, 0, 0, b""

    def _read(self) -> tuple[list[Row], list[DamagedRow]]:
        """Rows and damaged lines; only what was appended since the last time is read."""
        with self._lock:
            *whole, tail = self._news().split(b"\n")
            for line in whole:
                self._line += 1
                self._offset += len(line) + 1
                self._last = line + b"\n"
                _sort(self._taken(line, self._line), self._rows, self._damaged)
            rows, damaged = list(self._rows), list(self._damaged)
            if tail:  # without its end it counts if it is whole, and is looked at again: it may still grow
                taken = self._taken(tail, self._line + 1)
                _sort(taken, rows, damaged)
                if isinstance(taken, Row):
                    del self._ids[taken.edit.id]
            return rows, damaged

    def _news(self) -> bytes:
        try:
            with open(self.path, "rb") as file:
                now = os.fstat(file.fileno())
                changed = now.st_size == self._offset and now.st_mtime_ns != self._changed
                if self._file != (now.st_dev, now.st_ino) or now.st_size < self._offset or changed:
                    self._forget()
                file.seek(self._offset - len(self._last))
                data = file.read()
                if not data.startswith(self._last):  # somebody wrote into what was there
                    self._forget()
                    file.seek(0)
                    data = file.read()
                self._file, self._changed = (now.st_dev, now.st_ino), now.st_mtime_ns
                return data[len(self._last) :]
        except FileNotFoundError:
            self._forget()
            return b""
        except OSError as error:
            raise StorageError(
                f"the journal '{self.path}' must be readable",
                f"reading failed: {error.strerror or error}",
                "Check the path; it is a file such as photos/edits.jsonl.",
            ) from error

    def _taken(self, line: bytes, number: int) -> Row | DamagedRow | None:
        """What a line is; None for an empty one, and for a row that was here before (files put together)."""
        text = line.decode("utf-8", errors="replace").rstrip("\r")
        if not text.strip():
            return None
        try:
            edit = read_edit(text)
        except ValueError as error:
            return DamagedRow(number, text, str(error))
        known = self._ids.setdefault(edit.id, text)
        if known is not text:
            same = known == text
            return None if same else DamagedRow(number, text, f"its id {edit.id} is that of another row")
        return Row(number, text, edit)


def _sort(taken: Row | DamagedRow | None, rows: list[Row], damaged: list[DamagedRow]) -> None:
    if isinstance(taken, Row):
        rows.append(taken)
    elif taken is not None:
        damaged.append(taken)


def opened_journal(edits: str | Path | Journal, folder: str | Path = ".") -> Journal:
    """The journal that is meant by `edits=`.

    Args:
        edits: A journal, or its path: below the data's folder, else below the working folder.
        folder: The data's.

    Raises:
        DataError: There is no such file. A `Journal` that has no file yet is empty.
    """
    if isinstance(edits, Journal):
        return edits
    places = dict.fromkeys([Path(folder) / Path(edits).expanduser(), Path(edits).expanduser()])
    found = next((place for place in places if place.is_file()), None)
    if found is None:
        raise DataError(
            "`edits` must be an existing journal",
            f"there is no file {' or '.join(repr(str(place)) for place in places)}",
            "Check the path; leave `edits` out while there are none, or pass Journal(path).",
        )
    return Journal(found)


def _together(edits: Sequence[Edit], last: Edit | None, counts: bool) -> list[Edit]:
    """The rows that were written with one, and count or do not."""
    if last is None:
        return []
    active = {edit.id for edit in active_edits(edits)}
    return [
        edit
        for edit in edits
        if edit.kind not in ("undo", "redo")
        and (edit.author, edit.time) == (last.author, last.time)
        and (edit.id in active) == counts
    ]


def _named(edits: Sequence[Edit], named: str, kind: Kind) -> Edit:
    found = next((edit for edit in edits if edit.id == named and edit.kind not in ("undo", "redo")), None)
    if found is None:
        raise ArgumentError(
            "an edit must be in the journal", f"there is none with the id {named!r}", "See `journal.edits`."
        )
    counts = any(edit.id == named for edit in active_edits(edits))
    if counts == (kind == "redo"):
        raise ArgumentError(
            f"an edit can be {kind}ne once",
            f"'{found}' {'counts' if counts else 'is undone'} already",
            f"Call `{'undo' if kind == 'redo' else 'redo'}`.",
        )
    return found
