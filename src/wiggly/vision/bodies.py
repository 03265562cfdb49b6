"""The body of a vision model: a network without its classifier, and the normalisation its images need.

In: the name of a timm architecture, a torchvision constructor or a network of one's own. Out: a `Body`, which
turns images `(n, c, h, w)` in [0, 1] (or uint8) into a feature map `(n, c, h, w)` or into one vector per
image `(n, c)`. The networks come from `networks.py`. Read next: `models.py`, which puts a
head on it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import ModelError
from wiggly.vision.cutting import Cut, Traits, adapt_first_conv, cut_network, evaluating, run
from wiggly.vision.networks import Source, find_source, make_network, pretrained_network
from wiggly.vision.origin import origin_of
from wiggly.vision.weights import Stats, fit_stats, read_sidecar

__all__ = [
    "Body",
    "BodySpec",
    "Normalising",
    "make_body",
    "open_network",
    "rebuild_body",
    "reopen_network",
    "size_error",
    "spec_config",
]

SIZE_STEP = 32
NO_STATS: Stats = ((0.0,), (1.0,))


@dataclass(frozen=True, slots=True)
class BodySpec:
    """What rebuilds a body without its weights; JSON types only.

    Attributes:
        library: "timm" or "torchvision".
        arch: Name of the architecture in that library.
        arch_args: Arguments it is made with.
        n_in: Channels of the images.
        cut: How many children are kept; None for the usual place.
        pool: Whether the body was asked for a feature map (False: the network pools itself).
        layout: "NCHW" or "NHWC", the order of the network's feature map, or "pooled".
        n_features: Channels of what comes out.
        origin: Name and licence of the weights it first had, see `origin.py`; None for random ones.
    """

    library: str
    arch: str
    arch_args: Mapping[str, Any]
    n_in: int
    cut: int | None
    pool: bool
    layout: str
    n_features: int
    origin: Mapping[str, str | None] | None = None


class Normalising(nn.Module):
    """What bodies have in common: a network, and the statistics of the images it was trained on.

    Args:
        model: The network, cut.
        traits: How it is called.
        stats: Mean and standard deviation per channel, on the [0, 1] scale.
        spec: What rebuilds it; None for a network of the user's own.
        size: Height and width it was tried with.

    Attributes:
        model: The network itself, so `learn.get_submodule("0.model.layer4")` finds what its author named.
        mean, std: Buffers `(1, c, 1, 1)`, saved with the weights.
        normalise: False while a loader has been lent the statistics and delivers normalised images.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        traits: Traits,
        stats: Stats,
        spec: BodySpec | None,
        size: tuple[int, int] | None,
    ) -> None:
        super().__init__()
        self.model = model
        self.traits, self.spec, self.size = traits, spec, size
        self.normalise = True
        for name, values in zip(("mean", "std"), stats, strict=True):
            self.register_buffer(name, torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1))

    @property
    def stats(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation per channel, as numbers."""
        return self.mean.flatten().tolist(), self.std.flatten().tolist()

    def prepared(self, x: Tensor) -> Tensor:
        """Images as the network takes them.

        Args:
            x: Images `(n, c, h, w)`: uint8, or floats in [0, 1] (already normalised when `normalise` is
                False).

        Raises:
            ModelError: They have another number of channels.
        """
        if x.shape[1] != self.traits.n_in:  # one channel would be broadcast by the normalisation
            raise channel_error(self.traits, x.shape[1])
        if x.dtype == torch.uint8:
            x = x.to(self.mean.dtype).div(255)
        return (x - self.mean) / self.std if self.normalise else x

    def attempt(self, x: Tensor, call: Callable[[Tensor], Any]) -> Any:
        """What the network gives for prepared images.

        Raises:
            ModelError: It cannot take images of this size.
        """
        try:
            return call(x)
        except (AssertionError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError) or tuple(x.shape[2:]) == self.size:
                raise
            raise size_error(self.traits, tuple(x.shape), error) from error


class Body(Normalising):
    """A network without classifier that normalises its own input.

    Args:
        model: The network, cut.
        traits: How it is called.
        stats: Mean and standard deviation per channel, on the [0, 1] scale.
        layout: "NCHW" or "NHWC" for a feature map in that order, "pooled" for vectors.
        n_features: Channels that come out.
        spec: What rebuilds it; None for a network of the user's own.
        size: Height and width it was tried with.
    """

    def __init__(
        self,
        model: nn.Module,
        traits: Traits,
        stats: Stats,
        layout: str,
        n_features: int,
        spec: BodySpec | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(model, traits, stats, spec, size)
        self.layout, self.n_features = layout, n_features

    @property
    def pooled(self) -> bool:
        """Whether one vector per image comes out instead of a feature map."""
        return self.layout == "pooled"

    def forward(self, x: Tensor) -> Tensor:
        """Features of a batch.

        Args:
            x: Images `(n, c, h, w)`: uint8, or floats in [0, 1] (already normalised when `normalise` is
                False).

        Returns:
            `(n, n_features, h', w')`, or `(n, n_features)` when pooled.

        Raises:
            ModelError: If the network cannot take images of this size or number of channels.
        """
        features = self.attempt(self.prepared(x), lambda images: run(self.model, self.traits, images))
        return features.permute(0, 3, 1, 2) if self.layout == "NHWC" else features


def channel_error(traits: Traits, n_in: int) -> ModelError:
    """The error of images with another number of channels."""
    return ModelError(
        f"`{traits.label}` was made for images of {traits.n_in} channels",
        f"got {n_in} channels",
        f"Pass n_in={n_in} to build it for them, or load images of {traits.n_in} channels",
    )


def size_error(traits: Traits, shape: Sequence[int], error: Exception) -> ModelError:
    """The error of images that a network cannot take, with the size it was made for if that is known."""
    _, channels, height, width = shape
    reason = str(error).split("\n")[0]
    if not traits.made_for_size:
        return ModelError(
            f"`{traits.label}` must be able to take the images",
            f"it fails on {channels} channels of {height}×{width} pixels"
            + (f" ({reason})" if reason else ""),
            "Resize the images, e.g. item_tfms=Resize(224), or pass another architecture",
        )
    near = (_in_steps(height), _in_steps(width))
    argument = f'arch_args={{"{traits.size_argument}": {_side(near)}}}' if traits.size_argument else ""
    if traits.size == (height, width):  # it was built for this size, and cannot be
        rule = f"`{traits.label}` must be able to take the images it is built for"
        fix = f"Pass item_tfms=Resize({_side(near)})" + (f" and {argument}" if argument else "")
    else:
        rule = f"`{traits.label}` is made for images of {traits.size[0]}×{traits.size[1]} pixels"
        fix = f"Pass item_tfms=Resize({_side(traits.size)})"
        same = near == (height, width)
        if argument:
            fix += f", or build it for your size with {argument}" if same else ", or for a size near yours "
            fix += "" if same else f"item_tfms=Resize({_side(near)}) and {argument}"
    return ModelError(rule, f"got {height}×{width}" + (f" ({reason})" if reason else ""), fix)


def _in_steps(side: int) -> int:
    """The nearest size that halves five times, as nearly all networks do."""
    return max(SIZE_STEP, round(side / SIZE_STEP) * SIZE_STEP)


def _side(size: tuple[int, int]) -> str:
    return str(size[0]) if size[0] == size[1] else str(size)


def make_body(
    arch: Any,
    n_in: int = 3,
    pretrained: bool = True,
    weights: Any = None,
    arch_args: Mapping[str, Any] | None = None,
    cut: Cut = None,
    pool: bool = True,
    normalize: bool = True,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
) -> tuple[Body, bool]:
    """Make a body; see `models.vision_model` for the arguments.

    Returns:
        The body, and whether it carries pretrained weights.

    Raises:
        ModelError: The architecture or its weights cannot be found, or it does not take such images.
    """
    opened = open_network(arch, n_in, pretrained, weights, arch_args, normalize, stats, image_size)
    module, traits = cut_network(opened.module, opened.traits, cut, pool)
    layout, n_features, size = probe(module, traits, image_size)
    spec = None
    if cut is None or isinstance(cut, int):
        spec = opened.spec(cut, pool, layout, n_features)
    return Body(module, traits, opened.stats, layout, n_features, spec, size), opened.loaded


@dataclass(frozen=True, slots=True)
class Opened:
    """A network with its weights, nothing taken off yet.

    Attributes:
        module: The network, its first layer fitted to the images.
        traits: How it is called.
        loaded: Whether it carries pretrained weights.
        stats: Mean and standard deviation per channel that its images are to be normalised with.
        source: Where it comes from.
        args: Arguments it was made with.
        origin: Name and licence of its weights.
    """

    module: nn.Module
    traits: Traits
    loaded: bool
    stats: Stats
    source: Source
    args: Mapping[str, Any]
    origin: Mapping[str, str | None] | None

    def spec(self, cut: int | None, pool: bool, layout: str, n_features: int) -> BodySpec | None:
        """What rebuilds it; None for a network of the user's own."""
        if self.source.library == "own" or not _is_json(self.args):
            return None
        name, n_in = self.source.name, self.traits.n_in
        return BodySpec(
            self.source.library, name, self.args, n_in, cut, pool, layout, n_features, self.origin
        )


def open_network(
    arch: Any,
    n_in: int,
    pretrained: bool,
    weights: Any,
    arch_args: Mapping[str, Any] | None,
    normalize: bool,
    stats: tuple[Sequence[float], Sequence[float]] | None,
    image_size: tuple[int, int] | None,
) -> Opened:
    """Find a network, make it, and load its weights; see `models.vision_model` for the arguments.

    Raises:
        ModelError: The architecture or its weights cannot be found.
    """
    source, args = find_source(arch), dict(arch_args or {})
    if isinstance(weights, (str, Path)):
        sidecar = read_sidecar(Path(weights))
        args, stats = {**sidecar.arch_args, **args}, stats or (sidecar.stats if normalize else None)
    module, traits, loaded = pretrained_network(source, n_in, pretrained, weights, args)
    if image_size and not traits.made_for_size:
        traits = replace(traits, size=image_size)
    adapt_first_conv(module, n_in, loaded)
    chosen = fit_stats(stats or (traits.stats if normalize else None) or NO_STATS, n_in)
    origin = origin_of(module, weights) if loaded else None
    return Opened(module, traits, loaded, chosen, source, args, origin)


def rebuild_body(spec: Mapping[str, Any], stats: Stats) -> Body:
    """The same body again, with random weights.

    Args:
        spec: A `BodySpec` as a dictionary.
        stats: Mean and standard deviation per channel.

    Raises:
        ModelError: The installed libraries do not know the architecture.
    """
    known = BodySpec(**spec)
    module, traits = cut_network(*reopen_network(known), known.cut, known.pool)
    return Body(module, traits, stats, known.layout, known.n_features, known)


def reopen_network(known: BodySpec) -> tuple[nn.Module, Traits]:
    """The network of a specification, with random weights and nothing taken off."""
    source = Source(known.library, known.arch, known.arch)
    module, traits = make_network(source, known.n_in, known.arch_args)
    adapt_first_conv(module, known.n_in, pretrained=False)
    return module, traits


def spec_config(spec: BodySpec) -> dict[str, Any]:
    """A specification as JSON types."""
    return json.loads(json.dumps(asdict(spec)))


def _is_json(value: Any) -> bool:
    try:
        json.dumps(value)
    except TypeError:
        return False
    return True


def probe(
    module: nn.Module, traits: Traits, image_size: tuple[int, int] | None
) -> tuple[str, int, tuple[int, int]]:
    """Try one black image to see what comes out.

    Args:
        module: The network, cut.
        traits: How it is called.
        image_size: Height and width of the images it will see; None takes the size it was made for.

    Returns:
        The layout ("NCHW", "NHWC", "pooled"), the number of features, and the size tried.

    Raises:
        ModelError: It cannot take such images, or what comes out is neither a map nor a vector per image.
    """
    size = image_size or traits.size
    like = next(module.parameters(), torch.zeros(0))
    x = torch.zeros(1, traits.n_in, *size, device=like.device, dtype=like.dtype)
    try:
        with evaluating(module):
            y = run(module, traits, x)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise size_error(traits, tuple(x.shape), error) from error
    if isinstance(y, Tensor) and y.ndim == 2:
        return "pooled", y.shape[1], size
    if isinstance(y, Tensor) and y.ndim == 4:
        return traits.map_layout, y.shape[3 if traits.map_layout == "NHWC" else 1], size
    raise ModelError(
        "a body must give a feature map (n, c, h, w) or a vector (n, c) per image",
        f"`{traits.label}` gives "
        + (str(list(y.shape)) if isinstance(y, Tensor) else f"a {type(y).__name__}"),
        "Pass `cut=` to keep the part that does",
    )
