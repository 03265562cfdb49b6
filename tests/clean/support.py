"""What the tests of cleaning share: a folder of pictures, its journal, and what lies where."""

from __future__ import annotations

import hashlib
from pathlib import Path

from tests.data.support import photo_folder

from wiggly import ItemIds, Journal, get_image_files, parent_label

__all__ = ["contents", "edited_folder", "ids_of"]


def ids_of(folder: Path) -> ItemIds:
    """The pictures below a folder, with the name of their folder as their label."""
    files = get_image_files(folder)
    return ItemIds(files, root=folder, labels=lambda i: parent_label(files[i]))


def edited_folder(folder: Path, classes: dict[str, int] | None = None) -> Journal:
    """Pictures of two classes; the first is deleted, the second relabelled, the third kept."""
    photo_folder(folder, classes or {"ant": 4, "bee": 4})
    journal, ids = Journal(folder / "edits.jsonl", author="Ann"), ids_of(folder)
    journal.add("delete", ids.ref(0))
    journal.add("relabel", ids.ref(1), "bee")
    journal.add("keep", ids.ref(2))
    return journal


def contents(folder: Path, hidden: bool = False) -> dict[str, str]:
    """Every file below a folder, by path, with a hash of its content."""
    files = [file for file in sorted(folder.rglob("*")) if file.is_file()]
    names = {file.relative_to(folder).as_posix(): file for file in files}
    return {
        name: hashlib.sha256(file.read_bytes()).hexdigest()
        for name, file in names.items()
        if hidden or not any(part.startswith(".") for part in name.split("/"))
    }
