"""Files that are written whole or not at all, and the seal by which an edit of a made file is noticed.

In: text. Out: a file whose header holds a short hash of the rest; git may change its line ends, nothing else
may change unnoticed. Read next: `module.py`, which writes such files.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from pathlib import Path

from wiggly.errors import StorageError

__all__ = ["is_made", "is_untouched", "read_text", "sealed", "write_bytes", "write_text"]

SEAL = re.compile(r"^# Seal ([0-9a-f]{16}): .*\n", re.MULTILINE)
SEAL_LINE = "# Seal {}: by it an edit made here is noticed, and not lost.\n"


def sealed(header: str, body: str) -> str:
    """Text of a made file: comment lines that say where it comes from, the seal, and the rest.

    Args:
        header: Lines that begin with `#`, each ended.
        body: What follows.

    Example:
        >>> text = sealed("# Made from a notebook.\\n", "x = 1\\n")
        >>> is_untouched(text), is_untouched(text.replace("1", "2"))
        (True, False)
    """
    return f"{header}{SEAL_LINE.format(_hash(header + body))}{body}"


def is_made(text: str) -> bool:
    """Whether a file carries a seal."""
    return SEAL.search(text) is not None


def is_untouched(text: str) -> bool:
    """Whether a file is as it was written, apart from line ends."""
    plain = text.replace("\r\n", "\n")
    found = SEAL.search(plain)
    return found is not None and found[1] == _hash(plain[: found.start()] + plain[found.end() :])


def read_text(path: Path) -> str | None:
    """The text of a file; None when there is none.

    Raises:
        StorageError: It is there and cannot be read as text.
    """
    try:
        return path.read_bytes().decode("utf-8").replace("\r\n", "\n")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(
            f"'{path}' must be a text file that can be read",
            f"it is not: {error}",
            "Move it away, or choose another folder.",
        ) from error


def write_text(path: Path, text: str) -> None:
    """Writes a whole text file or nothing; folders that are missing are made.

    Raises:
        StorageError: It cannot be written; what was there is untouched.
    """
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """As `write_text`, for bytes; the file keeps its permissions, a link stays a link."""
    target = Path(os.path.realpath(path))
    aside = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        aside.write_bytes(content)
        if target.exists():
            shutil.copymode(target, aside)
        os.replace(aside, target)
    except OSError as error:
        raise StorageError(
            f"'{path}' must be writable",
            f"writing failed: {error.strerror or error}",
            "Free space on the disk, or choose a folder you may write to.",
        ) from error
    finally:
        with contextlib.suppress(OSError):
            aside.unlink()


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:16]
