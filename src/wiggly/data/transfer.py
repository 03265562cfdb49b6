"""From host memory to the device: out of page-locked memory, on a stream of its own.

In: batches on the CPU (or made on the device by a loader's threads) and a function that moves one. Out: the
same batches in the same order on the device. On a CPU nothing is copied. Read next: `../train/engine.py`,
which reads its batches through this.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from wiggly.records import Batch

__all__ = ["host_memory", "on_device"]


def host_memory(shape: tuple[int, ...]) -> Tensor | None:
    """Page-locked float32 memory, from which a GPU copies while the program runs on.

    torch keeps such memory when it is freed, and does not give it out again before copies from it have ended.

    Returns:
        A tensor, or None where this process has used no CUDA device: ordinary memory serves as well then.

    Example:
        >>> memory = host_memory((2, 3))
        >>> memory is None or memory.is_pinned()
        True
    """
    # Asking only whether there is a device would start CUDA, which takes seconds and half a gigabyte.
    if not torch.cuda.is_initialized():
        return None
    return torch.empty(shape, pin_memory=True)


def on_device(
    batches: Iterable[Batch], move: Callable[[Batch], Batch], device: torch.device
) -> Iterator[Batch]:
    """Batches moved to a device; on CUDA one travels while the GPU still works on the one before.

    None is asked for before its turn, so a loader's position counts what has been trained on. The copy
    overlaps all the same: it is queued when Python asks for the batch, ahead of the GPU, and only the work on
    this batch waits for it.

    Args:
        batches: In order.
        move: Moves one batch; copies should be `non_blocking`.
        device: Where to.

    Returns:
        The moved batches in the same order.

    Example:
        >>> batch = Batch((torch.zeros(2),), (), [0, 1])
        >>> [b.positions for b in on_device([batch], lambda b: b, torch.device("cpu"))]
        [[0, 1]]
    """
    if device.type == "cuda":
        return _beside(batches, move, device)
    return map(move, batches)


def _beside(
    batches: Iterable[Batch], move: Callable[[Batch], Batch], device: torch.device
) -> Iterator[Batch]:
    stream = torch.cuda.Stream(device)
    for batch in batches:
        copied = torch.cuda.Event()
        with torch.cuda.stream(stream):
            moved = move(_page_locked(batch))
            copied.record(stream)
        working = torch.cuda.current_stream(device)
        working.wait_event(copied)
        for tensor in moved.tensors:
            # Allocated on another stream: its memory must not be used again before this one is done with it.
            if tensor.is_cuda:
                tensor.record_stream(working)
        yield moved


def _page_locked(batch: Batch) -> Batch:
    """The batch with tensors that lie in ordinary memory copied to page-locked memory."""

    def locked(tensor: Tensor) -> Tensor:
        return tensor if tensor.is_cuda or tensor.is_pinned() else tensor.pin_memory()

    return Batch(tuple(map(locked, batch.inputs)), tuple(map(locked, batch.targets)), batch.positions)
