"""What cleaning did, for people and for programs.

In: what was changed. Out: `CleanReport`, a line of counts and the names of what was set aside. Read next:
`../cli/cleaning.py`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wiggly.clean.folder import Changes
from wiggly.data.edits.matching import Aside

__all__ = ["CleanReport", "report_of"]


@dataclass
class CleanReport:
    """What cleaning did.

    Attributes:
        where: The copy, or the folder that was cleaned in place.
        files: Files of the copy; in place, files that were moved.
        deleted: Items that are gone from it.
        relabelled: Items that have another label in it.
        moved: Items on the other side of the split.
        kept: Items that somebody found right.
        unsure: Items that somebody was unsure of; they stay.
        gone: Deletions of items that were not there any more.
        table: The table of labels that was written; empty without one.
        aside: Edits that were not carried out, each with its reason.
    """

    where: str
    files: int = 0
    deleted: int = 0
    relabelled: int = 0
    moved: int = 0
    kept: int = 0
    unsure: int = 0
    gone: int = 0
    table: str = ""
    aside: list[Aside] = field(default_factory=lambda: list[Aside]())

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON types."""
        return {**vars(self), "aside": [str(row) for row in self.aside]}

    def __str__(self) -> str:
        parts = [f"{self.deleted:,} deleted", f"{self.relabelled:,} relabelled", f"{self.moved:,} moved"]
        parts += [f"{getattr(self, n):,} {n}" for n in ("kept", "unsure", "gone") if getattr(self, n)]
        lines = [f"'{self.where}': {', '.join(parts)}"]
        lines += [f"labels: '{self.table}'"] if self.table else []
        lines += [f"set aside: {row}" for row in self.aside]
        return "\n".join(lines)


def report_of(changes: Changes, where: str, files: int, table: str = "") -> CleanReport:
    """The report of changes that were carried out.

    Args:
        changes: What was planned.
        where: The copy, or the folder.
        files: How many were written or moved.
        table: The table of labels that was written.
    """
    found = changes.plan.summary()
    return CleanReport(
        where,
        files,
        found.deleted,
        found.relabelled,
        found.moved,
        found.kept,
        found.unsure,
        found.gone,
        table,
        changes.aside,
    )
