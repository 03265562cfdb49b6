"""Rows of tables judged out of fold by boosted trees.

In: encoded columns and targets. Out: probabilities or numbers for each row, by trees that have not seen it.
Read next: `judging.py`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.clean.suspects.disputes import Disputes, verdict, weighted_again
from wiggly.clean.suspects.folds import fold_of_each, place_of_each
from wiggly.clean.suspects.pool import Pool

__all__ = ["dispute_rows", "numbers_by_trees"]

# Few and small trees: quick, and they do not learn single wrong labels.
TREES: dict[str, Any] = {"max_iter": 80, "learning_rate": 0.1, "max_leaf_nodes": 15, "early_stopping": False}
MOST_VALUES = 255  # of a category that scikit-learn's trees take as one; more are taken as a number


def dispute_rows(pool: Pool, given: Tensor, n_folds: int, seed: int) -> Disputes:
    """The verdict on the label of every row.

    Args:
        pool: The table.
        given: Labels as zeros and ones, `(n, c)`.
        n_folds: Folds.
        seed: Of folds and trees.
    """
    assert pool.features is not None
    rows = pool.features.numpy()
    places = place_of_each(rows)
    labels = np.zeros(len(rows), dtype=np.int64) if pool.several else given.argmax(1).numpy()
    targets = [given[:, k].numpy() for k in range(given.shape[1])] if pool.several else [labels]
    weights: Tensor | None = None
    probs = torch.empty_like(given)
    for stage in (seed, seed + 1):  # as in `dispute`: the second fit trusts less what the first disputes
        folds = fold_of_each(places, labels, n_folds, stage)
        columns = [
            _probabilities(pool, rows, target, folds, None if weights is None else _column(weights, k), stage)
            for k, target in enumerate(targets)
        ]
        found = [column[:, -1:] for column in columns] if pool.several else columns
        probs = torch.from_numpy(np.concatenate(found, 1)).float()
        if not pool.several:
            probs = _spread(probs, labels, given.shape[1])
        weights = weighted_again(probs, given, pool.several)
    return verdict(probs, given, pool.several)


def _column(weights: Tensor, k: int) -> npt.NDArray[np.float32]:
    return weights[:, min(k, weights.shape[1] - 1)].numpy()


def _spread(probs: Tensor, labels: npt.NDArray[np.int64], n_classes: int) -> Tensor:
    """Probabilities of the labels that occur, in columns for all."""
    made = torch.zeros(len(probs), n_classes)
    made[:, np.unique(labels)] = probs
    return made


def _probabilities(
    pool: Pool,
    rows: npt.NDArray[np.float32],
    target: npt.NDArray[Any],
    folds: npt.NDArray[np.int64],
    weights: npt.NDArray[np.float32] | None,
    seed: int,
) -> npt.NDArray[np.float64]:
    from sklearn.ensemble import HistGradientBoostingClassifier

    values = np.unique(target)
    result = np.full((len(rows), len(values)), 1e-6)
    for fold in np.unique(folds).tolist():
        held = folds == fold
        some = np.unique(target[~held])
        if len(some) < 2:
            result[held, np.searchsorted(values, some[0])] = 1.0
            continue
        trees = HistGradientBoostingClassifier(
            **TREES, categorical_features=_categories(pool), random_state=seed
        )
        trees.fit(rows[~held], target[~held], None if weights is None else weights[~held])
        result[np.ix_(held, np.searchsorted(values, some))] = trees.predict_proba(rows[held])
    return result / result.sum(1, keepdims=True)


def numbers_by_trees(pool: Pool, given: Tensor, folds: npt.NDArray[np.int64]) -> Tensor:
    """The numbers of every row, `(n, k)`, by trees that have not seen them."""
    from sklearn.ensemble import HistGradientBoostingRegressor

    assert pool.features is not None
    rows, result = pool.features.numpy(), torch.empty_like(given)
    for k in range(given.shape[1]):
        target = given[:, k].numpy()
        for fold in np.unique(folds).tolist():
            held, known = folds == fold, np.isfinite(target)
            trees = HistGradientBoostingRegressor(
                **TREES, loss="absolute_error", categorical_features=_categories(pool), random_state=0
            )
            trees.fit(rows[~held & known], target[~held & known])
            result[torch.from_numpy(held), k] = torch.from_numpy(trees.predict(rows[held])).float()
    return result


def _categories(pool: Pool) -> Any:  # typed as a text in scikit-learn's stubs
    """Which of the encoded columns are categories."""
    n_cats = pool.dls.train.dataset.cats.shape[1]
    assert pool.features is not None
    most = pool.features.max(0).values.numpy()
    return np.array([k < n_cats and most[k] < MOST_VALUES for k in range(len(most))])
