"""Bundles of detectors: what is written down for one, and the predictor that finds boxes with it.

In: a trained detection learner, or a bundle of one. Out: the parts of its `Manifest`; `BoxPredictor`. Read
next: `export.py` and `predictor.py`, which do the same for classifiers and call this.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import nn

from wiggly.bundle.manifest import BoxesOutput, BoxExample, FoundBox, ImageInput
from wiggly.bundle.predictor import Predictor, read_preprocessing, reading
from wiggly.data.transform import Transform
from wiggly.errors import BundleError
from wiggly.records import Prediction
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.detection.boxes import Detection
from wiggly.vision.detection.showing import detections

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["BoxPredictor", "WorkedBoxes", "describe_boxes", "work_out_boxes"]

#: A box may come out this share of the picture's larger side away from the recorded one.
BOX_TOLERANCE = 0.01


class WorkedBoxes:
    """An input and the boxes the model must find in it.

    Args:
        name: File name in the bundle.
        content: The bytes of the image file: `predictor.predict(example.content)`.
        boxes: What the learner found in exactly these bytes, best first.
    """

    def __init__(self, name: str, content: bytes, boxes: Sequence[Detection]) -> None:
        self.name, self.content, self.boxes = name, content, list(boxes)


class BoxPredictor(Predictor):
    """A trained detector with everything that belongs to it; `load_bundle` makes it."""

    @property
    def min_score(self) -> float:
        """Boxes with a lower score are left out."""
        return _output(self).min_score

    def predict(self, item: Any) -> Prediction:
        """Find things in one picture.

        Args:
            item: As for `Predictor.predict`.

        Returns:
            `(found, labels, scores)`: a list of `Detection`, best first, their boxes in pixels of the picture
            as it was given; for each the number of its label in `vocab`, and its score.

        Raises:
            ItemError: It cannot be read as an image.
        """
        return find_boxes(self.model, item, self._block, self._transforms, self.min_score, self.vocab)

    def predict_batch(self, items: Iterable[Any], bs: int = 32) -> list[Prediction]:
        """Find things in many pictures, one after the other.

        Args:
            items: As for `predict`.
            bs: Has no meaning here: pictures may differ in size.
        """
        return [self.predict(item) for item in items]

    @property
    def worked_boxes(self) -> list[WorkedBoxes]:
        """The worked examples that came with the model."""
        return [
            WorkedBoxes(example.file, self._files[example.file], [_detection(box) for box in example.boxes])
            for example in self.manifest.examples
            if isinstance(example, BoxExample)
        ]

    def verify(self, tolerance: float = 1e-3) -> float:
        """Run the worked examples and compare with what the learner found.

        Args:
            tolerance: Largest difference of a score allowed; boxes that close to `min_score` may be missing.

        Returns:
            The largest difference seen; 0.0 without examples.

        Raises:
            BundleError: A box is missing or elsewhere, or a score differs by more.
        """
        worst = 0.0
        for example in self.worked_boxes:
            found = self.predict(example.content).decoded
            difference = boxes_apart(example.boxes, found, self.min_score + tolerance)
            if not difference <= tolerance:
                raise BundleError(
                    f"worked examples must come out within {tolerance:g} of the recorded scores",
                    f"'{example.name}' does not: " + _unlike(difference),
                    "This machine computes something else: use the versions the model was made with "
                    "(`predictor.manifest.versions`), or export it again.",
                )
            worst = max(worst, difference)
        return worst


def find_boxes(
    model: nn.Module,
    item: Any,
    block: ImageBlock,
    transforms: list[Transform],
    min_score: float,
    vocab: Sequence[Any],
) -> Prediction:
    """One picture through preprocessing, network and decoding."""
    picture = reading([item], block, transforms).sample(0, Random(0))[0]
    like = next(model.parameters())
    with torch.inference_mode():
        image = block.encode(picture)[None].to(like.device).contiguous(memory_format=torch.channels_last)
        boxes, labels, scores = (part[0].cpu() for part in model(image)[:3])
    kept = (scores >= min_score) & (scores > 0)
    found = detections(boxes[kept], labels[kept], scores[kept], picture, vocab)
    return Prediction(found, labels[kept], scores[kept])


def boxes_apart(wanted: Sequence[Detection], found: Sequence[Detection], sure: float) -> float:
    """The largest difference of the scores of boxes that are the same; infinite if one has no counterpart.

    Args:
        wanted: Recorded.
        found: Computed.
        sure: Boxes with a lower score may lack a counterpart.
    """
    worst = 0.0
    for given, others in ((wanted, found), (found, wanted)):
        for box in given:
            near = [
                abs(o.score - box.score) for o in others if o.label == box.label and _same(o.box, box.box)
            ]
            if near:
                worst = max(worst, min(near))
            elif not box.score < sure:  # so that NaN does not pass
                return float("inf")
    return worst


def _same(first: tuple[float, ...], second: tuple[float, ...]) -> bool:
    a, b = np.asarray(first), np.asarray(second)
    return bool(np.abs(a - b).max() <= max(1.0, BOX_TOLERANCE * float(np.abs(b).max())))


def _unlike(difference: float) -> str:
    return (
        "a box is missing or elsewhere" if difference == float("inf") else f"a score is {difference:.2g} off"
    )


def _output(predictor: Predictor) -> BoxesOutput:
    output = predictor.manifest.outputs[0]
    assert isinstance(output, BoxesOutput)  # `load_bundle` chose the class by it
    return output


def _detection(box: FoundBox) -> Detection:
    return Detection(box.label, box.score, box.box)


# ---- writing ----


def describe_boxes(learn: Learner) -> BoxesOutput:
    """The vocabulary and the least score of a detection learner."""
    return BoxesOutput("boxes", tuple(learn.dls.vocab), float(cast("Any", learn.loss_func).min_score))


def work_out_boxes(
    learn: Learner,
    model: nn.Module,
    image: ImageInput,
    output: BoxesOutput,
    pictures: Mapping[str, bytes],
    tolerance: float,
) -> list[BoxExample]:
    """What the learner's own network finds in each example file, read the way the bundle's reader will.

    Args:
        learn: The learner.
        model: Its network, as it will be written.
        image: How the reader prepares pictures.
        output: What is said about the boxes.
        pictures: Example files by name.
        tolerance: By how much scores may differ from those of `learn.predict`.

    Raises:
        BundleError: The learner finds something else.
    """
    block, transforms = read_preprocessing(image)
    worked: list[BoxExample] = []
    for name, content in pictures.items():
        found = find_boxes(model, content, block, transforms, output.min_score, output.vocabulary).decoded
        if any(not np.isfinite([box.score, *box.box]).all() for box in found):
            raise _not_alike("the network answers NaN: training has diverged")
        apart = boxes_apart(learn.predict(content).decoded, found, output.min_score + tolerance)
        if not apart <= tolerance:
            raise _not_alike(_unlike(apart))
        worked.append(BoxExample("boxes", name, tuple(_found_box(box) for box in found)))
    return worked


def _not_alike(received: str) -> BundleError:
    return BundleError(
        "a bundle must find what its learner finds",
        received,
        "Load an earlier state with `learn.load`, or train again with a smaller rate.",
    )


def _found_box(box: Detection) -> FoundBox:
    x1, y1, x2, y2 = (round(side, 4) for side in box.box)
    return FoundBox(box.label, round(box.score, 8), (x1, y1, x2, y2))
