"""scikit-learn's scores through wiggly equal scikit-learn's on the whole set, whatever the batches."""

from __future__ import annotations

import pytest
import torch
from sklearn import metrics as sk

from wiggly.train.metrics import whole_set as scores
from wiggly.train.metrics.core import SetMetric

GENERATOR = torch.Generator().manual_seed(1)
SCORES = torch.randn(60, 3, generator=GENERATOR)
CLASSES = torch.randint(0, 3, (60,), generator=GENERATOR)
BINARY = CLASSES.clamp(max=1)
HOT = torch.randint(0, 2, (60, 3), generator=GENERATOR)
PRED, PROBS = SCORES.argmax(1), SCORES.softmax(1)
PRED2, PROB2 = SCORES[:, :2].argmax(1), SCORES[:, :2].softmax(1)[:, 1]
YES = SCORES.sigmoid() > 0.4


def measured(metric: SetMetric, pred: torch.Tensor, target: torch.Tensor) -> float:
    for _ in range(2):  # the second time after a reset
        metric.reset()
        for start, end in ((0, 7), (7, 32), (32, 60)):
            metric.accumulate(pred[start:end], (target[start:end],))
    return metric.value()


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (scores.Precision("macro"), sk.precision_score(CLASSES, PRED, average="macro")),
        (scores.Recall("macro"), sk.recall_score(CLASSES, PRED, average="macro")),
        (scores.F1Score("weighted"), sk.f1_score(CLASSES, PRED, average="weighted")),
        (scores.FBeta(2, "micro"), sk.fbeta_score(CLASSES, PRED, beta=2, average="micro")),
        (scores.Jaccard("macro"), sk.jaccard_score(CLASSES, PRED, average="macro")),
        (scores.BalancedAccuracy(), sk.balanced_accuracy_score(CLASSES, PRED)),
        (scores.CohenKappa("quadratic"), sk.cohen_kappa_score(CLASSES, PRED, weights="quadratic")),
        (scores.MatthewsCorrCoef(), sk.matthews_corrcoef(CLASSES, PRED)),
        (scores.HammingLoss(), sk.hamming_loss(CLASSES, PRED)),
        (scores.RocAuc(), sk.roc_auc_score(CLASSES, PROBS, multi_class="ovr")),
        (
            scores.skm_to_wiggly(sk.zero_one_loss, normalize=False),
            sk.zero_one_loss(CLASSES, PRED, normalize=False),
        ),
    ],
)
def test_scores_of_classes(metric: SetMetric, wanted: float) -> None:
    assert measured(metric, SCORES, CLASSES) == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (scores.Precision(), sk.precision_score(BINARY, PRED2)),
        (scores.Recall(pos_label=0), sk.recall_score(BINARY, PRED2, pos_label=0)),
        (scores.F1Score(), sk.f1_score(BINARY, PRED2)),
        (scores.RocAucBinary(), sk.roc_auc_score(BINARY, PROB2)),
        (scores.APScoreBinary(), sk.average_precision_score(BINARY, PROB2)),
        (scores.BrierScore(), sk.brier_score_loss(BINARY, PROB2)),
    ],
)
def test_scores_of_two_classes(metric: SetMetric, wanted: float) -> None:
    assert measured(metric, SCORES[:, :2], BINARY) == pytest.approx(wanted, rel=1e-6)


def test_one_output_may_stand_for_two_classes() -> None:
    wanted = sk.roc_auc_score(BINARY, SCORES[:, 0])
    assert measured(scores.RocAucBinary(), SCORES[:, :1], BINARY) == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("metric", "wanted"),
    [
        (scores.PrecisionMulti(thresh=0.4), sk.precision_score(HOT, YES, average="macro")),
        (
            scores.RecallMulti(thresh=0.4, average="samples"),
            sk.recall_score(HOT, YES, average="samples", zero_division=0),
        ),
        (scores.F1ScoreMulti(thresh=0.4), sk.f1_score(HOT, YES, average="macro")),
        (scores.RocAucMulti(), sk.roc_auc_score(HOT, SCORES)),
        (scores.APScoreMulti(average="micro"), sk.average_precision_score(HOT, SCORES, average="micro")),
    ],
)
def test_scores_of_several_labels(metric: SetMetric, wanted: float) -> None:
    assert measured(metric, SCORES, HOT) == pytest.approx(wanted, rel=1e-6)


def test_scores_of_numbers() -> None:
    target = SCORES[:, 1] + SCORES[:, 0]
    output = SCORES[:, :1]  # a column against a vector
    assert measured(scores.R2Score(), output, target) == pytest.approx(sk.r2_score(target, output), rel=1e-5)
    wanted = sk.explained_variance_score(target, output[:, 0])
    assert measured(scores.ExplainedVariance(), output, target) == pytest.approx(wanted, rel=1e-5)


def test_the_name_can_be_set() -> None:
    metric = scores.F1ScoreMulti()
    assert metric.name == "f1_score"
    metric.name = "F1(macro)"
    assert metric.name == "F1(macro)"
    assert scores.skm_to_wiggly(sk.zero_one_loss, "wrong").name == "wrong"
