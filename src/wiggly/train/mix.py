"""`MixUp` and `CutMix`: each picture of a training batch is mixed with another one, and so are their losses.

In: batches of training. Out: mixed batches, and as their loss `lam * loss(target) + (1 - lam) * loss(other)`,
which works with any loss that is one number, and with labels, several labels and numbers alike. The draw of a
batch depends on the training loader's seed and epoch and on the batch's first item. Validation, prediction,
the loss function and the targets that other callbacks see are left alone. Read next: `callback.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from random import Random
from typing import Any, ClassVar

import torch
from torch import Tensor

from wiggly.errors import TrainingError
from wiggly.records import Batch, State
from wiggly.train.callback import Callback
from wiggly.train.checks import check_number

__all__ = ["CutMix", "MixUp"]


class _MixedBatch(Batch):
    """A batch that has been mixed: a second time its losses would no longer fit the pictures."""


class _Mix(Callback):
    """Mixes every training batch with itself, moved on by one row."""

    order: ClassVar[int] = -30  # the loss is complete before the history or `lr_find` reads it

    def __init__(self, alpha: float) -> None:
        check_number("alpha", alpha, "above 0", lambda a: a > 0 and math.isfinite(a), "0.4")
        self.alpha = float(alpha)
        self.lam = 1.0
        self._before: Batch | None = None
        self._drawn_by: tuple[int, int] | None = None

    @abstractmethod
    def mix(self, inputs: tuple[Tensor, ...], random: Random) -> tuple[tuple[Tensor, ...], float]:
        """Mixed inputs, and the share that each row keeps of itself."""

    def check(self, batch: Batch) -> None:
        """Raises a `TrainingError` if this batch cannot be mixed."""
        for tensor in batch.inputs:
            if not tensor.is_floating_point():
                raise TrainingError(
                    f"{type(self).__name__} needs inputs that are floats",
                    f"one is {tensor.dtype} of shape {tuple(tensor.shape)}",
                    "Numbers of words or categories cannot be mixed: leave this callback out.",
                )

    def before_train(self, state: State) -> None:
        # Read before the pass: on a GPU the loader is a batch ahead and may count the next epoch already.
        loader: Any = self.learner.dls.train
        seed, epoch = getattr(loader, "seed", None), getattr(loader, "epoch", None)
        self._drawn_by = None if seed is None or epoch is None else (seed, epoch)

    def before_batch(self, state: State) -> None:
        if not state.training or state.batch is None:
            return
        batch = state.batch
        if isinstance(batch, _MixedBatch):
            raise TrainingError(
                "a batch can be mixed once",
                f"{type(self).__name__} got one that another callback has mixed",
                "Pass MixUp() or CutMix(), one of them.",
            )
        if state.batch_index == 0:
            self.check(batch)
        self._before, first = self.learner.engine.around(batch)
        inputs, self.lam = self.mix(self._preceded(batch.inputs, "inputs"), self._random(first))
        inputs = tuple(x[-len(mine) :] for x, mine in zip(inputs, batch.inputs, strict=True))
        state.batch = _MixedBatch(inputs, batch.targets, batch.positions)

    def after_loss(self, state: State) -> None:
        if not state.training or state.batch is None:
            return
        targets = self._preceded(state.batch.targets, "targets")
        moved = (moved_on(target) for target in targets)
        others = tuple(x[-len(mine) :] for x, mine in zip(moved, state.batch.targets, strict=True))
        other = self.learner.compute_loss(state.batch, state.pred, others)
        state.loss = self.lam * state.loss + (1 - self.lam) * other

    def _preceded(self, tensors: tuple[Tensor, ...], side: str) -> tuple[Tensor, ...]:
        """Rows after the one that another process has before them."""
        if self._before is None:
            return tensors
        ends: tuple[Tensor, ...] = getattr(self._before, side)
        return tuple(torch.cat([end, rows]) for end, rows in zip(ends, tensors, strict=True))

    def _random(self, first: int) -> Random:
        if self._drawn_by is None:  # another library's loader
            return Random(int(torch.randint(2**62, ())))
        seed, epoch = self._drawn_by
        return Random(f"{type(self).__name__} {seed} {epoch} {first}")


def moved_on(rows: Tensor) -> Tensor:
    """Every row in the place of the next one, the last in the first's; the memory format stays."""
    return torch.cat([rows[-1:], rows[:-1]])


class MixUp(_Mix):
    """Trains on weighted means of two pictures (Zhang et al., "mixup: Beyond Empirical Risk Minimization",
    arXiv:1710.09412).

    Args:
        alpha: The weight is drawn from Beta(alpha, alpha), once per batch: the larger, the more is mixed. The
            paper's best for ImageNet were 0.2 to 0.4.

    Raises:
        ArgumentError: `alpha` is not above 0.
        TrainingError: At the first batch, if an input is no float, or CutMix is there too.

    Example:
        >>> MixUp(0.2).alpha
        0.2
    """

    def __init__(self, alpha: float = 0.4) -> None:
        super().__init__(alpha)

    def mix(self, inputs: tuple[Tensor, ...], random: Random) -> tuple[tuple[Tensor, ...], float]:
        lam = random.betavariate(self.alpha, self.alpha)
        return tuple(torch.lerp(moved_on(x), x, lam) for x in inputs), lam


class CutMix(_Mix):
    """Trains on pictures with a rectangle of another one pasted in (Yun et al., arXiv:1905.04899).

    Args:
        alpha: The share that stays is drawn from Beta(alpha, alpha), once per batch; 1 makes it even, as in
            the paper. The rectangle may reach over the edge; the losses are weighted by what is really seen.

    Raises:
        ArgumentError: `alpha` is not above 0.
        TrainingError: At the first batch, if an input is no image, a target is one, or MixUp is there too.

    Example:
        >>> black_and_white = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)])
        >>> (pasted,), kept = CutMix().mix((black_and_white,), Random(0))
        >>> float(1 - pasted[0].mean()) == kept
        True
    """

    def __init__(self, alpha: float = 1.0) -> None:
        super().__init__(alpha)

    def check(self, batch: Batch) -> None:
        super().check(batch)
        size = batch.inputs[0].shape[-2:]
        if any(x.ndim != 4 or x.shape[-2:] != size for x in batch.inputs):
            raise TrainingError(
                "CutMix needs images (n, c, h, w) of one size as inputs",
                f"they are {[tuple(x.shape) for x in batch.inputs]}",
                "MixUp takes any floats.",
            )
        placed = [type(b).__name__ for b in getattr(self.learner.dls, "target_blocks", ()) if b.drawn_over]
        pixels = [t for t in batch.targets if t.ndim >= 3 and t.shape[-2:] == size]
        if placed or pixels:
            given = f"a {placed[0]} says where things are" if placed else "one has a value per pixel"
            raise TrainingError(
                "CutMix needs targets of whole pictures",
                f"{given}: {[tuple(t.shape) for t in batch.targets]}",
                "Leave it out; MixUp and RandomErasing go with such targets.",
            )

    def mix(self, inputs: tuple[Tensor, ...], random: Random) -> tuple[tuple[Tensor, ...], float]:
        h, w = inputs[0].shape[-2:]
        rows, columns = self.draw_box(random, (h, w))
        mixed: list[Tensor] = []
        for x in inputs:
            pasted = x.clone(memory_format=torch.preserve_format)
            pasted[..., rows, columns] = moved_on(x[..., rows, columns])
            mixed.append(pasted)
        hidden = (rows.stop - rows.start) * (columns.stop - columns.start)
        return tuple(mixed), 1 - hidden / (h * w)

    def draw_box(self, random: Random, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns that are replaced in pictures of `size` (height, width)."""
        half = 0.5 * math.sqrt(1 - random.betavariate(self.alpha, self.alpha))
        (y0, y1), (x0, x1) = (_around(random.randrange(side), int(half * side), side) for side in size)
        return slice(y0, y1), slice(x0, x1)


def _around(middle: int, half: int, side: int) -> tuple[int, int]:
    return max(middle - half, 0), min(middle + half, side)
