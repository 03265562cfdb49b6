"""Writes the test vectors that readers of bundles in every language are tested on.

Out: `vectors.json` and PNG files beside this script. Run it when docs/format.md changes:
`PYTHONPATH=src python tests/bundle/vectors/make.py`. Expected pixels come from plain loops over the
formulas of docs/format.md, written here once more in 64 bits, not from the package.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

FOLDER = Path(__file__).parent
HALF = 0.5 + 2**-10
EDGE = 2**-20


# ---- the specification, once more, as plainly as possible ----


def axes(steps: list[dict[str, Any]], height: int, width: int) -> tuple[list[list[float]], str]:
    """(start, step, length) of y and of x, and the border."""
    axis = [[0.0, 1.0, height], [0.0, 1.0, width]]
    border = None

    def box(k: int, first: float, extent: float, length: int) -> None:
        start, step, _ = axis[k]
        axis[k] = [start + step * first, step * extent / length, length]

    for made in steps:
        size = made["args"]["size"]
        target = [size, size] if isinstance(size, int) else size
        n = [axis[0][2], axis[1][2]]
        if made["name"] == "RandomResizedCrop":
            margin = math.ceil(max(target) * made["args"].get("val_xtra", 0.14) / 8) * 8
            for k, (first, extent) in enumerate(crop(n, [target[0] + margin, target[1] + margin])):
                whole = target[k] + margin
                box(k, first + extent * margin / (2 * whole), extent * target[k] / whole, target[k])
        elif made["args"].get("method", "crop") == "crop":
            for k, (first, extent) in enumerate(crop(n, target)):
                box(k, first, extent, target[k])
        elif made["args"]["method"] == "squish":
            for k in (0, 1):
                box(k, 0, n[k], target[k])
        else:
            scale = min(target[0] / n[0], target[1] / n[1])
            for k in (0, 1):
                free = (target[k] - n[k] * scale) / 2
                box(k, -free / scale, target[k] / scale, target[k])
            border = border or made["args"].get("pad_mode", "reflection")
    return axis, border or "reflection"


def crop(n: list[float], target: list[int]) -> list[tuple[float, float]]:
    scale = min(n[0] / target[0], n[1] / target[1])
    found = []
    for k in (0, 1):
        extent = min(max(round(target[k] * scale), 1), n[k])
        found.append((math.floor((n[k] - extent) / 2), extent))
    return found


def weights(start: float, step: float, length: int, n: int, border: str) -> np.ndarray:
    made = np.zeros((length, n))
    reach = max(1.0, step)
    for i in range(length):
        centre = start + (i + 0.5) * step
        place = centre - 0.5
        if centre < -EDGE or centre > n + EDGE:
            if border == "zeros":
                continue
            place = fold(place, n) if border == "reflection" else min(max(place, 0.0), n - 1.0)
        for j in range(n):
            made[i, j] = max(0.0, 1 - abs(j - place) / reach)
        made[i] /= made[i].sum()
    return made


def fold(place: float, n: int) -> float:
    if n == 1:
        return 0.0
    period = 2 * (n - 1)
    place = abs(place)
    place -= period * math.floor(place / period)
    return min(place, period - place)


def prepared(pixels: np.ndarray, steps: list[dict[str, Any]]) -> np.ndarray:
    (y, x), border = axes(steps, *pixels.shape[:2])
    down = weights(y[0], y[1], int(y[2]), pixels.shape[0], border)
    across = weights(x[0], x[1], int(x[2]), pixels.shape[1], border)
    made = np.einsum("ij,jkc,lk->ilc", down, pixels.astype(np.float64), across)
    return np.clip(np.floor(made + HALF), 0, 255).astype(np.uint8)


# ---- the vectors ----


def step(name: str, size: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "args": {"size": size, **more}}


#: Height and width of the picture, what is done to it.
CASES: list[tuple[str, tuple[int, int], list[dict[str, Any]]]] = [
    ("crop, smaller, wide", (37, 61), [step("Resize", 16)]),
    ("crop, smaller, tall, odd", (75, 41), [step("Resize", [15, 11])]),
    ("crop, larger", (5, 7), [step("Resize", 12)]),
    ("crop, the same size", (12, 10), [step("Resize", [12, 10])]),
    ("crop, half as large", (24, 24), [step("Resize", 12)]),
    ("crop, a third", (30, 45), [step("Resize", [10, 15])]),
    ("crop, rounding halves to even", (9, 30), [step("Resize", [6, 11])]),
    ("crop, one pixel wide", (20, 1), [step("Resize", [6, 4])]),
    ("crop, one pixel", (1, 1), [step("Resize", 3)]),
    ("squish, smaller and larger", (40, 9), [step("Resize", [13, 17], method="squish")]),
    ("pad, reflection", (20, 33), [step("Resize", [24, 18], method="pad", pad_mode="reflection")]),
    ("pad, border", (33, 20), [step("Resize", [24, 18], method="pad", pad_mode="border")]),
    ("pad, zeros", (20, 33), [step("Resize", 16, method="pad", pad_mode="zeros")]),
    ("pad, far outside a line", (2, 40), [step("Resize", 14, method="pad")]),
    ("pad, larger", (6, 4), [step("Resize", 15, method="pad", pad_mode="zeros")]),
    ("middle of RandomResizedCrop", (50, 70), [step("RandomResizedCrop", 16)]),
    ("RandomResizedCrop with its margin", (31, 29), [step("RandomResizedCrop", [20, 12], val_xtra=0.3)]),
    ("Resize then RandomResizedCrop", (90, 60), [step("Resize", 40), step("RandomResizedCrop", 16)]),
    (
        "Resize then a crop without margin",
        (64, 48),
        [step("Resize", 46), step("RandomResizedCrop", 22, val_xtra=0)],
    ),
    (
        "pad then squish",
        (18, 30),
        [step("Resize", 20, method="pad", pad_mode="zeros"), step("Resize", [10, 14], method="squish")],
    ),
    ("none", (7, 5), []),
]


def picture(height: int, width: int, channels: int, seed: int) -> np.ndarray:
    """Waves and noise, so that each pixel counts."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    waves = 127 + 90 * np.sin(y / 3.1)[..., None] * np.cos(x[..., None] / (2 + np.arange(channels)))
    return np.clip(waves + random.normal(0, 25, (height, width, channels)), 0, 255).astype(np.uint8)


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def text(pixels: np.ndarray) -> str:
    return base64.b64encode(pixels.tobytes()).decode()


def resampling() -> list[dict[str, Any]]:
    made = []
    for number, (name, (height, width), steps) in enumerate(CASES):
        channels = 1 if number % 5 == 3 else 3
        before = picture(height, width, channels, number)
        after = prepared(before, steps)
        (y, x), border = axes(steps, height, width)
        made.append(
            {
                "name": name,
                "steps": steps,
                "height": height,
                "width": width,
                "channels": channels,
                "pixels": text(before),
                "placement": {"y": y, "x": x, "border": border},
                "prepared": {"height": after.shape[0], "width": after.shape[1], "pixels": text(after)},
            }
        )
    return made


def files() -> list[dict[str, Any]]:
    """Pictures as files: what decoding must give."""
    made = []
    upright = picture(16, 24, 3, 99)
    for orientation in range(1, 9):
        stored = _stored(upright, orientation)
        exif = Image.Exif()
        exif[0x0112] = orientation
        buffer = io.BytesIO()
        Image.fromarray(stored).save(buffer, "PNG", exif=exif.tobytes())
        made.append(_file(f"orientation_{orientation}.png", buffer.getvalue(), upright))
    levels = np.arange(24, dtype=np.uint8)[None, :, None].repeat(16, 0)
    alpha = (np.arange(16, dtype=np.uint8)[:, None, None] * 17).repeat(24, 1)
    rgba = np.concatenate([upright, alpha], 2)
    buffer = io.BytesIO()
    Image.fromarray(rgba).save(buffer, "PNG")
    made.append(_file("alpha.png", buffer.getvalue(), _on_white(upright, alpha), tolerance=1))
    buffer = io.BytesIO()
    Image.fromarray(levels[:, :, 0] * 10).save(buffer, "PNG")
    made.append(_file("grey.png", buffer.getvalue(), (levels * 10).repeat(3, 2)))
    buffer = io.BytesIO()
    Image.fromarray(upright).save(buffer, "JPEG", quality=92)
    decoded = np.asarray(Image.open(io.BytesIO(buffer.getvalue())))
    made.append(_file("photo.jpg", buffer.getvalue(), decoded, tolerance=3))
    return made


def _stored(upright: np.ndarray, orientation: int) -> np.ndarray:
    """What a camera stores so that EXIF 2.32, table 4, brings it upright."""
    turned = upright
    if orientation in (2, 3, 6, 7):
        turned = turned[:, ::-1]
    if orientation in (3, 4, 7, 8):
        turned = turned[::-1]
    if orientation >= 5:
        turned = turned.transpose(1, 0, 2)
    return np.ascontiguousarray(turned)


def _on_white(pixels: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha.astype(np.float64) / 255
    return np.floor(pixels * share + 255 * (1 - share) + 0.5).astype(np.uint8)


def _file(name: str, content: bytes, upright: np.ndarray, tolerance: int = 0) -> dict[str, Any]:
    (FOLDER / name).write_bytes(content)
    return {
        "file": name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "height": upright.shape[0],
        "width": upright.shape[1],
        "channels": 3,
        "tolerance": tolerance,
        "pixels": text(upright),
    }


def main() -> None:
    made = {
        "about": "See README.md. Pixels are base64 of bytes, row by row, channels last.",
        "half": HALF,
        "edge": EDGE,
        "tolerance": 1,
        "resampling": resampling(),
        "files": files(),
    }
    (FOLDER / "vectors.json").write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
