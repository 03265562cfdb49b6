"""torchvision's detectors, whole or on a body of one's own, with weights from a file or from the publisher.

In: the name of a detector, or of its family and a pyramid. Out: torchvision's module with a head for our
classes. What depends on the classes is left new where the weights were made for others; all else must fit.
Read next: `models.py`, which wraps it.
"""

from __future__ import annotations

import difflib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
import torchvision.models
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.fcos import FCOSHead
from torchvision.models.detection.retinanet import RetinaNetHead
from torchvision.ops import FeaturePyramidNetwork, FrozenBatchNorm2d, MultiScaleRoIAlign
from torchvision.ops.feature_pyramid_network import LastLevelMaxPool

from wiggly.errors import ArgumentError, ModelError
from wiggly.vision.networks import find_source
from wiggly.vision.pyramid import Pyramid, Tap, maps_of
from wiggly.vision.weights import no_weights_error, read_weights, require_download, shape_error

__all__ = [
    "FAMILIES",
    "PyramidBackbone",
    "family_of",
    "find_detector",
    "freeze_norms",
    "load_detector",
    "network_on",
    "published_tensors",
    "tensors_of",
    "whole_network",
]

FAMILIES = ("fcos", "retinanet", "fasterrcnn")  # those that a pyramid of one's own can carry
DETECTORS = (*FAMILIES, "ssd", "ssdlite320")

# Levels of a pyramid (maps of 1/8, 1/16, 1/32 of the sides) that detectors look at; one more follows by
# pooling. Lin et al., arXiv:1612.03144, and Tian et al., arXiv:1904.01355.
LEVELS = (3, 4, 5)
STRIDES = (8, 16, 32, 64)
CHANNELS = 128  # of our pyramids; torchvision's 256 cost four times as much, more than a small body itself
# RetinaNet's anchors are four strides wide, in three sizes and three shapes: Lin et al., arXiv:1708.02002.
ANCHOR_STRIDES, OCTAVES, RATIOS = 4, (0, 1 / 3, 2 / 3), (0.5, 1.0, 2.0)
HEAD_CONVS = 2
# FCOS predicts the way to each side of a box through a ReLU, in strides. From torchvision's start at 0 a rate
# that is a little high leaves one of the sides at 0 for good; from here every box starts three strides wide.
FIRST_REACH = 1.5
# torchvision keeps boxes of one class that overlap by up to 0.6; 0.5 showed fewer doubles at the same AP.
FCOS_OVERLAP = 0.5

# Parts whose shape follows the number of classes.
CLASS_PARTS = (
    "roi_heads.box_predictor.",
    "head.classification_head.cls_logits.",
    "head.classification_head.module_list.",
)
# torchvision computes with these weights without the usual 1e-5, as they were trained (`overwrite_eps`).
NO_EPS = ("fasterrcnn_resnet50_fpn", "retinanet_resnet50_fpn")


def find_detector(arch: Any) -> str:
    """The name of a detector of torchvision.

    Args:
        arch: Its name or its constructor; on a body of one's own also a family: "fcos", "retinanet",
            "fasterrcnn".

    Raises:
        ModelError: torchvision has no such detector of boxes.

    Example:
        >>> find_detector(detection.fcos_resnet50_fpn)
        'fcos_resnet50_fpn'
    """
    known = [
        name
        for name in torchvision.models.list_models(module=detection)
        if name.split("_")[0].startswith(DETECTORS)
    ]
    name = arch if isinstance(arch, str) else str(getattr(arch, "__name__", type(arch).__name__))
    if name in known or name in FAMILIES:
        return name
    near = difflib.get_close_matches(name, known, 3, 0.3) or known
    below = f'A network of images goes below one of them: "{FAMILIES[0]}", body="{name}".'
    if not _is_body(arch):
        below = f'With a body of your own: "{FAMILIES[0]}", body="resnet18".'
    raise ModelError(
        "`arch` must be one of torchvision's detectors of boxes, by its name or constructor",
        f"'{name}' is not one",
        f"Nearest: {', '.join(near)}. {below}",
    )


def _is_body(arch: Any) -> bool:
    """Whether it is the name of a network of images."""
    try:
        return isinstance(arch, str) and find_source(arch).library != "own"
    except ModelError:
        return False


def family_of(name: str) -> str:
    """ "fcos_resnet50_fpn" is of the family "fcos"."""
    return name.split("_")[0]


def whole_network(name: str, n_classes: int) -> nn.Module:
    """torchvision's detector with random weights.

    Args:
        name: Its name.
        n_classes: Classes and the background.
    """
    if name in FAMILIES:
        raise ArgumentError(
            "a family of detectors needs the name of a body",
            f"got arch={name!r} without `body`",
            f'Pass body="resnet18", say, or a whole detector: {name}_resnet50_fpn.',
        )
    return torchvision.models.get_model(name, weights=None, weights_backbone=None, num_classes=n_classes)


# ---- on a body of one's own ----


class PyramidBackbone(nn.Module):
    """A body's maps, brought to equal channels from coarse to fine.

    Args:
        body: The network.
        taps: Where its maps are taken.
        out_channels: Channels of every map that comes out; torchvision's detectors ask for this attribute.
    """

    def __init__(self, body: nn.Module, taps: Sequence[Tap], out_channels: int = CHANNELS) -> None:
        super().__init__()
        self.body = body
        self.indices = [tap.index for tap in taps]
        channels = [tap.channels for tap in taps]
        self.fpn = FeaturePyramidNetwork(channels, out_channels, LastLevelMaxPool())
        self.out_channels = out_channels

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Maps by name, fine to coarse: "0", "1", "2", "pool"."""
        maps = maps_of(self.body, x, self.indices)
        return self.fpn(OrderedDict((str(i), map_) for i, map_ in enumerate(maps)))


def network_on(pyramid: Pyramid, family: str, n_classes: int) -> nn.Module:
    """torchvision's detector of a family on a pyramid.

    Args:
        pyramid: The body.
        family: One of `FAMILIES`.
        n_classes: Classes and the background.

    Raises:
        ModelError: The body has not the three scales that detectors need.
    """
    chosen = [tap for tap in pyramid.taps if tap.level in LEVELS]
    if len(chosen) != len(LEVELS):
        scales = ", ".join(f"1/{2**tap.level}" for tap in pyramid.taps)
        raise ModelError(
            "the body of a detector must have maps of 1/8, 1/16 and 1/32 of the image's sides",
            f"`{pyramid.traits.label}` has {scales}",
            'Pass a network that narrows step by step, e.g. body="resnet18" or "convnext_tiny".',
        )
    if family not in FAMILIES:
        raise ModelError(
            f"on a body of your own a detector must be one of {', '.join(FAMILIES)}",
            f"got '{family}'",
            f'Pass arch="{FAMILIES[0]}".',
        )
    backbone = PyramidBackbone(pyramid.model, chosen)
    make: Callable[[nn.Module, int], nn.Module] = {
        "fcos": _fcos,
        "retinanet": _retinanet,
        "fasterrcnn": _fasterrcnn,
    }[family]
    return make(backbone, n_classes)


def _fcos(backbone: nn.Module, n_classes: int) -> nn.Module:
    head = FCOSHead(cast("Any", backbone).out_channels, 1, n_classes, num_convs=HEAD_CONVS)
    nn.init.constant_(cast("Any", head.regression_head).bbox_reg.bias, FIRST_REACH)
    anchors = AnchorGenerator(tuple((stride,) for stride in STRIDES), ((1.0,),) * len(STRIDES))
    return detection.FCOS(backbone, n_classes, anchor_generator=anchors, head=head, nms_thresh=FCOS_OVERLAP)


def _retinanet(backbone: nn.Module, n_classes: int) -> nn.Module:
    sizes = tuple(tuple(int(s * ANCHOR_STRIDES * 2**octave) for octave in OCTAVES) for s in STRIDES)
    anchors = AnchorGenerator(sizes, (RATIOS,) * len(STRIDES))
    channels, per_place = cast("Any", backbone).out_channels, len(OCTAVES) * len(RATIOS)
    head = RetinaNetHead(channels, per_place, n_classes, norm_layer=partial(nn.GroupNorm, 32))
    return detection.RetinaNet(backbone, n_classes, anchor_generator=anchors, head=head)


def _fasterrcnn(backbone: nn.Module, n_classes: int) -> nn.Module:
    anchors = AnchorGenerator(
        tuple((stride * ANCHOR_STRIDES,) for stride in STRIDES), (RATIOS,) * len(STRIDES)
    )
    names = [str(i) for i in range(len(LEVELS))]
    pool = MultiScaleRoIAlign(names, output_size=7, sampling_ratio=2)
    return detection.FasterRCNN(backbone, n_classes, rpn_anchor_generator=anchors, box_roi_pool=pool)


# ---- weights ----


def published_tensors(name: str, entry: Any = None) -> dict[str, Tensor]:
    """Weights that torchvision publishes for a detector, trained on COCO: from the local cache if they are
    there, else by download.

    Args:
        name: The detector.
        entry: One of torchvision's weights; None takes the default ones.

    Raises:
        ModelError: They cannot be had; the message says how to go on without a network.
    """
    known = cast("Any", torchvision.models.get_model_weights(name))
    chosen = known.DEFAULT if entry is None else known.verify(entry)
    url = str(chosen.url)
    if not (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]).is_file():
        require_download(url, name)
    try:
        return dict(chosen.get_state_dict(progress=True, check_hash=True))
    except OSError as error:
        raise no_weights_error(url, name, str(error)) from error


def tensors_of(name: str, pretrained: bool, weights: Any) -> tuple[dict[str, Tensor], str] | None:
    """The weights asked for, and what to call them in messages; None for random ones.

    Args:
        name: The detector.
        pretrained: Whether published weights are wanted.
        weights: A .safetensors file, or one of torchvision's weights, instead.
    """
    if isinstance(weights, (str, Path)):
        return read_weights(weights), str(weights)
    if weights is not None and not isinstance(weights, torchvision.models.WeightsEnum):
        raise ArgumentError(
            "`weights` must be a .safetensors file, or torchvision's own weights",
            f"got {weights!r} for '{name}'",
            'Pass weights="FILE.safetensors".',
        )
    if weights is None and not pretrained:
        return None
    return published_tensors(name, weights), f"{name} (published)"


def freeze_norms(network: nn.Module, name: str) -> None:
    """Puts batch norms with fixed statistics into the backbone, as torchvision does for pretrained ones."""
    eps = 0.0 if name in NO_EPS else 1e-5
    backbone: nn.Module = cast("Any", network).backbone
    for path, part in list(backbone.named_modules()):
        if isinstance(part, nn.BatchNorm2d):
            backbone.set_submodule(path, FrozenBatchNorm2d(part.num_features, eps))


def load_detector(network: nn.Module, name: str, tensors: Mapping[str, Tensor], source: str) -> bool:
    """Copies weights into a detector; parts made for another number of classes are left out.

    Args:
        network: The detector, changed in place.
        name: Its name.
        tensors: By torchvision's names.
        source: What messages call them.

    Returns:
        Whether the backbone's norms are fixed, as in the published weights of most detectors.

    Raises:
        ModelError: They are of another network.
    """
    fixed = not any(key.startswith("backbone.") and key.endswith("num_batches_tracked") for key in tensors)
    if fixed:
        freeze_norms(network, name)
    own = network.state_dict()
    wrong = [key for key, t in tensors.items() if key in own and own[key].shape != t.shape]
    if foreign := [key for key in wrong if not key.startswith(CLASS_PARTS)]:
        key = foreign[0]
        detail = f"first '{key}': {list(tensors[key].shape)}, not {list(own[key].shape)}"
        raise shape_error(Path(source), detail)
    result = network.load_state_dict({k: t for k, t in tensors.items() if k not in wrong}, strict=False)
    missing = [key for key in result.missing_keys if key not in wrong]
    if missing or result.unexpected_keys:
        first = missing[0] if missing else result.unexpected_keys[0]
        raise ModelError(
            "the names in `weights` must be those of the detector",
            f"'{source}' does not fit '{name}': {len(missing)} missing, {len(result.unexpected_keys)} "
            f"unexpected (first '{first}')",
            "Pass the detector these weights are of; weights of an image classifier go with `body=`.",
        )
    return fixed
