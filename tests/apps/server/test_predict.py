"""What `/v1` answers is what the predictor answers; what it refuses, it refuses with words."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from tests.apps.server.conftest import get, post, refused, served

from wiggly.bundle.predictor import Predictor
from wiggly.bundle.replies import reply_of

CLOSE = 1e-5


def same(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Two replies of a category are equal but for rounding."""
    assert found["model"] == wanted["model"]
    for one, other in zip(found["answers"], wanted["answers"], strict=True):
        assert one["label"] == other["label"]
        first = {chance["label"]: chance["probability"] for chance in one["probabilities"]}
        second = {chance["label"]: chance["probability"] for chance in other["probabilities"]}
        assert first == pytest.approx(second, abs=CLOSE)


def test_a_photo_gets_the_reply_of_the_predictor(digits: Predictor, photos: list[Path]) -> None:
    content = photos[70].read_bytes()
    response = post(served(digits), files={"file": ("whatever.png", content)})
    assert response.status_code == 200
    same(response.json(), reply_of(digits, digits.predict(content)))


def test_a_turned_jpeg_is_read_upright(digits: Predictor, photos: list[Path]) -> None:
    upright = Image.open(photos[70]).resize((200, 150))
    exif, buffer = upright.getexif(), io.BytesIO()
    exif[0x0112] = 6
    upright.rotate(90, expand=True).save(buffer, "JPEG", exif=exif, quality=95)
    response = post(served(digits), files={"file": buffer.getvalue()})
    same(response.json(), reply_of(digits, digits.predict(buffer.getvalue())))


def test_a_row_gets_the_reply_of_the_predictor(people: Predictor) -> None:
    row = {"age": 61, "city": "Oslo", "since": "2023-05-01", "member": True}
    response = post(served(people), json={"row": row})
    assert response.status_code == 200, response.text
    same(response.json(), reply_of(people, people.predict(row)))


def test_missing_unknown_and_odd_values_of_a_row(people: Predictor) -> None:
    for row in (
        {"age": None, "city": None, "since": None, "member": None},
        {"age": 3.5, "city": "Atlantis 🏝", "since": {"date": "2024-02-29T12:30:00"}, "member": False},
    ):
        response = post(served(people), json={"row": row})
        assert response.status_code == 200, response.text
        same(response.json(), reply_of(people, people.predict(json.dumps(row).encode())))


def test_rows_are_answered_in_their_order(people: Predictor) -> None:
    rows = [{"age": age, "city": "Rome", "since": "2023-05-01", "member": False} for age in range(20, 80, 3)]
    response = post(served(people), "/v1/predict/batch", json={"rows": rows})
    assert response.status_code == 200, response.text
    items = response.json()["items"]
    assert len(items) == len(rows)
    for item, row in zip(items, rows, strict=True):
        same(item, reply_of(people, people.predict(row)))


def test_the_model_says_what_it_is_and_its_examples_come_out(digits: Predictor) -> None:
    app = served(digits, runtime="PyTorch")
    model = get(app, "/v1/model").json()
    assert model["model"] == digits.sha256
    assert model["outputs"][0]["vocabulary"] == list(digits.vocab)
    assert model["runtime"] == "PyTorch"
    assert "files" not in model
    assert len(model["examples"]) == len(digits.examples)
    for described, example in zip(model["examples"], digits.examples, strict=True):
        file = get(app, described["address"])
        assert file.content == example.content
        assert file.headers["content-type"] == described["media_type"]
        label = post(app, files={"file": file.content}).json()["answers"][0]["label"]
        assert label == example.answer.decoded


@pytest.mark.parametrize("path", ["/v1/examples/99", "/v1/examples/10"])
def test_there_are_no_other_examples(digits: Predictor, path: str) -> None:
    refused(get(served(digits), path), 404, "not_found")


@pytest.mark.parametrize(
    "path",
    [
        "/v1/examples/../model.json",
        "/v1/examples/..%2fmodel.json",
        "/v1/examples/%2e%2e/%2e%2e/etc/passwd",
        "/v1/examples/weights.safetensors",
        "/v1/../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/openapi.json/../app.py",
    ],
)
def test_no_other_file_can_be_read(digits: Predictor, path: str) -> None:
    response = get(served(digits), path)
    assert response.status_code in (404, 422)
    assert set(response.json()) == {"error"}


def test_a_wrong_kind_of_input_is_named(digits: Predictor, people: Predictor) -> None:
    error = refused(post(served(digits), json={"row": {"age": 3}}), 422, "wrong_input")
    assert "pictures" in error["rule"]
    error = refused(post(served(people), files={"file": b"x"}), 422, "wrong_input")
    assert "rows" in error["rule"]
    refused(post(served(digits), "/v1/predict/batch", json={"rows": [{"age": 3}]}), 422, "wrong_input")


def test_a_row_that_does_not_fit_is_told_why(people: Predictor) -> None:
    assert "city" in refused(post(served(people), json={"row": {"age": 3}}), 422, "unreadable")["received"]
    never = {"age": 3, "city": "Rome", "since": "never", "member": True}
    assert "since" in refused(post(served(people), json={"row": never}), 422, "unreadable")["rule"]


def test_other_content_types_are_refused(digits: Predictor) -> None:
    response = post(served(digits), content=b"x", headers={"content-type": "image/png"})
    refused(response, 415, "unsupported_type")
    refused(post(served(digits), content=b"x"), 415, "unsupported_type")


def test_the_response_cannot_be_taken_for_a_page(digits: Predictor) -> None:
    for response in (get(served(digits), "/v1/model"), get(served(digits), "/v1/nothing")):
        assert response.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in response.headers["content-security-policy"]
        assert response.headers["referrer-policy"] == "no-referrer"


def test_other_origins_may_ask_only_where_they_are_named(digits: Predictor) -> None:
    other = {"origin": "https://example.org"}
    assert "access-control-allow-origin" not in get(served(digits), "/v1/model", headers=other).headers
    app = served(digits, cors=["https://example.org"])
    assert get(app, "/v1/model", headers=other).headers["access-control-allow-origin"] == other["origin"]
    stranger = get(app, "/v1/model", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers


@pytest.mark.parametrize("prefix", ["", "/pets"])
def test_it_works_behind_a_prefix(digits: Predictor, photos: list[Path], prefix: str) -> None:
    """A proxy may take the prefix off or leave it."""
    app = served(digits, root_path="/pets")
    model = get(app, f"{prefix}/v1/model").json()
    assert model["examples"][0]["address"] == "/pets/v1/examples/0"
    response = post(app, f"{prefix}/v1/predict", files={"file": photos[0].read_bytes()})
    assert response.status_code == 200
    assert "content-security-policy" in response.headers
    assert get(app, f"{prefix}/").headers["location"] == "/pets/v1/model"


def test_other_methods_and_addresses(digits: Predictor) -> None:
    app = served(digits)
    response = get(app, "/v1/predict")
    refused(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "POST"
    refused(get(app, "/v1/other"), 404, "not_found")


def test_it_lives_before_it_is_ready_and_counts(digits: Predictor, photos: list[Path]) -> None:
    app = served(digits)
    assert get(app, "/healthz").json() == {"status": "ok"}
    ready = get(app, "/readyz").json()
    assert ready["status"] == "ready"
    assert ready["examples"] == len(digits.examples)
    post(app, files={"file": photos[0].read_bytes()})
    get(app, "/v1/nothing")
    counted = get(app, "/metrics")
    assert counted.headers["content-type"].startswith("text/plain")
    lines = counted.text.splitlines()
    assert 'wiggly_requests_total{method="POST",route="/v1/predict",status="200"} 1.0' in lines
    assert "wiggly_batch_size_count 1.0" in lines
    assert "wiggly_queue_length 0.0" in lines
    assert any(line.startswith("wiggly_request_seconds_bucket") for line in lines)
    assert "nothing" not in counted.text, "an address that does not exist must not become a counter"


def test_the_kinds_of_multipart(digits: Predictor, photos: list[Path]) -> None:
    content, app = photos[0].read_bytes(), served(digits)
    odd = post(app, files={"file": ("../../etc/\u202e\x00evil.png", content, "text/html")})
    assert odd.status_code == 200, "what a client calls its file does not matter"
    assert "evil" not in odd.text
    refused(post(app, files={"other": content}), 400, "malformed")
    refused(post(app, files=[("file", content), ("file", content)]), 400, "malformed")
    refused(post(app, files={"file": content}, data={"extra": "1"}), 400, "malformed")
    refused(post(app, files={"file": b""}), 422, "unreadable")


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=", b"x"),
        ("multipart/form-data; boundary=b", b""),
        ("multipart/form-data; boundary=b", b"no boundary at all"),
        ("multipart/form-data; boundary=b", b'--b\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc'),
        ("multipart/form-data; boundary=b", b"--b\r\n\r\nabc\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nContent-Disposition: \xff\xfe\r\n\r\nabc\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\n" + b"A: b\r\n" * 1000 + b"\r\nabc\r\n--b--\r\n"),
        ("multipart/form-data; boundary=b", b"--b\r\nX: y\r\n\r\n\r\n" * 100 + b"--b--\r\n"),
        ("multipart/form-data; boundary=" + "b" * 500, b"x"),
        ("application/json", b""),
        ("application/json", b"\xff\xfe"),
        ("application/json", b"[1]"),
        ("application/json", b"null"),
        ("application/json", b"{}"),
        ("application/json", b'{"row": []}'),
        ("application/json", b'{"row": {}}'),
        ("application/json", b'{"row": {"age": NaN}}'),
        ("application/json", b'{"row": {"age": 1e999}}'),
        ("application/json", b'{"row": {"age": ' + b"9" * 5000 + b"}}"),
        ("application/json", b'{"row": {"age": [1]}}'),
        ("application/json", b'{"row": {"age": 1}, "more": 2}'),
        ("application/json", b'{"row":' * 1000),
        ("application/json", b"[" * 100_000),
        ("application/json", '{"row": {"age": 1}}'.encode("utf-16")),
    ],
)
def test_malformed_bodies(digits: Predictor, people: Predictor, head: str, body: bytes) -> None:
    predictor = people if "json" in head else digits
    refused(post(served(predictor), content=body, headers={"content-type": head}), 400, "malformed")


@pytest.mark.parametrize(
    "value",
    [
        10**400 - 1,
        -(10**300),
        1.7e308,
        5e-324,
        True,
        "",
        "\x00",
        "\ud800",
        "🏝" * 1000,
        "1",
        {"integer": "9" * 400},
        {"integer": "x"},
        {"float": "nan"},
        {"float": "inf"},
        {"date": "9999-12-31T23:59:59"},
        {"date": "0001-01-01T00:00:00+14:00"},
        {"date": 5},
        {"duration": [1]},
        {"duration": [10**12, 0, 0]},
        {"decimal": "1e999999"},
        {"bytes": "zz"},
        {"unknown": 1},
        {},
        {"a": 1, "b": 2},
    ],
    ids=lambda value: repr(value)[:20],
)
@pytest.mark.parametrize("column", ["age", "city", "since", "member"])
def test_no_value_of_a_row_makes_it_fail(people: Predictor, column: str, value: Any) -> None:
    row = {"age": 30, "city": "Rome", "since": "2023-01-01", "member": True, column: value}
    for path, body in (("/v1/predict", {"row": row}), ("/v1/predict/batch", {"rows": [row, row]})):
        response = post(served(people), path, content=json.dumps(body).encode(), headers=JSON)
        assert response.status_code in (200, 400, 422), response.text
        if response.status_code != 200:
            refused(response, response.status_code, response.json()["error"]["code"])


JSON = {"content-type": "application/json"}


def cut(content: bytes) -> list[bytes]:
    """A file that breaks off in several places, and one with a byte changed here and there."""
    shorter = [content[: len(content) * part // 8] for part in range(1, 8)]
    changed = []
    for place in range(0, len(content), max(1, len(content) // 12)):
        other = bytearray(content)
        other[place] ^= 0xFF
        changed.append(bytes(other))
    return shorter + changed


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
def test_damaged_pictures_are_refused_or_read(digits: Predictor, photos: list[Path], kind: str) -> None:
    buffer, app = io.BytesIO(), served(digits)
    Image.open(photos[0]).convert("RGB").resize((60, 60)).save(buffer, kind)
    whole = post(app, files={"file": buffer.getvalue()})
    assert whole.status_code == 200, whole.text
    for content in cut(buffer.getvalue()):
        response: httpx.Response = post(app, files={"file": content})
        assert response.status_code in (200, 413, 422), response.text


@pytest.mark.parametrize(
    "content", [b"<svg/>", b"%PDF-1.7", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"PK\x03\x04", b"\0"]
)
def test_what_is_no_picture(digits: Predictor, content: bytes) -> None:
    refused(post(served(digits), files={"file": content}), 422, "unreadable")
