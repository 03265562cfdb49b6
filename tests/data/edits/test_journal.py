"""The journal: what is appended stays, what is damaged is named, undo and redo are rows."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wiggly import ArgumentError, Edit, ItemRef, Journal, StorageError
from wiggly.data.edits import appending
from wiggly.data.edits.edit import made_edit, read_edit, write_edit
from wiggly.data.edits.journal import opened_journal
from wiggly.errors import DataError


def ref(n: int = 0, label: Any = "ant", **how: Any) -> ItemRef:
    return ItemRef(f"file:{n:064x}", f"{label}/{n}.jpg", label, **how)


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "edits.jsonl", author="Ann")


def test_a_row_has_what_the_next_person_needs(journal: Journal) -> None:
    made = journal.add("relabel", ref(1, size=7), "bee", reason="a sting")
    row = json.loads(journal.path.read_text())
    assert row.pop("time").startswith("20") and row.pop("id") == made.id
    assert row == {
        "version": 1,
        "kind": "relabel",
        "item": f"file:{1:064x}",
        "path": "ant/1.jpg",
        "old": "ant",
        "new": "bee",
        "reason": "a sting",
        "author": "Ann",
        "size": 7,
    }
    assert Journal(journal.path).edits == [made]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ('é\u2028 "\n', 'é\u2028 "\n'),
        (np.int64(3), 3),
        ({"b", "a"}, ["a", "b"]),
        (("x", 1), ["x", 1]),
        (0.5, 0.5),
    ],
)
def test_labels_of_every_kind_survive(journal: Journal, given: Any, kept: Any) -> None:
    journal.add("relabel", ref(), given)
    assert Journal(journal.path).edits[0].new == kept
    assert journal.path.read_bytes().count(b"\n") == 1


@pytest.mark.parametrize("label", [np.zeros((400, 400)), {"boxes": []}, ([[1, 2, 3, 4]] * 500, ["a"] * 500)])
def test_a_label_that_no_row_can_hold_is_left_out(journal: Journal, label: Any) -> None:
    assert journal.add("delete", ItemRef(f"file:{0:064x}", "a.jpg", label)).old is None


def test_a_file_name_that_is_no_text_survives(journal: Journal) -> None:
    journal.add("delete", ItemRef(f"file:{0:064x}", "caf\udce9.jpg"))
    assert journal.edits[0].path == "caf\udce9.jpg"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda j: j.add("remove", ref()),
        lambda j: j.add("relabel", ref()),
        lambda j: j.add("relabel", ref(), object()),
        lambda j: j.add("relabel", ref(), float("nan")),
        lambda j: j.add("move", ref(), "test"),
        lambda j: j.add("delete", ItemRef("cat/1.jpg")),
        lambda j: j.add("delete", "cat/1.jpg"),
        lambda j: j.extend([made_edit("undo", ref(), of="x")]),
        lambda j: j.undo("nobody"),
    ],
)
def test_what_no_journal_can_hold_is_refused(journal: Journal, wrong: Any) -> None:
    with pytest.raises(ArgumentError):
        wrong(journal)
    assert journal.edits == [] and journal.damaged == []


def test_the_last_verdict_stands_and_a_move_beside_it(journal: Journal) -> None:
    journal.add("relabel", ref(), "bee")
    journal.add("move", ref(), "valid", old="train")
    state = journal.state()[ref().id]
    assert (state.verdict, state.label, state.side) == ("relabel", "bee", "valid")
    journal.add("delete", ref())
    assert (journal.state()[ref().id].verdict, journal.state()[ref().id].relabelled) == ("delete", False)
    assert journal.state()[ref().id].side == "valid"


def test_keep_speaks_of_the_label_that_was_seen(journal: Journal) -> None:
    journal.add("relabel", ref(), "bee")
    journal.add("keep", ref(), old="bee")  # seen with the new label, and found right
    assert journal.state()[ref().id].label == "bee"
    journal.add("keep", ref())  # the widget's <Keep>: as the data have it
    assert not journal.state()[ref().id].relabelled


def test_undo_and_redo_are_rows(journal: Journal) -> None:
    first, second = journal.add("delete", ref(1)), journal.add("delete", ref(2))
    assert journal.undo() == second and journal.undo() == first and journal.undo() is None
    assert journal.state() == {}
    assert journal.redo() == first and journal.redo() == second and journal.redo() is None
    assert [edit.kind for edit in journal.edits] == ["delete", "delete", "undo", "undo", "redo", "redo"]
    assert set(journal.state()) == {ref(1).id, ref(2).id}
    journal.undo(first.id)
    assert set(journal.state()) == {ref(2).id}
    with pytest.raises(ArgumentError, match="undone once"):
        journal.undo(first.id)


def test_after_something_new_there_is_nothing_to_redo(journal: Journal) -> None:
    journal.add("delete", ref(1))
    journal.undo()
    journal.add("delete", ref(2))
    assert journal.redo() is None


def test_each_author_undoes_their_own(journal: Journal) -> None:
    mine = journal.add("delete", ref(1))
    Journal(journal.path, author="Ben").add("delete", ref(2))
    assert journal.undo() == mine and journal.undo() is None
    assert set(journal.state()) == {ref(2).id}


def test_another_program_is_seen_at_once(journal: Journal) -> None:
    other = Journal(journal.path, author="Ben")
    for n in range(5):
        journal.add("delete", ref(2 * n))
        other.add("delete", ref(2 * n + 1))
        assert len(journal.edits) == len(other.edits) == 2 * n + 2
    journal.path.write_text("")  # replaced by hand
    assert journal.edits == other.edits == []


def test_damaged_rows_are_named_by_line_and_stay(journal: Journal) -> None:
    good = journal.add("delete", ref(1))
    text = journal.path.read_text()
    other = json.loads(text)
    damaged = [
        text.rstrip()[:50],
        "not json}",
        "[1]",
        json.dumps({**other, "version": 9}),
        json.dumps({**other, "kind": "explode"}),
        json.dumps({**other, "item": "../../etc/passwd"}),
        json.dumps({**other, "item": 3}),
        json.dumps({k: v for k, v in other.items() if k != "id"}),
        json.dumps({**other, "id": "fresh", "copies": "two"}),
        json.dumps({**other, "id": "odd", "kind": "relabel", "new": {"a": 1}}),
        json.dumps({**other, "id": "u", "kind": "undo", "of": "lost"}),
        "\udce9\0".encode("utf-8", "surrogateescape").decode("latin-1"),
    ]
    twice = json.dumps({**other, "path": "another"})  # the id is taken
    journal.path.write_text("\n".join([*damaged, "", text.strip(), text.strip(), twice, ""]))
    before = journal.path.read_bytes()
    found = Journal(journal.path)
    assert found.active == [good]
    assert [row.line for row in found.damaged] == [*range(1, 13), 16]
    assert "cut off" in found.damaged[0].reason and "newer" in found.damaged[3].reason
    assert journal.path.read_bytes() == before
    found.add("delete", ref(2))
    assert journal.path.read_bytes().startswith(before)


def test_a_row_cut_anywhere_breaks_nothing(journal: Journal, tmp_path: Path) -> None:
    """Every prefix of the file: whole rows are read, and the next row begins on a line of its own."""
    edits = [journal.add("relabel", ref(n), f"é{n}") for n in range(3)]
    data = journal.path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == 10]
    for cut in range(len(data) + 1):
        path = tmp_path / "cut.jsonl"
        path.write_bytes(data[:cut])
        torn = Journal(path, author="Ben")
        whole = sum(end - 1 <= cut for end in ends)  # a row that lacks only its end is whole
        assert torn.edits == edits[:whole], cut
        partly = cut not in (0, *ends) and cut not in [end - 1 for end in ends]
        assert len(torn.damaged) == partly, cut
        if cut % 19 == 0:  # each writes to the disk
            added = torn.add("delete", ref(9))
            assert torn.edits == [*edits[:whole], added] == Journal(path).edits
            assert len(torn.damaged) == partly


def test_a_full_disk_leaves_the_journal_as_it_was(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    journal.add("delete", ref(1))
    before, write = journal.path.read_bytes(), os.write
    monkeypatch.setattr(appending.os, "write", lambda fd, data: write(fd, data[:20]))
    with pytest.raises(StorageError, match="no space left"):
        journal.add("delete", ref(2))
    monkeypatch.undo()
    assert journal.path.read_bytes() == before
    monkeypatch.setattr(appending.os, "fsync", lambda fd: (_ for _ in ()).throw(OSError(5, "input/output")))
    with pytest.raises(StorageError, match="input/output"):
        journal.add("delete", ref(2))
    assert journal.path.read_bytes() == before


def test_several_rows_are_one_write(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    write = os.write
    monkeypatch.setattr(appending.os, "write", lambda fd, data: calls.append(len(data)) or write(fd, data))
    journal.extend([made_edit("keep", ref(n), author="Ann") for n in range(100)])
    assert len(calls) == 1 and len(journal.edits) == 100


def test_threads_share_a_journal(journal: Journal) -> None:
    def work(k: int) -> None:
        for n in range(10):
            journal.add("keep", ref(100 * k + n))

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({edit.item for edit in journal.edits}) == 40 and not journal.damaged


def test_a_file_replaced_while_waiting_is_not_written_to(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A synchronising program may put another file there between opening and locking."""
    journal.add("delete", ref(1))
    lock = appending._lock_now  # pyright: ignore[reportPrivateUsage]
    swapped: list[int] = []

    def swapping(descriptor: int) -> None:
        if not swapped:
            swapped.append(1)
            other = journal.path.with_suffix(".new")
            other.write_text("")
            os.replace(other, journal.path)
        lock(descriptor)

    monkeypatch.setattr(appending, "_lock_now", swapping)
    added = journal.add("delete", ref(2))
    assert Journal(journal.path).edits == [added]


def test_a_holder_that_hangs_is_named(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(appending, "SECONDS_TO_WAIT", 0.05)
    with appending.locked(journal.path), pytest.raises(StorageError, match="another process has held"):
        Journal(journal.path).add("delete", ref(1))


def test_where_a_journal_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"data.edits\.jsonl"):
        opened_journal("edits.jsonl", "data")
    Journal("edits.jsonl").add("delete", ref(1))
    assert opened_journal("edits.jsonl", "data").path == Path("edits.jsonl")
    Journal("data/edits.jsonl").add("delete", ref(1))
    assert opened_journal("edits.jsonl", "data").path == Path("data/edits.jsonl")
    with pytest.raises(StorageError):
        Journal(tmp_path / "nowhere" / "edits.jsonl").add("delete", ref(1))
    with pytest.raises(StorageError):
        _ = Journal(tmp_path).edits


def test_rows_of_a_later_version_of_this_one_keep_their_fields() -> None:
    edit = made_edit("keep", ref(1))
    text = json.dumps({**json.loads(write_edit(edit)), "colour": "red"})
    assert read_edit(text) == edit and isinstance(edit, Edit)


def test_the_author_is_the_user_unless_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WIGGLY_AUTHOR", "Zoë")
    assert Journal(tmp_path / "e.jsonl").author == "Zoë"
