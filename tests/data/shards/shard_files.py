"""Shards for tests: parquet and tar files of rows whose content says which row they are, and a file system
that counts what is opened."""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from fsspec.implementations.memory import MemoryFileSystem


def write_parquet(path: Path | Any, first: int, rows: int, group: int = 10, **columns: Any) -> None:
    """Rows `first` to `first + rows`: their number as `x`, odd or even as `label`."""
    numbers = range(first, first + rows)
    table = {"x": [float(n) for n in numbers], "label": [("even", "odd")[n % 2] for n in numbers], **columns}
    pq.write_table(pa.table(table), path, row_group_size=group)


def tar_bytes(rows: dict[str, dict[str, bytes]], mode: str = "w") -> bytes:
    """A tar archive: key to suffix to content."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:  # pyright: ignore
        for key, members in rows.items():
            for suffix, content in members.items():
                member = tarfile.TarInfo(f"{key}.{suffix}")
                member.size = len(content)
                tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def numbered(first: int, rows: int, size: int = 700) -> dict[str, dict[str, bytes]]:
    """Samples of a tar shard: `npy`, some bytes, and `cls`, the number."""
    content = {n: bytes([n % 251]) * size for n in range(first, first + rows)}
    return {f"s/{n:05}": {"bin": c, "cls": str(n).encode()} for n, c in content.items()}


class CountingFileSystem(MemoryFileSystem):
    """`counted://`: files in memory; every listing and opening is noted."""

    protocol = ("counted",)
    store: ClassVar[dict[str, Any]] = {}
    opened: ClassVar[Counter[str]] = Counter()
    listed: ClassVar[Counter[str]] = Counter()
    read: ClassVar[Counter[str]] = Counter()

    @classmethod
    def clear(cls) -> None:
        cls.opened.clear()
        cls.listed.clear()
        cls.read.clear()

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        bare = path.removeprefix("counted://").strip("/")
        return f"/{bare}" if bare else ""

    def _open(self, path: str, mode: str = "rb", **kwargs: Any) -> Any:  # pyright: ignore
        if "r" not in mode:
            return super()._open(path, mode, **kwargs)
        type(self).opened[path] += 1
        content = super()._open(path, mode, **kwargs).getvalue()
        counts = type(self).read

        class Noting(io.BytesIO):
            def read(self, *args: Any) -> bytes:
                got = super().read(*args)
                counts[path] += len(got)
                return got

        return Noting(content)

    def ls(self, path: str, detail: bool = True, **kwargs: Any) -> Any:
        type(self).listed[path] += 1
        return super().ls(path, detail, **kwargs)


def photo(number: int, size: int = 24) -> bytes:
    """A JPEG whose content depends on the number."""
    from PIL import Image

    pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG")
    return buffer.getvalue()
