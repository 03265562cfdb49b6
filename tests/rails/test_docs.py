"""What the docs say runs: the README's Python, the notebooks, and the README's commands."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import pytest
from tests.conftest import ROOT

README = (ROOT / "README.md").read_text()
GUIDES = sorted((ROOT / "docs").glob("*.md"))

# The README trains a pretrained network on large photos. Without a network and in seconds, the same lines run
# with these words exchanged; each must occur, so the list cannot rot.
EXCHANGED = {
    '"convnext_tiny", ': '"test_resnet", pretrained=False, ',
    "RandomResizedCrop(224,": "RandomResizedCrop(32,",
    "size=224": "size=32",
    "Resize(460)": "Resize(40)",
}


def python_blocks(text: str) -> list[str]:
    """The bodies of all ```python blocks, after blank lines that make line numbers those of the file."""
    found = re.finditer(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    return ["\n" * (text[: match.start(1)].count("\n")) + match[1] for match in found]


@pytest.mark.docs
def test_readme_blocks_run_in_order(
    digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(digits_folder, tmp_path / "photos")
    shutil.copy(next((tmp_path / "photos" / "3").iterdir()), tmp_path / "new.jpg")
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(README)
    assert len(blocks) >= 5
    for word in EXCHANGED:
        assert word in "".join(blocks), f"{word!r} is no longer in the README"
    namespace: dict[str, object] = {"__name__": "readme"}
    for block in blocks:
        for word, other in EXCHANGED.items():
            block = block.replace(word, other)
        exec(compile(block, str(ROOT / "README.md"), "exec"), namespace)
    assert list(tmp_path.rglob("report.html"))
    assert list(tmp_path.rglob("photos.wiggly"))
    assert "0" in capsys.readouterr().out


@pytest.mark.docs
@pytest.mark.parametrize("page", GUIDES, ids=lambda page: page.stem)
def test_guides_run_in_order(
    page: Path, digits_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(digits_folder, tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    blocks = python_blocks(page.read_text())
    assert blocks
    namespace: dict[str, object] = {"__name__": page.stem}
    for block in blocks:
        exec(compile(block, str(page), "exec"), namespace)


def shell_lines() -> list[str]:
    """Every `wiggly ...` line of the ```sh blocks of README and guides, less its comment."""
    pages = "\n".join([README, *(page.read_text() for page in GUIDES)])
    blocks = re.findall(r"^```sh\n(.*?)^```", pages, re.DOTALL | re.MULTILINE)
    lines = [line.split(" #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("wiggly ") and "VERB" not in line]


@pytest.mark.docs
@pytest.mark.parametrize("line", shell_lines())
def test_the_command_line_knows_every_command_of_the_readme(line: str) -> None:
    import shlex

    from wiggly.cli import app

    command, bound, _ = app.parse_args(shlex.split(line)[1:], exit_on_error=False, print_error=False)
    assert callable(command)
    assert bound.arguments or command.__module__.startswith("wiggly.cli")  # not the help of a group


@pytest.mark.docs
def test_links_lead_somewhere() -> None:
    anchors = {
        re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))
        for title in re.findall(r"^#+ (.+)$", README, re.MULTILINE)
    }
    for target in re.findall(r"\]\(([^)]+)\)", README):
        if target.startswith("#"):
            assert target[1:] in anchors
        elif "://" not in target:
            assert (ROOT / target).exists(), target


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.docs
@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run_from_top_to_bottom(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    # The kernel is a process of its own: it gets the package from where this process has it, and writes to
    # tmp_path.
    import wiggly

    source = str(Path(wiggly.__file__).parent.parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([source, *filter(None, [os.environ.get("PYTHONPATH")])]))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert any("image/png" in output.get("data", {}) for output in outputs), "the notebook shows pictures"
    assert not [output for output in outputs if output.get("name") == "stderr"], (
        "nothing is printed as an error"
    )
    assert list(tmp_path.rglob("*.wiggly"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_stored_without_outputs(path: Path) -> None:
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            assert not cell.outputs
            assert cell.execution_count is None


def test_the_readme_names_the_python_this_project_needs() -> None:
    assert "Python 3.11" in README
    assert sys.version_info >= (3, 11)
