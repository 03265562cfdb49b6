"""Two models on the same cleaned validation items: who is right where.

In: the learner from before, the new one, the items. Out: `Told`, what each says, and the numbers of
`Retrained`. Read next: `retrained.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wiggly.clean.retrain.edited import Edited
from wiggly.clean.retrain.retrained import ClassFlips, ItemFlip, ScoreOf
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.errors import DataError
from wiggly.interpret.score import Interval, mcnemar_p, paired_interval, wilson_interval
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.train.predict import collect, encoded_of, in_order
from wiggly.vision.boxes import BBoxLblBlock

__all__ = ["Compared", "compared"]

REACH = 1.96  # standard errors on either side of a mean: 95 % of a normal distribution


class Compared(NamedTuple):
    """The numbers of a comparison; `Retrained` explains them."""

    metric: str
    share: bool
    before: ScoreOf
    after: ScoreOf
    gain: Interval | None
    p: float | None
    n: int
    left_out: int
    by_class: list[ClassFlips]
    flips: list[ItemFlip]


def compared(before: Any, after: Any, edited: Edited) -> Compared:
    """Scores two learners on the validation items of the second.

    Args:
        before: The learner of the data as they were.
        after: The learner of the cleaned data.
        edited: Those.

    Raises:
        DataError: No item is left that can be compared.
    """
    blocks: list[Any] = list(getattr(after.dls, "target_blocks", ()))
    block: Any = blocks[0] if len(blocks) == 1 else None
    labels = isinstance(block, CategoryBlock) and not isinstance(block, BBoxLblBlock)
    if not labels and type(block) is not RegressionBlock:
        return _by_metric(before, after, edited)
    told = _told(before, after, edited)
    if labels:
        return _by_label(told, edited, several=isinstance(block, MultiCategoryBlock))
    return _by_distance(told)


@dataclass(frozen=True)
class _Told:
    """What two models say of items that neither has learned.

    Attributes:
        positions: Of the items, among all.
        actual: Cleaned labels, or numbers `(n, k)`.
        first: What the model from before says.
        second: What the new one says.
        left_out: How many validation items are not among them.
    """

    positions: list[int]
    actual: Sequence[Any]
    first: Sequence[Any]
    second: Sequence[Any]
    left_out: int


def _told(before: Any, after: Any, edited: Edited) -> _Told:
    loader = in_order(after.dls.valid)
    rows = collect(after, loader)
    block, other = after.dls.target_blocks[0], before.dls.target_blocks[0]
    said = dict(zip(rows.positions, _decoded(block, encoded_of(after, rows.probs)), strict=True))
    actual = dict(zip(rows.positions, _decoded(block, rows.targets[0]), strict=True))
    again = _rows_for(before, after, loader)
    old = collect(before, again)
    said_before = dict(zip(old.positions, _decoded(other, encoded_of(before, old.probs)), strict=True))
    fair = [p for p in sorted(said) if p in said_before and edited.valid[p] not in edited.seen]
    if not fair:
        raise DataError(
            "a comparison needs validation items that the model from before has not learned",
            f"all {len(edited.valid):,} were moved from its training items, or cannot be read",
            "Leave some items where they were.",
        )
    left_out = sum(position in edited.seen for position in edited.valid)
    true, first, second = ([values[p] for p in fair] for values in (actual, said_before, said))
    return _Told([edited.valid[p] for p in fair], true, first, second, left_out)


def _rows_for(before: Any, after: Any, loader: Any) -> Any:
    """The validation items for the model from before: of a table by its own encoder."""
    if not isinstance(after.dls, TabularDataLoaders):
        return loader
    table = after.dls.table
    rows = table.frame[np.asarray(table.split.valid, dtype=np.int64)]
    return before.dls.test_dl(rows.to_native())


def _decoded(block: Any, encoded: Any) -> list[Any]:
    return [block.decode(row) for row in encoded]


def _by_label(told: _Told, edited: Edited, several: bool) -> Compared:
    key: Callable[[Any], Any] = (
        (lambda label: tuple(sorted(label, key=str))) if several else lambda label: label
    )
    actual, first, second = (
        [key(label) for label in part] for part in (told.actual, told.first, told.second)
    )
    right = np.array([[a == f, a == s] for a, f, s in zip(actual, first, second, strict=True)])
    both, only_first, only_second = (int((right == pair).all(1).sum()) for pair in ([1, 1], [1, 0], [0, 1]))
    n = len(actual)
    gain = paired_interval(both, only_second, only_first, n - both - only_first - only_second)
    before, after = (ScoreOf(k / n, wilson_interval(k, n)) for k in right.sum(0).tolist())
    p = mcnemar_p(only_first, only_second) if only_first + only_second else None
    shown = list if several else (lambda label: label)
    flips = [
        ItemFlip(
            edited.name(told.positions[k]), shown(actual[k]), shown(first[k]), shown(second[k]), bool(ok[1])
        )
        for k, ok in enumerate(right)
        if ok[0] != ok[1]
    ]
    by_class = _parts(actual, first, second) if several else _classes(actual, right)
    metric = "share of items with all labels right" if several else "accuracy"
    return Compared(metric, True, before, after, gain, p, n, told.left_out, by_class, flips)


def _classes(actual: Sequence[Any], right: npt.NDArray[np.bool_]) -> list[ClassFlips]:
    counts = Counter(actual)
    made: list[ClassFlips] = []
    for label, n in counts.items():
        own = right[[a == label for a in actual]]
        now_right, now_wrong = int((~own[:, 0] & own[:, 1]).sum()), int((own[:, 0] & ~own[:, 1]).sum())
        made.append(ClassFlips(label, n, int(own[:, 0].sum()), int(own[:, 1].sum()), now_right, now_wrong))
    return _most_first(made)


def _parts(actual: Sequence[Any], first: Sequence[Any], second: Sequence[Any]) -> list[ClassFlips]:
    """Of several labels each by itself: whether it is rightly given or rightly not given, on all items."""
    made: list[ClassFlips] = []
    for label in sorted({part for labels in (*actual, *first, *second) for part in labels}, key=str):
        right = np.array(
            [
                [(label in a) == (label in f), (label in a) == (label in s)]
                for a, f, s in zip(actual, first, second, strict=True)
            ]
        )
        before, after = right[:, 0], right[:, 1]
        flips = int((~before & after).sum()), int((before & ~after).sum())
        made.append(ClassFlips(label, len(actual), int(before.sum()), int(after.sum()), *flips))
    return _most_first(made)


def _most_first(rows: list[ClassFlips]) -> list[ClassFlips]:
    return sorted(rows, key=lambda row: (-row.now_right - row.now_wrong, -row.n, str(row.label)))


def _by_distance(told: _Told) -> Compared:
    actual, first, second = (
        np.array([np.atleast_1d(np.asarray(row, dtype=np.float64)) for row in part])
        for part in (told.actual, told.first, told.second)
    )
    away = np.stack([abs(first - actual).mean(1), abs(second - actual).mean(1)])
    before, after = (ScoreOf(float(each.mean()), _interval(each)) for each in away)
    gain = _interval(away[1] - away[0])
    n = away.shape[1]
    return Compared("mean absolute error", False, before, after, gain, None, n, told.left_out, [], [])


def _interval(values: npt.NDArray[np.float64]) -> Interval | None:
    """Of a mean, by the normal approximation."""
    if len(values) < 2:
        return None
    mean, reach = float(values.mean()), REACH * float(values.std(ddof=1)) / sqrt(len(values))
    return Interval(mean - reach, mean + reach)


def _by_metric(before: Any, after: Any, edited: Edited) -> Compared:
    """The first metric, or the loss, where targets are masks, boxes or several."""
    loader = in_order(after.dls.valid)
    first, second = before.evaluate(loader), after.evaluate(loader)
    names = list(second)
    name = names[1] if len(names) > 1 else names[0]
    scores = ScoreOf(float(first[name])), ScoreOf(float(second[name]))
    seen = sum(position in edited.seen for position in edited.valid)
    return Compared(name, False, *scores, None, None, len(edited.valid) - seen, seen, [], [])
