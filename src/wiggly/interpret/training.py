"""What a report says about the model, its training, the versions, and how to do it again.

In: a Learner, the recipe of its loaders. Out: texts. Read next: `facts.py`, where they go.
"""

from __future__ import annotations

import inspect
import platform
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from importlib import metadata
from typing import TYPE_CHECKING, Any

from wiggly.interpret.facts import Phase
from wiggly.interpret.numbers import duration
from wiggly.tabular.models import TableModel, emb_sz_rule
from wiggly.train.metrics import core as metrics
from wiggly.train.optim.base import Adam
from wiggly.train.optim.by_name import as_code
from wiggly.vision.decoder import Unet
from wiggly.vision.detection.detector import Detector
from wiggly.vision.heads import HeadSpec
from wiggly.vision.models import VisionModel

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["architecture", "model_facts", "phases", "snippet", "training_loss", "versions"]

# By the name that a fit records: in words, and the method.
SCHEDULES = {
    "one_cycle": ("one cycle, highest", "fit_one_cycle"),
    "flat": ("constant", "fit"),
    "flat_cos": ("constant, then falling,", "fit_flat_cos"),
    "sgdr": ("warm restarts, highest", "fit_sgdr"),
    "own": ("own schedule, first", "fit"),
}
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
    shape, _ = SCHEDULES.get(record["schedule"], SCHEDULES["flat"])
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
    room = "tabular" if isinstance(learn.model, TableModel) else "vision"
    lines = [f"from wiggly.{room}.all import *", ""]
    lines += [recipe["call"]] if recipe["call"] else list(_comments(recipe))
    if not learn.recorder.phases:
        return "\n".join([*lines, "# The model was loaded, not trained here."])
    lines.append(_learner_call(learn))
    frozen = None
    for record in learn.recorder.phases:
        if record.get("phase") == "probe":  # `probe` fits the head by a loop of its own
            lines.append("learn.probe()")
            continue
        if record["first_unfrozen"] != frozen:
            frozen = record["first_unfrozen"]
            lines.append(f"learn.freeze_to({frozen})" if frozen else "learn.unfreeze()")
        lines.append(_fit_call(record))
    return "\n".join([*lines, 'learn.report("report.html")'])


def _learner_call(learn: Learner) -> str:
    model = learn.model
    if isinstance(model, Unet):
        return _unet_call(learn, model)
    if isinstance(model, Detector):
        return _detector_call(learn, model)
    if isinstance(model, TableModel):
        return _table_call(learn, model)
    if not isinstance(model, VisionModel):
        return f"# `learn` was made by your own code: a Learner over a {type(model).__name__}"
    known = [metric.name for metric in learn.metrics if hasattr(metrics, metric.name)]
    arguments = [repr(architecture(learn)), f"metrics=[{', '.join(known)}]"]
    if not model.pretrained:
        arguments.append("pretrained=False")
    if learn.opt_func is not Adam:
        arguments.append(f"opt_func={as_code(learn.opt_func)}")
    for setting in fields(HeadSpec) if model.head_spec else ():
        value = getattr(model.head_spec, setting.name)
        # `pool` follows from the body; the first two have no default and follow from the loaders.
        if setting.default is not MISSING and setting.name != "pool" and value != setting.default:
            arguments.append(f"{setting.name}={value!r}")
    note = '  # weights="...": add the file, if they came from one' if model.pretrained else ""
    return f"learn = vision_learner(dls, {', '.join(arguments)}){note}"


def _unet_call(learn: Learner, model: Unet) -> str:
    spec, known = model.head.spec, [metric.name for metric in learn.metrics if hasattr(metrics, metric.name)]
    arguments = [repr(architecture(learn)), f"metrics=[{', '.join(known)}]"]
    arguments += [] if model.pretrained else ["pretrained=False"]
    arguments += ["last_cross=True"] if spec.joined else []
    arguments += ["self_attention=True"] if spec.self_attention else []
    arguments += [f"y_range={tuple(spec.y_range)!r}"] if spec.y_range else []
    note = '  # weights="...": add the file, if they came from one' if model.pretrained else ""
    return f"learn = unet_learner(dls, {', '.join(arguments)}){note}"


def _detector_call(learn: Learner, model: Detector) -> str:
    config: Mapping[str, Any] = model.config or {"body": {}, "detector": {}}
    family, name = str(config["detector"].get("family")), architecture(learn)
    whole = config["body"].get("library") == "torchvision" and name.startswith(family)
    arguments = [repr(name)] if whole else [repr(family), f"body={name!r}"]
    arguments += [] if model.pretrained else ["pretrained=False"]
    note = '  # weights="...": add the file, if they came from one' if model.pretrained else ""
    return f"learn = detection_learner(dls, {', '.join(arguments)}){note}"


def _table_call(learn: Learner, model: TableModel) -> str:
    config, usual = model.config, inspect.signature(type(model)).parameters
    known = [metric.name for metric in learn.metrics if hasattr(metrics, metric.name)]
    arguments = [f"arch={model.arch!r}"] if model.arch != "mlp" else []
    if config["layers"] != list(usual["layers"].default):
        arguments.append(f"layers={config['layers']}")
    names = list(getattr(learn.dls, "cat_names", ()))
    sizes = zip(names, config["emb_szs"], strict=False)
    widths = {name: width for name, (n, width) in sizes if width != emb_sz_rule(n)}
    arguments += [f"emb_szs={widths}"] if widths else []
    arguments += [f"y_range={tuple(config['y_range'])}"] if config["y_range"] else []
    elsewhere = ("layers", "y_range", "scaled", "bins", "activations", "emb_szs", "n_cont", "n_out")
    own = {
        name: config[name]
        for name, setting in usual.items()
        if name not in elsewhere and config[name] not in (setting.default, [setting.default] * 2)
    }
    if own.get("ps") and not any(own["ps"]):
        del own["ps"]
    arguments += [f"config={own}"] if own else []
    arguments = ["dls", *arguments, f"metrics=[{', '.join(known)}]"]
    return f"learn = tabular_learner({', '.join(arguments)})"


def _comments(recipe: Mapping[str, Any]) -> Iterator[str]:
    if "columns" in recipe:
        yield from _table_loaders(recipe)
        return
    yield "# `dls` was built by your own code:"
    for name in ("source", "splitter", "blocks", "item_tfms", "batch_tfms", "bs", "seed"):
        if recipe[name]:
            yield f"#   {name}: {' '.join(str(recipe[name]).split())}"


def _table_loaders(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The loaders of a table: its file where one is known, and which column is what."""
    columns, source = recipe["columns"], str(recipe["source"])
    is_file = source.startswith(("'", '"'))
    targets = columns["targets"]
    arguments = [source if is_file else "table"]
    if columns.get("categories") is not None and columns.get("numbers") is not None:
        arguments += [f"cat_names={columns['categories']!r}", f"cont_names={columns['numbers']!r}"]
    arguments.append(f"y_names={targets[0] if len(targets) == 1 else targets!r}")
    arguments += [f"{name}={recipe[name]}" for name in ("bs", "seed") if recipe[name] is not None]
    if not is_file:
        yield f"# `table` is yours: {source}"
    if recipe["splitter"]:
        yield f"# split by {' '.join(str(recipe['splitter']).split())}; pass valid_pct or valid_idx for it"
    yield "# `procs` and `y_block`, where you passed some, are to be passed again"
    yield f"dls = TabularDataLoaders.from_df({', '.join(arguments)})"


def _fit_call(record: Mapping[str, Any]) -> str:
    rates = [float(f"{rate:.6g}") for rate in record["lr"]]
    lengths = ("n_cycles", "cycle_len") if "n_cycles" in record else ("epochs",)
    rate = str(rates if len(set(rates)) > 1 else rates[0])
    if record["schedule"] == "own":
        rate = f"schedule={record['name'] if record['name'].isidentifier() else 'your_schedule'}"
    arguments = [*(str(record[name]) for name in lengths), rate]
    shape = ("div", "div_final", "pct_start", "cycle_mult")
    arguments += [f"{name}={record[name]:g}" for name in shape if name in record]
    if record["wd"] is not None:
        arguments.append(f"wd={record['wd']:g}")
    _, method = SCHEDULES.get(record["schedule"], SCHEDULES["flat"])
    return f"learn.{method}({', '.join(arguments)})"
