"""Says whether a notebook and its modules are in step.

In: a notebook. Out: for each module whether it says what the notebook says, and if not, which side has moved.
Nothing is run or written. Read next: `export.py`, which brings them in step.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from wiggly.notebook.directives import find_marks
from wiggly.notebook.export import Target, plan_targets
from wiggly.notebook.module import Module, origin_of, read_module
from wiggly.notebook.reading import Notebook, read_notebook
from wiggly.notebook.writing import is_untouched

__all__ = ["Step", "check_notebook"]


@dataclass(frozen=True)
class Step:
    """How a module stands to its notebook.

    Attributes:
        module: Its file.
        in_step: Whether it says what the notebook says.
        reason: If not, why, as a sentence.
    """

    module: Path
    in_step: bool
    reason: str

    def __str__(self) -> str:
        return f"{self.module}: {self.reason}"


def check_notebook(path: str | os.PathLike[str], to: str | os.PathLike[str] | None = None) -> list[Step]:
    """Compares a notebook with the modules it was exported to.

    A module that was only laid out anew, by a formatter, is in step.

    Args:
        path: The notebook.
        to: The folder of the modules; by default that of the notebook.

    Returns:
        One entry for each module; none when no cell is marked.

    Raises:
        NotebookError: The notebook cannot be exported.

    Example:
        >>> import json
        >>> cell = {"cell_type": "code", "source": "#| export\\nx = 1", "metadata": {}}
        >>> notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}
        >>> _ = Path("app.ipynb").write_text(json.dumps(notebook))
        >>> print(check_notebook("app.ipynb")[0])
        app.py: not there; `wiggly notebook export app.ipynb` writes it.
    """
    notebook = read_notebook(Path(path))
    if find_marks(notebook) is None:
        return []
    root = Path(to) if to is not None else notebook.path.parent
    targets, _ = plan_targets(notebook, root)
    return [_step(notebook, target) for target in targets]


def _step(notebook: Notebook, target: Target) -> Step:
    if target.in_step:
        return Step(target.path, True, "in step")
    again = f"`wiggly notebook export {notebook.path}`"
    if target.there is None:
        return Step(target.path, False, f"not there; {again} writes it.")
    old = read_module(target.there, target.name)
    if old is None:
        return Step(target.path, False, "another file, which no export has written.")
    changed = _changed(
        notebook, old, read_module(target.text, target.name), origin_of(notebook.path, target.path)
    )
    if not is_untouched(target.there):
        return Step(
            target.path, False, f"edited by hand{changed}: bring the edit into the notebook, then export."
        )
    return Step(target.path, False, f"behind its notebook{changed}; {again} brings it up.")


def _changed(notebook: Notebook, old: Module, new: Module | None, origin: str) -> str:
    """The cells that differ, in words."""
    before = {s.id: (s.code, s.internal) for s in old.sections if s.notebook == origin}
    after = {s.id: (s.code, s.internal) for s in (new.sections if new else ()) if s.notebook == origin}
    cells = [str(c) for c in notebook.cells if before.get(c.id) != after.get(c.id)]
    gone = len(before.keys() - {c.id for c in notebook.cells})
    words = [*cells, *([f"{gone} that the notebook no longer has"] if gone else [])]
    return f" in {', '.join(words)}" if words else ""
