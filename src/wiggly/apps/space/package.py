"""The part of wiggly that runs a bundle without PyTorch, as files.

In: the modules that a Space starts with. Out: these and all that they import, found in their source, so that
nothing has to be installed that would bring torch. Read next: `folder.py`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

__all__ = ["STARTED", "package_files", "packages_used"]

SOURCE = Path(__file__).resolve().parents[3]  # the folder that holds `wiggly`
PACKAGE = "wiggly"

#: What `app.py` uses; after the first those that are imported when a function first needs them.
STARTED = (
    "wiggly.apps.server.start",
    "wiggly.apps.server.app",
    "wiggly.apps.server.mounted",
    "wiggly.apps.page",
    "wiggly.apps.forms",
    "wiggly.apps.liked",
    "wiggly.bundle.session.predictor",
)


def package_files() -> dict[str, bytes]:
    """Content by name, from `wiggly/__init__.py` on.

    Example:
        >>> files = package_files()
        >>> "wiggly/bundle/session/predictor.py" in files, "wiggly/train/learner.py" in files
        (True, False)
    """
    found = sorted(filter(None, map(_file_of, _needed())))
    return {path.relative_to(SOURCE).as_posix(): path.read_bytes() for path in found}


def packages_used() -> set[str]:
    """The packages from elsewhere that these files import as they are loaded, as they are called in Python.

    Example:
        >>> {"numpy", "fastapi"} <= packages_used(), "torch" in packages_used()
        (True, False)
    """
    import sys

    files = filter(None, map(_file_of, _needed()))
    names = {name.partition(".")[0] for path in files for name in _imported(path)}
    return names - {PACKAGE} - set(sys.stdlib_module_names)


def _needed() -> set[str]:
    needed, waiting = set[str](), list(STARTED)
    while waiting:
        name = waiting.pop()
        path = _file_of(name)
        if path is None or name in needed:
            continue
        needed.add(name)
        parent = name.rpartition(".")[0]
        waiting += [one for one in _imported(path) if one.partition(".")[0] == PACKAGE]
        waiting += [parent] if parent else []
    return needed


def _file_of(name: str) -> Path | None:
    """The source of a module of ours; None for what is none."""
    place = SOURCE.joinpath(*name.split("."))
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((path for path in candidates if path.is_file()), None)


def _imported(path: Path) -> Iterator[str]:
    """What a module imports when it is loaded; of `from a import b` both `a` and `a.b`."""
    waiting: list[ast.AST] = [ast.parse(path.read_bytes())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue  # not before it is called
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            waiting += node.orelse
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        else:
            waiting += ast.iter_child_nodes(node)
