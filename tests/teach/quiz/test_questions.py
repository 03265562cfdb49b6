"""Files of questions: ours are sound; every planted fault is named; answers are judged as a person would."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from math import nextafter

import pytest

from wiggly.teach.quiz.lint import check_texts
from wiggly.teach.quiz.question import number_of
from wiggly.teach.quiz.reading import all_questions, lessons, read_file

OURS = {
    f"lesson{number}.yaml": (
        resources.files("wiggly.teach") / "questions" / f"lesson{number}.yaml"
    ).read_text("utf-8")
    for number in (1, 2, 3)
}


def test_ours_are_sound_and_cover_every_section() -> None:
    assert check_texts(OURS) == []
    questions = all_questions()
    assert len(questions) >= 120
    assert {question.kind for question in questions} == {"choice", "several", "order", "number", "text"}
    for number, lesson in lessons().items():
        asked = Counter(question.anchor for question in questions if question.lesson == number)
        assert set(asked) == set(lesson.anchors), f"lesson {number}: a section without a question"


def test_every_own_answer_is_judged_right_and_another_wrong() -> None:
    for question in all_questions():
        if question.kind == "number":
            assert question.judge(str(question.answer)), question.id
            off = question.answer + 2 * question.tolerance + 0.01 * abs(question.answer) + 1e-3
            assert not question.judge(repr(off)), question.id
        elif question.kind == "text":
            assert all(question.judge(text) for text in question.accept), question.id
            assert not question.judge("a wiggly thing"), question.id
        elif question.kind == "order":
            right = list(range(len(question.items)))
            assert question.judge(right) and not question.judge(right[::-1]), question.id
        else:
            right = list(question.right)
            wrong = [place for place in range(len(question.choices)) if place not in right]
            assert question.judge(right) and not question.judge(wrong), question.id


@pytest.mark.parametrize(
    ("typed", "unit", "value"),
    [
        ("1/4", "", 0.25),
        ("25 %", "", 0.25),
        ("25", "%", 25),
        ("0,5", "", 0.5),
        ("60,000", "", 60_000),
        ("1e-3", "", 1e-3),
        ("−3", "", -3),
        ("½", "", 0.5),
        ("1/0", "", None),
        ("abc", "", None),
        ("", "", None),
        ("nan", "", None),
        ("inf", "", None),
    ],
)
def test_numbers_as_people_type_them(typed: str, unit: str, value: float | None) -> None:
    found = number_of(typed, unit)
    assert found == value or (
        found is not None and value is not None and abs(found - value) < nextafter(0, 1) + 1e-12
    )


GOOD = """
lesson: 1
questions:
  - id: a-good-one
    kind: choice
    question: What is held back?
    choices: [{right: A part of the photos}, The labels, The weights]
    why: Only photos the model has not seen tell how it does on new ones.
    anchor: split
    difficulty: 1
"""


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("lesson: 1", "lesson: 9"), "no lesson 9"),
        (("kind: choice", "kind: riddle"), "`kind` must be one of"),
        (("anchor: split", "anchor: nowhere"), "'nowhere' is no section"),
        (("difficulty: 1", "difficulty: 5"), "`difficulty` must be 1, 2 or 3"),
        (("difficulty: 1", "difficulty: true"), "`difficulty` must be 1, 2 or 3"),
        (("id: a-good-one", "id: Good"), "small letters with hyphens"),
        (
            ("why: Only photos the model has not seen tell how it does on new ones.", "why: So."),
            "`why` must give",
        ),
        (("    why: Only", "    hint: x\n    why: Only"), "`hint`"),
        (("    kind: choice", "    kind: choice\n    kind: choice"), "kind"),
        (("{right: A part of the photos}", "A part of the photos"), "right"),
        (("The weights]", "The labels]"), "twice"),
        (("{right: A part of the photos}", "{right: A part, of the photos}"), "quotes around commas"),
        (("The weights]", "None of the above]"), "choices are shuffled"),
        (("questions:", "questions: ["), "no YAML"),
        (("    question: What is held back?\n", ""), "`question` is missing"),
    ],
)
def test_planted_faults_are_named(change: tuple[str, str], said: str) -> None:
    assert check_texts({"mine.yaml": GOOD}) == []
    faults = check_texts({"mine.yaml": GOOD.replace(*change)})
    assert any(said in str(fault) for fault in faults), [str(fault) for fault in faults]
    assert all(str(fault).startswith("mine.yaml") for fault in faults)


def test_the_same_question_in_two_files() -> None:
    faults = check_texts({"one.yaml": GOOD, "two.yaml": GOOD})
    assert [fault.file for fault in faults] == ["two.yaml"] and "already" in faults[0].text
    assert faults[0].line == 4
    near = GOOD.replace("a-good-one", "another-one")
    assert "nearly the same" in check_texts({"one.yaml": GOOD, "two.yaml": near})[0].text


def test_a_right_choice_that_shows_by_its_length() -> None:
    long = GOOD.replace(
        "A part of the photos", "A part of the photos drawn at random and never trained on at all"
    )
    assert "it shows" in str(check_texts({"mine.yaml": long})[0])


def test_a_faulty_question_keeps_no_sound_one_from_being_read() -> None:
    second = (
        GOOD.split("questions:\n")[1].replace("a-good-one", "b-bad-one").replace("kind: choice", "kind: x")
    )
    questions, faults = read_file("mine.yaml", GOOD + second)
    assert [question.id for question in questions] == ["a-good-one"]
    assert [fault.about for fault in faults] == ["b-bad-one"]
