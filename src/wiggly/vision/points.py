"""Key points: places on a picture, moved exactly, as coordinates in [-1, 1] for the model.

In: x and y in pixels of the picture, upright. Out: `(k, 2)` float32, (-1, -1) at the upper left corner of the
picture the model sees, (1, 1) at the lower right. A point that leaves the picture stays where it is, outside
[-1, 1]. A missing point is NaN in both coordinates, all the way; it counts neither in the loss nor in the
metric. Read next: `boxes.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from wiggly.data.base import Block
from wiggly.errors import ArgumentError, LabelError
from wiggly.vision.drawing import draw_points
from wiggly.vision.frame import (
    Coordinates,
    SameFrame,
    from_unit,
    identity_on,
    picture_of,
    to_unit,
    unit_to_pixels,
)
from wiggly.vision.geometry import Geometry, Matrix

__all__ = ["PointBlock", "Points"]


@dataclass(frozen=True, slots=True)
class Points:
    """Points and the map that is still to be applied to them.

    Attributes:
        stored: `(k, 2)`, x and y, in pixels of their picture; NaN where a point is missing.
        geometry: Map from these pixels to the target; None as long as the picture is not known.
        in_pixels: False for points in [-1, 1], revived from a batch.
    """

    stored: Coordinates
    geometry: Geometry | None = None
    in_pixels: bool = True

    kind: ClassVar[str] = "points"  # how transforms of other libraries call it
    on_picture: ClassVar[bool] = True

    def on(self, size: tuple[int, int]) -> Points:
        """With their picture known, by its height and width."""
        return replace(self, geometry=identity_on(size) if self.in_pixels else unit_to_pixels(size))

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture as the next transform sees it."""
        return _known(self.geometry).size

    def moved(self, geometry: Geometry) -> Points:
        """With one more geometric step."""
        return replace(self, geometry=_known(self.geometry).then(geometry))

    def replaced(self, xy: Any, size: tuple[int, int]) -> Points:
        """Other points in their place, in pixels of a picture of `size` (height, width)."""
        return Points(np.asarray(xy, dtype=np.float64).reshape(-1, 2), identity_on(size))

    @property
    def xy(self) -> Coordinates:
        """`(k, 2)` in pixels of the target."""
        return _known(self.geometry).points(self.stored)


def _known(geometry: Geometry | None) -> Geometry:
    if geometry is None:
        raise ArgumentError(
            "points and boxes need the size of their picture",
            "they have not met it",
            "Read them through a data set with an ImageBlock, or call `.on((height, width))`.",
        )
    return geometry


class PointBlock(Block):
    """Key points of a picture, the same number for every item; a model for them has `2 k` outputs.

    A raw value is an array `(k, 2)`, a list of pairs, or a flat x1, y1, x2, y2, ..., in pixels of the first
    picture of the sample.

    Args:
        n_points: How many; None counts them in the first training item.

    Raises:
        LabelError: Points are no pairs of numbers, infinite, or of another number.

    Example:
        >>> block = PointBlock()
        >>> block.fit([[(10, 20)]])
        >>> block.n_out, block.encode(block.load([10, 20]).on((40, 40)))
        (2, tensor([[-0.5000,  0.0000]]))
    """

    loss = "mse"
    metric = "PointError"
    drawn_over = True
    item_tfms: Sequence[Any] = (SameFrame(),)

    def __init__(self, n_points: int | None = None) -> None:
        self.n_points = n_points

    @property
    def n_out(self) -> int:
        return 2 * (self.n_points or 1)

    @property
    def loss_settings(self) -> Mapping[str, Any]:
        return {"skip_nan": True}

    @property
    def needs_fit(self) -> bool:
        return self.n_points is None

    def fit(self, raws: Sequence[Any]) -> None:
        if self.n_points is None and raws:
            self.n_points = len(self._read(raws[0]))

    def check(self, raw: Any) -> None:
        self.load(raw)

    def load(self, raw: Any) -> Points:
        xy = self._read(raw)
        if self.n_points is not None and len(xy) != self.n_points:
            raise LabelError(
                f"every item must have {self.n_points} points",
                f"one has {len(xy)}",
                "Put NaN for points that are missing, or leave such items out in `get_items`.",
            )
        return Points(xy)

    def _read(self, raw: Any) -> Coordinates:
        try:
            given: Any = raw.tolist() if isinstance(raw, Tensor) else raw
            numbers: Coordinates = np.array(given, dtype=np.float64)
        except (TypeError, ValueError):
            numbers = np.empty(0)
        pairs = (
            numbers.ndim in (1, 2) and not numbers.size % 2 and (numbers.ndim == 1 or numbers.shape[-1] == 2)
        )
        if not pairs or not numbers.size or np.isinf(numbers).any():
            raise LabelError(
                "points must be pairs of numbers, x and y in pixels: an array (k, 2)",
                f"one item has {raw!r:.80}",
                "Mend `get_y`; put NaN for points that are missing.",
            )
        xy = numbers.reshape(-1, 2)
        xy[np.isnan(xy).any(1)] = np.nan  # half a point is none
        return xy

    def relate(self, value: Points, values: tuple[Any, ...]) -> Points:
        return value.on(picture_of(values, "PointBlock").size)

    def encode(self, value: Points) -> Tensor:
        return torch.from_numpy(to_unit(value.xy, value.size).astype(np.float32))

    def revive(self, encoded: Tensor) -> Points:
        return Points(encoded.double().numpy(), in_pixels=False)

    def decode(self, encoded: Tensor) -> Coordinates:
        """Points `(k, 2)` in [-1, 1]; `decode_on` gives pixels."""
        return encoded.detach().double().cpu().numpy().reshape(-1, 2)

    def decode_on(
        self,
        encoded: Tensor,
        size: tuple[int, int],
        back: Matrix | None = None,
        wanted: tuple[int, int] | None = None,
    ) -> Coordinates:
        """Points `(k, 2)` in pixels."""
        return from_unit(self.decode(encoded), size, back)

    def predicted(self, activated: Tensor) -> Tensor:
        return activated.reshape(len(activated), -1, 2)

    def draw(self, value: Any, axes: Any, title: str | None = None, colour: str = "black") -> None:
        """Draws points in pixels as dots on the picture."""
        draw_points(value, axes)
        if title is not None:
            super().draw(value, axes, title, colour)

    def arguments(self) -> dict[str, Any]:
        return {"n_points": self.n_points}

    def describe(self) -> str:
        return f"PointBlock, {self.n_out // 2} point{'s'[: self.n_out > 2]}"
