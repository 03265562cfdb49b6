"""The encoder of a U-Net: a body that gives its feature maps at every scale instead of the last one alone.

In: what `bodies.make_body` takes, so every timm network, torchvision's convolutional ones and sequences of
one's own. Out: a `Pyramid`, which turns images `(n, c, h, w)` into a list: the normalised images, then maps
from fine to coarse. Read next: `decoder.py`, which puts them together again.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.errors import ModelError
from wiggly.vision.bodies import BodySpec, Normalising, open_network, reopen_network, size_error
from wiggly.vision.cutting import Traits, cut_network, evaluating, is_timm
from wiggly.vision.weights import Stats

__all__ = ["Pyramid", "Tap", "make_pyramid", "rebuild_pyramid"]

# A sequence is tried at this many pixels, whatever the images are: small ones would not tell scales apart.
TRIED_SIDE = 128
LAYOUT = "pyramid"  # in the description of a body: maps of several scales come out


@dataclass(frozen=True, slots=True)
class Tap:
    """Where a feature map is taken.

    Attributes:
        index: timm's number of the feature, or the position in a sequence.
        level: The map has `1 / 2**level` of the image's height and width, up to rounding.
        channels: Of the map.
    """

    index: int
    level: int
    channels: int


class Pyramid(Normalising):
    """A body that gives all its scales.

    Args:
        model: The network, cut.
        traits: How it is called.
        stats: Mean and standard deviation per channel, on the [0, 1] scale.
        taps: Where maps are taken, from fine to coarse.
        spec: What rebuilds it; None for a network of the user's own.
        size: Height and width it was tried with.
    """

    def __init__(
        self,
        model: nn.Module,
        traits: Traits,
        stats: Stats,
        taps: Sequence[Tap],
        spec: BodySpec | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(model, traits, stats, spec, size)
        self.taps = tuple(taps)

    def forward(self, x: Tensor) -> list[Tensor]:
        """All scales of a batch.

        Args:
            x: Images `(n, c, h, w)`: uint8, or floats in [0, 1] (already normalised when `normalise` is
                False).

        Returns:
            The normalised images, then one map `(n, channels, h', w')` for each of `taps`.

        Raises:
            ModelError: If the network cannot take images of this size or number of channels.
        """
        x = self.prepared(x)
        return [x, *self.attempt(x, self._maps)]

    def _maps(self, x: Tensor) -> list[Tensor]:
        return maps_of(self.model, x, [tap.index for tap in self.taps])

    def halves(self) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Parameters up to the middle one of the taps, and those after it; of a single tap, half of them."""
        names = [name for name, _ in self.model.named_parameters()]
        inside = _prefixes(self.model, self.taps[(len(self.taps) - 1) // 2].index)
        last = [i for i, name in enumerate(names) if name.startswith(inside)] if inside else []
        border = last[-1] + 1 if last and last[-1] + 1 < len(names) else len(names) // 2
        parameters = list(self.model.parameters())
        return parameters[:border], parameters[border:]


def make_pyramid(
    arch: Any,
    n_in: int = 3,
    pretrained: bool = True,
    weights: Any = None,
    arch_args: Mapping[str, Any] | None = None,
    normalize: bool = True,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
) -> tuple[Pyramid, bool]:
    """Make an encoder; see `models.vision_model` for the arguments.

    Returns:
        The encoder, and whether it carries pretrained weights.

    Raises:
        ModelError: The architecture or its weights cannot be found, it does not take such images, or gives
            no feature map.

    Example:
        >>> encoder, _ = make_pyramid("test_resnet", pretrained=False)
        >>> [tuple(map.shape[1:]) for map in encoder(torch.rand(1, 3, 64, 64))]
        [(3, 64, 64), (32, 32, 32), (32, 16, 16), (48, 8, 8), (192, 4, 4), (96, 2, 2)]
    """
    opened = open_network(arch, n_in, pretrained, weights, arch_args, normalize, stats, image_size)
    model, traits, taps = with_taps(opened.module, opened.traits)
    spec = opened.spec(None, True, LAYOUT, taps[-1].channels)
    encoder = Pyramid(model, traits, opened.stats, taps, spec)
    if image_size is not None:  # so that a network that cannot take the images says so now
        with evaluating(encoder):
            encoder(torch.zeros(1, n_in, *image_size))
        encoder.size = image_size
    return encoder, opened.loaded


def rebuild_pyramid(spec: Mapping[str, Any], stats: Stats) -> Pyramid:
    """The same encoder again, with random weights; see `bodies.rebuild_body`."""
    known = BodySpec(**spec)
    model, traits, taps = with_taps(*reopen_network(known))
    return Pyramid(model, traits, stats, taps, known)


def with_taps(model: nn.Module, traits: Traits) -> tuple[nn.Module, Traits, list[Tap]]:
    """A network without what only its classifier needs, and where its maps are taken.

    Raises:
        ModelError: It gives no feature map.
    """
    if is_timm(model):
        taps = find_taps(model, traits)
        if hasattr(model, "prune_intermediate_layers"):
            cast(Any, model).prune_intermediate_layers([tap.index for tap in taps], prune_norm=True)
        return model, traits, taps
    model, traits = cut_network(model, traits, None, True)
    unfit = _channels_move(model) or type(model).__name__ == "VisionTransformer"
    taps = [] if unfit else find_taps(model, traits)
    if not taps:
        raise ModelError(
            "a U-Net needs a network that gives feature maps (n, c, h, w)",
            f"`{traits.label}` does not",
            'Pass the name of a timm network, e.g. "convnext_tiny" or "swin_tiny_patch4_window7_224".',
        )
    return model, traits, taps


def _channels_move(model: nn.Module) -> bool:
    """Whether channels come last on the way, as in torchvision's swin: no tap could tell such maps."""
    return any(type(part).__name__ == "Permute" for _, part in _in_turn(model))


def find_taps(model: nn.Module, traits: Traits) -> list[Tap]:
    """Try one black image and take the last map of every scale.

    Args:
        model: The network, cut.
        traits: How it is called.

    Returns:
        The taps, from fine to coarse.

    Raises:
        ModelError: timm cannot take this network's maps.
    """
    if is_timm(model) and not hasattr(model, "forward_intermediates"):
        raise ModelError(
            "a U-Net takes the maps of a timm network by its `forward_intermediates`",
            f"`{traits.label}` of the installed timm has none",
            "Update timm (`pip install --upgrade timm`), or pass another architecture.",
        )
    height, width = traits.size if is_timm(model) else (TRIED_SIDE, TRIED_SIDE)
    like = next(model.parameters(), torch.zeros(0))
    x = torch.zeros(1, traits.n_in, height, width, device=like.device, dtype=like.dtype)
    try:
        with evaluating(model):
            maps = maps_of(model, x, None)
    except (AssertionError, RuntimeError, ValueError, TypeError) as error:
        raise size_error(traits, tuple(x.shape), error) from error
    found: dict[int, Tap] = {}
    for index, map in enumerate(maps):
        if map.ndim == 4:
            level = max(0, round(math.log2(height / map.shape[2])))
            found[level] = Tap(index, level, int(map.shape[1]))
    return _narrowing(found)


def _narrowing(found: Mapping[int, Tap]) -> list[Tap]:
    """Only maps that lie on the way to the coarsest one: a network that widens again ends in finer ones."""
    taps: list[Tap] = []
    for tap in sorted(found.values(), key=lambda tap: tap.level):
        if not taps or tap.index > taps[-1].index:
            taps.append(tap)
    return taps


# ---- reading the maps ----


def maps_of(model: nn.Module, x: Tensor, indices: Sequence[int] | None) -> list[Tensor]:
    """The maps `(n, c, h, w)` of a network, by number; all of them for None."""
    if is_timm(model):
        chosen = None if indices is None else list(indices)
        return list(cast(Any, model).forward_intermediates(x, indices=chosen, intermediates_only=True))
    maps: list[Tensor] = []
    for index, (_, part) in enumerate(_in_turn(model)):
        x = part(x)
        if indices is None or index in indices:
            maps.append(x)
    return maps


def _in_turn(model: nn.Module, prefix: str = "") -> list[tuple[str, nn.Module]]:
    """The parts of a sequence, and of the sequences in it, with their names; another module is one part."""
    if not isinstance(model, nn.Sequential) or type(model).forward is not nn.Sequential.forward:
        return [(prefix, model)]
    named = [_in_turn(part, f"{prefix}{name}.") for name, part in model.named_children()]
    return [part for parts in named for part in parts]


def _prefixes(model: nn.Module, index: int) -> tuple[str, ...]:
    """How the names of the parameters begin that belong to a tap's part, or to one before it."""
    if not is_timm(model):
        return tuple(name for name, _ in _in_turn(model)[: index + 1] if name)
    info: Any = getattr(model, "feature_info", ())
    levels = list(getattr(info, "info", info))
    return (f"{levels[index]['module']}.",) if index < len(levels) else ()
