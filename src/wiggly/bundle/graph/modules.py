"""What is exported: preparation, network, activation; one module for each kind of input.

In: the network in evaluation mode, and what `model.json` says of its input and outputs. Out: a module whose
arguments and results are those of the ONNX file (docs/format.md). Read next: `writing.py`, which exports it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.bundle.graph.resample import Resample
from wiggly.bundle.parts import (
    BoxesOutput,
    CategoryOutput,
    ImageInput,
    Input,
    LabelsOutput,
    MaskOutput,
    Output,
    PairInput,
    PointsOutput,
    TableInput,
)

__all__ = ["GraphModule", "PairGraph", "PictureGraph", "TableGraph", "graph_module"]

#: Classes of a mask that fit into a byte.
MOST_IN_A_BYTE = 256


class GraphModule(nn.Module, ABC):
    """What is exported.

    Args:
        network: In evaluation mode.
        outputs: What `model.json` says.

    Attributes:
        input_names: Of the ONNX file.
        output_names: The same.
        batched: Whether several items go in at once.
    """

    input_names: list[str]
    batched = True

    def __init__(self, network: nn.Module, outputs: Sequence[Output]) -> None:
        super().__init__()
        self.network, self.outputs = network, tuple(outputs)
        several = len(outputs) > 1
        names = [names_of(output) for output in outputs]
        self.output_names = [
            f"{name}_{i}" if several else name for i, group in enumerate(names) for name in group
        ]

    @property
    def number(self) -> torch.dtype:
        """The type the network computes in."""
        return next(part.dtype for part in self.network.parameters() if part.is_floating_point())

    @abstractmethod
    def examples(self) -> tuple[Tensor, ...]:
        """Inputs to trace it with."""

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        """Which axes of the inputs have any length."""
        return tuple({0: torch.export.Dim.DYNAMIC} for _ in self.input_names)

    def finished(self, raw: Any) -> tuple[Tensor, ...]:
        """The network's outputs, activated."""
        if isinstance(self.outputs[0], BoxesOutput):
            return _found(raw, self.outputs[0])
        parts = (raw,) if len(self.outputs) == 1 else raw
        return tuple(_activated(part, output) for part, output in zip(parts, self.outputs, strict=True))


class PictureGraph(GraphModule):
    """Pictures `(n, h, w, c)` of bytes."""

    def __init__(self, network: nn.Module, outputs: Sequence[Output], described: ImageInput) -> None:
        super().__init__(network, outputs)
        self.described, self.input_names = described, ["image"]
        self.batched = not isinstance(outputs[0], BoxesOutput)
        self.resample = Resample(described.preprocessing, described.size)

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        """Outputs by the names of `output_names`."""
        levels = self.resample(image).to(self.number)
        if self.batched:
            return self.finished(self.network(levels / 255))
        from wiggly.vision.detection.fixed import found_in_fixed_shapes

        return self.finished(found_in_fixed_shapes(cast("Any", self.network), levels / 255))

    def examples(self) -> tuple[Tensor, ...]:
        height, width = self.described.size or (96, 128)
        shape = (2 if self.batched else 1, height + 37, width + 53, self.described.channels)
        if self.resample.size is None:
            shape = (shape[0], height, width, shape[3])
        return (torch.randint(0, 256, shape, dtype=torch.uint8),)

    def dynamic(self) -> tuple[dict[int, Any], ...]:
        any_length = torch.export.Dim.DYNAMIC
        free = {1: any_length, 2: any_length} if self._any_size else {}
        return ({0: any_length, **free} if self.batched else free,)

    @property
    def _any_size(self) -> bool:
        return self.resample.size is not None or self.described.size is None


class TableGraph(GraphModule):
    """Codes of categories `(n, k)` and numbers `(n, m)`; one that has no columns is left out."""

    def __init__(self, network: nn.Module, outputs: Sequence[Output], described: TableInput) -> None:
        super().__init__(network, outputs)
        self.widths = {"categories": len(described.categories), "numbers": len(described.numbers)}
        self.input_names = [name for name, width in self.widths.items() if width]

    def forward(self, *parts: Tensor) -> tuple[Tensor, ...]:
        """Outputs by the names of `output_names`."""
        given = dict(zip(self.input_names, parts, strict=True))
        n = parts[0].shape[0]
        cats = given.get("categories")
        conts = given.get("numbers")
        cats = torch.zeros((n, 0), dtype=torch.int64) if cats is None else cats
        conts = torch.zeros((n, 0)) if conts is None else conts
        return self.finished(self.network(cats, conts.to(self.number)))

    def examples(self) -> tuple[Tensor, ...]:
        made = {
            "categories": torch.zeros((3, self.widths["categories"]), dtype=torch.int64),
            "numbers": torch.linspace(-1, 1, 3 * self.widths["numbers"]).reshape(3, -1),
        }
        return tuple(made[name] for name in self.input_names)


class PairGraph(GraphModule):
    """Codes of users and items `(n, 2)`."""

    def __init__(self, network: nn.Module, outputs: Sequence[Output]) -> None:
        super().__init__(network, outputs)
        self.input_names = ["pairs"]

    def forward(self, pairs: Tensor) -> tuple[Tensor, ...]:
        """Outputs by the names of `output_names`."""
        return self.finished(self.network(pairs))

    def examples(self) -> tuple[Tensor, ...]:
        return (torch.zeros((3, 2), dtype=torch.int64),)


def graph_module(network: nn.Module, described: Input, outputs: Sequence[Output]) -> GraphModule:
    """The module for a kind of input."""
    if isinstance(described, ImageInput):
        return PictureGraph(network, outputs, described).eval()
    if isinstance(described, PairInput):
        return PairGraph(network, outputs).eval()
    return TableGraph(network, outputs, described).eval()


def names_of(output: Output) -> tuple[str, ...]:
    """How the results of one output are called in the ONNX file."""
    if isinstance(output, CategoryOutput | LabelsOutput):
        return ("probabilities",)
    if isinstance(output, BoxesOutput):
        return ("boxes", "scores", "classes")
    if isinstance(output, MaskOutput):
        return ("classes",)
    return ("points",) if isinstance(output, PointsOutput) else ("values",)


def _activated(raw: Tensor, output: Output) -> Tensor:
    """One output as the file gives it."""
    raw = raw.float()
    if isinstance(output, MaskOutput):
        fits = len(output.vocabulary) <= MOST_IN_A_BYTE
        return raw.argmax(1).to(torch.uint8 if fits else torch.int64)
    if isinstance(output, LabelsOutput):
        return (raw / output.temperature).sigmoid()
    if isinstance(output, CategoryOutput):
        scaled = raw / output.temperature
        if output.activation == "none":
            return scaled
        return scaled.softmax(1) if output.activation == "softmax" else scaled.sigmoid()
    return raw.reshape(raw.shape[0], -1, 2) if isinstance(output, PointsOutput) else raw.reshape(len(raw), -1)


def _found(raw: Any, output: BoxesOutput) -> tuple[Tensor, ...]:
    """Boxes, scores and classes of the only picture, without the padding."""
    boxes, labels, scores = (cast("Tensor", part)[0] for part in raw[:3])
    kept = (scores >= output.min_score) & (scores > 0)
    return boxes[kept].float(), scores[kept].float(), labels[kept]
