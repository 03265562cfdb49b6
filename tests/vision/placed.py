"""Samples whose picture, mask, points and boxes belong together, and draws that move all of them."""

from __future__ import annotations

from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

from wiggly.vision.augment import Rotate, Warp, Zoom
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock
from wiggly.vision.flip import Flip
from wiggly.vision.mask import MaskBlock
from wiggly.vision.points import PointBlock
from wiggly.vision.resize import RandomResizedCrop, Resize

# Every geometric transform, drawn wider than its default.
MOVES: list[Any] = [
    Flip(1.0),
    Flip(1.0, vertical=True),
    Rotate(60.0, 1.0),
    Zoom(0.6, 1.8, 1.0),
    Warp(0.3, 1.0),
    Resize((50, 70)),
    Resize((40, 60), method="squish"),
    Resize(64, method="pad", pad_mode="zeros"),
    RandomResizedCrop((48, 40), min_scale=0.2),
]
several_moves = st.lists(st.sampled_from(MOVES), min_size=1, max_size=5)
seeds = st.integers(0, 2**32)


def moved(values: tuple[Any, ...], moves: list[Any], seed: int) -> tuple[Any, ...]:
    """The values after the moves, in training."""
    random = Random(seed)
    for move in moves:
        values = move.apply(values, random, True)
    return values


def placed(
    picture: Any, mask: Any = None, points: Any = None, boxes: Any = None, labels: Any = None
) -> tuple[Any, ...]:
    """A picture and what lies on it, as a data set would load them."""
    blocks: list[Any] = [ImageBlock()]
    raws: list[Any] = [picture]
    if mask is not None:
        blocks, raws = [*blocks, MaskBlock(range(256))], [*raws, mask]
    if points is not None:
        blocks, raws = [*blocks, PointBlock()], [*raws, points]
    if boxes is not None:
        blocks, raws = [*blocks, BBoxBlock()], [*raws, boxes]
    if labels is not None:
        block = BBoxLblBlock()
        block.fit([labels, ["other"]])
        blocks, raws = [*blocks, block], [*raws, labels]
    values = tuple(block.load(raw) for block, raw in zip(blocks, raws, strict=True))
    return tuple(block.relate(value, values) for block, value in zip(blocks, values, strict=True))


def polygon(h: int, w: int, seed: int = 0, corners: int = 7) -> npt.NDArray[np.float64]:
    """The outline `(k, 2)` of a star-shaped figure in the middle of a picture."""
    random = np.random.default_rng(seed)
    turns = np.sort(random.uniform(0, 2 * np.pi, corners))
    reach = random.uniform(0.2, 0.42, corners)
    return np.stack([w / 2 + np.cos(turns) * reach * w, h / 2 + np.sin(turns) * reach * h], axis=1)


def filled(outline: npt.NDArray[np.float64], h: int, w: int) -> npt.NDArray[np.uint8]:
    """1 where a pixel's centre is inside the outline: by crossings of a ray, from the definition."""
    y, x = np.mgrid[0:h, 0:w] + 0.5
    inside = np.zeros((h, w), dtype=bool)
    for (x0, y0), (x1, y1) in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        spans = (y0 > y) != (y1 > y)
        with np.errstate(divide="ignore", invalid="ignore"):
            inside ^= spans & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return inside.astype(np.uint8)


def distance_to(outline: npt.NDArray[np.float64], xy: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Distance of points `(k, 2)` to an outline, in pixels."""
    best = np.full(len(xy), np.inf)
    for start, end in zip(outline, np.roll(outline, -1, axis=0), strict=True):
        way = end - start
        share = np.clip(((xy - start) @ way) / max(float(way @ way), 1e-12), 0, 1)
        best = np.minimum(best, np.linalg.norm(xy - start - share[:, None] * way, axis=1))
    return best
