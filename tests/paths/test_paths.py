"""From a training to people: the same labels on every path that a model can take.

A path's limit on probabilities is stated beside it. JPEG files may differ a little more in browsers, whose
decoders round otherwise.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from PIL import Image
from tests.apps.space.hub import started
from tests.apps.web.conftest import Host, Tab
from tests.apps.web.test_trained import in_node
from tests.paths.models import SAME_PIXELS, Trained, mask_of

from wiggly.apps.space.folder import write_space
from wiggly.apps.space.live import Endpoint, check_live
from wiggly.apps.web import write_page
from wiggly.bundle.archive import read_archive
from wiggly.bundle.pixels import prepare
from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.replies import reply_of
from wiggly.bundle.schema import to_json
from wiggly.bundle.session.predictor import open_session
from wiggly.cli import main

pytestmark = pytest.mark.slow


def same(trained: Trained, found: list[dict[str, Any]], allowed: float) -> None:
    """The same labels, and probabilities within what is allowed; of masks, classes of nearly all pixels."""
    limit = 1 - SAME_PIXELS if trained.name == "streets" else allowed
    assert trained.apart(found) <= limit


def test_the_three_models_have_learned_something(trained: Trained) -> None:
    """Else the same labels everywhere would say nothing."""
    said = [answer for reply in trained.replies for answer in reply["answers"]]
    if trained.name == "streets":
        assert all(len(answer["classes"]) > 3 for answer in said)
        return
    assert len({answer["label"] for answer in said}) > 1
    score = read_archive(trained.bundle).manifest.score
    assert score is not None and score.value > score.baseline


# ---- in Python ----


def test_the_learner_itself(trained: Trained) -> None:
    """What the notebook says is what the bundle says, but for the temperature of its probabilities."""
    learn, predictor = trained.learn, load_bundle(trained.bundle)
    for item, reply in zip(trained.items, trained.replies, strict=True):
        decoded, index, probs = learn.predict(item)
        [answer] = reply["answers"]
        if trained.name == "streets":
            assert (np.asarray(decoded) == mask_of(answer)).mean() >= SAME_PIXELS
            continue
        assert predictor.vocab[int(index)] == answer["label"]
        output: Any = predictor.manifest.outputs[0]
        warm = np.asarray(probs, np.float64) ** (1 / output.temperature)
        said = {chance["label"]: chance["probability"] for chance in answer["probabilities"]}
        assert np.allclose(warm / warm.sum(), [said[label] for label in predictor.vocab], atol=1e-4)


def test_onnx_runtime(trained: Trained) -> None:
    session = open_session(trained.bundle)
    same(trained, [to_json(reply_of(session, session.predict(item))) for item in trained.items], 1e-5)


def test_wiggly_verify(trained: Trained, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", str(trained.bundle), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ok"]
    text = json.dumps(told)
    assert "pytorch" in text and "onnxruntime" in text


def test_the_core_ml_program(trained: Trained, tmp_path: Path) -> None:
    """As an interpreter computes it; its pictures go through 16-bit weights."""
    pytest.importorskip("coremltools", reason="needs coremltools: pip install 'wiggly[apple]'")
    from tests.bundle.mil import Program

    from wiggly.bundle.coreml import core_ml_model, save_core_ml

    predictor: Any = load_bundle(trained.bundle)
    save_core_ml(core_ml_model(predictor), tmp_path / "model.mlpackage")
    program = Program(tmp_path / "model.mlpackage")
    for item, reply in zip(trained.items, trained.replies, strict=True):
        [answer] = reply["answers"]
        if trained.name == "people":
            cats, numbers = predictor.reader.one(json.dumps(item).encode())[0]
            assert (
                program.run(categories=cats.to(torch.int32), numbers=numbers)["classLabel"] == answer["label"]
            )
            continue
        pixels = prepared(predictor, item)
        found = program.run(image=torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float())
        if trained.name == "pets":
            assert found["classLabel"] == answer["label"]
        else:
            wanted = classes_of(trained, pixels)
            assert (found["classes"].numpy()[0] == wanted).mean() >= 0.99, "with 16-bit weights"


def prepared(predictor: Any, photo: Path) -> Any:
    with Image.open(photo) as opened:
        pixels = np.asarray(opened.convert("RGB"))
    return prepare(pixels, predictor.manifest.inputs[0].preprocessing)


def classes_of(trained: Trained, pixels: Any) -> Any:
    """What the graph says of prepared pixels, before anything is scaled back to the photo."""
    import onnxruntime

    graph = read_archive(trained.bundle).files["model.onnx"]
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    return session.run(["classes"], {"image": pixels[None]})[0][0]


# ---- over HTTP ----


def asked(address: str, items: list[Any]) -> list[dict[str, Any]]:
    """What `/v1/predict` says."""
    with httpx.Client(base_url=address, timeout=60) as client:
        replies: list[dict[str, Any]] = []
        for item in items:
            request: dict[str, Any] = (
                {"files": {"file": item.read_bytes()}} if isinstance(item, Path) else {"json": {"row": item}}
            )
            replies.append(client.post("/v1/predict", **request).raise_for_status().json())
        return replies


def test_wiggly_serve(trained: Trained, address: str) -> None:
    same(trained, asked(address, trained.items), 1e-5)


@pytest.mark.usefixtures("built")
def test_the_client_in_node(trained: Trained, address: str, tmp_path: Path) -> None:
    """On the server; and on the device, with pixels that Pillow decoded: Node decodes no pictures."""
    script = """
      const [url, bundle, file] = process.argv.slice(1);
      const items = JSON.parse(await readFile(file, "utf8"));
      const there = await client.connect(url);
      const here = await client.load(new Uint8Array(await readFile(bundle)), { worker: false });
      const replies = { there: [], here: [] };
      for (const { photo, raw, width, height, row } of items) {
        const whole = photo ? new File([await readFile(photo)], "photo") : row;
        replies.there.push(await there.predict(whole));
        const pixels = photo && { data: new Uint8Array(await readFile(raw)), width, height, channels: 3 };
        replies.here.push(await here.predict(photo ? pixels : row));
      }
      console.log(JSON.stringify(replies));
      process.exit(0);
    """
    items = tmp_path / "items.json"
    items.write_text(json.dumps([for_node(item, tmp_path) for item in trained.items]))
    replies = in_node(script, address, str(trained.bundle), str(items))
    same(trained, replies["there"], 1e-5)
    same(trained, replies["here"], 1e-4)


def for_node(item: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(item, Path):
        return {"row": item}
    with Image.open(item) as opened:
        picture = opened.convert("RGB")
    raw = folder / f"{item.stem}.rgb"
    raw.write_bytes(picture.tobytes())
    return {"photo": str(item), "raw": str(raw), "width": picture.width, "height": picture.height}


def test_the_gradio_page(trained: Trained, address: str) -> None:
    """By its own client, which gives what the browser gives: an upload, or the form's values."""
    from gradio_client import Client, handle_file

    client = Client(address, verbose=False)
    for item, reply in zip(trained.items, trained.replies, strict=True):
        [answer] = reply["answers"]
        given = [handle_file(str(item))] if isinstance(item, Path) else form_values(trained, item)
        said, _ = client.predict(*given, api_name="/predict")
        if trained.name == "streets":
            assert (drawn(said, trained) == mask_of(answer)).mean() >= SAME_PIXELS
        else:
            assert said["label"] == answer["label"]


def form_values(trained: Trained, row: dict[str, Any]) -> list[Any]:
    from wiggly.apps.forms import fields_of

    return [field.shown(row[field.name]) for field in fields_of(open_session(trained.bundle))]


def drawn(said: Any, trained: Trained) -> Any:
    """The mask that the page draws: one overlay for each class."""
    vocabulary: Any = read_archive(trained.bundle).manifest.outputs[0].vocabulary  # type: ignore[union-attr]
    names = [str(label) for label in vocabulary]
    mask: Any = None
    for one in said["annotations"]:
        overlay = np.asarray(Image.open(one["image"]).convert("RGBA"))[..., 3] > 0
        mask = np.full(overlay.shape, names.index("Void"), np.uint8) if mask is None else mask
        mask[overlay] = names.index(one["label"])
    return mask


# ---- a Space ----


@contextmanager
def space(trained: Trained, folder: Path) -> Iterator[Endpoint]:
    """The written folder, started as it is on the hub, where torch cannot be imported."""
    write_space(trained.bundle, folder / "space")
    process, address = started(folder / "space", folder / "space" / "app.py", folder)
    try:
        yield Endpoint(address)
    finally:
        process.terminate()
        process.communicate(timeout=60)


def test_a_space(trained: Trained, tmp_path: Path) -> None:
    begin = time.monotonic()
    with space(trained, tmp_path) as endpoint:
        n, difference = check_live(endpoint, read_archive(trained.bundle))
        print(f"{trained.name}: a Space answers {time.monotonic() - begin:.1f} s after its start")
        assert n > 0 and difference <= 1e-3
        same(trained, asked(endpoint.address, trained.items), 1e-5)


# ---- in the browser ----


@pytest.mark.browser
@pytest.mark.usefixtures("built")
@pytest.mark.parametrize("way", ["wiggly web", "static Space"])
def test_the_page_on_the_device(
    trained: Trained, way: str, tab: Callable[..., Tab], host: Callable[[Path], Host], tmp_path: Path
) -> None:
    """The folder that was written, handed out by a plain web server."""
    site = tmp_path / "site"
    write_space(trained.bundle, site, static=True) if way == "static Space" else write_page(
        trained.bundle, site
    )
    shown = tab().open(host(site).address)
    assert shown.page.get_attribute("main", "data-backend") in ("wasm", "webgpu")
    same(trained, [on_the_page(shown, item) for item in trained.items], 1e-3)


@pytest.mark.browser
@pytest.mark.usefixtures("built")
def test_the_page_beside_the_server(trained: Trained, address: str, tab: Callable[..., Tab]) -> None:
    shown = tab().open(f"{address}/ui/")
    assert shown.page.get_attribute("main", "data-backend") == "server"
    same(trained, [on_the_page(shown, item) for item in trained.items], 1e-5)


def on_the_page(shown: Tab, item: Any) -> dict[str, Any]:
    """What the page answers to a photo that is chosen, or to a form that is filled in."""
    shown.page.evaluate("document.querySelector('.answer').reply = null")
    if isinstance(item, Path):
        shown.give(item)
        return shown.reply()
    for name, value in item.items():
        field = shown.page.locator(f'[id="field-{name}"]')
        text = "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
        if field.evaluate("it => it.tagName") == "SELECT":
            field.select_option(text)
        else:
            field.fill(text)
    shown.page.get_by_role("button", name="Ask the model").click()
    return shown.reply()


@pytest.mark.browser
def test_the_gradio_page_in_the_browser(trained: Trained, address: str, tab: Callable[..., Tab]) -> None:
    """The page that people see says the label."""
    if not trained.takes_pictures:
        pytest.skip("forms are asked by Gradio's client above")
    page = tab().page
    page.goto(address)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    page.set_input_files("#photo input[type=file]", str(trained.items[0]))
    [answer] = trained.replies[0]["answers"]
    if trained.name == "pets":
        page.wait_for_selector("#answer h2")
        assert page.inner_text("#answer h2").strip() == answer["label"]
    else:
        page.wait_for_selector("#answer .legend-item, #answer .legend > *")
        most = answer["classes"][0]["label"]
        assert most in page.inner_text("#answer")
