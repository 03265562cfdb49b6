"""Finding things with wiggly: average precision on held-out photos, beside an answer that needs no model.

Run: `python benchmarks/detection.py` (both data sets), `--data voc2007_sub`, `--arch retinanet`, `--help`. A
quarter of the photos is held out (a fixed permutation). The detector is torchvision's on timm's
tf_efficientnet_lite0 with ImageNet weights; photos are squeezed to a square, flipped, zoomed and relit. The
constant answer says every class's mean training box in every photo, the more frequent ones first.
`--overhead` times a training step against torchvision's own forward pass of the same network instead.
Out: one JSON line per run, a table. Read next: `support.py`.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from support import emit, footer, shared_dir, table, versions

BODY = "tf_efficientnet_lite0"
WEIGHTS = "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
SIZES = {"voc2007_sub": 192, "coco_tiny": 256}  # coco_tiny's things are small: 9 × 18 pixels, half of them
HELD_OUT = 0.25


def loaders(name: str, size: int, bs: int, seed: int) -> Any:
    """Loaders of one data set, boxes from its `train.json`."""
    from wiggly import (
        BBoxBlock,
        BBoxLblBlock,
        DataBlock,
        ImageBlock,
        RandomSplitter,
        Resize,
        aug_transforms,
        get_annotations,
        get_image_files,
    )

    folder = shared_dir() / "data" / name
    names, annotations = get_annotations(folder / "train.json")
    of = dict(zip(names, annotations, strict=True))
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock(min_share=0.2), BBoxLblBlock),
        n_inp=1,
        get_items=lambda where: [photo for photo in get_image_files(where) if photo.name in of],
        splitter=RandomSplitter(HELD_OUT, seed=42),
        get_y=[lambda photo: of[photo.name][0], lambda photo: of[photo.name][1]],
        item_tfms=Resize(size, method="squish"),
        batch_tfms=aug_transforms(max_rotate=0, max_warp=0, max_zoom=1.25),
    )
    return block.dataloaders(folder, bs=bs, seed=seed)


def train(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """One run: train, count boxes, count those of the constant answer."""
    from wiggly import DetectionInterpretation, detection_learner, set_seed
    from wiggly.interpret.detection import constant_matches

    size = options.size or SIZES[name]
    dls = loaders(name, size, options.bs, options.seed)
    set_seed(options.seed)
    weights = shared_dir() / "weights" / WEIGHTS
    learn = detection_learner(dls, options.arch, body=BODY, weights=weights)
    started = time.perf_counter()
    with learn.no_bar():
        learn.fine_tune(options.epochs, options.lr, lr_mult=options.lr_mult)
    seconds = time.perf_counter() - started
    found = DetectionInterpretation.from_learner(learn)
    constant = constant_matches(found, dls.train)
    assert constant is not None
    if options.picture:
        from matplotlib import pyplot as plt

        learn.show_results()
        plt.savefig(Path(options.picture).with_suffix(f".{name}.png"))
    precision, recall = found.matches.precision_and_recall(found.min_score)
    return {
        "data": name,
        "arch": options.arch,
        "size": size,
        "epochs": options.epochs,
        "n_train": len(dls.train_ds),
        "n_valid": len(found),
        "classes": len(found.classes),
        "ap": found.matches.average_precision(),
        "ap50": found.matches.average_precision(0.5),
        "constant_ap50": constant.average_precision(0.5),
        "precision": precision,
        "recall": recall,
        "seconds": seconds,
    }


def overhead(arch: str, size: int, bs: int, repeats: int = 12) -> dict[str, Any]:
    """Seconds of forward, loss and backward: ours, and torchvision's own forward of the very same network, in
    turns; the fastest of each counts."""
    import torch

    from wiggly.vision.detection.boxes import as_targets
    from wiggly.vision.detection.models import detector_model

    torch.manual_seed(0)
    model = detector_model(arch, 20, body=BODY, pretrained=False).train()
    network: Any = model.network
    network.transform.min_size, network.transform.max_size = (size,), size
    network.transform._skip_resize = True
    images = torch.rand(bs, 3, size, size)
    boxes = torch.tensor([[-0.5, -0.5, 0.3, 0.4], [0.1, -0.2, 0.9, 0.6]]).expand(bs, -1, -1)
    labels = torch.tensor([3, 7]).expand(bs, -1)

    def theirs() -> Any:
        return network(list(images), as_targets(boxes, labels, (size, size), model.numbering))

    def ours() -> Any:
        return model.losses(model(images), boxes, labels)

    best = {"torchvision": float("inf"), "wiggly": float("inf")}
    for _ in range(repeats):
        for name, run in (("torchvision", theirs), ("wiggly", ours)):
            started = time.perf_counter()
            torch.stack(list(run().values())).sum().backward()
            best[name] = min(best[name], time.perf_counter() - started)
    return {"arch": arch, "size": size, "bs": bs, **best, "ratio": best["wiggly"] / best["torchvision"]}


def short(value: Any) -> Any:
    """Numbers with three digits behind the point."""
    return f"{value:.3f}" if isinstance(value, float) else value


def main() -> None:
    """Read the options, run, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", choices=sorted(SIZES), action="append", help="default: both")
    parser.add_argument("--arch", default="fcos", choices=["fcos", "retinanet", "fasterrcnn"])
    parser.add_argument("--size", type=int, default=0, help="side of the photos in pixels")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--bs", type=int, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--lr-mult", type=float, default=10)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--picture", help="also draw results, to files of this name")
    parser.add_argument("--overhead", action="store_true", help="time a step against torchvision's own")
    parser.add_argument("--out", help="append JSON lines to this file")
    options = parser.parse_args()
    if options.overhead:
        rows = [
            overhead(arch, options.size or 192, options.bs) for arch in ("fcos", "retinanet", "fasterrcnn")
        ]
        for row in rows:
            emit(row, options.out)
        names = ["arch", "size", "bs", "torchvision", "wiggly", "ratio"]
        print(table(names, [[short(row[name]) for name in names] for row in rows]))
        return
    rows = [{**train(name, options), "versions": versions()} for name in options.data or sorted(SIZES)]
    for row in rows:
        emit(row, options.out)
    names = [
        "data",
        "arch",
        "size",
        "n_train",
        "n_valid",
        "classes",
        "constant_ap50",
        "ap50",
        "ap",
        "seconds",
    ]
    print(table(names, [[short(row[name]) for name in names] for row in rows]))
    print(footer())


if __name__ == "__main__":
    main()
