"""Metrics of boxes for the table of a fit: average precision, precision and recall over the whole set.

In: a detector's outputs and the box blocks' targets, batch by batch. Out: columns "AP", "AP50", ... Several
columns share one count of the boxes. Read next: `matching.py`, which does the counting.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.train.metrics.core import Metric
from wiggly.vision.detection.boxes import Numbering
from wiggly.vision.detection.matching import BoxMatches

__all__ = ["BoxMetric", "add_batch", "box_metrics"]

COLUMNS = ("AP", "AP50", "AP75", "precision", "recall")


class BoxMetric(Metric):
    """One number about the boxes of the whole validation set.

    Args:
        name: "AP" (COCO's: the mean over overlaps from 0.50 to 0.95 and over classes), "AP50" or "AP75" (at
            one overlap), "precision" or "recall" (over all classes, at an overlap of 0.5, of boxes with at
            least `min_score`).
        min_score: For precision and recall.
        numbering: How labels count.
        shared: Another column, to count the boxes once for both.

    Raises:
        ArgumentError: The name is not known.
    """

    def __init__(
        self,
        name: str = "AP",
        min_score: float = 0.4,
        numbering: Numbering | None = None,
        shared: BoxMetric | None = None,
    ) -> None:
        if name not in COLUMNS:
            raise ArgumentError(
                f"a metric of boxes must be one of {', '.join(COLUMNS)}", f"got {name!r}", 'Pass "AP50".'
            )
        self.name, self.column, self.min_score = name, name, min_score
        self.numbering = numbering or Numbering()
        self._count = _Count() if shared is None else shared._count
        self._batches = 0

    def reset(self) -> None:
        self._batches = 0
        self._count.start()

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        self._batches += 1
        if self._batches > self._count.batches:  # else another column has counted this batch
            self._count.batches += 1
            add_batch(self._count.matches, pred, targets, self.numbering)

    def value(self) -> float:
        matches = self._count.matches
        if self.column in ("precision", "recall"):
            return matches.precision_and_recall(self.min_score)[self.column == "recall"]
        return matches.average_precision({"AP": None, "AP50": 0.5, "AP75": 0.75}[self.column])


class _Count:
    """The matches that columns share, and how many batches are in them."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        self.matches, self.batches = BoxMatches(), 0


def box_metrics(
    names: Sequence[str], min_score: float = 0.4, numbering: Numbering | None = None
) -> list[Metric]:
    """Several columns over one count of the boxes.

    Args:
        names: See `BoxMetric`, as for `min_score` and `numbering`.

    Example:
        >>> [metric.name for metric in box_metrics(["AP", "AP50"])]
        ['AP', 'AP50']
    """
    made: list[Metric] = []
    first: BoxMetric | None = None
    for name in names:
        metric = BoxMetric(name, min_score, numbering, first)
        first = first or metric
        made.append(metric)
    return made


def add_batch(matches: BoxMatches, pred: Any, targets: tuple[Tensor, ...], numbering: Numbering) -> None:
    """Counts the boxes of a batch.

    Args:
        matches: Where they are counted.
        pred: A detector's output: boxes, labels and scores come first.
        targets: Boxes and labels of the block.
        numbering: How labels count.
    """
    arrays = [cast("Tensor", part).detach().cpu() for part in (*pred[:3], *targets)]
    boxes, labels, scores, true_boxes, true_labels = arrays
    for row in range(len(boxes)):
        said, there = scores[row] > 0, true_labels[row] >= numbering.first
        matches.add(
            boxes[row][said].double().numpy(),
            labels[row][said].numpy(),
            scores[row][said].double().numpy(),
            true_boxes[row][there].double().numpy(),
            true_labels[row][there].numpy(),
        )
