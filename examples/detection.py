"""Detection: boxes around things, each with a label; a photo may have any number of them.

In: a folder with annotations in COCO's form (`train.json`) and the photos; the weights of timm's
`tf_efficientnet_lite0` as a file, if a model is to be trained as well. Out: a picture of a batch; average
precision class by class, what is found in a second picture, and a bundle that finds it anywhere.
Run: `python examples/detection.py voc2007_sub detection.png lite0.safetensors`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

import wiggly as wg


def main(source: str, picture: str, weights: str = "") -> None:
    """Build the loaders, show what they do to one photo and its boxes, draw a batch; train, find things."""
    folder = Path(source)
    names, annotations = wg.get_annotations(folder / "train.json")
    of = dict(zip(names, annotations, strict=True))
    block = wg.DataBlock(
        blocks=(wg.ImageBlock, wg.BBoxBlock(min_share=0.2), wg.BBoxLblBlock),
        n_inp=1,
        get_items=lambda where: [photo for photo in wg.get_image_files(where) if photo.name in of],
        splitter=wg.RandomSplitter(0.2, seed=42),
        get_y=[lambda photo: of[photo.name][0], lambda photo: of[photo.name][1]],
        item_tfms=wg.Resize(192, method="squish"),
        batch_tfms=wg.aug_transforms(max_rotate=0, max_warp=0, max_zoom=1.25),
    )
    block.summary(folder)
    dls = block.dataloaders(folder, bs=8, seed=42)
    dls.show_batch(max_n=9)
    plt.savefig(picture)
    x, boxes, labels = dls.one_batch()
    print(f"images {tuple(x.shape)}, boxes {tuple(boxes.shape)}, labels {tuple(labels.shape)} of {dls.vocab}")
    if weights:
        wg.set_seed(42)
        learn = wg.detection_learner(dls, "fcos", body="tf_efficientnet_lite0", weights=weights)
        learn.fine_tune(10, 2e-3, lr_mult=10)
        print(wg.DetectionInterpretation.from_learner(learn).class_table().round(2))
        learn.show_results()
        plt.savefig(Path(picture).with_suffix(".found.png"))
        photo = dls.valid_ds.items[0]
        bundle = learn.export(Path(picture).with_suffix(".wiggly"))
        for found in wg.load_bundle(bundle).predict(photo).decoded:
            print(f"{photo.name}: {found.label} {found.score:.0%} at {[round(side) for side in found.box]}")


if __name__ == "__main__":
    main(*sys.argv[1:4])
