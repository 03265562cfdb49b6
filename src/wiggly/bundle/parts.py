"""The pieces of `model.json`: what goes in, what comes out, worked examples, the score; frozen dataclasses.

In: nothing; the annotations say what a field may hold. Out: the classes that `manifest.py` puts together. Of
several kinds the field `kind` tells which one is meant. Read next: `manifest.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, TypeAlias

from wiggly.bundle.measured import Calibration, Unsure
from wiggly.bundle.schema import Rule

__all__ = [
    "BoxExample",
    "BoxesOutput",
    "CategoryField",
    "CategoryOutput",
    "Example",
    "FileEntry",
    "FoundBox",
    "ImageInput",
    "Input",
    "Label",
    "LabelsExample",
    "LabelsOutput",
    "MaskExample",
    "MaskOutput",
    "NumberField",
    "NumbersExample",
    "NumbersOutput",
    "Output",
    "PairInput",
    "PointsExample",
    "PointsOutput",
    "Score",
    "SeveralExample",
    "Step",
    "TableInput",
    "Task",
    "WorkedOut",
]

#: A class as the user calls it.
Label: TypeAlias = str | int | float | bool

#: What a model does.
Task: TypeAlias = Literal[
    "classification",
    "multilabel",
    "regression",
    "recommendation",
    "keypoints",
    "detection",
    "segmentation",
    "several",
]


@dataclass(frozen=True)
class FileEntry:
    """A file of the bundle, other than model.json."""

    sha256: Annotated[str, Rule("SHA-256 of the content, lower-case hex.", pattern="[0-9a-f]{64}")]
    bytes: Annotated[int, Rule("Length of the content in bytes.", minimum=0)]


@dataclass(frozen=True)
class Step:
    """A transform or block, by the name it is found by and its arguments."""

    name: Annotated[str, Rule("Class name.")]
    args: Annotated[dict[str, Any], Rule("Arguments that make an equal one.")]


# ---- what goes in ----


@dataclass(frozen=True)
class ImageInput:
    """An image the model takes, and how a file becomes one."""

    kind: Literal["image"]
    channels: Annotated[int, Rule("3 for colour (RGB), 1 for grey.", minimum=1)]
    size: Annotated[
        tuple[int, int] | None,
        Rule("Height and width in pixels after preprocessing; null: as the file has it."),
    ]
    preprocessing: Annotated[
        tuple[Step, ...],
        Rule("Transforms from file to image, in order, as they act when nothing is drawn at random."),
    ]
    range: Annotated[
        tuple[float, float], Rule("Values of black and white; the model normalises by itself.")
    ] = (0.0, 1.0)


@dataclass(frozen=True)
class CategoryField:
    """A column of categories; the model gets the place of the value in the vocabulary, counted from 1, and 0
    for one that is missing or not in it."""

    name: Annotated[str, Rule("Of the column.")]
    vocab: Annotated[
        tuple[Any, ...],
        Rule("The values; dates, huge integers and the like as an object that names its type."),
    ]
    flag_of: Annotated[
        str | None,
        Rule("The number of which this one says whether it is missing (1: there, 2: missing); else null."),
    ] = None


@dataclass(frozen=True)
class NumberField:
    """A column of numbers; the model gets (x - center - mean) / std."""

    name: Annotated[str, Rule("Of the column.")]
    kind: Annotated[
        Literal["number", "integer", "boolean", "date", "duration"],
        Rule("What its values are; dates are seconds since 1970, durations seconds."),
    ]
    fill: Annotated[float, Rule("What stands for a missing value.")]
    flagged: Annotated[bool, Rule("Whether a category says where it is missing.")]
    center: Annotated[Any, Rule("Whole number that is subtracted exactly.")]
    mean: Annotated[float, Rule("Of the training rows, less center.")]
    std: Annotated[float, Rule("Standard deviation of the training rows.", minimum=0)]
    low: Annotated[float, Rule("Smallest value of the training rows.")]
    high: Annotated[float, Rule("Largest value of the training rows.")]


@dataclass(frozen=True)
class TableInput:
    """A row of a table, and how its columns become numbers: categories (n, k), then numbers (n, m)."""

    kind: Literal["table"]
    categories: Annotated[tuple[CategoryField, ...], Rule("In the order in which the model takes them.")]
    numbers: Annotated[tuple[NumberField, ...], Rule("In the order in which the model takes them.")]


@dataclass(frozen=True)
class PairInput:
    """A user and an item, whose rating is predicted; the model gets both places (n, 2)."""

    kind: Literal["pairs"]
    user: Annotated[CategoryField, Rule("The column of users.")]
    item: Annotated[CategoryField, Rule("The column of items.")]


Input: TypeAlias = ImageInput | TableInput | PairInput


# ---- what comes out ----


@dataclass(frozen=True)
class CategoryOutput:
    """One class out of a vocabulary."""

    kind: Literal["category"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes, in the order of the model's outputs.", items=(2, None))
    ]
    activation: Annotated[
        Literal["softmax", "sigmoid", "none"], Rule("From the model's outputs to probabilities.")
    ]
    name: Annotated[str, Rule("What is predicted: the column of a table, say.")] = ""
    temperature: Annotated[
        float, Rule("The model's outputs are divided by it before the activation.", minimum=1e-6)
    ] = 1.0
    calibration: Annotated[
        Calibration | None, Rule("What the temperature was found to do; null if nothing was measured.")
    ] = None
    unsure: Annotated[Unsure | None, Rule("Which answers are unsure; null: none is called so.")] = None


@dataclass(frozen=True)
class LabelsOutput:
    """Any number of classes out of a vocabulary, each with a probability of its own (a sigmoid)."""

    kind: Literal["labels"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes, in the order of the model's outputs.", items=(1, None))
    ]
    threshold: Annotated[float, Rule("A class is named if its probability is above.", minimum=0)]
    name: Annotated[str, Rule("What is predicted.")] = ""
    temperature: Annotated[
        float, Rule("The model's outputs are divided by it before the sigmoid.", minimum=1e-6)
    ] = 1.0
    calibration: Annotated[
        Calibration | None, Rule("What the temperature was found to do; null if nothing was measured.")
    ] = None


@dataclass(frozen=True)
class NumbersOutput:
    """One number or several; the model gives them as they are."""

    kind: Literal["numbers"]
    names: Annotated[tuple[str, ...], Rule("What they are called.", items=(1, None))]
    low: Annotated[tuple[float, ...], Rule("Smallest values among the training items.")]
    high: Annotated[tuple[float, ...], Rule("Largest values among the training items.")]


@dataclass(frozen=True)
class PointsOutput:
    """A fixed number of places in a picture; the model gives x1, y1, x2, ... from -1 (left, top) to 1."""

    kind: Literal["points"]
    n: Annotated[int, Rule("How many points.", minimum=1)]


@dataclass(frozen=True)
class BoxesOutput:
    """Any number of boxes, each with one class out of a vocabulary and a score."""

    kind: Literal["boxes"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes by the number the model gives them.", items=(1, None))
    ]
    min_score: Annotated[float, Rule("Boxes with a lower score are left out.", minimum=0)]


@dataclass(frozen=True)
class MaskOutput:
    """One class out of a vocabulary for every pixel (a softmax over the classes)."""

    kind: Literal["mask"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes, in the order of the model's outputs.", items=(2, None))
    ]
    void: Annotated[int | None, Rule("The index that means no label here; null without one.")] = None


Output: TypeAlias = CategoryOutput | LabelsOutput | NumbersOutput | PointsOutput | BoxesOutput | MaskOutput


# ---- worked examples ----


@dataclass(frozen=True)
class Example:
    """A worked example: an input file and the class the model must answer for it."""

    file: Annotated[str, Rule("Name of the input file in the bundle: a picture, or a row as JSON.")]
    label: Annotated[Label, Rule("The class the model predicts.")]
    actual: Annotated[Label | None, Rule("The class the data gives it, when known.")]
    probabilities: Annotated[tuple[float, ...], Rule("Activated outputs, in the order of the vocabulary.")]


@dataclass(frozen=True)
class LabelsExample:
    """A worked example of a model that names any number of classes."""

    kind: Literal["labels"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    probabilities: Annotated[tuple[float, ...], Rule("Activated outputs, in the order of the vocabulary.")]
    actual: Annotated[tuple[Label, ...] | None, Rule("The classes the data gives it, when known.")] = None


@dataclass(frozen=True)
class NumbersExample:
    """A worked example of a model that gives numbers."""

    kind: Literal["numbers"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    values: Annotated[tuple[float, ...], Rule("What the model predicts.")]
    actual: Annotated[tuple[float, ...] | None, Rule("What the data says, when known.")] = None


@dataclass(frozen=True)
class PointsExample:
    """A worked example of a model that finds points."""

    kind: Literal["points"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    points: Annotated[
        tuple[tuple[float, float], ...], Rule("x and y in pixels of the picture as the file has it, upright.")
    ]


@dataclass(frozen=True)
class FoundBox:
    """One thing found in a picture."""

    label: Annotated[Label, Rule("What it is.")]
    score: Annotated[float, Rule("How sure the model is, 0 to 1.", minimum=0)]
    box: Annotated[
        tuple[float, float, float, float],
        Rule("x1, y1, x2, y2 in pixels of the picture as the file has it, upright."),
    ]


@dataclass(frozen=True)
class BoxExample:
    """A worked example of a detector: an input file and the boxes the model must find in it."""

    kind: Literal["boxes"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    boxes: Annotated[tuple[FoundBox, ...], Rule("What the model finds, best first.")]


@dataclass(frozen=True)
class MaskExample:
    """A worked example of a model that gives every pixel a class."""

    kind: Literal["mask"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    mask: Annotated[
        str, Rule("Name of the file with what the model predicts: a PNG of class indices, as large.")
    ]


@dataclass(frozen=True)
class SeveralExample:
    """A worked example of a model with several outputs."""

    kind: Literal["several"]
    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    answers: Annotated[
        tuple[Example | LabelsExample | NumbersExample, ...], Rule("What it must answer, output by output.")
    ]


WorkedOut: TypeAlias = (
    Example | LabelsExample | NumbersExample | PointsExample | BoxExample | MaskExample | SeveralExample
)


@dataclass(frozen=True)
class Score:
    """How good the model was on items it had not trained on."""

    name: Annotated[str, Rule("What was measured: accuracy (share of right answers), or rmse.")]
    value: Annotated[float, Rule("Its value; of an accuracy 0 to 1.", minimum=0)]
    n: Annotated[int, Rule("Number of validation items.", minimum=1)]
    interval: Annotated[tuple[float, float], Rule("95 % confidence interval of the value.")]
    baseline: Annotated[float, Rule("The same for always answering `baseline_label`.", minimum=0)]
    baseline_label: Annotated[Label, Rule("The most frequent class, or the mean, in training.")]
