"""Does the bundle answer as the learner does? Validation items through both, each reading for itself.

In: a learner, and the runner of its bundle. Out: an `Agreement`; items on which variants of the graph are
measured. Read next: `graph/making.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch import Tensor

from wiggly.bundle.answers import Answer
from wiggly.bundle.graph.variants import Validation
from wiggly.bundle.measured import Agreement
from wiggly.bundle.parts import CategoryOutput, MaskOutput
from wiggly.bundle.pictures import PictureReader
from wiggly.bundle.readers import spread
from wiggly.bundle.rows import own_rows
from wiggly.bundle.runner import Runner
from wiggly.bundle.several import SeveralAnswer
from wiggly.errors import WigglyError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["measure_agreement", "validation_items"]

#: Validation items that are compared, and items that variants are measured and calibrated on.
MOST_COMPARED, MOST_MEASURED, MOST_CALIBRATED = 200, 1_000, 100

#: Numbers, and places, are the same answer if they differ by no more (of their range in training; of 100
#: pixels).
SAME_NUMBER = 0.01


def measure_agreement(learn: Learner, runner: Runner) -> Agreement | None:
    """Compare bundle and learner on up to 200 validation items.

    Pictures are read from their files, tables from rows as the user has them: by the learner's loader and, on
    its own, by the bundle's reader.

    Args:
        learn: The learner.
        runner: Of its bundle, at temperature 1, as the learner answers.

    Returns:
        What was found; None where there are no validation items that can be read again.
    """
    try:
        both = _pictures(learn, runner) if isinstance(runner.reader, PictureReader) else _rows(learn, runner)
        found = [_compared(runner.answer, theirs, ours, seen) for theirs, ours, seen in both]
    except (WigglyError, OSError):
        return None
    if not found:
        return None
    same, apart = (np.array(column, np.float64) for column in zip(*found, strict=True))
    return Agreement(len(same), float(np.mean(same)), float(np.max(apart)))


def _pictures(learn: Learner, runner: Runner) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """For each picture what the learner says, what the bundle does, and what both saw."""
    reader = cast("PictureReader", runner.reader)
    items = _items(learn.dls.valid.dataset, MOST_COMPARED)
    bs = reader.batch_size if reader.fixed_size else 1
    theirs = learn.outputs(learn.dls.test_dl(items, bs=bs))
    wanted = reader.items(items)
    both = zip(theirs, reader.batches(wanted, bs), strict=True)
    position = 0
    for (_, outputs), inputs in both:
        for pair in zip(runner.answer.rows(outputs), runner.run(inputs), strict=True):
            yield *pair, (reader.seen(wanted, position) if runner.answer.on_picture else ())
            position += 1


def _rows(learn: Learner, runner: Runner) -> Iterator[tuple[Any, Any, tuple[Any, ...]]]:
    """The same for the rows of a table; none where that is not in memory."""
    dls: Any = learn.dls
    looked = dls.looked_at(dls.valid, MOST_COMPARED)
    rows = own_rows(dls, looked.positions)
    if rows is None:
        return
    theirs = [row for _, outputs in learn.outputs([looked]) for row in runner.answer.rows(outputs)]
    written = [json.dumps(row, ensure_ascii=False).encode() for row in rows]
    [inputs] = runner.reader.batches(runner.reader.items(written), len(rows))
    for pair in zip(theirs, runner.run(inputs), strict=True):
        yield *pair, ()


def _compared(answer: Answer, wanted: Any, found: Any, seen: tuple[Any, ...]) -> tuple[float, float]:
    """Whether two rows are the same answer (of a mask at which share of its pixels), and how far apart they
    are."""
    if isinstance(answer, SeveralAnswer):
        three = zip(answer.parts, wanted, found, strict=True)
        parts = [_compared(part, first, second, seen) for part, first, second in three]
        return min(same for same, _ in parts), max(apart for _, apart in parts)
    first, second = answer.decode(wanted, seen), answer.decode(found, seen)
    apart = answer.apart(first, second, SAME_NUMBER)
    if isinstance(answer.output, MaskOutput):
        return 1 - apart, float(cast("Tensor", wanted - found).abs().max())
    if answer.vocab and not answer.on_picture:
        return float(first.decoded == second.decoded), apart
    if answer.vocab:  # boxes
        return float(math.isfinite(apart)), min(apart, 1.0)
    return float(apart <= SAME_NUMBER), apart


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
    return (reader.prepared(item)[None],)
