"""What a report says about the model, its training, the versions, and how to do it again.

In: a Learner, the recipe of its loaders. Out: texts. Read next: `facts.py`, where they go.
"""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wiggly.interpret.facts import Phase
from wiggly.interpret.numbers import duration
from wiggly.train import metrics
from wiggly.vision.heads import HeadSpec
from wiggly.vision.models import VisionModel

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["architecture", "model_facts", "phases", "snippet", "training_loss", "versions"]

PACKAGES = ("torch", "torchvision", "timm", "numpy", "pillow", "opencv-python-headless")


def architecture(learn: Learner) -> str:
    """The network's name: the one it was asked for by, else its class."""
    body: Mapping[str, Any] = (learn.model_config or {}).get("body", {})
    return str(body.get("arch") or type(learn.model).__name__)


def phases(learn: Learner) -> list[Phase]:
    """Every fit of this learner with its rows."""
    return [Phase(_phase_name(record), _rows(record)) for record in learn.recorder.phases]


def _rows(record: Mapping[str, Any]) -> list[dict[str, float]]:
    rows = (zip(record["columns"], row, strict=True) for row in record["rows"])
    return [{name: value for name, value in row if value is not None and name != "epoch"} for row in rows]


def _phase_name(record: Mapping[str, Any]) -> str:
    first, groups = record["first_unfrozen"], record["groups"]
    if first == 0:
        return "all layers"
    return "head only" if first == groups - 1 else f"from group {first + 1} of {groups}"


def training_loss(learn: Learner) -> list[tuple[float, float]]:
    """Smoothed training loss as (epochs done, loss), over all fits."""
    points: list[tuple[float, float]] = []
    done = 0
    for record in learn.recorder.phases:
        losses: Sequence[float] = record.get("losses", ())
        epochs = len(record["rows"])
        points += [(done + epochs * (i + 1) / len(losses), loss) for i, loss in enumerate(losses)]
        done += epochs
    return points


def model_facts(learn: Learner, recipe: Mapping[str, Any]) -> dict[str, str]:
    """What the model is and how it was trained.

    Args:
        learn: The learner.
        recipe: Of its loaders.

    Returns:
        Name to text.
    """
    numel = [(p.numel(), p.requires_grad) for p in learn.model.parameters()]
    total, free = sum(n for n, _ in numel), sum(n for n, learns in numel if learns)
    found = {"Architecture": architecture(learn), "Parameters": f"{total:,}, of which {free:,} learn"}
    for name, key in (("Transforms of one item", "item_tfms"), ("Transforms of a batch", "batch_tfms")):
        if recipe[key]:
            found[name] = ", ".join(recipe[key])
    found["Loss"] = getattr(learn.loss_func, "__name__", type(learn.loss_func).__name__)
    if recipe["bs"]:
        found["Batch size"] = str(recipe["bs"])
    for number, record in enumerate(learn.recorder.phases, 1):
        found[f"Phase {number}"] = _describe_phase(record)
    if learn.recorder.phases:
        found["Wall time"] = duration(sum(record["seconds"] for record in learn.recorder.phases))
    return found


def _describe_phase(record: Mapping[str, Any]) -> str:
    rates = sorted({f"{rate:.2g}" for rate in record["lr"]}, key=float)
    shape = "one cycle, highest" if record["schedule"] == "one_cycle" else "constant"
    epochs = "1 epoch" if record["epochs"] == 1 else f"{record['epochs']} epochs"
    span = rates[0] if len(rates) == 1 else f"{rates[0]} (first layers) to {rates[-1]} (head)"
    return f"{_phase_name(record)}: {epochs}, {shape} rate {span}, {duration(record['seconds'])}"


def versions(learn: Learner) -> dict[str, str]:
    """The programs and the machine that made the model."""
    # Asked of the module, not of the package's metadata: a checkout on the path may not be installed.
    found = {"wiggly": str(sys.modules["wiggly"].__version__), "Python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:  # opencv comes under several names
            found[package] = "not installed under this name"
    return {**found, "Platform": platform.platform(), "Device": str(learn.engine.device)}


def snippet(learn: Learner, recipe: Mapping[str, Any]) -> str:
    """Python that trains the same model on the same split.

    Args:
        learn: The learner.
        recipe: Of its loaders.

    Returns:
        A program; where the loaders were built by hand, comments say what they were.
    """
    lines = ["from wiggly.vision.all import *", ""]
    lines += [recipe["call"]] if recipe["call"] else list(_comments(recipe))
    if not learn.recorder.phases:
        return "\n".join([*lines, "# The model was loaded, not trained here."])
    lines.append(_learner_call(learn))
    frozen = None
    for record in learn.recorder.phases:
        if record["first_unfrozen"] != frozen:
            frozen = record["first_unfrozen"]
            lines.append(f"learn.freeze_to({frozen})" if frozen else "learn.unfreeze()")
        lines.append(_fit_call(record))
    return "\n".join([*lines, 'learn.report("report.html")'])


def _learner_call(learn: Learner) -> str:
    model = learn.model
    if not isinstance(model, VisionModel):
        return f"# `learn` was made by your own code: a Learner over a {type(model).__name__}"
    known = [metric.name for metric in learn.metrics if hasattr(metrics, metric.name)]
    arguments = [repr(architecture(learn)), f"metrics=[{', '.join(known)}]"]
    if not model.pretrained:
        arguments.append("pretrained=False")
    for setting in fields(HeadSpec) if model.head_spec else ():
        value = getattr(model.head_spec, setting.name)
        # `pool` follows from the body; the first two have no default and follow from the loaders.
        if setting.default is not MISSING and setting.name != "pool" and value != setting.default:
            arguments.append(f"{setting.name}={value!r}")
    note = '  # weights="...": add the file, if they came from one' if model.pretrained else ""
    return f"learn = vision_learner(dls, {', '.join(arguments)}){note}"


def _comments(recipe: Mapping[str, Any]) -> Iterator[str]:
    yield "# `dls` was built by your own code:"
    for name in ("source", "splitter", "blocks", "item_tfms", "batch_tfms", "bs", "seed"):
        if recipe[name]:
            yield f"#   {name}: {' '.join(str(recipe[name]).split())}"


def _fit_call(record: Mapping[str, Any]) -> str:
    rates = [float(f"{rate:.6g}") for rate in record["lr"]]
    arguments = [str(record["epochs"]), str(rates if len(set(rates)) > 1 else rates[0])]
    arguments += [f"{name}={record[name]:g}" for name in ("div", "div_final", "pct_start") if name in record]
    if record["wd"] is not None:
        arguments.append(f"wd={record['wd']:g}")
    return f"learn.{'fit_one_cycle' if record['schedule'] == 'one_cycle' else 'fit'}({', '.join(arguments)})"
