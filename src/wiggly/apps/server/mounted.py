"""The Gradio page beside the interface: mounted at `/`, behind a guard.

In: a FastAPI application and a `gradio.Blocks`. Out: the same application with the page. Gradio keeps what is
uploaded to it in a temporary folder, under the name that the client gave; the guard gives it a name of its
own first. Read next: `../page.py`, which makes the page.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.routing import Match
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from wiggly.apps.page import STYLE, import_gradio, theme_of
from wiggly.apps.server.around import METHODS, is_interface
from wiggly.apps.server.body import FRAME, Part, parts_of, read_body
from wiggly.apps.server.limits import Limits
from wiggly.apps.server.refusals import Refusal

__all__ = ["mount_page"]

UPLOAD = "/gradio_api/upload"

#: First bytes of a file, and the ending its copy gets: browsers go by the ending.
ENDINGS = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"GIF8", ".gif"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
)


def mount_page(app: FastAPI, page: Any, limits: Limits, root_path: str = "") -> None:
    """Shows a page at `/`, under the other routes.

    Args:
        app: Its `state.stop_page` ends the page's open connections, so that the server can end.
        page: A `gradio.Blocks`.
        limits: On what is uploaded to it.
        root_path: Prefix under which a proxy shows it.
    """
    gradio = import_gradio()
    gradio.mount_gradio_app(
        app,
        page,
        "/",
        root_path=root_path or None,
        max_file_size=limits.max_bytes,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        show_error=False,
        css=STYLE,
        theme=theme_of(gradio),
    )
    mount: Any = app.router.routes[-1]
    stop_event = mount.app.stop_event
    app.state.stop_page = stop_event.set
    mount.app = _Guard(mount.app, app, limits, root_path)


class _Guard:
    """What stands before the page."""

    def __init__(self, page: ASGIApp, app: FastAPI, limits: Limits, root_path: str) -> None:
        self.page, self.app, self.limits, self.root_path = page, app, limits, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request that none of the other routes took."""
        if scope["type"] == "http":
            if is_interface(scope):
                raise self._no_route(scope)
            if scope["method"] == "POST" and scope["path"].rstrip("/").endswith(UPLOAD):
                scope, receive = await self._renamed(scope, receive)
        await self.page(scope, receive, send)

    def _no_route(self, scope: Scope) -> HTTPException:
        """The page would answer in its own words."""
        plain = {**scope, "root_path": self.root_path}
        others = [route for route in self.app.router.routes if getattr(route, "app", None) is not self]
        allowed = [
            method
            for method in METHODS
            if any(route.matches({**plain, "method": method})[0] is Match.FULL for route in others)
        ]
        return HTTPException(405, headers={"Allow": ", ".join(allowed)}) if allowed else HTTPException(404)

    async def _renamed(self, scope: Scope, receive: Receive) -> tuple[Scope, Receive]:
        """The same upload with file names of our own."""
        request = Request(scope, receive)
        body = await read_body(request, self.limits.max_bytes + FRAME, self.limits.timeout)
        parts = parts_of(body, request.headers.get("content-type", ""))
        if any(len(part.content) > self.limits.max_bytes for part in parts):
            rule = f"a file must be of at most {self.limits.max_bytes:,} bytes"
            raise Refusal("too_large", rule, "one is larger", "Send a smaller copy.")
        boundary = secrets.token_hex(16)
        content = b"".join(_written(part, boundary) for part in parts) + f"--{boundary}--\r\n".encode()
        headers = [
            (name, value)
            for name, value in Headers(scope=scope).raw
            if name not in (b"content-type", b"content-length", b"transfer-encoding")
        ]
        headers.append((b"content-type", f"multipart/form-data; boundary={boundary}".encode()))
        headers.append((b"content-length", str(len(content)).encode()))
        return {**scope, "headers": headers}, _once(content, receive)


def _written(part: Part, boundary: str) -> bytes:
    ending = next((end for start, end in ENDINGS if part.content.startswith(start)), "")
    name = "".join(character for character in part.name if character.isalnum() or character in "_-")
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="upload{ending}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return head.encode() + bytes(part.content) + b"\r\n"


def _once(content: bytes, receive: Receive) -> Callable[[], Any]:
    """A body that has come as a whole, then whatever the connection says."""
    left = [content]

    async def received() -> Message:
        if left:
            return {"type": "http.request", "body": left.pop(), "more_body": False}
        return await receive()

    return received
