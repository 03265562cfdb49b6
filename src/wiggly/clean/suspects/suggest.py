"""What to look at first: everything that is suspected of items, in one ranked list.

In: a learner, or loaders and a network. Out: `Suspects`. Read next: `suspect.py`; `pool.py`, which passes
over the items once; `judging.py`, `twins.py`, `quality.py`, `losses.py`, which suspect them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2

from wiggly.clean.suspects.disputes import Disputes
from wiggly.clean.suspects.judging import judge_labels, judge_numbers, label_suspects, number_suspects
from wiggly.clean.suspects.losses import loss_suspects, outlier_suspects
from wiggly.clean.suspects.neighbours import Neighbours, find_neighbours
from wiggly.clean.suspects.pool import Pool, Progress, make_pool
from wiggly.clean.suspects.quality import Looks, look_at_all, quality_suspects
from wiggly.clean.suspects.suspect import KINDS, Suspect, Suspects, check_kinds
from wiggly.clean.suspects.twins import Twins, find_twins, twin_suspects
from wiggly.errors import ArgumentError
from wiggly.vision.check.compare import COMPARED
from wiggly.vision.check.probe import read_bytes
from wiggly.vision.check.subject import Subject, from_loaders
from wiggly.vision.decode import open_image

__all__ = ["suggest"]

POOR = {"unreadable", "blank", "blurred", "dark", "tiny", "odd-shaped"}
COPIES = {"conflict", "leak"}


def suggest(
    learn_or_dls: Any,
    *,
    arch: Any = None,
    weights: Any = None,
    pretrained: bool = True,
    kinds: Sequence[str] | None = None,
    n_folds: int = 5,
    seed: int = 0,
    progress: Progress | None = None,
) -> Suspects:
    """Ranks the items that may be wrong, each with its reason.

    Labels are judged by models that never saw them: all items go once through a frozen body, on whose
    features small models are fitted out of fold. Pictures are looked at for copies and for poor quality. A
    trained learner adds its losses.

    Args:
        learn_or_dls: A trained learner; or loaders, and then features come from `arch`.
        arch: The network whose body gives the features: any name of timm. None takes the learner's own body;
            for loaders "resnet18".
        weights: Its weights, as for `vision_learner`.
        pretrained: Whether it starts from published weights.
        kinds: What to look for, some of "label", "loss", "conflict", "leak", "outlier", "unreadable",
            "blank", "blurred", "dark", "tiny", "odd-shaped"; None for all that the data allow.
        n_folds: Folds for the labels.
        seed: Of the folds.
        progress: Called with the number of items done and in all.

    Returns:
        The suspects, surest first. `suspects.disputes` has the verdict on every label.

    Raises:
        ArgumentError: A kind is unknown, or it is neither a learner nor loaders of known items.
        ModelError: The network or its weights cannot be found.

    Example:
        >>> from wiggly.tabular.loaders import TabularDataLoaders
        >>> table = {"size": [*range(100)], "big": ["no"] * 50 + ["yes"] * 50}
        >>> table["big"][20] = "yes"
        >>> dls = TabularDataLoaders.from_df(table, y_names="big", cont_names=["size"], cat_names=[],
        ...     seed=0, verbose=False)
        >>> found = suggest(dls)
        >>> ("row 20", "yes", "no") in [(s.item, s.given, s.predicted) for s in found]
        True
    """
    wanted = set(KINDS if kinds is None else kinds)
    check_kinds(sorted(wanted))
    if n_folds < 2:
        raise ArgumentError("`n_folds` must be at least 2", f"it is {n_folds}", "Pass 5, say.")
    with_features = bool(wanted & {"label", "outlier", *COPIES})
    pool = make_pool(learn_or_dls, arch, weights, pretrained, progress, with_features)
    subject = from_loaders(pool.dls) if pool.has_pictures and wanted & (POOR | COPIES) else None
    looks = look_at_all(subject, progress) if subject is not None else []
    near = find_neighbours(pool.features) if pool.features is not None and not pool.is_table else None
    twins = _twins(pool, subject, looks, near, bool(wanted & COPIES))
    disputes, labels = _labels(pool, "label" in wanted, n_folds, seed, twins, near)
    scores = _scores(pool, disputes)
    found = [*labels, *twin_suspects(pool, twins, scores), *quality_suspects(pool, looks)]
    found += outlier_suspects(pool, near) if near is not None else []
    disputed = {(suspect.split, suspect.position) for suspect in labels}
    found += [s for s in loss_suspects(pool) if (s.split, s.position) not in disputed]
    ranked = sorted((s for s in found if s.kind in wanted), key=lambda s: -s.score)
    return Suspects(ranked, len(pool), disputes, pool)


def _labels(
    pool: Pool, wanted: bool, n_folds: int, seed: int, twins: Twins, near: Neighbours | None
) -> tuple[Disputes | None, list[Suspect]]:
    if not wanted:
        return None, []
    groups = twins.rows(pool)
    if near is not None and groups and pool.features is not None:
        near = find_neighbours(pool.features, groups=groups)  # copies do not vote for each other
    disputes = judge_labels(pool, n_folds, seed, groups, near)
    if disputes is not None:
        return disputes, label_suspects(pool, disputes)
    missed = judge_numbers(pool, n_folds, seed, groups)
    return None, [] if missed is None else number_suspects(pool, missed)


def _scores(pool: Pool, disputes: Disputes | None) -> dict[int, float]:
    if disputes is None:
        return {}
    return dict(zip(pool.seen, disputes.scores.tolist(), strict=True))


def _twins(
    pool: Pool, subject: Subject | None, looks: Sequence[Looks], near: Neighbours | None, wanted: bool
) -> Twins:
    if subject is None or not wanted:
        return Twins([])

    def read(item: int) -> Any:
        raw = subject.items[item].raw
        if subject.image is not None:
            return subject.image.load(raw).source.pixels()
        data = read_bytes(raw) if isinstance(raw, (str, Path)) else raw
        pixels = open_image(data).pixels(COMPARED, COMPARED)
        shrink = COMPARED / min(pixels.shape[:2])
        if shrink >= 0.5:
            return pixels
        return cv2.resize(pixels, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)

    return find_twins(pool, looks, near, read)
