"""The resampling of `vision/exact.py` as tensors, so that it travels within the exported graph.

In: uint8 pictures `(n, h, w, c)` of any size. Out: levels 0 to 255 `(n, c, H, W)`, float32 and whole. Weights
are made of the height and width that come at run time. Read next: `modules.py`, what follows it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.bundle.parts import Step
from wiggly.bundle.placing import MOVING, Arithmetic, place
from wiggly.vision.exact import EDGE, HALF, Axis

__all__ = ["Resample"]

TENSORS = Arithmetic(
    lambda a, b: torch.minimum(_tensor(a), _tensor(b)),
    lambda a, b: torch.maximum(_tensor(a), _tensor(b)),
    lambda a: torch.round(_tensor(a)),
    lambda a: torch.floor(_tensor(a)),
)


class Resample(nn.Module):
    """Prepares pictures; those that have the model's size are taken as prepared.

    Args:
        steps: The `preprocessing` of a picture input.
        size: Height and width that come out; None leaves pictures as they are.

    Example:
        >>> picture = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1)
        >>> Resample([Step("Resize", {"size": 2})], (2, 2))(picture)[0, 0].tolist()
        [[4.0, 5.0], [10.0, 11.0]]
    """

    def __init__(self, steps: Sequence[Step], size: tuple[int, int] | None) -> None:
        super().__init__()
        self.steps = [step for step in steps if step.name in MOVING]
        self.size = size if self.steps else None

    def forward(self, pictures: Tensor) -> Tensor:
        """Levels of prepared pictures."""
        if self.size is None:
            return _levels(pictures)
        if not torch.compiler.is_compiling():
            return (self._taken if pictures.shape[1:3] == self.size else self._resampled)(pictures)
        height, width = (torch.scalar_tensor(side, dtype=torch.int64) for side in pictures.shape[1:3])
        prepared = (height == self.size[0]) & (width == self.size[1])
        return cast("Tensor", torch.cond(prepared, self._taken, self._resampled, (pictures,)))

    def _taken(self, pictures: Tensor) -> Tensor:
        assert self.size is not None
        # It takes every row and column; by number, so that the exporter knows the size of both branches.
        for axis, length in enumerate(self.size, 1):
            pictures = pictures.index_select(axis, torch.arange(length))
        return _levels(pictures)

    def _resampled(self, pictures: Tensor) -> Tensor:
        height, width = pictures.shape[1:3]
        placed = place(self.steps, _number(height), _number(width), TENSORS)
        down, across = _weights(placed.y, height, placed.border), _weights(placed.x, width, placed.border)
        made = torch.matmul(torch.matmul(down, _levels(pictures)), across.transpose(0, 1))
        return torch.floor(made + HALF).clamp(0, 255)


def _levels(pictures: Tensor) -> Tensor:
    return pictures.permute(0, 3, 1, 2).to(torch.float32, memory_format=torch.contiguous_format, copy=True)


def _number(side: float) -> Tensor:
    return torch.scalar_tensor(side, dtype=torch.float64)


def _tensor(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else _number(value)


def _weights(axis: Axis, n: int, border: str) -> Tensor:
    """`(axis.length, n)`: how much each target pixel takes of each source pixel."""
    step = _tensor(axis.step)
    centres = axis.start + (torch.arange(axis.length, dtype=torch.float64) + 0.5) * step
    places = _folded(centres, _number(n), border)
    reach = torch.clamp(step, min=1.0).to(torch.float32)
    whole = torch.floor(places)
    # The difference is whole and exact, so 32 bits do for the large matrix.
    apart = (torch.arange(n) - whole.to(torch.int64)[:, None]).to(torch.float32)
    apart = (apart - (places - whole).to(torch.float32)[:, None]).abs()
    weights = torch.clamp(1 - apart / reach, min=0)
    weights = weights / weights.sum(1, keepdim=True)
    if border == "zeros":
        weights = weights * (~_outside(centres, _number(n))).to(torch.float32)[:, None]
    return weights


def _folded(centres: Tensor, n: Tensor, border: str) -> Tensor:
    """Places counted from the centre of the first pixel; those outside the picture brought into it."""
    places = centres - 0.5
    if border == "reflection":
        period = torch.clamp(2 * (n - 1), min=1.0)  # a single pixel has none, and stays where it is below
        back = places.abs()
        back = back - period * torch.floor(back / period)
        inside = torch.minimum(torch.minimum(back, period - back), n - 1)
    else:
        inside = torch.minimum(torch.clamp(places, min=0.0), n - 1)
    return torch.where(_outside(centres, n), inside, places)


def _outside(centres: Tensor, n: Tensor) -> Tensor:
    return (centres < -EDGE) | (centres > n + EDGE)
