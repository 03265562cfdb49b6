"""A folder that a command of ours wrote: known by a file in it, renewed without touching what is not ours.

In: a folder, and files by name. Out: the files, there; or an error that names what stands in the way. Read
next: `web.py`, `space/folder.py` and `ios/writing.py`, which write such folders.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from wiggly.errors import ArgumentError, StorageError

__all__ = ["Mark", "hashes_of"]

SHOWN = 3  # files that an error names
NOBODYS = {".git"}  # a folder that is to be published may be a repository already


def hashes_of(files: Mapping[str, bytes]) -> dict[str, str]:
    """SHA-256 of files by name, in the order of the names.

    Example:
        >>> hashes_of({"b": b"", "a": b"1"})["a"][:8]
        '6b86b273'
    """
    return {name: hashlib.sha256(content).hexdigest() for name, content in sorted(files.items())}


@dataclass(frozen=True)
class Mark:
    """How a command knows its folders again: a JSON file that says who wrote it, and each file's hash.

    Attributes:
        file: Name of that file, such as "space.json".
        made_by: The command, such as "wiggly space".
        what: The folder in words, such as "the folder of a Space".
    """

    file: str
    made_by: str
    what: str

    def content(self, files: Mapping[str, bytes], more: Mapping[str, Any] | None = None) -> bytes:
        """The mark itself.

        Args:
            files: All others of the folder.
            more: JSON values that are kept in it, too.
        """
        said = {"made_by": self.made_by, **(more or {}), "files": hashes_of(files)}
        return (json.dumps(said, indent=1, ensure_ascii=False) + "\n").encode()

    def read(self, content: bytes) -> dict[str, str] | None:
        """The files that a mark names, with their hashes; None where it is no mark of this command.

        Names that would leave the folder are not among them.

        Example:
            >>> mark = Mark("space.json", "wiggly space", "the folder of a Space")
            >>> list(mark.read(mark.content({"a.txt": b"1", "../b.txt": b"2"})))
            ['a.txt']
            >>> mark.read(b"[]") is None
            True
        """
        try:
            said: Any = json.loads(content)
        except ValueError:
            return None
        found = cast("dict[str, Any]", said) if isinstance(said, dict) else {}
        files = found.get("files")
        if found.get("made_by") != self.made_by or not isinstance(files, dict):
            return None
        named = cast("dict[str, Any]", files).items()
        return {name: str(digest) for name, digest in named if _is_plain(name)}

    def claim(self, folder: Path) -> set[str]:
        """The files that an earlier call wrote into a folder; nothing for one that is new or empty.

        Raises:
            ArgumentError: The folder holds what is not ours, or a file of ours that was changed since.
        """
        if not folder.exists():
            return set()
        if not folder.is_dir():
            raise ArgumentError(
                f"`{self.made_by}` writes a folder", f"'{folder}' is a file", "Name a new folder."
            )
        mark = folder / self.file
        ours = self.read(mark.read_bytes()) if mark.is_file() else None
        if ours is None:
            other = next((path for path in sorted(folder.iterdir()) if path.name not in NOBODYS), None)
            if other is None:
                return set()
            raise self._not_ours(folder, other.name)
        changed = [name for name, digest in ours.items() if _differs(folder / name, digest)]
        if changed:
            raise self._changed(folder, changed)
        return {*ours, self.file}

    def write(self, folder: Path, files: Mapping[str, bytes]) -> None:
        """Puts files into a folder, the mark last; those of an earlier call that are no longer there go.

        Args:
            folder: New, empty, or written by an earlier call; what else lies in it stays.
            files: By name, with the mark.

        Raises:
            ArgumentError: As for `claim`, or a new file would take the place of one that is not ours.
            StorageError: The folder cannot be written.
        """
        old = self.claim(folder)
        taken = next((name for name in files if name not in old and (folder / name).exists()), None)
        if taken:
            raise self._not_ours(folder, taken)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in sorted(files, key=lambda name: name == self.file):
                _put(folder / name, files[name])
            for name in old - set(files):
                (folder / name).unlink(missing_ok=True)
        except OSError as error:
            why = f"'{folder}' is not: {error.strerror}"
            raise StorageError(f"{self.what} must be writable", why, "Name another one.") from error

    def _not_ours(self, folder: Path, name: str) -> ArgumentError:
        return ArgumentError(
            f"the folder must be new, empty, or written by `{self.made_by}`",
            f"'{folder}' holds '{name}', which is not",
            "Name another folder.",
        )

    def _changed(self, folder: Path, names: list[str]) -> ArgumentError:
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return ArgumentError(
            f"a folder that `{self.made_by}` wrote is renewed only where its files are as they were written",
            f"in '{folder}' these were changed since: {', '.join(names[:SHOWN])}{more}",
            "Name another folder and copy your changes over; or delete those files: they are written anew.",
        )


def _is_plain(name: str) -> bool:
    """Whether a name stays within the folder."""
    return not name.startswith("/") and ".." not in name.split("/") and "\\" not in name and ":" not in name


def _differs(path: Path, digest: str) -> bool:
    """Whether a file is there and not as it was written."""
    return path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest() != digest


def _put(path: Path, content: bytes) -> None:
    """Written aside and renamed: whoever serves the folder meanwhile hands out no half of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.new")
    aside.write_bytes(content)
    os.replace(aside, path)
