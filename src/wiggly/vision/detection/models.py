"""Detection models: a detector of torchvision's with our classes, and the JSON that makes it again.

In: a detector's name, or a family and the name of a body. Out: a `Detector`. Neither data nor training code
is imported, so a predictor can use it. Read next: `detector.py`, what it does; `learner.py`, which trains it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.vision.bodies import spec_config
from wiggly.vision.cutting import adapt_first_conv
from wiggly.vision.detection.boxes import Numbering
from wiggly.vision.detection.detector import DenseDetector, Detector, TwoStageDetector
from wiggly.vision.detection.networks import (
    FAMILIES,
    family_of,
    find_detector,
    freeze_norms,
    load_detector,
    network_on,
    tensors_of,
    whole_network,
)
from wiggly.vision.origin import origin_of
from wiggly.vision.pyramid import make_pyramid, rebuild_pyramid
from wiggly.vision.weights import Stats, fit_stats, read_sidecar

__all__ = ["DetectorSpec", "build_detector", "detector_groups", "detector_model"]

DEFAULT_ARCH = "fasterrcnn_mobilenet_v3_large_fpn"
# Below this a box is not even counted by the metrics: torchvision's own bound for Faster R-CNN and RetinaNet.
LEAST_SCORE = 0.05


@dataclass(frozen=True, slots=True)
class DetectorSpec:
    """What rebuilds a detector on its body; JSON types only.

    Attributes:
        family: "fcos", "retinanet", "fasterrcnn", "ssd" or "ssdlite320".
        n_classes: Classes and the background.
        first: Number of the first class, see `Numbering`.
        padding: Label of the padding.
        max_boxes: Most boxes per picture.
        iou_threshold: Of two boxes of a class that overlap by more, the better one is kept.
        fixed_norms: Whether the backbone's batch norms are fixed.
    """

    family: str
    n_classes: int
    first: int
    padding: int
    max_boxes: int
    iou_threshold: float
    fixed_norms: bool


def detector_model(
    arch: Any,
    n_classes: int,
    *,
    body: Any = None,
    n_in: int = 3,
    pretrained: bool = True,
    weights: Any = None,
    arch_args: Mapping[str, Any] | None = None,
    normalize: bool = True,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
    numbering: Numbering | None = None,
    max_boxes: int = 100,
    iou_threshold: float | None = None,
) -> Detector:
    """Make a detector.

    Args:
        arch: A detector of torchvision by name or constructor; None takes the default of `detection_learner`.
            With `body` its family: "fcos", "retinanet" or "fasterrcnn".
        n_classes: Classes, without the background.
        body: A timm network for below; see `vision_model` for what else is accepted.
        n_in: Channels of the images.
        pretrained: Take the published weights: of the detector (trained on COCO), or of the body.
        weights: Weights to take instead, a .safetensors file: of the detector, or of the body.
        arch_args: More arguments of the body.
        normalize: Normalise with the statistics of the weights.
        stats: Mean and standard deviation per channel to use instead.
        image_size: Height and width of the images, so that a body that cannot take them says so now.
        numbering: How labels count; None for classes from 1.
        max_boxes: Most boxes per picture.
        iou_threshold: Of two boxes of one class that overlap by more (intersection over union), the better
            one is kept; None takes the detector's own.

    Raises:
        ModelError: The detector, the body or the weights cannot be found or do not fit.
        ArgumentError: A number is out of range.

    Example:
        >>> import torch
        >>> model = detector_model("fcos", 2, body="test_resnet", pretrained=False).eval()
        >>> boxes, labels, scores, *raw = model(torch.rand(1, 3, 64, 64))
        >>> boxes.shape, labels.shape
        (torch.Size([1, 100, 4]), torch.Size([1, 100]))
    """
    _check_numbers(n_classes, max_boxes, iou_threshold)
    name = _name(arch, body)
    if body is None:
        network, own, fixed, loaded = _whole(name, n_classes + 1, n_in, pretrained, weights)
        origin = origin_of(network, weights) if loaded else None
        place: dict[str, Any] | None = {**_place(name, n_in), "origin": origin}
    else:
        pyramid, loaded = make_pyramid(
            body, n_in, pretrained, weights, arch_args, normalize, stats, image_size
        )
        network, own, fixed = network_on(pyramid, family_of(name), n_classes + 1), _stats_of(pyramid), False
        place = None if pyramid.spec is None else spec_config(pyramid.spec)
    kept = iou_threshold if iou_threshold is not None else float(_decider(network).nms_thresh)
    numbering = numbering or Numbering()
    spec = DetectorSpec(
        family_of(name), n_classes + 1, numbering.first, numbering.padding, max_boxes, kept, fixed
    )
    chosen = fit_stats(stats or (own if normalize else ((0.0,), (1.0,))), n_in)
    return _wrapped(network, spec, chosen, place, loaded)


def build_detector(config: Mapping[str, Any]) -> Detector:
    """Make a detector again from its description, with random weights, ready for `load_state_dict`.

    Args:
        config: The attribute `config` of a detector.

    Raises:
        ModelError: The installed timm or torchvision does not know the architecture, or the description is
            damaged.

    Example:
        >>> model = detector_model("fcos", 2, body="test_resnet", pretrained=False)
        >>> build_detector(model.config).load_state_dict(model.state_dict())
        <All keys matched successfully>
    """
    try:
        spec, place = DetectorSpec(**config["detector"]), dict(config["body"])
        stats = fit_stats((config["mean"], config["std"]), int(place["n_in"]))
        if place["library"] == "torchvision":
            name = str(place["arch"])
            network = whole_network(name, spec.n_classes)
            adapt_first_conv(cast("Any", network).backbone, int(place["n_in"]), pretrained=False)
            if spec.fixed_norms:
                freeze_norms(network, name)
        else:
            network = network_on(rebuild_pyramid(place, stats), spec.family, spec.n_classes)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise ModelError(
            "a detector's description must be one that the installed timm and torchvision can follow",
            f"it fails with {type(error).__name__}: {error}",
            "Install the versions it was made with, or export the model again.",
        ) from error
    return _wrapped(network, spec, stats, place, False)


def detector_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Divide a detector into two parameter groups: the body, and what is above it.

    Raises:
        ModelError: It is no `Detector`.

    Example:
        >>> body, top = detector_groups(detector_model("fcos", 2, body="test_resnet", pretrained=False))
        >>> len(body) > 0, len(top) > 0
        (True, True)
    """
    if not isinstance(model, Detector):
        raise ModelError(
            "the default splitter needs a detector",
            f"got a {type(model).__name__}",
            "Pass `splitter=`.",
        )
    backbone: nn.Module = cast("Any", model.network).backbone
    body: nn.Module = getattr(backbone, "body", backbone)
    below = list(body.parameters())
    inside = set(below)
    return [below, [parameter for parameter in model.parameters() if parameter not in inside]]


def _name(arch: Any, body: Any) -> str:
    if arch is None:
        return DEFAULT_ARCH if body is None else FAMILIES[0]
    return find_detector(arch)


def _check_numbers(n_classes: int, max_boxes: int, iou_threshold: float | None) -> None:
    if n_classes < 1:
        raise ArgumentError("a detector needs at least 1 class", f"got {n_classes}", "Pass the number.")
    if max_boxes < 1:
        raise ArgumentError("`max_boxes` must be at least 1", f"it is {max_boxes}", "Pass e.g. 100.")
    if iou_threshold is not None and not 0 < iou_threshold <= 1:
        raise ArgumentError(
            "`iou_threshold` must be above 0 and at most 1", f"it is {iou_threshold}", "Pass e.g. 0.5."
        )


def _whole(
    name: str, n_classes: int, n_in: int, pretrained: bool, weights: Any
) -> tuple[nn.Module, Stats, bool, bool]:
    """torchvision's detector, its statistics, whether its norms are fixed and its weights pretrained."""
    network, fixed = whole_network(name, n_classes), False
    found = tensors_of(name, pretrained, weights)
    if found is not None:
        fixed = load_detector(network, name, *found)
    adapt_first_conv(cast("Any", network).backbone, n_in, found is not None)
    transform: Any = cast("Any", network).transform
    stats: Stats = (tuple(transform.image_mean), tuple(transform.image_std))
    if isinstance(weights, (str, Path)):
        stats = read_sidecar(Path(weights)).stats or stats
    return network, stats, fixed, found is not None


def _place(name: str, n_in: int) -> dict[str, Any]:
    return {"library": "torchvision", "arch": name, "arch_args": {}, "n_in": n_in}


def _stats_of(pyramid: Any) -> Stats:
    mean, std = (tuple(cast("list[float]", part.flatten().tolist())) for part in (pyramid.mean, pyramid.std))
    return mean, std


def _decider(network: nn.Module) -> Any:
    """The part that holds the thresholds of what is found."""
    return getattr(network, "roi_heads", network)


def _wrapped(
    network: nn.Module, spec: DetectorSpec, stats: Stats, place: dict[str, Any] | None, loaded: bool
) -> Detector:
    decider = _decider(network)
    decider.score_thresh = LEAST_SCORE
    decider.nms_thresh, decider.detections_per_img = spec.iou_threshold, spec.max_boxes
    config: dict[str, Any] | None = None
    if place is not None:
        config = {"body": place, "detector": asdict(spec), "mean": list(stats[0]), "std": list(stats[1])}
    kind = TwoStageDetector if spec.family == "fasterrcnn" else DenseDetector
    return kind(network, stats, Numbering(spec.first, spec.padding), spec.max_boxes, loaded, config)
