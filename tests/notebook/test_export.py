"""Export: old marks, IPython's lines, several modules, hand edits that are kept, and every refusal."""

from __future__ import annotations

import ast
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.notebook.support import Cell, said, write_notebook

from wiggly.cli import main
from wiggly.errors import NotebookError, StorageError
from wiggly.notebook.export import Export, export_notebook, notebook2script
from wiggly.notebook.module import read_module
from wiggly.notebook.python import plain_python

APP = "#| default_exp app"


def exported(folder: Path, cells: Sequence[Cell], **more: Any) -> Export:
    notebook = write_notebook(folder / "notebook.ipynb", cells)
    return export_notebook(notebook, **{"check": False, **more})


def text_of(folder: Path, cells: Sequence[Cell], name: str = "app.py") -> str:
    exported(folder, cells)
    return (folder / name).read_text("utf-8")


def namespace(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {"__name__": "app"}
    exec(compile(text, "app.py", "exec"), found)
    return found


def test_the_older_marks_mean_the_same(tmp_path: Path) -> None:
    old = ["#default_exp app", "#export\nx = 1", "#exporti\ny = 2", "#hide\nz = 3", "#hide\n#export\nw = 4"]
    old += ["#exports\nv = 5", "#slow\n#export\ns = 6", "# export\nno = 7", "#export the model\nneither = 8"]
    old[0] = "#| default_exp app"
    text = text_of(tmp_path, old)
    assert said(text) == {
        "all": ["x", "w", "v", "s"],
        "code": ["x = 1", "y = 2", "w = 4", "v = 5", "s = 6"],
    }


def test_a_notebook_of_nbdev_1_is_read_with_its_looser_marks(tmp_path: Path) -> None:
    cells = ["# default_exp core\n# default_cls_lvl 3", "# export\nx = 1", "#hide\n # exporti\ny = 2"]
    cells += ["#export tools\nz = 3", "# export the model\nno = 4", "#exporting\nneither = 5"]
    assert said(text_of(tmp_path, cells, "core.py")) == {"all": ["x"], "code": ["x = 1", "y = 2"]}
    assert said((tmp_path / "tools.py").read_text())["code"] == ["z = 3"]


def test_lines_for_ipython_become_comments_and_strings_stay(tmp_path: Path) -> None:
    cell = (
        "#| export\n%matplotlib inline\nimport os\n!pip install \\\n   something\nos?\n?os\n"
        "def f():\n    %time\n    !ls\nquery = '''\n%like\n!this\nwhat?\n'''\nn = 7 \\\n%4"
    )
    result = exported(tmp_path, [APP, cell, "#| export\n%%time\nx = 1"])
    text = (tmp_path / "app.py").read_text()
    found = namespace(text)
    assert found["query"] == "\n%like\n!this\nwhat?\n"
    assert found["n"] == 3 and found["x"] == 1 and found["f"]() is None
    assert "%%time" not in text
    silenced = [note.split("`")[-2] for note in result.notes]
    assert silenced[-1] == "%%time" and {"%matplotlib inline", "os?", "?os", "!ls"} < set(silenced)


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        ("x = (1", "never closed"),
        ("files = !ls", "files = !ls"),
        ("%%bash\nls", "%%bash"),
        ("%%html\n<b>", "%%html"),
        ("%%unknown\nls -l /", "ls -l /"),
        ("await load()", "await load()"),
        ("return 1", "return 1"),
        ("if x:\npass", "pass"),
        ("x = '\0'", "null"),
    ],
)
def test_a_cell_that_is_no_python_is_named(tmp_path: Path, cell: str, word: str) -> None:
    with pytest.raises(NotebookError, match="cell 3") as error:
        exported(tmp_path, [APP, "y = 1", f"#| export\n{cell}"])
    assert word in str(error.value)
    assert not (tmp_path / "app.py").exists()


def test_experiments_that_are_no_python_do_not_matter(tmp_path: Path) -> None:
    exported(tmp_path, [APP, "x = (1", "!ls", "%%bash\nls", "#| export\ny = 1"], check=True)


def test_imports_from_the_future_go_to_the_top_and_the_docstring_before_them(tmp_path: Path) -> None:
    cells = [
        APP,
        '#| export\n"""What it is."""\nimport os',
        "#| export\nfrom __future__ import annotations\nx = 1",
    ]
    text = text_of(tmp_path, cells)
    assert ast.get_docstring(ast.parse(text)) == "What it is."
    assert namespace(text)["x"] == 1
    assert said(text)["code"] == [
        "'What it is.'",
        "from __future__ import annotations",
        "import os",
        "x = 1",
    ]


def test_cells_go_where_they_say(tmp_path: Path) -> None:
    cells = [
        "#| default_exp pets.core",
        "#| export\nx = 1",
        "#| export pets.more\ny = 2",
        "#| exporti tools\nz = 3",
    ]
    result = exported(tmp_path, cells)
    assert [path.relative_to(tmp_path).as_posix() for path in result.modules] == [
        "pets/core.py",
        "pets/more.py",
        "tools.py",
    ]
    assert said((tmp_path / "pets" / "more.py").read_text()) == {"all": ["y"], "code": ["y = 2"]}
    assert said((tmp_path / "tools.py").read_text()) == {"all": [], "code": ["z = 3"]}
    assert (tmp_path / "pets" / "__init__.py").read_text() == ""
    assert not (tmp_path / "__init__.py").exists()


def test_several_notebooks_fill_one_module_and_each_replaces_its_own_part(tmp_path: Path) -> None:
    one = write_notebook(tmp_path / "one.ipynb", ["#| default_exp core", '#| export\n"""Doc."""\nx = 1'])
    two = write_notebook(
        tmp_path / "two.ipynb", ["#| default_exp more", "#| export core\ny = 1", "#| exporti core\nq = 1"]
    )
    core = tmp_path / "core.py"
    export_notebook(two, check=False)
    assert said(core.read_text())["code"] == ["y = 1", "q = 1"]
    for _ in range(2):
        export_notebook(one, check=False)
        export_notebook(two, check=False)
    assert said(core.read_text()) == {"all": ["x", "y"], "code": ["'Doc.'", "x = 1", "y = 1", "q = 1"]}
    write_notebook(two, ["#| export core\nfrom __future__ import annotations\ny = 2"])
    export_notebook(two, check=False)
    assert said(core.read_text())["code"] == [
        "'Doc.'",
        "from __future__ import annotations",
        "x = 1",
        "y = 2",
    ]
    write_notebook(one, ["#| default_exp core", "#| export\nx = 5"])
    export_notebook(one, check=False)
    assert said(core.read_text())["code"] == ["from __future__ import annotations", "x = 5", "y = 2"]


def test_without_default_exp_the_module_is_called_like_the_notebook(tmp_path: Path) -> None:
    assert "x = 1" in text_of(tmp_path, ["#| export\nx = 1"], "notebook.py")
    with pytest.raises(NotebookError, match="default_exp app"):
        export_notebook(write_notebook(tmp_path / "00_core.ipynb", ["#| export\nx = 1"]))


def test_a_repeated_export_writes_nothing(tmp_path: Path) -> None:
    cells = [APP, "#| export\nx = 1"]
    assert exported(tmp_path, cells).written == (tmp_path / "app.py",)
    before = (tmp_path / "app.py").stat().st_mtime_ns
    assert exported(tmp_path, cells).written == ()
    assert (tmp_path / "app.py").stat().st_mtime_ns == before


def test_an_edit_by_hand_is_not_lost(tmp_path: Path) -> None:
    module = tmp_path / "app.py"
    text = text_of(tmp_path, [APP, "#| export\nx = 1"])
    for edit in (
        text + "y = 2\n",
        text + "# why\n",
        text.replace("x = 1", "x = 3"),
        text.replace("# Seal", "# seal"),
    ):
        module.write_text(edit)
        with pytest.raises(NotebookError, match=r"app\.py.*\n.*--force"):
            exported(tmp_path, [APP, "#| export\nx = 2"])
        assert module.read_text() == edit
    exported(tmp_path, [APP, "#| export\nx = 2"], force=True)
    assert said(module.read_text())["code"] == ["x = 2"]


def test_line_ends_of_git_and_a_formatter_are_no_edit(tmp_path: Path) -> None:
    cells = [APP, "#| export\nx = {'a':1}"]
    module = tmp_path / "app.py"
    text = text_of(tmp_path, cells)
    module.write_bytes(text.replace("\n", "\r\n").encode())
    exported(tmp_path, [APP, "#| export\nx = {'a':2}"])
    exported(tmp_path, cells)
    module.write_text(text.replace("{'a':1}", '{"a": 1}\n'))
    assert exported(tmp_path, cells).written == ()


def test_a_file_of_somebody_else_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "app.py").write_text("mine = 1\n")
    with pytest.raises(NotebookError, match="another file"):
        exported(tmp_path, [APP, "#| export\nx = 1"])
    assert (tmp_path / "app.py").read_text() == "mine = 1\n"


def test_a_copy_of_a_notebook_does_not_take_its_module(tmp_path: Path) -> None:
    cells = [APP, "#| export\nx = 1"]
    export_notebook(write_notebook(tmp_path / "app.ipynb", cells), check=False)
    copy = write_notebook(tmp_path / "app-Copy1.ipynb", cells)
    with pytest.raises(NotebookError, match=r"made from app\.ipynb"):
        export_notebook(copy, check=False)
    (tmp_path / "app.ipynb").rename(tmp_path / "other.ipynb")  # a notebook that was renamed keeps its module
    export_notebook(tmp_path / "other.ipynb", check=False)
    assert "Made from other.ipynb" in (tmp_path / "app.py").read_text()


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (["x = 1"], "has none"),
        ([], "has none"),
        ([APP], "has none"),
        ([APP, "#| default_exp other", "#| export\nx = 1"], "'app' in cell 1.*'other' in cell 2"),
        (["#| default_exp app.py", "#| export\nx = 1"], "Write for example `app`"),
        (["#| default_exp my-app", "#| export\nx = 1"], "Write for example `my_app`"),
        (["#| default_exp a/b", "#| export\nx = 1"], r"Write for example `a\.b`"),
        (["#| default_exp class", "#| export\nx = 1"], "names 'class'"),
        (["#| default_exp ../x", "#| export\nx = 1"], "Write for example"),
        (["#| default_exp", "#| export\nx = 1"], "cell 1 has none behind it"),
        ([APP, "#| export a b\nx = 1"], "cell 2.*'a b'"),
        (["#| default_exp gradio", "#| export\nimport gradio as gr"], "cell 2.*imports gradio"),
        (["#| default_exp torch.x", "#| export\ndef f():\n    from torch import nn"], "imports torch"),
    ],
)
def test_what_cannot_be_exported_is_refused_with_the_cell(
    tmp_path: Path, cells: list[Cell], words: str
) -> None:
    import re

    with pytest.raises(NotebookError) as error:
        exported(tmp_path, cells)
    assert re.search(words, str(error.value).replace("\n", " "))
    assert [path.name for path in tmp_path.iterdir()] == ["notebook.ipynb"]


def test_the_same_default_exp_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert "x = 1" in text_of(tmp_path, [APP, APP, "#| export\nx = 1"])


def test_names_that_clash_are_told(tmp_path: Path) -> None:
    cells = ["#| default_exp random", "#| export\ndef f(): pass", "#| export\ndef f(): return 1"]
    cells += ["#| export\n@overload\ndef f(a): pass"]
    notes = " ".join(exported(tmp_path, cells).notes)
    assert "`f` is defined in cell 2" in notes and "again in cell 3" in notes and "cell 4" not in notes
    assert "hides Python's own 'random'" in notes


def test_a_module_beside_a_package_of_its_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    with pytest.raises(NotebookError, match="name of a package"):
        exported(tmp_path, [APP, "#| export\nx = 1"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "cannot be read as one"),
        (b"{", "cannot be read as one"),
        (b"[]", "no `nbformat`"),
        (b'{"a": 1}', "no `nbformat`"),
        (b"\xff\xfe", "UTF-8"),
        (b'{\n<<<<<<< HEAD\n"cells": []\n=======\n>>>>>>> b\n}', "line 2 holds a conflict"),
        (b'{"nbformat": 3, "worksheets": []}', "nbconvert --to notebook --nbformat 4"),
        (b'{"nbformat": 5, "cells": []}', "format 5"),
        (b'{"nbformat": "4"}', "format 4"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": {}}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [1]}', "cell 1"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code"}]}', "cell 1 has no text"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": [1]}]}', "cell 1 has no text"),
        (b'{"nbformat": 4, "cells": [], "metadata": {"language_info": {"name": "julia"}}}', "julia"),
        (b"[" * 100_000, "cannot be read as one"),
    ],
)
def test_damaged_notebooks_are_explained(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "n.ipynb"
    path.write_bytes(content)
    with pytest.raises(NotebookError) as error:
        export_notebook(path)
    assert words in str(error.value)


def test_a_notebook_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        export_notebook(tmp_path / "none.ipynb")
    with pytest.raises(StorageError):
        export_notebook(tmp_path)


def test_notebooks_of_other_programs_are_read(tmp_path: Path) -> None:
    # without cell ids, the text in one piece, Windows line ends, a byte order mark
    cells = [{"cell_type": "code", "source": "#| export\r\nx = 1\r\ny = 2", "outputs": []}]
    path = tmp_path / "colab.ipynb"
    path.write_bytes(
        b"\xef\xbb\xbf" + json.dumps({"nbformat": 4, "nbformat_minor": 0, "cells": cells}).encode()
    )
    export_notebook(path, check=False)
    assert said((tmp_path / "colab.py").read_text())["code"] == ["x = 1", "y = 2"]


def test_notebook2script_takes_the_folder_or_what_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_notebook(
        Path("one.ipynb"), ["#| export\nx = 1", "from wiggly import notebook2script; notebook2script()"]
    )
    write_notebook(Path("two.ipynb"), ["#| export\ny = missing"])
    write_notebook(Path("notes.ipynb"), ["z = 1"])
    notebook2script()
    out = capsys.readouterr().out
    assert "one.ipynb -> one.py" in out and "two.ipynb -> two.py" in out and "notes" not in out
    assert "`missing` is missing: used in cell 1 (`y = missing`)" in out
    notebook2script("one.ipynb", to="lib", check=False)
    assert Path("lib/one.py").is_file()


def test_the_command_writes_and_returns_1_when_a_name_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_notebook(Path("good.ipynb"), ["#| export\nimport numpy\nx = 1"])
    write_notebook(Path("bad.ipynb"), ["path = 1", "#| export\ny = path"])
    assert main(["notebook", "export", "good.ipynb", "--requirements", "needs.txt"]) == 0
    assert main(["notebook", "export", "bad.ipynb"]) == 1
    assert "defined in cell 1 (`path = 1`)" in capsys.readouterr().out
    assert main(["notebook", "export", "bad.ipynb", "--no-check"]) == 0
    assert main(["notebook", "export", "none.ipynb"]) == 1
    assert main(["notebook", "export"]) == 2
    assert "wiggly notebook export --help" in capsys.readouterr().err
    lines = Path("needs.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in lines if not line.startswith("#")] == ["numpy"]
    Path("needs.txt").write_text("mine")
    assert main(["notebook", "export", "good.ipynb", "--requirements", "needs.txt"]) == 1
    assert Path("needs.txt").read_text() == "mine"


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(StorageError, match="writable"):
        exported(tmp_path, [APP, "#| export\nx = 1"], to=tmp_path / "locked")


LINES = st.sampled_from(
    [
        "x = 1",
        "def f():",
        "    return 1",
        "%time",
        "!ls",
        "'''",
        "x?",
        "    %magic",
        '"%d"',
        "# c",
        "# why?",
        "",
        "(",
        ")",
        "\\",
    ]
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=8))
def test_any_cell_becomes_python_or_is_refused(lines: list[str]) -> None:
    code = "\n".join(lines)
    try:
        found = plain_python(code, "cell 1").code
    except NotebookError:
        return
    compile(found, "cell", "exec")
    try:
        compile(code, "cell", "exec")
    except SyntaxError:
        return
    assert ast.dump(ast.parse(found)) == ast.dump(ast.parse(code))  # Python is never changed


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.sampled_from(["x = 1", "def f():\n    pass", "'''a\n\n# %%\n'''", "# only", "class C: k = 2"]),
        min_size=1,
    )
)
def test_a_module_is_read_back_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory, codes: list[str]
) -> None:
    folder = tmp_path_factory.mktemp("module")
    text = text_of(folder, [APP, *(f"#| export\n{code}" for code in codes)])
    module = read_module(text, "app")
    assert module is not None
    assert module.text() == text


@pytest.mark.slow
def test_called_in_a_running_notebook_it_says_what_only_the_notebook_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    import wiggly

    monkeypatch.setenv("PYTHONPATH", str(Path(wiggly.__file__).parent.parent))
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    cells = ["path = 1", "#| export\ndef f(): return path, display(3)"]
    cells += ["from wiggly import notebook2script\nnotebook2script('live.ipynb')"]
    path = write_notebook(tmp_path / "live.ipynb", cells)
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    printed = notebook.cells[-1].outputs[0].text
    assert "live.ipynb -> live.py" in printed
    assert "`display` is missing" in printed and "defined in cell 1 (`path = 1`)" in printed
