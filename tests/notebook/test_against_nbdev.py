"""Modules say what nbdev 3.3 says: as recorded from its `nb_export`, and live where it is installed."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from tests.notebook.support import CASES, said, what_nbdev_makes, write_notebook

from wiggly.errors import NotebookError
from wiggly.notebook.export import export_notebook

RECORDED: dict[str, dict[str, Any]] = json.loads(CASES.read_text("utf-8"))


def cells_of(case: dict[str, Any]) -> list[Any]:
    return [cell if isinstance(cell, str) else tuple(cell) for cell in case["cells"]]


def read_anew(modules: dict[str, Any]) -> dict[str, Any]:
    """The record as this Python prints it: versions differ in quotes."""
    return {
        name: {**module, "code": [ast.unparse(n) for code in module["code"] for n in ast.parse(code).body]}
        for name, module in modules.items()
    }


def what_we_make(cells: list[Any], folder: Path) -> dict[str, Any]:
    notebook = write_notebook(folder / "notebook.ipynb", cells)
    with contextlib.suppress(NotebookError):  # no marks: nbdev writes nothing and says nothing
        export_notebook(notebook, folder / "out", check=False)
    files = [file for file in sorted((folder / "out").rglob("*.py")) if file.name != "__init__.py"]
    return {file.relative_to(folder / "out").as_posix(): said(file.read_text("utf-8")) for file in files}


@pytest.mark.parametrize("name", RECORDED)
def test_a_module_says_what_nbdev_s_says(name: str, tmp_path: Path) -> None:
    case = RECORDED[name]
    assert what_we_make(cells_of(case), tmp_path) == read_anew(case["nbdev"])


@pytest.mark.skipif(importlib.util.find_spec("nbdev") is None, reason="nbdev is not installed")
@pytest.mark.parametrize("name", RECORDED)
def test_the_record_is_what_nbdev_makes(name: str) -> None:
    case = RECORDED[name]
    assert what_nbdev_makes(cells_of(case)) == read_anew(case["nbdev"])


def test_imports_of_the_package_become_relative_as_with_nbdev(tmp_path: Path) -> None:
    # nbdev 3.3.26 wrote `from ..zz import t` and `from .. import u` for these, in out/a/b.py
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "__init__.py").write_text("")
    cells = ["#| default_exp a.b", "#| export\nfrom out.zz import t\nfrom out import u\nfrom outer import v"]
    export_notebook(write_notebook(tmp_path / "n.ipynb", cells), tmp_path / "out", check=False)
    code = said((tmp_path / "out" / "a" / "b.py").read_text())["code"]
    assert code == ["from ..zz import t", "from .. import u", "from outer import v"]
