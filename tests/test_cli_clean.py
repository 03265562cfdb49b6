"""`wiggly clean`: what it prints, its exit codes, and that it only changes what it says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.clean.support import contents, edited_folder, ids_of

from wiggly import Journal
from wiggly.cli import main


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WIGGLY_AUTHOR", "Ann")
    edited_folder(Path("data"))
    return Path("data")


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    capsys.readouterr()
    code = main(["clean", *map(str, words)])
    out, err = capsys.readouterr()
    return code, out, err


def test_status_changes_nothing_and_says_all(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(data, hidden=True)
    code, out, _ = run(capsys, "status", data)
    assert (
        code == 0 and "1 deleted, 1 relabelled, 1 kept" in out and "1 × ant → bee" in out and "Ann (3)" in out
    )
    assert contents(data, hidden=True) == before
    with (data / "edits.jsonl").open("a") as file:
        file.write("{torn")
    code, out, _ = run(capsys, "status", data)
    assert code == 1 and "set aside: edits.jsonl line 4: it is cut off" in out
    code, out, _ = run(capsys, "status", data, "--json")
    assert json.loads(out)["deleted"] == 1 and len(json.loads(out)["aside"]) == 1


def test_apply_and_restore(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(data)
    code, out, _ = run(capsys, "apply", data, "--copy-to", "copy")
    assert code == 0 and "1 deleted, 1 relabelled" in out and contents(data) == before
    code, out, _ = run(capsys, "apply", data, "--in-place", "--json")
    assert code == 0 and json.loads(out)["files"] == 2 and len(contents(data)) == len(before) - 1
    assert contents(Path("copy")) == {k: v for k, v in contents(data).items() if k != "edits.jsonl"}
    assert "2 moved in place" in run(capsys, "status", data)[1]
    assert run(capsys, "restore", data, "ant/ant_0.png")[1].startswith("1 restored")
    assert run(capsys, "restore", data)[0] == 0 and contents(data) == before


@pytest.mark.parametrize("words", [[], ["--copy-to", "copy", "--in-place"]])
def test_apply_wants_to_know_where(data: Path, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "apply", data, *words)
    assert code == 1 and "--copy-to DIR or --in-place" in err and not Path("copy").exists()


def test_errors_name_the_option(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "status", data, "--edits", "other.jsonl")
    assert code == 1 and "there is no file" in err and "--edits FILE" in err
    assert run(capsys, "aply", data)[0] == 2


def test_undo_and_redo(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "undo", data)[1].startswith("undone: keep ant/ant_2.png")
    assert run(capsys, "undo", data / "edits.jsonl")[1].startswith(
        "undone: relabel ant/ant_1.png 'ant' → 'bee'"
    )
    assert run(capsys, "redo", data)[1].startswith("redone: relabel")
    code, out, _ = run(capsys, "undo", data, "--author", "Ben")
    assert code == 1 and "edits of Ann" in out
    assert len(Journal(data / "edits.jsonl").edits) == 6


def test_merge_shows_conflicts(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Journal("ben.jsonl", author="Ben").add("keep", ids_of(data).ref(1))
    code, out, _ = run(capsys, "merge", data / "edits.jsonl", "ben.jsonl", "--to", "both.jsonl")
    assert code == 1 and "conflict: ant/ant_1.png: Ann: relabel 'bee', Ben: keep (marked unsure)" in out
    words = ("merge", data / "edits.jsonl", "ben.jsonl", "--to", "b.jsonl", "--prefer", "first")
    code, out, _ = run(capsys, *words)
    assert code == 0 and "Ann's stands" in out


def test_a_csv_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import pandas as pd

    from wiggly import ItemIds
    from wiggly.data.table import TableItems

    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("x,y\n1,a\n2,b\n3,a\n")
    Journal("edits.jsonl").add("relabel", ItemIds(TableItems(pd.read_csv("rows.csv"))).ref(2), "b")
    assert run(capsys, "status", "rows.csv")[0] == 1  # which column?
    assert run(capsys, "status", "rows.csv", "--target", "y")[0] == 0
    assert run(capsys, "apply", "rows.csv", "--target", "y", "--copy-to", "new.csv")[0] == 0
    assert Path("new.csv").read_text() == "x,y\n1,a\n2,b\n3,b\n"
