"""The verb `quiz`: questions over the lessons and about your own run.

In: lessons, or the record of a run. Out: questions, and answers that are kept. Read next:
`../teach/quiz/terminal.py`.
"""

from __future__ import annotations

import json as json_format
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from wiggly.errors import ArgumentError, StorageError

if TYPE_CHECKING:
    from wiggly.teach.quiz.question import Question

__all__ = ["quiz"]

EXAMPLES = """Example:

    wiggly quiz                         # what is due, then ten new questions
    wiggly quiz --lesson 2 --new 5
    wiggly quiz --run report.html       # about your own model
    wiggly quiz stats
    wiggly quiz export progress.json
    wiggly quiz page quiz.html          # the same in a browser
    wiggly quiz --check questions.yaml  # for those who write questions
"""

LessonOption = Annotated[int | None, Parameter(help="Only questions of this lesson: 1, 2 or 3.")]
Yes = Annotated[bool, Parameter(negative="", show_default=False, help="Do not ask before.")]
Force = Annotated[bool, Parameter(negative="", show_default=False, help="Replace a file that is there.")]

quiz = App(
    name="quiz",
    help="Asks questions over the lessons, again just before they are forgotten, or about your own run.",
    help_epilogue=EXAMPLES,
)


@quiz.default
def ask(
    *,
    lesson: LessonOption = None,
    new: Annotated[int, Parameter(help="How many questions that were never asked, at most.")] = 10,
    run: Annotated[
        Path | None,
        Parameter(
            help="Ask about this run instead: its report.html, what `RunRecord.save` wrote, a history.csv "
            "or log.jsonl, or a folder with one of them."
        ),
    ] = None,
    check: Annotated[
        list[Path] | None,
        Parameter(
            help="Ask nothing; check files of questions instead, and return 1 if any is faulty.",
            consume_multiple=True,
        ),
    ] = None,
    seed: Annotated[int | None, Parameter(show=False)] = None,
) -> int:
    """Asks what is due, then some new questions.

    Returns:
        0; 130 after Ctrl-C, which keeps all that was answered; with --check 1 when a file is faulty.
    """
    if check:
        return _check(check)
    if new < 0:
        raise ArgumentError("`--new` must be at least 0", f"it is {new}", "Pass --new 10, say.")
    from rich.console import Console

    from wiggly.teach.quiz.session import Session
    from wiggly.teach.quiz.terminal import Asking

    console = Console(highlight=False)
    random = Random(seed)
    if run is not None:
        console.print(f"About '{run}': the answers are read from its record, and nothing is kept.")
        asking = Asking(Session(_about(run)), None, console, random=random)
        return 0 if asking.run() else 130
    return _ask_lessons(console, lesson, new, random)


def _ask_lessons(console: object, lesson: int | None, new: int, random: Random) -> int:
    from rich.console import Console

    from wiggly.teach.quiz.progress import Progress
    from wiggly.teach.quiz.reading import all_questions
    from wiggly.teach.quiz.session import count, plan
    from wiggly.teach.quiz.terminal import Asking, spoken_wait

    assert isinstance(console, Console)
    questions = all_questions(lesson)
    now = datetime.now(UTC)
    with Progress() as progress:
        memories = progress.memories()
        session = plan(questions, memories, now, new)
        if not session.waiting:
            waiting = count(questions, memories, now).next
            then = f" The next one is due {spoken_wait(waiting - now)}." if waiting else ""
            console.print(f"Nothing is due.{then} `wiggly quiz --new 10` asks new ones, where there are any.")
            return 0
        fresh = sum(each.id not in memories for each in session.waiting)
        console.print(f"{len(session.waiting) - fresh} due, {fresh} new.")
        return 0 if Asking(session, progress, console, random=random).run() else 130


def _about(run: Path) -> list[Question]:
    from wiggly.teach.quiz.about import questions_about
    from wiggly.teach.quiz.records import read_record

    found = questions_about(read_record(run))
    if not found:
        raise ArgumentError(
            "the record of a run must say enough to ask about",
            f"'{run}' supports no question",
            "Pass the report of `wiggly train`, or of `learn.report`.",
        )
    return found


def _check(files: list[Path]) -> int:
    from wiggly.teach.quiz.lint import check_files

    faults = check_files(files)
    for fault in faults:
        print(fault, file=sys.stderr, flush=True)
    names = ", ".join(str(file) for file in files)
    print(f"{names}: {len(faults)} faults" if faults else f"{names}: all is well")
    return 1 if faults else 0


@quiz.command
def stats(
    *,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print one JSON object instead of a table.")
    ] = False,
) -> int:
    """Says how far you are: what was asked, what is due, what you would know now."""
    from rich.console import Console

    from wiggly.teach.quiz.progress import Progress
    from wiggly.teach.quiz.reading import all_questions, lessons
    from wiggly.teach.quiz.terminal import counts_of, stats_table

    with Progress() as progress:
        memories, answers, place = progress.memories(), progress.answers(), progress.path
    groups = {f"{each.number} {each.title}": all_questions(each.number) for each in lessons().values()}
    counts = counts_of({**groups, "all": all_questions()}, memories)
    right = sum(answer.right for answer in answers)
    if json:
        lines = {name: vars(each) | {"next": each.next and each.next.isoformat()} for name, each in counts}
        told = {"lessons": lines, "answers": len(answers), "right": right, "file": str(place)}
        print(json_format.dumps(told, indent=2))
        return 0
    console = Console(highlight=False)
    console.print(stats_table(counts))
    share = f", {100 * right / len(answers):.0f} % of them right" if answers else ""
    console.print(f"\n{len(answers)} answers{share}; kept in {place}", style="dim")
    return 0


@quiz.command
def export(
    file: Annotated[Path, Parameter(help="Where to; - prints it.", allow_leading_hyphen=True)],
    /,
    *,
    force: Force = False,
) -> int:
    """Writes your answers and what is due as JSON."""
    from wiggly.teach.quiz.progress import Progress

    with Progress() as progress:
        told = progress.export()
    text = json_format.dumps(told, indent=1) + "\n"
    if str(file) == "-":
        print(text, end="")
        return 0
    _write(file, text, force)
    print(f"{file}: {len(told['answers'])} answers")
    return 0


@quiz.command(name="import")
def take(file: Annotated[Path, Parameter(help="What `wiggly quiz export` or a quiz page wrote.")], /) -> int:
    """Adds answers of another computer or of a quiz page to yours; those that are there stay once."""
    from wiggly.teach.quiz.progress import Progress
    from wiggly.teach.quiz.reading import read_path

    try:
        told = json_format.loads(read_path(file))
    except ValueError as error:
        raise ArgumentError("progress must be JSON", f"'{file}': {error}", "Pass an exported file.") from None
    with Progress() as progress:
        n = progress.take(told)
    print(f"{n} answers were new")
    return 0


@quiz.command
def reset(*, lesson: LessonOption = None, yes: Yes = False) -> int:
    """Forgets your answers, all or those of one lesson."""
    from wiggly.teach.quiz.progress import Progress
    from wiggly.teach.quiz.reading import all_questions

    with Progress() as progress:
        what = "all answers" if lesson is None else f"the answers of lesson {lesson}"
        ids = None if lesson is None else [question.id for question in all_questions(lesson)]
        if not yes and not _agreed(f"Forget {what}? `wiggly quiz export` keeps a copy. [y/N] "):
            print("Nothing was changed.")
            return 0
        print(f"{progress.reset(ids)} answers were forgotten")
    return 0


def _agreed(question: str) -> bool:
    try:
        return input(question).strip().casefold() in ("y", "yes")
    except EOFError:
        print()
        return False


@quiz.command
def page(
    file: Annotated[Path, Parameter(help="The page to write, .html.")],
    /,
    *,
    lesson: LessonOption = None,
    run: Annotated[Path | None, Parameter(help="Questions about this run instead.")] = None,
    force: Force = False,
) -> int:
    """Writes the quiz as a page that any browser opens; its progress stays in that browser."""
    from wiggly.teach.quiz.show import Quiz

    made = Quiz(lesson=lesson) if run is None else Quiz(_about(run))
    _write(file, made.page(), force)
    print(f"{file}: {len(made.questions)} questions")
    return 0


def _write(file: Path, text: str, force: bool) -> None:
    if file.exists() and not force:
        raise StorageError(
            "the file to write must be new", f"'{file}' is there", "Pass --force to replace it."
        )
    aside = file.with_name(f"{file.name}.part")  # whole or not at all
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, "utf-8")
        os.replace(aside, file)
    except OSError as error:
        raise StorageError(
            "the file must be in a place that can be written to",
            f"'{file}': {error.strerror}",
            "Pass another.",
        ) from error
