"""The page's server: the standard library's, on this machine only, behind a random token.

In: a `Review`. Out: `PageServer`, which serves the built page, answers its requests and shows pictures of the
review's folder, and nothing else. Read next: `protocol.py`.

A page of another site cannot reach it: it does not know the token, which is compared in constant time, its
requests carry another `Origin`, and a name that was rebound to this machine is not an accepted `Host`
(https://owasp.org/www-community/attacks/DNS_Rebinding).
"""

from __future__ import annotations

import json
import secrets
import socket
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from wiggly.clean.built import static_files
from wiggly.errors import StorageError, WigglyError

if TYPE_CHECKING:
    from wiggly.clean.review.review import Review

__all__ = ["PageServer"]

MOST_BYTES = 4_000_000  # of a request
SECONDS = 30  # for a client to send it
LOOPBACK = ("127.0.0.1", "localhost", "::1")
KINDS = {
    "html": "text/html; charset=utf-8",
    "js": "text/javascript",
    "css": "text/css",
    "svg": "image/svg+xml",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
KEPT = "private, max-age=31536000, immutable"  # what a position shows never changes under one token
STRANGER = "Open the address that `wiggly clean` printed: it carries a token, which this one lacks.\n"


class PageServer(ThreadingHTTPServer):
    """Serves one review.

    Args:
        review: The review.
        host: Address to listen on.
        port: Port; 0 takes a free one.
        token: What the address carries; None draws one.

    Raises:
        StorageError: The port is taken.
        DependencyError: The page was not built, and cannot be.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, review: Review, host: str = "127.0.0.1", port: int = 0, token: str | None = None
    ) -> None:
        self.review, self.host = review, host
        self.files = static_files("page")  # no path is ever made from what a browser asks for
        self.token = secrets.token_urlsafe(24) if token is None else token
        if ":" in host:
            self.address_family = socket.AF_INET6
        try:
            super().__init__((host, port), _Handler)
        except OSError as error:
            raise StorageError(
                f"port {port} of {host} must be free",
                f"it is not: {error.strerror or error}",
                "Pass --port 0 for any free one.",
            ) from error

    @property
    def address(self) -> str:
        """Where the page is, with the token."""
        shown = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host
        shown = f"[{shown}]" if ":" in shown else shown
        return f"http://{shown}:{self.server_port}/{self.token}/"

    def is_ours(self, host: str) -> bool:
        """Whether a request's `Host` is one under which this server may be asked."""
        try:
            found = urlsplit(f"//{host}")
            name, port = (found.hostname or "").rstrip("."), found.port or 80
        except ValueError:
            return False
        if port != self.server_port:
            return False
        if name in LOOPBACK or name == self.host.lower():
            return True
        return self.host not in LOOPBACK and (name == socket.gethostname().lower() or _is_number(name))

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Says what went wrong in one line; a browser that closed its connection is no fault."""
        error = sys.exception()
        if not isinstance(error, (ConnectionError, TimeoutError)):
            print(f"error: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def _is_number(name: str) -> bool:
    """Whether a host is written as a number: no name that somebody could rebind."""
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "wiggly", ""
    timeout = SECONDS
    # Without this every small answer waits 40 ms for the acknowledgement of its head.
    disable_nagle_algorithm = True
    wbufsize = -1

    @property
    def page(self) -> PageServer:
        return cast("PageServer", self.server)

    def do_GET(self) -> None:
        """The page, its files, and pictures."""
        parts = self._parts()
        if parts is None:
            return
        match parts:
            case ["thumb", position, size]:
                self._picture(position, size)
            case ["picture", position]:
                self._picture(position, None)
            case _:
                self._static("/".join(parts) or "index.html")

    def do_HEAD(self) -> None:
        """As GET, without the body."""
        self.do_GET()

    def do_POST(self) -> None:
        """A request of the protocol."""
        parts = self._parts()
        if parts is None:
            return
        if parts != ["api"]:
            self._say(404, "there is no such address")
            return
        request = self._request()
        if request is not None:
            self._send(200, json.dumps(self.page.review.answer(request)).encode(), "application/json")

    def _parts(self) -> list[str] | None:
        """The path behind the token; None where the request is refused, which is said already."""
        if not self.page.is_ours(self.headers.get("Host", "")):
            self._say(403, "this server is asked under its own address only")
            return None
        origin = self.headers.get("Origin")
        if origin is not None and not self._is_own(origin):
            self._say(403, "pages of other sites may not ask")
            return None
        _, token, *rest = (*urlsplit(self.path).path.split("/"), "")
        if not secrets.compare_digest(token.encode(), self.page.token.encode()):
            self._say(403, STRANGER)
            return None
        return [part for part in rest if part]

    def _is_own(self, origin: str) -> bool:
        scheme, _, host = origin.partition("://")
        return scheme == "http" and self.page.is_ours(host)

    def _request(self) -> dict[str, Any] | None:
        if self.headers.get_content_type() != "application/json":
            self._say(415, "a request must be JSON")
            return None
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit():
            self._say(411, "a request must say how long it is")
            return None
        if int(length) > MOST_BYTES:
            self._say(413, "the request is too large")
            return None
        try:
            found = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError):
            found = None
        if not isinstance(found, dict):
            self._say(400, "a request must be a JSON object")
            return None
        return cast("dict[str, Any]", found)

    def _picture(self, position: str, size: str | None) -> None:
        numbers = [
            text for text in (position, size or "0") if text.isascii() and text.isdigit() and len(text) < 9
        ]
        if len(numbers) < 2:
            self._say(404, "there is no such picture")
            return
        try:
            data, kind = (
                self.page.review.picture(int(position))
                if size is None
                else (self.page.review.thumbnail(int(position), int(size)), "image/jpeg")
            )
        except (WigglyError, OSError, ValueError) as error:
            said = error.received if isinstance(error, WigglyError) else "it cannot be read"
            self._say(404, said)
            return
        self._send(200, data, kind, KEPT)

    def _static(self, name: str) -> None:
        data = self.page.files.get(name)
        if data is None:
            self._say(404, "there is no such address")
            return
        kind = KINDS.get(name.rpartition(".")[2], "application/octet-stream")
        self._send(200, data, kind, KEPT if name.startswith("assets/") else "no-store")

    def _say(self, status: int, text: str) -> None:
        self.close_connection = True  # what it may still send is not read
        self._send(status, text.encode(), "text/plain; charset=utf-8")

    def _send(self, status: int, data: bytes, kind: str, cache: str = "no-store") -> None:
        self.send_response(status)
        for name, value in {
            "Content-Type": kind,
            "Content-Length": str(len(data)),
            "Cache-Control": cache,
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "X-Frame-Options": "DENY",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            **({"Connection": "close"} if self.close_connection else {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the terminal is for the address and for what comes next."""
