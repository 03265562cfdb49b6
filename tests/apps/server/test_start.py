"""`wiggly serve` as a process: it says where it is, stops without dropping anybody, and shows the page."""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

import wiggly
from wiggly.apps.server.start import open_predictor, serve_bundle
from wiggly.bundle.predictor import load_bundle
from wiggly.cli import main
from wiggly.errors import ArgumentError, BundleError, DependencyError

PATIENCE = 120


class Running:
    """A server in a process of its own."""

    def __init__(self, process: subprocess.Popen[str], line: str) -> None:
        self.process, self.line = process, line
        self.address = "http://" + line.split("http://")[1].split()[0]

    def stop(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(60) == 0, "SIGTERM must end it without complaint"
        assert self.process.stdout is not None
        return self.process.stdout.read()


@contextmanager
def running(here: Path, bundle: Path, *words: str, code: str = "") -> Iterator[Running]:
    start = f"import sys\n{code}\nfrom wiggly.cli import main; sys.exit(main())"
    command = [sys.executable, "-u", "-c", start, "serve", str(bundle), "--port", "0", *words]
    variables = {"PYTHONPATH": str(Path(wiggly.__file__).parent.parent), "TMPDIR": str(here / "temporary")}
    (here / "temporary").mkdir()
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=here,
        env={**os.environ, **variables, "OMP_WAIT_POLICY": "passive"},
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert "http://" in line, line + process.stdout.read()
            yield Running(process, line)
        finally:
            process.kill()


def photo(folder: Path) -> bytes:
    return next((folder / "4").iterdir()).read_bytes()


def test_it_says_where_it_is_answers_and_stops(bundle: Path, digits_folder: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, "--no-page", "--root-path", "/pets/") as server:
        assert "ONNX Runtime" in server.line
        assert "10 worked examples within" in server.line
        model = httpx.get(f"{server.address}/v1/model").json()
        assert model["runtime"].startswith("ONNX Runtime")
        assert model["examples"][0]["address"] == "/pets/v1/examples/0"
        answered = httpx.post(f"{server.address}/v1/predict", files={"file": photo(digits_folder)})
        assert (
            answered.json()["answers"][0]["label"]
            == load_bundle(bundle).predict(photo(digits_folder)).decoded
        )
        assert "server" not in answered.headers
        assert server.stop() == "stopped\n", "there is no line for each request"
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if photo(digits_folder) in path.read_bytes()] == []
    assert [path.name for path in written if not path.name.startswith(".")] == [], "but what libraries keep"


@pytest.mark.slow
def test_a_request_in_work_gets_its_answer_when_it_is_stopped(
    bundle: Path, digits_folder: Path, tmp_path: Path
) -> None:
    slow = (
        "import time\nfrom wiggly.bundle import runner\nrun = runner.Runner.predict_prepared\n"
        "seen = []\n"
        "def slowly(self, prepared):\n"
        "    seen.append(1)\n"
        "    time.sleep(2 if len(seen) > 10 else 0)\n"  # after the worked examples
        "    return run(self, prepared)\n"
        "runner.Runner.predict_prepared = slowly\n"
    )
    with running(tmp_path, bundle, "--no-page", "--runtime", "torch", code=slow) as server:
        statuses: list[int] = []

        def ask() -> None:
            response = httpx.post(
                f"{server.address}/v1/predict", files={"file": photo(digits_folder)}, timeout=60
            )
            statuses.append(response.status_code)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.7)
        assert statuses == []
        server.stop()
        for thread in threads:
            thread.join(60)
        assert statuses == [200] * 3


def test_an_endless_upload_is_cut_off_by_a_real_server(bundle: Path, tmp_path: Path) -> None:
    with running(tmp_path, bundle, "--no-page", "--max-bytes", "100000") as server:
        host, port = server.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as client:
            client.sendall(
                b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            )
            answer = b""
            try:
                for _ in range(10_000):
                    client.sendall(b"2710\r\n" + bytes(10_000) + b"\r\n")
            except OSError:  # it hung up
                pass
            try:
                while piece := client.recv(65536):
                    answer += piece
            except OSError:
                pass
        assert not answer or b" 413 " in answer.split(b"\r\n")[0]
        assert httpx.get(f"{server.address}/healthz").status_code == 200
        counted = httpx.get(f"{server.address}/metrics").text
        assert 'route="/v1/predict",status="413"} 1.0' in counted


@pytest.mark.slow
def test_the_page_stands_beside_it(bundle: Path, digits_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("gradio")
    with running(tmp_path, bundle) as server:
        page = httpx.get(f"{server.address}/")
        assert page.status_code == 200
        assert "<!doctype html>" in page.text
        assert page.headers["x-content-type-options"] == "nosniff"
        for path in ("/v1/nothing", "/v1/predict"):
            assert set(httpx.get(server.address + path).json()) == {"error"}
        assert httpx.get(f"{server.address}/v1/predict").headers["allow"] == "POST"
        for name in ("../../evil.png", "evil.html", str(tmp_path / "evil.png")):
            kept = httpx.post(
                f"{server.address}/gradio_api/upload", files={"files": (name, photo(digits_folder))}
            ).json()
            assert kept[0].endswith("/upload.png")
        assert not [path for path in tmp_path.rglob("*") if "evil" in path.name]
        for path in ("/etc/passwd", "../../etc/passwd", str(bundle), str(tmp_path)):
            response = httpx.get(f"{server.address}/gradio_api/file={path}")
            assert response.status_code in (403, 404), path
        with httpx.stream("GET", f"{server.address}/gradio_api/heartbeat/abc") as stream:
            next(stream.iter_text())
            begun = time.monotonic()
            server.stop()
            assert time.monotonic() - begun < 15, "an open page must not keep it alive"
    assert not list((tmp_path / "temporary").rglob("*.png"))


def test_a_port_in_use_is_named(bundle: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        assert main(["serve", str(bundle), "--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"127.0.0.1:{port} cannot be used" in said
    assert main(["serve", str(bundle), "--port", "70000"]) == 1
    assert main(["serve", str(bundle), "--queue", "0"]) == 1


def test_a_model_that_answers_otherwise_is_not_served(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wiggly.bundle.session import SessionPredictor

    def otherwise(self: Any) -> float:
        raise BundleError("worked examples must come out", "one is off", "Export again.")

    monkeypatch.setattr(SessionPredictor, "verify", otherwise)
    with pytest.raises(BundleError, match="one is off"):
        serve_bundle(bundle)


def test_which_runtime_is_taken(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from wiggly.apps.server import start

    assert open_predictor(bundle)[1].startswith("ONNX Runtime")
    assert open_predictor(bundle, "torch")[1].startswith("PyTorch")
    with pytest.raises(ArgumentError, match="'onnx' or 'torch'"):
        open_predictor(bundle, "tensorflow")
    monkeypatch.setattr(start, "find_spec", lambda name: None if name == "onnxruntime" else object())
    assert open_predictor(bundle)[1].startswith("PyTorch")
    monkeypatch.setattr(start, "find_spec", lambda name: None if name == "fastapi" else object())
    with pytest.raises(DependencyError, match="fastapi cannot be imported"):
        serve_bundle(bundle)


def test_it_needs_no_torch(bundle: Path, tmp_path: Path) -> None:
    """The application is made, and answers, where torch, pandas and OpenCV cannot be imported."""
    picture = tmp_path / "photo.png"
    Image.new("RGB", (50, 40), "red").save(picture)
    code = f"""
import sys
for name in ("torch", "torchvision", "pandas", "cv2", "timm", "narwhals"):
    sys.modules[name] = None
import asyncio, httpx
from wiggly.apps.server.app import make_server
from wiggly.apps.server.start import open_predictor
predictor, runtime = open_predictor({str(bundle)!r}, "onnx")
app = make_server(predictor, runtime=runtime, checked=predictor.verify())
async def ask():
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://served") as client:
        return await client.post("/v1/predict", files={{"file": open({str(picture)!r}, "rb").read()}})
print(asyncio.run(ask()).json()["answers"][0]["kind"])
"""
    path = {"PYTHONPATH": str(Path(wiggly.__file__).parent.parent)}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **path}, capture_output=True, text=True, check=False
    )
    assert done.stdout == "category\n", done.stderr


def test_a_photo_goes_through_the_page_and_the_queue(bundle: Path, digits_folder: Path) -> None:
    """What the page asks is answered by the thread that owns the model."""
    from tests.apps.server.conftest import served

    from wiggly.apps.server.start import PagePredictor

    predictor = load_bundle(bundle)
    app = served(predictor)
    page = PagePredictor(app.state.worker)
    buffer = io.BytesIO(photo(digits_folder))
    assert page.predict(buffer.getvalue()).decoded == predictor.predict(buffer.getvalue()).decoded
    assert page.vocab == list(predictor.vocab)
    assert "wiggly_batch_size_count 1.0" in app.state.service.metrics.text().decode()
