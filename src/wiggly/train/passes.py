"""One pass over a loader: batches on the device, images normalised on the way where that saves work.

In: a loop and a loader. Out: batches. Read next: `loop.py`, which makes the passes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any, cast

from wiggly.data.loader import DataLoader, batches_of
from wiggly.records import Batch

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["lender", "reading"]


@contextlib.contextmanager
def reading(learner: Loop, dl: Any, lend: bool = True) -> Generator[Iterator[Batch]]:
    """Batches of one pass, on the device.

    A model that normalises its input itself lends its statistics to a loader of ours for the pass: the loader
    then normalises in the look-up that scales the pixels anyway, which saves two passes over them.

    Args:
        learner: Has the model and the engine.
        dl: Any loader.
        lend: Whether images may come normalised.
    """
    body = lender(learner, dl) if lend else None
    stats = None if body is None else (body.mean.flatten().tolist(), body.std.flatten().tolist())
    batches = cast("Generator[Batch]", batches_of(dl, stats, learner.engine.part))
    if body is not None:
        body.normalise = False
    try:
        with contextlib.closing(batches):
            yield learner.engine.deliver(batches)
    finally:
        if body is not None:
            body.normalise = True


def lender(learner: Loop, dl: Any) -> Any:
    """The model's first module, if it normalises and this loader can do so instead."""
    # One image input, and no transforms of the whole batch: those expect images in [0, 1].
    blocks = getattr(learner.dls, "input_blocks", ())
    body: Any = next(learner.model.children(), None)
    able = (
        len(blocks) == 1
        and hasattr(blocks[0], "channels")
        and isinstance(dl, DataLoader)
        and not dl.batch_tfms
    )
    willing = hasattr(body, "mean") and hasattr(body, "std") and getattr(body, "normalise", False)
    return body if able and willing else None
