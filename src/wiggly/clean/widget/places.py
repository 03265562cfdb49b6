"""Where the marks of a cleaner are kept: beside the data if one may write there.

In: a learner's loaders, and what the user said. Out: a `Journal`. Read next: `cleaner.py`.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wiggly.data.edits.journal import NAME, Journal, opened_journal
from wiggly.errors import DataError

__all__ = ["data_folder", "journal_of"]


def data_folder(path: str | Path, files: Sequence[str | None]) -> Path:
    """The folder of the data: that of the loaders if they were told one, else the one all files lie in.

    Args:
        path: The loaders'.
        files: Of the items; None for an item that is none.

    Example:
        >>> data_folder(".", ["/photos/ant/1.jpg", "/photos/bee/1.jpg"]).as_posix()
        '/photos'
    """
    folder = Path(path)
    whole = [os.path.abspath(file) for file in files if file is not None]
    below = os.path.join(os.path.abspath(folder), "")
    if not whole or (folder != Path(".") and all(file.startswith(below) for file in whole)):
        return folder
    try:
        common = Path(os.path.commonpath([os.path.dirname(file) for file in whole]))
    except ValueError:  # on several drives
        return folder
    return folder if common == Path(common.anchor) else common


def journal_of(dls: Any, edits: str | Path | Journal | None, folder: Path) -> Journal:
    """The journal that marks go to.

    Args:
        dls: The loaders; a journal that they apply is gone on with.
        edits: A journal, or its path; None takes `edits.jsonl` in the folder.
        folder: Of the data; where one may not write there, the working folder.
    """
    applied = getattr(dls, "edits", None)
    if edits is None and applied is not None:
        return Journal(applied.journal)
    if edits is not None:
        try:
            return opened_journal(edits, folder)
        except DataError:  # it is not there yet
            path = Path(str(edits)).expanduser()
            return Journal(folder / path if path.parent == Path(".") else path)
    here = folder if os.access(folder, os.W_OK) else Path(".")
    return Journal(here / NAME)
