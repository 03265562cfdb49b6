"""Labels and numbers judged by models that never saw them, as suspects with reasons.

In: a pool. Out: `Disputes`, and suspects of the kind "label". Read next: `disputes.py`,
which judges labels; `trees.py`, which judges rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from wiggly.clean.suspects.disputes import Disputes, dispute
from wiggly.clean.suspects.folds import fold_of_each, place_of_each
from wiggly.clean.suspects.linear import standardised
from wiggly.clean.suspects.neighbours import Neighbours
from wiggly.clean.suspects.pool import Pool
from wiggly.clean.suspects.suspect import Suspect
from wiggly.clean.suspects.trees import dispute_rows, numbers_by_trees

__all__ = ["Missed", "judge_labels", "judge_numbers", "label_suspects", "number_suspects"]

FEWEST_ITEMS = 10  # below, there is nothing to learn from
ODD = 3.5  # robust standard deviations from which a number is suspected (Iglewicz and Hoaglin, 1993)
RIDGES = (1.0, 10.0, 100.0, 1000.0, 10_000.0)


@dataclass(frozen=True)
class Missed:
    """Numbers predicted out of fold.

    Attributes:
        predicted: `(n, k)`.
        given: `(n, k)`.
        distance: Of each item its largest distance from what was predicted, in robust standard deviations,
            `(n,)`.
        parts: Which of the numbers that is, `(n,)`.
    """

    predicted: Tensor
    given: Tensor
    distance: Tensor
    parts: Tensor


def judge_labels(
    pool: Pool, n_folds: int, seed: int, groups: Sequence[Sequence[int]], near: Neighbours | None
) -> Disputes | None:
    """The verdict on every label; None where items carry none, or are too few.

    Args:
        pool: The items.
        n_folds: Folds.
        seed: Of the folds.
        groups: Rows of copies.
        near: The neighbours of each row; None for rows of a table.
    """
    if not pool.vocab or pool.features is None or pool.encoded is None or len(pool.seen) < FEWEST_ITEMS:
        return None
    given = pool.encoded.float() if pool.several else F.one_hot(pool.encoded.long(), len(pool.vocab)).float()
    if pool.is_table:
        return dispute_rows(pool, given, n_folds, seed)
    return dispute(pool.features, given, pool.several, n_folds, seed, groups, near)


def label_suspects(pool: Pool, found: Disputes) -> list[Suspect]:
    """The items whose given label is not the likeliest, surest first."""
    if pool.several:
        rows = np.flatnonzero(found.scores > 0.5)
    else:
        own = (found.probs * found.given).sum(1)
        rows = np.flatnonzero(found.probs.max(1) > own)
    rows = rows[np.argsort(-found.scores[rows], kind="stable")]
    make = _several if pool.several else _single
    return [make(pool, found, row) for row in rows.tolist()]


def _single(pool: Pool, found: Disputes, row: int) -> Suspect:
    probs, best = found.probs[row], int(found.parts[row])
    own, likely = float((probs * found.given[row]).sum()), float(probs[best])
    given, other = pool.vocab[int(found.given[row].argmax())], pool.vocab[best]
    return made(
        pool,
        row,
        "label",
        float(found.scores[row]),
        f"looks like {other} ({likely:.0%}) rather than {given} ({own:.0%})",
        {"p_given": round(own, 4), "p_predicted": round(likely, 4), "confident": bool(found.confident[row])},
        given,
        other,
    )


def _several(pool: Pool, found: Disputes, row: int) -> Suspect:
    part = int(found.parts[row])
    label, there = pool.vocab[part], bool(found.given[row, part] > 0.5)
    prob = float(found.probs[row, part])
    given = [name for name, on in zip(pool.vocab, found.given[row] > 0.5, strict=True) if on]
    predicted = [name for name in pool.vocab if (name in given) != (name == label)]
    said = f"{label} is not seen in it ({prob:.0%})" if there else f"{label} seems to be lacking ({prob:.0%})"
    evidence = {"p_part": round(prob, 4), "has_part": there}
    return made(pool, row, "label", float(found.scores[row]), said, evidence, given, predicted, str(label))


def made(
    pool: Pool,
    row: int,
    kind: str,
    score: float,
    reason: str,
    evidence: dict[str, Any],
    given: Any = None,
    predicted: Any = None,
    part: str = "",
) -> Suspect:
    """A suspect from a row of the pass."""
    return suspect_of(pool, pool.seen[row], kind, score, reason, evidence, given, predicted, part)


def suspect_of(
    pool: Pool,
    item: int,
    kind: str,
    score: float,
    reason: str,
    evidence: dict[str, Any],
    given: Any = None,
    predicted: Any = None,
    part: str = "",
    others: Sequence[int] = (),
) -> Suspect:
    """A suspect from an item of the pool."""
    return Suspect(
        pool.name(item),
        kind,
        score,
        reason,
        evidence,
        pool.given(item) if given is None else given,
        predicted,
        pool.splits[item],
        part,
        pool.positions[item],
        tuple((pool.splits[k], pool.positions[k]) for k in others),
        lambda: pool.ref(item),
    )


def judge_numbers(pool: Pool, n_folds: int, seed: int, groups: Sequence[Sequence[int]]) -> Missed | None:
    """Numbers predicted out of fold; None where the target is none, or items are too few."""
    usable = pool.judged is not None and not pool.vocab and pool.features is not None
    if not usable or pool.encoded is None or len(pool.seen) < FEWEST_ITEMS:
        return None
    assert pool.features is not None
    given = pool.encoded.float().reshape(len(pool.seen), -1)
    places = place_of_each(pool.features.numpy())
    folds = fold_of_each(places, np.zeros(len(places), dtype=np.int64), n_folds, seed, groups)
    predicted = (
        numbers_by_trees(pool, given, folds)
        if pool.is_table
        else _by_ridge(standardised(pool.features), given, torch.from_numpy(folds))
    )
    missed = given - predicted
    center = missed.nanmedian(0).values
    spread = 1.4826 * (missed - center).abs().nanmedian(0).values  # of a normal distribution, the deviation
    distance, parts = ((missed - center).abs() / spread.clamp_min(1e-12)).nan_to_num(0.0).max(1)
    return Missed(predicted, given, distance, parts)


def _by_ridge(features: Tensor, given: Tensor, folds: Tensor) -> Tensor:
    """Ridge regression out of fold, with the penalty that predicts best."""
    inputs = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    targets = given.double().nan_to_num(float(given.nanmean()))
    results = [torch.empty_like(targets) for _ in RIDGES]
    for fold in folds.unique().tolist():
        seen = inputs[folds != fold]
        gram, moment = seen.T @ seen, seen.T @ targets[folds != fold]
        for penalty, result in zip(RIDGES, results, strict=True):
            eye = torch.eye(len(gram), dtype=torch.float64) * penalty
            eye[-1, -1] = 1e-6
            result[folds == fold] = inputs[folds == fold] @ torch.linalg.solve(gram + eye, moment)
    return min(results, key=lambda result: float((result - targets).abs().mean())).float()


def number_suspects(pool: Pool, found: Missed) -> list[Suspect]:
    """The items whose number is far from what is predicted out of fold."""
    rows = [row for row in found.distance.argsort(descending=True).tolist() if found.distance[row] > ODD]
    names = getattr(pool.dls, "y_names", None) or [str(k) for k in range(found.given.shape[1])]
    several = found.given.shape[1] > 1
    suspects: list[Suspect] = []
    for row in rows:
        part, distance = int(found.parts[row]), float(found.distance[row])
        given, predicted = float(found.given[row, part]), float(found.predicted[row, part])
        said = f"{given:.4g}, where {predicted:.4g} is expected: {distance:.1f} times the usual distance"
        score, evidence = 1 - float(np.exp(-distance / ODD / 2)), {"distance": round(distance, 2)}
        # What is predicted is no label to take over, so it is evidence only.
        evidence["expected"] = predicted
        suspects.append(
            made(pool, row, "label", score, said, evidence, given, None, names[part] if several else "")
        )
    return suspects
