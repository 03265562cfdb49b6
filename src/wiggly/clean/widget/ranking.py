"""The items of both sides of a learner, each with its loss and what the model takes it for.

In: a learner of pictures with one label each. Out: `Ranked`, one for each item, training items first. One
pass over each side, with the transforms of validation. Read next: `cleaner.py`, which shows them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock
from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.data.shards.stream import ShardDataset
from wiggly.errors import ArgumentError, WigglyError
from wiggly.train.learner import Learner
from wiggly.train.losses.core import activation_of, loss_per_item
from wiggly.train.predict import encoded_of, in_order

__all__ = ["SIDES", "Ranked", "rank_items"]

#: Which side of the split, as the cleaner names them.
SIDES = ("train", "valid")


@dataclass(frozen=True)
class Ranked:
    """An item with what the model makes of it.

    Attributes:
        split: "train" or "valid".
        position: In the data set of its side.
        given: Its label, one of the vocabulary; None where it has none of them.
        predicted: What the model takes it for; None where it could not be read.
        probability: Of that.
        loss: Its loss; None where it could not be read.
        problem: Why it could not be read; empty where it could.
    """

    split: str
    position: int
    given: Any
    predicted: Any = None
    probability: float | None = None
    loss: float | None = None
    problem: str = ""


def rank_items(learn: Any) -> list[Ranked]:
    """Passes over both sides once.

    Args:
        learn: A learner of pictures with one label each.

    Raises:
        ArgumentError: It is none; or its items are not known one by one.
    """
    _check(learn)
    return [ranked for side in SIDES for ranked in _side(learn, side)]


def _check(learn: Any) -> None:
    rule = "`ImageClassifierCleaner` needs a learner of pictures with one label each"
    if not isinstance(learn, Learner):
        raise ArgumentError(
            rule, f"it got a {type(learn).__name__}", "Pass learn = vision_learner(dls, ...)."
        )
    sides = [getattr(learn.dls, side, None) for side in SIDES]
    for loader in sides:
        dataset = getattr(loader, "dataset", None)
        known = isinstance(loader, DataLoader) and isinstance(dataset, Dataset)
        if not known or isinstance(dataset, ShardDataset):
            raise ArgumentError(
                "`ImageClassifierCleaner` needs items that are known one by one",
                f"the loaders read a {type(dataset if dataset is not None else loader).__name__}",
                "Build them with a DataBlock or a from_... of files or of a table.",
            )
    block = learn.target_block
    if not isinstance(block, CategoryBlock) or isinstance(block, MultiCategoryBlock):
        raise ArgumentError(
            rule,
            f"the targets are of {type(block).__name__}",
            "Call suggest(learn), which looks at other targets too, or `wiggly clean DATA`.",
        )


def _side(learn: Learner, split: str) -> list[Ranked]:
    """The items of one side, in their order."""
    loader = _calm(getattr(learn.dls, split))
    dataset, vocab = loader.dataset, list(learn.target_block.vocab)
    found: dict[int, Ranked] = {}
    for batch, out in learn.outputs(loader):
        losses = loss_per_item(learn.loss_func, out, batch.targets).float().cpu().tolist()
        best, which = _answers(learn, out)
        for row, position in enumerate(batch.positions):
            found[position] = Ranked(
                split,
                position,
                vocab[int(batch.targets[0][row])],
                vocab[int(which[row])],
                float(best[row]),
                losses[row],
            )
    for position in set(range(len(dataset))) - found.keys():
        problem = loader.bad_items.get(dataset.item_name(position), "it could not be read")
        found[position] = Ranked(split, position, _given(dataset, position), problem=problem)
    return [found[position] for position in range(len(dataset))]


def _answers(learn: Learner, out: Any) -> tuple[Tensor, Tensor]:
    """Of each row the probability of the likeliest label, and its index; a yes-or-no model has one output."""
    probs = activation_of(learn.loss_func, learn.target_block)(out).float().cpu()
    which = encoded_of(learn, probs).long().reshape(len(probs))
    if probs.ndim == 2 and probs.shape[1] > 1:
        return probs.gather(1, which[:, None]).squeeze(1), which
    yes = probs.reshape(len(probs))
    return torch.where(which > 0, yes, 1 - yes), which


def _calm(loader: Any) -> Any:
    """The loader in order, that goes on whatever cannot be read."""
    made = in_order(loader).new(shuffle=False, drop_last=False)
    made.max_bad, made.bad_items = 1.0, {}
    return made


def _given(dataset: Dataset, position: int) -> Any:
    """The label of an item that the pass did not give."""
    block = dataset.blocks[dataset.n_inp]
    try:
        return block.decode(dataset.encoded_target(position))
    except WigglyError:
        return None
