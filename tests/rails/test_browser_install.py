"""Where the browser tests get their Chromium: the PATH, else Debian when root, else playwright's own."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from tests.conftest import CHROMIUM_NAMES, ROOT


@pytest.fixture
def browser(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`scripts/browser.py` on a machine with nothing; what it would run is recorded in `.calls`."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.delitem(sys.modules, "environment", raising=False)
    spec = importlib.util.spec_from_file_location("chromium_script", ROOT / "scripts" / "browser.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.calls = []  # type: ignore[attr-defined]

    def call(*command: object, env: object = None, check: bool = True) -> int:
        module.calls.append(" ".join(map(str, command)))  # type: ignore[attr-defined]
        return 0

    monkeypatch.setattr(module, "call", call)
    monkeypatch.setattr(module, "_playwright_has_one", lambda python: False)
    return module


def on_path(*names: str) -> Callable[[str], str | None]:
    """A `shutil.which` that finds only these."""
    return lambda name: f"/usr/bin/{name}" if name in names else None


def test_a_chromium_on_the_path_is_taken(browser: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert browser.NAMES == CHROMIUM_NAMES  # what is installed is what the tests' fixture looks for
    for name in CHROMIUM_NAMES:
        monkeypatch.setattr(browser.shutil, "which", on_path(name))
        browser.ensure_chromium(Path("python"))
    assert browser.calls == []


@pytest.mark.parametrize(
    ("user", "programs", "first"),
    [(0, ["apt-get"], "apt-get"), (0, [], "python"), (1, ["apt-get"], "python")],
)
def test_else_debian_when_root_else_playwright(
    browser: ModuleType, monkeypatch: pytest.MonkeyPatch, user: int, programs: list[str], first: str
) -> None:
    monkeypatch.setattr(browser.shutil, "which", on_path(*programs))
    monkeypatch.setattr(browser.os, "geteuid", lambda: user, raising=False)
    browser.ensure_chromium(Path("python"))
    assert browser.calls[0].split()[0] == first
    assert browser.calls[-1].endswith("chromium")


@pytest.mark.parametrize(
    ("user", "programs", "n"),
    [(0, ["apt-get"], 2), (1, ["apt-get"], 0), (0, [], 0), (0, ["apt-get", "WebKitWebDriver", "Xvfb"], 0)],
)
def test_webkit_is_installed_when_root_on_a_debian(
    browser: ModuleType, monkeypatch: pytest.MonkeyPatch, user: int, programs: list[str], n: int
) -> None:
    monkeypatch.setattr(browser.shutil, "which", on_path(*programs))
    monkeypatch.setattr(browser.os, "geteuid", lambda: user, raising=False)
    browser.ensure_webkit()
    assert len(browser.calls) == n
    assert not n or browser.calls[-1].endswith("webkit2gtk-driver xvfb")
