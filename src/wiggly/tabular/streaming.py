"""An encoder fitted in one pass over row groups, and loaders that read them again in every epoch.

In: parquet files. Out: `TabularDataLoaders` with flat memory. What is kept of a column while it is read is
its distinct values, or a few sums and a sample. Read next: `stream.py`, the batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from wiggly.data.blocks import CategoryBlock
from wiggly.data.edits.journal import Journal
from wiggly.data.loaders import Recipe
from wiggly.errors import ArgumentError, DataError
from wiggly.tabular.checks import check_fitted
from wiggly.tabular.columns import infer_kinds
from wiggly.tabular.edited_stream import edited_groups
from wiggly.tabular.encoder import Columns, TableEncoder
from wiggly.tabular.fields import CategoryColumn, NumberColumn, check_fill, kind_of, on_grid
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.procs import Procs, as_procs
from wiggly.tabular.reading import Numbers, as_frame, check_columns, rows_as_frame
from wiggly.tabular.stream import RowGroups, StreamDataset, TableStream, Taken
from wiggly.tabular.table import TabularPandas
from wiggly.tabular.targets import Targets, fit_labels, made_targets

__all__ = ["Sums", "stream_table"]

SAMPLE = 200_000  # training rows that medians are taken from; all, if there are no more
SOME_ROWS = 100_000  # rows by which kinds are inferred and columns are checked
SOME_GROUPS = 16  # that these rows come from


class Sums:
    """What is known of a column of numbers after some of its rows: enough for mean, standard deviation (by
    Chan, Golub & LeVeque, "Updating formulae and a pairwise algorithm", 1979) and, from a sample, the fill.

    Args:
        share: Share of the rows that go into the sample.
        seed: Of the sample.
    """

    def __init__(self, share: float, seed: int) -> None:
        self.n, self.lacking, self.mean, self.squares = 0, 0, 0.0, 0.0
        self.low, self.high = float("inf"), float("-inf")
        self.share, self.draw = share, np.random.default_rng(seed)
        self.sample: list[npt.NDArray[np.float64]] = []
        self.kind = ""

    def add(self, dtype: Any, column: Numbers) -> None:
        """Adds rows."""
        values = column.values[~column.missing].astype(np.float64)
        self.lacking += int(column.missing.sum())
        kind = kind_of(dtype, column)
        self.kind = kind if self.kind in ("", kind) else "number"
        if not len(values):
            return
        n, mean = len(values), float(values.mean())
        away = mean - self.mean
        self.squares += float(np.square(values - mean).sum()) + away**2 * self.n * n / (self.n + n)
        self.mean += away * n / (self.n + n)
        self.n += n
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))
        self.sample.append(values if self.share >= 1 else values[self.draw.random(n) < self.share])

    def column(self, name: str, procs: Procs) -> NumberColumn:
        """The column that these rows make, as `NumberColumn.fit` makes it of rows in memory."""
        check_fill(name, self.lacking, procs)
        sample = np.concatenate(self.sample) if self.sample else np.zeros(1)
        settings = Procs(procs.fill, False)
        kept = Numbers(sample, np.zeros(len(sample), dtype=bool), np.zeros(len(sample), dtype=bool))
        fill = NumberColumn.fit(name, None, kept, settings).fill
        if not self.lacking:
            fill = on_grid(self.kind, fill)
        mean, std = 0.0, 1.0
        if procs.normalize and self.n:
            share = self.lacking / (self.n + self.lacking)
            mean = self.mean * (1 - share) + fill * share
            squares = self.squares + self.n * (self.mean - mean) ** 2 + self.lacking * (fill - mean) ** 2
            constant = self.low == self.high and (not self.lacking or fill == self.low)
            std = 1.0 if constant else float(np.sqrt(squares / (self.n + self.lacking))) or 1.0
        flagged = bool(self.lacking) and procs.fill is not None and procs.fill.add_col
        low, high = (self.low, self.high) if self.n else (fill, fill)
        return NumberColumn(name, self.kind or "number", fill, flagged, 0, mean, std, low, high)


def stream_table(
    files: Any,
    y_names: str | Sequence[str],
    path: str | Path = ".",
    procs: Sequence[Any] | None = None,
    cat_names: Sequence[str] | None = None,
    cont_names: Sequence[str] | None = None,
    y_block: Any = None,
    bs: int = 1024,
    val_bs: int | None = None,
    shuffle: bool = True,
    device: str | torch.device | None = None,
    valid_pct: float = 0.2,
    seed: int | None = None,
    verbose: bool = True,
    buffer_rows: int = 1 << 17,
    edits: str | Path | Journal | None = None,
) -> TabularDataLoaders:
    """Loaders of parquet files; `TabularDataLoaders.from_parquet` explains the arguments."""
    if not 0 < valid_pct < 1:
        raise ArgumentError(
            "`valid_pct` must be a share between 0 and 1", f"it is {valid_pct}", "Pass e.g. valid_pct=0.2."
        )
    groups = RowGroups(files)
    if len(groups) < 2:
        raise DataError("there must be at least 2 rows", f"there are {len(groups)}", "Pass more rows.")
    seed = int(torch.randint(2**31, ())) if seed is None else seed
    sides, plan = [Taken(valid_pct, seed, valid) for valid in (False, True)], None
    some = _some_rows(groups)
    targets = made_targets(some, y_names, y_block)
    if edits is not None:
        groups, sides, plan = edited_groups(groups, sides, targets, edits)
        plan.warn()
    kinds = infer_kinds(some, cat_names, cont_names, targets.columns)
    encoder = _fit(groups, sides[0], kinds.categories, kinds.numbers, targets, as_procs(procs))
    notes = check_fitted(some, encoder, targets, range(len(some)))
    inferred = cat_names is None and cont_names is None
    for line in filter(None, [str(kinds) if inferred else "", targets.note, *notes] if verbose else []):
        print(line)
    train, valid = (StreamDataset(groups, side, encoder, targets) for side in sides)
    if not len(train) or not len(valid):
        raise DataError(
            "both sides of the split must have rows",
            f"there are {len(train)} for training and {len(valid)} for validation",
            "Change `valid_pct` or `seed`.",
        )
    loaders = (
        TableStream(train, bs, shuffle, drop_last=shuffle, seed=seed, buffer_rows=buffer_rows),
        TableStream(valid, val_bs or bs, seed=seed, buffer_rows=buffer_rows),
    )
    table = TabularPandas.of_parts(some.frame.head(1000), encoder, targets, kinds, notes)
    summary = None if plan is None else plan.summary()
    source, split = f"{len(groups.files)} parquet files, '{groups.files[0]}'", f"{valid_pct:.0%} of the rows"
    recipe = Recipe(source, split, edits=summary)
    return TabularDataLoaders(*loaders, table, path, device, recipe=recipe)


def _some_rows(groups: RowGroups) -> Columns:
    """Rows from the whole length of the files, as a table: of files sorted by a column, the first rows would
    hold a single value of it."""
    import pyarrow as pa

    full = [group for group in groups.groups if group.rows]
    chosen = [full[k] for k in np.unique(np.linspace(0, len(full) - 1, SOME_GROUPS).astype(int))]
    each = SOME_ROWS // len(chosen)
    tables: list[Any] = []
    for group in chosen:
        rows = np.unique(np.linspace(0, group.rows - 1, min(each, group.rows)).astype(np.int64))
        tables.append(groups.read(group, groups.columns, rows).to_native())
    try:
        return Columns(as_frame(pa.concat_tables(tables, promote_options="permissive")))
    except (TypeError, ValueError) as error:
        raise DataError(
            "a column must have the same type in all parquet files", f"{error}", "Write them again."
        ) from error


def _fit(
    groups: RowGroups,
    taken: Taken,
    cat_names: Sequence[str],
    cont_names: Sequence[str],
    targets: Targets,
    procs: Procs,
) -> TableEncoder:
    """The encoder, and the labels of the targets, in one pass over the training rows."""
    names = [*cat_names, *cont_names, *targets.columns]
    check_columns(rows_as_frame({name: [] for name in groups.columns}), names, "columns")
    labelled = [
        names[0]
        for names, block in zip(targets.names, targets.blocks, strict=True)
        if isinstance(block, CategoryBlock) and len(names) == 1
    ]
    distinct: dict[str, dict[Any, None]] = {name: {} for name in (*cat_names, *labelled)}
    ordered: dict[str, list[Any]] = {}
    sums = {name: Sums(SAMPLE / len(groups), taken.seed) for name in cont_names}
    for group in groups.groups:
        rows = taken.rows(group)
        columns = Columns(groups.read(group, names, rows))
        with groups.telling(group, rows):
            for name, values in distinct.items():
                found = columns.codes(name)
                values.update(dict.fromkeys(found.values))
                if found.ordered is not None:
                    ordered[name] = found.ordered
            for name, sum_ in sums.items():
                sum_.add(columns.frame[name].dtype, columns.numbers(name))
    for names_, block in zip(targets.names, targets.blocks, strict=True):
        if names_[0] in labelled:
            fit_labels(block, names_[0], list(distinct[names_[0]]))
        else:
            block.fit([[0.0] * len(names_)])
    empty = np.empty(0, dtype=np.int64)
    categories = [_category(name, list(distinct[name]), ordered.get(name), empty) for name in cat_names]
    return TableEncoder.with_flags(categories, [sums[name].column(name, procs) for name in cont_names])


def _category(name: str, values: list[Any], ordered: list[Any] | None, empty: Any) -> CategoryColumn:
    from wiggly.tabular.reading import Codes

    codes = np.arange(len(values)) if ordered is None else empty
    return CategoryColumn.fit(name, Codes(codes, values, ordered))
