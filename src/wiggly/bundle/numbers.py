"""Numbers as the answer of a bundle: of a regression, or points in a picture.

In: a `NumbersOutput` or `PointsOutput`, or a learner. Out: a number, a tuple of them, or places in pixels.
Read next: `masks.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.bundle.answers import BlockAnswer
from wiggly.bundle.categories import target_names
from wiggly.bundle.parts import NumbersExample, NumbersOutput, PointsExample, PointsOutput, Score
from wiggly.data.blocks import RegressionBlock
from wiggly.records import Prediction
from wiggly.vision.points import PointBlock

if TYPE_CHECKING:
    from wiggly.bundle.held_out import HeldOut
    from wiggly.train.learner import Learner

__all__ = ["NumbersAnswer", "PointsAnswer"]

DIGITS = 9  # of a float32 that is to be read back as it was (IEEE 754-2019, 5.12.2)


class NumbersAnswer(BlockAnswer):
    """One number or a tuple of them: `(number, encoded, output)`."""

    task = "regression"

    def __init__(self, output: NumbersOutput) -> None:
        super().__init__(output, RegressionBlock(len(output.names)), "none")
        spread = torch.tensor(output.high).double() - torch.tensor(output.low).double()
        self.spread = torch.where(spread > 0, spread, 1.0)

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        """Compared with the range of the training values."""
        first, second = (part.probs.double().cpu().flatten() for part in (wanted, found))
        if first.shape != second.shape:
            return float("inf")
        return float(((second - first) / self.spread).abs().max())

    def recorded(self, example: NumbersExample, files: Mapping[str, bytes]) -> Prediction:
        return self.decode(torch.tensor(example.values), ())

    def work_out(
        self, file: str, found: Prediction, actual: Any
    ) -> tuple[NumbersExample, Mapping[str, bytes]]:
        said = None if actual is None else tuple(map(float, np.ravel(actual)))
        return NumbersExample("numbers", file, written(found.probs), said), {}

    @classmethod
    def describe(cls, learn: Learner, place: int) -> NumbersOutput:
        from wiggly.bundle.describe import training_targets

        targets = training_targets(learn, place)
        targets = targets.reshape(len(targets), -1).float()
        names = target_names(learn, place)
        n = targets.shape[1]
        if len(names) != n:
            names = ["value"] if n == 1 else [f"value {i}" for i in range(1, n + 1)]
        low, high = written(targets.amin(0)), written(targets.amax(0))
        return NumbersOutput("numbers", tuple(names), low, high)

    @classmethod
    def measure(cls, learn: Learner, seen: HeldOut) -> tuple[Score | None, dict[str, float]]:
        from wiggly.bundle.describe import last_metrics, rmse_score

        return rmse_score(learn, seen), last_metrics(learn)


class PointsAnswer(BlockAnswer):
    """Places in the picture: `(points, encoded, output)`, points `(k, 2)` in pixels of the picture as it was
    given, encoded in [-1, 1]."""

    task = "keypoints"
    tolerance = 1e-3
    on_picture = True

    def __init__(self, output: PointsOutput) -> None:
        super().__init__(output, PointBlock(output.n), "none")

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        """Compared with how far the points reach, but at least with a hundred pixels."""
        first, second = (np.asarray(part.decoded, dtype=np.float64) for part in (wanted, found))
        if first.shape != second.shape:
            return float("inf")
        return float(np.abs(first - second).max() / max(100.0, float(np.abs(first).max())))

    def recorded(self, example: PointsExample, files: Mapping[str, bytes]) -> Prediction:
        points = np.array(example.points, dtype=np.float64)
        nothing = torch.empty(0)  # how they were encoded is not written down
        return Prediction(points, nothing, nothing)

    def work_out(
        self, file: str, found: Prediction, actual: Any
    ) -> tuple[PointsExample, Mapping[str, bytes]]:
        points = tuple((round(float(x), 4), round(float(y), 4)) for x, y in found.decoded)
        return PointsExample("points", file, points), {}

    @classmethod
    def describe(cls, learn: Learner, place: int) -> PointsOutput:
        return PointsOutput("points", cast("PointBlock", learn.dls.target_blocks[place]).n_out // 2)


def written(numbers: Tensor) -> tuple[float, ...]:
    """float32 numbers in as many digits as they need."""
    return tuple(float(f"{number:.{DIGITS}g}") for number in numbers.flatten().tolist())
