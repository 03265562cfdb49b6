"""RandomResizedCrop: what it keeps of a photo, what it cuts away, and how much of the object is lost.

In: a photo and where its object is, or a learner and one of its items. Out: the parts that wiggly's own
transforms draw, and what is in them. The page draws the same (`web/widgets/src/core/crops.ts`). Read next:
`explore.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.data.dataset import Dataset
from wiggly.errors import ArgumentError, DataError
from wiggly.teach.explorable import Explorable
from wiggly.teach.pictures import as_data_url, mask_url, upright
from wiggly.train.learner import Learner
from wiggly.vision.boxes import Boxes
from wiggly.vision.draws import pair_of
from wiggly.vision.image import LazyImage
from wiggly.vision.mask import LazyMask
from wiggly.vision.resize import RandomResizedCrop, Resize

__all__ = ["crops", "kept", "kept_of_box", "random_resized_crop", "seen"]

Size = tuple[int, int]
Numbers = npt.NDArray[np.float64]
SIDE, MASK_SIDE = 480, 240  # pixels of the longer side in the page
LEAST_SHARE = 0.02  # of the picture: a class this small may be an accident of drawing


def crops(transform: RandomResizedCrop | Resize, size: Size, n: int, seed: int = 0) -> Numbers:
    """The parts of a picture that a transform takes in training, as boxes.

    Args:
        transform: wiggly's own.
        size: Height and width of the picture.
        n: How many draws.
        seed: Of the random numbers.

    Returns:
        `(n, 4)`: left, top, width, height, in pixels.

    Example:
        >>> crops(RandomResizedCrop(224, min_scale=1.0, ratio=(1, 1)), (100, 100), 2)
        array([[  0.,   0., 100., 100.],
               [  0.,   0., 100., 100.]])
    """
    random = Random(seed)
    boxes: list[list[float]] = []
    for _ in range(n):
        drawn = transform.draw_geometry(random, size, True)
        (sx, _, x), (_, sy, y), _ = drawn.matrix.tolist()  # target = s · source + x
        boxes.append([-x / sx, -y / sy, drawn.size[1] / sx, drawn.size[0] / sy])
    exact = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    return np.asarray(np.round(exact, 6) + 0.0, dtype=np.float64)  # + 0: no −0


def seen(boxes: Numbers, size: Size, grid: Size) -> Numbers:
    """The share of the boxes that contain each square of a grid laid over the picture, at its centre.

    Args:
        boxes: `(n, 4)`.
        size: Height and width of the picture.
        grid: Rows and columns of the squares.

    Example:
        >>> seen(np.array([[0.0, 0, 2, 2], [1, 0, 3, 2]]), (2, 4), (1, 4))
        array([[0.5, 1. , 0.5, 0.5]])
    """
    y = (np.arange(grid[0])[:, None] + 0.5) * size[0] / grid[0]
    x = (np.arange(grid[1])[None, :] + 0.5) * size[1] / grid[1]
    inside = [(left <= x) & (x < left + w) & (top <= y) & (y < top + h) for left, top, w, h in boxes]
    return np.asarray(np.mean(inside, axis=0), dtype=np.float64)


def kept(boxes: Numbers, mask: npt.NDArray[Any], size: Size) -> Numbers:
    """Of an object, the share inside each box.

    Args:
        boxes: `(n, 4)`, in pixels of the picture.
        mask: True on the object; may be smaller than the picture, its pixels are squares that a box may cut.
        size: Height and width of the picture.

    Returns:
        `(n,)`, 0 to 1.

    Example:
        >>> kept(np.array([[0.0, 0, 3, 2]]), np.array([[0, 0, 1, 1], [0, 0, 1, 1]]), (2, 4))
        array([0.5])
    """
    sy, sx = mask.shape[0] / size[0], mask.shape[1] / size[1]
    shares: list[float] = []
    for x, y, w, h in boxes:
        down = _covered(mask.shape[0], y * sy, (y + h) * sy)
        across = _covered(mask.shape[1], x * sx, (x + w) * sx)
        shares.append(float(down @ mask.astype(float) @ across) / max(float(mask.sum()), 1e-12))
    return np.array(shares)


def _covered(n: int, low: float, high: float) -> Numbers:
    """How much of each of `n` squares in a row lies between two places."""
    start = np.arange(n)
    return np.clip(np.minimum(start + 1, high) - np.maximum(start, low), 0, 1)


def kept_of_box(boxes: Numbers, around: Sequence[float]) -> Numbers:
    """The same for an object of which only the box around it is known.

    Args:
        boxes: `(n, 4)`: left, top, width, height.
        around: The object's: left, top, width, height.
    """
    x, y, w, h = around
    wide = np.minimum(boxes[:, 0] + boxes[:, 2], x + w) - np.maximum(boxes[:, 0], x)
    high = np.minimum(boxes[:, 1] + boxes[:, 3], y + h) - np.maximum(boxes[:, 1], y)
    return np.clip(wide, 0, None) * np.clip(high, 0, None) / (w * h)


@dataclass(frozen=True)
class _Subject:
    """A photo and where its object is, if that is known."""

    photo: Image.Image
    mask: npt.NDArray[np.bool_] | None = None
    box: Sequence[float] | None = None


def random_resized_crop(
    photo: Any = None,
    mask: Any = None,
    box: Sequence[float] | None = None,
    learn: Learner | None = None,
    item: int = 0,
    transform: RandomResizedCrop | None = None,
    of: str | int | None = None,
) -> Explorable:
    """The explorable: what a random crop keeps of a photo, draw by draw and over many draws.

    Args:
        photo: A picture of your own: path, array or Pillow image; the page can load one, too.
        mask: Array `(h, w)`, not 0 on the object.
        box: Or the box around it: left, top, right, bottom, in pixels.
        learn: Takes photo, mask or box and the transform's settings from this learner's training set instead.
        item: Which of its items.
        transform: Settings to begin with; None takes those of the learner, or of `RandomResizedCrop`.
        of: Of a mask with several classes the one that counts; None takes the smallest that is there.

    Raises:
        ArgumentError: `mask` or `box` does not fit the photo.
        DataError: The learner's items are no pictures.

    Example:
        >>> random_resized_crop()
        Random resized crop: an explorable. ...
    """
    subject: _Subject | None = None
    chosen = transform or RandomResizedCrop(224)
    if learn is not None:
        dataset = _pictures(learn)
        subject = _of_item(dataset, item, of)
        own = [each for each in dataset.item_tfms if isinstance(each, RandomResizedCrop)]
        chosen = transform or (own[0] if own else chosen)
    elif photo is not None:
        subject = _checked(upright(photo), mask, box)
    h, w = pair_of(chosen.size)
    data: dict[str, Any] = {
        "target": [h, w],
        "minScale": chosen.min_scale,
        "maxScale": chosen.max_scale,
        "ratio": list(chosen.ratio),
    }
    if subject is not None:
        data |= _shown(subject)
    return Explorable("random-resized-crop", data, (crops, seen, kept))


def _shown(subject: _Subject) -> dict[str, Any]:
    photo = subject.photo
    data: dict[str, Any] = {"photo": as_data_url(photo, SIDE), "size": [photo.height, photo.width]}
    if subject.mask is not None:
        shrink = max(1, -(-max(subject.mask.shape) // MASK_SIDE))
        data["mask"] = mask_url(subject.mask[shrink // 2 :: shrink, shrink // 2 :: shrink])
    if subject.box is not None:
        data["box"] = list(subject.box)
    return data


def _checked(photo: Image.Image, mask: Any, box: Sequence[float] | None) -> _Subject:
    size = photo.height, photo.width
    found = None if mask is None else np.asarray(mask) != 0
    if found is not None and (found.shape != size or not found.any()):
        raise ArgumentError(
            "`mask` must be as large as the photo, and not 0 somewhere",
            f"it is {found.shape} with {int(found.sum())} pixels, the photo {size}",
            "Pass the mask of this very photo, (height, width).",
        )
    if box is None:
        return _Subject(photo, found)
    left, top, right, bottom = box
    if not (0 <= left < right <= size[1] and 0 <= top < bottom <= size[0]):
        raise ArgumentError(
            "`box` must be left, top, right, bottom inside the photo",
            f"it is {list(box)}, the photo {size[1]} wide and {size[0]} high",
            "Pass pixels of this photo.",
        )
    return _Subject(photo, found, (left, top, right - left, bottom - top))


def _pictures(learn: Learner) -> Dataset:
    dataset = getattr(learn.dls.train, "dataset", None)
    if isinstance(dataset, Dataset) and len(dataset) and isinstance(dataset.load(0)[0], LazyImage):
        return dataset
    raise DataError(
        "a random crop needs items that are pictures",
        "this learner's training set has none",
        "Pass a photo: random_resized_crop(photo).",
    )


def _of_item(dataset: Dataset, item: int, of: str | int | None) -> _Subject:
    values = dataset.load(range(len(dataset))[item])
    photo: Image.Image = values[0].picture()
    for block, value in zip(dataset.blocks[1:], values[1:], strict=True):
        if isinstance(value, LazyMask):
            vocab = [str(each) for each in getattr(block, "vocab", None) or []]
            return _Subject(photo, _object(np.asarray(value.pixels()), vocab, of))
        if isinstance(value, Boxes) and len(value):
            left, top, right, bottom = max(value.xyxy.tolist(), key=_area)
            return _Subject(photo, None, (left, top, right - left, bottom - top))
    return _Subject(photo)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _object(
    indices: npt.NDArray[Any], vocab: list[str], of: str | int | None
) -> npt.NDArray[np.bool_] | None:
    """Where the class that counts is; of two classes the second, which is not the background."""
    classes, counts = np.unique(indices, return_counts=True)
    if of is not None:
        wanted = of if isinstance(of, int) else vocab.index(of) if of in vocab else -1
        if wanted not in classes:
            there = [vocab[i] if i < len(vocab) else i for i in classes.tolist()]
            raise ArgumentError(
                "`of` must be a class of this item's mask", f"it is {of!r}", f"There are: {there}."
            )
        return indices == wanted
    if classes.tolist() in ([0, 1], [0, 255]):
        return indices == classes[1]
    enough = [(n, c) for c, n in zip(classes, counts, strict=True) if n >= LEAST_SHARE * indices.size]
    return indices == min(enough)[1] if len(enough) > 1 else None
