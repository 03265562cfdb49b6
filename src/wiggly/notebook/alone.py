"""Imports a module in a process of its own and says what is missing: the program of that process.

In: two paths as arguments, of a request and of the answer to write, both JSON. Out: the answer. It uses
nothing but the standard library and runs as `python -c <this file>`, so that nothing of wiggly is in the way.
Read next: `importing.py`, which starts it.
"""

from __future__ import annotations

import ast
import builtins
import faulthandler
import importlib
import importlib.machinery
import importlib.util
import json
import os
import sys
import traceback
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, cast

__all__ = ["main"]

#: Calls that serve until they are stopped: an app's own module often ends with one.
SERVING = ("launch", "serve", "serve_forever")


class _Loader(importlib.machinery.SourceFileLoader):
    """Loads a module without the statements that would never return, and leaves no compiled file behind."""

    skipped: list[int]

    def get_code(self, fullname: str) -> CodeType:
        """The module's code, less what `SERVING` names at its outermost level."""
        path = self.get_filename(fullname)
        tree = ast.parse(Path(path).read_bytes())
        serving = [node for node in tree.body if _serves(node)]
        self.skipped = [node.lineno for node in serving]
        tree.body = [node for node in tree.body if node not in serving]
        return compile(tree, path, "exec", dont_inherit=True)


def main(request_path: str, answer_path: str) -> None:
    """Answers one request.

    Args:
        request_path: JSON with `root` (the folder that names count from), `module` (its dotted name), `path`,
            `names` (those to look for), `stars` (modules it takes everything from), `seconds` (time allowed),
            `last` (a folder to search after all others), `stack` (a file for where it was when time ran out).
        answer_path: Where to write JSON with `error` (None or a table), `missing`, `not_there` (names of
            `__all__` that are not defined), `skipped` (lines that were not run).
    """
    request = json.loads(Path(request_path).read_text("utf-8"))
    sys.path[0] = request["root"]
    sys.path.append(request["last"])
    sys.dont_write_bytecode = True
    with Path(request["stack"]).open("w") as stack:
        faulthandler.dump_traceback_later(request["seconds"], exit=True, file=stack)
        answer = _import(request)
        faulthandler.cancel_dump_traceback_later()
    Path(answer_path).write_text(json.dumps(answer), "utf-8")


def _import(request: dict[str, Any]) -> dict[str, Any]:
    name, path = request["module"], request["path"]
    loader = _Loader(name, path)
    module: ModuleType | None = None
    error = None
    try:
        if "." in name:
            importlib.import_module(name.rpartition(".")[0])
        spec = importlib.util.spec_from_file_location(name, path, loader=loader)
        assert spec is not None
        module = sys.modules[name] = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    except BaseException as fault:  # user's code may also call sys.exit
        error = _describe(fault, path)
    there = set(dir(builtins)) | set(vars(module) if module is not None else ())
    if error is not None:  # it stopped before some of its star imports
        package = name.rpartition(".")[0]
        there |= {found for star in request["stars"] for found in _star(star, package)}
    listed = cast("list[str]", getattr(module, "__all__", [])) if error is None else []
    return {
        "error": error,
        "missing": sorted(set(request["names"]) - there),
        "not_there": [found for found in listed if found not in there],
        "skipped": getattr(loader, "skipped", []),
    }


def _serves(node: ast.stmt) -> bool:
    call = node.value if isinstance(node, ast.Expr | ast.Assign) else None
    return (
        isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and (call.func.attr in SERVING or ast.unparse(call.func) == "uvicorn.run")
    )


def _describe(fault: BaseException, path: str) -> dict[str, Any]:
    """What went wrong, and the last line of the module that was on the way there."""
    lines = [frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == path]
    if isinstance(fault, SyntaxError) and fault.filename == path:
        lines.append(fault.lineno)
    name = fault.name if isinstance(fault, NameError | ModuleNotFoundError) else None
    return {
        "type": type(fault).__name__,
        "message": str(fault),
        "line": lines[-1] if lines else None,
        "name": name,
    }


def _star(name: str, package: str) -> list[str]:
    try:
        module = importlib.import_module(name, package or None)
    except BaseException:
        return []
    return list(getattr(module, "__all__", [found for found in vars(module) if not found.startswith("_")]))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
    os._exit(0)  # threads that the module has started may not end by themselves
