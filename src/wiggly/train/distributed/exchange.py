"""Exchange: what processes that train together send each other: gradients, weights, rows.

In: tensors of this process. Out: the same, or those of all. Read next: `engine.py`, which says when.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator, Sequence
from pathlib import PurePath
from typing import Any, cast
from zlib import crc32

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.records import Batch

__all__ = [
    "batch_on_cpu",
    "fingerprint",
    "first_row",
    "join_parts",
    "last_row",
    "reduce_gradients",
    "rows_on_cpu",
    "send_from_first",
    "set_aside",
]

# Numbers sent at once: few messages, and not a second copy of all gradients (torch's DDP sends 25 MB).
BUCKET = 8 * 1024**2
# Items whose names are compared.
COMPARED = 1000


def _buckets(tensors: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors in groups of one type and device, none much larger than a bucket."""
    kinds: dict[tuple[torch.dtype, torch.device], list[Tensor]] = {}
    for tensor in tensors:
        waiting = kinds.setdefault((tensor.dtype, tensor.device), [])
        waiting.append(tensor)
        if sum(t.numel() for t in waiting) >= BUCKET:
            yield kinds.pop((tensor.dtype, tensor.device))
    yield from kinds.values()


def _fill(tensors: Sequence[Tensor], flat: Tensor) -> None:
    for tensor, part in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.reshape(tensor.shape))


@contextlib.contextmanager
def set_aside(parameters: Sequence[nn.Parameter]) -> Generator[None]:
    """Takes gradients away that are sums over all processes already, and adds them again at the end."""
    kept = [cast("Tensor", parameter.grad) for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    yield
    for parameter, gradient in zip(parameters, kept, strict=True):
        parameter.grad = gradient if parameter.grad is None else gradient.add_(parameter.grad)


@torch.no_grad()
def reduce_gradients(parameters: Sequence[nn.Parameter]) -> None:
    """Adds up every parameter's gradient over all processes.

    A parameter that no process has used keeps None, as it would in one process.

    Args:
        parameters: The same ones in the same order in every process.
    """
    used = [parameter.grad is not None for parameter in parameters]
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [cast("Tensor", parameter.grad) for parameter in parameters]
    sent: list[tuple[list[Tensor], Tensor, Any]] = []
    for bucket in _buckets(gradients):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        sent.append((bucket, flat, dist.all_reduce(flat, async_op=True)))
    uses = torch.tensor(used, dtype=torch.int32, device=parameters[0].device) if parameters else None
    if uses is not None:
        dist.all_reduce(uses)
    for bucket, flat, work in sent:
        work.wait()
        _fill(bucket, flat)
    if uses is not None and not all(used):  # only then is the answer read, for which a GPU would have to wait
        for parameter, n in zip(parameters, uses.tolist(), strict=True):
            if not n:
                parameter.grad = None


@torch.no_grad()
def send_from_first(tensors: Sequence[Tensor]) -> None:
    """Gives all processes the first one's numbers, in place."""
    for bucket in _buckets([tensor.detach() for tensor in tensors if tensor.numel()]):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        dist.broadcast(flat, 0)
        _fill(bucket, flat)


def rows_on_cpu(value: Any, n: int) -> Any:
    """The first `n` rows of nested tensors, on the CPU."""
    if isinstance(value, Tensor):
        return value.detach()[:n].cpu()
    if isinstance(value, dict):
        return {name: rows_on_cpu(part, n) for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, (list, tuple)):
        parts = [rows_on_cpu(part, n) for part in cast("Sequence[Any]", value)]
        return parts if isinstance(value, list) else tuple(parts)
    return value


def batch_on_cpu(batch: Batch, n: int, inputs: bool) -> Batch:
    """The first `n` rows of a batch, on the CPU, with or without its inputs."""
    taken = rows_on_cpu(batch.inputs, n) if inputs else ()
    return Batch(taken, rows_on_cpu(batch.targets, n), batch.positions[:n])


def first_row(batch: Batch) -> Batch:
    """A batch of one row that does not count."""
    inputs, targets = (tuple(t[:1].clone() for t in side) for side in (batch.inputs, batch.targets))
    return Batch(inputs, targets, [])


def last_row(batch: Batch) -> Batch:
    """The last row of a batch, which must have one."""
    inputs, targets = (tuple(t[-1:] for t in side) for side in (batch.inputs, batch.targets))
    return Batch(inputs, targets, batch.positions[-1:])


def join_parts(parts: Sequence[tuple[Batch, Any]]) -> list[tuple[Batch, Any]]:
    """Parts of a batch with their outputs put one after the other, where their shapes allow it.

    Example:
        >>> parts = [(Batch((), (torch.zeros(n),), [0] * n), torch.zeros(n, 2)) for n in (2, 1)]
        >>> [(len(batch), pred.shape) for batch, pred in join_parts(parts)]
        [(3, torch.Size([3, 2]))]
    """
    filled = [(batch, pred) for batch, pred in parts if len(batch)]
    try:
        inputs, targets = (
            tuple(torch.cat(column) for column in zip(*sides, strict=True))
            for sides in ([b.inputs for b, _ in filled], [b.targets for b, _ in filled])
        )
        pred = _joined([pred for _, pred in filled])
    except (RuntimeError, TypeError):  # boxes, for instance: as many columns as the fullest picture has
        return filled
    return [(Batch(inputs, targets, [p for batch, _ in filled for p in batch.positions]), pred)]


def _joined(values: list[Any]) -> Any:
    if isinstance(values[0], Tensor):
        return torch.cat(values)
    if isinstance(values[0], tuple):
        return tuple(_joined(list(column)) for column in zip(*values, strict=True))
    raise TypeError(type(values[0]).__name__)


def fingerprint(dl: DataLoader) -> tuple[int, int]:
    """The number of a loader's items, and a number that tells other items, or another order, apart."""
    dataset: Any = dl.dataset
    n = dl.count()
    if not isinstance(dataset, Dataset):
        return n, 0
    step = max(1, n // COMPARED)
    names = [PurePath(dataset.item_name(position)).name for position in range(0, n, step)]
    return n, crc32("\n".join(names).encode())
