"""Training images per second on a GPU, against the model alone: does the loader keep up?

Run: `python benchmarks/device.py`, `--quick`, `--help`. Needs a CUDA device; without one it says so and ends,
unless `--device cpu` asks for a rehearsal, which measures nothing. Three ways to feed the same training step:
`model alone`, one batch of random numbers that lies on the device; `warp on cpu`, wiggly as it is, with
page-locked memory and copies on a stream of their own; `warp on device`, encoded photos go to the GPU, where
nvJPEG decodes them and one look-up warps the batch. Rounds in turns. Goal: at least 0.95 of the model alone.
Out: a JSON line per way, a table. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import chain, count
from pathlib import Path
from typing import Any

from support import cores, emit, footer, table

GOAL = 0.95
SIZE, PRESIZE = 224, 460
MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def loaders(args: argparse.Namespace, files: list[str], warp_on: str) -> Any:
    """wiggly's loaders with full augmentation."""
    from support import breed
    from wiggly.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Resize,
        aug_transforms,
    )

    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(args.bs)),
        get_y=breed,
        item_tfms=Resize(PRESIZE),
        batch_tfms=aug_transforms(size=SIZE),
    )
    times = args.bs * 4 // len(files) + 2
    return block.dataloaders(
        files * times, bs=args.bs, num_workers=args.workers, device=args.device, warp_on=warp_on, seed=0
    )


def endless(dls: Any) -> Iterator[Any]:
    """Training batches, pass after pass."""
    return chain.from_iterable(dls.train.batches(stats=(MEAN, STD)) for _ in count())


def random_batches(args: argparse.Namespace, classes: int) -> Iterator[Any]:
    """One batch of random numbers on the device, again and again."""
    import torch

    from wiggly.records import Batch

    x = torch.randn(args.bs, 3, SIZE, SIZE, device=args.device).to(memory_format=torch.channels_last)
    y = torch.randint(classes, (args.bs,), device=args.device)
    return (Batch((x,), (y,), list(range(args.bs))) for _ in count())


class Step:
    """A training step of a timm model, through wiggly's engine."""

    def __init__(self, args: argparse.Namespace, classes: int) -> None:
        import timm
        import torch

        from wiggly.train.engine import LocalEngine

        self.torch = torch
        self.engine = LocalEngine(args.device, "bfloat16" if args.device == "cuda" else "float32")
        self.model = timm.create_model(args.model, num_classes=classes)
        self.engine.prepare(self.model)
        fused = args.device == "cuda"
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, fused=fused)

    def rate(self, batches: Iterator[Any], warm_up: int, steps: int) -> float:
        """Images per second over `steps` steps, after `warm_up` others."""
        images = 0
        for number, batch in enumerate(self.engine.deliver(batches)):
            if number == warm_up:
                begin, images = self._now(), 0
            self._train(batch)
            images += len(batch)
            if number == warm_up + steps - 1:
                return images / (self._now() - begin)
        raise AssertionError("the batches never end")

    def _train(self, batch: Any) -> None:
        output = self.engine.forward(self.model, batch)
        loss = self.torch.nn.functional.cross_entropy(output, batch.targets[0])
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def _now(self) -> float:
        if self.engine.device.type == "cuda":
            self.torch.cuda.synchronize()
        return time.perf_counter()


def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All ways, in turns; one record each."""
    from loader import make_pictures
    from support import breed

    files = make_pictures(folder, args.files)
    classes = len({breed(f) for f in files})
    step = Step(args, classes)
    ways = {
        "model alone": random_batches(args, classes),
        "warp on cpu": endless(loaders(args, files, "cpu")),
        "warp on device": endless(loaders(args, files, "device")),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(args.rounds):
        for way, batches in ways.items():
            # Batches that the loader made while others were measured are used up before the time starts.
            warm_up = max(args.warm_up, args.workers + 4)
            rates[way].append(step.rate(batches, warm_up, args.steps))
    records = []
    for way, found in rates.items():
        shares = [a / b for a, b in zip(found, rates["model alone"], strict=True)]
        records.append(
            {
                "benchmark": "device",
                "way": way,
                "images_per_second": round(statistics.median(found), 1),
                "of_model_alone": round(statistics.median(shares), 3),
                "rates": [round(rate, 1) for rate in found],
                "model": args.model,
                "bs": args.bs,
                "workers": args.workers,
                "device": device_name(args.device),
            }
        )
        emit(records[-1], args.out)
    return records


def device_name(device: str) -> str:
    """What the numbers were measured on."""
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


def main() -> None:
    """Measure, if there is something to measure on."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--device", default="cuda", choices=("cuda", "cpu"), help="cpu is a rehearsal (cuda)")
    add("--model", default="resnet50", help="timm's name of the model (resnet50)")
    add("--bs", type=int, default=128, help="batch size (128)")
    add("--workers", type=int, default=min(16, cores()), help="threads of the loader (one per core)")
    add("--files", type=int, default=640, help="different pictures (640)")
    add("--steps", type=int, default=50, help="timed steps of a round (50)")
    add("--warm-up", type=int, default=10, help="steps before them (10)")
    add("--rounds", type=int, default=5, help="rounds of all ways (5)")
    add("--quick", action="store_true", help="a few small steps: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    args = parser.parse_args()
    import torch

    if args.device == "cuda" and not torch.cuda.is_available():
        print("skipped: there is no CUDA device here (--device cpu rehearses)", file=sys.stderr)
        return
    if args.quick:
        args.model, args.bs, args.files = "resnet10t", 8, 32
        args.steps, args.warm_up, args.rounds = 2, 1, 1
    with tempfile.TemporaryDirectory() as folder:
        records = measure(args, Path(folder))
    rows = [(r["way"], f"{r['images_per_second']:.0f}", f"{r['of_model_alone']:.2f}") for r in records]
    print(f"\n{table(('fed by', 'images/s', f'of the model alone (goal {GOAL})'), rows)}")
    print(f"{args.model}, batches of {args.bs}, {args.workers} threads, {device_name(args.device)}")
    print(footer())


if __name__ == "__main__":
    main()
