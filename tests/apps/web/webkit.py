"""WebKitGTK by WebDriver: Safari's engine, as far as Linux has it. The protocol is W3C's, spoken by hand."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

SECONDS_TO_START = 30
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # W3C WebDriver, section 12.2
BROWSERS = ("/usr/lib/*/webkit2gtk-4.1/MiniBrowser", "/usr/lib/*/webkitgtk-6.0/MiniBrowser")


def find_webkit() -> tuple[str, str, str] | None:
    """The driver, the browser and a virtual screen; None if one of them is missing."""
    driver, screen = shutil.which("WebKitWebDriver"), shutil.which("Xvfb")
    browsers = [path for pattern in BROWSERS for path in Path("/").glob(pattern.lstrip("/"))]
    return (driver, str(browsers[0]), screen) if driver and screen and browsers else None


class WebKit:
    """A window."""

    def __init__(self, address: str) -> None:
        self.address, self.session = address, ""

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One command of the protocol."""
        data = None if body is None else json.dumps(body).encode()
        asked = urllib.request.Request(f"{self.address}{path}", data, {"Content-Type": "application/json"})
        asked.method = method
        try:
            with urllib.request.urlopen(asked, timeout=90) as response:
                return json.load(response)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path}: {error.read().decode()[:500]}") from error

    def open(self, browser: str) -> None:
        """Start the browser."""
        options = {"binary": browser, "args": ["--automation"]}
        wanted = {"browserName": "MiniBrowser", "webkitgtk:browserOptions": options}
        found = self.call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{found['sessionId']}"

    def go(self, address: str) -> None:
        """Load a page."""
        self.call("POST", f"{self.session}/url", {"url": address})

    def run(self, script: str) -> Any:
        """The value of a function's body."""
        return self.call("POST", f"{self.session}/execute/sync", {"script": script, "args": []})

    def until(self, expression: str, seconds: float = 60) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + seconds
        while not (found := self.run(f"return {expression}")):
            assert time.monotonic() < end, self.run("return document.body.innerText")
            time.sleep(0.05)
        return found

    def give(self, file: Path) -> None:
        """Choose a file."""
        where = {"using": "css selector", "value": "input[type=file]"}
        element = self.call("POST", f"{self.session}/element", where)[ELEMENT]
        self.call("POST", f"{self.session}/element/{element}/value", {"text": str(file)})


@contextmanager
def webkit() -> Iterator[WebKit]:
    """A window on a screen that nobody sees."""
    found = find_webkit()
    assert found
    driver, browser, screen = found
    display = next(n for n in range(90, 200) if not Path(f"/tmp/.X11-unix/X{n}").exists())
    port = _free_port()
    environment = {**os.environ, "DISPLAY": f":{display}", "LIBGL_ALWAYS_SOFTWARE": "1"}
    environment |= {"WEBKIT_DISABLE_SANDBOX_THIS_IS_DANGEROUS": "1", "WEBKIT_DISABLE_DMABUF_RENDERER": "1"}
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    size = ["-screen", "0", "1280x1000x24", "-nolisten", "tcp"]
    shown = subprocess.Popen([screen, f":{display}", *size], **quiet)
    driven = subprocess.Popen([driver, f"--port={port}", "--host=127.0.0.1"], env=environment, **quiet)
    window = WebKit(f"http://127.0.0.1:{port}")
    try:
        _wait_for(port)
        window.open(browser)
        yield window
        window.call("DELETE", window.session)
    finally:
        for process in (driven, shown):
            process.terminate()
            process.wait(20)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(port: int) -> None:
    end = time.monotonic() + SECONDS_TO_START
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert time.monotonic() < end, "the driver of WebKit does not start"
            time.sleep(0.1)
