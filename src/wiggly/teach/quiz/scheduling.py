"""When a question is asked again: FSRS, from how often it was known and how long ago.

In: what is remembered of a question, and how the last answer went. Out: the same after it. The package `fsrs`
computes it (FSRS-6, J. Ye and others, github.com/open-spaced-repetition); the page computes the same
(`web/widgets/src/core/fsrs.ts`). Read next: `progress.py`, which keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from wiggly.errors import DependencyError

if TYPE_CHECKING:
    from fsrs import Card, Scheduler

__all__ = ["EASY", "GOOD", "WRONG", "Memory", "Rating", "after", "recall"]

#: FSRS knows four; "hard", 2, is not used, because nobody is asked how hard it was.
Rating = Literal[1, 3, 4]
WRONG: Rating = 1
GOOD: Rating = 3
EASY: Rating = 4


@dataclass(frozen=True)
class Memory:
    """What is remembered of one question, in FSRS's terms.

    Attributes:
        state: 1 learning, 2 known, 3 forgotten and learning again.
        step: Of learning; None when known.
        stability: Days until it is recalled nine times of ten.
        difficulty: From 1 to 10.
        due: When it is to be asked again.
        last: When it was asked last.
    """

    state: int
    step: int | None
    stability: float
    difficulty: float
    due: datetime
    last: datetime

    def plain(self) -> dict[str, Any]:
        """As JSON; times in ISO 8601, UTC."""
        return asdict(self) | {"due": self.due.isoformat(), "last": self.last.isoformat()}

    @classmethod
    def of(cls, raw: Mapping[str, Any]) -> Memory:
        """From what `plain` gave."""
        times = {key: datetime.fromisoformat(raw[key]) for key in ("due", "last")}
        return cls(raw["state"], raw["step"], raw["stability"], raw["difficulty"], **times)


def after(memory: Memory | None, rating: Rating, at: datetime) -> Memory:
    """What is remembered after an answer.

    Args:
        memory: Before it; None for a question never asked.
        rating: `WRONG`, `GOOD` or `EASY`.
        at: When it was answered, in UTC.

    Raises:
        DependencyError: The package `fsrs` is not installed.

    Example:
        >>> from datetime import timezone
        >>> now = datetime(2030, 1, 1, tzinfo=timezone.utc)
        >>> once = after(None, GOOD, now)
        >>> (once.due - now).seconds, (after(once, GOOD, once.due).due - once.due).days
        (600, 2)
    """
    from fsrs import Rating as Rated

    card, _ = _scheduler().review_card(_card(memory, at), Rated(rating), at)
    assert card.stability is not None
    assert card.difficulty is not None
    return Memory(card.state.value, card.step, card.stability, card.difficulty, card.due, at)


def recall(memory: Memory, now: datetime) -> float:
    """The chance that it would be known now, in [0, 1]."""
    return float(_scheduler().get_card_retrievability(_card(memory, now), now))


def _card(memory: Memory | None, at: datetime) -> Card:
    from fsrs import Card, State

    if memory is None:
        return Card(card_id=0, due=at)  # an id of its own would cost a millisecond, and is not used
    return Card(
        0, State(memory.state), memory.step, memory.stability, memory.difficulty, memory.due, memory.last
    )


def _scheduler() -> Scheduler:
    try:
        from fsrs import Scheduler
    except ImportError as error:
        raise DependencyError(
            "quizzes are scheduled by the package fsrs",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[lessons]"`',
        ) from error
    return Scheduler(enable_fuzzing=False)  # no luck in it: the same answers give the same dates everywhere
