"""What goes around every request: it is counted, its response gets safe headers, no error goes out bare.

In: an ASGI application. Out: the same, wrapped. Written against ASGI itself, because what wraps responses at
a higher level would hide from the routes that a client has hung up. Read next: `routes.py`.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wiggly.apps.server.metrics import Metrics
from wiggly.apps.server.refusals import Refusal

__all__ = ["Around", "is_interface"]

METHODS = ("GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE")

#: On every response.
SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}

#: On those of the interface: nothing in them is ever to be shown as a page, or kept.
STRICT = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-store",
}

log = logging.getLogger("wiggly.serve")


class Around:
    """The outermost layer of a server.

    Args:
        app: What answers.
        metrics: Where requests are counted.
        root_path: Prefix under which a proxy shows the server; it may take it off, or leave it.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, root_path: str = "") -> None:
        self.app, self.metrics, self.root_path = app, metrics, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        start, status = time.perf_counter(), 0
        if self.root_path:
            scope["root_path"] = self.root_path

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = int(message["status"])
                _add_headers(scope, message)
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:
            log.exception("a request could not be answered")
            if status:  # half of the response is out: the connection must break
                raise
            await _internal().response()(scope, receive, sent)
        finally:
            method = scope["method"] if scope["method"] in METHODS else "other"
            self.metrics.answered(_route(scope), method, status, time.perf_counter() - start)


def _add_headers(scope: Scope, message: Message) -> None:
    headers = MutableHeaders(scope=message)
    strict = STRICT if is_interface(scope) else {}
    for name, value in {**SAFE, **strict}.items():
        headers.setdefault(name, value)


def _route(scope: Scope) -> str:
    """The template of the route that answered: addresses that do not exist must not become counters."""
    route: Any = scope.get("route")
    if route is not None and hasattr(route, "path_format"):
        return str(route.path_format)
    return "page" if not is_interface(scope) else "other"


def is_interface(scope: Scope) -> bool:
    """Whether a request is for one of `routes.py`, and not for the page."""
    path = scope["path"].removeprefix(scope.get("root_path", ""))
    return path.startswith(("/v1/", "/healthz", "/readyz", "/metrics", "/openapi.json"))


def _internal() -> Refusal:
    return Refusal(
        "internal", "a request must be answered", "the server failed", "The server's log says why; report it."
    )
