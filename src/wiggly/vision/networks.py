"""Networks of timm, torchvision or one's own: found by name, made, and loaded with weights.

In: what the user passed as `arch`, and which weights. Out: a module with its classifier still on, and its
`Traits`. timm is imported where it is needed: it takes half a second that a star import need not. Read next:
`cutting.py`, which takes the classifier off; `bodies.py`, which does both.
"""

from __future__ import annotations

import difflib
import inspect
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
import torchvision.models
from huggingface_hub.errors import HfHubHTTPError
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.vision.cutting import HEADS, Traits, is_timm
from wiggly.vision.weights import (
    Stats,
    check_names,
    load_weights,
    no_weights_error,
    read_weights,
    require_download,
    shape_error,
    source_url,
    timm_source,
)

__all__ = ["Source", "find_source", "make_network", "pretrained_network"]

IMAGENET: Stats = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# torchvision's GoogLeNet and Inception v3 expect [-1, 1] and undo the ImageNet statistics in the `forward`
# that the cut drops (`transform_input`), so the body has to deliver that range itself.
HALF: Stats = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True, slots=True)
class Source:
    """Where an architecture comes from: `library` is "timm", "torchvision" or "own"."""

    library: str
    name: str
    arch: Any


# ---- finding ----


def find_source(arch: Any) -> Source:
    """Find out which library an architecture is of.

    Args:
        arch: A timm name, with or without tag or "hf-hub:timm/" before it; a torchvision name that timm does
            not use; a constructor of either library; a module, or any callable that returns one.

    Raises:
        ModelError: The name is unknown; the nearest names are suggested.
        ArgumentError: It is none of these.

    Example:
        >>> find_source("resnet18").library, find_source(torchvision.models.resnet18).library
        ('timm', 'torchvision')
    """
    import timm

    if isinstance(arch, str):
        return _find_name(arch)
    if isinstance(arch, nn.Module):
        return Source("own", type(arch).__name__, arch)
    if not callable(arch):
        raise ArgumentError(
            "`arch` must be a name, a constructor or a module",
            f"got a {type(arch).__name__}",
            'Pass a timm name like "convnext_tiny" or torchvision.models.resnet34',
        )
    name = getattr(arch, "__name__", type(arch).__name__)
    if getattr(arch, "__module__", "").startswith("timm.models.") and timm.is_model(name):
        return Source("timm", name, name)
    if name in _torchvision_names() and torchvision.models.get_model_builder(name) is arch:
        return Source("torchvision", name, name)
    return Source("own", name, arch)


def _find_name(name: str) -> Source:
    import timm

    short = name.removeprefix("hf-hub:").removeprefix("hf_hub:").removeprefix("timm/")
    if timm.is_model(short):
        return Source("timm", _current_name(short), name)
    if short in _torchvision_names():
        return Source("torchvision", short, name)
    known = {*timm.list_models(), *_torchvision_names()}
    near = difflib.get_close_matches(short.split(".")[0], sorted(known), n=4, cutoff=0.5)
    family = near[0].split("_")[0] if near else ""
    raise ModelError(
        "`arch` must be the name of a timm or torchvision architecture",
        f"'{name}' is not one" + (f"; the nearest are {', '.join(near)}" if near else ""),
        f'Pass one of those that timm.list_models("{family}*") lists',
    )


def _torchvision_names() -> list[str]:
    return torchvision.models.list_models(module=torchvision.models)


def _current_name(name: str) -> str:
    """Follow timm's table of old names (the course's convnext_small_in22k) with a warning; check the tag."""
    import timm

    current = timm.models.get_deprecated_models().get(name, name)
    if current is None:
        raise ModelError("`arch` must still exist in timm", f"'{name}' was removed", "Pass another one.")
    if current != name:
        warnings.warn(f"timm now calls '{name}' '{current}'; using that", stacklevel=8)
    try:
        timm.models.get_pretrained_cfg(current)
    except RuntimeError as error:
        base = current.split(".")[0]
        tags = timm.list_pretrained(f"{base}.*")
        raise ModelError(
            "the part of `arch` after the dot must be a tag of its published weights",
            f"'{name}' is not known",
            f"Pass '{base}' for the default, or one of {', '.join(tags)}",
        ) from error
    return current


# ---- making ----


def make_network(source: Source, n_in: int, args: Mapping[str, Any]) -> tuple[nn.Module, Traits]:
    """Make a network of timm or torchvision with random weights.

    Args:
        source: Where it comes from.
        n_in: Channels of the images.
        args: More arguments of its constructor.

    Raises:
        ModelError: The constructor does not take these arguments.
    """
    if source.library == "timm":
        module = _make_timm(source.name, n_in, args)
        return module, timm_traits(module, source.name, n_in, args)
    module = _make_torchvision(source.name, None, args)
    return module, plain_traits(module, source.name, n_in)


def pretrained_network(
    source: Source, n_in: int, pretrained: bool, weights: Any, args: Mapping[str, Any]
) -> tuple[nn.Module, Traits, bool]:
    """Make a network with the weights asked for.

    Args:
        source: Where it comes from.
        n_in: Channels of the images; torchvision's networks come with three (`adapt_first_conv` is next).
        pretrained: Whether published weights are wanted.
        weights: A .safetensors file, one of torchvision's weights, or None for the default ones.
        args: More arguments of the constructor.

    Returns:
        The network, its traits, and whether it has pretrained weights.

    Raises:
        ModelError: The weights are not to be had or do not fit.
    """
    path = Path(weights) if isinstance(weights, (str, Path)) else None
    theirs = source.library == "torchvision" and isinstance(weights, torchvision.models.WeightsEnum)
    if weights is not None and path is None and not theirs:
        raise ArgumentError(
            "`weights` must be a .safetensors file, or torchvision's own weights for its constructors",
            f"got {weights!r} for '{source.name}'",
            'Pass weights="FILE.safetensors"',
        )
    if source.library == "timm":
        module, loaded = _pretrained_timm(source.name, n_in, pretrained, weights, args)
        return module, timm_traits(module, source.name, n_in, args), loaded
    if source.library == "torchvision":
        module = _pretrained_torchvision(source.name, pretrained and path is None, weights, args)
        loaded = pretrained or weights is not None
    else:
        module, loaded = _make_own(source.arch, pretrained and path is None, args)
    if path is not None:
        load_weights(module, read_weights(path), path, HEADS if source.library == "torchvision" else ())
    traits = (timm_traits if is_timm(module) else plain_traits)(module, source.name, n_in)
    return module, traits, loaded or path is not None


def _make_timm(name: str, n_in: int, args: Mapping[str, Any], **pretrained: Any) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, num_classes=0, in_chans=n_in, **pretrained, **args)
    except TypeError as error:
        raise _arguments_error(name, args, error) from error


def _make_torchvision(name: str, weights: Any, args: Mapping[str, Any]) -> nn.Module:
    # Without this the two that have auxiliary classifiers warn about a change of their default.
    if weights is None and name in ("googlenet", "inception_v3"):
        args = {"init_weights": True, **args}
    try:
        return torchvision.models.get_model(name, weights=weights, **args)
    except TypeError as error:
        raise _arguments_error(name, args, error) from error


def _arguments_error(name: str, args: Mapping[str, Any], error: Exception) -> Exception:
    if not args:
        return error
    rule = "`arch_args` must be arguments of the architecture"
    return ModelError(rule, f"'{name}': {error}", "Leave that one out.")


def _pretrained_timm(
    name: str, n_in: int, pretrained: bool, weights: Any, args: Mapping[str, Any]
) -> tuple[nn.Module, bool]:
    import timm

    cfg = cast(Any, timm.models.get_pretrained_cfg(name))
    if weights is not None:
        path = Path(weights)
        heads = {"head", *(str(top).split(".")[0] for top in _tuple(cfg.classifier))}
        check_names(_make_timm(name, n_in, args), read_weights(path), path, heads)
        try:
            # timm's own loader fits the first layer to `n_in` and position embeddings to `img_size`.
            overlay = {"file": str(path)}
            return _make_timm(name, n_in, args, pretrained=True, pretrained_cfg_overlay=overlay), True
        except RuntimeError as error:
            raise shape_error(path, str(error).strip().split("\n")[-1].strip()) from error
    if not pretrained:
        return _make_timm(name, n_in, args), False
    overlay = timm_source(cfg, name)
    try:
        return _make_timm(name, n_in, args, pretrained=True, pretrained_cfg_overlay=overlay), True
    except (OSError, HfHubHTTPError) as error:
        raise no_weights_error(source_url(cfg), name, str(error).split("\n")[0]) from error


def _tuple(value: Any) -> tuple[Any, ...]:
    return () if value is None else tuple(value) if isinstance(value, (tuple, list)) else (value,)


def _pretrained_torchvision(name: str, pretrained: bool, weights: Any, args: Mapping[str, Any]) -> nn.Module:
    entry = weights if isinstance(weights, torchvision.models.WeightsEnum) else None
    if entry is None and pretrained:
        entry = cast(Any, torchvision.models.get_model_weights(name)).DEFAULT
    if entry is None:
        return _make_torchvision(name, None, args)
    url = str(entry.url)
    if not (Path(torch.hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]).is_file():
        require_download(url, name)
    try:
        return _make_torchvision(name, entry, args)
    except OSError as error:
        raise no_weights_error(url, name, str(error)) from error


def _make_own(arch: Any, pretrained: bool, args: Mapping[str, Any]) -> tuple[nn.Module, bool]:
    """A module as it is; a callable is asked for weights if it has an argument for them."""
    if isinstance(arch, nn.Module):
        return arch, False
    names = inspect.signature(arch).parameters
    asked: dict[str, Any] = {}
    if "weights" in names:
        asked = {"weights": "DEFAULT" if pretrained else None}
    elif "pretrained" in names:
        asked = {"pretrained": pretrained}
    module = arch(**asked, **args)
    if not isinstance(module, nn.Module):
        got = f"it returned a {type(module).__name__}"
        raise ModelError("`arch` must return a module", got, "Return an nn.Module.")
    return module, pretrained and bool(asked)


def timm_traits(module: nn.Module, name: str, n_in: int, args: Mapping[str, Any] | None = None) -> Traits:
    """Traits of a network of timm, from its configuration."""
    cfg = cast(Mapping[str, Any], module.pretrained_cfg)
    height, width = cfg["input_size"][-2:]
    if args and (asked := args.get("img_size")):
        height, width = asked if isinstance(asked, (tuple, list)) else (asked, asked)
    layout = str(getattr(module, "output_fmt", "NCHW"))
    return Traits(
        label=name,
        n_in=n_in,
        size=(int(height), int(width)),
        made_for_size=True,
        size_argument="img_size" if cfg.get("fixed_input_size") else "",
        stats=(tuple(cfg["mean"]), tuple(cfg["std"])),
        map_layout="NHWC" if layout == "NHWC" else "NCHW",
    )


def plain_traits(module: nn.Module, name: str, n_in: int) -> Traits:
    """Traits of a network of torchvision or of one's own."""
    if not type(module).__module__.startswith("torchvision.models."):
        return Traits(name, n_in)
    stats = HALF if getattr(module, "transform_input", False) else IMAGENET
    traits = Traits(name, n_in, stats=stats, family=type(module).__name__)
    if isinstance(size := getattr(module, "image_size", None), int):  # VisionTransformer alone has one
        return replace(traits, size=(size, size), made_for_size=True, size_argument="image_size")
    return traits
