"""Linear discriminant analysis out of fold: each class a normal distribution around its mean, of one shape.

In: standardised features, given labels as zeros and ones, weights, the fold of each item. Out: for each item
logarithms of how likely each class is, by what the other folds say. Read next: `disputes.py`.

It errs elsewhere than a logistic regression on the same features: that one follows the items near a border,
where wrong labels gather; this one follows means and one covariance, to which each item adds little. How far
the covariance is shrunk towards a sphere, and how sure the outcome is, are those that make the given labels
likeliest out of fold.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["discriminants"]

SHRINKS = (0.1, 0.3, 0.6, 0.9)
SURENESS = torch.logspace(-2, 0.5, 26).tolist()
LEAST = 1e-6


def discriminants(features: Tensor, given: Tensor, folds: Tensor, weights: Tensor) -> Tensor:
    """Logarithms of probabilities out of fold, `(n, c)`.

    Args:
        features: Standardised, `(n, d)`.
        given: Given labels as zeros and ones, one for each item, `(n, c)`.
        folds: Of each item, `(n,)`, from 0 upwards.
        weights: Of each item, `(n, 1)`, above 0.
    """
    found = [torch.empty_like(given) for _ in SHRINKS]
    for fold in range(int(folds.max()) + 1):
        held = folds == fold
        fitted = _fitted(features[~held], given[~held], weights[~held])
        for result, shrink in zip(found, SHRINKS, strict=True):
            result[held] = _outputs(features[held], *fitted, shrink)
    tempered = [_tempered(outputs, given) for outputs in found]
    return min(tempered, key=lambda logs: _loss(logs, given))


def _fitted(features: Tensor, given: Tensor, weights: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Means `(c, d)`, the covariance within classes `(d, d)`, and shares of the classes `(c,)`."""
    counts = (given * weights).sum(0)
    means = (given * weights).T @ features / counts.clamp_min(LEAST)[:, None]
    rest = features - given @ means
    covariance = (rest * weights).T @ rest / counts.sum()
    return means, covariance, counts / counts.sum()


def _outputs(features: Tensor, means: Tensor, covariance: Tensor, shares: Tensor, shrink: float) -> Tensor:
    size = covariance.diagonal().mean().clamp_min(LEAST)
    shrunk = (1 - shrink) * covariance + shrink * size * torch.eye(len(covariance))
    toward = torch.linalg.solve(shrunk, means.T)
    middle = 0.5 * (means.T * toward).sum(0)
    return (features @ toward - middle + shares.clamp_min(LEAST).log()).log_softmax(1)


def _loss(logs: Tensor, given: Tensor) -> float:
    return -float((given * logs).sum(1).mean())


def _tempered(logs: Tensor, given: Tensor) -> Tensor:
    """As sure as makes the given labels likeliest: features are not normal, so the formula is too sure."""
    made = ((logs * by).log_softmax(1) for by in SURENESS)
    return min(made, key=lambda some: _loss(some, given))
