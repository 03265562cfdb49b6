"""Lockstep: what the rows of a batch share in a forward pass, shared between the processes that divided it.

In: the forward pass of a model in training mode. Out: the same output as of the whole batch in one process:
batch norms use the statistics of all rows, and dropout and stochastic depth draw for all rows and keep those
of this process. Layers stay as they are; it is torch's functions that are answered otherwise while a
`Lockstep` is on. Read next: `engine.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Lockstep"]


class Lockstep(TorchFunctionMode):
    """Within it, batch norm, dropout and draws per row act as if the rows of all processes were here.

    The random generators of all processes must be in the same state; they then stay so.

    Args:
        counts: Rows of the batch in each process, by rank. One that has none computes on a row that does not
            count.
        rank: This process.
        norms: Whether batch norms share their statistics; without it each process uses its own.
    """

    def __init__(self, counts: Sequence[int], rank: int, norms: bool = True) -> None:
        super().__init__()
        self.n, self.first, self.total = counts[rank], sum(counts[:rank]), sum(counts)
        self.here = max(self.n, 1)
        self.norms = norms

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is F.batch_norm and self.norms:
            return self._batch_norm(*args, **kwargs)
        if func is F.dropout:
            return self._dropout(*args, **kwargs)
        if func is Tensor.bernoulli_ and self._is_per_row(
            args[0]
        ):  # timm's and torchvision's stochastic depth
            return args[0].copy_(self._mine(self._for_all(args[0]).bernoulli_(*args[1:], **kwargs)))
        return func(*args, **kwargs)

    def _is_per_row(self, tensor: Tensor) -> bool:
        return tensor.ndim > 0 and tensor.shape[0] == self.here

    def _for_all(self, tensor: Tensor) -> Tensor:
        """Room for the rows of all processes, in the same memory format."""
        return torch.empty_like(tensor[:1].expand(self.total, *tensor.shape[1:]).contiguous()).to(
            memory_format=_format_of(tensor)
        )

    def _mine(self, rows: Tensor) -> Tensor:
        first = min(self.first, self.total - self.here)  # a row that does not count may take any draw
        return rows[first : first + self.here]

    def _dropout(self, input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
        if not training or not p or not self._is_per_row(input):
            return F.dropout(input, p, training, inplace)
        kept = F.dropout(torch.ones_like(self._for_all(input)), p, training)
        return input.mul_(self._mine(kept)) if inplace else input * self._mine(kept)

    def _batch_norm(
        self,
        input: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training or not self._is_per_row(input):
            return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
        normal, mean, var, count = _Normalise.apply(input, eps, self.n > 0)
        if running_mean is not None and running_var is not None:
            unbiased = var * (count / (count - 1))
            running_mean.lerp_(mean.to(running_mean.dtype), momentum)
            running_var.lerp_(unbiased.to(running_var.dtype), momentum)
        shape = (1, -1, *[1] * (input.ndim - 2))
        if weight is not None:
            normal = normal * weight.reshape(shape)
        if bias is not None:
            normal = normal + bias.reshape(shape)
        return normal.to(input.dtype)


def _format_of(tensor: Tensor) -> torch.memory_format:
    # Draws fill memory in its order, so the whole batch must lie as it would in one process.
    last = tensor.ndim == 4 and not tensor.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class _Normalise(torch.autograd.Function):
    """`(x - mean) / sqrt(var + eps)` per channel, with the mean and the variance over the rows of all
    processes.

    Means and squares of the parts are combined as in Chan, Golub & LeVeque, "Updating formulae and a pairwise
    algorithm for computing sample variances" (1979); the gradient is that of Ioffe & Szegedy,
    arXiv:1502.03167.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float, counts: bool) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        axes = [axis for axis in range(x.ndim) if axis != 1]
        shape = (1, -1, *[1] * (x.ndim - 2))
        wide = x.float()
        mean = wide.mean(axes)
        squares = (wide - mean.reshape(shape)).square().sum(axes)
        here = x.numel() // x.shape[1] if counts else 0
        part = torch.cat([mean, squares, mean.new_tensor([float(here)])])
        parts = [torch.empty_like(part) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, part)
        stacked = torch.stack(parts)
        c = x.shape[1]
        means, square_sums, n = stacked[:, :c], stacked[:, c:-1], stacked[:, -1:]
        used = n > 0  # what a row that does not count gave may be anything
        means, square_sums = torch.where(used, means, 0.0), torch.where(used, square_sums, 0.0)
        total = n.sum()
        mean = (means * n).sum(0) / total
        var = (square_sums.sum(0) + (n * (means - mean).square()).sum(0)) / total
        scale = (var + eps).rsqrt()
        normal = (wide - mean.reshape(shape)) * scale.reshape(shape)
        ctx.save_for_backward(normal, scale, total)
        ctx.axes, ctx.shape, ctx.dtype, ctx.counts = axes, shape, x.dtype, counts
        ctx.mark_non_differentiable(mean, var, total)
        return normal, mean, var, total

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        normal, scale, total = ctx.saved_tensors
        gradient = gradients[0].float()
        sums = torch.cat([gradient.sum(ctx.axes), (gradient * normal).sum(ctx.axes)])
        dist.all_reduce(sums)
        ones, along = (part.reshape(ctx.shape) / total for part in sums.chunk(2))
        own = (gradient - ones - normal * along) * scale.reshape(ctx.shape)
        # The statistics do not depend on a row that does not count.
        return (own if ctx.counts else torch.zeros_like(own)).to(ctx.dtype), None, None
