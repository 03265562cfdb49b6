"""Metrics: numbers for people, computed on the validation set after every epoch.

In: outputs and targets, batch by batch. Out: one number. A function of `(output, target)` is averaged with
batches weighted by their size; where an average of batches would be wrong (F1, AUC, ...), outputs are
collected and scikit-learn computes once over the whole set. Read next: `whole_set.py` for scikit-learn's,
`../history.py`, which runs them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from wiggly.errors import ArgumentError, TrainingError, WigglyError
from wiggly.train.losses.checks import briefly

__all__ = [
    "AverageMetric",
    "Metric",
    "PixelShare",
    "PointError",
    "SetMetric",
    "accuracy",
    "accuracy_multi",
    "as_metrics",
    "error_rate",
    "foreground_acc",
    "mae",
    "metric_for",
    "mse",
    "pixel_accuracy",
    "rmse",
    "top_k_accuracy",
]


def accuracy(inp: Tensor, targ: Tensor, axis: int = -1) -> Tensor:
    """Share of rows whose highest score is the target's.

    Args:
        inp: Scores or probabilities, classes along `axis`.
        targ: Class numbers, as many as there are rows.
        axis: Axis of the classes.

    Raises:
        ArgumentError: Numbers of rows and targets differ, or there is one score only.

    Example:
        >>> accuracy(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        tensor(0.5000)
    """
    if inp.shape[axis] == 1:  # the highest of one score is always the same
        raise ArgumentError(
            "`accuracy` and `error_rate` need a score for each class",
            f"the model has 1 output, of shape {tuple(inp.shape)}",
            "Pass metrics=accuracy_multi for one yes-or-no output.",
        )
    pred, targ = _flat_pair(inp.argmax(axis), targ)
    return (pred == targ).float().mean()


def error_rate(inp: Tensor, targ: Tensor, axis: int = -1) -> Tensor:
    """1 - `accuracy`.

    Example:
        >>> error_rate(torch.tensor([[0.9, 0.1], [0.8, 0.2]]), torch.tensor([0, 1]))
        tensor(0.5000)
    """
    return 1 - accuracy(inp, targ, axis)


def top_k_accuracy(inp: Tensor, targ: Tensor, k: int = 5, axis: int = -1) -> Tensor:
    """Share of rows whose target is among the `k` highest scores.

    Raises:
        ArgumentError: There are fewer than `k` scores.
    """
    if inp.shape[axis] < k:
        raise ArgumentError(
            "`k` must be at most the number of classes",
            f"it is {k} of {inp.shape[axis]}",
            "Pass fewer: partial(top_k_accuracy, k=2), say.",
        )
    best = inp.topk(k, axis).indices
    return (best == targ.unsqueeze(axis)).any(axis).float().mean()


def accuracy_multi(inp: Tensor, targ: Tensor, thresh: float = 0.5, sigmoid: bool = True) -> Tensor:
    """Share of right yes-or-no answers over all labels of all rows.

    Args:
        inp: Scores `(n, c)`; probabilities if `sigmoid` is False.
        targ: Multi-hot targets `(n, c)`.
        thresh: Probability above which the answer is yes.
        sigmoid: Whether scores are to be turned into probabilities first.
    """
    inp, targ = _flat_pair(inp, targ)
    probs = inp.sigmoid() if sigmoid else inp
    return ((probs > thresh) == targ.bool()).float().mean()


def pixel_accuracy(inp: Tensor, targ: Tensor, axis: int = 1, ignore: int | None = None) -> Tensor:
    """Share of pixels whose highest score is the mask's class.

    Args:
        inp: Scores or probabilities `(n, c, h, w)`.
        targ: Masks `(n, h, w)`.
        axis: Axis of the classes.
        ignore: Pixels of this class in the mask do not count; None counts all.

    Example:
        >>> scores = torch.tensor([[[[0.9, 0.2]], [[0.1, 0.8]]]])
        >>> pixel_accuracy(scores, torch.tensor([[[0, 0]]]))
        tensor(0.5000)
        >>> pixel_accuracy(scores, torch.tensor([[[0, 7]]]), ignore=7)
        tensor(1.)
    """
    right, counted = right_pixels(inp, targ, axis, (ignore,))
    return right / counted.clamp(min=1)


def foreground_acc(
    inp: Tensor, targ: Tensor, bkg_idx: int = 0, axis: int = 1, ignore: int | None = None
) -> Tensor:
    """`pixel_accuracy` where the mask is not background.

    Args:
        inp: Scores or probabilities `(n, c, h, w)`.
        targ: Masks `(n, h, w)`.
        bkg_idx: Class of the background.
        axis: Axis of the classes.
        ignore: A second class that does not count.
    """
    right, counted = right_pixels(inp, targ, axis, (bkg_idx, ignore))
    return right / counted.clamp(min=1)


def at_least_two(scores: Tensor, axis: int) -> Tensor:
    """Scores of classes; of a single one, which says yes above 0, another one for "no" before it."""
    return torch.cat([torch.zeros_like(scores), scores], axis) if scores.shape[axis] == 1 else scores


def right_pixels(
    inp: Tensor, targ: Tensor, axis: int, left_out: Sequence[int | None]
) -> tuple[Tensor, Tensor]:
    """How many pixels are right, and how many count: those of no class left out."""
    pred, targ = _flat_pair(inp.argmax(axis), targ)
    counted = torch.ones_like(targ, dtype=torch.bool)
    for index in left_out:
        if index is not None:
            counted &= targ != index
    return ((pred == targ) & counted).sum(), counted.sum()


def mse(inp: Tensor, targ: Tensor) -> Tensor:
    """Mean squared error."""
    inp, targ = _flat_pair(inp, targ)
    return (inp - targ).square().mean()


def mae(inp: Tensor, targ: Tensor) -> Tensor:
    """Mean absolute error."""
    inp, targ = _flat_pair(inp, targ)
    return (inp - targ).abs().mean()


def rmse(inp: Tensor, targ: Tensor) -> Tensor:
    """Root of the mean squared error; as a metric of the Learner it is the root over the whole set."""
    return mse(inp, targ).sqrt()


def _flat_pair(pred: Tensor, targ: Tensor) -> tuple[Tensor, Tensor]:
    if pred.numel() != targ.numel():
        raise ArgumentError(
            "predictions and targets must be as many",
            f"shapes are {tuple(pred.shape)} and {tuple(targ.shape)}",
            "Check `axis`, and that the metric suits this kind of target.",
        )
    return pred.reshape(-1), targ.reshape(-1)


class Metric(ABC):
    """Base of metrics that are more than an average of batches; derive to write your own.

    Attributes:
        name: Its column in the table; settable.
    """

    name: str

    @abstractmethod
    def reset(self) -> None:
        """Forgets everything; called before each validation."""

    @abstractmethod
    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        """Takes in one batch: the model's output (no activation applied) and its targets."""

    @abstractmethod
    def value(self) -> float:
        """The number over all batches since `reset`."""


class AverageMetric(Metric):
    """A function's average over the set, batches weighted by their number of rows.

    Args:
        function: Takes the output and the targets, returns a number or a tensor of one.
        name: Column; the function's own name if not given.
        finish: Applied to the average, e.g. a square root.

    Example:
        >>> metric = AverageMetric(error_rate)
        >>> metric.accumulate(torch.tensor([[1.0, 0.0]]), (torch.tensor([0]),))
        >>> metric.accumulate(torch.tensor([[1.0, 0.0]] * 3), (torch.tensor([1] * 3),))
        >>> metric.name, metric.value()
        ('error_rate', 0.75)
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str | None = None,
        finish: Callable[[float], float] | None = None,
    ) -> None:
        self.function, self.finish = function, finish
        self.name = name or name_of(function)
        self.reset()

    def reset(self) -> None:
        self._total: Any = 0.0
        self._rows = 0

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        rows = targets[0].shape[0]
        result = self.function(pred, *targets)
        if not _is_number(result):
            raise TypeError(f"it returned {_described(result)}")
        # Kept as a tensor: reading it here would make a GPU wait after every batch.
        self._total = self._total + (result.detach() if isinstance(result, Tensor) else result) * rows
        self._rows += rows

    def value(self) -> float:
        average = float(self._total) / max(self._rows, 1)
        return self.finish(average) if self.finish is not None else average


class PixelShare(Metric):
    """`pixel_accuracy` or `foreground_acc` of the whole set: every pixel that counts has the same weight,
    where a mean over batches would give more to those of batches with much void.

    Args:
        function: One of the two, or a `partial` of it with named arguments.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self.name = name_of(function)
        given: dict[str, Any] = function.keywords if isinstance(function, partial) else {}
        self.axis, self.ignore = given.get("axis", 1), given.get("ignore")
        self.background = given.get("bkg_idx", 0) if self.name == foreground_acc.__name__ else None
        self.reset()

    def reset(self) -> None:
        self._right: Any = 0
        self._counted: Any = 0

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        left_out = (self.ignore, self.background)
        right, counted = right_pixels(at_least_two(pred.detach(), self.axis), targets[0], self.axis, left_out)
        self._right, self._counted = self._right + right, self._counted + counted

    def value(self) -> float:
        return float(self._right) / max(int(self._counted), 1)


class PointError(Metric):
    """Mean distance of predicted from true points, as a share of the picture's sides; 0.01 is one hundredth.

    Points are in [-1, 1], so a side is 2 long; missing ones (NaN) do not count.

    Example:
        >>> metric = PointError()
        >>> metric.accumulate(torch.tensor([[0.0, 0.2]]), (torch.tensor([[[0.0, 0.0]]]),))
        >>> round(metric.value(), 3)
        0.1
    """

    name = "point_error"

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self._total: Any = 0.0
        self._points: Any = 0

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        target = targets[0].reshape(-1, 2)
        distances = (pred.detach().reshape(-1, 2) - target).square().sum(1).sqrt() / 2
        known = ~target.isnan().any(1)
        self._total = self._total + torch.where(known, distances, 0.0).sum()
        self._points = self._points + known.sum()

    def value(self) -> float:
        return float(self._total) / max(int(self._points), 1)


class SetMetric(Metric):
    """A metric of the whole set: outputs are collected, one function is called at the end.

    Args:
        function: Takes numpy arrays of targets and predictions, in this order (scikit-learn's).
        name: Column in the table.
        prepare: Turns an output batch into what is collected, e.g. class numbers or probabilities.
        settings: Keyword arguments for `function`.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        name: str,
        prepare: Callable[[Tensor], Tensor],
        settings: dict[str, Any] | None = None,
    ) -> None:
        self.function, self.name, self.prepare = function, name, prepare
        self.settings = settings or {}
        self.reset()

    def reset(self) -> None:
        self._preds: list[Tensor] = []
        self._targets: list[Tensor] = []

    def accumulate(self, pred: Any, targets: tuple[Tensor, ...]) -> None:
        self._preds.append(self.prepare(pred.detach()).cpu())
        self._targets.append(targets[0].cpu())

    def value(self) -> float:
        preds, targets = torch.cat(self._preds), torch.cat(self._targets)
        if preds.ndim == targets.ndim + 1 and preds.shape[-1] == 1:
            preds = preds.squeeze(-1)
        return float(self.function(targets.numpy(), preds.numpy(), **self.settings))


def metric_for(block: Any) -> Any:
    """The metric that a target block asks for by name, with its settings; None if it asks for none.

    Example:
        >>> from wiggly.data.blocks import CategoryBlock
        >>> metric_for(CategoryBlock()).__name__
        'error_rate'
    """
    if not block.metric:
        return None
    found: Any = globals().get(block.metric)
    if not callable(found):
        raise ArgumentError(
            "a target block's `metric` must be a name in wiggly.train.metrics.core",
            f"{type(block).__name__} has {block.metric!r}",
            "Pass `metrics`, e.g. metrics=error_rate.",
        )
    return partial(found, **block.metric_settings) if block.metric_settings else found


def name_of(function: Callable[..., Any]) -> str:
    if isinstance(function, partial):
        return name_of(function.func)
    return getattr(function, "__name__", type(function).__name__)


def _is_number(value: Any) -> bool:
    """Whether it is one number: Python's, numpy's or a tensor's."""
    if isinstance(value, Tensor):
        return value.numel() == 1
    return getattr(value, "size", 1) == 1 and hasattr(value, "__float__") and not isinstance(value, str)


def _described(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return f"a {type(value).__name__}" + (
        f" of shape {tuple(shape)}" if shape is not None else f" ({value!r:.40})"
    )


def as_number(value: Any) -> float:
    """The value of a metric.

    Raises:
        TypeError: It is not one number.
    """
    if not _is_number(value):
        raise TypeError(f"its value is {_described(value)}")
    return float(value)


def as_metrics(metrics: Any) -> list[Metric]:
    """Metrics as a list: functions become averages, classes are called, equal names are told apart.

    Args:
        metrics: A metric or function, a list of them, or None.

    Raises:
        ArgumentError: One of them is neither.

    Example:
        >>> [m.name for m in as_metrics([accuracy, partial(accuracy, axis=1)])]
        ['accuracy', 'accuracy_2']
    """
    given: list[Any] = (
        []
        if metrics is None
        else list(metrics)
        if isinstance(metrics, Sequence) and not isinstance(metrics, str)
        else [metrics]
    )
    made = [_as_metric(metric) for metric in given]
    seen: dict[str, int] = {}
    for metric in made:
        seen[metric.name] = seen.get(metric.name, 0) + 1
        if seen[metric.name] > 1:
            metric.name = f"{metric.name}_{seen[metric.name]}"
    return made


def _as_metric(metric: Any) -> Metric:
    if isinstance(metric, type):
        metric = metric()
    if isinstance(metric, Metric):
        return metric
    if metric is rmse:  # the mean of roots is not the root of the mean
        return AverageMetric(mse, "rmse", finish=lambda average: average**0.5)
    plain = metric.func if isinstance(metric, partial) and not metric.args else metric
    if plain in (pixel_accuracy, foreground_acc):
        return PixelShare(metric)
    if callable(metric):
        return AverageMetric(metric)
    raise ArgumentError(
        "`metrics` must be functions or Metric objects", f"got {metric!r}", "E.g. metrics=error_rate."
    )


def explain_metric_error(metric: Metric, error: Exception) -> TrainingError:
    """The error to raise for a metric that failed, naming it."""
    rule = f"the metric `{metric.name}` must accept the model's output and the targets, and give one number"
    if isinstance(error, WigglyError):
        return TrainingError(rule, f"{error.rule}; {error.received}", error.fix)
    return TrainingError(rule, briefly(error), _metric_fix(metric, error))


def _metric_fix(metric: Metric, error: Exception) -> str:
    function: Any = getattr(metric, "function", None)
    module = str(getattr(_plain(function), "__module__", ""))
    if isinstance(metric, SetMetric):
        return "Choose one for this kind of target: several classes need average='macro', or RocAuc."
    if module.startswith("sklearn."):
        return f"Have it called for the whole set, with class numbers: skm_to_wiggly({name_of(function)})."
    if isinstance(error, TypeError) and str(error).startswith(("it returned", "its value")):
        return "Have it return one number, e.g. the mean over the rows."
    return "It is called with the output of a batch and its targets: mend it, or set `learn.metrics`."


def _plain(function: Any) -> Any:
    return _plain(function.func) if isinstance(function, partial) else function
