"""A temperature that makes probabilities honest and changes no answer; a threshold that keeps its promise."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.metrics import log_loss

from wiggly.bundle.calibration import (
    LEAST_ITEMS,
    calibrated,
    calibrated_category,
    calibrated_labels,
    choose_unsure,
)
from wiggly.bundle.parts import CategoryOutput, LabelsOutput, NumbersOutput
from wiggly.errors import ArgumentError

CLASSES = ("ant", "bee", "cat", "dog")
OUTPUT = CategoryOutput("category", CLASSES, "softmax")


def drawn(n: int, temperature: float, seed: int = 0, classes: int = 4) -> tuple[Any, Any]:
    """Scores that are too sure by this factor, and targets drawn from what they should say."""
    random = np.random.default_rng(seed)
    honest = random.normal(0, 2, (n, classes))
    chances = softmax(honest, 1)
    targets = np.array([random.choice(classes, p=p) for p in chances])
    return honest * temperature, targets


@pytest.mark.parametrize("wanted", [0.5, 2.0, 4.0])
def test_the_temperature_that_was_put_in_is_found(wanted: float) -> None:
    made = calibrated_category(OUTPUT, *drawn(6000, wanted))
    assert made.temperature == pytest.approx(wanted, rel=0.05)
    assert made.calibration is not None
    assert made.calibration.nll_after < made.calibration.nll_before
    assert made.calibration.error_after < 0.02 < made.calibration.error_before
    assert made.calibration.n == 6000


class Scores(ClassifierMixin, BaseEstimator):
    """A classifier whose input are its scores."""

    def fit(self, x: Any, y: Any) -> Scores:
        self.classes_ = np.arange(x.shape[1])
        return self

    def decision_function(self, x: Any) -> Any:
        return x

    def predict(self, x: Any) -> Any:
        return x.argmax(1)


def test_as_scikit_learn() -> None:
    scores, targets = drawn(4000, 3.0, seed=1)
    theirs = CalibratedClassifierCV(FrozenEstimator(Scores().fit(scores, targets)), method="temperature")
    theirs.fit(scores, targets)
    made = calibrated_category(OUTPUT, scores, targets)
    np.testing.assert_allclose(softmax(scores / made.temperature, 1), theirs.predict_proba(scores), atol=2e-3)


def test_held_out_numbers_by_hand() -> None:
    """The likelihood that is recorded is that of items that the temperature has not seen."""
    scores, targets = drawn(400, 3.0, seed=2)
    made = calibrated_category(OUTPUT, scores, targets)
    assert made.calibration is not None
    assert made.calibration.nll_before == pytest.approx(log_loss(targets, softmax(scores, 1)), abs=1e-6)
    fitted = log_loss(targets, softmax(scores / made.temperature, 1))
    assert fitted < made.calibration.nll_after < fitted * 1.02


def test_not_applied_where_it_does_not_help() -> None:
    scores, targets = drawn(200, 1.0, seed=3)
    made = calibrated_category(OUTPUT, scores, targets)
    assert made.calibration is not None
    assert made.calibration.nll_after <= made.calibration.nll_before
    if made.temperature == 1:
        assert made.calibration.error_after == made.calibration.error_before
    tried = [calibrated_category(OUTPUT, *drawn(60, 1.0, seed)).temperature for seed in range(8)]
    assert 1.0 in tried


def test_no_mistake_does_not_make_it_infallible() -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 4, 200)
    scores = np.eye(4)[targets] * random.uniform(2, 6, (200, 1))
    made = calibrated_category(OUTPUT, scores, targets)
    assert softmax(scores / made.temperature, 1).max(1).mean() < 0.9999


@settings(max_examples=60, deadline=None)
@given(
    arrays.arrays(np.float64, (LEAST_ITEMS, 3), elements=st.integers(-40, 40).map(lambda i: i / 4)),
    st.integers(0, 99),
)
def test_answers_never_change(scores: Any, seed: int) -> None:
    targets = np.random.default_rng(seed).integers(0, 3, len(scores))
    output = CategoryOutput("category", CLASSES[:3], "softmax")
    temperature = calibrated_category(output, scores, targets).temperature
    np.testing.assert_array_equal((scores / temperature).argmax(1), scores.argmax(1))
    labels = LabelsOutput("labels", CLASSES[:3], 0.3)
    made = calibrated_labels(labels, scores, np.eye(3)[targets])
    near = np.abs(scores - np.log(0.3 / 0.7)) < 1e-6
    before, after = expit(scores) > 0.3, expit(scores / made.temperature) > made.threshold
    np.testing.assert_array_equal(before | near, after | near)


def test_labels() -> None:
    random = np.random.default_rng(0)
    honest = random.normal(0, 2, (3000, 3))
    hot = (random.uniform(size=honest.shape) < expit(honest)).astype(np.float32)
    made = calibrated_labels(LabelsOutput("labels", CLASSES[:3], 0.5), honest * 3, hot)
    assert made.temperature == pytest.approx(3, rel=0.05)
    assert made.threshold == 0.5
    assert made.calibration is not None and made.calibration.error_after < made.calibration.error_before


def test_too_few_items() -> None:
    scores, targets = drawn(LEAST_ITEMS - 1, 5.0)
    assert calibrated_category(OUTPUT, scores, targets) == OUTPUT
    assert choose_unsure(np.full(49, 0.9), np.ones(49, bool)) is None


@pytest.mark.parametrize("wanted", [0.9, 0.95])
def test_the_others_are_right_as_often_as_wanted(wanted: float) -> None:
    random = np.random.default_rng(0)
    confidence = random.uniform(0.3, 1, 5000)
    right = random.uniform(size=5000) < confidence
    found = choose_unsure(confidence, right, wanted)
    assert found is not None and found.wanted == wanted
    assert found.accuracy == pytest.approx(wanted, abs=0.02)
    new = random.uniform(0.3, 1, 5000)
    kept = new >= found.threshold
    assert (random.uniform(size=5000) < new)[kept].mean() == pytest.approx(wanted, abs=0.02)
    assert 1 - kept.mean() == pytest.approx(found.share, abs=0.03)


def test_by_default_half_as_many_errors() -> None:
    random = np.random.default_rng(1)
    confidence = random.uniform(0.5, 1, 2000)
    right = random.uniform(size=2000) < confidence
    found = choose_unsure(confidence, right)
    assert found is not None
    assert found.wanted == pytest.approx((1 + right.mean()) / 2)


def test_with_few_errors_what_was_never_seen_is_unsure() -> None:
    confidence = np.linspace(0.6, 1, 100)
    found = choose_unsure(confidence, np.ones(100, bool))
    assert found is not None and found.threshold == pytest.approx(0.6, rel=0.002)
    assert found.share <= 0.05 and found.accuracy == 1


def test_no_threshold_helps() -> None:
    confidence = np.full(100, 0.7)
    right = np.arange(100) % 2 == 0
    assert choose_unsure(confidence, right, 0.9) is None
    assert choose_unsure(np.linspace(0, 1, 100), np.arange(100) < 50, 0.9) is None  # the surer, the wronger
    reached = choose_unsure(np.linspace(0, 1, 100), np.ones(100, bool), 0.9)
    assert reached is not None and reached.threshold == 0 and reached.share == 0


class Seen:
    """Scores as a learner's validation items give them."""

    def __init__(self, scores: Any, targets: Any) -> None:
        self.scored = scores, targets

    def scores(self, place: int, classes: int) -> Any:
        return self.scored


def test_outputs_together() -> None:
    scores, targets = drawn(300, 3.0)
    price = NumbersOutput("numbers", ("price",), (0.0,), (1.0,))
    seen: Any = Seen(scores, targets)
    first, second = calibrated(seen, [OUTPUT, price])
    assert isinstance(first, CategoryOutput) and first.temperature > 2 and first.unsure is not None
    assert second == price
    plain = calibrated(seen, [OUTPUT], calibrate=False)[0]
    assert isinstance(plain, CategoryOutput) and plain.temperature == 1 and plain.unsure is not None
    assert log_softmax(scores, 1).shape == (300, 4)


def test_what_is_asked_for_wrongly() -> None:
    scores, targets = drawn(300, 3.0)
    seen: Any = Seen(scores, targets)
    for wanted in (0, 1.5, -1):
        with pytest.raises(ArgumentError, match="share above 0"):
            calibrated(seen, [OUTPUT], wanted_accuracy=wanted)
    price = NumbersOutput("numbers", ("price",), (0.0,), (1.0,))
    with pytest.raises(ArgumentError, match="answer with one class"):
        calibrated(seen, [price], wanted_accuracy=0.9)
    with pytest.warns(UserWarning, match="no answer is called unsure"):
        calibrated(Seen(scores[:20], targets[:20]), [OUTPUT], wanted_accuracy=0.9)  # type: ignore[arg-type]


def test_scores_that_are_no_numbers_are_left_alone() -> None:
    seen: Any = Seen(np.full((100, 4), np.nan), np.zeros(100, np.int64))
    assert calibrated(seen, [OUTPUT]) == (OUTPUT,)
