"""What a training loop costs beside its arithmetic: wiggly, fastai, Lightning, HF Trainer and a loop by hand.

Run: `python benchmarks/loop.py`, `--quick` (a few steps, to see that it works), `--help`. Everybody gets the
same network with the same weights, the same batches, which lie ready in memory behind a torch `DataLoader`,
the same fused AdamW at a constant rate, float32, no bar, no log, no checkpoint, no validation. Each peer is a
process of its own; they take turns. The first steps are not counted. Out: one JSON line per pass, a table.
Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from support import WAIT_POLICY, emit, environment, footer, run_peer, table

PEERS = ("by hand", "wiggly", "fastai", "Lightning", "HF Trainer")
LR, WD = 1e-3, 0.01
GOAL = 1.03
# Network: (batch size, pixels, steps that are timed, steps before them).
TASKS = {"perceptron": (64, 28, 3000, 300), "efficientnet_lite0": (32, 96, 60, 8)}


def network(task: str) -> Any:
    """A network that takes images `(n, 3, h, w)` and knows 10 classes."""
    import timm
    import torch
    from torch import nn

    torch.manual_seed(0)
    if task != "perceptron":
        model = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=10)
        return model.to(memory_format=torch.channels_last)
    size = TASKS[task][1]
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * size * size, 64), nn.ReLU(), nn.Linear(64, 10))


def batches(task: str, steps: int) -> Any:
    """A torch loader that hands out ready batches, eight of them in turn, without any work."""
    import torch
    from torch.utils.data import DataLoader, Dataset

    bs, size = TASKS[task][:2]
    generator = torch.Generator().manual_seed(0)
    ready = [
        (
            torch.rand(bs, 3, size, size, generator=generator).to(memory_format=torch.channels_last),
            torch.randint(10, (bs,), generator=generator),
        )
        for _ in range(8)
    ]

    class Ready(Dataset[Any]):
        def __len__(self) -> int:
            return steps

        def __getitem__(self, index: int) -> Any:
            if index >= steps:
                raise IndexError
            return ready[index % 8]

    return DataLoader(Ready(), batch_size=None)


class Clock:
    """Notes the time after the steps that are not counted, and after the last."""

    def __init__(self, warm_up: int, last: int) -> None:
        self.warm_up, self.last, self.steps = warm_up, last, 0
        self.start = self.end = 0.0

    def tick(self) -> None:
        self.steps += 1
        if self.steps == self.warm_up:
            self.start = time.perf_counter()
        elif self.steps == self.last:
            self.end = time.perf_counter()


def optimizer(model: Any) -> Any:
    """The one that all use."""
    import torch

    return torch.optim.AdamW(model.parameters(), lr=LR, weight_decay=WD, fused=True)


def by_hand(model: Any, loader: Any, clock: Clock) -> None:
    """The loop of a tutorial, which keeps the losses."""
    from torch.nn import functional

    opt = optimizer(model)
    model.train()
    losses: list[float] = []
    for x, y in loader:
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        opt.step()
        opt.zero_grad()
        losses.append(loss.item())
        clock.tick()


def wiggly(model: Any, loader: Any, clock: Clock) -> None:
    """wiggly's Learner on a loader and a network that are not its own."""
    import torch
    from torch.nn import functional

    from wiggly import Callback, DataLoaders, Learner
    from wiggly.train.optim.by_name import wrap_optimizer

    class Tick(Callback):
        order = 1000

        def after_batch(self, state: Any) -> None:
            clock.tick()

    opt_func = wrap_optimizer(torch.optim.AdamW, weight_decay=WD, fused=True)
    learn = Learner(
        DataLoaders(loader, [], device="cpu"),
        model,
        loss_func=functional.cross_entropy,
        opt_func=opt_func,
        lr=LR,
        wd_bn_bias=True,
    )
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, cbs=Tick())


def fastai(model: Any, loader: Any, clock: Clock) -> None:
    """fastai's Learner with the recorder it always has."""
    import torch
    from fastai.callback.core import Callback
    from fastai.callback.progress import ProgressCallback
    from fastai.data.core import DataLoaders
    from fastai.learner import Learner
    from fastai.optimizer import OptimWrapper
    from torch.nn import functional

    class Tick(Callback):
        order = 1000

        def after_batch(self) -> None:
            clock.tick()

    def opt_func(params: Any, **_: Any) -> Any:
        return OptimWrapper(params, torch.optim.AdamW, lr=LR, weight_decay=WD, fused=True)

    learn = Learner(
        DataLoaders(loader, []), model, loss_func=functional.cross_entropy, opt_func=opt_func, wd=WD
    )
    learn.remove_cbs(learn.cbs.filter(lambda cb: isinstance(cb, ProgressCallback)))
    with learn.no_logging():
        learn.fit(1, lr=LR, cbs=Tick())


def lightning(model: Any, loader: Any, clock: Clock) -> None:
    """Lightning with everything off that can be turned off (`barebones`)."""
    import lightning as pl
    from torch.nn import functional

    class Module(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: Any, index: int) -> Any:
            x, y = batch
            return functional.cross_entropy(self.model(x), y)

        def on_train_batch_end(self, *args: Any) -> None:
            clock.tick()

        def configure_optimizers(self) -> Any:
            return optimizer(self.model)

    trainer = pl.Trainer(max_epochs=1, accelerator="cpu", barebones=True)
    trainer.fit(Module(), loader)


def hf_trainer(model: Any, loader: Any, clock: Clock) -> None:
    """Hugging Face's Trainer without logging, saving or clipping."""
    import torch
    from torch.nn import functional
    from transformers import Trainer, TrainerCallback, TrainingArguments

    class Tick(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            clock.tick()

    class Plain(Trainer):
        def get_train_dataloader(self) -> Any:
            return loader

        def compute_loss(self, model: Any, inputs: Any, *args: Any, **_: Any) -> Any:
            x, y = inputs
            return functional.cross_entropy(model(x), y)

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=folder,
            max_steps=len(loader),
            max_grad_norm=0.0,
            logging_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            use_cpu=True,
            lr_scheduler_type="constant",
        )
        scheduler: Callable[..., Any] = torch.optim.lr_scheduler.LambdaLR
        opt = optimizer(model)
        plain = Plain(
            model,
            args,
            optimizers=(opt, scheduler(opt, lambda step: 1.0)),
            callbacks=[Tick()],
            train_dataset=loader.dataset,
        )
        plain.train()


RUNS: dict[str, Callable[[Any, Any, Clock], None]] = {
    "by hand": by_hand,
    "wiggly": wiggly,
    "fastai": fastai,
    "Lightning": lightning,
    "HF Trainer": hf_trainer,
}


def peer_process(order: str) -> None:
    """What the process of one pass does: read the job, run it, leave the result."""
    import torch

    from wiggly.train.engine import keep_freed_memory

    job = json.loads(Path(order).read_text())
    keep_freed_memory()  # for all alike: else the page faults of the others would count as their loop
    model = network(job["task"])
    clock = Clock(job["warm_up"], job["warm_up"] + job["steps"])
    started = os.times()
    RUNS[job["peer"]](model, batches(job["task"], clock.last), clock)
    used = os.times()
    if clock.steps != clock.last:
        raise SystemExit(f"{job['peer']} must take {clock.last} steps; it took {clock.steps}")
    checksum = sum(float(p.detach().double().abs().sum()) for p in model.parameters())
    result = {
        "milliseconds_per_step": 1000 * (clock.end - clock.start) / job["steps"],
        "cpu_seconds": used.user + used.system - started.user - started.system,
        "sum_of_weights": checksum,
        "threads": torch.get_num_threads(),
    }
    Path(job["result"]).write_text(json.dumps(result))


def summary(records: list[dict[str, Any]], task: str) -> str:
    """Median time of a step, and how much more than by hand: of the medians, and of the fastest passes."""
    mine = [r for r in records if r["task"] == task]
    times = {p: [r["milliseconds_per_step"] for r in mine if r["peer"] == p] for p in PEERS}
    hand = times["by hand"]
    rows = []
    for peer, found in times.items():
        if not found:
            continue
        median, lowest = statistics.median(found), min(found)
        weights = next(r["sum_of_weights"] for r in mine if r["peer"] == peer)
        rows.append(
            (
                peer,
                f"{median:.3f}",
                f"{lowest:.3f} to {max(found):.3f}",
                f"{median / statistics.median(hand):.3f}",
                f"{lowest / min(hand):.3f}",
                f"{weights:.3f}",
            )
        )
    header = (task, "ms per step", "(range)", "to by hand", "(fastest)", "sum of weights after")
    return table(header, rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--tasks", nargs="+", choices=tuple(TASKS), default=list(TASKS))
    add("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    add("--rounds", type=int, default=5, help="passes of each peer, in turns (5)")
    add("--threads", type=int, help="OMP_NUM_THREADS of all (torch's own choice)")
    add("--quick", action="store_true", help="a tenth of the steps, once: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Compare, or be one of the processes that are compared."""
    args = arguments()
    if args.job:
        peer_process(args.job)
        return
    records: list[dict[str, Any]] = []
    env = environment(args.threads, WAIT_POLICY)
    for task in args.tasks:
        _, _, steps, warm_up = TASKS[task]
        if args.quick:
            args.rounds, steps, warm_up = 1, max(steps // 10, 2), max(warm_up // 10, 1)
        for _ in range(args.rounds):
            for peer in args.peers:
                run = {"peer": peer, "task": task, "steps": steps, "warm_up": warm_up}
                records.append({"benchmark": "loop", **run, **run_peer(__file__, run, env)})
                emit(records[-1], args.out)
    for task in args.tasks:
        print(f"\n{summary(records, task)}")
    print(f"\nGoal: wiggly at most {GOAL} of the loop by hand with efficientnet_lite0, and no peer below it.")
    print(footer())
    if args.quick:
        print("--quick: far too little work to compare anything.")


if __name__ == "__main__":
    main()
