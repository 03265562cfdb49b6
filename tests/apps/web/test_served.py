"""The page that `wiggly serve` itself shows, in Chromium: at `/ui/`, and at `/` without Gradio."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.apps.server.test_start import running
from tests.apps.web.conftest import Host, Tab

from wiggly.bundle.predictor import load_bundle
from wiggly.cli import main

pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'wiggly[app]'")
pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("built")]

Tabs = Callable[..., Tab]
WITHOUT_GRADIO = "import sys; sys.modules['gradio'] = None"


def test_it_asks_the_server_that_shows_it(
    tab: Tabs, bundle: Path, digits_folder: Path, tmp_path: Path
) -> None:
    predictor = load_bundle(bundle)
    with running(tmp_path, bundle, code=WITHOUT_GRADIO) as server:
        shown = tab().open(f"{server.address}/")
        assert shown.page.url == f"{server.address}/ui/"
        assert shown.page.get_attribute("main", "data-backend") == "server"
        assert server.address.removeprefix("http://") in shown.says("footer")
        for digit in range(4):
            photo = sorted((digits_folder / str(digit)).iterdir())[3]
            shown.page.evaluate("document.querySelector('.answer').reply = null")
            shown.give(photo)
            reply = shown.reply()
            assert reply["answers"][0]["label"] == predictor.predict(photo).decoded
            assert reply["model"] == predictor.sha256
        shown.page.locator(".examples button").first.click()
        example = predictor.manifest.examples[0]
        said = "document.querySelector('.answer[aria-busy=false]')?.reply?.answers[0].label"
        shown.until(f"{said} === '{example.label}'")
        shown.close()


def test_it_works_behind_a_prefix_and_on_a_phone_in_the_dark(
    tab: Tabs, bundle: Path, digits_folder: Path, tmp_path: Path
) -> None:
    with running(tmp_path, bundle, "--root-path", "/pets", code=WITHOUT_GRADIO) as server:
        shown = tab(width=390, dark=True, touch=True).open(f"{server.address}/pets/ui/")
        shown.page.locator(".examples button").first.click()
        shown.reply()
        assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert shown.page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(21, 23, 26)"
        shown.close()


def test_gradio_keeps_the_front(tab: Tabs, bundle: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    with running(tmp_path, bundle) as server:
        assert "gradio" in httpx.get(f"{server.address}/").text.lower()
        tab().open(f"{server.address}/ui/").close()
        assert httpx.get(f"{server.address}/ui/nothing").status_code == 404


def test_a_static_space_runs_the_model_in_the_browser(
    tab: Tabs, host: Callable[[Path], Host], bundle: Path, digits_folder: Path, tmp_path: Path
) -> None:
    """Its folder, handed out by a plain web server, as the hub does."""
    assert main(["space", "new", str(tmp_path / "space"), str(bundle), "--static"]) == 0
    shown = tab().open(host(tmp_path / "space").address)
    assert shown.page.get_attribute("main", "data-backend") in ("wasm", "webgpu")
    photo = sorted((digits_folder / "7").iterdir())[3]
    shown.give(photo)
    assert shown.reply()["answers"][0]["label"] == load_bundle(bundle).predict(photo).decoded
