"""Transforms that decide the size: `Resize` and `RandomResizedCrop`.

In: images of any size. Out: images of one size. Both are frozen dataclasses: their fields are their
arguments. Read next: `augment.py`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import InitVar, dataclass
from random import Random
from typing import Any, ClassVar

from wiggly.vision.draws import GeometricTransform, PadMode, Size, check, check_pad_mode, pair_of
from wiggly.vision.geometry import Geometry, box_to, scaling, translation

__all__ = ["RandomResizedCrop", "Resize", "ResizeMethod"]


# Pillow's `Image.Resampling.BILINEAR` and `NEAREST`: images are filtered and interpolated, masks are not.
_FILTERS = (2, 0)


class ResizeMethod:
    """How `Resize` reaches its size; plain strings do as well."""

    Squish, Crop, Pad = "squish", "crop", "pad"


def _crop_box(
    size: tuple[int, int], target: tuple[int, int], random: Random | None
) -> tuple[float, float, float, float]:
    """The largest box of the target's proportions: at random, or in the middle; at whole pixels."""
    h, w = size
    scale = min(h / target[0], w / target[1])
    box_h, box_w = max(1, round(target[0] * scale)), max(1, round(target[1] * scale))
    box_h, box_w = min(box_h, h), min(box_w, w)
    free_y, free_x = h - box_h, w - box_w
    if random is None:
        return free_x // 2, free_y // 2, box_w, box_h
    return random.randint(0, free_x), random.randint(0, free_y), box_w, box_h


@dataclass(frozen=True, repr=False)
class Resize(GeometricTransform):
    """Brings every image to one size.

    Args:
        size: Pixels, one number for a square, or (height, width).
        method: "crop" takes the largest part of the target's proportions, in training at random and in
            validation from the middle; "squish" ignores proportions; "pad" fits the whole image in and fills
            the rest.
        pad_mode: What fills it: "reflection", "border" or "zeros".
        resamples: Pillow's numbers of the filters for images and masks: bilinear and nearest, nothing else.

    Raises:
        ArgumentError: A size below 1 pixel, or an unknown method, pad mode or filter.

    Example:
        >>> Resize((128, 224), method="squish")
        Resize(size=(128, 224), method='squish')
    """

    size: Size
    method: str = ResizeMethod.Crop
    pad_mode: str = PadMode.Reflection
    resamples: InitVar[Sequence[int]] = _FILTERS
    random: ClassVar[bool] = True

    def __post_init__(self, resamples: Sequence[int]) -> None:
        pair_of(self.size)
        fits = tuple(resamples) == _FILTERS
        check(fits, "`resamples` must be (BILINEAR, NEAREST)", resamples, "Leave it out.")
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", pair_of(self.size))
        methods = ("crop", "squish", "pad")
        check(self.method in methods, f"`method` must be one of {methods}", self.method, "Choose one.")
        check_pad_mode(self.pad_mode)

    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry:
        target = pair_of(self.size)
        if self.method == "crop":
            return Geometry(box_to(*_crop_box(size, target, random if train else None), target), target)
        if self.method == "squish":
            return Geometry(scaling(target[1] / size[1], target[0] / size[0]), target)
        scale = min(target[0] / size[0], target[1] / size[1])
        free_y, free_x = target[0] - size[0] * scale, target[1] - size[1] * scale
        y = free_y * random.random() if train else free_y / 2
        x = free_x * random.random() if train else free_x / 2
        return Geometry(translation(x, y) @ scaling(scale, scale), target, self.pad_mode)


@dataclass(frozen=True, repr=False)
class RandomResizedCrop(GeometricTransform):
    """In training a random part of the image, stretched to `size`; in validation the middle.

    Args:
        size: Pixels, one number for a square, or (height, width).
        min_scale: Least share of the image's area to keep.
        max_scale: Largest share.
        ratio: Width over height of the part, at least and at most; drawn evenly on a log scale.
        val_xtra: In validation the image is cropped as if resized to `size` and this much more (rounded up to
            a multiple of 8 pixels), then the middle is taken.

    Raises:
        ArgumentError: `min_scale` outside (0, max_scale], or `ratio` not positive and ascending.

    Example:
        >>> RandomResizedCrop(224, min_scale=0.5).min_scale
        0.5
    """

    size: Size
    min_scale: float = 0.08
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    val_xtra: float = 0.14
    max_scale: float = 1.0

    def __post_init__(self) -> None:
        pair_of(self.size)
        if not isinstance(self.size, int):
            object.__setattr__(self, "size", pair_of(self.size))
        fits = 0 < self.min_scale <= self.max_scale <= 1
        check(
            fits,
            "`min_scale` must be above 0 and at most `max_scale`, which is at most 1",
            self.min_scale,
            "Pass e.g. 0.35.",
        )
        given: Any = self.ratio
        ratio: tuple[float, ...] = tuple(given) if isinstance(given, Iterable) else ()
        check(
            len(ratio) == 2 and 0 < ratio[0] <= ratio[1],
            "`ratio` must be two positive numbers, the smaller first",
            self.ratio,
            "Pass (3/4, 4/3).",
        )
        object.__setattr__(self, "ratio", ratio)
        check(self.val_xtra >= 0, "`val_xtra` must not be negative", self.val_xtra, "Pass e.g. 0.14.")

    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry:
        target = pair_of(self.size)
        box = self._random_box(random, size) if train else self._middle_box(size, target)
        return Geometry(box_to(*box, target), target)

    def _random_box(self, random: Random, size: tuple[int, int]) -> tuple[float, float, float, float]:
        h, w = size
        low, high = math.log(self.ratio[0]), math.log(self.ratio[1])
        for _ in range(10):  # torchvision's and fastai's number of tries
            area = h * w * random.uniform(self.min_scale, self.max_scale)
            aspect = math.exp(random.uniform(low, high))
            box_w, box_h = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if 0 < box_w <= w and 0 < box_h <= h:
                return random.randint(0, w - box_w), random.randint(0, h - box_h), box_w, box_h
        # The image is longer than the ratio allows: the middle, as near to the allowed proportions as can be.
        aspect = min(max(w / h, self.ratio[0]), self.ratio[1])
        box_w, box_h = max(1, min(w, round(h * aspect))), max(1, min(h, round(w / aspect)))
        return (w - box_w) // 2, (h - box_h) // 2, box_w, box_h

    def _middle_box(
        self, size: tuple[int, int], target: tuple[int, int]
    ) -> tuple[float, float, float, float]:
        extra = math.ceil(max(target) * self.val_xtra / 8) * 8
        x, y, w, h = _crop_box(size, (target[0] + extra, target[1] + extra), None)
        keep_h, keep_w = target[0] / (target[0] + extra), target[1] / (target[1] + extra)
        return x + w * (1 - keep_w) / 2, y + h * (1 - keep_h) / 2, w * keep_w, h * keep_h
