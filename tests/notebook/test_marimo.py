"""marimo's notebooks: the cells are read as marimo shows them, and exported by the same marks."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests.notebook.support import said

from wiggly.errors import NotebookError
from wiggly.notebook.export import export_notebook
from wiggly.notebook.reading import read_notebook
from wiggly.notebook.step import check_notebook

# As marimo 0.25.2 writes them: a setup cell, cells with and without arguments, functions and classes on their
# own, a cell that is not Python.
NOTEBOOK = '''import marimo

__generated_with = "0.25.2"
app = marimo.App(width="medium")

with app.setup(hide_code=True):
    #| export
    import math
    import marimo as mo


@app.cell
def _():
    #| default_exp shapes
    return


@app.function
#| export
def area(r):
    """Of a circle."""
    return math.pi * r**2


@app.function(hide_code=True)
def not_exported(x):
    return x


@app.cell
def _():
    #| export
    scale = 3

    class Box:
        side = scale

    return Box, scale


@app.class_definition
#| exporti
class Inner:
    x = 1


@app.cell(hide_code=True)
def _():
    mo.md("""
    # A title
    """)
    return


@app.cell
def with_many_arguments(
    Box,
    scale,
):
    #| export
    text = \'\'\'
    indented
      more
at the margin
    \'\'\'

    def twice(n):
        return 2 * n * scale

    return (text,)


app._unparsable_cell(
    r"""
    x = (
    """,
    name="_"
)


if __name__ == "__main__":
    app.run()
'''


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "notebook.py"
    path.write_text(NOTEBOOK)
    return path


def test_cells_are_what_marimo_shows(notebook: Path) -> None:
    sources = [cell.source for cell in read_notebook(notebook).cells]
    assert len(sources) == 9
    assert sources[0] == "#| export\nimport math\nimport marimo as mo"
    assert sources[1] == "#| default_exp shapes"
    assert sources[2] == '#| export\ndef area(r):\n    """Of a circle."""\n    return math.pi * r**2'
    assert sources[4] == "#| export\nscale = 3\n\nclass Box:\n    side = scale"
    assert sources[7].startswith(
        "#| export\ntext = '''\n    indented\n      more\nat the margin\n    '''\n\ndef twice"
    )
    assert sources[8] == "x = ("


@pytest.mark.skipif(importlib.util.find_spec("marimo") is None, reason="marimo is not installed")
def test_cells_are_what_marimo_itself_reads(notebook: Path) -> None:
    from marimo._ast.parse import parse_notebook  # pyright: ignore

    theirs = [cell.code.strip() for cell in parse_notebook(NOTEBOOK).cells]
    ours = [cell.source.strip() for cell in read_notebook(notebook).cells]
    assert ours == theirs


def test_marked_cells_become_a_module(notebook: Path, tmp_path: Path) -> None:
    text = NOTEBOOK.replace("    import marimo as mo\n", "")
    notebook.write_text(text)
    result = export_notebook(notebook)
    assert result.names == ("scale", "text", "area", "Box", "twice")
    assert result.problems == ()
    code = said((tmp_path / "shapes.py").read_text())["code"]
    assert [line.split("\n")[0] for line in code] == [
        "import math",
        "def area(r):",
        "scale = 3",
        "class Box:",
        "class Inner:",
        "text = '\\n    indented\\n      more\\nat the margin\\n    '",
        "def twice(n):",
    ]
    assert check_notebook(notebook)[0].in_step


def test_what_is_missing_is_named_by_its_cell(notebook: Path) -> None:
    notebook.write_text(
        NOTEBOOK.replace("    #| export\n    import math\n    import marimo as mo\n", "    import math\n")
    )
    assert export_notebook(notebook).problems == (
        "`math` is missing: used in cell 3 (`return math.pi * r**2`), defined in cell 1 (`import math`), "
        "which is not exported. Put `#| export` on top of that cell.",
    )


def test_a_marked_cell_that_is_no_python_is_named(notebook: Path) -> None:
    notebook.write_text(NOTEBOOK.replace("    x = (", "    #| export\n    x = ("))
    with pytest.raises(NotebookError, match=r"cell 9 \(`x = \(`\) is not"):
        export_notebook(notebook)


def test_the_module_may_not_be_the_notebook(notebook: Path) -> None:
    notebook.write_text(NOTEBOOK.replace("#| default_exp shapes", "pass"))
    with pytest.raises(NotebookError, match="is the notebook itself"):
        export_notebook(notebook)
    assert "marimo.App" in notebook.read_text()


def test_other_python_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("x = 1\n")
    with pytest.raises(NotebookError, match=r"without a `marimo\.App`"):
        export_notebook(path)
    path.write_text("x = (\n")
    with pytest.raises(NotebookError, match="not Python"):
        export_notebook(path)
