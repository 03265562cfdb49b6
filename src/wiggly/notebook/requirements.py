"""Which packages a module needs, found from its imports, in the versions installed here.

In: Python source, and the folders where modules of the user's own lie. Out: lines for `requirements.txt`.
Nothing is imported. Read next: `app.py`, which puts them beside an app.
"""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from wiggly import __version__
from wiggly.notebook.python import quiet_parse

__all__ = ["Requirements", "find_requirements"]

HERE_ONLY = "`{}` is installed from a folder here: others can install it only if it is published."


@dataclass(frozen=True)
class Requirements:
    """What a module needs.

    Attributes:
        lines: As `requirements.txt` takes them, sorted.
        local: Files and folders of the user's own that it imports.
        notes: What could not be found out.
    """

    lines: tuple[str, ...]
    local: tuple[Path, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Import:
    """One imported module: its dotted name, and whether its absence is expected."""

    name: str
    optional: bool


def find_requirements(
    sources: Sequence[str], folders: Sequence[Path], extras: Mapping[str, str] | None = None
) -> Requirements:
    """The packages that source code imports, functions included; not Python's own, nor for type checkers.

    Args:
        sources: Texts of Python files.
        folders: Where modules of the user's own may lie; what those import counts too.
        extras: Extras by package: `{"wiggly": "app"}`.

    Example:
        >>> find_requirements(["import os, torch.nn"], []).lines[0].split("==")[0]
        'torch'
    """
    local, todo, seen = dict[Path, None](), list(sources), dict[str, _Import]()
    while todo:
        for found in _imports(todo.pop()):
            own = _local(found.name, folders)
            if own is None:
                key = found.name
                seen[key] = _Import(key, found.optional and seen.get(key, found).optional)
            elif own not in local:
                local[own] = None
                todo += [file.read_text("utf-8") for file in ([own] if own.is_file() else own.rglob("*.py"))]
    lines, notes = _lines(list(seen.values()), extras or {})
    return Requirements(tuple(sorted(lines, key=str.lower)), tuple(sorted(local)), tuple(notes))


def _imports(source: str) -> Iterator[_Import]:
    """Everything a file imports from elsewhere, by full name."""
    tree = quiet_parse(source)
    for node, optional in _walk(tree, False):
        if isinstance(node, ast.Import):
            yield from (_Import(alias.name, optional) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and not node.level:
            yield _Import(node.module or "", optional)


def _walk(node: ast.AST, optional: bool) -> Iterator[tuple[ast.AST, bool]]:
    """All nodes, and whether a missing module is caught there; not what stands under `if TYPE_CHECKING`."""
    yield node, optional
    if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
        children: list[ast.AST] = list(node.orelse)
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        caught = isinstance(node, ast.Try) and child in node.body and any(_catches(h) for h in node.handlers)
        yield from _walk(child, optional or caught)


def _catches(handler: ast.ExceptHandler) -> bool:
    names = {"ImportError", "ModuleNotFoundError", "Exception", "BaseException"}
    return handler.type is None or any(getattr(n, "id", "") in names for n in ast.walk(handler.type))


def _local(name: str, folders: Sequence[Path]) -> Path | None:
    top = name.split(".")[0]
    for folder in folders:
        for path in (folder / f"{top}.py", folder / top):
            if path.is_file() or (path.is_dir() and any(path.glob("*.py"))):
                return path
    return None


def _lines(imports: Sequence[_Import], extras: Mapping[str, str]) -> tuple[list[str], list[str]]:
    foreign = [found for found in imports if found.name.split(".")[0] not in sys.stdlib_module_names]
    known = _installed(_stamp()) if foreign else {}
    lines: dict[str, None] = {}
    notes: list[str] = []
    for found in foreign:
        top = found.name.split(".")[0]
        distribution = _distribution(found.name, known.get(top, []))
        if distribution is not None:
            lines[_pinned(distribution, extras, notes)] = None
        elif top == "wiggly":  # run from its source folder
            lines[_pin("wiggly", __version__, extras)] = None
            notes.append(HERE_ONLY.format("wiggly"))
        elif not found.optional:
            notes.append(
                f"`{top}` is imported and not installed here: add the package that brings it by hand."
            )
    return list(lines), notes


def _stamp() -> tuple[tuple[str, int], ...]:
    """When something was last installed or removed, by folder: a notebook installs while it runs."""
    folders = [path for path in sys.path if Path(path).is_dir()]
    return tuple((folder, Path(folder).stat().st_mtime_ns) for folder in folders)


@lru_cache(maxsize=1)
def _installed(stamp: tuple[tuple[str, int], ...]) -> Mapping[str, list[str]]:
    """Distributions by the modules they bring; finding out reads the list of files of each."""
    return metadata.packages_distributions()


def _distribution(name: str, candidates: Sequence[str]) -> metadata.Distribution | None:
    """The distribution that brings a module; several may share its first name (`google.cloud`)."""
    names = sorted(set(candidates))
    inner = name.replace(".", "/")
    if len(names) > 1:
        holding = [
            n
            for n in names
            if any(str(f).startswith((f"{inner}/", f"{inner}.")) for f in metadata.files(n) or [])
        ]
        names = holding or names
    return metadata.distribution(names[0]) if names else None


def _pinned(distribution: metadata.Distribution, extras: Mapping[str, str], notes: list[str]) -> str:
    """`name==version`, or the address and commit for one installed from a repository."""
    name = distribution.metadata["Name"]
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    vcs = origin.get("vcs_info")
    if vcs:
        return f"{_with_extra(name, extras)} @ {vcs['vcs']}+{origin['url']}@{vcs['commit_id']}"
    if "dir_info" in origin:
        notes.append(HERE_ONLY.format(name))
    return _pin(name, distribution.version, extras)


def _pin(name: str, version: str, extras: Mapping[str, str]) -> str:
    # what follows `+` names a build for one kind of GPU, and only its own index has it
    return f"{_with_extra(name, extras)}=={version.partition('+')[0]}"


def _with_extra(name: str, extras: Mapping[str, str]) -> str:
    extra = extras.get(name.lower())
    return f"{name}[{extra}]" if extra else name
