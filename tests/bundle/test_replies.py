"""What is answered, as JSON: every kind, as its schema says, and as the contract with the clients has it."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image

from wiggly.bundle import replies
from wiggly.bundle.parts import (
    BoxesOutput,
    CategoryOutput,
    LabelsOutput,
    MaskOutput,
    NumbersOutput,
    PointsOutput,
)
from wiggly.bundle.predictor import load_bundle
from wiggly.bundle.replies import Replies, replies_of, replies_schema, reply_of
from wiggly.bundle.schema import from_json, to_json
from wiggly.records import Prediction

MODEL = "0123456789abcdef" * 4
INDICES = np.array([[0, 0, 1, 2], [2, 2, 2, 2]], np.uint8)
CASES: dict[str, tuple[Any, Prediction, dict[str, Any]]] = {
    "category": (
        CategoryOutput("category", ("ant", "bee", True), "softmax"),
        Prediction("bee", torch.tensor(1), torch.tensor([0.25, 0.5, 0.25])),
        {
            "kind": "category",
            "name": "",
            "label": "bee",
            "confidence": 0.5,
            "unsure": False,
            "probabilities": [
                {"label": "bee", "probability": 0.5},
                {"label": "ant", "probability": 0.25},
                {"label": True, "probability": 0.25},
            ],
        },
    ),
    "labels": (
        LabelsOutput("labels", ("sea", "sky"), 0.5),
        Prediction(["sky"], np.array([False, True]), np.array([0.125, 0.75], np.float32)),
        {
            "kind": "labels",
            "name": "",
            "labels": ["sky"],
            "probabilities": [
                {"label": "sky", "probability": 0.75},
                {"label": "sea", "probability": 0.125},
            ],
        },
    ),
    "numbers": (
        NumbersOutput("numbers", ("price", "age"), (0.0, 0.0), (9.0, 9.0)),
        Prediction((3.5, 1 / 3), None, torch.tensor([3.5, 1 / 3])),  # type: ignore[arg-type]
        {
            "kind": "numbers",
            "values": [{"name": "price", "value": 3.5}, {"name": "age", "value": 0.333333343}],
        },
    ),
    "points": (
        PointsOutput("points", 2),
        Prediction(np.array([[1.0, 2.5], [-3.00049, 4.0]]), torch.empty(0), torch.empty(0)),
        {"kind": "points", "points": [[1.0, 2.5], [-3.0, 4.0]]},
    ),
    "boxes": (
        BoxesOutput("boxes", ("cat",), 0.5),
        Prediction(
            [SimpleNamespace(label="cat", score=0.75, box=(1, 2, 3.5, 4))], torch.empty(0), torch.empty(0)
        ),
        {"kind": "boxes", "boxes": [{"label": "cat", "score": 0.75, "box": [1.0, 2.0, 3.5, 4.0]}]},
    ),
}


@pytest.mark.parametrize("kind", CASES)
def test_every_kind(kind: str) -> None:
    output, found, wanted = CASES[kind]
    told = reply_of(fake(output), found)
    assert told == {"answers": [wanted], "model": MODEL}
    checked(told)


def test_a_mask() -> None:
    output = MaskOutput("mask", ("ground", "car", "void"), void=2)
    told = reply_of(fake(output), Prediction(Image.fromarray(INDICES), torch.empty(0), torch.empty(0)))
    [answer] = told["answers"]
    with Image.open(io.BytesIO(base64.b64decode(answer.pop("png")))) as picture:
        assert (np.asarray(picture) == INDICES).all()
    shares = [{"label": "ground", "share": 0.25}, {"label": "car", "share": 0.125}]
    assert answer == {"kind": "mask", "width": 4, "height": 2, "classes": shares}


def test_a_mask_with_many_classes() -> None:
    output = MaskOutput("mask", tuple(range(1000)))
    wide = INDICES.astype(np.int32) * 300
    told = reply_of(fake(output), Prediction(Image.fromarray(wide), torch.empty(0), torch.empty(0)))
    with Image.open(io.BytesIO(base64.b64decode(told["answers"][0]["png"]))) as picture:
        assert (np.asarray(picture) == wide).all()
    checked(told)


def test_several_answers_stand_side_by_side() -> None:
    outputs, found, wanted = zip(*(CASES[kind] for kind in ("category", "labels", "numbers")), strict=True)
    decoded, index, probs = zip(*found, strict=True)
    told = reply_of(fake(*outputs), Prediction(list(decoded), index, probs))
    assert told["answers"] == list(wanted)
    checked(told)


def test_of_a_real_predictor(exported: Path) -> None:
    import hashlib
    import zipfile

    predictor = load_bundle(exported)
    with zipfile.ZipFile(exported) as archive:
        assert predictor.sha256 == hashlib.sha256(archive.read("model.json")).hexdigest()
    found = [predictor.predict(example.content) for example in predictor.examples]
    told = replies_of(predictor, found)
    assert [one["answers"][0]["label"] for one in told["items"]] == [one.decoded for one in found]
    jsonschema.Draft202012Validator(replies_schema()).validate(told)
    assert to_json(from_json(Replies, json.loads(json.dumps(told)))) == told
    for one in told["items"]:
        chances = [chance["probability"] for chance in one["answers"][0]["probabilities"]]
        assert chances == sorted(chances, reverse=True) and sum(chances) == pytest.approx(1, abs=1e-5)


def test_the_schema_file_is_the_classes() -> None:
    place = Path(replies.__file__).with_name("replies.schema.json")
    assert json.loads(place.read_text(encoding="utf-8")) == replies_schema()


def fake(*outputs: Any) -> Any:
    return SimpleNamespace(manifest=SimpleNamespace(outputs=outputs), sha256=MODEL)


def checked(told: dict[str, Any]) -> None:
    json.dumps(told, allow_nan=False)
    jsonschema.Draft202012Validator(replies_schema()).validate({"items": [told], "model": MODEL})
