"""The verb `clean`: what to look at, what a journal of edits says about a folder, and carrying it out.

In: a folder (or a CSV file) and its `edits.jsonl`. Out: a cleaned copy, or the folder cleaned in place with a
trash that gives back; journals merged; edits undone. Read next: `suspecting.py`,
`../clean/copying.py`.
"""

from __future__ import annotations

import json as json_format
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from wiggly.cli.suspecting import suspects
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.clean.report import CleanReport
    from wiggly.data.edits.edit import Edit
    from wiggly.data.edits.journal import Journal
    from wiggly.data.edits.plan import EditPlan

__all__ = ["clean"]

EXAMPLES = """Example:

    wiggly clean suspects photos --arch resnet18        # what to look at first
    wiggly clean status photos                          # what photos/edits.jsonl says
    wiggly clean apply photos --copy-to photos-clean
    wiggly clean apply photos --in-place                # deleted files go to a trash
    wiggly clean restore photos                         # and come back
    wiggly clean merge ann.jsonl ben.jsonl --to both.jsonl
"""

clean = App(
    name="clean", help="Finds mistakes in data, and applies edits that mend them.", help_epilogue=EXAMPLES
)
clean.command(suspects)

DataPath = Annotated[Path, Parameter(help="The folder of pictures, or a CSV file of rows.")]
Json = Annotated[bool, Parameter(negative="", show_default=False, help="Print JSON instead of text.")]


@Parameter(name="*", group="Labels and journal")
@dataclass(frozen=True, kw_only=True)
class EditOptions:
    """Where the edits are, and how labels are found."""

    edits: Annotated[Path, Parameter(help="The journal, in the folder of the data or where you say.")] = Path(
        "edits.jsonl"
    )
    label_csv: Annotated[
        Path | None,
        Parameter(help="Labels are in this table: file names in the first column, labels in the second."),
    ] = None
    label_regex: Annotated[
        str | None, Parameter(help="Labels are in file names: the first group of this pattern.")
    ] = None
    label_delim: Annotated[
        str | None, Parameter(help="What separates several labels in a cell of the table.")
    ] = None
    target: Annotated[str | None, Parameter(help="Of a CSV file of rows, the column of labels.")] = None


@clean.command(help_epilogue=EXAMPLES)
def apply(
    data: DataPath,
    /,
    *,
    copy_to: Annotated[
        Path | None, Parameter(help="Write a cleaned copy here; the data stay as they are.")
    ] = None,
    in_place: Annotated[
        bool,
        Parameter(
            negative="",
            show_default=False,
            help="Change the folder itself: deleted files move to `.wiggly-trash` in it, relabelled ones to "
            "their label's folder. `restore` takes it back.",
        ),
    ] = False,
    json: Json = False,
    how: EditOptions = EditOptions(),
) -> int:
    """Carries the edits of a journal out, in a copy or in place. No file is overwritten.

    Returns:
        0; 1 when edits were set aside.
    """
    if (copy_to is None) != in_place:
        raise ArgumentError(
            "`apply` needs either --copy-to DIR or --in-place",
            "both were given" if in_place else "neither was given",
            "Pass one of them; --copy-to leaves the data as they are.",
        )
    report = _apply(data, copy_to, how)
    print(json_format.dumps(report.to_dict(), indent=2) if json else report)
    return 1 if report.aside else 0


def _apply(data: Path, copy_to: Path | None, how: EditOptions) -> CleanReport:
    if data.is_file():
        from wiggly.clean.tables import clean_table

        return clean_table(data, _target(how), how.edits, copy_to)
    labels: dict[str, Any] = {
        "label_csv": how.label_csv,
        "label_regex": how.label_regex,
        "label_delim": how.label_delim,
    }
    if copy_to is None:
        from wiggly.clean.trash import clean_in_place

        return clean_in_place(data, how.edits, **labels)
    from wiggly.clean.copying import clean_copy

    return clean_copy(data, copy_to, how.edits, **labels)


def _target(how: EditOptions) -> str:
    if how.target is None:
        raise ArgumentError(
            "a CSV file needs its column of labels", "--target was not given", "Pass --target COLUMN."
        )
    return how.target


@clean.command
def status(data: DataPath, /, *, json: Json = False, how: EditOptions = EditOptions()) -> int:
    """Says what the journal holds, which of it applies, and what is set aside and why. Changes nothing.

    Returns:
        0; 1 when edits are set aside.
    """
    from wiggly.clean.trash import moved_files

    plan = _planned(data, how)
    moved, lost = moved_files(data if data.is_dir() else data.absolute().parent)
    aside = [*plan.aside, *lost]
    if json:
        found = {**plan.summary().to_dict(), "aside": [str(row) for row in aside]}
        print(json_format.dumps({**found, "in_trash": [row.file for row in moved]}, indent=2))
    else:
        _show_status(plan, [str(row) for row in aside], [row.file for row in moved])
    return 1 if aside else 0


def _planned(data: Path, how: EditOptions) -> EditPlan:
    if data.is_file():
        from wiggly.clean.tables import plan_table

        return plan_table(data, _target(how), how.edits)
    from wiggly.clean.folder import PictureFolder, changes_of

    folder = PictureFolder(data, how.label_csv, how.label_regex, how.label_delim)
    return changes_of(folder, how.edits).plan


def _show_status(plan: EditPlan, aside: list[str], moved: list[str]) -> None:
    print(plan.summary())
    authors = Counter(edit.author or "unknown" for edit in plan.journal.active)
    print(
        "  by " + ", ".join(f"{name} ({n:,})" for name, n in authors.most_common()) if authors else "  empty"
    )
    decided = ((plan.states[i].decided, label) for i, label in plan.applied.items())
    changes = Counter((str(edit.old), str(label)) for edit, label in decided if edit is not None)
    for (old, new), n in changes.most_common(10):
        print(f"  {n:,} × {old} → {new}")
    for row in aside:
        print(f"  set aside: {row}")
    if moved:
        print(f"  {len(moved):,} moved in place (`wiggly clean restore` undoes that): {', '.join(moved[:5])}")


@clean.command
def restore(
    data: DataPath,
    files: Annotated[
        tuple[str, ...], Parameter(help="Only these, by the path below the folder that they had.")
    ] = (),
    /,
) -> int:
    """Brings files back that were moved by `apply --in-place`. No file is overwritten.

    Returns:
        0; 1 when a file could not be brought back.
    """
    from wiggly.clean.trash import restore_files as bring_back

    found = bring_back(data if data.is_dir() else data.absolute().parent, list(files) or None)
    print(found)
    return 1 if found.aside else 0


@clean.command
def merge(
    first: Annotated[Path, Parameter(help="A journal.")],
    second: Annotated[Path, Parameter(help="Another.")],
    /,
    *,
    to: Annotated[Path, Parameter(help="The merged journal; a new file.")],
    prefer: Annotated[
        Literal["none", "first", "second", "latest"],
        Parameter(help="Whose decision stands where two people differ; none: the item is marked unsure."),
    ] = "none",
    author: Annotated[str | None, Parameter(help="Who merges. Default: you.")] = None,
) -> int:
    """Puts two people's journals together, and shows where they decided differently.

    Returns:
        0; 1 when conflicts are left.
    """
    from wiggly.clean.merge import merge_journals

    found = merge_journals(first, second, to, prefer, author)
    print(found)
    return 1 if any(conflict.kept is None for conflict in found.conflicts) else 0


Id = Annotated[
    str | None, Parameter(name="--id", help="Id of the edit. Default: the last one of the author.")
]
Author = Annotated[str | None, Parameter(help="Whose last edit. Default: yours.")]
JournalPath = Annotated[Path, Parameter(help="The journal, or the folder of the data.")]


@clean.command
def undo(journal: JournalPath, /, *, edit: Id = None, author: Author = None) -> int:
    """Undoes an edit, the last one unless told; the journal gets one more row."""
    opened = _journal(journal, author)
    return _tell("undone", opened.undo(edit), opened)


@clean.command
def redo(journal: JournalPath, /, *, edit: Id = None, author: Author = None) -> int:
    """Redoes an edit that was undone, the last one unless told."""
    opened = _journal(journal, author)
    return _tell("redone", opened.redo(edit), opened)


def _journal(path: Path, author: str | None) -> Journal:
    from wiggly.data.edits.journal import NAME, Journal, opened_journal

    found = opened_journal(path / NAME if path.is_dir() else path)
    return Journal(found.path, author)


def _tell(done: str, edit: Edit | None, journal: Journal) -> int:
    if edit is None:
        authors = sorted({e.author for e in journal.edits if e.author != journal.author})
        others = f"; there are edits of {', '.join(authors)}: pass --author" if authors else ""
        print(f"nothing of {journal.author}'s can be {done}{others}")
        return 1
    print(f"{done}: {edit} ({edit.id}, {edit.author}, {edit.time})")
    return 0
