"""Explorables in a real JupyterLab and a real marimo: with a kernel, and in the saved notebook without."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import wiggly

pytestmark = [pytest.mark.slow, pytest.mark.browser]
SECONDS_TO_START = 120
PATIENCE = 45_000  # milliseconds; the kernel imports torch first

CELLS = [
    'from wiggly import explore\nexplore("sum of relus")',
    "from wiggly import interact\n@interact(a=(0.0, 10.0))\ndef got(a):\n    return f'got {a:.1f}'",
    "from wiggly.teach.descent import gradient_descent\ntoy = gradient_descent()\ntoy.widget()",
    "explore('training step')",
    "explore('softmax').widget()",
    "explore('rate finder').widget()",
    "explore('convolution')",
    "explore('random resized crop').widget()",
]


@contextmanager
def serving(command: list[str], folder: Path, address: str) -> Iterator[None]:
    """A server of notebooks in a folder, once it answers."""
    source = str(Path(wiggly.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": source, "HOME": str(folder), "OMP_WAIT_POLICY": "passive"}
    environment["JUPYTERLAB_SETTINGS_DIR"] = str(folder / "settings")
    log = (folder / "log.txt").open("w")
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while True:
            assert process.poll() is None, (folder / "log.txt").read_text()
            try:
                urllib.request.urlopen(address).close()
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline, (folder / "log.txt").read_text()
                time.sleep(0.3)
        yield
    finally:
        process.terminate()
        process.wait(30)
        log.close()


@pytest.fixture
def lab(browser: Any, built: None, tmp_path: Path) -> Iterator[tuple[Any, Path]]:
    """A page with a notebook open in JupyterLab, all cells run."""
    pytest.importorskip("jupyterlab", reason="needs JupyterLab: pip install jupyterlab")
    import nbformat
    from nbformat import v4

    path = tmp_path / "play.ipynb"
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    nbformat.write(v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in CELLS], metadata=kernel), path)
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", "--port=18917"]
    command += ["--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password="]
    # By default JupyterLab takes cells out of the page that are out of sight; the test looks at all of them.
    settings = tmp_path / "settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text('{"windowingMode": "none"}')
    with serving(command, tmp_path, "http://127.0.0.1:18917/api"):
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.goto("http://127.0.0.1:18917/lab/tree/play.ipynb")
        page.locator(".jp-Notebook .jp-CodeCell").first.wait_for()
        page.locator(".jp-Notebook-ExecutionIndicator[data-status=idle]").wait_for()
        for _ in range(10):  # before the kernel is connected a run is refused with a dialog, or forgotten
            page.wait_for_timeout(3000)
            for button in page.locator("dialog .jp-Dialog-button.jp-mod-accept").all():
                button.click()
            page.locator(".lm-MenuBar-itemLabel", has_text="Run").first.click()
            page.locator(".lm-Menu-itemLabel", has_text="Run All Cells").first.click()
            page.wait_for_timeout(3000)
            if "[ ]" not in page.locator(".jp-InputPrompt").first.inner_text():
                break
        yield page, path
        page.close()


def framed(page: Any, title: str) -> Any:
    """What is in the frame of an explorable; frames are loaded when they come into sight."""
    page.locator(f"iframe[title='{title}']").scroll_into_view_if_needed()
    return page.frame_locator(f"iframe[title='{title}']")


def play_a_training(page: Any) -> None:
    """A step in a frame; scores and a search in widgets, whose state goes to the kernel."""
    step = framed(page, "One training step")
    step.locator("button", has_text="Step").first.click()
    step.get_by_text("first layer · Linear 16").wait_for()
    page.locator(".wx[data-name=softmax-and-cross-entropy] button", has_text="All +1").click()
    page.get_by_text("Every score rose by 1").wait_for()
    page.locator(".wx[data-name=learning-rate-finder] button", has_text="To the end").click()
    page.get_by_text("Nothing of this training is kept").wait_for()


def test_jupyterlab_plays_them_and_the_saved_notebook_does_too(
    lab: tuple[Any, Path], browser: Any, tmp_path: Path
) -> None:
    page, path = lab
    relus = framed(page, "Sum of relus")
    relus.locator("button", has_text="Step").click()
    relus.get_by_text("after 1 step of").wait_for()
    assert page.locator("iframe[title='Sum of relus']").bounding_box()["height"] > 500
    assert relus.locator(".wx").get_attribute("data-dark") is None

    page.locator(".wx[data-name=gradient-descent] button", has_text="Step").click()  # the widget has a kernel
    page.get_by_text("step 1 ·").wait_for()
    play_a_training(page)
    framed(page, "Convolution").locator("button", has_text="Step").click()
    framed(page, "Convolution").get_by_text("row 1 · column 1").wait_for()
    page.locator(".wx[data-name=random-resized-crop] button", has_text="Step").click()
    page.get_by_text("draw 2:").wait_for()
    function = framed(page, "Interact")
    function.locator("input[aria-label=a]").fill("3.3")
    function.get_by_text("got 3.3").wait_for()
    assert function.locator("[data-part=status]").inner_text() == ""

    page.locator(".lm-MenuBar-itemLabel", has_text="File").first.click()
    page.locator(".lm-Menu-itemLabel", has_text="Save Notebook").first.click()
    deadline = time.monotonic() + 20
    while b"srcdoc" not in path.read_bytes():
        assert time.monotonic() < deadline
        time.sleep(0.3)
    convert = [sys.executable, "-m", "nbconvert", "--to", "html", str(path)]
    subprocess.run(convert, check=True, capture_output=True, cwd=tmp_path)
    saved = browser.new_page()
    saved.goto((tmp_path / "play.html").as_uri())
    alone = framed(saved, "Interact")
    alone.locator("input[aria-label=a]").fill("10")
    alone.get_by_text("got 10.0").wait_for()
    framed(saved, "Sum of relus").locator("button", has_text="Step").click()
    saved.close()


def test_marimo_plays_them(browser: Any, built: None, tmp_path: Path) -> None:
    pytest.importorskip("marimo", reason="needs marimo: pip install marimo")
    (tmp_path / "play.py").write_text(
        "import marimo\n\napp = marimo.App()\n\n\n@app.cell\ndef _():\n"
        "    from wiggly import explore\n    explore('sum of relus')\n    return (explore,)\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('gradient descent').widget()\n    return\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('random resized crop').widget()\n    return\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('convolution')\n    return\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('training step')\n    return\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('softmax').widget()\n    return\n\n\n"
        "@app.cell\ndef _(explore):\n    explore('rate finder').widget()\n    return\n\n\n"
        'if __name__ == "__main__":\n    app.run()\n'
    )
    command = [sys.executable, "-m", "marimo", "run", "play.py", "--headless", "--port", "18927"]
    with serving([*command, "--no-token"], tmp_path, "http://127.0.0.1:18927/health"):
        page = browser.new_page(viewport={"width": 1300, "height": 1000})
        page.set_default_timeout(PATIENCE)
        page.goto("http://127.0.0.1:18927/")
        relus = framed(page, "Sum of relus")
        relus.locator("button", has_text="Step").click()
        relus.get_by_text("after 1 step of").wait_for()
        page.locator(".wx[data-name=gradient-descent] button", has_text="Step").click()
        page.get_by_text("step 1 ·").wait_for()
        play_a_training(page)
        page.locator(".wx[data-name=random-resized-crop] button", has_text="Step").click()
        page.get_by_text("draw 2:").wait_for()
        framed(page, "Convolution").locator("button", has_text="Step").click()
        framed(page, "Convolution").get_by_text("row 1 · column 1").wait_for()
        page.close()
