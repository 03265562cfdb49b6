"""Cleaning in place: what was deleted can come back, whatever happens, and nothing is overwritten."""

from __future__ import annotations

import json
import os
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.clean.support import contents, edited_folder, ids_of
from tests.data.support import photo_folder

from wiggly import ImageDataLoaders, ItemIds, Journal, clean_in_place, get_image_files, restore_files
from wiggly.clean import trash
from wiggly.clean.folder import TRASH
from wiggly.clean.trash import moved_files
from wiggly.errors import DataError, StorageError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    edited_folder(tmp_path / "data")
    return tmp_path / "data"


def test_deleted_files_go_to_the_trash_and_come_back(data: Path) -> None:
    before = contents(data)
    report = clean_in_place(data)
    assert (report.deleted, report.relabelled, report.files) == (1, 1, 2)
    after = {name: h for name, h in before.items() if name != "ant/ant_0.png"}
    after["bee/ant_1.png"] = after.pop("ant/ant_1.png")
    assert contents(data) == after
    assert before["ant/ant_0.png"] in contents(data / TRASH, hidden=True).values()
    assert len(get_image_files(data)) == 7  # loaders do not look into the trash
    assert clean_in_place(data).files == 0  # a second time there is nothing to do
    found = restore_files(data)
    assert sorted(found.files) == ["ant/ant_0.png", "ant/ant_1.png"] and not found.aside
    assert contents(data) == before and moved_files(data) == ([], [])
    assert restore_files(data).files == []


def test_loaders_take_the_journal_before_and_after(data: Path) -> None:
    def labels() -> list[Any]:
        dls = ImageDataLoaders.from_folder(
            data, valid_pct=0.3, seed=1, num_workers=0, device="cpu", edits="edits.jsonl"
        )
        pairs = (zip(ds.dataset.items, ds.dataset.raw_targets, strict=True) for ds in dls)
        return sorted((f.name, y) for side in pairs for f, y in side)

    before = labels()
    clean_in_place(data)
    assert labels() == before
    restore_files(data)
    assert labels() == before


@pytest.mark.parametrize("seed", range(3))
def test_a_split_by_seed_is_the_same_before_and_after(tmp_path: Path, seed: int) -> None:
    """Files that are gone, moved into another folder, or renamed by hand shift nothing."""
    data, draw = photo_folder(tmp_path / "data", {"ant": 12, "bee": 12, "cow": 12}), Random(seed)
    journal, ids = Journal(data / "edits.jsonl"), ids_of(data)
    chosen = draw.sample(range(36), 14)
    for i in chosen[:6]:
        journal.add("delete", ids.ref(i))
    for i in chosen[6:13]:
        journal.add("relabel", ids.ref(i), draw.choice(["ant", "bee", "cow"]))
    journal.add("move", ids.ref(chosen[13]), "valid")

    def sides() -> list[list[tuple[str, str]]]:
        dls = ImageDataLoaders.from_folder(
            data, valid_pct=0.3, seed=seed, num_workers=0, device="cpu", edits=journal
        )
        pairs = (zip(ds.dataset.items, ds.dataset.raw_targets, strict=True) for ds in dls)
        return [[(f.name, y) for f, y in side] for side in pairs]

    before = sides()
    clean_in_place(data)
    assert sides() == before  # also the order, in which batches are drawn
    kept = next(f for f in get_image_files(data) if f.name == Path(ids.items[chosen[13]]).name)
    kept.rename(data / "ant" / "zz.png")
    assert [[n for n, _ in side if n != kept.name] for side in before] == [
        [n for n, _ in side if n != "zz.png"] for side in sides()
    ]


def test_one_file_can_come_back_alone(data: Path) -> None:
    clean_in_place(data)
    assert restore_files(data, ["ant/ant_0.png"]).files == ["ant/ant_0.png"]
    assert (data / "ant" / "ant_0.png").exists() and (data / "bee" / "ant_1.png").exists()
    with pytest.raises(DataError, match="was not"):
        restore_files(data, ["ant/ant_3.png"])


def test_nothing_is_overwritten_on_the_way_back(data: Path) -> None:
    clean_in_place(data)
    (data / "ant" / "ant_0.png").write_text("another picture")
    found = restore_files(data)
    assert (data / "ant" / "ant_0.png").read_text() == "another picture"
    assert found.files == ["ant/ant_1.png"] and "something else lies there" in str(found.aside[0])
    (data / "ant" / "ant_0.png").unlink()
    assert restore_files(data).files == ["ant/ant_0.png"]


def test_nothing_is_overwritten_on_the_way_there(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def blocking(row: Any) -> None:
        (data / "bee" / "ant_1.png").write_text("came in between")

    monkeypatch.setattr(trash._Trash, "note", lambda self, row: blocking(row))  # pyright: ignore
    with pytest.raises(StorageError, match="ant_1"):
        clean_in_place(data)
    assert (data / "bee" / "ant_1.png").read_text() == "came in between" and (
        data / "ant" / "ant_1.png"
    ).exists()


@pytest.mark.parametrize("step", range(12))
def test_a_kill_at_any_step_loses_no_file(data: Path, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ends the program before one of its writes, links or removals, then goes on, or takes all back."""
    before = set(contents(data).values())
    steps: list[str] = []
    real = {name: getattr(os, name) for name in ("link", "unlink", "write", "rename")}

    def until(name: str) -> Any:
        def call(*arguments: Any, **how: Any) -> Any:
            steps.append(name)
            if len(steps) == step + 1:
                raise KeyboardInterrupt
            return real[name](*arguments, **how)

        return call

    for name in real:
        monkeypatch.setattr(os, name, until(name))
    ended = False
    try:
        clean_in_place(data)
    except KeyboardInterrupt:
        ended = True
    monkeypatch.undo()
    assert ended == (step < 6), steps
    assert before <= set(contents(data, hidden=True).values())
    if step % 2:
        clean_in_place(data)
        assert "ant/ant_0.png" not in contents(data) and "bee/ant_1.png" in contents(data)
    restore_files(data)
    assert set(contents(data).values()) == before and len(get_image_files(data)) == 8
    assert {"ant/ant_0.png", "ant/ant_1.png"} <= set(contents(data))


def test_a_disk_without_hard_links(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any, **__: Any) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", none)
    before = contents(data)
    assert clean_in_place(data).files == 2 and restore_files(data).files and contents(data) == before


def test_the_folder_is_not_left(data: Path, tmp_path: Path) -> None:
    """Neither through a link in the folder, nor through a list of moves that somebody sent along."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "elk_0.png").write_bytes(b"outside")
    (data / "elk").symlink_to(outside)
    ids = ids_of(data)
    where = next(i for i, f in enumerate(ids.items) if f.name == "elk_0.png")
    Journal(data / "edits.jsonl").add("delete", ids.ref(where))
    report = clean_in_place(data)
    assert "outside the folder" in str(report.aside[0]) and (outside / "elk_0.png").exists()
    moves = data / TRASH / "moves.jsonl"
    good = json.loads(moves.read_text().splitlines()[0])
    (tmp_path / "victim.txt").write_text("precious")
    odd = [
        {**good, "id": "a", "to": "../victim.txt", "file": "ant/stolen.png"},
        {**good, "id": "b", "to": str(tmp_path / "victim.txt"), "file": "ant/stolen.png"},
        {**good, "id": "c", "to": "ant/ant_2.png", "file": "../escaped.png"},
        {**good, "id": "d", "to": "ant/ant_2.png", "file": "elk/escaped.png"},
    ]
    with moves.open("a") as file:
        file.write("".join(f"{json.dumps(row)}\n" for row in odd) + "{torn")
    found = restore_files(data)
    assert len(found.aside) == 5 and (tmp_path / "victim.txt").read_text() == "precious"
    assert not (tmp_path / "escaped.png").exists() and not (outside / "escaped.png").exists()
    assert (data / "ant" / "ant_2.png").exists() and (data / "ant" / "ant_0.png").exists()


def test_a_table_of_labels_in_place(tmp_path: Path) -> None:
    data = tmp_path / "data"
    edited_folder(data)
    files = get_image_files(data)
    table = "file,label\n" + "".join(f"{f.relative_to(data).as_posix()},{f.parent.name}\n" for f in files)
    (data / "labels.csv").write_text(table)
    before = contents(data)
    report = clean_in_place(data, label_csv=data / "labels.csv")
    assert "ant/ant_1.png,bee\n" in (data / "labels.csv").read_text() and report.relabelled == 1
    assert "ant_0" not in (data / "labels.csv").read_text() and not (data / "ant" / "ant_0.png").exists()
    assert (data / "ant" / "ant_1.png").exists()  # its label is in the table
    restore_files(data)
    assert contents(data) == before
    clean_in_place(data, label_csv=data / "labels.csv")
    (data / "labels.csv").write_text("changed since")
    assert "labels.csv" in str(restore_files(data).aside[0])
    assert (data / "labels.csv").read_text() == "changed since"


def test_a_table_elsewhere(tmp_path: Path) -> None:
    data, place = tmp_path / "data", tmp_path / "tables"
    edited_folder(data)
    place.mkdir()
    rows = "".join(f"{f.relative_to(data).as_posix()},{f.parent.name}\n" for f in get_image_files(data))
    (place / "labels.csv").write_text(f"file,label\n{rows}")
    clean_in_place(data, label_csv=place / "labels.csv")
    assert "ant/ant_1.png,bee" in (place / "labels.csv").read_text()
    assert (
        restore_files(place).files == ["labels.csv"]
        and "ant/ant_1.png,ant" in (place / "labels.csv").read_text()
    )


def test_two_copies_of_one_picture(data: Path) -> None:
    (data / "bee" / "twin.png").write_bytes((data / "ant" / "ant_3.png").read_bytes())
    ids = ids_of(data)
    journal = Journal(data / "edits.jsonl")
    where = {ids.name(i): i for i in range(len(ids))}
    journal.add("delete", ids.ref(where["bee/twin.png"]))
    for _ in range(2):
        clean_in_place(data)
        assert (data / "ant" / "ant_3.png").exists() and not (data / "bee" / "twin.png").exists()


def test_a_copy_that_came_later_stays(data: Path) -> None:
    (data / "bee" / "later.png").write_bytes((data / "ant" / "ant_0.png").read_bytes())
    for _ in range(2):
        report = clean_in_place(data)
        assert (data / "bee" / "later.png").exists() and not (data / "ant" / "ant_0.png").exists()
    assert "this one stays" in str(report.aside[0])


def test_what_was_undone_in_the_journal_comes_back_with_restore(data: Path) -> None:
    clean_in_place(data)
    journal = Journal(data / "edits.jsonl", author="Ann")
    journal.undo(journal.edits[0].id)
    restore_files(data, ["ant/ant_0.png"])
    assert clean_in_place(data).files == 0 and (data / "ant" / "ant_0.png").exists()


def test_ids_are_those_of_any_folder(data: Path, tmp_path: Path) -> None:
    assert ItemIds(get_image_files(data)).ref(0).id == ids_of(data).ref(0).id
