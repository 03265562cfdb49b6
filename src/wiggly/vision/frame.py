"""What lies on a picture: points and boxes in its pixels, masks of its size; and the way to [-1, 1] and back.

In: the values of one sample, inputs first. Out: the picture among them, and coordinates that do not depend on
its size. Coordinates are those of `geometry.py`: the picture's corner is (0, 0), the centre of its first
pixel (0.5, 0.5), and the picture is upright, as EXIF has viewers show it. Read next: `mask.py`, `points.py`,
`boxes.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError, DataError
from wiggly.vision.geometry import Geometry, Matrix, scaling, translation

__all__ = ["Coordinates", "SameFrame", "from_unit", "identity_on", "picture_of", "to_unit", "unit_to_pixels"]

Coordinates = npt.NDArray[np.float64]


def picture_of(values: tuple[Any, ...], block: str) -> Any:
    """The first picture of a sample: what masks, points and boxes belong to.

    Args:
        values: Inputs first.
        block: Who asks, for the message.

    Raises:
        ArgumentError: There is none.
    """
    for value in values:
        if hasattr(value, "pixels") and hasattr(value, "size"):
            return value
    raise ArgumentError(
        f"{block} needs a picture among the inputs of its sample",
        f"they are {', '.join(type(v).__name__ for v in values)}",
        "Put an ImageBlock in front, e.g. blocks=(ImageBlock, PointBlock).",
    )


def identity_on(size: tuple[int, int]) -> Geometry:
    """The map that leaves a picture of `size` (height, width) as it is."""
    return Geometry(np.eye(3), size)


def unit_to_pixels(size: tuple[int, int]) -> Geometry:
    """From [-1, 1] to the pixels of a picture of `size` (height, width)."""
    h, w = size
    return Geometry(scaling(w / 2, h / 2) @ translation(1, 1), size)


def to_unit(xy: npt.NDArray[Any], size: tuple[int, int]) -> Coordinates:
    """Points `(..., 2)` in pixels of a picture of `size` as coordinates that are in [-1, 1] inside it.

    Example:
        >>> to_unit(np.array([[0.0, 0.0], [40.0, 15.0]]), (30, 40))
        array([[-1., -1.],
               [ 1.,  0.]])
    """
    return np.asarray(xy, dtype=np.float64) * 2 / (size[1], size[0]) - 1


def from_unit(unit: npt.NDArray[Any], size: tuple[int, int], back: Matrix | None = None) -> Coordinates:
    """Points `(k, 2)` in [-1, 1] in pixels.

    Args:
        unit: Coordinates in [-1, 1].
        size: Height and width of the picture that they are on.
        back: 3×3 matrix from its pixels to those wanted; None for its own.
    """
    to_pixels = unit_to_pixels(size)
    matrix = to_pixels.matrix if back is None else back @ to_pixels.matrix
    return Geometry(matrix, size).points(unit)


@dataclass(frozen=True)
class SameFrame(Transform):
    """Checks, after all other transforms, that what lies on the picture still has the picture's size.

    Only a callable of the user's can change one alone: it gets the picture and not what lies on it.
    """

    random: ClassVar[bool] = False

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        on = [value for value in values if getattr(value, "on_picture", False)]
        if on:
            picture = picture_of(values, type(on[0]).__name__)
            for value in on:
                if value.size != picture.size:
                    raise DataError(
                        "a picture and what lies on it must have one size after the transforms",
                        f"they are {_shown(picture.size)} and {_shown(value.size)} (height × width)",
                        "A callable of your own in `item_tfms` changed the picture alone: use wiggly's "
                        "transforms (Resize, Rotate, ...), which move both.",
                    )
        return values


def _shown(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
