"""A prediction as JSON and as a line of text: one pair of functions for each kind of output.

In: a predictor and its `Prediction`. Out: a dict of JSON types; a line. Read next: `using.py`, which prints
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from wiggly.bundle.predictor import Predictor
    from wiggly.records import Prediction

__all__ = ["facts", "line", "predicted_table", "write_mask"]

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
    from wiggly.bundle.several import single

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


def predicted_table(predictor: Predictor, table: Any) -> Any:
    """A pandas table with the predictions as more columns: `<target>_pred`, and probabilities where there are
    some.

    Args:
        predictor: Of a bundle for tables.
        table: What its reader takes.
    """
    import narwhals as nw

    from wiggly.bundle.rows import RowReader

    reader = cast("RowReader", predictor.reader)
    frame = reader.frame(table)
    native: Any = nw.from_native(frame.to_native(), eager_only=True).to_pandas().reset_index(drop=True)
    outputs = predictor.manifest.outputs
    if not len(frame):
        return native
    probs = predictor.get_preds(frame)[0]
    for output, part in zip(outputs, probs if len(outputs) > 1 else [probs], strict=True):
        native = native.assign(**_columns(output, part))
    return native


def _columns(output: Any, probs: Any) -> dict[str, Any]:
    name = getattr(output, "name", "") or "prediction"
    if output.kind == "category":
        best = probs.max(1)
        return {
            f"{name}_pred": [output.vocabulary[i] for i in best.indices.tolist()],
            f"{name}_probability": [round(p, 6) for p in best.values.tolist()],
        }
    if output.kind == "labels":
        return {f"{label}_probability": probs[:, k].numpy() for k, label in enumerate(output.vocabulary)}
    columns = probs.reshape(len(probs), -1).numpy()
    return {f"{target}_pred": columns[:, k] for k, target in enumerate(output.names)}


# ---- as JSON ----


def _category(output: Any, found: Prediction, top: int) -> dict[str, Any]:
    best = found.probs.argsort(descending=True)[:top].tolist()
    labels = [{"label": output.vocabulary[i], "probability": round(float(found.probs[i]), 6)} for i in best]
    return {**labels[0], **({"labels": labels} if top > 1 else {})}


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
    import numpy as np

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
    return "  ".join(f"{found['label']} {found['probability']:.1%}" for found in row["labels"])


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
    "label": lambda row: _labels_line({"labels": [row]}),
    "named": _named_line,
    "numbers": lambda row: "  ".join(f"{name} {value:g}" for name, value in row["numbers"].items()),
    "points": lambda row: "  ".join(f"{x:.0f},{y:.0f}" for x, y in row["points"]),
    "boxes": _boxes_line,
    "shares": lambda row: "  ".join(
        f"{name} {share:.1%}" for name, share in list(row["shares"].items())[:MOST_NAMED]
    ),
}
