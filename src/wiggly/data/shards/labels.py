"""One column of the shards, read without the others: labels for a vocabulary, a column that splits.

In: one side and a getter. Out: the getter's value for every row. Read next: `stream.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from wiggly.data.dataset import Getter
from wiggly.data.shards.rows import Segment, ShardRows
from wiggly.data.shards.source import DamagedShard, ShardRow, UnreadColumn
from wiggly.errors import DataError, LabelError, WigglyError

__all__ = ["read_column"]

READ_AT_ONCE = 8  # parts whose labels are read at the same time: over a network mostly waiting


def read_column(rows: ShardRows, getter: Getter, what: str) -> Iterator[tuple[int, Any]]:
    """Position and raw value of every row; the only columns that are read are those the getter asks for.

    Args:
        rows: One side.
        getter: Row to raw value.
        what: The getter's name in messages.

    Raises:
        LabelError: The getter fails on a row.
    """
    columns = _Columns()
    segments = rows.segments()
    with ThreadPoolExecutor(READ_AT_ONCE, thread_name_prefix="wiggly-labels") as pool:
        running = [pool.submit(columns.values, rows, s, getter, what) for s in segments[:READ_AT_ONCE]]
        for segment in [*segments[READ_AT_ONCE:], *[None] * len(running)]:
            yield from running.pop(0).result()
            if segment is not None:
                running.append(pool.submit(columns.values, rows, segment, getter, what))


class _Columns:
    """The columns a getter asks for, as far as is known; a pass that meets another begins again with it."""

    def __init__(self) -> None:
        self.names: frozenset[str] | None = frozenset()

    def values(self, rows: ShardRows, segment: Segment, getter: Getter, what: str) -> list[tuple[int, Any]]:
        while True:
            try:
                return self._attempt(rows, segment, getter, what)
            except UnreadColumn as unread:
                known = self.names  # another thread may have found more since
                self.names = None if unread.column is None or known is None else known | {unread.column}

    def _attempt(self, rows: ShardRows, segment: Segment, getter: Getter, what: str) -> list[tuple[int, Any]]:
        names = self.names
        columns = None if names is None else sorted(names)
        found: list[tuple[int, Any]] = []
        walk = rows.walk(segment.part, segment.start, columns)
        try:
            for position, row in walk:
                found.append((position, _raw(getter, row, what)))
        except DamagedShard:  # its rows are missed, and counted, when they are to be trained on
            pass
        finally:
            walk.close()
        return found


def _raw(getter: Getter, row: ShardRow, what: str) -> Any:
    try:
        return getter(row)
    except DataError as error:
        if not isinstance(error, LabelError):
            raise  # a missing column: the same for every row
        reason = error.received
    except Exception as error:
        reason = error.rule if isinstance(error, WigglyError) else f"{type(error).__name__}: {error}"
    raise LabelError(
        f"`{what}` must return a value for every row",
        f"it failed on '{row.filename}': {reason}",
        "Mend the function, or leave such rows out of the shards.",
    )
