"""What a detector found, in the pixels of the picture as it was given. No training code is imported.

In: boxes in [-1, 1] of the picture that the model saw. Out: `Detection`s. Read next: `showing.py`, which
draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from wiggly.vision.detection.boxes import Detection
from wiggly.vision.frame import Coordinates, from_unit
from wiggly.vision.image import LazyImage

__all__ = ["detections"]

CORNERS = [0, 1, 2, 1, 2, 3, 0, 3]  # the four corners of x1, y1, x2, y2


def detections(
    boxes: Tensor, labels: Tensor, scores: Tensor, picture: LazyImage, vocab: Sequence[Any]
) -> list[Detection]:
    """Boxes in [-1, 1] as a person reads them.

    Args:
        boxes: `(k, 4)`.
        labels: `(k,)`.
        scores: `(k,)`.
        picture: What the model saw; boxes come in the pixels of its source.
        vocab: Labels by number.
    """
    found = _in_source(boxes, picture)
    rows = zip(found.tolist(), labels.tolist(), scores.tolist(), strict=True)
    return [Detection(vocab[label], score, (box[0], box[1], box[2], box[3])) for box, label, score in rows]


def _in_source(boxes: Tensor, picture: LazyImage) -> Coordinates:
    """`(k, 4)` in pixels of the picture as it was given, clipped to it."""
    corners = boxes.double().numpy()[:, CORNERS].reshape(-1, 2)
    back = None if picture.geometry is None else np.linalg.inv(picture.geometry.matrix).astype(np.float64)
    moved = from_unit(corners, picture.size, back).reshape(-1, 4, 2)
    height, width = picture.source.height, picture.source.width
    around = np.concatenate([moved.min(1), moved.max(1)], axis=1)
    return np.clip(around, 0, (width, height, width, height))
