"""`TableLoader`: batches of a table are look-ups into whole-column tensors, on the device.

In: encoded tensors. Out: `Batch` after `Batch`. Nothing is done row by row. Read next: `loaders.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wiggly.data.order import WHOLE, Ordered, Part, share_of
from wiggly.errors import ArgumentError, DataError
from wiggly.records import Batch
from wiggly.tabular.surprises import Surprises

__all__ = ["TableDataset", "TableLoader"]

# Rows looked up at once, of which batches are then slices: one look-up costs as much as thousands of rows.
MOST_AT_ONCE = 1 << 14


@dataclass
class TableDataset:
    """The encoded rows of one side of the split.

    Attributes:
        cats: int64 `(n, k)`.
        conts: float32 `(n, m)`.
        targets: One tensor per target block, first axis `n`; empty for unlabelled rows.
        rows: For each row its position in the table.
        surprises: What these rows hold that training did not.
    """

    cats: Tensor
    conts: Tensor
    targets: tuple[Tensor, ...]
    rows: Tensor
    surprises: Surprises

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Inputs, then targets."""
        return (self.cats, self.conts, *self.targets)

    def __len__(self) -> int:
        return len(self.cats)

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def to(self, device: str | torch.device) -> TableDataset:
        """The same rows on a device."""
        cats, conts, *targets = (tensor.to(device) for tensor in self.tensors)
        return TableDataset(cats, conts, tuple(targets), self.rows, self.surprises)


class TableLoader(Ordered):
    """Batches of encoded rows.

    Args:
        dataset: The rows.
        bs: Rows per batch.
        shuffle: New order every epoch, drawn from (seed, epoch).
        drop_last: Leave out the last batch if it is smaller.
        seed: Of the order; None takes one from torch's global generator.
        device: Where the rows are kept and batches are made; None leaves them where they are.
        wgts: One number per row: an epoch then has as many rows drawn with replacement, in proportion.

    Raises:
        ArgumentError: `bs` is below 1, `seed` no whole number, or the weights are not one number per row.

    Example:
        >>> rows = torch.arange(3)
        >>> data = TableDataset(rows[:, None], torch.zeros(3, 2), (rows,), rows, Surprises())
        >>> [y.tolist() for cats, conts, y in TableLoader(data, bs=2)]
        [[0, 1], [2]]
    """

    def __init__(
        self,
        dataset: TableDataset,
        bs: int = 64,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        seed: int | None = None,
        device: str | torch.device | None = None,
        wgts: Sequence[float] | None = None,
    ) -> None:
        if seed is not None and not hasattr(seed, "__index__"):
            raise ArgumentError("`seed` must be a whole number", f"it is {seed!r}", "Pass e.g. seed=42.")
        self.dataset = dataset
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        super().__init__(bs, shuffle, drop_last, seed, wgts)
        self.device: torch.device | None = None
        self._looks = 0
        if device is not None:
            self.to(device)

    def count(self) -> int:
        return len(self.dataset)

    @property
    def surprises(self) -> Surprises:
        """What these rows hold that the training rows did not."""
        return self.dataset.surprises

    def to(self, device: str | torch.device) -> TableLoader:
        """Keeps the rows on a device from now on."""
        self.device = torch.device(device)
        self.dataset = self.dataset.to(self.device)
        return self

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for batch in self.batches():
            yield batch.tensors

    def batches(
        self, stats: tuple[Sequence[float], Sequence[float]] | None = None, part: Part = WHOLE
    ) -> Iterator[Batch]:
        """One pass over the rows.

        Args:
            stats: Not used: these are no pictures.
            part: Number of this process and how many there are: each then makes its rows of every batch. A
                loader that is a part already (`shard`) is not divided again.
        """
        epoch, start = self.epoch, self._start
        self._start = self._done = 0
        part = part if self._parts == 1 else WHOLE
        for done, batch in enumerate(self._run(epoch, start, part), start + 1):
            self._done = done
            yield batch
        self._done = 0
        if self._counts_epochs:
            self.epoch = epoch + 1

    def _run(self, epoch: int, start: int, part: Part) -> Iterator[Batch]:
        order = self._positions(epoch)[start * self.bs :]
        if self.drop_last:
            order = order[: len(order) // self.bs * self.bs]
        at_once = max(1, MOST_AT_ONCE // self.bs) * self.bs
        for first in range(0, len(order), at_once):
            positions = order[first : first + at_once]
            index = torch.from_numpy(np.ascontiguousarray(positions)).to(self.dataset.cats.device)
            found = [tensor.index_select(0, index) for tensor in self.dataset.tensors]
            for begin in range(0, len(positions), self.bs):
                size = min(self.bs, len(positions) - begin)
                share = share_of(size, part)
                rows = slice(begin + share.start, begin + share.stop)
                cats, conts, *targets = (tensor[rows] for tensor in found)
                yield Batch((cats, conts), tuple(targets), positions[rows].tolist())

    def look(self, n: int | None = None) -> Batch:
        """A batch for looking at, other rows each time if this loader is shuffled; the order of training is
        not moved.

        Args:
            n: Rows; None takes the batch size.

        Raises:
            DataError: There are no rows.
        """
        if not len(self.dataset):
            raise DataError("there must be at least 1 row to look at", "there are none", "Check the table.")
        epoch, self._looks = (1 << 30) + self._looks, self._looks + 1
        index = torch.from_numpy(np.ascontiguousarray(self._positions(epoch)[: n or self.bs]))
        cats, conts, *targets = (tensor[index.to(tensor.device)] for tensor in self.dataset.tensors)
        return Batch((cats, conts), tuple(targets), index.tolist())

    def one_batch(self) -> tuple[Tensor, ...]:
        """A batch for looking at: `(cats, conts, *targets)`."""
        return self.look().tensors
