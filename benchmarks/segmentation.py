"""How well a U-Net learns street scenes in minutes on a CPU, beside the constant answer and another U-Net.

In: the CamVid photos (`data/camvid`) and the weights of `tf_efficientnet_lite0`. Out: JSON lines and a table:
share of right pixels and mean intersection over union on held-out photos, Void left out of both; seconds.
Two ways to hold out: "split", the data's own 30 photos, which are frames of a video that also gave training
photos; "sequence", all 24 photos of the video 0006R0, of which training sees none: the harder question. The
peer is segmentation_models_pytorch's U-Net with the same body, weights, data, loss and schedule, trained by
the same Learner; it is left out where it is not installed. Needs a quiet machine only for the seconds.
Run: `python benchmarks/segmentation.py` (10 minutes on two cores), `--quick` to see it work.
"""

from __future__ import annotations

import argparse
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from support import emit, environment, footer, run_peer, shared_dir, table

WEIGHTS = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
ARCH = "tf_efficientnet_lite0"
SEQUENCE = "0006R0"
SETTINGS = ("epochs", "bs", "lr", "height", "width", "loss")


def loaders(job: dict[str, Any]) -> Any:
    """Loaders of CamVid with the photos of the job held out."""
    from wiggly import DataBlock, FuncSplitter, ImageBlock, MaskBlock, Resize, aug_transforms, get_image_files

    folder = Path(job["folder"])
    codes = (folder / "codes.txt").read_text().split()
    names = set((folder / "valid.txt").read_text().split())
    whole = job["hold_out"] == "sequence"
    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(codes, void="Void")),
        get_items=get_image_files,
        splitter=FuncSplitter(lambda p: p.stem.startswith(SEQUENCE) if whole else p.name in names),
        get_y=lambda p: folder / "labels" / f"{p.stem}_P.png",
        item_tfms=Resize((240, 320)),
        batch_tfms=aug_transforms(size=(job["height"], job["width"])),
    )
    return block.dataloaders(folder / "images", bs=job["bs"], seed=job["seed"])


def smp_model(weights: str) -> Any:
    """The peer's U-Net over timm's body with the same weights, normalised as they expect."""
    import timm
    import torch
    from safetensors.torch import load_file
    from segmentation_models_pytorch import Unet
    from torch import nn

    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = Unet(f"tu-{ARCH}", encoder_weights=None, classes=12)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.net(x * 2 - 1)  # mean = std = 0.5

    model = Scaled()
    body = timm.create_model(ARCH, features_only=True)
    found = {name: t.float() for name, t in load_file(weights).items()}
    own = model.net.encoder.model.state_dict()
    assert own.keys() == body.state_dict().keys()
    model.net.encoder.model.load_state_dict({name: found.get(name, t) for name, t in own.items()})
    assert sum(name in found for name in own) == len(own), "the weights must fill the whole body"
    return model.to(memory_format=torch.channels_last)


def learner(job: dict[str, Any], dls: Any) -> Any:
    """The learner of the job."""
    from wiggly import CombinedLoss, CrossEntropyLossFlat, DiceLoss, Learner, unet_learner

    void = dls.target_blocks[0].void
    parts = {"ce": [CrossEntropyLossFlat(axis=1, ignore_index=void)]}
    parts["ce+dice"] = [*parts["ce"], DiceLoss(ignore_index=void)]
    loss = CombinedLoss(parts[job["loss"]])
    if job["peer"] == "wiggly":
        return unet_learner(dls, ARCH, weights=job["weights"], loss_func=loss, metrics=[])
    model = smp_model(job["weights"])
    body = list(model.net.encoder.parameters())
    rest = [*model.net.decoder.parameters(), *model.net.segmentation_head.parameters()]
    groups = [body[: len(body) // 2], body[len(body) // 2 :], rest]
    return Learner(dls, model, loss_func=loss, splitter=lambda _: groups, train_bn=False)


def peer_process(order: str) -> None:
    """What the process of one run does: read the job, train, leave the result."""
    import json

    import torch

    from wiggly import SegmentationInterpretation

    job = json.loads(Path(order).read_text())
    torch.manual_seed(job["seed"])
    dls = loaders(job)
    learn = learner(job, dls)
    started = time.perf_counter()
    with learn.no_bar(), learn.no_logging():
        learn.fine_tune(job["epochs"], base_lr=job["lr"])
    seconds = time.perf_counter() - started
    found = SegmentationInterpretation.from_learner(learn)
    share = found.class_table()["share"]
    result = {
        "accuracy": found.pixel_accuracy,
        "mean_iou": found.mean_iou,
        "class_iou": {name: round(float(iou), 3) for name, iou in found.class_table()["iou"].items()},
        "majority": str(share.idxmax()),
        "majority_accuracy": float(share.max()),
        "majority_iou": float(share.max()) / int((share > 0).sum()),
        "seconds": seconds,
        "n_train": len(dls.train_ds),
        "n_valid": len(dls.valid_ds),
    }
    Path(job["result"]).write_text(json.dumps(result))


def summary(records: list[dict[str, Any]]) -> str:
    """One line per hold-out and model: the mean over the seeds, and the constant answer."""
    rows: list[list[str]] = []
    for hold_out in dict.fromkeys(r["hold_out"] for r in records):
        of = [r for r in records if r["hold_out"] == hold_out]
        base = of[0]
        constant = [f"always {base['majority']}", "-"]
        rows.append(
            [hold_out, *constant, percent([base["majority_accuracy"]]), percent([base["majority_iou"]]), "-"]
        )
        for peer in dict.fromkeys(r["peer"] for r in of):
            runs = [r for r in of if r["peer"] == peer]
            numbers = percent([r["accuracy"] for r in runs]), percent([r["mean_iou"] for r in runs])
            seconds = f"{sum(r['seconds'] for r in runs) / len(runs):.0f}"
            rows.append([hold_out, peer, str(len(runs)), *numbers, seconds])
    return table(("held out", "answer", "seeds", "pixels right %", "mean IoU %", "seconds"), rows)


def percent(values: list[float]) -> str:
    """The mean, and the range where there are several."""
    shown = f"{100 * sum(values) / len(values):.1f}"
    return shown if len(values) == 1 else f"{shown} ({100 * min(values):.1f} to {100 * max(values):.1f})"


def main() -> None:
    """Run everything planned, print each result as it comes, then the table; or be one of the processes."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--epochs", type=int, default=6, help="unfrozen epochs after the frozen one (6)")
    add("--seeds", type=int, default=2, help="runs of each (2)")
    add("--bs", type=int, default=8, help="batch size (8)")
    add("--lr", type=float, default=1e-2, help="base_lr of fine_tune (0.01)")
    add("--height", type=int, default=96, help="pixels the model sees (96)")
    add("--width", type=int, default=128, help="pixels the model sees (128)")
    add("--loss", choices=("ce", "ce+dice"), default="ce", help="cross entropy, or with the Dice loss (ce)")
    add("--hold-out", choices=("split", "sequence", "both"), default="both")
    add("--peers", choices=("wiggly", "smp", "both"), default="both")
    add("--threads", type=int, help="OMP_NUM_THREADS (torch's own choice)")
    add("--quick", action="store_true", help="1 + 1 epochs, 1 seed, small: measures nothing")
    add("--out", help="append the JSON lines to this file too")
    add("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        peer_process(args.job)
        return
    if args.quick:
        args.epochs, args.seeds, args.height, args.width, args.hold_out = 1, 1, 48, 64, "split"
    peers = ["wiggly", "smp"] if args.peers == "both" else [args.peers]
    if "smp" in peers and find_spec("segmentation_models_pytorch") is None:
        print("segmentation_models_pytorch is not installed: left out")
        peers.remove("smp")
    same = {name: getattr(args, name) for name in SETTINGS}
    shared = shared_dir()
    files = {"folder": str(shared / "data" / "camvid"), "weights": str(shared / "weights" / WEIGHTS)}
    records: list[dict[str, Any]] = []
    for hold_out in ("split", "sequence") if args.hold_out == "both" else (args.hold_out,):
        for seed in range(args.seeds):
            for peer in peers:
                run = {"peer": peer, "hold_out": hold_out, "seed": seed, **same}
                result = run_peer(__file__, {**run, **files}, environment(args.threads))
                records.append({"benchmark": "segmentation", **run, **result})
                emit(records[-1], args.out)
    print(f"\n{summary(records)}\n")
    size = f"{args.height}×{args.width}"
    print(f"{ARCH}, {args.loss}, batches of {args.bs} at {size}, 1 frozen + {args.epochs} epochs.")
    print(footer())


if __name__ == "__main__":
    main()
