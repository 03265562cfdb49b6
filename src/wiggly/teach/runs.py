"""A learner's own run, to look into: a real batch, its loss, and everything put back afterwards.

In: a learner. Out: the batch and a function that computes the loss of that very batch again and again. Read
next: `descent.py` and `products.py`, which use it.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from wiggly.errors import DataError, ModelError
from wiggly.records import Batch
from wiggly.train.learner import Learner
from wiggly.train.lr_find import put_back
from wiggly.train.passes import reading

__all__ = ["class_names", "held", "loss_of", "parameter", "passed_through", "the_first_of"]

T = TypeVar("T")


@contextmanager
def held(learn: Learner, n: int) -> Generator[Batch]:
    """The first `n` items of a training batch, the model in evaluation mode; then all is as it was.

    Args:
        learn: The learner.
        n: How many items at most.

    Raises:
        DataError: The training set is empty.
    """
    with put_back(learn):
        with reading(learn, learn.dls.train, lend=False) as batches:
            batch = next(iter(batches), None)
        if batch is None:
            raise DataError(
                "an explorable of your own run needs one training batch",
                "the training loader gives none",
                "Look at `learn.dls.train`; a smaller batch size helps where `drop_last` leaves nothing.",
            )
        learn.model.eval()
        yield Batch(
            tuple(each[:n] for each in batch.inputs),
            tuple(each[:n] for each in batch.targets),
            batch.positions[:n],
        )


def loss_of(learn: Learner, batch: Batch) -> Tensor:
    """The learner's own loss of a batch, as training computes it but without dropout."""
    return learn.compute_loss(batch, learn.engine.forward(learn.model, batch), batch.targets)


def passed_through(learn: Learner, layer: nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """What a layer is given and what it makes of it, when the model runs on a batch.

    Raises:
        ModelError: The model does not use that layer.
    """
    kept: list[tuple[Tensor, Tensor]] = []

    def keep(_: nn.Module, given: tuple[Tensor, ...], made: Tensor) -> None:
        kept.append((given[0].detach(), made.detach()))

    hook = layer.register_forward_hook(keep)
    try:
        with torch.no_grad():
            learn.engine.forward(learn.model, batch)
    finally:
        hook.remove()
    if not kept:
        raise ModelError(
            "the layer must be used when the model runs",
            "a training batch did not reach it",
            "Choose another layer; `learn.summary()` lists them.",
        )
    return kept[0]


def parameter(learn: Learner, name: str) -> nn.Parameter:
    """A parameter of the model by its dotted name.

    Raises:
        ModelError: There is no such part of the model.
        DataError: That part has no parameter of that name.
    """
    owner, _, last = name.rpartition(".")
    module = learn.get_submodule(owner) if owner else learn.model
    found = dict(module.named_parameters(recurse=False)).get(last)
    if found is None:
        known = [name for name, _ in learn.model.named_parameters()]
        raise DataError(
            "a parameter is named as in `learn.model.named_parameters()`",
            f"there is no {name!r}",
            f"The last ones are {known[-4:]}.",
        )
    return found


def class_names(learn: Learner, n: int) -> list[str]:
    """What the `n` outputs stand for: the labels where there are as many, else numbers."""
    vocab: Any = getattr(learn.target_block, "vocab", None) or []
    return [str(label) for label in vocab] if len(vocab) == n else [f"class {i}" for i in range(n)]


def the_first_of(values: Iterable[T]) -> T:
    """The first value; the rest is not asked for, and a generator among them ends at once."""
    walk = iter(values)
    try:
        return next(walk)
    finally:
        close = getattr(walk, "close", None)
        if close is not None:
            close()
