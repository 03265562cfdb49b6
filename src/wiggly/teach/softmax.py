"""Softmax and cross-entropy: from a model's scores to probabilities, to a loss, to its gradient.

In: scores, the true class; or a learner and one of its items. Out: every number on the way. The page computes
the same (`web/widgets/src/core/softmax.ts`). Read next: `network.py`, which trains with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from wiggly.data.loader import DataLoader, batches_of
from wiggly.errors import ArgumentError, ModelError
from wiggly.interpret.pictures import thumbnail
from wiggly.records import Batch
from wiggly.teach.explorable import Explorable
from wiggly.teach.runs import class_names, the_first_of
from wiggly.train.learner import Learner
from wiggly.train.losses.core import activation_of

__all__ = ["Scored", "cross_entropy", "own_scores", "softmax", "softmax_and_cross_entropy"]

PICTURE = 112  # pixels of the item's longer side


@dataclass(frozen=True)
class Scored:
    """What becomes of one item's scores.

    Attributes:
        powers: e to each score, `(c,)`.
        probabilities: Each power's share of their sum.
        target: The probabilities that are aimed at: 1 for the true class, unless labels are smoothed.
        loss: `-Σ target · ln(probability)`.
        gradient: How much the loss changes per unit of each score.
    """

    powers: np.ndarray
    probabilities: np.ndarray
    target: np.ndarray
    loss: float
    gradient: np.ndarray


def softmax(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Probabilities out of scores: `e^(z/T)`, divided by the sum of all of them.

    Args:
        logits: Scores z, `(c,)`.
        temperature: T; above 1 the probabilities come closer to each other, below 1 they draw apart.

    Example:
        >>> softmax(np.array([0.0, 0.0, 0.0, 0.0]))
        array([0.25, 0.25, 0.25, 0.25])
    """
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max())  # the shares are the same, and no power grows without end
    return powers / powers.sum()


def cross_entropy(logits: np.ndarray, true: int, temperature: float = 1.0, smoothing: float = 0.0) -> Scored:
    """The loss of one item's scores, and the way to it.

    Args:
        logits: Scores, `(c,)`.
        true: Position of the true class.
        temperature: Divides the scores.
        smoothing: Share of the target that is spread over all classes, 0 to 1 (Szegedy et al.,
            arXiv:1512.00567, section 7).

    Example:
        >>> scored = cross_entropy(np.zeros(4), true=1)
        >>> round(scored.loss, 4), scored.gradient
        (1.3863, array([ 0.25, -0.75,  0.25,  0.25]))
    """
    probabilities = softmax(logits, temperature)
    target = np.full(len(logits), smoothing / len(logits))
    target[true] += 1 - smoothing
    scaled = logits / temperature
    logs = scaled - scaled.max() - np.log(np.exp(scaled - scaled.max()).sum())
    gradient = (probabilities - target) / temperature
    return Scored(np.exp(scaled), probabilities, target, float(-(target * logs).sum()), gradient)


@dataclass(frozen=True)
class OwnScores:
    """A learner's scores for one real item.

    Attributes:
        logits: `(c,)`.
        names: Of the classes.
        true: Position of its label; None where it carries none.
        smoothing: Label smoothing of the learner's loss.
        picture: A small picture of the item as a data URI, None where it is no picture.
        about: What the item is, for the page.
    """

    logits: list[float]
    names: list[str]
    true: int | None
    smoothing: float
    picture: str | None
    about: str


def own_scores(learn: Learner, item: int | Any = 0) -> OwnScores:
    """Runs one item through a learner that tells classes apart.

    Args:
        learn: The learner.
        item: Its position in the validation set, or a new item as `learn.predict` takes it.

    Raises:
        ArgumentError: There is no such position.
        ModelError: The learner's outputs are not turned into probabilities by softmax.
    """
    batch, about = _batch_of(learn, item)
    batch, pred = the_first_of(learn.outputs([batch], lend=False))
    fits = isinstance(pred, Tensor) and pred.dim() == 2 and pred.shape[1] > 1
    if not fits or not torch.allclose(
        activation_of(learn.loss_func, learn.target_block)(pred), pred.softmax(1)
    ):
        raise ModelError(
            "softmax is shown for models that choose one of several classes",
            "this one's outputs are turned into its answer in another way",
            'Look at `explore("softmax and cross entropy")`, which needs no learner.',
        )
    true = batch.targets[0].reshape(-1)[0] if batch.targets else None
    return OwnScores(
        pred[0].cpu().double().tolist(),
        class_names(learn, pred.shape[1]),
        None if true is None else int(true),
        float(getattr(learn.loss_func, "label_smoothing", 0.0)),
        thumbnail(batch.inputs[0][0].cpu(), PICTURE),
        about,
    )


def _batch_of(learn: Learner, item: Any) -> tuple[Batch, str]:
    valid = learn.dls.valid
    if isinstance(item, bool) or not isinstance(item, int):
        name = Path(item).name if isinstance(item, str | Path) else "your item"
        loader = learn.dls.test_dl([item], bs=1, num_workers=0)
        return the_first_of(batches_of(loader)), name
    if not isinstance(valid, DataLoader):
        return _row_of(learn, item), f"item {item} of the validation set"
    n = len(cast("Any", valid.dataset))
    if not -n <= item < n:
        raise ArgumentError(
            "`item` must be a position in the validation set",
            f"it is {item}, and there are {n} items",
            f"Pass a number from 0 to {n - 1}, or the item itself, e.g. a path.",
        )
    return valid.assemble([item % n], valid.dataset), f"item {item % n} of the validation set"


def _row_of(learn: Learner, item: int) -> Batch:
    """An item of a loader that cannot be asked for one, such as a table's."""
    with closing(learn.outputs(learn.dls.valid, lend=False)) as outputs:
        for batch, _ in outputs:
            if item in batch.positions:
                row = slice(at := batch.positions.index(item), at + 1)
                inputs, targets = (
                    tuple(each[row] for each in part) for part in (batch.inputs, batch.targets)
                )
                return Batch(inputs, targets, [item])
    raise ArgumentError(
        "`item` must be a position in the validation set",
        f"there is no item {item}",
        "Pass a position from 0, or the item itself.",
    )


def softmax_and_cross_entropy(
    logits: Sequence[float] | None = None,
    names: Sequence[str] | None = None,
    learn: Learner | None = None,
    item: int | Any = 0,
) -> Explorable:
    """The explorable: scores to drag, the probabilities they make, the loss, and where its gradient pulls.

    Args:
        logits: Scores of your own, two at least; None begins with four animals.
        names: Of their classes.
        learn: Adds this learner's scores for one of its items.
        item: Which one; see `own_scores`.

    Raises:
        ArgumentError: There are fewer than two scores, or not as many names.

    Example:
        >>> softmax_and_cross_entropy([2.0, 0.5], ["cat", "dog"])
        Softmax and cross entropy: an explorable. ...
    """
    data: dict[str, Any] = {}
    if logits is not None:
        scores = [float(value) for value in logits]
        called = [str(name) for name in names or [f"class {i}" for i in range(len(scores))]]
        if len(scores) < 2 or len(called) != len(scores) or not np.isfinite(scores).all():
            raise ArgumentError(
                "`logits` must be two numbers or more, with a name for each if there are `names`",
                f"there are {len(scores)} scores and {len(called)} names",
                'Pass e.g. [2.0, 0.5], ["cat", "dog"].',
            )
        data = {"logits": scores, "names": called}
    if learn is not None:
        data["own"] = vars(own_scores(learn, item))
    return Explorable("softmax-and-cross-entropy", data, (softmax, cross_entropy))
