"""What each kind of question has in a file, and what must hold of it.

In: an entry of a file. Out: the fields of a `Question`, or what is wrong. Read next: `lint.py`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from wiggly.teach.quiz.question import same_text

__all__ = ["LINE", "PARTS", "Part", "Rough"]

LINE = "line "  # the key, one no YAML of ours has, under which the reader keeps where a mapping begins

FEWEST_CHOICES, MOST_CHOICES = 3, 6
FEWEST_ITEMS, MOST_ITEMS = 3, 7


@dataclass(frozen=True)
class Rough:
    """What was read of a question: its fields, and what is wrong."""

    values: dict[str, Any]
    wrong: list[str] = field(default_factory=lambda: list[str]())


@dataclass(frozen=True)
class Part:
    """The keys of a kind, and what reads them."""

    keys: tuple[str, ...]
    read: Callable[[Mapping[str, Any]], Rough]


def _choice(entry: Mapping[str, Any]) -> Rough:
    made = _choices(entry)
    n = len(made.values["right"])
    if not made.wrong and n != 1:
        made.wrong.append(f"a question of kind choice has one right choice; {n} are marked `right:`")
    return made


def _several(entry: Mapping[str, Any]) -> Rough:
    made = _choices(entry)
    n = len(made.values["right"])
    if not made.wrong and not 2 <= n < len(made.values["choices"]):
        made.wrong.append(f"a question of kind several has two right choices and a wrong one; {n} are right")
    return made


def _choices(entry: Mapping[str, Any]) -> Rough:
    raw = entry.get("choices")
    texts: list[str] = []
    right: list[int] = []
    wrong: list[str] = []
    listed = cast("list[Any]", raw) if isinstance(raw, list) else []
    if not FEWEST_CHOICES <= len(listed) <= MOST_CHOICES:
        wrong.append(f"`choices` must be a list of {FEWEST_CHOICES} to {MOST_CHOICES}; it has {len(listed)}")
    for position, each in enumerate(listed):
        text = each
        if isinstance(each, Mapping) and "right" in each:
            text = cast("Any", each)["right"]
            right.append(position)
            if len(each) > 1 + (LINE in each):
                wrong.append(f"choice {position + 1} must have no key but `right`; put quotes around commas")
        if isinstance(text, str) and text.strip():
            texts.append(text)
        else:
            wrong.append(f"choice {position + 1} must be a text, or `right: text`; put quotes around numbers")
    wrong += _repeated(texts)
    return Rough({"choices": tuple(texts), "right": tuple(right)}, wrong)


def _repeated(texts: list[str]) -> list[str]:
    plain = [same_text(text) for text in texts]
    return [f"{texts[i]!r} is there twice" for i, each in enumerate(plain) if each in plain[:i]]


def _number(entry: Mapping[str, Any]) -> Rough:
    answer, tolerance, unit = entry.get("answer"), entry.get("tolerance", 0), entry.get("unit", "")
    wrong: list[str] = []
    if not _is_number(answer):
        return Rough({}, [f"`answer` must be a number (1.0e-3, not 1e-3); it is {answer!r}"])
    if not _is_number(tolerance) or tolerance < 0:
        return Rough({}, [f"`tolerance` must be a number from 0; it is {tolerance!r}"])
    assert answer is not None
    if tolerance == 0 and answer != int(answer):
        wrong.append("a number with a fraction needs a `tolerance`, for those who round")
    if answer and tolerance > abs(answer) / 2:
        wrong.append(f"`tolerance` {tolerance} is so wide that nearly anything is right")
    if not isinstance(unit, str):
        wrong.append("`unit` must be a text")
    return Rough({"answer": float(answer), "tolerance": float(tolerance), "unit": unit}, wrong)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _text(entry: Mapping[str, Any]) -> Rough:
    raw = entry.get("answer")
    listed = cast("list[Any]", raw) if isinstance(raw, list) else [raw]
    if not all(isinstance(each, str) and same_text(each) for each in listed) or not listed:
        return Rough({}, ["`answer` must be a text, or a list of all wordings that are right"])
    return Rough({"accept": tuple(listed)})


def _order(entry: Mapping[str, Any]) -> Rough:
    raw = entry.get("answer")
    listed = cast("list[Any]", raw) if isinstance(raw, list) else []
    wrong: list[str] = []
    if not FEWEST_ITEMS <= len(listed) <= MOST_ITEMS or not all(isinstance(each, str) for each in listed):
        wrong.append(f"`answer` must list {FEWEST_ITEMS} to {MOST_ITEMS} texts in the right order")
    else:
        wrong += _repeated(listed)
    return Rough({"items": tuple(listed)}, wrong)


PARTS: dict[str, Part] = {
    "choice": Part(("choices",), _choice),
    "several": Part(("choices",), _several),
    "number": Part(("answer", "tolerance", "unit"), _number),
    "text": Part(("answer",), _text),
    "order": Part(("answer",), _order),
}
