"""Validation items through the bundle's own reader: does it answer as the learner, which reads otherwise?

In: a learner, and the runner of its bundle. Out: an `Agreement`; items on which variants of the graph are
measured. Read next: `graph/making.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from wiggly.bundle.graph.variants import Validation
from wiggly.bundle.measured import Agreement
from wiggly.bundle.parts import CategoryOutput, LabelsOutput, MaskOutput, NumbersOutput, PointsOutput
from wiggly.bundle.pictures import PictureReader
from wiggly.bundle.readers import spread
from wiggly.bundle.runner import Runner
from wiggly.errors import WigglyError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["measure_agreement", "validation_items"]

#: Validation pictures that are compared, and items that variants are measured and calibrated on.
MOST_COMPARED, MOST_MEASURED, MOST_CALIBRATED = 200, 1_000, 100

#: Numbers, and places in [-1, 1], are the same answer if they differ by no more (of their range in training).
SAME_NUMBER = 0.01


def measure_agreement(learn: Learner, runner: Runner) -> Agreement | None:
    """Compare bundle and learner on up to 200 validation pictures.

    Args:
        learn: The learner.
        runner: Of its bundle, at temperature 1, as the learner answers.

    Returns:
        What was found; None for tables (both read them by the same code), for boxes, and where the pictures
        cannot be read any more.
    """
    output: Any = runner.answer.output
    known = CategoryOutput | LabelsOutput | MaskOutput | NumbersOutput | PointsOutput
    if not isinstance(runner.reader, PictureReader) or not isinstance(output, known):
        return None
    try:
        items = _items(learn.dls.valid.dataset, MOST_COMPARED)
        bs = runner.reader.batch_size if runner.reader.fixed_size else 1
        theirs = learn.dls.test_dl(items, bs=bs)
        both = zip(theirs.batches(), runner.reader.batches(runner.reader.items(items), bs), strict=True)
        found = [_compared(runner, output, theirs.inputs[0], ours[0]) for theirs, ours in both]
    except (WigglyError, OSError):
        return None
    same, apart = (np.concatenate(column) for column in zip(*found, strict=True)) if found else ([], [])
    if not len(same):
        return None
    return Agreement(len(same), float(np.mean(same)), float(np.max(apart)))


def validation_items(learn: Learner, runner: Runner) -> Validation | None:
    """Validation and training items as inputs of the graph; None if they cannot be read any more."""
    output: Any = runner.answer.output
    try:
        if not isinstance(runner.reader, PictureReader):
            dls: Any = learn.dls
            looked = dls.looked_at(dls.valid, MOST_MEASURED)
            parts = [part.cpu().numpy() for part in looked.inputs]
            parts = [part for part in parts if part.shape[1]]
            feeds = [tuple(part[k : k + 1] for part in parts) for k in range(len(parts[0]))]
            targets = looked.targets[0].cpu().numpy() if isinstance(output, CategoryOutput) else None
            return Validation(feeds, targets, ())
        valid, train = learn.dls.valid.dataset, learn.dls.train.dataset
        places = spread(len(valid), MOST_MEASURED)
        category = isinstance(output, CategoryOutput)
        targets = np.array([int(valid.encoded_target(k)) for k in places]) if category else None
        return Validation(
            [_feed(runner.reader, valid.raw(k, 0)) for k in places],
            targets,
            [_feed(runner.reader, item) for item in _items(train, MOST_CALIBRATED)],
        )
    except (WigglyError, OSError):
        return None


def _items(dataset: Any, n: int) -> list[Any]:
    return [dataset.raw(position, 0) for position in spread(len(dataset), n)]


def _feed(reader: PictureReader, item: Any) -> tuple[Any, ...]:
    return (reader.compared(item)[None],)


def _compared(runner: Runner, output: Any, theirs: Tensor, ours: Tensor) -> tuple[Any, Any]:
    """For each item whether the answer is the same, and by how much it differs."""
    with torch.inference_mode():
        first, second = (
            torch.stack(list(runner.answer.rows(runner.model(part.to(runner.device))))).double().numpy()
            for part in (theirs.cpu(), ours)
        )
    apart = np.abs(first - second)
    if isinstance(output, CategoryOutput):
        return first.argmax(1) == second.argmax(1), apart.max(1)
    if isinstance(output, LabelsOutput):
        return ((first > output.threshold) == (second > output.threshold)).all(1), apart.max(1)
    if isinstance(output, MaskOutput):
        return (first.argmax(1) == second.argmax(1)).mean((1, 2)), apart.max((1, 2, 3))
    if isinstance(output, NumbersOutput):
        apart = apart.reshape(len(apart), -1) / _spread(output)
    apart = apart.reshape(len(apart), -1).max(1)
    return apart <= SAME_NUMBER, apart


def _spread(output: NumbersOutput) -> Sequence[float]:
    pairs = zip(output.high, output.low, strict=True)
    return [high - low if high > low else 1.0 for high, low in pairs]
