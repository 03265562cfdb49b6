"""The most additions and multiplications a processor or a GPU can do in a second, and how that is known.

In: cores, clock, width. Out: GFLOP/s and the product it came from, in words; None where a part of it is not
known, which is never guessed. Read next: `gpus.py`, which shows it beside what was measured.
"""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass
from pathlib import Path

import torch

__all__ = ["Limit", "cpu_limit", "cuda_limit", "limit_of_cpu", "limit_of_device"]

# Numbers of 32 bits in one instruction. Cores for desktops and servers begin two fused multiply-adds a cycle.
LANES = {"AVX512": 16, "AVX2": 8}
FUSED = 2 * 2  # two units, each of which multiplies and adds

# Multiply-adds of 32 bits that a multiprocessor begins in a cycle, by compute capability: table "Throughput
# of Native Arithmetic Instructions" of the CUDA C++ Programming Guide.
CUDA_LANES = {
    (5, 0): 128, (5, 2): 128, (5, 3): 128, (6, 0): 64, (6, 1): 128, (6, 2): 128, (7, 0): 64, (7, 2): 64,
    (7, 5): 64, (8, 0): 64, (8, 6): 128, (8, 7): 128, (8, 9): 128, (9, 0): 128, (10, 0): 128, (12, 0): 128,
}  # fmt: skip


@dataclass(frozen=True)
class Limit:
    """What a device could do if it did nothing but multiply and add.

    Attributes:
        gflops: Billions of operations in a second.
        how: The numbers it is the product of.
    """

    gflops: float
    how: str


def cpu_limit(cores: int, megahertz: float, capability: str) -> Limit | None:
    """Of a processor.

    Args:
        cores: How many take part.
        megahertz: Their clock.
        capability: As `torch.backends.cpu.get_cpu_capability()` names it.

    Returns:
        None for instructions whose width is not known here.

    Example:
        >>> cpu_limit(2, 3000, "AVX2").gflops
        192.0
    """
    lanes = LANES.get(capability)
    if lanes is None:
        return None
    how = (
        f"{cores} core{'s' if cores > 1 else ''} × {megahertz / 1000:.2f} GHz × {lanes * FUSED} operations "
        f"a cycle ({capability}: {lanes} numbers in an instruction, two of these begun in a cycle, "
        "each multiplies and adds)"
    )
    return Limit(cores * megahertz / 1000 * lanes * FUSED, how)


def cuda_limit(multiprocessors: int, kilohertz: float, capability: tuple[int, int]) -> Limit | None:
    """Of an NVIDIA GPU, for numbers of 32 bits in full precision.

    Args:
        multiprocessors: How many it has.
        kilohertz: Its highest clock.
        capability: Its compute capability.

    Returns:
        None for a capability that is not in the table.

    Example:
        >>> round(cuda_limit(108, 1_410_000, (8, 0)).gflops)  # an A100; its data sheet says 19.5 TFLOP/s
        19492
    """
    lanes = CUDA_LANES.get(capability)
    if lanes is None:
        return None
    parts = f"{multiprocessors} multiprocessors × {lanes} cores × {kilohertz / 1e6:.2f} GHz"
    how = f"{parts} × 2 operations a cycle"
    return Limit(multiprocessors * lanes * kilohertz / 1e6 * 2, how)


def limit_of_cpu(cores: int) -> Limit | None:
    """Of this machine's processor, with so many of its cores; None where its clock is not known."""
    megahertz = _megahertz()
    return None if megahertz is None else cpu_limit(cores, megahertz, torch.backends.cpu.get_cpu_capability())


def limit_of_device(device: torch.device) -> Limit | None:
    """Of one of this machine's GPUs; None where its maker's numbers are not known."""
    if device.type != "cuda" or torch.version.hip is not None:
        return None
    found = torch.cuda.get_device_properties(device)
    kilohertz = getattr(found, "clock_rate", None)  # of later torch only
    if kilohertz is None:
        return None
    return cuda_limit(found.multi_processor_count, kilohertz, (found.major, found.minor))


def _megahertz() -> float | None:
    """The highest clock Linux knows of, else the one it runs at; other systems do not tell."""
    if platform.system() != "Linux":
        return None
    highest = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if highest.exists():
        return int(highest.read_text()) / 1000
    found = re.search(r"^cpu MHz\s*:\s*([\d.]+)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return float(found[1]) if found else None
