"""A quiz in the terminal: a question, an answer, the reason, the next one; a summary at the end.

In: a session, and where to keep answers. Out: text. An answer is kept the moment it is given, so Ctrl-C, a
closed window or a kill loses none. Read next: `../../cli/quiz.py`, the command.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding
from rich.panel import Panel
from rich.rule import Rule
from rich.table import Table

from wiggly.teach.quiz.progress import Answer, Progress
from wiggly.teach.quiz.question import Given, Question
from wiggly.teach.quiz.reading import Lesson, lessons
from wiggly.teach.quiz.scheduling import EASY, GOOD, WRONG, Memory
from wiggly.teach.quiz.session import Count, Session, count, order_of

__all__ = ["Asking", "spoken_wait", "stats_table"]

WIDTH = 88  # characters: longer lines are hard to read
LETTERS = "abcdefg"
QUIT, SKIP, HELP, GUESSED, KNOWN = "q", "s", "?", "g", "e"
QUESTIONS_OF_A_RUN = "Your own run"


class Asking:
    """Asks the questions of a session.

    Args:
        session: What is asked.
        progress: Where answers are kept; None keeps nothing, for questions about a run.
        console: Where to write.
        read: Reads a line after a prompt; `EOFError` or Ctrl-C end the session.
        random: Shuffles choices.

    Example:
        >>> from wiggly.teach.quiz.reading import all_questions
        >>> typed = iter(["get_image_files", ""])
        >>> import io
        >>> one = [question for question in all_questions(1) if question.id == "list-pictures"]
        >>> asking = Asking(Session(one), None, Console(file=io.StringIO()), lambda prompt: next(typed))
        >>> asking.run()
        True
        >>> asking.session.right
        1
    """

    def __init__(
        self,
        session: Session,
        progress: Progress | None,
        console: Console,
        read: Callable[[str], str] | None = None,
        random: Random | None = None,
    ) -> None:
        self.session, self.progress, self.console = session, progress, console
        self.read = read or console.input
        self.random = random or Random()
        self.total, self.done = len(session.waiting), 0

    def run(self) -> bool:
        """Asks until nothing waits or somebody stops; says how it went.

        Returns:
            Whether all were asked; False after Ctrl-C.
        """
        finished = True
        try:
            while self.session.waiting and self._ask(self.session.waiting[0]):
                pass
        except (KeyboardInterrupt, EOFError) as error:
            finished = isinstance(error, EOFError)
            self.console.print()
        self._sum_up()
        return finished

    def _ask(self, question: Question) -> bool:
        """Asks one question; False when the person wants to stop."""
        self._show_head(question)
        order = order_of(question, self.random)
        for place, position in enumerate(order):
            text = f"[bold]{LETTERS[place]}[/]  {_rich(question.shown[position])}"
            self._print(Padding(text, (0, 0, 0, 2)))
        start = time.monotonic()
        given = self._answer(question, order)
        if given is None or given in (QUIT, SKIP):
            if given == SKIP:
                self.session.skip()
                self.done += 1
            return given == SKIP
        right = question.judge(given)
        answer = Answer(
            question.id,
            right,
            GOOD if right else WRONG,
            list(given) if not isinstance(given, str) else given,
            seconds=round(time.monotonic() - start, 1),
        )
        self._tell(question, order, right)
        self.session.answered(question, right)
        self.done += 1
        return self._keep(answer)

    def _show_head(self, question: Question) -> None:
        lesson = lessons().get(question.lesson)
        where = f"Lesson {lesson.number} · {lesson.title}" if lesson else QUESTIONS_OF_A_RUN
        again = " · once more" if question.id in self.session.again else ""
        n = self.done + len(self.session.waiting)
        self.console.print()
        self._print(Rule(f"{escape(where)}{again}   [dim]{self.done + 1} of {n}[/]", align="left"))
        self._print(Padding(_rich(question.question), (1, 0)))
        if question.code:
            self._print(Padding(f"[cyan]{escape(question.code)}[/]", (0, 0, 1, 4)))

    def _answer(self, question: Question, order: Sequence[int]) -> Given | None:
        """What is answered, asked for until it can be read; None to stop."""
        while True:
            typed = self.read(f"\n[bold]{_prompt(question)}[/] [dim](s skip, q stop, ? where to read)[/] ")
            plain = typed.strip()
            if plain.casefold() in (QUIT, "quit", "exit"):
                return None
            if plain.casefold() in (SKIP, "skip") and not _is_answer(question, plain):
                return SKIP
            if plain == HELP:
                self._print(f"[dim]{_where_to_read(question)}[/]")
                continue
            given = read_answer(question, order, plain)
            if given is not None:
                return given
            self._print(f"[yellow]{_how_to_answer(question)}[/]")

    def _tell(self, question: Question, order: Sequence[int], right: bool) -> None:
        self.console.print()
        if right:
            self._print("[bold green]✓ Right.[/]")
        else:
            self._print("[bold red]✗ Not quite.[/] The answer:")
            for line in _solution(question, order):
                self._print(Padding(f"[bold]{line}[/]", (0, 0, 0, 2)))
        self._print(Padding(_rich(question.why), (0, 0, 0, 2)))

    def _keep(self, answer: Answer) -> bool:
        """Keeps an answer at once, then lets the person say that it was a guess or no question at all."""
        memory = None if self.progress is None else self.progress.add(answer)
        if memory is not None:
            self._print(f"[dim]  Asked again {spoken_wait(memory.due - answer.at)}.[/]")
        asks = answer.right and self.progress is not None
        also = ", g I guessed, e I knew it at once" if asks else ""
        while True:
            said = self.read(f"[dim]Enter goes on{also}, q stops[/] ").strip().casefold()
            if said in (QUIT, "quit", "exit"):
                return False
            if said not in (GUESSED, KNOWN) or not asks:
                return True
            assert self.progress is not None
            asks, also = False, ""
            memory = self.progress.amend(replace(answer, rating=WRONG if said == GUESSED else EASY))
            self._print(f"[dim]  Then it is asked again {spoken_wait(memory.due - answer.at)}.[/]")

    def _sum_up(self) -> None:
        asked, right = self.session.asked, self.session.right
        self.console.print()
        if not asked:
            self._print("[dim]Nothing was answered.[/]")
            return
        n = len(asked)
        lines = [f"[bold]{right} of {n}[/] right the first time"]
        wrong = [question for question, ok in asked if not ok]
        if wrong:
            lines.append("")
            lines.append("Worth another look:")
            for place in dict.fromkeys(_where_to_read(question) for question in wrong):
                lines.append(f"  {place}")
        if self.progress is not None:
            memories = self.progress.memories()
            due = [memories[question.id].due for question, _ in asked if question.id in memories]
            if due:
                lines += ["", f"[dim]The next of these is due {_until(min(due))}.[/]"]
        self._print(Panel("\n".join(lines), title="This time", title_align="left", padding=(1, 2)))

    def _print(self, what: str | Rule | Padding | Panel) -> None:
        self.console.print(what, width=min(WIDTH, self.console.width), highlight=False)


def read_answer(question: Question, order: Sequence[int], typed: str) -> Given | None:
    """What somebody typed, as an answer; None where it is none.

    Args:
        question: The question.
        order: Position of what stands at each letter.
        typed: The line: "b", "a c", "2 1 3", "0.5".

    Example:
        >>> asked = Question("a-b", "choice", "?", "", 1, "", choices=("x", "y", "z"), right=(0,))
        >>> read_answer(asked, [2, 0, 1], "B"), read_answer(asked, [2, 0, 1], "7")
        ([0], None)
    """
    if question.kind in ("number", "text"):
        return typed if _is_answer(question, typed) else None
    marks = re.findall(r"[a-z]|\d+", typed.casefold())
    if re.sub(r"[a-z]|\d+|[\s,;.>)-]", "", typed.casefold()):
        return None
    places = [LETTERS.find(mark) if mark.isalpha() else int(mark) - 1 for mark in marks]
    fitting = all(0 <= place < len(order) for place in places) and len(set(places)) == len(places)
    counts = {"choice": (1,), "order": (len(order),)}.get(question.kind, range(1, len(order) + 1))
    return [order[place] for place in places] if fitting and len(places) in counts else None


def _is_answer(question: Question, typed: str) -> bool:
    from wiggly.teach.quiz.question import number_of

    if question.kind == "number":
        return number_of(typed, question.unit) is not None
    return question.kind == "text" and bool(typed) and (typed not in (SKIP, HELP) or question.judge(typed))


def _prompt(question: Question) -> str:
    last = LETTERS[max(len(question.shown) - 1, 0)]
    unit = f" in {question.unit}" if question.unit else ""
    return {
        "choice": f"Which one, a–{last}?",
        "several": f"All that are right, a–{last}, e.g. a c?",
        "order": "In which order, e.g. b a c?",
        "number": f"A number{escape(unit)}?",
        "text": "In a word?",
    }[question.kind]


def _how_to_answer(question: Question) -> str:
    last = LETTERS[max(len(question.shown) - 1, 0)]
    return {
        "choice": f"Type one letter from a to {last}.",
        "several": f"Type the letters of all that are right, from a to {last}, e.g. a c.",
        "order": f"Type every letter from a to {last} once, in the right order.",
        "number": "Type a number, e.g. 0.25, 1/4 or 25 %.",
        "text": "Type a word or a few.",
    }[question.kind]


def _solution(question: Question, order: Sequence[int]) -> list[str]:
    if question.kind in ("choice", "several"):
        places = sorted(order.index(position) for position in question.right)
        return [f"{LETTERS[place]}  {_rich(question.choices[order[place]])}" for place in places]
    if question.kind == "order":
        lines = [(LETTERS[order.index(position)], item) for position, item in enumerate(question.items)]
        return [f"{letter}  {_rich(item)}" for letter, item in lines]
    return [_rich(question.solution)]


def _where_to_read(question: Question) -> str:
    lesson: Lesson | None = lessons().get(question.lesson)
    if lesson is None:
        return "It is about the record of your own run."
    return f"Lesson {lesson.number}, \u201c{escape(lesson.anchors[question.anchor])}\u201d"


def _rich(text: str) -> str:
    """Text for rich, with code between backquotes coloured."""
    parts = text.split("`")
    return "".join(f"[cyan]{escape(part)}[/]" if i % 2 else escape(part) for i, part in enumerate(parts))


def spoken_wait(wait: timedelta) -> str:
    """A time to wait in words.

    Example:
        >>> spoken_wait(timedelta(minutes=10)), spoken_wait(timedelta(days=2.3)), spoken_wait(timedelta(0))
        ('in 10 minutes', 'in 2 days', 'now')
    """
    minutes = wait.total_seconds() / 60
    for size, name in ((60 * 24 * 30.4, "month"), (60 * 24, "day"), (60, "hour"), (1, "minute")):
        n = round(minutes / size)
        if minutes >= 0.95 * size and n:
            return f"in {n} {name}" if n == 1 else f"in {n} {name}s"
    return "now" if minutes <= 0 else "in a minute"


def _until(due: datetime) -> str:
    return spoken_wait(due - datetime.now(UTC))


def stats_table(counts: Sequence[tuple[str, Count]]) -> Table:
    """How far somebody is, a line for each lesson.

    Args:
        counts: Name and count of each.
    """
    table = Table(box=None, padding=(0, 2), header_style="dim")
    table.add_column("")
    for name in ("questions", "asked", "due now", "known now", "next"):
        table.add_column(name, justify="right")
    for name, each in counts:
        known = f"{100 * each.known / each.questions:.0f} %" if each.questions else ""
        later = _until(each.next) if each.next else ""
        table.add_row(
            name, str(each.questions), str(each.seen), str(each.due), known if each.seen else "", later
        )
    return table


def counts_of(
    questions: dict[str, Sequence[Question]], memories: dict[str, Memory]
) -> list[tuple[str, Count]]:
    """A count for each group of questions, now."""
    now = datetime.now(UTC)
    return [(name, count(group, memories, now)) for name, group in questions.items()]
