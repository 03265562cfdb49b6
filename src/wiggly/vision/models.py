"""Vision models: a body that normalises its input, a head for the task, and the JSON that makes both again.

In: an architecture and the number of outputs. Out: `VisionModel`, a sequence of body and head, which takes
images `(n, c, h, w)` in [0, 1] and gives `(n, n_out)`. Neither data nor training code is imported, so a
predictor can use it. Read next: `bodies.py` and `heads.py`, the parts; `learner.py`, which trains it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, cast

from torch import Tensor, nn

from wiggly.errors import ModelError
from wiggly.vision.bodies import Body, make_body, rebuild_body, spec_config
from wiggly.vision.decoder import Unet, build_unet, unet_config
from wiggly.vision.heads import (
    AdaptiveConcatPool2d,
    HeadSpec,
    SigmoidRange,
    create_head,
    head_of,
    init_head,
)
from wiggly.vision.weights import fit_stats

__all__ = [
    "AdaptiveConcatPool2d",
    "Body",
    "SigmoidRange",
    "VisionModel",
    "body_groups",
    "build_model",
    "create_body",
    "create_head",
    "model_config",
    "vision_model",
]

# Where torchvision's bodies are divided into two parameter groups: children of the body, or of its
# `features`. fastai's users know these borders (behaviour of its `model_meta`); other bodies are one group.
BODY_BORDERS = {"ResNet": 6, "AlexNet": 6, "SqueezeNet": 5, "DenseNet": 7, "VGG": 22}


class VisionModel(nn.Sequential):
    """Body and head, as `model[0]` and `model[1]`.

    Args:
        body: Images to features.
        head: Features to outputs.
        head_spec: What rebuilds the head; None for a head of the user's own.
        pretrained: Whether the body carries pretrained weights.
    """

    def __init__(
        self, body: Body, head: nn.Module, head_spec: HeadSpec | None = None, pretrained: bool = False
    ) -> None:
        super().__init__(body, head)
        self.head_spec, self.pretrained = head_spec, pretrained

    @property
    def body(self) -> Body:
        """The first part."""
        return cast(Body, self[0])

    @property
    def head(self) -> nn.Module:
        """The second part."""
        return self[1]


def create_body(
    arch: Any, n_in: int = 3, pretrained: bool = True, cut: Any = None, weights: Any = None
) -> Body:
    """Make a body alone: a network without its classifier, to put a head of one's own on.

    Args:
        arch: As for `vision_model`, and so are `n_in`, `pretrained`, `cut` and `weights`.

    Returns:
        A module that turns images `(n, n_in, h, w)` in [0, 1] into features `(n, n_features, h', w')`; it
        normalises them itself. `body.n_features` says how many come out.

    Raises:
        ModelError: The architecture or its weights cannot be found.

    Example:
        >>> import torch
        >>> body = create_body("test_resnet", pretrained=False)
        >>> body(torch.rand(1, 3, 64, 64)).shape[1] == body.n_features
        True
    """
    return make_body(arch, n_in, pretrained, weights, cut=cut)[0]


def vision_model(
    arch: Any,
    n_out: int,
    *,
    n_in: int = 3,
    pretrained: bool = True,
    weights: Any = None,
    arch_args: Mapping[str, Any] | None = None,
    cut: int | Callable[[nn.Module], nn.Module] | None = None,
    normalize: bool = True,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
    init: Callable[[Tensor], Any] = nn.init.kaiming_normal_,
    custom_head: nn.Module | None = None,
    concat_pool: bool = True,
    pool: bool = True,
    lin_ftrs: Sequence[int] | None = None,
    ps: float | Sequence[float] = 0.5,
    first_bn: bool = True,
    bn_final: bool = False,
    lin_first: bool = False,
    y_range: tuple[float, float] | None = None,
) -> VisionModel:
    """Make a body and a head for it.

    Args:
        arch: A timm name ("convnext_tiny", with or without tag), a torchvision constructor (`resnet34`) or
            name, a module, or a callable that returns one. One's own module is used whole when it gives a
            feature map, else up to its last child that pools; its weights are kept as they are.
        n_out: Number of outputs.
        n_in: Channels of the images. Other than 3, the first layer is fitted to them.
        pretrained: Take the published weights: from the local cache if they are there, else by download.
        weights: Weights to take instead: a .safetensors file in the naming of the library, with or without
            the classifier, in any floating-point precision; or one of torchvision's weights. An entry for the
            file in a `models.json` beside it (`{"FILE": {"kwargs": {...}, "mean": [...], "std": [...]}}`)
            gives `arch_args` and `stats` that are not given here.
        arch_args: More arguments of the architecture, e.g. `{"img_size": 128}`.
        cut: Children of the network to keep (an integer), or a function from the network to the part to keep.
        normalize: Normalise with the statistics the network was trained with (of its configuration;
            ImageNet's for torchvision; none for a module of one's own); also without pretrained weights,
            since they centre the input.
        stats: Mean and standard deviation per channel to use instead, on the [0, 1] scale.
        image_size: Height and width of the images, so that a network that cannot take them says so now.
        init: Fills a weight of the head in place.
        custom_head: A head of one's own instead; it is left as it is.
        concat_pool: See `create_head`, as for the arguments that follow; not for bodies that pool themselves
            (`vit`).
        pool: False has a timm body pool by itself and give a vector.
        lin_ftrs: See `create_head`.
        ps: See `create_head`.
        first_bn: See `create_head`.
        bn_final: See `create_head`.
        lin_first: See `create_head`.
        y_range: See `create_head`.

    Returns:
        The model.

    Raises:
        ModelError: The architecture or its weights cannot be found, do not fit, or cannot take the images.
        ArgumentError: An argument is out of range.

    Example:
        >>> import torch
        >>> model = vision_model("test_resnet", 10, pretrained=False)
        >>> model(torch.rand(2, 3, 64, 64)).shape
        torch.Size([2, 10])
    """
    body, loaded = make_body(
        arch, n_in, pretrained, weights, arch_args, cut, pool, normalize, stats, image_size
    )
    if custom_head is not None:
        return VisionModel(body, custom_head, None, loaded)
    if not pool and not body.pooled:
        raise ModelError(
            "`pool=False` needs a body that pools by itself",
            f"`{body.traits.label}` gives a feature map",
            "Leave pool=True, or pass a `custom_head` that takes the map",
        )
    spec = HeadSpec(
        body.n_features,
        n_out,
        lin_ftrs,
        ps,
        not body.pooled,
        concat_pool,
        first_bn,
        bn_final,
        lin_first,
        y_range,
    )
    head = head_of(spec)
    init_head(head, init)
    return VisionModel(body, head, spec, loaded)


def model_config(model: nn.Module) -> dict[str, Any] | None:
    """Describe a model so that `build_model` makes it again; JSON types only.

    Args:
        model: What `vision_model` or `unet_model` returned.

    Returns:
        `{"body": ..., "head": ..., "mean": [...], "std": [...]}` (for a U-Net `"decoder"` instead of
        `"head"`), or None when a part is the user's own code.

    Example:
        >>> config = model_config(vision_model("test_resnet", 10, pretrained=False))
        >>> config["body"]["arch"], config["head"]["n_out"]
        ('test_resnet', 10)
    """
    if isinstance(model, Unet):
        return unet_config(model)
    if not isinstance(model, VisionModel) or model.head_spec is None or model.body.spec is None:
        return None
    head = asdict(model.head_spec)
    listed = {
        name: list(value) if isinstance(value, (tuple, list)) else value for name, value in head.items()
    }
    mean, std = model.body.stats
    return {"body": spec_config(model.body.spec), "head": listed, "mean": mean, "std": std}


def build_model(config: Mapping[str, Any]) -> VisionModel | Unet:
    """Make a model again from its description, with random weights, ready for `load_state_dict`.

    Args:
        config: What `model_config` returned.

    Raises:
        ModelError: The installed timm or torchvision does not know the architecture, or the description is
            damaged.

    Example:
        >>> model = vision_model("test_resnet", 10, pretrained=False)
        >>> again = build_model(model_config(model))
        >>> again.load_state_dict(model.state_dict())
        <All keys matched successfully>
    """
    try:
        if "decoder" in config:
            return build_unet(config)
        head = HeadSpec(**config["head"])
        stats = fit_stats((config["mean"], config["std"]), int(config["body"]["n_in"]))
        return VisionModel(rebuild_body(config["body"], stats), head_of(head), head)
    except (KeyError, TypeError, RuntimeError) as error:
        raise ModelError(
            "a model's description must be one that the installed timm and torchvision can follow",
            f"it fails with {type(error).__name__}: {error}",
            "Install the versions it was made with, or export the model again",
        ) from error


def body_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Divide a vision model into parameter groups, the first to be frozen first.

    Args:
        model: What `vision_model` returned.

    Returns:
        Three groups for torchvision's resnet, alexnet, squeezenet, densenet and vgg (lower body, upper body,
        head), two for all others (body, head).

    Raises:
        ModelError: It is no `VisionModel`.

    Example:
        >>> body, head = body_groups(vision_model("test_resnet", 10, pretrained=False))
        >>> len(head)
        6
    """
    if not isinstance(model, VisionModel):
        raise ModelError(
            "the default splitter needs a model made by `vision_model`",
            f"got a {type(model).__name__}",
            "Pass `splitter=`",
        )
    parts = [*_body_parts(model.body), model.head]
    return [list(part.parameters()) for part in parts]


def _body_parts(body: Body) -> list[nn.Module]:
    border = BODY_BORDERS.get(body.traits.family)
    layers = body.model.features if border is not None and hasattr(body.model, "features") else body.model
    if border is None or not isinstance(layers, nn.Sequential) or len(layers) < 2:
        return [body]
    border = border if border < len(layers) else len(layers) // 2
    return [layers[:border], layers[border:]]
