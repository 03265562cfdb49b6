"""Which items come when in an epoch: shuffled, weighted, one part per process, going on where it stopped.

In: the number of items, a seed, an epoch. Out: positions. The order depends on (seed, epoch) alone, so that
processes with the same seed divide it without talking to each other. Read next: `loader.py`.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from wiggly.errors import ArgumentError, DataError
from wiggly.records import Batch

__all__ = ["WHOLE", "Ordered", "Part", "Positions", "cumulative_weights", "share_of"]

Positions = npt.NDArray[np.int64]
Cumulative = npt.NDArray[np.float64]

# Which process of how many reads the rows of a batch.
Part = tuple[int, int]
WHOLE: Part = (0, 1)


def share_of(n: int, part: Part) -> slice:
    """The rows of a batch that one of several processes takes: side by side, so that the parts put one after
    the other are the batch; the first ones take one more where they do not come out even.

    Args:
        n: Rows of the batch.
        part: Number of the process from 0, and how many there are.

    Example:
        >>> [share_of(5, (rank, 3)) for rank in range(3)]
        [slice(0, 2, None), slice(2, 4, None), slice(4, 5, None)]
    """
    index, of = part
    each, more = divmod(n, of)
    start = index * each + min(index, more)
    return slice(start, start + each + (index < more))


class Ordered(ABC):
    """The half of a loader that knows the order of its items.

    Args:
        bs: Items per batch.
        shuffle: New order every epoch.
        drop_last: Leave out the last batch if it is smaller. The only batch is never left out.
        seed: Of the order.
        wgts: How often each item is drawn in comparison to the others, `(n,)`; None takes each once.

    Raises:
        ArgumentError: `bs` is below 1, or the weights are not one number per item.
    """

    def __init__(
        self, bs: int, shuffle: bool, drop_last: bool, seed: int, wgts: Sequence[float] | None
    ) -> None:
        given: Any = bs  # a text or a float may come from untyped code
        if not isinstance(given, int | np.integer) or bs < 1:
            raise ArgumentError(
                "`bs` must be at least 1", f"it is {bs!r}", "Pass a positive whole number, e.g. bs=64."
            )
        self.bs, self.shuffle, self.seed = bs, shuffle, seed
        self._cumulative = None if wgts is None else cumulative_weights(wgts, self._n)
        self._drops_last = drop_last
        self.epoch = 0
        self._part, self._parts = 0, 1
        self._start = self._done = 0  # batches to pass over in the next pass; batches done in this one

    @abstractmethod
    def count(self) -> int:
        """Number of items; asked for when it is needed."""

    @abstractmethod
    def batches(
        self, stats: tuple[Sequence[float], Sequence[float]] | None = None, part: Part = WHOLE
    ) -> Iterator[Batch]:
        """One pass over the items.

        Args:
            stats: Mean and standard deviation per channel that a model lends to a loader of pictures.
            part: Number of this process and how many there are: each makes its rows of every batch.
        """

    @property
    def _n(self) -> int:
        return self.count()

    @property
    def drop_last(self) -> bool:
        """Whether a smaller last batch is left out."""
        return self._drops_last and self.n_items >= self.bs

    @property
    def n_items(self) -> int:
        """Items of one epoch, unreadable ones included."""
        if self._is_drawn:
            return self._n // self._parts
        return len(range(self._part, self._n, self._parts))

    @property
    def _is_drawn(self) -> bool:
        return self.shuffle or self._cumulative is not None

    @property
    def _counts_epochs(self) -> bool:
        """Whether one pass differs from the next."""
        return self._is_drawn

    def __len__(self) -> int:
        n = self.n_items
        return n // self.bs if self.drop_last else -(-n // self.bs)

    def order(self, epoch: int) -> list[int]:
        """Positions in the order of an epoch."""
        return self._positions(epoch).tolist()

    def _positions(self, epoch: int) -> Positions:
        if not self._is_drawn:
            return np.arange(self._part, self._n, self._parts)
        generator = np.random.default_rng([self.seed % 2**64, epoch])
        if self._cumulative is None:
            found = generator.permutation(self._n)
        else:  # an item's share of [0, 1) is as wide as its weight; an item without weight has none
            found = np.searchsorted(self._cumulative, generator.random(self._n), side="right")
        return found[: self.n_items * self._parts][self._part :: self._parts]

    def _groups(self, order: Positions, bs: int, start: int) -> Iterator[tuple[list[int], list[int]]]:
        """Batch by batch the positions, and for each the number that its random draws come from."""
        numbers = order if self._cumulative is None else self._numbers_of_draws(order)
        for first in range(start * bs, len(order), bs):
            part = slice(first, first + bs)
            if len(order[part]) == bs or not self.drop_last:
                yield order[part].tolist(), numbers[part].tolist()

    def _numbers_of_draws(self, order: Positions) -> Positions:
        """An item drawn again in an epoch gets other random changes than the first time."""
        numbers = self._n + np.arange(self._part, self._part + len(order) * self._parts, self._parts)
        first = np.unique(order, return_index=True)[1]
        numbers[first] = order[first]
        return numbers

    def shard(self, index: int, of: int) -> Self:
        """One process's part of this loader: with the same `seed` in all processes, their parts of an epoch
        do not overlap.

        Of a shuffled or weighted order all parts are as long as each other, and fewer than `of` items are
        left out, others in each epoch (torch's `DistributedSampler(drop_last=True)` does the same). In fixed
        order nothing is left out, and the parts' lengths differ by one at most.

        Args:
            index: Which process this is, from 0.
            of: How many there are.

        Raises:
            ArgumentError: `index` is not in `0..of-1`, or this is a part already.
            DataError: There are fewer items than processes.

        Example:
            >>> from wiggly import DataLoader
            >>> loader = DataLoader(range(5), bs=2, shuffle=True, seed=0)
            >>> [loader.shard(rank, of=2).order(0) for rank in range(2)], loader.order(0)
            ([[2, 3], [4, 0]], [2, 4, 3, 0, 1])
        """
        if not 0 <= index < of:
            raise ArgumentError(
                "`index` must be from 0 to `of` - 1", f"they are {index} and {of}", "Count processes from 0."
            )
        if self._parts > 1:
            raise ArgumentError(
                "a loader can be divided once",
                f"it is part {self._part} of {self._parts} already",
                "Call `shard` on the whole loader.",
            )
        if self._n < of:
            raise DataError(
                "there must be at least 1 item per process",
                f"there are {self._n} for {of} processes",
                "Use fewer processes, or more items.",
            )
        part = self._copy()
        part._part, part._parts = index, of
        return part

    def new(self, bs: int | None = None, shuffle: bool | None = None, drop_last: bool | None = None) -> Self:
        """A loader of the same items with other settings.

        Args:
            bs: Items per batch.
            shuffle: Whether it is shuffled.
            drop_last: Whether its last batch is left out if it is smaller; None does so in a random order.
        """
        made = self._copy()
        made.bs = self.bs if bs is None else bs
        made.shuffle = self.shuffle if shuffle is None else shuffle
        made._drops_last = made._is_drawn if drop_last is None else drop_last
        return made

    @property
    def weights(self) -> list[float] | None:
        """Of the items, adding up to 1; None where each is taken once."""
        return None if self._cumulative is None else np.diff(self._cumulative, prepend=0.0).tolist()

    def in_order(self) -> Self:
        """A loader of the same items, each once, in their order."""
        made = self.new(shuffle=False, drop_last=False)
        made._cumulative = None
        return made

    def _copy(self) -> Self:
        made = copy.copy(self)
        made.epoch = made._start = made._done = 0
        return made

    def state_dict(self) -> dict[str, int]:
        """Where this loader is: epoch, batches done in it, seed; all that it takes to go on from there.

        Example:
            >>> from wiggly import DataLoader
            >>> loader = DataLoader(range(6), bs=2, shuffle=True, seed=0)
            >>> first = next(iter(loader))
            >>> loader.state_dict()
            {'epoch': 0, 'batches': 1, 'seed': 0, 'bs': 2, 'n_items': 6}
            >>> again = DataLoader(range(6), bs=2, shuffle=True, seed=1)
            >>> again.load_state_dict(loader.state_dict())
            >>> [b.tolist() for b in again], loader.order(0)
            ([[5, 4], [0, 1]], [3, 2, 5, 4, 0, 1])
        """
        whole = self._done >= len(self)
        return {
            "epoch": self.epoch + (whole and self._counts_epochs),
            "batches": 0 if whole else self._done,
            "seed": self.seed,
            "bs": self.bs,
            "n_items": self.n_items,
        }

    def load_state_dict(self, state: Mapping[str, int]) -> None:
        """Has the next pass go on after the batches that are done, which are not read again; order and draws
        are those of the uninterrupted run.

        Args:
            state: What `state_dict` returned.

        Raises:
            ArgumentError: It is of a loader with another number of items or batch size, or no such position.
        """
        mine = {"bs": self.bs, "n_items": self.n_items}
        theirs = {name: state.get(name) for name in mine}
        if theirs != mine:
            raise ArgumentError(
                "a position can be loaded into a loader of the same items and batch size",
                f"it is of {theirs}, this loader has {mine}",
                "Build the loader as it was when the position was saved.",
            )
        if not 0 <= int(state["batches"]) < max(1, len(self)):
            raise ArgumentError(
                f"`batches` of a position must be from 0 to {len(self) - 1}",
                f"it is {state['batches']}",
                "Load what `state_dict` returned.",
            )
        self.epoch, self.seed = int(state["epoch"]), int(state["seed"])
        self._start = self._done = int(state["batches"])


def cumulative_weights(wgts: Sequence[float], n: int) -> Cumulative:
    """Sums of the weights up to each item, from 0 to 1.

    Raises:
        ArgumentError: There is not one per item, one is negative, not finite or no number, or all are 0.

    Example:
        >>> cumulative_weights([1, 0, 3], 3).tolist()
        [0.25, 0.25, 1.0]
    """
    rule, fix = "`wgts` must be one number per item, none below 0 and one above", "Mend the weights."
    try:
        weights = np.asarray(wgts, dtype=np.float64)
    except (TypeError, ValueError):
        raise ArgumentError(rule, f"it is {wgts!r:.60}", fix) from None
    if weights.shape != (n,):
        raise ArgumentError(rule, f"there are {weights.shape} of them for {n} items", fix)
    wrong = np.flatnonzero(~(np.isfinite(weights) & (weights >= 0)))
    if len(wrong):
        raise ArgumentError(rule, f"that of item {wrong[0]} is {weights[wrong[0]]}", fix)
    largest = float(weights.max(initial=0))
    if not largest:
        raise ArgumentError(rule, "all are 0", fix)
    sums = np.cumsum(weights / largest)  # of the largest numbers, the sum would be infinite
    return sums / sums[-1]
