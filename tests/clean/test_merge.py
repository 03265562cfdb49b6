"""Two people's journals as one: all rows, in order, and every disagreement shown."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wiggly import ArgumentError, ItemRef, Journal, merge_journals
from wiggly.errors import StorageError


def ref(n: int = 0, **how: Any) -> ItemRef:
    return ItemRef(f"file:{n:064x}", f"ant/{n}.jpg", "ant", **how)


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Journal, Journal]:
    """Ben's begins as a copy of Ann's."""
    ann = Journal(tmp_path / "ann.jsonl", author="Ann")
    ann.add("delete", ref(0))
    shutil.copy(ann.path, tmp_path / "ben.jsonl")
    return ann, Journal(tmp_path / "ben.jsonl", author="Ben")


def test_what_does_not_contradict_is_put_together(pair: tuple[Journal, Journal], tmp_path: Path) -> None:
    ann, ben = pair
    ann.add("relabel", ref(1), "bee")
    ben.add("relabel", ref(2), "bee")
    ann.add("keep", ref(3))
    ben.add("keep", ref(3))
    ben.undo(ben.edits[0].id)  # he saw her row, and overrules it
    made = merge_journals(ann.path, ben.path, tmp_path / "both.jsonl")
    assert made.conflicts == [] and made.n_rows == 6 == len(made.journal.edits)
    assert {k: s.verdict for k, s in made.journal.state().items()} == {
        ref(1).id: "relabel",
        ref(2).id: "relabel",
        ref(3).id: "keep",
    }
    times = [edit.time for edit in made.journal.edits]
    assert times == sorted(times)
    again = merge_journals(ben, ann, tmp_path / "other way.jsonl")
    assert again.journal.state() == made.journal.state()


@pytest.mark.parametrize(
    ("prefer", "label"), [("none", None), ("first", "bee"), ("second", "wasp"), ("latest", "wasp")]
)
def test_conflicts_are_shown_and_settled_by_one_more_row(
    pair: tuple[Journal, Journal], tmp_path: Path, prefer: Any, label: str | None
) -> None:
    ann, ben = pair
    ann.add("relabel", ref(1), "bee")
    ben.add("relabel", ref(1), "wasp")
    made = merge_journals(ann, ben, tmp_path / "both.jsonl", prefer, author="Cem")
    (conflict,) = made.conflicts
    assert str(conflict).startswith("ant/1.jpg: Ann: relabel 'bee', Ben: relabel 'wasp'")
    state = made.journal.state()[ref(1).id]
    assert (state.label if label else state.verdict) == (label or "unsure")
    assert [e.author for e in made.journal.edits] == ["Ann", "Ann", "Ben", "Cem"]
    assert "Ann: relabel 'bee'" in made.journal.edits[-1].reason


@pytest.mark.parametrize(
    ("mine", "yours"),
    [
        (("delete", None), ("keep", None)),
        (("keep", None), ("relabel", "x")),
        (("unsure", None), ("delete", None)),
    ],
)
def test_every_kind_of_disagreement(
    pair: tuple[Journal, Journal], tmp_path: Path, mine: Any, yours: Any
) -> None:
    ann, ben = pair
    ann.add(mine[0], ref(1), mine[1])
    ben.add(yours[0], ref(1), yours[1])
    assert len(merge_journals(ann, ben, tmp_path / "both.jsonl").conflicts) == 1


def test_a_move_in_two_directions_stays_where_it_was(pair: tuple[Journal, Journal], tmp_path: Path) -> None:
    ann, ben = pair
    ann.add("move", ref(1), "valid", old="train")
    ben.add("move", ref(1), "train", old="train")
    made = merge_journals(ann, ben, tmp_path / "both.jsonl")
    assert len(made.conflicts) == 1 and made.journal.state()[ref(1).id].side == "train"


def test_damaged_rows_come_along(pair: tuple[Journal, Journal], tmp_path: Path) -> None:
    ann, ben = pair
    with ben.path.open("a") as file:
        file.write("{torn")
    made = merge_journals(ann, ben, tmp_path / "both.jsonl")
    assert made.damaged == ["ben.jsonl line 2: it is cut off: whoever wrote it was ended: '{torn'"]
    assert [row.text for row in made.journal.damaged] == ["{torn"]


def test_an_undo_whose_row_is_in_the_other_journal_counts(tmp_path: Path) -> None:
    ann, ben = (Journal(tmp_path / f"{name}.jsonl", author=name) for name in ("ann", "ben"))
    ann.add("delete", ref(1))
    shutil.copy(ann.path, ben.path)
    ben.undo(ann.edits[0].id)
    ben.path.write_text(ben.path.read_text().splitlines()[1] + "\n")  # somebody cut the file
    assert len(ben.damaged) == 1
    made = merge_journals(ann, ben, tmp_path / "both.jsonl")
    assert made.journal.state() == {} and made.journal.damaged == []


def test_nothing_is_overwritten(pair: tuple[Journal, Journal], tmp_path: Path) -> None:
    ann, ben = pair
    before = ben.path.read_bytes()
    with pytest.raises(ArgumentError, match="file of its own"):
        merge_journals(ann, ben, ben.path)
    with pytest.raises(StorageError, match="must exist"):
        merge_journals(ann, tmp_path / "nobody.jsonl", tmp_path / "both.jsonl")
    with pytest.raises(ArgumentError, match="prefer"):
        merge_journals(ann, ben, tmp_path / "both.jsonl", "mine")  # pyright: ignore[reportArgumentType]
    assert ben.path.read_bytes() == before and not (tmp_path / "both.jsonl").exists()


@settings(max_examples=25, deadline=None, database=None)
@given(st.lists(st.tuples(st.sampled_from("sab"), st.integers(0, 3), st.booleans()), max_size=12))
def test_each_journals_own_order_is_kept(tmp_path_factory: pytest.TempPathFactory, steps: Any) -> None:
    """Whatever was shared, written apart or undone: a merged journal replays both orders."""
    folder = tmp_path_factory.mktemp("merge")
    ann = Journal(folder / "ann.jsonl", author="Ann")
    ann.add("keep", ref(9))
    journals: dict[str, Journal] = {}
    for who, item, undoes in sorted(steps, key=lambda step: step[0] != "s"):
        if who != "s" and not journals:
            shutil.copy(ann.path, folder / "ben.jsonl")
            journals = {"a": ann, "b": Journal(folder / "ben.jsonl", author="Ben")}
        journal = journals.get(who, ann)
        if not (undoes and journal.undo()):
            journal.add("relabel", ref(item), f"{who}{len(journal.edits)}")
    if not journals:
        shutil.copy(ann.path, folder / "ben.jsonl")
    ben = Journal(folder / "ben.jsonl")
    made = merge_journals(ann, ben, folder / "both.jsonl")
    ids = [edit.id for edit in made.journal.edits]
    for journal in (ann, ben):
        own = [edit.id for edit in journal.edits]
        assert [i for i in ids if i in set(own)] == own
    assert len(ids) == len({*ids}) == len({e.id for j in (ann, ben) for e in j.edits}) + len(made.conflicts)
