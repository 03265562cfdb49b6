"""A batch being filled, row by row, in memory allocated once.

In: samples of a data set. Out: a `Batch`. Read next: `loader.py`, which fills batches in threads.
"""

from __future__ import annotations

from random import Random
from typing import Any

import torch
from torch import Tensor

from wiggly.data.base import Block
from wiggly.data.dataset import Dataset
from wiggly.data.late import apply_own_batch_transforms
from wiggly.errors import DataError, ItemError
from wiggly.records import Batch

__all__ = ["Rows"]


class Rows:
    """A batch being filled row by row, in place; an unreadable item leaves no gap.

    With a device, blocks that can render there get all their values at the end.

    Args:
        dataset: Where the samples come from.
        n: Rows to make room for.
        device: Where blocks that can do so make their rows; None makes all on the CPU.
    """

    def __init__(self, dataset: Dataset, n: int, device: torch.device | None) -> None:
        self.dataset, self.n, self.device = dataset, n, device
        self.columns: list[Tensor | list[Any]] = []
        self.positions: list[int] = []

    def add(self, position: int, random: Random, extra: tuple[Any, ...]) -> None:
        """One more item, with its draws; `extra` transforms run after the data set's own.

        Raises:
            ItemError: It cannot be read; the batch is as before.
        """
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
        columns: list[Tensor | list[Any]] = []
        for block, value in zip(self.dataset.blocks, values, strict=True):
            if self._renders(block):
                columns.append([value])
                continue
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
                column[row:] = [value if self._renders(block) else block.encode(value)]
            else:
                block.encode_into(value, column[row])

    def _renders(self, block: Block) -> bool:
        return self.device is not None and block.renders

    def batch(self) -> tuple[Batch, dict[int, ItemError]]:
        """The batch, and by position those items that turned out to be unreadable only now."""
        n, n_inp = len(self.positions), self.dataset.n_inp
        bad: dict[int, ItemError] = {}
        tensors: tuple[Tensor, ...] = ()
        for block, column in zip(self.dataset.blocks, self.columns, strict=False):
            if not isinstance(column, list):
                made = column[:n]
            elif self.device is None or not block.renders:
                made = block.collate(column[:n])
            else:
                made, failed = block.render(column[:n], self.device)
                bad.update(failed)
            tensors = (*tensors, made)
        unreadable = {self.positions[row]: error for row, error in bad.items()}
        if bad:
            good = [row for row in range(n) if row not in bad]
            tensors = tuple(t[good] for t in tensors)
            self.positions = [self.positions[row] for row in good]
            n = len(good)
        if n and any(block.batch_tfms for block in self.dataset.blocks):
            tensors = apply_own_batch_transforms(self.dataset, tensors)
        return Batch(tensors[:n_inp], tensors[n_inp:], self.positions), unreadable
