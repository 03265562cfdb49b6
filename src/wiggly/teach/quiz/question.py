"""One question, and whether an answer to it is right.

In: what was typed or chosen. Out: right or wrong. The page decides by the same rules
(`web/widgets/src/core/quiz.ts`). Read next: `reading.py`, which makes questions of files.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from wiggly.errors import ArgumentError

__all__ = ["KINDS", "Given", "Kind", "Question", "number_of", "same_text", "spoken_number"]

Kind = Literal["choice", "several", "number", "text", "order"]
KINDS: tuple[Kind, ...] = ("choice", "several", "number", "text", "order")

#: What was answered: positions among `choices` or `items`, or what was typed.
Given = Sequence[int] | str

THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?")
PLAIN = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?")
ROUNDING = 1e-9  # relative: 0.1 + 0.2 is not the edge of a tolerance


@dataclass(frozen=True)
class Question:
    """A question with its answer and the reason for it.

    Attributes:
        id: Its name in the progress file: it stays when the wording is mended.
        kind: "choice" (one is right), "several" (all that are right), "number", "text", "order".
        question: The text; `code` between backquotes.
        why: Why the answer is what it is.
        lesson: Number of its lesson; 0 for a question about a run.
        anchor: Section of the lesson that explains it.
        difficulty: 1 recalled from the lesson, 2 understood, 3 worked out.
        choices: Of "choice" and "several".
        right: Positions of the right ones among them.
        items: Of "order", in the right order.
        answer: Of "number".
        tolerance: How far from it is still right.
        unit: Of the number, e.g. "%".
        accept: Of "text", every wording that is right.
        code: Lines of code that the question is about.
    """

    id: str
    kind: Kind
    question: str
    why: str
    lesson: int
    anchor: str
    difficulty: int = 1
    choices: tuple[str, ...] = ()
    right: tuple[int, ...] = ()
    items: tuple[str, ...] = ()
    answer: float = math.nan
    tolerance: float = 0.0
    unit: str = ""
    accept: tuple[str, ...] = ()
    code: str = ""

    @property
    def shown(self) -> tuple[str, ...]:
        """What is shown to choose from or to put in order."""
        return self.items if self.kind == "order" else self.choices

    def judge(self, given: Given) -> bool:
        """Whether an answer is right.

        Args:
            given: Positions among `choices` (one, or all that are right), positions among `items` in the
                order they were put, or what was typed.

        Raises:
            ArgumentError: It is no answer to this kind of question.

        Example:
            >>> half = Question("half", "number", "1/2?", "Half.", 3, "loss", answer=0.5, tolerance=0.01)
            >>> half.judge("0,5"), half.judge("50 %"), half.judge("2")
            (True, True, False)
        """
        if isinstance(given, str):
            if self.kind == "text":
                return any(same_text(given) == same_text(each) for each in self.accept)
            if self.kind == "number":
                return self._near(number_of(given, self.unit))
        elif self.kind in ("choice", "several"):
            return sorted(set(given)) == sorted(self.right)
        elif self.kind == "order":
            return list(given) == list(range(len(self.items)))
        raise ArgumentError(
            "an answer must fit the kind of its question",
            f"`{self.id}` is of kind {self.kind!r}, and {given!r} was given",
            "Pass a text for numbers and texts, a list of positions for the others.",
        )

    def _near(self, value: float | None) -> bool:
        if value is None:
            return False
        return abs(value - self.answer) <= self.tolerance + ROUNDING * abs(self.answer)

    @property
    def solution(self) -> str:
        """The right answer in words; several on lines of their own."""
        if self.kind == "number":
            return " ".join(filter(None, [spoken_number(self.answer), self.unit]))
        if self.kind == "text":
            return self.accept[0]
        if self.kind == "order":
            return "\n".join(f"{place}. {item}" for place, item in enumerate(self.items, 1))
        return "\n".join(self.choices[position] for position in self.right)

    def plain(self) -> dict[str, Any]:
        """The question as JSON, for the page."""
        made: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("id", "kind", "question", "why", "lesson", "anchor", "difficulty", "code")
        }
        if self.kind == "number":
            made |= {"answer": self.answer, "tolerance": self.tolerance, "unit": self.unit}
        return made | {
            name: list(getattr(self, name))
            for name in ("choices", "right", "items", "accept")
            if getattr(self, name)
        }


def number_of(text: str, unit: str = "") -> float | None:
    """The number somebody typed: 0.5, 0,5, 1/2, 50 %, 1e-3, 1,000; None where it is none.

    Args:
        text: What was typed.
        unit: What is asked for; "%" takes percent as they are, any other turns them into a share.

    Example:
        >>> number_of("1/4"), number_of("25 %"), number_of("25 %", "%"), number_of("60,000"), number_of("?")
        (0.25, 0.25, 25.0, 60000.0, None)
    """
    plain = re.sub(r"[\s_]", "", unicodedata.normalize("NFKC", text).casefold())
    plain = plain.replace("\u2212", "-").replace("\u2044", "/")  # minus and the slash of ½
    percent = plain.endswith("%")
    own = re.sub(r"\s", "", unit.casefold())
    plain = plain.removesuffix("%") if percent else plain.removesuffix(own)
    parts = plain.split("/")
    values = [_one_number(part) for part in parts]
    if len(parts) > 2 or any(value is None for value in values):
        return None
    first, *rest = [value for value in values if value is not None]
    if rest and rest[0] == 0:
        return None
    value = first / rest[0] if rest else first
    return value / 100 if percent and own != "%" else value


def _one_number(text: str) -> float | None:
    if THOUSANDS.fullmatch(text):
        text = text.replace(",", "")
    text = text.replace(",", ".")
    return float(text) if PLAIN.fullmatch(text) else None


def same_text(text: str) -> str:
    """What two wordings of the same answer have in common: no case, marks, articles or brackets.

    Example:
        >>> same_text("`Fine_Tune()`"), same_text("the  validation set.")
        ('fine tune', 'validation set')
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    plain = re.sub(r"[`'\"\u2018\u2019\u201c\u201d]", "", plain).replace("()", "")
    plain = re.sub(r"[\s_\-\u2010-\u2015]+", " ", plain).strip(" .!?,;:")
    return re.sub(r"^(a|an|the) ", "", plain)


def spoken_number(value: float) -> str:
    """A number as one reads it: six digits that count, no tail of zeros.

    Example:
        >>> spoken_number(60000.0), spoken_number(0.6931471), spoken_number(0.002)
        ('60000', '0.693147', '0.002')
    """
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else f"{value:.6g}"
