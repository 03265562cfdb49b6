"""Logistic regression out of fold: all folds fitted together, the weight decay chosen by likelihood.

In: standardised features, given labels as zeros and ones, weights, the fold of each item. Out: for each item
what models say of it that have not seen it. Read next: `disputes.py`.

All folds are fitted by one run of L-BFGS and share one matrix product, which suits a processor better than
one fold after the other. Their losses are summed and have no weight in common, so the best of each is what it
would be alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Judged", "out_of_fold", "standardised"]

# Of the squared weights, for a sum of losses. Features of a body are many and correlated, and some labels are
# wrong: the decay that is best is large, and matters more than anything else here.
DECAYS = (10_000.0, 3000.0, 1000.0, 300.0, 100.0, 30.0, 10.0, 3.0)
STEPS, STEPS_WARM = 25, 12
MOST_NUMBERS = 20_000_000  # outputs of a pass: folds are fitted in turn where there would be more
FARTHEST = 5.0  # standard deviations: what is beyond is cut, so that no single item pulls a fit


@dataclass(frozen=True)
class Judged:
    """What models say that have not seen the item.

    Attributes:
        logits: `(n, c)`.
        decay: The weight decay that was taken.
        loss: Mean loss of the given labels out of fold.
    """

    logits: Tensor
    decay: float
    loss: float


def standardised(features: Tensor) -> Tensor:
    """Features with mean 0 and standard deviation 1; what is the same for all items is left out."""
    spread = features.std(0, correction=0)
    kept = spread > 1e-6 * spread.max().clamp_min(1e-12)
    features, spread = features[:, kept], spread[kept]
    return ((features - features.mean(0)) / spread).clamp(-FARTHEST, FARTHEST)


def out_of_fold(
    features: Tensor,
    given: Tensor,
    folds: Tensor,
    weights: Tensor | None = None,
    several: bool = False,
    decay: float | None = None,
) -> Judged:
    """Fits all folds and says what each item is for those that have not seen it.

    Args:
        features: Standardised, `(n, d)`.
        given: Given labels as zeros and ones, `(n, c)`.
        folds: Of each item, `(n,)`, from 0 upwards.
        weights: Of each item, `(n, 1)`, or of each of its labels, `(n, c)`; None weighs all alike.
        several: An item may have several labels.
        decay: Weight decay; None tries from strong to weak while the given labels become likelier.
    """
    inputs = torch.cat([features, torch.ones(len(features), 1)], 1)
    weights = torch.ones(len(features), 1) if weights is None else weights
    found: Judged | None = None
    matrix: Tensor | None = None
    for tried in DECAYS if decay is None else (decay,):
        steps = STEPS if matrix is None else STEPS_WARM
        logits, matrix = _fitted(inputs, given, folds, weights, several, tried, steps, matrix)
        loss = float(_losses(logits, given, several).mean())
        if found is not None and loss >= found.loss:
            break
        found = Judged(logits, tried, loss)
    assert found is not None
    return found


def _losses(logits: Tensor, given: Tensor, several: bool) -> Tensor:
    if several:
        return F.binary_cross_entropy_with_logits(logits, given, reduction="none").sum(1)
    return -(given * logits.log_softmax(1)).sum(1)


def _fitted(
    inputs: Tensor,
    given: Tensor,
    folds: Tensor,
    weights: Tensor,
    several: bool,
    decay: float,
    steps: int,
    start: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Out-of-fold outputs `(n, c)`, and the weights of all folds `(folds, d + 1, c)`."""
    n_folds, n_classes = int(folds.max()) + 1, given.shape[1]
    matrix = torch.zeros(n_folds, inputs.shape[1], n_classes) if start is None else start.clone()
    logits = torch.empty(len(inputs), n_classes)
    at_once = max(1, MOST_NUMBERS // (len(inputs) * n_classes))
    for first in range(0, n_folds, at_once):
        part = torch.arange(first, min(first + at_once, n_folds))
        problem = _Folds(inputs, given, weights * 1.0, folds[:, None] != part, several, decay)
        matrix[part] = problem.solved(matrix[part], steps)
        for fold in part.tolist():
            held = folds == fold
            logits[held] = inputs[held] @ matrix[fold]
    return logits, matrix


class _Folds:
    """The sum of losses of several folds, and its gradient."""

    def __init__(
        self, inputs: Tensor, given: Tensor, weights: Tensor, seen: Tensor, several: bool, decay: float
    ) -> None:
        self.inputs, self.given, self.several, self.decay = inputs, given[:, None], several, decay
        self.weights = weights[:, None] * seen[:, :, None]  # (n, folds, 1 or c)

    def solved(self, start: Tensor, steps: int) -> Tensor:
        """The weights `(folds, d + 1, c)` after some steps of L-BFGS."""
        n_folds, width, n_classes = start.shape
        flat = start.permute(1, 0, 2).reshape(width, -1).contiguous().requires_grad_()
        optimizer = torch.optim.LBFGS(
            [flat], max_iter=steps, history_size=8, line_search_fn="strong_wolfe", tolerance_change=1e-7
        )

        def closure() -> Tensor:
            with torch.no_grad():
                loss, flat.grad = self._loss(flat)
            return loss

        optimizer.step(closure)
        return flat.detach().reshape(width, n_folds, n_classes).permute(1, 0, 2)

    def _loss(self, flat: Tensor) -> tuple[Tensor, Tensor]:
        n = len(self.inputs)
        outputs = (self.inputs @ flat).reshape(n, -1, self.given.shape[2])
        if self.several:
            each = F.binary_cross_entropy_with_logits(
                outputs, self.given.expand_as(outputs), reduction="none"
            )
            probs = outputs.sigmoid()
        else:
            each = -self.given * outputs.log_softmax(2)
            probs = outputs.softmax(2)
        slope = ((probs - self.given) * self.weights).reshape(n, -1)
        kept = flat.clone()
        kept[-1] = 0.0  # the bias does not decay
        loss = (each * self.weights).sum() + 0.5 * self.decay * kept.square().sum()
        return loss / n, (self.inputs.T @ slope + self.decay * kept) / n
