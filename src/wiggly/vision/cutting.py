"""Taking the classifier off a network, and fitting its first layer to the images.

In: a module and its `Traits`. Out: a module that gives features, and how it is called. One rule cuts all of
torchvision's classification families (before the first child called avgpool, classifier, fc, ...);
`cut_torchvision` has the exceptions. timm's networks are not taken apart: they offer
`forward_features`. Read next: `networks.py`, where the modules come from.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.vision.weights import Stats

__all__ = ["HEADS", "Cut", "Traits", "adapt_first_conv", "cut_network", "evaluating", "is_timm", "run"]

Cut = int | Callable[[nn.Module], nn.Module] | None

# Children of torchvision's networks that pool or classify.
HEADS = ("avgpool", "classifier", "fc", "head", "heads")
# Children of timm networks that work on the pooled vector (mobilenetv3, vgg, hgnet, ...). Below a head of our
# own they would be dead weight: 93 % of vgg11.
AFTER_POOLING = ("conv_head", "norm_head", "pre_logits", "head")
POOLS = (
    nn.modules.pooling._MaxPoolNd,  # pyright: ignore[reportPrivateUsage]  (the only common bases)
    nn.modules.pooling._AvgPoolNd,  # pyright: ignore[reportPrivateUsage]
    nn.modules.pooling._AdaptiveAvgPoolNd,  # pyright: ignore[reportPrivateUsage]
    nn.modules.pooling._AdaptiveMaxPoolNd,  # pyright: ignore[reportPrivateUsage]
)


@dataclass(frozen=True, slots=True)
class Traits:
    """What must be known of a network to call it.

    Attributes:
        label: Its name, for messages.
        n_in: Channels of the images.
        size: Height and width it was made for, or will see.
        made_for_size: Whether `size` is known from the network itself.
        size_argument: Name of the argument that builds it for another size; empty when it needs none.
        stats: Mean and standard deviation of the images it was trained on; None if unknown.
        by_features: Whether `forward_features` is called instead of `forward`.
        map_layout: Order of its feature map, "NCHW" or "NHWC".
        family: Class name of a torchvision network.
    """

    label: str
    n_in: int
    size: tuple[int, int] = (224, 224)
    made_for_size: bool = False
    size_argument: str = ""
    stats: Stats | None = None
    by_features: bool = False
    map_layout: str = "NCHW"
    family: str = ""


def run(module: nn.Module, traits: Traits, x: Tensor) -> Any:
    """The features of a batch in the network's own layout."""
    return cast(Any, module).forward_features(x) if traits.by_features else module(x)


@contextmanager
def evaluating(module: nn.Module) -> Generator[None]:
    """Evaluation mode without gradients; afterwards every part is in the mode it was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, training in modes:
            part.training = training


def is_timm(module: nn.Module) -> bool:
    """Whether a module is one of timm's networks, wherever it was made."""
    return hasattr(module, "forward_features") and hasattr(module, "pretrained_cfg")


# ---- fitting to the images ----


def adapt_first_conv(module: nn.Module, n_in: int, pretrained: bool) -> None:
    """Replace a first convolution over three channels by one over `n_in`; timm has done so already.

    Pretrained weights are summed for one channel, the first two times 1.5 for two, followed by zeros for more
    (timm's own networks repeat them cyclically instead, times 3 / n_in).

    Args:
        module: The network, changed in place.
        n_in: Channels of the images.
        pretrained: Whether the weights are worth keeping.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(3, 8, 3))
        >>> adapt_first_conv(net, 1, pretrained=True)
        >>> net[0].weight.shape
        torch.Size([8, 1, 3, 3])
    """
    found = next(((name, m) for name, m in module.named_modules() if isinstance(m, nn.Conv2d)), None)
    if found is None or not found[0] or found[1].in_channels != 3 or n_in == 3:
        return
    name, old = found
    old = cast(Any, old)
    shape = (old.kernel_size, old.stride, old.padding, old.dilation)
    new = nn.Conv2d(n_in, old.out_channels, *shape, bias=old.bias is not None, padding_mode=old.padding_mode)
    if pretrained:
        with torch.no_grad():
            new.weight.copy_(_channels(old.weight, n_in))
            if new.bias is not None and old.bias is not None:
                new.bias.copy_(old.bias)
    module.set_submodule(name, new)


def _channels(weight: Tensor, n_in: int) -> Tensor:
    if n_in == 1:
        return weight.sum(1, keepdim=True)
    if n_in == 2:
        return weight[:, :2] * 1.5
    return nn.functional.pad(weight, (0, 0, 0, 0, 0, n_in - 3))


# ---- cutting ----


def cut_network(module: nn.Module, traits: Traits, cut: Cut, pool: bool) -> tuple[nn.Module, Traits]:
    """Take the classifier off.

    Args:
        module: The network.
        traits: Its traits.
        cut: Children to keep (an integer, as in a slice), a function from the network to the part to keep, or
            None for the usual place.
        pool: Whether a feature map is wanted; False lets a timm network pool by itself.

    Returns:
        What is left of the network, and how to call it.
    """
    if cut is not None:
        return (_first_children(module, cut) if isinstance(cut, int) else cut(module)), traits
    if is_timm(module):
        return cut_timm(module, traits, pool)
    if type(module).__module__.startswith("torchvision.models."):
        return cut_torchvision(module), traits
    return cut_own(module, traits), traits


def cut_timm(module: nn.Module, traits: Traits, pool: bool) -> tuple[nn.Module, Traits]:
    """A timm network gives its feature map if it has one (`pool_size`), else the vector it pools itself."""
    net = cast(Any, module)
    if not pool or net.pretrained_cfg.get("pool_size") is None:
        if getattr(net, "num_classes", 0):
            net.reset_classifier(0)
        return module, traits
    if getattr(net, "head_hidden_size", net.num_features) != net.num_features:
        for name in AFTER_POOLING:
            if hasattr(module, name):
                setattr(module, name, nn.Identity())
    return module, replace(traits, by_features=True)


def cut_torchvision(module: nn.Module) -> nn.Module:
    """The children before the pooling or the classifier, under their own names."""
    kind = type(module).__name__
    if kind == "VisionTransformer":  # class token and position embedding are added in its `forward`
        cast(Any, module).heads = nn.Identity()
        return module
    kept: OrderedDict[str, nn.Module] = OrderedDict()
    for name, child in module.named_children():
        if name in HEADS:
            break
        if not name.lower().startswith("aux"):  # auxiliary classifiers of GoogLeNet and Inception
            # MaxVit's blocks are a list that its `forward` runs through.
            kept[name] = nn.Sequential(*child) if isinstance(child, nn.ModuleList) else child
    if kind == "DenseNet":  # this one is a function in its `forward`
        kept["relu"] = nn.ReLU(inplace=True)
    return nn.Sequential(kept)


def cut_own(module: nn.Module, traits: Traits) -> nn.Module:
    """All of it when it gives a feature map; else what comes before the last child that pools, if any."""
    children = list(module.children())
    pooling = [i for i, child in enumerate(children) if any(isinstance(m, POOLS) for m in child.modules())]
    if not pooling or _gives_map(module, traits):
        return module
    return _first_children(module, pooling[-1])


def _gives_map(module: nn.Module, traits: Traits) -> bool:
    like = next(module.parameters(), torch.zeros(0))
    x = torch.zeros(1, traits.n_in, *traits.size, device=like.device, dtype=like.dtype)
    try:
        with evaluating(module):
            return bool(module(x).ndim == 4)
    except (RuntimeError, ValueError, AttributeError):  # e.g. a last layer for one image size: it is no map
        return False


def _first_children(module: nn.Module, count: int) -> nn.Module:
    return nn.Sequential(OrderedDict(list(module.named_children())[:count]))
