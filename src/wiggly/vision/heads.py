"""The head of a vision model: from a feature map, or a vector per image, to the outputs.

In: numbers of features and outputs. Out: a sequence of layers in the order that fastai's users know,
initialised by Kaiming's rule. Read next: `models.py`, which joins body and head.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError

__all__ = ["AdaptiveConcatPool2d", "HeadSpec", "SigmoidRange", "create_head", "head_of", "init_head"]


class AdaptiveConcatPool2d(nn.Module):
    """Global max and average pooling side by side: `(n, c, h, w)` to `(n, 2c, 1, 1)`, maximum first.

    Args:
        size: Height and width of the result.

    Example:
        >>> AdaptiveConcatPool2d()(torch.tensor([[[[1.0, 3.0]]]])).flatten().tolist()
        [3.0, 2.0]
    """

    def __init__(self, size: int | tuple[int, int] = 1) -> None:
        super().__init__()
        self.max, self.average = nn.AdaptiveMaxPool2d(size), nn.AdaptiveAvgPool2d(size)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.max(x), self.average(x)], dim=1)


class SigmoidRange(nn.Module):
    """A sigmoid stretched to `(low, high)`, for numbers whose range is known.

    Raises:
        ArgumentError: `low` is not below `high`.

    Example:
        >>> SigmoidRange(0, 10)(torch.zeros(1)).item()
        5.0
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        if not low < high:
            raise ArgumentError(
                "`y_range` must be two numbers, the lower one first", f"got {(low, high)}", "E.g. (0, 100)."
            )
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x) * (self.high - self.low) + self.low

    def extra_repr(self) -> str:
        return f"low={self.low}, high={self.high}"


@dataclass(frozen=True, slots=True)
class HeadSpec:
    """Arguments of `create_head`, as they stand in a bundle."""

    n_features: int
    n_out: int
    lin_ftrs: Sequence[int] | None = None
    ps: float | Sequence[float] = 0.5
    pool: bool = True
    concat_pool: bool = True
    first_bn: bool = True
    bn_final: bool = False
    lin_first: bool = False
    y_range: tuple[float, float] | None = None


def create_head(
    nf: int,
    n_out: int,
    lin_ftrs: Sequence[int] | None = None,
    ps: float | Sequence[float] = 0.5,
    pool: bool = True,
    concat_pool: bool = True,
    first_bn: bool = True,
    bn_final: bool = False,
    lin_first: bool = False,
    y_range: tuple[float, float] | None = None,
) -> nn.Sequential:
    """Make the layers between features and outputs: pooling; batch norm, dropout, linear and ReLU in turn.

    Args:
        nf: Channels of the feature map (doubled by `concat_pool`), or length of the vector without `pool`.
        n_out: Number of outputs.
        lin_ftrs: Widths of the hidden layers; None is one of 512, `[]` none.
        ps: Dropout before the last linear layer (hidden ones get half of it), or one number per linear layer;
            0 to 1.
        pool: Pool a feature map first; False for vectors.
        concat_pool: Pool by maximum and average side by side instead of average alone.
        first_bn: Batch norm before the first linear layer.
        bn_final: Batch norm on the outputs.
        lin_first: Linear layers before their batch norm instead of after it.
        y_range: Squeeze the outputs between these two numbers.

    Returns:
        The head, with PyTorch's own initialisation.

    Raises:
        ArgumentError: `ps` has a wrong length or is no probability.

    Example:
        >>> [type(layer).__name__ for layer in create_head(4, 2, lin_ftrs=[])]
        ['AdaptiveConcatPool2d', 'Flatten', 'BatchNorm1d', 'Dropout', 'Linear']
    """
    layers: list[nn.Module] = []
    if pool:
        nf *= 2 if concat_pool else 1
        layers += [AdaptiveConcatPool2d() if concat_pool else nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    widths = [nf, *([512] if lin_ftrs is None else lin_ftrs), n_out]
    drops = _dropouts(ps, len(widths) - 1)
    layers += (_linear_first if lin_first else _norm_first)(widths, drops, first_bn)
    if bn_final:
        layers.append(nn.BatchNorm1d(n_out, momentum=0.01))
    if y_range is not None:
        layers.append(SigmoidRange(*y_range))
    return nn.Sequential(*layers)


def _dropouts(ps: float | Sequence[float], count: int) -> list[float]:
    given = [float(ps)] if isinstance(ps, (int, float)) else [float(p) for p in ps]
    drops = [given[0] / 2] * (count - 1) + given if len(given) == 1 else given
    if len(drops) != count or not all(0 <= p < 1 for p in drops):
        raise ArgumentError(
            f"`ps` must be one probability, or one for each of the {count} linear layers, from 0 to below 1",
            f"got {ps}",
            "Pass ps=0.5",
        )
    return drops


def _norm_first(widths: list[int], drops: list[float], first_bn: bool) -> list[nn.Module]:
    """Batch norm, dropout, linear, ReLU; linear layers after a batch norm have no bias, as in fastai."""
    layers: list[nn.Module] = []
    for i, (before, after, p) in enumerate(zip(widths[:-1], widths[1:], drops, strict=True)):
        norm = first_bn or i > 0
        layers += [nn.BatchNorm1d(before)] if norm else []
        layers += [nn.Dropout(p)] if p else []
        layers.append(nn.Linear(before, after, bias=not norm))
        layers += [nn.ReLU(inplace=True)] if i < len(drops) - 1 else []
    return layers


def _linear_first(widths: list[int], drops: list[float], first_bn: bool) -> list[nn.Module]:
    """Dropout, then linear, ReLU, batch norm, dropout for each hidden layer, then the last linear layer."""
    layers: list[nn.Module] = [nn.Dropout(drops[0])] if drops[0] else []
    for i, (before, after, p) in enumerate(zip(widths[:-2], widths[1:-1], drops[1:], strict=True)):
        norm = first_bn or i > 0
        layers += [nn.Linear(before, after, bias=not norm), nn.ReLU(inplace=True)]
        layers += [nn.BatchNorm1d(after)] if norm else []
        layers += [nn.Dropout(p)] if p else []
    return [*layers, nn.Linear(widths[-2], widths[-1])]


def init_head(head: nn.Module, init: Callable[[Tensor], Any]) -> None:
    """Initialise the linear layers of a head: weights by `init`, biases zero.

    Args:
        head: The head, changed in place.
        init: Fills a weight tensor in place.
    """
    linear = [layer for layer in head.modules() if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for layer in linear:
            for name, values in layer.named_parameters():
                init(values) if name == "weight" else values.zero_()


def head_of(spec: HeadSpec) -> nn.Sequential:
    """The head a specification describes."""
    arguments = asdict(spec)
    return create_head(arguments.pop("n_features"), **arguments)
