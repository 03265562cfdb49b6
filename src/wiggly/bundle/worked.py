"""Worked examples, whatever runs them: what is recorded, and how far an answer is from it. Needs no torch.

In: a manifest with its files, and a function that predicts. Out: differences and whether labels are the same.
Read next: `proof.py`, which runs them in every runtime at hand.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.bundle.manifest import Manifest
from wiggly.bundle.parts import (
    BoxExample,
    Example,
    LabelsExample,
    MaskExample,
    NumbersExample,
    Output,
    PointsExample,
    SeveralExample,
    WorkedOut,
)
from wiggly.bundle.replies import is_unsure, single
from wiggly.errors import BundleError
from wiggly.records import Detection, Prediction

__all__ = ["TOLERANCE", "Compared", "Worked", "check_examples", "compare_examples", "worked_examples"]

#: Largest difference of a probability or score, of a number as a share of its range in training, of a place
#: as a share of 100 pixels; and of the share of a mask's pixels, of which some lie between two classes.
TOLERANCE, MASK_TOLERANCE = 1e-4, 1e-3

#: A box may come out so far away from the recorded one, in pixels or as a share of the larger side.
BOX_PIXELS, BOX_SHARE = 1.0, 0.01

Predict = Callable[[Any], Prediction]


@dataclass(frozen=True)
class Worked:
    """An input and what the model must answer.

    Attributes:
        name: File name in the bundle.
        content: The bytes of the file, a picture or a row as JSON: `predictor.predict(example.content)`.
        answer: What was recorded for exactly these bytes, with numpy arrays.
        actual: What the data says, None if unknown.
    """

    name: str
    content: bytes
    answer: Prediction
    actual: Any


@dataclass(frozen=True)
class Compared:
    """One worked example, run.

    Attributes:
        name: File name in the bundle.
        difference: From what is recorded, see `TOLERANCE`; infinite or NaN where it is quite different.
        same: Whether labels are the recorded ones.
        seconds: How long it took, reading included.
        allowed: What the difference may be.
    """

    name: str
    difference: float
    same: bool
    seconds: float
    allowed: float

    @property
    def fits(self) -> bool:
        """Whether it came out as recorded."""
        return self.same and self.difference <= self.allowed  # NaN does not


def worked_examples(manifest: Manifest, files: Mapping[str, bytes]) -> list[Worked]:
    """The worked examples of a bundle.

    Args:
        manifest: Its model.json.
        files: Its other files.

    Raises:
        BundleError: The mask of one cannot be read.
    """
    return [
        Worked(
            example.file,
            files[example.file],
            _recorded(example, manifest.outputs, files),
            getattr(example, "actual", None),
        )
        for example in manifest.examples
    ]


def compare_examples(
    manifest: Manifest, files: Mapping[str, bytes], predict: Predict, tolerance: float | None = None
) -> list[Compared]:
    """Run the worked examples.

    Args:
        manifest: Of the bundle.
        files: Of the bundle.
        predict: From the bytes of an example's file to a prediction.
        tolerance: Largest difference allowed; None: see `TOLERANCE`.
    """
    usual = MASK_TOLERANCE if manifest.outputs[0].kind == "mask" else TOLERANCE
    allowed = usual if tolerance is None else tolerance
    found: list[Compared] = []
    for example in worked_examples(manifest, files):
        started = time.perf_counter()
        answer = predict(example.content)
        seconds = time.perf_counter() - started
        difference, same = _apart(manifest.outputs, example.answer, answer, allowed)
        found.append(Compared(example.name, difference, same, seconds, allowed))
    return found


def check_examples(
    manifest: Manifest, files: Mapping[str, bytes], predict: Predict, tolerance: float | None = None
) -> float:
    """Run the worked examples; see `SessionPredictor.verify`.

    Raises:
        BundleError: One does not come out as recorded.
    """
    worst = 0.0
    for one in compare_examples(manifest, files, predict, tolerance):
        if not one.fits:
            raise BundleError(
                f"worked examples must come out within {one.allowed:g} of what was recorded, with its labels",
                f"'{one.name}' {described(one)}",
                "This machine computes something else: use the versions the model was made with "
                f"({', '.join(f'{k} {v}' for k, v in manifest.versions.items()) or 'not recorded'}), or "
                "export it again.",
            )
        worst = max(worst, one.difference)
    return worst


def described(one: Compared) -> str:
    """What is wrong with an example, in words that follow its name."""
    return f"is {one.difference:.2g} off" if one.same else "gives another label"


# ---- what is recorded ----


def _recorded(example: WorkedOut, outputs: Sequence[Output], files: Mapping[str, bytes]) -> Prediction:
    if isinstance(example, SeveralExample):
        parts = zip(example.answers, outputs, strict=True)
        three = [_recorded(answer, [output], files) for answer, output in parts]
        decoded, index, probs = zip(*three, strict=True)
        made = Prediction(list(decoded), cast("Any", index), cast("Any", probs))
        return made.marked(any(one.unsure for one in three))
    output: Any = outputs[0]
    if isinstance(example, Example):
        probs = np.array(example.probabilities, np.float32)
        known = [(type(label), label) for label in output.vocabulary]
        index = known.index((type(example.label), example.label))
        found = Prediction(example.label, cast("Any", np.int64(index)), cast("Any", probs))
        return found.marked(is_unsure(output, probs))
    return RECORDED[type(example)](example, output, files)


def _labels(example: LabelsExample, output: Any, files: Mapping[str, bytes]) -> Prediction:
    probs: Any = np.array(example.probabilities, np.float32)
    which = probs > np.float32(output.threshold)
    return Prediction(
        [v for v, on in zip(output.vocabulary, which.tolist(), strict=True) if on], which, probs
    )


def _numbers(example: NumbersExample, output: Any, files: Mapping[str, bytes]) -> Prediction:
    values: Any = np.array(example.values, np.float32)
    numbers = values.tolist()
    return Prediction(numbers[0] if len(numbers) == 1 else tuple(numbers), values, values)


def _points(example: PointsExample, output: Any, files: Mapping[str, bytes]) -> Prediction:
    nothing: Any = np.empty(0, np.float32)  # how they were encoded is not written down
    return Prediction(np.array(example.points, np.float64), nothing, nothing)


def _boxes(example: BoxExample, output: Any, files: Mapping[str, bytes]) -> Prediction:
    found = [Detection(box.label, box.score, box.box) for box in example.boxes]
    codes: Any = np.array([output.vocabulary.index(box.label) for box in found], np.int64)
    scores: Any = np.array([box.score for box in found], np.float32)
    return Prediction(found, codes, scores)


def _mask(example: MaskExample, output: Any, files: Mapping[str, bytes]) -> Prediction:
    try:
        indices = np.asarray(Image.open(io.BytesIO(files[example.mask])))
        mask = Image.fromarray(indices.astype(np.uint8 if indices.max(initial=0) < 256 else np.int32))
    except (OSError, ValueError, TypeError, SyntaxError, Image.DecompressionBombError) as error:
        raise BundleError(
            "the mask of a worked example must be a PNG of class indices",
            f"'{example.mask}' cannot be read: {error}",
            "Export the model again.",
        ) from error
    return Prediction(mask, cast("Any", indices), cast("Any", np.empty(0, np.float32)))


RECORDED: dict[type[Any], Callable[[Any, Any, Mapping[str, bytes]], Prediction]] = {
    LabelsExample: _labels,
    NumbersExample: _numbers,
    PointsExample: _points,
    BoxExample: _boxes,
    MaskExample: _mask,
}


# ---- how far apart ----


def _apart(
    outputs: Sequence[Output], wanted: Prediction, found: Prediction, allowed: float
) -> tuple[float, bool]:
    """The largest difference, and whether the labels are the same."""
    if len(outputs) > 1:
        three = zip(outputs, single(wanted), single(found), strict=True)
        parts = [_apart([output], first, second, allowed) for output, first, second in three]
        return float(np.max([difference for difference, _ in parts])), all(same for _, same in parts)
    output: Any = outputs[0]
    if output.kind in ("category", "labels"):
        return _largest(wanted.probs, found.probs), wanted.decoded == found.decoded
    if output.kind == "numbers":
        spread = np.subtract(output.high, output.low)
        return _largest(wanted.probs, found.probs, np.where(spread > 0, spread, 1.0)), True
    if output.kind == "points":
        reach = max(100.0, float(np.abs(np.asarray(wanted.decoded)).max()))
        return _largest(wanted.decoded, found.decoded, reach), True
    if output.kind == "boxes":
        return _boxes_apart(wanted.decoded, found.decoded, output.min_score + allowed)
    first, second = np.asarray(wanted.decoded), np.asarray(found.decoded)
    share = float((first != second).mean()) if first.shape == second.shape else float("inf")
    return share, True


def _largest(wanted: Any, found: Any, unit: Any = 1.0) -> float:
    first, second = (np.asarray(part, dtype=np.float64).ravel() for part in (wanted, found))
    if first.shape != second.shape:
        return float("inf")
    return float((np.abs(second - first) / np.broadcast_to(unit, first.shape)).max(initial=0))


def _boxes_apart(wanted: Sequence[Detection], found: Sequence[Detection], sure: float) -> tuple[float, bool]:
    """The largest difference of the scores of boxes in the same place, and whether each has its like; one
    that is hardly sure may lack it."""
    worst = 0.0
    for given, others in ((wanted, found), (found, wanted)):
        for box in given:
            there = [o for o in others if o.label == box.label and _near(o.box, box.box)]
            if there:
                worst = max(worst, min(abs(o.score - box.score) for o in there))
            elif not box.score < sure:
                return float("inf"), False
    return worst, True


def _near(first: Sequence[float], second: Sequence[float]) -> bool:
    a: npt.NDArray[np.float64] = np.asarray(first, np.float64)
    b: npt.NDArray[np.float64] = np.asarray(second, np.float64)
    return bool(np.abs(a - b).max() <= max(BOX_PIXELS, BOX_SHARE * float(np.abs(b).max())))
