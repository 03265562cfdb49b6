"""Detectors: torchvision's networks cut in two, so that a training loop can do its part in between.

In: pictures `(n, c, h, w)` in [0, 1]. Out of a forward pass: what was found (in evaluation mode), followed
by the raw outputs, from which `losses` computes exactly torchvision's losses once targets are there. So one
forward pass serves training, the validation loss and the metrics. Read next: `models.py`, which makes them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.roi_heads import fastrcnn_loss
from torchvision.models.detection.rpn import concat_box_prediction_layers
from torchvision.ops import box_iou

from wiggly.errors import ModelError
from wiggly.vision.detection.boxes import Found, Numbering, as_rows, as_targets
from wiggly.vision.weights import Stats

__all__ = ["DenseDetector", "Detector", "Frame", "Scaling", "TwoStageDetector"]

Outputs = tuple[Tensor, ...]
Losses = dict[str, Tensor]
SIZE_STEP = 32  # feature maps halve the sides five times; torchvision pads to this too
LEAST_SIDE = 32
N_FOUND = 3  # boxes, labels, scores lead the output
SEED = 0  # of the samples that a validation loss draws, so that it says the same twice


class Scaling(nn.Module):
    """Normalises pictures; the first module of a detector, so that a loader may do it instead.

    Args:
        stats: Mean and standard deviation per channel, on the [0, 1] scale.

    Attributes:
        mean, std: Buffers `(1, c, 1, 1)`, saved with the weights.
        normalise: False while a loader has been lent the statistics and delivers normalised pictures.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, stats: Stats) -> None:
        super().__init__()
        self.normalise = True
        for name, values in zip(("mean", "std"), stats, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures, from uint8 or from floats in [0, 1]."""
        if x.dtype == torch.uint8:
            x = x.to(self.mean.dtype).div(255)
        return (x - self.mean) / self.std if self.normalise else x


@dataclass(frozen=True, slots=True)
class Frame:
    """The picture as the network sees it, and the anchors of each level of its feature maps."""

    size: tuple[int, int]
    counts: tuple[int, ...]

    def tensor(self, n: int) -> Tensor:
        """One row per picture, so that outputs can be taken apart picture by picture; on the CPU, so that
        reading it makes no GPU wait."""
        return torch.tensor([[*self.size, *self.counts]]).expand(n, -1)

    @classmethod
    def of(cls, tensor: Tensor) -> Frame:
        """Back from `tensor`."""
        height, width, *counts = cast("list[int]", tensor[0].tolist())
        return cls((height, width), tuple(counts))


class Detector(nn.Module, ABC):
    """A detector of torchvision's, for pictures of one size per batch.

    Args:
        network: torchvision's detector; its own transform is not used.
        stats: Mean and standard deviation per channel.
        numbering: How labels count.
        max_boxes: Most boxes per picture.
        pretrained: Whether it carries pretrained weights.
        config: What rebuilds it, as JSON types; None if that is not known.
    """

    def __init__(
        self,
        network: nn.Module,
        stats: Stats,
        numbering: Numbering,
        max_boxes: int,
        pretrained: bool = False,
        config: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.scaling = Scaling(stats)
        self.network = network
        self.numbering, self.max_boxes = numbering, max_boxes
        self.pretrained, self.config = pretrained, config
        # SSD has default boxes for one size only and resizes to it; the others take pictures as they come.
        fixed: Any = cast("Any", network).transform.fixed_size
        self.fixed_size: tuple[int, int] | None = None if fixed is None else (int(fixed[1]), int(fixed[0]))

    def forward(self, images: Tensor) -> Outputs:
        """What is in the pictures.

        Args:
            images: `(n, c, h, w)`: uint8, or floats in [0, 1].

        Returns:
            Boxes `(n, max_boxes, 4)` in [-1, 1], labels and scores `(n, max_boxes)` (none of them in training
            mode: `(n, 0, 4)`, `(n, 0)`, `(n, 0)`), then the raw outputs for `losses`.

        Raises:
            ModelError: The pictures are too small, or of another number of channels.
        """
        raw, _ = self.raw(images)
        return (*self._empty(raw[0]), *raw) if self.training else (*self.found(raw), *raw)

    def raw(self, images: Tensor) -> tuple[Outputs, Frame]:
        """The raw outputs alone, see `forward`; and the frame among them, as numbers."""
        self._check(images)
        x = self.scaling(images)
        if self.fixed_size is not None and x.shape[2:] != self.fixed_size:
            x = F.interpolate(x, self.fixed_size, mode="bilinear", align_corners=False)
        size = int(x.shape[2]), int(x.shape[3])
        return self._run(_padded(x) if self.fixed_size is None else x, size)

    def losses(self, outputs: Outputs, boxes: Tensor, labels: Tensor) -> Losses:
        """torchvision's losses of this detector, by their names there.

        Args:
            outputs: What `forward` returned.
            boxes: `(n, k, 4)` in [-1, 1].
            labels: `(n, k)`.
        """
        raw = outputs[N_FOUND:]
        with torch.autocast(boxes.device.type, enabled=False):
            return self._losses(raw, as_targets(boxes, labels, self._frame(raw).size, self.numbering))

    def found(self, raw: Outputs) -> Found:
        """What raw outputs mean: boxes `(n, max_boxes, 4)` in [-1, 1], labels, scores, best first."""
        with torch.no_grad():
            pictures = self._decode(raw)
        return as_rows(pictures, self._frame(raw).size, self.max_boxes, self.numbering)

    @abstractmethod
    def _run(self, x: Tensor, size: tuple[int, int]) -> tuple[Outputs, Frame]:
        """Raw outputs of normalised pictures, padded, of which `size` is picture."""

    @abstractmethod
    def _losses(self, raw: Outputs, targets: list[dict[str, Tensor]]) -> Losses:
        """See `losses`."""

    @abstractmethod
    def _decode(self, raw: Outputs) -> list[dict[str, Tensor]]:
        """torchvision's detections."""

    @abstractmethod
    def _frame(self, raw: Outputs) -> Frame:
        """The frame among raw outputs."""

    def _empty(self, like: Tensor) -> Found:
        n = len(like)
        none = like.new_zeros((n, 0))
        return like.new_zeros((n, 0, 4)), none.long(), none

    def _check(self, images: Tensor) -> None:
        n_in = self.scaling.mean.shape[1]
        if images.shape[1] != n_in:
            raise ModelError(
                f"this detector was made for images of {n_in} channels",
                f"got {images.shape[1]} channels",
                f"Load images of {n_in} channels, or make it with n_in={images.shape[1]}.",
            )
        if min(images.shape[2:]) < LEAST_SIDE:
            raise ModelError(
                f"images to find things in must be at least {LEAST_SIDE} pixels high and wide",
                f"got {images.shape[2]}×{images.shape[3]}",
                "Resize them to more, e.g. item_tfms=Resize(224).",
            )


class DenseDetector(Detector):
    """FCOS, RetinaNet and SSD: one answer for every anchor of every feature map.

    Its raw outputs are class scores `(n, a, c)`, box offsets `(n, a, 4)`, FCOS's centre scores `(n, a, 1)`,
    the anchors `(n, a, 4)` in pixels, and the frame.
    """

    def _run(self, x: Tensor, size: tuple[int, int]) -> tuple[Outputs, Frame]:
        network: Any = self.network
        features = list(_maps(network.backbone(x)).values())
        heads = network.head(features)
        anchors, frame = _anchors(network.anchor_generator, x, size, features)
        parts = [heads[name] for name in self._names]
        return (*parts, anchors.expand(len(x), -1, -1), frame.tensor(len(x))), frame

    @property
    def _names(self) -> tuple[str, ...]:
        with_centres = type(self.network).__name__ == "FCOS"
        return ("cls_logits", "bbox_regression", *(["bbox_ctrness"] if with_centres else []))

    def _frame(self, raw: Outputs) -> Frame:
        return Frame.of(raw[-1])

    def heads(self, raw: Outputs) -> dict[str, Tensor]:
        """Scores and offsets among raw outputs, by torchvision's names."""
        return {name: part.float() for name, part in zip(self._names, raw, strict=False)}

    def _losses(self, raw: Outputs, targets: list[dict[str, Tensor]]) -> Losses:
        network: Any = self.network
        heads, anchors, frame = self.heads(raw), list(raw[-2]), Frame.of(raw[-1])
        kind = type(network).__name__
        if kind == "FCOS":
            return network.compute_loss(targets, heads, anchors, list(frame.counts))
        if kind == "SSD":
            return network.compute_loss(targets, heads, anchors, _matched(network, anchors, targets))
        return network.compute_loss(targets, heads, anchors)

    def _decode(self, raw: Outputs) -> list[dict[str, Tensor]]:
        network: Any = self.network
        heads, anchors, frame = self.heads(raw), raw[-2], Frame.of(raw[-1])
        sizes = [frame.size] * len(anchors)
        if type(network).__name__ == "SSD":
            return network.postprocess_detections(heads, list(anchors), sizes)
        # These two have a score for the background as well, which training only ever pushes down.
        heads["cls_logits"] = heads["cls_logits"].index_fill(
            -1, torch.zeros(1, dtype=torch.int64, device=anchors.device), -torch.inf
        )
        counts = list(frame.counts)
        levels = {name: list(part.split(counts, dim=1)) for name, part in heads.items()}
        return network.postprocess_detections(levels, [list(a.split(counts)) for a in anchors], sizes)


class TwoStageDetector(Detector):
    """Faster R-CNN: proposals first, then a second look at each of them.

    In training the second stage needs the targets, to draw the proposals it learns from: it runs within
    `losses`. Its raw outputs are the first stage's scores `(n, a)`, offsets `(n, a, 4)`, the anchors
    `(n, a, 4)`, the frame, and the feature maps.
    """

    def _run(self, x: Tensor, size: tuple[int, int]) -> tuple[Outputs, Frame]:
        network: Any = self.network
        maps = _maps(network.backbone(x))
        features = list(maps.values())
        scores, offsets = network.rpn.head(features)
        scores, offsets = concat_box_prediction_layers(scores, offsets)
        anchors, frame = _anchors(network.rpn.anchor_generator, x, size, features)
        n = len(x)
        pooled = [map_ for name, map_ in maps.items() if name in self._pooled]
        boxes = scores.reshape(n, -1), offsets.reshape(n, -1, 4), anchors.expand(n, -1, -1)
        return (*boxes, frame.tensor(n), *pooled), frame

    @property
    def _pooled(self) -> Sequence[str]:
        """Names of the feature maps that the second stage looks at."""
        return cast("Any", self.network).roi_heads.box_roi_pool.featmap_names

    def _frame(self, raw: Outputs) -> Frame:
        return Frame.of(raw[3])

    def _proposals(self, raw: Outputs) -> list[Tensor]:
        network: Any = self.network
        scores, offsets, anchors = (part.detach().float() for part in raw[:3])
        frame, n = Frame.of(raw[3]), len(scores)
        decoded = network.rpn.box_coder.decode(offsets.reshape(-1, 4), list(anchors)).view(n, -1, 4)
        return network.rpn.filter_proposals(decoded, scores, [frame.size] * n, list(frame.counts))[0]

    def _second_stage(self, raw: Outputs, proposals: list[Tensor]) -> tuple[Tensor, Tensor]:
        heads: Any = cast("Any", self.network).roi_heads
        maps = OrderedDict(zip(self._pooled, raw[4:], strict=False))
        regions = heads.box_roi_pool(maps, proposals, [Frame.of(raw[3]).size] * len(proposals))
        return heads.box_predictor(heads.box_head(regions))

    def _losses(self, raw: Outputs, targets: list[dict[str, Tensor]]) -> Losses:
        if self.training:
            return self._sampled_losses(raw, targets)
        device = raw[0].device
        devices = [device] if device.type == "cuda" else []
        with torch.no_grad(), torch.random.fork_rng(devices):
            torch.manual_seed(SEED)
            return self._sampled_losses(raw, targets)

    def _sampled_losses(self, raw: Outputs, targets: list[dict[str, Tensor]]) -> Losses:
        network: Any = self.network
        scores, offsets, anchors = raw[0].float(), raw[1].float(), list(raw[2])
        proposals = self._proposals(raw)
        labels, matched = network.rpn.assign_targets_to_anchors(anchors, targets)
        wanted = network.rpn.box_coder.encode(matched, anchors)
        objectness, rpn_boxes = network.rpn.compute_loss(
            scores.reshape(-1, 1), offsets.reshape(-1, 4), labels, wanted
        )
        chosen, _, names, wanted = network.roi_heads.select_training_samples(proposals, targets)
        logits, regression = self._second_stage(raw, chosen)
        classes, boxes = fastrcnn_loss(logits.float(), regression.float(), names, wanted)
        return {
            "loss_classifier": classes,
            "loss_box_reg": boxes,
            "loss_objectness": objectness,
            "loss_rpn_box_reg": rpn_boxes,
        }

    def _decode(self, raw: Outputs) -> list[dict[str, Tensor]]:
        proposals = self._proposals(raw)
        logits, regression = self._second_stage(raw, proposals)
        sizes = [Frame.of(raw[3]).size] * len(proposals)
        found = cast("Any", self.network).roi_heads.postprocess_detections(
            logits.float(), regression.float(), proposals, sizes
        )
        return [
            {"boxes": boxes, "scores": scores, "labels": labels}
            for boxes, scores, labels in zip(*found, strict=True)
        ]


def _padded(x: Tensor) -> Tensor:
    """With zeros (the mean colour) at the right and below, up to a multiple of 32."""
    height, width = x.shape[2:]
    more = -width % SIZE_STEP, -height % SIZE_STEP
    return F.pad(x, (0, more[0], 0, more[1])) if any(more) else x


def _maps(features: Any) -> OrderedDict[str, Tensor]:
    return OrderedDict([("0", features)]) if isinstance(features, Tensor) else features


def _anchors(
    generator: Any, x: Tensor, size: tuple[int, int], features: list[Tensor]
) -> tuple[Tensor, Frame]:
    """Anchors `(1, a, 4)`, the same for all pictures, and how many of them each feature map has."""
    # Only their shapes count, and in float32: rounded to bfloat16, anchors would be off by several pixels.
    shapes = [torch.empty((1, 1, *map_.shape[2:]), device=x.device) for map_ in features]
    anchors = generator(ImageList(x, [size]), shapes)[0]
    cells = (map_.shape[2] * map_.shape[3] for map_ in features)
    counts = [n * k for n, k in zip(cells, generator.num_anchors_per_location(), strict=True)]
    return anchors[None], Frame(size, tuple(counts))


def _matched(network: Any, anchors: list[Tensor], targets: list[dict[str, Tensor]]) -> list[Tensor]:
    """For every anchor of SSD the number of its box, -1 for none."""
    found: list[Tensor] = []
    for own, target in zip(anchors, targets, strict=True):
        if len(target["boxes"]):
            found.append(network.proposal_matcher(box_iou(target["boxes"], own)))
        else:
            found.append(torch.full((len(own),), -1, dtype=torch.int64, device=own.device))
    return found
