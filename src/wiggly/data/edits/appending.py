"""Appending to a file that others append to: one at a time, whole rows, on the disk before it is said so.

In: lines. Out: the same lines at the end of the file. A lock of the operating system keeps writers apart and
is given back when its holder is killed; a row that a killed writer left half written is ended, so that the
next one begins on a line of its own. Read next: `journal.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import time
import warnings
from collections.abc import Generator
from pathlib import Path

from wiggly.errors import StorageError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

__all__ = ["append", "flush_names", "locked"]

SECONDS_TO_WAIT = 20.0
SECONDS_BETWEEN = 0.001
# Windows locks bytes, which then cannot be read: one that is far beyond the end.
_FAR = 1 << 40


@contextlib.contextmanager
def locked(path: Path) -> Generator[int]:
    """The file, made if missing, open for appending and locked against other writers, as a descriptor.

    Raises:
        StorageError: It cannot be opened, or another process holds it for too long.
    """
    descriptor = _opened(path)
    try:
        yield descriptor
    finally:
        os.close(descriptor)  # with it goes the lock


def _opened(path: Path) -> int:
    while True:
        try:
            descriptor = os.open(
                path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666
            )
        except OSError as error:
            raise _failed(path, error) from error
        try:
            _lock(descriptor, path)
            here = os.fstat(descriptor)
            there = os.stat(path)
            # Somebody may have put another file in its place meanwhile; that one is the journal then.
            if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, path: Path) -> None:
    end = time.monotonic() + SECONDS_TO_WAIT
    while True:
        try:
            return _lock_now(descriptor)
        except (BlockingIOError, PermissionError):  # Windows calls it a lack of permission
            if time.monotonic() > end:
                raise StorageError(
                    f"'{path}' must be free to be written",
                    f"another process has held it for {SECONDS_TO_WAIT:.0f} s",
                    "End the program that hangs, then try again. Nothing was written.",
                ) from None
            time.sleep(SECONDS_BETWEEN)
        except OSError as error:
            warnings.warn(
                f"the disk of '{path}' has no locks ({error.strerror}): only one program may write to it",
                stacklevel=6,
            )
            return


def _lock_now(descriptor: int) -> None:
    if sys.platform == "win32":
        os.lseek(descriptor, _FAR, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def append(descriptor: int, path: Path, lines: str) -> None:
    """Lines at the end of a locked file; when this returns they are on the disk.

    Args:
        descriptor: From `locked`.
        path: The file, for messages.
        lines: Whole lines, each with its end.

    Raises:
        StorageError: They could not be written; the file is as it was.
    """
    size = os.lseek(descriptor, 0, os.SEEK_END)
    torn = size > 0 and not _ends_a_line(descriptor, size)
    data = (b"\n" if torn else b"") + lines.encode("utf-8")
    try:
        if os.write(descriptor, data) != len(data):
            raise OSError(28, "no space left on the disk")
        os.fsync(descriptor)
        if size == 0:
            flush_names(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.ftruncate(descriptor, size)
        raise _failed(path, error) from error


def _ends_a_line(descriptor: int, size: int) -> bool:
    os.lseek(descriptor, size - 1, os.SEEK_SET)
    return os.read(descriptor, 1) == b"\n"


def flush_names(folder: Path) -> None:
    """Waits until a new file's name is on the disk too."""
    if sys.platform == "win32":  # cannot open a folder
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _failed(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"'{path}' must be writable",
        f"writing failed: {error.strerror or error}; nothing was kept",
        "Free space, or name a journal in a folder that exists and that you may write to.",
    )
