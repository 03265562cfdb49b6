"""Worked examples: a few validation photos as small files, each the exact input of a recorded answer.

In: a labelled data set. Out: file contents with their label. PNG first, because every runtime decodes it to
the same pixels; about as many JPEGs, as a user's files would be, one of them stored on its side as phones do.
Without other metadata, because a photo's may say where somebody lives.
Read next: `export.py`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from wiggly.bundle.parts import Label
from wiggly.bundle.readers import dealt, spread
from wiggly.data.dataset import Dataset
from wiggly.errors import DataError

__all__ = ["as_jpeg", "choose_examples", "choose_pictures", "example_file"]

#: Bytes of one example at most; a bundle is passed around, and 5 photos must not double it.
LARGEST_EXAMPLE = 200_000

#: Longer sides tried in turn. At the last, RGB pixels cannot take more than 197,000 bytes even uncompressed.
SIDES = (512, 384, 320, 256)


JPEG_QUALITY = 90
ORIENTATION_TAG, STORED_ON_ITS_SIDE = 0x0112, 6  # EXIF 2.32, table 4: to be turned clockwise by a quarter


def choose_examples(dataset: Dataset, n: int) -> Iterator[tuple[bytes, Label]]:
    """Up to `n` items of a data set as example files with their labels, spread over the classes.

    The first readable items of each class are taken, whether the model gets them right or not; of more
    classes than `n`, of some.

    Args:
        dataset: Labelled images.
        n: How many, at least 0.
    """
    labels = dataset.raw_targets
    by_class: dict[Label, list[int]] = {}
    for position, label in enumerate(labels):
        by_class.setdefault(label, []).append(position)
    order = dataset.vocab if dataset.vocab is not None else list(by_class)
    present = [label for label in order if label in by_class]
    yield from dealt([_readable(dataset, label, by_class[label]) for label in present], n)


def _readable(dataset: Dataset, label: Label, positions: list[int]) -> Iterator[tuple[bytes, Label]]:
    contents = (_read(dataset, position) for position in positions)
    return ((content, label) for content in contents if content is not None)


def choose_pictures(dataset: Dataset, n: int) -> Iterator[tuple[bytes, Any]]:
    """Up to `n` items of a data set as example files with their labels, evenly spread over it; unreadable
    ones are left out. A target that lies on the picture, or is a file, is left out (None).

    Args:
        dataset: Images, with targets of any kind.
        n: How many, at least 0.
    """
    plain = not dataset.blocks[dataset.n_inp].drawn_over
    for position in spread(len(dataset), n):
        content = _read(dataset, position)
        if content is not None:
            yield content, dataset.raw(position, dataset.n_inp) if plain else None


def _read(dataset: Dataset, position: int) -> bytes | None:
    try:
        return example_file(dataset[position][0])
    except DataError:  # unreadable: the loader has counted and named it
        return None


def example_file(picture: Any) -> bytes:
    """A picture as a PNG file of at most 200 kB, smaller where need be, with nothing but pixels in it.

    Args:
        picture: PIL image or array `(h, w)` or `(h, w, 3)`.

    Example:
        >>> Image.open(io.BytesIO(example_file(Image.new("RGB", (3000, 2000))))).size
        (512, 341)
    """
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(np.asarray(picture))
    image = image.convert("L" if image.mode in ("1", "L", "I", "I;16", "F") else "RGB")
    content = b""
    for side in SIDES:
        small = image.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(small)).save(
            buffer, "PNG", optimize=True
        )  # by way of the array: no metadata travels
        content = buffer.getvalue()
        if len(content) <= LARGEST_EXAMPLE:
            break
    return content


def as_jpeg(content: bytes, turned: bool = False) -> bytes:
    """An example as a JPEG file.

    Args:
        content: What `example_file` gives.
        turned: Stored on its side, with the EXIF orientation that brings it upright and nothing else of EXIF.

    Example:
        >>> photo = as_jpeg(example_file(Image.new("RGB", (30, 20), "red")), turned=True)
        >>> Image.open(io.BytesIO(photo)).size
        (20, 30)
    """
    buffer, exif = io.BytesIO(), Image.Exif()
    with Image.open(io.BytesIO(content)) as picture:
        stored = picture.transpose(Image.Transpose.ROTATE_90) if turned else picture
        if turned:
            exif[ORIENTATION_TAG] = STORED_ON_ITS_SIDE
        stored.save(buffer, "JPEG", quality=JPEG_QUALITY, exif=exif)
    return buffer.getvalue()
