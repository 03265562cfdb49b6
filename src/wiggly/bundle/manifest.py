"""`model.json`: everything about a model that is not a weight, as frozen dataclasses.

In: the text of a `model.json`. Out: a `Manifest`, checked field by field, and back. The JSON Schema beside
this file (`model.schema.json`) is generated from these classes: `python -m wiggly.bundle.manifest` writes it
again, a test notices when it is stale. Read next: `parts.py`, the pieces; `archive.py`, the file around it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, cast

from wiggly.bundle.measured import Agreement, Graph, Quality
from wiggly.bundle.parts import (
    BoxExample,
    CategoryOutput,
    Example,
    FileEntry,
    Input,
    Label,
    LabelsExample,
    LabelsOutput,
    MaskExample,
    NumbersExample,
    NumbersOutput,
    Output,
    PairInput,
    PointsExample,
    PointsOutput,
    Score,
    SeveralExample,
    TableInput,
    Task,
    WorkedOut,
)
from wiggly.bundle.schema import Rule, SchemaError, from_json, schema_of, to_json
from wiggly.errors import BundleError

__all__ = [
    "FORMAT",
    "SCHEMA_ID",
    "VERSION",
    "WEIGHTS",
    "Manifest",
    "manifest_schema",
    "read_manifest",
    "write_manifest",
]

FORMAT = "wiggly-bundle"

#: Version of the format. Any change of the fields raises it, so an older wiggly never silently ignores one
#: that matters.
VERSION = 4

#: A name, not an address: nothing is ever fetched.
SCHEMA_ID = f"urn:wiggly:model:{VERSION}"

#: The file of the bundle that holds the weights.
WEIGHTS = "weights.safetensors"

#: Which kind of output each task has.
TASKS: dict[Task, str] = {
    "classification": "category",
    "multilabel": "labels",
    "regression": "numbers",
    "recommendation": "numbers",
    "keypoints": "points",
    "detection": "boxes",
    "segmentation": "mask",
    "several": "several",
}

#: Which worked examples go with each kind of output.
EXAMPLES: dict[str, type[Any]] = {
    "category": Example,
    "labels": LabelsExample,
    "numbers": NumbersExample,
    "points": PointsExample,
    "boxes": BoxExample,
    "mask": MaskExample,
    "several": SeveralExample,
}

#: Which kinds of output may stand beside others.
TOGETHER = ("category", "labels", "numbers")


@dataclass(frozen=True)
class Manifest:
    """What a bundle is: the content of its model.json."""

    format: Literal["wiggly-bundle"]
    version: Annotated[int, Rule("Version of this format.", minimum=1)]
    wiggly: Annotated[str, Rule("Version of the wiggly that wrote the bundle.")]
    created: Annotated[str, Rule("Time of writing, UTC.", pattern=r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")]
    task: Task
    title: Annotated[str, Rule("Name for people.")]
    inputs: Annotated[tuple[Input, ...], Rule("What goes in.", items=(1, 1))]
    outputs: Annotated[tuple[Output, ...], Rule("What comes out.", items=(1, None))]
    model: Annotated[
        dict[str, Any],
        Rule("The network: what the `build_model` of its room (vision, detection, tabular) makes it from."),
    ]
    files: Annotated[
        dict[str, FileEntry], Rule("Every file of the bundle but model.json and its hash, by name.")
    ]
    examples: Annotated[tuple[WorkedOut, ...], Rule("Worked examples.")] = ()
    description: Annotated[str, Rule("A few sentences for people.")] = ""
    licence: Annotated[str | None, Rule("SPDX identifier of the terms for using the model.")] = None
    score: Annotated[Score | None, Rule("Validation score.")] = None
    metrics: Annotated[dict[str, float], Rule("Last line of the training history.")] = field(
        default_factory=lambda: dict[str, float]()
    )
    versions: Annotated[dict[str, str], Rule("Software the model was made with.")] = field(
        default_factory=lambda: dict[str, str]()
    )
    graphs: Annotated[tuple[Graph, ...], Rule("The model for ONNX Runtime; float32 first.")] = ()
    no_graph: Annotated[str | None, Rule("Why there is no graph, in a sentence.")] = None
    quality: Annotated[tuple[Quality, ...], Rule("Of the variants that were tried, kept or not.")] = ()
    agreement: Annotated[Agreement | None, Rule("With the learner, on validation items.")] = None


def manifest_schema() -> dict[str, Any]:
    """The JSON Schema of `model.json`, as committed in `model.schema.json`.

    Example:
        >>> manifest_schema()["$id"]
        'urn:wiggly:model:4'
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
    outputs, taken = manifest.outputs, manifest.inputs[0]
    kind = outputs[0].kind if len(outputs) == 1 else "several"
    if kind != TASKS[manifest.task]:
        raise SchemaError("outputs[0].kind", f"one that goes with {manifest.task!r}", repr(kind))
    for i, output in enumerate(outputs):
        _check_output(output, f"outputs[{i}]")
        if kind == "several" and output.kind not in TOGETHER:
            raise SchemaError(f"outputs[{i}].kind", "one that goes with others", repr(output.kind))
    if isinstance(taken, TableInput):
        _check_columns(taken)
        if kind in ("points", "boxes", "mask"):
            raise SchemaError("inputs[0].kind", "'image' for places in a picture", "'table'")
    if isinstance(taken, PairInput) != (manifest.task == "recommendation"):
        raise SchemaError("inputs[0].kind", f"one that goes with {manifest.task!r}", repr(taken.kind))
    if WEIGHTS not in manifest.files:
        raise SchemaError("files", f"a table with {WEIGHTS!r} in it", f"{sorted(manifest.files)}")
    for i, graph in enumerate(manifest.graphs):
        if graph.file not in manifest.files:
            raise SchemaError(f"graphs[{i}].file", "one of `files`", repr(graph.file))
    for i, example in enumerate(manifest.examples):
        _check_examples(example, manifest, f"examples[{i}]")


def _check_output(output: Output, where: str) -> None:
    labels: tuple[Label, ...] = getattr(output, "vocabulary", ())
    if len({(type(label), label) for label in labels}) != len(labels):
        raise SchemaError(f"{where}.vocabulary", "a list of different classes", "one class twice")
    if isinstance(output, NumbersOutput) and not len(output.names) == len(output.low) == len(output.high):
        raise SchemaError(where, "numbers with a name, low and high each", "lists of other lengths")


def _check_columns(table: TableInput) -> None:
    names = [column.name for column in (*table.categories, *table.numbers)]
    if len(set(names)) != len(names) or not names:
        raise SchemaError("inputs[0]", "columns with different names, at least 1", f"{names!r:.60}")
    numbers = {column.name for column in table.numbers}
    for i, column in enumerate(table.categories):
        if column.flag_of is not None and column.flag_of not in numbers:
            where = f"inputs[0].categories[{i}].flag_of"
            raise SchemaError(where, "the name of a number", repr(column.flag_of))


def _check_examples(example: WorkedOut, manifest: Manifest, where: str) -> None:
    """An example, and those it is made of."""
    if not isinstance(example, EXAMPLES[TASKS[manifest.task]]):
        raise SchemaError(where, f"an example of {manifest.task}", "one of another task")
    parts = example.answers if isinstance(example, SeveralExample) else (example,)
    if len(parts) != len(manifest.outputs):
        raise SchemaError(f"{where}.answers", f"{len(manifest.outputs)} answers", f"{len(parts)}")
    for part, output in zip(parts, manifest.outputs, strict=True):
        if not isinstance(part, EXAMPLES[output.kind]):
            raise SchemaError(where, f"an example of {output.kind}", "one of another kind")
        _check_example(part, output, manifest, where)
    if example.file not in manifest.files:
        raise SchemaError(f"{where}.file", "one of `files`", repr(example.file))


def _check_example(example: WorkedOut, output: Output, manifest: Manifest, where: str) -> None:
    for name in ("file", "mask"):
        file = getattr(example, name, None)
        if file is not None and file not in manifest.files:
            raise SchemaError(f"{where}.{name}", "one of `files`", repr(file))
    for name, wanted in _lengths(output).items():
        found = len(getattr(example, name))
        if found != wanted:
            raise SchemaError(f"{where}.{name}", f"a list of {wanted} entries", f"{found} entries")
    if isinstance(example, Example) and isinstance(output, CategoryOutput):
        known = {(type(label), label) for label in output.vocabulary}
        if (type(example.label), example.label) not in known:
            raise SchemaError(f"{where}.label", "one of the vocabulary", repr(example.label))


def _lengths(output: Output) -> dict[str, int]:
    """How many entries the lists of a worked example have."""
    if isinstance(output, CategoryOutput | LabelsOutput):
        return {"probabilities": len(output.vocabulary)}
    if isinstance(output, NumbersOutput):
        return {"values": len(output.names)}
    return {"points": output.n} if isinstance(output, PointsOutput) else {}


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
