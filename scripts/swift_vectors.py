"""What the Swift package is tested against: inputs, and what the Python package makes of them.

In: the code of src/wiggly/bundle. Out: ios/WigglyKit/Tests/WigglyKitTests/vectors.json. `python
scripts/swift_vectors.py` writes it again; a test notices when it is stale.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

ROOT = Path(__file__).resolve().parent.parent
PLACE = ROOT / "ios" / "WigglyKit" / "Tests" / "WigglyKitTests" / "vectors.json"
sys.path.insert(0, str(ROOT / "src"))

from wiggly.bundle.masks import MaskAnswer  # noqa: E402
from wiggly.bundle.parts import CategoryOutput, LabelsOutput, MaskOutput, Step, TableInput, Unsure  # noqa: E402
from wiggly.bundle.pixels import prepare  # noqa: E402
from wiggly.bundle.placing import place  # noqa: E402
from wiggly.bundle.replies import reply_of  # noqa: E402
from wiggly.bundle.schema import from_json  # noqa: E402
from wiggly.records import Prediction  # noqa: E402
from wiggly.tabular.encoder import TableEncoder  # noqa: E402

#: Height, width, channels and steps.
PICTURES: list[tuple[int, int, int, list[dict[str, Any]]]] = [
    (9, 13, 3, [{"name": "Resize", "args": {"size": 4}}]),
    (13, 9, 1, [{"name": "Resize", "args": {"size": [5, 6], "method": "squish"}}]),
    (6, 14, 3, [{"name": "Resize", "args": {"size": 7, "method": "pad"}}]),
    (6, 14, 3, [{"name": "Resize", "args": {"size": 7, "method": "pad", "pad_mode": "zeros"}}]),
    (6, 14, 1, [{"name": "Resize", "args": {"size": [9, 5], "method": "pad", "pad_mode": "border"}}]),
    (15, 11, 3, [{"name": "RandomResizedCrop", "args": {"size": 6, "min_scale": 0.35}}]),
    (
        16,
        12,
        3,
        [
            {"name": "Resize", "args": {"size": 12}},
            {"name": "Rotate", "args": {"max_deg": 10.0}},
            {"name": "RandomResizedCrop", "args": {"size": [6, 5], "val_xtra": 0.3}},
        ],
    ),
    (3, 4, 3, [{"name": "Resize", "args": {"size": 10}}]),
    (5, 7, 1, []),
    (1, 1, 1, [{"name": "Resize", "args": {"size": [3, 4], "method": "pad"}}]),
]

TABLE = {
    "city": ["Rome", "Oslo", "Rome", None],
    "floor": [1, 2, 3, 1],
    "age": [30.5, 40.0, None, 25.0],
    "sold": [True, False, True, True],
    "id": [2**60, 2**60 + 8, 2**60 + 16, 2**60],
}

ROWS: list[dict[str, Any]] = [
    {"city": "Rome", "floor": 2, "age": 31.25, "sold": True, "id": 2**60 + 4},
    {"city": "Paris", "floor": 2.0, "age": None, "sold": False, "id": 2**60},
    {"city": None, "floor": 9, "age": 1e30, "sold": True, "id": 2**60},
]


def vectors() -> dict[str, Any]:
    """All of them, as JSON types."""
    pictures = [_picture(*one, seed) for seed, one in enumerate(PICTURES)]
    return {"pictures": pictures, "table": _table(), "answers": _answers(), "masks": _masks()}


def _picture(
    height: int, width: int, channels: int, steps: list[dict[str, Any]], seed: int
) -> dict[str, Any]:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)
    made = prepare(pixels, [Step(**step) for step in steps])
    return {
        "input": {"kind": "image", "channels": channels, "size": None, "preprocessing": steps},
        "height": height,
        "width": width,
        "pixels": pixels.ravel().tolist(),
        "prepared": {"height": made.shape[0], "width": made.shape[1], "pixels": made.ravel().tolist()},
    }


def _table() -> dict[str, Any]:
    encoder = TableEncoder.fit(TABLE, ["city", "floor"], ["age", "sold", "id"])
    described = {"kind": "table", **encoder.config()}
    from_json(TableInput, json.loads(json.dumps(described)))
    rows: list[dict[str, Any]] = []
    for row in ROWS:
        found = encoder.encode({name: [value] for name, value in row.items()})
        rows.append({"row": row, "categories": found.cats[0].tolist(), "numbers": found.conts[0].tolist()})
    return {"input": described, "rows": rows}


def _answers() -> list[dict[str, Any]]:
    unsure = Unsure(threshold=0.6, share=0.1, accuracy=0.95, wanted=0.95, n=40)
    category = CategoryOutput("category", ("ant", "bee", 7), "softmax", unsure=unsure)
    labels = LabelsOutput("labels", ("sun", "sea", "sand"), 0.5, "scene")
    told = [(category, p, int(np.argmax(p))) for p in ([0.25, 0.5, 0.25], [0.125, 0.125, 0.75])]
    made: list[dict[str, Any]] = []
    for output, probs, index in [*told, (labels, [0.75, 0.25, 0.875], 0)]:
        decoded: Any = output.vocabulary[index]
        if isinstance(output, LabelsOutput):
            decoded = [word for word, p in zip(output.vocabulary, probs, strict=True) if p > output.threshold]
        model = SimpleNamespace(manifest=SimpleNamespace(outputs=(output,)), sha256="ab" * 32)
        reply = reply_of(model, Prediction(decoded, index, np.array(probs)))  # type: ignore[arg-type]
        kept = {"kind": output.kind, "vocabulary": list(output.vocabulary), "name": output.name}
        extra: dict[str, Any] = {"threshold": 0.5} if output.kind == "labels" else {"activation": "softmax"}
        if isinstance(output, CategoryOutput):
            extra["unsure"] = {"threshold": 0.6, "share": 0.1, "accuracy": 0.95, "wanted": 0.95, "n": 40}
        made.append({"output": {**kept, **extra}, "probabilities": probs, "reply": reply})
    return made


def _masks() -> list[dict[str, Any]]:
    from wiggly.vision.geometry import Geometry

    made: list[dict[str, Any]] = []
    for void in (None, 2):
        answer = MaskAnswer(MaskOutput("mask", ("sky", "road", "none"), void))
        steps = [{"name": "Resize", "args": {"size": 4}}]
        placed = place([Step(**steps[0])], 6, 9)
        classes = np.random.default_rng(5).integers(0, 2, (4, 4))
        back = np.array([[placed.x.step, 0, placed.x.start], [0, placed.y.step, placed.y.start], [0, 0, 1.0]])
        block: Any = answer.block
        mask = block.decode_on(torch.from_numpy(classes), (4, 4), Geometry(back, (6, 9)).matrix, (6, 9))
        made.append(
            {
                "output": {"kind": "mask", "vocabulary": ["sky", "road", "none"], "void": void},
                "steps": steps,
                "height": 6,
                "width": 9,
                "classes": classes.ravel().tolist(),
                "mask": np.asarray(mask).ravel().tolist(),
            }
        )
    return made


def text() -> str:
    """The content of the file."""
    return json.dumps(vectors(), separators=(",", ":")) + "\n"


if __name__ == "__main__":
    PLACE.write_text(text(), encoding="utf-8")
    print(f"wrote {PLACE.relative_to(ROOT)}")
