"""The kinds of shards: parquet tables and tar archives, read by pyarrow and Python's tarfile through fsspec.

In: addresses. Out: rows as dicts: `{"image": bytes, "label": 3}`, `{"__key__": "cat_1", "jpg": bytes, "cls":
3}`. Read next: `stream.py`, which deals rows to loaders.
"""

from __future__ import annotations

import contextlib
import json
import lzma
import tarfile
import zlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from tarfile import EOFHeaderError, HeaderError  # pyright: ignore[reportAttributeAccessIssue]
from typing import Any

from wiggly.data.shards.source import Addresses, DamagedShard, ShardRow, Source, make_row, unreachable
from wiggly.errors import DataError, DependencyError, WigglyError

__all__ = ["ParquetSource", "TarSource"]

ROWS_AT_ONCE = 64  # decoded from parquet together: a few MB of photos
READ_BYTES = 1 << 20  # without a buffer pyarrow reads a whole column of a row group at once
FOOTERS_KEPT = 32  # each may be some MB


class ParquetSource(Source):
    """Rows of parquet files; a column holds the bytes of the images, or their paths.

    The row groups are shuffled, so small ones (100 rows) mix best.

    Args:
        addresses: Of the training shards, or of all shards if a splitter divides them: paths or any address
            fsspec opens (`s3://`, `hf://`, `https://`, `memory://`, `zip://a.parquet::s3://...`), with
            braces (`{000..099}`) and globs (`*.parquet`).
        columns: Only these are read; None for all.
        valid: Addresses of the validation shards.
        index: A JSON file (path or address) with the rows of each shard: read if it exists, written if not.
            Without, the footers are read at each start.
        buffer: Rows that are shuffled together, at least 1. About twice as many are in memory, as read.
        storage_options: For fsspec, e.g. {"anon": True}.

    Raises:
        DependencyError: pyarrow is not installed.

    Example:
        >>> import pyarrow as pa, pyarrow.parquet as pq
        >>> pq.write_table(pa.table({"x": [1.0, 2.0, 3.0], "y": ["a", "b", "a"]}), "train-0.parquet")
        >>> source = ParquetSource("train-*.parquet", valid="train-0.parquet")
        >>> next(source.read("train-0.parquet", part=0, start=1))
        {'x': 2.0, 'y': 'b'}
    """

    def __init__(
        self,
        addresses: Addresses,
        columns: Sequence[str] | None = None,
        valid: Addresses | None = None,
        *,
        index: str | Path | None = None,
        buffer: int = 1000,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(addresses, valid, index=index, buffer=buffer, storage_options=storage_options)
        self.columns = None if columns is None else list(columns)
        self._footer = lru_cache(maxsize=FOOTERS_KEPT)(self._read_footer)
        _parquet()

    @contextlib.contextmanager
    def _opened(self, shard: str, footer: Any = None) -> Generator[Any]:
        """A `ParquetFile`; a file on this disk is read by pyarrow itself, without Python's lock."""
        path = self.local(shard)
        with contextlib.ExitStack() as stack:
            if path is None or not Path(path).is_file():
                path = stack.enter_context(self.open(shard))
            file = _parquet().ParquetFile(
                path,
                metadata=footer,
                buffer_size=READ_BYTES,
                pre_buffer=False,
                page_checksum_verification=True,  # of files that were written with checksums
            )
            yield stack.enter_context(file)

    def _read_footer(self, shard: str) -> Any:
        with self._opened(shard) as file:
            return file.metadata

    def measure(self, shard: str) -> list[int]:
        try:
            footer = self._footer(shard)
        except WigglyError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            raise unreachable(shard, error) from error
        except self.damage as error:
            raise DamagedShard(f"its footer cannot be read: {error}", []) from error
        return [footer.row_group(k).num_rows for k in range(footer.num_row_groups)]

    def read(
        self, shard: str, part: int, start: int, columns: Sequence[str] | None = None
    ) -> Generator[ShardRow]:
        try:
            yield from self._rows(shard, part, start, columns)
        except WigglyError:
            raise
        except (FileNotFoundError, PermissionError) as error:
            raise unreachable(shard, error) from error
        except self.damage as error:
            raise DamagedShard(f"{type(error).__name__}: {error}") from error

    def _rows(self, shard: str, part: int, start: int, columns: Sequence[str] | None) -> Generator[ShardRow]:
        footer = self._footer(shard)
        counted = self.parts([shard])[0]
        if footer.num_row_groups != len(counted) or footer.row_group(part).num_rows != counted[part]:
            raise self.stale(shard)
        first = sum(counted[:part])
        with self._opened(shard, footer) as file:
            names: list[str] = file.schema_arrow.names
            wanted = self._checked(shard, names, self.columns if columns is None else columns)
            number = 0  # of the row in this part
            for batch in file.iter_batches(
                ROWS_AT_ONCE, row_groups=[part], columns=wanted, use_threads=False
            ):
                skipped = min(max(start - number, 0), batch.num_rows)
                number += skipped
                for values in batch.slice(skipped).to_pylist():
                    yield make_row(values, f"{shard} row {first + number}", names, columns)
                    number += 1

    def _checked(
        self, shard: str, names: Sequence[str], columns: Sequence[str] | None
    ) -> Sequence[str] | None:
        # pyarrow itself passes over names that do not exist.
        missing = [c for c in columns or () if c.split(".")[0] not in names]
        if missing:
            raise DataError(
                "a parquet shard must have the columns that are read",
                f"'{shard}' has no {missing[0]!r}; its columns are {list(names)}",
                "Check the column's name.",
            )
        return columns


def _parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise DependencyError(
            "parquet shards need the package pyarrow",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[stream]"`',
        ) from error
    return pyarrow.parquet


class TarSource(Source):
    """Samples of tar files in webdataset's form: files that share a name up to its first dot are one row.

    A row is `{"__key__": "cats/1", "jpg": bytes, "cls": 3}`. Of the small members those called `cls`, `cls2`,
    `id`, `index`, `inx` come as numbers (as text where they hold none), `txt`, `text`, `transcript` as text,
    `json`, `jsn` as what they hold; all others as bytes.

    Python's tarfile reads them, in the form webdataset writes: webdataset's own reader ends at a damaged
    header as if the archive ended there, hands out half of the sample at a cut, and cannot pass over members
    without reading them.

    Args:
        addresses: Of the training shards, or of all shards if a splitter divides them: paths or any address
            fsspec opens (`s3://`, `https://`, `memory://`, ...), with braces (`{000..099}`) and globs.
        valid: Addresses of the validation shards.
        index: A JSON file (path or address) with the rows of each shard: read if it exists, written if not.
            Without, all headers are read at each start, which over a network means nearly everything.
        buffer: Rows that are shuffled together, at least 1. About twice as many are in memory, as read.
        storage_options: For fsspec, e.g. {"anon": True}.

    Example:
        >>> import io
        >>> with tarfile.open("train-0.tar", "w") as tar:
        ...     for name, content in {"1.txt": b"a cat", "1.cls": b"3"}.items():
        ...         member = tarfile.TarInfo(name)
        ...         member.size = len(content)
        ...         tar.addfile(member, io.BytesIO(content))
        >>> next(TarSource("train-{0..9}.tar").read("train-0.tar", part=0, start=0))
        {'__key__': '1', 'txt': 'a cat', 'cls': 3}
    """

    damage = (OSError, EOFError, tarfile.TarError, zlib.error, lzma.LZMAError)

    def measure(self, shard: str) -> list[int]:
        rows = 0
        try:
            for _ in self._rows(shard, 0, ()):
                rows += 1
        except DamagedShard as damaged:
            raise DamagedShard(str(damaged), [rows]) from damaged
        return [rows]

    def read(
        self, shard: str, part: int, start: int, columns: Sequence[str] | None = None
    ) -> Generator[ShardRow]:
        counted, known = self._parts.get(shard), shard not in self.broken
        for number, row in enumerate(self._rows(shard, start, columns), start):
            if counted is not None and known and number >= counted[0]:
                raise self.stale(shard)
            yield row

    def _rows(self, shard: str, start: int, columns: Sequence[str] | None) -> Generator[ShardRow]:
        with self.open(shard) as file:
            try:
                mode = "r:*" if file.seekable() else "r|*"
                with tarfile.open(fileobj=file, mode=mode, tarinfo=_Header) as tar:
                    for sample in _samples(tar, start, columns):
                        values = {k: v for k, v in sample.values.items() if v is not None}
                        yield make_row(values, f"{shard} {sample.key}", sample.values, columns)
            except self.damage as error:
                reason = str(error).partition("\n")[0].rstrip(":")  # no list of the formats that were tried
                raise DamagedShard(f"{type(error).__name__}: {reason}") from error


class _Sample:
    """The members of a tar archive that share a key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.values: dict[str, Any] = {"__key__": key}


class _Header(tarfile.TarInfo):
    """A header that tells damage from the end.

    tarfile takes a damaged or missing header for the end of the archive. A whole one ends in blocks of zeros
    (POSIX, pax: "Archive End"); one written without them cannot be told from a cut one.
    """

    @classmethod
    def fromtarfile(cls, tarfile: Any) -> Any:
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as error:
            raise _BadHeaderError(f"a header is damaged or missing ({error})") from error


class _BadHeaderError(tarfile.ReadError):
    """What stands before it is whole."""


def _samples(tar: Any, start: int, columns: Sequence[str] | None) -> Iterator[_Sample]:
    """Samples from number `start` on; of the ones before, and of unwanted members, only headers are read.

    Raises:
        DamagedShard: The archive ends in the middle. What stood complete before has been delivered.
    """
    sample: _Sample | None = None
    shape: set[str] = set()  # suffixes of the sample before
    number, unread, reason = 0, "", ""
    try:
        while (member := tar.next()) is not None:
            tar.members = []  # else every header of a long archive stays in memory
            key, suffix = _key_and_suffix(member.name)
            unread = ""
            if not member.isreg() or not key:
                continue
            if sample is None or key != sample.key:
                if sample is not None:
                    if number >= start:
                        yield sample
                    number, shape = number + 1, set(sample.values)
                sample = _Sample(key)
            unread, sample.values[suffix] = suffix, None
            if number >= start and (columns is None or suffix in columns):
                sample.values[suffix] = _decoded(suffix, tar.extractfile(member).read())
                unread = ""
    except _BadHeaderError as error:
        reason = str(error)
    except TarSource.damage as error:
        reason = f"{type(error).__name__}: {error}"
        if sample is not None:
            sample.values.pop(unread, None)  # cut in the middle
    whole = not reason or (sample is not None and set(sample.values) == shape)
    if sample is not None and whole and number >= start:
        yield sample
    if reason:
        raise DamagedShard(f"{reason} after sample {number + whole}")


def _key_and_suffix(name: str) -> tuple[str, str]:
    """`a/b.seg.png` belongs to sample `a/b` as `seg.png`; webdataset's own metadata (`__x__`) to none."""
    folder, slash, base = name.rpartition("/")
    stem, dot, suffix = base.partition(".")
    if not dot or not stem or (base.startswith("__") and "__" in base[2:] and not folder):
        return "", ""
    return f"{folder}{slash}{stem}", suffix.lower()


def _decoded(suffix: str, content: bytes) -> Any:
    """A small member as what it says; the rule is that of webdataset's basic handlers."""
    kind = suffix.rpartition(".")[2]
    try:
        if kind in {"cls", "cls2", "id", "index", "inx"}:
            text = content.decode().strip()
            return int(text) if text.lstrip("-").isdigit() else text
        if kind in {"txt", "text", "transcript"}:
            return content.decode()
        if kind in {"json", "jsn"}:
            return json.loads(content)
    except ValueError:  # not what its name says; the getter meets the bytes and is told where
        pass
    return content
