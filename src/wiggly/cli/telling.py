"""A prediction as JSON and as a line of text: one pair of functions for each kind of output.

In: a predictor and its `Prediction`. Out: a dict of JSON types; a line. Read next: `using.py`, which prints
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from wiggly.bundle.replies import is_unsure

if TYPE_CHECKING:
    from wiggly.bundle.predictor import Predictor
    from wiggly.bundle.rows import RowReader
    from wiggly.records import Prediction

__all__ = ["facts", "line", "predicted_columns", "write_mask"]

MOST_NAMED = 6  # classes of a mask in one line


def facts(predictor: Predictor, found: Prediction, top: int = 1) -> dict[str, Any]:
    """What was predicted, as JSON types.

    Args:
        predictor: Of which kind.
        found: Its prediction.
        top: How many of the likeliest labels to name, for one category.
    """
    outputs = predictor.manifest.outputs
    if len(outputs) == 1:
        return FACTS[outputs[0].kind](outputs[0], found, top)
    from wiggly.bundle.replies import single

    told: list[dict[str, Any]] = []
    for output, one in zip(outputs, single(found), strict=True):
        name = getattr(output, "name", "")
        told.append({**({"target": name} if name else {}), **FACTS[output.kind](output, one, top)})
    return {"targets": told}


def line(row: dict[str, Any]) -> str:
    """What `facts` says, for people."""
    return next(tell(row) for key, tell in LINES.items() if key in row)


def write_mask(found: Prediction, folder: Path, file: Path) -> Path:
    """Writes a predicted mask as a PNG of class indices."""
    place = folder / f"{file.stem}.mask.png"
    found.decoded.save(place)
    return place


def predicted_columns(predictor: Predictor, table: Any) -> dict[str, Any]:
    """What a model of tables predicts, by name of column: `<target>_pred`, and probabilities where there are
    some.

    Args:
        predictor: Of a bundle for tables.
        table: What its reader takes.
    """
    import torch

    reader, outputs = cast("RowReader", predictor.reader), predictor.manifest.outputs
    frame = reader.frame(table)
    if len(frame):
        found: Any = predictor.get_preds(frame)[0]
        probs = found if len(outputs) > 1 else [found]
    else:
        reader.encode(frame)  # the columns must be there all the same
        probs = [torch.zeros(0, len(getattr(o, "names", getattr(o, "vocabulary", "")))) for o in outputs]
    columns: dict[str, Any] = {}
    for output, part in zip(outputs, probs, strict=True):
        columns |= _columns(output, part)
    return columns


def _columns(output: Any, probs: Any) -> dict[str, Any]:
    name = getattr(output, "name", "") or "prediction"
    if output.kind == "category":
        best = probs.max(1)
        doubts = [is_unsure(output, row) for row in probs]
        return {
            f"{name}_pred": [output.vocabulary[i] for i in best.indices.tolist()],
            f"{name}_probability": [round(p, 6) for p in best.values.tolist()],
            **({} if output.unsure is None else {f"{name}_unsure": doubts}),
        }
    if output.kind == "labels":
        return {f"{label}_probability": probs[:, k].numpy() for k, label in enumerate(output.vocabulary)}
    columns = probs.reshape(len(probs), len(output.names)).numpy()
    return {f"{target}_pred": columns[:, k] for k, target in enumerate(output.names)}


# ---- as JSON ----


def _category(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    best = np.argsort(-np.asarray(found.probs), kind="stable")[:top].tolist()
    labels = [{"label": output.vocabulary[i], "probability": round(float(found.probs[i]), 6)} for i in best]
    unsure = {} if output.unsure is None else {"unsure": is_unsure(output, found.probs)}
    return {**labels[0], **unsure, **({"labels": labels} if top > 1 else {})}


def _labels(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    chances = zip(output.vocabulary, found.probs.tolist(), strict=True)
    return {"named": found.decoded, "probabilities": {str(label): round(p, 6) for label, p in chances}}


def _numbers(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    values: Sequence[float] = found.decoded if isinstance(found.decoded, tuple) else (found.decoded,)
    return {"numbers": {name: float(f"{v:.7g}") for name, v in zip(output.names, values, strict=True)}}


def _points(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    return {"points": [[round(float(x), 2), round(float(y), 2)] for x, y in found.decoded]}


def _boxes(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    boxes = [(box.label, round(box.score, 6), [round(side, 2) for side in box.box]) for box in found.decoded]
    return {"boxes": [dict(zip(("label", "score", "box"), b, strict=True)) for b in boxes]}


def _mask(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    counts = np.bincount(np.asarray(found.decoded).ravel(), minlength=len(output.vocabulary))
    shares = {output.vocabulary[k]: round(float(n / counts.sum()), 4) for k, n in enumerate(counts) if n}
    return {"shares": {str(k): share for k, share in sorted(shares.items(), key=lambda pair: -pair[1])}}


FACTS: dict[str, Callable[[Any, Any, int], dict[str, Any]]] = {
    "category": _category,
    "labels": _labels,
    "numbers": _numbers,
    "points": _points,
    "boxes": _boxes,
    "mask": _mask,
}


# ---- as text ----


def _labels_line(row: dict[str, Any]) -> str:
    told = "  ".join(f"{found['label']} {found['probability']:.1%}" for found in row["labels"])
    return f"not sure: maybe {told}" if row.get("unsure") else told


def _named_line(row: dict[str, Any]) -> str:
    chances = row["probabilities"]
    return "  ".join(f"{label} {chances[str(label)]:.1%}" for label in row["named"]) or "nothing"


def _boxes_line(row: dict[str, Any]) -> str:
    named = [
        f"{b['label']} {b['score']:.1%} at {','.join(f'{s:.0f}' for s in b['box'])}" for b in row["boxes"]
    ]
    return "  ".join(named) or "nothing found"


#: By the key that a kind of `facts` has and those before it have not.
LINES: dict[str, Callable[[dict[str, Any]], str]] = {
    "targets": lambda row: "  ".join(line(one) for one in row["targets"]),
    "labels": _labels_line,
    "label": lambda row: _labels_line({**row, "labels": [row]}),
    "named": _named_line,
    "numbers": lambda row: "  ".join(f"{name} {value:g}" for name, value in row["numbers"].items()),
    "points": lambda row: "  ".join(f"{x:.0f},{y:.0f}" for x, y in row["points"]),
    "boxes": _boxes_line,
    "shares": lambda row: "  ".join(
        f"{name} {share:.1%}" for name, share in list(row["shares"].items())[:MOST_NAMED]
    ),
}
