"""The server of a model, put together: routes, limits, errors, headers, and the page beside it.

In: a predictor, of whatever runtime. Out: a FastAPI application, which any ASGI server runs. Imports no torch
by itself. Read next: `routes.py`; `start.py`, which listens.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from os import PathLike
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import RedirectResponse

from wiggly.apps.server.around import Around
from wiggly.apps.server.collecting import Collector, classes_of
from wiggly.apps.server.fetch import Fetcher
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.metrics import Metrics
from wiggly.apps.server.openapi import describe
from wiggly.apps.server.refusals import CODES, Refusal, answer
from wiggly.apps.server.routes import Service, routes
from wiggly.apps.server.ui import add_static_page, to_the_page
from wiggly.apps.server.worker import Servable, Worker

__all__ = ["empty_app", "make_server"]

SCHEMA_PATH = "/openapi.json"


def make_server(
    predictor: Servable,
    *,
    limits: Limits | None = None,
    allow_urls: bool = False,
    cors: Sequence[str] = (),
    root_path: str = "",
    runtime: str = "",
    checked: float | None = None,
    page: Callable[[Worker], Any] | None = None,
    static_page: Mapping[str, bytes] | None = None,
    collect: str | PathLike[str] | None = None,
) -> FastAPI:
    """The server of a model.

    Args:
        predictor: What `load_bundle` or `open_session` returned.
        limits: What a stranger may ask; None takes the defaults.
        allow_urls: Whether a request may name the address of a picture, which the server then fetches.
        cors: Origins whose pages may ask, such as "https://example.org"; "*" for all.
        root_path: Prefix under which a proxy shows the server, such as "/pets".
        runtime: What runs the model, in words, for `/v1/model`.
        checked: The largest difference of the worked examples where `verify` has been run; None runs it when
            the server starts, and nothing is answered before.
        page: Makes the `gradio.Blocks` that is shown at `/`; its functions may ask `worker.predict`. None for
            no page.
        static_page: Files of the page that is shown at `/ui/`, from `ui.static_page`; without `page` also
            where `/` leads.
        collect: Folder in which visitors' corrections are kept; None takes none.

    Returns:
        The application; `app.state.worker` is its `Worker`.

    Raises:
        ArgumentError: A limit is out of range, or this kind of model cannot collect corrections.
        StorageError: `collect` cannot be written to.
    """
    limits, metrics = limits or Limits(), Metrics()
    worker = Worker(predictor, limits, metrics, checked)
    fetcher = Fetcher(limits.max_bytes, limits.timeout) if allow_urls else None
    collector = None if collect is None else Collector(collect, classes_of(predictor.manifest), limits)
    service = Service(predictor, worker, limits, metrics, fetcher, runtime, collector, tuple(cors))
    app, prefix = _application(service), root_path.rstrip("/")
    app.state.worker, app.state.service = worker, service
    if static_page:
        add_static_page(app, static_page)
    if page is not None:
        from wiggly.apps.server.mounted import mount_page

        mount_page(app, page(worker), limits, prefix)
    else:
        app.add_api_route("/", to_the_page if static_page else _to_the_model, include_in_schema=False)
    if cors:
        app.add_middleware(CORSMiddleware, allow_origins=list(cors), allow_methods=["GET", "POST"])
    app.add_middleware(Around, metrics=metrics, root_path=prefix)
    return app


def empty_app() -> FastAPI:
    """The routes without a model, to be described."""
    return _application(cast("Service", None))


def _application(service: Service) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        service.worker.start()
        yield
        service.worker.stop()

    # The usual pages on a schema load their scripts from elsewhere.
    app = FastAPI(
        title="wiggly",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    app.include_router(routes(service))
    app.add_api_route(SCHEMA_PATH, lambda: answer(describe(app)), include_in_schema=False)
    for kind, handler in HANDLERS.items():
        app.add_exception_handler(kind, handler)
    return app


async def _to_the_model(request: Request) -> Response:
    return RedirectResponse(f"{request.scope.get('root_path', '')}/v1/model")


# ---- errors ----


async def _refused(request: Request, error: Exception) -> Response:
    return cast("Refusal", error).response()


async def _invalid(request: Request, error: Exception) -> Response:
    first = cast("RequestValidationError", error).errors()[0]
    place = ".".join(map(str, first["loc"]))
    fix = "See /openapi.json."
    return Refusal(
        "unreadable", "a request must be as /openapi.json says", f"{place}: {first['msg']}", fix
    ).response()


async def _unrouted(request: Request, error: Exception) -> Response:
    """No such address, or not with this method."""
    found = cast("HTTPException", error)
    code = next((name for name, status in CODES.items() if status == found.status_code), "malformed")
    rule = "an address must be one of those in /openapi.json, with its method"
    received = f"{request.method[:20]} {request.url.path[:200]} came"
    parts = {"code": code, "rule": rule, "received": received, "fix": "Try GET /v1/model."}
    return answer({"error": parts}, found.status_code, found.headers)


HANDLERS: dict[type[Exception], Any] = {
    Refusal: _refused,
    RequestValidationError: _invalid,
    HTTPException: _unrouted,
}
