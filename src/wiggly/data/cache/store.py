"""Decoded items kept between passes: in memory, or in files that processes share (`disk.py`).

In: arrays under keys made of file content and decode settings. Out: the same arrays, to the bit. A cache may
forget or refuse anything; whoever asks decodes again, so it changes the time a run takes and nothing else.
Read next: `disk.py`.
"""

from __future__ import annotations

import hashlib
import os
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

__all__ = ["Cache", "FileFact", "RamCache", "amount", "available_memory", "digest", "file_stamp"]

Array = npt.NDArray[Any]

DIGEST_BYTES = 16  # 128 bits: no two of a billion files meet
# Share of what is free that a cache takes unless told: the other half is for the model and other programs.
FREE_SHARE = 0.5
MOST_DISK = 20_000_000_000
# Seconds in which a file may change again without its time stamps showing it: kernels stamp by a clock that
# ticks every 1 to 10 ms; FAT, HFS+ and some network disks store whole seconds, FAT even ones.
FINE_TICK, COARSE_TICK = 0.1, 2.5


@dataclass(frozen=True, slots=True)
class FileFact:
    """What is known of a file without reading it.

    Attributes:
        content: `digest` of its bytes.
        numbers: Up to six whole numbers below 2**32, by the one who notes it (height, width, ...).
    """

    content: bytes
    numbers: tuple[int, ...]


def digest(*parts: Any) -> bytes:
    """BLAKE2b of bytes, 16 bytes long; the key of whatever has this content.

    Example:
        >>> digest(b"wiggly").hex()[:8], digest(b"wig", b"gly") == digest(b"wiggly")
        ('047069f2', True)
    """
    made = hashlib.blake2b(digest_size=DIGEST_BYTES)
    for part in parts:
        made.update(part)
    return made.digest()


def file_stamp(path: str, tag: str) -> tuple[bytes, bool]:
    """A key that changes whenever the file does, without reading it.

    Args:
        path: The file.
        tag: Who asks; facts noted under one tag are not those of another.

    Returns:
        The key, from path, inode, size and both time stamps (the change time cannot be set back); and whether
        the file has been at rest long enough for a further change to show.

    Raises:
        OSError: There is no such file, or it may not be looked at.
    """
    s = os.stat(path)
    place = path if os.path.isabs(path) else os.path.abspath(path)
    text = f"{tag}\0{place}\0{s.st_dev} {s.st_ino} {s.st_size} {s.st_mtime_ns} {s.st_ctime_ns}"
    last = max(s.st_mtime_ns, s.st_ctime_ns)
    tick = COARSE_TICK if last % 1_000_000_000 == 0 else FINE_TICK
    return digest(text.encode("utf-8", "surrogateescape")), time.time() - last / 1e9 > tick


class Cache(ABC):
    """Arrays under keys, safe for threads; what `DataBlock.dataloaders(cache=...)` makes.

    Args:
        limit: Most bytes to keep.

    Attributes:
        kind: "ram" or "disk".
        misses: Arrays that were asked for, not found, and made.
        stopped: Why nothing more is kept; "" while there is room.
    """

    kind: ClassVar[str]

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.misses = 0
        self.stopped = ""

    @abstractmethod
    def get(self, key: bytes) -> Array | None:
        """The array put under this key, read only; None where there is none (any more)."""

    @abstractmethod
    def put(self, key: bytes, array: Array) -> None:
        """Keeps an array, if there is room; the caller must not change it afterwards."""

    @abstractmethod
    def recall(self, stamp: bytes) -> FileFact | None:
        """What was noted of a file under its stamp."""

    @abstractmethod
    def note(self, stamp: bytes, fact: FileFact) -> None:
        """Keeps a fact of a file."""

    @property
    @abstractmethod
    def size(self) -> int:
        """Bytes kept."""

    @property
    def where(self) -> str:
        """Where it keeps them, in words."""
        return "in memory"

    def describe(self) -> str:
        """One line for reports."""
        text = f"{self.kind}: {amount(self.size)} of at most {amount(self.limit)} {self.where}"
        return f"{text}; nothing more is kept: {self.stopped}" if self.stopped else text


class RamCache(Cache):
    """Arrays kept in this process.

    Args:
        limit: Most bytes to keep; None takes half of the memory that is free now.

    Example:
        >>> cache = RamCache(limit=1000)
        >>> cache.put(b"key", np.arange(3, dtype=np.uint8))
        >>> cache.get(b"key"), cache.get(b"other")
        (array([0, 1, 2], dtype=uint8), None)
    """

    kind = "ram"

    def __init__(self, limit: int | None = None) -> None:
        super().__init__(int(FREE_SHARE * available_memory()) if limit is None else limit)
        self._arrays: dict[bytes, Array] = {}
        self._facts: dict[bytes, FileFact] = {}
        self._size = 0
        self._lock = Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return RamCache, (self.limit,)  # another process starts with an empty one

    def get(self, key: bytes) -> Array | None:
        return self._arrays.get(key)

    def put(self, key: bytes, array: Array) -> None:
        # A view would keep the whole of its base alive.
        kept = np.ascontiguousarray(array)
        kept = kept if kept.base is None else kept.copy()
        kept.flags.writeable = False
        with self._lock:
            self.misses += 1
            if self._size + kept.nbytes > self.limit:
                self.stopped = "it is full"
            elif key not in self._arrays:
                self._arrays[key] = kept
                self._size += kept.nbytes

    def recall(self, stamp: bytes) -> FileFact | None:
        return self._facts.get(stamp)

    def note(self, stamp: bytes, fact: FileFact) -> None:
        self._facts[stamp] = fact

    @property
    def size(self) -> int:
        return self._size


def available_memory() -> int:
    """Bytes to be had without swapping: of the machine, or of the container (cgroup) if that is less."""
    found = [n for n in (_machine_memory(), _container_memory()) if n is not None]
    return max(0, min(found, default=4_000_000_000))


def _machine_memory() -> int | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    try:  # macOS does not tell what is free without a tool: half of what is built in
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None


def _container_memory(root: Path = Path("/sys/fs/cgroup")) -> int | None:
    """What the tightest control group around this process leaves: its limit less what is used, file pages
    that can be dropped not counted (Linux, Documentation/admin-guide/cgroup-v2.rst).
    """
    try:
        own = Path("/proc/self/cgroup").read_text().strip().rpartition(":")[2].strip("/")
    except OSError:
        return None
    left: list[int] = []
    group = root / own
    for folder in (group, *group.parents):
        left += _left_in(folder, "memory.max", "memory.current", "inactive_file")
        left += _left_in(
            folder / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
        )
        if folder == root:
            break
    return min(left, default=None)


def _left_in(folder: Path, limit: str, used: str, reclaimable: str) -> list[int]:
    try:
        most, now = int((folder / limit).read_text()), int((folder / used).read_text())
        stat = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):  # no such group, or the limit is "max"
        return []
    return [most - now + int(stat.get(reclaimable, 0))]


def amount(n: float) -> str:
    """Bytes for people: 1.2 GB."""
    for unit in ("bytes", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"
