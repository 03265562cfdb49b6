"""The page at `/ui/`: its files and nothing else, beside `/v1`, with and without a page at `/`."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.apps.server.conftest import get, served

from wiggly.apps import built
from wiggly.apps.server.ui import static_page
from wiggly.bundle.predictor import Predictor

PAGE = {"index.html": b"<title>it</title>", "assets/a-1.js": b"1", "app.webmanifest": b"{}"}


def test_its_files_are_handed_out_with_their_kinds(digits: Predictor) -> None:
    app = served(digits, static_page=PAGE)
    for path, name, kind in [
        ("/ui/", "index.html", "text/html; charset=utf-8"),
        ("/ui/index.html", "index.html", "text/html; charset=utf-8"),
        ("/ui/assets/a-1.js", "assets/a-1.js", "text/javascript; charset=utf-8"),
        ("/ui/app.webmanifest", "app.webmanifest", "application/manifest+json"),
    ]:
        response = get(app, path)
        assert response.content == PAGE[name] and response.headers["content-type"] == kind
        assert response.headers["x-content-type-options"] == "nosniff"
        again = get(app, path, headers={"If-None-Match": response.headers["etag"]})
        assert again.status_code == 304 and again.content == b""


def test_a_browser_is_led_there(digits: Predictor) -> None:
    for path in ("/", "/ui"):
        assert get(served(digits, static_page=PAGE), path).headers["location"] == "/ui/"
        behind = served(digits, static_page=PAGE, root_path="/pets")
        assert get(behind, path).headers["location"] == "/pets/ui/"
    assert get(served(digits), "/").headers["location"] == "/v1/model"
    assert get(served(digits), "/ui/").status_code == 404


@pytest.mark.parametrize(
    "path", ["/ui/nothing", "/ui/../openapi.py", "/ui/%2e%2e/%2e%2e/etc/passwd", "/ui//etc/passwd"]
)
def test_nothing_else_can_be_read(path: str, digits: Predictor) -> None:
    response = get(served(digits, static_page=PAGE), path)
    assert response.status_code == 404
    assert set(response.json()["error"]) == {"code", "rule", "received", "fix"}


def test_a_page_that_is_not_built_is_left_out(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(built, "STATIC", tmp_path)
    assert static_page(bundle) == {}
    (tmp_path / "page").mkdir()
    for name, content in {"index.html": b"", "sw.js": b"", "app.webmanifest": b"{}"}.items():
        (tmp_path / "page" / name).write_bytes(content)
    assert "page.json" in static_page(bundle)
