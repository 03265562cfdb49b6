"""Boxes as the answer of a bundle: what a detector finds, and where.

In: a `BoxesOutput`, or a learner of `detection_learner`. Out: lists of `Detection`, best first. Read next:
`runner.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.bundle.answers import Answer
from wiggly.bundle.parts import BoxesOutput, BoxExample, FoundBox
from wiggly.bundle.pictures import check_body
from wiggly.bundle.readers import Reader
from wiggly.records import Prediction
from wiggly.vision.detection.boxes import Detection
from wiggly.vision.detection.found import detections

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["BoxesAnswer", "boxes_apart"]

#: A box may come out this share of the picture's larger side away from the recorded one.
BOX_TOLERANCE = 0.01


class FoundRow(NamedTuple):
    """What the network says of one picture: boxes `(k, 4)` in [-1, 1], labels and scores `(k,)`."""

    boxes: Tensor
    labels: Tensor
    scores: Tensor


class BoxesAnswer(Answer):
    """Any number of boxes: `(found, labels, scores)`: a list of `Detection`, best first, their boxes in
    pixels of the picture as it was given; for each the number of its label in `vocab`, and its score."""

    task = "detection"
    tolerance = 1e-3
    on_picture = True
    remedy = (
        "Train it longer, or raise `learn.loss_func.min_score`: of boxes on one place with one score the "
        "last digit decides which is kept."
    )

    @property
    def min_score(self) -> float:
        """Boxes with a lower score are left out."""
        return cast("BoxesOutput", self.output).min_score

    def rows(self, raw: Any) -> Sequence[FoundRow]:
        return [FoundRow(*parts) for parts in zip(*(part.cpu() for part in raw[:3]), strict=True)]

    def decode(self, row: FoundRow, seen: tuple[Any, ...]) -> Prediction:
        kept = (row.scores >= self.min_score) & (row.scores > 0)
        boxes, labels, scores = (part[kept] for part in row)
        return Prediction(detections(boxes, labels, scores, seen[0], self.vocab), labels, scores)

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        return boxes_apart(wanted.decoded, found.decoded, self.min_score + tolerance)

    def unlike(self, difference: float) -> str:
        apart = difference == float("inf")
        return "lacks a box or has it elsewhere" if apart else f"has a score that is {difference:.2g} off"

    def network(self, config: Mapping[str, Any], reader: Reader, room: int) -> nn.Module:
        from wiggly.vision.detection.models import build_detector

        check_body(config)
        return build_detector(config).to(memory_format=torch.channels_last)

    def recorded(self, example: BoxExample, files: Mapping[str, bytes]) -> Prediction:
        found = [Detection(box.label, box.score, box.box) for box in example.boxes]
        labels = [self.vocab.o2i.get(box.label, -1) for box in found]
        return Prediction(found, torch.tensor(labels), torch.tensor([box.score for box in found]))

    def work_out(self, file: str, found: Prediction, actual: Any) -> tuple[BoxExample, Mapping[str, bytes]]:
        return BoxExample("boxes", file, tuple(_found_box(box) for box in found.decoded)), {}

    def is_finite(self, found: Prediction) -> bool:
        return all(np.isfinite([box.score, *box.box]).all() for box in found.decoded)

    @classmethod
    def describe(cls, learn: Learner, place: int) -> BoxesOutput:
        return BoxesOutput("boxes", tuple(learn.dls.vocab), float(cast("Any", learn.loss_func).min_score))


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


def _found_box(box: Detection) -> FoundBox:
    x1, y1, x2, y2 = (round(side, 4) for side in box.box)
    return FoundBox(box.label, round(box.score, 8), (x1, y1, x2, y2))
