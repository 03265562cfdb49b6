"""Where a detector goes wrong: average precision class by class, boxes missed and boxes that are not there.

In: a Learner of `detection_learner`. Out: `DetectionInterpretation`. Kept are boxes, labels and scores, never
pictures. Read next: `box_gather.py`, which writes a report of it.
"""

from __future__ import annotations

from math import ceil
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from wiggly.data.base import Block
from wiggly.data.dataset import Dataset
from wiggly.data.show import grid
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.interpretation import Interpretation
from wiggly.records import Predictions
from wiggly.vision.boxes import BoxLabels
from wiggly.vision.detection.boxes import Numbering
from wiggly.vision.detection.detector import Detector
from wiggly.vision.detection.learner import DetectionLearner
from wiggly.vision.detection.matching import AT_50, BoxMatches, box_overlaps, match_boxes
from wiggly.vision.detection.metrics import add_batch
from wiggly.vision.detection.showing import draw_found, draw_true, pixels_of

if TYPE_CHECKING:
    import pandas as pd

    from wiggly.train.learner import Learner

__all__ = ["BoxMistakes", "DetectionInterpretation", "constant_matches"]

MOST_ITEMS = 2000  # of training that the constant answer is made from


class BoxMistakes(NamedTuple):
    """What is wrong in one picture, at an overlap of 0.5, of boxes with at least `min_score`.

    Attributes:
        missed: Numbers of true boxes that nothing found.
        false: Numbers of predicted boxes that cover nothing of their class.
    """

    missed: list[int]
    false: list[int]


class DetectionInterpretation(Interpretation):
    """Predicted boxes of a whole set beside the true ones.

    Make it with `from_learner`.

    Attributes:
        preds: Boxes `(n, k, 4)` in [-1, 1], labels `(n, k)`, scores `(n, k)`, 0 where there is none.
        targs: True boxes `(n, m, 4)` and labels `(n, m)`, padded.
        losses: Loss of each row, `(n,)`.
        positions: For each row its position in the data set.
        vocab: The labels by number.
        matches: Which boxes are right, over the whole set.
        min_score: Boxes with a lower score count as not predicted.
    """

    def __init__(self, dl: Any, predictions: Predictions, blocks: tuple[Block | None, Block | None]) -> None:
        super().__init__(dl, predictions, blocks)
        self.matches, self.min_score = BoxMatches(), 0.0
        self.vocab: Any = []
        self.numbering = Numbering()
        self._blocks: list[Block] = []

    @classmethod
    def from_learner(cls, learn: Learner, ds_idx: int = 1, dl: Any = None, act: Any = None) -> Self:
        """Predict a whole set once.

        Args:
            learn: A trained learner of `detection_learner`.
            ds_idx: Which loader of `learn.dls`: 0 training, 1 validation.
            dl: Another loader with boxes, in place of `ds_idx`.
            act: Not used here.

        Raises:
            ArgumentError: The learner finds no boxes.
            DataError: The items carry no boxes, or none could be read.
        """
        if not isinstance(learn, DetectionLearner):
            raise ArgumentError(
                "`DetectionInterpretation` needs a learner of `detection_learner`",
                f"got a {type(learn).__name__}",
                "Use ClassificationInterpretation for labels of whole pictures.",
            )
        made = super().from_learner(learn, ds_idx, dl)
        made.min_score, made.vocab = learn.min_score, learn.dls.vocab
        made.numbering = cast("Detector", learn.model).numbering
        made._blocks = list(learn.dls.target_blocks)
        add_batch(made.matches, made.preds, tuple(made.targs), made.numbering)
        return made

    @property
    def classes(self) -> list[int]:
        """Numbers of the classes that are there or predicted."""
        return sorted(self.matches.n_true)

    def class_table(self) -> pd.DataFrame:
        """One row per class: true boxes, average precision, precision and recall, hardest first."""
        import pandas as pd

        curves = self.matches.average_precisions()
        rows: list[dict[str, Any]] = []
        for label in self.classes:
            curve = curves.get(label)
            precision, recall = self.matches.precision_and_recall(self.min_score, label)
            row = {"class": self.vocab[label], "boxes": self.matches.n_true[label]}
            means = (np.nan, np.nan) if curve is None else (float(curve.mean()), float(curve[AT_50]))
            rows.append({**row, "AP": means[0], "AP50": means[1], "precision": precision, "recall": recall})
        return pd.DataFrame(rows).sort_values("AP50", kind="stable", ignore_index=True)

    def mistakes(self, row: int) -> BoxMistakes:
        """Boxes missed and boxes that are not there, in one picture.

        Args:
            row: Of this table.
        """
        (boxes, labels, _), (true_boxes, true_labels) = self._said(row), self._there(row)
        missed, false = set(range(len(true_labels))), set(range(len(labels)))
        for label in set(labels.tolist()):
            said, there = np.flatnonzero(labels == label), np.flatnonzero(true_labels == label)
            found = match_boxes(box_overlaps(boxes[said], true_boxes[there]))[AT_50]
            false -= set(said[found >= 0].tolist())
            missed -= set(there[found[found >= 0]].tolist())
        return BoxMistakes(sorted(missed), sorted(false))

    def top_mistakes(self, k: int | None = None) -> list[int]:
        """Rows with the most boxes that are missed or not there, most first.

        Args:
            k: How many; None gives all that have any.
        """
        counts = np.array([sum(map(len, self.mistakes(row))) for row in range(len(self))])
        order = np.argsort(-counts, kind="stable")
        return [int(row) for row in order if counts[row]][:k]

    def plot_top_losses(
        self,
        k: int,
        largest: bool = True,
        nrows: int | None = None,
        figsize: tuple[float, float] | None = None,
        heatmap: bool = False,
    ) -> None:
        """Draw the pictures with the largest losses, true boxes in dashed green, with what was found.

        Args:
            k: How many, at least 1.
            largest: False draws those the model finds easiest.
            nrows: Rows of the grid.
            figsize: Width and height in inches.
            heatmap: Not for boxes.

        Raises:
            ArgumentError: `k` is less than 1, or a heat map is asked for.
            DataError: The loader's items cannot be drawn.
        """
        if heatmap:
            raise ArgumentError("heat maps need one label per picture", "these have boxes", "Leave it out.")
        rows = self.top_rows(k, largest)
        nrows = min(nrows, len(rows)) if nrows else None
        axes = grid(len(rows), nrows, ceil(len(rows) / nrows) if nrows else None, figsize)
        for row, axis in zip(rows, axes, strict=True):
            self.draw(row, axis)
            missed, false = self.mistakes(row)
            axis.set_title(f"{len(missed)} missed, {len(false)} false / {self.losses[row]:.2f}", fontsize=10)

    def draw(self, row: int, axes: Any) -> None:
        """Draws one picture as the model saw it, with found and true boxes.

        Args:
            row: Of this table.
            axes: matplotlib axes.
        """
        if self.input_block is None:
            raise DataError("drawing needs an input block", "there is none", "Build them with DataBlock.")
        picture = self.input_block.present(self._dataset.sample(self.positions[row], Random(0))[0])
        size = (int(np.asarray(picture).shape[0]), int(np.asarray(picture).shape[1]))
        self.input_block.draw(picture, axes)
        boxes, labels, scores = self._said(row)
        names = [self.vocab[label] for label in labels.tolist()]
        draw_found(pixels_of(torch.from_numpy(boxes), size), names, scores.tolist(), axes, self.vocab)
        draw_true([part[row] for part in self.targs], size, axes, self._blocks)

    def _said(self, row: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        boxes, labels, scores = (part[row] for part in self.preds)
        kept = (scores >= self.min_score) & (scores > 0)
        return boxes[kept].double().numpy(), labels[kept].numpy(), scores[kept].numpy()

    def _there(self, row: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        boxes, labels = (part[row] for part in self.targs)
        kept = labels >= self.numbering.first
        return boxes[kept].double().numpy(), labels[kept].numpy()


def constant_matches(found: DetectionInterpretation, train: Any) -> BoxMatches | None:
    """How right it is to say the same everywhere: for each class the mean box it has in training, the more
    frequent ones first.

    Args:
        found: The predictions whose true boxes are counted.
        train: The training loader.

    Returns:
        The matches; None if the training items cannot be read again.
    """
    dataset = getattr(train, "dataset", None)
    if not isinstance(dataset, Dataset):
        return None
    boxes: dict[int, list[npt.NDArray[Any]]] = {}
    for position in np.linspace(0, len(dataset) - 1, min(len(dataset), MOST_ITEMS)).astype(int).tolist():
        try:
            values = dataset.sample(position, Random(0))[dataset.n_inp :]
        except DataError:  # counted and named by the loader
            continue
        labels: BoxLabels = values[1]
        for box, label in zip(dataset.blocks[dataset.n_inp].encode(values[0]), labels.indices, strict=True):
            boxes.setdefault(label, []).append(box.double().numpy())
    classes = [label for label in boxes if label >= found.numbering.first]
    if not classes:
        return None
    total = sum(len(boxes[label]) for label in classes)
    means = torch.from_numpy(np.stack([np.mean(boxes[label], 0) for label in classes]))
    scores = torch.tensor([len(boxes[label]) / total for label in classes])
    n = len(found)
    said: tuple[Tensor, ...] = (
        means.expand(n, -1, -1),
        torch.tensor(classes).expand(n, -1),
        scores.expand(n, -1),
    )
    matches = BoxMatches()
    add_batch(matches, said, tuple(found.targs), found.numbering)
    return matches
