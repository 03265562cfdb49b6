"""Folds that depend on what items are, not on where they stand or what their classes are called.

In: features, labels, groups of copies. Out: the fold of each item. Read next: `linear.py`, which fits on all
folds but one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["fold_of_each", "place_of_each"]

Integers = npt.NDArray[np.int64]


def place_of_each(features: npt.NDArray[np.floating]) -> Integers:
    """A place for each item that does not change with the order of the items: by a projection of its
    features."""
    direction = np.random.default_rng(0).standard_normal(features.shape[1])
    order = np.argsort(features.astype(np.float64) @ direction, kind="stable")
    places = np.empty(len(order), dtype=np.int64)
    places[order] = np.arange(len(order))
    return places


def fold_of_each(
    places: Integers, labels: Integers, n_folds: int, seed: int, groups: Sequence[Sequence[int]] = ()
) -> Integers:
    """The fold of each item: classes are spread evenly, copies stay together.

    Args:
        places: From `place_of_each`.
        labels: Index of each item's class; all 0 where there are none.
        n_folds: How many.
        seed: Other seeds give other folds.
        groups: Positions of copies; were they in two folds, a label would vouch for itself.

    Example:
        >>> fold_of_each(np.arange(6), np.array([0, 0, 0, 1, 1, 1]), 3, seed=0).tolist().count(0)
        2
    """
    order = np.empty(len(places), dtype=np.int64)
    order[np.random.default_rng(seed).permutation(len(places))[places]] = np.arange(len(places))
    classes, first = np.unique(labels[order], return_index=True)
    ranks = {label: rank for rank, label in enumerate(classes[np.argsort(first)].tolist())}
    by_class = np.array([ranks[label] for label in labels[order].tolist()])
    dealt = order[np.argsort(by_class, kind="stable")]  # class by class, so that each goes round all folds
    folds = np.empty(len(places), dtype=np.int64)
    folds[dealt] = np.arange(len(places)) % n_folds
    for group in groups:
        folds[list(group)] = folds[min(group, key=lambda i: int(places[i]))]
    return folds
