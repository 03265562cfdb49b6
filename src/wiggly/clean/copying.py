"""A cleaned copy: the folder as it would be without what was deleted, every file under its new label.

In: a folder, a journal, a place. Out: the copy, whole or not at all; the folder is only read. Read next:
`trash.py`, the same in place.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from wiggly.clean.folder import Changes, PictureFolder, changes_of, is_below
from wiggly.clean.report import CleanReport, report_of
from wiggly.data.edits.journal import NAME, Journal
from wiggly.errors import ArgumentError, StorageError

__all__ = ["check_place", "clean_copy", "whole_folder"]


def clean_copy(
    folder: str | Path,
    to: str | Path,
    edits: str | Path | Journal = NAME,
    *,
    label_csv: str | Path | None = None,
    label_regex: str | None = None,
    label_delim: str | None = None,
) -> CleanReport:
    """Writes a cleaned copy of a folder of pictures.

    Where labels are names of folders, a relabelled picture goes into its new label's folder, and one that
    changes sides into the other of `train` and `valid`. Where they are in a table, the copy has a new table.
    Where they are in file names, the copy has `labels.csv` with every picture and its label. Other files are
    copied as they are, without the journal and what begins with a dot.

    Args:
        folder: The data.
        to: Where the copy goes; a folder that does not exist or is empty.
        edits: The journal, or its path: in the folder, else below the working folder.
        label_csv: The table of labels: file names in the first column, labels in the second.
        label_regex: A pattern whose first group, in a file's name, is the label.
        label_delim: What separates several labels in a cell of the table.

    Raises:
        ArgumentError: Something is there already, or one folder lies in the other.
        DataError: There is no such journal, or it is of other data.
        StorageError: The copy could not be written; nothing is left of it.
    """
    data, place = PictureFolder(folder, label_csv, label_regex, label_delim), Path(to)
    check_place(place, data.folder)
    changes = changes_of(data, edits)
    aside = place.parent / f".{place.name}.{secrets.token_hex(4)}.part"
    with whole_folder(place, aside):
        n = _copy_files(data, changes, aside)
        if changes.table is not None:
            table = aside / changes.table_name
            table.parent.mkdir(parents=True, exist_ok=True)
            table.write_text(changes.table, encoding="utf-8", newline="")
    written = str(place / changes.table_name) if changes.table is not None else ""
    return report_of(changes, str(place), n, written)


def check_place(place: Path, folder: Path) -> None:
    """Refuses a place where a copy would overwrite something, or would become part of itself.

    Raises:
        ArgumentError: It is such a place.
        StorageError: The folder around it does not exist.
    """
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ArgumentError(
            "a copy needs a place of its own", f"'{place}' holds something", "Name a folder that is new."
        )
    if is_below(place, folder) or is_below(folder, place):
        raise ArgumentError(
            "a copy must lie outside the data", f"'{place}' and '{folder}' overlap", "Name another folder."
        )
    if not place.absolute().parent.is_dir():
        raise StorageError(
            "the folder around a copy must exist",
            f"'{place.absolute().parent}' does not",
            f"Make it first: mkdir -p '{place.absolute().parent}'",
        )


class whole_folder:
    """What is written into a folder aside appears at its place when all of it is there, else not at all.

    Args:
        place: Where it goes; missing or empty.
        aside: Where it is written, beside the place.
    """

    def __init__(self, place: Path, aside: Path) -> None:
        self.place, self.aside = place, aside

    def __enter__(self) -> None:
        self.aside.mkdir()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        try:
            if error is None:
                if self.place.exists():
                    self.place.rmdir()  # empty; Windows renames onto nothing that is there
                os.rename(self.aside, self.place)
                return
        except OSError as failed:
            error = failed
        shutil.rmtree(self.aside, ignore_errors=True)
        if isinstance(error, OSError) and not isinstance(error, StorageError):
            raise StorageError(
                f"the copy '{self.place}' must be writable",
                f"writing failed: {error.strerror or error}; nothing is left of it",
                "Free space, or name another place.",
            ) from error


def _copy_files(data: PictureFolder, changes: Changes, aside: Path) -> int:
    """Copies every file that stays to where it goes; how many."""
    goes = {change.file: change.to for change in changes.files}
    left_out = {os.path.abspath(changes.plan.journal.path)}
    if changes.table is not None and data.table is not None:
        left_out.add(os.path.abspath(data.table.file))
    n = 0
    for file, name in _files(data.folder):
        to = goes.get(name, name)
        if to is None or os.path.abspath(file) in left_out:
            continue
        target = aside / to
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, target)
        n += 1
    return n


def _files(folder: Path) -> Iterator[tuple[str, str]]:
    """Every file below a folder and its path there; links are followed once, names with a dot passed over."""
    seen: set[str] = set()
    for here, folders, files in os.walk(folder, followlinks=True):
        if os.path.realpath(here) in seen:
            folders.clear()
            continue
        seen.add(os.path.realpath(here))
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(here, name)
            if not name.startswith(".") and os.path.isfile(path):
                yield path, os.path.relpath(path, folder).replace(os.sep, "/")
