"""Pets: one label per photo, read out of the file's name; augmentation at the size the model needs.

In: a folder of photos like `great_pyrenees_12.jpg`. Out: a picture of a batch, and one of augmentation.
Run: `python examples/pets.py pets/images pets.png`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from wiggly import (
    CategoryBlock,
    DataBlock,
    ImageBlock,
    Pipeline,
    RandomSplitter,
    RegexLabeller,
    Resize,
    aug_transforms,
    get_image_files,
    using_attr,
)


def main(folder: str, picture: str) -> None:
    """Build the loaders, show what they do to one photo, draw a batch and one photo's augmentation."""
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock),
        get_items=get_image_files,
        splitter=RandomSplitter(valid_pct=0.2, seed=42),
        get_y=Pipeline([using_attr(RegexLabeller(r"^(.*)_\d+.jpg$"), "name"), spaced]),
        item_tfms=Resize(460),
        batch_tfms=aug_transforms(size=224),
    )
    block.summary(folder)
    dls = block.dataloaders(folder, bs=64, seed=42)
    dls.show_batch()
    plt.savefig(picture)
    dls.show_batch(unique=True)
    plt.savefig(Path(picture).with_stem(f"{Path(picture).stem}_augmented"))
    print(f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation photos, {dls.c} breeds")


def spaced(breed: str) -> str:
    """`great_pyrenees` as people write it."""
    return breed.replace("_", " ")


if __name__ == "__main__":
    main(*sys.argv[1:3])
