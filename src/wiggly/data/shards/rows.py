"""The rows of one side of the split, by position: which part of which shard holds it, and how to get it.

In: a `Source` and addresses. Out: `ShardRows`, a sequence of which nothing is in memory. Read next:
`stream.py`, which reads it in order.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from wiggly.data.shards.source import ShardRow, Source
from wiggly.errors import DataError

__all__ = ["Positions", "Segment", "ShardRows"]

Positions = npt.NDArray[np.int64]


class Segment(NamedTuple):
    """Neighbouring rows of one part of a shard.

    Attributes:
        part: Number of the part among those of its side.
        start: Position of the first row on its side.
        stop: Position after the last row.
    """

    part: int
    start: int
    stop: int


class ShardRows(Sequence[ShardRow]):
    """The rows of one side of the split, by position; none is kept in memory.

    Args:
        source: Reads the shards.
        shards: Addresses of this side's shards.
        chosen: Which of their rows, ascending, counted over all of `shards`; None for all.
    """

    def __init__(self, source: Source, shards: Sequence[str], chosen: Positions | None = None) -> None:
        self.source, self.shards, self.chosen = source, list(shards), chosen

    @cached_property
    def _parts(self) -> tuple[list[tuple[str, int, int]], Positions, Positions]:
        """For each part its shard, number and first row there; its first row of all; its first position."""
        counted = self.source.parts(self.shards)
        places: list[tuple[str, int, int]] = []
        for shard, parts in zip(self.shards, counted, strict=True):
            firsts = accumulate(parts, initial=0)
            places += [(shard, k, first) for k, (_, first) in enumerate(zip(parts, firsts, strict=False))]
        rows = np.array([0, *(n for parts in counted for n in parts)], dtype=np.int64).cumsum()
        return places, rows, rows if self.chosen is None else np.searchsorted(self.chosen, rows)

    def __len__(self) -> int:
        return int(self._parts[2][-1])

    def __getitem__(self, index: Any) -> Any:
        """A row by position: opens its shard, so looking at a few rows is fine and reading all is not."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        position = range(len(self))[int(index)]
        for _, row in self.walk(self.part_of(position), position):
            return row
        raise DataError(
            "every row of a shard must be readable", f"'{self.name(position)}' is not", "Write it again."
        )

    def __iter__(self) -> Iterator[ShardRow]:
        return (row for segment in self.segments() for _, row in self.walk(segment.part, segment.start))

    def segments(self) -> list[Segment]:
        """Every part that has rows on this side, in order."""
        firsts: list[int] = self._parts[2].tolist()
        bounds = pairwise(firsts)
        return [Segment(k, start, stop) for k, (start, stop) in enumerate(bounds) if stop > start]

    def end_of(self, part: int) -> int:
        """The position after the last of a part."""
        return int(self._parts[2][part + 1])

    def part_of(self, position: int) -> int:
        """The part that holds a position."""
        return int(np.searchsorted(self._parts[2], position, side="right")) - 1

    def name(self, position: int) -> str:
        """What messages call a row, without reading it."""
        places, rows, _ = self._parts
        part = self.part_of(position)
        shard, _, first = places[part]
        return f"{shard} row {first + self._row(position) - int(rows[part])}"

    def _row(self, position: int) -> int:
        return position if self.chosen is None else int(self.chosen[position])

    def walk(
        self, part: int, position: int, columns: Sequence[str] | None = None
    ) -> Generator[tuple[int, ShardRow]]:
        """Positions and rows of one part, from a position on.

        Args:
            part: Number of the part.
            position: The first that is wanted, in this part.
            columns: See `Source.read`.

        Raises:
            DamagedShard: The rest of the part cannot be read.
        """
        places, rows, firsts = self._parts
        shard, number, _ = places[part]
        first, stop = int(rows[part]), int(firsts[part + 1])
        start = self._row(position) - first
        for row_number, row in enumerate(self.source.read(shard, number, start, columns), first + start):
            if position == stop:
                if self.chosen is None:
                    continue  # to the end, where the source notices a shard that has grown
                return
            if row_number == self._row(position):
                yield position, row
                position += 1

    def lost(self) -> dict[str, str]:
        """Rows of these shards that could not even be counted: name to reason."""
        return self.source.lost(self.shards)
