"""Boxes on their way between our batches and torchvision's detectors.

In: padded batches `(n, k, 4)` in [-1, 1] and `(n, k)` labels, as the box blocks make them. Out: lists of
boxes in pixels as torchvision's losses take them, and back; `Detection`, what a person gets. Read next:
`detector.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from wiggly.records import Detection

__all__ = ["Detection", "Numbering", "as_rows", "as_targets"]

Found = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True, slots=True)
class Numbering:
    """How the label block counts: torchvision's detectors keep 0 for the background.

    Attributes:
        first: Number of the first real class: 1 behind `#na#`, 0 without it.
        padding: Label that fills up a row of a batch.
    """

    first: int = 1
    padding: int = 0


def as_targets(
    boxes: Tensor, labels: Tensor, size: tuple[int, int], numbering: Numbering
) -> list[dict[str, Tensor]]:
    """A padded batch as torchvision's losses take it; padding and boxes without a class are left out.

    Args:
        boxes: `(n, k, 4)`: x1, y1, x2, y2 in [-1, 1].
        labels: `(n, k)`.
        size: Height and width of the picture that torchvision sees, in pixels.
        numbering: How `labels` count.

    Returns:
        Per picture `boxes` `(m, 4)` in pixels and `labels` `(m,)` from 1.

    Example:
        >>> boxes, labels = torch.tensor([[[-1.0, -1, 0, 1], [0, 0, 0, 0]]]), torch.tensor([[2, 0]])
        >>> as_targets(boxes, labels, (10, 20), Numbering())
        [{'boxes': tensor([[ 0.,  0., 10., 10.]]), 'labels': tensor([2])}]
    """
    pixels = (boxes.float().clamp(-1, 1) + 1) * _half(size, boxes)
    # A side of no length has no overlap with anything, and its logarithm would spoil the loss.
    kept = (labels >= numbering.first) & (pixels[..., 2:] > pixels[..., :2]).all(-1)
    counted = labels + (1 - numbering.first)
    return [
        {"boxes": own[keep], "labels": names[keep]}
        for own, names, keep in zip(pixels, counted, kept, strict=True)
    ]


def as_rows(
    found: Sequence[Mapping[str, Tensor]], size: tuple[int, int], most: int, numbering: Numbering
) -> Found:
    """torchvision's detections as padded tensors, best first.

    Args:
        found: Per picture `boxes` in pixels, `labels` from 1 and `scores`.
        size: Height and width of the picture that torchvision saw.
        most: Rows per picture; fewer detections are filled up with score 0.
        numbering: How labels are to count.

    Returns:
        Boxes `(n, most, 4)` in [-1, 1], labels `(n, most)`, scores `(n, most)`.
    """
    n, like = len(found), found[0]["boxes"]
    boxes, scores = like.new_zeros((n, most, 4)), like.new_zeros((n, most))
    labels = torch.full((n, most), numbering.padding, dtype=torch.int64, device=like.device)
    for row, picture in enumerate(found):
        count = min(len(picture["scores"]), most)
        boxes[row, :count] = picture["boxes"][:count] / _half(size, like) - 1
        labels[row, :count] = picture["labels"][:count] - (1 - numbering.first)
        scores[row, :count] = picture["scores"][:count]
    return boxes, labels, scores


def _half(size: tuple[int, int], like: Tensor) -> Tensor:
    height, width = size
    return torch.tensor([width, height, width, height], dtype=torch.float32, device=like.device) / 2
