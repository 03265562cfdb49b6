"""What a model answers, as JSON: the same words over HTTP, in the browser, on a phone, and from `--json`.

In: a predictor (of whatever runtime) and its `Prediction`. Out: a `Reply`, frozen dataclasses, and its JSON
types. Needs no torch. The JSON Schema beside this file (`replies.schema.json`) is generated from these
classes: `python -m wiggly.bundle.replies` writes it again, a test notices when it is stale. Read next:
`parts.py`, the outputs these answer to.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.bundle.manifest import Manifest
from wiggly.bundle.parts import FoundBox, Label, Output
from wiggly.bundle.schema import Rule, schema_of, to_json
from wiggly.records import Prediction

__all__ = [
    "REPLIES_ID",
    "BoxesReply",
    "CategoryReply",
    "Chance",
    "LabelsReply",
    "MaskReply",
    "NamedNumber",
    "NumbersReply",
    "OneReply",
    "PointsReply",
    "Replies",
    "Reply",
    "Share",
    "is_unsure",
    "replies_of",
    "replies_schema",
    "reply_of",
    "single",
]

#: A name, not an address: nothing is ever fetched.
REPLIES_ID = "urn:wiggly:replies:1"

#: Digits behind the point of probabilities, of pixels; significant digits of numbers (float32 has 9).
PROBABILITY_DIGITS, PIXEL_DIGITS, NUMBER_DIGITS = 6, 3, 9


class Answering(Protocol):
    """A predictor, as far as its replies are concerned."""

    @property
    def manifest(self) -> Manifest:
        """The content of `model.json`."""
        ...

    @property
    def sha256(self) -> str:
        """SHA-256 of `model.json`: which model it is."""
        ...


@dataclass(frozen=True)
class Chance:
    """A class and how likely it is."""

    label: Annotated[Label, Rule("The class.")]
    probability: Annotated[float, Rule("From 0 to 1.", minimum=0)]


@dataclass(frozen=True)
class NamedNumber:
    """A predicted number."""

    name: Annotated[str, Rule("What it is called.")]
    value: Annotated[float, Rule("What the model predicts.")]


@dataclass(frozen=True)
class Share:
    """A class and how much of a picture it takes."""

    label: Annotated[Label, Rule("The class.")]
    share: Annotated[float, Rule("Of all pixels, from 0 to 1.", minimum=0)]


@dataclass(frozen=True)
class CategoryReply:
    """One class out of a vocabulary."""

    kind: Literal["category"]
    name: Annotated[str, Rule("What is predicted; empty where the model predicts one thing.")]
    label: Annotated[Label, Rule("The likeliest class.")]
    confidence: Annotated[float, Rule("Its probability.", minimum=0)]
    unsure: Annotated[bool, Rule("Whether that is too little to rely on: show the label as a guess.")]
    probabilities: Annotated[tuple[Chance, ...], Rule("All classes, likeliest first.")]


@dataclass(frozen=True)
class LabelsReply:
    """Any number of classes out of a vocabulary."""

    kind: Literal["labels"]
    name: Annotated[str, Rule("What is predicted; empty where the model predicts one thing.")]
    labels: Annotated[tuple[Label, ...], Rule("The classes that apply, in the order of the vocabulary.")]
    probabilities: Annotated[tuple[Chance, ...], Rule("All classes, likeliest first.")]


@dataclass(frozen=True)
class NumbersReply:
    """One number or several."""

    kind: Literal["numbers"]
    values: Annotated[tuple[NamedNumber, ...], Rule("In the order of the model's output.")]


@dataclass(frozen=True)
class PointsReply:
    """Places in a picture."""

    kind: Literal["points"]
    points: Annotated[tuple[tuple[float, float], ...], Rule("x and y in pixels of the upright picture.")]


@dataclass(frozen=True)
class BoxesReply:
    """Things found in a picture."""

    kind: Literal["boxes"]
    boxes: Annotated[tuple[FoundBox, ...], Rule("Best first; none where nothing was found.")]


@dataclass(frozen=True)
class MaskReply:
    """A class for every pixel of a picture."""

    kind: Literal["mask"]
    width: Annotated[int, Rule("Of the upright picture, in pixels.", minimum=1)]
    height: Annotated[int, Rule("Of the upright picture, in pixels.", minimum=1)]
    classes: Annotated[tuple[Share, ...], Rule("Those that are there, largest first; void is left out.")]
    png: Annotated[str, Rule("A PNG of class indices of that size, in base64.")]


OneReply: TypeAlias = CategoryReply | LabelsReply | NumbersReply | PointsReply | BoxesReply | MaskReply


@dataclass(frozen=True)
class Reply:
    """What a model says of one item."""

    answers: Annotated[tuple[OneReply, ...], Rule("One for each output of the model.", items=(1, None))]
    model: Annotated[str, Rule("SHA-256 of its model.json.", pattern="[0-9a-f]{64}")]


@dataclass(frozen=True)
class Replies:
    """What a model says of several items."""

    items: Annotated[tuple[Reply, ...], Rule("In the order in which they were given.")]
    model: Annotated[str, Rule("SHA-256 of its model.json.", pattern="[0-9a-f]{64}")]


def reply_of(predictor: Answering, found: Prediction) -> dict[str, Any]:
    """A prediction as JSON types, as the schema describes them.

    Args:
        predictor: Whose it is; of PyTorch or of ONNX Runtime.
        found: What its `predict` returned.

    Returns:
        `{"answers": [...], "model": "..."}`: a `Reply`.

    Example:
        >>> from types import SimpleNamespace as Fake
        >>> from wiggly.bundle.parts import NumbersOutput
        >>> price = NumbersOutput("numbers", ("price",), (0.0,), (9.0,))
        >>> model = Fake(manifest=Fake(outputs=(price,)), sha256="ab" * 32)
        >>> reply_of(model, Prediction(3.5, None, np.array([3.5])))["answers"]
        [{'kind': 'numbers', 'values': [{'name': 'price', 'value': 3.5}]}]
    """
    outputs = predictor.manifest.outputs
    parts = [found] if len(outputs) == 1 else single(found)
    answers = tuple(REPLIES[output.kind](output, part) for output, part in zip(outputs, parts, strict=True))
    return to_json(Reply(answers, predictor.sha256))


def replies_of(predictor: Answering, found: Sequence[Prediction]) -> dict[str, Any]:
    """Predictions for several items as JSON types.

    Args:
        predictor: Whose they are.
        found: What its `predict_batch` returned.

    Returns:
        `{"items": [...], "model": "..."}`: a `Replies`.
    """
    return {"items": [reply_of(predictor, one) for one in found], "model": predictor.sha256}


def single(found: Prediction) -> list[Prediction]:
    """The predictions of which one for several targets was put together.

    Example:
        >>> [one.decoded for one in single(Prediction(["cat", 3.5], (0, 3.5), ([1.0], [3.5])))]
        ['cat', 3.5]
    """
    return [Prediction(*parts) for parts in zip(*found, strict=True)]


def is_unsure(output: Output, probabilities: Any) -> bool:
    """Whether the likeliest class of a category is too unlikely to rely on.

    Args:
        output: Says from which probability on an answer counts.
        probabilities: `(c,)`, calibrated.
    """
    unsure = getattr(output, "unsure", None)
    return unsure is not None and not float(np.max(np.asarray(probabilities))) >= unsure.threshold


def replies_schema() -> dict[str, Any]:
    """The JSON Schema of what is answered, as committed in `replies.schema.json`.

    Example:
        >>> sorted(replies_schema()["$defs"])[:3]
        ['BoxesReply', 'CategoryReply', 'Chance']
    """
    schema = schema_of(Replies)
    return {"$schema": schema.pop("$schema"), "$id": REPLIES_ID, **schema}


# ---- one function for each kind of output ----


def _chances(output: Any, found: Prediction) -> tuple[Chance, ...]:
    probabilities: npt.NDArray[Any] = np.asarray(found.probs, dtype=np.float64)
    best = np.argsort(-probabilities, kind="stable").tolist()
    return tuple(
        Chance(output.vocabulary[i], round(probabilities[i].item(), PROBABILITY_DIGITS)) for i in best
    )


def _category(output: Any, found: Prediction) -> CategoryReply:
    chances, unsure = _chances(output, found), is_unsure(output, found.probs)
    index = int(found.index)
    confidence = round(float(found.probs[index]), PROBABILITY_DIGITS)
    return CategoryReply("category", output.name, output.vocabulary[index], confidence, unsure, chances)


def _labels(output: Any, found: Prediction) -> LabelsReply:
    return LabelsReply("labels", output.name, tuple(found.decoded), _chances(output, found))


def _numbers(output: Any, found: Prediction) -> NumbersReply:
    values = np.asarray(found.probs, dtype=np.float64).ravel().tolist()
    named = zip(output.names, values, strict=True)
    return NumbersReply(
        "numbers", tuple(NamedNumber(name, float(f"{v:.{NUMBER_DIGITS}g}")) for name, v in named)
    )


def _points(output: Any, found: Prediction) -> PointsReply:
    pairs = np.asarray(found.decoded, dtype=np.float64).round(PIXEL_DIGITS).tolist()
    return PointsReply("points", tuple((x, y) for x, y in pairs))


def _boxes(output: Any, found: Prediction) -> BoxesReply:
    boxes: list[FoundBox] = []
    for one in found.decoded:
        x1, y1, x2, y2 = (round(float(side), PIXEL_DIGITS) for side in one.box)
        boxes.append(FoundBox(one.label, round(float(one.score), PROBABILITY_DIGITS), (x1, y1, x2, y2)))
    return BoxesReply("boxes", tuple(boxes))


def _mask(output: Any, found: Prediction) -> MaskReply:
    indices: npt.NDArray[Any] = np.asarray(found.decoded)
    counts = np.bincount(indices.ravel(), minlength=len(output.vocabulary))
    kept = [k for k in np.argsort(-counts, kind="stable").tolist() if counts[k] and k != output.void]
    classes = [
        Share(output.vocabulary[k], round(float(counts[k] / indices.size), PROBABILITY_DIGITS))
        for k in kept
        if k < len(output.vocabulary)
    ]
    buffer, wide = io.BytesIO(), indices.max(initial=0) > 255
    Image.fromarray(indices.astype(np.uint16 if wide else np.uint8)).save(buffer, "PNG")
    height, width = indices.shape
    return MaskReply("mask", width, height, tuple(classes), base64.b64encode(buffer.getvalue()).decode())


REPLIES: dict[str, Callable[[Any, Prediction], OneReply]] = {
    "category": _category,
    "labels": _labels,
    "numbers": _numbers,
    "points": _points,
    "boxes": _boxes,
    "mask": _mask,
}


if __name__ == "__main__":
    place = Path(__file__).with_name("replies.schema.json")
    place.write_text(json.dumps(replies_schema(), indent=1) + "\n", encoding="utf-8")
