"""`import wiggly`: what it names, and that it costs next to nothing."""

from __future__ import annotations

import ast
import importlib
import os
import pkgutil
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest

import wiggly

SOURCE = Path(wiggly.__file__).parent


def modules() -> list[str]:
    """Names of all modules of the package."""
    return [info.name for info in pkgutil.walk_packages(wiggly.__path__, "wiggly.")]


def test_all_is_sorted_and_equals_the_namespace() -> None:
    assert wiggly.__all__ == sorted(wiggly.__all__)
    assert len(set(wiggly.__all__)) == len(wiggly.__all__)
    assert [name for name in dir(wiggly) if not name.startswith("_")] == [
        name for name in wiggly.__all__ if not name.startswith("_")
    ]


@pytest.mark.parametrize("name", wiggly.__all__)
def test_every_public_name_loads_from_where_the_table_says(name: str) -> None:
    value = getattr(wiggly, name)
    if not name.startswith("__"):
        home = importlib.import_module(wiggly._WHERE[name])  # pyright: ignore[reportPrivateUsage]
        assert name in home.__all__
        assert getattr(home, name) is value


def test_editors_see_the_same_names_from_the_same_modules() -> None:
    tree = ast.parse(Path(wiggly.__file__).read_text())
    guarded = next(
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    seen = {
        alias.name: node.module
        for node in guarded.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == wiggly._WHERE  # pyright: ignore[reportPrivateUsage]


def test_an_unknown_name_is_an_attribute_error_that_helps() -> None:
    with pytest.raises(AttributeError, match="DataBlock"):
        wiggly.Datablock  # noqa: B018  # pyright: ignore


@pytest.mark.parametrize("name", modules())
def test_every_module_lists_its_public_names(name: str) -> None:
    module = importlib.import_module(name)
    if not hasattr(module, "__all__"):
        defined = [
            n
            for n, v in vars(module).items()
            if not n.startswith("_") and getattr(v, "__module__", None) == name
        ]
        assert not defined, f"{name} defines {defined} and has no __all__"
        return
    assert len(set(module.__all__)) == len(module.__all__)  # ruff keeps it sorted
    assert not [n for n in module.__all__ if not hasattr(module, n)]
    assert module.__doc__ and len(module.__doc__) > 40


def fresh(code: str) -> str:
    """Output of Python code in a new process that sees nothing but the package."""
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(SOURCE.parent)}
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# Times are of the processor, not of the clock: other test processes share the cores.


def test_importing_wiggly_is_quick_and_loads_no_torch() -> None:
    code = (
        "import time, sys; start = time.process_time(); import wiggly; spent = time.process_time() - start\n"
        "print(spent, *sorted({'torch', 'numpy', 'pandas', 'matplotlib', 'PIL', 'cv2'} & set(sys.modules)))"
    )
    runs = [fresh(code).split() for _ in range(3)]
    assert all(len(run) == 1 for run in runs), f"import wiggly loads {runs[0][1:]}"
    assert min(float(run[0]) for run in runs) < 0.3


def test_star_namespace_is_explicit_and_costs_little_more_than_its_libraries() -> None:
    namespace = importlib.import_module("wiggly.vision.all")
    assert not [name for name in namespace.__all__ if not hasattr(namespace, name)]
    short = {name for name in namespace.__all__ if len(name) == 1}
    # torch's functional and the course's list; any other would overwrite the user's
    assert short == {"F", "L"}


@pytest.mark.slow
def test_star_import_takes_at_most_a_third_more_than_torch_torchvision_timm() -> None:
    def seconds(code: str) -> float:
        return min(
            float(fresh(f"import time; s = time.process_time()\n{code}\nprint(time.process_time() - s)"))
            for _ in range(3)
        )

    assert seconds("from wiggly.vision.all import *") <= 1.3 * seconds("import torch, torchvision, timm")


def test_heavy_optional_libraries_are_imported_on_use_only() -> None:
    loaded = fresh(
        "import sys; from wiggly.vision.all import *\n"
        "print(*sorted({'gradio', 'IPython'} & set(sys.modules)))"
    )
    assert loaded == ""


def test_the_package_is_typed_and_carries_its_data_files() -> None:
    files = resources.files("wiggly")
    assert (files / "py.typed").is_file()
    assert (files / "bundle" / "model.schema.json").is_file()


def test_no_module_imports_the_front_doors() -> None:
    guilty: list[str] = []
    for path in SOURCE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "wiggly":
                names = {alias.name for alias in node.names} - {"__version__"}
                guilty += [f"{path.relative_to(SOURCE)}: from wiggly import {name}" for name in names]
            if isinstance(node, ast.ImportFrom) and (node.module or "").endswith(".all"):
                guilty.append(f"{path.relative_to(SOURCE)}: {node.module}")
    assert not guilty
