"""The files of a disk cache: pairs that one process appends to and any number of processes map.

In: arrays and facts. Out: views of mapped memory. A *segment* is two files: `.pixels` holds arrays one after
another, `.index` a record of fixed length for each array or fact. A record is written after its array and
carries checks of both, so what a killed process, a full disk or a bad sector leaves behind is noticed. A file
is appended to or removed whole, never changed: a mapping survives both. Read next: `disk.py`.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import struct
import sys
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt

from wiggly.data.cache.store import Array, digest

if sys.platform != "win32":
    import fcntl

__all__ = [
    "ARRAY",
    "FACT",
    "Record",
    "Segment",
    "SegmentWriter",
    "array_record",
    "checksum",
    "lock",
    "room_for",
    "shape_fits",
    "used_bytes",
]

ARRAY, FACT = 1, 2
# Kind, key, offset and length in `.pixels`, up to four sides, type, check of the array (a fact: the content).
_BODY = struct.Struct("<Q16sQQ4I8s16s")
_CHECK_BYTES = 8
RECORD_BYTES = _BODY.size + _CHECK_BYTES
KEY_AT = 8
ALIGNMENT = 64  # a cache line
_TYPES = {name.encode(): np.dtype(name) for name in ("u1", "u2", "i2", "i4", "f4")}
_PAGE = 4096


class Record(NamedTuple):
    """One line of an index.

    Attributes:
        kind: `ARRAY` or `FACT`.
        key: 16 bytes.
        offset: First byte in `.pixels`; of a fact its fifth number.
        length: Bytes there; of a fact its sixth number.
        shape: Four sides, those that are not there 0; of a fact its first four numbers.
        type: A key of `_TYPES`.
        check: `checksum` of the array; of a fact the file's content.
    """

    kind: int
    key: bytes
    offset: int
    length: int
    shape: tuple[int, int, int, int]
    type: bytes
    check: bytes

    def pack(self) -> bytes:
        """The record as it stands in the file, its own check at the end."""
        body = _BODY.pack(
            self.kind, self.key, self.offset, self.length, *self.shape, self.type.ljust(8, b"\0"), self.check
        )
        return body + digest(body)[:_CHECK_BYTES]

    @classmethod
    def unpack(cls, data: bytes, known: bool = False) -> Record | None:
        """The record, or None if it is damaged; one `known` to be whole is not checked again."""
        if not known and digest(data[: _BODY.size])[:_CHECK_BYTES] != data[_BODY.size :]:
            return None
        kind, key, offset, length, a, b, c, d, type_, check = _BODY.unpack_from(data)
        return cls(kind, key, offset, length, (a, b, c, d), type_.rstrip(b"\0"), check)


def shape_fits(array: Array) -> bool:
    """Whether a record can describe this array."""
    return (
        _type_of(array) in _TYPES and 1 <= array.ndim <= 4 and array.nbytes > 0 and max(array.shape) < 1 << 32
    )


def array_record(key: bytes, offset: int, array: Array) -> Record:
    """The record of a contiguous array that is about to lie at `offset`."""
    a, b, c, d = (*array.shape, 0, 0, 0)[:4]
    return Record(ARRAY, key, offset, array.nbytes, (a, b, c, d), _type_of(array), checksum(array))


def _type_of(array: Array) -> bytes:
    return array.dtype.str.lstrip("<|=").encode()


def checksum(array: Array) -> bytes:
    """A check of a contiguous array at the speed of memory: the sum of each 4 kB as 64-bit numbers, hashed in
    order.

    Meant against accidents: it sees any flipped bit and any page that is lost, zeroed or in another's place.
    """
    raw = array.reshape(-1).view(np.uint8)
    whole = len(raw) // _PAGE * _PAGE
    pages: npt.NDArray[np.uint64] = raw[:whole].view(np.uint64).reshape(-1, _PAGE // 8).sum(axis=1)
    return digest(pages, raw[whole:])


class _Mapped:
    """A file that may grow, in memory as far as it is asked for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._map: mmap.mmap | None = None

    def up_to(self, end: int, held: bool = False) -> mmap.mmap | None:
        """The mapping, if the file has that many bytes; `held` locks it against removal as long as the
        mapping or any array in it lives.
        """
        found = self._map
        if found is not None and len(found) >= end:
            return found
        try:
            with open(self.path, "rb", buffering=0) as file:
                if os.fstat(file.fileno()).st_size < max(end, 1) or (held and not lock(file, shared=True)):
                    return None
                # The mapping has a copy of the descriptor, and with it the lock.
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):
            return None
        return self._map


class Segment:
    """A segment for reading. From the first array on that it gives it is held: locked against removal.

    Args:
        stem: Path of its files without their suffixes.
    """

    def __init__(self, stem: Path) -> None:
        self.stem = stem
        self._pixels, self._index = _Mapped(stem.with_suffix(".pixels")), _Mapped(stem.with_suffix(".index"))
        self.n_known = 0  # records whose keys have been handed out
        self._known = bytearray()
        self._touched = False

    def hold(self) -> None:
        """Locks it against removal by other processes, and by this one."""
        self._pixels.up_to(1, held=True)

    def new_keys(self) -> npt.NDArray[np.uint64]:
        """First halves of the keys of the records that have come since the last call."""
        first, last = self.n_known, _size(self._index.path) // RECORD_BYTES
        data = self._index.up_to(last * RECORD_BYTES)
        if last <= first or data is None:
            return np.empty(0, np.uint64)
        rows = np.frombuffer(data, np.uint8, (last - first) * RECORD_BYTES, first * RECORD_BYTES)
        self.n_known = last
        return rows.reshape(-1, RECORD_BYTES)[:, KEY_AT : KEY_AT + 8].copy().view("<u8").ravel()

    def record(self, number: int, key: bytes, kind: int) -> Record | None:
        """The record at a place, if it is whole and of this key and kind."""
        data = self._index.up_to((number + 1) * RECORD_BYTES)
        if data is None:
            return None
        line = data[number * RECORD_BYTES : (number + 1) * RECORD_BYTES]
        found = Record.unpack(line, known=self._is_known(number))
        return found if found is not None and (found.kind, found.key) == (kind, key) else None

    def array(self, number: int, key: bytes) -> Array | None:
        """The array of a record, a view of the file; checked when it is first asked for."""
        record = self.record(number, key, ARRAY)
        data = self._pixels.up_to(record.offset + record.length, held=True) if record else None
        if record is None or data is None or record.type not in _TYPES:
            return None
        shape = tuple(n for n in record.shape if n)
        type_ = _TYPES[record.type]
        if math.prod(shape) * type_.itemsize != record.length:
            return None
        array = np.frombuffer(data, type_, record.length // type_.itemsize, record.offset).reshape(shape)
        return array if self._is_whole(number, array, record.check) else None

    def _is_known(self, number: int) -> bool:
        """Whether record and array were found whole before."""
        return number < len(self._known) and bool(self._known[number])

    def _is_whole(self, number: int, array: Array, check: bytes) -> bool:
        if not self._is_known(number):
            if checksum(array) != check:
                return False
            self._known.extend(bytes(max(0, number + 1 - len(self._known))))
            self._known[number] = 1
            self._touch()
        return True

    def _touch(self) -> None:
        """Says once that this segment is of use, by the time stamp that removal goes by."""
        if not self._touched:
            self._touched = True
            with contextlib.suppress(OSError):
                os.utime(self._index.path)


class SegmentWriter:
    """The one who may append to a segment.

    Args:
        stem: Path of its files without their suffixes; new.
        room: Bytes it may take. The file says so at once, without using them, so that others count them.

    Raises:
        OSError: The files cannot be made.
    """

    def __init__(self, stem: Path, room: int) -> None:
        self.stem, self.room, self.process = stem, room, os.getpid()
        self.end = self.n_records = 0
        with contextlib.ExitStack() as stack:
            self._pixels: IO[bytes] = stack.enter_context(
                open(stem.with_suffix(".pixels"), "xb", buffering=0)
            )
            lock(self._pixels, shared=True)
            self._pixels.truncate(room)
            self._index: IO[bytes] = stack.enter_context(open(stem.with_suffix(".index"), "xb", buffering=0))
            self._stack = stack.pop_all()

    def has_room(self, length: int) -> bool:
        """Whether an array of that many bytes and its record still fit."""
        return self.end + room_for(length) + self.n_records * RECORD_BYTES <= self.room

    def append(self, record: Record, array: Array | None = None) -> int:
        """Writes an array and then its record; a fact has a record only. The number of the record.

        Raises:
            OSError: The disk is full or gone; nothing more may be appended.
        """
        if array is not None:
            _write(self._pixels, memoryview(cast(Any, array)).cast("B"))
            self.end += array.nbytes
            gap = -self.end % ALIGNMENT
            _write(self._pixels, memoryview(bytes(gap)))
            self.end += gap
        _write(self._index, memoryview(record.pack()))
        self.n_records += 1
        return self.n_records - 1

    def close(self) -> None:
        """Ends the segment and gives back the room it did not need."""
        # A forked child has the same open files, and must not cut what its parent goes on writing.
        if self.process == os.getpid() and not self._pixels.closed:
            with contextlib.suppress(OSError):
                self._pixels.truncate(self.end)
        self._stack.close()


def room_for(length: int) -> int:
    """Bytes that an array of this length takes at most, its record included."""
    return length + ALIGNMENT + RECORD_BYTES


def used_bytes(index: Path) -> int:
    """Where the last array of a segment ends, by its last whole record of one.

    Raises:
        OSError: There is no such index.
    """
    data = index.read_bytes()
    for number in reversed(range(len(data) // RECORD_BYTES)):
        record = Record.unpack(data[number * RECORD_BYTES : (number + 1) * RECORD_BYTES])
        if record is not None and record.kind == ARRAY:
            return -(-(record.offset + record.length) // ALIGNMENT) * ALIGNMENT
    return 0


def _write(file: IO[bytes], data: memoryview) -> None:
    done = 0
    while done < len(data):  # a nearly full disk takes less than it is given
        done += file.write(data[done:])


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


def lock(file: IO[bytes], shared: bool, wait: bool = False) -> bool:
    """Locks an open file, shared or for oneself, until it is closed; whether that worked.

    Windows refuses to remove or cut a file in use, so nothing needs to be locked. Where locks fail (some
    network disks) a shared one counts as given, one for oneself as refused: there nothing is removed.
    """
    if sys.platform == "win32":
        return True
    how = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if wait else fcntl.LOCK_NB)
    try:
        fcntl.flock(file.fileno(), how)
    except BlockingIOError:
        return False
    except OSError:
        return shared
    return True
