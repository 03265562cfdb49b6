"""Segmentation: a class for every pixel, in a mask beside each photo; a list says which are for validation.

In: a folder with `images`, `labels`, `codes.txt` and `valid.txt`, as CamVid has. Out: a picture of a batch.
Run: `python examples/segmentation.py camvid segmentation.png`
"""

import sys
from pathlib import Path

import matplotlib

matplotlib.use("agg")
from matplotlib import pyplot as plt

from wiggly import DataBlock, FuncSplitter, ImageBlock, MaskBlock, Resize, aug_transforms, get_image_files


def main(source: str, picture: str) -> None:
    """Build the loaders, show what they do to one street scene, draw a batch."""
    folder = Path(source)
    codes = (folder / "codes.txt").read_text().split()
    held_out = set((folder / "valid.txt").read_text().split())

    def mask_of(photo: Path) -> Path:
        return folder / "labels" / f"{photo.stem}_P.png"

    block = DataBlock(
        blocks=(ImageBlock, MaskBlock(codes)),
        get_items=get_image_files,
        splitter=FuncSplitter(lambda photo: photo.name in held_out or photo.stem in held_out),
        get_y=mask_of,
        item_tfms=Resize((240, 320)),
        batch_tfms=aug_transforms(),
    )
    block.summary(folder / "images")
    dls = block.dataloaders(folder / "images", bs=8, seed=42)
    dls.show_batch(max_n=6)
    plt.savefig(picture)
    x, y = dls.one_batch()
    print(f"images {tuple(x.shape)}, masks {tuple(y.shape)} of {dls.c} classes")


if __name__ == "__main__":
    main(*sys.argv[1:3])
