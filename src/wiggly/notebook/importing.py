"""Imports a module alone, in a fresh process, and says in terms of cells what it lacks.

In: a module that was written, and its notebook. Out: sentences: which name is missing, where it is used, and
which cell defines it; or which cell failed, and how. Read next: `alone.py`, what the other process runs.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from bisect import bisect_right
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import wiggly
from wiggly.errors import NotebookError
from wiggly.notebook import alone
from wiggly.notebook.directives import code_of
from wiggly.notebook.module import MARK, origin_of
from wiggly.notebook.names import binding_line, defined_names, star_imports, unbound_names, uses_of
from wiggly.notebook.python import plain_python
from wiggly.notebook.reading import Notebook

__all__ = ["Imported", "fresh_environment", "import_alone"]

HOME = str(Path(wiggly.__file__).resolve().parent.parent)  # where wiggly itself is, installed or not
SECONDS = 120  # torch and gradio on a slow disk take some twenty
#: What notebooks have without asking, and where a module gets it.
NOTEBOOK_ONLY = {
    "display": "from IPython.display import display",
    "get_ipython": "from IPython import get_ipython",
    "In": "",
    "Out": "",
    "_": "",
    "__": "",
    "_dh": "",
}


@dataclass(frozen=True)
class Imported:
    """What came of importing a module alone.

    Attributes:
        problems: Why it does not work alone, a sentence each; empty when it does.
        notes: What was not run.
    """

    problems: tuple[str, ...]
    notes: tuple[str, ...]


def import_alone(notebook: Notebook, path: Path, root: Path, name: str, seconds: float = SECONDS) -> Imported:
    """Imports a module in a fresh process that has nothing of the notebook.

    Statements that serve until they are stopped (`demo.launch()`) are left out. Everything else runs as when
    the module is imported anywhere.

    Args:
        notebook: Where its cells come from.
        path: Its file.
        root: The folder from which its name counts.
        name: Its dotted name.
        seconds: Time allowed.
    """
    text = path.read_text("utf-8")
    while (root / "__init__.py").exists():  # the folder is a package itself
        root, name = root.resolve().parent, f"{root.resolve().name}.{name}"
    unbound = unbound_names(text)
    request = {
        "root": str(root.resolve()),
        "module": name,
        "path": str(path.resolve()),
        "names": sorted(unbound),
    }
    answer = _ask({**request, "stars": star_imports(text), "seconds": seconds})
    places = _Places(text, notebook, origin_of(notebook.path, path))
    lines = uses_of(text, answer["missing"])
    names = sorted(answer["missing"], key=lambda name: (lines.get(name, 0), name))
    problems = [_missing(name, lines.get(name), places) for name in names]
    problems += [f"`{found}` is listed for `__all__` and not defined." for found in answer["not_there"]]
    error = answer["error"]
    if error is not None and not (error["type"] == "NameError" and error["name"] in answer["missing"]):
        where = places.at(error["line"]) if error["line"] else "its import"
        problems.append(f"{where} fails when the module is imported alone: {_reason(error)}")
    notes = [f"{places.at(line)} was not run: it serves until it is stopped." for line in answer["skipped"]]
    return Imported(tuple(problems), tuple(notes))


class _Places:
    """Finds cells: by the line of the module, and by the name they define."""

    def __init__(self, text: str, notebook: Notebook, origin: str) -> None:
        marks = list(MARK.finditer(text))
        self._starts = [text.count("\n", 0, mark.start()) + 1 for mark in marks]
        self._ids = [(mark[1], mark[2]) for mark in marks]
        self._lines = text.split("\n")
        self._cells = {(origin, cell.id): cell for cell in notebook.cells}
        self._notebook = notebook

    def at(self, line: int) -> str:
        """The cell and the text of a line of the module."""
        index = bisect_right(self._starts, line) - 1
        text = self._lines[line - 1].strip()
        if index < 0:
            return f"line {line} (`{text}`)"
        cell = self._cells.get(self._ids[index])
        where = f"cell {cell.number}" if cell else f"cell {self._ids[index][1]} of {self._ids[index][0]}"
        return f"{where} (`{text}`)"

    def defining(self, name: str) -> str | None:
        """The last cell that defines a name without being exported, and the line that does."""
        exported = {cell_id for _, cell_id in self._ids}
        cells = [cell for cell in self._notebook.cells if cell.kind == "code" and cell.id not in exported]
        for cell in reversed(cells):
            try:
                code = plain_python(code_of(cell), str(cell)).code
            except NotebookError:  # an experiment that is not Python defines nothing
                continue
            if name in defined_names(code):
                line = binding_line(code, name)
                return f"cell {cell.number} (`{code.splitlines()[line - 1].strip()}`)" if line else str(cell)
        return None


def _missing(name: str, line: int | None, places: _Places) -> str:
    used = f"`{name}` is missing: used in {places.at(line) if line else 'the module'}"
    cell = places.defining(name)
    if cell is not None:
        return f"{used}, defined in {cell}, which is not exported. Put `#| export` on top of that cell."
    if name in NOTEBOOK_ONLY:
        instead = NOTEBOOK_ONLY[name]
        return f"{used}, and only notebooks have it. " + (
            f"Import it: `{instead}`." if instead else "Do without it."
        )
    return f"{used}, and no cell of the notebook defines it."


def _reason(error: dict[str, Any]) -> str:
    message = " ".join(str(error["message"]).split())
    reason = f"{error['type']}: {message}" if message else str(error["type"])
    return f"{reason[:300]}{'' if reason.endswith(('.', '!', '?')) else '.'}"


def fresh_environment() -> dict[str, str]:
    """Variables for a process in another folder: absolute paths of modules, nothing compiled left behind."""
    paths = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    more = {"PYTHONPATH": os.pathsep.join(paths)} if paths else {}
    return {**os.environ, **more, "PYTHONDONTWRITEBYTECODE": "1"}


def _ask(request: dict[str, Any]) -> dict[str, Any]:
    """Runs `alone.py` in a fresh process and returns its answer."""
    program = Path(alone.__file__).read_text("utf-8")
    environment = {"MPLBACKEND": "Agg", **fresh_environment(), "PYTHONIOENCODING": "utf-8"}
    with tempfile.TemporaryDirectory(prefix="wiggly-import-") as folder:
        asked, answered, stack = (Path(folder, name) for name in ("request.json", "answer.json", "stack.txt"))
        asked.write_text(json.dumps({**request, "stack": str(stack), "last": HOME}), "utf-8")
        done = subprocess.run(
            [sys.executable, "-c", program, str(asked), str(answered)],
            cwd=request["root"],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if answered.exists():
            return json.loads(answered.read_text("utf-8"))
        return {**_broken_off(request, stack, done), "missing": [], "not_there": [], "skipped": []}


def _broken_off(
    request: dict[str, Any], stack: Path, done: subprocess.CompletedProcess[str]
) -> dict[str, Any]:
    """Why there was no answer: time ran out, on a line that the stack names, or the process died."""
    frames = stack.read_text("utf-8").splitlines() if stack.exists() else []
    ours = [line for line in frames if f'"{request["path"]}"' in line]
    line = int(ours[0].split(", line ")[1].split()[0]) if ours else None
    if frames:
        message = f"still running after {request['seconds']:g} seconds"
        return {"error": {"type": "TimeoutError", "message": message, "line": line, "name": None}}
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    message = f"Python ended with exit status {done.returncode}: {last}"
    return {"error": {"type": "RuntimeError", "message": message, "line": None, "name": None}}
