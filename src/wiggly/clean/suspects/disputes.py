"""Labels disputed out of fold: what models say of an item that never saw its label.

In: features and given labels. Out: `Disputes`: for every item how likely each label is, a score that ranks
the wrong ones first, and an estimate of how many are wrong. Read next: `suggest.py`.

Three views are put together. A logistic regression out of fold judges each label. A second one, on other
folds, gives those that the first found unlikely less weight, so that wrong labels no longer teach it (in the
spirit of confident learning: Northcutt, Jiang and Chuang, "Confident Learning: Estimating Uncertainty in
Dataset Labels", JAIR 70, 2021, which prunes them). A discriminant analysis and the labels of the nearest
neighbours say what they think, with the same weights (of several labels only the neighbours). The mean of
these, of logarithms, is the verdict. Two rankings are usual: by how unlikely
the given label is, and by how much likelier another one is; the first misses items between two classes least,
the second those between many. The score is the geometric mean of both odds, 1 / given and other / given.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.clean.suspects.discriminant import discriminants
from wiggly.clean.suspects.folds import fold_of_each, place_of_each
from wiggly.clean.suspects.linear import out_of_fold, standardised
from wiggly.clean.suspects.neighbours import Neighbours, find_neighbours, votes

__all__ = ["Disputes", "confident_joint", "dispute", "weighted_again"]

SHARE_OF_NEIGHBOURS = 0.2
LEAST = 1e-6


@dataclass(frozen=True)
class Disputes:
    """The verdict on every label.

    Attributes:
        probs: How likely each label is out of fold, `(n, c)`; rows sum to 1 where an item has one label.
        given: The labels that were given, as zeros and ones, `(n, c)`.
        scores: `(n,)` in [0, 1]; the likelier a label is wrong, the higher.
        parts: Of each item the label that is disputed most, `(n,)`: the one it should have, or of several
            the one that should be added or taken away.
        n_wrong: Estimated number of items with a wrong label.
        confident: Whether confident learning counts the item as wrong, `(n,)`.
    """

    probs: npt.NDArray[np.float32]
    given: npt.NDArray[np.float32]
    scores: npt.NDArray[np.float64]
    parts: npt.NDArray[np.int64]
    n_wrong: int
    confident: npt.NDArray[np.bool_]

    @property
    def several(self) -> bool:
        """Whether an item may have several labels."""
        return bool((self.given.sum(1) != 1).any()) or bool((abs(self.probs.sum(1) - 1) > 0.01).any())


def dispute(
    features: Tensor,
    given: Tensor,
    several: bool = False,
    n_folds: int = 5,
    seed: int = 0,
    groups: Sequence[Sequence[int]] = (),
    neighbours: Neighbours | None = None,
) -> Disputes:
    """Judges every label by models that have not seen it.

    Args:
        features: Of each item, `(n, d)`.
        given: Given labels as zeros and ones, `(n, c)`.
        several: An item may have several labels.
        n_folds: Folds.
        seed: Of the folds.
        groups: Positions of copies, which stay in one fold.
        neighbours: If they are known already.

    Example:
        >>> generator = torch.Generator().manual_seed(0)
        >>> features = torch.randn(200, 5, generator=generator)
        >>> given = torch.eye(2)[(features[:, 0] > 0).long()]
        >>> given[7] = given[7].flip(0)
        >>> bool(dispute(features, given).scores[7] > 0.5)
        True
    """
    inputs, near = standardised(features), neighbours or find_neighbours(features, groups=groups)
    n_folds = max(2, min(n_folds, len(features)))
    places = place_of_each(features.numpy())
    labels = np.zeros(len(given), dtype=np.int64) if several else given.argmax(1).numpy()
    first, second = (
        torch.from_numpy(fold_of_each(places, labels, n_folds, s, groups)) for s in (seed, seed + 1)
    )
    judged = out_of_fold(inputs, given, first, several=several)
    weights = weighted_again(_probs(judged.logits, several), given, several)
    again = out_of_fold(inputs, given, second, weights, several, judged.decay).logits
    if not several:
        again = (again.log_softmax(1) + discriminants(inputs, given, second, weights)) / 2
    shares = votes(near, given, weights)
    return verdict(_mixed(again, shares, several), given, several)


def _probs(logits: Tensor, several: bool) -> Tensor:
    return logits.sigmoid() if several else logits.softmax(1)


def weighted_again(probs: Tensor, given: Tensor, several: bool) -> Tensor:
    """Weights for a second fit: 1 where the given label is the likeliest, less the likelier another is."""
    if several:
        own = torch.where(given > 0.5, probs, 1 - probs)
        return own / torch.maximum(probs, 1 - probs)
    own = (probs * given).sum(1, keepdim=True)
    return own / probs.max(1, keepdim=True).values


def _mixed(logits: Tensor, shares: Tensor, several: bool) -> Tensor:
    """Probabilities: the weighted mean of logarithms, made to sum to 1."""
    part = SHARE_OF_NEIGHBOURS
    if several:
        return ((1 - part) * logits + part * shares.logit()).sigmoid()
    shares = shares / shares.sum(1, keepdim=True)
    return ((1 - part) * logits.log_softmax(1) + part * shares.log()).softmax(1)


def verdict(probs: Tensor, given: Tensor, several: bool = False) -> Disputes:
    """Scores from out-of-fold probabilities, of whatever model.

    Args:
        probs: `(n, c)`.
        given: Given labels as zeros and ones, `(n, c)`.
        several: An item may have several labels.
    """
    sure = probs.double().clamp(LEAST, 1 - LEAST)
    if several:
        own = torch.where(given > 0.5, sure, 1 - sure)
        scores, parts = (1 - own).max(1)
        confident = scores > 0.5
        n_wrong = int(confident.sum())
    else:
        parts = (probs - given * 2).argmax(1)  # the likeliest of the others
        own, other = (sure * given).sum(1), sure.gather(1, parts[:, None])[:, 0]
        scores = other.sqrt() / (other.sqrt() + own)  # of the odds sqrt(other) / own
        joint, confident_rows = confident_joint(probs.numpy(), given.argmax(1).numpy())
        n_wrong = round(float(joint.sum() - np.trace(joint)))
        confident = torch.from_numpy(confident_rows)
    return Disputes(
        probs.float().numpy(), given.numpy(), scores.numpy(), parts.numpy(), n_wrong, confident.numpy()
    )


def confident_joint(
    probs: npt.NDArray[np.floating], labels: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """How many items of each given label are likely of each true one, and which are likely of another.

    An item counts as of a class when its probability is at least that class's mean over the items given it;
    of several such classes the likeliest counts. Rows are then scaled to the number of items given a label
    (Northcutt et al. 2021, section 3.1).

    Args:
        probs: Out of fold, `(n, c)`.
        labels: Given, `(n,)`.

    Returns:
        The joint counts `(c, c)`, given label by true one, and for each item whether it is off the diagonal.

    Example:
        >>> probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.95, 0.05], [0.1, 0.9]])
        >>> joint, wrong = confident_joint(probs, np.array([0, 0, 1, 1]))
        >>> wrong.tolist()
        [False, False, True, False]
    """
    n_classes = probs.shape[1]
    counts = np.bincount(labels, minlength=n_classes)
    bounds = np.full(n_classes, np.inf)
    for label in np.flatnonzero(counts):
        bounds[label] = probs[labels == label, label].mean()
    passing = np.where(probs >= bounds - 1e-9, probs, -1.0)
    likely = passing.argmax(1)
    counted = passing.max(1) > 0
    joint = np.zeros((n_classes, n_classes))
    np.add.at(joint, (labels[counted], likely[counted]), 1)
    sums = joint.sum(1)
    joint[sums == 0, sums == 0] = 1
    scaled = joint / np.maximum(joint.sum(1, keepdims=True), 1) * counts[:, None]
    return scaled, counted & (likely != labels)
