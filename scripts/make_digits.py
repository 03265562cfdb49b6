"""Writes the 1,797 handwritten digits that scikit-learn carries as a folder: `digits/<digit>/<number>.png`.

In: the folder to write. Out: 64x64 grey PNGs; the scans have 8x8 pixels of 17 grey levels, enlarged so that a
person can see them. Source: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI (1998),
its test part.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

SIDE = 64
LEVELS = 16  # the scans count ink in 4x4 blocks, so grey runs from 0 to 16


def main(folder: str) -> None:
    """Write the pictures that are not there yet and say how many there are."""
    digits = load_digits()
    for number, (scan, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        path = Path(folder, str(label), f"{number:04}.png")
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            grey = np.rint(scan * (255 / LEVELS)).astype(np.uint8)
            Image.fromarray(grey).resize((SIDE, SIDE), Image.Resampling.BICUBIC).save(path)
    print(f"{folder}/: {len(digits.images)} pictures of {len(digits.target_names)} digits")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "digits")
