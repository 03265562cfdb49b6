"""Finds which cells are to be exported, and where to: `#| export`, `#| default_exp app`, and their relatives.

In: a notebook. Out: the marked cells, without their marks, each with the module it belongs to. The names and
their meaning are those of nbdev 3 (its documentation, and what it does with notebooks of ours); the older
`#export`, `#exporti`, `#hide` are read as well. Read next: `module.py`.

A mark stands at the top of a cell, before any code; only blank lines, other marks and a cell magic may come
before.
"""

from __future__ import annotations

import keyword
import re
from dataclasses import dataclass

from wiggly.errors import NotebookError
from wiggly.notebook.reading import Cell, Notebook

__all__ = ["Marked", "Marks", "checked_module", "code_of", "find_marks"]

NEW = re.compile(r"\s*#\s*\|(.*)$")
OLD = re.compile(r"#(?:(exporti|exports|export|hide)()|(default_exp)[ \t]+([\w.]+))[ \t]*$")
#: What nbdev 1 also took: a blank after `#`, a module behind `export`. Read only where `# default_exp` is:
#: elsewhere `# export` is a comment of people, and nbdev 3 takes it for one.
LOOSE = re.compile(
    r"[ \t]*#[ \t]*(?:(exporti|exports|export|hide)(?:[ \t]+([\w.]+))?|(default_exp)[ \t]+([\w.]+))[ \t]*$"
)
OLD_DEFAULT = re.compile(r"^[ \t]*#[ \t]*default_exp[ \t]+[\w.]+[ \t]*$", re.MULTILINE)
OLD_OTHER = re.compile(r"#[ \t]*[a-z_]+(?:[ \t]+[\w.-]+)?[ \t]*$")
EXPORTS = ("export", "exports", "exporti")
LATE = re.compile(r"^[ \t]*#[ \t]*\|[ \t]*exports?i?\b", re.MULTILINE)
HOW_TO_MARK = "Put `#| export` on the first line of each cell that belongs into the module."


@dataclass(frozen=True)
class Marked:
    """A cell to export.

    Attributes:
        cell: Where it comes from.
        module: Dotted name of the module it goes to.
        internal: Whether its names stay out of `__all__` (`#| exporti`).
        code: Its text without the marks.
    """

    cell: Cell
    module: str
    internal: bool
    code: str


@dataclass(frozen=True)
class Marks:
    """What a notebook asks for.

    Attributes:
        default: The module its cells go to; None when each names another.
        cells: The cells to export, from top to bottom.
        notes: What looks like a mark and is none.
    """

    default: str | None
    cells: tuple[Marked, ...]
    notes: tuple[str, ...]


def find_marks(notebook: Notebook) -> Marks | None:
    """The marks of a notebook.

    Returns:
        None when no cell is marked for export.

    Raises:
        NotebookError: Two modules are named, a name is no module's, or a mark has too many words.
    """
    named: list[tuple[Cell, str]] = []
    wanted: list[tuple[Cell, str | None, bool, str]] = []
    notes: list[str] = []
    codes = [cell for cell in notebook.cells if cell.kind == "code"]
    old = LOOSE if any(OLD_DEFAULT.search(cell.source) for cell in codes) else OLD
    for cell in codes:
        found, code = _split(cell.source, old)
        named += [
            (cell, _one_module(cell, "default_exp", words)) for name, words in found if name == "default_exp"
        ]
        exports = [(name, words) for name, words in found if name in EXPORTS]
        if exports:
            internal = all(name == "exporti" for name, _ in exports)
            module = next((_one_module(cell, name, words) for name, words in exports if words), None)
            wanted.append((cell, module, internal, code))
        elif LATE.search(code):
            notes.append(f"{cell} is not exported: its `#| export` does not stand at the top.")
    if not wanted:
        return None
    default = (
        _default(notebook, named) if named or any(module is None for _, module, _, _ in wanted) else None
    )
    cells = tuple(Marked(c, m or default or "", i, code) for c, m, i, code in wanted)
    return Marks(default, cells, tuple(notes))


def code_of(cell: Cell) -> str:
    """The text of a cell without marks."""
    return _split(cell.source)[1]


def _split(source: str, old: re.Pattern[str] = OLD) -> tuple[list[tuple[str, list[str]]], str]:
    """The marks at the top of a cell, each with the words behind it, and the cell without them."""
    found: list[tuple[str, list[str]]] = []
    kept: list[str] = []
    lines = source.split("\n")
    for i, line in enumerate(lines):
        if mark := NEW.match(line):
            words = mark[1].split("#")[0].split()
            option = bool(words) and words[0].endswith(":")  # the form of Quarto's options: `#| export: true`
            found += [(words[0].rstrip(":"), [] if option else words[1:])] if words else []
        elif mark := old.match(line):
            name, word = mark[1] or mark[3], mark[2] or mark[4]
            found.append((name, [word] if word else []))
        elif (
            not line.strip()
            or (OLD_OTHER.match(line) and _more_marks(lines[i + 1 :], old))
            or (i == 0 and line.startswith("%%"))
        ):
            kept.append(line)
        else:
            return found, "\n".join([*kept, *lines[i:]]).strip("\n")
    return found, "\n".join(kept).strip("\n")


def _more_marks(lines: list[str], old: re.Pattern[str]) -> bool:
    """Whether an old mark follows after more of the one-word comments that nbdev 1 had (`#slow`, `#cuda`)."""
    for line in lines:
        if old.match(line):
            return True
        if not OLD_OTHER.match(line):
            return False
    return False


def _one_module(cell: Cell, name: str, words: list[str]) -> str:
    if len(words) != 1:
        raise NotebookError(
            f"`#| {name}` takes one module name",
            f"{cell} has {' '.join(words)!r} behind it" if words else f"{cell} has none behind it",
            f"Write for example `#| {name} app`.",
        )
    return checked_module(words[0], str(cell))


def checked_module(name: str, where: str) -> str:
    """A dotted module name, if it is one.

    Raises:
        NotebookError: It is not.
    """
    if not _is_module(name) or name.endswith(".py"):
        better = name.removesuffix(".py").replace("/", ".").replace("-", "_")
        raise NotebookError(
            "a module's name is a Python name, or several with dots between them",
            f"{where} names '{name}'",
            f"Write for example `{better if _is_module(better) else 'app'}`.",
        )
    return name


def _is_module(name: str) -> bool:
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in name.split("."))


def _default(notebook: Notebook, named: list[tuple[Cell, str]]) -> str:
    if not named:
        stem = notebook.path.stem
        if not _is_module(stem):
            raise NotebookError(
                "a notebook must say what its module is called",
                f"'{notebook.path.name}' has no `#| default_exp`, and '{stem}' is no module's name",
                "Put `#| default_exp app` into a cell near the top.",
            )
        return stem
    if len({name for _, name in named}) > 1:
        listed = " and ".join(f"'{name}' in {cell}" for cell, name in named)
        raise NotebookError(
            "a notebook has one default module",
            f"'{notebook.path.name}' names {listed}",
            "Keep one `#| default_exp`; single cells go elsewhere with `#| export other_module`.",
        )
    return named[0][1]
