"""Shards: files of many rows each, anywhere fsspec reaches, opened when their rows are needed and not before.

In: addresses. Out: rows, dicts that know where they come from, of one part of one shard after the other.
`Source` is what all kinds of shards share. Read next: `formats.py`, the kinds there are.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from statistics import mean
from typing import Any

from wiggly.errors import ArgumentError, DataError, DependencyError, WigglyError

__all__ = ["DamagedShard", "ShardRow", "Source", "UnreadColumn", "expand_braces"]

MOST_OPEN_AT_ONCE = 16  # footers or headers read at the same time: waiting for a server takes no core

# {000..099}, {1..9..2} or {a,b}, the innermost of nested ones.
_BRACES = re.compile(r"\{(?:(-?\d+)\.\.(-?\d+)(?:\.\.(-?\d+))?|([^{}]*,[^{}]*))\}")

Addresses = str | Path | Sequence[str | Path]


class DamagedShard(Exception):
    """The rest of a part of a shard cannot be read; what came before was sound. Never leaves the loader."""


class UnreadColumn(BaseException):
    """A getter asked for a column that this pass has not read. No `except Exception` may swallow it: the
    pass is then repeated with that column.

    Args:
        column: Its name; None for a question about the whole row.
    """

    def __init__(self, column: str | None) -> None:
        super().__init__(column)
        self.column = column


class ShardRow(dict[str, Any]):
    """One row of a shard: column to value.

    Attributes:
        filename: Where it comes from, by which messages call it.
    """

    __slots__ = ("filename",)

    def __init__(self, values: Mapping[str, Any], filename: str) -> None:
        super().__init__(values)
        self.filename = filename


class PartialRow(ShardRow):
    """A row of which only some columns were read; asking for another raises `UnreadColumn`.

    Args:
        values: What was read.
        filename: Where it comes from.
        unread: Names of the other columns.
    """

    __slots__ = ("unread",)

    def __init__(self, values: Mapping[str, Any], filename: str, unread: frozenset[str]) -> None:
        super().__init__(values, filename)
        self.unread = unread

    def __missing__(self, key: str) -> Any:
        if key in self.unread:
            raise UnreadColumn(key)
        raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return super().__contains__(key) or key in self.unread

    def get(self, key: str, default: Any = None) -> Any:
        if key in self:
            return self[key]
        return default

    def _whole(self) -> dict[str, Any]:
        if self.unread:
            raise UnreadColumn(None)
        return dict(zip(super().keys(), super().values(), strict=True))

    def keys(self) -> Any:
        return self._whole().keys()

    def values(self) -> Any:
        return self._whole().values()

    def items(self) -> Any:
        return self._whole().items()

    def __iter__(self) -> Any:
        return iter(self._whole())

    def __len__(self) -> int:
        return len(self._whole())


def make_row(
    values: Mapping[str, Any], filename: str, names: Iterable[str], columns: Sequence[str] | None
) -> ShardRow:
    """A row; a partial one where only some columns were asked for."""
    if columns is None:
        return ShardRow(values, filename)
    return PartialRow(values, filename, frozenset(names).difference(values))


def expand_braces(text: str) -> list[str]:
    """The addresses that one with braces stands for, as a shell (and webdataset) expands them.

    Example:
        >>> expand_braces("s3://photos/{train,extra}-{08..10}.tar")[1:4]
        ['s3://photos/train-09.tar', 's3://photos/train-10.tar', 's3://photos/extra-08.tar']
    """
    found = _BRACES.search(text)
    if found is None:
        return [text]
    first, last, step, words = found.groups()
    values = words.split(",") if words is not None else _numbers(first, last, int(step or 1))
    before, after = text[: found.start()], text[found.end() :]
    return list(dict.fromkeys(whole for v in values for whole in expand_braces(before + v + after)))


def _numbers(first: str, last: str, step: int) -> list[str]:
    padded = any(re.match(r"-?0\d", n) for n in (first, last))
    width = max(len(first), len(last)) if padded else 0
    low, high, step = int(first), int(last), abs(step) or 1
    numbers = range(low, high + 1, step) if low <= high else range(low, high - 1, -step)
    return [f"{n:0{width}d}" for n in numbers]


class Source(ABC):
    """Rows in shards: what a DataBlock takes in place of a folder when there are too many items to list.

    Nothing is listed or opened when it is made. The number of rows per shard is read (from footers, from tar
    headers) when somebody asks how many there are, and can be kept in a file for the next time.

    Args:
        addresses: Of the training shards, or of all shards if a splitter divides them: paths or any address
            fsspec opens (`s3://`, `hf://`, `https://`, `memory://`, `zip://a.tar::s3://...`), with braces
            (`{000..099}`) and globs (`*.parquet`).
        valid: Addresses of the validation shards.
        index: A JSON file (path or address) with the rows of each shard: read if it exists, written if not.
        buffer: Rows that are shuffled together, at least 1. About twice as many are in memory, as read.
        storage_options: For fsspec, e.g. {"anon": True}.
    """

    #: What reading damaged bytes raises, besides `DamagedShard`.
    damage: tuple[type[Exception], ...] = (OSError, EOFError, ValueError)

    def __init__(
        self,
        addresses: Addresses,
        valid: Addresses | None = None,
        *,
        index: str | Path | None = None,
        buffer: int = 1000,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if buffer < 1:
            raise ArgumentError("`buffer` must be at least 1", f"it is {buffer}", "Pass e.g. buffer=1000.")
        self.addresses, self.valid_addresses = _texts(addresses), _texts(valid if valid is not None else ())
        if not self.addresses:
            raise ArgumentError(
                "`addresses` must name at least 1 shard", "it is empty", "Pass e.g. 'photos-*.tar'."
            )
        self.index, self.buffer = index, buffer
        self.storage_options = dict(storage_options or {})
        self.broken: dict[str, str] = {}  # shards whose rows could not all be counted -> reason
        self._parts: dict[str, list[int]] = {}
        self._index_read = False

    @cached_property
    def shards(self) -> list[str]:
        """Every shard of `addresses`; globs are looked up now, sorted."""
        return self._listed(self.addresses)

    @cached_property
    def valid_shards(self) -> list[str]:
        """Every shard of `valid`."""
        found = self._listed(self.valid_addresses)
        training = {self._place_of(shard) for shard in self.shards}
        shared = [shard for shard in found if self._place_of(shard) in training]
        if shared:
            raise DataError(
                "no shard may be in training and validation",
                f"{len(shared)} are in both, e.g. '{shared[0]}'",
                "Change `addresses` or `valid`; scores are meaningless otherwise.",
            )
        return found

    def _place_of(self, shard: str) -> str:
        """The same text for every way to write an address on this machine's disk."""
        path = self.local(shard)
        return shard if path is None else os.path.realpath(path)

    def _listed(self, addresses: Sequence[str]) -> list[str]:
        names = [name for address in addresses for one in expand_braces(address) for name in self._glob(one)]
        return list(dict.fromkeys(names))

    def _glob(self, address: str) -> list[str]:
        if not re.search(r"[*?\[]", address):
            return [address]
        head, chain, rest = address.partition("::")
        filesystem, path = self._place(address)
        with _reaching(address):
            paths = sorted(str(p) for p in filesystem.glob(path))
        if not paths:
            raise DataError(
                "`addresses` must name at least 1 shard",
                f"'{address}' matches none",
                f"Check the spelling; the current folder is '{Path.cwd()}'.",
            )
        if "://" not in head or self.local(address) is not None:
            return paths
        protocol = head.partition("://")[0]
        return [p if "://" in p else f"{protocol}://{p.lstrip('/')}{chain}{rest}" for p in paths]

    def _place(self, address: str) -> tuple[Any, str]:
        """The file system and the path in it."""
        try:
            from fsspec.core import url_to_fs

            return url_to_fs(address, **self.storage_options)
        except ImportError as error:
            raise DependencyError(
                f"'{address}' needs a package that opens such addresses",
                f"it cannot be imported ({error})",
                'Install it: `pip install "wiggly[stream]"`, and the one that this message names.',
            ) from error
        except ValueError as error:
            raise ArgumentError(
                "an address must be one that fsspec knows", f"'{address}' is not: {error}", "Mend it."
            ) from error
        except Exception as error:
            raise unreachable(address, error) from error

    @contextlib.contextmanager
    def open(self, shard: str) -> Generator[Any]:
        """A shard as a binary file, while the block runs.

        Raises:
            DataError: It is missing, or may not be read.
        """
        # Held here: an archive's file system closes the archive when nobody refers to it any more.
        filesystem, path = self._place(shard)
        with _reaching(shard):
            file = filesystem.open(path, "rb")
        with file:
            yield file

    def local(self, shard: str) -> str | None:
        """The path of a shard that lies on this machine's disk, else None."""
        if "::" in shard or ("://" in shard and not shard.startswith(("file://", "local://"))):
            return None
        return self._place(shard)[1]

    @abstractmethod
    def measure(self, shard: str) -> list[int]:
        """Rows of each part of a shard. A part is what can be read without reading what comes before it.

        Raises:
            DamagedShard: `args` are the reason and the parts that are sound.
        """

    @abstractmethod
    def read(
        self, shard: str, part: int, start: int, columns: Sequence[str] | None = None
    ) -> Generator[ShardRow]:
        """The rows of one part from row `start` of that part on.

        Args:
            shard: Its address.
            part: Its number in the shard.
            start: Rows to leave out.
            columns: Only these; the rows then raise `UnreadColumn` when asked for another.

        Raises:
            DamagedShard: The rest of the part cannot be read.
        """

    def parts(self, shards: Sequence[str]) -> list[list[int]]:
        """Rows of each part of these shards; from the index, else all shards are opened, several at once.

        Raises:
            DataError: One is missing, or none can be read.
        """
        self._read_index()
        unknown = [shard for shard in shards if shard not in self._parts]
        if unknown:
            with ThreadPoolExecutor(MOST_OPEN_AT_ONCE, thread_name_prefix="wiggly-shards") as pool:
                for shard, parts in zip(unknown, pool.map(self._measured, unknown), strict=True):
                    self._parts[shard] = parts
            self._write_index()
        if shards and all(shard in self.broken and not sum(self._parts[shard]) for shard in shards):
            shown = "; ".join(f"'{shard}' ({self.broken[shard]})" for shard in shards[:3])
            raise DataError("at least 1 shard must be readable", f"none is: {shown}", "Write them again.")
        return [self._parts[shard] for shard in shards]

    def has_counted(self, shards: Sequence[str]) -> bool:
        """Whether the rows of all these are known without opening one."""
        self._read_index()
        return all(shard in self._parts for shard in shards)

    def _measured(self, shard: str) -> list[int]:
        try:
            return self.measure(shard)
        except DamagedShard as damaged:
            self.broken[shard], parts = damaged.args
            return parts

    def lost(self, shards: Sequence[str]) -> dict[str, str]:
        """Names of rows that could not even be counted, to the reason.

        How many a damaged shard has lost nobody can know: it is taken to have had as many as the sound ones
        on average, and to have lost at least 1.
        """
        sound = [sum(self._parts[shard]) for shard in shards if shard not in self.broken]
        usual = round(mean(sound)) if sound else 0
        names: dict[str, str] = {}
        for shard in shards:
            if shard in self.broken:
                had = sum(self._parts[shard])
                names |= dict.fromkeys(
                    (f"{shard} row {i}" for i in range(had, max(usual, had + 1))), self.broken[shard]
                )
        return names

    def _read_index(self) -> None:
        if self.index is None or self._index_read:
            return
        self._index_read = True
        filesystem, path = self._place(str(self.index))
        if not filesystem.exists(path):
            return
        try:
            known = json.loads(filesystem.cat_file(path))["shards"]
            self._parts |= {str(shard): [int(n) for n in parts] for shard, parts in known.items()}
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                "`index` must be a JSON file with the rows of each shard",
                f"'{self.index}' is not: {type(error).__name__}: {error}",
                "Delete it; it is then written again.",
            ) from error

    def _write_index(self) -> None:
        if self.index is None:
            return
        sound = {shard: parts for shard, parts in self._parts.items() if shard not in self.broken}
        filesystem, path = self._place(str(self.index))
        text = json.dumps({"shards": sound}).encode()
        # A reader beside this one sees the old file or the new one, never half of it.
        filesystem.pipe_file(f"{path}.new", text)
        filesystem.mv(f"{path}.new", path)

    def stale(self, shard: str) -> DataError:
        """What to raise when a shard is not as it was counted."""
        where = f"the index '{self.index}'" if self.index is not None else "this run"
        return DataError(
            "a shard must stay as it was when its rows were counted",
            f"'{shard}' has other rows than {where} says",
            "Delete the index; it is then written again." if self.index is not None else "Start again.",
        )

    def __repr__(self) -> str:
        shown = ", ".join(self.addresses[:3]) + (", ..." if len(self.addresses) > 3 else "")
        return f"{type(self).__name__}('{shown}')"


def _texts(addresses: Addresses) -> list[str]:
    several = [addresses] if isinstance(addresses, (str, Path)) else list(addresses)
    return [str(address) for address in several]


@contextlib.contextmanager
def _reaching(address: str) -> Generator[None]:
    """Each file system has errors of its own for what cannot be reached."""
    try:
        yield
    except WigglyError:
        raise
    except Exception as error:
        raise unreachable(address, error) from error


def unreachable(address: str, error: Exception) -> DataError:
    """What to raise when a shard is not there."""
    reason = "missing" if isinstance(error, FileNotFoundError) else f"not readable ({error})"
    fix = "Check the address, the permissions, and `storage_options`."
    if isinstance(error, IsADirectoryError):
        reason, fix = "a folder", "Say which files in it: 'folder/*.parquet'."
    return DataError("every shard must exist and be readable", f"'{address}' is {reason}", fix)
