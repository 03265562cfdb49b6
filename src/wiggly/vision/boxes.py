"""Boxes and their labels: moved by their corners, clipped to the picture, dropped together, padded per
batch.

In: x1, y1, x2, y2 in pixels of the picture, upright, and one label per box. Out: `(n, k, 4)` float32, with
(-1, -1) at the upper left corner of the picture the model sees, and `(n, k)` int64; an item with fewer boxes
than another of its batch has zeros and label 0 (`#na#`) at the end. A turned box becomes the upright box
around its four corners. What a picture shows beyond its border by reflection has no boxes.
Read next: `annotations.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.base import Block
from wiggly.data.blocks import CategoryBlock, labels_of
from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError, LabelError
from wiggly.vision.drawing import class_colours, draw_box, name_boxes
from wiggly.vision.frame import Coordinates, SameFrame, from_unit, picture_of, to_unit
from wiggly.vision.geometry import Geometry, Matrix
from wiggly.vision.points import Points

__all__ = ["BBoxBlock", "BBoxLblBlock", "BoxLabels", "Boxes", "ClipBoxes"]

# Below this, in pixels of the final picture, a side of a box shows nothing (torchvision's least size too).
LEAST_SIDE = 1.0
NO_LABEL = -100  # padding where 0 is a class: what cross entropy ignores
# Two opposite corners of a box and the other two, as positions in x1, y1, x2, y2.
_CORNERS = [0, 1, 2, 1, 2, 3, 0, 3]


@dataclass(frozen=True, slots=True)
class Boxes:
    """Boxes and the map that is still to be applied to their corners.

    Attributes:
        corners: `4 k` points, four per box.
        min_share: See `BBoxBlock`.
    """

    corners: Points
    min_share: float = 0.0

    kind: ClassVar[str] = "boxes"  # how transforms of other libraries call it
    on_picture: ClassVar[bool] = True

    @classmethod
    def of(cls, xyxy: npt.NDArray[Any], min_share: float = 0.0, in_pixels: bool = True) -> Boxes:
        """From `(k, 4)`: x1, y1, x2, y2."""
        corners = np.asarray(xyxy, dtype=np.float64)[:, _CORNERS].reshape(-1, 2)
        return cls(Points(corners, in_pixels=in_pixels), min_share)

    def __len__(self) -> int:
        return len(self.corners.stored) // 4

    def on(self, size: tuple[int, int]) -> Boxes:
        """With their picture known, by its height and width."""
        return replace(self, corners=self.corners.on(size))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture as the next transform sees it."""
        return self.corners.size

    def moved(self, geometry: Geometry) -> Boxes:
        """With one more geometric step."""
        return replace(self, corners=self.corners.moved(geometry))

    def replaced(self, xyxy: Any, size: tuple[int, int]) -> Boxes:
        """Other boxes in their place, `(k, 4)` in pixels of a picture of `size` (height, width)."""
        array = np.asarray(xyxy, dtype=np.float64).reshape(-1, 4)
        return Boxes.of(array, self.min_share).on(size)

    @property
    def xyxy(self) -> Coordinates:
        """`(k, 4)`: the upright boxes around the moved corners, in pixels of the target."""
        corners = self.corners.xy.reshape(-1, 4, 2)
        return np.concatenate([corners.min(1), corners.max(1)], axis=1)

    def clipped(self) -> tuple[Boxes, npt.NDArray[np.bool_]]:
        """What of them lies in the picture, and which boxes are left: those of at least 1 pixel on both sides
        and `min_share` of their area."""
        before, (h, w) = self.xyxy, self.size
        after = np.clip(before, 0, (w, h, w, h))
        sides, whole = after[:, 2:] - after[:, :2], before[:, 2:] - before[:, :2]
        # Half of a millionth of a pixel for rounding, so that a box of exactly one pixel stays one.
        kept = (sides >= LEAST_SIDE - 5e-7).all(1)
        kept &= sides.prod(1) >= self.min_share * whole.prod(1) * (1 - 1e-9)
        return Boxes.of(after[kept], self.min_share).on(self.size), kept


@dataclass(frozen=True, slots=True)
class BoxLabels:
    """The labels of boxes, as indices.

    Attributes:
        indices: One per box.
    """

    indices: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def chosen(self, kept: npt.NDArray[np.bool_]) -> BoxLabels:
        """Those that are kept."""
        return BoxLabels(tuple(i for i, stays in zip(self.indices, kept.tolist(), strict=True) if stays))


@dataclass(frozen=True)
class ClipBoxes(Transform):
    """Clips boxes to the picture after all other transforms, drops those that left it, and their labels.

    The first boxes of a sample go with its first labels, the second with the second.
    """

    random: ClassVar[bool] = False

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        changed = list(values)
        for at, labels_at in _pairs(values):
            changed[at], kept = values[at].clipped()
            if labels_at is not None:
                changed[labels_at] = values[labels_at].chosen(kept)
        return tuple(changed)


def _pairs(values: Sequence[Any]) -> Iterable[tuple[int, int | None]]:
    """Positions of boxes in a sample, each with that of its labels if it has any."""
    boxes = [k for k, value in enumerate(values) if isinstance(value, Boxes)]
    labels: list[int | None] = [k for k, value in enumerate(values) if isinstance(value, BoxLabels)]
    return zip(boxes, [*labels, *[None] * len(boxes)], strict=False)


class BBoxBlock(Block):
    """Any number of boxes per picture.

    A raw value is an array `(k, 4)` or a list of x1, y1, x2, y2, in pixels of the sample's first picture;
    an empty list has none.

    Args:
        min_share: Share of a moved box's area that must be left in the picture for it to be kept. Whatever
            this is, a box less than 1 pixel wide or high in the final picture is dropped.

    Raises:
        LabelError: Boxes are not four numbers each, or end before they begin.

    Example:
        >>> block = BBoxBlock()
        >>> block.encode(block.load([[0, 10, 20, 40]]).on((40, 40)))
        tensor([[-1.0000, -0.5000,  0.0000,  1.0000]])
    """

    drawn_over = True
    ragged = True
    item_tfms: Sequence[Any] = (SameFrame(), ClipBoxes())

    def __init__(self, min_share: float = 0.0) -> None:
        if not 0 <= min_share <= 1:
            raise ArgumentError("`min_share` must be in [0, 1]", f"it is {min_share}", "Pass e.g. 0.1.")
        self.min_share = min_share

    @property
    def n_out(self) -> int:
        return 4

    def check(self, raw: Any) -> None:
        self.load(raw)

    def load(self, raw: Any) -> Boxes:
        boxes = _read_boxes(raw)
        if (boxes[:, 2:] < boxes[:, :2]).any():
            first = boxes[(boxes[:, 2:] < boxes[:, :2]).any(1)][0].tolist()
            raise LabelError(
                "a box must be x1, y1, x2, y2 with x1 <= x2 and y1 <= y2",
                f"one is {first}",
                "Turn x, y, width, height into corners: x, y, x + width, y + height.",
            )
        return Boxes.of(boxes, self.min_share)

    def relate(self, value: Boxes, values: tuple[Any, ...]) -> Boxes:
        return value.on(picture_of(values, "BBoxBlock").size)

    def encode(self, value: Boxes) -> Tensor:
        unit = to_unit(value.xyxy.reshape(-1, 2), value.size).reshape(-1, 4)
        return torch.from_numpy(unit.astype(np.float32))

    def collate(self, rows: Sequence[Tensor]) -> Tensor:
        return _padded(rows, 0.0)

    def revive(self, encoded: Tensor) -> Boxes:
        return Boxes.of(_unpadded(encoded), self.min_share, in_pixels=False)

    def decode(self, encoded: Tensor) -> Coordinates:
        """Boxes `(k, 4)` in [-1, 1], without padding; `decode_on` gives pixels."""
        return _unpadded(encoded)

    def decode_on(
        self,
        encoded: Tensor,
        size: tuple[int, int],
        back: Matrix | None = None,
        wanted: tuple[int, int] | None = None,
    ) -> Coordinates:
        """Boxes `(k, 4)` in pixels, without padding."""
        corners = from_unit(_unpadded(encoded)[:, _CORNERS].reshape(-1, 2), size, back).reshape(-1, 4, 2)
        return np.concatenate([corners.min(1), corners.max(1)], axis=1)

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Draws boxes in pixels on the picture."""
        for box in value:
            draw_box(box, axes)
        if title is not None:
            super().draw(value, axes, title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"min_share": self.min_share}


def _read_boxes(raw: Any) -> Coordinates:
    given: Any = [] if raw is None else raw.tolist() if isinstance(raw, Tensor) else raw
    try:
        numbers: Coordinates = np.array(given, dtype=np.float64)
    except (TypeError, ValueError):
        numbers = np.full(1, np.nan)
    if numbers.size == 0:
        return np.empty((0, 4))
    if numbers.ndim != 2 or numbers.shape[-1] != 4 or not np.isfinite(numbers).all():
        raise LabelError(
            "boxes must be four numbers each, x1, y1, x2, y2 in pixels: an array (k, 4)",
            f"one item has {raw!r:.80}",
            "Mend `get_y`; an item without boxes has an empty list.",
        )
    return numbers


def _padded(rows: Sequence[Tensor], filler: float) -> Tensor:
    longest = max((len(row) for row in rows), default=0)
    batch = torch.full((len(rows), longest, *rows[0].shape[1:]), filler, dtype=rows[0].dtype)
    for row, out in zip(rows, batch, strict=True):
        out[: len(row)] = row
    return batch


def _unpadded(encoded: Tensor) -> Coordinates:
    """The rows up to the last one that is not all zeros."""
    boxes = encoded.detach().double().cpu().numpy().reshape(-1, 4)
    used = np.flatnonzero(boxes.any(1))
    return boxes[: int(used[-1]) + 1 if len(used) else 0]


class BBoxLblBlock(CategoryBlock):
    """One label per box, in the order of the boxes of a `BBoxBlock` of the same sample.

    Args:
        vocab: All labels; None finds them in the training items and sorts them.
        add_na: Puts `#na#` in front, for padding and for missing and unknown labels. Without it padding is
            -100, which torch's cross entropy leaves out.

    Example:
        >>> block = BBoxLblBlock()
        >>> block.fit([["cat", "dog"], [], ["cat"]])
        >>> block.vocab, block.collate([block.encode(block.load(x)) for x in (["dog", "cat"], ["cat"])])
        (['#na#', 'cat', 'dog'], tensor([[2, 1], [1, 0]]))
    """

    activation = "none"  # of a model for boxes, whose classes stand on an axis of its own choice
    metric = ""
    drawn_over = True
    ragged = True

    def __init__(self, vocab: Sequence[Any] | None = None, add_na: bool = True) -> None:
        super().__init__(vocab, sort=vocab is None, add_na=add_na)

    def _labels(self, raws: Sequence[Any]) -> Iterable[Any]:
        for raw in raws:
            yield from labels_of(raw, "BBoxLblBlock")

    def _check_classes(self) -> None:
        if len(self.vocab) <= int(self.add_na):
            raise LabelError(
                "there must be at least 1 class", "no training item has a box with a label", "Check `get_y`."
            )

    def check(self, raw: Any) -> None:
        self.load(raw)

    def load(self, raw: Any) -> BoxLabels:
        return BoxLabels(tuple(self.index_of(label) for label in labels_of(raw, "BBoxLblBlock")))

    def relate(self, value: BoxLabels, values: tuple[Any, ...]) -> BoxLabels:
        boxes = next((values[k] for k, at in _pairs(values) if at is not None and values[at] is value), None)
        if boxes is None:
            raise ArgumentError(
                "a BBoxLblBlock needs the boxes of its labels in the same sample",
                "there is no BBoxBlock that goes with it",
                "Pass blocks=(ImageBlock, BBoxBlock, BBoxLblBlock), n_inp=1.",
            )
        if not boxes.corners.in_pixels:  # from a batch: without the padding
            return BoxLabels(value.indices[: len(boxes)])
        if len(value) != len(boxes):
            raise LabelError(
                "every box must have one label",
                f"there are {len(boxes)} boxes and {len(value)} labels",
                "Mend `get_y`, or leave such items out in `get_items`.",
            )
        return value

    def encode(self, value: BoxLabels) -> Tensor:
        return torch.tensor(value.indices, dtype=torch.int64)

    def encode_into(self, value: BoxLabels, out: Tensor) -> None:
        Block.encode_into(self, value, out)

    def collate(self, rows: Sequence[Tensor]) -> Tensor:
        return _padded(rows, 0 if self.add_na else NO_LABEL)

    def revive(self, encoded: Tensor) -> BoxLabels:
        return BoxLabels(tuple(encoded.tolist()))

    def decode(self, encoded: Tensor) -> list[Any]:
        """The labels, without padding."""
        indices: list[int] = encoded.tolist()
        padding = 0 if self.add_na else NO_LABEL
        while indices and indices[-1] == padding:
            indices.pop()
        return [self.vocab[i] for i in indices]

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Writes labels into the boxes drawn before."""
        colours = class_colours(len(self.vocab))
        name_boxes([str(v) for v in value], [colours[self.vocab.o2i[v]] for v in value], axes)
        if title is not None:
            super().draw(value, axes, title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"vocab": list(self.vocab), "add_na": self.add_na}
