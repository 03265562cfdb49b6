"""The page in Chromium: on the device, offline, on a phone, with wrong files, with a server that is down."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from tests.apps.web.conftest import Host, Tab
from tests.conftest import ROOT

from wiggly.apps.web import write_page
from wiggly.bundle.archive import read_archive
from wiggly.bundle.pixels import prepare

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("built")]

Tabs, Hosts, Bundles = Callable[..., Tab], Callable[[Path], Host], dict[str, Path]
VECTORS = ROOT / "tests" / "bundle" / "vectors"


def expected(bundle: Path, photo: Path) -> list[float]:
    """Probabilities by Python: Pillow decodes, the package's own preprocessing, ONNX Runtime computes."""
    import onnxruntime

    archive = read_archive(bundle)
    image = ImageOps.exif_transpose(Image.open(photo))
    if image.mode in ("LA", "RGBA", "P"):
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    steps = archive.manifest.inputs[0].preprocessing  # type: ignore[union-attr]
    pixels = prepare(np.asarray(image.convert("RGB")), steps)[None]
    session = onnxruntime.InferenceSession(archive.files["model.onnx"], providers=["CPUExecutionProvider"])
    return session.run(None, {"image": pixels})[0][0].tolist()


def apart(reply: dict[str, Any], bundle: Path, photo: Path) -> float:
    """The largest difference of a probability."""
    [answer], wanted = reply["answers"], expected(bundle, photo)
    vocabulary: Any = read_archive(bundle).manifest.outputs[0].vocabulary  # type: ignore[union-attr]
    found = {one["label"]: one["probability"] for one in answer["probabilities"]}
    assert answer["label"] == vocabulary[int(np.argmax(wanted))]
    return max(abs(found[label] - p) for label, p in zip(vocabulary, wanted, strict=True))


def test_photos_get_the_answer_of_python(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    rng = np.random.default_rng(0)
    rough = Image.fromarray(rng.integers(0, 256, (70, 111, 3), dtype=np.uint8))
    large = rough.resize((900, 640), Image.Resampling.BICUBIC)
    exif = Image.Exif()
    exif[0x0112] = 6
    clear = large.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    for name, image, more, allowed in [
        ("rough.png", rough, {}, 1e-4),
        ("large.png", large, {}, 1e-4),
        ("grey.png", large.convert("L"), {}, 1e-4),
        ("palette.png", large.quantize(16), {}, 1e-4),
        ("clear.png", clear, {}, 1e-3),  # browsers round what is half transparent
        ("photo.jpg", large, {"quality": 92}, 1e-3),
        ("turned.jpg", large, {"exif": exif, "quality": 92}, 1e-3),
        ("grey.jpg", large.convert("L"), {"quality": 90}, 1e-3),
    ]:
        photo = tmp_path / name
        image.save(photo, **more)
        shown.page.evaluate("document.querySelector('.answer').reply = null")
        shown.give(photo)
        assert apart(shown.reply(), bundles["category"], photo) <= allowed, name


def test_the_shared_files_come_out(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    """Decoded by the browser, turned by EXIF, laid on white: what every reader of bundles must do."""
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    for described in json.loads((VECTORS / "vectors.json").read_text())["files"]:
        if described["channels"] != 3:
            continue
        shape = (described["height"], described["width"], 3)
        pixels = np.frombuffer(base64.b64decode(described["pixels"]), np.uint8).reshape(shape)
        buffer = tmp_path / "decoded.png"
        Image.fromarray(pixels).save(buffer)
        shown.page.evaluate("document.querySelector('.answer').reply = null")
        shown.give(VECTORS / described["file"])
        assert apart(shown.reply(), bundles["category"], buffer) <= 2e-3, described["file"]


@pytest.mark.parametrize("kind", ["category", "labels", "mask", "points", "boxes", "table"])
def test_the_worked_examples_come_out(
    kind: str, tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path
) -> None:
    shown = tab().open(host(write_page(bundles[kind], tmp_path / "site").folder).address)
    shown.page.click(".check")
    shown.until("document.querySelector('.checked').textContent.includes('largest')")
    said = shown.says(".checked")
    n = len(read_archive(bundles[kind]).manifest.examples)
    assert said.startswith(f"{n} of {n} examples answered as recorded"), said


def test_it_opens_offline_after_the_first_visit_and_uses_threads(
    tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path
) -> None:
    served = host(write_page(bundles["category"], tmp_path / "site").folder)
    shown = tab().open(served.address)
    shown.page.reload()
    shown.page.wait_for_selector("main[data-backend]")
    assert shown.page.evaluate("crossOriginIsolated")
    served.stop()
    shown.page.context.set_offline(True)
    shown.page.reload()
    shown.page.wait_for_selector("main[data-backend]")
    assert int(shown.page.get_attribute("main", "data-threads")) >= 1
    shown.page.locator(".examples button").nth(1).click()
    example: Any = read_archive(bundles["category"]).manifest.examples[1]
    assert shown.reply()["answers"][0]["label"] == example.label


def test_the_first_load_is_small(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    page = write_page(bundles["category"], tmp_path / "site")
    assert page.first_load < 15e6
    shown = tab()
    asked: list[int] = []
    shown.page.context.on("requestfinished", lambda one: asked.append(one.sizes()["responseBodySize"]))
    shown.open(host(page.folder).address)
    assert sum(asked) < 10e6


def test_a_phone_and_a_dark_screen(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    address = host(write_page(bundles["category"], tmp_path / "site").folder).address
    shown = tab(width=390, dark=True, touch=True).open(address)
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert shown.page.locator("input[capture=environment]").count() == 1
    assert shown.page.get_by_role("button", name="Take a photo").is_visible()
    ground = shown.page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == "rgb(21, 23, 26)"
    shown.page.locator(".examples button").first.click()
    shown.reply()
    assert shown.page.evaluate("document.documentElement.scrollWidth") <= 390
    small = shown.page.evaluate(
        "[...document.querySelectorAll('button')].filter((b) => b.offsetParent && b.offsetHeight < 34).length"
    )
    assert small == 0


def test_an_unsure_answer_says_so(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    manifest = read_archive(bundles["category"]).manifest
    least = manifest.outputs[0].unsure.threshold  # type: ignore[union-attr]
    examples: Any = manifest.examples
    doubtful = next(i for i, one in enumerate(examples) if max(one.probabilities) < least)
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    shown.page.locator(".examples button").nth(doubtful).click()
    assert shown.says(".unsure .said") == "Not sure"
    assert str(examples[doubtful].label) in shown.says(".unsure .maybe")
    assert shown.page.inner_text(".spoken").startswith("Not sure: maybe")


def test_wrong_files_get_words_and_the_page_lives_on(
    tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path
) -> None:
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    notes = tmp_path / "notes <b>.jpg"
    notes.write_text("a shopping list")
    empty = tmp_path / "empty.png"
    empty.write_bytes(b"")
    cut = tmp_path / "cut.png"
    whole = io.BytesIO()
    Image.new("RGB", (300, 300)).save(whole, "PNG")
    cut.write_bytes(whole.getvalue()[:40])
    for wrong in (notes, empty, cut):
        shown.give(wrong)
        said = shown.says(".notice")
        assert "That cannot be used" in said
        assert wrong.name in said
        assert shown.page.locator(".notice b").count() == 0, "the file's name must not become HTML"
        shown.page.locator(".examples button").first.click()
        shown.reply()
        assert shown.page.locator(".notice").count() == 0


def test_drop_and_paste(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    give = """async ([event, name]) => {
      const canvas = document.createElement("canvas");
      const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
      const data = new DataTransfer();
      data.items.add(new File([blob], name, { type: "image/png" }));
      const given = { bubbles: true, cancelable: true };
      const made = event === "drop" ? new DragEvent("drop", { ...given, dataTransfer: data })
        : new ClipboardEvent("paste", { ...given, clipboardData: data });
      document.querySelector(".answer").reply = null;
      document.body.dispatchEvent(made);
    }"""
    for event in ("drop", "paste"):
        shown.page.evaluate(give, [event, f"{event}.png"])
        assert shown.reply()["answers"][0]["kind"] == "category"
        assert event in shown.page.get_attribute(".drawn img", "alt")


def test_by_keyboard_alone(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    shown = tab().open(host(write_page(bundles["category"], tmp_path / "site").folder).address)
    shown.page.wait_for_selector(".examples button")
    names: list[str] = []
    for _ in range(8):
        shown.page.keyboard.press("Tab")
        focused = "document.activeElement.ariaLabel ?? document.activeElement.textContent"
        names.append(shown.page.evaluate(focused))
        if names[-1] == "Ask about example 1":
            break
    assert names[0] == "Choose a photo"
    assert names[-1] == "Ask about example 1"
    outline = shown.page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    shown.page.keyboard.press("Enter")
    shown.reply()
    assert shown.page.evaluate(focused) == "Ask about example 1", "the answer must not take the focus"
    assert shown.page.get_attribute(".spoken", "role") == "status"


def test_a_form(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    shown = tab(width=390).open(host(write_page(bundles["table"], tmp_path / "site").folder).address)
    page = shown.page
    page.get_by_label("city").select_option("Oslo")
    page.get_by_label("age").fill("30")
    page.get_by_label("hours").fill("120")
    assert "outside what it has seen" in page.inner_text("form")
    page.keyboard.press("Enter")
    labels, rent = shown.reply()["answers"]
    assert labels["name"] == "income"
    number = (
        3 * 2 + 5 * 2 + 10 * (30 - 40) / 15.5 + 2 * (120 - 38) / 24.5 + (1557100800 - 1.6e9) / 1.25e8 + 50
    )
    assert rent["values"][0]["value"] == pytest.approx(number, abs=1e-3)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_people_who_liked_this(tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path) -> None:
    shown = tab().open(host(write_page(bundles["pairs"], tmp_path / "site").folder).address)
    page = shown.page
    assert shown.says(".chips").startswith("Fargo"), "the film with most ratings comes first"
    before = shown.says(".near")
    page.get_by_role("searchbox").fill("ali")
    page.keyboard.press("Enter")
    shown.until("document.querySelectorAll('.chips li').length === 2")
    shown.until(f"document.querySelector('.near').innerText !== {json.dumps(before)}")
    assert "Alien" not in page.inner_text(".near")
    assert "Dracula" not in page.inner_text(".near"), "it has 2 ratings only"


def test_an_endpoint_that_answers_and_one_that_is_down(
    tab: Tabs, host: Hosts, bundles: Bundles, tmp_path: Path
) -> None:
    endpoint = "https://models.example.org/pets"
    page = write_page(bundles["category"], tmp_path / "site", endpoint=endpoint)
    assert page.model == 0
    assert "connect-src 'self' https://models.example.org blob:" in (page.folder / "index.html").read_text()
    shown = tab()
    chances = [{"label": "bee", "probability": 0.9}, {"label": "ant", "probability": 0.1}]
    answers = [{"kind": "category", "name": "", "label": "bee", "confidence": 0.9, "unsure": False}]
    reply = {"answers": [{**answers[0], "probabilities": chances}], "model": "0" * 64}
    output = {"kind": "category", "vocabulary": ["ant", "bee"], "activation": "softmax"}
    model = {"title": "Bees", "task": "classification", "inputs": [{"kind": "image"}], "outputs": [output]}
    model |= {"examples": []}
    state = {"up": True}

    def answer(route: Any) -> None:
        if not state["up"]:
            route.abort("connectionrefused")
            return
        said = model if route.request.url.endswith("/v1/model") else reply
        route.fulfill(json=said, headers={"access-control-allow-origin": "*"})

    shown.page.context.route("https://models.example.org/**", answer)
    shown.open(host(page.folder).address)
    assert shown.says("footer").count("models.example.org") == 1
    photo = tmp_path / "photo.png"
    Image.new("RGB", (40, 40), "orange").save(photo)
    shown.give(photo)
    assert shown.reply()["answers"][0]["label"] == "bee"
    assert all("models.example.org" in said for said in shown.problems), shown.problems

    state["up"] = False
    shown.page.evaluate("window.setTimeout = ((real) => (f) => real(f, 1))(window.setTimeout)")
    shown.give(photo)
    assert "The server cannot be reached" in shown.says(".notice")
    state["up"] = True
    shown.give(photo)
    assert shown.reply()["answers"][0]["label"] == "bee"
    shown.problems.clear()  # the browser writes every failed request into the console
