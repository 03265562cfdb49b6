"""A learner's own run, to look into: a real batch, its loss, and everything put back afterwards.

In: a learner. Out: the batch and a function that computes the loss of that very batch again and again. Read
next: `descent.py` and `products.py`, which use it.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

from torch import Tensor, nn

from wiggly.errors import DataError
from wiggly.records import Batch
from wiggly.train.learner import Learner
from wiggly.train.lr_find import put_back
from wiggly.train.passes import reading

__all__ = ["held", "loss_of", "parameter"]


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
