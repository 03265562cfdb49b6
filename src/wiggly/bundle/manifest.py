"""`model.json`: everything about a model that is not a weight, as frozen dataclasses.

In: the text of a `model.json`. Out: a `Manifest`, checked field by field, and back. The JSON Schema beside
this file (`model.schema.json`) is generated from these classes: `python -m wiggly.bundle.manifest` writes it
again, a test notices when it is stale. Read next: `archive.py`, the file around it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, cast

from wiggly.bundle.schema import Rule, SchemaError, from_json, schema_of, to_json
from wiggly.errors import BundleError

__all__ = [
    "FORMAT",
    "SCHEMA_ID",
    "VERSION",
    "WEIGHTS",
    "BoxExample",
    "BoxesOutput",
    "CategoryOutput",
    "Example",
    "FileEntry",
    "FoundBox",
    "ImageInput",
    "Label",
    "Manifest",
    "Score",
    "Step",
    "manifest_schema",
    "read_manifest",
    "write_manifest",
]

FORMAT = "wiggly-bundle"

#: Version of the format. Any change of the fields raises it, so an older wiggly never silently ignores one
#: that matters.
VERSION = 2

#: A name, not an address: nothing is ever fetched.
SCHEMA_ID = f"urn:wiggly:model:{VERSION}"

#: The file of the bundle that holds the weights.
WEIGHTS = "weights.safetensors"

#: A class as the user calls it.
Label: TypeAlias = str | int | float | bool


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
class CategoryOutput:
    """One class out of a vocabulary."""

    kind: Literal["category"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes, in the order of the model's outputs.", items=(2, None))
    ]
    activation: Annotated[
        Literal["softmax", "sigmoid", "none"], Rule("From the model's outputs to probabilities.")
    ]


@dataclass(frozen=True)
class BoxesOutput:
    """Any number of boxes, each with one class out of a vocabulary and a score."""

    kind: Literal["boxes"]
    vocabulary: Annotated[
        tuple[Label, ...], Rule("The classes by the number the model gives them.", items=(1, None))
    ]
    min_score: Annotated[float, Rule("Boxes with a lower score are left out.", minimum=0)]


@dataclass(frozen=True)
class Example:
    """A worked example: an input file and what the model must answer for it."""

    file: Annotated[str, Rule("Name of the input file in the bundle.")]
    label: Annotated[Label, Rule("The class the model predicts.")]
    actual: Annotated[Label | None, Rule("The class the data gives it, when known.")]
    probabilities: Annotated[tuple[float, ...], Rule("Activated outputs, in the order of the vocabulary.")]


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
class Score:
    """How good the model was on photos it had not trained on."""

    name: Annotated[str, Rule("What was measured: accuracy.")]
    value: Annotated[float, Rule("Share of right answers, 0 to 1.", minimum=0)]
    n: Annotated[int, Rule("Number of validation items.", minimum=1)]
    interval: Annotated[tuple[float, float], Rule("95 % confidence interval of the value (Wilson).")]
    baseline: Annotated[float, Rule("The same share for always answering `baseline_label`.", minimum=0)]
    baseline_label: Annotated[Label, Rule("The most frequent class in training.")]


@dataclass(frozen=True)
class Manifest:
    """What a bundle is: the content of its model.json."""

    format: Literal["wiggly-bundle"]
    version: Annotated[int, Rule("Version of this format.", minimum=1)]
    wiggly: Annotated[str, Rule("Version of the wiggly that wrote the bundle.")]
    created: Annotated[str, Rule("Time of writing, UTC.", pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")]
    task: Literal["classification", "detection"]
    title: Annotated[str, Rule("Name for people.")]
    inputs: Annotated[tuple[ImageInput, ...], Rule("What goes in.", items=(1, 1))]
    outputs: Annotated[tuple[CategoryOutput | BoxesOutput, ...], Rule("What comes out.", items=(1, 1))]
    model: Annotated[
        dict[str, Any],
        Rule(
            "The network: what `wiggly.vision.models.build_model`, or for detection "
            "`wiggly.vision.detection.models.build_detector`, rebuilds it from."
        ),
    ]
    files: Annotated[
        dict[str, FileEntry], Rule("Every file of the bundle but model.json and its hash, by name.")
    ]
    examples: Annotated[tuple[Example | BoxExample, ...], Rule("Worked examples.")] = ()
    description: Annotated[str, Rule("A few sentences for people.")] = ""
    licence: Annotated[str | None, Rule("SPDX identifier of the terms for using the model.")] = None
    score: Annotated[Score | None, Rule("Validation score.")] = None
    metrics: Annotated[dict[str, float], Rule("Last line of the training history.")] = field(
        default_factory=lambda: dict[str, float]()
    )
    versions: Annotated[dict[str, str], Rule("Software the model was made with.")] = field(
        default_factory=lambda: dict[str, str]()
    )


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of `model.json`, as committed in `model.schema.json`.

    Example:
        >>> manifest_schema()["$id"]
        'urn:wiggly:model:2'
    """
    schema = schema_of(Manifest)
    schema["properties"] = {"$schema": {"enum": [SCHEMA_ID]}, **schema["properties"]}
    return {"$schema": schema.pop("$schema"), "$id": SCHEMA_ID, **schema}


def write_manifest(manifest: Manifest) -> str:
    """The text of `model.json`.

    Raises:
        ValueError: A number is not finite: JSON cannot say it.
    """
    content = {"$schema": SCHEMA_ID, **to_json(manifest)}
    return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def read_manifest(text: str | bytes, name: str) -> Manifest:
    """Read and check a `model.json`.

    Args:
        text: Its content.
        name: The bundle's name, for errors.

    Raises:
        BundleError: Not JSON, not ours, of a newer version, or a field does not fit.
    """
    content = _parse(text, name)
    version = content.get("version")
    if content.get("format") != FORMAT or type(version) is not int:
        raise BundleError(
            f"'{name}' must be a wiggly bundle",
            f"its model.json gives format {content.get('format')!r}, version {version!r}",
            "Pass a file that `learn.export` wrote.",
        )
    if version > VERSION:
        raise _newer(name, version, str(content.get("wiggly")))
    try:
        content.pop("$schema", None)
        manifest = from_json(Manifest, content)
        _check_whole(manifest)
        return manifest
    except SchemaError as error:
        raise BundleError(
            f"`{error.where}` in the model.json of '{name}' must be {error.wanted}",
            f"found {error.found}",
            "Get an unchanged copy of the bundle, or export the model again.",
        ) from error


def _newer(name: str, version: int, writer: str) -> BundleError:
    known = re.fullmatch(
        r"\d[\w.]{0,20}", writer
    )  # it goes into a command people paste: nothing but a version may
    wanted = f"wiggly>={writer}" if known else "wiggly"
    return BundleError(
        f"'{name}' must be of format version {VERSION} or older, the newest this wiggly can read",
        f"it is of version {version}, written by wiggly {writer if known else '(unknown)'}",
        f'Install a newer one: `pip install --upgrade "{wanted}"`',
    )


def _check_whole(manifest: Manifest) -> None:
    """What no single field can say."""
    output = manifest.outputs[0]
    vocabulary = output.vocabulary
    if len({(type(label), label) for label in vocabulary}) != len(vocabulary):
        raise SchemaError("outputs[0].vocabulary", "a list of different classes", "one class twice")
    if output.kind != {"classification": "category", "detection": "boxes"}[manifest.task]:
        raise SchemaError("outputs[0].kind", f"one that goes with {manifest.task!r}", repr(output.kind))
    if WEIGHTS not in manifest.files:
        raise SchemaError("files", f"a table with {WEIGHTS!r} in it", f"{sorted(manifest.files)}")
    for i, example in enumerate(manifest.examples):
        if example.file not in manifest.files:
            raise SchemaError(f"examples[{i}].file", "one of `files`", repr(example.file))
        if isinstance(example, Example) != (output.kind == "category"):
            raise SchemaError(f"examples[{i}]", f"an example of {manifest.task}", "one of another task")
        if isinstance(example, Example) and len(example.probabilities) != len(vocabulary):
            found = f"{len(example.probabilities)} entries"
            raise SchemaError(f"examples[{i}].probabilities", f"a list of {len(vocabulary)} entries", found)


def _parse(text: str | bytes, name: str) -> dict[str, Any]:
    try:
        content = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        content = str(error)
    if not isinstance(content, dict):
        raise BundleError(
            f"the model.json of '{name}' must be a JSON object",
            content if isinstance(content, str) else f"it is a {type(content).__name__}",
            "Get an unchanged copy of the bundle, or export the model again.",
        )
    return cast("dict[str, Any]", content)


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


if __name__ == "__main__":
    place = Path(__file__).with_name("model.schema.json")
    place.write_text(json.dumps(manifest_schema(), indent=1) + "\n", encoding="utf-8")
