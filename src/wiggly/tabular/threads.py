"""How many threads a small network wants: one, as a step of it is over before a second one has woken up.

In: a learner. Out: a block in which torch uses that many. Read next: `learner.py`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

import torch
from torch import nn

from wiggly.tabular.models import TabMModel

__all__ = ["fitting_threads"]

# Measured on two cores: below it one thread is faster, or as fast (`dev/LOG.md`).
FEW_NUMBERS = 1e7


@contextlib.contextmanager
def fitting_threads(model: nn.Module, rows: int, device: torch.device) -> Generator[None]:
    """One thread of torch on a CPU within the block, if the network and its batches are small.

    The rule asks for sizes, never for times, so that a run gives the same numbers again.

    Args:
        model: A network for rows.
        rows: Of a batch.
        device: Where it runs.

    Example:
        >>> before = torch.get_num_threads()
        >>> with fitting_threads(nn.Linear(10, 2), 64, torch.device("cpu")):
        ...     torch.get_num_threads()
        1
        >>> torch.get_num_threads() == before
        True
    """
    threads = torch.get_num_threads()
    if device.type != "cpu" or threads == 1 or _numbers(model, rows) >= FEW_NUMBERS:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _numbers(model: nn.Module, rows: int) -> float:
    """Multiplications of a batch's forward pass, about, and the parameters that the optimizer steps."""
    tables = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding)}
    sizes: list[Any] = [(p.numel(), id(p) in tables) for p in model.parameters()]
    dense = sum(size for size, is_table in sizes if not is_table)
    members = int(model.config["members"]) if isinstance(model, TabMModel) else 1
    return rows * dense * members + sum(size for size, _ in sizes)
