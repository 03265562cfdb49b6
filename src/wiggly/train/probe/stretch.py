"""Numbers far from 0, or with a wide spread: a head learns them as if they were around 0 and about 1 wide.

In: the layers of a head and the training targets. Out: a last layer that stretches what the head gives, and
that is afterwards folded into the head's own weights, exactly. Without it the head's bias would need hundreds
of steps to reach an age of 40. Read next: `probing.py`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from wiggly.train.losses.core import MSELossFlat

__all__ = ["Stretch", "stretch_for"]

DISTANCES = (MSELossFlat, nn.MSELoss, nn.L1Loss, nn.SmoothL1Loss, nn.HuberLoss)


class Stretch(nn.Module):
    """Output `x · scale + shift`.

    Args:
        scale: One number per output, `(k,)`.
        shift: Likewise.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, scale: Tensor, shift: Tensor) -> None:
        super().__init__()
        self.register_buffer("scale", scale)
        self.register_buffer("shift", shift)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift

    @torch.no_grad()
    def fold_into(self, head: nn.Sequential) -> None:
        """Has a head give by itself what it gives with this layer behind it, in evaluation mode.

        Args:
            head: Its last layer is linear, and has a bias or a batch norm before it.
        """
        last, norm = _ends(head)
        last.weight.mul_(self.scale[:, None].to(last.weight))
        shift = self.shift.to(last.weight)
        if last.bias is not None:
            last.bias.mul_(self.scale.to(last.bias)).add_(shift)
        elif norm is not None:  # the smallest change of its bias that the weights turn into the shift
            norm.bias.add_(
                torch.linalg.lstsq(last.weight.cpu(), shift.cpu()[:, None]).solution[:, 0].to(norm.bias)
            )


def stretch_for(head: nn.Sequential, loss_func: Any, targets: tuple[Tensor, ...]) -> Stretch | None:
    """What a head needs whose outputs are compared with numbers; None where there is nothing to stretch.

    Args:
        head: The layers that learn.
        loss_func: Only losses that are a distance of numbers ask for it.
        targets: Of the training items; NaN stands for a missing number.
    """
    if not isinstance(loss_func, DISTANCES) or len(targets) != 1 or not targets[0].is_floating_point():
        return None
    numbers = targets[0].flatten(1) if targets[0].ndim > 1 else targets[0][:, None]
    ends = _ends(head) if isinstance(list(head)[-1], nn.Linear) else None
    if ends is None or ends[0].out_features != numbers.shape[1] or (ends[0].bias is None and ends[1] is None):
        return None
    shift = numbers.nanmean(0)
    spread = (numbers - shift).square().nanmean(0).sqrt()
    if not bool(shift.isfinite().all()):
        return None
    return Stretch(torch.where(spread > 0, spread, torch.ones_like(spread)), shift)


def _ends(head: nn.Sequential) -> tuple[Any, nn.BatchNorm1d | None]:
    """The last layer, and the batch norm that feeds it, if there is only dropout between them."""
    *before, last = head.children()
    assert isinstance(last, nn.Linear)
    while before and isinstance(before[-1], nn.Dropout):
        before.pop()
    norm = before[-1] if before else None
    return last, norm if isinstance(norm, nn.BatchNorm1d) and norm.affine else None
