"""Calibration: whether what is said with 80 % confidence is right 80 times in 100.

In: probabilities and labels. Out: `Calibration`: a reliability table, the expected calibration error, and
the temperature that would mend it. Read next: `embedding.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError
from wiggly.interpret.score import calibration_error

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Calibration", "calibration_of", "temperature_of"]

BINS = 10
ECE_BINS = 15  # as in the paper
NARROWEST, WIDEST = 0.05, 20.0  # temperatures that are looked at


@dataclass(frozen=True)
class Calibration:
    """How far probabilities can be believed.

    Attributes:
        what: Whose probability: of a label, or of the answer given.
        confidence: Mean probability of each bin.
        right: Share of each bin that came true.
        counts: Rows of each bin.
        ece: Expected calibration error of the answers given (Guo et al., arXiv:1706.04599), 15 bins.
        temperature: Scores divided by this would be calibrated best; above 1 the model is too sure.
        ece_after: The calibration error with that temperature, on the same rows.
    """

    what: str
    confidence: npt.NDArray[np.float64]
    right: npt.NDArray[np.float64]
    counts: npt.NDArray[np.int64]
    ece: float
    temperature: float
    ece_after: float

    def to_frame(self) -> pd.DataFrame:
        """The reliability table, a row per bin."""
        import pandas as pd

        return pd.DataFrame({"rows": self.counts, "said": self.confidence, "came true": self.right})

    def plot(self, axes: Axes | None = None) -> Axes:
        """Draws the reliability diagram: on the diagonal, what is said comes true as often as it is said.

        Args:
            axes: Where to draw; None makes a figure.
        """
        import matplotlib.pyplot as plt

        if axes is None:
            _, axes = plt.subplots(figsize=(4.2, 4.2), layout="constrained")
        axes.plot([0, 1], [0, 1], color="grey", linewidth=1, linestyle="--")
        axes.plot(self.confidence, self.right, marker="o")
        sizes = 0.2 * self.counts / self.counts.max()
        axes.bar(self.confidence, sizes, width=0.03, color="grey", alpha=0.35)
        axes.set_xlim(0, 1)
        axes.set_ylim(0, 1)
        axes.set_xlabel(f"{self.what}\n(grey: how many rows)")
        axes.set_ylabel("share that came true")
        axes.set_title(f"Calibration error {self.ece:.1%}", fontsize=10)
        return axes


def calibration_of(
    probs: npt.NDArray[Any],
    targets: npt.NDArray[Any],
    label: int | None = None,
    what: str = "",
    bins: int = BINS,
) -> Calibration:
    """How far probabilities can be believed.

    Args:
        probs: Of the labels, `(n, c)`.
        targets: Index of the right one, `(n,)`.
        label: Look at the probability of this one; None looks at the answer given, whichever it is.
        what: Its name, for pictures.
        bins: Bins of equal width.

    Raises:
        ArgumentError: There are no rows, or below 1 bin.

    Example:
        >>> found = calibration_of(np.array([[0.2, 0.8], [0.3, 0.7], [0.9, 0.1]]), np.array([1, 1, 0]), 1)
        >>> found.right.tolist(), found.counts.tolist()
        ([0.0, 1.0, 1.0], [1, 1, 1])
    """
    if not len(probs) or bins < 1:
        raise ArgumentError(
            "calibration needs rows and bins", f"there are {len(probs)} rows and {bins} bins", "Check both."
        )
    probs = np.asarray(probs, dtype=np.float64)
    answer, sure = probs.argmax(1), probs.max(1)
    said = sure if label is None else probs[:, label]
    true = (answer == targets) if label is None else (targets == label)
    # As scikit-learn's calibration_curve has them: closed on the left, 1 in the last one.
    which = np.minimum((said * bins).astype(np.int64), bins - 1)
    counts = np.bincount(which, minlength=bins)
    there = counts > 0
    sums = [np.bincount(which, weights=part, minlength=bins)[there] for part in (said, true)]
    temperature = temperature_of(probs, targets)
    warmer = _warmed(probs, temperature)
    return Calibration(
        what or "confidence in the answer",
        sums[0] / counts[there],
        sums[1] / counts[there],
        counts[there],
        calibration_error(sure, answer == targets, ECE_BINS),
        temperature,
        calibration_error(warmer.max(1), warmer.argmax(1) == targets, ECE_BINS),
    )


def _warmed(probs: npt.NDArray[Any], temperature: float) -> npt.NDArray[Any]:
    scores = np.log(np.clip(probs, 1e-12, 1.0)) / temperature
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def temperature_of(probs: npt.NDArray[Any], targets: npt.NDArray[Any]) -> float:
    """By what to divide scores so that the likelihood of the targets is highest (temperature scaling; Guo et
    al., arXiv:1706.04599, section 4.2). Answers stay the same, only their confidence changes.

    Args:
        probs: Of the labels, `(n, c)`.
        targets: Index of the right one, `(n,)`.

    Example:
        >>> probs = np.array([[0.99, 0.01]] * 10)  # 99 % sure, right 7 times in 10
        >>> round(temperature_of(probs, np.array([0] * 7 + [1] * 3)), 1)
        5.4
    """
    from scipy.optimize import minimize_scalar

    rows = np.arange(len(probs))

    def cost(log_temperature: float) -> float:
        warmed = _warmed(probs, float(np.exp(log_temperature)))
        return -float(np.log(np.maximum(warmed[rows, targets], 1e-12)).mean())

    bounds = (np.log(NARROWEST), np.log(WIDEST))
    found: Any = minimize_scalar(cost, bounds=bounds, method="bounded")
    return float(np.exp(found.x))
