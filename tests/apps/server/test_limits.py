"""What a stranger may send: limits hold while a body arrives, before anything is decoded, and on no disk."""

from __future__ import annotations

import asyncio
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.apps.server.conftest import ask, post, refused, served

from wiggly.apps.server.limits import Limits
from wiggly.bundle.predictor import Predictor
from wiggly.errors import ArgumentError

BOUNDARY = {"content-type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'


def claiming(width: int, height: int) -> bytes:
    """A small PNG that says it has so many pixels."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(1_000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def test_a_declared_length_is_refused_before_the_body(digits: Predictor) -> None:
    async def never() -> AsyncIterator[bytes]:
        raise AssertionError("nothing may be read")
        yield b""

    async def asking(client: httpx.AsyncClient) -> httpx.Response:
        headers = {**BOUNDARY, "content-length": str(10**9)}
        return await client.post("/v1/predict", content=never(), headers=headers)

    response = ask(served(digits, max_bytes=1_000), asking)
    refused(response, 413, "too_large")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("declared", [None, "5", "-1", "²", "999999999999999999999999999999"])
def test_an_endless_body_is_refused_while_it_arrives(digits: Predictor, declared: str | None) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield HEAD
        while True:
            sent += 10_000
            assert sent < 200_000, "it must stop reading"
            yield bytes(10_000)

    async def asking(client: httpx.AsyncClient) -> httpx.Response:
        headers = {**BOUNDARY, **({} if declared is None else {"content-length": declared.encode()})}
        return await client.post("/v1/predict", content=endless(), headers=headers)

    refused(ask(served(digits, max_bytes=50_000), asking), 413, "too_large")


def test_a_body_that_trickles(digits: Predictor) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.05)
            yield b"-"

    async def asking(client: httpx.AsyncClient) -> httpx.Response:
        return await client.post("/v1/predict", content=trickle(), headers=BOUNDARY)

    refused(ask(served(digits, timeout=0.3), asking), 408, "slow_upload")


def test_a_file_at_the_limit_is_taken_and_one_byte_more_is_not(digits: Predictor) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(buffer, "BMP")
    app = served(digits, max_bytes=len(buffer.getvalue()))
    assert post(app, files={"file": buffer.getvalue()}).status_code == 200
    refused(post(app, files={"file": buffer.getvalue() + b"\0"}), 413, "too_large")


@pytest.mark.parametrize(
    ("width", "height"),
    [(60_000, 60_000), (12_000, 9_000), (9_000, 12_000), (2**31 - 1, 2**31 - 1), (300, 300)],
)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(
    digits: Predictor, width: int, height: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "prepare", lambda item: pytest.fail("it must not be decoded"))
    response = post(served(digits, max_pixels=80_000), files={"file": claiming(width, height)})
    assert str(80_000)[:2] in refused(response, 413, "too_many_pixels")["rule"]


def test_models_without_a_size_take_smaller_pictures(digits: Predictor, monkeypatch: Any) -> None:
    app = served(digits, max_free_pixels=100)
    assert post(app, files={"file": png(20, 20)}).status_code == 200
    monkeypatch.setattr(type(app.state.service), "fixed_size", False)
    refused(post(app, files={"file": png(20, 20)}), 413, "too_many_pixels")
    assert post(app, files={"file": png(10, 10)}).status_code == 200


def png(width: int, height: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (width, height)).save(buffer, "PNG")
    return buffer.getvalue()


def test_rows_columns_and_texts_have_limits(people: Predictor) -> None:
    app = served(people, max_rows=3, max_columns=6, max_text=20)
    row = {"age": 30, "city": "Rome", "since": "2023-01-01", "member": True}
    batch = "/v1/predict/batch"
    assert post(app, batch, json={"rows": [row] * 3}).status_code == 200
    refused(post(app, batch, json={"rows": [row] * 4}), 413, "too_large")
    wide = {**row, **{f"more {i}": 1 for i in range(5)}}
    refused(post(app, json={"row": wide}), 413, "too_large")
    refused(post(app, json={"row": {**row, "city": "x" * 21}}), 413, "too_large")
    refused(post(app, json={"row": {**row, "c" * 21: 1}}), 413, "too_large")
    refused(post(app, json={"row": {**row, "age": {"integer": "9" * 30}}}), 413, "too_large")
    refused(post(app, batch, json={"rows": []}), 400, "malformed")
    refused(post(served(people, max_row_bytes=100), json={"row": {"x": "y" * 100}}), 413, "too_large")


def test_uploads_touch_no_disk(digits: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than what form parsers keep in memory by themselves."""
    import tempfile

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    made = pytest.MonkeyPatch()
    for name in ("TemporaryFile", "NamedTemporaryFile", "SpooledTemporaryFile", "mkstemp"):
        made.setattr(tempfile, name, lambda *_, **__: pytest.fail("nothing may be written"))
    buffer = io.BytesIO()
    Image.effect_noise((1_200, 1_200), 100).convert("RGB").save(buffer, "BMP")
    try:
        names = ["../evil.png", str(tmp_path / "evil.png"), "evil\x00.png", "a" * 5_000]
        for name in names[:3]:
            assert post(served(digits), files={"file": (name, buffer.getvalue())}).status_code == 200
        refused(post(served(digits), files={"file": (names[3], buffer.getvalue())}), 400, "malformed")
    finally:
        made.undo()
    assert list(tmp_path.rglob("*")) == []


def test_limits_must_be_positive() -> None:
    with pytest.raises(ArgumentError, match="`batch` must be above 0; it is 0"):
        Limits(batch=0)
    assert Limits(batch_wait=0).batch_wait == 0
