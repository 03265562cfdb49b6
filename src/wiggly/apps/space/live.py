"""A model that runs elsewhere, asked for its worked examples over HTTP.

In: an address, and the bundle that should answer there. Out: the largest difference, or an error that names
the example. Read next: `../../bundle/worked.py`, which compares; `../server/`, what answers.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import io
import json
import mimetypes
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
from PIL import Image

from wiggly.bundle.archive import MANIFEST, Archive
from wiggly.bundle.parts import Output
from wiggly.bundle.session.decoding import together
from wiggly.bundle.worked import Compared, compare_examples, described
from wiggly.errors import SpaceError
from wiggly.records import Detection, Prediction

__all__ = ["TOLERANCE", "Endpoint", "check_files", "check_live"]

TOLERANCE = 1e-3  # machines differ in the last digits, and replies are rounded
PATIENCE = 60.0  # seconds for one answer
PAUSE = 2.0  # seconds until a server that is just starting is asked again


class Endpoint:
    """A server that is asked.

    Args:
        address: Of the server, such as "https://user-name.hf.space".
        token: Sent along, for a private Space; None for none.
    """

    def __init__(self, address: str, token: str | None = None) -> None:
        self.address, self.token = address.rstrip("/"), token

    def get(self, path: str) -> bytes:
        """What is at an address of the server.

        Raises:
            OSError: It does not answer, or refuses.
        """
        return self._send(urllib.request.Request(self.address + path))

    def ask(self, name: str, content: bytes, picture: bool) -> dict[str, Any]:
        """What the model says of one item.

        Args:
            name: Of the item's file.
            content: Of the file.
            picture: Whether it is one; else a row as JSON.

        Raises:
            OSError: It does not answer, or refuses.
            ValueError: The answer is no JSON object.
        """
        body, kind = _form(name, content) if picture else (b'{"row": ' + content + b"}", "application/json")
        request = urllib.request.Request(self.address + "/v1/predict", body, {"Content-Type": kind})
        said: Any = json.loads(self._send(request))
        if not isinstance(said, dict):
            raise ValueError("it is no JSON object")
        return cast("dict[str, Any]", said)

    def _send(self, request: urllib.request.Request) -> bytes:
        if self.token is not None:
            request.add_unredirected_header("Authorization", f"Bearer {self.token}")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            return response.read()


def check_live(endpoint: Endpoint, archive: Archive, patience: float = 120.0) -> tuple[int, float]:
    """Ask for every worked example, and compare with what is recorded.

    Args:
        endpoint: Who is asked.
        archive: The bundle.
        patience: Seconds until the server must answer with this model.

    Returns:
        How many examples there are, and the largest difference.

    Raises:
        SpaceError: It does not answer, runs another model, or says something else than is recorded.
    """
    _until(lambda: _model_of(endpoint.get("/v1/model")), archive.sha256, endpoint, patience)
    picture = archive.manifest.inputs[0].kind == "image"
    names = {archive.files[one.file]: one.file for one in archive.manifest.examples}

    def predict(content: bytes) -> Prediction:
        try:
            said = endpoint.ask(names[content], content, picture)
            return prediction_of(said, archive.manifest.outputs)
        except (OSError, ValueError, KeyError, TypeError, IndexError) as error:
            raise _silent(endpoint, f"asked for '{names[content]}' it failed: {_told(error)}") from error

    found = compare_examples(archive.manifest, archive.files, predict, TOLERANCE)
    wrong = next((one for one in found if not one.fits), None)
    if wrong is not None:
        raise _differs(endpoint, wrong)
    return len(found), max((one.difference for one in found), default=0.0)


def check_files(endpoint: Endpoint, archive: Archive, patience: float = 120.0) -> None:
    """Whether a page without a server hands out this model.

    Raises:
        SpaceError: It does not, or does not answer.
    """
    path = f"/model/{MANIFEST}"
    _until(lambda: hashlib.sha256(endpoint.get(path)).hexdigest(), archive.sha256, endpoint, patience)


def prediction_of(reply: Mapping[str, Any], outputs: Sequence[Output]) -> Prediction:
    """The way back of `replies.reply_of`.

    Args:
        reply: What a server answered.
        outputs: Of the model that answered.

    Raises:
        ValueError, KeyError, TypeError, IndexError: It is no such reply.
    """
    answers = cast("list[dict[str, Any]]", reply["answers"])
    parts = [READ[output.kind](one, output) for one, output in zip(answers, outputs, strict=True)]
    return parts[0] if len(parts) == 1 else together(parts)


# ---- waiting ----


def _until(ask: Callable[[], str], wanted: str, endpoint: Endpoint, patience: float) -> None:
    """Waits until the server has this model."""
    end, said = time.monotonic() + patience, ""
    while True:
        try:
            found = ask()
            if found == wanted:
                return
            said = f"it has another model ({found[:12]} instead of {wanted[:12]})"
        except (OSError, ValueError, KeyError, TypeError) as error:
            said = f"it does not answer: {_told(error)}"
        if time.monotonic() >= end:
            raise _silent(endpoint, said)
        time.sleep(PAUSE)


def _model_of(described: bytes) -> str:
    return str(json.loads(described)["model"])


def _told(error: Exception) -> str:
    """What went wrong; of a refusal its own words."""
    if isinstance(error, urllib.error.HTTPError):
        body = " ".join(error.read(2000).decode("utf-8", "replace").split())
        return f"status {error.code}: {body[:300]}"
    return str(error)[:300] or type(error).__name__


def _silent(endpoint: Endpoint, received: str) -> SpaceError:
    return SpaceError(
        f"{endpoint.address} must answer as the model does",
        received,
        "Look at the Space's log on its page; then push again.",
    )


def _differs(endpoint: Endpoint, one: Compared) -> SpaceError:
    return SpaceError(
        f"{endpoint.address} must give the worked examples within {one.allowed:g}, with the same labels",
        f"'{one.name}' {described(one)}",
        "It computes something else than was recorded: do not use it. Run `wiggly verify` here, then push "
        "again.",
    )


def _form(name: str, content: bytes) -> tuple[bytes, str]:
    """A file as browsers send it."""
    boundary = secrets.token_hex(16)
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    head = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="example"\r\n'
        f"Content-Type: {kind}\r\n\r\n"
    )
    body = head.encode() + content + f"\r\n--{boundary}--\r\n".encode()
    return body, f"multipart/form-data; boundary={boundary}"


# ---- one function for each kind of answer ----


def _chances(answer: Mapping[str, Any], output: Any) -> Any:
    """Probabilities in the order of the vocabulary."""
    said = {(type(one["label"]), one["label"]): one["probability"] for one in answer["probabilities"]}
    return np.array([said[type(label), label] for label in output.vocabulary], np.float64)


def _category(answer: Mapping[str, Any], output: Any) -> Prediction:
    probs, label = _chances(answer, output), answer["label"]
    known = [(type(one), one) for one in output.vocabulary]
    index: Any = np.int64(known.index((type(label), label)))
    return Prediction(label, index, probs)


def _labels(answer: Mapping[str, Any], output: Any) -> Prediction:
    probs = _chances(answer, output)
    return Prediction(list(answer["labels"]), probs > output.threshold, probs)


def _numbers(answer: Mapping[str, Any], output: Any) -> Prediction:
    by_name = {one["name"]: float(one["value"]) for one in answer["values"]}
    values = [by_name[name] for name in output.names]
    array: Any = np.array(values, np.float64)
    return Prediction(values[0] if len(values) == 1 else tuple(values), array, array)


def _points(answer: Mapping[str, Any], output: Any) -> Prediction:
    nothing: Any = np.empty(0)
    return Prediction(np.array(answer["points"], np.float64), nothing, nothing)


def _boxes(answer: Mapping[str, Any], output: Any) -> Prediction:
    found = [Detection(one["label"], float(one["score"]), tuple(one["box"])) for one in answer["boxes"]]
    nothing: Any = np.empty(0)
    return Prediction(found, nothing, nothing)


def _mask(answer: Mapping[str, Any], output: Any) -> Prediction:
    try:
        picture = Image.open(io.BytesIO(base64.b64decode(answer["png"], validate=True)))
        indices: Any = np.asarray(picture)
    except (OSError, binascii.Error, Image.DecompressionBombError) as error:
        raise ValueError(f"the mask cannot be read: {error}") from error
    return Prediction(indices, indices, cast("Any", np.empty(0)))


READ: dict[str, Callable[[Mapping[str, Any], Any], Prediction]] = {
    "category": _category,
    "labels": _labels,
    "numbers": _numbers,
    "points": _points,
    "boxes": _boxes,
    "mask": _mask,
}
