"""Key points: 68 places on a face, which move with every pixel that augmentation moves.

In: a folder with `keypoints.csv` (fname, is_valid, x0, y0, x1, ... in pixels) and `images`. Out: a picture.
Run: `python examples/key_points.py face_keypoints key_points.png`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from wiggly import ColReader, ColSplitter, DataBlock, ImageBlock, PointBlock, Resize, aug_transforms


def points_of(row: pd.Series) -> np.ndarray:
    """The row's coordinates as `(68, 2)`: x and y in pixels."""
    return row.filter(regex=r"^[xy]\d+$").to_numpy(float).reshape(-1, 2)


def main(source: str, picture: str) -> None:
    """Build the loaders from the table, show what they do to one face, draw a batch."""
    folder = Path(source)
    table = pd.read_csv(folder / "keypoints.csv")
    block = DataBlock(
        blocks=(ImageBlock, PointBlock),
        splitter=ColSplitter("is_valid"),
        get_x=ColReader("fname", pref=folder / "images"),
        get_y=points_of,
        item_tfms=Resize(160, method="squish"),
        # A mirrored face would need its left and right points exchanged, so it is not mirrored.
        batch_tfms=aug_transforms(do_flip=False, max_rotate=20),
    )
    block.summary(table)
    dls = block.dataloaders(table, bs=64, seed=42)
    dls.show_batch()
    plt.savefig(picture)
    x, y = dls.one_batch()
    print(f"images {tuple(x.shape)}, points {tuple(y.shape)} from {y.min():.2f} to {y.max():.2f}")


if __name__ == "__main__":
    main(*sys.argv[1:3])
