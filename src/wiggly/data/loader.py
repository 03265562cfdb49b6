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
from itertools import islice
from random import Random
from typing import Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.data.base import Block, joined_rows
from wiggly.data.dataset import Dataset
from wiggly.data.late import apply_batch_transform
from wiggly.data.order import WHOLE, Ordered, Part, Positions, cumulative_weights, share_of
from wiggly.data.rows import Rows
from wiggly.data.shards.stream import Order, ShardDataset
from wiggly.data.transform import LendStatistics, Transform, is_active
from wiggly.errors import ArgumentError, BadItemsError, DataError, ItemError
from wiggly.records import Batch

__all__ = ["DataLoader", "batches_of", "default_workers", "item_seed"]

Statistics = tuple[Sequence[float], Sequence[float]]
# Positions, epoch, more transforms, for each position the number that its draws come from, and what holds the
# items.
Job = tuple[list[int], int, tuple[Any, ...], list[int], Any]

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


class DataLoader(Ordered):
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
        warp_on: "cpu", or "device" to decode and warp whole batches there, with the same draws; for training
            on a GPU whose CPU is too slow to feed it. Batches to look at are made on the CPU.
        wgts: One number per item: an epoch then has as many items drawn with replacement, in proportion.

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
        warp_on: str = "cpu",
        wgts: Sequence[float] | None = None,
    ) -> None:
        if warp_on not in ("cpu", "device"):
            raise ArgumentError(
                '`warp_on` must be "cpu" or "device"', f"it is {warp_on!r}", 'Leave it out for "cpu".'
            )
        if bs is not None and batch_size is not None and bs != batch_size:
            raise ArgumentError(
                "`bs` and `batch_size` are the same", f"got {bs} and {batch_size}", "Pass one of them."
            )
        size = bs if bs is not None else batch_size
        if num_workers is not None and num_workers < 0:
            raise ArgumentError(
                "`num_workers` must not be negative",
                f"it is {num_workers}",
                "Pass 0 to load without threads.",
            )
        sharded = isinstance(dataset, ShardDataset)
        if sharded and wgts is not None:
            raise ArgumentError(
                "`wgts` needs items that can be had in any order",
                "the items are rows of shards",
                "Leave it out.",
            )
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        if not sharded and len(dataset) == 0:
            raise DataError(
                "a loader needs at least 1 item", "the data set has none", "Check the source and the split."
            )
        self.dataset = dataset
        super().__init__(64 if size is None else int(size), shuffle, drop_last, seed, wgts)
        plain = not isinstance(dataset, Dataset)
        self.num_workers = num_workers if num_workers is not None else (0 if plain else default_workers())
        self.batch_tfms = list(batch_tfms)
        self.device = torch.device(device) if device is not None else None
        self.max_bad, self.warp_on = max_bad, warp_on
        self._looks = 0
        self.bad_items: dict[str, str] = {}

    def __iter__(self) -> Iterator[Any]:
        for batch in self.batches():
            tensors = tuple(t.to(self.device) if self.device is not None else t for t in batch.tensors)
            yield tensors if self._is_tuple(batch) else tensors[0]

    def _is_tuple(self, batch: Batch) -> bool:
        return isinstance(self.dataset, Dataset) or len(batch.tensors) > 1

    def batches(self, stats: Statistics | None = None, part: Part = WHOLE) -> Iterator[Batch]:
        """One pass over the data.

        Args:
            stats: Mean and standard deviation per channel that a model lends for this pass: images then come
                normalised, in the same look-up that scales them, instead of in [0, 1].
            part: Number of this process and how many there are: each then makes its rows of every batch, and
                gets an empty batch where none of them is there, so that all stay in step. A loader that is a
                part already (`shard`) is not divided again.

        Raises:
            BadItemsError: More than `max_bad` of the items are unreadable.
        """
        epoch, start = self.epoch, self._start
        self._start = self._done = 0
        rows = part if self._parts == 1 else WHOLE
        for done, batch in enumerate(self._run(epoch, stats, start=start, part=rows), start + 1):
            self._done = done
            if len(batch) or part != WHOLE:
                yield batch
        self._done = 0
        if self._counts_epochs:
            self.epoch = epoch + 1

    @property
    def _counts_epochs(self) -> bool:
        # In fixed order the transforms of training still draw anew.
        return self._is_drawn or bool(getattr(self.dataset, "train", False))

    def look(self, n: int | None = None) -> Batch:
        """A first batch (of `n` items) for looking at; draws anew each time and leaves training's draws
        alone.

        Raises:
            DataError: None of the items can be read.
        """
        epoch, self._looks = LOOKING + self._looks, self._looks + 1
        for batch in self._run(epoch, None, most=n or self.bs):
            if len(batch):
                return batch
        names = ", ".join(list(self.bad_items)[:3]) or "there are no items"
        raise DataError(
            "at least 1 item of a batch must be readable", f"none is: {names}", "Repair or remove them."
        )

    def one_batch(self) -> tuple[Tensor, ...]:
        """A batch for looking at, on this loader's device."""
        return tuple(t.to(self.device) if self.device is not None else t for t in self.look().tensors)

    def assemble(self, positions: Sequence[int], dataset: Dataset) -> Batch:
        """One batch of these items, made in the calling thread, with draws for looking.

        Args:
            positions: The items.
            dataset: What holds them: `loader.dataset`, or rows of its shards.
        """
        return self._assemble(list(positions), LOOKING, (), list(positions), dataset)

    def repeat(self, position: int, n: int) -> Batch:
        """The same item `n` times with `n` different draws, as `show_batch(unique=True)` shows it."""
        batches = [self._assemble([position], LOOKING + k, (), [position], self.dataset) for k in range(n)]
        columns = list(zip(*(b.tensors for b in batches), strict=True))
        blocks: list[Block | None] = getattr(self.dataset, "blocks", [None] * len(columns))
        stacked = tuple(map(joined_rows, blocks, columns))
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

    def _run(
        self,
        epoch: int,
        stats: Statistics | None,
        start: int = 0,
        most: int | None = None,
        part: Part = WHOLE,
    ) -> Iterator[Batch]:
        extra = () if stats is None else (LendStatistics(tuple(stats[0]), tuple(stats[1])),)
        dealt = self._dealt(epoch, start, most)
        mine = ((share_of(len(positions), part), positions, *rest) for positions, *rest in dealt)
        return self._in_order((p[rows], epoch, extra, numbers[rows], held) for rows, p, numbers, held in mine)

    def _dealt(self, epoch: int, start: int, most: int | None) -> Iterator[tuple[list[int], list[int], Any]]:
        """Batch by batch the positions, the numbers that draws come from, and the data set that holds the
        items; with `most` one batch of so many."""
        if isinstance(self.dataset, ShardDataset):
            order, drop = self._shard_order(epoch, most), self.drop_last if most is None else False
            batches = self.dataset.batches(order, most or self.bs, start, drop, self._lose)
            yield from ((p, p, held) for p, held in (batches if most is None else islice(batches, 1)))
            return
        order = self._positions(epoch)[:most]
        for positions, numbers in self._groups(order, self.bs if most is None else len(order), start):
            yield positions, numbers, self.dataset

    def _shard_order(self, epoch: int, most: int | None = None) -> Order:
        seeds = [self.seed, epoch] if self._is_drawn else None
        return self.dataset.order(seeds, self._part, self._parts, most)

    def _positions(self, epoch: int) -> Positions:
        if isinstance(self.dataset, ShardDataset):
            return np.fromiter(self._shard_order(epoch), dtype=np.int64)
        return super()._positions(epoch)

    def count(self) -> int:
        return len(self.dataset)

    def _in_order(self, jobs: Iterator[Job]) -> Iterator[Batch]:
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

    def _assemble(
        self, positions: list[int], epoch: int, extra: tuple[Any, ...], numbers: list[int], dataset: Any
    ) -> Batch:
        if not isinstance(dataset, Dataset):
            return self._collate_plain(positions)
        # Callables get images in [0, 1], so lent statistics wait until after them.
        late = [t for t in self.batch_tfms if is_active(t, dataset.train)]
        early, late = ((), [*late, *extra]) if late else (extra, late)
        device = self._rendering_device(epoch, late) if dataset.train else None  # else exactly, on the CPU
        rows = Rows(dataset, len(positions), device)
        for position, number in zip(positions, numbers, strict=True):
            try:
                rows.add(position, item_seed(self.seed, epoch, number), early)
            except ItemError as error:
                self._skip(dataset.item_name(position), error)
        batch, unreadable = rows.batch()
        for position, error in unreadable.items():
            self._skip(dataset.item_name(position), error)
        for k, transform in enumerate(late):
            if len(batch):
                draws = [item_seed(self.seed, epoch, p + ((k + 1) << 40)) for p in batch.positions]
                batch = apply_batch_transform(transform, batch, dataset, draws)
        return batch

    def _rendering_device(self, epoch: int, late: Sequence[Any]) -> torch.device | None:
        """Where this batch's images are made, if not row by row on the CPU."""
        looking = epoch >= LOOKING
        # One of ours behind a callable acts on rows in the CPU's memory.
        rows = any(isinstance(t, Transform) for t in late)
        return None if self.warp_on == "cpu" or looking or rows else self.device

    def _collate_plain(self, positions: list[int]) -> Batch:
        if not positions:  # of a part of a batch
            return Batch((), (), [])
        batch = _as_batch(_collated([self.dataset[i] for i in positions]), positions)
        for function in self.batch_tfms:
            batch = apply_batch_transform(function, batch, self.dataset, ())
        return batch

    def over(self, dataset: Any, wgts: Sequence[float] | None = None) -> Self:
        """A loader of other items with the same settings.

        Args:
            dataset: They.
            wgts: Their weights; None takes each once.
        """
        made = self._copy()
        made.dataset = dataset
        made._cumulative = None if wgts is None else cumulative_weights(wgts, made.count())
        return made

    def _copy(self) -> Self:
        made = super()._copy()
        made.bad_items = {}
        return made

    def _lose(self, name: str, reason: str) -> None:
        self._skip(name, ItemError(name, reason))

    def _skip(self, name: str, error: ItemError) -> None:
        if not self.max_bad:  # no item may be missing from predictions
            raise error
        self.bad_items[name] = error.reason
        allowed = max(1, int(self.max_bad * len(self.dataset)))
        if len(self.bad_items) > allowed:
            shown = "; ".join(f"'{n}' ({r})" for n, r in list(self.bad_items.items())[:3])
            raise BadItemsError(
                f"at most {self.max_bad:.0%} of the items may be unreadable",
                f"{len(self.bad_items)} of {len(self.dataset)} are: {shown}",
                "Repair or remove them (`dls.bad_items` names those found so far), or pass a larger "
                "`max_bad`.",
            )


def _collated(items: list[Any]) -> Any:
    """What torch makes of items.

    Raises:
        DataError: They differ in shape, or hold what is no number.
    """
    from torch.utils.data import default_collate

    try:
        return default_collate(items)
    except (RuntimeError, TypeError) as error:
        raise DataError(
            "the items of a batch must be tensors, arrays or numbers of one shape",
            str(error).splitlines()[0],
            "Resize or pad them to one shape, leave None out, or pass bs=1.",
        ) from error


def _as_batch(collated: Any, positions: list[int]) -> Batch:
    """torch's or a user's own collation as a `Batch`: the last element is the target."""
    if isinstance(collated, Batch):
        return collated
    if isinstance(collated, Tensor):
        return Batch((collated,), (), positions)
    tensors = tuple(cast("Iterable[Tensor]", collated))
    for number, part in enumerate(cast("tuple[Any, ...]", tensors)):
        if not isinstance(part, Tensor):
            raise DataError(
                "every part of a batch must be a tensor",
                f"part {number} is a {type(part).__name__}: {part!r:.60}",
                "Make numbers of texts and labels first, as CategoryBlock does, or collate them yourself.",
            )
    if len(tensors) < 2:
        return Batch(tensors, (), positions)
    return Batch(tensors[:-1], tensors[-1:], positions)


def batches_of(loader: Any, stats: Statistics | None = None, part: Part = WHOLE) -> Iterator[Batch]:
    """Batches of any loader: ours, torch's, or a list of `(x, y)`.

    Args:
        loader: Anything that yields tensors or tuples of them, the last being the target.
        stats: Lent statistics; only our own loaders take them.
        part: Which process of how many reads; another library's loader makes whole batches in each of them,
            of which this one's rows are taken.

    Example:
        >>> [b.targets[0].tolist() for b in batches_of([(torch.zeros(2, 3), torch.tensor([0, 1]))])]
        [[0, 1]]
    """
    if isinstance(loader, Ordered):
        yield from loader.batches(stats, part)
        return
    if getattr(getattr(loader, "sampler", None), "num_replicas", 1) > 1:
        part = WHOLE  # torch's DistributedSampler has divided the items already
    start = 0
    for collated in loader:
        batch = _as_batch(collated, [])
        n = int(batch.tensors[0].shape[0])
        rows, numbers = share_of(n, part), range(start, start + n)
        inputs, targets = batch.inputs, batch.targets
        if part != WHOLE:
            inputs, targets = tuple(t[rows] for t in inputs), tuple(t[rows] for t in targets)
        yield Batch(inputs, targets, list(numbers[rows]))
        start += n
