"""Images per second of the training loader: fastai, torchvision v2, a loop written by hand, and wiggly.

Run: `python benchmarks/loader.py` (all), `--quick` (a few batches, to see that it works), `--help`. 500×375
JPEG → 224 px, float32, normalised, ready for the model. Two tasks: `crop` (a random resized crop alone) and
`full` (flip, rotation, zoom, perspective, lighting). Every peer lives in a process of its own and waits
while the others work; they take turns, pass by pass, so that a busy neighbour disturbs all alike. Out: a
JSON line per peer and task, a table. Read next: `loader_peers.py`, what is compared; `support.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from loader_peers import PEERS, Pass
from support import WAIT_POLICY, cores, emit, environment, footer, pet_files, table

WIDTH, HEIGHT, QUALITY = 500, 375, 90
GOALS = {"fastai": 20.0, "torchvision v2": 4.0, "by hand": 0.9}
# Only the middle of a pass is timed: after start-up and the batches made ahead, before workers run dry.
HEAD, TAIL = 6, 4


def make_pictures(folder: Path, number: int) -> list[str]:
    """Write landscape pet photos as 500×375 JPEGs of quality 90: centre cut to 4:3, enlarged with Lanczos."""
    from PIL import Image, ImageOps

    made: list[str] = []
    for source in pet_files():
        with Image.open(source) as image:
            if image.width <= image.height:
                continue
            picture = ImageOps.fit(image.convert("RGB"), (WIDTH, HEIGHT), Image.Resampling.LANCZOS)
        made.append(str(folder / source.name))
        picture.save(made[-1], quality=QUALITY)
        if len(made) == number:
            break
    return made


def one_pass(start: Pass, bs: int, head: int, tail: int) -> dict[str, Any]:
    """Read one pass and time its middle; stop with a message if a batch is not what the model needs."""
    begin, arrivals = time.perf_counter(), []
    for x, y in start():
        arrivals.append(time.perf_counter())
        if tuple(x.shape) != (bs, 3, 224, 224) or str(x.dtype) != "torch.float32" or len(y) != bs:
            raise SystemExit(f"batches must be ({bs}, 3, 224, 224) float32; got {tuple(x.shape)} {x.dtype}.")
        if len(arrivals) == 1:
            low, high, mean = float(x.min()), float(x.max()), float(x.mean())
    if not (-2.2 < low < -1.0 and 1.0 < high < 2.7 and abs(mean) < 1.0):
        raise SystemExit(
            f"batches must be normalised; the first has {low:.2f} to {high:.2f}, mean {mean:.2f}."
        )
    images = bs * (len(arrivals) - head - tail)
    return {
        "rate": images / (arrivals[-1 - tail] - arrivals[head - 1]),
        "first_batch_seconds": arrivals[0] - begin,
        "images_timed": images,
    }


def peer_process(order: str) -> None:
    """The process of one peer: makes its loaders, then one pass for each task named on standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints must not stand among the answers
    job = json.loads(Path(order).read_text())
    import torch

    make, bs = PEERS[job["peer"]], job["bs"]
    n = bs * job["batches"]
    files = (job["files"] * (n // len(job["files"]) + 1))[:n]
    loaders = {task: make(task, files, bs, job["workers"]) for task in job["tasks"]}
    print(json.dumps({"torch_threads": torch.get_num_threads()}), file=answers, flush=True)
    for line in sys.stdin:
        result = one_pass(loaders[line.strip()], bs, job["head"], job["tail"])
        print(json.dumps(result), file=answers, flush=True)


class Peer:
    """The other end of `peer_process`."""

    def __init__(self, name: str, job: dict[str, Any], folder: Path, env: dict[str, str]) -> None:
        self.name = name
        order = folder / f"{name}.json"
        order.write_text(json.dumps({"peer": name, **job}))
        command = [sys.executable, __file__, "--job", str(order)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)
        self.about = self._answer()

    def run(self, task: str) -> dict[str, Any]:
        """One pass over the files."""
        print(task, file=self.process.stdin, flush=True)
        return self._answer()

    def close(self) -> None:
        """End the process; it leaves when nothing more can come."""
        self.process.stdin.close()
        self.process.wait()

    def _answer(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"the process of {self.name} must answer; it ended (its output is above).")
        return json.loads(line)


def measure(args: argparse.Namespace, folder: Path) -> list[dict[str, Any]]:
    """All passes of all peers; one record per task and peer."""
    files = make_pictures(folder, args.files)
    kib = statistics.mean(Path(f).stat().st_size for f in files) / 1024
    print(f"{len(files)} pictures of {WIDTH}×{HEIGHT}, {kib:.0f} KiB on average", file=sys.stderr)
    env = environment(args.threads, args.wait_policy)
    same = {"files": files, "bs": args.bs, "workers": args.workers, "tasks": args.tasks}
    same |= {"head": args.head, "tail": args.tail}
    peers = []
    for name in args.peers:
        batches = args.batches_fastai if name == "fastai" else args.batches
        peers.append(Peer(name, {**same, "batches": batches}, folder, env))
    records = []
    for task in args.tasks:
        passes: dict[str, list[dict[str, Any]]] = {peer.name: [] for peer in peers}
        for number in range(args.rounds + 1):
            for peer in peers:
                result = peer.run(task)
                if number:  # the first warms caches and starts persistent workers
                    passes[peer.name].append(result)
        for peer in peers:
            record = {"benchmark": "loader", "task": task, "peer": peer.name, **_rates(passes[peer.name])}
            records.append({**record, **peer.about, "workers": args.workers, "bs": args.bs})
            emit(records[-1], args.out)
    for peer in peers:
        peer.close()
    return records


def _rates(passes: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [p["rate"] for p in passes]
    return {
        "images_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "passes": len(rates),
        "images_per_pass": passes[0]["images_timed"],
        "first_batch_seconds": round(statistics.median(p["first_batch_seconds"] for p in passes), 2),
    }


def summary(records: list[dict[str, Any]], task: str) -> str:
    """The rates of one task, and how many times faster wiggly was than each peer."""
    mine = [r for r in records if r["task"] == task]
    ours = next((r["images_per_second"] for r in mine if r["peer"] == "wiggly"), None)
    rows = []
    for r in mine:
        rate, peer = r["images_per_second"], r["peer"]
        ratio = f"{ours / rate:.2f}" if ours else "-"
        goal = f">= {GOALS[peer]:g}" if task == "full" and peer in GOALS else ""
        how = "processes" if peer in ("fastai", "torchvision v2") else "threads"
        between = f"{r['lowest']:.0f} to {r['highest']:.0f}"
        first = f"{r['first_batch_seconds']:.2f}"
        rows.append((peer, f"{r['workers']} {how}", f"{rate:.0f}", between, ratio, goal, first))
    header = (task, "workers", "images/s", "(range)", "wiggly / it", "goal", "first batch after s")
    return table(header, rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add(
        "--tasks",
        nargs="+",
        choices=("crop", "full"),
        default=["crop", "full"],
        help="what to measure (both)",
    )
    add("--peers", nargs="+", choices=tuple(PEERS), default=list(PEERS), help="whom to measure (all)")
    add("--workers", type=int, default=cores(), help="threads or worker processes of each (one per core)")
    add("--threads", type=int, help="OMP_NUM_THREADS of all (torch's own choice)")
    add("--wait-policy", default=WAIT_POLICY, choices=("passive", "active"), help="OMP_WAIT_POLICY of all")
    add("--bs", type=int, default=64, help="batch size (64)")
    add("--files", type=int, default=640, help="different pictures (640, or as many as there are)")
    add("--batches", type=int, default=50, help="batches of a pass (50)")
    add("--batches-fastai", type=int, default=20, help="batches of a pass of fastai, which is slower (20)")
    add("--rounds", type=int, default=5, help="timed passes of each, after one to warm up (5)")
    add("--quick", action="store_true", help="one round of a few batches: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Compare, or be one of the processes that are compared."""
    args = arguments()
    if args.job:
        peer_process(args.job)
        return
    args.head, args.tail = HEAD, TAIL
    if args.quick:
        args.files, args.batches, args.batches_fastai, args.rounds = 128, 6, 4, 1
        args.head, args.tail = 1, 1
    with tempfile.TemporaryDirectory() as folder:
        records = measure(args, Path(folder))
    for task in args.tasks:
        print(f"\n{summary(records, task)}")
    print(f"\nMedian of {args.rounds} passes in turns, batches of {args.bs}, {WIDTH}×{HEIGHT} JPEG → 224 px.")
    print(footer())
    if args.quick:
        print("--quick: far too little work to compare anything.")


if __name__ == "__main__":
    main()
