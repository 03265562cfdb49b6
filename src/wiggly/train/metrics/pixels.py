"""Metrics of masks over the whole set: overlap of predicted and true regions, class by class.

In: scores `(n, c, h, w)` and masks `(n, h, w)`, batch by batch. Out: one number. Only `c × c` counts of
pixels are kept, however many masks there are. Read next: `core.py`, the protocol.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.train.losses.core import CrossEntropyLossFlat
from wiggly.train.losses.pixels import CombinedLoss, DiceLoss
from wiggly.train.metrics.core import Metric, PixelShare, at_least_two

__all__ = [
    "Dice",
    "DiceMulti",
    "JaccardCoeff",
    "JaccardCoeffMulti",
    "PixelMetric",
    "count_pixels",
    "leave_out",
    "overlaps",
]


def count_pixels(pred: Tensor, target: Tensor, n_classes: int, ignore: int | None = None) -> Tensor:
    """How many pixels of each class are taken for each.

    Args:
        pred: Predicted classes, any shape.
        target: True classes, the same shape.
        n_classes: Number of classes c.
        ignore: Pixels of this class in the target do not count.

    Returns:
        Counts `(c, c)`, int64: rows the true class, columns the predicted one.

    Raises:
        ArgumentError: Shapes differ, or a class is out of range.

    Example:
        >>> count_pixels(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 255]]), 2, ignore=255)
        tensor([[1, 1],
                [0, 0]])
    """
    if pred.shape != target.shape:
        raise ArgumentError(
            "predicted and true masks must have one shape",
            f"they are {tuple(pred.shape)} and {tuple(target.shape)}",
            "The model must output (n, classes, h, w) for masks (n, h, w); set the metric's `axis`.",
        )
    pred, target = pred.reshape(-1).long(), target.reshape(-1).long()
    if ignore is not None:
        counted = target != ignore
        pred, target = pred[counted], target[counted]
    counts = torch.bincount((target * n_classes + pred).clamp(min=0), minlength=n_classes**2)
    if target.numel() and (len(counts) > n_classes**2 or int(target.min()) < 0):
        wrong = int(target.min()) if int(target.min()) < 0 else int(target.max())
        raise ArgumentError(
            f"the classes of a mask must be from 0 to {n_classes - 1}, as the model has {n_classes} outputs",
            f"this batch has {wrong}",
            "Pass `ignore` for an index that means no label, or a larger `n_out`.",
        )
    return counts.reshape(n_classes, n_classes)


def overlaps(counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels of each class that are right, that are it, and that are said to be it, as float64 `(c,)`."""
    counts = counts.double()
    return counts.diagonal(), counts.sum(1), counts.sum(0)


class PixelMetric(Metric):
    """A metric computed from how many pixels of each class are taken for each, over the whole set.

    Args:
        axis: Axis of the classes in the output. A single score there is that of class 1 of two.
        ignore: Pixels of this class in the mask do not count, nor does the class; None counts all.
    """

    def __init__(self, axis: int = 1, ignore: int | None = None) -> None:
        self.axis, self.ignore = axis, ignore
        self.reset()

    def reset(self) -> None:
        self._counts: Tensor | None = None

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        scores = at_least_two(pred.detach(), self.axis)
        counts = count_pixels(scores.argmax(self.axis), targets[0], scores.shape[self.axis], self.ignore)
        self._counts = counts if self._counts is None else self._counts + counts

    def value(self) -> float:
        if self._counts is None:
            return float("nan")
        counted = [k for k in range(len(self._counts)) if k != self.ignore]
        return self.summed_up(self.per_class(self._counts)[counted])

    @abstractmethod
    def per_class(self, counts: Tensor) -> Tensor:
        """Score of each class, `(c,)`; NaN for one that is neither there nor predicted."""

    def summed_up(self, scores: Tensor) -> float:
        """The mean over the classes that are there or predicted."""
        return float(scores.nanmean())


class DiceMulti(PixelMetric):
    """Dice coefficient, `2 |A ∩ B| / (|A| + |B|)`, of each class, averaged; the same as a macro F1 of pixels.

    Args:
        axis: Axis of the classes in the output.
        ignore: Pixels of this class in the mask do not count, nor does the class; None counts all.

    Example:
        >>> metric = DiceMulti()
        >>> scores = torch.eye(2)[torch.tensor([[[0, 1, 1]]])].movedim(-1, 1)
        >>> metric.accumulate(scores, (torch.tensor([[[0, 1, 0]]]),))
        >>> round(metric.value(), 4)
        0.6667
    """

    name = "dice_multi"

    def per_class(self, counts: Tensor) -> Tensor:
        both, true, said = overlaps(counts)
        return 2 * both / (true + said)


class JaccardCoeffMulti(PixelMetric):
    """Intersection over union, `|A ∩ B| / |A ∪ B|`, of each class, averaged: mean IoU.

    Args:
        axis: Axis of the classes in the output.
        ignore: Pixels of this class in the mask do not count, nor does the class; None counts all.
    """

    name = "jaccard_coeff_multi"

    def per_class(self, counts: Tensor) -> Tensor:
        both, true, said = overlaps(counts)
        return both / (true + said - both)


class _OfForeground:
    """The score of class 1 of two."""

    def summed_up(self, scores: Tensor) -> float:
        """The foreground's score, 0 if it is neither there nor predicted.

        Raises:
            ArgumentError: There are not two classes.
        """
        if len(scores) != 2:
            raise ArgumentError(
                "this metric is of a foreground and a background",
                f"{len(scores)} classes count here",
                "Use DiceMulti or JaccardCoeffMulti.",
            )
        return float(scores[1].nan_to_num())


class Dice(_OfForeground, DiceMulti):
    """Dice coefficient of the foreground, class 1 of two; the same as the F1 of its pixels.

    Args:
        axis: Axis of the classes in the output.
        ignore: Pixels of this class in the mask do not count; None counts all.
    """

    name = "dice"


class JaccardCoeff(_OfForeground, JaccardCoeffMulti):
    """Intersection over union of the foreground, class 1 of two.

    Args:
        axis: Axis of the classes in the output.
        ignore: Pixels of this class in the mask do not count; None counts all.
    """

    name = "jaccard_coeff"


def leave_out(void: int | None, parts: Iterable[Any]) -> None:
    """Tell losses and metrics of masks which class means "no label", where they were not told.

    Args:
        void: Its index; None if there is none.
        parts: Losses and metrics, changed in place; others stay as they are.
    """
    if void is None:
        return
    for part in parts:
        if isinstance(part, CombinedLoss):
            leave_out(void, part.losses)
        elif isinstance(part, (CrossEntropyLossFlat, DiceLoss)):
            if part.ignore_index is None or part.ignore_index < 0:
                part.ignore_index = void
        elif isinstance(part, (PixelMetric, PixelShare)) and part.ignore is None:
            part.ignore = void
