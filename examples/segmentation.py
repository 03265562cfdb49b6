"""Segmentation: a class for every pixel, in a mask beside each photo; a list says which are for validation.

In: a folder with `images`, `labels`, `codes.txt` and `valid.txt`, as CamVid has; the weights of timm's
`tf_efficientnet_lite0` as a file, if a model is to be trained as well (about two minutes on two cores).
Out: a picture of a batch; overlap class by class, and the worst masks in a second picture.
Run: `python examples/segmentation.py camvid segmentation.png lite0.safetensors`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

import wiggly as wg


def main(source: str, picture: str, weights: str = "") -> None:
    """Build the loaders, show what they do to one street scene, draw a batch; train and say what is right."""
    folder = Path(source)
    codes = (folder / "codes.txt").read_text().split()
    held_out = set((folder / "valid.txt").read_text().split())

    def mask_of(photo: Path) -> Path:
        return folder / "labels" / f"{photo.stem}_P.png"

    block = wg.DataBlock(
        blocks=(wg.ImageBlock, wg.MaskBlock(codes, void="Void")),
        get_items=wg.get_image_files,
        splitter=wg.FuncSplitter(lambda photo: photo.name in held_out or photo.stem in held_out),
        get_y=mask_of,
        item_tfms=wg.Resize((240, 320)),
        batch_tfms=wg.aug_transforms(size=(120, 160)) if weights else wg.aug_transforms(),
    )
    block.summary(folder / "images")
    dls = block.dataloaders(folder / "images", bs=8, seed=42)
    dls.show_batch(max_n=6)
    plt.savefig(picture)
    x, y = dls.one_batch()
    print(f"images {tuple(x.shape)}, masks {tuple(y.shape)} of {dls.c} classes")
    if weights:
        wg.set_seed(42)
        metrics = [wg.pixel_accuracy, wg.JaccardCoeffMulti]
        learn = wg.unet_learner(dls, "tf_efficientnet_lite0", weights=weights, metrics=metrics)
        learn.fine_tune(6, base_lr=5e-3)
        found = wg.SegmentationInterpretation.from_learner(learn)
        found.plot_top_losses(4)
        plt.savefig(Path(picture).with_suffix(".worst.png"))
        print(found.class_table().round(2))
        print(f"{found.pixel_accuracy:.1%} of the pixels right, mean IoU {found.mean_iou:.1%}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
