"""The linter of question files: what makes a question wrong, unfair or easy to see through.

In: files. Out: faults; none where all is well. Read next: `session.py`, which asks the questions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from math import sqrt
from pathlib import Path

from wiggly.teach.quiz.question import Question, same_text
from wiggly.teach.quiz.reading import Fault, read_file, read_path

__all__ = ["check_files", "check_texts"]

ALIKE = 0.9  # share of common letters from which two questions are one
LONGER, LONGER_BY = 1.5, 20  # times, and characters, by which a right choice may not exceed all others
FEWEST = 12  # questions of one kind before their positions and lengths say anything
LUCK = 2.58  # standard deviations: one file in a hundred is further off by luck alone
MOST_EXTREME = 0.5  # share of questions whose right choice may be the longest, or the shortest
# Choices are shuffled: what speaks of places, or of the other choices, then says something else.
PLACES = re.compile(
    r"\b(all|none|both|neither) of (the|these)( \w+)? (above|below|others)\b"
    r"|\b(the )?(first|second|third|fourth|last) (choice|answer|option)\b|\banswer [a-f]\b",
    re.IGNORECASE,
)


def check_files(paths: Sequence[str | Path]) -> list[Fault]:
    """What is wrong with files of questions.

    Args:
        paths: The files; questions must differ over all of them.

    Raises:
        ArgumentError: One cannot be read.
    """
    return check_texts({str(path): read_path(Path(path)) for path in paths})


def check_texts(files: dict[str, str]) -> list[Fault]:
    """As `check_files`, of texts by the names of their files.

    Example:
        >>> print(check_texts({"mine.yaml": "lesson: 9"})[0])
        mine.yaml: it must have two keys, `lesson` and `questions`, and no others
    """
    faults: list[Fault] = []
    kept: list[tuple[str, Question]] = []
    for name, text in files.items():
        questions, wrong = read_file(name, text)
        faults += wrong
        for question in questions:
            faults += [Fault(name, _line(text, question), question.id, each) for each in _single(question)]
        faults += [Fault(name, 0, "", each) for each in _whole(questions)]
        kept += [(name, question) for question in questions]
    for (name, question), said in _duplicates(kept):
        faults.append(Fault(name, _line(files[name], question), question.id, said))
    return faults


def _line(text: str, question: Question) -> int:
    lines = text.splitlines()
    wanted = re.compile(rf"\s*-?\s*id:\s*['\"]?{re.escape(question.id)}['\"]?\s*$")
    return next((i for i, line in enumerate(lines, 1) if wanted.match(line)), 0)


def _single(question: Question) -> Iterator[str]:
    """Faults that one question shows by itself."""
    for text in (question.question, question.why, *question.shown):
        found = PLACES.search(text)
        if found:
            yield f"{found.group()!r} speaks of places, but choices are shuffled"
    if same_text(question.why) in {same_text(each) for each in question.solution.split("\n")}:
        yield "`why` only repeats the answer"
    if question.kind != "choice":
        return
    right = len(question.choices[question.right[0]])
    longest = max(len(text) for i, text in enumerate(question.choices) if i not in question.right)
    if right > LONGER * longest and right > longest + LONGER_BY:
        yield f"the right choice, {right} characters, is far longer than any other ({longest}): it shows"


def _whole(questions: Iterable[Question]) -> Iterator[str]:
    """Faults that only all questions of a file show together."""
    chosen = [question for question in questions if question.kind == "choice"]
    if len(chosen) < FEWEST:
        return
    for position in range(max(len(question.choices) for question in chosen)):
        chances = [1 / len(q.choices) for q in chosen if position < len(q.choices)]
        found = sum(q.right[0] == position for q in chosen)
        spread = sqrt(sum(p * (1 - p) for p in chances))
        if found > sum(chances) + LUCK * spread:
            yield (
                f"the right choice stands at place {position + 1} in {found} of {len(chosen)} questions, "
                f"{sum(chances):.0f} are to be expected: move some"
            )
    for name, pick in (("longest", max), ("shortest", min)):
        found = sum(_alone(q, pick([len(text) for text in q.choices])) for q in chosen)
        if found > MOST_EXTREME * len(chosen):
            yield f"the right choice is the {name} one in {found} of {len(chosen)} questions: it shows"


def _alone(question: Question, length: int) -> bool:
    lengths = [len(text) for text in question.choices]
    return lengths[question.right[0]] == length and lengths.count(length) == 1


def _duplicates(kept: Sequence[tuple[str, Question]]) -> Iterator[tuple[tuple[str, Question], str]]:
    for i, (name, question) in enumerate(kept):
        for before, other in kept[:i]:
            if question.id == other.id:
                yield (name, question), f"the id is there already, in {before}"
            elif _alike(question, other):
                yield (name, question), f"it asks nearly the same as {other.id} in {before}"


def _alike(one: Question, other: Question) -> bool:
    texts = [same_text(f"{each.question} {each.code}") for each in (one, other)]
    matcher = SequenceMatcher(None, *texts, autojunk=False)
    return matcher.real_quick_ratio() > ALIKE and matcher.quick_ratio() > ALIKE and matcher.ratio() > ALIKE
