"""Progress: what FSRS's own package says, two processes at once, kills, export, reset, damaged files."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import wiggly
from wiggly.errors import ArgumentError, StorageError
from wiggly.teach.quiz.progress import Answer, Progress, progress_file
from wiggly.teach.quiz.question import Question
from wiggly.teach.quiz.scheduling import EASY, GOOD, WRONG, Rating, recall
from wiggly.teach.quiz.session import count, plan

NOW = datetime(2030, 5, 1, 12, tzinfo=UTC)
SOURCE = Path(wiggly.__file__).parent.parent

# Adds answers one after the other and says each token once it is kept.
WRITER = """
import sys
from wiggly.teach.quiz.progress import Answer, Progress
name, n = sys.argv[2], int(sys.argv[3])
with Progress(sys.argv[1]) as progress:
    for i in range(n):
        answer = Answer(f"q-{i % 5}", i % 3 > 0, 3 if i % 3 else 1, [i], token=f"{name}-{i}")
        progress.add(answer)
        print(answer.token, flush=True)
"""


def write(path: Path, name: str, n: int) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    command = [sys.executable, "-c", WRITER, str(path), name, str(n)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def test_what_is_remembered_is_what_fsrs_says(tmp_path: Path) -> None:
    from fsrs import Card, Rating, Scheduler

    chance = random.Random(5)
    scheduler = Scheduler(enable_fuzzing=False)
    with Progress(tmp_path / "p.sqlite") as progress:
        for name in ("a-a", "b-b", "c-c"):
            card, at = Card(), NOW
            for _ in range(12):
                rating: Rating = chance.choice([WRONG, GOOD, GOOD, EASY])
                card, _log = scheduler.review_card(card, Rating(rating), at)
                memory = progress.add(Answer(name, rating != WRONG, rating, at=at))
                assert (memory.due, memory.stability, memory.difficulty) == (
                    card.due,
                    card.stability,
                    card.difficulty,
                )
                later = at + timedelta(days=chance.random() * 9)
                assert recall(memory, later) == pytest.approx(scheduler.get_card_retrievability(card, later))
                at = max(card.due, at) + timedelta(hours=chance.random() * 50)


def test_two_processes_lose_nothing(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    processes = [write(path, name, 40) for name in ("one", "two")]
    said = [process.communicate(timeout=60)[0].split() for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    with Progress(path) as progress:
        assert sorted(answer.token for answer in progress.answers()) == sorted(said[0] + said[1])
        assert len(said[0]) == len(said[1]) == 40 and len(progress.memories()) == 5


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
@pytest.mark.parametrize("kills", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_a_kill_loses_no_answer_that_was_kept(tmp_path: Path, kills: int) -> None:
    path, chance, kept = tmp_path / "p.sqlite", random.Random(1), list[str]()
    for number in range(kills):
        process = write(path, f"run{number}", 100_000)
        assert process.stdout is not None
        first = process.stdout.readline()  # it has begun
        time.sleep(chance.random() * 0.1)
        process.send_signal(signal.SIGKILL)
        said = first + process.communicate()[0]
        kept += [line.strip() for line in said.splitlines(keepends=True) if line.endswith("\n")]
    with Progress(path) as progress:
        answers = progress.answers()
        tokens = [answer.token for answer in answers]
        assert len(set(tokens)) == len(tokens) and set(kept) <= set(tokens)
        # At most one more per run, whose word did not come through.
        assert len(tokens) <= len(kept) + kills
        before = progress.memories()
        exported = progress.export()
    with Progress(tmp_path / "again.sqlite") as again:  # memories are what answers make of them
        assert again.take(exported) == len(tokens)
        assert again.memories() == before


def test_export_takes_nothing_twice_and_reset_forgets_what_is_named(tmp_path: Path) -> None:
    with Progress(tmp_path / "a.sqlite") as a, Progress(tmp_path / "b.sqlite") as b:
        for i in range(6):
            a.add(Answer(f"q-{i % 2}", True, GOOD, at=NOW + timedelta(days=i)))
        b.add(Answer("q-0", False, WRONG, at=NOW + timedelta(hours=1)))
        assert b.take(a.export()) == 6 and b.take(a.export()) == 0
        assert b.memories()["q-1"] == a.memories()["q-1"] and b.memories()["q-0"] != a.memories()["q-0"]
        assert b.reset(["q-0"]) == 4 and set(b.memories()) == {"q-1"}
        assert b.reset() == 3 and b.answers() == [] and len(a.answers()) == 6
    with Progress(tmp_path / "b.sqlite") as b:
        for wrong in (
            {},
            [],
            {"format": "x", "version": 1},
            {"format": "wiggly-quiz-progress", "version": 99},
        ):
            with pytest.raises(ArgumentError, match="wiggly quiz export"):
                b.take(wrong)


def test_a_guess_is_asked_sooner(tmp_path: Path) -> None:
    from dataclasses import replace

    with Progress(tmp_path / "p.sqlite") as progress:
        answer = Answer("q-q", True, GOOD, at=NOW)
        kept = progress.add(answer)
        guessed = progress.amend(replace(answer, rating=WRONG))
        assert guessed.due < kept.due and progress.memories()["q-q"] == guessed
        assert [(each.right, each.rating) for each in progress.answers()] == [(True, WRONG)]


def test_a_file_that_is_none_is_named_and_left(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    path.write_text("my diary")
    with pytest.raises(StorageError, match=r"p\.sqlite"):
        Progress(path)
    assert path.read_text() == "my diary"
    newer = tmp_path / "newer.sqlite"
    connection = sqlite3.connect(newer)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(StorageError, match="Update wiggly"):
        Progress(newer)


def test_where_it_is_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("WIGGLY_DATA", str(tmp_path))
    assert progress_file() == tmp_path / "quiz.sqlite"
    monkeypatch.delenv("WIGGLY_DATA")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "x"))
    assert progress_file() == tmp_path / "x" / "wiggly" / "quiz.sqlite"


def test_what_is_due_comes_first_and_new_ones_in_order(tmp_path: Path) -> None:
    questions = [Question(f"q-{i}", "number", "?", "", 1, "", answer=1) for i in range(6)]
    with Progress(tmp_path / "p.sqlite") as progress:
        progress.add(Answer("q-3", True, EASY, at=NOW - timedelta(days=300)))
        progress.add(Answer("q-1", False, WRONG, at=NOW - timedelta(days=300)))
        progress.add(Answer("q-2", True, EASY, at=NOW))
        memories = progress.memories()
    session = plan(questions, memories, NOW, new=2)
    assert [question.id for question in session.waiting] == ["q-1", "q-3", "q-0", "q-4"]
    found = count(questions, memories, NOW)
    assert (found.questions, found.seen, found.due) == (6, 3, 2) and found.next == memories["q-2"].due
