"""One thread owns the model; requests that come at the same time go through it together.

In: items. Out: replies. Items are read (decoded, scaled, encoded) in a few threads first, so that pictures of
all sizes share a batch; the worker then takes what is ready, waits a few milliseconds if more is just being
read, and never for a request that is alone. Read next: `routes.py`, which asks; `metrics.py`, which counts.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from wiggly.apps.server.limits import Limits
from wiggly.apps.server.metrics import Metrics
from wiggly.apps.server.refusals import Refusal
from wiggly.bundle.manifest import Manifest
from wiggly.bundle.replies import replies_of, reply_of
from wiggly.errors import BundleError, WigglyError
from wiggly.records import Prediction

__all__ = ["Readiness", "Servable", "Worker"]

MOST_READERS = 8  # threads that decode

log = logging.getLogger("wiggly.serve")


class Servable(Protocol):
    """What a predictor must have to be served; those of PyTorch and of ONNX Runtime do."""

    @property
    def manifest(self) -> Manifest: ...

    @property
    def sha256(self) -> str: ...

    @property
    def examples(self) -> Sequence[Any]: ...

    def verify(self) -> float: ...

    def file(self, name: str) -> bytes: ...

    def prepare(self, item: Any) -> Any: ...

    def predict_prepared(self, prepared: Sequence[Any]) -> list[Prediction]: ...

    def predict_batch(self, items: Any) -> list[Prediction]: ...


@dataclass(frozen=True)
class Readiness:
    """Whether the model has proved itself.

    Attributes:
        status: What it is at.
        examples: Worked examples that were run.
        difference: The largest from what was recorded.
        reason: Why it failed.
    """

    status: str
    examples: int = 0
    difference: float = 0.0
    reason: str = ""


@dataclass(eq=False)
class _Job:
    """Work for the thread of the model.

    Attributes:
        work: What is to be done with the jobs of one group, giving a result for each.
        given: The prepared item, or whatever `work` takes.
        group: Jobs of one group may share a batch; None stays alone.
    """

    work: Callable[[list[Any]], Sequence[Any]]
    given: Any
    group: Hashable = None
    future: Future[Any] = field(default_factory=lambda: Future[Any]())


class Worker:
    """The thread of a model, and the queue before it.

    Args:
        predictor: Whose examples are run first of all.
        limits: How many may wait, and go through the model together.
        metrics: Is told of batches.
        checked: The largest difference of the worked examples where they have been run; None runs them.
    """

    def __init__(
        self, predictor: Servable, limits: Limits, metrics: Metrics, checked: float | None = None
    ) -> None:
        self.predictor, self.limits, self.metrics = predictor, limits, metrics
        n = len(predictor.examples)
        self.readiness = Readiness("starting") if checked is None else Readiness("ready", n, checked)
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._readers = ThreadPoolExecutor(min(MOST_READERS, os.cpu_count() or 1), "reader")
        self._lock = threading.Lock()
        self._places = self._reading = 0
        self._thread: threading.Thread | None = None
        self._stopped = False

    def start(self) -> None:
        """Starts the thread; the second time does nothing."""
        with self._lock:
            if self._thread is None and not self._stopped:
                self._thread = threading.Thread(target=self._serve, name="model", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends the thread after what is in the queue."""
        with self._lock:
            self._stopped, thread = True, self._thread
        self._jobs.put(None)
        if thread is not None:
            thread.join()

    @contextmanager
    def place(self) -> Generator[None]:
        """A place in the queue, for as long as a request takes.

        Raises:
            Refusal: All are taken, or the model has not proved itself.
        """
        self._check_ready()
        with self._lock:
            if self._places >= self.limits.queue:
                raise _busy(self._places)
            self._places += 1
            self.metrics.waiting(self._places)
        try:
            yield
        finally:
            with self._lock:
                self._places -= 1
                self.metrics.waiting(self._places)

    async def answer(self, item: Any) -> dict[str, Any]:
        """The reply to one item.

        Raises:
            WigglyError: It cannot be read.
        """
        with self._being_read():
            prepared = await self._in_reader(self._read, item)
            job = self._enqueue(_Job(self.predictor.predict_prepared, prepared, prepared.key))
        found = await asyncio.wrap_future(job.future)
        return await self._in_reader(reply_of, self.predictor, found)

    async def answer_all(self, items: Sequence[Any]) -> dict[str, Any]:
        """The replies to several items.

        Raises:
            WigglyError: One cannot be read.
        """
        job = self._enqueue(_Job(lambda given: [self._read_all(given[0])], items))
        found = await asyncio.wrap_future(job.future)
        self.metrics.batch(len(items))
        return await self._in_reader(replies_of, self.predictor, found)

    def predict(self, item: Any) -> Prediction:
        """The prediction for one item; waits. For the page, whose functions run in threads of their own."""
        with self._being_read():
            prepared = self._read(item)
            job = self._enqueue(_Job(self.predictor.predict_prepared, prepared, prepared.key))
        return job.future.result(self.limits.timeout)

    # the thread of the model

    def _serve(self) -> None:
        if self.readiness.status == "starting":
            self._prove()
        while (job := self._jobs.get()) is not None:
            groups: dict[Hashable, list[_Job]] = {}
            for one in self._gathered(job):
                groups.setdefault(one if one.group is None else one.group, []).append(one)
            for jobs in groups.values():
                self._do([one for one in jobs if one.future.set_running_or_notify_cancel()])

    def _prove(self) -> None:
        examples = len(self.predictor.examples)
        try:
            self.readiness = Readiness("ready", examples, self.predictor.verify())
        except BundleError as error:
            self.readiness = Readiness("failed", examples, reason=f"{error.rule}; {error.received}")

    def _gathered(self, first: _Job) -> list[_Job]:
        jobs, until = [first], time.monotonic() + self.limits.batch_wait / 1_000
        while len(jobs) < self.limits.batch:
            try:
                # Who is alone does not wait: nothing else can arrive that is not being read already.
                job = self._jobs.get(timeout=max(0.0, until - time.monotonic()) if self._reading else 0)
            except queue.Empty:
                break
            if job is None:
                self._jobs.put(None)
                break
            jobs.append(job)
        return jobs

    def _do(self, jobs: list[_Job]) -> None:
        if not jobs:
            return
        start = time.perf_counter()
        try:
            found = jobs[0].work([job.given for job in jobs])
        except Exception as error:
            if len(jobs) == 1:
                jobs[0].future.set_exception(error)
                return
            for job in jobs:  # one of them is at fault: the others get their answer
                self._do_alone(job)
            return
        self.metrics.ran(time.perf_counter() - start)
        if jobs[0].group is not None:
            self.metrics.batch(len(jobs))
        for job, one in zip(jobs, found, strict=True):
            job.future.set_result(one)

    def _do_alone(self, job: _Job) -> None:
        try:
            job.future.set_result(job.work([job.given])[0])
        except Exception as error:
            job.future.set_exception(error)

    # helpers

    def _read(self, item: Any) -> Any:
        with _unexpected():
            return self.predictor.prepare(item)

    def _read_all(self, items: Any) -> list[Prediction]:
        with _unexpected():
            return self.predictor.predict_batch(items)

    def _enqueue(self, job: _Job) -> _Job:
        if self._stopped:
            raise _stopping()
        self.start()
        self._jobs.put(job)
        return job

    async def _in_reader(self, work: Callable[..., Any], *given: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._readers, work, *given)

    @contextmanager
    def _being_read(self) -> Generator[None]:
        with self._lock:
            self._reading += 1
        try:
            yield
        finally:
            with self._lock:
                self._reading -= 1

    def _check_ready(self) -> None:
        if self._stopped:
            raise _stopping()
        self.start()
        state = self.readiness
        if state.status == "ready":
            return
        received = "they are being run" if state.status == "starting" else f"they did not: {state.reason}"
        raise Refusal(
            "not_ready",
            "the worked examples must come out right before anything is answered",
            received,
            "Come again in a few seconds." if state.status == "starting" else "Export the model again.",
            {"Retry-After": "2"},
        )


@contextmanager
def _unexpected() -> Generator[None]:
    """What a stranger's values set off in the libraries that read them is their fault, and is logged."""
    try:
        yield
    except WigglyError:
        raise
    except Exception as error:
        log.warning("an item could not be read", exc_info=True)
        raise Refusal(
            "unreadable",
            "every value must be one that its column, or a picture, can hold",
            f"one is not ({type(error).__name__})",
            "GET /v1/model tells of each column what it held in training.",
        ) from error


def _busy(waiting: int) -> Refusal:
    return Refusal(
        "busy",
        f"at most {waiting} requests may be in work or waiting",
        "as many are",
        "Come again in a second; `wiggly serve --queue` allows more.",
        {"Retry-After": "1"},
    )


def _stopping() -> Refusal:
    return Refusal(
        "not_ready", "the server must be running", "it is being stopped", "Come again.", {"Retry-After": "5"}
    )
