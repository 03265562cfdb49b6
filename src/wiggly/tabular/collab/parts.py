"""What a notebook builds a factor model of: an embedding with small values, a bounded output, a module.

In: numbers. Out: tensors and modules of torch. Read next: `models.py`, the models made of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

__all__ = ["Embedding", "Module", "one_hot", "sigmoid_range"]


class Module(nn.Module):
    """torch's module for which a subclass need not call `super().__init__()`.

    Example:
        >>> class Scale(Module):
        ...     def __init__(self, by): self.by = nn.Parameter(torch.tensor(by))
        ...     def forward(self, x): return x * self.by
        >>> Scale(2.0)(torch.ones(2)).tolist()
        [2.0, 2.0]
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        made = super().__new__(cls)
        nn.Module.__init__(made)
        return made

    def __init__(self) -> None:
        """Nothing is left to do: whoever calls it all the same loses nothing."""


class Embedding(nn.Embedding):
    """A vector for each of `ni` things, drawn from a normal distribution cut off at twice its width.

    Args:
        ni: Things.
        nf: Numbers per thing.
        std: Width of the distribution.

    Example:
        >>> bool(Embedding(100, 5).weight.abs().max() <= 0.02)
        True
    """

    def __init__(self, ni: int, nf: int, std: float = 0.01) -> None:
        super().__init__(ni, nf)
        nn.init.trunc_normal_(self.weight, std=std, a=-2 * std, b=2 * std)


def sigmoid_range(x: Tensor, lo: float, hi: float) -> Tensor:
    """Any numbers squeezed between two, evenly on both sides of the middle.

    Args:
        x: Any shape.
        lo: What very small numbers become.
        hi: What very large ones become.

    Example:
        >>> sigmoid_range(torch.tensor([-100.0, 0.0, 100.0]), 0, 5)
        tensor([0.0000, 2.5000, 5.0000])
    """
    return torch.sigmoid(x) * (hi - lo) + lo


def one_hot(x: int | Sequence[int] | Tensor, c: int) -> Tensor:
    """A 1 in each of these places among `c` zeros, uint8.

    Args:
        x: One place or several.
        c: Length.

    Example:
        >>> one_hot(2, 4), one_hot([0, 3], 4)
        (tensor([0, 0, 1, 0], dtype=torch.uint8), tensor([1, 0, 0, 1], dtype=torch.uint8))
    """
    made = torch.zeros(c, dtype=torch.uint8)
    made[torch.as_tensor(x, dtype=torch.long)] = 1
    return made
