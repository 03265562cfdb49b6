"""Exports a notebook: writes its modules, imports them alone, and lists what they need.

In: a notebook with cells marked `#| export`. Out: modules with `__all__`, and a report. What people have
changed in a module is never overwritten unasked. Read next: `directives.py`, the marks; `app.py`, the same as
a web app.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from wiggly.errors import NotebookError
from wiggly.notebook.directives import HOW_TO_MARK, find_marks
from wiggly.notebook.importing import import_alone
from wiggly.notebook.module import (
    Module,
    make_modules,
    merged,
    module_path,
    origin_of,
    read_module,
    same_code,
)
from wiggly.notebook.reading import Notebook, read_notebook
from wiggly.notebook.requirements import Requirements, find_requirements
from wiggly.notebook.writing import is_made, is_untouched, read_text, write_text

__all__ = ["Export", "Target", "export_notebook", "notebook2script", "plan_targets"]


@dataclass(frozen=True)
class Target:
    """A module to write.

    Attributes:
        name: Its dotted name.
        path: Its file.
        text: What it will hold.
        there: What it holds now; None when there is no such file.
        names: Its `__all__`.
    """

    name: str
    path: Path
    text: str
    there: str | None
    names: tuple[str, ...]

    @property
    def in_step(self) -> bool:
        """Whether the file says already what the notebook says."""
        return self.there is not None and (self.there == self.text or same_code(self.there, self.text))


@dataclass(frozen=True)
class Export:
    """What an export did.

    Attributes:
        notebook: The notebook.
        modules: The modules' files, the notebook's own first.
        names: What they make public, all together.
        written: Those of `modules` that were not in step before.
        problems: Why a module does not work alone; empty when all do, or when nobody asked.
        notes: What else one should know.
        requirements: The packages the modules need.
    """

    notebook: Path
    modules: tuple[Path, ...]
    names: tuple[str, ...]
    written: tuple[Path, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    requirements: Requirements

    def __str__(self) -> str:
        lines = [
            f"{self.notebook} -> {path}{'' if path in self.written else ' (in step already)'}"
            for path in self.modules
        ]
        lines.append(f"  names: {', '.join(self.names) or 'none'}")
        if self.requirements.lines:
            lines.append(f"  needs: {', '.join(self.requirements.lines)}")
        lines += [f"  note: {note}" for note in self.notes]
        lines += [f"  problem: {problem}" for problem in self.problems]
        return "\n".join(lines)


def export_notebook(
    path: str | os.PathLike[str],
    to: str | os.PathLike[str] | None = None,
    *,
    check: bool = True,
    force: bool = False,
) -> Export:
    """Makes modules of the cells of a notebook that are marked `#| export`.

    Then each module is imported in a fresh process, as an app would do it, and every name that is missing
    there is reported with the cell that defines it.

    Args:
        path: An `.ipynb` file, or a `.py` file of marimo, as it was saved last.
        to: The folder from which module names count (`#| default_exp a.b` is `a/b.py` in it); by default that
            of the notebook.
        check: Import the modules. Their code is run by that, but for calls like `demo.launch()`.
        force: Replace files that were changed by hand, or that wiggly has not made.

    Raises:
        NotebookError: No cell is marked, a cell is not Python, or a file that would be lost is in the way.
            Nothing is written then.
        StorageError: A file cannot be read or written.

    Example:
        >>> import json
        >>> cell = {"cell_type": "code", "source": "#| export\\ndef area(w, h): return w * h", "metadata": {}}
        >>> notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {}, "cells": [cell]}
        >>> _ = Path("shapes.ipynb").write_text(json.dumps(notebook))
        >>> print(export_notebook("shapes.ipynb", check=False))
        shapes.ipynb -> shapes.py
          names: area
    """
    notebook = read_notebook(Path(path))
    root = Path(to) if to is not None else notebook.path.parent
    targets, notes = plan_targets(notebook, root)
    for target in targets:
        _check_overwriting(target, force)
    written = [t for t in targets if force or not t.in_step]
    for target in written:
        write_text(target.path, target.text)
        _make_packages(root, target.path)
    problems: list[str] = []
    for target in targets if check else []:
        found = import_alone(notebook, target.path, root, target.name)
        problems += found.problems
        notes += found.notes
    needs = find_requirements([t.text for t in targets], [root, notebook.path.parent])
    return Export(
        notebook.path,
        tuple(t.path for t in targets),
        tuple(dict.fromkeys(name for t in targets for name in t.names)),
        tuple(t.path for t in written),
        tuple(dict.fromkeys(problems)),
        tuple(dict.fromkeys([*notes, *needs.notes])),
        needs,
    )


def notebook2script(
    fname: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None = None,
    to: str | os.PathLike[str] | None = None,
    *,
    check: bool = True,
    force: bool = False,
) -> None:
    """Exports notebooks, to be called in a notebook's last cell, and prints what came of it. Save the
    notebook first.

    Args:
        fname: The notebook, or several; None takes all of this folder that have marked cells.
        to: The folder for the modules; by default that of each notebook.
        check: Import the modules in a fresh process and say what they lack.
        force: Replace files that were changed by hand.

    Raises:
        NotebookError: As `export_notebook`; also when no notebook of this folder has a marked cell.

    Example:
        >>> notebook2script()
        Traceback (most recent call last):
        ...
        wiggly.errors.NotebookError: `notebook2script()` exports the notebooks of the folder you are in; none
        there has a marked cell.
        Put `#| export` on the first line of each cell that belongs into the module.
    """
    for path in _named(fname):
        print(export_notebook(path, to, check=check, force=force))


def plan_targets(notebook: Notebook, root: Path) -> tuple[list[Target], list[str]]:
    """The modules a notebook asks for, joined with what other notebooks have put there, and notes.

    Raises:
        NotebookError: No cell is marked, or one cannot be exported.
    """
    marks = find_marks(notebook)
    if marks is None:
        raise NotebookError(
            "a notebook to export must have marked cells", f"'{notebook.path}' has none", HOW_TO_MARK
        )
    modules, notes = make_modules(notebook.path, marks, root)
    return [_target(notebook, module, root) for module in modules], notes


def _target(notebook: Notebook, module: Module, root: Path) -> Target:
    path = module_path(root, module.name)
    if path.resolve() == notebook.path.resolve() or path.with_suffix("").joinpath("__init__.py").exists():
        what = (
            "the notebook itself"
            if path.resolve() == notebook.path.resolve()
            else "the name of a package there"
        )
        raise NotebookError(
            "a module needs a name of its own",
            f"'{module.name}' is {what}",
            "Put `#| default_exp` with another name into a cell near the top.",
        )
    there = read_text(path)
    old = read_module(there, module.name) if there is not None else None
    if module.owner is not None and old is not None and old.owner not in (None, module.owner):
        _check_owner(module, old, path)
    whole = merged(module, old, origin_of(notebook.path, path))
    return Target(module.name, path, whole.text(), there, tuple(whole.public))


def _check_owner(module: Module, old: Module, path: Path) -> None:
    """Refuses to take a module from a notebook that is still there: a copy has the same `#| default_exp`."""
    if old.owner is not None and (path.parent / old.owner).exists():
        raise NotebookError(
            "a module belongs to one notebook",
            f"'{path}' was made from {old.owner}, and {module.owner} has the same `#| default_exp`",
            f"Give one of the two another name; `#| export {module.name}` adds single cells to the other's.",
        )


def _check_overwriting(target: Target, force: bool) -> None:
    if target.there is None or force or target.in_step or is_untouched(target.there):
        return
    made = is_made(target.there)
    raise NotebookError(
        "an export replaces only what an export has written",
        f"'{target.path}' was changed by hand since" if made else f"'{target.path}' is another file",
        "Bring your changes into the notebook, or pass --force (force=True) to lose them."
        if made
        else "Choose another module name or folder, or pass --force (force=True) to replace it.",
    )


def _make_packages(root: Path, path: Path) -> None:
    """Gives the folders between the root and a module an empty `__init__.py`."""
    folder = path.parent
    while folder.resolve() != root.resolve():
        if not (folder / "__init__.py").exists():
            write_text(folder / "__init__.py", "")
        folder = folder.parent


def _named(fname: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | None) -> list[Path]:
    if fname is not None:
        return [Path(fname)] if isinstance(fname, str | os.PathLike) else [Path(name) for name in fname]
    found = [path for path in sorted(Path().glob("*.ipynb")) if find_marks(read_notebook(path)) is not None]
    if not found:
        raise NotebookError(
            "`notebook2script()` exports the notebooks of the folder you are in",
            "none there has a marked cell",
            HOW_TO_MARK,
        )
    return found
