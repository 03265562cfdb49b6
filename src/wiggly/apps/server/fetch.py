"""A picture from an address that a stranger named, without becoming their way into this network.

In: an http or https address. Out: the bytes behind it. Every name is looked up once, every address it has
must be public, and exactly the address that was checked is connected to: neither a redirect nor a second
look-up can lead elsewhere. Off unless the owner of the server allows it. Read next: `routes.py`.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urljoin, urlsplit

from wiggly.apps.server.refusals import Refusal

__all__ = ["Fetcher", "is_public", "look_up"]

MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
PIECE = 64 * 2**10
PORTS = {"http": 80, "https": 443}

#: Ranges of IPv6 whose addresses carry one of IPv4, which must be public too (RFC 6052, 8215, 3056).
TRANSLATED = (
    (ipaddress.IPv6Network("64:ff9b::/96"), 0),
    (ipaddress.IPv6Network("64:ff9b:1::/48"), 0),
    (ipaddress.IPv6Network("2002::/16"), 80),
)


def look_up(host: str, port: int) -> list[str]:
    """All addresses of a name; a number is its own."""
    with suppress(ValueError):
        return [str(ipaddress.ip_address(host))]
    return [str(found[4][0]) for found in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]


def is_public(address: str) -> bool:
    """Whether an address is one of the internet at large.

    Example:
        >>> [is_public(one) for one in ("93.184.216.34", "10.0.0.1", "169.254.169.254", "::ffff:127.0.0.1")]
        [True, False, False, False]
    """
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        for network, shift in TRANSLATED:
            if found in network:
                return is_public(str(ipaddress.IPv4Address((int(found) >> shift) & 0xFFFFFFFF)))
    return found.is_global and not (found.is_multicast or found.is_reserved or found.is_unspecified)


@dataclass(frozen=True)
class Fetcher:
    """Gets what is behind an address.

    Attributes:
        most: Bytes allowed.
        seconds: For all of it, redirects included.
        resolve: Name and port to addresses.
        allowed: Whether an address may be connected to.
        ports: That may be connected to.
    """

    most: int
    seconds: float
    resolve: Callable[[str, int], Sequence[str]] = look_up
    allowed: Callable[[str], bool] = is_public
    ports: tuple[int, ...] = (80, 443)

    def get(self, url: str) -> bytes:
        """The bytes behind an address.

        Raises:
            Refusal: It may not be asked, or does not give a file of allowed size in time.
        """
        until = time.monotonic() + self.seconds
        for _ in range(MOST_REDIRECTS + 1):
            content, further = self._ask(url, until)
            if not further:
                return content
            url = urljoin(url, further)
        raise _failed(f"it leads on more than {MOST_REDIRECTS} times")

    def _ask(self, url: str, until: float) -> tuple[bytes, str]:
        """The content, or the address it leads on to."""
        parts, host, port = self._checked(url)
        connection = self._connect(parts.scheme, host, port, until)
        try:
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            # `identity`: what is packed could unpack to any size
            headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "wiggly"}
            connection.request("GET", target, headers=headers)
            with closing(connection.getresponse()) as response:
                if response.status in REDIRECTS:
                    return b"", response.getheader("Location") or "/"
                if response.status != 200:
                    raise _failed(f"it answered with status {response.status}")
                return self._read(response, connection, until), ""
        except (OSError, http.client.HTTPException, ValueError) as error:
            if isinstance(error, Refusal):
                raise
            raise _failed(f"it cannot be read ({type(error).__name__})") from None
        finally:
            connection.close()

    def _checked(self, url: str) -> tuple[SplitResult, str, int]:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port or PORTS.get(parts.scheme, 0)
            ascii_host = host if ":" in host else host.encode("idna").decode()
            url.encode("ascii")
        except ValueError:  # UnicodeError is one
            raise _refused("it is no address in ASCII") from None
        if parts.scheme not in PORTS or not host:
            raise _refused("it does not begin with http:// or https:// and a host")
        if parts.username is not None or parts.password is not None:
            raise _refused("it holds a user name")
        if port not in self.ports:
            raise _refused(f"its port is {port}")
        if any(character <= " " or character == "\x7f" for character in url):
            raise _refused("it holds blanks or control characters")
        return parts, ascii_host, port

    def _connect(self, scheme: str, host: str, port: int, until: float) -> http.client.HTTPConnection:
        try:
            addresses = list(self.resolve(host, port))
        except (OSError, UnicodeError):
            raise _failed("its host has no address") from None
        if not addresses or not all(self.allowed(address) for address in addresses):
            raise _refused("its host is not on the public internet")
        connection = http.client.HTTPConnection(host, port, timeout=_left(until))
        try:
            plain = socket.create_connection((addresses[0], port), timeout=_left(until))
            secure = scheme == "https"
            # `http.client` uses the socket it finds, and does not look the name up again
            connection.sock = (
                ssl.create_default_context().wrap_socket(plain, server_hostname=host) if secure else plain
            )
        except OSError as error:
            raise _failed(f"it cannot be connected to ({type(error).__name__})") from None
        return connection

    def _read(
        self, response: http.client.HTTPResponse, connection: http.client.HTTPConnection, until: float
    ) -> bytes:
        content = bytearray()
        while True:
            left = _left(until)
            if connection.sock is not None:  # None once the server has said that nothing follows
                connection.sock.settimeout(left)
            piece = response.read1(PIECE)
            if not piece:
                return bytes(content)
            content += piece
            if len(content) > self.most:
                raise Refusal(
                    "too_large",
                    f"a file must be of at most {self.most:,} bytes",
                    "the one behind this address is larger",
                    "Send a smaller copy.",
                )


def _left(until: float) -> float:
    left = until - time.monotonic()
    if left <= 0:
        raise _failed("it takes too long")
    return left


def _refused(received: str) -> Refusal:
    return Refusal(
        "url_refused",
        "an address must be http or https, on the usual port of a host on the public internet",
        received,
        "Fetch it yourself and send the file.",
    )


def _failed(received: str) -> Refusal:
    return Refusal(
        "url_failed", "an address must give a picture", received, "Fetch it yourself and send the file."
    )
