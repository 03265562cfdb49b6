"""Where a batch's time goes, and what to do about it: `dls.profile()`.

In: loaders, and a learner if there is one. Out: a `Profile`. A sample of items goes through the stages one by
one in one thread, each stage timed; then the loader works as it does in training, with the model taking its
batches. Nothing is timed outside these passes. Read next: `loaders.py`.
"""

from __future__ import annotations

import copy
import threading
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import torch

from wiggly.data.cache.store import digest
from wiggly.data.dataset import Dataset
from wiggly.data.loader import LOOKING, DataLoader, default_workers, item_seed
from wiggly.data.order import Ordered
from wiggly.data.profiling.diagnosis import (
    BATCH,
    COLLATE,
    COPY,
    DRAW,
    ENCODE,
    GETTER,
    OURS,
    READ,
    WAITS,
    WARP,
    Profile,
    Stage,
    diagnosis,
)
from wiggly.data.profiling.stopwatch import QueueClock, Stopwatch
from wiggly.data.shards.stream import ShardDataset
from wiggly.data.transform import Transform, is_active, transform_names
from wiggly.errors import ArgumentError, DataError, ItemError
from wiggly.records import Batch

__all__ = ["profile"]

ROWS = "rows of the table"


def profile(loader: Any, learn: Any = None, n: int = 64, seconds: float = 10.0) -> Profile:
    """Times the stages from item to batch and names the one to mend.

    Args:
        loader: A `DataLoader` over samples made by blocks, or a loader of a table's rows, whose batches are
            made whole: these are then the only stage.
        learn: A learner, to see how long its model waits; its weights stay as they are.
        n: Items of the sample.
        seconds: About how long each of the passes may take.

    Raises:
        ArgumentError: The loader is of another kind, or `n` is below 1.
        DataError: None of the sampled items can be read.
    """
    if isinstance(loader, Ordered) and not isinstance(loader, DataLoader):
        return _of_rows(loader, learn, seconds / 3)
    if not isinstance(loader, DataLoader) or not isinstance(loader.dataset, Dataset):
        raise ArgumentError(
            "`profile` needs a loader built from blocks",
            f"it is a {type(loader).__name__}",
            "Build the loaders with a DataBlock.",
        )
    if n < 1:
        raise ArgumentError("`n` must be at least 1", f"it is {n}", "Leave it out for 64.")
    loader = copy.copy(loader)
    loader.bad_items = {}
    sample = _Sample(loader, n, seconds)
    made = Profile(
        stages=sample.stages(),
        n_items=sample.n_read,
        workers=loader.num_workers,
        items_per_second=_threaded(loader, None, seconds)[0],
        source_size=_mean_size(sample.before),
        target_size=_mean_size(sample.after),
        from_shards=isinstance(loader.dataset, ShardDataset),
    )
    if learn is not None:
        _, waiting, model_rate = _threaded(loader, _Step(learn), seconds)
        made = replace(made, waiting=waiting, model_items_per_second=model_rate)
    bottleneck, fix = diagnosis(made, default_workers(), loader.warp_on == "cpu")
    return replace(made, bottleneck=bottleneck, fix=fix)


def _of_rows(loader: Ordered, learn: Any, seconds: float) -> Profile:
    """Of a table: its batches are not made of items that are timed one by one."""
    rate = _threaded(loader, None, seconds)[0]
    stage = Stage(ROWS, 1 / rate, 1 / rate, 1.0)
    made = Profile((stage,), min(len(loader) * loader.bs, loader.n_items), 0, rate, bottleneck=ROWS)
    if learn is None:
        fix = "Pass the learner, dls.profile(learn), to see whether the model waits for them."
        return replace(made, fix=fix)
    _, waiting, model_rate = _threaded(loader, _Step(learn), seconds)
    made = replace(made, waiting=waiting, model_items_per_second=model_rate)
    if waiting < 0.5:
        fix = f"It waits for rows only {waiting:.0%} of the time; larger batches (bs=) or a GPU would help."
        return replace(made, bottleneck="model", fix=fix)
    fix = "Larger batches (bs=) help; rows read from files are had faster if the table fits into memory."
    return replace(made, fix=fix)


# ---------------------------------------------------------------------------------------------- one thread


class _Sample:
    """Some items taken through the stages one by one."""

    def __init__(self, loader: DataLoader, n: int, seconds: float) -> None:
        self.loader, self.watch = loader, Stopwatch()
        self.before: list[tuple[int, int]] = []
        self.after: list[tuple[int, int]] = []
        self.n_read = 0
        self._columns: list[Any] = []
        self._inputs: dict[str, list[tuple[Any, ...]]] = {}  # of each callable, to run it again
        self._dataset: Any = loader.dataset
        positions = self._positions(n)
        if self._dataset.keeping is not None:  # a full cache is the usual case
            for position in positions:
                self._one(position, Stopwatch(), warm=True)
        end = time.perf_counter() + seconds
        read: list[int] = []
        for position in positions:
            if (
                self._one(position, self.watch)
                and read.append(position) is None
                and time.perf_counter() > end
            ):
                break
        self.n_read = len(read)
        if not read:
            raise DataError(
                "at least 1 item must be readable", f"none of {len(positions)} is", "See `dls.bad_items`."
            )
        self._batch(read[: loader.bs])

    def _positions(self, n: int) -> Sequence[int]:
        dataset = self._dataset
        if isinstance(dataset, ShardDataset):
            order = dataset.order(None, 0, 1, n)
            with self.watch(READ):
                positions, self._dataset = next(dataset.batches(order, n, 0, False, lambda *_: None))
            return positions
        total = len(dataset)
        return sorted({k * total // min(n, total) for k in range(min(n, total))})

    def _one(self, position: int, watch: Stopwatch, warm: bool = False) -> bool:
        """One item, from its raw value to its row; whether it can be read."""
        dataset, random = self._dataset, item_seed(self.loader.seed, LOOKING, position)
        try:
            with watch(GETTER):
                raws = [dataset.raw(position, side) for side in range(len(dataset.blocks))]
            loaded = [
                block.load_watched(raw, dataset.keeping, watch)
                for block, raw in zip(dataset.blocks, raws, strict=True)
            ]
            values = tuple(b.relate(v, tuple(loaded)) for b, v in zip(dataset.blocks, loaded, strict=True))
            if not warm:
                self.before += _sizes(values[: dataset.n_inp])
            for transform in dataset.item_tfms:
                values = self._transformed(transform, values, position, random, watch)
            self._encode(values, watch)
        except ItemError:
            return False
        if not warm:
            self.after += _sizes(values[: dataset.n_inp])
        return True

    def _transformed(
        self, transform: Any, values: tuple[Any, ...], position: int, random: Any, watch: Stopwatch
    ) -> tuple[Any, ...]:
        if not is_active(transform, self._dataset.train):
            return values
        name = DRAW if isinstance(transform, Transform) else transform_names([transform])[0]
        if name != DRAW:
            self._inputs.setdefault(name, []).append((transform, values, position))
        with watch(name):
            return self._dataset.transformed(transform, values, position, random)

    def _encode(self, values: tuple[Any, ...], watch: Stopwatch) -> None:
        blocks = self._dataset.blocks
        if not self._columns:  # memory is had before the clock runs
            self._columns = [
                None if block.ragged else block.allocate(block.encode(value), 1)
                for block, value in zip(blocks, values, strict=True)
            ]
        for block, value, column in zip(blocks, values, self._columns, strict=True):
            with watch(WARP if block.is_picture else ENCODE):
                if column is None:
                    block.encode(value)
                else:
                    block.encode_into(value, column[0])

    def _batch(self, positions: Sequence[int]) -> None:
        """What a whole batch takes beyond its items: its memory and collation, its transforms, the copy."""
        plain, watch = copy.copy(self.loader), Stopwatch()
        plain.batch_tfms = []
        plain.assemble(positions, self._dataset)  # memory of the first batch is not had again
        with watch("items"):
            for position in positions:
                self._one(position, Stopwatch(), warm=True)
        with watch(COLLATE):
            plain.assemble(positions, self._dataset)
        with watch(BATCH):
            batch = self.loader.assemble(positions, self._dataset)
        whole = {COLLATE: watch.wall[COLLATE] - watch.wall["items"]}
        if self.loader.batch_tfms:
            whole[BATCH] = watch.wall[BATCH] - watch.wall[COLLATE]
        device = self.loader.device
        if device is not None and device.type != "cpu":
            with watch(COPY):
                for tensor in batch.tensors:
                    tensor.to(device)
                _finish(device)
            whole[COPY] = watch.wall[COPY]
        for name, spent in whole.items():
            self.watch.wall[name] = self.watch.cpu[name] = max(0.0, spent) * self.n_read / len(positions)

    def stages(self) -> tuple[Stage, ...]:
        """Per item, in order; functions of the user's also as to Python's lock."""
        total = sum(self.watch.wall.values())
        found: list[Stage] = []
        for name, wall in self.watch.wall.items():
            cpu = min(wall, self.watch.cpu[name])
            stage = Stage(name, wall / self.n_read, cpu / self.n_read, wall / total if total else 0.0)
            if name not in OURS and stage.share > 0.2 and stage.cpu_seconds > WAITS * stage.seconds:
                stage = replace(stage, holds_lock=_lock_share(self._again(name)))
            found.append(stage)
        return tuple(found)

    def _again(self, name: str) -> Callable[[], None]:
        def run() -> None:
            for transform, values, position in self._inputs.get(name, ()):
                random = item_seed(self.loader.seed, LOOKING, position)
                self._dataset.transformed(transform, values, position, random)

        return run


def _lock_share(run: Callable[[], object], seconds: float = 0.4) -> float:
    """Share of its time in which a function keeps another thread from running Python.

    A thread that sleeps half a millisecond at a time wakes late if it has to wait for the lock: up to 5 ms,
    `sys.getswitchinterval()`. What it waits for a core is taken off, and what it is late anyway as well.
    """
    block = bytes(1 << 20)
    idle = _lateness(lambda: digest(block), seconds / 4)  # hashing lets go of the lock
    return min(1.0, max(0.0, _lateness(run, seconds) - idle))


def _lateness(run: Callable[[], object], seconds: float) -> float:
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            run()

    thread = threading.Thread(target=work)
    thread.start()
    queue = QueueClock()
    nap, late, queued, start = 0.0005, 0.0, queue.seconds(), time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.perf_counter()
        time.sleep(nap)
        late += max(0.0, time.perf_counter() - before - nap)
    total = time.perf_counter() - start
    queued = queue.seconds() - queued
    stop.set()
    thread.join()
    return max(0.0, late - queued) / max(nap, total - queued)


def _sizes(values: Sequence[Any]) -> list[tuple[int, int]]:
    """Height and width of the first value that has them."""
    found = [value.size for value in values if hasattr(value, "moved")]
    return found[:1]


def _mean_size(sizes: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    if not sizes:
        return None
    return round(sum(h for h, _ in sizes) / len(sizes)), round(sum(w for _, w in sizes) / len(sizes))


# --------------------------------------------------------------------------------------------- all threads


class _Step:
    """What training does to a batch, on a copy of the model with an optimizer of its own."""

    def __init__(self, learn: Any) -> None:
        self.learn, self.engine = learn, learn.engine
        self.model = copy.deepcopy(learn.model).train()
        self.engine.prepare(self.model)
        self.optimizer = torch.optim.AdamW([p for p in self.model.parameters() if p.requires_grad])

    def __call__(self, batch: Batch) -> None:
        prediction = self.engine.forward(self.model, batch)
        self.learn.loss_func(prediction, *batch.targets).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        _finish(self.engine.device)


def _threaded(loader: Ordered, step: _Step | None, seconds: float) -> tuple[float, float, float]:
    """The loader at work as in training: items per second, the share of time spent waiting for it, and items
    per second of the step alone. The batches that were made ahead at the start do not count.
    """
    batches = _endless(loader)
    with closing(batches):
        delivered = batches if step is None else step.engine.deliver(batches)
        workers = loader.num_workers if isinstance(loader, DataLoader) else 0
        # Rows are read by the buffer: only a whole pass has them all read.
        enough = max(8, 4 * workers) if isinstance(loader, DataLoader) else len(loader)
        ahead, n, waited, worked = workers + 2, 0, 0.0, 0.0
        for number in range(ahead + enough):
            before = time.perf_counter()
            batch = next(delivered)
            arrived = time.perf_counter()
            if step is not None:
                step(batch)
            if number == ahead:
                n = 0
                waited = worked = 0.0
            n += len(batch)
            waited, worked = waited + arrived - before, worked + time.perf_counter() - arrived
            if waited + worked > seconds:
                break
    total = max(waited + worked, 1e-9)
    return n / total, waited / total, n / max(worked, 1e-9)


def _endless(loader: Ordered) -> Generator[Batch]:
    """Batches of pass after pass, with draws for looking."""
    looking = copy.copy(loader)
    looking.epoch = LOOKING
    while True:
        yield from looking.batches()


def _finish(device: torch.device) -> None:
    """Waits until the device has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
