"""How long `learn.probe()` takes beside one forward pass over the same photos, and how good the model is.

Run: `python benchmarks/probe.py` (two minutes on two cores), `--quick` (80 photos, to see that it works),
`--help`. In: 840 training and 210 validation photos of 37 breeds of pets, and the weights of
`tf_efficientnet_lite0`. Two kinds of run, taking turns, each in a process of its own with the same loaders,
learner, sizes and precision: "pass" sends all photos through the body by a plain loop and throws the features
away; "probe" is `learn.probe()` with its validation. Timed is that alone, not imports, loaders or weights.
The pass gets what helps the probe: batches of 64, `channels_last`, no gradients, freed memory kept. Out: one
JSON line per run, and a table: seconds, their ratio, right answers beside the most frequent breed's. Read
next: `fine_tune.py`, whose photos these are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

from fine_tune import check_weights, cpu_seconds, split
from support import WAIT_POLICY, breed, emit, environment, footer, run_peer, shared_dir, table

WEIGHTS = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
ARCH = "tf_efficientnet_lite0"
ROWS = 64  # per batch of the pass: what the probe takes, too
GOAL = 1.3
SETTINGS = ("size", "bs", "precision", "split_seed", "wait_policy")


def learner(job: dict[str, Any]) -> Any:
    """The learner of both kinds of run."""
    from wiggly.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Resize,
        accuracy,
        vision_learner,
    )

    files, n_train = job["train"] + job["valid"], len(job["train"])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(n_train, len(files))),
        get_y=breed,
        item_tfms=Resize(job["size"]),
    )
    dls = block.dataloaders([Path(f) for f in files], bs=job["bs"], seed=job["seed"])
    learn = vision_learner(dls, ARCH, metrics=accuracy, weights=job["weights"])
    check_weights(learn.model, job["weights"])
    return learn.to_bf16() if job["precision"] == "bf16" else learn


def forward_pass(learn: Any, precision: str) -> int:
    """All photos through the body, by a loop that keeps nothing; returns how many there were."""
    import torch

    from wiggly.train.engine import keep_freed_memory

    keep_freed_memory()
    device, body, seen = learn.engine.device, learn.model[0].eval(), 0
    half = torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16")
    with torch.inference_mode(), half:
        for dl in (learn.dls.train, learn.dls.valid):
            for batch in dl.new(bs=ROWS, shuffle=False, drop_last=False).batches():
                images = batch.inputs[0].to(device, memory_format=torch.channels_last)
                seen += len(body(images))
    return seen


def peer_process(order: str) -> None:
    """What the process of one run does: read the job, run it, leave the result."""
    import torch

    job = json.loads(Path(order).read_text())
    torch.manual_seed(job["seed"])
    learn = learner(job)
    result: dict[str, Any] = {"threads": torch.get_num_threads()}
    started, cpu = time.perf_counter(), cpu_seconds()
    if job["kind"] == "pass":
        result["photos"] = forward_pass(learn, job["precision"])
    else:
        with learn.no_bar(), learn.no_logging():
            learn.probe()
    result |= {"seconds": time.perf_counter() - started, "cpu_seconds": cpu_seconds() - cpu}
    if job["kind"] == "probe":
        result["accuracy"] = learn.recorder.values[-1][-1]
    Path(job["result"]).write_text(json.dumps(result))


def summary(records: list[dict[str, Any]], majority: float) -> str:
    """One line per kind of run: the quickest, the mean, and how many passes it took."""
    of = {kind: [r for r in records if r["kind"] == kind] for kind in ("pass", "probe")}
    seconds = {kind: [r["seconds"] for r in runs] for kind, runs in of.items()}
    told = {"pass": "one forward pass of the body", "probe": "learn.probe()"}
    rows: list[tuple[Any, ...]] = [
        ("always the most frequent breed", "-", "-", "-", "-", "-", share([majority]))
    ]
    for kind, runs in of.items():
        ratios = [own / other for own, other in zip(seconds[kind], seconds["pass"], strict=True)]
        right = share([r["accuracy"] for r in runs]) if kind == "probe" else "-"
        cpu = f"{statistics.mean(r['cpu_seconds'] for r in runs):.1f}"
        times = f"{min(seconds[kind]):.1f}", f"{statistics.mean(seconds[kind]):.1f}"
        rows.append((told[kind], len(runs), *times, cpu, f"{statistics.median(ratios):.2f}", right))
    header = ("what", "runs", "quickest, s", "mean, s", "CPU s", "passes (median)", "right answers %")
    return table(header, rows)


def share(values: list[float]) -> str:
    """The mean in per cent, and the range where there are several."""
    shown = f"{100 * statistics.mean(values):.1f}"
    return shown if len(values) == 1 else f"{shown} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def majority_share(train: list[str], valid: list[str]) -> float:
    """Share of validation photos that show the breed most frequent in training."""
    most = statistics.mode(map(breed, train))
    return statistics.mean(breed(f) == most for f in valid)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--runs", type=int, default=3, help="of each kind, in turns (3)")
    add("--size", type=int, default=224, help="pixels the model sees (224)")
    add(
        "--bs", type=int, default=32, help="batch size of the loaders (32); both kinds of run read 64 at once"
    )
    add("--precision", choices=("float32", "bf16"), default="float32", help="of the body")
    add("--split-seed", type=int, default=42, help="of the permutation that splits the photos (42)")
    add("--threads", type=int, help="OMP_NUM_THREADS (torch's own choice)")
    add("--wait-policy", default=WAIT_POLICY, choices=("passive", "active"), help="OMP_WAIT_POLICY")
    add("--quick", action="store_true", help="80 photos at 64 px, 1 run of each: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Run everything planned, print each result as it comes, then the table; or be one of the processes."""
    args = arguments()
    if args.job:
        peer_process(args.job)
        return
    if args.quick:
        args.runs, args.size = 1, 64
    train, valid = split(args.split_seed, args.quick)
    files = {"train": train, "valid": valid, "weights": str(shared_dir() / "weights" / WEIGHTS)}
    same = {name: getattr(args, name) for name in SETTINGS}
    records: list[dict[str, Any]] = []
    for seed in range(args.runs):
        for kind in ("pass", "probe"):
            run = {"peer": "wiggly", "kind": kind, "seed": seed, **same}
            result = run_peer(__file__, {**run, **files}, environment(args.threads, args.wait_policy))
            records.append({"benchmark": "probe", **run, **result})
            emit(records[-1], args.out)
    print(f"\n{summary(records, majority_share(train, valid))}\n")
    print(
        f"{len(train)} training and {len(valid)} validation photos of {len(set(map(breed, train)))} breeds;"
    )
    print(f"{ARCH} at {args.size} px, {args.precision}. Goal: at most {GOAL} passes.\n{footer()}")
    if args.quick:
        print("--quick: far too little work to compare anything.")


if __name__ == "__main__":
    main()
