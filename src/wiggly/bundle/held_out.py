"""What a learner says of its validation items, asked once: scores before the activation, and what is true.

In: a learner. Out: arrays, for the score, the temperature and the threshold that a bundle carries. Read next:
`calibration.py`, which fits the last two.
"""

from __future__ import annotations

import warnings
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import numpy.typing as npt
from torch import Tensor

from wiggly.errors import BadItemsError
from wiggly.train.predict import collect, in_order

if TYPE_CHECKING:
    from wiggly.train.learner import Learner
    from wiggly.train.predict import Rows

__all__ = ["HeldOut"]

Floats = npt.NDArray[np.float64]


class HeldOut:
    """Validation items through the learner, at the first question and never again.

    Args:
        learn: The learner.
    """

    def __init__(self, learn: Learner) -> None:
        self.learn = learn

    @cached_property
    def rows(self) -> Rows | None:
        """The model's outputs as they are, and the targets; None, with a warning, when the validation photos
        cannot be read any more: a trained model must not be lost because they have been moved."""
        loader = self.learn.dls.valid
        if loader is None or not len(loader):
            return None
        try:
            found = collect(self.learn, in_order(loader), act=_as_it_is)
        except BadItemsError as error:
            warnings.warn(f"exported without a score: {error.received}", stacklevel=6)
            return None
        return found if found.positions and found.targets else None

    def scores(self, place: int, classes: int) -> tuple[Floats, npt.NDArray[Any]] | None:
        """Scores `(n, c)` of a target with classes, and its encoded targets; None where there are none.

        Args:
            place: Of the target among the targets.
            classes: How many scores there must be for each item.
        """
        rows = self.rows
        if rows is None:
            return None
        several = isinstance(rows.probs, tuple)
        raw: Any = cast("tuple[Any, ...]", rows.probs)[place] if several else rows.probs
        if not isinstance(raw, Tensor) or raw.ndim != 2 or raw.shape[1] != classes:
            return None
        targets = rows.targets[place].numpy()
        targets = targets.reshape(len(raw), -1)
        return raw.double().numpy(), targets[:, 0] if targets.shape[1] == 1 else targets


def _as_it_is(outputs: Any) -> Any:
    return outputs
