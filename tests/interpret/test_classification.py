"""Confusion matrix, pairs and class report against scikit-learn."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from sklearn.metrics import classification_report, confusion_matrix
from tests.interpret.support import echo_learner
from tests.interpret.test_interpretation import VOCAB, random_learner

from wiggly.data.blocks import RegressionBlock
from wiggly.errors import ArgumentError
from wiggly.interpret.classification import ClassificationInterpretation, count_confusions
from wiggly.records import Predictions
from wiggly.train.learner import Learner


def interpret(learner: Any, **settings: Any) -> ClassificationInterpretation:
    return ClassificationInterpretation.from_learner(learner, **settings)


def truth(learner: Learner) -> tuple[list[str], list[str]]:
    """Actual and predicted labels, by numpy alone."""
    items = [(x, y) for x, y in learner.dls.valid_ds.items if x is not None]
    return [y for _, y in items], [VOCAB[int(np.argmax(x))] for x, _ in items]


@pytest.mark.parametrize("bad", [(), (0, 5)])
def test_confusion_matrix_as_scikit_learn(bad: tuple[int, ...]) -> None:
    learner = random_learner(60, bad)
    assert np.array_equal(
        interpret(learner).confusion_matrix(), confusion_matrix(*truth(learner), labels=VOCAB)
    )


def test_a_class_that_never_occurs_keeps_its_place() -> None:
    counts = count_confusions(np.array([0, 2]), np.array([2, 2]), 4)
    assert counts.shape == (4, 4)
    assert counts[0, 2] == counts[2, 2] == 1
    assert counts.sum() == 2


def test_most_confused_in_order() -> None:
    answer = {"ant": [3.0, 0.0, 0.0], "bee": [0.0, 3.0, 0.0], "cow": [0.0, 0.0, 3.0]}
    pairs = (
        [("ant", "bee")] * 2
        + [("cow", "ant")] * 3
        + [("bee", "cow")] * 2
        + [("ant", "ant")] * 9
        + [("bee", "ant")]
    )
    learner = echo_learner([answer[said] for _, said in pairs], [actual for actual, _ in pairs], VOCAB)
    found = interpret(learner)
    assert found.most_confused() == [
        ("cow", "ant", 3),
        ("ant", "bee", 2),
        ("bee", "cow", 2),
        ("bee", "ant", 1),
    ]
    assert found.most_confused(min_val=2) == [("cow", "ant", 3), ("ant", "bee", 2), ("bee", "cow", 2)]
    assert found.most_confused(min_val=9) == []
    assert all(type(n) is int for _, _, n in found.most_confused())


def test_class_report_is_scikit_learns(capsys: pytest.CaptureFixture[str]) -> None:
    learner = random_learner(60)
    interpret(learner).print_classification_report()
    actual, predicted = truth(learner)
    assert capsys.readouterr().out == classification_report(actual, predicted, labels=VOCAB) + "\n"


def test_class_report_of_classes_that_do_not_occur(capsys: pytest.CaptureFixture[str]) -> None:
    learner = echo_learner([[3.0, 0.0, 0.0]] * 4, ["ant"] * 4, VOCAB)
    interpret(learner).print_classification_report()
    assert "cow" in capsys.readouterr().out


@pytest.mark.parametrize("normalize", [False, True])
def test_plot_confusion_matrix(normalize: bool) -> None:
    learner = random_learner(60)
    found = interpret(learner)
    found.plot_confusion_matrix(normalize=normalize, title="Mine", cmap="Greens", figsize=(5, 5), dpi=60)
    axes = plt.gca()
    assert (axes.get_title(), axes.get_xlabel(), axes.get_ylabel()) == ("Mine", "Predicted", "Actual")
    assert [label.get_text() for label in axes.get_yticklabels()] == VOCAB
    drawn = np.asarray(axes.images[0].get_array())
    expected = confusion_matrix(*truth(learner), labels=VOCAB, normalize="true" if normalize else None)
    assert np.allclose(drawn, expected)
    written = {(int(t.get_position()[1]), int(t.get_position()[0])): float(t.get_text()) for t in axes.texts}
    assert all(abs(expected[place] - number) < 0.006 for place, number in written.items())
    assert len(written) == np.count_nonzero(expected)
    assert plt.gcf().get_size_inches().tolist() == [5, 5]


def test_plot_of_many_classes_has_no_unreadable_numbers() -> None:
    labels = [f"class {i}" for i in range(300)]
    learner = echo_learner(torch.eye(300).tolist(), labels, labels)
    interpret(learner).plot_confusion_matrix()
    assert len(plt.gca().texts) == 0
    assert max(plt.gcf().get_size_inches()) <= 20


def test_top_losses_are_titled_with_their_probability() -> None:
    found = interpret(random_learner())
    found.plot_top_losses(1)
    assert plt.gcf().get_suptitle() == "Prediction/Actual/Loss/Probability"
    row = found.top_rows(1)[0]
    assert found.title(row).endswith(f" / {float(found.preds[row].max()):.2f}")
    assert found.title(row).startswith(f"{VOCAB[int(found.preds[row].argmax())]}/")


def test_decoded_and_vocab() -> None:
    learner = random_learner()
    found = interpret(learner)
    assert found.vocab == VOCAB
    assert [VOCAB[i] for i in found.decoded.tolist()] == truth(learner)[1]


def test_a_number_is_not_a_class() -> None:
    predictions = Predictions(torch.zeros(2, 1), torch.zeros(2), torch.zeros(2), [0, 1])
    with pytest.raises(ArgumentError, match="one category per item; the target is a RegressionBlock"):
        ClassificationInterpretation(None, predictions, (None, RegressionBlock(1)))
    boxes: Any = (torch.zeros(2, 5, 4), torch.zeros(2, 5))
    parts = Predictions(boxes, torch.zeros(2), torch.zeros(2), [0, 1])
    with pytest.raises(ArgumentError, match="outputs are tuple"):
        ClassificationInterpretation(None, parts, (None, None))
    with pytest.raises(ArgumentError, match="the model has 1 output"):  # its highest is always the first
        ClassificationInterpretation(None, predictions, (None, None))


def test_loaders_that_name_no_classes_get_numbers() -> None:
    predictions = Predictions(torch.eye(3), torch.tensor([0, 1, 1]), torch.zeros(3), [0, 1, 2])
    found = ClassificationInterpretation(None, predictions, (None, None))
    assert found.most_confused() == [(1, 2, 1)]
    assert found.labels == ["0", "1", "2"]
