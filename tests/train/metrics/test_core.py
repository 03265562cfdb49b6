"""Metrics: against scikit-learn's, and the properties an average over a set must have."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sk
from tests.train.support import digit_learner

from wiggly.errors import ArgumentError, TrainingError
from wiggly.train.metrics.core import (
    AverageMetric,
    Metric,
    accuracy,
    accuracy_multi,
    as_metrics,
    error_rate,
    mae,
    mse,
    rmse,
    top_k_accuracy,
)
from wiggly.train.metrics.whole_set import RocAucBinary

GENERATOR = torch.Generator().manual_seed(0)
SCORES = torch.randn(50, 4, generator=GENERATOR)
CLASSES = torch.randint(0, 4, (50,), generator=GENERATOR)
HOT = torch.randint(0, 2, (50, 4), generator=GENERATOR)


def test_accuracy_is_sklearns() -> None:
    wanted = sk.accuracy_score(CLASSES, SCORES.argmax(1))
    assert accuracy(SCORES, CLASSES).item() == pytest.approx(wanted)
    assert error_rate(SCORES, CLASSES).item() == pytest.approx(1 - wanted)
    assert accuracy(SCORES, CLASSES.unsqueeze(1)).item() == pytest.approx(wanted)


def test_accuracy_takes_an_axis() -> None:
    assert accuracy(SCORES.T, CLASSES, axis=0) == accuracy(SCORES, CLASSES)


def test_accuracy_of_a_single_score_is_refused() -> None:
    for metric in (accuracy, error_rate):
        with pytest.raises(ArgumentError, match=r"1 output, of shape \(3, 1\).\n.*accuracy_multi"):
            metric(torch.randn(3, 1), torch.tensor([0, 1, 1]))


def test_accuracy_of_unequal_numbers_is_refused() -> None:
    with pytest.raises(ArgumentError, match="as many"):
        accuracy(SCORES, CLASSES[:10])


def test_top_k_is_sklearns() -> None:
    for k in (1, 2, 3):
        assert top_k_accuracy(SCORES, CLASSES, k=k).item() == pytest.approx(
            sk.top_k_accuracy_score(CLASSES, SCORES, k=k)
        )


def test_accuracy_multi_counts_every_label() -> None:
    wanted = 1 - sk.hamming_loss(HOT, SCORES.sigmoid() > 0.3)
    assert accuracy_multi(SCORES, HOT, thresh=0.3).item() == pytest.approx(wanted)
    assert accuracy_multi(SCORES.sigmoid(), HOT, thresh=0.3, sigmoid=False).item() == pytest.approx(wanted)


def test_regression_errors_are_sklearns() -> None:
    a, b = SCORES[:, :1], SCORES[:, 1]
    assert mse(a, b).item() == pytest.approx(sk.mean_squared_error(b, a), rel=1e-5)
    assert rmse(a, b).item() == pytest.approx(sk.root_mean_squared_error(b, a), rel=1e-5)
    assert mae(a, b).item() == pytest.approx(sk.mean_absolute_error(b, a), rel=1e-5)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8))
def test_an_average_does_not_depend_on_how_the_set_is_cut(sizes: list[int]) -> None:
    n = min(sum(sizes), 50)
    metric, root = as_metrics([error_rate, rmse])
    start = 0
    for size in sizes:
        end = min(start + size, n)
        if end > start:
            metric.accumulate(SCORES[start:end], (CLASSES[start:end],))
            root.accumulate(SCORES[start:end, :1], (CLASSES[start:end],))
        start = end
    assert metric.value() == pytest.approx(error_rate(SCORES[:n], CLASSES[:n]).item(), abs=1e-6)
    assert root.value() == pytest.approx(rmse(SCORES[:n, :1], CLASSES[:n]).item(), rel=1e-5)


def test_names_are_those_of_the_functions() -> None:
    def batch_accuracy(pred, target):
        return 1.0

    class Odd:
        def __call__(self, pred, target):
            return 2

    names = [
        m.name for m in as_metrics([batch_accuracy, partial(accuracy_multi, thresh=0.2), RocAucBinary, Odd()])
    ]
    assert names == ["batch_accuracy", "accuracy_multi", "roc_auc_score", "Odd"]
    assert [m.name for m in as_metrics(accuracy)] == ["accuracy"]
    assert as_metrics(None) == []


def test_what_is_no_metric_is_refused() -> None:
    with pytest.raises(ArgumentError, match="accuracy"):
        as_metrics(["accuracy"])


def test_metrics_can_be_set_after_training() -> None:
    learn = digit_learner()
    learn.fit(1)
    learn.metrics = [partial(top_k_accuracy, k=10), accuracy]
    loss, top10, right = learn.validate()
    assert top10 == 1.0
    probs, targets = learn.get_preds()
    assert right == pytest.approx(accuracy(probs, targets).item())
    assert loss == pytest.approx(torch.nn.functional.nll_loss(probs.log(), targets).item(), rel=1e-5)


def test_a_metric_of_ones_own_sees_the_whole_set() -> None:
    class Rows(Metric):
        name = "rows"

        def reset(self):
            self.rows = 0

        def accumulate(self, pred, targets):
            self.rows += len(targets[0])

        def value(self):
            return self.rows

    learn = digit_learner(metrics=Rows)
    learn.fit(2)
    assert [row[2] for row in learn.recorder.values] == [100, 100]


def test_a_failing_metric_is_named() -> None:
    def too_strict(pred, target):
        raise ValueError("no such thing")

    learn = digit_learner(metrics=[accuracy, too_strict])
    with pytest.raises(TrainingError, match=r"`too_strict`[\s\S]*no such thing"):
        learn.fit(1)
    learn.metrics = RocAucBinary()  # ten classes
    with pytest.raises(TrainingError, match="`roc_auc_score`"):
        learn.validate()


def test_an_average_keeps_tensors_until_it_is_read() -> None:
    metric = AverageMetric(lambda pred, target: pred.mean())
    metric.accumulate(torch.ones(2, requires_grad=True), (torch.ones(2),))
    assert metric.value() == 1.0
