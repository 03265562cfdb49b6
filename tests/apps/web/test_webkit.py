"""The page in WebKitGTK, Safari's engine: same answers, offline, wrong files, a narrow screen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.apps.web.conftest import Host
from tests.apps.web.test_page import VECTORS, apart
from tests.apps.web.webkit import WebKit, find_webkit, webkit

from wiggly.apps.web import write_page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.usefixtures("built"),
    pytest.mark.skipif(
        find_webkit() is None,
        reason="needs WebKitGTK: apt-get install webkit2gtk-driver xvfb",
    ),
]

Hosts = Callable[[Path], Host]
READY = "document.querySelector('main[data-backend]')?.dataset.backend"
REPLY = "document.querySelector('.answer[aria-busy=false]')?.reply"


@pytest.fixture(scope="module")
def window() -> Iterator[WebKit]:
    with webkit() as opened:
        yield opened


def test_answers_of_python_wrong_files_and_offline(
    window: WebKit, host: Hosts, bundles: dict[str, Path], tmp_path: Path
) -> None:
    served = host(write_page(bundles["category"], tmp_path / "site").folder)
    window.go(served.address)
    window.until(READY)
    rng = np.random.default_rng(0)
    large = Image.fromarray(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8)).resize((900, 600))
    large.save(tmp_path / "large.png")
    large.save(tmp_path / "photo.jpg", quality=92)
    turned = [VECTORS / f"orientation_{k}.png" for k in (1, 6, 8)]
    for photo in [tmp_path / "large.png", tmp_path / "photo.jpg", *turned]:
        window.run("document.querySelector('.answer').reply = null")
        window.give(photo)
        allowed = 1e-3 if photo.suffix == ".jpg" else 1e-4
        assert apart(window.until(REPLY), bundles["category"], photo) <= allowed, photo.name

    notes = tmp_path / "notes.jpg"
    notes.write_text("a shopping list")
    window.give(notes)
    assert "notes.jpg" in window.until("document.querySelector('.notice')?.innerText")

    window.go(served.address)  # now by the service worker
    window.until(READY)
    served.stop()
    window.go(served.address)
    window.until(READY)
    window.until("document.querySelectorAll('.examples button').length === 3")
    window.run("document.querySelector('.examples button').click()")
    assert window.until(REPLY)["answers"][0]["kind"] == "category"


@pytest.mark.parametrize("kind", ["mask", "table"])
def test_the_worked_examples_come_out_on_a_narrow_screen(
    kind: str, window: WebKit, host: Hosts, bundles: dict[str, Path], tmp_path: Path
) -> None:
    window.call("POST", f"{window.session}/window/rect", {"width": 400, "height": 844})
    window.go(host(write_page(bundles[kind], tmp_path / "site").folder).address)
    window.until(READY)
    assert window.run("return document.documentElement.scrollWidth <= innerWidth")
    window.run("document.querySelector('.check').click()")
    said = window.until("document.querySelector('.checked').textContent.match(/.*largest.*/)?.[0]")
    assert "examples answered as recorded" in said
    assert "something else" not in said
