"""A stranger's address leads nowhere but to the public internet, and not endlessly."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from tests.apps.server.conftest import post, refused, served

from wiggly.apps.server.fetch import Fetcher, is_public, look_up
from wiggly.apps.server.refusals import Refusal
from wiggly.bundle.predictor import Predictor


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "0.0.0.0", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254",
        "100.64.0.1", "192.0.2.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::1", "::",
        "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1", "ff02::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a00:1::", "2001:db8::1",
        "nonsense", "",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "8.8.8.8", "2606:2800:220:1:248:1893:25c8:1946"])
def test_addresses_that_are(address: str) -> None:
    assert is_public(address)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers by path; notes what was asked."""

    asked: ClassVar[list[tuple[str, str]]] = []
    content = b""

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["Host"]))
        kind = self.path.split("/")[1].split("?")[0]
        if kind == "to":
            self.send_response(302)
            self.send_header("Location", self.path.split("/", 2)[2])
            self.end_headers()
        elif kind in ("endless", "slow"):
            self.send_response(200)
            self.end_headers()
            try:
                for _ in range(1_000):
                    self.wfile.write(bytes(10_000 if kind == "endless" else 1))
                    self.wfile.flush()
                    time.sleep(0.02 if kind == "slow" else 0)
            except OSError:
                pass
        else:
            self.send_response(200 if kind == "photo" else 404)
            self.send_header("Content-Length", str(len(self.content)))
            self.end_headers()
            self.wfile.write(self.content)

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def elsewhere(photos: list[Path]) -> Iterator[int]:
    """The port of a web server on this machine, which stands for the internet."""
    Handler.content = photos[40].read_bytes()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()


def internet(port: int, **changes: Any) -> Fetcher:
    """A fetcher for which `photos.example` is that server, and loopback by its number is still forbidden."""

    def resolve(host: str, port: int) -> list[str]:
        return {"photos.example": ["127.0.0.1"], "mixed.example": ["127.0.0.1", "10.0.0.1"]}.get(
            host
        ) or look_up(host, port)

    asked: list[str] = []

    def allowed(address: str) -> bool:
        asked.append(address)
        return address == "127.0.0.1" and asked.count("127.0.0.1") <= 4

    made = Fetcher(100_000, 3.0, resolve=resolve, allowed=allowed, ports=(port,))
    return replace(made, **changes)


def code(fetcher: Fetcher, url: str) -> str:
    with pytest.raises(Refusal) as caught:
        fetcher.get(url)
    return caught.value.code


def test_a_photo_is_fetched_by_its_checked_address(elsewhere: int) -> None:
    url = f"http://photos.example:{elsewhere}/photo/1.png?size=2"
    assert internet(elsewhere).get(url) == Handler.content
    assert Handler.asked[-1] == ("/photo/1.png?size=2", f"photos.example:{elsewhere}")


def test_redirects_are_followed_and_checked_each(elsewhere: int) -> None:
    start = f"http://photos.example:{elsewhere}"
    assert internet(elsewhere).get(f"{start}/to//photo/1") == Handler.content
    for target in ("http://10.0.0.1/x", "file:///etc/passwd", "ftp://photos.example/x", "http://[::1]/"):
        assert code(internet(elsewhere), f"{start}/to/{target}") == "url_refused"
    assert code(internet(elsewhere), start + "/to/" * 6 + "photo") in ("url_failed", "url_refused")


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd", "ftp://photos.example/1", "gopher://photos.example/1",
        "/etc/passwd", "photo.png",
        "http://", "http:///x", "http://photos.example:99999/", "http://photos.example:22/",
        "http://[::1", "data:,x",
        "http://user:word@photos.example/", "http://photos.example/ x",
        "http://photos.example/\r\nHost: x", "",
        "http://photos.example/é", "javascript:alert(1)", "http://exa\u2100mple/",
        "http://" + "a" * 300 + ".example/",
    ],
)  # fmt: skip
def test_odd_addresses_are_refused(url: str) -> None:
    assert code(internet(80), url) in ("url_refused", "url_failed")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "[::1]"])
def test_this_machine_is_refused(host: str, elsewhere: int) -> None:
    seen = len(Handler.asked)
    assert (
        code(Fetcher(1_000, 3.0, ports=(elsewhere,)), f"http://{host}:{elsewhere}/photo/1") == "url_refused"
    )
    assert len(Handler.asked) == seen


def test_one_bad_address_among_several_is_enough(elsewhere: int) -> None:
    assert code(internet(elsewhere), f"http://mixed.example:{elsewhere}/photo/1") == "url_refused"


def test_size_and_time_have_limits(elsewhere: int) -> None:
    start = f"http://photos.example:{elsewhere}"
    assert code(internet(elsewhere), f"{start}/endless") == "too_large"
    begun = time.monotonic()
    assert code(internet(elsewhere, seconds=0.5), f"{start}/slow") == "url_failed"
    assert time.monotonic() - begun < 3
    assert code(internet(elsewhere), f"{start}/missing") == "url_failed"


def test_it_is_off_unless_allowed(digits: Predictor) -> None:
    error = refused(post(served(digits), json={"url": "http://photos.example/1.png"}), 422, "url_refused")
    assert "--allow-urls" in error["fix"]
    app = served(digits, allow_urls=True)
    for url in ("http://127.0.0.1/", "http://169.254.169.254/latest/meta-data", "file:///etc/passwd"):
        refused(post(app, json={"url": url}), 422, "url_refused")


def test_a_fetched_photo_is_answered(
    digits: Predictor, elsewhere: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = served(digits, allow_urls=True)
    fetch = internet(elsewhere).get(f"http://photos.example:{elsewhere}/photo/1")
    monkeypatch.setattr(Fetcher, "get", lambda self, url: fetch)
    response = post(app, json={"url": f"http://photos.example:{elsewhere}/photo/1"})
    assert response.json()["answers"][0]["label"] == digits.predict(Handler.content).decoded
