"""The quiz in a notebook and as a page: `Quiz(lesson=1)`, `quiz_about(learn)`.

In: questions. Out: an explorable that asks them. While a kernel runs, answers go to the same progress file as
those of the terminal; in a page they stay in the browser. Read next: `web/widgets/src/explorables/quiz.ts`.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wiggly.errors import ArgumentError, DependencyError
from wiggly.teach.explorable import Explorable
from wiggly.teach.quiz.progress import Answer, Progress
from wiggly.teach.quiz.question import Question
from wiggly.teach.quiz.reading import all_questions, lessons
from wiggly.teach.quiz.scheduling import EASY, GOOD, WRONG
from wiggly.teach.quiz.session import NEW

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["Quiz", "quiz_about"]


class Quiz(Explorable):
    """Questions to answer; a notebook shows them, `.save("quiz.html")` writes a page.

    Args:
        questions: Questions of your own, e.g. about a run; None takes those of the lessons.
        lesson: Only those of this lesson.
        new: How many that were never asked are asked in one go.
        path: The progress file; None takes that of the user.

    Raises:
        ArgumentError: There is no such lesson, or no question.

    Example:
        >>> Quiz(lesson=1)
        Quiz: ... questions. A notebook shows them; .save('page.html') writes a page.
    """

    def __init__(
        self,
        questions: Sequence[Question] | None = None,
        *,
        lesson: int | None = None,
        new: int = NEW,
        path: str | Path | None = None,
    ) -> None:
        self.questions = list(all_questions(lesson) if questions is None else questions)
        self.path = path
        if not self.questions:
            raise ArgumentError(
                "a quiz needs a question", "there is none", "Leave `questions` out, or pass some."
            )
        if new < 1:
            raise ArgumentError("`new` must be at least 1", f"it is {new}", "Leave it out, or pass new=10.")
        known = lessons()
        self.kept = all(question.lesson in known for question in self.questions)
        data = {
            "id": uuid.uuid4().hex,
            "questions": [question.plain() for question in self.questions],
            "lessons": {str(n): {"title": each.title, "anchors": each.anchors} for n, each in known.items()},
            "new": new if self.kept else len(self.questions),
            "kept": self.kept,
        }
        super().__init__("quiz", data)
        self._told: set[str] = set()

    def widget(self) -> Any:
        """The anywidget; answers given in it are kept in the progress file."""
        if self._widget is None:
            super().widget().observe(self._take, "state")
        return self._widget

    def _widget_data(self) -> dict[str, Any]:
        return {**self.data, "memories": self._memories()}

    def _memories(self) -> dict[str, Any]:
        if not self.kept:
            return {}
        with Progress(self.path) as progress:
            memories = progress.memories()
        ids = {question.id for question in self.questions}
        return {name: memory.plain() for name, memory in memories.items() if name in ids}

    def _take(self, change: Any) -> None:
        self.keep(change["new"].get("answers", ()))

    def keep(self, told: Iterable[dict[str, Any]]) -> int:
        """Keeps answers that the page tells of; each is judged again here.

        Args:
            told: Each with `question`, `given`, `rating`, `at`, `seconds` and `token`.

        Returns:
            How many were new.
        """
        by_id = {question.id: question for question in self.questions}
        fresh = [each for each in told if self.kept and each["question"] in by_id]
        fresh = [each for each in fresh if _name(each) not in self._told]
        if not fresh:
            return 0
        with Progress(self.path) as progress:
            for each in fresh:
                answer = _answer(by_id[each["question"]], each)
                known = any(name.startswith(f"{answer.token} ") for name in self._told)
                progress.amend(answer) if known else progress.add(answer)
                self._told.add(_name(each))
        return len(fresh)

    def _ipython_display_(self) -> None:
        """The page, and beside it, unseen, the widget that takes its answers to the kernel."""
        from IPython.display import display

        display({"text/html": self._repr_html_(), "text/plain": repr(self)}, raw=True)
        with contextlib.suppress(DependencyError):
            beside = Quiz(self.questions, path=self.path)
            beside.data = {"id": self.data["id"], "beside": True}
            self._beside = beside
            display(beside.widget())

    def __repr__(self) -> str:
        return (
            f"Quiz: {len(self.questions)} questions. A notebook shows them; .save('page.html') writes a page."
        )


def _name(told: dict[str, Any]) -> str:
    """An answer and its rating, which may be changed once afterwards."""
    return f"{told['token']} {told['rating']}"


def _answer(question: Question, told: dict[str, Any]) -> Answer:
    right = question.judge(told["given"])
    rating = told["rating"] if right and told["rating"] in (WRONG, EASY) else GOOD if right else WRONG
    at = datetime.fromisoformat(told["at"]).astimezone(UTC)
    return Answer(question.id, right, rating, told["given"], at, told.get("seconds"), str(told["token"]))


def quiz_about(learn: Learner) -> Quiz:
    """Questions about a learner's own run; every answer is read from its history and its predictions.

    Args:
        learn: A trained learner.

    Returns:
        The quiz. Its answers are not kept: they hold for this run alone.

    Raises:
        ArgumentError: Nothing was trained, so there is nothing to ask about.
    """
    from wiggly.teach.quiz.about import questions_of

    found = questions_of(learn)
    if not found:
        raise ArgumentError(
            "a quiz about a run needs its record", "there is none yet", "Train first: learn.fine_tune(3)."
        )
    return Quiz(found)
