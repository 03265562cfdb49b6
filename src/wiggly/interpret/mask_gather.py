"""From a learner of masks to the facts of its report.

In: a trained Learner whose target is a mask. Out: `MaskFacts`. Read next: `mask_sections.py`, which writes
them down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from wiggly.data.dataset import Dataset
from wiggly.errors import DataError
from wiggly.interpret.facts import Phase
from wiggly.interpret.gather import below, data_facts, noun_of, root_of
from wiggly.interpret.pictures import thumbnail
from wiggly.interpret.segmentation import SegmentationInterpretation
from wiggly.interpret.training import architecture, model_facts, phases, snippet, training_loss, versions
from wiggly.train.metrics.pixels import count_pixels, overlaps
from wiggly.vision.check import DataCheck
from wiggly.vision.drawing import ALPHA, class_colours

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["MaskFacts", "WorstMask", "gather_masks", "interval_over_items"]

WORST = 12  # items with their pictures
PIXELS, BYTES = 480, 40_000  # of a picture of two halves; 12 of them stay under 0.7 MB in base64
DRAWS = 2000  # of the bootstrap


@dataclass(frozen=True, slots=True)
class WorstMask:
    """One item with a large loss.

    Attributes:
        name: The file's name.
        loss: Its loss.
        right: Share of its pixels that are right.
        picture: Data URI: the true mask left, the predicted one right; None without a picture.
    """

    name: str
    loss: float
    right: float
    picture: str | None


@dataclass(frozen=True, slots=True)
class MaskFacts:
    """All that the report of a model of masks says; fields of the same name are those of `Facts`.

    Attributes:
        n: Validation items.
        counts: Pixels of each class taken for each, `(c, c)`, rows actual; void left out.
        void: The class that does not count, or None.
        interval: 95 % interval of the share of right pixels, over the items.
        worst: Items with the largest losses.
    """

    title: str
    subtitle: str
    noun: str
    labels: Sequence[str]
    n: int
    counts: npt.NDArray[np.int64]
    void: int | None
    interval: tuple[float, float]
    data: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    phases: Sequence[Phase] = ()
    training_loss: Sequence[tuple[float, float]] = ()
    worst: Sequence[WorstMask] = ()
    bad_items: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    model: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    versions: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    snippet: str = ""
    command: str | None = None
    check: DataCheck | None = None

    @property
    def accuracy(self) -> float:
        """Share of right pixels."""
        return float(self.counts.trace() / max(self.counts.sum(), 1))

    @property
    def counted(self) -> list[int]:
        """The classes that count and are there or predicted."""
        seen = self.counts.sum(0) + self.counts.sum(1)
        return [k for k in range(len(self.labels)) if k != self.void and seen[k]]

    @property
    def ious(self) -> npt.NDArray[np.float64]:
        """Intersection over union of each class, `(c,)`; NaN where there is none."""
        both, true, said = overlaps(torch.from_numpy(self.counts))
        return (both / (true + said - both)).numpy()

    @property
    def majority(self) -> int:
        """The class of the most validation pixels."""
        return int(self.counts.sum(1).argmax())

    @property
    def baseline(self) -> tuple[float, float]:
        """Share of right pixels and mean IoU of answering `majority` everywhere."""
        share = float(self.counts.sum(1).max() / max(self.counts.sum(), 1))
        present = int((self.counts.sum(1) > 0).sum())
        return share, share / max(present, 1)


def gather_masks(learn: Learner) -> MaskFacts:
    """Read from a learner of masks what its report says; its validation set is predicted once.

    Raises:
        ArgumentError: The target is no mask.
        DataError: No validation item could be read.
    """
    found = SegmentationInterpretation.from_learner(learn)
    recipe, root = learn.dls.recipe(), root_of(learn)
    source = f"'{root}'" if root else str(recipe["source"])
    rights = right_of_each(found)
    return MaskFacts(
        title=f"Masks of {len(found.labels) - (found.void is not None):,} classes",
        subtitle=", trained on ".join(filter(None, [architecture(learn), source])),
        noun=noun_of(learn),
        labels=found.labels,
        n=len(found),
        counts=found.confusion_matrix(),
        void=found.void,
        interval=interval_over_items(rights),
        data=data_facts(recipe, source),
        phases=phases(learn),
        training_loss=training_loss(learn),
        worst=[_worst(found, row, root, rights) for row in found.top_rows(min(WORST, len(found)))],
        bad_items={below(root, name): reason for name, reason in learn.dls.bad_items.items()},
        model=model_facts(learn, recipe),
        versions=versions(learn),
        snippet=snippet(learn, recipe),
        command=getattr(learn, "command", None),
        check=learn.dls.last_check,
    )


def right_of_each(found: SegmentationInterpretation) -> npt.NDArray[np.int64]:
    """Right and counted pixels of each item, `(n, 2)`."""
    c = len(found.vocab)
    counts = [count_pixels(p, t, c, found.void) for p, t in zip(found.preds, found.targs, strict=True)]
    return np.array([(int(k.trace()), int(k.sum())) for k in counts])


def interval_over_items(rights: npt.NDArray[np.int64]) -> tuple[float, float]:
    """95 % interval of the share of right pixels, by drawing whole items with replacement.

    Pixels of one picture are right or wrong together, so that they cannot be counted one by one. Percentile
    bootstrap: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, chapter 13; the seed is fixed.

    Args:
        rights: Right and counted pixels of each item, `(n, 2)`.

    Example:
        >>> interval_over_items(np.array([[5, 10], [5, 10]]))
        (0.5, 0.5)
    """
    drawn = np.random.default_rng(0).integers(0, len(rights), (DRAWS, len(rights)))
    sums = rights[drawn].sum(1)
    low, high = np.percentile(sums[:, 0] / np.maximum(sums[:, 1], 1), [2.5, 97.5])
    return float(low), float(high)


def _worst(
    found: SegmentationInterpretation, row: int, root: str, rights: npt.NDArray[np.int64]
) -> WorstMask:
    right, counted = rights[row].tolist()
    name = below(root, found.item_name(row))
    return WorstMask(name, float(found.losses[row]), right / max(counted, 1), _picture(found, row))


def _picture(found: SegmentationInterpretation, row: int) -> str | None:
    """True and predicted mask over the picture, side by side."""
    dataset: Any = getattr(found.dl, "dataset", None)
    if not isinstance(dataset, Dataset) or found.input_block is None:
        return None
    try:
        shown = found.input_block.present(dataset.sample(found.positions[row], Random(0))[0])
    except DataError:  # gone since
        return None
    photo = np.asarray(shown.convert("RGB") if hasattr(shown, "convert") else shown)
    if photo.ndim != 3 or photo.shape[2] != 3 or photo.dtype != np.uint8:
        return None
    colours = (255 * np.array([*class_colours(len(found.vocab)), (0, 0, 0)])).astype(np.uint8)
    masks = [
        np.minimum(mask.numpy().astype(np.int64), len(found.vocab))
        for mask in (found.targs[row], found.preds[row])
    ]
    halves: list[npt.NDArray[np.uint8]] = []
    for mask in masks:
        counted = (mask != found.void)[:, :, None] & (mask < len(found.vocab))[:, :, None]
        painted = (1 - ALPHA) * photo + ALPHA * colours[mask]
        halves.append(np.where(counted, painted, photo).astype(np.uint8))
    gap = np.full((photo.shape[0], max(2, photo.shape[1] // 60), 3), 255, np.uint8)
    return thumbnail(np.concatenate([halves[0], gap, halves[1]], 1), PIXELS, BYTES)
