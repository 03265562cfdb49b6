"""Tables larger than memory: parquet files read by row groups, with a buffer that is shuffled.

In: parquet files and a fitted encoder. Out: `Batch` after `Batch`, with memory for a few row groups however
many rows there are. Read next: `streaming.py`, which fits the encoder in one such pass.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.order import WHOLE, Ordered, Part, share_of
from wiggly.errors import ArgumentError, DataError, LabelError, StorageError
from wiggly.records import Batch
from wiggly.tabular.encoder import Columns, TableEncoder
from wiggly.tabular.files import Cells, is_pandas_index, open_parquet, parquet_files, with_folders
from wiggly.tabular.reading import Frame, as_frame
from wiggly.tabular.surprises import Surprises
from wiggly.tabular.targets import Targets

__all__ = ["RowGroups", "StreamDataset", "TableStream", "Taken"]

Positions = npt.NDArray[np.int64]
BUFFER_ROWS = 1 << 17  # rows that are shuffled together


@dataclass(frozen=True)
class RowGroup:
    """Some rows of a parquet file, which are read at once.

    Attributes:
        file: The file.
        index: Number of the group in it.
        first: Position of its first row among all rows of all files.
        rows: How many.
        cells: The columns that the names of its folders give.
    """

    file: Path
    index: int
    first: int
    rows: int
    cells: Cells


class RowGroups:
    """The row groups of parquet files, in order.

    Args:
        files: A file, a folder of them (names such as `year=2024` of folders in it are columns), a pattern,
            or a list.

    Attributes:
        files: All of them.
        groups: Their row groups, in order.
        columns: Names of the columns.

    Raises:
        ArgumentError: They are no paths.
        StorageError: There is none.
        DataError: One cannot be read, or has other columns.
        DependencyError: pyarrow is not installed.
    """

    def __init__(self, files: Any) -> None:
        sources = [files] if isinstance(files, (str, Path)) else files
        if not isinstance(sources, Sequence) or not all(isinstance(s, (str, Path)) for s in sources):
            raise ArgumentError(
                "`files` must be the path of a parquet file, of a folder or a pattern, or a list of paths",
                f"it is a {type(files).__name__}",
                "Use `from_df` for a table in memory.",
            )
        found = [pair for source in sources for pair in parquet_files(source)]
        if not found:
            raise StorageError("there must be at least 1 parquet file", "the list is empty", "Name some.")
        self.files = [file for file, _ in found]
        self.groups: list[RowGroup] = []
        for file, cells in found:
            opened = open_parquet(file)
            self._check_names(file, [*opened.schema_arrow.names, *cells])
            for index in range(opened.metadata.num_row_groups):
                rows = opened.metadata.row_group(index).num_rows
                self.groups.append(RowGroup(file, index, len(self), rows, cells))

    def __len__(self) -> int:
        return self.groups[-1].first + self.groups[-1].rows if self.groups else 0

    def _check_names(self, file: Path, names: Sequence[str]) -> None:
        here = [name for name in dict.fromkeys(names) if not is_pandas_index(name)]
        if file == self.files[0]:
            self.columns = here
        other = sorted(set(here) ^ set(self.columns))
        if other:
            raise DataError(
                "all parquet files must have the same columns",
                f"{other[0]!r} is in '{file if other[0] in here else self.files[0]}' and not in"
                f" '{self.files[0] if other[0] in here else file}'",
                "Write them again with the same columns, or name the files that have them.",
            )

    def read(self, group: RowGroup, columns: Sequence[str], rows: Any = None) -> Frame:
        """Rows of a group.

        Args:
            group: One of `groups`.
            columns: Names of the columns that are read.
            rows: Which, counted within the group; None for all.
        """
        wanted = [name for name in columns if name not in group.cells]
        opened = open_parquet(group.file)
        try:
            table = opened.read_row_group(group.index, columns=wanted)
        except (OSError, ValueError) as error:
            raise DataError(
                "a parquet file must be readable",
                f"row group {group.index} of '{group.file}' is not: {error!s:.200}",
                "Write the file again.",
            ) from error
        table = with_folders(table, {k: v for k, v in group.cells.items() if k in columns})
        return as_frame(table if rows is None else table.take(rows))

    @contextmanager
    def telling(self, group: RowGroup, rows: Positions) -> Generator[None]:
        """A block whose errors name the file, and the row as it is counted there.

        Args:
            group: That is read.
            rows: Which rows of it.
        """
        first = group.first - next(g.first for g in self.groups if g.file == group.file)
        try:
            yield
        except (DataError, LabelError) as error:

            def moved(match: re.Match[str]) -> str:
                return f"row {first + int(rows[int(match[1])])}"

            received = re.sub(r"\brow (\d+)", moved, error.received)
            raise type(error)(error.rule, f"in '{group.file}' {received}", error.fix) from error


@dataclass(frozen=True)
class Taken:
    """Which rows belong to a side of the split: every row is drawn by itself, by (seed, row group) alone.

    Attributes:
        valid_pct: Share of the rows in validation.
        seed: Of the draw.
        valid: Whether this is the validation side.
    """

    valid_pct: float
    seed: int
    valid: bool

    def rows(self, group: RowGroup) -> Positions:
        """Rows of a group on this side, counted within the group."""
        drawn = np.random.default_rng([self.seed % 2**64, group.first]).random(group.rows) < self.valid_pct
        return np.flatnonzero(drawn == self.valid)


class StreamDataset:
    """One side of the split of rows that are read when they are needed.

    Args:
        groups: Where the rows are.
        taken: Which of them are on this side.
        encoder: Fitted.
        targets: Fitted.
    """

    def __init__(self, groups: RowGroups, taken: Taken, encoder: TableEncoder, targets: Targets) -> None:
        self.groups, self.taken, self.encoder, self.targets = groups, taken, encoder, targets
        self.surprises = Surprises()
        self._counts = [len(taken.rows(group)) for group in groups.groups]

    def __len__(self) -> int:
        return sum(self._counts)

    @property
    def counts(self) -> list[int]:
        """Rows on this side, for each row group."""
        return self._counts

    def read(self, groups: Sequence[int]) -> tuple[Tensor, ...]:
        """Encoded rows of these groups on this side: `(cats, conts, *targets)`."""
        names = self.encoder.column_names + self.targets.columns
        parts: list[tuple[Tensor, ...]] = []
        for number in groups:
            group = self.groups.groups[number]
            rows = self.taken.rows(group)
            columns = Columns(self.groups.read(group, names, rows))
            with self.groups.telling(group, rows):
                encoded = self.encoder.encode(columns)
                targets = self.targets.encode(columns)
            self.surprises.add(encoded.surprises)
            parts.append((encoded.cats, encoded.conts, *targets))
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))

    def positions(self, groups: Sequence[int]) -> Positions:
        """For each of these rows its position among all rows of all files."""
        chosen = [self.groups.groups[number] for number in groups]
        return np.concatenate([group.first + self.taken.rows(group) for group in chosen])


@dataclass(frozen=True)
class _Buffer:
    """Row groups that are shuffled together.

    Attributes:
        groups: Their numbers.
        order: Which of their rows come, in which order.
        number: Place of this buffer in the epoch.
    """

    groups: list[int]
    order: Positions


class TableStream(Ordered):
    """Batches of rows that are read when they are needed.

    In a random order the row groups come shuffled, and the rows of as many groups as hold `buffer_rows` are
    shuffled together.

    Args:
        dataset: The rows.
        bs: Rows per batch.
        shuffle: New order every epoch, drawn from (seed, epoch).
        drop_last: Leave out the last batch if it is smaller.
        seed: Of the order; None takes one from torch's global generator.
        device: Where batches go.
        buffer_rows: Rows that are shuffled together; a buffer holds one row group at least.
    """

    def __init__(
        self,
        dataset: StreamDataset,
        bs: int = 64,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        seed: int | None = None,
        device: str | torch.device | None = None,
        buffer_rows: int = BUFFER_ROWS,
    ) -> None:
        self.dataset, self.buffer_rows = dataset, buffer_rows
        seed = int(torch.randint(2**31, ())) if seed is None else seed
        super().__init__(bs, shuffle, drop_last, seed, None)
        self.device = torch.device("cpu") if device is None else torch.device(device)
        self._looks = 0

    def count(self) -> int:
        return len(self.dataset)

    @property
    def surprises(self) -> Surprises:
        """What the rows read so far hold that the training rows did not."""
        return self.dataset.surprises

    def to(self, device: str | torch.device) -> TableStream:
        """Sends batches to a device."""
        self.device = torch.device(device)
        return self

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        for batch in self.batches():
            yield batch.tensors

    def batches(
        self, stats: tuple[Sequence[float], Sequence[float]] | None = None, part: Part = WHOLE
    ) -> Iterator[Batch]:
        """One pass over the rows; see `TableLoader.batches`."""
        epoch, start = self.epoch, self._start
        self._start = self._done = 0
        part = part if self._parts == 1 else WHOLE
        for done, batch in enumerate(self._run(epoch, start, part), start + 1):
            self._done = done
            yield batch
        self._done = 0
        if self._counts_epochs:
            self.epoch = epoch + 1

    def _buffers(self, epoch: int) -> Iterator[_Buffer]:
        """What is read together, and in which order its rows come; nothing is read for it."""
        counts = self.dataset.counts
        numbers = np.arange(len(counts))
        draw = np.random.default_rng([self.seed % 2**64, epoch])
        if self.shuffle:
            draw.shuffle(numbers)
        waiting, rows, before = list[int](), 0, 0
        for place, number in enumerate(numbers.tolist()):
            waiting.append(number)
            rows += counts[number]
            if rows >= self.buffer_rows or place == len(numbers) - 1:
                order = draw.permutation(rows) if self.shuffle else np.arange(rows)
                mine = np.arange(before, before + rows)
                kept = (mine % self._parts == self._part) & (mine < self._most)
                yield _Buffer(waiting, order[kept])
                waiting, before, rows = [], before + rows, 0

    @property
    def _most(self) -> int:
        # In a random order all parts are as long as each other.
        return self.n_items * self._parts if self.shuffle else self._n

    def _positions(self, epoch: int) -> Positions:
        parts = [self.dataset.positions(buffer.groups)[buffer.order] for buffer in self._buffers(epoch)]
        return np.concatenate(parts) if parts else np.empty(0, dtype=np.int64)

    def _read(self, epoch: int, skip: int) -> Iterator[tuple[Positions, tuple[Tensor, ...]]]:
        """Buffer by buffer the positions and rows, without the first `skip` rows; the next one is read while
        this one is used."""

        def load(buffer: _Buffer) -> tuple[Positions, tuple[Tensor, ...]]:
            order = torch.from_numpy(buffer.order)
            tensors = tuple(t.index_select(0, order) for t in self.dataset.read(buffer.groups))
            return self.dataset.positions(buffer.groups)[buffer.order], tensors

        wanted: list[_Buffer] = []
        for buffer in self._buffers(epoch):
            passed = min(skip, len(buffer.order))
            skip -= passed
            if passed < len(buffer.order):
                wanted.append(_Buffer(buffer.groups, buffer.order[passed:]))
        with ThreadPoolExecutor(1, thread_name_prefix="wiggly-stream") as pool:
            coming = pool.submit(load, wanted[0]) if wanted else None
            for following in [*wanted[1:], None]:
                if coming is None:
                    return
                found = coming.result()
                coming = pool.submit(load, following) if following is not None else None
                yield found

    def _run(self, epoch: int, start: int, part: Part) -> Iterator[Batch]:
        rest: tuple[Positions, tuple[Tensor, ...]] | None = None
        for positions, tensors in self._read(epoch, start * self.bs):
            if rest is not None:
                positions = np.concatenate([rest[0], positions])
                tensors = tuple(torch.cat(pair) for pair in zip(rest[1], tensors, strict=True))
            whole = len(positions) // self.bs * self.bs
            for begin in range(0, whole, self.bs):
                yield self._batch(positions, tensors, begin, part)
            rest = positions[whole:], tuple(tensor[whole:] for tensor in tensors)
        if rest is not None and len(rest[0]) and not self.drop_last:
            yield self._batch(*rest, 0, part)

    def _batch(self, positions: Positions, tensors: tuple[Tensor, ...], begin: int, part: Part) -> Batch:
        share = share_of(min(self.bs, len(positions) - begin), part)
        rows = slice(begin + share.start, begin + share.stop)
        cats, conts, *targets = (tensor[rows].to(self.device) for tensor in tensors)
        return Batch((cats, conts), tuple(targets), positions[rows].tolist())

    def look(self, n: int | None = None) -> Batch:
        """A batch for looking at; the order of training is not moved.

        Args:
            n: Rows; None takes the batch size.

        Raises:
            DataError: There are no rows.
        """
        epoch, self._looks = (1 << 30) + self._looks, self._looks + 1
        for buffer in self._buffers(epoch):
            first = _Buffer(buffer.groups[:1], np.arange(self.dataset.counts[buffer.groups[0]]))
            if not len(first.order):
                continue
            order = np.random.default_rng([self.seed % 2**64, epoch]).permutation(first.order)
            chosen = (order if self.shuffle else first.order)[: n or self.bs]
            tensors = tuple(t[torch.from_numpy(chosen)] for t in self.dataset.read(first.groups))
            cats, conts, *targets = (tensor.to(self.device) for tensor in tensors)
            positions = self.dataset.positions(first.groups)[chosen]
            return Batch((cats, conts), tuple(targets), positions.tolist())
        raise DataError("there must be at least 1 row to look at", "there are none", "Check the files.")

    def one_batch(self) -> tuple[Tensor, ...]:
        """A batch for looking at: `(cats, conts, *targets)`."""
        return self.look().tensors
