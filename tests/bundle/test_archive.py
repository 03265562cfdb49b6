"""The file: whole bundles are read, everything else is refused; nothing is executed or unpacked to disk."""

from __future__ import annotations

import io
import os
import pickle
import stat
import struct
import zipfile
from pathlib import Path

import pytest
import torch
from tests.bundle.support import FILES, entries_of, forged, manifest, rewrite, write

from wiggly.bundle.archive import is_bundle, read_archive
from wiggly.errors import BundleError, StorageError


@pytest.fixture
def good(tmp_path: Path) -> Path:
    return write(tmp_path / "good.wiggly")


def refusal(path: Path, match: str) -> None:
    with pytest.raises(BundleError, match=match) as caught:
        read_archive(path)
    assert str(path) in str(caught.value)
    assert caught.value.fix


def test_reads_what_was_written(good: Path) -> None:
    archive = read_archive(good)
    assert archive.manifest == manifest()
    assert dict(archive.files) == FILES


def test_same_content_gives_same_bytes(good: Path, tmp_path: Path) -> None:
    assert good.read_bytes() == write(tmp_path / "other.zip").read_bytes()


def test_recompressed_by_another_tool_still_reads(good: Path, tmp_path: Path) -> None:
    again = rewrite(tmp_path / "again.zip", entries_of(good), deflate=True)
    assert read_archive(again).manifest == manifest()


def test_python_zip_test_finds_no_fault(good: Path) -> None:
    with zipfile.ZipFile(good) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == "model.json"


def test_is_bundle_looks_inside(good: Path, tmp_path: Path) -> None:
    photo = tmp_path / "photo.wiggly"
    photo.write_bytes(b"\xff\xd8\xff\xe0 a photo")
    assert is_bundle(good)
    assert not is_bundle(photo)
    assert not is_bundle(tmp_path)


def test_cut_short_anywhere(good: Path, tmp_path: Path) -> None:
    whole = good.read_bytes()
    cut = tmp_path / "cut.wiggly"
    for length in range(0, len(whole), max(1, len(whole) // 60)):
        cut.write_bytes(whole[:length])
        with pytest.raises(BundleError):
            read_archive(cut)


def test_cut_short_says_so(good: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.wiggly"
    cut.write_bytes(good.read_bytes()[:-100])
    refusal(cut, "cut short or damaged")


def test_any_changed_byte_is_noticed_or_changes_nothing(good: Path, tmp_path: Path) -> None:
    whole, bad, expected = good.read_bytes(), tmp_path / "bad.wiggly", read_archive(good)
    for position in range(0, len(whole), 7):
        for bit in (0x01, 0x80):
            bad.write_bytes(whole[:position] + bytes([whole[position] ^ bit]) + whole[position + 1 :])
            try:
                assert read_archive(bad) == expected, (
                    "only a change that changes nothing may pass (a date in the zip, say)"
                )
            except BundleError:
                continue


@pytest.mark.parametrize("name", ["weights.safetensors", "examples/1.png", "model.json", "model.json.sha256"])
def test_changed_file_with_right_checksums_of_the_zip(good: Path, tmp_path: Path, name: str) -> None:
    entries = entries_of(good)
    entries[name] = entries[name].replace(b"b", b"d") if name == "model.json" else entries[name][:-2] + b"!}"
    if name == "model.json.sha256":
        entries[name] = b"0" * 64 + b"  model.json\n"
    refusal(rewrite(tmp_path / "bad.wiggly", entries), "changed afterwards|must be")


def test_vocabulary_swapped_in_the_manifest(good: Path, tmp_path: Path) -> None:
    entries = entries_of(good)
    entries["model.json"] = entries["model.json"].replace(b'"ant",\n', b'"tna",\n')
    refusal(rewrite(tmp_path / "bad.wiggly", entries), r"'model\.json' was changed afterwards")


def test_length_changed(good: Path, tmp_path: Path) -> None:
    entries = entries_of(good)
    entries["weights.safetensors"] += b"\0"
    refusal(rewrite(tmp_path / "bad.wiggly", entries), "weights.safetensors' was changed")


def test_missing_and_added_files(good: Path, tmp_path: Path) -> None:
    entries = entries_of(good)
    without = {name: content for name, content in entries.items() if name != "examples/1.png"}
    refusal(rewrite(tmp_path / "less.wiggly", without), "'examples/1.png' is missing")
    refusal(rewrite(tmp_path / "more.wiggly", {**entries, "run_me.py": b"boom"}), "'run_me.py' was added")
    no_proof = {name: content for name, content in entries.items() if name != "model.json.sha256"}
    refusal(rewrite(tmp_path / "bare.wiggly", no_proof), "model.json' was changed")


@pytest.mark.parametrize(
    "name",
    [
        "../outside.txt",
        "examples/../../outside.txt",
        "/etc/outside.txt",
        "//server/outside.txt",
        "..\\outside.txt",
        "C:\\outside.txt",
        "C:outside.txt",
        "examples//1.png",
        "./weights.safetensors",
        "examples/",
    ],
)
def test_escaping_names_even_when_every_hash_is_right(tmp_path: Path, name: str) -> None:
    files = {**FILES, name: b"" if name.endswith("/") else b"boo"}
    entries = forged(manifest(files), files)
    folder = tmp_path / "in"
    folder.mkdir()
    refusal(
        rewrite(folder / "bad.wiggly", entries), "plain relative path|outside the bundle|plain files only"
    )
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == ["bad.wiggly"]


def test_name_with_a_nul_byte(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wiggly"
    bad.write_bytes(good.read_bytes().replace(b"examples/1.png", b"examples\x001.png"))
    with pytest.raises(BundleError):
        read_archive(bad)


@pytest.mark.parametrize(
    "mode", [stat.S_IFLNK | 0o777, stat.S_IFIFO | 0o644, stat.S_IFCHR | 0o644, stat.S_IFDIR | 0o755]
)
def test_links_and_special_files(tmp_path: Path, mode: int) -> None:
    files = {**FILES, "examples/2.png": b"/etc/passwd"}
    path = rewrite(tmp_path / "bad.wiggly", forged(manifest(files), files), modes={"examples/2.png": mode})
    refusal(path, "a link or a special file")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_doubles(good: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.wiggly"
    bad.write_bytes(good.read_bytes())
    with zipfile.ZipFile(bad, "a") as archive:
        archive.writestr("weights.safetensors", b"other weights")
    refusal(bad, "is there twice")


def test_doubles_that_differ_in_case(tmp_path: Path) -> None:
    files = {**FILES, "EXAMPLES/1.PNG": b"x"}
    refusal(rewrite(tmp_path / "bad.wiggly", forged(manifest(files), files)), "is there twice")


def test_zip_bomb_is_refused_before_it_is_unpacked(tmp_path: Path) -> None:
    files = {**FILES, "examples/bomb.png": b"\0" * 50_000_000}
    path = rewrite(tmp_path / "bomb.wiggly", forged(manifest(files), files), deflate=True)
    assert path.stat().st_size < 100_000
    refusal(path, "would unpack")


def test_bomb_that_lies_about_its_size(tmp_path: Path) -> None:
    files = {**FILES, "examples/bomb.png": b"\0" * 5_000_000}
    path = rewrite(tmp_path / "bomb.wiggly", forged(manifest(files), files), deflate=True)
    lie = path.read_bytes().replace(struct.pack("<I", 5_000_000), struct.pack("<I", 5_000))
    path.write_bytes(lie)
    with pytest.raises(BundleError):
        read_archive(path)


def test_many_entries(tmp_path: Path) -> None:
    entries = {**forged(manifest(), FILES), **{f"examples/{i}.txt": b"" for i in range(2_000)}}
    refusal(rewrite(tmp_path / "bad.wiggly", entries), "2004 entries")


def test_encrypted_entry(good: Path, tmp_path: Path) -> None:
    whole = bytearray(good.read_bytes())
    whole[whole.index(b"PK\x01\x02") + 8] |= 1
    bad = tmp_path / "bad.wiggly"
    bad.write_bytes(bytes(whole))
    refusal(bad, "is encrypted")


def test_newer_version(tmp_path: Path) -> None:
    entries = forged(manifest(version=99, wiggly="9.9"), FILES)
    refusal(rewrite(tmp_path / "new.wiggly", entries), "version 99, written by wiggly 9.9")


class Bomb:
    """Leaves a trace when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return os.mkdir, (str(self.trace),)


def test_pickles_are_named_and_not_run(tmp_path: Path) -> None:
    trace, path = tmp_path / "it ran", tmp_path / "export.pkl"
    for content in [pickle.dumps(Bomb(trace), protocol=p) for p in (2, 4, 5)]:
        path.write_bytes(content)
        refusal(path, "pickle")
    buffer = io.BytesIO()
    torch.save(Bomb(trace), buffer)  # a zip with a pickle inside
    path.write_bytes(buffer.getvalue())
    refusal(path, "pickle")
    torch.save(Bomb(trace), path, _use_new_zipfile_serialization=False)
    refusal(path, "pickle")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "empty"),
        (b"hello", "another kind"),
        (b"\xff\xd8\xff\xe0", "another kind"),
        (b"PK\x03\x04", "cut short"),
    ],
)
def test_other_files(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "x.wiggly"
    path.write_bytes(content)
    refusal(path, part)


def test_zip_of_something_else(tmp_path: Path) -> None:
    refusal(rewrite(tmp_path / "photos.zip", {"photo.jpg": b"x"}), r"without model\.json")


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        read_archive(tmp_path / "nothing.wiggly")
    with pytest.raises(StorageError, match="directory"):
        read_archive(tmp_path)
