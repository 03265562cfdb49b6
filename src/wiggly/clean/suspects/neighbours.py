"""Which items are like which: the nearest by the cosine of their features, and who has none near.

In: features. Out: `Neighbours`, what the labels of neighbours say, and how far out an item lies. Read next:
`disputes.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Neighbours", "find_neighbours", "votes"]

COUNT = 20
ROWS = 1024  # of the product at a time
MOST_OTHERS = 20_000  # items among which neighbours are looked for: all against all is 1 minute for 50,000
SHARPNESS = 10.0
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Neighbours:
    """The nearest items of each.

    Attributes:
        likeness: Cosines, `(n, k)`, largest first.
        positions: Of these items, `(n, k)`.
    """

    likeness: Tensor
    positions: Tensor


def find_neighbours(features: Tensor, count: int = COUNT, groups: Sequence[Sequence[int]] = ()) -> Neighbours:
    """The nearest items of each by the cosine of their features, itself and its copies left out.

    Args:
        features: `(n, d)`.
        count: How many; fewer where there are fewer items.
        groups: Positions of copies.

    Example:
        >>> found = find_neighbours(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]]), count=1)
        >>> found.positions.flatten().tolist()
        [1, 0, 1]
    """
    n = len(features)
    unit = F.normalize(features, dim=1)
    others = torch.arange(n)
    if n > MOST_OTHERS:
        others = torch.randperm(n, generator=torch.Generator().manual_seed(0))[:MOST_OTHERS].sort().values
    among, count = unit[others].T.contiguous(), max(1, min(count, len(others) - 1))
    group = torch.arange(n)
    for members in groups:
        group[list(members)] = min(members)
    likeness, positions = torch.empty(n, count), torch.empty(n, count, dtype=torch.long)
    for start in range(0, n, ROWS):
        cosines = unit[start : start + ROWS] @ among
        cosines[group[start : start + ROWS, None] == group[others]] = -1.0
        best = cosines.topk(count, dim=1)
        likeness[start : start + ROWS], positions[start : start + ROWS] = best.values, others[best.indices]
    return Neighbours(likeness, positions)


def votes(found: Neighbours, given: Tensor, trust: Tensor | None = None) -> Tensor:
    """What the labels of the neighbours say, as shares: near ones count more.

    Args:
        found: The neighbours.
        given: Labels as zeros and ones, `(n, c)`.
        trust: How much the labels of each item count, `(n, 1)`, or each of them, `(n, c)`; None counts all
            alike.

    Returns:
        `(n, c)`, in (0, 1).
    """
    trust = torch.ones(len(given), 1) if trust is None else trust
    weights = (SHARPNESS * found.likeness).softmax(1)
    shares, whole = torch.zeros_like(given), torch.zeros_like(trust)
    for k in range(found.positions.shape[1]):
        there = found.positions[:, k]
        shares += weights[:, k, None] * trust[there] * given[there]
        whole += weights[:, k, None] * trust[there]
    shares = shares / whole.clamp_min(LEAST_SHARE)
    return shares.clamp(LEAST_SHARE, 1 - LEAST_SHARE)
