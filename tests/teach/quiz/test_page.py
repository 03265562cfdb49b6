"""The quiz in a page: judged and dated as in Python, played in a browser, its answers taken to Python."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.teach.conftest import Stage

from wiggly.errors import ArgumentError
from wiggly.teach.quiz.progress import Progress
from wiggly.teach.quiz.question import number_of, same_text
from wiggly.teach.quiz.reading import all_questions
from wiggly.teach.quiz.scheduling import EASY, GOOD, WRONG, Memory, Rating, after, recall
from wiggly.teach.quiz.show import Quiz

START = datetime(2030, 1, 1, tzinfo=UTC)


def test_dates_are_those_of_the_package_fsrs(in_node: Callable[[str, Any], Any]) -> None:
    chance = random.Random(11)
    histories: list[list[tuple[Rating, float]]] = []
    expected: list[list[tuple[float, float, float, float]]] = []
    for _ in range(25):
        memory: Memory | None = None
        at, history, states = START, list[tuple[Rating, float]](), list[tuple[float, float, float, float]]()
        for _ in range(10):
            rating: Rating = chance.choice([WRONG, GOOD, GOOD, EASY])
            memory = after(memory, rating, at)
            history.append((rating, at.timestamp() * 1000))
            later = at + timedelta(days=40)
            states.append(
                (memory.stability, memory.difficulty, memory.due.timestamp() * 1000, recall(memory, later))
            )
            early = timedelta(minutes=chance.choice([3, 200]))
            at = max(memory.due, at) + chance.choice([early, timedelta(days=chance.random() * 30)])
        histories.append(history)
        expected.append(states)
    program = (
        "given.map((history) => { let memory = null; return history.map(([rating, at]) => {"
        " memory = fsrs.after(memory, rating, at);"
        " const later = fsrs.recall(memory, at + 40 * 86400000);"
        " return [memory.stability, memory.difficulty, memory.due, later]; }) })"
    )
    for ours, theirs in zip(in_node(program, histories), expected, strict=True):
        for one, other in zip(ours, theirs, strict=True):
            assert one == pytest.approx(other, rel=1e-9)


def test_answers_are_judged_as_in_python(in_node: Callable[[str, Any], Any]) -> None:
    questions = all_questions()
    cases: list[list[Any]] = []
    expected: list[bool] = []
    for question in questions:
        given: list[Any] = [list(question.right), [0], [1, 0]]
        if question.kind in ("number", "text"):
            given = [question.solution, "0", "a thing", f" {question.solution.upper()} ", "50 %"]
        elif question.kind == "order":
            given = [list(range(len(question.items))), list(range(len(question.items)))[::-1]]
        for each in given:
            cases.append([question.plain(), each])
            expected.append(question.judge(each))
    assert in_node("given.map(([question, each]) => quiz.judge(question, each))", cases) == expected
    assert 0.3 < sum(expected) / len(expected) < 0.8
    texts = [
        "1/4",
        "25 %",
        "0,5",
        "60,000",
        "1e-3",
        "−3",
        "½",
        "1/0",
        "abc",
        "",
        "1.2.3",
        "nan",
        "0x10",
        "1_000",
    ]
    numbers = in_node("given.map((text) => quiz.numberOf(text))", texts)
    assert numbers == [number_of(text) for text in texts]
    words = ["`Fine_Tune()`", "the  Validation set.", "ReLU", "ﬁne-tune", "A batch?"]
    assert in_node("given.map((text) => quiz.sameText(text))", words) == [same_text(text) for text in words]


def test_what_a_page_tells_is_judged_again_and_kept_once(tmp_path: Path) -> None:
    path = tmp_path / "p.sqlite"
    quiz = Quiz(lesson=3, path=path)
    told = {
        "question": "pixels-in-a-row",
        "given": "784",
        "rating": 3,
        "at": START.isoformat(),
        "seconds": 2.5,
        "token": "t1",
    }
    wrong = told | {"question": "largest-grey", "given": "256", "rating": 4, "token": "t2"}  # it says it knew
    foreign = told | {"question": "of-somebody-else", "token": "t3"}
    assert quiz.keep([told, wrong, foreign]) == 2 and quiz.keep([told, wrong]) == 0
    assert quiz.keep([told | {"rating": 1}]) == 1  # it was a guess
    with Progress(path) as progress:
        kept = {answer.question: (answer.right, answer.rating) for answer in progress.answers()}
    assert kept == {"pixels-in-a-row": (True, WRONG), "largest-grey": (False, WRONG)}
    with pytest.raises(ArgumentError, match="needs a question"):
        Quiz([])
    with pytest.raises(ArgumentError, match="number of a lesson"):
        Quiz(lesson=9)


def test_a_page_is_light() -> None:
    assert len(Quiz().page().encode()) <= 200_000


@pytest.mark.browser
@pytest.mark.parametrize(("width", "dark"), [(1000, False), (390, True)])
def test_it_is_answered_by_keys_and_clicks(stage: Callable[..., Stage], width: int, dark: bool) -> None:
    toy = stage(Quiz(lesson=3, new=4), width=width, dark=dark)
    by_id = {question.id: question for question in all_questions(3)}
    assert toy.state["question"] == "pixels-in-a-row"
    toy.page.locator(".wx .typed input").fill("784")
    toy.page.keyboard.press("Enter")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.state === 'told'")
    assert "784" in toy.page.inner_text(".wx .verdict") or "28" in toy.page.inner_text(".wx .verdict")
    toy.page.keyboard.press("Enter")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.question === 'largest-grey'")
    toy.page.locator(".wx .typed input").fill("256")
    toy.press("Check")
    assert toy.state["state"] == "told" and (toy.state["asked"], toy.state["right"]) == (2, 1)
    assert "255" in toy.root.inner_text()
    answers = toy.state["answers"]
    assert [by_id[each["question"]].judge(each["given"]) for each in answers] == [True, False]
    toy.page.reload()  # the progress stays in the browser
    toy.page.wait_for_selector(".wx .typed input, .wx .option")
    assert toy.state["question"] not in ("pixels-in-a-row",)
    assert "2 of 67" in toy.root.inner_text()
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= width
