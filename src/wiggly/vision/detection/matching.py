"""Which predicted boxes are right: COCO's rules, picture by picture, and what follows for a whole set.

In: predicted and true boxes of each picture. Out: average precision as COCO counts it, precision, recall.
Kept per prediction are a score and ten bits, never a picture, so memory stays flat. Arrays only. Read next:
`metrics.py`.

Source: cocodataset.org, "Detection evaluation": ten thresholds of overlap from 0.50 to 0.95, precision read
off at 101 points of recall, the mean over classes that have true boxes. The tests hold this against
pycocotools.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["BoxMatches", "box_overlaps", "match_boxes"]

Floats = npt.NDArray[np.float64]
Bits = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]

OVERLAPS = np.linspace(0.5, 0.95, 10)
RECALLS = np.linspace(0.0, 1.0, 101)
MOST_PER_CLASS = 100  # predictions of one class in one picture that count
AT_50 = 0  # position of the threshold 0.50


def box_overlaps(first: Floats, second: Floats) -> Floats:
    """Intersection over union of all pairs.

    Args:
        first: `(a, 4)`: x1, y1, x2, y2, in any unit.
        second: `(b, 4)`.

    Returns:
        `(a, b)`, in [0, 1].

    Example:
        >>> box_overlaps(np.array([[0.0, 0, 2, 2]]), np.array([[0.0, 0, 2, 1], [5, 5, 6, 6]]))
        array([[0.5, 0. ]])
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = (first[:, 2:] - first[:, :2]).prod(1)[:, None] + (second[:, 2:] - second[:, :2]).prod(1)[None]
    whole = areas - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def match_boxes(overlaps: Floats) -> Indices:
    """Gives every true box to the best-scored prediction that covers it, at each of the ten thresholds.

    Args:
        overlaps: `(predictions, true boxes)` of one class in one picture, best score first.

    Returns:
        `(10, predictions)`: the true box that a prediction found, -1 for none.

    Example:
        >>> match_boxes(np.array([[0.6], [0.9]]))[:, 0].tolist()[:4]
        [0, 0, 0, -1]
    """
    n, n_true = overlaps.shape
    found = np.full((len(OVERLAPS), n), -1)
    if n_true == 0:
        return found
    free = np.ones((len(OVERLAPS), n_true), dtype=bool)
    thresholds = np.arange(len(OVERLAPS))
    for row in range(n):
        left = np.where(free, overlaps[row], -1.0)
        # Of equal overlaps pycocotools takes the last.
        best = n_true - 1 - left[:, ::-1].argmax(1)
        taken = left[thresholds, best] >= OVERLAPS
        found[taken, row] = best[taken]
        free[thresholds[taken], best[taken]] = False
    return found


@dataclass
class BoxMatches:
    """Everything a set of pictures says about a detector.

    Example:
        >>> matches, box = BoxMatches(), np.array([[0.0, 0, 4, 4]])
        >>> matches.add(box, np.array([1]), np.array([0.9]), box, np.array([1]))
        >>> matches.average_precision(), matches.precision_and_recall(0.5)
        (1.0, (1.0, 1.0))
    """

    scores: dict[int, list[Floats]] = field(default_factory=lambda: dict[int, list[Floats]]())
    right: dict[int, list[Bits]] = field(default_factory=lambda: dict[int, list[Bits]]())
    n_true: dict[int, int] = field(default_factory=lambda: dict[int, int]())

    def add(
        self,
        boxes: Floats,
        labels: npt.NDArray[np.int64],
        scores: Floats,
        true_boxes: Floats,
        true_labels: npt.NDArray[np.int64],
    ) -> None:
        """Takes in one picture.

        Args:
            boxes: Predicted, `(p, 4)`.
            labels: Their classes, `(p,)`.
            scores: `(p,)`.
            true_boxes: `(t, 4)`, in the same unit.
            true_labels: `(t,)`.
        """
        for label in sorted({*labels.tolist(), *true_labels.tolist()}):
            own = labels == label
            order = np.argsort(-scores[own], kind="stable")[:MOST_PER_CLASS]
            chosen, wanted = boxes[own][order], true_boxes[true_labels == label]
            self.scores.setdefault(label, []).append(scores[own][order])
            self.right.setdefault(label, []).append(match_boxes(box_overlaps(chosen, wanted)) >= 0)
            self.n_true[label] = self.n_true.get(label, 0) + len(wanted)

    def average_precisions(self) -> dict[int, Floats]:
        """For each class with true boxes its average precision at each of the ten thresholds."""
        return {label: self._curve_means(label) for label, n in sorted(self.n_true.items()) if n}

    def average_precision(self, overlap: float | None = None) -> float:
        """The mean over classes.

        Args:
            overlap: At one of the thresholds, 0.5, 0.55, ... 0.95; None takes the mean over all ten.

        Returns:
            In [0, 1]; not a number if there are no true boxes.
        """
        found = list(self.average_precisions().values())
        if not found:
            return float("nan")
        table = np.stack(found)
        if overlap is not None:
            table = table[:, int(np.abs(OVERLAPS - overlap).argmin())]
        return float(table.mean())

    def precision_and_recall(self, least_score: float, label: int | None = None) -> tuple[float, float]:
        """The share of predictions that are right, and of true boxes that are found, at an overlap of 0.5.

        Args:
            least_score: Predictions below it do not count.
            label: Of this class alone; None counts all together.

        Returns:
            Precision and recall in [0, 1]; 0 where nothing was predicted, or nothing is there.
        """
        said = right = there = 0
        for each in self.n_true if label is None else [label]:
            kept = np.concatenate(self.scores[each]) >= least_score
            said += int(kept.sum())
            right += int((np.concatenate(self.right[each], axis=1)[AT_50] & kept).sum())
            there += self.n_true[each]
        return right / max(said, 1), right / max(there, 1)

    def _curve_means(self, label: int) -> Floats:
        """Area under the curve of precision over recall, at 101 points of recall, per threshold."""
        scores = np.concatenate(self.scores[label])
        order = np.argsort(-scores, kind="stable")
        right = np.concatenate(self.right[label], axis=1)[:, order]
        hits = np.cumsum(right, axis=1, dtype=np.float64)
        recall = hits / self.n_true[label]
        precision = hits / np.arange(1, right.shape[1] + 1)
        # At a recall the best precision of any recall at least as high.
        precision = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
        means = np.zeros(len(OVERLAPS))
        for k in range(len(OVERLAPS)):
            at = np.searchsorted(recall[k], RECALLS, side="left")
            reached = at < right.shape[1]
            means[k] = precision[k][at[reached]].sum() / len(RECALLS)
        return means
