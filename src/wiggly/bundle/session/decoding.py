"""What a graph gives, as a person reads it: labels, numbers, places in the picture as it was given.

In: arrays by the names of docs/format.md, for one item. Out: a `Prediction` with arrays in the place of
tensors. Needs no torch. Read next: `predictor.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.bundle.parts import Output
from wiggly.bundle.replies import is_unsure
from wiggly.bundle.session.pictures import Shown
from wiggly.records import Detection, Prediction
from wiggly.vision.back import mask_in_picture, points_in_picture

__all__ = ["decode", "names_of", "together"]

Arrays = Mapping[str, npt.NDArray[Any]]

CORNERS = [0, 1, 2, 1, 2, 3, 0, 3]  # the four corners of x1, y1, x2, y2


def names_of(outputs: Sequence[Output]) -> tuple[str, ...]:
    """How the graph calls what it gives for these outputs."""
    names = [NAMES[output.kind] for output in outputs]
    if len(outputs) == 1:
        return names[0]
    return tuple(f"{name}_{i}" for i, group in enumerate(names) for name in group)


def decode(outputs: Sequence[Output], arrays: Arrays, shown: Shown | None) -> Prediction:
    """The prediction for one item.

    Args:
        outputs: What `model.json` says.
        arrays: What the graph gave for it, without the batch axis.
        shown: The picture, for answers that lie on it.
    """
    if len(outputs) == 1:
        return DECODERS[outputs[0].kind](outputs[0], arrays, shown)
    parts: list[Prediction] = []
    for i, output in enumerate(outputs):
        own = {name: arrays[f"{name}_{i}"] for name in NAMES[output.kind]}
        parts.append(DECODERS[output.kind](output, own, shown))
    return together(parts)


def together(parts: Sequence[Prediction]) -> Prediction:
    """Several predictions for one item as one: a list and two tuples."""
    decoded, index, probs = zip(*parts, strict=True)
    made = Prediction(list(decoded), cast("Any", index), cast("Any", probs))
    return made.marked(any(part.unsure for part in parts))


def _category(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    probs: Any = arrays["probabilities"]
    index: Any = probs.argmax()
    return Prediction(output.vocabulary[int(index)], index, probs).marked(is_unsure(output, probs))


def _labels(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    probs: Any = arrays["probabilities"]
    which = probs > np.float32(output.threshold)
    named = [label for label, on in zip(output.vocabulary, which.tolist(), strict=True) if on]
    return Prediction(named, which, probs)


def _numbers(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    values: Any = arrays["values"].reshape(-1)
    numbers = values.tolist()
    return Prediction(numbers[0] if len(numbers) == 1 else tuple(numbers), values, values)


def _points(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    assert shown is not None
    points: Any = arrays["points"].reshape(-1, 2)
    return Prediction(points_in_picture(points, shown.placement), points, points.reshape(-1))


def _boxes(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    assert shown is not None
    boxes, scores, classes = (arrays[name] for name in NAMES["boxes"])
    unit = boxes.reshape(-1, 4)[:, CORNERS].reshape(-1, 2)
    corners = points_in_picture(unit, shown.placement).reshape(-1, 4, 2)
    around = np.concatenate([corners.min(1), corners.max(1)], axis=1) if len(corners) else np.empty((0, 4))
    around = np.clip(around, 0, (shown.width, shown.height, shown.width, shown.height))
    rows = zip(around.tolist(), classes.tolist(), scores.tolist(), strict=True)
    found = [Detection(output.vocabulary[k], s, (box[0], box[1], box[2], box[3])) for box, k, s in rows]
    return Prediction(found, cast("Any", classes), cast("Any", scores))


def _mask(output: Any, arrays: Arrays, shown: Shown | None) -> Prediction:
    assert shown is not None
    seen: Any = arrays["classes"]
    indices = mask_in_picture(seen, shown.placement, (shown.height, shown.width), output.void)
    mask = Image.fromarray(indices)
    return Prediction(mask, seen, cast("Any", np.empty(0, np.float32)))


NAMES: dict[str, tuple[str, ...]] = {
    "category": ("probabilities",),
    "labels": ("probabilities",),
    "numbers": ("values",),
    "points": ("points",),
    "boxes": ("boxes", "scores", "classes"),
    "mask": ("classes",),
}

DECODERS: dict[str, Callable[[Any, Arrays, Shown | None], Prediction]] = {
    "category": _category,
    "labels": _labels,
    "numbers": _numbers,
    "points": _points,
    "boxes": _boxes,
    "mask": _mask,
}
