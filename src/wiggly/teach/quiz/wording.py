"""Small parts of questions that are made, not read.

In: numbers and texts. Out: a `Question` of a run, and numbers in words. Read next: `about.py`.
"""

from __future__ import annotations

from collections.abc import Sequence

from wiggly.teach.quiz.question import Question

__all__ = ["chosen", "nth", "rate", "typed"]

RUN = "run"  # anchor of questions about a run


def chosen(
    id: str, question: str, right: str, wrong: Sequence[str], why: str, difficulty: int = 1
) -> Question:
    """A question with one right choice; choices are shuffled when it is asked."""
    choices = (right, *dict.fromkeys(each for each in wrong if each != right))
    return Question(id, "choice", question, why, 0, RUN, difficulty, choices=choices, right=(0,))


def typed(
    id: str,
    question: str,
    answer: float,
    why: str,
    tolerance: float = 0.0,
    unit: str = "",
    difficulty: int = 1,
) -> Question:
    """A question for a number."""
    return Question(
        id, "number", question, why, 0, RUN, difficulty, answer=float(answer), tolerance=tolerance, unit=unit
    )


def rate(value: float) -> str:
    """A learning rate as people write it.

    Example:
        >>> rate(0.002), rate(0.1), rate(3.6e-6)
        ('0.002', '0.1', '3.6e-06')
    """
    return f"{value:.2g}"


def nth(n: int) -> str:
    """A place in words.

    Example:
        >>> nth(1), nth(12), nth(23)
        ('1st', '12th', '23rd')
    """
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"
