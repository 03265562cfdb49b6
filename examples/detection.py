"""Detection: boxes around things, each with a label; a photo may have any number of them.

In: a folder with annotations in COCO's form (`train.json`) and the photos. Out: a picture of a batch.
Run: `python examples/detection.py coco_tiny detection.png`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

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


def main(source: str, picture: str) -> None:
    """Build the loaders, show what they do to one photo and its boxes, draw a batch."""
    folder = Path(source)
    names, annotations = get_annotations(folder / "train.json")
    of = dict(zip(names, annotations, strict=True))
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        get_items=lambda where: [photo for photo in get_image_files(where) if photo.name in of],
        splitter=RandomSplitter(0.2, seed=42),
        get_y=[lambda photo: of[photo.name][0], lambda photo: of[photo.name][1]],
        item_tfms=Resize(128),
        batch_tfms=aug_transforms(),
    )
    block.summary(folder)
    dls = block.dataloaders(folder, bs=16, seed=42)
    dls.show_batch()
    plt.savefig(picture)
    x, boxes, labels = dls.one_batch()
    print(f"images {tuple(x.shape)}, boxes {tuple(boxes.shape)}, labels {tuple(labels.shape)} of {dls.vocab}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
