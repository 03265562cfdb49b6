"""The module imported alone: what is missing is named with the cell that has it, and nothing else is said."""

from __future__ import annotations

import builtins
import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.notebook.support import Cell, write_notebook

from wiggly.notebook.export import Export, export_notebook
from wiggly.notebook.importing import import_alone
from wiggly.notebook.names import unbound_names
from wiggly.notebook.reading import read_notebook

APP = "#| default_exp app"


def checked(folder: Path, cells: Sequence[Cell]) -> Export:
    return export_notebook(write_notebook(folder / "n.ipynb", cells))


def missing(name: str, used: str, defined: str) -> str:
    """The sentence about a name that a cell defines which is not exported."""
    return (
        f"`{name}` is missing: used in {used}, defined in {defined}, which is not exported. "
        "Put `#| export` on top of that cell."
    )


def test_every_missing_name_is_named_with_the_cell_that_defines_it(tmp_path: Path) -> None:
    cells: list[Cell] = [
        APP,
        ("markdown", "# Paths"),
        "import math\nfrom pathlib import Path as P\npath = P('x')\nfor item in [1]: pass",
        "#| export\nroot = path / 'y'\ntop = 1",
        "path = P('later')",
        "#| export\ndef area(r, unknown=None):\n    local = item\n"
        "    return math.pi * r ** 2 + top + local\n\nclass K:\n    q = P",
        "def helper(): pass",
        "#| export\ndef show(x): display(x); helper(); return [nowhere for y in x if y]",
    ]
    show = "cell 8 (`def show(x): display(x); helper(); return [nowhere for y in x if y]`)"
    assert checked(tmp_path, cells).problems == (
        missing("path", "cell 4 (`root = path / 'y'`)", "cell 5 (`path = P('later')`)"),
        missing("item", "cell 6 (`local = item`)", "cell 3 (`for item in [1]: pass`)"),
        missing("math", "cell 6 (`return math.pi * r ** 2 + top + local`)", "cell 3 (`import math`)"),
        missing("P", "cell 6 (`q = P`)", "cell 3 (`from pathlib import Path as P`)"),
        f"`display` is missing: used in {show}, and only notebooks have it. "
        "Import it: `from IPython.display import display`.",
        missing("helper", show, "cell 7 (`def helper(): pass`)"),
        f"`nowhere` is missing: used in {show}, and no cell of the notebook defines it.",
    )


def test_a_module_that_works_alone_has_no_problems(tmp_path: Path) -> None:
    # star imports, names made at run time, builtins, closures, globals, what only type checkers see
    cells: list[Cell] = [
        APP,
        "#| export\nfrom __future__ import annotations\nfrom os.path import *",
        "#| export\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from decimal import Decimal",
        "#| export\nglobals()['made'] = 1\ndef late(): return made, join('a'), __name__, __file__, print",
        "#| export\ndef outer(d: Decimal):\n    n = 0\n    def inner():\n        nonlocal n\n"
        "        global counter\n        counter = n\n        return [i for i in range(n)], counter\n"
        "    return inner",
        "#| export\nclass A:\n    x = 1\n    y = [k for k in range(3)]\n    def f(self): return __class__\n"
        "try:\n    import no_such_module\nexcept ImportError as fault:\n    no_such_module = 0\nlate()",
    ]
    assert checked(tmp_path, cells).problems == ()


def test_what_fails_on_import_is_named_with_its_line(tmp_path: Path) -> None:
    cells = [APP, "#| export\nx = 1", "#| export\ndef f(a):\n    return 1 / a\n\ny = f(0)"]
    assert checked(tmp_path, cells).problems == (
        "cell 3 (`return 1 / a`) fails when the module is imported alone: "
        "ZeroDivisionError: division by zero.",
    )
    cells = [APP, "#| export\nimport no_such_module_at_all"]
    assert "cell 2 (`import no_such_module_at_all`)" in checked(tmp_path, cells).problems[0]
    cells = [APP, "#| export\nx = later\n", "#| export\nlater = 1"]
    assert "cell 2 (`x = later`)" in checked(tmp_path, cells).problems[0]
    cells = [APP, "#| export\nimport sys\nsys.exit(3)"]
    assert "SystemExit: 3" in checked(tmp_path, cells).problems[0]
    cells = [APP, "#| export\nimport os\nos._exit(3)"]
    assert "exit status 3" in checked(tmp_path, cells).problems[0]
    cells = [APP, "#| export\n_all_ = ['never']\nx = 1"]
    assert checked(tmp_path, cells).problems == ("`never` is listed for `__all__` and not defined.",)


def test_all_missing_names_are_found_although_the_import_stops_at_the_first(tmp_path: Path) -> None:
    cells = [APP, "#| export\none\ntwo", "#| export\nfrom os.path import *\nprint(three, join)"]
    problems = checked(tmp_path, cells).problems
    assert [problem.split("`")[1] for problem in problems] == ["one", "two", "three"]


def test_nothing_of_the_notebook_s_process_helps(tmp_path: Path) -> None:
    builtins.leaked = 1  # type: ignore[attr-defined]
    try:
        assert "`leaked` is missing" in checked(tmp_path, [APP, "#| export\nx = leaked"]).problems[0]
    finally:
        del builtins.leaked  # type: ignore[attr-defined]


def test_an_app_is_not_served_and_its_module_stays_as_it_is(tmp_path: Path) -> None:
    cells = [
        APP,
        "#| export\nclass Page:\n    def launch(self, **more): raise RuntimeError('served')\n"
        "    queue = lambda self: self",
        "#| export\npage = Page()\npage.queue().launch(inline=False)\nafter = 1",
    ]
    result = checked(tmp_path, cells)
    assert result.problems == ()
    assert result.notes == (
        "cell 3 (`page.queue().launch(inline=False)`) was not run: it serves until it is stopped.",
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["app.py", "n.ipynb"]  # no __pycache__


def test_a_module_that_does_not_end_is_stopped_and_the_line_named(tmp_path: Path) -> None:
    cells = [APP, "#| export\nimport time\ndef wait():\n    time.sleep(60)", "#| export\nwait()"]
    notebook = write_notebook(tmp_path / "n.ipynb", cells)
    export_notebook(notebook, check=False)
    found = import_alone(read_notebook(notebook), tmp_path / "app.py", tmp_path, "app", seconds=0.5)
    assert found.problems == (
        "cell 2 (`time.sleep(60)`) fails when the module is imported alone: "
        "TimeoutError: still running after 0.5 seconds.",
    )


def test_modules_see_their_neighbours_and_their_package(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text("value = 1")
    one = ["#| default_exp pets.core", "#| export\nfrom neighbour import value\nx = value"]
    assert export_notebook(write_notebook(tmp_path / "one.ipynb", one)).problems == ()
    two = ["#| default_exp pets.more", "#| export\nfrom .core import x\nfrom . import core\ny = x"]
    assert export_notebook(write_notebook(tmp_path / "two.ipynb", two)).problems == ()
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    shutil.copy(tmp_path / "neighbour.py", package)
    three = ["#| default_exp inner", "#| export\nfrom package.neighbour import value"]
    assert export_notebook(write_notebook(tmp_path / "three.ipynb", three), package).problems == ()


def test_unbound_names_are_those_of_python_itself() -> None:
    # each pair: code, and the names that running all of it would look up in vain
    for code, names in {
        "x = a": {"a"},
        "def f(): return a": {"a"},
        "lambda q: q + w": {"w"},
        "[i for i in s]; i": {"s", "i"},
        "class C:\n    b = 1\n    def f(self): return b": {"b"},
        "def f():\n    a = 1\n    return lambda: a": set(),
        "import a.b\na.c": set(),
        "with x as y: y": {"x"},
        "try: pass\nexcept E as e: e": {"E"},
        "def f(a: T) -> R: pass": {"T", "R"},
        "@deco\ndef f(): pass": {"deco"},
        "for i, (j, *k) in n: i + j": {"n"},
        "(w := 1); w": set(),
        "match s:\n    case [a, b]: a\n    case {'k': v, **r}: r": {"s"},
        "f'{m!r:>{n}}'": {"m", "n"},
        "del d": set(),
        "x += 1": set(),
        "global g\ndef h():\n    global g\n    g = 1\nh(); g": set(),
    }.items():
        assert unbound_names(code) - set(dir(builtins)) == names, code
