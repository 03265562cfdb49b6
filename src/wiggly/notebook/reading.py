"""Opens a notebook: Jupyter's `.ipynb` of format 4, or marimo's `.py`.

In: a path. Out: its cells, numbered as a reader counts them, from 1 and text included. Nothing is run. Read
next: `directives.py`, which finds the cells to export.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wiggly.errors import NotebookError, StorageError

__all__ = ["Cell", "Notebook", "parse_notebook", "read_notebook"]

FORMAT = 4
CONFLICT = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
LABEL_LENGTH = 40


@dataclass(frozen=True)
class Cell:
    """One cell.

    Attributes:
        number: Its place in the notebook, from 1, text cells counted.
        id: The id Jupyter gave it, which stays when cells move; the number where there is none.
        kind: "code", "markdown" or "raw".
        source: Its text.
    """

    number: int
    id: str
    kind: str
    source: str

    def __str__(self) -> str:
        first = next((line.strip() for line in self.source.splitlines() if _is_code(line)), "")
        short = first if len(first) <= LABEL_LENGTH else f"{first[: LABEL_LENGTH - 1]}…"
        return f"cell {self.number} (`{short}`)" if short else f"cell {self.number}"


@dataclass(frozen=True)
class Notebook:
    """A notebook: where it lies, and its cells from top to bottom."""

    path: Path
    cells: tuple[Cell, ...]


def read_notebook(path: Path) -> Notebook:
    """Reads a notebook.

    Args:
        path: An `.ipynb` file, or a `.py` file that marimo wrote.

    Raises:
        StorageError: There is no such file, or it cannot be read.
        NotebookError: It is no notebook, damaged, of another format, or not in Python.
    """
    content = read_bytes(path)
    if path.suffix == ".py":
        from wiggly.notebook.marimo import marimo_cells

        return Notebook(path, marimo_cells(path, _decode(path, content)))
    found = parse_notebook(path, content)
    _check_language(path, found)
    return Notebook(path, tuple(_cell(path, i, c) for i, c in enumerate(found["cells"], 1)))


def read_bytes(path: Path) -> bytes:
    """The content of a file.

    Raises:
        StorageError: It cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(
            "a notebook must be a file that can be read",
            f"'{path}' cannot: {error.strerror or error}",
            "Pass the path of an .ipynb file, or of a .py file that marimo wrote.",
        ) from error


def parse_notebook(path: Path, content: bytes) -> dict[str, Any]:
    """The JSON of an `.ipynb` file, known to have metadata and cells that each have a kind and a text.

    Raises:
        NotebookError: It has not.
    """
    text = _decode(path, content)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        conflict = CONFLICT.search(text)
        where = (
            f"line {text.count(chr(10), 0, conflict.start()) + 1} holds a conflict of a merge"
            if conflict
            else f"{error}"
        )
        raise NotebookError(
            f"'{path}' must be a notebook, which is a JSON file",
            f"it cannot be read as one: {where}",
            "Take one side of the merge: `git checkout --ours` or `--theirs`."
            if conflict
            else "Get a complete copy, or restore an earlier version.",
        ) from error
    if not isinstance(found, dict) or "nbformat" not in found:
        raise NotebookError(
            f"'{path}' must be a notebook",
            "it is another JSON file: it has no `nbformat`",
            "Pass a file that Jupyter, VS Code, Colab or Kaggle saved as .ipynb.",
        )
    notebook = cast("dict[str, Any]", found)
    _check_format(path, notebook)
    return notebook


def _check_format(path: Path, notebook: dict[str, Any]) -> None:
    version = notebook["nbformat"]
    if version != FORMAT:
        raise NotebookError(
            f"'{path}' must be of notebook format {FORMAT}",
            f"it is of format {version}",
            f"Convert it: `jupyter nbconvert --to notebook --nbformat {FORMAT} --inplace {path}`."
            if version in (1, 2, 3)
            else "Save it with another program, or update wiggly.",
        )
    cells = notebook.get("cells")
    if not isinstance(cells, list) or not isinstance(notebook.setdefault("metadata", {}), dict):
        raise _incomplete(path, "it has no list of cells")
    for number, cell in enumerate(cast("list[Any]", cells), 1):
        _check_cell(path, number, cell)


def _check_cell(path: Path, number: int, cell: Any) -> None:
    if not isinstance(cell, dict) or cell.get("cell_type") not in ("code", "markdown", "raw"):
        raise _incomplete(path, f"cell {number} is neither code nor text")
    found = cast("dict[str, Any]", cell)
    source = found.get("source")
    lines = cast("list[Any]", source) if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise _incomplete(path, f"cell {number} has no text")
    if not isinstance(found.setdefault("metadata", {}), dict):
        raise _incomplete(path, f"the metadata of cell {number} is not a table")


def _incomplete(path: Path, fault: str) -> NotebookError:
    return NotebookError(
        f"'{path}' must be a whole notebook",
        fault,
        "Open it in Jupyter and save it, or restore an earlier version.",
    )


def _check_language(path: Path, notebook: dict[str, Any]) -> None:
    about = notebook["metadata"]
    named = (about.get("language_info") or {}).get("name") or (about.get("kernelspec") or {}).get("language")
    if named and named.lower() not in ("python", "ipython"):
        raise NotebookError(
            "only Python notebooks become modules",
            f"'{path}' is in {named}",
            "Choose a Python kernel in Jupyter and save it, if that is wrong.",
        )


def _cell(path: Path, number: int, cell: dict[str, Any]) -> Cell:
    source = cell["source"]
    text = source if isinstance(source, str) else "".join(source)
    name = cell.get("id")
    plain = isinstance(name, str) and re.fullmatch(r"[\w-]+", name)
    return Cell(
        number, str(name) if plain else f"cell-{number}", cell["cell_type"], text.replace("\r\n", "\n")
    )


def _is_code(line: str) -> bool:
    return bool(line.strip()) and not line.lstrip().startswith(("#", "%%"))


def _decode(path: Path, content: bytes) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise NotebookError(
            f"'{path}' must be a notebook, which is text in UTF-8",
            f"it is not: {error}",
            "Get a complete copy, or restore an earlier version.",
        ) from error
