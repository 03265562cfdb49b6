"""Convolution: a small window of weights that slides over a picture, by itself and as a matrix product.

In: a picture and a kernel, or a learner and one of its convolutions. Out: what the kernel answers everywhere.
The page computes the same (`web/widgets/src/core/convolution.ts`). Read next: `explore.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from wiggly.errors import ArgumentError, ModelError
from wiggly.teach.explorable import Explorable
from wiggly.teach.pictures import as_data_url, grey
from wiggly.teach.runs import held, passed_through
from wiggly.train.learner import Learner

__all__ = ["KERNELS", "LayerKernels", "convolution", "convolve", "layer_kernels", "out_size", "windows"]

Pair = tuple[int, int]
KERNELS: Mapping[str, tuple[tuple[float, ...], ...]] = {
    "upright edges": ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)),
    "level edges": ((-1, -2, -1), (0, 0, 0), (1, 2, 1)),
    "outline": ((-1, -1, -1), (-1, 8, -1), (-1, -1, -1)),
    "blur": ((1 / 9, 1 / 9, 1 / 9), (1 / 9, 1 / 9, 1 / 9), (1 / 9, 1 / 9, 1 / 9)),
    "sharpen": ((0, -1, 0), (-1, 5, -1), (0, -1, 0)),
    "nothing": ((0, 0, 0), (0, 1, 0), (0, 0, 0)),
}
SIDE = 96  # pixels of a photo's longer side: enough to know it, few enough to see one window
LAYER_SIDE, DEEP_SIDE = 64, 32  # of a layer's input, of up to 3 channels and of more
CHANNELS, OUTPUTS = 3, 4  # of a real layer
DIGITS = 6  # of its numbers, that count


def out_size(n: int, kernel: int, stride: int = 1, padding: int = 0, dilation: int = 1) -> int:
    """How many places a window has along one side.

    Args:
        n: Pixels of the picture along that side.
        kernel: Weights of the window.
        stride: Pixels it moves at a time.
        padding: Zeros added at both ends.
        dilation: Distance of its weights.

    Example:
        >>> out_size(9, 3), out_size(9, 3, stride=2, padding=1)
        (7, 5)
    """
    return (n + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def windows(image: np.ndarray, kernel: Pair, stride: Pair, padding: Pair, dilation: Pair) -> np.ndarray:
    """Every window of a picture as one row; times the flattened kernel, that is the convolution.

    Args:
        image: `(h, w)`.
        kernel: Height and width of the window, in weights; the other settings as in `out_size`, down and
            across.
        stride: Pixels it moves.
        padding: Zeros around the picture.
        dilation: Distance of its weights.

    Returns:
        `(places, kernel height · kernel width)`, left to right, top to bottom.

    Example:
        >>> windows(np.arange(6).reshape(2, 3), (2, 2), (1, 1), (0, 0), (1, 1))
        array([[0, 1, 3, 4],
               [1, 2, 4, 5]])
    """
    padded = np.pad(image, [(p, p) for p in padding])
    reach = [d * (k - 1) + 1 for k, d in zip(kernel, dilation, strict=True)]
    views = np.lib.stride_tricks.sliding_window_view(padded, reach)
    kept = views[:: stride[0], :: stride[1], :: dilation[0], :: dilation[1]]
    return kept.reshape(-1, kernel[0] * kernel[1])


def convolve(
    image: np.ndarray,
    kernel: np.ndarray,
    stride: Pair = (1, 1),
    padding: Pair = (0, 0),
    dilation: Pair = (1, 1),
) -> np.ndarray:
    """The kernel times each window, added up: what networks call a convolution.

    Args:
        image: `(h, w)`.
        kernel: `(kernel height, kernel width)`; it is not turned round, as it would be in signal processing.
        stride: Pixels the window moves, down and across.
        padding: Zeros around the picture.
        dilation: Distance of the weights.

    Returns:
        One number for each place of the window.

    Example:
        >>> convolve(np.array([[0, 0, 5, 5]]), np.array([[-1, 1]]))
        array([[0, 5, 0]])
    """
    sizes = zip(image.shape, kernel.shape, stride, padding, dilation, strict=True)
    shape = [out_size(*each) for each in sizes]
    rows = windows(image, (kernel.shape[0], kernel.shape[1]), stride, padding, dilation)
    return (rows @ kernel.flatten()).reshape(shape)


@dataclass(frozen=True)
class LayerKernels:
    """A real layer at work on a real item, cut to a few channels.

    Attributes:
        inputs: `(c, h, w)`, the input channels that weigh most in these outputs.
        kernels: `(m, c, kh, kw)`, for the outputs that are shown.
        bias: `(m,)`.
        rest: `(m, H, W)`, what all other input channels add.
        outputs: `(m, H, W)`, as the layer computes them: kernels times windows, plus rest, plus bias.
        n_hidden: How many input channels are in `rest`.
        channels: What each input channel is called.
        names: What each output is called.
        stride: Down and across; padding and dilation likewise.
        padding: Zeros around the inputs.
        dilation: Distance of the weights.
        cut: Whether the inputs are a part from the middle of what the layer was given.
    """

    inputs: Tensor
    kernels: Tensor
    bias: Tensor
    rest: Tensor
    outputs: Tensor
    n_hidden: int
    channels: list[str]
    names: list[str]
    stride: Pair
    padding: Pair
    dilation: Pair
    cut: bool


def layer_kernels(learn: Learner, name: str | None = None) -> LayerKernels:
    """Runs a training item through the model and keeps what one convolution made of it.

    Args:
        learn: The learner.
        name: The convolution's dotted name; None takes the first one, which sees the picture itself.

    Raises:
        ModelError: There is no such layer, or it is no convolution of pictures.
    """
    found = [key for key, part in learn.model.named_modules() if isinstance(part, nn.Conv2d)]
    layer = learn.get_submodule(name) if name else learn.get_submodule(found[0]) if found else None
    if not isinstance(layer, nn.Conv2d):
        raise ModelError(
            "a convolution needs a layer of the kind Conv2d",
            f"{name!r} is a {type(layer).__name__}" if name else "this model has none",
            f"Convolutions of this model: {found[:4]}." if found else "Use a model for pictures.",
        )
    with held(learn, 1) as batch:
        given, _ = passed_through(learn, layer, batch)
        sees_picture = given.shape[1] == 3 and given.shape[-2:] == batch.inputs[0].shape[-2:]
        side = LAYER_SIDE if given.shape[1] <= CHANNELS else DEEP_SIDE
        part = _middle(given[:1], side)
        with torch.no_grad():
            made = layer(part)
    inputs, padding = _padded(layer, part[0].double().cpu())
    return _cut_layer(layer, inputs, made[0].double().cpu(), padding, sees_picture, part.shape != given.shape)


def _middle(maps: Tensor, side: int) -> Tensor:
    h, w = (min(size, side) for size in maps.shape[-2:])
    top, left = (maps.shape[-2] - h) // 2, (maps.shape[-1] - w) // 2
    return maps[..., top : top + h, left : left + w]


def _padded(layer: nn.Conv2d, inputs: Tensor) -> tuple[Tensor, Pair]:
    """Inputs with any padding that is not plain zeros already around them, and the zeros still to add."""
    if isinstance(layer.padding, tuple) and layer.padding_mode == "zeros":
        return inputs, _two(layer.padding)
    if isinstance(layer.padding, tuple):
        (top, left), (bottom, right) = _two(layer.padding), _two(layer.padding)
    else:
        same = layer.padding == "same"
        reach = [d * (k - 1) * same for k, d in zip(layer.kernel_size, layer.dilation, strict=True)]
        top, left = reach[0] // 2, reach[1] // 2
        bottom, right = reach[0] - top, reach[1] - left
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return functional.pad(inputs[None], (left, right, top, bottom), mode)[0], (0, 0)


def _two(size: tuple[int, ...]) -> Pair:
    return size[0], size[1]


def _cut_layer(
    layer: nn.Conv2d, inputs: Tensor, made: Tensor, padding: Pair, sees_picture: bool, cut: bool
) -> LayerKernels:
    """The outputs that vary most over the picture, the inputs that weigh most in them."""
    spread = made.flatten(1).std(1, correction=0)
    chosen = spread.topk(min(OUTPUTS, len(made))).indices.sort().values
    weights = _all_weights(layer, chosen.tolist())  # (m, all channels, kh, kw)
    loud = inputs.abs().flatten(1).mean(1) * weights.abs().sum((0, 2, 3))
    shown = loud.topk(min(CHANNELS, len(inputs))).indices.sort().values
    every_bias = torch.zeros(len(made)) if layer.bias is None else layer.bias.detach().cpu()
    settings: dict[str, Any] = {"stride": _two(layer.stride), "dilation": _two(layer.dilation)}
    kernels = weights[:, shown]
    sums = functional.conv2d(inputs[shown][None], kernels, padding=padding, **settings)[0]
    outputs, bias = made[chosen], every_bias.double()[chosen]
    colours = ["red", "green", "blue"]
    return LayerKernels(
        inputs[shown],
        kernels,
        bias,
        outputs - sums - bias[:, None, None],
        outputs,
        len(inputs) - len(shown),
        colours if sees_picture else [f"input {i}" for i in shown.tolist()],
        [f"output {i}" for i in chosen.tolist()],
        padding=padding,
        cut=cut,
        **settings,
    )


def _all_weights(layer: nn.Conv2d, chosen: Sequence[int]) -> Tensor:
    """Kernels of some outputs over all input channels; those of other groups are zero."""
    per_group, width = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    weights = torch.zeros(len(chosen), layer.in_channels, *layer.kernel_size, dtype=torch.float64)
    for row, output in enumerate(chosen):
        first = output // per_group * width
        weights[row, first : first + width] = layer.weight.detach()[output].double().cpu()
    return weights


def convolution(photo: Any = None, learn: Learner | None = None, layer: str | None = None) -> Explorable:
    """The explorable: a kernel slides over a picture, and each sum is written down.

    Args:
        photo: A picture of your own: path, array, tensor or Pillow image; the page can load one, too.
        learn: Adds what a convolution of this learner makes of a real item.
        layer: That layer's dotted name; None takes the first one.

    Example:
        >>> convolution()
        Convolution: an explorable. ...
    """
    data: dict[str, Any] = {}
    if photo is not None:
        data["photo"] = as_data_url(grey(photo), SIDE)
    if learn is None:
        if layer is not None:
            raise ArgumentError(
                "`layer` names a layer of a learner",
                "no learner was passed",
                "Pass it: convolution(learn=learn, layer=...).",
            )
        return Explorable("convolution", data, (convolve, windows, out_size))
    found = layer_kernels(learn, layer)
    data["own"] = {
        "inputs": _rounded(found.inputs),
        "channels": found.channels,
        "outputs": [
            {
                "name": name,
                "kernels": _rounded(found.kernels[i]),
                "bias": float(found.bias[i]),
                "rest": _rounded(found.rest[i]) if found.n_hidden else None,
            }
            for i, name in enumerate(found.names)
        ],
        "stride": found.stride,
        "padding": found.padding,
        "dilation": found.dilation,
        "about": _about(found, layer),
    }
    return Explorable("convolution", data, (convolve, layer_kernels))


def _about(found: LayerKernels, layer: str | None) -> str:
    place = f"{layer} of your model" if layer else "The first convolution of your model"
    part = ", on a part from the middle of a real training item" if found.cut else ", on a real training item"
    rest = f" The other {found.n_hidden} input channels are added at the end." if found.n_hidden else ""
    return f"{place}{part}. Each output has a kernel for every input channel; their sums are added.{rest}"


def _rounded(values: Tensor) -> list[Any]:
    def short(value: Any) -> Any:
        return [short(each) for each in value] if isinstance(value, list) else float(f"{value:.{DIGITS}g}")

    return short(values.tolist())
