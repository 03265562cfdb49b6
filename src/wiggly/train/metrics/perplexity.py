"""Perplexity: how many equally likely answers a model hesitates between, over the whole set.

In: scores and class numbers, batch by batch. Out: one number. Read next: `core.py`, the protocol.
"""

from __future__ import annotations

import math
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from wiggly.train.metrics.core import Metric

__all__ = ["Perplexity"]


class Perplexity(Metric):
    """`exp` of the mean cross entropy; as many as there are classes for a uniform guess, 1 for a sure and
    right one.

    Every target that counts has the same weight, also where batches have unequally many of them.

    Args:
        axis: Axis of the classes in the output.
        ignore_index: Targets of this value do not count.

    Example:
        >>> import torch
        >>> metric = Perplexity()
        >>> metric.accumulate(torch.zeros(2, 10), (torch.tensor([3, 7]),))
        >>> round(metric.value(), 4)
        10.0
    """

    name = "perplexity"

    def __init__(self, axis: int = -1, ignore_index: int = -100) -> None:
        self.axis, self.ignore_index = axis, ignore_index
        self.reset()

    def reset(self) -> None:
        self._total: Any = 0.0
        self._counted: Any = 0

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        scores, wanted = pred.detach().movedim(self.axis, -1), targets[0].reshape(-1)
        flat = scores.reshape(-1, scores.shape[-1]).float()
        loss = F.cross_entropy(flat, wanted, ignore_index=self.ignore_index, reduction="sum")
        self._total, self._counted = self._total + loss, self._counted + (wanted != self.ignore_index).sum()

    def value(self) -> float:
        mean = float(self._total) / max(int(self._counted), 1)
        return math.exp(mean) if mean < math.log(1e300) else math.inf
