"""Test-time augmentation: predict each item several times as training would see it, and take the mean.

In: a learner and a loader of ours. Out: activated outputs and targets, rows in the order of the data set.
Read next: `predict.py`, which does each pass.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.errors import DataError
from wiggly.train.checks import check_number, whole_number
from wiggly.train.predict import collect, in_order, redealt

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["predict_augmented"]

# Draws depend on (seed, epoch, item). Epochs from here on are neither training's nor those for looking.
FIRST_EPOCH = 1 << 29


def predict_augmented(
    learner: Loop, dl: Any, n: int, beta: float | None, use_max: bool
) -> tuple[Any, tuple[Tensor, ...]]:
    """The passes behind `Learner.tta`; see there.

    Returns:
        Outputs, or with `beta=None` a pair of them, and the targets.
    """
    dl = _checked(learner, dl, n, beta)
    plain = collect(learner, in_order(dl))
    together: Any = None
    for number in range(n):
        augmented = redealt(dl, train=True)
        augmented.epoch = FIRST_EPOCH + number
        rows = collect(learner, augmented)
        if rows.positions != plain.positions:
            raise DataError(
                "the passes of `tta` must predict the same items",
                f"pass {number + 1} read {len(rows.positions)} and the plain one {len(plain.positions)}",
                "Files changed meanwhile, or a transform fails on some: see `dls.bad_items`.",
            )
        both = torch.maximum if use_max else torch.add
        together = rows.probs if together is None else _combined(both, together, rows.probs)
    if use_max:
        return _combined(torch.maximum, together, plain.probs), plain.targets
    mean = _combined(lambda total, _: total / n, together, together)
    if beta is None:
        return (mean, plain.probs), plain.targets
    return _combined(lambda a, b: torch.lerp(a, b, beta), mean, plain.probs), plain.targets


def _checked(learner: Loop, dl: Any, n: int, beta: float | None) -> DataLoader:
    whole_number("n", n, lowest=1)
    if beta is not None:
        check_number("beta", beta, "from 0 to 1, or None", lambda weight: 0 <= weight <= 1, "0.25")
    if not isinstance(dl, DataLoader) or not isinstance(dl.dataset, Dataset):
        raise DataError(
            "`tta` applies the transforms of training, so it needs a loader built from blocks",
            f"this is a {type(dl).__name__}",
            "Build the loaders with a DataBlock, or average passes of `get_preds` over loaders of your own.",
        )
    placed = [type(block).__name__ for block in learner.dls.target_blocks if block.drawn_over]
    if placed:
        raise DataError(
            "`tta` takes the mean over differently turned and cropped views of an item",
            f"a {placed[0]} says where things are, which differs from view to view",
            "Use `get_preds`.",
        )
    return dl


def _combined(function: Callable[[Tensor, Tensor], Tensor], a: Any, b: Any) -> Any:
    """A function of two tensors on outputs that may be tuples of tensors."""
    if isinstance(a, Tensor):
        return function(a, b)
    pairs = zip(cast("Sequence[Any]", a), cast("Sequence[Any]", b), strict=True)
    return tuple(_combined(function, x, y) for x, y in pairs)
