"""Transfer to the device: nothing is lost, reordered or hidden on the way, with or without a GPU."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

from wiggly.data import transfer
from wiggly.data.loader import DataLoader
from wiggly.data.transfer import host_memory, on_device
from wiggly.records import Batch
from wiggly.train.engine import LocalEngine

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def batches(n: int, fail_at: int | None = None) -> Iterator[Batch]:
    for k in range(n):
        if k == fail_at:
            raise OSError("the disk is gone")
        yield Batch((torch.full((4, 3, 8, 8), float(k)),), (torch.full((4,), k),), [k] * 4)


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """CUDA's streams played on the CPU: what is asked of them, in order."""
    log: list[str] = []

    class Stream:
        def __init__(self, device: Any = None, name: str = "side") -> None:
            self.name = name

        def wait_event(self, event: Event) -> None:
            log.append(f"{self.name} waits")

    class Event:
        def record(self, stream: Stream) -> None:
            log.append(f"recorded on {stream.name}")

    @contextlib.contextmanager
    def stream(chosen: Stream) -> Iterator[None]:
        log.append(f"on {chosen.name}")
        yield
        log.append(f"off {chosen.name}")

    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream(name="main"))
    monkeypatch.setattr(transfer, "_page_locked", lambda batch: batch)
    return log


def test_on_a_cpu_batches_pass_as_they_are() -> None:
    given = list(batches(3))
    passed = list(on_device(iter(given), lambda b: b, CPU))
    assert all(a is b for a, b in zip(given, passed, strict=True))


def test_the_copy_runs_beside_and_the_work_waits_for_it(events: list[str]) -> None:
    def move(batch: Batch) -> Batch:
        events.append("copy")
        return batch

    for batch in on_device(batches(2), move, CUDA):
        events.append(f"use {batch.positions[0]}")
    once = ["on side", "copy", "recorded on side", "off side", "main waits"]
    assert events == [*once, "use 0", *once, "use 1"]


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("device", [CPU, CUDA])
def test_nothing_is_read_before_its_turn(device: torch.device) -> None:
    """So that the position of a loader is that of the training, also when a checkpoint is written."""
    pairs = [(torch.zeros(1), torch.tensor(0))] * 8
    loader = DataLoader(pairs, bs=2, num_workers=2)
    for k, _ in enumerate(on_device(loader.batches(), lambda b: b, device)):
        assert loader.state_dict()["batches"] == (k + 1) % 4


@pytest.mark.usefixtures("events")
@pytest.mark.parametrize("device", [CPU, CUDA])
@pytest.mark.parametrize("fail_at", [0, 1, 3])
def test_an_error_comes_after_all_batches_before_it(device: torch.device, fail_at: int) -> None:
    seen: list[int] = []
    with pytest.raises(OSError, match="the disk is gone"):
        seen.extend(b.positions[0] for b in on_device(batches(5, fail_at), lambda b: b, device))
    assert seen == list(range(fail_at))


def test_host_memory_starts_no_cuda() -> None:
    if torch.cuda.is_initialized():
        pytest.skip("CUDA is in use in this process already")
    assert host_memory((2, 3)) is None
    assert not torch.cuda.is_initialized()


@cuda
def test_on_cuda_batches_arrive_unchanged_and_in_order() -> None:
    engine = LocalEngine("cuda")
    engine.prepare(nn.Conv2d(3, 1, 1))
    arrived = list(engine.deliver(batches(6)))
    assert [b.positions[0] for b in arrived] == list(range(6))
    for k, batch in enumerate(arrived):
        assert batch.inputs[0].is_cuda and batch.inputs[0].eq(k).all()
        assert batch.inputs[0].is_contiguous(memory_format=torch.channels_last)
        assert batch.targets[0].is_cuda and batch.targets[0].eq(k).all()


@cuda
def test_on_cuda_memory_is_not_used_again_too_early() -> None:
    """Each batch is used behind slow work, after it was dropped here, while its successors are copied."""
    sums = []
    slow = torch.rand(2000, 2000, device="cuda")
    for batch in LocalEngine("cuda").deliver(batches(30)):
        slow = slow @ slow / slow.norm()
        sums.append(batch.inputs[0].sum() + 0 * slow[0, 0])
        del batch
    assert torch.stack(sums).tolist() == [k * 4 * 3 * 8 * 8 for k in range(30)]


@cuda
def test_on_cuda_host_memory_is_page_locked() -> None:
    torch.zeros(1, device="cuda")
    memory = host_memory((2, 3))
    assert memory is not None and memory.is_pinned()
