"""Rows of shards as a data set: dealt in an order that is known beforehand, read ahead in threads.

In: one side of a `Source`. Out: `ShardDataset`, which a `DataLoader` takes like any other; memory holds about
two buffers of rows as they were read, however many there are.

The order of an epoch is a function of (seed, epoch, process, rows per shard) alone. Parts of shards (row
groups, tar files) are put in a random order; each process takes its share of it; several are read side by
side, a buffer's worth at a time, and each buffer is put in a random order. So any position can be found again
by arithmetic, and reading starts in the buffer that holds it. Such blocks, in place of a buffer that gives
back a random row at a time, are also how MosaicML's streaming library shuffles for the same reason.
Read next: `build.py`.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from itertools import islice, zip_longest
from typing import Any, cast

import numpy as np
from torch import Tensor

from wiggly.data.dataset import Dataset
from wiggly.data.shards.labels import read_column
from wiggly.data.shards.rows import Positions, Segment, ShardRows
from wiggly.data.shards.source import DamagedShard, ShardRow
from wiggly.errors import DataError, ItemError

__all__ = ["Order", "ShardDataset", "deal"]

SIDE_BY_SIDE = 4  # shards that are read at the same time when rows are shuffled, each by a thread
ROWS_AHEAD = 256  # read together when rows are not shuffled


def deal(
    segments: Sequence[Segment], seeds: Sequence[int] | None, index: int = 0, of: int = 1
) -> list[list[Segment]]:
    """One process's share of an epoch, dealt to the threads that read side by side.

    Args:
        segments: All parts of a side.
        seeds: Of a random order, of which every process gets the same number of rows and up to `of - 1` rows
            are left out; None keeps the order, leaves nothing out, and has one thread read.
        index: Number of this process, from 0.
        of: Processes.

    Example:
        >>> deal([Segment(0, 0, 5), Segment(1, 5, 9)], None, index=1, of=2)
        [[Segment(part=1, start=5, stop=9)]]
    """
    n = sum(s.stop - s.start for s in segments)
    share, more = n // of, n % of if seeds is None else 0
    first = index * share + min(index, more)
    last = first + share + (index < more)
    order = range(len(segments)) if seeds is None else _generator(seeds).permutation(len(segments))
    lanes: list[list[Segment]] = [[] for _ in range(1 if seeds is None else SIDE_BY_SIDE)]
    rows, passed = [0] * len(lanes), 0
    for k in order:
        part, start, stop = segments[k]
        low, high = max(first - passed, 0), min(last - passed, stop - start)
        passed += stop - start
        if low < high:
            lane = rows.index(min(rows))
            lanes[lane].append(Segment(part, start + low, start + high))
            rows[lane] += high - low
    return [lane for lane in lanes if lane]


def _generator(seeds: Sequence[int]) -> np.random.Generator:
    return np.random.default_rng([seed % 2**64 for seed in seeds])


class Order:
    """The positions of one pass of one process, a buffer at a time, and the threads that read their rows.

    Args:
        rows: One side.
        seeds: Of the order; None keeps that of the shards.
        index: Number of this process, from 0.
        of: Processes.
        buffer: Rows that are shuffled together; None takes the source's.
    """

    def __init__(
        self,
        rows: ShardRows,
        seeds: Sequence[int] | None,
        index: int = 0,
        of: int = 1,
        buffer: int | None = None,
    ) -> None:
        self.rows, self.seeds, self.index = rows, seeds, index
        self.lanes = deal(rows.segments(), seeds, index, of)
        size = buffer or (ROWS_AHEAD if seeds is None else rows.source.buffer)
        self.share = max(1, size // max(1, len(self.lanes)))

    def plans(self) -> Iterator[list[list[Segment]]]:
        """For each buffer what each thread reads; nothing is read yet."""
        pieces = (_cut(lane, self.share) for lane in self.lanes)
        yield from map(list, zip_longest(*pieces, fillvalue=list[Segment]()))

    def positions(self, number: int, plan: list[list[Segment]]) -> Positions:
        """The positions of a buffer in the order in which they are delivered."""
        spans = [np.arange(s.start, s.stop) for lane in plan for s in lane]
        whole = np.concatenate(spans)
        if self.seeds is None:
            return whole
        return whole[_generator([*self.seeds, self.index, number]).permutation(len(whole))]

    def __iter__(self) -> Iterator[int]:
        for number, plan in enumerate(self.plans()):
            yield from self.positions(number, plan).tolist()

    def read(
        self, first: int, report: Callable[[str, str], None]
    ) -> Generator[tuple[list[int], dict[int, ShardRow]]]:
        """Buffers of positions and their rows; the next is read while one is used.

        Args:
            first: How many positions of this pass to leave out; buffers before are not read.
            report: Told the name of each row that could not be read, and why.
        """
        lanes = [_Lane(self.rows) for _ in self.lanes]
        waiting: deque[tuple[Positions, list[Future[dict[int, ShardRow]]]]] = deque()
        try:
            for number, plan in enumerate(self.plans()):
                size = sum(s.stop - s.start for lane in plan for s in lane)
                if first >= size:
                    first -= size
                    continue
                reading = [lane.submit(part) for lane, part in zip(lanes, plan, strict=True)]
                waiting.append((self.positions(number, plan)[first:], reading))
                first = 0
                if len(waiting) > 1:
                    yield self._delivered(*waiting.popleft(), lanes, report)
            while waiting:
                yield self._delivered(*waiting.popleft(), lanes, report)
        finally:  # also when the consumer stops early
            for lane in lanes:
                lane.close()

    def _delivered(
        self,
        positions: Positions,
        reading: list[Future[dict[int, ShardRow]]],
        lanes: list[_Lane],
        report: Callable[[str, str], None],
    ) -> tuple[list[int], dict[int, ShardRow]]:
        rows = {position: row for future in reading for position, row in future.result().items()}
        for lane in lanes:
            while lane.lost:
                segment, reason = lane.lost.popleft()
                for position in range(segment.start, segment.stop):
                    report(self.rows.name(position), reason)
        return positions.tolist(), rows


def _cut(lane: Sequence[Segment], size: int) -> Iterator[list[Segment]]:
    """A thread's rows in pieces of `size`."""
    piece: list[Segment] = []
    room = size
    for part, first, stop in lane:
        start = first
        while start < stop:
            end = min(stop, start + room)
            piece.append(Segment(part, start, end))
            room -= end - start
            start = end
            if not room:
                yield piece
                piece, room = [], size
    if piece:
        yield piece


class _Lane:
    """A thread that reads one part after the other, and goes on where the buffer before has ended."""

    def __init__(self, rows: ShardRows) -> None:
        self.rows = rows
        self.lost: deque[tuple[Segment, str]] = deque()
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="wiggly-reader")
        self._walk: Iterator[tuple[int, ShardRow]] = iter(())
        self._next, self._damage, self._stopped = (-1, -1), "", False

    def submit(self, segments: Sequence[Segment]) -> Future[dict[int, ShardRow]]:
        """Has the thread read these."""
        return self._pool.submit(self._take, segments)

    def close(self) -> None:
        """Ends the thread and closes its shard."""
        self._stopped = True
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._leave()

    def _leave(self) -> None:
        if isinstance(self._walk, Generator):
            self._walk.close()
        self._walk, self._damage = iter(()), ""

    def _take(self, segments: Sequence[Segment]) -> dict[int, ShardRow]:
        found: dict[int, ShardRow] = {}
        for segment in segments:
            if self._next != (segment.part, segment.start):
                self._leave()
                self._walk = self.rows.walk(segment.part, segment.start)
            self._read(segment, found)
            self._next = segment.part, segment.stop
        return found

    def _read(self, segment: Segment, found: dict[int, ShardRow]) -> None:
        reached = segment.start
        try:
            for position, row in islice(self._walk, segment.stop - segment.start):
                found[position] = row
                reached = position + 1
                if self._stopped:
                    return
            # At the end of a part the source checks that there is no more than was counted.
            if not self._damage and segment.stop == self.rows.end_of(segment.part):
                next(self._walk, None)
        except DamagedShard as damaged:
            self._damage = str(damaged)
        if reached < segment.stop:
            reason = self._damage or "the shard has fewer rows than were counted"
            self.lost.append((Segment(segment.part, reached, segment.stop), reason))


class ShardDataset(Dataset):
    """The samples of one side of the split, from shards; arguments are those of `Dataset`.

    Its rows can be had by position, which opens a shard each time; a `DataLoader` reads them in order.
    """

    def __len__(self) -> int:
        n = len(self.items)
        if not n:
            raise DataError("a loader needs at least 1 item", "the shards have no rows", "Check the source.")
        return n

    @property
    def rows(self) -> ShardRows:
        """The rows behind the samples."""
        return cast("ShardRows", self.items)

    def item_name(self, position: int) -> str:
        """How messages call the item at a position; nothing is read for it."""
        if isinstance(self.items, ShardRows):
            return self.items.name(position)
        return super().item_name(position)

    def load(self, position: int) -> tuple[Any, ...]:
        try:
            return super().load(position)
        except ItemError as error:  # named after the shard, not "bytes"
            raise ItemError(self.item_name(position), error.reason, error.fix) from error

    @property
    def raw_targets(self) -> list[Any]:
        """Raw labels of the first target; one pass over nothing but their columns, once."""
        return self._labels if self.labelled and self.n_inp < len(self.blocks) else []

    @cached_property
    def _labels(self) -> list[Any]:
        found = dict(read_column(self.rows, self.getters[self.n_inp], "get_y"))
        return [found.get(i) for i in range(len(self))]

    def encoded_target(self, position: int) -> Tensor:
        block = self.blocks[self.n_inp]
        return block.encode(block.load(self._labels[position]))

    def holding(self, rows: Mapping[int, ShardRow]) -> ShardDataset:
        """These samples, with some rows in memory and no others."""
        new = copy.copy(self)
        new.items = cast("Any", rows)  # asked for a position all the same
        return new

    def order(self, seeds: Sequence[int] | None, index: int, of: int, most: int | None = None) -> Order:
        """One pass of one process; see `Order`.

        Args:
            seeds: Of the order; None keeps it.
            index: Number of the process.
            of: Processes.
            most: Rows to look at; the first shards do for them, where not all have been counted.
        """
        rows = self.rows
        if most is not None and rows.chosen is None and not rows.source.has_counted(rows.shards):
            rows = ShardRows(rows.source, rows.shards[:SIDE_BY_SIDE])
        return Order(rows, seeds, index, of, most)

    def batches(
        self, order: Order, bs: int, start: int, drop_last: bool, report: Callable[[str, str], None]
    ) -> Iterator[tuple[list[int], ShardDataset]]:
        """Positions of each batch, with a data set that holds just their rows.

        Args:
            order: The pass.
            bs: Rows per batch.
            start: Batches to leave out.
            drop_last: Leave out a smaller last batch.
            report: Told of each row that could not be read, and why.
        """
        # Of a shard whose rows are on both sides, training reports what could not be counted.
        if self.train or self.rows.chosen is None:
            for name, reason in order.rows.lost().items():
                report(name, reason)
        waiting: list[int] = []
        held: dict[int, ShardRow] = {}
        for positions, rows in order.read(start * bs, report):
            waiting += positions
            held |= rows
            rows.clear()  # a row lives until its batch is made
            while len(waiting) >= bs:
                yield self._batch(waiting[:bs], held)
                del waiting[:bs]
        if waiting and not drop_last:
            yield self._batch(waiting, held)

    def _batch(self, positions: list[int], held: dict[int, ShardRow]) -> tuple[list[int], ShardDataset]:
        rows = {p: held.pop(p) for p in positions if p in held}
        return list(rows), self.holding(rows)
