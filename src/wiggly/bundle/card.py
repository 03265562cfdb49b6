"""The model card: what a model does, how good it is, what it must not be used for; as people read it.

In: a manifest. Out: the `README.md` of a bundle: a block of metadata as Hugging Face reads it, then Markdown.
Everything in it was measured, or is left out. Needs no torch. Read next: `export.py`, which writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, cast

from wiggly.bundle.manifest import Manifest
from wiggly.bundle.parts import CategoryOutput, ImageInput, LabelsOutput, PairInput, Score, TableInput

__all__ = ["CARD", "body_of", "card_of", "origin_of_weights"]

#: Name of the card in a bundle.
CARD = "README.md"

#: How Hugging Face calls what a model does (huggingface.co/docs/hub/models-tasks); by input and task.
PIPELINES = {
    ("image", "classification"): "image-classification",
    ("image", "multilabel"): "image-classification",
    ("image", "keypoints"): "keypoint-detection",
    ("image", "detection"): "object-detection",
    ("image", "segmentation"): "image-segmentation",
    ("table", "classification"): "tabular-classification",
    ("table", "regression"): "tabular-regression",
}

TASKS = {
    "classification": "gives it one class out of {classes}",
    "multilabel": "names any number of {classes}",
    "regression": "predicts {numbers}",
    "recommendation": "predicts {numbers}",
    "keypoints": "finds {points} points in it",
    "detection": "finds things of {classes} in it, with boxes",
    "segmentation": "gives every pixel one of {classes}",
    "several": "answers {outputs} questions about it",
}

LISTED = 200  # classes


def card_of(manifest: Manifest) -> str:
    """The card of a model.

    Args:
        manifest: What is known of it.

    Returns:
        Text in UTF-8, metadata first.
    """
    parts = [
        f"# {_plain(manifest.title)}",
        _plain(manifest.description),
        _what(manifest),
        _quality(manifest),
        *(_confidence(output) for output in manifest.outputs),
        _input(manifest.inputs[0]),
        *(_classes(output) for output in manifest.outputs),
        _use(manifest),
        _runtimes(manifest),
        _limits(manifest),
        _made(manifest),
    ]
    return _metadata(manifest) + "\n" + "\n\n".join(part for part in parts if part) + "\n"


def body_of(card: str) -> str:
    """A card without its block of metadata.

    Example:
        >>> body_of("---\\ntags: []\\n---\\n\\n# Pets\\n")
        '# Pets'
    """
    return re.sub(r"\A---\n.*?\n---\n", "", card, flags=re.DOTALL).strip()


def _metadata(manifest: Manifest) -> str:
    """The block between three dashes; values as JSON, which is YAML too."""
    kind = manifest.inputs[0].kind
    lines = ["---"]
    if manifest.licence:
        lines.append(f"license: {json.dumps(manifest.licence.lower())}")
    lines.append("library_name: wiggly")
    base = str(origin_of_weights(manifest.model).get("weights", ""))
    if re.fullmatch(r"[\w.-]+/[\w.-]+", base):  # on the hub
        lines.append(f"base_model: {json.dumps(base)}")
    if pipeline := PIPELINES.get((kind, manifest.task)):
        lines.append(f"pipeline_tag: {pipeline}")
    tags = ["wiggly", manifest.task, kind, *(["onnx"] if manifest.graphs else [])]
    return "\n".join([*lines, "tags:", *(f"- {tag}" for tag in tags), "---", ""])


def _what(manifest: Manifest) -> str:
    taken = manifest.inputs[0]
    item = {"image": "a picture", "table": "a row of a table", "pairs": "a user and an item"}[taken.kind]
    vocabulary: list[Any] = [v for o in manifest.outputs for v in getattr(o, "vocabulary", ())]
    output: Any = manifest.outputs[0]
    said = TASKS[manifest.task].format(
        classes=f"{len(vocabulary):,} classes",
        numbers=", ".join(f"`{_plain(name)}`" for name in getattr(output, "names", ())),
        points=getattr(output, "n", ""),
        outputs=len(manifest.outputs),
    )
    return f"## What it does\n\nIt takes {item} and {said}."


def _quality(manifest: Manifest) -> str:
    told = [_score(manifest.score)] if manifest.score else []
    metrics = [f"{_plain(k)} {v:.4g}" for k, v in manifest.metrics.items() if k != "train_loss"]
    if metrics:
        told.append(f"On validation items: {', '.join(metrics)}.")
    if (same := manifest.agreement) is not None:
        told.append(
            f"Of {same.n:,} validation items, read from their files, {same.same:.1%} get the same answer as "
            f"from the learner that wrote this (largest difference {same.largest:.2g})."
        )
    return "## How good it is\n\n" + ("\n\n".join(told) or "Nobody has measured how often it is right.")


def _score(score: Score) -> str:
    low, high = score.interval
    if score.name == "accuracy":
        return (
            f"Right on **{score.value:.1%}** of {score.n:,} items it had not trained on (95 % interval "
            f"{100 * low:.1f} to {100 * high:.1f} %). Always answering “{_plain(score.baseline_label)}” "
            f"would be "
            f"right on {score.baseline:.1%}."
        )
    return (
        f"Off by **{score.value:.4g}** (root mean square) on {score.n:,} items it had not trained on (95 % "
        f"interval {low:.4g} to {high:.4g}). Always answering the mean would be off by {score.baseline:.4g}."
    )


def _confidence(output: Any) -> str:
    if not isinstance(output, CategoryOutput | LabelsOutput):
        return ""
    of = f" of {_plain(output.name)}" if output.name else ""
    return (
        f"## How far to trust its probabilities{of}\n\n{_calibration(output)}\n\n{_unsure(output)}".rstrip()
    )


def _calibration(output: CategoryOutput | LabelsOutput) -> str:
    found = output.calibration
    if found is None:
        return "They were not calibrated: what is called 80 % need not be right 80 times in 100."
    if output.temperature == 1:
        return (
            f"Calibration error {found.error_before:.1%} on {found.n:,} validation items. Fitting a "
            f"temperature "
            "did not make them better, so they are as the model gives them."
        )
    return (
        f"They are calibrated by one temperature, {output.temperature:.3g}: calibration error "
        f"{found.error_after:.1%} instead of {found.error_before:.1%}, negative log-likelihood "
        f"{found.nll_after:.3g} instead of {found.nll_before:.3g}, measured on {found.n:,} validation "
        f"items, each "
        "half with the temperature of the other. The likeliest class is the same as without."
    )


def _unsure(output: CategoryOutput | LabelsOutput) -> str:
    if isinstance(output, LabelsOutput):
        return f"A class is named from a probability of {output.threshold:.3g} on."
    unsure = output.unsure
    if unsure is None:
        return (
            "No answer is called unsure: there were too few validation items, or too few wrong answers "
            "that were "
            "less sure than the right ones, to choose a threshold."
        )
    return (
        f"An answer with a probability below **{unsure.threshold:.1%}** is **unsure**, and shown as a "
        f"guess. Of "
        f"{unsure.n:,} validation items {unsure.share:.1%} were unsure; the others were right in "
        f"{unsure.accuracy:.1%} (wanted: {unsure.wanted:.1%})."
    )


def _input(taken: Any) -> str:
    if isinstance(taken, ImageInput):
        colours = "three colours" if taken.channels == 3 else "grey"
        size = "in its own size" if taken.size is None else f"as {taken.size[0]} × {taken.size[1]} pixels"
        steps = ", ".join(f"`{s.name}({_arguments(s.args)})`" for s in taken.preprocessing)
        text = (
            f"A picture in {colours}, turned upright, {size} (height × width){': ' if steps else ''}{steps}."
        )
        return f"## What goes in\n\n{text}"
    if isinstance(taken, PairInput):
        users, items = len(taken.user.vocab), len(taken.item.vocab)
        return (
            f"## What goes in\n\n`{_plain(taken.user.name)}` ({users:,} known) and "
            f"`{_plain(taken.item.name)}` "
            f"({items:,} known); one that is not known counts as average."
        )
    return _columns(taken)


def _arguments(args: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in args.items())


def _columns(table: TableInput) -> str:
    lines = ["| column | what | in training |", "|---|---|---|"]
    for field in table.categories:
        if field.flag_of is None:
            lines.append(f"| {_cell(field.name)} | category | {len(field.vocab):,} values |")
    for number in table.numbers:
        span = f"{number.low:.6g} to {number.high:.6g}"
        span = "true or false" if number.kind == "boolean" else "" if number.kind == "date" else span
        lines.append(f"| {_cell(number.name)} | {number.kind} | {span} |")
    return "## What goes in\n\n" + "\n".join(lines) + "\n\nAll may be missing."


def _classes(output: Any) -> str:
    vocabulary: tuple[Any, ...] = getattr(output, "vocabulary", ())
    if not vocabulary:
        return ""
    more = f", and {len(vocabulary) - LISTED:,} more" if len(vocabulary) > LISTED else ""
    of = f" of {_plain(output.name)}" if getattr(output, "name", "") else ""
    listed = ", ".join(_plain(label) for label in vocabulary[:LISTED])
    return f"## Classes{of}\n\n{listed}{more}"


def _use(manifest: Manifest) -> str:
    given = {
        "image": '"photo.jpg"',
        "table": '{"column": value, ...}',
        "pairs": '{"user": ..., "item": ...}',
    }[manifest.inputs[0].kind]
    file = "photo.jpg" if manifest.inputs[0].kind == "image" else "rows.csv"
    return f"""## How to use it

```python
from wiggly import load_bundle

model = load_bundle("model.wiggly")
prediction = model.predict({given})
print(prediction.decoded, prediction.unsure)
```

On the command line: `wiggly predict model.wiggly {file}`, `wiggly app model.wiggly` for a web page,
`wiggly verify model.wiggly` to see that this machine gives the same answers."""


def _runtimes(manifest: Manifest) -> str:
    if not manifest.graphs:
        why = f" ({_plain(manifest.no_graph).rstrip('.')})" if manifest.no_graph else ""
        return f"## Runtimes\n\nPyTorch only: there is no ONNX graph{why}."
    lines = ["## Runtimes\n", "PyTorch, and ONNX Runtime without PyTorch:"]
    for graph in manifest.graphs:
        lines.append(f"- `{graph.file}`: {graph.precision}, opset {graph.opset}")
    for quality in manifest.quality:
        kept = "kept" if quality.kept else "not kept"
        lines.append(
            f"- {quality.precision}: {quality.metric} {quality.value:.4g} beside {quality.float32:.4g} "
            f"of float32 "
            f"on {quality.n:,} validation items; {kept} (bound {quality.bound:g})"
        )
    return "\n".join(lines)


def _limits(manifest: Manifest) -> str:
    told = [
        "It knows what it was trained with, and nothing else. How good it is on other data than its "
        "validation "
        "items nobody has measured here."
    ]
    if any(isinstance(output, CategoryOutput) for output in manifest.outputs):
        told.append(
            "It answers with one of its classes whatever it is given, also something that is none of them."
        )
    if manifest.examples:
        told.append(
            f"The bundle holds {len(manifest.examples)} validation items as worked examples: whoever "
            f"gets it can "
            "see them."
        )
    return "## Limits\n\n" + "\n\n".join(told)


def _made(manifest: Manifest) -> str:
    network = _network(manifest.model)
    packages = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    lines = [
        f"- Network: {network}" if network else "",
        f"- Written by wiggly {manifest.wiggly} on {manifest.created[:10]}"
        + (f", with {packages}" if packages else ""),
        _terms(manifest),
    ]
    return "## How it was made\n\n" + "\n".join(line for line in lines if line)


def origin_of_weights(model: Mapping[str, Any]) -> Mapping[str, Any]:
    """Name and licence of the pretrained weights that a network started from, `weights` and `licence`.

    Args:
        model: What a manifest says of the network.

    Returns:
        Both; nothing where it started from random ones.
    """
    body: Any = model.get("body")
    origin = cast("Mapping[str, Any]", body).get("origin") if isinstance(body, Mapping) else None
    return cast("Mapping[str, Any]", origin) if isinstance(origin, Mapping) else {}


def _terms(manifest: Manifest) -> str:
    """Lines on the licence, and on the weights that training began with."""
    origin = origin_of_weights(manifest.model)
    theirs = origin.get("licence")
    terms = _plain(manifest.licence) if manifest.licence else "not stated; ask whoever gave you the file"
    if manifest.licence and manifest.licence == theirs:
        terms += " (that of the weights it started from)"
    lines = [f"- Licence: {terms}"]
    if origin.get("weights"):
        known = f"licence {_plain(theirs)}" if theirs else "whose licence is not known"
        lines.append(f"- It started from the weights {_plain(origin['weights'])}, {known}")
    return "\n".join(lines)


def _network(model: dict[str, Any]) -> str:
    body = model.get("body")
    described: Any = body if isinstance(body, dict) else {}
    arch, library = described.get("arch"), described.get("library")
    if isinstance(arch, str):
        return f"{_plain(arch)} ({_plain(library)})"
    return "of columns of a table" if "table" in model else ""


def _plain(value: Any) -> str:
    """Text of others on one line, that says nothing in Markdown or HTML."""
    text = " ".join(str(value).split())
    return re.sub(r"([\\`*_\[\]<>#|~])", r"\\\1", text) if value is not None else ""


def _cell(name: str) -> str:
    return _plain(name)
