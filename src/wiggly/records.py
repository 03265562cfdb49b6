"""The dataclasses that flow from room to room, and the letters their shapes are written in.

Axis letters: `n` items of a batch, `c` channels or classes, `h` height and `w` width in pixels, `k` any
other. Images are `(n, c, h, w)` in channels_last memory, float32 in [0, 1]. Nothing here imports torch at run
time, so that `import wiggly` stays light. Read next: `data/items.py`, where items come from.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Batch", "Detection", "Prediction", "PredictionParts", "Predictions", "Split", "State"]


class Split(NamedTuple):
    """Positions of the training and validation items in the list of items.

    A tuple, so a user's own splitter may return any pair of sequences of integers.
    """

    train: Sequence[int]
    valid: Sequence[int]


@dataclass(slots=True)
class Batch:
    """What a loader hands to the training loop.

    Attributes:
        inputs: One tensor per input block, first axis `n`.
        targets: One tensor per target block, first axis `n`; empty for unlabelled items.
        positions: For each row its position in the data set; items that could not be read are missing.
    """

    inputs: tuple[Tensor, ...]
    targets: tuple[Tensor, ...]
    positions: list[int]

    def __len__(self) -> int:
        return len(self.positions)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Inputs then targets, the tuple a user sees in `for xb, yb in dls.train`."""
        return self.inputs + self.targets


class PredictionParts(NamedTuple):
    """The three that a `Prediction` unpacks into."""

    decoded: Any
    index: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]  # the name users know
    probs: Tensor


class Prediction(PredictionParts):
    """One item's prediction; unpacks as `label, index, probs = learn.predict(item)`.

    Attributes:
        decoded: What the user calls it: `"cat"`, `3.5`, `["cat", "dog"]`.
        index: The encoded prediction as a tensor (the position in `vocab` for a category).
        probs: The activated model output as a tensor of shape `(c,)`.
        unsure: Whether a bundle whose threshold was chosen for it takes its own answer for a guess; of
            several targets, whether it does for one of them. Not one of the three.
    """

    unsure: bool = False

    def marked(self, unsure: bool) -> Prediction:
        """The same prediction with `unsure` as given.

        Example:
            >>> found = Prediction("beagle", None, None).marked(True)
            >>> label, index, probs = found
            >>> label, found.unsure
            ('beagle', True)
        """
        made = Prediction(*self)
        made.unsure = unsure
        return made


class Detection(NamedTuple):
    """One thing found in a picture.

    Attributes:
        label: What it is.
        score: How sure the model is, in [0, 1].
        box: x1, y1, x2, y2 in pixels of the picture as it was given, before any transform.
    """

    label: Any
    score: float
    box: tuple[float, float, float, float]


@dataclass(slots=True)
class Predictions:
    """Predictions of a whole loader, rows in the order of the data set, items that could not be read left
    out.

    Attributes:
        probs: Activated outputs, `(n, c)`, on the CPU.
        targets: Encoded targets, `(n,)`, or None when the items carry no label.
        losses: Loss of each row, `(n,)`, or None without targets.
        positions: For each row its position in the data set.
    """

    probs: Tensor
    targets: Tensor | None
    losses: Tensor | None
    positions: list[int]


@dataclass(slots=True)
class State:
    """The one mutable record of a running fit; every callback method receives it.

    Attributes:
        epoch: Epoch of this fit, from 0.
        n_epochs: Epochs this fit will run.
        step: Optimizer steps taken in this fit.
        batch_index: Batch of this epoch, from 0.
        n_batches: Batches in this pass: of training, or of validation.
        training: True in the training part of an epoch, False in validation.
        batch: The batch in work.
        pred: The model's output for it; None until it is there.
        loss: Its loss, a scalar tensor that in training carries the gradient; None until it is there.
        lrs: Learning rate of each parameter group at this step.
        row: What this epoch's line of the history will say: name to number.
    """

    n_epochs: int = 0
    epoch: int = 0
    step: int = 0
    batch_index: int = 0
    n_batches: int = 0
    training: bool = True
    batch: Batch | None = None
    pred: Any = None
    loss: Any = None
    lrs: list[float] = field(default_factory=lambda: list[float]())
    row: dict[str, float] = field(default_factory=lambda: dict[str, float]())

    @property
    def progress(self) -> float:
        """Share of this fit's training batches already done, in [0, 1]; schedules are functions of it."""
        if not self.n_epochs:
            return 0.0
        within = self.batch_index / max(self.n_batches, 1) if self.training else 1.0
        return (self.epoch + within) / self.n_epochs
