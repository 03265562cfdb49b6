"""`compare`: several architectures trained alike on the same data, small ones first.

In: loaders and names. Out: a `Comparison`: a table, a figure, and advice. One that cannot be trained becomes
a row that says why. Read next: `comparison.py`.
"""

from __future__ import annotations

import inspect
import math
import textwrap
import time
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.basics import set_seed
from wiggly.data.dataset import Dataset
from wiggly.data.order import Ordered
from wiggly.errors import ArgumentError, WigglyError
from wiggly.interpret.comparison import Compared, Comparison
from wiggly.interpret.score import Interval, score_against
from wiggly.train.callbacks.monitor import lower_is_better
from wiggly.train.checks import whole_number
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import AverageMetric, Metric
from wiggly.train.probe.budget import seconds_of, seconds_of_validation
from wiggly.vision.learner import vision_learner
from wiggly.vision.networks import find_source, make_network

__all__ = ["compare"]

# Draws with replacement for the standard error of a score that is no share (Efron & Tibshirani, "An
# Introduction to the Bootstrap", 1993, chapter 6); so many of it to either side are a 95 % interval.
REACH = 1.96
RESAMPLES = 200
FROM_SCRATCH_LR = 5e-3
SECONDS_OF_TIMING = 0.5
LONGEST_REASON = 120


def compare(
    dls: Any,
    archs: Sequence[Any],
    budget: str | float | None = None,
    epochs: int = 0,
    pretrained: bool = True,
    weights: Mapping[str, str | Path] | None = None,
    metrics: Any = None,
    seed: int = 42,
    **settings: Any,
) -> Comparison:
    """Trains architectures alike, small ones first, and puts accuracy beside time, size and images per
    second.

    Start simple; trying architectures is the last step. By default each one is probed (`Learner.probe`): one
    pass over the data, which ranks pretrained bodies well and takes seconds.

    Args:
        dls: Loaders of images.
        archs: Names or constructors, as for `vision_learner`.
        budget: Time for all together ("5 min"), shared evenly by those that exist; None needs as long as it
            takes.
        epochs: Epochs with everything unfrozen after the probe, without a budget.
        pretrained: As for `vision_learner`; False trains random weights, for which `epochs` or a `budget` is
            needed.
        weights: Files of weights, by name of the architecture.
        metrics: The first one is the score, where the target is not one category: then it is the accuracy.
        seed: Of the heads' first weights and all draws, the same for every architecture.
        settings: More arguments for `vision_learner`.

    Returns:
        The comparison; it is printed too. `.plot()` draws it, `.best` and `.simplest` are rows.

    Raises:
        ArgumentError: There is nothing to compare, random weights are not to be trained, or an argument is
            not known.

    Example:
        >>> from wiggly.data.loader import DataLoader
        >>> from wiggly.data.loaders import DataLoaders
        >>> samples = [(torch.rand(3, 32, 32), i % 2) for i in range(16)]
        >>> dls = DataLoaders(DataLoader(samples, bs=8), DataLoader(samples, bs=8), device="cpu")
        >>> how = {"n_out": 2, "loss_func": torch.nn.CrossEntropyLoss(), "epochs": 1, "pretrained": False}
        >>> found = compare(dls, ["test_resnet", "no_such_net"], **how)  # doctest: +ELLIPSIS
        test_resnet: ...
        >>> [row.arch for row in found.rows]
        ['test_resnet', 'no_such_net']
    """
    if hasattr(dls, "cat_names"):
        raise ArgumentError(
            "`compare` takes loaders of images",
            "these are of a table",
            'Train both networks there are, tabular_learner(dls) and tabular_learner(dls, arch="tabm"); '
            "learn.report() puts simpler models beside.",
        )
    files = dict(weights or {})
    _check(archs, budget, epochs, pretrained, files, settings)
    sizes = [_n_parameters(arch) for arch in archs]
    # What is not there at all takes no time.
    share = None if budget is None else seconds_of(budget) / max(1, sum(map(_is_known, archs)))
    scale: _Scale | None = None
    rows: list[Compared] = []
    loader: Any = getattr(dls, "train", None)
    place = loader.state_dict() if isinstance(loader, Ordered) else None  # order and draws depend on it
    for arch in [archs[i] for i in sorted(range(len(archs)), key=lambda i: sizes[i])]:
        name = _name(arch)
        how: dict[str, Any] = {
            "pretrained": pretrained,
            "weights": files.get(name),
            "metrics": metrics,
            **settings,
        }
        started = time.perf_counter()
        try:
            set_seed(seed)
            if place is not None:
                loader.load_state_dict(place)
            learn = vision_learner(dls, arch, **how)
            with learn.no_bar(), learn.no_logging():
                left = None if share is None else share - (time.perf_counter() - started)
                _train(learn, left, epochs, pretrained or name in files)
                seconds = time.perf_counter() - started
                raw = _raw(learn)
                scale = scale or _Scale(learn, *raw)
                score = scale.score(*raw)
                rows.append(_measured(learn, name, score, seconds))
        except Exception as error:  # whatever is wrong with one must not cost the others
            rows.append(Compared(name, reason=_reason(error)))
            print(f"{name}: left out. {error}", flush=True)  # whole, with what to do; the table has it short
            continue
        print(f"{name}: {score[0]:.4f} after {seconds:.1f} s", flush=True)
    return _compared(rows, scale)


def _check(
    archs: Any, budget: Any, epochs: int, pretrained: bool, files: dict[str, Any], settings: dict[str, Any]
) -> None:
    """What is wrong for all architectures alike is told before any of them is tried."""
    if isinstance(archs, (str, bytes)) or not archs:
        raise ArgumentError(
            "`archs` must be a list of architectures", f"got {archs!r}", 'Pass ["resnet18", ...].'
        )
    names = [_name(arch) for arch in archs]
    epochs = whole_number("epochs", epochs, lowest=0)
    if budget is not None and epochs:
        received = f"got budget={budget!r} and epochs={epochs}"
        raise ArgumentError("`budget` chooses the epochs itself", received, "Pass one of the two.")
    if not pretrained and budget is None and not epochs and not set(names) <= set(files):
        raise ArgumentError(
            "random weights must be trained to be compared",
            "pretrained=False, without `epochs` and `budget`",
            'Pass e.g. epochs=5 or budget="10 min".',
        )
    if unknown := [name for name in files if name not in names]:  # else it would not be missed
        raise ArgumentError(
            "`weights` must be by the names in `archs`",
            f"got one for {unknown[0]!r}; there are {', '.join(names)}",
            "Correct the name, or leave it out.",
        )
    if unknown := set(settings) - set(inspect.signature(vision_learner).parameters):
        received = f"it has no argument {', '.join(sorted(unknown))}"
        raise ArgumentError("more arguments must be those of `vision_learner`", received, "Correct the name.")


def _is_known(arch: Any) -> bool:
    try:
        find_source(arch)
    except WigglyError:
        return False
    return True


def _compared(rows: list[Compared], scale: _Scale | None) -> Comparison:
    if scale is None:
        found = Comparison(rows, "score")
    else:
        found = Comparison(rows, scale.name, scale.higher, scale.baseline, scale.baseline_name)
    print(f"\n{found}")
    return found


def _name(arch: Any) -> str:
    return arch if isinstance(arch, str) else getattr(arch, "__name__", type(arch).__name__)


def _n_parameters(arch: Any) -> float:
    """Size of a network, without making it in memory; infinite where nobody knows, which is then tried
    last."""
    try:
        with torch.device("meta"):
            source = find_source(arch)
            module = source.arch if isinstance(source.arch, nn.Module) else make_network(source, 3, {})[0]
    except Exception:  # the error is told when it is the architecture's turn
        return math.inf
    return float(sum(p.numel() for p in module.parameters()))


def _train(learn: Learner, left: float | None, epochs: int, pretrained: bool) -> None:
    if left is not None:  # the score is part of the budget too, unless there is next to none
        learn.fit(
            budget=max(left - seconds_of_validation(learn, left / 8) - SECONDS_OF_TIMING, left / 2, 0.01)
        )
    elif not pretrained:
        learn.fit_one_cycle(epochs, FROM_SCRATCH_LR)
    elif epochs:
        learn.fine_tune(epochs, start="probe")
    else:
        learn.probe()


def _measured(learn: Learner, name: str, scored: tuple[float, Interval], seconds: float) -> Compared:
    score, interval = scored
    tensors = learn.model.state_dict().values()
    return Compared(
        arch=name,
        score=score,
        interval=interval,
        seconds=seconds,
        parameters=sum(p.numel() for p in learn.model.parameters()),
        megabytes=sum(4 * t.numel() for t in tensors if t.is_floating_point()) / 1e6,
        images_per_second=_images_per_second(learn),
    )


def _images_per_second(learn: Learner) -> float:
    """Of the model alone on one validation batch, the best of several times."""
    best, ends = math.inf, time.perf_counter() + SECONDS_OF_TIMING
    for batch, _ in learn.outputs(learn.dls.valid):  # the first pass was the warm-up
        while best == math.inf or time.perf_counter() < ends:
            started = time.perf_counter()
            with torch.no_grad():
                learn.engine.forward(learn.model, batch)
            if learn.engine.device.type == "cuda":
                torch.cuda.synchronize()
            best = min(best, time.perf_counter() - started)
        return len(batch) / best
    return 0.0


class _Scale:
    """What the score is, and what an answer that looks at no input would reach.

    One category per item: accuracy, its Wilson interval, the most frequent training class. Else the first
    metric (the loss without one), a bootstrap interval, and the mean of the training targets.
    """

    def __init__(self, learn: Learner, raw: Tensor, targets: Tensor) -> None:
        self.is_classes = targets.ndim == 1 and not targets.is_floating_point() and raw.ndim == 2
        self.metric = _first_metric(learn)
        self.name = "accuracy" if self.is_classes else self.metric.name
        self.higher = not lower_is_better(self.name)
        self.baseline_name = "most frequent class" if self.is_classes else "mean of the training targets"
        known = _training_targets(learn.dls.train)
        self.majority = int((targets if known is None else known).mode().values) if self.is_classes else 0
        self.baseline: float | None = None
        if self.is_classes:
            self.baseline = float((targets == self.majority).double().mean())
        elif known is not None:
            self.baseline = self._value(_constant(learn, known).expand_as(raw), targets)

    def score(self, raw: Tensor, targets: Tensor) -> tuple[float, Interval]:
        """The score of a model with these outputs, and its interval."""
        if self.is_classes:
            found = score_against(targets.numpy(), raw.argmax(1).numpy(), self.majority)
            return found.accuracy, found.interval
        drawn = np.random.default_rng(0).integers(len(targets), size=(RESAMPLES, len(targets)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of labels that a draw has left out
            values = [self._value(raw[rows], targets[rows]) for rows in map(torch.from_numpy, drawn)]
        value, reach = self._value(raw, targets), REACH * float(np.std(values))
        return value, Interval(value - reach, value + reach)

    def _value(self, raw: Tensor, targets: Tensor) -> float:
        self.metric.reset()
        self.metric.accumulate(raw, (targets,))
        return self.metric.value()


def _raw(learn: Learner) -> tuple[Tensor, Tensor]:
    """Outputs before the activation, which is what metrics get, and targets, of the validation items."""
    raw, targets = learn.get_preds(act=lambda outputs: outputs)[:2]
    return raw, targets


def _first_metric(learn: Learner) -> Metric:
    return learn.metrics[0] if learn.metrics else AverageMetric(learn.loss_func, "loss")


def _training_targets(loader: Any) -> Tensor | None:
    """All encoded targets, without reading an image; None where the loader is not built from blocks."""
    dataset = getattr(loader, "dataset", None)
    if not isinstance(dataset, Dataset):
        return None
    return torch.stack([dataset.encoded_target(i) for i in range(len(dataset))])


def _constant(learn: Learner, targets: Tensor) -> Tensor:
    """The mean target as a model would put it: a score where the loss expects scores."""
    mean = targets.float().mean(0)
    block = learn.target_block
    return torch.logit(mean, eps=1e-6) if block is not None and block.activation == "sigmoid" else mean


def _reason(error: Exception) -> str:
    told = (
        f"{error.rule}; {error.received}"
        if isinstance(error, WigglyError)
        else f"{type(error).__name__}: {error}"
    )
    return textwrap.shorten(told, LONGEST_REASON, placeholder=" ...")
