"""`--app`: a folder that starts, with everything in it and nothing of the notebook's folder needed."""

from __future__ import annotations

import json
import os
import runpy
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.notebook.support import write_notebook

from wiggly.cli import main
from wiggly.errors import BundleError, NotebookError
from wiggly.notebook.app import export_app
from wiggly.notebook.importing import HOME

COURSE = [
    "#| default_exp app",
    "#| export\nfrom wiggly.vision.all import *\nimport gradio as gr",
    "learn.export('colours.wiggly')",
    "#| export\nlearn = load_learner('colours.wiggly')\ncategories = learn.dls.vocab",
    "#| export\ndef classify_image(img):\n    pred, idx, probs = learn.predict(img)\n"
    "    return dict(zip(categories, map(float, probs)))",
    "#| export\nintf = gr.Interface(classify_image, gr.Image(), gr.Label())\nintf.launch(inline=False)",
]
PLAIN = [
    "#| default_exp tools",
    "#| export\nimport json\ndef f(x): return x",
    "learn.export('colours.wiggly')",
]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that tells red from blue."""
    from PIL import Image

    from wiggly import ImageDataLoaders, vision_learner

    folder = tmp_path_factory.mktemp("bundle")
    photos = [Image.new("RGB", (32, 32), colour) for colour in ["red", "blue"] * 8]
    dls = ImageDataLoaders.from_lists(folder, photos, ["red", "blue"] * 8, seed=1, bs=4)
    return vision_learner(dls, "test_resnet", pretrained=False).export(folder / "colours.wiggly")


@pytest.fixture
def work(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the bundle, to work in."""
    shutil.copy(bundle, tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_course_s_notebook_is_an_app_as_it_stands(work: Path) -> None:
    write_notebook(Path("course.ipynb"), COURSE)
    result = export_app("course.ipynb", "space", check=False)
    assert files(Path("space")) == ["README.md", "app.py", "colours.wiggly", "requirements.txt"]
    lines = Path("space/requirements.txt").read_text().splitlines()
    assert [line.partition("==")[0] for line in lines if line[0] != "#"] == ["gradio", "wiggly"]
    head = Path("space/README.md").read_text().split("---")[1]
    assert "sdk: gradio\n" in head and "app_file: app.py\n" in head and "sdk_version: " in head
    assert Path("space/colours.wiggly").read_bytes() == Path("colours.wiggly").read_bytes()
    assert result.names[-1] == "classify_image"


def test_a_page_that_is_not_launched_gets_a_file_that_does(work: Path) -> None:
    write_notebook(Path("n.ipynb"), [*COURSE[:-1], "#| export\nwith gr.Blocks() as demo:\n    gr.Label()"])
    export_app("n.ipynb", "space", check=False)
    assert "from app import demo" in Path("space/main.py").read_text()
    assert "app_file: main.py" in Path("space/README.md").read_text()
    cells = ["#| default_exp pets.page", *COURSE[1:]]
    write_notebook(Path("m.ipynb"), cells)
    export_app("m.ipynb", "other", check=False)
    assert 'runpy.run_module("pets.page", run_name="__main__")' in Path("other/app.py").read_text()


def test_start_files_start_what_they_should(work: Path) -> None:
    fake = "class Page:\n    def launch(self): print('launched')\n"
    page = "#| export\ndemo = Interface()\n"
    Path("gradio_like.py").write_text(f"{fake}\ndef Interface(): return Page()\n")
    imports = "#| export\nfrom gradio_like import Interface"
    for i, (module, launch, start) in enumerate(
        [
            ("app", "", "main.py"),
            ("tools", "", "app.py"),
            ("tools", "demo.launch()", "app.py"),
            ("app", "demo.launch()", "app.py"),
        ]
    ):
        write_notebook(Path(f"n{i}.ipynb"), [f"#| default_exp {module}", imports, page + launch])
        export_app(f"n{i}.ipynb", f"s{i}")
        assert "gradio_like.py" in files(Path(f"s{i}"))  # the user's own module comes along
        command = [sys.executable, start]
        done = subprocess.run(command, cwd=f"s{i}", capture_output=True, text=True, check=True)
        assert done.stdout == "launched\n"


def test_without_a_page_of_its_own_the_bundle_s_page_is_the_app(work: Path) -> None:
    write_notebook(Path("plain.ipynb"), PLAIN)
    result = export_app("plain.ipynb", "space", check=False)
    assert files(Path("space")) == ["README.md", "app.py", "colours.wiggly", "requirements.txt", "tools.py"]
    assert [line.partition("==")[0] for line in result.requirements.lines] == ["wiggly[app]"]
    assert runpy.run_path("space/app.py")["BUNDLE"].resolve() == Path("space/colours.wiggly").resolve()


def test_the_bundle_is_the_one_loaded_exported_named_or_alone(work: Path) -> None:
    write_notebook(Path("n.ipynb"), ["#| export\nx = 1"])
    export_app("n.ipynb", "alone", check=False)
    shutil.copy("colours.wiggly", "second.wiggly")
    with pytest.raises(NotebookError, match="2 lie beside it"):
        export_app("n.ipynb", "two", check=False)
    export_app("n.ipynb", "named", bundle="second.wiggly", check=False)
    assert "second.wiggly" in files(Path("named"))
    write_notebook(Path("n.ipynb"), ["#| export\nx = 1", "learn.export('second.wiggly')"])
    export_app("n.ipynb", "exported", check=False)
    assert "second.wiggly" in files(Path("exported"))
    for cell, words in [
        ("load_bundle('none.wiggly')", "none.wiggly' must be there"),
        ("load_bundle('../up.wiggly')", "lies outside"),
        ("load_learner(Path('/abs')/'/abs/up.pkl')", "lies outside"),
    ]:
        write_notebook(Path("n.ipynb"), [f"#| export\nlearn = {cell}"])
        with pytest.raises(NotebookError, match=words):
            export_app("n.ipynb", "missing", check=False)
    assert not Path("missing").exists()


def test_what_people_changed_in_the_folder_is_kept(work: Path) -> None:
    write_notebook(Path("plain.ipynb"), PLAIN)
    export_app("plain.ipynb", "space", check=False)
    Path("space/README.md").write_text("mine")
    export_app("plain.ipynb", "space", check=False)
    assert Path("space/README.md").read_text() == "mine"
    for name in ("app.py", "requirements.txt", "tools.py"):
        path = Path("space", name)
        before = path.read_text()
        path.write_text(before + "# mine\n")
        with pytest.raises(NotebookError, match=f"{name}.*--force|{name}"):
            export_app("plain.ipynb", "space", check=False)
        assert path.read_text() == before + "# mine\n"
        export_app("plain.ipynb", "space", check=False, force=True)
        assert path.read_text() == before


def test_a_damaged_bundle_is_found_before_anything_is_written(work: Path) -> None:
    write_notebook(Path("plain.ipynb"), PLAIN)
    content = bytearray(Path("colours.wiggly").read_bytes())
    content[len(content) // 2] ^= 255
    Path("colours.wiggly").write_bytes(content)
    with pytest.raises(BundleError):
        export_app("plain.ipynb", "space")
    assert not Path("space").exists()


def test_options_that_contradict(work: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_notebook(Path("a.ipynb"), PLAIN)
    assert main(["notebook", "export", "a.ipynb", "--bundle", "colours.wiggly"]) == 1
    assert main(["notebook", "export", "a.ipynb", "a.ipynb", "--app", "s"]) == 1
    assert main(["notebook", "export", "a.ipynb", "--app", "s", "--to", "t"]) == 1
    assert capsys.readouterr().err.count("error:") == 3


@pytest.mark.slow
def test_the_course_s_app_is_checked_and_answers_over_the_network(work: Path) -> None:
    pytest.importorskip("gradio")
    write_notebook(Path("course.ipynb"), COURSE)
    result = export_app("course.ipynb", "space")
    assert result.problems == ()
    assert any("intf.launch(inline=False)" in note for note in result.notes)
    write_notebook(Path("plain.ipynb"), PLAIN)
    assert export_app("plain.ipynb", "page").problems == ()
    shutil.move("space", "elsewhere")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    environment = {**os.environ, "PYTHONPATH": HOME, "PYTHONUNBUFFERED": "1", "GRADIO_SERVER_PORT": port}
    server = subprocess.Popen(
        [sys.executable, "app.py"], cwd="elsewhere", env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        assert port in next(line for line in server.stdout if "http" in line)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=60) as answer:
            assert "components" in json.load(answer)
    finally:
        server.terminate()
        server.wait(30)
        server.stdout.close()  # type: ignore[union-attr]
