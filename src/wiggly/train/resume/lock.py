"""A lock on a kept run, so that two processes do not write one file in turns.

In: the path of a checkpoint. Out: a lock that the system takes back when the process dies, however it dies.
Read next: `run.py`, which holds one while a fit runs.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import IO

from wiggly.errors import StorageError

if sys.platform != "win32":
    import fcntl

__all__ = ["Lock"]

# The system's locks are of a process: two learners of one would both get it.
_held: set[Path] = set()


class _Held(Exception):
    """Says by whom."""


class Lock:
    """One process at a time holds it; a file beside the checkpoint says which.

    Where nothing can be written, or on a file system without locks, it is granted to everyone.

    Args:
        path: The checkpoint.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "fit-1.safetensors"
        >>> lock = Lock(path)
        >>> lock.take()
        >>> Lock(path).is_free
        False
        >>> lock.release()
        >>> Lock(path).is_free, list(path.parent.iterdir())
        (True, [])
    """

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, path.with_name(f".{path.stem}.lock")
        self._open: IO[str] | None = None

    @property
    def is_free(self) -> bool:
        """Whether it could be taken now, or is held here."""
        try:
            self.check()
        except StorageError:
            return False
        return True

    def check(self) -> None:
        """Does nothing but raise what `take` would."""
        if self._open is None and self.file.exists():
            self.take()
            self.release()

    def take(self) -> None:
        """Takes the lock; if it is held here already, nothing happens.

        Raises:
            StorageError: Somebody else holds it; the message says who.
        """
        if self._open is not None:
            return
        if self.file in _held:
            raise self._taken("another fit of this process")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            while not self._settled():
                pass
        except _Held as held:
            raise self._taken(str(held)) from None
        except OSError:  # no permission, a full disk: what is to be kept will say so
            return

    def _settled(self) -> bool:
        """Whether there is nothing more to try: it is held here, or there are no locks."""
        if sys.platform == "win32":
            return True
        file = open(self.file, "a+", encoding="utf-8")  # noqa: SIM115 - it is open as long as it is held
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise _Held(holder) from None
        except OSError:
            file.close()
            raise
        if not _is_same(file, self.file):  # the one before let go, and took the file away, in between
            file.close()
            return False
        self._open = file
        _held.add(self.file)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        return True

    def _taken(self, holder: str) -> StorageError:
        return StorageError(
            f"one fit at a time can keep itself in `{self.path}`",
            f"{holder} does so now",
            "Wait until that has ended, or end it; or keep this one elsewhere: Learner(..., path=FOLDER).",
        )

    def release(self) -> None:
        """Lets the lock go, and takes its file away."""
        if self._open is None:
            return
        with contextlib.suppress(OSError):
            self.file.unlink()  # while it is held, so that nobody else's is taken away
        with contextlib.suppress(OSError):
            self._open.close()
        self._open = None
        _held.discard(self.file)


def _is_same(file: IO[str], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
