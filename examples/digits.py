"""Digits: one label per picture, named by its folder; training and validation in folders of their own.

In: the folder or archive of MNIST pictures (`train/3/1.png`, `valid/7/2.png`). Out: a picture of a batch.
Run: `python examples/digits.py mnist_tiny.tgz digits.png`
"""

import sys
import tarfile
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from wiggly import (
    CategoryBlock,
    DataBlock,
    GrandparentSplitter,
    ImageBlock,
    PILImageBW,
    get_image_files,
    parent_label,
)


def main(source: str, picture: str) -> None:
    """Build the loaders, show what they do to one digit, draw a batch."""
    folder = Path(source)
    with tempfile.TemporaryDirectory() as unpacked:
        if folder.is_file():
            with tarfile.open(folder) as archive:
                archive.extractall(unpacked, filter="data")
            folder = Path(unpacked)
        block = DataBlock(
            blocks=(ImageBlock(PILImageBW), CategoryBlock),
            get_items=get_image_files,
            splitter=GrandparentSplitter(),
            get_y=parent_label,
        )
        block.summary(folder)
        dls = block.dataloaders(folder, bs=64, seed=42)
        dls.show_batch()
        plt.savefig(picture)
        print(f"{len(dls.train_ds):,} training and {len(dls.valid_ds):,} validation digits of {dls.vocab}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
