"""Why GPUs: one matrix product, timed on everything this machine can multiply with.

In: nothing but the machine. Out: for each way to multiply two square matrices (loops in Python, NumPy, torch
on one and on all threads, every GPU) seconds at growing sizes, and the most the device could do. The page
draws it, and times the browser as well (`web/widgets/src/core/gpus.ts`). Read next: `limits.py`.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.teach.explorable import Explorable
from wiggly.teach.limits import Limit, limit_of_cpu, limit_of_device

__all__ = ["Speed", "Timing", "measure_products", "multiply_in_loops", "why_gpus"]

SMALLEST, LARGEST = 4, 16_384  # rows of a matrix; the largest two and their product take 3 GiB
FEWEST, MOST = 3, 1000  # repeats at one size


@dataclass(frozen=True)
class Timing:
    """One size, timed several times.

    Attributes:
        n: Rows and columns of both matrices.
        seconds: The quickest product; what else the machine did only ever adds to it.
        usual: The median, in seconds: far above the quickest, the machine was busy.
        repeats: How many were timed.
    """

    n: int
    seconds: float
    usual: float
    repeats: int

    @property
    def gflops(self) -> float:
        """Billions of additions and multiplications in a second: `2 n³` of them make a product."""
        return 2 * self.n**3 / self.seconds / 1e9


@dataclass(frozen=True)
class Speed:
    """How quick one way to multiply is.

    Attributes:
        name: Of the way, for people.
        kind: "loops", "cpu" or "gpu".
        about: What it does, in a sentence.
        timings: Sizes, growing.
        limit: The most the device could do; None where that is not known.
    """

    name: str
    kind: str
    about: str
    timings: list[Timing] = field(default_factory=list[Timing])
    limit: Limit | None = None


def multiply_in_loops(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    """The product of two matrices as it is defined, one number after the other.

    Args:
        a: `(n, k)`, a list of rows.
        b: `(k, m)`.

    Returns:
        `(n, m)`.

    Example:
        >>> multiply_in_loops([[1, 2], [3, 4]], [[1], [-1]])
        [[-1], [-1]]
    """
    product = [[0.0] * len(b[0]) for _ in a]
    for i in range(len(a)):
        for j in range(len(b[0])):
            total = 0
            for k in range(len(b)):
                total += a[i][k] * b[k][j]
            product[i][j] = total
    return product


@dataclass(frozen=True)
class Way:
    """How to multiply: `make(n)` returns what is timed, a function that returns when the product is there."""

    speed: Speed
    make: Callable[[int], Callable[[], Any]]
    threads: int | None = None


def measure_products(seconds: float = 0.6) -> list[Speed]:
    """Times the product of two square matrices of random numbers, of 32 bits each, in every way there is.

    Sizes double while one product takes less than a third of `seconds`. The threads torch uses are afterwards
    as before.

    Args:
        seconds: About how long one way may take at one size; in all it takes some ten times as long per way.

    Raises:
        ArgumentError: `seconds` is not above 0.

    Example:
        >>> speeds = measure_products(0.01)
        >>> speeds[0].name
        'Loops in Python'
    """
    if not seconds > 0:
        raise ArgumentError(
            "`seconds` must be above 0", f"it is {seconds}", "Pass about a second, e.g. seconds=0.6."
        )
    before = torch.get_num_threads()
    try:
        for way in (ways := list(_ways(before))):
            torch.set_num_threads(way.threads or before)
            way.speed.timings.extend(_timed(way, seconds))
    finally:
        torch.set_num_threads(before)
    return [way.speed for way in ways]


def _ways(threads: int) -> Iterator[Way]:
    about = "one number after the other, each one looked up and checked by Python"
    yield Way(Speed("Loops in Python", "loops", about), _loops)
    about = "compiled code, several numbers in an instruction, on as many cores as its library takes"
    yield Way(Speed("NumPy", "cpu", about, limit=limit_of_cpu(os.cpu_count() or 1)), _numpy)
    for count in sorted({1, threads}):
        name = f"torch, {count} thread{'s' if count > 1 else ''}"
        about = (
            f"compiled code, several numbers in an instruction, {'one core' if count == 1 else 'all cores'}"
        )
        yield Way(Speed(name, "cpu", about, limit=limit_of_cpu(count)), _torch("cpu", torch.float32), count)
    for device in _devices():
        name, about = _name(device), "thousands of small cores; Python only says what is to be done"
        speed = Speed(name, "gpu", about, limit=limit_of_device(device))
        yield Way(speed, _torch(str(device), torch.float32))
        about = "the same with numbers of half the length, for which GPUs have units of their own"
        yield Way(Speed(f"{name}, 16 bits", "gpu", about), _torch(str(device), torch.float16))


def _devices() -> list[torch.device]:
    """GPUs of any maker that this torch can use."""
    kind = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    if kind is None:
        return []
    return [torch.device(kind.type, index) for index in range(torch.accelerator.device_count())]


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"GPU ({device.type})"


def _loops(n: int) -> Callable[[], Any]:
    a, b = (np.random.default_rng(seed).random((n, n)).tolist() for seed in (0, 1))
    return lambda: multiply_in_loops(a, b)


def _numpy(n: int) -> Callable[[], Any]:
    a, b = (np.random.default_rng(seed).random((n, n), np.float32) for seed in (0, 1))
    return lambda: a @ b


def _torch(device: str, dtype: torch.dtype) -> Callable[[int], Callable[[], Any]]:
    def make(n: int) -> Callable[[], Tensor]:
        a, b = (torch.from_numpy(np.random.default_rng(seed).random((n, n), np.float32)) for seed in (0, 1))
        a, b = a.to(device, dtype), b.to(device, dtype)

        def multiply() -> Tensor:
            product = a @ b
            if device != "cpu":  # a GPU's call returns before the product is there
                torch.accelerator.synchronize(torch.device(device))
            return product

        return multiply

    return make


def _timed(way: Way, seconds: float) -> Iterator[Timing]:
    n = SMALLEST
    while n <= LARGEST:
        try:
            timing = _time(way.make(n), n, seconds)
        except (torch.OutOfMemoryError, MemoryError):  # of a small GPU: what fitted has been timed
            return
        yield timing
        if timing.seconds > seconds / FEWEST / 4:  # the next size takes eight times as long
            return
        n *= 2


def _time(multiply: Callable[[], Any], n: int, seconds: float) -> Timing:
    multiply()  # the first call also loads libraries and wakes threads
    taken: list[float] = []
    start = time.perf_counter()
    while len(taken) < FEWEST or (len(taken) < MOST and time.perf_counter() - start < seconds / 6):
        before = time.perf_counter()
        multiply()
        taken.append(time.perf_counter() - before)
    return Timing(n, min(taken), statistics.median(taken), len(taken))


def why_gpus(seconds: float = 0.6) -> Explorable:
    """The explorable: the same product, from loops in Python to a GPU, at sizes from 4 to thousands.

    The page has a button that times the browser's own loops, and its GPU where WebGPU is to be had.

    Args:
        seconds: As for `measure_products`; 0 times nothing here and leaves it to the browser.

    Example:
        >>> why_gpus(seconds=0)
        Why gpus: an explorable. ...
    """
    speeds = measure_products(seconds) if seconds else []
    return Explorable("why-gpus", {"speeds": [asdict(speed) for speed in speeds]}, (multiply_in_loops,))
