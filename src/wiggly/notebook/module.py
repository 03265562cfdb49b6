"""The module made of exported cells: its text, and how that text is read back.

In: marked cells. Out: Python with `__all__`, in which each cell follows a line that says where it comes from.
A module may hold cells of several notebooks (`#| export other_module`); each notebook replaces only its own.
Read next: `writing.py`, whose seal such a file carries.
"""

from __future__ import annotations

import ast
import io
import os
import re
import sys
import tokenize
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

from wiggly.errors import NotebookError
from wiggly.notebook.directives import Marked, Marks
from wiggly.notebook.names import public_names
from wiggly.notebook.python import plain_python, quiet_parse
from wiggly.notebook.writing import is_made, sealed

__all__ = [
    "Module",
    "Section",
    "make_modules",
    "merged",
    "module_path",
    "origin_of",
    "read_module",
    "same_code",
]

MARK = re.compile(r"^# %% (.+): ([\w-]+)( \(internal\))?$", re.MULTILINE)
OWNER = re.compile(r"^# Made from (.+) by `wiggly notebook export`")
MANY = "cells of notebooks"
WIDEST = 100  # of `__all__` on one line


@dataclass(frozen=True)
class Section:
    """One cell in a module.

    Attributes:
        notebook: Its notebook's path from the module's folder, with forward slashes.
        id: The cell's id.
        internal: Whether its names stay out of `__all__`.
        code: Plain Python.
    """

    notebook: str
    id: str
    internal: bool
    code: str


@dataclass(frozen=True)
class Module:
    """A module to write, or one that was written.

    Attributes:
        name: Dotted name.
        owner: The notebook whose default module it is; None when cells were only sent to it.
        docstring: Source of the string it opens with, or nothing.
        future: What it imports from `__future__`.
        sections: Its cells.
    """

    name: str
    owner: str | None
    docstring: str
    future: tuple[str, ...]
    sections: tuple[Section, ...]

    @property
    def public(self) -> list[str]:
        """The names of `__all__`."""
        return public_names((s.code, s.internal) for s in self.sections)

    def text(self) -> str:
        """The file."""
        origin = self.owner or MANY
        header = (
            f"# Made from {origin} by `wiggly notebook export`: change the notebook, then export it again.\n"
        )
        future = f"from __future__ import {', '.join(self.future)}" if self.future else ""
        start = [part for part in (self.docstring, future, _all_line(self.public)) if part]
        cells = [f"# %% {s.notebook}: {s.id}{' (internal)' * s.internal}\n{s.code}" for s in self.sections]
        return sealed(header, "\n" + "\n\n".join([*start, *cells]) + "\n")


def make_modules(notebook: Path, marks: Marks, root: Path) -> tuple[list[Module], list[str]]:
    """The modules a notebook asks for, and notes on what was changed in its cells.

    Args:
        notebook: Its path.
        marks: Its marked cells.
        root: The folder from which module names count.

    Raises:
        NotebookError: A cell is not Python, or a module has the name of what it imports.
    """
    modules: list[Module] = []
    notes = list(marks.notes)
    names = dict.fromkeys(marked.module for marked in marks.cells)
    for name in sorted(names, key=lambda name: name != marks.default):  # the notebook's own first
        cells = [marked for marked in marks.cells if marked.module == name]
        module, silenced = _make_module(notebook, name, cells, root)
        owner = _origin(notebook, root, name) if name == marks.default else None
        modules.append(replace(module, owner=owner))
        _check_imports(name, cells, modules[-1], root)
        notes += [*silenced, *_name_notes(name, cells)]
    return modules, notes


def module_path(root: Path, name: str) -> Path:
    """Where a module lies below the folder from which names count."""
    return root.joinpath(*name.split(".")).with_suffix(".py")


def read_module(text: str, name: str) -> Module | None:
    """A module that was written before; None for a file of another kind."""
    made = OWNER.match(text)
    if not is_made(text) or made is None:
        return None
    marks = list(MARK.finditer(text))
    ends = [*(mark.start() for mark in marks[1:]), len(text)][: len(marks)]
    sections = tuple(
        Section(mark[1], mark[2], mark[3] is not None, text[mark.end() : end].strip("\n"))
        for mark, end in zip(marks, ends, strict=True)
    )
    docstring, future = _read_start(text[: marks[0].start()] if marks else text)
    return Module(name, None if made[1] == MANY else made[1], docstring, future, sections)


def merged(new: Module, old: Module | None, origin: str) -> Module:
    """A notebook's part of a module together with what other notebooks have put there.

    Args:
        new: What this notebook asks for.
        old: What is there.
        origin: How the module names this notebook.
    """
    if old is None:
        return new
    mine = list(new.sections)
    if new.owner is not None:
        others = [s for s in old.sections if s.notebook not in (origin, old.owner)]
        future = new.future if not others else tuple(sorted({*new.future, *old.future}))
        return replace(new, sections=(*mine, *others), future=future)
    places = [i for i, s in enumerate(old.sections) if s.notebook == origin]
    place = places[0] if places else len(old.sections)
    before = [s for s in old.sections[:place] if s.notebook != origin]
    after = [s for s in old.sections[place:] if s.notebook != origin]
    future = tuple(sorted({*new.future, *old.future}))
    return Module(new.name, old.owner, old.docstring, future, (*before, *mine, *after))


def same_code(one: str, other: str) -> bool:
    """Whether two files say the same, comments of people included, however they are laid out."""
    try:
        return ast.dump(quiet_parse(one)) == ast.dump(quiet_parse(other)) and _comments(one) == _comments(
            other
        )
    except (SyntaxError, ValueError, tokenize.TokenError):
        return False


def origin_of(notebook: Path, module: Path) -> str:
    """How a module names its notebook: the path from its folder."""
    try:
        return Path(os.path.relpath(notebook.resolve(), module.resolve().parent)).as_posix()
    except ValueError:  # Windows: on another drive
        return notebook.name


def _origin(notebook: Path, root: Path, name: str) -> str:
    return origin_of(notebook, module_path(root, name))


def _make_module(notebook: Path, name: str, cells: list[Marked], root: Path) -> tuple[Module, list[str]]:
    origin, package = (
        _origin(notebook, root, name),
        root.resolve().name if (root / "__init__.py").exists() else None,
    )
    future: set[str] = set()
    sections: list[Section] = []
    notes: list[str] = []
    docstring = ""
    for i, marked in enumerate(cells):
        plain = plain_python(marked.code, str(marked.cell))
        future.update(plain.future)
        notes += [
            f"{marked.cell}: `{line}` is for notebooks only, and became a comment." for line in plain.silenced
        ]
        code = plain.code
        if i == 0:
            docstring, code = _split_docstring(code)
        if package is not None:
            code = _relative_imports(code, package, name.count("."))
        if code.strip():
            sections.append(Section(origin, marked.cell.id, marked.internal, code))
    return Module(name, None, docstring, tuple(sorted(future)), tuple(sections)), notes


def _check_imports(name: str, cells: list[Marked], module: Module, root: Path) -> None:
    """Refuses a module that would import itself in place of a library."""
    top = name.split(".")[0]
    if (root / "__init__.py").exists() or ("." in name and not _is_elsewhere(top, root)):
        return
    for section in module.sections:
        if top in _imported(section.code):
            cell = next(m.cell for m in cells if m.cell.id == section.id)
            raise NotebookError(
                "a module cannot have the name of a library it imports",
                f"'{name}' would import itself: {cell} imports {top}",
                "Give it another name: `#| default_exp app`.",
            )


def _is_elsewhere(top: str, root: Path) -> bool:
    """Whether a package of this name is installed that is not the one the module belongs to."""
    try:
        spec = find_spec(top)
    except (ImportError, ValueError):
        return False
    places = list(spec.submodule_search_locations or []) if spec is not None else []
    return any(Path(place).resolve().parent != root.resolve() for place in places)


def _name_notes(name: str, cells: list[Marked]) -> list[str]:
    """Remarks on names that hide others."""
    found = [
        f"`{n}` is defined in {a} and again in {b}: the later one counts."
        for n, a, b in _defined_twice(cells)
    ]
    top = name.split(".")[0]
    if top in sys.stdlib_module_names:
        found.append(
            f"The module '{name}' hides Python's own '{top}' from what runs in its folder: rename it."
        )
    return found


def _imported(code: str) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(quiet_parse(code)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add((node.module or "").split(".")[0])
    return found


def _defined_twice(cells: list[Marked]) -> list[tuple[str, str, str]]:
    """Functions and classes that two cells define; a decorated one may be meant so (`overload`, setters)."""
    seen: dict[str, str] = {}
    found: list[tuple[str, str, str]] = []
    for marked in cells:
        for node in quiet_parse(plain_python(marked.code, str(marked.cell)).code).body:
            if (
                isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
                and not node.decorator_list
            ):
                if node.name in seen and seen[node.name] != str(marked.cell):
                    found.append((node.name, seen[node.name], str(marked.cell)))
                seen[node.name] = str(marked.cell)
    return found


def _all_line(names: list[str]) -> str:
    quoted = ", ".join(f'"{name}"' for name in names)
    line = f"__all__ = [{quoted}]"
    return (
        line if len(line) <= WIDEST else "__all__ = [\n" + "".join(f'    "{name}",\n' for name in names) + "]"
    )


def _split_docstring(code: str) -> tuple[str, str]:
    """A string that the code opens with, and the rest."""
    body = quiet_parse(code).body
    if not (body and isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant)):
        return "", code
    first, lines = body[0], code.split("\n")
    end = first.end_lineno or 0
    alone = lines[end - 1].encode()[first.end_col_offset or 0 :].strip() == b""
    if (
        not isinstance(body[0].value.value, str)
        or not alone
        or any(line.strip() for line in lines[: first.lineno - 1])
    ):
        return "", code
    return "\n".join(lines[first.lineno - 1 : end]).strip(), "\n".join(lines[end:]).strip("\n")


def _read_start(text: str) -> tuple[str, tuple[str, ...]]:
    """The docstring and the `__future__` imports before the first cell."""
    body = quiet_parse(text).body
    names = [
        a.name for n in body if isinstance(n, ast.ImportFrom) and n.module == "__future__" for a in n.names
    ]
    rest = text.partition("\n\n")[2]  # after the comment lines of the head
    return _split_docstring(rest.lstrip("\n"))[0], tuple(names)


def _relative_imports(code: str, package: str, depth: int) -> str:
    """`from package.x import y` as `from .x import y`, so that the package works under any name."""
    lines = code.split("\n")
    pattern = re.compile(rf"^(\s*from\s+){re.escape(package)}(?:\.([\w.]+))?(?=\s+import\b)")
    for node in ast.walk(quiet_parse(code)):
        if (
            isinstance(node, ast.ImportFrom)
            and not node.level
            and (node.module or "").split(".")[0] == package
        ):
            lines[node.lineno - 1] = pattern.sub(
                lambda found: f"{found[1]}{'.' * (depth + 1)}{found[2] or ''}", lines[node.lineno - 1]
            )
    return "\n".join(lines)


def _comments(text: str) -> list[str]:
    """Comments, less those at the head of a made file."""
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    found = [token.string.rstrip() for token in tokens if token.type == tokenize.COMMENT]
    return [comment for comment in found if not comment.startswith(("# Seal ", "# Made from "))]
