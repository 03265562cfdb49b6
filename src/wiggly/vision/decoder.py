"""The decoder of a U-Net, and the whole model: from feature maps back to one output per pixel of the image.

In: the maps of a `Pyramid`. Out: `(n, n_out, h, w)`, of the image's own height and width, whatever they are.
After Ronneberger et al., "U-Net", arXiv:1505.04597: step by step the coarse map is enlarged and joined by the
body's own map of that scale. Kept as plain as it is because what others add was tried and lost: enlarging
by pixel shuffle, batch norm on the body's maps (dev/LOG.md). Read next: `unet.py`, the learner.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wiggly.errors import ModelError
from wiggly.vision.bodies import spec_config
from wiggly.vision.heads import SigmoidRange
from wiggly.vision.pyramid import Pyramid, make_pyramid, rebuild_pyramid
from wiggly.vision.weights import fit_stats

__all__ = [
    "Decoder",
    "DecoderSpec",
    "SelfAttention",
    "Unet",
    "build_unet",
    "unet_config",
    "unet_groups",
    "unet_model",
]

NARROWEST, WIDEST = 16, 256  # channels at the image's own size; they double with every step down, up to this
ATTENTION_LEVEL = 3  # an eighth of the image's sides: 256 positions attend to each other at 128 pixels


@dataclass(frozen=True, slots=True)
class DecoderSpec:
    """What rebuilds a decoder; JSON types only.

    Attributes:
        levels: Of the encoder's maps, from fine to coarse: sides of `1 / 2**level` of the image's.
        channels: Of these maps.
        n_out: Outputs per pixel.
        joined: Channels of the images, if they are joined at the end; else 0.
        self_attention: Whether positions attend to each other once on the way.
        y_range: The outputs are squeezed between these two numbers.
    """

    levels: Sequence[int]
    channels: Sequence[int]
    n_out: int
    joined: int = 0
    self_attention: bool = False
    y_range: tuple[float, float] | None = None


class SelfAttention(nn.Module):
    """Every position looks at all others: self-attention of feature maps.

    From Zhang et al., "Self-Attention Generative Adversarial Networks", arXiv:1805.08318, section 3: queries
    and keys have an eighth of the channels, and the result comes in by a learned factor that starts at 0.

    Args:
        channels: Of the map.

    Example:
        >>> x = torch.rand(1, 16, 4, 4)
        >>> torch.equal(SelfAttention(16)(x), x)
        True
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        few = max(channels // 8, 1)
        self.query, self.key = (
            nn.Conv2d(channels, few, 1, bias=False),
            nn.Conv2d(channels, few, 1, bias=False),
        )
        self.value = nn.Conv2d(channels, channels, 1, bias=False)
        self.share = nn.Parameter(torch.zeros(1))

    def forward(self, x: Tensor) -> Tensor:
        # One head, as an axis of its own: without it the function has no counterpart in ONNX.
        parts = (part(x).flatten(2).transpose(1, 2)[:, None] for part in (self.query, self.key, self.value))
        seen = F.scaled_dot_product_attention(*parts)[:, 0]
        return x + self.share * seen.transpose(1, 2).reshape(x.shape)


class UpStep(nn.Module):
    """Enlarge a map to the size of the next finer one, join that, and mix both by two convolutions.

    Args:
        coarse: Channels of the map to enlarge.
        fine: Channels of the finer map; 0 where the encoder has none of that scale.
        out: Channels that come out.
    """

    def __init__(self, coarse: int, fine: int, out: int) -> None:
        super().__init__()
        self.mix = nn.Sequential(
            nn.Conv2d(coarse + fine, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
            nn.Conv2d(out, out, 3, padding=1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor, fine: Tensor | None, size: tuple[int, int]) -> Tensor:
        x = F.interpolate(x, size=size, mode="nearest")
        return self.mix(x if fine is None else torch.cat([x, fine], 1))


class Decoder(nn.Module):
    """Feature maps to one output per pixel.

    Args:
        spec: Its measures.
    """

    def __init__(self, spec: DecoderSpec) -> None:
        super().__init__()
        self.spec = spec
        fine = {**self._images(spec.joined), **dict(zip(spec.levels, spec.channels, strict=True))}
        width = spec.channels[-1]
        self.levels = tuple(range(spec.levels[-1] - 1, -1, -1))
        steps: list[nn.Module] = []
        for level in self.levels:
            out = min(NARROWEST * 2**level, WIDEST)
            steps.append(UpStep(width, fine.get(level, 0), out))
            width = out
        self.steps = nn.ModuleList(steps)
        attending = spec.self_attention and self.levels
        self.attention_level = min(ATTENTION_LEVEL, self.levels[0]) if attending else None
        place = min(NARROWEST * 2**self.attention_level, WIDEST) if self.attention_level is not None else 0
        self.attention = SelfAttention(place) if place else nn.Identity()
        self.last = nn.Conv2d(width, spec.n_out, 3, padding=1)
        self.range = SigmoidRange(*spec.y_range) if spec.y_range else nn.Identity()
        self.apply(_initialise)
        # Scores of unit variance: nearly a uniform guess, at a loss just above log(c). Much smaller weights
        # would be nearer to it, but Adam needs hundreds of steps to make them grow (dev/LOG.md).
        nn.init.normal_(self.last.weight, std=(9 * width) ** -0.5)

    def forward(self, maps: list[Tensor]) -> Tensor:
        """Outputs of every pixel.

        Args:
            maps: What a `Pyramid` gives: the images, then maps from fine to coarse.

        Returns:
            `(n, n_out, h, w)`, as high and wide as the images.
        """
        fine = {**self._images(maps[0]), **dict(zip(self.spec.levels, maps[1:], strict=True))}
        height, width = maps[0].shape[-2:]
        x = maps[-1]
        for level, step in zip(self.levels, self.steps, strict=True):
            beside = fine.get(level)
            size = (-(-height // 2**level), -(-width // 2**level))
            x = step(x, beside, size if beside is None else tuple(beside.shape[-2:]))
            if level == self.attention_level:
                x = self.attention(x)
        if x.shape[-2:] != maps[0].shape[-2:]:  # a body's own map of the image's size may lack a border
            x = F.interpolate(x, size=(height, width), mode="nearest")
        return self.range(self.last(x))

    def _images(self, of: Any) -> dict[int, Any]:
        """What stands for the images among the maps: they are of level 0, if they are joined at all."""
        return {0: of} if self.spec.joined else {}


def _initialise(layer: nn.Module) -> None:
    """He et al., arXiv:1502.01852, for layers before a ReLU."""
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


# ---- the model ----


class Unet(nn.Sequential):
    """Encoder and decoder, as `model[0]` and `model[1]`.

    Args:
        encoder: Images to feature maps.
        decoder: Feature maps to outputs.
        pretrained: Whether the encoder carries pretrained weights.
    """

    def __init__(self, encoder: Pyramid, decoder: Decoder, pretrained: bool = False) -> None:
        super().__init__(encoder, decoder)
        self.pretrained = pretrained

    @property
    def body(self) -> Pyramid:
        """The first part."""
        return cast(Pyramid, self[0])

    @property
    def head(self) -> Decoder:
        """The second part."""
        return cast(Decoder, self[1])


def unet_model(
    arch: Any,
    n_out: int,
    *,
    n_in: int = 3,
    pretrained: bool = True,
    weights: Any = None,
    arch_args: Mapping[str, Any] | None = None,
    normalize: bool = True,
    stats: tuple[Sequence[float], Sequence[float]] | None = None,
    image_size: tuple[int, int] | None = None,
    last_cross: bool = False,
    self_attention: bool = False,
    y_range: tuple[float, float] | None = None,
) -> Unet:
    """Make a U-Net whose encoder is an image network.

    Args:
        arch: A timm name ("convnext_tiny"; any network of timm: one without scales, such as a vision
            transformer, is enlarged without joining), a torchvision constructor (`resnet34`), a module, or a
            callable that returns one. One's own module gives several scales if it is an `nn.Sequential`.
        n_out: Outputs per pixel.
        n_in: As for `vision_model`, and so are `pretrained`, `weights`, `arch_args`, `normalize`, `stats` and
            `image_size`.
        last_cross: Join the image itself at the end: for targets as sharp as it is. Masks were learned worse
            with it (dev/LOG.md).
        self_attention: Let all positions look at each other once, at an eighth of the image's sides.
        y_range: Squeeze the outputs between these two numbers, for pictures as targets.

    Returns:
        The model: images `(n, n_in, h, w)` in [0, 1] to `(n, n_out, h, w)`, for any height and width the body
        can take.

    Raises:
        ModelError: The architecture or its weights cannot be found, do not fit, cannot take the images, or
            give no feature map.

    Example:
        >>> model = unet_model("test_resnet", 12, pretrained=False)
        >>> model(torch.rand(2, 3, 45, 70)).shape
        torch.Size([2, 12, 45, 70])
    """
    encoder, loaded = make_pyramid(arch, n_in, pretrained, weights, arch_args, normalize, stats, image_size)
    levels, channels = [tap.level for tap in encoder.taps], [tap.channels for tap in encoder.taps]
    spec = DecoderSpec(levels, channels, n_out, n_in if last_cross else 0, self_attention, y_range)
    return Unet(encoder, Decoder(spec), loaded)


def unet_config(model: Unet) -> dict[str, Any] | None:
    """Describe a U-Net so that `build_unet` makes it again; JSON types only; None for one's own encoder."""
    if model.body.spec is None:
        return None
    decoder = asdict(model.head.spec)
    listed = {
        name: list(value) if isinstance(value, (tuple, list)) else value for name, value in decoder.items()
    }
    mean, std = model.body.stats
    return {"body": spec_config(model.body.spec), "decoder": listed, "mean": mean, "std": std}


def build_unet(config: Mapping[str, Any]) -> Unet:
    """Make a U-Net again from its description, with random weights.

    Args:
        config: What `unet_config` returned.

    Raises:
        ModelError: The installed timm or torchvision does not know the architecture.
    """
    stats = fit_stats((config["mean"], config["std"]), int(config["body"]["n_in"]))
    return Unet(rebuild_pyramid(config["body"], stats), Decoder(DecoderSpec(**config["decoder"])))


def unet_groups(model: nn.Module) -> list[list[nn.Parameter]]:
    """Divide a U-Net into three parameter groups: lower and upper half of the encoder, decoder.

    Args:
        model: What `unet_model` returned.

    Raises:
        ModelError: It is no `Unet`.

    Example:
        >>> model = unet_model("test_resnet", 2, pretrained=False)
        >>> lower, upper, decoder = unet_groups(model)
        >>> decoder[-1] is model[1].last.bias
        True
    """
    if not isinstance(model, Unet):
        raise ModelError(
            "the default splitter needs a model made by `unet_model`",
            f"got a {type(model).__name__}",
            "Pass `splitter=`",
        )
    parts = [*model.body.halves(), list(model.head.parameters())]
    return [part for part in parts if part]
