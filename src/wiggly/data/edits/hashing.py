"""SHA-256 of many files, in threads; what took long once is remembered by path, size and time of change.

In: paths. Out: digests. Up to a few hundred megabytes nothing is remembered: reading them again takes less
than a second. Read next: `identity.py`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sqlite3
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from wiggly.data.cache.disk import default_folder

__all__ = ["HashStore", "file_hash", "file_hashes"]

#: From here on digests are remembered.
BYTES_WORTH_KEEPING = 200_000_000
# A file that changed so lately may change again within the clock's grain, unseen.
SECONDS_TO_SETTLE = 3.0
AT_ONCE = 500
# The last: a path that is no text.
FAILURES = (sqlite3.Error, OSError, UnicodeError)

Stamp = tuple[str, int, int]


def file_hash(path: str | Path) -> str:
    """SHA-256 of a file's content, the hexadecimal digits that `sha256sum` prints.

    Raises:
        OSError: It cannot be read.
    """
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hashes(paths: Sequence[str], folder: Path | None = None) -> list[str | None]:
    """SHA-256 of each file; None for those that cannot be read.

    Args:
        paths: The files.
        folder: Where digests are remembered; None takes the cache folder.
    """
    stamps = [_stamp(path) for path in paths]
    if sum(stamp[1] for stamp in stamps if stamp) < BYTES_WORTH_KEEPING:
        return _hashed(paths)
    store = HashStore((default_folder() if folder is None else folder) / "hashes.sqlite")
    known = store.get([stamp for stamp in stamps if stamp])
    lacking = [i for i, stamp in enumerate(stamps) if stamp is None or stamp not in known]
    new = dict(zip(lacking, _hashed([paths[i] for i in lacking]), strict=True))
    settled = time.time_ns() - int(SECONDS_TO_SETTLE * 1e9)
    made = ((stamps[i], digest) for i, digest in new.items())
    store.put({stamp: digest for stamp, digest in made if stamp and digest and stamp[2] < settled})
    return [new[i] if i in new else known[stamp] if stamp else None for i, stamp in enumerate(stamps)]


def _hashed(paths: Sequence[str]) -> list[str | None]:
    if len(paths) < 8:
        return [_hash_or_none(path) for path in paths]
    with ThreadPoolExecutor(thread_name_prefix="wiggly-hash") as pool:
        return list(pool.map(_hash_or_none, paths, chunksize=16))


def _hash_or_none(path: str) -> str | None:
    try:
        return file_hash(path)
    except OSError:
        return None


def _stamp(path: str) -> Stamp | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return os.path.abspath(path), found.st_size, found.st_mtime_ns


class HashStore:
    """Digests on disk, shared by processes; whatever fails in it only costs time.

    Args:
        file: An SQLite file.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, stamps: Sequence[Stamp]) -> dict[Stamp, str]:
        """The digests that are known of files that have not changed."""
        found: dict[Stamp, str] = {}
        with contextlib.suppress(*FAILURES), contextlib.closing(self._open()) as store:
            for k in range(0, len(stamps), AT_ONCE):
                some = {stamp[0]: stamp for stamp in stamps[k : k + AT_ONCE]}
                marks = ",".join("?" * len(some))
                rows = store.execute(
                    f"SELECT path, size, time, digest FROM hashes WHERE path IN ({marks})", [*some]
                )
                found.update({(row[0], row[1], row[2]): row[3] for row in rows})
        wanted = set(stamps)
        return {stamp: digest for stamp, digest in found.items() if stamp in wanted}

    def put(self, digests: dict[Stamp, str]) -> None:
        """Remembers digests."""
        with contextlib.suppress(*FAILURES), contextlib.closing(self._open()) as store, store:
            rows = [(*stamp, digest) for stamp, digest in digests.items()]
            store.executemany("INSERT OR REPLACE INTO hashes VALUES (?, ?, ?, ?)", rows)

    def _open(self) -> sqlite3.Connection:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        store = sqlite3.connect(self.file, timeout=5.0)
        store.execute(
            "CREATE TABLE IF NOT EXISTS hashes (path TEXT PRIMARY KEY, size INT, time INT, digest TEXT)"
        )
        return store
