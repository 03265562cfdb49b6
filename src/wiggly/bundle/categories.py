"""Classes as the answer of a bundle: one out of a vocabulary, or any number of them.

In: a `CategoryOutput` or `LabelsOutput`, or a learner. Out: labels with probabilities. Read next:
`numbers.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from wiggly.bundle.answers import BlockAnswer
from wiggly.bundle.parts import CategoryOutput, Example, LabelsExample, LabelsOutput, Score
from wiggly.bundle.replies import is_unsure
from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock
from wiggly.records import Prediction

if TYPE_CHECKING:
    from wiggly.bundle.held_out import HeldOut
    from wiggly.train.learner import Learner

__all__ = ["CategoryAnswer", "LabelsAnswer"]


class CategoryAnswer(BlockAnswer):
    """One class: `(label, index, probs)`, with a probability for each class of `vocab`."""

    task = "classification"
    by_class = True

    def __init__(self, output: CategoryOutput) -> None:
        super().__init__(output, CategoryBlock(output.vocabulary, sort=False), output.activation)

    def decode(self, row: Tensor, seen: tuple[Any, ...]) -> Prediction:
        return super().decode(row, seen).marked(is_unsure(self.output, row))

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        return largest_difference(wanted.probs, found.probs)

    def recorded(self, example: Example, files: Mapping[str, bytes]) -> Prediction:
        index, probs = torch.tensor(self.vocab.o2i[example.label]), torch.tensor(example.probabilities)
        return Prediction(example.label, index, probs).marked(is_unsure(self.output, probs))

    def work_out(self, file: str, found: Prediction, actual: Any) -> tuple[Example, Mapping[str, bytes]]:
        return Example(file, found.decoded, actual, rounded(found.probs)), {}

    @classmethod
    def describe(cls, learn: Learner, place: int) -> CategoryOutput:
        vocabulary = tuple(learn.dls.target_blocks[place].vocab or ())
        return CategoryOutput("category", vocabulary, "softmax", target_name(learn, place))

    @classmethod
    def measure(cls, learn: Learner, seen: HeldOut) -> tuple[Score | None, dict[str, float]]:
        from wiggly.bundle.describe import accuracy_score, last_metrics

        return accuracy_score(learn, seen), last_metrics(learn)


class LabelsAnswer(BlockAnswer):
    """Any number of classes: `(labels, which, probs)`."""

    task = "multilabel"

    def __init__(self, output: LabelsOutput) -> None:
        super().__init__(output, MultiCategoryBlock(vocab=output.vocabulary), "sigmoid")
        self.threshold = output.threshold

    def encoded(self, row: Tensor) -> Tensor:
        return row > self.threshold

    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        return largest_difference(wanted.probs, found.probs)

    def recorded(self, example: LabelsExample, files: Mapping[str, bytes]) -> Prediction:
        return self.decode(torch.tensor(example.probabilities), ())

    def work_out(
        self, file: str, found: Prediction, actual: Any
    ) -> tuple[LabelsExample, Mapping[str, bytes]]:
        labels = None if actual is None else tuple(actual)
        return LabelsExample("labels", file, rounded(found.probs), labels), {}

    @classmethod
    def describe(cls, learn: Learner, place: int) -> LabelsOutput:
        vocabulary = tuple(learn.dls.target_blocks[place].vocab or ())
        threshold = float(getattr(learn.loss_func, "thresh", 0.5))
        return LabelsOutput("labels", vocabulary, threshold, target_name(learn, place))


def target_names(learn: Learner, place: int) -> list[str]:
    """The columns of a table that a target block reads; none for pictures."""
    table = getattr(learn.dls, "table", None)
    return [] if table is None else [str(name) for name in table.targets.names[place]]


def target_name(learn: Learner, place: int) -> str:
    """The column that is predicted, where there is one."""
    names = target_names(learn, place)
    return names[0] if len(names) == 1 else ""


def rounded(probs: Tensor) -> tuple[float, ...]:
    """Numbers as they are written down."""
    return tuple(round(p, 8) for p in probs.tolist())


def largest_difference(wanted: Tensor, found: Tensor) -> float:
    """Of two tensors of one shape; infinite where they have not."""
    if wanted.shape != found.shape:
        return float("inf")
    return float((found.float().cpu() - wanted.float().cpu()).abs().max())
