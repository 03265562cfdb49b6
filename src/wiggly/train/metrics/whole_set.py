"""Scores of the whole validation set, computed by scikit-learn.

In: outputs and targets, collected batch by batch. Out: one number. Every class here only names scikit-learn's
function and says what it gets of the model's output; `skm_to_wiggly` does the same for any other. Read next:
`core.py`, their base.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from torch import Tensor

from wiggly.train.metrics.core import SetMetric, name_of

__all__ = [
    "APScoreBinary",
    "APScoreMulti",
    "BalancedAccuracy",
    "BrierScore",
    "CohenKappa",
    "ExplainedVariance",
    "F1Score",
    "F1ScoreMulti",
    "FBeta",
    "HammingLoss",
    "Jaccard",
    "MatthewsCorrCoef",
    "Precision",
    "PrecisionMulti",
    "R2Score",
    "Recall",
    "RecallMulti",
    "RocAuc",
    "RocAucBinary",
    "RocAucMulti",
    "skm_to_wiggly",
]


def classes(pred: Tensor) -> Tensor:
    """Class numbers of scores, classes along the last axis."""
    return pred.argmax(-1)


def softmax(pred: Tensor) -> Tensor:
    """Probabilities of all classes."""
    return pred.softmax(-1)


def second_class(pred: Tensor) -> Tensor:
    """Probability of the second of two classes; of the only one if there is a single output."""
    return pred.softmax(-1)[:, 1] if pred.shape[-1] > 1 else pred.sigmoid().reshape(-1)


def unchanged(pred: Tensor) -> Tensor:
    """The output as it is."""
    return pred


def above(thresh: float, sigmoid: bool, pred: Tensor) -> Tensor:
    """Which labels are predicted."""
    return probability(sigmoid, pred) > thresh


def probability(sigmoid: bool, pred: Tensor) -> Tensor:
    """Probabilities of independent labels."""
    return pred.sigmoid() if sigmoid else pred


def skm_to_wiggly(
    function: Callable[..., Any],
    name: str | None = None,
    prepare: Callable[[Tensor], Tensor] = classes,
    **settings: Any,
) -> SetMetric:
    """Makes a metric of any of scikit-learn's, computed over the whole validation set.

    Args:
        function: E.g. `sklearn.metrics.zero_one_loss`.
        name: Column; the function's own name if not given.
        prepare: What the function gets of the output: class numbers by default.
        settings: Keyword arguments for `function`.

    Example:
        >>> from sklearn.metrics import zero_one_loss
        >>> skm_to_wiggly(zero_one_loss).name
        'zero_one_loss'
    """
    return SetMetric(function, name or name_of(function), prepare, settings)


class _Sklearn(SetMetric):
    """One of scikit-learn's by name, imported at first use, as importing it takes long."""

    def __init__(self, function: str, prepare: Callable[[Tensor], Tensor], **settings: Any) -> None:
        super().__init__(partial(_call, function), function, prepare, settings)


def _call(function: str, targets: Any, preds: Any, **settings: Any) -> Any:
    from sklearn import metrics

    return getattr(metrics, function)(targets, preds, **settings)


class _OfClasses(_Sklearn):
    """Scores that count hits of a positive class, or average such counts over the classes.

    Args:
        function: scikit-learn's name.
        average: "binary" for two classes; "macro", "micro" or "weighted" for more.
        pos_label: Which class counts as positive in the binary case.
        labels: Classes to count; None counts all.
        settings: More keyword arguments.
    """

    def __init__(
        self, function: str, average: str, pos_label: int, labels: Sequence[int] | None, **settings: Any
    ) -> None:
        settings |= {"average": average, "pos_label": pos_label, "labels": labels}
        super().__init__(function, classes, zero_division=0, **settings)


class Precision(_OfClasses):
    """Share of right ones among those predicted positive.

    Args:
        average: "binary" for two classes; "macro", "micro" or "weighted" for more.
        pos_label: Which class counts as positive in the binary case.
        labels: Classes to count; None counts all.
    """

    def __init__(
        self, average: str = "binary", pos_label: int = 1, labels: Sequence[int] | None = None
    ) -> None:
        super().__init__("precision_score", average, pos_label, labels)


class Recall(_OfClasses):
    """Share of the positive ones that were found; arguments as of `Precision`."""

    def __init__(
        self, average: str = "binary", pos_label: int = 1, labels: Sequence[int] | None = None
    ) -> None:
        super().__init__("recall_score", average, pos_label, labels)


class F1Score(_OfClasses):
    """Harmonic mean of precision and recall; arguments as of `Precision`."""

    def __init__(
        self, average: str = "binary", pos_label: int = 1, labels: Sequence[int] | None = None
    ) -> None:
        super().__init__("f1_score", average, pos_label, labels)


class Jaccard(_OfClasses):
    """Intersection over union of predicted and actual; arguments as of `Precision`."""

    def __init__(
        self, average: str = "binary", pos_label: int = 1, labels: Sequence[int] | None = None
    ) -> None:
        super().__init__("jaccard_score", average, pos_label, labels)


class FBeta(_OfClasses):
    """F-score in which recall counts `beta` times as much as precision; other arguments as of `Precision`."""

    def __init__(
        self, beta: float, average: str = "binary", pos_label: int = 1, labels: Sequence[int] | None = None
    ) -> None:
        super().__init__("fbeta_score", average, pos_label, labels, beta=beta)


class BalancedAccuracy(_Sklearn):
    """Mean of the classes' recalls; with `adjusted` chance is 0."""

    def __init__(self, adjusted: bool = False) -> None:
        super().__init__("balanced_accuracy_score", classes, adjusted=adjusted)


class CohenKappa(_Sklearn):
    """Agreement beyond chance; `weights` "linear" or "quadratic" for ordered classes."""

    def __init__(self, weights: str | None = None) -> None:
        super().__init__("cohen_kappa_score", classes, weights=weights)


class MatthewsCorrCoef(_Sklearn):
    """Correlation of predicted and actual classes, in [-1, 1]."""

    def __init__(self) -> None:
        super().__init__("matthews_corrcoef", classes)


class HammingLoss(_Sklearn):
    """Share of wrong labels."""

    def __init__(self) -> None:
        super().__init__("hamming_loss", classes)


class RocAuc(_Sklearn):
    """Area under the ROC curve for several classes, each against the rest ("ovr") or each other ("ovo")."""

    def __init__(self, average: str = "macro", multi_class: str = "ovr") -> None:
        super().__init__("roc_auc_score", softmax, average=average, multi_class=multi_class)


class RocAucBinary(_Sklearn):
    """Area under the ROC curve for two classes."""

    def __init__(self) -> None:
        super().__init__("roc_auc_score", second_class)


class APScoreBinary(_Sklearn):
    """Average precision for two classes: area under the precision-recall curve."""

    def __init__(self) -> None:
        super().__init__("average_precision_score", second_class)


class BrierScore(_Sklearn):
    """Mean squared difference of the second class's probability and what happened."""

    def __init__(self) -> None:
        super().__init__("brier_score_loss", second_class)


class _OfLabels(_Sklearn):
    """Scores for several labels per item, counted where the probability is above a threshold."""

    def __init__(self, function: str, thresh: float, sigmoid: bool, average: str) -> None:
        super().__init__(function, partial(above, thresh, sigmoid), average=average, zero_division=0)


class PrecisionMulti(_OfLabels):
    """Precision for several labels per item.

    Args:
        thresh: Probability above which a label is predicted.
        sigmoid: Whether outputs are to be turned into probabilities first.
        average: "macro" (labels count alike), "micro", "weighted" or "samples".
    """

    def __init__(self, thresh: float = 0.5, sigmoid: bool = True, average: str = "macro") -> None:
        super().__init__("precision_score", thresh, sigmoid, average)


class RecallMulti(_OfLabels):
    """Recall for several labels per item; arguments as of `PrecisionMulti`."""

    def __init__(self, thresh: float = 0.5, sigmoid: bool = True, average: str = "macro") -> None:
        super().__init__("recall_score", thresh, sigmoid, average)


class F1ScoreMulti(_OfLabels):
    """F1 for several labels per item; arguments as of `PrecisionMulti`."""

    def __init__(self, thresh: float = 0.5, sigmoid: bool = True, average: str = "macro") -> None:
        super().__init__("f1_score", thresh, sigmoid, average)


class RocAucMulti(_Sklearn):
    """Area under the ROC curve for several labels per item."""

    def __init__(self, sigmoid: bool = True, average: str = "macro") -> None:
        super().__init__("roc_auc_score", partial(probability, sigmoid), average=average)


class APScoreMulti(_Sklearn):
    """Average precision for several labels per item."""

    def __init__(self, sigmoid: bool = True, average: str = "macro") -> None:
        super().__init__("average_precision_score", partial(probability, sigmoid), average=average)


class R2Score(_Sklearn):
    """Share of the target's variance that is explained, 0 for always predicting the mean."""

    def __init__(self) -> None:
        super().__init__("r2_score", unchanged)


class ExplainedVariance(_Sklearn):
    """Like `R2Score` but blind to a constant offset."""

    def __init__(self) -> None:
        super().__init__("explained_variance_score", unchanged)
