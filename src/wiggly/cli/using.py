"""The verbs that need a bundle and no labels: `predict` and `app`.

In: a bundle, and files or an address. Out: labels, or a web page that is served until Ctrl-C. What it was
made from is not needed any more. Read next: `wiggly/bundle/predictor.py`.
"""

from __future__ import annotations

import json as json_format
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from wiggly.errors import ArgumentError, WigglyError

if TYPE_CHECKING:
    from wiggly.bundle.predictor import Predictor

__all__ = ["predict", "serve"]


def predict(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    files: Annotated[list[Path], Parameter(help="Pictures, or folders of pictures.")],
    /,
    *,
    top: Annotated[
        int, Parameter(help="How many of the likeliest labels to name for each picture (not for boxes).")
    ] = 1,
    json: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print one JSON list on stdout.")
    ] = False,
) -> int:
    """Labels pictures with a trained model, or says where it finds what.

    Returns:
        0, or 1 when some files could not be read; the others are labelled all the same.
    """
    from wiggly.bundle.predictor import load_bundle

    if top < 1:
        raise ArgumentError("`--top` must be at least 1", f"it is {top}", "Leave it out, or pass --top 3.")
    predictor = load_bundle(bundle)
    rows: list[dict[str, Any]] = []
    failed = 0
    for file in _expanded(files):
        row = _predicted(predictor, file, top)
        failed += "error" in row
        rows.append(row)
        if not json:
            _print_row(row)
    if json:
        print(json_format.dumps(rows, indent=2, ensure_ascii=False))
    return 1 if failed else 0


def serve(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on, or the next free one.")] = 7860,
    open: Annotated[
        bool, Parameter(negative="", show_default=False, help="Open the page in a browser.")
    ] = False,
) -> int:
    """Serves a web page where people drop a photo and read its label."""
    from wiggly.apps.page import serve as serve_page

    serve_page(bundle, host=host, port=port, open_browser=open)
    return 0


def _expanded(paths: Sequence[Path]) -> Iterator[Path]:
    """The files named, and in place of a folder the pictures below it, sorted."""
    for path in paths:
        if path.is_dir():
            from wiggly.data.items import get_image_files

            yield from sorted(get_image_files(path))
        else:
            yield path


def _predicted(predictor: Predictor, file: Path, top: int) -> dict[str, Any]:
    """One file's labels, likeliest first, or what a detector finds in it; or the reason why neither."""
    try:
        found = predictor.predict(file)
    except WigglyError as error:
        return {"file": str(file), "error": str(error)}
    if predictor.manifest.task == "detection":
        boxes = [
            (box.label, round(box.score, 6), [round(side, 2) for side in box.box]) for box in found.decoded
        ]
        return {
            "file": str(file),
            "boxes": [dict(zip(("label", "score", "box"), b, strict=True)) for b in boxes],
        }
    probabilities = found.probs
    best = probabilities.argsort(descending=True)[:top].tolist()
    labels = [{"label": predictor.vocab[i], "probability": round(float(probabilities[i]), 6)} for i in best]
    return {"file": str(file), **labels[0], **({"labels": labels} if top > 1 else {})}


def _print_row(row: dict[str, Any]) -> None:
    if "error" in row:
        print(f"error: {row['error']}", file=sys.stderr, flush=True)
        return
    if "boxes" in row:
        named = [
            f"{b['label']} {b['score']:.1%} at {','.join(f'{s:.0f}' for s in b['box'])}" for b in row["boxes"]
        ]
        print(f"{row['file']}: {'  '.join(named) or 'nothing found'}", flush=True)
        return
    labels = row.get("labels", [row])
    answer = "  ".join(f"{found['label']} {found['probability']:.1%}" for found in labels)
    print(f"{row['file']}: {answer}", flush=True)
