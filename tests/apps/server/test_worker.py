"""Requests that come together share a batch and get their own answers; too many, too slow, gone: named."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import numpy as np
import pytest
from fastapi import FastAPI
from tests.apps.server.conftest import ask, get, post, refused, served
from tests.apps.server.test_predict import same

from wiggly.apps.server.app import make_server
from wiggly.bundle.parts import NumbersOutput, TableInput
from wiggly.bundle.predictor import Predictor
from wiggly.bundle.replies import reply_of
from wiggly.errors import BundleError, DataError
from wiggly.records import Prediction


@dataclass(frozen=True)
class Ready:
    """An item of the stand-in model."""

    item: bytes
    key: int = 0


class Slow:
    """A model of rows that notes what it is given, and can be held up."""

    def __init__(self) -> None:
        output = NumbersOutput("numbers", ("length",), (0.0,), (9.0,))
        self.manifest: Any = SimpleNamespace(inputs=(TableInput("table", (), ()),), outputs=(output,))
        self.sha256, self.examples = "ab" * 32, list[Any]()
        self.batches, self.threads = list[int](), set[str]()
        self.go = threading.Event()
        self.go.set()
        self.wrong = 0.0

    def verify(self) -> float:
        if self.wrong:
            raise BundleError("worked examples must come out", "'1.png' is off", "Export again.")
        return 0.0

    def prepare(self, item: bytes) -> Ready:
        if b"unreadable" in item:
            raise DataError("a row must be readable", "it is not", "Mend it.")
        return Ready(item, key=int(b"other" in item))

    def predict_prepared(self, prepared: Sequence[Ready]) -> list[Prediction]:
        self.threads.add(threading.current_thread().name)
        self.go.wait(20)
        self.batches.append(len(prepared))
        assert len({one.key for one in prepared}) == 1
        if any(b"poison" in one.item for one in prepared):
            raise RuntimeError("this item breaks the network")
        return [Prediction(0, 0, np.array([float(len(one.item))])) for one in prepared]

    def predict_batch(self, items: Any) -> list[Prediction]:
        return self.predict_prepared([self.prepare(item) for item in items])


def row(text: str) -> dict[str, Any]:
    return {"json": {"row": {"text": text}}}


async def waiting(app: FastAPI, n: int) -> None:
    """Until so many requests are with the worker, all of them read."""
    worker = app.state.worker
    async with asyncio.timeout(20):
        while worker._places != n or worker._reading:
            await asyncio.sleep(0.01)


def length(response: httpx.Response) -> float:
    assert response.status_code == 200, response.text
    return response.json()["answers"][0]["values"][0]["value"]


def test_together_they_share_batches_and_each_gets_its_own(people: Predictor) -> None:
    model = Slow()
    app = served(model, batch=8, batch_wait=50)
    texts = ["x" * n for n in range(40)]

    async def asking(client: httpx.AsyncClient) -> list[float]:
        model.go.clear()
        tasks = [asyncio.create_task(client.post("/v1/predict", **row(text))) for text in texts]
        await waiting(app, 40)
        model.go.set()
        return [length(response) for response in await asyncio.gather(*tasks)]

    found = ask(app, asking)
    assert [b - a for a, b in pairwise(found)] == [1.0] * 39
    assert len(model.threads) == 1, "one thread owns the model"
    assert max(model.batches) == 8
    assert sum(model.batches) == 40
    assert len(model.batches) <= 10


@pytest.mark.parametrize("n", [1, 7, 24])
def test_real_answers_do_not_depend_on_who_else_asks(digits: Predictor, photos: list[Path], n: int) -> None:
    contents = [photo.read_bytes() for photo in photos[:: len(photos) // n][:n]]
    app = served(digits, batch_wait=20)

    async def asking(client: httpx.AsyncClient) -> list[httpx.Response]:
        return await asyncio.gather(*(client.post("/v1/predict", files={"file": c}) for c in contents))

    for response, content in zip(ask(app, asking), contents, strict=True):
        same(response.json(), reply_of(digits, digits.predict(content)))


def test_items_of_other_shapes_do_not_share_a_batch() -> None:
    model = Slow()

    async def asking(client: httpx.AsyncClient) -> Any:
        texts = ["same", "other"] * 6
        return await asyncio.gather(*(client.post("/v1/predict", **row(text)) for text in texts))

    assert all(response.status_code == 200 for response in ask(served(model, batch_wait=50), asking))


def test_one_that_breaks_the_network_takes_nobody_with_it(caplog: pytest.LogCaptureFixture) -> None:
    model = Slow()
    app = served(model, batch_wait=50)

    async def asking(client: httpx.AsyncClient) -> Any:
        model.go.clear()
        texts = ["first", "a", "poison", "b", "unreadable"]
        tasks = [asyncio.create_task(client.post("/v1/predict", **row(text))) for text in texts]
        await waiting(app, 4)
        model.go.set()
        return await asyncio.gather(*tasks)

    statuses = [response.status_code for response in ask(app, asking)]
    assert statuses == [200, 200, 500, 200, 422]
    assert "this item breaks the network" in caplog.text


def test_who_is_alone_does_not_wait() -> None:
    app = served(Slow(), batch_wait=5_000)
    start = time.monotonic()
    length(post(app, **row("alone")))
    assert time.monotonic() - start < 2


def test_too_many_are_told_to_come_again() -> None:
    model = Slow()
    app = served(model, queue=3)

    async def asking(client: httpx.AsyncClient) -> Any:
        model.go.clear()
        tasks = [asyncio.create_task(client.post("/v1/predict", **row("x"))) for _ in range(3)]
        await waiting(app, 3)
        busy = await client.post("/v1/predict", **row("one too many"))
        alive = await client.get("/healthz")
        model.go.set()
        return busy, alive, await asyncio.gather(*tasks)

    busy, alive, rest = ask(app, asking)
    refused(busy, 503, "busy")
    assert busy.headers["retry-after"].isdigit()
    assert alive.status_code == 200
    assert [response.status_code for response in rest] == [200] * 3
    length(post(app, **row("now there is room")))


def test_an_answer_that_takes_too_long() -> None:
    model = Slow()
    app = served(model, timeout=0.3)

    async def asking(client: httpx.AsyncClient) -> Any:
        model.go.clear()
        first = asyncio.create_task(client.post("/v1/predict", **row("stuck")))
        await asyncio.sleep(0.05)
        late = await client.post("/v1/predict", **row("late"))
        await asyncio.sleep(0.1)
        model.go.set()
        return await first, late

    first, late = ask(app, asking)
    refused(first, 504, "timeout")
    refused(late, 504, "timeout")
    app.state.worker.stop()
    assert model.batches == [1], "what nobody waits for any more is not run"


def test_a_client_that_hangs_up_is_dropped() -> None:
    model = Slow()
    app = served(model)

    async def call(text: str, gone: asyncio.Event) -> list[Any]:
        """A client that speaks ASGI, and may leave."""
        sent: list[Any] = []
        body = b'{"row": {"text": "%s"}}' % text.encode()
        messages = [{"type": "http.request", "body": body}]

        async def receive() -> Any:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/predict",
            "raw_path": b"/v1/predict",
            "query_string": b"",
            "headers": [(b"content-type", b"application/json")],
            "http_version": "1.1",
            "scheme": "http",
        }
        await app(scope, receive, send)
        return sent

    async def run() -> Any:
        model.go.clear()
        gone, never = asyncio.Event(), asyncio.Event()
        first = asyncio.create_task(call("first", never))
        await waiting(app, 1)
        leaver = asyncio.create_task(call("leaver", gone))
        await waiting(app, 2)
        gone.set()
        left = await asyncio.wait_for(leaver, 5)
        model.go.set()
        return left, await first

    left, first = asyncio.run(run())
    assert left[0]["status"] == 499
    assert first[0]["status"] == 200
    app.state.worker.stop()
    assert model.batches == [1]
    assert 'status="499"' in app.state.service.metrics.text().decode()


def test_nothing_is_answered_before_the_examples_came_out() -> None:
    model = Slow()
    model.wrong = 1.0
    app = make_server(model)

    async def asking(client: httpx.AsyncClient) -> Any:
        while (await client.get("/readyz")).json()["status"] == "starting":
            await asyncio.sleep(0.01)
        return (
            await client.get("/readyz"),
            await client.get("/healthz"),
            await client.post("/v1/predict", **row("x")),
        )

    ready, alive, answered = ask(app, asking)
    assert ready.status_code == 503
    assert "off" in ready.json()["reason"]
    assert alive.status_code == 200
    refused(answered, 503, "not_ready")


def test_the_examples_are_run_at_the_start(digits: Predictor) -> None:
    app = make_server(digits)

    async def asking(client: httpx.AsyncClient) -> Any:
        while (ready := await client.get("/readyz")).json()["status"] == "starting":
            await asyncio.sleep(0.01)
        return ready

    ready = ask(app, asking)
    assert ready.status_code == 200
    assert ready.json()["examples"] == 10
    assert ready.json()["difference"] < 1e-4


def test_stopping_ends_what_is_begun_and_takes_no_more() -> None:
    model = Slow()
    app = served(model)

    async def asking(client: httpx.AsyncClient) -> Any:
        model.go.clear()
        tasks = [asyncio.create_task(client.post("/v1/predict", **row("x"))) for _ in range(4)]
        await waiting(app, 4)
        stopping = asyncio.create_task(asyncio.to_thread(app.state.worker.stop))
        await asyncio.sleep(0.05)
        model.go.set()
        await stopping
        late = await client.post("/v1/predict", **row("late"))
        return late, await asyncio.gather(*tasks)

    late, begun = ask(app, asking)
    refused(late, 503, "not_ready")
    assert [response.status_code for response in begun] == [200] * 4


def test_an_answer_that_is_no_number() -> None:
    class Infinite(Slow):
        def predict_prepared(self, prepared: Sequence[Ready]) -> list[Prediction]:
            return [Prediction(0, 0, np.array([np.nan])) for _ in prepared]

    refused(post(served(Infinite()), **row("x")), 422, "no_answer")


def test_the_queue_shows_in_the_metrics() -> None:
    model = Slow()
    app = served(model)

    async def asking(client: httpx.AsyncClient) -> str:
        model.go.clear()
        tasks = [asyncio.create_task(client.post("/v1/predict", **row("x"))) for _ in range(2)]
        await waiting(app, 2)
        text = (await client.get("/metrics")).text
        model.go.set()
        await asyncio.gather(*tasks)
        return text

    assert "wiggly_queue_length 2.0" in ask(app, asking)
    assert "wiggly_queue_length 0.0" in get(app, "/metrics").text
