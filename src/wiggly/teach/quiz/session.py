"""What is asked now: what is due, then some that are new; what was wrong comes once more at the end.

In: questions, what is remembered of them, a moment. Out: the questions of a session, and how it went. Read
next: `terminal.py`, which asks them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random

from wiggly.teach.quiz.question import Question
from wiggly.teach.quiz.scheduling import Memory, recall

__all__ = ["Count", "Session", "count", "order_of", "plan"]

NEW = 10  # questions nobody has asked yet in one session
DUE = 50  # at most, so that a session after a long holiday ends, too


@dataclass
class Session:
    """Questions that are being asked.

    Attributes:
        waiting: Those still to come.
        asked: Those that were answered, and whether rightly, the first time.
        again: Ids of those that come once more because they were wrong.
    """

    waiting: list[Question]
    asked: list[tuple[Question, bool]] = field(default_factory=lambda: list[tuple[Question, bool]]())
    again: set[str] = field(default_factory=lambda: set[str]())

    @property
    def right(self) -> int:
        """How many were right the first time."""
        return sum(right for _, right in self.asked)

    def answered(self, question: Question, right: bool) -> None:
        """Takes the first question away; a wrong one comes back once, at the end."""
        self.waiting.pop(0)
        if question.id in self.again:
            return
        self.asked.append((question, right))
        if not right:
            self.again.add(question.id)
            self.waiting.append(question)

    def skip(self) -> None:
        """Takes the first question away, unanswered."""
        self.waiting.pop(0)


def plan(
    questions: Sequence[Question],
    memories: Mapping[str, Memory],
    now: datetime,
    new: int = NEW,
) -> Session:
    """The questions of a session.

    Args:
        questions: To choose from; new ones are taken in this order.
        memories: What is remembered of them.
        now: In UTC.
        new: How many new ones at most.

    Returns:
        The session: what is due first, the most nearly forgotten at its head.
    """
    due = [each for each in questions if each.id in memories and memories[each.id].due <= now]
    due.sort(key=lambda each: recall(memories[each.id], now))
    fresh = [each for each in questions if each.id not in memories][: max(new, 0)]
    return Session(due[:DUE] + fresh)


def order_of(question: Question, random: Random) -> list[int]:
    """Positions of what is shown, shuffled; items to be ordered never come in the right order.

    Example:
        >>> sorted(order_of(Question("a-b", "choice", "?", "", 1, "", choices=("x", "y", "z")), Random(0)))
        [0, 1, 2]
    """
    positions = list(range(len(question.shown)))
    random.shuffle(positions)
    while question.kind == "order" and positions == sorted(positions):
        random.shuffle(positions)
    return positions


@dataclass(frozen=True)
class Count:
    """How far somebody is with some questions.

    Attributes:
        questions: How many there are.
        seen: How many of them were answered at least once.
        due: How many are to be asked now.
        known: How many of them would be known now, to be expected.
        next: When the next one is due; None where nothing waits.
    """

    questions: int
    seen: int
    due: int
    known: float
    next: datetime | None


def count(questions: Sequence[Question], memories: Mapping[str, Memory], now: datetime) -> Count:
    """How far somebody is with some questions at a moment."""
    seen = [memories[each.id] for each in questions if each.id in memories]
    later = [each.due for each in seen if each.due > now]
    return Count(
        len(questions),
        len(seen),
        len(seen) - len(later),
        sum(recall(each, now) for each in seen),
        min(later, default=None),
    )
