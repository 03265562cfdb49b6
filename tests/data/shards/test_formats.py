"""Addresses, parquet and tar readers: against webdataset and pyarrow, damaged bytes, what is left unread."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import sys
import tarfile
from collections.abc import Callable
from operator import itemgetter, methodcaller
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.shards.shard_files import CountingFileSystem, numbered, tar_bytes, write_parquet

from wiggly.data.shards.formats import ParquetSource, TarSource
from wiggly.data.shards.source import DamagedShard, Source, UnreadColumn, expand_braces
from wiggly.errors import ArgumentError, DataError, DependencyError

PATTERNS = ["a-{000..012}.tar", "{a,b}/{1..3}.x", "{5..3}", "{1..9..4}", "{08..11}", "x{,y}z", "{-1..1}"]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_braces_expand_as_in_webdataset(pattern: str) -> None:
    braceexpand = pytest.importorskip("braceexpand").braceexpand
    assert expand_braces(pattern) == list(braceexpand(pattern))


def test_braces_that_are_no_pattern_stay() -> None:
    assert expand_braces("{date}-{a}.tar") == ["{date}-{a}.tar"]
    assert expand_braces("{a,{b,c}}") == ["a", "b", "c"]


def rows_of(source: Source, shard: str, **options: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in source.read(shard, 0, options.pop("start", 0), **options)]


def webdataset_rows(content: bytes) -> list[dict[str, Any]]:
    iterators = pytest.importorskip("webdataset.tariterators")
    members = iterators.tar_file_expander([{"url": "x", "stream": io.BytesIO(content)}])
    rows = list(iterators.group_by_keys(members))
    return [{k: v for k, v in row.items() if k != "__url__"} for row in rows]


ODD = {
    "a/b/1": {"JPG": b"1", "seg.png": b"22"},
    "a/b/2": {"jpg": b"", "bin": b"x" * 5000},
    "3": {"jpg": b"4"},
    "ä b": {"jpg": b"5", "tar.gz": b"6"},
}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_tar_rows_are_those_of_webdataset(tmp_path: Path, mode: str) -> None:
    content = tar_bytes({**numbered(0, 5), **ODD}, mode)
    (tmp_path / "a.tar").write_bytes(content)
    mine = rows_of(TarSource(tmp_path / "a.tar"), str(tmp_path / "a.tar"))
    theirs = webdataset_rows(content)
    for row in theirs:
        if "cls" in row:
            row["cls"] = int(row["cls"])
    assert mine == theirs
    assert len(mine) == 9


def test_members_that_belong_to_no_sample_are_passed_over(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("__meta__.txt", "readme", "1.txt", ".hidden.txt", "2.txt"):
            member = tarfile.TarInfo(name)
            member.size = 1
            tar.addfile(member, io.BytesIO(b"x"))
        folder = tarfile.TarInfo("f.d")
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
    (tmp_path / "a.tar").write_bytes(buffer.getvalue())
    found = rows_of(TarSource(tmp_path / "a.tar"), str(tmp_path / "a.tar"))
    assert [row["__key__"] for row in found] == ["1", "2"]


def test_small_members_come_as_what_they_say(tmp_path: Path) -> None:
    members = {"cls": b" 7\n", "json": b'{"a": [1]}', "txt": "ä".encode(), "jsn": b"{broken", "id": b"n01"}
    (tmp_path / "a.tar").write_bytes(tar_bytes({"1": members}))
    row = rows_of(TarSource(tmp_path / "a.tar"), str(tmp_path / "a.tar"))[0]
    assert row == {
        "__key__": "1", "cls": 7, "json": {"a": [1]}, "txt": "ä", "jsn": b"{broken", "id": "n01",
    }  # fmt: skip


def test_parquet_rows_are_those_of_pyarrow(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    struct = [{"bytes": bytes([n]), "path": f"{n}.jpg"} for n in range(25)]
    write_parquet(path, 100, 25, group=10, image=struct)
    source, expected = ParquetSource(path), pq.read_table(path).to_pylist()
    assert source.parts([str(path)]) == [[10, 10, 5]]
    for start in (0, 3, 10):
        assert [dict(r) for r in source.read(str(path), 1, start)] == expected[10 + start : 20]
    names = [row.filename for row in source.read(str(path), 2, 3)]
    assert names == [f"{path} row 23", f"{path} row 24"]


@pytest.mark.parametrize("address", ["memory://p/a-{0..2}.parquet", "memory://p/a-*.parquet"])
def test_any_fsspec_address_is_read(address: str) -> None:
    system = fsspec.filesystem("memory")
    for k in range(3):
        buffer = io.BytesIO()
        write_parquet(buffer, 10 * k, 10)
        system.pipe_file(f"/p/a-{k}.parquet", buffer.getvalue())
    source = ParquetSource(address)
    try:
        assert len(source.shards) == 3
        assert [row["x"] for s in source.shards for row in source.read(s, 0, 8)] == [8, 9, 18, 19, 28, 29]
    finally:
        system.rm("/p", recursive=True)


def test_shards_inside_an_archive_are_read(tmp_path: Path) -> None:
    import zipfile

    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for k in range(2):
            archive.writestr(f"in/{k}.tar", tar_bytes(numbered(k * 3, 3)))
    source = TarSource(f"zip://in/*.tar::{tmp_path / 'all.zip'}")
    assert source.shards == [f"zip://in/{k}.tar::{tmp_path / 'all.zip'}" for k in range(2)]
    assert source.parts(source.shards) == [[3], [3]]
    assert [row["cls"] for s in source.shards for row in source.read(s, 0, 1)] == [1, 2, 4, 5]


def test_only_the_wanted_columns_are_there_and_the_others_are_known(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 0, 5)
    (tmp_path / "a.tar").write_bytes(tar_bytes(numbered(0, 5)))
    for source, name, other in (
        (ParquetSource(tmp_path / "a.parquet"), "label", "x"),
        (TarSource(tmp_path / "a.tar"), "cls", "bin"),
    ):
        row = next(source.read(source.shards[0], 0, 1, [name]))
        assert row[name] in (1, "odd")
        assert row.get(name) == row[name]
        asked: list[Callable[[Any], Any]] = [dict, list, len, itemgetter(other), methodcaller("get", other)]
        for ask in [*asked, lambda r: {**r}, lambda r: r.keys(), lambda r: r.items()]:
            with pytest.raises(UnreadColumn):
                ask(row)
        with pytest.raises(KeyError):
            row["no such"]
        assert row.get("no such", 1) == 1
        assert other in row
        assert "no such" not in row


def test_unwanted_members_are_not_read() -> None:
    fsspec.register_implementation("counted", CountingFileSystem, clobber=True)
    CountingFileSystem().pipe_file("/a.tar", tar_bytes(numbered(0, 20, size=200_000)))
    CountingFileSystem.clear()
    source = TarSource("counted://a.tar")
    assert source.parts(source.shards) == [[20]]
    assert CountingFileSystem.read["/a.tar"] < 200_000, "headers only"
    CountingFileSystem.clear()
    assert [row["cls"] for row in source.read("counted://a.tar", 0, 0, ["cls"])] == list(range(20))
    assert CountingFileSystem.read["/a.tar"] < 200_000
    CountingFileSystem.clear()
    assert len([*source.read("counted://a.tar", 0, 19)]) == 1
    assert CountingFileSystem.read["/a.tar"] < 400_000, "rows before the start are passed over"


# Damage


def whole_rows(path: Path, columns: list[str] | None = None) -> tuple[list[int], str]:
    """Numbers of the rows that can be read, and the reason for the end, if it came too early."""
    found: list[int] = []
    try:
        for row in TarSource(path).read(str(path), 0, 0, columns):
            assert columns is not None or row["bin"] == bytes([row["cls"] % 251]) * 700
            found.append(row["cls"])
    except DamagedShard as damaged:
        return found, str(damaged)
    return found, ""


@settings(max_examples=60, deadline=None, database=None)
@given(cut=st.integers(0, 20_480))
def test_a_cut_archive_gives_what_stands_before_the_cut_and_says_so(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    content = tar_bytes(numbered(0, 8))
    path = tmp_path_factory.mktemp("cut") / "a.tar"
    path.write_bytes(content[:cut])
    found, reason = whole_rows(path)
    per_row = 2 * 512 + 1024 + 512  # two headers, two blocks for 700 bytes, one for the label
    last = (cut - 512 + len(str(len(found) - 1))) // per_row if cut < 8 * per_row else 8
    assert found == list(range(len(found)))
    assert bool(reason) == (cut < 8 * per_row + 512)
    assert len(found) >= last - 1
    with_headers, _ = whole_rows(path, ["cls"])
    assert with_headers == found or abs(len(with_headers) - len(found)) <= 1


@pytest.mark.parametrize("member", range(0, 16, 3))
def test_a_flipped_header_is_no_silent_end(tmp_path: Path, member: int) -> None:
    content = bytearray(tar_bytes(numbered(0, 8)))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        content[tar.getmembers()[member].offset + 150] ^= 0xFF
    (tmp_path / "a.tar").write_bytes(content)
    found, reason = whole_rows(tmp_path / "a.tar")
    if member:
        assert "header is damaged" in reason
    else:
        assert reason
    assert found == list(range(len(found)))
    assert member // 2 - 1 <= len(found) <= member // 2


def test_half_a_sample_at_a_cut_is_not_handed_out(tmp_path: Path) -> None:
    content = tar_bytes(numbered(0, 8))
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        cut = tar.getmembers()[11].offset  # after the first member of sample 5
    assert webdataset_rows(content[:cut])[-1].keys() == {"__key__", "bin"}, "as webdataset does"
    (tmp_path / "a.tar").write_bytes(content[:cut])
    assert whole_rows(tmp_path / "a.tar")[0] == [0, 1, 2, 3, 4]


def test_a_cut_compressed_archive_is_damaged(tmp_path: Path) -> None:
    rows = {str(n): {"bin": os.urandom(3000)} for n in range(9)}
    (tmp_path / "a.tar").write_bytes(gzip.compress(tar_bytes(rows))[:15_000])
    source = TarSource(tmp_path / "a.tar")
    with pytest.raises(DamagedShard):
        list(source.read(source.shards[0], 0, 0))
    assert 2 <= source.parts(source.shards)[0][0] <= 5
    assert source.broken


class NoSeek(io.RawIOBase):
    """What a server gives that cannot send a part of a file."""

    def __init__(self, content: bytes) -> None:
        self.inner = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return False

    def read(self, size: int = -1) -> bytes:
        return self.inner.read(size)


def test_an_archive_that_can_only_be_read_once_through(monkeypatch: pytest.MonkeyPatch) -> None:
    content = tar_bytes(numbered(0, 8))
    monkeypatch.setattr(TarSource, "open", lambda self, shard: NoSeek(content))  # pyright: ignore
    source = TarSource("x.tar")
    assert source.measure("x.tar") == [8]
    assert [row["cls"] for row in source.read("x.tar", 0, 5)] == [5, 6, 7]
    content = content[: 5 * 2560]
    with pytest.raises(DamagedShard):
        source.measure("x.tar")


def test_a_damaged_row_group_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    blobs = [os.urandom(2000) for _ in range(30)]
    pq.write_table(pa.table({"b": blobs}), path, row_group_size=10, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    content = bytearray(path.read_bytes())
    for k in range(40):
        content[column.data_page_offset + k] ^= 0xFF
    path.write_bytes(content)
    source = ParquetSource(path)
    assert source.parts([str(path)]) == [[10, 10, 10]]
    for part in (0, 2):
        assert [r["b"] for r in source.read(str(path), part, 0)] == blobs[10 * part : 10 * part + 10]
    with pytest.raises(DamagedShard):
        list(source.read(str(path), 1, 0))


def test_a_flipped_bit_is_noticed_where_the_file_carries_checksums(tmp_path: Path) -> None:
    path, blobs = tmp_path / "a.parquet", [bytes([n]) * 2000 for n in range(20)]
    options: dict[str, Any] = {"compression": "none", "use_dictionary": False, "write_page_checksum": True}
    pq.write_table(pa.table({"b": blobs}), path, row_group_size=10, **options)
    content = path.read_bytes()
    path.write_bytes(content.replace(bytes([13]) * 2000, bytes([13]) * 1000 + b"!" + bytes([13]) * 999))
    source = ParquetSource(path)
    assert [r["b"] for r in source.read(str(path), 0, 0)] == blobs[:10]
    with pytest.raises(DamagedShard, match="CRC"):
        list(source.read(str(path), 1, 0))


def test_a_cut_parquet_file_cannot_be_counted_and_says_why(tmp_path: Path) -> None:
    for k in range(3):
        write_parquet(tmp_path / f"{k}.parquet", 20 * k, 20)
    (tmp_path / "1.parquet").write_bytes((tmp_path / "1.parquet").read_bytes()[:-100])
    source = ParquetSource(str(tmp_path / "*.parquet"))
    assert source.parts(source.shards) == [[10, 10], [], [10, 10]]
    lost = source.lost(source.shards)
    assert len(lost) == 20, "as many as the others have"
    assert all("1.parquet row" in name and "footer" in reason for name, reason in lost.items())


def test_nothing_readable_is_an_error_with_names(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nonsense")
    (tmp_path / "a.tar").write_bytes(b"")
    for source in (ParquetSource(tmp_path / "a.parquet"), TarSource(tmp_path / "a.tar")):
        with pytest.raises(DataError, match=r"none is: '.*a\.(parquet|tar)'"):
            source.parts(source.shards)


# Errors a person can act on


def test_missing_addresses_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="matches none"):
        _ = ParquetSource(str(tmp_path / "*.parquet")).shards
    for kind in (ParquetSource, TarSource):
        source = kind(["memory://gone/a.x", tmp_path / "b.x"])
        for shard in source.shards:
            with pytest.raises(DataError, match=r"is missing"):
                source.parts([shard])
            with pytest.raises(DataError, match=r"is missing"):
                next(source.read(shard, 0, 0))


def test_a_folder_is_no_shard(tmp_path: Path) -> None:
    for kind in (ParquetSource, TarSource):
        with pytest.raises(DataError, match=r"is a folder.\nSay which files"):
            kind(tmp_path).parts([str(tmp_path)])


def test_unknown_protocols_and_missing_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ArgumentError, match="nosuch"):
        TarSource("nosuch://a.tar").measure("nosuch://a.tar")
    monkeypatch.setitem(sys.modules, "adlfs", None)
    with pytest.raises(DependencyError, match=r"wiggly\[stream\]"):
        TarSource("abfs://c/a.tar").measure("abfs://c/a.tar")
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(DependencyError, match=r'pip install "wiggly\[stream\]"'):
        ParquetSource("a.parquet")


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", 0, 3)
    source = ParquetSource(tmp_path / "a.parquet", columns=["x", "lable"])
    with pytest.raises(DataError, match=r"no 'lable'; its columns are \['x', 'label'\]"):
        next(source.read(source.shards[0], 0, 0))


def test_the_same_shard_on_both_sides_is_refused(tmp_path: Path) -> None:
    for k in range(2):
        write_parquet(tmp_path / f"{k}.parquet", 0, 3)
    source = ParquetSource(str(tmp_path / "*.parquet"), valid=tmp_path / "1.parquet")
    with pytest.raises(DataError, match="in both"):
        _ = source.valid_shards
    with pytest.raises(ArgumentError, match="buffer"):
        ParquetSource("a", buffer=0)


# The index


def test_the_index_is_written_once_and_read_instead_of_the_shards(tmp_path: Path) -> None:
    for k in range(3):
        (tmp_path / f"{k}.tar").write_bytes(tar_bytes(numbered(10 * k, 10 + k)))
    pattern, index = str(tmp_path / "{0..2}.tar"), tmp_path / "rows.json"
    source = TarSource(pattern, index=index)
    assert source.parts(source.shards) == [[10], [11], [12]]
    names = [str(tmp_path / f"{k}.tar") for k in range(3)]
    assert json.loads(index.read_text()) == {"shards": dict(zip(names, [[10], [11], [12]], strict=True))}
    for k in range(3):
        (tmp_path / f"{k}.tar").unlink()
    again = TarSource(pattern, index=index)
    assert again.parts(again.shards) == [[10], [11], [12]]


def test_an_index_that_is_none_or_old_is_noticed(tmp_path: Path) -> None:
    index = tmp_path / "rows.json"
    (tmp_path / "a.tar").write_bytes(tar_bytes(numbered(0, 10)))
    write_parquet(tmp_path / "a.parquet", 0, 10)
    index.write_text("[]")
    with pytest.raises(DataError, match="Delete it"):
        TarSource(tmp_path / "a.tar", index=index).parts(["a"])
    for name, kind in (("a.tar", TarSource), ("a.parquet", ParquetSource)):
        index.write_text(json.dumps({"shards": {str(tmp_path / name): [7]}}))
        source = kind(tmp_path / name, index=index)
        assert source.parts(source.shards) == [[7]]
        with pytest.raises(DataError, match="other rows than the index"):
            list(source.read(source.shards[0], 0, 0))


def test_damaged_shards_do_not_get_into_the_index(tmp_path: Path) -> None:
    (tmp_path / "a.tar").write_bytes(tar_bytes(numbered(0, 10)))
    (tmp_path / "b.tar").write_bytes(tar_bytes(numbered(0, 10))[:9000])
    source = TarSource(str(tmp_path / "*.tar"), index=tmp_path / "rows.json")
    source.parts(source.shards)
    assert list(json.loads((tmp_path / "rows.json").read_text())["shards"]) == [str(tmp_path / "a.tar")]
    assert list(source.broken) == [str(tmp_path / "b.tar")]


def test_the_same_file_written_in_two_ways_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for k in range(2):
        write_parquet(tmp_path / f"a-{k}.parquet", 10 * k, 10)
    (tmp_path / "link.parquet").symlink_to(tmp_path / "a-1.parquet")
    for valid in ("a-1.parquet", tmp_path / "a-1.parquet", f"file://{tmp_path}/a-*.parquet", "link.parquet"):
        with pytest.raises(DataError, match="in both"):
            _ = ParquetSource("a-*.parquet", valid=valid).valid_shards
    shards = ParquetSource(f"file://{tmp_path}/a-*.parquet").shards
    assert [next(ParquetSource(shards).read(s, 0, 0))["x"] for s in shards] == [0.0, 10.0]


class _Unreachable(CountingFileSystem):
    """Raises what its own library raises, which is no OSError."""

    protocol = ("unreachable",)

    def _open(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("no such host")

    glob = _open


def test_errors_of_other_libraries_name_the_address() -> None:
    fsspec.register_implementation("unreachable", _Unreachable, clobber=True)
    for address in ("unreachable://a.parquet", "unreachable://*.parquet"):
        with pytest.raises(DataError, match=rf"'{re.escape(address)}' is not readable \(no such host\)"):
            ParquetSource(address, valid=address).measure(ParquetSource(address).shards[0])
    with pytest.raises(ArgumentError, match="at least 1 shard"):
        TarSource([])
