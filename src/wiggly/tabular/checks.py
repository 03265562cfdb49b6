"""What is wrong with columns: constant, twice there, like an id, too many values, or the target in disguise.

In: fitted columns. Out: a sentence each, which names the column; nothing is refused here. Read next:
`table.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.data.blocks import Block, CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.tabular.encoder import Columns, TableEncoder
from wiggly.tabular.fields import CategoryColumn, NumberColumn
from wiggly.tabular.reading import Numbers
from wiggly.tabular.targets import Targets

__all__ = ["check_fitted"]

Codes = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]

FEW_ROWS = 20  # among fewer, all values may differ by chance
MOST_ROWS = 20_000  # rows that the target is looked for in
ROWS_PER_VALUE = 5  # with fewer, a column may determine the target by chance
SURE = 0.999  # share of the target's variance or labels that no honest column explains by itself
GAIN = 0.98  # share of the labels other than the most frequent one
MANY = 0.5  # distinct values per row, above which a category is hardly seen twice


def check_fitted(columns: Columns, encoder: TableEncoder, targets: Targets, rows: Sequence[int]) -> list[str]:
    """Sentences about columns that will not help, or help too well.

    Args:
        columns: The table.
        encoder: Fitted on the training rows.
        targets: Fitted too.
        rows: Positions of the training rows.
    """
    chosen = np.asarray(rows, dtype=np.int64)
    own = [c for c in encoder if isinstance(c, NumberColumn) or c.flag_of is None]
    notes = [note for column in own for note in _alone(columns, column, chosen)]
    notes += _twins(columns, own)
    if len(chosen) > MOST_ROWS:
        chosen = np.random.default_rng(0).choice(chosen, MOST_ROWS, replace=False)
    for names, block in zip(targets.names, targets.blocks, strict=True):
        if len(names) == 1 and len(chosen) > ROWS_PER_VALUE:
            notes += _leaks(columns, own, names[0], block, chosen)
    return notes


def _alone(columns: Columns, column: CategoryColumn | NumberColumn, rows: Codes) -> Iterator[str]:
    if isinstance(column, NumberColumn):
        yield from _number_alone(columns.numbers(column.name), column, rows)
        return
    n = len(column.vocab) - 1
    if n <= 1:
        found = columns.codes(column.name)
        if n and len({column.vocab.o2i.get(v, 0) for v in _seen(found.values, found.codes[rows])}) > 1:
            return  # whether it is there may say something
        yield f"{column.name}: {'always ' + repr(column.vocab[1]) if n else 'empty'} in training, of no use"
    elif len(rows) <= FEW_ROWS:
        return
    elif n == len(rows):
        yield f"{column.name}: every training row has another value, like an id; leave it out"
    elif n > MANY * len(rows):
        yield f"{column.name}: {n:,} values in {len(rows):,} training rows, most of them seen once"


def _seen(values: Sequence[Any], codes: Codes) -> list[Any]:
    """The distinct values of some rows, None for a missing one."""
    return [None if code < 0 else values[code] for code in np.unique(codes)]


def _number_alone(found: Numbers, column: NumberColumn, rows: Codes) -> Iterator[str]:
    infinite = int(found.infinite.sum())
    if infinite:
        yield f"{column.name}: {infinite:,} infinite or beyond float32, taken as missing"
    if column.center:
        yield f"{column.name}: whole numbers beyond 2**53, like an id; leave it out unless their size matters"
    elif _is_numbering(found):
        yield f"{column.name}: numbers the rows, like an id; leave it out unless the order of rows matters"
    present = found.values[rows][~found.missing[rows]]
    if not len(present):
        yield f"{column.name}: empty in training, of no use"
    elif present.min() == present.max() and not column.flagged:
        yield f"{column.name}: always {present[0]:g} in training, of no use"


def _is_numbering(found: Numbers) -> bool:
    """Whether a column counts the rows in their order."""
    values = found.values
    whole = values.dtype.kind in "iu" and len(values) > FEW_ROWS and not found.missing.any()
    return bool(whole and (np.diff(values) == 1).all())


def _twins(columns: Columns, own: Sequence[CategoryColumn | NumberColumn]) -> Iterator[str]:
    """Columns that say the same: equal numbers, or categories that determine each other."""
    seen: dict[bytes, str] = {}
    for column in own:
        if isinstance(column, NumberColumn):
            found = columns.numbers(column.name)
            key = b"n" + np.where(found.missing, 0, found.values).tobytes() + found.missing.tobytes()
        else:
            key = b"c" + columns.codes(column.name).codes.tobytes()
        useful = not isinstance(column, CategoryColumn) or len(column.vocab) > 2
        if key in seen and useful:
            yield f"{column.name}: says the same as {seen[key]!r}; leave one out"
        seen.setdefault(key, column.name)


def _leaks(
    columns: Columns,
    own: Sequence[CategoryColumn | NumberColumn],
    target: str,
    block: Block,
    rows: Codes,
) -> Iterator[str]:
    """Columns that alone give the target away."""
    if isinstance(block, MultiCategoryBlock) or not isinstance(block, (CategoryBlock, RegressionBlock)):
        return
    labels: Codes | None = None
    values: Values | None = None
    if isinstance(block, CategoryBlock):
        labels = columns.codes(target).codes[rows]
        usual = np.bincount(labels + 1).max()
        if usual > SURE * len(labels) or len(labels) - usual < ROWS_PER_VALUE:
            return  # nearly all rows have the same label: everything would seem to give it away
    else:
        values = columns.numbers(target).values[rows].astype(np.float64)
        if not np.ptp(values):
            return
    for column in own:
        known = _explained(columns, column, rows, labels, values)
        if known >= SURE:
            part = "variance" if labels is None else "labels"
            yield (
                f"{column.name}: gives the target {target!r} away, alone it explains {known:.2%} of the"
                f" {part}; leave it out (df.drop(columns={column.name!r})) unless it is known before the"
                " target is"
            )


def _explained(
    columns: Columns,
    column: CategoryColumn | NumberColumn,
    rows: Codes,
    labels: Codes | None,
    values: Values | None,
) -> float:
    if isinstance(column, NumberColumn):
        found = columns.numbers(column.name)
        there = ~found.missing[rows]
        if labels is not None and not there.all() and there.any():  # such as the day when somebody left
            known = _by_label(there.astype(np.int64), labels)
            if known >= SURE:
                return known
        numbers = found.values[rows][there].astype(np.float64)
        if there.mean() < SURE or not len(numbers) or not np.ptp(numbers):
            return 0.0
        if labels is not None:
            return _by_threshold(numbers, labels[there])
        return _by_rank(numbers, _some(values)[there])
    codes = columns.codes(column.name).codes[rows]
    distinct = len(np.unique(codes))
    if distinct * ROWS_PER_VALUE > len(rows):
        return 0.0
    return _by_label(codes, labels) if labels is not None else _by_mean(codes, _some(values))


def _some(values: Any) -> Values:
    assert values is not None
    return values


def _by_label(codes: Codes, labels: Codes) -> float:
    """Share of the rows that have the most frequent label of their value."""
    width = int(labels.max()) + 2
    _, places = np.unique(codes, return_inverse=True)
    pairs, counts = np.unique(places * width + labels + 1, return_counts=True)
    best = np.zeros(int(places.max()) + 1, dtype=np.int64)
    np.maximum.at(best, pairs // width, counts)
    known = float(best.sum() / len(codes))
    return known if _is_gain(known, np.bincount(labels + 1).max() / len(labels)) else 0.0


def _is_gain(known: float, usual: float) -> bool:
    """Whether nearly all labels are right that would be wrong if the most frequent one were always guessed:
    of a rare label a column may well find half, and is then right for 99.9 % of all."""
    return 1 - known <= (1 - GAIN) * (1 - usual)


def _by_mean(codes: Codes, values: Values) -> float:
    """Share of the variance that the mean of each value explains."""
    _, places = np.unique(codes, return_inverse=True)
    means = np.bincount(places, values) / np.bincount(places)
    return float(1 - np.square(values - means[places]).mean() / values.var())


def _by_threshold(numbers: Values, labels: Codes) -> float:
    """Share of the rows that a few thresholds put right: of a tree with two leaves per label."""
    from sklearn.tree import DecisionTreeClassifier

    usual = np.bincount(labels + 1).max() / len(labels)
    leaves = max(4, 2 * len(np.unique(labels)))
    if leaves * ROWS_PER_VALUE > len(labels):
        return 0.0
    scaled = (numbers - numbers.min()) / np.ptp(numbers)
    tree = DecisionTreeClassifier(max_leaf_nodes=leaves, random_state=0).fit(scaled[:, None], labels)
    known = float(tree.score(scaled[:, None], labels))
    return known if _is_gain(known, usual) else 0.0


def _by_rank(numbers: Values, values: Values) -> float:
    """Squared rank correlation (Spearman's): 1 for any rising or falling function of the target."""
    import pandas as pd

    if not np.ptp(values):
        return 0.0
    ranks = np.stack([pd.Series(side).rank().to_numpy(dtype=np.float64) for side in (numbers, values)])
    return float(np.corrcoef(ranks)[0, 1] ** 2)
