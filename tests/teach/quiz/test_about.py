"""Questions about a run: answers against scikit-learn and NumPy; nothing is asked without its record."""

from __future__ import annotations

from math import sqrt
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import accuracy_score
from tests.train.support import digit_learner

from wiggly.errors import ArgumentError
from wiggly.interpret.record import Fit, RunRecord, run_record
from wiggly.teach.quiz.about import questions_about
from wiggly.teach.quiz.question import Question, number_of
from wiggly.teach.quiz.records import read_record
from wiggly.teach.quiz.show import quiz_about

LABELS = ("bengal", "birman", "ragdoll", "pug")
COUNTS = np.array([[40, 5, 1, 0], [2, 45, 9, 0], [0, 7, 30, 1], [1, 0, 0, 20]])


def record(valid: list[float], counts: np.ndarray | None = None) -> RunRecord:
    train = [1.0 * 0.7**i for i in range(len(valid))]
    pairs = enumerate(zip(train, valid, strict=True))
    rows = tuple({"epoch": float(i), "train_loss": a, "valid_loss": b} for i, (a, b) in pairs)
    cells = (
        () if counts is None else tuple((int(i), int(j), int(counts[i, j])) for i, j in np.argwhere(counts))
    )
    labels = () if counts is None else LABELS
    return RunRecord((Fit(rows),), labels, cells, (300, 100, 250, 80) if labels else ())


def ask(record: RunRecord) -> dict[str, Question]:
    return {question.id: question for question in questions_about(record)}


def test_epochs_and_overfitting() -> None:
    asked = ask(record([0.9, 0.7, 0.55, 0.6, 0.66, 0.72]))
    assert asked["run-best-epoch"].solution == "2"
    assert asked["run-overfitting"].solution.startswith("Overfitting") and "run-still-falling" not in asked
    asked = ask(record([0.9, 0.7, 0.55, 0.5]))
    assert asked["run-still-falling"].solution.startswith("No overfitting")
    assert "run-overfitting" not in asked


def test_classes() -> None:
    asked = ask(record([0.9, 0.5, 0.4], COUNTS))
    actual, predicted = (
        np.concatenate([np.full(COUNTS[i, j], (i, j)[k]) for i in range(4) for j in range(4)]) for k in (0, 1)
    )
    accuracy = accuracy_score(actual, predicted)
    assert number_of(asked["run-accuracy"].solution, "%") == pytest.approx(100 * accuracy, abs=0.01)
    assert asked["run-how-many-validated"].solution == str(len(actual))
    most = np.bincount(actual)[0] / len(actual)  # bengal is the most frequent in training
    assert number_of(asked["run-baseline"].solution, "%") == pytest.approx(100 * most, abs=0.01)
    both = np.triu(COUNTS + COUNTS.T, 1)
    pair = [LABELS[i] for i in np.unravel_index(both.argmax(), both.shape)]
    assert all(name in asked["run-most-confused"].solution for name in pair)
    assert asked["run-which-way"].solution == "'birman' is called 'ragdoll'"
    wrong = 1 - COUNTS.diagonal() / COUNTS.sum(1)
    assert asked["run-hardest-class"].solution == LABELS[wrong.argmax()]
    assert asked["run-rarest-class"].solution == "pug"
    z, n = 1.959964, len(actual)  # Wilson's interval, from its formula
    middle = (accuracy + z * z / (2 * n)) / (1 + z * z / n)
    half = z * sqrt(accuracy * (1 - accuracy) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    assert asked["run-interval"].solution == f"{100 * (middle - half):.1f} to {100 * (middle + half):.1f} %"


def test_what_is_not_known_or_undecided_is_not_asked() -> None:
    assert questions_about(RunRecord()) == []
    asked = ask(record([0.5, 0.7, 0.5]))
    assert "run-best-epoch" not in asked  # two epochs share the lowest
    tied = COUNTS.copy()
    tied[0, 1] = tied[1, 0] = 8  # as often as birman and ragdoll
    tied[1, 2], tied[2, 1] = 9, 7
    assert "run-most-confused" not in ask(record([0.9, 0.5, 0.4], tied))
    perfect = np.diag([10, 10, 10, 10])
    assert not {"run-most-confused", "run-which-way", "run-share-of-errors"} & set(
        ask(record([1, 0.5], perfect))
    )
    broken = RunRecord((Fit(({"epoch": 0.0, "train_loss": 1.0}, {"epoch": 1.0, "valid_loss": 0.5})),))
    assert "run-best-epoch" not in ask(broken)


def test_choices_never_say_the_same_twice() -> None:
    for counts in (COUNTS, COUNTS[:, ::-1].copy(), np.eye(4, dtype=int) * 30 + 1):
        for question in questions_about(record([0.9, 0.7, 0.55, 0.6], counts)):
            assert len(set(question.choices)) == len(question.choices)
            assert question.why and question.difficulty in (1, 2, 3)


def test_of_a_real_learner(tmp_path: Path) -> None:
    learn = digit_learner()
    with pytest.raises(ArgumentError, match="Train first"):
        quiz_about(learn)
    learn.fit(3, 1e-3)
    quiz = quiz_about(learn)
    asked = {question.id: question for question in quiz.questions}
    losses = [row["valid_loss"] for row in run_record(learn).fits[-1].rows]
    assert asked["run-best-epoch"].solution == str(int(np.argmin(losses)))
    kept = run_record(learn).save(tmp_path / "run.json")
    again = {question.id: question.solution for question in questions_about(read_record(kept))}
    assert again == {name: question.solution for name, question in asked.items()}
    assert not quiz.kept  # they hold for this run alone
