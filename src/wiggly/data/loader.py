"""Batches in threads: seeds per item, order kept, unreadable items skipped and counted.

In: a data set. Out: `Batch` after `Batch`. Decoding and warping release Python's global lock, so threads do
the work of processes without their start-up, copying or trouble in notebooks. The draws of an item depend on
(seed, epoch, item)
alone: the number of threads changes nothing. Read next: `loaders.py`, both splits together.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from random import Random
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.data.blocks import Block
from wiggly.data.dataset import Dataset
from wiggly.data.transform import LendStatistics, Transform, is_active, transform_names
from wiggly.errors import ArgumentError, BadItemsError, DataError, ItemError
from wiggly.records import Batch

__all__ = ["DataLoader", "batches_of", "default_workers", "item_seed"]

Statistics = tuple[Sequence[float], Sequence[float]]

# Epochs at and above this number are for looking (one_batch, show_batch): they must not move the training
# draws.
LOOKING = 1 << 30


def default_workers() -> int:
    """Threads for loading: one per core this process may use, at most 16."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)
    return min(16, cores)


def item_seed(seed: int, epoch: int, position: int) -> Random:
    """The generator of one item in one epoch: Python's Mersenne Twister seeded with the three numbers side by
    side."""
    return Random((seed << 96) | (epoch << 48) | position)


class DataLoader:
    """Batches of a data set.

    Args:
        dataset: A `Dataset`, or any sequence (list of tuples, `range`); of the latter, elements are collated
            by torch.
        bs: Items per batch. `batch_size` is the same.
        shuffle: New order every epoch, drawn from (seed, epoch).
        drop_last: Leave out the last batch if it is smaller. The only batch is never left out.
        num_workers: Threads; 0 loads in the calling thread, None takes one per core (0 for a plain sequence).
        batch_tfms: Callables on the input batch `(n, c, h, w)` in [0, 1], or transforms of ours after such a
            callable.
        seed: Of order and draws; None takes one from torch's global generator.
        device: Where batches go when iterated over by hand; the Learner moves them itself.
        max_bad: Share of items that may be unreadable before the run stops; a single one never stops it,
            unless this is 0.

    Raises:
        ArgumentError: `bs` below 1, `num_workers` below 0, or both `bs` and `batch_size`.

    Example:
        >>> list(DataLoader(range(5), bs=2))
        [tensor([0, 1]), tensor([2, 3]), tensor([4])]
    """

    def __init__(
        self,
        dataset: Any,
        bs: int | None = None,
        shuffle: bool = False,
        drop_last: bool = False,
        num_workers: int | None = None,
        *,
        batch_size: int | None = None,
        batch_tfms: Sequence[Any] = (),
        seed: int | None = None,
        device: str | torch.device | None = None,
        max_bad: float = 0.01,
    ) -> None:
        if bs is not None and batch_size is not None and bs != batch_size:
            raise ArgumentError(
                "`bs` and `batch_size` are the same", f"got {bs} and {batch_size}", "Pass one of them."
            )
        size = bs if bs is not None else batch_size
        self.bs = 64 if size is None else int(size)
        if self.bs < 1:
            raise ArgumentError(
                "`bs` must be at least 1", f"it is {self.bs}", "Pass a positive number, e.g. bs=64."
            )
        if num_workers is not None and num_workers < 0:
            raise ArgumentError(
                "`num_workers` must not be negative",
                f"it is {num_workers}",
                "Pass 0 to load without threads.",
            )
        if len(dataset) == 0:
            raise DataError(
                "a loader needs at least 1 item", "the data set has none", "Check the source and the split."
            )
        self.dataset, self.shuffle = dataset, shuffle
        self.drop_last = drop_last and len(dataset) >= self.bs
        plain = not isinstance(dataset, Dataset)
        self.num_workers = num_workers if num_workers is not None else (0 if plain else default_workers())
        self.batch_tfms = list(batch_tfms)
        self.seed = int(torch.randint(2**31, ())) if seed is None else seed
        self.device = torch.device(device) if device is not None else None
        self.max_bad = max_bad
        self.epoch = 0
        self._looks = 0
        self.bad_items: dict[str, str] = {}

    @property
    def n_items(self) -> int:
        """Number of items, unreadable ones included."""
        return len(self.dataset)

    def __len__(self) -> int:
        n, bs = len(self.dataset), self.bs
        return n // bs if self.drop_last else -(-n // bs)

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches():
            tensors = tuple(t.to(self.device) if self.device is not None else t for t in batch.tensors)
            yield tensors if self._is_tuple(batch) else tensors[0]

    def _is_tuple(self, batch: Batch) -> bool:
        return isinstance(self.dataset, Dataset) or len(batch.tensors) > 1

    def batches(self, stats: Statistics | None = None) -> Iterator[Batch]:
        """One pass over the data.

        Args:
            stats: Mean and standard deviation per channel that a model lends for this pass: images then come
                normalised, in the same look-up that scales them, instead of in [0, 1].

        Raises:
            BadItemsError: More than `max_bad` of the items are unreadable.
        """
        epoch = self.epoch
        yield from self._run(self.order(epoch), epoch, stats)
        if self.shuffle:
            self.epoch = epoch + 1

    def look(self, n: int | None = None) -> Batch:
        """A first batch (of `n` items) for looking at; draws anew each time and leaves training's draws
        alone.

        Raises:
            DataError: None of the items can be read.
        """
        epoch, self._looks = LOOKING + self._looks, self._looks + 1
        order = self.order(epoch)[: n or self.bs]
        for batch in self._run(order, epoch, None, bs=len(order)):
            return batch
        names = ", ".join(list(self.bad_items)[:3])
        raise DataError(
            "at least 1 item of a batch must be readable", f"none is: {names}", "Repair or remove them."
        )

    def one_batch(self) -> tuple[Tensor, ...]:
        """A batch for looking at, on this loader's device."""
        return tuple(t.to(self.device) if self.device is not None else t for t in self.look().tensors)

    def repeat(self, position: int, n: int) -> Batch:
        """The same item `n` times with `n` different draws, as `show_batch(unique=True)` shows it."""
        batches = [self._assemble([position], LOOKING + k, ()) for k in range(n)]
        stacked = tuple(torch.cat(rows) for rows in zip(*(b.tensors for b in batches), strict=True))
        n_inp = len(batches[0].inputs)
        return Batch(stacked[:n_inp], stacked[n_inp:], [position] * n)

    def show_batch(
        self,
        b: Sequence[Tensor] | None = None,
        max_n: int = 9,
        nrows: int | None = None,
        ncols: int | None = None,
        figsize: tuple[float, float] | None = None,
        unique: bool = False,
    ) -> None:
        """Draws items of a batch with their labels.

        Args:
            b: A batch to draw; None takes a new one.
            max_n: At most this many items.
            nrows: Rows of the grid.
            ncols: Columns of the grid.
            figsize: Inches.
            unique: One item again and again, to see what the random transforms do to it.

        Raises:
            DataError: The loader was not built from blocks.
        """
        from wiggly.data.show import show_batch

        show_batch(self, b, max_n, nrows, ncols, figsize, unique)

    def order(self, epoch: int) -> list[int]:
        """Positions in the order of an epoch."""
        n = len(self.dataset)
        if not self.shuffle:
            return list(range(n))
        return np.random.default_rng([self.seed % 2**64, epoch]).permutation(n).tolist()

    def _run(self, order: list[int], epoch: int, stats: Statistics | None, bs: int = 0) -> Iterator[Batch]:
        bs = bs or self.bs
        groups = [order[i : i + bs] for i in range(0, len(order), bs)]
        if self.drop_last and groups and len(groups[-1]) < bs:
            groups.pop()
        extra = () if stats is None else (LendStatistics(tuple(stats[0]), tuple(stats[1])),)
        jobs = ((positions, epoch, extra) for positions in groups)
        for batch in self._in_order(jobs):
            if len(batch):
                yield batch

    def _in_order(self, jobs: Iterator[tuple[list[int], int, tuple[Any, ...]]]) -> Iterator[Batch]:
        """Runs jobs in threads with a bounded look-ahead and delivers them in order."""
        if self.num_workers == 0:
            for job in jobs:
                yield self._assemble(*job)
            return
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="wiggly-loader")
        waiting: deque[Future[Batch]] = deque()
        try:
            for job in jobs:
                waiting.append(pool.submit(self._assemble, *job))
                if len(waiting) > self.num_workers + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:  # also when the consumer stops early or an item fails
            pool.shutdown(wait=False, cancel_futures=True)

    def _assemble(self, positions: list[int], epoch: int, extra: tuple[Any, ...]) -> Batch:
        if not isinstance(self.dataset, Dataset):
            return self._collate_plain(positions)
        rows = _Rows(self.dataset, len(positions))
        # Callables get images in [0, 1], so lent statistics wait until after them.
        late = [t for t in self.batch_tfms if is_active(t, self.dataset.train)]
        early, late = ((), [*late, *extra]) if late else (extra, late)
        for position in positions:
            try:
                rows.add(position, item_seed(self.seed, epoch, position), early)
            except ItemError as error:
                if not self.max_bad:  # no item may be missing from predictions
                    raise
                self._skip(self.dataset.item_name(position), error.reason)
        batch = rows.batch()
        for k, transform in enumerate(late):
            if len(batch):
                inputs = self._batch_transform(transform, batch, epoch, k)
                batch = Batch(inputs, batch.targets, batch.positions)
        return batch

    def _batch_transform(self, transform: Any, batch: Batch, epoch: int, k: int) -> tuple[Tensor, ...]:
        if not isinstance(transform, Transform):
            return (_called(transform, batch.inputs[0]), *batch.inputs[1:])
        # One of ours behind a callable that ended the fused run: act on the rows as they now are.
        blocks: list[Block] = self.dataset.blocks[: self.dataset.n_inp]
        columns: list[Tensor] = []
        for row, position in enumerate(batch.positions):
            values = tuple(b.revive(t[row]) for b, t in zip(blocks, batch.inputs, strict=True))
            random = item_seed(self.seed, epoch, position + ((k + 1) << 40))
            values = transform.apply(values, random, self.dataset.train)
            if not columns:
                columns = [b.allocate(b.encode(v), len(batch)) for b, v in zip(blocks, values, strict=True)]
            for block, value, column in zip(blocks, values, columns, strict=True):
                block.encode_into(value, column[row])
        return tuple(columns)

    def _collate_plain(self, positions: list[int]) -> Batch:
        from torch.utils.data import default_collate

        collated = default_collate([self.dataset[i] for i in positions])
        return _as_batch(collated, positions)

    def _skip(self, name: str, reason: str) -> None:
        self.bad_items[name] = reason
        allowed = max(1, int(self.max_bad * len(self.dataset)))
        if len(self.bad_items) > allowed:
            shown = "; ".join(f"'{n}' ({r})" for n, r in list(self.bad_items.items())[:3])
            raise BadItemsError(
                f"at most {self.max_bad:.0%} of the items may be unreadable",
                f"{len(self.bad_items)} of {len(self.dataset)} are: {shown}",
                "Repair or remove them (`dls.bad_items` names those found so far), or pass a larger "
                "`max_bad`.",
            )


def _called(transform: Any, images: Tensor) -> Tensor:
    """What a user's own callable makes of the input batch.

    Raises:
        DataError: It fails, or does not return a tensor with as many rows.
    """
    name = transform_names([transform])[0]
    try:
        changed = transform(images)
    except Exception as error:
        raise DataError(
            f"the callable {name} in `batch_tfms` must accept every batch",
            f"it raised {type(error).__name__}: {error} on a batch of shape {tuple(images.shape)}",
            "It gets the images as a float tensor (n, c, h, w) in [0, 1] and returns one like it.",
        ) from error
    if not isinstance(changed, Tensor) or changed.shape[:1] != images.shape[:1]:
        raise DataError(
            f"the callable {name} in `batch_tfms` must return a tensor with one row per item",
            f"it returned {tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__}",
            "It gets the images as a float tensor (n, c, h, w) in [0, 1] and returns one like it.",
        )
    return changed


class _Rows:
    """A batch being filled row by row, in place; an unreadable item leaves no gap."""

    def __init__(self, dataset: Dataset, n: int) -> None:
        self.dataset, self.n = dataset, n
        self.columns: list[Tensor | list[Tensor]] = []
        self.positions: list[int] = []

    def add(self, position: int, random: Random, extra: tuple[Any, ...]) -> None:
        values = self.dataset.sample(position, random, extra)
        try:
            if self.columns:
                self._fill(values, len(self.positions))
            else:
                self._begin(values)
        except DataError as error:
            if isinstance(error, ItemError):
                raise
            name = self.dataset.item_name(position)
            raise DataError(error.rule, f"{error.received} (at '{name}')", error.fix) from error
        self.positions.append(position)

    def _begin(self, values: tuple[Any, ...]) -> None:
        columns: list[Tensor | list[Tensor]] = []
        for block, value in zip(self.dataset.blocks, values, strict=True):
            first = block.encode(value)
            if block.ragged:
                columns.append([first])
                continue
            column = block.allocate(first, self.n)
            column[0].copy_(first)
            columns.append(column)
        self.columns = columns

    def _fill(self, values: tuple[Any, ...], row: int) -> None:
        for block, value, column in zip(self.dataset.blocks, values, self.columns, strict=True):
            if isinstance(column, list):
                # An earlier attempt at this row may have failed on a later block.
                column[row:] = [block.encode(value)]
            else:
                block.encode_into(value, column[row])

    def batch(self) -> Batch:
        n, n_inp = len(self.positions), self.dataset.n_inp
        tensors = tuple(
            block.collate(column[:n]) if isinstance(column, list) else column[:n]
            for block, column in zip(self.dataset.blocks, self.columns, strict=False)
        )
        return Batch(tensors[:n_inp], tensors[n_inp:], self.positions)


def _as_batch(collated: Any, positions: list[int]) -> Batch:
    """torch's or a user's own collation as a `Batch`: the last element is the target."""
    if isinstance(collated, Tensor):
        return Batch((collated,), (), positions)
    tensors = tuple(cast("Iterable[Tensor]", collated))
    if len(tensors) < 2:
        return Batch(tensors, (), positions)
    return Batch(tensors[:-1], tensors[-1:], positions)


def batches_of(loader: Any, stats: Statistics | None = None) -> Iterator[Batch]:
    """Batches of any loader: ours, torch's, or a list of `(x, y)`.

    Args:
        loader: Anything that yields tensors or tuples of them, the last being the target.
        stats: Lent statistics; only our own loaders take them.

    Example:
        >>> [b.targets[0].tolist() for b in batches_of([(torch.zeros(2, 3), torch.tensor([0, 1]))])]
        [[0, 1]]
    """
    if isinstance(loader, DataLoader):
        yield from loader.batches(stats)
        return
    start = 0
    for collated in loader:
        batch = _as_batch(collated, [])
        n = int(batch.tensors[0].shape[0])
        yield Batch(batch.inputs, batch.targets, list(range(start, start + n)))
        start += n
