"""From YAML files to questions, with every fault named by its line.

In: a file of questions, and `lessons.yaml`, which says what lessons and sections there are. Out: `Question`s,
and `Fault`s. Read next: `lint.py`, which looks for the faults that only a whole file shows.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from wiggly.errors import ArgumentError, DataError, DependencyError
from wiggly.teach.quiz.parts import LINE, PARTS, Rough
from wiggly.teach.quiz.question import KINDS, Question

__all__ = ["Fault", "Lesson", "all_questions", "lessons", "one_lesson", "read_file"]

ALWAYS = ("id", "kind", "question", "why", "anchor", "difficulty", "code")
ID = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
DIFFICULTIES = (1, 2, 3)
SHORTEST_WHY = 40  # characters: below, it repeats the answer and gives no reason


@dataclass(frozen=True)
class Lesson:
    """A lesson that questions belong to.

    Attributes:
        number: From 1.
        title: For people.
        anchors: Section to its heading.
    """

    number: int
    title: str
    anchors: Mapping[str, str]


@dataclass(frozen=True)
class Fault:
    """Something wrong with a file of questions.

    Attributes:
        file: The file's name.
        line: Where, from 1; 0 for the whole file.
        about: The question's id, or "".
        text: What is wrong, and what mends it.
    """

    file: str
    line: int
    about: str
    text: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {f'{self.about}: ' if self.about else ''}{self.text}"


@cache
def lessons() -> dict[int, Lesson]:
    """The lessons by number, as `questions/lessons.yaml` has them.

    Example:
        >>> lessons()[2].title
        'Train, clean, ship the app'
    """
    raw = _yaml(_folder().joinpath("lessons.yaml").read_text("utf-8"))
    return {
        number: Lesson(number, each["title"], {k: v for k, v in each["anchors"].items() if k != LINE})
        for number, each in raw.items()
        if number != LINE
    }


def one_lesson(number: int) -> Lesson:
    """A lesson by its number.

    Raises:
        ArgumentError: There is no such lesson.
    """
    if number not in lessons():
        raise ArgumentError(
            "`lesson` must be the number of a lesson", f"it is {number}", f"There are {sorted(lessons())}."
        )
    return lessons()[number]


@cache
def all_questions(lesson: int | None = None) -> tuple[Question, ...]:
    """Every question that comes with wiggly, in the order of the lessons.

    Args:
        lesson: Only those of this one.

    Raises:
        ArgumentError: There is no such lesson.

    Example:
        >>> len(all_questions()) >= 120
        True
    """
    wanted = sorted(lessons()) if lesson is None else [one_lesson(lesson).number]
    found: list[Question] = []
    for number in wanted:
        file = _folder().joinpath(f"lesson{number}.yaml")
        questions, faults = read_file(str(file.name), file.read_text("utf-8"))
        if faults:
            raise DataError(
                "every question must be readable", str(faults[0]), "Run `wiggly quiz --check` on it."
            )
        found += questions
    return tuple(found)


def read_file(name: str, text: str) -> tuple[list[Question], list[Fault]]:
    """The questions of a file, and what is wrong with the others.

    Args:
        name: What faults call the file.
        text: What is in it.
    """
    try:
        raw = _yaml(text)
    except DependencyError:
        raise
    except Exception as error:  # every class of the YAML reader, and our own complaint about keys
        mark = getattr(error, "problem_mark", None)
        said = " ".join(str(getattr(error, "problem", None) or error).split())
        return [], [Fault(name, mark.line + 1 if mark else 0, "", f"it is no YAML: {said}")]
    fault = _wrong_frame(raw)
    if fault:
        return [], [Fault(name, 0, "", fault)]
    questions: list[Question] = []
    faults: list[Fault] = []
    for entry in raw["questions"]:
        about = str(entry.get("id", "")) if isinstance(entry, Mapping) else ""
        line = entry.get(LINE, 0) if isinstance(entry, Mapping) else 0
        question, wrong = _question(entry, raw["lesson"])
        faults += [Fault(name, line, about, each) for each in wrong]
        questions += [] if question is None else [question]
    return questions, faults


def _wrong_frame(raw: Any) -> str | None:
    if not isinstance(raw, dict) or set(cast("dict[str, Any]", raw)) - {LINE} != {"lesson", "questions"}:
        return "it must have two keys, `lesson` and `questions`, and no others"
    if cast("Any", raw)["lesson"] not in lessons():
        return f"there is no lesson {cast('Any', raw)['lesson']!r}; there are {sorted(lessons())}"
    if not isinstance(cast("Any", raw)["questions"], list) or not cast("Any", raw)["questions"]:
        return "`questions` must be a list with one question at least"
    return None


def _question(raw: Any, lesson: int) -> tuple[Question | None, list[str]]:
    """A question, or None and what is wrong with it."""
    if not isinstance(raw, Mapping):
        return None, ["each question must be a mapping with `id`, `kind`, `question`, ..."]
    entry = {key: value for key, value in cast("Mapping[str, Any]", raw).items() if key != LINE}
    wrong = list(_wrong_basics(entry, lesson))
    if entry.get("kind") not in KINDS:
        return None, [*wrong, f"`kind` must be one of {', '.join(KINDS)}; it is {entry.get('kind')!r}"]
    part = PARTS[entry["kind"]]
    unknown = sorted(set(entry) - {*ALWAYS, *part.keys})
    if unknown:
        wrong.append(f"{', '.join(f'`{key}`' for key in unknown)}: no key of a question of this kind")
    made: Rough = part.read(entry)
    wrong += made.wrong
    if wrong:
        return None, wrong
    values: dict[str, Any] = {key: entry[key] for key in ALWAYS if key in entry} | made.values
    return Question(lesson=lesson, **values), []


def _wrong_basics(entry: Mapping[str, Any], lesson: int) -> Iterable[str]:
    for key in ("id", "question", "why", "anchor"):
        if not isinstance(entry.get(key), str) or not entry[key].strip():
            yield f"`{key}` is missing" if key not in entry else f"`{key}` must be a text"
    if isinstance(entry.get("id"), str) and not ID.fullmatch(entry["id"]):
        yield "`id` must be words in small letters with hyphens between them"
    why = entry.get("why")
    if isinstance(why, str) and 0 < len(why.strip()) < SHORTEST_WHY:
        yield f"`why` must give the reason, in {SHORTEST_WHY} characters at least"
    anchor, known = entry.get("anchor"), lessons()[lesson].anchors
    if isinstance(anchor, str) and anchor.strip() and anchor not in known:
        yield f"`anchor` {anchor!r} is no section of lesson {lesson}; they are {', '.join(known)}"
    if entry.get("difficulty") not in DIFFICULTIES or isinstance(entry.get("difficulty"), bool):
        yield f"`difficulty` must be 1, 2 or 3; it is {entry.get('difficulty')!r}"
    if not isinstance(entry.get("code", ""), str):
        yield "`code` must be a text"


def _folder() -> Any:
    return resources.files("wiggly.teach") / "questions"


def _yaml(text: str) -> Any:
    """Plain YAML; a key that stands twice is an error, and mappings remember their line."""
    try:
        import yaml
    except ImportError as error:
        raise DependencyError(
            "questions are kept in YAML, which needs the package pyyaml",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[lessons]"`',
        ) from error

    class Reader(yaml.SafeLoader):
        """Safe YAML."""

    def mapping(loader: Any, node: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {LINE: node.start_mark.line + 1}
        for key_node, value_node in node.value:
            key = loader.construct_object(key_node, deep=True)
            if key in made:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key!r} stands twice", problem_mark=key_node.start_mark
                )
            made[key] = loader.construct_object(value_node, deep=True)
        return made

    Reader.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, mapping)
    return yaml.load(text, Reader)  # a SafeLoader: it makes plain values only


def read_path(path: Path) -> str:
    """The text of a file of questions.

    Raises:
        ArgumentError: It cannot be read.
    """
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        said = error.strerror if isinstance(error, OSError) else "it is no text in UTF-8"
        raise ArgumentError(
            "a file of questions must be readable", f"'{path}': {said}", "Pass a .yaml file."
        ) from error
