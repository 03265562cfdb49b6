"""The addresses of a server: what is read, asked and sent for each of them.

In: requests. Out: responses of JSON, or a worked example's file. Read next: `openapi.py`, which describes
them for programs; `worker.py`, which answers.
"""

from __future__ import annotations

import asyncio
import mimetypes
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST

from wiggly.apps.server.body import FRAME, correction_of, file_of, media_type, read_body
from wiggly.apps.server.collecting import Collector
from wiggly.apps.server.fetch import Fetcher
from wiggly.apps.server.inputs import (
    RowRequest,
    RowsRequest,
    UrlRequest,
    check_picture,
    parse,
    row_items,
)
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.metrics import Metrics
from wiggly.apps.server.refusals import Refusal, answer, as_refusal
from wiggly.apps.server.worker import Servable, Worker
from wiggly.bundle.schema import to_json
from wiggly.errors import WigglyError

__all__ = ["Service", "routes"]

T = TypeVar("T")

FORM, JSON = "multipart/form-data", "application/json"
LARGEST_INDEX = 2**31

#: What of a manifest is for everybody: all but where the weights are and how the network is built.
PUBLIC = (
    "title",
    "description",
    "task",
    "licence",
    "created",
    "wiggly",
    "inputs",
    "outputs",
    "score",
    "metrics",
)


@dataclass(frozen=True)
class Service:
    """What the routes share.

    Attributes:
        predictor: The model.
        worker: Its thread.
        limits: Of requests.
        metrics: What is counted.
        fetcher: For addresses; None where they are not allowed.
        runtime: What runs the model, in words.
        collector: Of corrections; None where none are wanted.
        cors: Origins whose pages may ask.
    """

    predictor: Servable
    worker: Worker
    limits: Limits
    metrics: Metrics
    fetcher: Fetcher | None
    runtime: str
    collector: Collector | None = None
    cors: tuple[str, ...] = ()

    @property
    def takes_pictures(self) -> bool:
        """Whether an item is a picture; else it is a row."""
        return self.predictor.manifest.inputs[0].kind == "image"

    @property
    def fixed_size(self) -> bool:
        """Whether pictures are made small before the model sees them."""
        return getattr(self.predictor.manifest.inputs[0], "size", None) is not None

    async def one_item(self, request: Request) -> bytes:
        """The item in a request: the bytes of a picture's file, or of a row.

        Raises:
            Refusal: There is none, or not of the kind the model takes.
        """
        kind, limits = media_type(request), self.limits
        if kind == FORM:
            self._need(pictures=True)
            body = await read_body(request, limits.max_bytes + FRAME, limits.timeout)
            return self._sized(file_of(body, request.headers["content-type"]))
        if kind != JSON:
            raise _unsupported(kind)
        body = await read_body(request, limits.max_row_bytes, limits.timeout)
        asked = parse(body, {"row": RowRequest, "url": UrlRequest})
        if isinstance(asked, RowRequest):
            self._need(pictures=False)
            return row_items([asked.row], limits)[0]
        self._need(pictures=True)
        return await self._fetched(asked.url)

    async def rows(self, request: Request) -> list[bytes]:
        """The rows in a request.

        Raises:
            Refusal: There are none, or the model takes pictures.
        """
        if media_type(request) != JSON:
            raise _unsupported(media_type(request))
        self._need(pictures=False)
        body = await read_body(request, self.limits.max_row_bytes, self.limits.timeout)
        return row_items(parse(body, {"rows": RowsRequest}).rows, self.limits)

    async def correction(self, request: Request) -> tuple[Collector, bytes, str]:
        """What keeps a correction, the picture's bytes and what a visitor says it shows.

        Raises:
            Refusal: None are collected, too many came, another site's page sends it, or it is none.
        """
        collector, limits = self.collector, self.limits
        if collector is None:
            raise Refusal(
                "not_found",
                "an address must be one of those that this server has",
                "it collects no corrections",
                "Whoever runs it can start it with `wiggly serve --collect DIR`.",
            )
        origin = request.headers.get("origin", "")
        # Any page may send a form anywhere; browsers say when it is not the server's own.
        foreign = request.headers.get("sec-fetch-site") == "cross-site"
        if foreign and "*" not in self.cors and origin not in self.cors:
            rule, fix = (
                "a correction must come from this server's own page",
                "Use that page, or allow yours: --cors.",
            )
            raise Refusal("other_site", rule, f"a page of {origin[:100] or 'another site'} sends it", fix)
        collector.check_rate()
        if media_type(request) != FORM:
            raise _unsupported(media_type(request))
        body = await read_body(request, limits.max_bytes + FRAME, limits.timeout)
        content, label = correction_of(body, request.headers["content-type"])
        collector.check_label(label)
        return collector, self._sized(content), label

    async def corrected(self, collector: Collector, content: bytes, label: str) -> dict[str, Any]:
        """Keeps a correction, after the model has looked at the picture."""
        found: Any = (await self.worker.answer(content))["answers"][0]
        model = self.predictor.sha256[:12]
        reason = f"a visitor's correction; model {model} was {found['confidence']:.0%} sure"
        kept = await asyncio.to_thread(collector.keep, content, label, str(found["label"]), reason)
        return asdict(kept)

    def described(self, root: str) -> dict[str, Any]:
        """The model for `/v1/model`.

        Args:
            root: Prefix of all addresses.
        """
        manifest = to_json(self.predictor.manifest)
        examples = [
            {"address": f"{root}/v1/examples/{i}", "media_type": _type_of(example.name)}
            for i, example in enumerate(self.predictor.examples)
        ]
        return {
            "model": self.predictor.sha256,
            "runtime": self.runtime,
            **{name: manifest[name] for name in PUBLIC},
            "urls": self.fetcher is not None and self.takes_pictures,
            "corrections": self.collector is not None,
            "limits": asdict(self.limits),
            "examples": examples,
        }

    async def check(self, item: bytes) -> None:
        """Refuses a picture by its header; in a thread, as a stranger's header may take a while."""
        if self.takes_pictures:
            await asyncio.to_thread(check_picture, item, self.limits, self.fixed_size)

    async def _fetched(self, url: str) -> bytes:
        if self.fetcher is None:
            raise Refusal(
                "url_refused",
                "this server takes files, not addresses",
                "a `url` came",
                f"Send the file as `{FORM}`; `wiggly serve --allow-urls` takes addresses.",
            )
        return await asyncio.to_thread(self.fetcher.get, url)

    def _sized(self, content: bytes) -> bytes:
        if len(content) <= self.limits.max_bytes:
            return content
        rule = f"a file must be of at most {self.limits.max_bytes:,} bytes"
        raise Refusal("too_large", rule, f"it has {len(content):,}", "Send a smaller copy.")

    def _need(self, pictures: bool) -> None:
        if pictures == self.takes_pictures:
            return
        wanted, got = ("pictures", "a row") if self.takes_pictures else ("rows of a table", "a picture")
        how = f"Send a file as `{FORM}`." if self.takes_pictures else 'Send JSON: {"row": {...}}.'
        raise Refusal("wrong_input", f"this model takes {wanted}", f"{got} came", how)


def routes(service: Service) -> APIRouter:
    """All addresses but those of the page."""
    router = APIRouter()
    router.include_router(_asking(service))
    router.include_router(_telling(service))
    return router


def _asking(service: Service) -> APIRouter:
    router = APIRouter()

    @router.post("/v1/predict", summary="What the model says of one item", tags=["model"])
    async def predict(request: Request) -> Response:
        """One picture as a form with the field `file`, or one row as JSON; or, where the server allows it,
        the address of a picture."""
        with service.worker.place():
            item = await service.one_item(request)
            await service.check(item)
            return await _answered(request, service.limits, lambda: service.worker.answer(item))

    @router.post("/v1/predict/batch", summary="What the model says of several rows", tags=["model"])
    async def predict_batch(request: Request) -> Response:
        """Rows of a table, answered in their order."""
        with service.worker.place():
            rows = await service.rows(request)
            return await _answered(request, service.limits, lambda: service.worker.answer_all(rows))

    @router.post("/v1/correction", summary="What a picture really shows", tags=["model"])
    async def correction(request: Request) -> Response:
        """A picture and the class that a visitor says it has, both kept to improve the model; 404 where the
        server collects none. Ask the visitor first."""
        with service.worker.place():
            collector, content, label = await service.correction(request)
            await service.check(content)
            work = lambda: service.corrected(collector, content, label)  # noqa: E731
            return await _answered(request, service.limits, work)

    return router


def _telling(service: Service) -> APIRouter:
    router = APIRouter()

    @router.get("/v1/model", summary="What the model is, and what it takes", tags=["model"])
    async def model(request: Request) -> Response:
        """Title, inputs, outputs, score, limits, worked examples."""
        return answer(service.described(request.scope.get("root_path", "")))

    @router.get("/v1/examples/{i}", summary="A worked example's file", tags=["model"])
    async def example(i: Annotated[int, Path(ge=0, lt=LARGEST_INDEX)]) -> Response:
        """The bytes of a validation item that came with the model, exactly as it was proved on them."""
        examples = service.predictor.examples
        if i >= len(examples):
            raise Refusal(
                "not_found",
                "an example must be one of those in /v1/model",
                f"there are {len(examples)}, and number {i} was asked for",
                "Count from 0.",
            )
        headers = {"Cache-Control": "public, max-age=3600"}
        return Response(examples[i].content, 200, headers, _type_of(examples[i].name))

    @router.get("/healthz", summary="Whether the server lives", tags=["operation"])
    async def healthz() -> Response:
        """Always the same, as long as it answers at all."""
        return answer({"status": "ok"})

    @router.get("/readyz", summary="Whether the model has proved itself", tags=["operation"])
    async def readyz() -> Response:
        """200 once the worked examples have come out as they were recorded; 503 before, or if they do not."""
        service.worker.start()
        state = service.worker.readiness
        return answer(asdict(state), 200 if state.status == "ready" else 503)

    @router.get("/metrics", summary="Counters for Prometheus", tags=["operation"])
    async def metrics() -> Response:
        """Requests by route and status, latency, batch sizes, queue length."""
        return Response(service.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return router


async def _answered(
    request: Request, limits: Limits, work: Callable[[], Awaitable[dict[str, Any]]]
) -> Response:
    """The response with a reply; the work is dropped when it takes too long or nobody waits for it."""
    try:
        async with asyncio.timeout(limits.timeout):
            content = await _while_connected(request, work())
        return answer(content)
    except TimeoutError:
        raise Refusal(
            "timeout",
            f"an answer must be there within {limits.timeout:g} seconds",
            "it was not",
            "Come again when less is asked of the server.",
            {"Retry-After": "5"},
        ) from None
    except WigglyError as error:
        raise as_refusal(error) from error
    except ValueError as error:
        if "JSON" not in str(error):
            raise
        raise Refusal(
            "no_answer",
            "the model's answer must be a number",
            "it is infinite or none",
            "Values far outside what the model was trained on have no answer: check them.",
        ) from error


async def _while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`, unless the client hangs up first."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(_hung_up(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Refusal("client_gone", "a client must wait", "it hung up", "Send it again.")
    finally:
        task.cancel()
        gone.cancel()


async def _hung_up(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _type_of(name: str) -> str:
    return mimetypes.guess_type(name)[0] or "application/octet-stream"


def _unsupported(kind: str) -> Refusal:
    return Refusal(
        "unsupported_type",
        f"the Content-Type must be {FORM} with a file, or {JSON}",
        f"it is {kind[:60]!r}",
        "curl -F file=@photo.jpg ..., or --json '{...}'.",
        {"Accept": f"{FORM}, {JSON}"},
    )
