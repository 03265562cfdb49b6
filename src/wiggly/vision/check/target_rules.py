"""What is wrong with masks and boxes: missing, of another size than the picture, outside of it.

In: a subject and the probe of each item. Out: findings. Every mask is read once, in threads. Read next:
`run.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from wiggly.errors import ItemError, LabelError, WigglyError
from wiggly.vision.boxes import BBoxBlock
from wiggly.vision.check.file_rules import finding, plural
from wiggly.vision.check.findings import Finding, Severity
from wiggly.vision.check.probe import Probe
from wiggly.vision.check.subject import Item, Subject
from wiggly.vision.mask import MaskBlock

__all__ = ["target_findings"]

_MASKS: dict[str, tuple[Severity, str]] = {
    "mask-unreadable": ("error", "{n} without a mask that can be read; training leaves them out"),
    "mask-codes": ("error", "{n} whose mask has an index that is no class"),
    "mask-turned": (
        "error",
        "{n} that EXIF turns, with a mask that is not turned: they do not lie on each other",
    ),
    "mask-size": ("error", "{n} with a mask of other proportions"),
    "boxes": (
        "warning",
        "{n} with boxes that are empty or lie outside the picture; these are cut or dropped",
    ),
}
PROPORTION = 0.02  # difference of the ratios of the sides: what rounding a resized mask can make


def target_findings(subject: Subject, probes: Sequence[Probe], threads: int) -> Iterator[Finding]:
    """All findings about masks and boxes."""
    found: dict[str, list[tuple[str, str]]] = {}
    with ThreadPoolExecutor(threads) as pool:
        for item, told in zip(subject.items, pool.map(_look, subject.items, probes), strict=True):
            for kind, detail in told:
                found.setdefault(kind, []).append((item.name, detail))
    for kind, (severity, message) in _MASKS.items():
        if kind in found:
            names, details = [name for name, _ in found[kind]], [detail for _, detail in found[kind]]
            n = plural(len(names), "item")
            yield finding(subject, kind, severity, message.format(n=n), names, details)


def _look(item: Item, probe: Probe) -> list[tuple[str, str]]:
    """Kind and detail of what is wrong with the targets of one item."""
    told: list[tuple[str, str]] = []
    for block, raw in item.targets:
        if isinstance(block, MaskBlock):
            told += _look_at_mask(block, raw, probe)
        elif isinstance(block, BBoxBlock) and probe.height:
            told += _look_at_boxes(raw, probe)
    return told


def _look_at_mask(block: MaskBlock, raw: Any, probe: Probe) -> list[tuple[str, str]]:
    try:
        height, width = block.load(raw).size
    except ItemError as error:
        return [("mask-unreadable", error.reason)]
    except LabelError as error:
        return [("mask-codes", error.received)]
    except (WigglyError, OSError, ValueError) as error:
        return [("mask-unreadable", f"{type(error).__name__}: {error}"[:160])]
    size = f"mask {width}×{height}, picture {probe.width}×{probe.height}"
    if not probe.height or (height, width) == (probe.height, probe.width):
        return []
    if probe.orientation >= 5 and (width, height) == (probe.height, probe.width):
        return [("mask-turned", size)]
    ratio = (width / height) / (probe.width / probe.height)
    return [] if abs(ratio - 1) <= PROPORTION else [("mask-size", size)]


def _look_at_boxes(raw: Any, probe: Probe) -> list[tuple[str, str]]:
    try:
        boxes = np.asarray(raw if raw is not None else [], dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        return [("boxes", "not four numbers each")]
    low, high = boxes[:, :2], boxes[:, 2:]
    empty = int((high <= low).any(1).sum())
    # A pixel more than the picture has is how some tools count; it is no mistake worth telling.
    outside = int(((low < -1) | (high > np.array([probe.width, probe.height]) + 1)).any(1).sum())
    parts = [
        f"{empty} empty" if empty else "",
        f"{outside} outside {probe.width}×{probe.height}" if outside else "",
    ]
    return [("boxes", ", ".join(filter(None, parts)))] if empty or outside else []
