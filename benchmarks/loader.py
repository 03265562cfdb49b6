"""Images per second of the training loader: fastai, torchvision v2, timm, SPDL, wiggly, and what bounds them.

Run: `python benchmarks/loader.py` (all, about 40 minutes), `--quick` (a few batches, to see that it works),
`--help`. 500×375 JPEG → 224 px, float32, normalised, ready for the model. Two tasks: `crop` (a random resized
crop alone) and `full` (flip, rotation, zoom, perspective, lighting); two kinds of data: `cold` (each picture
decoded each time) and `cached` (decoded pictures in memory); on 1 and on 2 cores. Every peer lives in a
process of its own and waits while the others work; they take turns, pass by pass, so that a busy neighbour
disturbs all alike. Then how wiggly grows from 10³ to 10⁶ items (`scale.py`). Out: a JSON line per result,
tables, goals. Read next: `loader_tasks.py`, `loader_peers.py`, `loader_limits.py`; `support.py`.
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
from random import Random
from typing import Any

import scale
from loader_goals import goals
from loader_peers import PEERS, PROCESSES
from loader_tasks import DATA, SIZE, TASKS, Job, Pass, Unavailable
from support import WAIT_POLICY, cores, emit, environment, footer, pet_files, table

WIDTH, HEIGHT, QUALITY = 500, 375, 90
# Only the middle of a pass is timed: after start-up and the batches made ahead, before workers run dry.
HEAD, TAIL = 6, 4
# Batches of a pass for those who are slow, as a share of what the others read.
SLOWER = {"fastai": 0.4, "torchvision v2": 0.6, "timm": 0.6, "SPDL": 0.6, "SPDL, spdl.io": 0.6}


def make_pictures(folder: Path, number: int) -> list[str]:
    """Write landscape pet photos as 500×375 JPEGs of quality 90: centre cut to 4:3, enlarged with Lanczos.

    Taken from all over the list, so that a few have several breeds too.
    """
    from PIL import Image, ImageOps

    made: list[str] = []
    for source in Random(0).sample(files := pet_files(), len(files)):
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
    begin, arrivals, first = time.perf_counter(), [], None
    for x, y in start():
        arrivals.append(time.perf_counter())
        right = x is None or (tuple(x.shape) == (bs, 3, SIZE, SIZE) and str(x.dtype) == "torch.float32")
        if not right or len(y) != bs:
            raise SystemExit(f"batches must be ({bs}, 3, {SIZE}, {SIZE}) float32; got {x.shape} {x.dtype}.")
        if len(arrivals) == 1 and x is not None:
            first = float(x.min()), float(x.max()), float(x.mean())
        del x
    if first and not (-2.2 < first[0] < -1.0 and 1.0 < first[1] < 2.7 and abs(first[2]) < 1.0):
        raise SystemExit(f"batches must be normalised; the first has least, most and mean {first}.")
    images = bs * (len(arrivals) - head - tail)
    return {
        "rate": images / (arrivals[-1 - tail] - arrivals[head - 1]),
        "first_batch_seconds": arrivals[0] - begin,
        "images_timed": images,
    }


def peer_process(order: str) -> None:
    """The process of one peer: makes the loader, then one pass for each line on standard input."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a peer prints must not stand among the answers

    def answer(what: dict[str, Any]) -> None:
        print(json.dumps(what), file=answers, flush=True)

    given = json.loads(Path(order).read_text())
    if hasattr(os, "sched_setaffinity"):  # before torch counts the cores
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: given["workers"]])
    job = Job(*(given[k] for k in ("task", "data", "files", "bs", "workers")))
    try:
        start = PEERS[job.data][given["peer"]](job)
        import torch

        answer({"torch_threads": torch.get_num_threads()})
    except Unavailable as reason:
        answer({"unavailable": str(reason)})
        return
    for _ in sys.stdin:
        answer(one_pass(start, job.bs, given["head"], given["tail"]))


class Peer:
    """The other end of `peer_process`."""

    def __init__(self, name: str, job: dict[str, Any], folder: Path, env: dict[str, str]) -> None:
        self.name, self.workers = name, job["workers"]
        order = folder / f"{name} {self.workers}.json"
        order.write_text(json.dumps({"peer": name, **job}))
        command = [sys.executable, __file__, "--job", str(order)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, env=env, stdin=pipe, stdout=pipe, text=True)
        self.about = self._answer()

    def run(self) -> dict[str, Any]:
        """One pass over the files."""
        print("pass", file=self.process.stdin, flush=True)
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
    """All passes of all peers; one record per scene and peer."""
    files = make_pictures(folder, args.files)
    kib = statistics.mean(Path(f).stat().st_size for f in files) / 1024
    print(f"{len(files)} pictures of {WIDTH}×{HEIGHT}, {kib:.0f} KiB on average", file=sys.stderr)
    records = []
    for data in args.data:
        for task in args.tasks:
            records += measure_scene({"task": task, "data": data}, files, args, folder)
    return records


def measure_scene(
    scene: dict[str, str], files: list[str], args: argparse.Namespace, folder: Path
) -> list[dict[str, Any]]:
    """One task with one kind of data: every peer on every number of cores in turn, after a warm-up pass."""
    print(", ".join(scene.values()), file=sys.stderr, flush=True)
    peers = [peer for workers in args.workers for peer in start_peers(scene, workers, files, args, folder)]
    passes: dict[Peer, list[dict[str, Any]]] = {peer: [] for peer in peers}
    for number in range(args.rounds + 1):
        for peer in peers:
            result = peer.run()
            if number:  # the first warms caches and starts persistent workers
                passes[peer].append(result)
    records = []
    for peer in peers:
        peer.close()
        record = {"benchmark": "loader", **scene, "workers": peer.workers, "peer": peer.name}
        records.append({**record, **_rates(passes[peer]), **peer.about, "bs": args.bs})
        emit(records[-1], args.out)
    return records


def start_peers(
    scene: dict[str, str], workers: int, files: list[str], args: argparse.Namespace, folder: Path
) -> list[Peer]:
    """The processes of all peers, their loaders made; those that cannot be measured here are named."""
    env = environment(args.threads or workers, args.wait_policy)
    peers: list[Peer] = []
    for name in PEERS[scene["data"]]:
        if args.peers and name not in args.peers:
            continue
        batches = max(args.head + args.tail + 2, round(args.batches * SLOWER.get(name, 1.0)))
        n = args.bs * batches
        job = {**scene, "workers": workers, "bs": args.bs, "files": (files * (n // len(files) + 1))[:n]}
        peer = Peer(name, {**job, "head": args.head, "tail": args.tail}, folder, env)
        if "unavailable" in peer.about:
            print(f"  {name} is left out: {peer.about['unavailable']}", file=sys.stderr, flush=True)
            peer.close()
        else:
            peers.append(peer)
    return peers


def _rates(passes: list[dict[str, Any]]) -> dict[str, Any]:
    rates = [p["rate"] for p in passes]
    return {
        "images_per_second": round(statistics.median(rates), 1),
        "lowest": round(min(rates), 1),
        "highest": round(max(rates), 1),
        "rates": [round(rate, 1) for rate in rates],
        "images_per_pass": passes[0]["images_timed"],
        "first_batch_seconds": round(statistics.median(p["first_batch_seconds"] for p in passes), 2),
    }


def summary(records: list[dict[str, Any]], task: str, data: str, workers: int) -> str:
    """The rates of one scene, and wiggly's against each."""
    mine = [r for r in records if (r["task"], r["data"], r["workers"]) == (task, data, workers)]
    ours = next((r["images_per_second"] for r in mine if r["peer"] == "wiggly"), None)
    rows = []
    for r in sorted(mine, key=lambda r: r["images_per_second"]):
        how = "process" if r["peer"] in PROCESSES else "thread"
        rows.append(
            (
                r["peer"],
                f"{workers} {how}{'es' if how == 'process' else 's'}" if workers > 1 else f"1 {how}",
                f"{r['images_per_second']:.0f}",
                f"{r['lowest']:.0f} to {r['highest']:.0f}",
                f"{ours / r['images_per_second']:.2f}" if ours else "-",
                f"{r['first_batch_seconds']:.2f}",
            )
        )
    title = f"{task}, {data}, {workers} core{'s' if workers > 1 else ''}"
    return table((title, "workers", "images/s", "(range)", "wiggly / it", "first batch after s"), rows)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = tuple(dict.fromkeys(name for peers in PEERS.values() for name in peers))
    counts = [1, 2] if cores() > 1 else [1]
    add = parser.add_argument
    add("--tasks", nargs="+", choices=TASKS, default=TASKS, help="what to measure (both)")
    add("--data", nargs="+", choices=DATA, default=DATA, help="with pictures cold or cached (both)")
    add("--peers", nargs="+", choices=names, help="whom to measure (all)")
    add("--workers", nargs="+", type=int, default=counts, help="threads or processes, and cores (1 and 2)")
    add("--threads", type=int, help="OMP_NUM_THREADS of all (as many as workers)")
    add("--wait-policy", default=WAIT_POLICY, choices=("passive", "active"), help="OMP_WAIT_POLICY of all")
    add("--bs", type=int, default=64, help="batch size (64)")
    add("--files", type=int, default=640, help="different pictures (640, or as many as there are)")
    add("--batches", type=int, default=50, help="batches of a pass (50; fewer for slow peers)")
    add("--rounds", type=int, default=5, help="timed passes of each, after one to warm up (5)")
    add("--no-growth", action="store_true", help="leave out 10³ to 10⁶ items")
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
        args.files, args.batches, args.rounds, args.bs, args.workers = 64, 6, 1, 16, args.workers[-1:]
        args.head, args.tail = 1, 1
    with tempfile.TemporaryDirectory() as folder:
        records = measure(args, Path(folder))
    for workers in args.workers:
        for data in args.data:
            for task in args.tasks:
                print(f"\n{summary(records, task, data, workers)}")
    if not args.quick:
        reached = goals(records)
        for goal in reached:
            emit({"benchmark": "loader goal", **goal}, args.out)
        print(f"\n{table(('goal', 'wanted', 'got', ''), [tuple(g.values()) for g in reached])}")
    print(
        f"\nMedian of {args.rounds} passes in turns, batches of {args.bs}, {WIDTH}×{HEIGHT} JPEG → {SIZE} px."
    )
    if not args.no_growth:
        sizes = scale.QUICK if args.quick else scale.SIZES
        print(f"\n{scale.summary(scale.measure(sizes, args.out))}")
    print(footer())
    if args.quick:
        print("--quick: far too little work to compare anything.")


if __name__ == "__main__":
    main()
