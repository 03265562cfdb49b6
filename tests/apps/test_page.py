"""The served page in a real browser: a photo gives the model's label, a bad file gives a message."""

from __future__ import annotations

import base64
import io
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pytest
from PIL import Image
from tests.apps.conftest import Served

from wiggly.apps import page as module
from wiggly.apps import photos
from wiggly.apps.page import make_app, serve
from wiggly.apps.words import foot, head, names_of, score_line
from wiggly.bundle.parts import Score
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.errors import ArgumentError, BundleError, DependencyError, StorageError

PATIENCE = 30_000  # milliseconds the browser waits; a busy machine is slow


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return load_bundle(bundle)


@pytest.fixture
def page(browser: Any, served: Served) -> Iterator[Any]:
    """A fresh tab with the page open; `page.asked` are the addresses it asked for."""
    tab = browser.new_page(viewport={"width": 1100, "height": 900})
    tab.set_default_timeout(PATIENCE)
    tab.asked = []
    tab.on("request", lambda request: tab.asked.append(request.url))
    tab.goto(served.address)
    tab.wait_for_selector("#photo input[type=file]", state="attached")
    yield tab
    tab.close()


def shown_label(page: Any) -> str:
    page.wait_for_selector("#answer h2")
    return page.inner_text("#answer h2").strip()


@pytest.mark.browser
def test_a_photo_gets_the_label_of_the_predictor(
    page: Any, predictor: Predictor, digits_folder: Path
) -> None:
    photo = sorted((digits_folder / "4").iterdir())[3]
    label, _, probs = predictor.predict(photo)
    page.set_input_files("#photo input[type=file]", str(photo))
    assert shown_label(page) == label
    page.wait_for_function("document.querySelectorAll('#answer dt').length == 5")
    best = f"{100 * float(probs.max()):.0f}%"
    assert best in page.inner_text("#answer")


@pytest.mark.browser
def test_a_turned_photo_is_read_as_the_predictor_reads_it(
    page: Any, predictor: Predictor, digits_folder: Path, tmp_path: Path
) -> None:
    upright = Image.open(sorted((digits_folder / "7").iterdir())[0]).resize((200, 200))
    exif = upright.getexif()
    exif[0x0112] = 6  # stored lying on its side
    turned = tmp_path / "phone.jpg"
    upright.rotate(90).save(turned, exif=exif, quality=95)
    label, _, probs = predictor.predict(turned)
    page.set_input_files("#photo input[type=file]", str(turned))
    assert shown_label(page) == label
    assert f"{100 * float(probs.max()):.0f}%" in page.inner_text("#answer")


@pytest.mark.browser
def test_examples_give_the_recorded_answer(page: Any, predictor: Predictor) -> None:
    thumbnails = page.locator(".gallery-item")
    assert thumbnails.count() == len(predictor.examples)
    thumbnails.nth(1).click()
    assert shown_label(page) == predictor.examples[1].answer.decoded
    best = f"{100 * float(predictor.examples[1].answer.probs.max()):.0f}%"
    assert best in page.inner_text("#answer")


@pytest.mark.browser
def test_a_bad_file_gets_a_message_and_the_page_lives_on(
    page: Any, predictor: Predictor, digits_folder: Path, tmp_path: Path
) -> None:
    photo = sorted((digits_folder / "0").iterdir())[0]
    page.set_input_files("#photo input[type=file]", str(photo))
    assert shown_label(page) == predictor.predict(photo).decoded

    page.click("#photo button[aria-label='Remove Image']")
    page.wait_for_selector("#answer h2", state="detached")
    disguised = tmp_path / "notes <b>.jpg"
    disguised.write_text("a shopping list")
    page.set_input_files("#photo input[type=file]", str(disguised))
    page.wait_for_selector("#notice [role=alert]")
    message = page.inner_text("#notice")
    assert "notes" in message
    assert "not an image" in message
    assert str(tmp_path) not in message
    assert page.locator("#notice b").count() == 0, "the file's name must not become HTML"
    assert page.locator("#answer h2").count() == 0, "the last photo's answer must not stay beside this file"

    page.click("#photo button[aria-label='Remove Image']")
    page.wait_for_selector("#notice [role=alert]", state="detached")
    page.set_input_files("#photo input[type=file]", str(photo))
    assert shown_label(page) == predictor.predict(photo).decoded


@pytest.mark.browser
def test_a_text_file_is_refused_with_words(page: Any, tmp_path: Path) -> None:
    text = tmp_path / "list.txt"
    text.write_text("a shopping list")
    page.set_input_files("#photo input[type=file]", str(text))
    page.wait_for_selector("[data-testid=toast-body]")
    assert "list.txt" in page.inner_text("[data-testid=toast-body]")
    assert page.is_visible("#photo")


@pytest.mark.browser
def test_nothing_is_fetched_from_elsewhere(page: Any, served: Served, digits_folder: Path) -> None:
    page.set_input_files("#photo input[type=file]", str(next((digits_folder / "1").iterdir())))
    shown_label(page)
    hosts = {urlsplit(url).netloc for url in page.asked if not url.startswith(("data:", "blob:"))}
    assert hosts == {urlsplit(served.address).netloc}


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(390, 844), (1100, 900)])
def test_it_fits_the_screen_and_says_how_good_it_is(
    page: Any, predictor: Predictor, width: int, height: int
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.inner_text("h1") == "Digits"
    assert predictor.manifest.score is not None
    assert score_line(predictor.manifest.score) in page.inner_text("#head").replace("\xa0", " ")
    assert "10 classes" in page.inner_text("#foot")


def test_only_this_machine_can_reach_it(served: Served) -> None:
    port = urlsplit(served.address).port
    with urllib.request.urlopen(served.address) as answer:
        assert answer.status == 200
    table = Path("/proc/net/tcp")  # Linux's list of sockets: address:port in hex, state 0A for listening
    if not table.exists():
        pytest.skip("needs Linux to see where a process listens")
    rows = [line.split() for line in table.read_text().splitlines()[1:]]
    listening = [row[1].split(":") for row in rows if row[3] == "0A"]
    assert [address for address, hexed in listening if int(hexed, 16) == port] == ["0100007F"]


def test_next_free_port_is_taken(served: Served) -> None:
    busy = urlsplit(served.address).port
    assert busy is not None
    assert module._free_port("127.0.0.1", busy) > busy


@pytest.mark.parametrize(
    ("host", "port", "said"),
    [
        ("no.such.host.invalid", 7860, "no.such.host"),
        ("203.0.113.7", 7860, "203.0.113.7"),
        ("127.0.0.1", 99_999, "from 1 to 65535"),
    ],
)
def test_impossible_addresses(host: str, port: int, said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        module._free_port(host, port)


def test_bad_bundles_are_refused_before_anything_is_served(tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        serve(tmp_path / "gone.wiggly")
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8 a photo")
    with pytest.raises(BundleError):
        serve(photo)


def test_without_gradio(monkeypatch: pytest.MonkeyPatch, predictor: Predictor, bundle: Path) -> None:
    monkeypatch.setitem(sys.modules, "gradio", None)
    for start in (lambda: make_app(predictor), lambda: serve(bundle)):
        with pytest.raises(DependencyError, match=r'pip install "wiggly\[app\]"'):
            start()


def test_gradio_is_imported_only_for_the_page() -> None:
    assert not any(getattr(value, "__name__", "").startswith("gradio") for value in vars(module).values())


def test_hostile_texts_stay_text(predictor: Predictor) -> None:
    evil = "<script>alert(1)</script>"
    manifest = SimpleNamespace(
        title=evil,
        description=evil,
        score=None,
        metrics={evil: 0.5},
        licence=evil,
        wiggly=evil,
        created=evil,
        vocab=[evil, True, "True"],
    )
    fake: Any = SimpleNamespace(manifest=manifest, vocab=[evil, True, "True"])
    html = head(fake, "photos") + foot(fake, "", "")
    assert "<script" not in html
    assert names_of(fake.vocab) == [evil, "True", "'True'"]


def test_score_line_says_everything() -> None:
    line = score_line(Score("accuracy", 0.938, 1210, (0.897, 0.964), 0.19, "pug")).replace("\u00a0", " ")
    for part in ("93.8 %", "1,210", "89.7 to 96.4 %", "pug", "19.0 %"):
        assert part in line


def test_pasted_pictures_arrive_as_data(predictor: Predictor) -> None:
    content = predictor.examples[0].content
    url = "data:image/png;base64," + base64.b64encode(content).decode()
    assert photos._source({"url": url, "path": ""}) == content
    assert Image.open(io.BytesIO(content)).format == "PNG"
