"""Several processes, on one machine or many, train one model: each on its rows of every batch.

In: processes that `torchrun` or `accelerate launch` has started with the same script. Out: the result of one
process with the same batch size, up to the rounding of sums. Hugging Face Accelerate connects the processes
and shards models that do not fit into one device (FSDP). Read next: `lockstep.py` for what the rows share in
a forward pass, `engine.py` for the methods that are filled in here.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from datetime import timedelta
from typing import Any, TypeVar, cast
from weakref import WeakSet

import torch
import torch.distributed as dist
from torch import Tensor, nn

from wiggly.data.loader import DataLoader
from wiggly.data.order import WHOLE, Part
from wiggly.errors import DataError, TrainingError, WigglyError
from wiggly.records import Batch
from wiggly.train.callbacks.gradients import setting_of, weight_of
from wiggly.train.distributed.connection import connect, draws_of, launcher_store, plain_device
from wiggly.train.distributed.exchange import (
    batch_on_cpu,
    fingerprint,
    first_row,
    join_parts,
    last_row,
    reduce_gradients,
    rows_on_cpu,
    send_from_first,
    set_aside,
)
from wiggly.train.distributed.lockstep import Lockstep
from wiggly.train.engine import LocalEngine

__all__ = ["AccelerateEngine"]

Result = TypeVar("Result")

ENDED, FAILED = -1, -2
PRECISION_NAMES = {"no": "float32", "fp16": "float16", "bf16": "bfloat16"}


class AccelerateEngine(LocalEngine):
    """All processes of a launcher as one machine; a learner that is given no engine takes this one by itself.

    A batch of `bs` rows is divided among the processes, so `bs`, learning rates, steps and results are those
    of one process. Metrics and predictions are of all rows, in all processes. The first process prints, draws
    and writes.

    Args:
        device: "cpu" for CPUs; None takes what the launcher gave this process: its GPU where there is one.
        precision: "float32", "float16" or "bfloat16"; None takes what `accelerate launch --mixed_precision`
            says, else float32.
        fsdp: Shard parameters, gradients and optimizer state over the processes (FSDP, Zhao et al.,
            arXiv:2304.11277), for models that do not fit into one device; None does so after `accelerate
            launch --use_fsdp`.
        sync_norms: Batch norms use the statistics of the whole batch, as one process does. False is faster,
            and each process then normalises by its own rows.
        timeout: Seconds after which a process stops waiting for the others.

    Raises:
        DependencyError: accelerate is not installed.
        ArgumentError: What the launcher asks for cannot be had.

    Example:
        >>> engine = AccelerateEngine("cpu")
        >>> engine.rank, engine.n_processes, engine.is_main
        (0, 1, True)
    """

    def __init__(
        self,
        device: str | torch.device | None = None,
        precision: str | None = None,
        fsdp: bool | None = None,
        sync_norms: bool = True,
        timeout: float = 600.0,
    ) -> None:
        accelerator = connect(device, timeout)
        self.rank, self.n_processes = int(accelerator.process_index), int(accelerator.num_processes)
        self.sync_norms, self.timeout = sync_norms, timeout
        self._plugin = accelerator.state.fsdp_plugin if accelerator.distributed_type == "FSDP" else None
        self.is_sharded = self.n_processes > 1 and (self._plugin is not None if fsdp is None else fsdp)
        self._alone = self.n_processes == 1
        self._group: Any = None
        if not self._alone:  # of CPUs, whatever the device: for counts, objects and messages
            self._group = dist.new_group(backend="gloo", timeout=timedelta(seconds=timeout))
        self._counts = [0] * self.n_processes
        self._flag = self._flagged = self._is_once = False
        self._model: nn.Module | None = None
        self._same: WeakSet[nn.Module] = WeakSet()  # models whose weights are the same in all processes
        super().__init__(
            plain_device(accelerator.device), precision or PRECISION_NAMES[accelerator.mixed_precision]
        )

    @property
    def part(self) -> Part:
        return WHOLE if self._alone else (self.rank, self.n_processes)

    # The model

    def adopt(self, model: nn.Module) -> None:
        if not self.is_sharded or model in self._same:
            return
        from wiggly.train.distributed.sharding import shard_model

        self.prepare(model)
        shard_model(model, self.device, self._plugin)

    def prepare(self, model: nn.Module) -> None:
        if self.is_sharded and model in self._same:
            return  # it is where it belongs, and its shards cannot change their memory format
        if self.is_sharded:
            model.to(self.device)  # in the memory format it has: FSDP takes contiguous parameters only
        else:
            super().prepare(model)
        if model not in self._same and not self._alone:
            send_from_first([*model.parameters(), *model.buffers()])
            self._same.add(model)

    def start_fit(self) -> None:
        super().start_fit()
        self.same_draws()

    def same_draws(self) -> None:
        if self._alone:
            return
        states = random.getstate(), torch.get_rng_state(), draws_of(self.device)
        states = self.agreed(states)
        random.setstate(states[0])
        torch.set_rng_state(states[1])
        if states[2] is not None:
            torch.cuda.set_rng_state(states[2], self.device)

    def same_data(self, loaders: Iterable[Any]) -> None:
        if self._alone:
            return
        ours = [dl for dl in loaders if isinstance(dl, DataLoader)]
        seen = self.from_all([fingerprint(dl) for dl in ours])
        for rank, prints in enumerate(seen):
            if prints != seen[0]:
                raise DataError(
                    "all processes must have the same items in the same order",
                    f"rank 0 has {_counts(seen[0])}, rank {rank} has {_counts(prints)}; they differ",
                    "Give what is drawn a seed, e.g. RandomSplitter(seed=42), and sort lists of files.",
                )
        for dl, (seed, epoch) in zip(ours, self.agreed([(dl.seed, dl.epoch) for dl in ours]), strict=True):
            dl.seed, dl.epoch = seed, epoch

    # A pass

    def deliver(self, batches: Iterable[Batch]) -> Iterator[Batch]:
        delivered = super().deliver(batches)
        return delivered if self._alone else self._in_step(iter(delivered))

    def _in_step(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Batches, of which every process gets as many; one without rows gets a row that does not count."""
        spare: Batch | None = None
        have_spare: set[int] = set()
        while True:
            batch = self._pulled(batches)
            counts = self._met(ENDED if batch is None else len(batch))
            if FAILED in counts:
                raise self._explained(None)
            if max(counts) == ENDED:
                return
            counts = [max(count, 0) for count in counts]
            have_spare |= {rank for rank, count in enumerate(counts) if count}
            if not any(counts):
                continue  # none of this batch's items could be read
            if batch is not None and len(batch):
                spare = first_row(batch)
            if len(have_spare) < self.n_processes:
                sender = min(have_spare)
                sent = self._from(sender, spare and batch_on_cpu(spare, 1, inputs=True))
                spare = spare or self.to_device(sent)
                have_spare = set(range(self.n_processes))
            self._counts = counts
            yield batch if batch is not None and len(batch) else cast("Batch", spare)

    def _pulled(self, batches: Iterator[Batch]) -> Batch | None:
        try:
            return next(batches, None)
        except Exception as error:
            self.failed(error)
            with contextlib.suppress(Exception):
                self._met(FAILED)
            raise

    def anywhere(self, flag: bool) -> bool:
        if self._alone:
            return flag
        self._flag = flag
        return self._flagged

    def rows(self, batch: Batch) -> int:
        return len(batch) if self._alone else sum(self._counts)

    def forward(self, model: nn.Module, batch: Batch) -> Any:
        self._model = model
        if self.is_sharded and self._is_once:
            raise TrainingError(
                "a sharded model computes in all processes together",
                "only the first one was to do so",
                "Call learn.save('name'), then make the learner in one process, load it, and go on there.",
            )
        if self._alone or not model.training:
            return super().forward(model, batch)
        with self._waiting(), Lockstep(self._counts, self.rank, self.sync_norms):
            return super().forward(model, batch)

    def whole_loss(
        self, loss: Tensor, loss_func: Callable[..., Any], targets: tuple[Tensor, ...], n: int
    ) -> Tensor:
        if self._alone:
            return loss
        mean = setting_of(loss_func, "reduction") != "sum"
        weight = weight_of(loss_func, targets) if n and mean else float(n > 0 and not mean)
        with self._waiting():
            return _Whole.apply(loss, n if weight is None else weight, mean)

    def collected(self, batch: Batch, pred: Any, inputs: bool = False) -> list[tuple[Batch, Any]]:
        if self._alone:
            return [(batch, pred)]
        n = len(batch)
        return join_parts(self.from_all((batch_on_cpu(batch, n, inputs), rows_on_cpu(pred, n))))

    def around(self, batch: Batch) -> tuple[Batch | None, int]:
        if self._alone:
            return super().around(batch)
        ends = self.from_all(
            (batch_on_cpu(last_row(batch), 1, True), batch.positions[:1]) if len(batch) else None
        )
        before = [end for end in (*ends[self.rank :], *ends[: self.rank]) if end is not None]
        first = next(end[1][0] for end in ends if end is not None)
        return self.to_device(before[-1][0]), first

    def backward(self, loss: Tensor) -> None:
        if self._alone:
            super().backward(loss)
            return
        with self._waiting():
            if self.is_sharded:  # FSDP averages over the processes where a sum is wanted
                super().backward(loss * self.n_processes)
                return
            assert self._model is not None
            parameters = [p for p in self._model.parameters() if p.requires_grad]
            with set_aside([p for p in parameters if p.grad is not None]):
                super().backward(loss)
                reduce_gradients(parameters)

    # Messages

    def from_all(self, value: Result) -> list[Result]:
        if self._alone:
            return [value]
        values: list[Any] = [None] * self.n_processes
        with self._waiting():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def agreed(self, value: Result) -> Result:
        return value if self._alone else self._from(0, value)

    def _from(self, rank: int, value: Any) -> Any:
        values = [value]
        with self._waiting():
            dist.broadcast_object_list(values, src=rank, group=self._group)
        return values[0]

    def _met(self, count: int) -> list[int]:
        """What every process has to say about its next batch."""
        said = [torch.zeros(2, dtype=torch.int64) for _ in range(self.n_processes)]
        with self._waiting():
            dist.all_gather(said, torch.tensor([count, int(self._flag)]), group=self._group)
        told = [pair.tolist() for pair in said]
        self._flagged = any(flag for _, flag in told)
        return [count for count, _ in told]

    def once(self, work: Callable[[], Result]) -> Result:
        if self._alone:
            return work()
        result: Any = None
        error: Exception | None = None
        if self.is_main:
            with self.alone():
                self._is_once = True
                try:
                    result = work()
                except Exception as raised:
                    error = raised
                finally:
                    self._is_once = False
        told = error if isinstance(error, WigglyError) or error is None else _as_told(error)
        result, told = self._from(0, (result, told))
        if error is not None or told is not None:
            raise cast("Exception", error or told)
        return result

    @contextlib.contextmanager
    def alone(self) -> Generator[None]:
        before, self._alone = self._alone, True
        try:
            yield
        finally:
            self._alone = before

    def failed(self, error: BaseException) -> None:
        if self.n_processes > 1 and not getattr(error, "from_another_process", False):
            with contextlib.suppress(Exception):
                text = str(error).replace("\n", " ") or type(error).__name__
                launcher_store().set("failed", f"rank {self.rank} stopped: {text}")

    @contextlib.contextmanager
    def _waiting(self) -> Generator[None]:
        try:
            yield
        except RuntimeError as error:
            if isinstance(error, dist.DistError) or "gloo" in str(error):
                raise self._explained(error) from error
            raise

    def _explained(self, error: Exception | None) -> TrainingError:
        """Which process is missing, and why if it could say so."""
        made = TrainingError(
            "all processes must go on together",
            self._what_happened(error),
            "Its own messages say more. Start all again; `resume=True` goes on from the last checkpoint.",
        )
        cast("Any", made).from_another_process = True
        return made

    def _what_happened(self, error: Exception | None) -> str:
        with contextlib.suppress(Exception):
            store = launcher_store()
            store.set(f"waiting/{self.rank}", "")
            time.sleep(1.0)  # for the others to say that they wait as well
            if store.check(["failed"]):
                return store.get("failed").decode()
            ranks = range(self.n_processes)
            missing = [str(rank) for rank in ranks if not store.check([f"waiting/{rank}"])]
            if missing:
                return f"rank {', '.join(missing)} ended, or did not come within {self.timeout:g} s"
        return f"the connection failed: {error}"


def _counts(prints: list[tuple[int, int]]) -> str:
    return " and ".join(f"{n} items" for n, _ in prints)


def _as_told(error: Exception) -> TrainingError:
    return TrainingError(
        "what the first process does for all must succeed",
        f"there it raised {type(error).__name__}: {error}",
        "Its own messages say more.",
    )


class _Whole(torch.autograd.Function):
    """The sum or the weighted mean of all processes' losses, with the gradient of this one's share."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, weight: float | Tensor, mean: bool) -> Tensor:
        own = torch.as_tensor(weight, dtype=loss.dtype, device=loss.device)
        # Without rows the loss may be no number.
        sums = torch.stack([torch.where(own > 0, loss.detach().reshape(()) * own, 0.0), own])
        dist.all_reduce(sums)
        ctx.share = own / sums[1] if mean else own
        return (sums[0] / sums[1] if mean else sums[0]).reshape(loss.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None, None]:
        return gradients[0] * ctx.share, None, None
