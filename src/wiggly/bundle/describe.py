"""What is measured and noted when a bundle is written: the score, metrics, versions, what trains it.

In: a trained learner. Out: fields of a `Manifest`. Read next: `export.py`, which writes them.
"""

from __future__ import annotations

import math
import platform
import sys
import warnings
from importlib import metadata
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.bundle.parts import Score
from wiggly.errors import BadItemsError, BundleError
from wiggly.interpret.score import score_against
from wiggly.train.losses.core import activation_of

if TYPE_CHECKING:
    from wiggly.bundle.held_out import HeldOut
    from wiggly.train.learner import Learner

__all__ = [
    "accuracy_score",
    "describe_model",
    "last_metrics",
    "measured_metrics",
    "rmse_score",
    "training_targets",
    "versions",
    "wiggly_version",
]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "opencv-python-headless", "safetensors")

#: Training targets looked at where they are not all in memory, and resamples of a bootstrap.
MOST_TARGETS, RESAMPLES = 1 << 16, 1_000


def describe_model(learn: Learner) -> dict[str, Any]:
    """The JSON from which the network is built again.

    Raises:
        BundleError: It is a network of the user's own.
    """
    if learn.model_config is None:
        raise BundleError(
            "a bundle needs a network that can be built again from its description",
            f"`{type(learn.model).__name__}` is one of your own",
            "Use `vision_learner`, `unet_learner`, `detection_learner` or `tabular_learner`; the weights of "
            "your own network can be kept with `learn.save`.",
        )
    return learn.model_config


def accuracy_score(learn: Learner, seen: HeldOut) -> Score | None:
    """Accuracy beside the constant answer.

    Args:
        learn: The learner.
        seen: What it says of its validation items.

    Returns:
        The score; None when they cannot be read any more.
    """
    found = seen.rows
    if found is None:
        return None
    vocabulary = learn.dls.target_blocks[0].vocab or []
    usual = int(training_targets(learn).bincount().argmax())
    score = score_against(found.targets[0].flatten().numpy(), found.probs.argmax(-1).numpy(), usual)
    low, high = score.interval
    return Score("accuracy", score.accuracy, score.n, (low, high), score.baseline, vocabulary[usual])


def rmse_score(learn: Learner, seen: HeldOut) -> Score | None:
    """Root mean square error of a single number beside always answering the training mean.

    Args:
        learn: The learner.
        seen: What it says of its validation items.

    Returns:
        The score, its interval by bootstrap over the items (percentiles; Efron & Tibshirani, "An
        Introduction to the Bootstrap", 1993, chapter 13); None for several numbers.
    """
    found = seen.rows
    if found is None or found.targets[0].numel() != len(found.positions):
        return None
    targets = found.targets[0].flatten().double()
    values = activation_of(learn.loss_func, learn.target_block)(found.probs)
    squares = (values.flatten().double() - targets).square().numpy()
    mean = float(training_targets(learn).double().mean())
    random, n = np.random.default_rng(0), len(squares)
    means = [squares[random.integers(0, n, n)].mean() for _ in range(RESAMPLES)]
    low, high = np.sqrt(np.quantile(means, (0.025, 0.975))).tolist()
    error, baseline = math.sqrt(squares.mean()), float((targets - mean).square().mean().sqrt())
    if not all(map(math.isfinite, (error, low, high, baseline, mean))):
        return None
    return Score("rmse", error, n, (low, high), baseline, mean)


def training_targets(learn: Learner, place: int = 0) -> Tensor:
    """The encoded training targets, first axis items; of a table that is streamed, many of them.

    Args:
        learn: The learner.
        place: Of the target block that is meant.
    """
    loader = learn.dls.train
    dataset: Any = loader.dataset
    kept: Any = getattr(dataset, "targets", None)
    if isinstance(kept, tuple):
        return cast("tuple[Tensor, ...]", kept)[place].cpu()
    if not hasattr(dataset, "raw_targets"):
        return loader.look(MOST_TARGETS).targets[place].cpu()
    block = dataset.blocks[dataset.n_inp]
    return torch.stack([block.encode(block.load(raw)) for raw in dataset.raw_targets])


def last_metrics(learn: Learner) -> dict[str, float]:
    """The last line of the training history, without numbers that JSON cannot write."""
    rows, names = (
        learn.recorder.values,
        learn.recorder.metric_names[1:-1],
    )  # without the columns epoch and time
    last = zip(names, rows[-1], strict=True) if rows else ()
    return {name: float(value) for name, value in last if math.isfinite(value)}


def measured_metrics(learn: Learner) -> dict[str, float]:
    """Loss and metrics of the validation set as the learner is now; the last line of its history, with a
    warning, where the photos cannot be read any more."""
    try:
        found = learn.evaluate(learn.dls.valid)
    except BadItemsError as error:
        warnings.warn(f"exported with the metrics of the last epoch: {error.received}", stacklevel=3)
        return last_metrics(learn)
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def wiggly_version() -> str:
    """The version of this package, asked of the module: a checkout on the path may not be installed."""
    return str(sys.modules["wiggly"].__version__)


def versions() -> dict[str, str]:
    """The software that predictions depend on."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # OpenCV has several distributions under one module name
            continue
    return found
