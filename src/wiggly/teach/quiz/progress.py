"""Your progress: every answer, and when each question is due; SQLite, safe against kills and two processes.

In: answers. Out: one file. An answer and what follows from it are written in one transaction that begins with
the lock for writing, so a second process waits and reads what the first one wrote, and a kill leaves either
all of an answer or nothing. Answers are only ever added: what is due could be computed anew from them. Read
next: `session.py`.
"""

from __future__ import annotations

import json
import os
import sqlite3
import sys
import time
import uuid
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from wiggly.errors import ArgumentError, StorageError
from wiggly.teach.quiz.scheduling import Memory, Rating, after

__all__ = ["FORMAT", "Answer", "Progress", "progress_file"]

FORMAT = "wiggly-quiz-progress"
VERSION = 1  # of the tables and of the export
PATIENCE = 30.0  # seconds to wait for another process that writes

TABLES = """
CREATE TABLE IF NOT EXISTS answers (
    token TEXT PRIMARY KEY, question TEXT NOT NULL, at TEXT NOT NULL, right INTEGER NOT NULL,
    rating INTEGER NOT NULL, given TEXT NOT NULL, seconds REAL);
CREATE TABLE IF NOT EXISTS memories (question TEXT PRIMARY KEY, memory TEXT NOT NULL);
"""


@dataclass(frozen=True)
class Answer:
    """One answer to one question.

    Attributes:
        question: The question's id.
        right: Whether it was right.
        rating: What it says about memory: a guess may be right and known to nobody.
        given: What was answered.
        at: When, in UTC.
        seconds: How long it took; None if unknown.
        token: Its own name: the same answer told twice is kept once.
    """

    question: str
    right: bool
    rating: Rating
    given: Any = None
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    seconds: float | None = None
    token: str = field(default_factory=lambda: uuid.uuid4().hex)


def progress_file() -> Path:
    """Where progress is kept: in `WIGGLY_DATA` if that is set, else in the system's folder for a user's data
    (XDG base directories on Linux, Library/Application Support on macOS, LOCALAPPDATA on Windows).
    """
    if named := os.environ.get("WIGGLY_DATA"):
        return Path(named).expanduser() / "quiz.sqlite"
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Application Support"
    else:
        base = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
        base = base if Path(base).is_absolute() else "~/.local/share"  # as the standard has it
    return Path(base).expanduser() / "wiggly" / "quiz.sqlite"


class Progress:
    """The progress file, open.

    Args:
        path: The file, made with its folder if it is not there; None takes `progress_file()`.

    Raises:
        StorageError: It cannot be opened, or is no progress file.

    Example:
        >>> with Progress("mine.sqlite") as progress:
        ...     memory = progress.add(Answer("split-why", True, 3))
        ...     len(progress.memories())
        1
    """

    def __init__(self, path: str | Path | None = None) -> None:
        self.path = progress_file() if path is None else Path(path)
        with self._explained():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(self.path, PATIENCE, isolation_level=None)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Lets go of the file."""
        self._connection.close()

    def add(self, answer: Answer) -> Memory:
        """Keeps an answer; when this returns, it is on the disk.

        Returns:
            What is remembered of the question after it.

        Raises:
            StorageError: It cannot be written.
        """
        with self._explained(), self._writing():
            if self._row("SELECT 1 FROM answers WHERE token = ?", answer.token) is None:
                memory = after(self._memory(answer.question), answer.rating, answer.at)
                self._insert(answer)
                self._connection.execute(
                    "INSERT OR REPLACE INTO memories VALUES (?, ?)",
                    (answer.question, json.dumps(memory.plain())),
                )
            known = self._memory(answer.question)
        assert known is not None
        return known

    def amend(self, answer: Answer) -> Memory:
        """Gives an answer that was kept another rating; what follows from it is computed anew.

        Returns:
            What is remembered of its question then.
        """
        with self._explained(), self._writing():
            self._connection.execute(
                "UPDATE answers SET rating = ? WHERE token = ?", (answer.rating, answer.token)
            )
            self._compute_anew({answer.question})
            known = self._memory(answer.question)
        if known is None:  # another process has forgotten it meanwhile
            return after(None, answer.rating, answer.at)
        return known

    def memories(self) -> dict[str, Memory]:
        """What is remembered, by question."""
        with self._explained():
            rows = self._connection.execute("SELECT question, memory FROM memories").fetchall()
        return {question: Memory.of(json.loads(memory)) for question, memory in rows}

    def answers(self) -> list[Answer]:
        """Every answer, in the order they were kept."""
        with self._explained():
            rows = self._connection.execute(
                "SELECT question, right, rating, given, at, seconds, token FROM answers ORDER BY rowid"
            ).fetchall()
        return [
            Answer(question, bool(right), rating, json.loads(given), datetime.fromisoformat(at), took, token)
            for question, right, rating, given, at, took, token in rows
        ]

    def export(self) -> dict[str, Any]:
        """All of it as JSON, at one moment."""
        with self._explained(), self._reading():
            answers, memories = self.answers(), self.memories()
        return {
            "format": FORMAT,
            "version": VERSION,
            "answers": [
                {
                    "question": each.question,
                    "right": each.right,
                    "rating": each.rating,
                    "given": each.given,
                    "at": each.at.isoformat(),
                    "seconds": each.seconds,
                    "token": each.token,
                }
                for each in answers
            ],
            "memories": {question: memory.plain() for question, memory in sorted(memories.items())},
        }

    def take(self, exported: Any) -> int:
        """Adds the answers of an export that are not here yet, e.g. of a page or another computer.

        Args:
            exported: What `export` gave, or a page saved.

        Returns:
            How many were new.

        Raises:
            ArgumentError: It is no export.
        """
        answers = sorted(_answers_of(exported), key=lambda each: each.at)
        before = len(self.answers())
        with self._explained(), self._writing():
            for each in answers:
                if self._row("SELECT 1 FROM answers WHERE token = ?", each.token) is None:
                    self._insert(each)
            self._compute_anew({each.question for each in answers})
        return len(self.answers()) - before

    def reset(self, questions: Iterable[str] | None = None) -> int:
        """Forgets answers.

        Args:
            questions: Of these questions; None forgets all.

        Returns:
            How many were forgotten.
        """
        with self._explained(), self._writing():
            before = self._row("SELECT count(*) FROM answers")
            if questions is None:
                self._connection.execute("DELETE FROM answers")
                self._connection.execute("DELETE FROM memories")
            for question in () if questions is None else questions:
                self._connection.execute("DELETE FROM answers WHERE question = ?", (question,))
                self._connection.execute("DELETE FROM memories WHERE question = ?", (question,))
            left = self._row("SELECT count(*) FROM answers")
        assert before is not None
        assert left is not None
        return before[0] - left[0]

    def _compute_anew(self, questions: set[str]) -> None:
        """Memories from answers, in the order they were given."""
        found: dict[str, Memory] = {}
        for each in sorted(self.answers(), key=lambda answer: answer.at):
            if each.question in questions:
                found[each.question] = after(found.get(each.question), each.rating, each.at)
        rows = [(question, json.dumps(memory.plain())) for question, memory in found.items()]
        self._connection.executemany("INSERT OR REPLACE INTO memories VALUES (?, ?)", rows)

    def _insert(self, answer: Answer) -> None:
        values = (answer.token, answer.question, answer.at.isoformat(), int(answer.right), answer.rating)
        self._connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*values, json.dumps(answer.given), answer.seconds),
        )

    def _memory(self, question: str) -> Memory | None:
        row = self._row("SELECT memory FROM memories WHERE question = ?", question)
        return None if row is None else Memory.of(json.loads(row[0]))

    def _row(self, statement: str, *values: Any) -> Any:
        return self._connection.execute(statement, values).fetchone()

    def _prepare(self) -> None:
        """Tables and the way of writing; a new file may be prepared by two processes at once."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._connection.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:  # SQLite does not wait for this lock by itself
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self._connection.execute("PRAGMA synchronous = FULL")  # an answer outlives a power cut, too
        version = self._row("PRAGMA user_version")[0]
        if version > VERSION:
            raise StorageError(
                "the progress file must be of a version that this wiggly knows",
                f"'{self.path}' is of version {version}, and {VERSION} is the newest known",
                "Update wiggly, or set WIGGLY_DATA to another folder.",
            )
        if version < VERSION:
            with self._writing():
                for statement in filter(str.strip, TABLES.split(";")):
                    self._connection.execute(statement)
                self._connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _writing(self) -> Generator[None]:
        with self._between("BEGIN IMMEDIATE"):
            yield

    @contextmanager
    def _reading(self) -> Generator[None]:
        with self._between("BEGIN"):
            yield

    @contextmanager
    def _between(self, begin: str) -> Generator[None]:
        self._connection.execute(begin)
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # a full disk has ended it already
                self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise StorageError(
                "quiz progress must be kept in a file of its own that can be written",
                f"'{self.path}': {error}",
                "Set the environment variable WIGGLY_DATA to a folder that can be written, or move the file "
                "away to begin anew.",
            ) from error


def _answers_of(exported: Any) -> list[Answer]:
    try:
        if exported["format"] != FORMAT or exported["version"] > VERSION:
            raise ValueError(f"its format is {exported['format']!r}, version {exported['version']!r}")
        return [
            Answer(
                str(each["question"]),
                bool(each["right"]),
                _rating(each["rating"]),
                each.get("given"),
                datetime.fromisoformat(each["at"]).astimezone(UTC),
                each.get("seconds"),
                str(each["token"]),
            )
            for each in exported["answers"]
        ]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ArgumentError(
            "progress must be what `wiggly quiz export` or a quiz page wrote",
            f"{type(error).__name__}: {error}",
            "Pass such a file.",
        ) from error


def _rating(value: Any) -> Rating:
    if value not in (1, 3, 4):
        raise ValueError(f"there is no rating {value!r}")
    return value
