"""From a `Source` to both sides of the split, blocks fitted, with as little read as can be.

In: a source, a splitter, getters and blocks. Out: two `ShardDataset`s. Labels are read only for blocks that
must learn from them, and then nothing but the columns that the getter asks for. Read next: `loader.py`.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import islice
from typing import Any

import numpy as np

from wiggly.data.base import Block
from wiggly.data.blocks import CategoryBlock
from wiggly.data.dataset import Getter
from wiggly.data.items import ColReader
from wiggly.data.shards.labels import read_column
from wiggly.data.shards.rows import Positions, ShardRows
from wiggly.data.shards.source import Source
from wiggly.data.shards.stream import ShardDataset
from wiggly.data.split import ColSplitter, IndexSplitter, RandomSplitter, TrainTestSplitter
from wiggly.errors import ArgumentError, DataError, LabelError

__all__ = ["ShardSplitter", "shard_datasets", "split_source"]

LOOKED_AT = 1000  # raw values that a block without a vocabulary learns from


class ShardSplitter:
    """Whole shards for validation, so that neither side reads the other's rows.

    Args:
        valid: Which: their share of all shards (0.1; the last ones, at least 1), their number (2), or one or
            several patterns of their addresses ("*-valid-*"), matched against the whole address or what
            follows its last slash.

    Example:
        >>> ShardSplitter(0.2)([f"photos-{i}.tar" for i in range(5)])[1]
        ['photos-4.tar']
        >>> ShardSplitter("b*")(["a-0.parquet", "b-0.parquet"])
        (['a-0.parquet'], ['b-0.parquet'])
    """

    def __init__(self, valid: float | int | str | Sequence[str]) -> None:
        self.valid = valid
        if isinstance(valid, (int, float)) and (valid <= 0 or (isinstance(valid, float) and valid >= 1)):
            raise ArgumentError(
                "`valid` must be a share between 0 and 1, a number of shards, or a pattern",
                f"it is {valid}",
                "Pass e.g. ShardSplitter(0.1) or ShardSplitter('*-valid-*').",
            )

    def __call__(self, shards: Sequence[str]) -> tuple[list[str], list[str]]:
        """Addresses for training and for validation.

        Raises:
            DataError: One side has none.
        """
        if isinstance(self.valid, (int, float)):
            share = isinstance(self.valid, float)
            n = math.ceil(self.valid * len(shards)) if share else int(self.valid)
            chosen = set(shards[max(0, len(shards) - n) :])
        else:
            patterns = [self.valid] if isinstance(self.valid, str) else list(self.valid)
            chosen = {s for s in shards for p in patterns if _fits(s, p)}
        train = [s for s in shards if s not in chosen]
        valid = [s for s in shards if s in chosen]
        if not train or not valid:
            raise DataError(
                "ShardSplitter must leave at least 1 shard on each side",
                f"of {len(shards)} it chose {len(valid)} for validation",
                "Change `valid`, write more shards, or split rows: RandomSplitter(0.2, seed=42).",
            )
        return train, valid


def _fits(shard: str, pattern: str) -> bool:
    return fnmatchcase(shard, pattern) or fnmatchcase(shard.rpartition("/")[2], pattern)


def split_source(source: Source, splitter: Any) -> tuple[ShardRows, ShardRows]:
    """The rows of both sides.

    Args:
        source: With `valid` addresses, which then decide; else the splitter does.
        splitter: `ShardSplitter` (opens nothing), `RandomSplitter` and its kin (count rows), or `ColSplitter`
            (reads its column).

    Raises:
        ArgumentError: The splitter would have to read all rows, or would split otherwise next time.
        DataError: A side is empty.
    """
    if source.valid_addresses:
        return ShardRows(source, source.shards), ShardRows(source, source.valid_shards)
    if isinstance(splitter, ShardSplitter):
        train, valid = splitter(source.shards)
        return ShardRows(source, train), ShardRows(source, valid)
    rows = ShardRows(source, source.shards)
    train, valid = (np.sort(np.asarray(list(side), dtype=np.int64)) for side in _row_split(rows, splitter))
    for name, side in (("training", train), ("validation", valid)):
        if not len(side):
            raise DataError(
                f"`splitter` must leave at least 1 row for {name}",
                f"it left 0 of {len(rows):,}",
                "Pass another share, or `valid=` addresses.",
            )
    return _side(rows, train), _side(rows, valid)


def _side(rows: ShardRows, chosen: Positions) -> ShardRows:
    return ShardRows(rows.source, rows.shards, chosen)


def _row_split(rows: ShardRows, splitter: Any) -> tuple[Sequence[int], Sequence[int]]:
    if isinstance(splitter, ColSplitter):
        import pandas as pd

        values = [value for _, value in read_column(rows, ColReader(splitter.col), "splitter")]
        if len(values) < len(rows):
            lost = len(rows) - len(values)
            received = f"it could not be read for {lost} of {len(rows)}"
            raise DataError("every row must say on which side it is", received, "Write the shards again.")
        return ColSplitter(0, splitter.on)(pd.DataFrame({"value": values}))
    seed = splitter.seed if isinstance(splitter, RandomSplitter) else None
    if isinstance(splitter, TrainTestSplitter):
        seed = splitter.options["random_state"]
    if seed is not None or isinstance(splitter, IndexSplitter):
        return splitter(range(len(rows)))
    raise ArgumentError(
        "rows of shards are split by shard, by column, or at random with a seed",
        f"there are no `valid` addresses, and the splitter is {type(splitter).__name__}"
        + (" without a seed" if isinstance(splitter, (RandomSplitter, TrainTestSplitter)) else ""),
        "Pass `valid=` addresses to the source, or splitter=ShardSplitter(0.1), ColSplitter('is_valid') or "
        "RandomSplitter(0.2, seed=42).",
    )


def shard_datasets(
    source: Source,
    splitter: Any,
    getters: Sequence[Getter],
    blocks: Sequence[Block],
    n_inp: int,
    item_tfms: Sequence[Any],
) -> tuple[ShardDataset, ShardDataset]:
    """Both sides, with fitted blocks.

    Args:
        source: The shards.
        splitter: See `split_source`.
        getters: One per block: row to raw value.
        blocks: Inputs first; fitted here.
        n_inp: How many of them are inputs.
        item_tfms: Transforms of one sample.

    Raises:
        LabelError: A label is missing, cannot be found, or is not among those of training.
    """
    train, valid = split_source(source, splitter)
    for side, (block, getter) in enumerate(zip(blocks, getters, strict=True)):
        _fit(block, getter, side, n_inp, train, valid)

    def samples(rows: ShardRows, training: bool) -> ShardDataset:
        return ShardDataset(rows, getters, blocks, n_inp, item_tfms, train=training)

    return samples(train, True), samples(valid, False)


def _fit(block: Block, getter: Getter, side: int, n_inp: int, train: ShardRows, valid: ShardRows) -> None:
    is_target = side >= n_inp
    if not block.needs_fit:  # labels are then checked as they come
        block.fit([])
        return
    what = "get_y" if is_target else "get_x"
    raws = read_column(train, getter, what)
    if not isinstance(block, CategoryBlock):  # one number per row, say: a few tell what it needs
        block.fit([raw for _, raw in islice(raws, LOOKED_AT)])
        return
    met = _distinct(raws)
    block.fit([raw for _, raw in met])
    for name, rows, known in (("training", train, met), ("validation", valid, None)):
        for position, raw in _distinct(read_column(rows, getter, what)) if known is None else known:
            _check(block, raw, f"{rows.name(position)}', in {name}")


def _distinct(raws: Iterator[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Each value once, with the first position it was met at."""
    met: dict[Any, tuple[int, Any]] = {}
    for position, raw in raws:
        key: Any = tuple(raw) if isinstance(raw, list) else raw
        if not isinstance(key, Hashable):
            key = (position,)  # no label at all; the block says so
        met.setdefault(key if key == key else None, (position, raw))  # NaN is not equal to itself
    return list(met.values())


def _check(block: Block, raw: Any, where: str) -> None:
    try:
        block.check(raw)
    except LabelError as error:
        raise LabelError(error.rule, f"{error.received} (at '{where})", error.fix) from error
