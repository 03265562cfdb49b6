"""Connecting the processes of a launcher, by Hugging Face Accelerate.

In: what `torchrun` or `accelerate launch` says in the environment. Out: processes that can send each other
tensors, and this one's device. Read next: `engine.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import torch
from torch import Tensor

from wiggly.errors import ArgumentError, DependencyError

__all__ = ["connect", "draws_of", "launcher_store", "plain_device"]


def connect(device: str | torch.device | None, timeout: float) -> Any:
    """Connects the processes; made once per process, whatever the number of learners."""
    try:
        from accelerate import Accelerator
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError as error:
        raise DependencyError(
            "several processes need the package `accelerate`",
            "it is not installed",
            "pip install 'wiggly[distributed]'",
        ) from error
    cpu = device is not None and torch.device(device).type == "cpu"
    wait = InitProcessGroupKwargs(timeout=timedelta(seconds=timeout))
    try:
        return Accelerator(cpu=cpu, kwargs_handlers=[wait])
    except ValueError as error:
        raise ArgumentError(
            "the launcher must ask for what this machine has",
            str(error).splitlines()[0],
            'Run `accelerate config`, or pass e.g. AccelerateEngine("cpu").',
        ) from error


def launcher_store() -> Any:
    """The launcher's key-value store, which outlives a process."""
    from torch.distributed import distributed_c10d as core

    return core.PrefixStore("wiggly", core._get_default_store())  # pyright: ignore[reportPrivateUsage]  (no other)


def plain_device(device: torch.device) -> torch.device:
    """A device as its tensors say they are on it."""
    # "cpu:0" is not the device that tensors of the CPU say they are on, so all would be copied there.
    return torch.device("cpu") if device.type == "cpu" else device


def draws_of(device: torch.device) -> Tensor | None:
    """The state of a GPU's random generator; None of a CPU, whose generator is torch's global one."""
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else None
