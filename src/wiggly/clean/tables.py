"""A table of rows, cleaned: rows that were deleted are gone, the target has its new values.

In: a CSV file, its target, a journal. Out: another CSV file, or the same with the old one in the trash. Read
next: `trash.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from wiggly.clean.report import CleanReport
from wiggly.clean.rows import TextTable
from wiggly.clean.trash import replace_table
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import NAME, Journal
from wiggly.data.edits.plan import EditPlan, plan_edits
from wiggly.data.table import TableItems
from wiggly.data.vocab import plain_value
from wiggly.errors import ArgumentError, DataError, StorageError
from wiggly.records import Split
from wiggly.tabular.encoder import Columns
from wiggly.tabular.files import read_csv
from wiggly.tabular.reading import as_frame
from wiggly.tabular.targets import made_targets

__all__ = ["clean_table", "plan_table"]


def plan_table(file: str | Path, target: str, edits: str | Path | Journal = NAME) -> EditPlan:
    """What a journal says about the rows of a CSV file.

    Args:
        file: The file.
        target: The column of labels.
        edits: The journal, or its path: beside the file, else below the working folder.

    Raises:
        DataError: There is none, or it is of other data.
    """
    frame: Any = as_frame(read_csv(Path(file)))
    targets = made_targets(Columns(frame), target)
    values = [plain_value(value) for value in frame[target].to_list()]
    ids = ItemIds(TableItems(frame.to_native()), labels=values.__getitem__)
    plan = plan_edits(edits, Path(file).parent, ids, values.__getitem__)
    stays = [i for i in range(len(frame)) if i not in plan.deleted]
    parts = [[values[i] for i in stays], list[Any]()]
    plan.relabel(parts, Split(stays, []), targets.blocks[0], values.__getitem__)
    for state in plan.states.values():
        if state.side is not None and state.verdict != "delete":
            plan.put_aside(state, "a table does not say which side a row is on", state.moved)
    return plan


def clean_table(
    file: str | Path,
    target: str,
    edits: str | Path | Journal = NAME,
    to: str | Path | None = None,
) -> CleanReport:
    """Writes a CSV file without the rows that were deleted and with the new labels.

    All other cells keep every character. In place, the old file goes into the trash beside it.

    Args:
        file: The file.
        target: The column of labels.
        edits: The journal, or its path: beside the file, else below the working folder.
        to: A file that does not exist yet; None cleans in place.

    Raises:
        ArgumentError: There is a file at `to`.
        DataError: There is no journal, or it is of other data.
        StorageError: It could not be written.
    """
    source = Path(file)
    if to is not None and Path(to).exists():
        raise ArgumentError("a copy needs a place of its own", f"'{to}' is there", "Name a new file.")
    plan = plan_table(source, target, edits)
    text = TextTable(source, label_col=target)
    if len(text) != len(plan.ids):
        raise DataError(
            "every line of the table must be a row",
            f"'{source}' has {len(text):,} lines and {len(plan.ids):,} rows",
            "Write it again with pandas.",
        )
    made = text.edited(plan.deleted, {i: text.cell(label) for i, label in plan.applied.items()})
    if to is not None:
        _write_new(Path(to), made)
    elif plan.deleted or plan.applied:
        replace_table(source, made)
    found = plan.summary()
    where = str(source if to is None else to)
    counts = (found.deleted, found.relabelled, 0, found.kept, found.unsure, found.gone)
    return CleanReport(where, len(text) - found.deleted, *counts, aside=found.aside)


def _write_new(to: Path, text: str) -> None:
    try:
        with open(to, "x", encoding="utf-8", newline="") as file:
            file.write(text)
    except OSError as error:
        raise StorageError(
            "the copy must be writable", f"'{to}': {error.strerror or error}", "Name another place."
        ) from error
