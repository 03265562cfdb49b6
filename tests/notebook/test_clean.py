"""Cleaning: what git sees is what people wrote, in the bytes Jupyter writes."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import ROOT
from tests.notebook.support import notebook_json, write_notebook

from wiggly.cli import main
from wiggly.errors import NotebookError
from wiggly.notebook.clean import clean_bytes, clean_notebook

OUTPUTS = [
    {"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]},
    {
        "output_type": "execute_result",
        "execution_count": 3,
        "metadata": {},
        "data": {"text/plain": "1\n2", "image/png": "iVBORw0KGgo=\n", "application/json": {"k": ["v"]}},
    },
    {"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x"]},
]


def code_cell(**more: Any) -> dict[str, Any]:
    cell = {"cell_type": "code", "id": "a", "metadata": {}, "source": ["x = 1"]}
    return cell | {"execution_count": 3, "outputs": OUTPUTS} | more


def cleaned(cell: dict[str, Any], **about: Any) -> dict[str, Any]:
    content = json.dumps(notebook_json([]) | {"cells": [cell], "metadata": about}).encode()
    return json.loads(clean_bytes(content))


def test_outputs_and_counters_go(tmp_path: Path) -> None:
    cell = cleaned(code_cell())["cells"][0]
    assert cell["outputs"] == [] and cell["execution_count"] is None
    assert cell["source"] == ["x = 1"] and cell["id"] == "a"


@pytest.mark.parametrize(
    "noise",
    [
        {"collapsed": True, "scrolled": False, "trusted": True},
        {"ExecuteTime": {"start_time": "2026-01-01"}, "heading_collapsed": True, "hidden": True},
        {"execution": {"iopub.status.busy": "2026-01-01"}, "jupyter": {"outputs_hidden": True}},
        {
            "id": "Xy",
            "outputId": "1",
            "colab": {"base_uri": "https://x"},
            "executionInfo": {"user": {"displayName": "Me"}},
        },
        {"_uuid": "8f", "_cell_guid": "b1"},
        {"papermill": {"duration": 1.0}, "pycharm": {"name": "#%%\n"}, "gradient": {"editing": False}},
        {"tags": [], "editable": True, "deletable": True, "slideshow": {"slide_type": ""}},
    ],
)
def test_notes_of_editors_in_a_cell_go(noise: dict[str, Any]) -> None:
    assert cleaned(code_cell(metadata=noise))["cells"][0]["metadata"] == {}


def test_what_people_set_stays() -> None:
    metadata = {
        "tags": ["parameters", "hide-input"],
        "slideshow": {"slide_type": "slide"},
        "editable": False,
        "jupyter": {"source_hidden": True},
        "cellView": "form",
        "vscode": {"languageId": "sql"},
        "_kg_hide-input": True,
        "my_tool": {"anything": 1},
    }
    assert cleaned(code_cell(metadata=dict(metadata)))["cells"][0]["metadata"] == metadata
    attached = {"photo.png": {"image/png": "iVBORw0KGgo="}}
    text = {"cell_type": "markdown", "id": "m", "metadata": {}, "source": "![](attachment:photo.png)"}
    assert cleaned(text | {"attachments": attached})["cells"][0]["attachments"] == attached
    about = {
        "kernelspec": {"name": "python3", "display_name": "Python 3"},
        "accelerator": "GPU",
        "jupytext": {"formats": "ipynb,py"},
        "kaggle": {"dataSources": []},
    }
    noise = {
        "language_info": {"name": "python", "version": "3.11.7"},
        "widgets": {"application/vnd.jupyter.widget-state+json": {}},
        "colab": {"provenance": [], "gpuType": "T4"},
        "vscode": {"interpreter": {"hash": "1"}},
        "signature": "x",
        "papermill": {},
        "orig_nbformat": 4,
    }
    assert cleaned(code_cell(), **about, **noise)["metadata"] == about | {
        "language_info": {"name": "python"},
        "colab": {"gpuType": "T4"},
    }


@pytest.mark.parametrize(
    "metadata", [{"keep_output": True}, {"tags": ["keep_output"]}, {"tags": ["keep-output"]}]
)
def test_outputs_that_are_asked_for_stay_without_their_counter(metadata: dict[str, Any]) -> None:
    widgets = {"widgets": {"state": 1}}
    found = cleaned(code_cell(metadata=metadata), **widgets)
    outputs = found["cells"][0]["outputs"]
    assert found["metadata"] == widgets
    assert found["cells"][0]["execution_count"] is None
    assert outputs[0] == OUTPUTS[0]
    assert outputs[1]["execution_count"] is None
    assert outputs[1]["data"]["text/plain"] == ["1\n", "2"]
    assert outputs[1]["data"]["application/json"] == {"k": ["v"]}


SOURCES = st.text(st.sampled_from('ab \n\r\t\x0b\x0c\u2028\u0085é😀"\\/<'), max_size=12)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(["code", "markdown", "raw"]), SOURCES)), SOURCES)
def test_the_bytes_are_those_that_jupyter_writes(cells: list[tuple[str, str]], output: str) -> None:
    made = notebook_json(cells)
    for cell in made["cells"]:
        if cell["cell_type"] == "code":
            data = {"text/plain": output, "application/json": {"ä": [output]}}
            cell["outputs"] = [{"output_type": "display_data", "metadata": {}, "data": data}]
            cell["metadata"]["keep_output"] = True
    ours = clean_bytes(json.dumps(made).encode())
    theirs = nbformat.writes(nbformat.reads(ours.decode(), as_version=4)) + "\n"
    assert ours.decode() == theirs
    nbformat.validate(nbformat.reads(theirs, as_version=4))
    assert clean_bytes(ours) == ours
    kept = [(c["cell_type"], "".join(c["source"])) for c in json.loads(ours)["cells"]]
    assert kept == cells


def test_notebooks_that_jupyter_saved_clean_to_their_own_bytes() -> None:
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        saved = (nbformat.writes(nbformat.read(path, as_version=4)) + "\n").encode()
        assert clean_bytes(saved) == saved


def test_what_is_clean_is_not_written(tmp_path: Path) -> None:
    path = write_notebook(tmp_path / "n.ipynb", ["x = 1"])
    assert clean_notebook(path, write=False)
    assert clean_notebook(path)
    before = path.stat().st_mtime_ns
    assert not clean_notebook(path)
    assert path.stat().st_mtime_ns == before
    path.chmod(0o640)
    write_notebook(path, ["y = 1"])
    clean_notebook(path)
    assert path.stat().st_mode & 0o777 == 0o640
    assert [file.name for file in tmp_path.iterdir()] == ["n.ipynb"]


def test_odd_text_survives() -> None:
    half = json.dumps(notebook_json(["x = '😀'"])).encode().replace(b"\\ude00", b"")  # half of a pair
    assert b"\\ud83d" in clean_bytes(half)
    assert clean_bytes(clean_bytes(half)) == clean_bytes(half)
    windows = clean_bytes(json.dumps(notebook_json(["x"]), indent=1).replace("\n", "\r\n").encode())
    assert windows.count(b"\r\n") == windows.count(b"\n") and clean_bytes(windows) == windows


def test_the_command_cleans_files_and_folders_and_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nbs" / ".ipynb_checkpoints").mkdir(parents=True)
    for name in ("a.ipynb", "nbs/b.ipynb", "nbs/.ipynb_checkpoints/b-checkpoint.ipynb"):
        write_notebook(Path(name), ["x = 1"])
    assert main(["notebook", "clean", "--dry-run", "."]) == 1
    assert capsys.readouterr().out.splitlines() == ["not clean: a.ipynb", "not clean: nbs/b.ipynb"]
    assert main(["notebook", "clean", "a.ipynb", "nbs"]) == 0
    assert capsys.readouterr().out.splitlines() == ["cleaned: a.ipynb", "cleaned: nbs/b.ipynb"]
    assert main(["notebook", "clean", "--dry-run", "."]) == 0
    Path("broken.ipynb").write_text("{")
    write_notebook(Path("c.ipynb"), ["x = 1"])
    assert main(["notebook", "clean", "."]) == 1  # goes on with the others
    said = capsys.readouterr()
    assert said.out == "cleaned: c.ipynb\n" and "broken.ipynb" in said.err
    assert Path("broken.ipynb").read_text() == "{"


def test_as_a_filter_of_git_it_writes_to_stdout(monkeypatch: pytest.MonkeyPatch) -> None:
    content = json.dumps(notebook_json(["x = 1"])).encode()
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out))
    assert main(["notebook", "clean", "-"]) == 0
    assert out.getvalue() == clean_bytes(content)


def test_marimo_s_notebooks_have_nothing_to_clean(tmp_path: Path) -> None:
    (tmp_path / "n.py").write_text("import marimo\napp = marimo.App()\n")
    with pytest.raises(NotebookError, match="keeps no outputs"):
        clean_notebook(tmp_path / "n.py")


def test_the_hooks_call_commands_that_there_are() -> None:
    yaml = pytest.importorskip("yaml")
    from wiggly.cli import app

    hooks = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    assert [hook["id"] for hook in hooks] == ["wiggly-notebook-clean", "wiggly-notebook-check"]
    for hook in hooks:
        words = hook["entry"].split()
        assert words[0] == "wiggly"
        command, _, _ = app.parse_args([*words[1:], "a.ipynb"], exit_on_error=False, print_error=False)
        assert command.__name__ == words[2]
