"""wiggly and fastai side by side: fine-tuning on 37 breeds of pets, wall time and error.

Run: `python benchmarks/fine_tune.py` (all), `--quick` (a few batches, to see that it works), `--help`. Both
get the same 840 training and 210 validation photos, the same backbone and weights, the same arguments of
the same transforms, batches of 32 at 224 px. fastai runs `fine_tune` (one frozen and two unfrozen epochs) and
its frozen epoch alone; wiggly runs what is named by `--variants`, among them the probe alone, beside fastai's
frozen epoch. Each run has a process of its own. Timed is what a user waits for after the imports: loaders,
learner, training with its validation passes. The error is computed afterwards by one function for both. Out:
one JSON line per run, two tables. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from support import WAIT_POLICY, breed, emit, environment, footer, pet_files, run_peer, shared_dir, table

N_VALID = 210
WEIGHTS = "mobilenetv2_100.tf_in1k.fp16.safetensors"
ARCH, ARCH_ARGS = "mobilenetv2_100", {"pad_type": "same"}
STATS = (
    [0.5, 0.5, 0.5],
    [0.5, 0.5, 0.5],
)  # of these weights; timm's entry for the architecture has ImageNet's
GOAL, HEAD_GOAL = 8.0, 10.0
# What is timed. Those of the head alone are compared with each other, and so are the others.
HEADS = {"head", "head-bf16"}
FASTAI = ("fine_tune", "head")
WIGGLY = {
    "head": "the probe alone: learn.probe()",
    "head-bf16": "the same after learn.to_bf16()",
    "probe+1": "fine_tune(1, start='probe')",
    "probe+1-small": "the same, at 5/7 of the pixels' side in the unfrozen epoch",
    "default": "fine_tune(epochs), as it comes",
    "frozen": "fine_tune(epochs, start='frozen'): statistics of the body's norms kept, no gradient in it",
    "frozen-bn": "the same with train_bn=True, as fastai does",
}
SETTINGS = (
    "epochs",
    "bs",
    "size",
    "presize",
    "lr",
    "split_seed",
    "wait_policy",
    "fastai_workers",
    "fastai_channels_last",
)


def split(seed: int, quick: bool) -> tuple[list[str], list[str]]:
    """The files for training and for validation: one fixed permutation, the same for every run of both sides.

    Returns:
        840 training and 210 validation files (80 and up to 32 with `quick`); training has every breed.
    """
    files = [str(path) for path in pet_files()]
    random.Random(seed).shuffle(files)
    valid, train = files[:N_VALID], files[N_VALID:]
    if missing := {breed(f) for f in files} - {breed(f) for f in train}:
        raise SystemExit(
            f"every breed must be in the training part; --split-seed {seed} leaves out {missing}."
        )
    if quick:
        train = train[:80]
        valid = [f for f in valid if breed(f) in {breed(t) for t in train}][:32]
    return train, valid


def error_of(probabilities: Any, targets: Any) -> float:
    """Share of wrong labels; the same arithmetic for both sides."""
    return float((probabilities.argmax(dim=1) != targets.flatten()).double().mean())


def cpu_seconds() -> float:
    """Processor time of this process and its ended workers: a busy neighbour hardly moves it."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def check_weights(model: Any, path: str) -> None:
    """Stop if the body does not hold the weights of the file: it would start from random ones, unnoticed."""
    import torch
    from safetensors.torch import load_file

    name, stored = next((k, v) for k, v in load_file(path).items() if k.endswith("conv_stem.weight"))
    held = next(v for k, v in model.state_dict().items() if k.endswith("conv_stem.weight"))
    if not torch.equal(held.cpu().float(), stored.float()):
        raise SystemExit(f"the model must start from {path}; its {name} differs.")


def run_wiggly(job: dict[str, Any]) -> dict[str, Any]:
    """One run of wiggly, written as its user would."""
    started = time.perf_counter()
    import torch

    from wiggly.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Normalize,
        Resize,
        aug_transforms,
        error_rate,
        vision_learner,
    )

    imported, cpu = time.perf_counter(), cpu_seconds()
    torch.manual_seed(job["seed"])
    files, n_train = job["train"] + job["valid"], len(job["train"])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(n_train, len(files))),
        get_y=breed,
        item_tfms=Resize(job["presize"]),
        batch_tfms=[*aug_transforms(size=job["size"]), Normalize.from_stats(*STATS)],
    )
    dls = block.dataloaders([Path(f) for f in files], bs=job["bs"])
    bn = {"train_bn": True} if job["variant"] == "frozen-bn" else {}
    learn = vision_learner(
        dls, ARCH, metrics=error_rate, weights=job["weights"], arch_args=ARCH_ARGS, path=job["folder"], **bn
    )
    check_weights(learn.model, job["weights"])
    with learn.no_bar():
        train_wiggly(learn, job)
    finished, cpu = time.perf_counter(), cpu_seconds() - cpu
    probabilities, targets = learn.get_preds()[:2]
    return {
        "seconds": finished - imported,
        "cpu_seconds": cpu,
        "import_seconds": imported - started,
        "error": error_of(probabilities, targets),
        "batches_per_epoch": len(dls.train),
        "data_workers": getattr(dls.train, "num_workers", None),
        "threads": torch.get_num_threads(),
        "phases": [
            {"seconds": phase["seconds"], "error": phase["rows"][-1][-2]} for phase in learn.recorder.phases
        ],
    }


def train_wiggly(learn: Any, job: dict[str, Any]) -> None:
    """The timed call of one variant."""
    from wiggly.train.probe.timetable import SmallerImages

    lr = job["lr"]
    match job["variant"]:
        case "head":
            learn.probe()
        case "head-bf16":
            learn.to_bf16().probe()
        case "probe+1":
            learn.fine_tune(1, lr, start="probe")
        case "probe+1-small":
            learn.fine_tune(1, lr, start="probe", cbs=SmallerImages(job["size"] * 5 // 7))
        case "default":
            learn.fine_tune(job["epochs"], lr)
        case _:
            learn.fine_tune(job["epochs"], lr, start="frozen")


def run_fastai(job: dict[str, Any]) -> dict[str, Any]:
    """One run of fastai, written as its user would; it forwards the local file of weights to timm."""
    started = time.perf_counter()
    import torch
    from fastai.vision.all import (
        CategoryBlock,
        DataBlock,
        ImageBlock,
        IndexSplitter,
        Normalize,
        Resize,
        aug_transforms,
        error_rate,
        set_seed,
        vision_learner,
    )

    imported, cpu = time.perf_counter(), cpu_seconds()
    set_seed(job["seed"])
    files, n_train = job["train"] + job["valid"], len(job["train"])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        splitter=IndexSplitter(range(n_train, len(files))),
        get_y=breed,
        item_tfms=Resize(job["presize"]),
        batch_tfms=[*aug_transforms(size=job["size"]), Normalize.from_stats(*STATS)],
    )
    workers = {} if job["fastai_workers"] is None else {"num_workers": job["fastai_workers"]}
    dls = block.dataloaders([Path(f) for f in files], bs=job["bs"], **workers)
    local = {"pretrained_cfg_overlay": {"file": job["weights"]}}
    learn = vision_learner(dls, ARCH, metrics=error_rate, path=job["folder"], **local, **ARCH_ARGS)
    check_weights(learn.model, job["weights"])
    if job["fastai_channels_last"]:
        learn.model.to(memory_format=torch.channels_last)
    with learn.no_bar():
        if job["variant"] == "head":  # what its fine_tune does first
            learn.freeze()
            learn.fit_one_cycle(1, slice(job["lr"]), pct_start=0.99)
        else:
            learn.fine_tune(job["epochs"], base_lr=job["lr"])
    finished, cpu = time.perf_counter(), cpu_seconds() - cpu
    with learn.no_bar():
        probabilities, targets = learn.get_preds()[:2]
    return {
        "seconds": finished - imported,
        "cpu_seconds": cpu,
        "import_seconds": imported - started,
        "error": error_of(probabilities, targets),
        "batches_per_epoch": len(dls.train),
        "data_workers": dls.train.fake_l.num_workers,
        "threads": torch.get_num_threads(),
    }


def peer_process(order: str) -> None:
    """What the process of one run does: read the job, run it, leave the result."""
    import resource
    import tempfile

    job = json.loads(Path(order).read_text())
    with tempfile.TemporaryDirectory() as folder:
        job["folder"] = folder
        result = {"wiggly": run_wiggly, "fastai": run_fastai}[job["peer"]](job)
    result["peak_memory_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    Path(job["result"]).write_text(json.dumps(result))


def plan(args: argparse.Namespace) -> list[tuple[str, str, int]]:
    """The runs as (peer, variant, seed), taking turns so that a busy neighbour disturbs all alike."""
    runs: list[tuple[str, str, int]] = []
    for seed in range(max(args.fastai_seeds, args.wiggly_seeds)):
        if seed < args.fastai_seeds:
            runs += [("fastai", variant, seed) for variant in args.fastai_variants]
        if seed < args.wiggly_seeds:
            runs += [("wiggly", variant, seed) for variant in args.variants]
    return runs


def summary(records: list[dict[str, Any]], heads: bool) -> str:
    """Mean wall time and error of each side, and how many times faster than fastai it was.

    Args:
        records: All results.
        heads: Whether the runs of a head alone are told, or the others.
    """
    chosen = [r for r in records if (r["variant"] in HEADS) == heads]
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for record in chosen:
        groups.setdefault((record["peer"], record["variant"]), []).append(record)
    peer = [r["seconds"] for r in chosen if r["peer"] == "fastai"]
    rows = []
    for (name, variant), runs in groups.items():
        seconds, errors = [r["seconds"] for r in runs], [r["error"] for r in runs]
        mean = statistics.mean(seconds)
        ratio = f"{statistics.mean(peer) / mean:.1f}x" if peer else "-"
        between = f"{min(seconds):.0f} to {max(seconds):.0f}"
        spread = f"{100 * min(errors):.1f} to {100 * max(errors):.1f}"
        memory = max(r["peak_memory_mib"] for r in runs)
        error = f"{100 * statistics.mean(errors):.1f}"
        cpu = f"{statistics.mean(r['cpu_seconds'] for r in runs):.0f}"
        told = f"{name}, {variant}"
        rows.append((told, len(runs), f"{mean:.1f}", between, cpu, ratio, error, spread, memory))
    header = (
        "side",
        "seeds",
        "seconds",
        "(range)",
        "CPU s",
        "times faster",
        "error %",
        "(range)",
        "peak MiB",
    )
    return table(header, rows) if rows else "no runs"


def names(known: Iterable[str]) -> Callable[[str], list[str]]:
    """Reads names with commas between them."""

    def read(text: str) -> list[str]:
        chosen = text.split(",") if text else []
        if unknown := set(chosen) - set(known):
            raise argparse.ArgumentTypeError(
                f"there is no {', '.join(unknown)}; there are {', '.join(known)}"
            )
        return chosen

    return read


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--epochs", type=int, default=2, help="unfrozen epochs after the frozen one (2)")
    add("--wiggly-seeds", type=int, default=3, help="runs of each variant of wiggly (3); 0 leaves it out")
    add("--fastai-seeds", type=int, default=1, help="runs of fastai (1); 0 leaves it out")
    told = "; ".join(f"{name}: {what}" for name, what in WIGGLY.items())
    add("--variants", type=names(WIGGLY), default=list(WIGGLY), help=f"of wiggly, with commas ({told})")
    add("--fastai-variants", type=names(FASTAI), default=list(FASTAI), help="of fastai: fine_tune, head")
    add("--bs", type=int, default=32, help="batch size (32)")
    add("--size", type=int, default=224, help="pixels the model sees (224)")
    add("--presize", type=int, default=256, help="Resize(...) of both before augmentation (256)")
    add("--lr", type=float, default=2e-3, help="base_lr of fine_tune (0.002, the default of both)")
    add("--split-seed", type=int, default=42, help="of the permutation that splits the photos (42)")
    add("--threads", type=int, help="OMP_NUM_THREADS of both (torch's own choice)")
    add("--wait-policy", default=WAIT_POLICY, choices=("passive", "active"), help="OMP_WAIT_POLICY of both")
    add("--fastai-workers", type=int, help="num_workers of fastai (its default: one per core)")
    add("--fastai-channels-last", action="store_true", help="convert fastai's model (it does not by itself)")
    add("--quick", action="store_true", help="80 photos, 1 + 1 epochs, 1 seed: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    return parser.parse_args()


def compare(args: argparse.Namespace) -> None:
    """Run everything planned, print each result as it comes, then the table."""
    train, valid = split(args.split_seed, args.quick)
    same = {name: getattr(args, name) for name in SETTINGS}
    files = {"train": train, "valid": valid, "weights": str(shared_dir() / "weights" / WEIGHTS)}
    counts = {"n_train": len(train), "n_valid": len(valid), "n_classes": len({breed(f) for f in train})}
    env = environment(args.threads, args.wait_policy)
    records = []
    for peer, variant, seed in plan(args):
        run = {"peer": peer, "variant": variant, "seed": seed}
        result = run_peer(__file__, {**run, **same, **files}, env)
        records.append({"benchmark": "fine_tune", **run, **same, **counts, **result})
        emit(records[-1], args.out)
    for title, heads in (("The head alone", True), ("Fine-tuning", False)):
        print(f"\n{title}:\n\n{summary(records, heads)}\n")
    print("{n_train} training and {n_valid} validation photos, {n_classes} breeds;".format(**counts))
    print(f"{ARCH}, batches of {args.bs} at {args.size} px, 1 frozen + {args.epochs} unfrozen epochs.")
    goals = f"{GOAL:.0f} times faster than fastai's fine_tune, {HEAD_GOAL:.0f} times than its frozen epoch"
    print(f"Goals: at least {goals}, at an error no higher.\n{footer()}")
    if args.quick:
        print("--quick: far too little work to compare anything.")


def main() -> None:
    """Compare, or be one of the processes that are compared."""
    args = arguments()
    if args.job:
        peer_process(args.job)
        return
    if args.quick:
        args.epochs = 1
        args.wiggly_seeds, args.fastai_seeds = min(1, args.wiggly_seeds), min(1, args.fastai_seeds)
    compare(args)


if __name__ == "__main__":
    main()
