"""Requests per second and latency of a served model, beside Gradio alone and a server written by hand.

Run: `python benchmarks/serve.py` (five minutes on two cores), `--quick` (one minute, to see that it works),
`--help`. In: 64 photos of pets, as they are (about 500×375), and a `tf_efficientnet_lite0` with 37 classes
at 224 px whose head was fitted on a few photos of each; every peer has the same network. Each server is a
process of its own, started anew, warmed up, and asked over kept-alive connections by this process: `c`
clients that each send the next photo when they have their answer. Servers take turns, and share the cores
with the clients, which cost them little: requests are bytes made before, answers are not parsed. Peers:
"wiggly, ONNX Runtime" and "wiggly, PyTorch" are `wiggly serve --no-page`; "by hand" is FastAPI with torch as
tutorials write it (an upload, Pillow, torchvision's resize and crop, one forward pass in the thread of the
request); "Gradio" is `gradio.Interface` around that same function, asked as its own client asks: an upload,
then the call. Out: one JSON line per peer and number of clients, and a table. Read next:
`../src/wiggly/apps/server/worker.py`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from support import breed, emit, environment, footer, pet_files, shared_dir, table

ARCH, SIZE, PHOTOS = "tf_efficientnet_lite0", 224, 64
WEIGHTS = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
PEERS = {
    "onnx": "wiggly, ONNX Runtime",
    "torch": "wiggly, PyTorch",
    "hand": "FastAPI + torch by hand",
    "gradio": "Gradio alone",
}
CLIENTS = (1, 4, 16, 48)
START_SECONDS = 180


# ---- the servers ----


def write_bundle(path: Path) -> None:
    """The model that all of them serve."""
    from wiggly.vision.all import CategoryBlock, DataBlock, ImageBlock, RandomSplitter, Resize, vision_learner

    by_breed: dict[str, list[Path]] = {}
    for file in pet_files():
        by_breed.setdefault(breed(file), []).append(file)
    files = [file for group in by_breed.values() for file in group[:10]]
    block = DataBlock(
        (ImageBlock, CategoryBlock), splitter=RandomSplitter(0.3, 1), get_y=breed, item_tfms=Resize(SIZE)
    )
    learn = vision_learner(block.dataloaders(files, bs=16), ARCH, weights=shared_dir() / "weights" / WEIGHTS)
    learn.probe()
    learn.export(path)


def by_hand(bundle: str) -> Callable[[Any], dict[str, float]]:
    """What a tutorial's server does with a file: a function from an opened picture to probabilities."""
    import torch
    from torchvision import transforms

    from wiggly import load_bundle

    loaded = load_bundle(bundle)
    model, labels = loaded.model, [str(label) for label in loaded.vocab]
    prepare = transforms.Compose(
        [transforms.Resize(SIZE), transforms.CenterCrop(SIZE), transforms.PILToTensor(), lambda x: x / 255]
    )

    def predict(picture: Any) -> dict[str, float]:
        with torch.inference_mode():
            outputs = model(prepare(picture.convert("RGB"))[None])
        return dict(zip(labels, outputs.softmax(1)[0].tolist(), strict=True))

    return predict


def serve_by_hand(bundle: str, port: int) -> None:
    """FastAPI with torch."""
    import uvicorn
    from fastapi import FastAPI, File, UploadFile
    from PIL import Image

    app, predict = FastAPI(), by_hand(bundle)

    def answer(file: UploadFile = File()) -> dict[str, float]:  # noqa: B008
        return predict(Image.open(file.file))

    answer.__annotations__ = {"file": UploadFile, "return": dict[str, float]}
    app.post("/v1/predict")(answer)
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


def serve_gradio(bundle: str, port: int) -> None:
    """Gradio by itself."""
    import gradio

    predict = by_hand(bundle)
    page = gradio.Interface(predict, gradio.Image(type="pil"), gradio.Label(), api_name="predict")
    page.launch(server_port=port, quiet=True, share=False)


def command(peer: str, bundle: str, port: int, batch: int | None) -> list[str]:
    """What starts a peer."""
    if peer in ("onnx", "torch"):
        code = "import sys; from wiggly.cli import main; sys.exit(main())"
        words = ["serve", bundle, "--port", str(port), "--no-page", "--runtime", peer]
        return [sys.executable, "-c", code, *words, *(["--batch", str(batch)] if batch else [])]
    return [sys.executable, __file__, "--serve", peer, "--bundle", bundle, "--port", str(port)]


# ---- the clients ----


class Client:
    """One kept-alive connection."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.reader: asyncio.StreamReader | None = None

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Sends a request; status and body of the response."""
        if self.reader is None:
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.writer.write(request)
        await self.writer.drain()
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        body = await self._body(self.reader, head)
        if b"connection: close" in head:
            self.writer.close()
            self.reader = None
        return int(head[9:12]), body

    async def _body(self, reader: asyncio.StreamReader, head: bytes) -> bytes:
        if b"content-length:" in head:
            return await reader.readexactly(int(head.split(b"content-length:")[1].split(b"\r\n")[0]))
        body = b""
        while size := int(await reader.readline(), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readline()
        return body


def form(path: str, field: str, photo: bytes) -> bytes:
    """A request with a file."""
    body = (
        (
            f'--x\r\nContent-Disposition: form-data; name="{field}"; filename="photo.jpg"\r\n'
            "Content-Type: image/jpeg\r\n\r\n"
        ).encode()
        + photo
        + b"\r\n--x--\r\n"
    )
    kind = "multipart/form-data; boundary=x"
    return posted(path, kind, body)


def posted(path: str, kind: str, body: bytes) -> bytes:
    """A request with a body."""
    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {kind}\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def ask_file(client: Client, request: bytes) -> bool:
    """One answer of a server with `/v1/predict`."""
    status, body = await client.send(request)
    return status == 200 and b"Abyssinian" in body


async def ask_gradio(client: Client, request: bytes) -> bool:
    """One answer of Gradio: an upload, then the call."""
    status, body = await client.send(request)
    if status != 200:
        return False
    data = {"path": json.loads(body)[0], "meta": {"_type": "gradio.FileData"}, "orig_name": "photo.jpg"}
    call = posted("/gradio_api/run/predict", "application/json", json.dumps({"data": [data]}).encode())
    status, body = await client.send(call)
    return status == 200 and b"Abyssinian" in body


async def load(
    port: int,
    requests: list[bytes],
    ask: Callable[[Client, bytes], Awaitable[bool]],
    clients: int,
    seconds: float,
) -> dict[str, Any]:
    """So many clients ask for so long; latencies of those that were answered in that time."""
    took: list[float] = []
    failed, turn = 0, 0
    start = time.perf_counter()

    async def keep_asking() -> None:
        nonlocal failed, turn
        client = Client(port)
        while (begun := time.perf_counter()) - start < seconds:
            turn += 1
            if await ask(client, requests[turn % len(requests)]):
                took.append(time.perf_counter() - begun)
            else:
                failed += 1

    await asyncio.gather(*(keep_asking() for _ in range(clients)))
    passed = time.perf_counter() - start
    took.sort()

    def percentile(share: float) -> float:
        return round(1000 * took[min(len(took) - 1, int(share * len(took)))], 1) if took else float("nan")

    return {
        "clients": clients,
        "answered": len(took),
        "failed": failed,
        "per_second": round(len(took) / passed, 1),
        "p50_ms": percentile(0.5),
        "p99_ms": percentile(0.99),
    }


# ---- putting both together ----


def measure(peer: str, bundle: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Starts a peer, loads it, stops it."""
    port = options.port or free_port()
    photos = [file.read_bytes() for file in pet_files()[:: max(1, len(pet_files()) // PHOTOS)][:PHOTOS]]
    upload = ("/gradio_api/upload", "files") if peer == "gradio" else ("/v1/predict", "file")
    ask = ask_gradio if peer == "gradio" else ask_file
    requests = [form(*upload, photo) for photo in photos]
    with tempfile.TemporaryDirectory() as folder:
        env = {**environment(None), "GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": folder}
        begun = time.perf_counter()
        process = subprocess.Popen(
            command(peer, str(bundle), port, options.batch), env=env, stdout=sys.stderr
        )
        try:
            asyncio.run(until_there(port, process))
            started = time.perf_counter() - begun
            asyncio.run(load(port, requests, ask, 2, options.seconds / 4))
            found = []
            for clients in options.clients:
                result = asyncio.run(load(port, requests, ask, clients, options.seconds))
                found.append({"peer": peer, "start_s": round(started, 1), **result})
            return found
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def free_port() -> int:
    """One that no server of an earlier run can still be listening on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def until_there(port: int, process: subprocess.Popen[bytes]) -> None:
    """Until somebody listens."""
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end and process.poll() is None:
        try:
            status, _ = await Client(port).send(
                b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"
            )
            if status < 500:
                return
        except OSError:
            await asyncio.sleep(0.1)
    sys.exit("a server did not start (output above).")


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="few requests: does it work?")
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--clients", nargs="+", type=int, default=list(CLIENTS))
    parser.add_argument("--seconds", type=float, default=10.0, help="per peer and number of clients")
    parser.add_argument("--rounds", type=int, default=2, help="how often the peers take turns")
    parser.add_argument("--port", type=int, help="of the servers; by default a free one each time")
    parser.add_argument("--batch", type=int, help="of wiggly: most photos that go through the model together")
    parser.add_argument("--bundle", help="a bundle of pets; by default one is made")
    parser.add_argument("--out", help="append JSON lines to this file")
    parser.add_argument("--serve", choices=("hand", "gradio"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        {"hand": serve_by_hand, "gradio": serve_gradio}[options.serve](options.bundle, options.port)
        return
    if options.quick:
        options.seconds, options.rounds, options.clients = 3.0, 1, options.clients[:3]
    with tempfile.TemporaryDirectory() as folder:
        bundle = Path(options.bundle or Path(folder) / "pets.wiggly")
        if options.bundle is None:
            write_bundle(bundle)
        results: list[dict[str, Any]] = []
        for _ in range(options.rounds):
            for peer in options.peers:
                results += measure(peer, bundle, options)
    show(results, options)


def show(results: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The best round of each, by requests per second."""
    rows = []
    for clients in options.clients:
        for peer in options.peers:
            same = [r for r in results if r["peer"] == peer and r["clients"] == clients]
            best = max(same, key=lambda result: result["per_second"])
            emit(best, options.out)
            numbers = [best[key] for key in ("per_second", "p50_ms", "p99_ms", "failed", "start_s")]
            rows.append([clients, PEERS[peer], *numbers])
    header = ["clients", "server", "answers per second", "p50, ms", "p99, ms", "failed", "start, s"]
    print(table(header, rows), footer(), sep="\n\n")


if __name__ == "__main__":
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    main()
