"""Features of a frozen body: computed once, kept in memory or in a mapped file, given out in batches.

In: a learner and the layers in front of those that will learn. Out: `Features` and a `FeatureLoader` over
them, which the training loop reads like any other loader. Read next: `probing.py`, which fits a head on them.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.base import joined_rows
from wiggly.data.loader import DataLoader
from wiggly.errors import DataError
from wiggly.records import Batch
from wiggly.train.loop import Loop

__all__ = ["FeatureLoader", "Features", "gather_features"]

# Features that take more are kept in a temporary file, in float16.
MEMORY_LIMIT = 2**30


@dataclass(frozen=True)
class Features:
    """What a frozen body makes of every item, once per pass over the data.

    Attributes:
        rows: Features, `(n, ...)`, one pass after the other, on the CPU; float32, or float16 mapped from a
            file.
        targets: One tensor per target, as many rows.
        positions: For each row the position of its item in the data set.
        starts: Row with which each pass over the data begins.
    """

    rows: Tensor
    targets: tuple[Tensor, ...]
    positions: list[int]
    starts: list[int]

    def __len__(self) -> int:
        return len(self.positions)

    def batch(self, numbers: Tensor) -> Batch:
        """The rows of these numbers, in float32."""
        targets = tuple(target[numbers] for target in self.targets)
        return Batch((self.rows[numbers].float(),), targets, [self.positions[i] for i in numbers.tolist()])


class FeatureLoader:
    """Batches of features.

    Args:
        features: Where they come from.
        bs: Rows per batch.
        order: Epoch to its row numbers, in order, for training: what would be a smaller last batch is left
            out. None gives all rows as they are.
    """

    def __init__(
        self, features: Features, bs: int, order: Callable[[int], Sequence[int]] | None = None
    ) -> None:
        self.features, self.order, self.epoch = features, order, 0
        self.bs = min(bs, self._count(0))

    def _count(self, epoch: int) -> int:
        return len(self.features) if self.order is None else len(self.order(epoch))

    def __len__(self) -> int:
        n = self._count(self.epoch)
        return -(-n // self.bs) if self.order is None else n // self.bs

    def __iter__(self) -> Iterator[Batch]:
        count, epoch = len(self), self.epoch
        numbers = torch.arange(len(self.features)) if self.order is None else torch.tensor(self.order(epoch))
        self.epoch = epoch + 1
        for first in range(0, count * self.bs, self.bs):
            yield self.features.batch(numbers[first : first + self.bs])


def gather_features(
    learner: Loop,
    part: nn.Module,
    loaders: Sequence[Any],
    after_batch: Callable[[], None],
    limit: int = MEMORY_LIMIT,
    until: float = math.inf,
) -> Features:
    """Runs the front of a model over loaders, one after the other.

    Args:
        learner: Gives engine and callbacks.
        part: The first layers of its model.
        loaders: Each one a pass.
        after_batch: Called after every batch.
        limit: Bytes that may be kept in memory.
        until: Time by `time.perf_counter` after which no other batch is read.

    Raises:
        DataError: The loaders give no rows, or rows without targets.
    """
    store: _Store | None = None
    targets: list[tuple[Tensor, ...]] = []
    positions: list[int] = []
    starts: list[int] = []
    for dl in loaders:
        starts.append(len(positions))
        for batch, features in learner.outputs(dl, part=part):
            if not batch.targets:
                raise DataError("a head learns from targets", "these items carry none", "Add a target block.")
            store = store or _Store(_rows_of(loaders), tuple(features.shape[1:]), limit)
            store.add(features)
            targets.append(tuple(target.cpu() for target in batch.targets))
            positions += batch.positions
            after_batch()
            if until < math.inf and learner.engine.agreed(time.perf_counter() > until):
                break
    if store is None:
        raise DataError("there must be at least 1 item", "the loader gave none", "Check the split.")
    blocks: list[Any] = list(getattr(learner.dls, "target_blocks", ())) or [None] * len(targets[0])
    columns = zip(*targets, strict=True)
    joined = tuple(joined_rows(block, column) for block, column in zip(blocks, columns, strict=True))
    return Features(store.rows(), joined, positions, starts)


def _rows_of(loaders: Sequence[Any]) -> int:
    """Rows that the loaders give at most; 0 where one of them is not ours."""
    known = [dl.n_items if isinstance(dl, DataLoader) else 0 for dl in loaders]
    return sum(known) if all(known) else 0


class _Store:
    """Rows in memory or, if they take too much, in a file mapped into it.

    Args:
        n_rows: At most so many; 0 if nobody knows, then they stay in memory.
        shape: Of a row.
        limit: Bytes that may be kept in memory.
    """

    def __init__(self, n_rows: int, shape: tuple[int, ...], limit: int) -> None:
        self._count, self._parts = 0, list[Tensor]()
        self._mapped: Tensor | None = None
        if n_rows * math.prod(shape) * 4 > limit:
            # The system deletes the file once nothing is mapped from it any more.
            with tempfile.TemporaryFile(prefix="wiggly-features-") as file:
                mapped = np.memmap(file, np.float16, "w+", shape=(n_rows, *shape))
            self._mapped = torch.from_numpy(mapped)

    def add(self, features: Tensor) -> None:
        start, self._count = self._count, self._count + len(features)
        if self._mapped is None:
            self._parts.append(features.float().cpu())
        else:
            self._mapped[start : self._count] = features

    def rows(self) -> Tensor:
        return torch.cat(self._parts) if self._mapped is None else self._mapped[: self._count]
