"""What comes out of a model: one `Answer` for each kind of output.

In: the output that `model.json` describes, or a learner to be described. Out: predictions as people read
them, worked examples, a score. An answer imports no training code, but for writing. Read next:
`categories.py`, `numbers.py`, `masks.py`, `boxes.py`; `runner.py`, which asks them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, cast

import torch
from torch import Tensor, nn

from wiggly.bundle.parts import Output, Score, Task, WorkedOut
from wiggly.bundle.readers import Reader, first_known
from wiggly.data.base import Block
from wiggly.data.vocab import Vocab
from wiggly.errors import BundleError
from wiggly.records import Prediction

if TYPE_CHECKING:
    from wiggly.bundle.held_out import HeldOut
    from wiggly.train.learner import Learner

__all__ = ["Answer", "BlockAnswer", "answer_of", "describe_outputs"]

#: Module and class for each `kind` of output.
ANSWERS = {
    "category": ("categories", "CategoryAnswer"),
    "labels": ("categories", "LabelsAnswer"),
    "numbers": ("numbers", "NumbersAnswer"),
    "points": ("numbers", "PointsAnswer"),
    "boxes": ("boxes", "BoxesAnswer"),
    "mask": ("masks", "MaskAnswer"),
}

#: Which kind a learner's first target block is.
KINDS = {
    "CategoryBlock": "category",
    "MultiCategoryBlock": "labels",
    "RegressionBlock": "numbers",
    "PointBlock": "points",
    "BBoxBlock": "boxes",
    "MaskBlock": "mask",
}


class Answer(ABC):
    """How the network's output becomes what a person reads.

    Args:
        output: What `model.json` says.

    Attributes:
        task: What models of this kind do, as `model.json` calls it.
        tolerance: By how much a worked example may differ, see `apart`.
        by_class: Whether worked examples are chosen by class.
        on_picture: Whether the answer lies on the picture, which is then asked for.
        remedy: What to do where the learner answers otherwise.
        vocab: The classes, in the order of the outputs; empty where there are none.
    """

    task: ClassVar[Task]
    tolerance: ClassVar[float] = 1e-4
    by_class: ClassVar[bool] = False
    on_picture: ClassVar[bool] = False
    remedy: ClassVar[str] = "Use a loss with the usual activation of its target (softmax for one category)."

    def __init__(self, output: Any) -> None:
        self.output = output
        self.vocab = Vocab(getattr(output, "vocabulary", ()))

    # running

    @abstractmethod
    def rows(self, raw: Any) -> Sequence[Any]:
        """The network's output for a batch, activated, on the CPU, one entry for each item."""

    @abstractmethod
    def decode(self, row: Any, seen: tuple[Any, ...]) -> Prediction:
        """The prediction for one item.

        Args:
            row: One of `rows`.
            seen: The item's values as the network saw them, where the answer is `on_picture`.
        """

    @abstractmethod
    def apart(self, wanted: Prediction, found: Prediction, tolerance: float) -> float:
        """How far two predictions for one item are apart; infinite or NaN where they are quite different.

        Args:
            wanted: Recorded, or the learner's own.
            found: Computed.
            tolerance: What is allowed.
        """

    def unlike(self, difference: float) -> str:
        """What `apart` found, in words that follow "it"."""
        return f"is {difference:.2g} off"

    def network(self, config: Mapping[str, Any], reader: Reader, room: int) -> nn.Module:
        """The network that `model.json` describes; see `Reader.network`."""
        return reader.network(config, room)

    # worked examples

    @abstractmethod
    def recorded(self, example: Any, files: Mapping[str, bytes]) -> Prediction:
        """What a worked example says must be predicted."""

    @abstractmethod
    def work_out(self, file: str, found: Prediction, actual: Any) -> tuple[WorkedOut, Mapping[str, bytes]]:
        """A worked example, and the files it needs besides its input.

        Args:
            file: Name of the input's file.
            found: What the network predicts for it.
            actual: What the data says, if known.
        """

    def is_finite(self, found: Prediction) -> bool:
        """Whether a prediction holds no NaN."""
        return bool(torch.isfinite(found.probs).all())

    # describing

    @classmethod
    @abstractmethod
    def describe(cls, learn: Learner, place: int) -> Output:
        """What is written about a learner's output.

        Args:
            learn: The learner.
            place: Of the target block that is meant.

        Raises:
            BundleError: It cannot travel as data.
        """

    @classmethod
    def measure(cls, learn: Learner, seen: HeldOut) -> tuple[Score | None, dict[str, float]]:
        """How good the learner is on its validation items: one number beside a baseline, where there is one
        that says it, and metrics by name.

        Args:
            learn: The learner.
            seen: What it says of its validation items.
        """
        from wiggly.bundle.describe import measured_metrics

        return None, measured_metrics(learn)

    @classmethod
    def of_learner(cls, found: Any) -> Prediction:
        """What `learn.predict` returned, as a `Prediction`; for tables it has the whole row in front."""
        return Prediction(found.decoded, found.index, found.probs)


class BlockAnswer(Answer):
    """An answer in one tensor, of which a target block makes what people read.

    Args:
        output: What `model.json` says.
        block: Knows the labels.
        activation: "softmax" (over the second axis), "sigmoid" or "none".

    Attributes:
        temperature: The network's outputs are divided by it before the activation.
    """

    def __init__(self, output: Any, block: Block, activation: str) -> None:
        super().__init__(output)
        self.block, self.activation = block, activation
        self.temperature: float = getattr(output, "temperature", 1.0)

    def rows(self, raw: Any) -> Sequence[Tensor]:
        outputs = cast("Tensor", raw).float() / self.temperature
        if self.activation == "softmax":
            outputs = outputs.softmax(1)
        return list((outputs.sigmoid() if self.activation == "sigmoid" else outputs).cpu())

    def encoded(self, row: Tensor) -> Tensor:
        """The encoded prediction of one row."""
        return self.block.predicted(row[None])[0]

    def decode(self, row: Tensor, seen: tuple[Any, ...]) -> Prediction:
        encoded = self.encoded(row)
        return Prediction(self.block.decode_in(encoded, seen), encoded, row)


def answer_of(outputs: Sequence[Output]) -> Answer:
    """The answer of the outputs that `model.json` describes."""
    if len(outputs) == 1:
        return _answer(outputs[0].kind)(outputs[0])
    from wiggly.bundle.several import SeveralAnswer

    return SeveralAnswer(outputs)


def describe_outputs(learn: Learner) -> tuple[Output, ...]:
    """What is written about a learner's outputs.

    Raises:
        BundleError: They cannot travel as data.
    """
    blocks = learn.dls.target_blocks
    kinds = [first_known(KINDS, block) for block in blocks]
    if kinds[:1] == ["boxes"] and len(kinds) == 2:
        kinds = ["boxes"]  # the other block has their labels
    known = [kind for kind in kinds if kind is not None]
    together = isinstance(learn.model_config, dict) and "table" in learn.model_config
    if not known or len(known) != len(kinds) or (len(known) > 1 and not together):
        raise BundleError(
            "a bundle needs one target (one or several labels, numbers, points, a mask, labelled boxes); "
            "of a table it may have more",
            f"the targets are {[block.name for block in blocks] or 'unknown'}",
            "Other targets cannot be exported yet: keep the weights with `learn.save`.",
        )
    return tuple(_answer(kind).describe(learn, place) for place, kind in enumerate(known))


def _answer(kind: str) -> type[Answer]:
    module, name = ANSWERS[kind]
    return cast("type[Answer]", getattr(import_module(f"wiggly.bundle.{module}"), name))
