"""In step or not: which side moved, and in which cells."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.notebook.support import write_notebook

from wiggly.cli import main
from wiggly.errors import NotebookError
from wiggly.notebook.export import export_notebook
from wiggly.notebook.step import check_notebook

CELLS = ["#| default_exp app", "#| export\nx = 1", "y = 2", "#| export\nz = {'a': 3}"]


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = write_notebook(tmp_path / "app.ipynb", CELLS)
    export_notebook(path, check=False)
    return path


def reason(notebook: Path) -> str:
    (step,) = check_notebook(notebook)
    assert not step.in_step
    return step.reason


def test_in_step_after_an_export_and_after_a_formatter(notebook: Path) -> None:
    assert check_notebook(notebook)[0].in_step
    module = notebook.with_suffix(".py")
    module.write_text(module.read_text().replace("{'a': 3}", '{\n    "a": 3,\n}'))
    assert check_notebook(notebook)[0].in_step
    write_notebook(notebook, [*CELLS[:2], "y = 'another experiment'", *CELLS[3:]])
    assert check_notebook(notebook)[0].in_step


def test_behind_when_a_cell_was_changed_added_marked_or_deleted(notebook: Path) -> None:
    write_notebook(notebook, [*CELLS[:3], "#| export\nz = 4"])
    assert "behind its notebook in cell 4 (`z = 4`)" in reason(notebook)
    write_notebook(notebook, [*CELLS[:2], "#| export\ny = 2", CELLS[3]])
    assert "behind its notebook in cell 3 (`y = 2`)" in reason(notebook)
    write_notebook(notebook, [*CELLS[:3], "#| exporti\nz = {'a': 3}"])
    assert "behind its notebook in cell 4" in reason(notebook)
    write_notebook(notebook, CELLS[:3])
    assert "1 that the notebook no longer has" in reason(notebook)


def test_edited_by_hand(notebook: Path) -> None:
    module = notebook.with_suffix(".py")
    module.write_text(module.read_text().replace("x = 1", "x = 7"))
    assert reason(notebook).startswith("edited by hand in cell 2 (`x = 1`)")
    module.write_text("mine = 1\n")
    assert "no export has written" in reason(notebook)
    module.unlink()
    assert reason(notebook).startswith("not there")


def test_a_notebook_without_marks_has_nothing_to_check(tmp_path: Path) -> None:
    assert check_notebook(write_notebook(tmp_path / "n.ipynb", ["x = 1"])) == []


def test_a_notebook_that_cannot_be_exported_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotebookError, match="cell 1"):
        check_notebook(write_notebook(tmp_path / "n.ipynb", ["#| export\nx = ("]))


def test_the_command_looks_through_a_folder(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(notebook.parent)
    Path("plain.py").write_text("x = 1\n")
    write_notebook(Path("notes.ipynb"), ["x = 1"])
    assert main(["notebook", "check"]) == 0
    assert capsys.readouterr().out == "app.py: in step\n"
    write_notebook(notebook, [*CELLS, "#| export\nw = 1"])
    assert main(["notebook", "check", "app.ipynb"]) == 1
    assert "wiggly notebook export app.ipynb" in capsys.readouterr().out
    assert main(["notebook", "check", "app.ipynb", "--to", "elsewhere"]) == 1
    write_notebook(Path("bad.ipynb"), ["#| export\nx = ("])
    assert main(["notebook", "export", "app.ipynb", "--no-check"]) == 0
    capsys.readouterr()
    assert main(["notebook", "check"]) == 1
    assert "bad.ipynb" not in capsys.readouterr().out
