"""From the pixels that a model saw back to those of the picture: places, and masks. Needs no torch.

In: where the prepared picture lies (`exact.py`). Out: places in pixels of the upright picture, masks of its
size, the same in a notebook and in every runtime. Read next: `mask.py`, and `../bundle/session/decoding.py`,
which both use it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.vision.exact import Axis, Placement

__all__ = ["mask_in_picture", "points_in_picture"]

#: A pixel of the picture whose centre lies exactly between two of the mask takes the first: exact ties are
#: frequent (a mask enlarged 1.5 times), and must not depend on the last digit.
TIE = 1e-6


def points_in_picture(unit: npt.NDArray[Any], placement: Placement) -> npt.NDArray[np.float64]:
    """Places in pixels of the picture.

    Args:
        unit: `(k, 2)`, x and y from -1 (left, top) to 1 of what the model saw.
        placement: Where that lies in the picture.

    Example:
        >>> points_in_picture(np.array([[0.0, 1.0]]), Placement(Axis(0, 2, 10), Axis(5, 2, 10)))
        array([[15., 20.]])
    """
    y, x = placement.y, placement.x
    seen = (np.asarray(unit, dtype=np.float64) + 1) / 2 * (x.length, y.length)
    return seen * (x.step, y.step) + (x.start, y.start)


def mask_in_picture(
    seen: npt.NDArray[Any], placement: Placement, size: tuple[int, int], void: int | None
) -> npt.NDArray[Any]:
    """A mask as large as the picture: each pixel takes the class of the one that covers its centre.

    Args:
        seen: Class indices of what the model saw, `(H, W)`.
        placement: Where that lies in the picture.
        size: Height and width of the picture.
        void: Index of what the model did not see; None continues the mask as it ends.

    Returns:
        `(h, w)`, uint8 if that is enough, else int32.

    Example:
        >>> mask_in_picture(np.array([[1, 2]]), Placement(Axis(0, 1, 1), Axis(1, 2, 2)), (1, 6), 0)
        array([[0, 1, 1, 2, 2, 0]], dtype=uint8)
    """
    rows, there = _covering(placement.y, size[0], seen.shape[0])
    columns, here = _covering(placement.x, size[1], seen.shape[1])
    indices = seen[rows][:, columns].astype(np.int32)
    if void is not None:
        indices = np.where(there[:, None] & here, indices, void)
    return indices.astype(np.uint8) if indices.max(initial=0) <= np.iinfo(np.uint8).max else indices


def _covering(axis: Axis, length: int, seen: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """For each pixel of the picture the one of the mask that covers its centre, and whether there is one."""
    places = np.floor((np.arange(length) + 0.5 - axis.start) / axis.step - TIE).astype(np.int64)
    return np.clip(places, 0, seen - 1), (places >= 0) & (places < seen)
