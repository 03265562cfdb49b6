"""Suspects by loss and by distance: what a trained model finds hardest, and what is like nothing else.

In: a pool. Out: suspects of the kinds "loss" and "outlier". Read next: `neighbours.py`.
"""

from __future__ import annotations

import numpy as np
import torch

from wiggly.clean.suspects.judging import made
from wiggly.clean.suspects.neighbours import Neighbours
from wiggly.clean.suspects.pool import Pool
from wiggly.clean.suspects.suspect import Suspect

__all__ = ["loss_suspects", "outlier_suspects"]

SHARE, FEWEST = 0.02, 9  # of each side: so many of the highest losses are listed
FAR = 5.0  # robust standard deviations
NEAREST = 5


def loss_suspects(pool: Pool) -> list[Suspect]:
    """Of each side the items with the highest losses: those of training items are lower once they are known
    by heart, so the sides are not put in one order."""
    if pool.losses is None:
        return []
    losses = torch.where(pool.losses.isnan(), torch.inf, pool.losses)
    found: list[Suspect] = []
    for side in ("train", "valid"):
        rows = torch.tensor([r for r, k in enumerate(pool.seen) if pool.splits[k] == side], dtype=torch.long)
        if not len(rows):
            continue
        own = losses[rows]
        usual, high = float(own.median()), float(own.nan_to_num(posinf=0.0).quantile(0.98))
        n = max(FEWEST, int(SHARE * len(rows)))
        for place in own.argsort(descending=True, stable=True)[:n].tolist():
            loss = float(own[place])
            if loss > 2 * usual:
                found.append(_hard(pool, int(rows[place]), loss, usual, max(high, 1e-6)))
    return found


def _hard(pool: Pool, row: int, loss: float, usual: float, high: float) -> Suspect:
    said = f"loss {loss:.3g}, where {usual:.2g} is usual among the {pool.splits[pool.seen[row]]} items"
    score = 0.9 * loss / (loss + high) if np.isfinite(loss) else 0.9
    return made(pool, row, "loss", score, said, {"loss": round(loss, 5), "usual": round(usual, 5)})


def outlier_suspects(pool: Pool, near: Neighbours) -> list[Suspect]:
    """The items whose nearest neighbours are far away, compared with what is usual."""
    away = 1 - near.likeness[:, :NEAREST].mean(1).double()
    usual = float(away.median())
    spread = 1.4826 * float((away - usual).abs().median())
    far = (away - usual) / max(spread, 1e-6)
    rows = [row for row in far.argsort(descending=True).tolist() if far[row] > FAR]
    found: list[Suspect] = []
    for row in rows:
        said = f"far from all others: {float(away[row]):.2f} from its neighbours, where {usual:.2f} is usual"
        score = 0.8 - 0.5 * float(np.exp(-(float(far[row]) - FAR) / FAR))
        evidence = {"distance": round(float(away[row]), 4), "usual": round(usual, 4)}
        found.append(made(pool, row, "outlier", score, said, evidence))
    return found
