"""A picture of any size as a model takes it: both halves of the specification, one after the other.

In: uint8 pixels, and the steps that `model.json` lists. Out: uint8 pixels of the model's size. Needs no
torch. Read next: `placing.py` and `../vision/exact.py`, the halves; `graph/resample.py`, the same as part of
a graph.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from wiggly.bundle.parts import Step
from wiggly.bundle.placing import place
from wiggly.vision.exact import resample_exactly

__all__ = ["prepare"]

Pixels = npt.NDArray[np.uint8]


def prepare(pixels: Pixels, steps: Sequence[Step]) -> Pixels:
    """A picture as the model takes it.

    Args:
        pixels: `(h, w, c)`, upright, c as the model's `channels`.
        steps: The `preprocessing` of its input.

    Returns:
        `(H, W, c)`; the pixels themselves where the model takes any size.

    Example:
        >>> half = prepare(np.arange(16, dtype=np.uint8).reshape(4, 4, 1), [Step("Resize", {"size": 2})])
        >>> half[:, :, 0].tolist()
        [[4, 5], [10, 11]]
    """
    return resample_exactly(pixels, place(steps, pixels.shape[0], pixels.shape[1]))
