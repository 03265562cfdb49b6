"""Transforms of a whole batch: users' callables, blocks' own, and transforms of ours that come behind them.

In: a collated batch, and one generator per row for what is drawn. Out: the batch after one more step. What
can be fused into one resampling never comes here. Read next: `loader.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from random import Random
from typing import Any

from torch import Tensor

from wiggly.data.base import Block, brought_transforms
from wiggly.data.dataset import Dataset
from wiggly.data.foreign import apply_to_batch, drawing_from, library_of
from wiggly.data.own import batch_advice
from wiggly.data.transform import Transform, is_active, is_fused, transform_names
from wiggly.errors import DataError
from wiggly.records import Batch

__all__ = ["apply_batch_transform", "apply_own_batch_transforms"]


def apply_batch_transform(transform: Any, batch: Batch, dataset: Dataset, draws: Sequence[Random]) -> Batch:
    """One step of `batch_tfms`: a user's callable on the first input, one of ours on every row's values.

    Args:
        transform: A callable, or a transform of ours behind a callable that ended the fused run.
        batch: At least one row.
        dataset: Where it came from.
        draws: One generator per row.

    Raises:
        DataError: The callable fails, or does not return a tensor with as many rows.
    """
    if not is_fused(transform):
        # The first row's generator decides: one draw for the whole batch.
        with drawing_from(draws[0]) if draws else nullcontext():
            return _after_callable(transform, batch, dataset)
    blocks = dataset.blocks
    # What a block brought to keep its values in order has to do so again (boxes are clipped).
    steps = [transform, *(t for t in brought_transforms(blocks) if not t.random)]
    before: list[tuple[Any, ...]] = []
    after: list[tuple[Any, ...]] = []
    for row, random in enumerate(draws):
        revived = tuple(b.revive(t[row]) for b, t in zip(blocks, batch.tensors, strict=True))
        values = tuple(b.relate(v, revived) for b, v in zip(blocks, revived, strict=True))
        before.append(values)
        for step in steps:
            values = step.apply(values, random, dataset.train)
        after.append(values)
    columns = zip(blocks, batch.tensors, zip(*before, strict=True), zip(*after, strict=True), strict=True)
    tensors = tuple(_encoded_again(*column) for column in columns)
    n_inp = len(batch.inputs)
    return Batch(tensors[:n_inp], tensors[n_inp:], batch.positions)


def _after_callable(transform: Any, batch: Batch, dataset: Dataset) -> Batch:
    """A callable on the first input; one of torchvision's on whatever it would move."""
    n_inp = len(batch.inputs)
    blocks: list[Block] = getattr(dataset, "blocks", [])  # a plain sequence has none
    if library_of(type(transform)) == "torchvision" and blocks:
        revived = [b.revive(t[0]) for b, t in zip(blocks, batch.tensors, strict=True)]
        kinds = [str(getattr(value, "kind", "")) for value in revived]
        if sum(map(bool, kinds)) > 1:
            tensors = apply_to_batch(transform, batch.tensors, kinds)
            return Batch(tuple(tensors[:n_inp]), tuple(tensors[n_inp:]), batch.positions)
    function = transform.encodes if isinstance(transform, Transform) else transform
    return Batch((_called(function, batch.inputs[0]), *batch.inputs[1:]), batch.targets, batch.positions)


def _encoded_again(block: Block, column: Tensor, before: tuple[Any, ...], after: tuple[Any, ...]) -> Tensor:
    """One block's tensor after its values were revived and changed; unchanged ones are kept."""
    if all(old is new for old, new in zip(before, after, strict=True)):
        return column
    if block.ragged:
        return block.collate([block.encode(value) for value in after])
    made = block.allocate(block.encode(after[0]), len(after))
    for value, row in zip(after, made, strict=True):
        block.encode_into(value, row)
    return made


def apply_own_batch_transforms(dataset: Dataset, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """What the blocks' own `batch_tfms` make of their tensors."""
    finished = list(tensors)
    for side, block in enumerate(dataset.blocks):
        for function in block.batch_tfms:
            if is_active(function, dataset.train):
                finished[side] = _called(function, finished[side])
    return tuple(finished)


def _called(transform: Any, images: Tensor) -> Tensor:
    """What a user's own callable makes of a tensor of a batch.

    Raises:
        DataError: It fails, or does not return a tensor with as many rows.
    """
    name = transform_names([transform])[0]
    try:
        changed = transform(images)
    except Exception as error:
        raise DataError(
            f"the callable {name} in `batch_tfms` must accept every batch",
            f"it raised {type(error).__name__}: {error} on a batch of shape {tuple(images.shape)}",
            batch_advice(transform),
        ) from error
    if not isinstance(changed, Tensor) or changed.shape[:1] != images.shape[:1]:
        raise DataError(
            f"the callable {name} in `batch_tfms` must return a tensor with one row per item",
            f"it returned {tuple(changed.shape) if isinstance(changed, Tensor) else type(changed).__name__}",
            batch_advice(transform),
        )
    return changed
