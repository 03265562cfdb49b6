"""More pieces of `model.json`: the ONNX graphs, and what was measured when a bundle was written.

In: nothing; the annotations say what a field may hold. Out: frozen dataclasses, part of the manifest and of
its outputs. Read next: `parts.py`, the other pieces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from wiggly.bundle.schema import Rule

__all__ = ["Agreement", "Calibration", "Graph", "Quality", "Unsure"]


@dataclass(frozen=True)
class Calibration:
    """How well the probabilities are those of being right, measured on validation items that the temperature
    was not fitted on. Error: expected calibration error over 15 bins; nll: mean negative log-likelihood."""

    error_before: Annotated[float, Rule("Calibration error at temperature 1.", minimum=0)]
    error_after: Annotated[float, Rule("Calibration error at the temperature of the output.", minimum=0)]
    nll_before: Annotated[float, Rule("Negative log-likelihood at temperature 1, in nats.", minimum=0)]
    nll_after: Annotated[float, Rule("The same at the temperature of the output.", minimum=0)]
    n: Annotated[int, Rule("How many items it was measured on.", minimum=1)]


@dataclass(frozen=True)
class Unsure:
    """From which probability on an answer is relied upon; chosen, and measured, on validation items."""

    threshold: Annotated[float, Rule("Of the likeliest class; an answer below is unsure.", minimum=0)]
    share: Annotated[float, Rule("Share of the validation items whose answer is unsure.", minimum=0)]
    accuracy: Annotated[float, Rule("Share of right answers among the others.", minimum=0)]
    wanted: Annotated[float, Rule("The share of right answers that was asked for.", minimum=0)]
    n: Annotated[int, Rule("Number of validation items.", minimum=1)]


@dataclass(frozen=True)
class Quality:
    """How a smaller variant of the graph did on validation items, beside the float32 one."""

    precision: Annotated[Literal["float16", "int8"], Rule("Which variant.")]
    metric: Annotated[
        str, Rule("What was measured: accuracy, or agreement (share of answers that are the float32 ones).")
    ]
    value: Annotated[float, Rule("Of the variant.")]
    float32: Annotated[float, Rule("Of the float32 graph.")]
    n: Annotated[int, Rule("Number of validation items.", minimum=1)]
    bound: Annotated[float, Rule("How much worse it may be and still be kept.", minimum=0)]
    kept: Annotated[bool, Rule("Whether it is among `graphs`.")]


@dataclass(frozen=True)
class Graph:
    """The whole model, preprocessing and activation included, as an ONNX file."""

    file: Annotated[str, Rule("Its name in the bundle.")]
    precision: Annotated[
        Literal["float32", "float16", "int8"], Rule("Of the network; inputs and outputs are the same in all.")
    ]
    opset: Annotated[int, Rule("Version of ONNX's operators.", minimum=1)]
    inputs: Annotated[tuple[str, ...], Rule("Names, in order: see docs/format.md.", items=(1, None))]
    outputs: Annotated[tuple[str, ...], Rule("Names, in order.", items=(1, None))]
    quality: Annotated[Quality | None, Rule("Measured beside float32; null for float32 itself.")] = None


@dataclass(frozen=True)
class Agreement:
    """How the bundle answers validation items from their files, compared with the learner that wrote it.

    Both read by the same specification, each on its own; a learner on a GPU or in half precision differs a
    little.
    """

    n: Annotated[int, Rule("Number of validation items.", minimum=1)]
    same: Annotated[float, Rule("Share with the same answer (of masks: of the pixels).", minimum=0)]
    largest: Annotated[
        float, Rule("Largest difference: of a probability, or of a number as share of its range.", minimum=0)
    ]
