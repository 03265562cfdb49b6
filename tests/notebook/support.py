"""Notebooks for the tests, and what nbdev makes of the same."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

CASES = Path(__file__).with_name("nbdev_cases.json")

Cell = str | tuple[str, str]


def notebook_json(cells: Sequence[Cell], **more: Any) -> dict[str, Any]:
    """A notebook of format 4.5 as JSON; a cell that is a pair has its kind first."""
    made: list[dict[str, Any]] = []
    for i, cell in enumerate(cells):
        kind, source = ("code", cell) if isinstance(cell, str) else cell
        entry: dict[str, Any] = {"cell_type": kind, "id": f"c{i}", "metadata": {}}
        entry["source"] = source.splitlines(keepends=True)
        if kind == "code":
            entry |= {"execution_count": None, "outputs": []}
        made.append(entry)
    return {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5} | more


def write_notebook(path: Path, cells: Sequence[Cell], **more: Any) -> Path:
    """Write a notebook and return its path."""
    path.write_text(json.dumps(notebook_json(cells, **more)), "utf-8")
    return path


def said(text: str) -> dict[str, Any]:
    """What a module says, apart from how it is laid out: its `__all__`, and its statements."""
    tree = ast.parse(text)
    first = next((n for n in tree.body if _is_all(n)), None)
    code = [ast.unparse(node) for node in tree.body if node is not first]
    return {"all": ast.literal_eval(first.value) if isinstance(first, ast.Assign) else [], "code": code}


def _is_all(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def what_nbdev_makes(cells: Sequence[Cell]) -> dict[str, Any]:
    """By module: what nbdev's own `nb_export` says there. Needs nbdev 3."""
    from nbdev.export import nb_export  # pyright: ignore

    with TemporaryDirectory() as name:
        folder = Path(name)
        nb_export(str(write_notebook(folder / "notebook.ipynb", cells)), str(folder / "out"))
        files = sorted((folder / "out").rglob("*.py"))
        return {file.relative_to(folder / "out").as_posix(): said(file.read_text()) for file in files}


if __name__ == "__main__":  # python tests/notebook/support.py, where nbdev is installed, records anew
    cases = json.loads(CASES.read_text())
    for case in cases.values():
        case["nbdev"] = what_nbdev_makes([c if isinstance(c, str) else tuple(c) for c in case["cells"]])
    CASES.write_text(json.dumps(cases, indent=1) + "\n")
    print(f"{len(cases)} cases recorded with Python {sys.version.split()[0]}")
