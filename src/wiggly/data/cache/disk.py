"""Decoded items on disk, mapped into memory, shared by any number of processes that read and fill at once.

In: arrays under keys. Out: views of mapped files. Every process writes segments of its own and reads those
of all; when the folder is full, the segment that was not used for longest goes, never one that is in use. A
failure to write ends the keeping, not the run. Read next: `dataset.py`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sys
import time
import warnings
import weakref
from collections.abc import Iterator
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from wiggly.data.cache.segments import (
    FACT,
    Record,
    Segment,
    SegmentWriter,
    array_record,
    lock,
    room_for,
    shape_fits,
    used_bytes,
)
from wiggly.data.cache.store import FREE_SHARE, MOST_DISK, Array, Cache, FileFact

__all__ = ["DiskCache", "default_folder", "default_limit"]

FORMAT = "1"  # name of the sub-folder; another format never sees these files
SEGMENT = 256_000_000
# Each mapped file costs a descriptor, and macOS gives a process 256.
MOST_SEGMENTS = 64
REFRESH_SECONDS = 1.0


class DiskCache(Cache):
    """Arrays kept in files.

    Args:
        folder: Where; made if missing. Put it on a disk of this machine: a network disk is slower than
            decoding, and its files can vanish under a reader.
        limit: Most bytes on disk, of all processes together; None takes half of what is free, at most 20 GB.

    Example:
        >>> cache = DiskCache("kept", limit=1_000_000)
        >>> cache.put(b"0123456789abcdef", np.arange(3, dtype=np.uint8))
        >>> DiskCache("kept", limit=1_000_000).get(b"0123456789abcdef")
        array([0, 1, 2], dtype=uint8)
    """

    kind = "disk"

    def __init__(self, folder: str | Path, limit: int | None = None) -> None:
        place = Path(folder)
        super().__init__(default_limit(place) if limit is None else limit)
        self.folder = place
        self._files = place / FORMAT
        self._lock = Lock()
        self._writer: SegmentWriter | None = None
        self._writes_to = -1
        self._segments: list[Segment] = []
        self._numbers: dict[str, int] = {}
        self._new: dict[int, int] = {}  # first half of the key -> segment and record, as one number
        self._keys = self._places = np.empty(
            0, np.uint64
        )  # the same for those that were there, sorted by key
        self._looked = 0.0
        self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        return DiskCache, (self.folder, self.limit)

    def _open(self) -> None:
        try:
            self._files.mkdir(parents=True, exist_ok=True)
            self._trim()
        except OSError as error:
            self._stop(f"'{self._files}' cannot be written: {error.strerror or error}")
        found = [(number, keys) for number, keys in self._look() if len(keys)]
        if found:
            keys = np.concatenate([k for _, k in found])
            places = np.concatenate(
                [np.arange(len(k), dtype=np.uint64) + np.uint64(n << 32) for n, k in found]
            )
            order = np.argsort(keys, kind="stable")
            self._keys, self._places = keys[order], places[order]

    def _look(self) -> Iterator[tuple[int, Any]]:
        """Numbers of segments and the keys that are new in them, whoever wrote them."""
        self._looked = time.monotonic()
        with contextlib.suppress(OSError):
            for path in sorted(self._files.glob("*.index")):
                number = self._numbers.get(path.stem)
                if number is None:
                    number = self._add(Segment(path.with_suffix("")))
                yield number, self._segments[number].new_keys()

    def _add(self, segment: Segment) -> int:
        number = self._numbers[segment.stem.name] = len(self._segments)
        self._segments.append(segment)
        return number

    def get(self, key: bytes) -> Array | None:
        for segment, number in self._places_of(key):
            found = segment.array(number, key)
            if found is not None:
                return found
        return None

    def recall(self, stamp: bytes) -> FileFact | None:
        for segment, number in self._places_of(stamp):
            found = segment.record(number, stamp, FACT)
            if found is not None:
                return FileFact(found.check, (*found.shape, found.offset, found.length))
        return None

    def _places_of(self, key: bytes) -> Iterator[tuple[Segment, int]]:
        """Where the key may stand, the newest first; other keys may begin with the same 8 bytes."""
        half = int.from_bytes(key[:8], "little")
        place = self._new.get(half)
        if place is not None:
            yield self._segments[place >> 32], place & 0xFFFFFFFF
        k = int(self._keys.searchsorted(np.uint64(half)))
        while k < len(self._keys) and int(self._keys[k]) == half:
            place = int(self._places[k])
            yield self._segments[place >> 32], place & 0xFFFFFFFF
            k += 1
        if time.monotonic() - self._looked > REFRESH_SECONDS and self._refresh():
            place = self._new.get(half)
            if place is not None:
                yield self._segments[place >> 32], place & 0xFFFFFFFF

    def _refresh(self) -> bool:
        """Takes up what other processes have written since."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            for number, keys in self._look():
                if number != self._writes_to:
                    first = self._segments[number].n_known - len(keys)
                    self._new |= {k: number << 32 | first + i for i, k in enumerate(keys.tolist())}
        finally:
            self._lock.release()
        return True

    def put(self, key: bytes, array: Array) -> None:
        if not shape_fits(array):
            return
        array = np.ascontiguousarray(array)
        record = array_record(key, 0, array)
        with self._lock:
            self.misses += 1
            self._append(record, array)

    def note(self, stamp: bytes, fact: FileFact) -> None:
        a, b, c, d, e, f = (*fact.numbers, 0, 0, 0, 0, 0, 0)[:6]
        with self._lock:
            self._append(Record(FACT, stamp, e, f, (a, b, c, d), b"", fact.content), None)

    def _append(self, record: Record, array: Array | None) -> None:
        if self.stopped:
            return
        try:
            writer = self._writer_for(record.length if array is not None else 0)
            if writer is None:
                self.stopped = "it is full"
                return
            placed = record if array is None else record._replace(offset=writer.end)
            number = writer.append(placed, array)
        except OSError as error:
            self._stop(f"writing to '{self._files}' failed: {error.strerror or error}")
            return
        self._new[int.from_bytes(record.key[:8], "little")] = self._writes_to << 32 | number

    def _stop(self, reason: str) -> None:
        self.stopped = reason
        warnings.warn(f"nothing more is cached: {reason}; the run goes on without", stacklevel=2)

    def _writer_for(self, length: int) -> SegmentWriter | None:
        """Who has room for an array of that length; None when the folder is full."""
        writer = self._writer
        if writer is not None and writer.process == os.getpid() and writer.has_room(length):
            return writer
        if writer is not None:
            writer.close()
            self._writer = None
        with open(self._files / "lock", "ab") as gate:
            lock(gate, shared=False, wait=True)  # one at a time makes room and takes it
            room = self._make_room(room_for(length))
            if room is None:
                return None
            name = f"{time.time_ns():016x}-{secrets.token_hex(4)}"
            self._writer = writer = SegmentWriter(self._files / name, room)
        self._writes_to = self._add(Segment(writer.stem))
        self._segments[-1].hold()
        weakref.finalize(self, writer.close)
        return writer

    def _make_room(self, least: int) -> int | None:
        """Room for a new segment, after removing old ones that nobody uses; None if there is none."""
        wanted = max(least, min(SEGMENT, self.limit // 8))
        sizes = _sizes(self._files)
        by_age = sorted(sizes, key=_last_use)
        by_size = sorted(sizes, key=lambda stem: sizes[stem])
        while len(sizes) >= MOST_SEGMENTS and by_size:  # many short runs: the smallest are least missed
            stem = by_size.pop(0)
            if _remove(stem):
                del sizes[stem]
        while sum(sizes.values()) + wanted > self.limit and by_age:
            stem = by_age.pop(0)
            if stem in sizes and _remove(stem):
                del sizes[stem]
        room = min(wanted, self.limit - sum(sizes.values()))
        return room if room >= least else None

    def _trim(self) -> None:
        """Cuts the room that killed writers had taken and not used."""
        with contextlib.suppress(OSError), open(self._files / "lock", "ab") as gate:
            lock(gate, shared=False, wait=True)  # nobody is between the two files of a new segment
            for pixels in self._files.glob("*.pixels"):
                self._trim_segment(pixels, pixels.with_suffix(".index"))

    def _trim_segment(self, pixels: Path, index: Path) -> None:
        if not index.exists():
            _remove(pixels.with_suffix(""))  # killed before it had made the second file
            return
        with contextlib.suppress(OSError), open(pixels, "r+b", buffering=0) as file:
            if lock(file, shared=False):
                used = used_bytes(index)
                if used < os.fstat(file.fileno()).st_size:
                    file.truncate(used)

    @property
    def size(self) -> int:
        unused = 0 if self._writer is None else self._writer.room - self._writer.end
        return max(0, sum(_sizes(self._files).values()) - unused)

    @property
    def where(self) -> str:
        return f"in '{self.folder}'"


def default_folder() -> Path:
    """`WIGGLY_CACHE` if that is set, else "wiggly" in the system's folder for what can be made again (XDG
    base directories on Linux, Library/Caches on macOS, LOCALAPPDATA on Windows).
    """
    if named := os.environ.get("WIGGLY_CACHE"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "wiggly" / "decoded"


def default_limit(folder: Path) -> int:
    """Half of what is free on the disk or used by the cache already, at most 20 GB."""
    there = next((p for p in (folder, *folder.absolute().parents) if p.exists()), Path.cwd())
    free = shutil.disk_usage(there).free + sum(_sizes(folder / FORMAT).values())
    return min(MOST_DISK, int(FREE_SHARE * free))


def _sizes(folder: Path) -> dict[Path, int]:
    """Bytes that each segment has taken, by its path without suffix."""
    sizes: dict[Path, int] = {}
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            if entry.name.endswith((".pixels", ".index")):
                stem = folder / entry.name.rpartition(".")[0]
                with contextlib.suppress(OSError):  # removed meanwhile
                    sizes[stem] = sizes.get(stem, 0) + entry.stat().st_size
    return sizes


def _last_use(stem: Path) -> float:
    try:
        return os.stat(stem.with_suffix(".index")).st_mtime
    except OSError:
        return 0.0


def _remove(stem: Path) -> bool:
    """Removes a segment unless somebody uses it; whether it is gone."""
    pixels, index = stem.with_suffix(".pixels"), stem.with_suffix(".index")
    try:
        if pixels.exists():
            with open(pixels, "rb") as file:
                if not lock(file, shared=False):
                    return False
                if sys.platform != "win32":  # there an open file cannot be removed, which is the lock
                    pixels.unlink()
            pixels.unlink(missing_ok=True)
        index.unlink(missing_ok=True)
    except OSError:
        return False
    return True
