"""The list of files as it was before edits were carried out on it, so that a split by seed stays the same.

In: the files of a folder and what a journal says of them. Out: their positions in the order they had, with
gaps for those that are gone. Without this a file moved into another label's folder, or into the trash, would
shift all others, and the same seed would draw another split. Read next: `plan.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wiggly.data.edits.edit import Edit
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.matching import Matched
from wiggly.data.items import get_image_files

__all__ = ["order_before"]


def order_before(
    items: Sequence[Any], folder: str | Path, ids: ItemIds, matched: Matched, edits: Sequence[Edit]
) -> list[int | None] | None:
    """Positions of the items in the order of the list before any edit was carried out; None for each that is
    gone.

    Args:
        items: The items.
        folder: The data's.
        ids: Of the items.
        matched: What the journal says of them.
        edits: All rows of the journal, in order.

    Returns:
        None where the list is as it was, or is not that of a whole folder.
    """
    first: dict[str, str] = {}
    for edit in edits:
        if edit.copies == 1:
            first.setdefault(edit.item, edit.path)
    decided = {i: state.decided or state.moved for i, state in matched.states.items()}
    paths = {i: first.get(edit.item, edit.path) for i, edit in decided.items() if edit is not None}
    moved = {i: path for i, path in paths.items() if path != ids.name(i) and _is_plain(path)}
    gone = {edit.path for edit in matched.gone if _is_plain(edit.path)}
    gone = {path for path in gone if not os.path.exists(os.path.join(folder, path))}
    if not (moved or gone) or not _is_whole(items, folder):
        return None
    keys = [(_parts(moved.get(i, ids.name(i))), i) for i in range(len(items))]
    taken = {parts for parts, _ in keys}
    gaps = [(parts, None) for parts in map(_parts, gone) if parts not in taken]
    return [i for _, i in sorted([*keys, *gaps], key=lambda pair: pair[0])]


def _is_plain(path: str) -> bool:
    """Whether a path is one below the folder."""
    return bool(path) and not path.startswith("/") and ".." not in path.split("/") and "." in path


def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("/"))


def _is_whole(items: Sequence[Any], folder: str | Path) -> bool:
    """Whether the items are all pictures of the folder, in the order of `get_image_files`."""
    if not os.path.isdir(folder) or not all(isinstance(item, (str, Path)) for item in items):
        return False
    return [str(item) for item in items] == [str(file) for file in get_image_files(folder)]
