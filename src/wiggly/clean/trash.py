"""Cleaning in place: deleted files go into a trash inside the folder, moved ones to their label, and back.

In: a folder and a journal. Out: the folder changed, and `.wiggly-trash/moves.jsonl`, which says before every
move what moves where. Nothing is overwritten and nothing removed, so a kill at any moment loses no file: what
is planned but not done is done by the next run, and `restore_files` brings back whatever was done. Read next:
`../cli/cleaning.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any, cast

from wiggly.clean.folder import TRASH, Change, Changes, PictureFolder, changes_of, is_below
from wiggly.clean.report import CleanReport, report_of
from wiggly.data.edits.appending import append, locked
from wiggly.data.edits.hashing import file_hash
from wiggly.data.edits.journal import NAME, Journal
from wiggly.data.edits.matching import Aside
from wiggly.errors import DataError, StorageError

__all__ = ["Moved", "Restored", "clean_in_place", "moved_files", "replace_table", "restore_files"]

MOVES = "moves.jsonl"
FORMAT = 1


@dataclass(frozen=True)
class Moved:
    """A file that was moved in place.

    Attributes:
        id: Of the row.
        file: Where it was, below the folder, with "/".
        to: Where it is.
        why: The edit's id.
        time: When.
        written: SHA-256 of the table that was put in its place; empty for none.
    """

    id: str
    file: str
    to: str
    why: str = ""
    time: str = ""
    written: str = ""


@dataclass
class Restored:
    """What `restore_files` did.

    Attributes:
        files: Files that are back, by their path below the folder.
        aside: Files that are not, each with its reason.
    """

    files: list[str] = field(default_factory=lambda: list[str]())
    aside: list[Aside] = field(default_factory=lambda: list[Aside]())

    def __str__(self) -> str:
        return "\n".join([f"{len(self.files):,} restored", *(f"set aside: {row}" for row in self.aside)])


def clean_in_place(
    folder: str | Path,
    edits: str | Path | Journal = NAME,
    *,
    label_csv: str | Path | None = None,
    label_regex: str | None = None,
    label_delim: str | None = None,
) -> CleanReport:
    """Carries edits out in the folder itself; `restore_files` takes it back.

    Deleted files move into `.wiggly-trash`, where loaders do not look; where labels are names of folders,
    relabelled files move into their new label's folder; a table of labels moves into the trash and a new one
    takes its place. No file is overwritten.

    A split drawn at random by seed stays the same as long as the journal is passed as `edits=`; without it,
    where files are gone, another one is drawn.

    Args:
        folder: The data.
        edits: The journal, or its path: in the folder, else below the working folder.
        label_csv: The table of labels: file names in the first column, labels in the second.
        label_regex: A pattern whose first group, in a file's name, is the label.
        label_delim: What separates several labels in a cell of the table.

    Raises:
        DataError: There is no such journal, or it is of other data.
        StorageError: A file could not be moved; those before it are, and can be restored.
    """
    data = PictureFolder(folder, label_csv, label_regex, label_delim)
    changes = changes_of(data, edits)
    _leave_copies(changes, data.folder)
    if not changes.files and changes.table is None:
        return report_of(changes, str(data.folder), 0)
    with _Trash(data.folder) as trash:
        n = sum([_carried_out(trash, change, changes) for change in changes.files])
    if changes.table is None:
        return report_of(changes, str(data.folder), n)
    table = data.folder / changes.table_name if data.table is None else data.table.file
    replace_table(table, changes.table, data.folder)
    return report_of(changes, str(data.folder), n, str(table))


def _leave_copies(changes: Changes, folder: Path) -> None:
    """A deletion that was carried out on one file is not carried out again on a copy of it."""
    done = {row.why: row.file for row in moved_files(folder)[0] if row.to.startswith(f"{TRASH}/")}
    for change in [c for c in changes.files if c.to is None and c.edit is not None]:
        name = done.get("" if change.edit is None else change.edit.id, change.file)
        if name != change.file:
            changes.files.remove(change)
            reason = f"'{name}', which has the same content, was deleted; this one stays"
            changes.aside.append(Aside(change.file, reason, change.edit))


def replace_table(file: Path, text: str, folder: Path | None = None) -> None:
    """Puts a table in the place of another, which goes into the trash.

    Args:
        file: The table.
        text: The new one.
        folder: Whose trash, if the table lies in it; else the table's own folder has one.

    Raises:
        StorageError: It could not be written.
    """
    here = file.absolute()
    inside = folder is not None and here.is_relative_to(folder.absolute())
    with _Trash(folder.absolute() if folder is not None and inside else here.parent) as trash:
        trash.replace(here, text)


def _carried_out(trash: _Trash, change: Change, changes: Changes) -> bool:
    source = trash.folder / change.file
    why = "" if change.edit is None else change.edit.id
    if not is_below(source.parent, trash.folder) or not os.path.lexists(source):
        reason = (
            "it lies outside the folder, by a link or a path" if os.path.lexists(source) else "it is gone"
        )
        changes.aside.append(Aside(change.file, reason, change.edit))
        return False
    trash.move(change.file, change.to, why)
    return True


class _Trash:
    """The trash of a folder, held against other programs while files move."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, folder / TRASH
        self.moves = self.place / MOVES
        stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
        self._batch = f"{TRASH}/{stamp}-{secrets.token_hex(3)}"

    def __enter__(self) -> _Trash:
        try:
            self.place.mkdir(exist_ok=True)
        except OSError as error:
            raise _unmoved(self.place, error) from error
        self._held = contextlib.ExitStack()
        self._descriptor = self._held.enter_context(locked(self.moves))
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    def note(self, row: dict[str, Any]) -> None:
        """Appends a row to the list of moves."""
        now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        line = json.dumps({"version": FORMAT, "id": secrets.token_hex(8), **row, "time": now})
        append(self._descriptor, self.moves, f"{line}\n")

    def move(self, file: str, to: str | None, why: str, written: str = "") -> None:
        """Notes a move, then moves; without a target, into the trash."""
        target = f"{self._batch}/{file}" if to is None else to
        self.note({"file": file, "to": target, "why": why, "written": written})
        _move(self.folder / file, self.folder / target)

    def replace(self, file: Path, text: str) -> None:
        """Puts a text in the place of a file, which goes into the trash."""
        aside = file.with_name(f".{file.name}.{secrets.token_hex(4)}.part")
        try:
            data = text.encode("utf-8")
            aside.write_bytes(data)
            if file.exists():
                written = hashlib.sha256(data).hexdigest()
                self.move(file.relative_to(self.folder).as_posix(), None, "", written)
            _move(aside, file)
        except OSError as error:
            raise error if isinstance(error, StorageError) else _unmoved(file, error) from error
        finally:
            with contextlib.suppress(OSError):
                aside.unlink()


def _move(source: Path, target: Path) -> None:
    """Moves a file to where nothing is; never overwrites, and a kill leaves it in one place or in both.

    Raises:
        StorageError: It could not be moved, or something is there.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source, target, follow_symlinks=False)
        except FileExistsError:
            raise
        except (OSError, NotImplementedError):  # a disk without hard links
            if os.path.lexists(target):
                raise FileExistsError(17, "something is there") from None
            os.rename(source, target)
        else:
            os.unlink(source)
    except OSError as error:
        raise _unmoved(source, error) from error


def _unmoved(file: Path, error: OSError) -> StorageError:
    return StorageError(
        "a file must be movable to be cleaned",
        f"'{file}': {error.strerror or error}",
        "Mend that and run it again; what was moved before is kept and can be restored.",
    )


def moved_files(folder: str | Path) -> tuple[list[Moved], list[Aside]]:
    """What was moved in place and is not restored yet, and rows of the list that cannot be read."""
    found: dict[str, Moved] = {}
    damaged: list[Aside] = []
    list_of_moves = Path(folder) / TRASH / MOVES
    try:
        lines = list_of_moves.read_bytes().split(b"\n")
    except FileNotFoundError:
        return [], []
    except OSError as error:
        raise DataError("the trash must be readable", f"'{list_of_moves}': {error}", "Check it.") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row: Any = json.loads(line)
            if row["version"] != FORMAT:
                raise ValueError(f"its version is {row['version']}")
            if "restores" in row:
                found.pop(row["restores"], None)
            else:
                found[row["id"]] = _checked(row)
        except (ValueError, KeyError, TypeError) as error:
            reason = f"it is no row of a list of moves: {error}"
            damaged.append(Aside(f"{list_of_moves.name} line {number}", reason))
    return list(found.values()), damaged


def _checked(row: dict[str, Any]) -> Moved:
    names = ("id", "file", "to", "why", "time", "written")
    made = Moved(*(row[name] for name in names))
    if any(not isinstance(getattr(made, name), str) for name in names):
        raise ValueError("a field is no text")
    for path in (made.file, made.to):
        parts = PurePosixPath(path).parts
        if not parts or path.startswith("/") or "\\" in path or ":" in parts[0] or ".." in parts:
            raise ValueError(f"{path!r} is no path below the folder")
    return made


def restore_files(folder: str | Path, files: Sequence[str] | None = None) -> Restored:
    """Brings files back to where they were before they were cleaned in place, the last moved first.

    Args:
        folder: The data.
        files: Only these, by the path below the folder that they had; None for all.

    Raises:
        DataError: One of `files` was not moved.
        StorageError: A file could not be moved.
    """
    root, made = Path(folder), Restored()
    if not (root / TRASH / MOVES).exists() and files is None:
        return made
    if not root.is_dir():
        raise DataError("the folder must exist", f"'{root}' does not", "Check the path.")
    moved, made.aside = moved_files(root)
    lacking = sorted(set(files or ()) - {row.file for row in moved})
    if lacking:
        raise DataError(
            "a file must have been moved to be restored",
            f"'{lacking[0]}' was not",
            "`wiggly clean status` lists what can be restored.",
        )
    with _Trash(root) as trash:
        for row in reversed(moved):
            if files is not None and row.file not in files:
                continue
            reason = _brought_back(trash, row)
            if reason:
                made.aside.append(Aside(row.file, reason))
            else:
                trash.note({"restores": row.id})
                made.files.append(row.file)
    _remove_empty(root / TRASH)
    return made


def _brought_back(trash: _Trash, row: Moved) -> str:
    """Moves one file back; why not, in a few words, or nothing."""
    here, back = trash.folder / row.to, trash.folder / row.file
    if not all(is_below(path.parent, trash.folder) for path in (here, back)):
        return "a link leads out of the folder"
    if not os.path.lexists(here):  # noted, and killed before it moved
        return "" if os.path.lexists(back) else f"it is neither there nor at '{row.to}'"
    if os.path.lexists(back):
        if row.written and file_hash(back) == row.written:
            os.unlink(back)  # the table that was made of this one
        elif _same(here, back):
            os.unlink(here)  # killed in the middle of a move: both names are there
            return ""
        else:
            return f"something else lies there now; it stays at '{row.to}'"
    _move(here, back)
    with contextlib.suppress(OSError):
        here.parent.rmdir()  # a label's folder that was made for it
    return ""


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other) or file_hash(one) == file_hash(other)
    except OSError:
        return False


def _remove_empty(folder: Path) -> None:
    """Removes folders that hold nothing."""
    for here, _, _ in cast("list[tuple[str, Any, Any]]", list(os.walk(folder, topdown=False))):
        if here != str(folder):
            with contextlib.suppress(OSError):
                os.rmdir(here)
