"""Several labels per photo, in a table: file name, labels, and which rows are for validation.

In: a folder with `train.csv` (fname, labels separated by spaces, is_valid) and `images`. Out: a picture.
Run: `python examples/multi_label.py voc2007_sub multi_label.png`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import pandas as pd
from matplotlib import pyplot as plt

from wiggly import (
    ColReader,
    ColSplitter,
    DataBlock,
    ImageBlock,
    MultiCategoryBlock,
    RandomResizedCrop,
    aug_transforms,
)


def main(source: str, picture: str) -> None:
    """Build the loaders from the table, show what they do to one row, draw a batch."""
    folder = Path(source)
    table = pd.read_csv(folder / "train.csv")
    block = DataBlock(
        blocks=(ImageBlock, MultiCategoryBlock),
        splitter=ColSplitter("is_valid"),
        get_x=ColReader("fname", pref=folder / "images"),
        get_y=ColReader("labels", label_delim=" "),
        item_tfms=RandomResizedCrop(224, min_scale=0.5),
        batch_tfms=aug_transforms(),
    )
    block.summary(table)
    dls = block.dataloaders(table, bs=64, seed=42)
    dls.show_batch()
    plt.savefig(picture)
    x, y = dls.one_batch()
    print(f"images {tuple(x.shape)}, labels {tuple(y.shape)}, {y.sum(1).mean():.2f} labels per photo")


if __name__ == "__main__":
    main(*sys.argv[1:3])
