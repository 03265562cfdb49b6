"""Made pictures with boxes: coloured squares on noisy grey, none of them over another."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from wiggly.data.block import DataBlock
from wiggly.data.split import RandomSplitter
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock
from wiggly.vision.detection.learner import DetectionLearner, detection_learner

SIDE = 64
COLOURS = {"blue": (30, 30, 230), "red": (230, 30, 30)}


def scene(number: int) -> tuple[Any, list[list[int]], list[str]]:
    """One picture `(64, 64, 3)`, its boxes and their labels; every eighth is empty."""
    rng = np.random.default_rng(number)
    pixels = rng.integers(90, 130, (SIDE, SIDE, 3)).astype(np.uint8)
    boxes: list[list[int]] = []
    names: list[str] = []
    for half in (0, SIDE // 2):  # one in the left half, one in the right
        if number % 8 == 0 or rng.random() < 0.3:
            continue
        side = int(rng.integers(14, 28))
        x, y = half + int(rng.integers(0, SIDE // 2 - side)), int(rng.integers(0, SIDE - side))
        name = str(rng.choice(list(COLOURS)))
        pixels[y : y + side, x : x + side] = COLOURS[name]
        boxes.append([x, y, x + side, y + side])
        names.append(name)
    return pixels, boxes, names


def loaders(n: int = 80, bs: int = 8, labels: BBoxLblBlock | None = None, **how: Any) -> Any:
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock, labels or BBoxLblBlock),
        n_inp=1,
        get_x=lambda number: scene(number)[0],
        get_y=[lambda number: scene(number)[1], lambda number: scene(number)[2]],
        splitter=RandomSplitter(0.2, seed=1),
        **how,
    )
    return block.dataloaders(range(n), bs=bs, seed=1, num_workers=0)


def learner(dls: Any = None, arch: Any = "fcos", **how: Any) -> DetectionLearner:
    """An untrained learner; always the same weights."""
    torch.manual_seed(0)
    how = {"body": "test_resnet", "pretrained": False, **how}
    return detection_learner(loaders() if dls is None else dls, arch, **how)
