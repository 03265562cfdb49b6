"""A folder of pictures as it lies on the disk, and what edits change about its files.

In: a folder, how its labels are found, a journal. Out: `Changes`: for each file where it goes, or that it
goes. Nothing is touched. Read next: `copying.py` and `trash.py`, which carry changes out.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from wiggly.clean.rows import TextTable
from wiggly.data.blocks import Block, CategoryBlock
from wiggly.data.edits.edit import Edit
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import NAME, Journal
from wiggly.data.edits.matching import Aside
from wiggly.data.edits.plan import EditPlan, plan_edits
from wiggly.data.edits.state import ItemState
from wiggly.data.items import RegexLabeller, get_image_files, parent_label
from wiggly.errors import DataError
from wiggly.records import Split

__all__ = ["TRASH", "Change", "Changes", "PictureFolder", "changes_of", "is_below"]

#: Where files that were deleted in place lie; `get_image_files` passes over names that begin with a dot.
TRASH = ".wiggly-trash"
#: Names of the folders of the two sides.
PARTS = {"train": ("train", "training"), "valid": ("valid", "val", "validation", "test")}
LABELS = "labels.csv"


@dataclass(frozen=True)
class Change:
    """What happens to a file.

    Attributes:
        file: Its path below the folder, with "/".
        to: Where it goes; None: it is deleted.
        edit: The row that says so.
    """

    file: str
    to: str | None
    edit: Edit | None = None


@dataclass
class Changes:
    """What edits change about a folder.

    Attributes:
        files: Files that move or go.
        table: The new text of the table of labels; None where it stays, or there is none.
        table_name: Its path below the folder.
        plan: What the journal says.
        aside: Edits that are not carried out, each with its reason.
    """

    files: list[Change]
    plan: EditPlan
    table: str | None = None
    table_name: str = LABELS
    aside: list[Aside] = field(default_factory=lambda: list[Aside]())


class PictureFolder:
    """Pictures below a folder, and how their labels are found.

    Args:
        folder: The folder.
        label_csv: A table with file names in its first column and labels in its second; None takes the name
            of the folder that a picture is in.
        label_regex: A pattern whose first group, in the file's name, is the label.
        label_delim: What separates several labels in a cell of the table.

    Raises:
        DataError: It is no folder, or has no pictures, or the table cannot be read.
    """

    def __init__(
        self,
        folder: str | Path,
        label_csv: str | Path | None = None,
        label_regex: str | None = None,
        label_delim: str | None = None,
    ) -> None:
        self.folder = Path(folder)
        found = get_image_files(self.folder)
        self.table = None if label_csv is None else TextTable(Path(label_csv), label_delim)
        self._by_name = None if label_regex is None else RegexLabeller(label_regex)
        self.files: list[str] = (
            [str(file) for file in found]
            if self.table is None
            else [os.path.join(self.folder, name) for name in self.table.column(0)]
        )
        if not self.files:
            raise DataError(f"'{folder}' must hold pictures", "there are none", "Check the path.")
        self.ids = ItemIds(self.files, root=self.folder, labels=self.label)

    @property
    def in_folders(self) -> bool:
        """Whether labels are names of folders."""
        return self.table is None and self._by_name is None

    def label(self, position: int) -> Any:
        """The label of a picture."""
        if self.table is not None:
            return self.table.labels[position]
        if self._by_name is not None:
            return self._by_name(os.path.basename(self.files[position]))
        return parent_label(self.files[position])

    def name(self, position: int) -> str:
        """Its path below the folder, with "/"."""
        return os.path.relpath(self.files[position], self.folder).replace(os.sep, "/")

    def plan(self, edits: str | Path | Journal = NAME) -> EditPlan:
        """What a journal says about these pictures.

        Raises:
            DataError: There is none, or it is of other data.
        """
        return plan_edits(edits, self.folder, self.ids, self.label)


def changes_of(data: PictureFolder, edits: str | Path | Journal = NAME) -> Changes:
    """What a journal changes about the files of a folder.

    Args:
        data: The folder.
        edits: The journal, or its path: in the folder, else below the working folder.

    Raises:
        DataError: There is no such journal, or it is of other data.
    """
    plan = data.plan(edits)
    labels = _new_labels(data, plan)
    relabelled = plan.applied
    made = Changes([], plan)
    if data.table is not None:
        _change_table(data, made, relabelled)
    elif data.in_folders:
        _change_folders(data, made, relabelled)
    elif relabelled:
        stays = [i for i in range(len(data.files)) if i not in plan.deleted]
        rows = [[data.name(i), str(labels[i])] for i in stays]
        made.table = TextTable.written([["file", "label"], *rows])
    if data.table is None:
        made.files += [Change(data.name(i), None, plan.states[i].decided) for i in sorted(plan.deleted)]
    if not data.in_folders:
        for state in plan.states.values():
            if state.side is not None and state.verdict != "delete":
                plan.put_aside(state, "which side it is on is not said by where the file lies", state.moved)
    made.aside = list(plan.aside)
    return made


def _new_labels(data: PictureFolder, plan: EditPlan) -> dict[int, Any]:
    """Relabels; the label of every picture that stays, by position."""
    if not plan.new_labels:
        return {}
    stays = [i for i in range(len(data.files)) if i not in plan.deleted]
    block: Block = CategoryBlock() if data.table is None else data.table.block()
    parts = [[data.label(i) for i in stays], list[Any]()]
    plan.relabel(parts, Split(stays, []), block, data.label)
    return dict(zip(stays, parts[0], strict=True))


def _change_table(data: PictureFolder, made: Changes, relabelled: dict[int, Any]) -> None:
    """Rows leave the table or get a label; a file goes when no row names it any more."""
    table, gone = data.table, made.plan.deleted
    assert table is not None
    if not gone and not relabelled:
        return
    made.table = table.edited(gone, {i: table.cell(label) for i, label in relabelled.items()})
    made.table_name = _below(table.file, data.folder) or table.file.name
    needed = {file for i, file in enumerate(data.files) if i not in gone}
    spare = {data.name(i): i for i in sorted(gone) if data.files[i] not in needed}
    made.files += [Change(name, None, made.plan.states[i].decided) for name, i in spare.items()]


def _change_folders(data: PictureFolder, made: Changes, relabelled: dict[int, Any]) -> None:
    """Files move into the folder of their label, and of their side."""
    taken = {os.path.abspath(file).casefold() for file in data.files}
    wrong: dict[int, str] = {}
    for i, state in made.plan.states.items():
        if i in made.plan.deleted or (i not in relabelled and state.side is None):
            continue
        target, reason = _target(data, i, relabelled.get(i), state)
        if reason:
            wrong[i] = reason
        elif target != data.files[i]:
            free = _free_name(target, taken)
            to = os.path.relpath(free, data.folder).replace(os.sep, "/")
            made.files.append(Change(data.name(i), to, state.decided or state.moved))
            if _side_of(free) != _side_of(data.files[i]):
                made.plan.moved.add(i)
    for i, reason in wrong.items():
        state = made.plan.states[i]
        relabelled.pop(i, None)
        made.plan.put_aside(state, reason, state.moved if state.decided is None else state.decided)


def _target(data: PictureFolder, i: int, label: Any, state: ItemState) -> tuple[str, str]:
    """Where a file goes, or why it cannot."""
    folder, name = os.path.split(data.files[i])
    above, own = os.path.split(folder)
    if label is not None:
        own = str(label)
        if not _is_name(own):
            return "", f"{label!r:.60} cannot be the name of a folder"
    if state.side is not None:
        root, part = os.path.split(above)
        if part not in (*PARTS["train"], *PARTS["valid"]) or not is_below(above, data.folder):
            return "", "the folder has no sides `train` and `valid` to move between"
        if part not in PARTS[state.side]:
            names = (n for n in PARTS[state.side] if os.path.isdir(os.path.join(root, n)))
            above = os.path.join(root, next(names, state.side))
    return os.path.join(above, own, name), ""


def _side_of(file: str) -> str:
    return os.path.dirname(os.path.dirname(file))


def _is_name(text: str) -> bool:
    """Whether a label can be a folder's name; a journal may come from anybody."""
    odd = set(text) & set('/\\:*?"<>|') or any(ord(c) < 32 for c in text)
    return bool(text.strip()) and not odd and not text.startswith(".") and len(text.encode()) < 200


def _free_name(target: str, taken: set[str]) -> str:
    """The path, or with a number where another file has it."""
    stem, suffix = os.path.splitext(target)
    free, k = target, 1
    while os.path.abspath(free).casefold() in taken or os.path.lexists(free):
        k += 1
        free = f"{stem}_{k}{suffix}"
    taken.add(os.path.abspath(free).casefold())
    return free


def is_below(path: str | Path, folder: str | Path) -> bool:
    """Whether a path, with all links followed, lies in a folder or is it."""
    inner, outer = os.path.realpath(path), os.path.realpath(folder)
    return inner == outer or inner.startswith(outer.rstrip(os.sep) + os.sep)


def _below(file: Path, folder: Path) -> str:
    """A path below a folder with "/"; empty when it is elsewhere."""
    inner, outer = os.path.abspath(file), os.path.abspath(folder) + os.sep
    return inner[len(outer) :].replace(os.sep, "/") if inner.startswith(outer) else ""
