"""The verb `quiz`: in a process of its own, with what is typed; files are checked, written and read."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import wiggly
from wiggly.cli import main
from wiggly.teach.quiz.reading import all_questions

SOURCE = str(Path(wiggly.__file__).parent.parent)


@pytest.fixture(autouse=True)
def own_progress(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WIGGLY_DATA", str(tmp_path / "data"))


def typed(text: str, *words: str) -> tuple[int, str, str]:
    command = [sys.executable, "-m", "wiggly", "quiz", *words]
    environment = {**os.environ, "PYTHONPATH": SOURCE, "COLUMNS": "100"}
    done = subprocess.run(command, input=text, capture_output=True, text=True, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_answers_are_kept_as_they_are_given(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = all_questions(3)[0]
    code, out, err = typed(f"nonsense\n{first.solution}\n\nq\n", "--lesson", "3", "--new", "2")
    assert code == 0, err
    assert "0 due, 2 new" in out and "✓ Right" in out and "Type a number" in out and "1 of 1" in out
    assert main(["quiz", "stats", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["answers"], told["right"]) == (1, 1)
    assert told["file"].startswith(str(tmp_path / "data"))
    assert main(["quiz", "export", str(tmp_path / "mine.json")]) == 0
    assert main(["quiz", "reset", "--yes"]) == 0
    assert main(["quiz", "import", str(tmp_path / "mine.json")]) == 0
    assert main(["quiz", "import", str(tmp_path / "mine.json")]) == 0
    out = capsys.readouterr().out
    assert "1 answers were forgotten" in out and "1 answers were new" in out and "0 answers were new" in out


def test_the_end_of_what_is_typed_ends_it(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = typed("", "--new", "1")
    assert code == 0 and "Nothing was answered" in out and "Traceback" not in err


def test_files_are_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(wiggly.__file__).parent / "teach" / "questions"
    ours = [str(folder / f"lesson{number}.yaml") for number in (1, 2, 3)]
    assert main(["quiz", "--check", *ours]) == 0
    assert "all is well" in capsys.readouterr().out
    bad = tmp_path / "bad.yaml"
    bad.write_text(
        (folder / "lesson1.yaml").read_text("utf-8").replace("kind: choice", "kind: riddle", 1), "utf-8"
    )
    assert main(["quiz", "--check", str(bad)]) == 1
    assert "bad.yaml:" in (err := capsys.readouterr().err) and "`kind` must be one of" in err
    assert main(["quiz", "--check", str(tmp_path / "none.yaml")]) == 1
    assert "none.yaml" in capsys.readouterr().err


def test_a_page_replaces_nothing_unasked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "quiz.html"
    page.write_text("my diary")
    assert main(["quiz", "page", str(page), "--lesson", "1"]) == 1
    assert "--force" in capsys.readouterr().err and page.read_text() == "my diary"
    assert main(["quiz", "page", str(page), "--lesson", "1", "--force"]) == 0
    assert "data-wiggly" in page.read_text("utf-8")


def test_about_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "history.csv"
    log.write_text("epoch,train_loss,valid_loss\n0,1.0,0.9\n1,0.5,0.6\n2,0.2,0.8\n")
    code, out, err = typed("1\n\nq\n", "--run", str(log))
    assert code == 0, err
    assert "✓ Right" in out and "epoch 1" in out
    log.write_text("epoch,train_loss\n")
    assert main(["quiz", "--run", str(log)]) == 1
    assert "history.csv" in capsys.readouterr().err
