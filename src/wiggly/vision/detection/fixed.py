"""What a detector finds, in operations whose shapes do not depend on the picture: for the exported graph.

In: a detector and one picture. Out: the same boxes, labels and scores as from its `forward`. torchvision
picks candidates by masks, and so has another number of them for every picture, which no exporter follows;
here those that are out get a score below all others and are sorted to the end. The one step that remains,
suppressing boxes that overlap a better one, is an operator of its own. Read next:
`../../bundle/graph/modules.py`, which asks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor
from torchvision.ops import nms

from wiggly.vision.detection.boxes import Found
from wiggly.vision.detection.detector import DenseDetector, Detector, Frame, Outputs

__all__ = ["SUPPRESSED", "found_in_fixed_shapes", "suppressed"]

#: Score of what is out; real ones are from 0 to 1.
OUT = -1.0

#: Between it and those of real candidates.
ANY_SCORE = -0.5

#: Boxes thinner than this are left out of what Faster R-CNN finds: torchvision's bound, in pixels.
THINNEST = 1e-2

#: Answers per proposal of Faster R-CNN that are looked at, on average; above the least score there are fewer.
PER_PROPOSAL = 5

Candidates = tuple[Tensor, Tensor, Tensor]  # boxes (k, 4) in pixels, scores (k,), labels (k,)


def found_in_fixed_shapes(detector: Detector, images: Tensor) -> Found:
    """What is in a picture.

    Args:
        detector: In evaluation mode.
        images: `(1, c, h, w)`: uint8, or floats in [0, 1].

    Returns:
        Boxes `(1, k, 4)` in [-1, 1], labels and scores `(1, k)`, best first; below the detector's least score
        there is padding.
    """
    (raw, frame), network = detector.raw(images), cast("Any", detector.network)
    if isinstance(detector, DenseDetector):
        decider = network
        candidates, n_labels = _dense(detector, raw, frame)
    else:
        decider = network.roi_heads
        candidates, n_labels = _second_look(network, raw, frame)
    boxes, _, labels = candidates
    left = _left(candidates, n_labels, float(decider.nms_thresh), float(decider.score_thresh))
    best, places = left.topk(min(detector.max_boxes, len(left)))
    height, width = frame.size
    half = torch.tensor([width, height, width, height], dtype=torch.float32) / 2
    counted = labels[places] - (1 - detector.numbering.first)
    return (boxes[places] / half - 1)[None], counted[None], best[None]


@torch.library.custom_op("wiggly::suppressed", mutates_args=())
def suppressed(boxes: Tensor, scores: Tensor, iou: float, least: float) -> Tensor:
    """Which boxes are left once those that overlap a better one of their row are gone.

    Args:
        boxes: `(k, 4)`.
        scores: `(rows, k)`: of each box in the row that it belongs to, and in all others below `least`.
        iou: From which overlap (intersection over union) on the worse one goes.
        least: Boxes with this score or less in a row are not in it.

    Returns:
        `(k,)`, 1 for those that are left, else 0.
    """
    kept = boxes.new_zeros(len(boxes))
    for row in scores:
        own = torch.where(row > least)[0]
        kept[own[nms(boxes[own], row[own], iou)]] = 1
    return kept


@suppressed.register_fake
def _(boxes: Tensor, scores: Tensor, iou: float, least: float) -> Tensor:
    return boxes.new_empty(len(boxes))


#: By this the exporter finds it.
SUPPRESSED: Any = cast("Any", torch.ops).wiggly.suppressed.default


def _left(candidates: Candidates, n_labels: int, iou: float, least: float) -> Tensor:
    """Scores, `OUT` for those who overlap a better candidate of their label or are not above the least."""
    boxes, scores, labels = candidates
    rows = torch.where(labels == torch.arange(n_labels)[:, None], scores, OUT)
    return torch.where(suppressed(boxes, rows, iou, least) > 0, scores, OUT)


# ---- one stage ----


def _dense(detector: DenseDetector, raw: Outputs, frame: Frame) -> tuple[Candidates, int]:
    network: Any = detector.network
    heads = {name: part[0] for name, part in detector.heads(raw).items()}
    anchors, n_labels = raw[-2][0], heads["cls_logits"].shape[-1]
    if type(network).__name__ == "SSD":
        return _of_ssd(network, heads, anchors, frame), n_labels
    scores = heads["cls_logits"].sigmoid()
    if "bbox_ctrness" in heads:
        scores = (scores * heads["bbox_ctrness"].sigmoid()).sqrt()
    scores, counts = scores[:, 1:], list(frame.counts)  # the first is the background
    levels = zip(*(part.split(counts) for part in (scores, heads["bbox_regression"], anchors)), strict=True)
    found = [_of_level(network, *level) for level in levels]
    boxes, best, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
    return (_clipped(boxes, frame), best, labels), n_labels


def _of_level(network: Any, scores: Tensor, offsets: Tensor, anchors: Tensor) -> Candidates:
    """The best of one feature map."""
    n_classes, flat = scores.shape[1], scores.flatten()
    best, places = flat.topk(min(int(network.topk_candidates), len(flat)))
    which = torch.div(places, n_classes, rounding_mode="floor")
    coder = network.box_coder
    decode = coder.decode if type(network).__name__ == "FCOS" else coder.decode_single
    return decode(offsets[which], anchors[which]), best, places % n_classes + 1


def _of_ssd(network: Any, heads: dict[str, Tensor], anchors: Tensor, frame: Frame) -> Candidates:
    """The best of every class."""
    boxes = _clipped(network.box_coder.decode_single(heads["bbox_regression"], anchors), frame)
    scores = heads["cls_logits"].softmax(-1)[:, 1:].t()
    best, places = scores.topk(min(int(network.topk_candidates), len(anchors)), dim=1)
    labels = torch.arange(1, len(scores) + 1)[:, None].expand(best.shape)
    return boxes[places.flatten()], best.flatten(), labels.flatten()


# ---- two stages ----


def _second_look(network: Any, raw: Outputs, frame: Frame) -> tuple[Candidates, int]:
    proposals, there = _proposals(network.rpn, raw, frame)
    heads: Any = network.roi_heads
    maps = raw[4:]
    logits, offsets = heads.box_predictor(
        heads.box_head(_regions(heads.box_roi_pool, maps, proposals, frame))
    )
    logits, n_labels = logits.float(), logits.shape[1]
    boxes = heads.box_coder.decode_single(offsets.float(), proposals).reshape(-1, n_labels, 4)
    boxes = _clipped(boxes, frame)[:, 1:].reshape(-1, 4)
    scores = torch.where(there[:, None], logits.softmax(-1)[:, 1:], OUT)
    labels = torch.arange(1, n_labels).expand(scores.shape).flatten()
    flat = torch.where(_thicker(boxes, THINNEST), scores.flatten(), OUT)
    best, places = flat.topk(min(PER_PROPOSAL * len(proposals), len(flat)))
    return (boxes[places], best, labels[places]), n_labels


def _proposals(rpn: Any, raw: Outputs, frame: Frame) -> tuple[Tensor, Tensor]:
    """Where the first stage has seen something, `(k, 4)` in pixels, and which of these rows it has."""
    scores, offsets, anchors = (part[0].float() for part in raw[:3])
    boxes = _clipped(rpn.box_coder.decode_single(offsets, anchors), frame)
    most, first = int(rpn.pre_nms_top_n()), 0
    chosen: list[Candidates] = []
    for level, own in enumerate(scores.split(list(frame.counts))):
        best, places = own.topk(min(most, len(own)))
        chosen.append((boxes[places + first], best.sigmoid(), torch.full_like(places, level)))
        first += len(own)
    some, best, levels = (torch.cat(parts) for parts in zip(*chosen, strict=True))
    best = torch.where(_thicker(some, float(rpn.min_size)), best, OUT)
    left = _left((some, best, levels), len(frame.counts), float(rpn.nms_thresh), ANY_SCORE)
    best, places = left.topk(min(int(rpn.post_nms_top_n()), len(left)))
    return some[places], best > ANY_SCORE


def _regions(pool: Any, maps: Sequence[Tensor], boxes: Tensor, frame: Frame) -> Tensor:
    """Of every box its part of the feature map that fits its size (Lin et al., "Feature Pyramid Networks",
    arXiv:1612.03144, equation 1)."""
    rois = torch.cat([boxes.new_zeros(len(boxes), 1), boxes], 1)
    scales = [2.0 ** round(math.log2(map_.shape[2] / frame.size[0])) for map_ in maps]
    parts = [_region(map_, rois, scale, pool) for map_, scale in zip(maps, scales, strict=True)]
    if len(parts) == 1:
        return parts[0]
    finest, coarsest = (-math.log2(scale) for scale in (scales[0], scales[-1]))
    sides = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])).sqrt()
    levels = torch.floor(pool.canonical_level + torch.log2(sides / pool.canonical_scale) + 1e-6)
    levels = (levels.clamp(finest, coarsest) - finest)[:, None, None, None]
    made = parts[0]
    for level, part in enumerate(parts[1:], 1):
        made = torch.where(levels == level, part, made)
    return made


def _region(map_: Tensor, rois: Tensor, scale: float, pool: Any) -> Tensor:
    high, wide = pool.output_size
    return cast("Any", torch.ops).torchvision.roi_align(
        map_.float(), rois, scale, high, wide, pool.sampling_ratio, False
    )


def _clipped(boxes: Tensor, frame: Frame) -> Tensor:
    height, width = frame.size
    x, y = boxes[..., 0::2].clamp(0, width), boxes[..., 1::2].clamp(0, height)
    return torch.stack((x[..., 0], y[..., 0], x[..., 1], y[..., 1]), -1)


def _thicker(boxes: Tensor, least: float) -> Tensor:
    return (boxes[:, 2] - boxes[:, 0] >= least) & (boxes[:, 3] - boxes[:, 1] >= least)
