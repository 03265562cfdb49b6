"""A stopwatch for nested stages: what a stage inside another takes is not counted twice.

In: stages entered and left by one thread. Out: seconds of each, on the clock and on the processor; what the
thread waits for a core, because the machine is busy, is left out where the system tells it. Read next:
`profile.py`.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager, suppress

__all__ = ["QueueClock", "Stopwatch"]


class QueueClock:
    """How long the thread that made it has waited for a core (Linux, Documentation/scheduler/sched-stats.rst;
    elsewhere always 0).

    Example:
        >>> QueueClock().seconds() >= 0.0
        True
    """

    def __init__(self) -> None:
        self._file: int | None = None
        with suppress(OSError):
            self._file = os.open("/proc/thread-self/schedstat", os.O_RDONLY)

    def __del__(self) -> None:
        if self._file is not None:
            os.close(self._file)

    def seconds(self) -> float:
        """So far."""
        if self._file is None:
            return 0.0
        with suppress(OSError, IndexError, ValueError):
            return int(os.pread(self._file, 64, 0).split()[1]) / 1e9
        return 0.0


class Stopwatch:
    """Seconds by stage, for one thread.

    Attributes:
        wall: By the clock, without the stages inside.
        cpu: Of the thread's processor time; much less than `wall` means waiting.

    Example:
        >>> watch = Stopwatch()
        >>> with watch("outer"), watch("inner"):
        ...     time.sleep(0.02)
        >>> watch.wall["inner"] > 0.02 > 10 * watch.wall["outer"]
        True
    """

    def __init__(self) -> None:
        self.wall: dict[str, float] = defaultdict(float)
        self.cpu: dict[str, float] = defaultdict(float)
        self._inside = [(0.0, 0.0)]
        self._queue = QueueClock()

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        """Counts what happens within the block for this stage."""
        self._inside.append((0.0, 0.0))
        queued, wall, cpu = self._queue.seconds(), time.perf_counter(), time.thread_time()
        try:
            yield
        finally:
            wall, cpu = time.perf_counter() - wall, time.thread_time() - cpu
            wall = max(cpu, wall - (self._queue.seconds() - queued))
            inner_wall, inner_cpu = self._inside.pop()
            self.wall[stage] += max(0.0, wall - inner_wall)
            self.cpu[stage] += max(0.0, cpu - inner_cpu)
            outer_wall, outer_cpu = self._inside[-1]
            self._inside[-1] = outer_wall + wall, outer_cpu + cpu
