"""Folders that a command wrote: renewed as a whole, and nothing else is ever lost."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from wiggly.apps.owned import Mark, hashes_of
from wiggly.errors import ArgumentError, StorageError

MARK = Mark("mark.json", "wiggly test", "the folder of a test")
FILES = {"a.txt": b"first", "deep/b.txt": b"second", "deep/c.txt": b"third"}


def written(folder: Path, files: dict[str, bytes] = FILES) -> Path:
    MARK.write(folder, {**files, MARK.file: MARK.content(files)})
    return folder


def there(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_hashes_are_those_of_the_library() -> None:
    assert hashes_of(FILES) == {name: hashlib.sha256(FILES[name]).hexdigest() for name in sorted(FILES)}


def test_what_was_written_is_claimed_and_renewed(tmp_path: Path) -> None:
    folder = written(tmp_path / "new")
    assert MARK.claim(folder) == {*FILES, "mark.json"} == there(folder)
    written(folder, {"a.txt": b"newer", "d.txt": b""})
    assert there(folder) == {"a.txt", "d.txt", "mark.json"}
    assert (folder / "a.txt").read_bytes() == b"newer"
    assert json.loads((folder / "mark.json").read_text())["made_by"] == "wiggly test"


@pytest.mark.parametrize(
    "make", [lambda path: None, Path.mkdir, lambda path: (path / ".git").mkdir(parents=True)]
)
def test_new_and_empty_folders_are_anybodys(make, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "folder")
    assert MARK.claim(tmp_path / "folder") == set()
    written(tmp_path / "folder")


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    for mark in (None, "", "[]", '{"made_by": "somebody", "files": {}}', '{"made_by": "wiggly test"}', "\0"):
        if mark is not None:
            (tmp_path / "mark.json").write_text(mark)
        with pytest.raises(ArgumentError, match=r"must be new, empty, or written by `wiggly test`"):
            written(tmp_path)
    assert there(tmp_path) == {"notes.txt", "mark.json"}
    with pytest.raises(ArgumentError, match="is a file"):
        MARK.claim(tmp_path / "notes.txt")


def test_other_files_among_ours_stay_and_are_not_replaced(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder")
    (folder / "deep" / "mine.txt").write_text("mine")
    written(folder, {"a.txt": b"newer"})
    assert there(folder) == {"a.txt", "deep/mine.txt", "mark.json"}
    with pytest.raises(ArgumentError, match=r"holds 'deep/mine\.txt', which is not"):
        written(folder, {"deep/mine.txt": b"ours"})
    assert (folder / "deep" / "mine.txt").read_text() == "mine"


def test_a_file_of_ours_that_was_changed_is_named(tmp_path: Path) -> None:
    folder = written(tmp_path / "folder")
    (folder / "deep" / "b.txt").write_text("mine now")
    with pytest.raises(ArgumentError, match=r"changed since: deep/b\.txt\."):
        written(folder, {"a.txt": b"newer"})
    assert (folder / "a.txt").read_bytes() == b"first", "nothing at all was written"
    (folder / "deep" / "b.txt").unlink()
    written(folder)
    assert there(folder) == {*FILES, "mark.json"}


@pytest.mark.parametrize(
    "name", ["../outside.txt", "/etc/outside.txt", "a/../../outside.txt", "C:\\x", "a\\b"]
)
def test_a_forged_mark_reaches_nothing_outside(name: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_text("mine")
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "mark.json").write_bytes(MARK.content({name: b"mine", "a.txt": b"first"}))
    assert MARK.claim(folder) == {"a.txt", "mark.json"}
    written(folder)
    assert outside.read_text() == "mine"


def test_a_link_among_ours_is_replaced_and_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside.txt"
    outside.write_bytes(b"first")
    folder = written(tmp_path / "folder")
    (folder / "a.txt").unlink()
    (folder / "a.txt").symlink_to(outside)
    written(folder, {"a.txt": b"newer"})
    assert outside.read_bytes() == b"first"
    assert (folder / "a.txt").read_bytes() == b"newer"


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="the folder of a test must be writable"):
        written(tmp_path / "file" / "folder")
