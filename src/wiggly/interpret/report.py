"""`learn.report("report.html")`: everything somebody else needs to judge the model, on one page that needs
nothing else.

In: a trained Learner and a path. Out: one HTML file, no script, no outside reference, under 5 MB. Read next:
`gather.py` (what is read from the learner), `facts.py` (what a report says), `sections.py` (how it is put).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from wiggly.errors import StorageError
from wiggly.interpret.gather import gather
from wiggly.interpret.markup import is_report
from wiggly.interpret.sections import page
from wiggly.train.checkpoint import atomic_write

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["write_report"]


def write_report(learn: Learner, path: str | Path = "report.html", *, overwrite: bool = False) -> Path:
    """Write the report of a trained classifier.

    The validation set is predicted once; some of its pictures and some of training are read again.

    Args:
        learn: A learner for one category per item.
        path: The file to write, exactly as given; folders that do not exist are made. A report that is there
            is replaced.
        overwrite: Replace what is at `path` even if it is no report.

    Returns:
        The path.

    Raises:
        StorageError: It cannot be written (no permission, a full disk, another kind of file is there); the
            file that was there is untouched.
        ArgumentError: The learner is no classifier of single labels.
        DataError: No validation item could be read.
    """
    place = Path(path)
    if place.is_file() and place.stat().st_size and not (overwrite or is_report(place)):
        raise StorageError(
            "`path` must be free or an earlier report",
            f"'{place}' is a file of another kind",
            "Choose another name, or move that file away.",
        )
    return atomic_write(place, page(gather(learn)).encode("utf-8"))
