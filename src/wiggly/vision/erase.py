"""`RandomErasing` and `CutOut`: rectangles of a picture are hidden, so that no single part of it decides.

In: values of a sample. Out: images that carry holes: corners and what fills them. A hole follows the
geometry that comes after it and is filled last, on the finished pixels, so it costs no pass of its own;
colour steps do not change what fills it. Masks, points and boxes stay whole. Read next: `policy.py`.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from wiggly.data.transform import Transform
from wiggly.errors import ArgumentError
from wiggly.vision.colour import GREY, look_up, table
from wiggly.vision.draws import check, check_count, check_probability
from wiggly.vision.geometry import Geometry

__all__ = ["CutOut", "Hole", "RandomErasing"]

# Mean of ImageNet's training photos, which a model trained on them normalises to 0.
_MEAN = (0.485, 0.456, 0.406)
_MEAN_GREY = sum(m * g for m, g in zip(_MEAN, GREY, strict=True))
_TRIES = 10  # of finding a box that fits, as in torchvision

Fill = str | float | tuple[float, ...]
Statistics = tuple[Sequence[float], Sequence[float]]


@dataclass(frozen=True, slots=True)
class Hole:
    """A rectangle to be filled; geometry may turn it into any convex quadrangle.

    Attributes:
        corners: Four points (x, y) in pixels of the picture as it then is, one after the other around it.
        fill: "noise", "mean", or levels in [0, 1]: one, or one per channel.
        seed: Decides the noise.
    """

    corners: tuple[tuple[float, float], ...]
    fill: Fill
    seed: int

    @classmethod
    def at(cls, x: float, y: float, w: float, h: float, fill: Fill, seed: int) -> Hole:
        """The box with its corner at (x, y), `w` wide and `h` high."""
        return cls(((x, y), (x + w, y), (x + w, y + h), (x, y + h)), fill, seed)

    def moved(self, geometry: Geometry) -> Hole:
        """Where it is after one more geometric step."""
        corners = geometry.points(np.array(self.corners)).tolist()
        return replace(self, corners=tuple((float(x), float(y)) for x, y in corners))

    def cut(self, out: npt.NDArray[Any], statistics: Statistics | None = None) -> None:
        """Fills it in a picture.

        Args:
            out: `(h, w, c)`: uint8, or float32 in [0, 1] or normalised; changed.
            statistics: Mean and std per channel if it is normalised.
        """
        xy = np.array(self.corners)
        (x0, y0), (x1, y1) = np.rint(xy.min(0)).astype(int), np.rint(xy.max(0)).astype(int)
        x0, y0, x1, y1 = max(x0, 0), max(y0, 0), min(x1, out.shape[1]), min(y1, out.shape[0])
        if x0 >= x1 or y0 >= y1:
            return
        part = out[y0:y1, x0:x1]
        content = self._content(part.shape, out.dtype == np.uint8, statistics)
        if all(len(set(sides)) == 2 for sides in xy.round(3).T.tolist()):  # an upright box
            part[...] = content
            return
        np.copyto(part, content, where=_inside(xy - (x0, y0), part.shape)[:, :, None])

    def _content(
        self, shape: tuple[int, ...], as_bytes: bool, statistics: Statistics | None
    ) -> npt.NDArray[Any]:
        if self.fill == "noise":
            noise = np.random.default_rng(self.seed).integers(0, 256, shape, np.uint8)
            if as_bytes:
                return noise
            levels = np.empty(shape, np.float32)
            look_up(noise, table([], *statistics) if statistics else table([]), levels)
            return levels
        filled = np.asarray(_levels_of(self.fill, shape[2]))
        if as_bytes:
            return np.rint(filled * 255).astype(np.uint8)
        if statistics:
            filled = (filled - np.asarray(statistics[0])) / np.asarray(statistics[1])
        return filled.astype(np.float32)


def _inside(corners: npt.NDArray[Any], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Which pixels of `(h, w, ...)` have their centre in a convex quadrangle."""
    x, y = np.arange(shape[1])[None] + 0.5, np.arange(shape[0])[:, None] + 0.5
    after = np.roll(corners, -1, 0)
    # Twice the area, positive or negative by the direction in which the corners go round.
    direction = np.sign((corners[:, 0] * after[:, 1] - after[:, 0] * corners[:, 1]).sum())
    inside = np.ones(shape[:2], dtype=bool)
    for (ax, ay), (bx, by) in zip(corners, after, strict=True):
        inside &= direction * ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) >= 0
    return inside


def _levels_of(fill: Fill, channels: int) -> tuple[float, ...]:
    if isinstance(fill, tuple):
        if len(fill) not in (1, channels):
            raise ArgumentError(
                "`fill` must have one level, or one per channel",
                f"it has {len(fill)} for {channels}",
                "Pass e.g. fill=0.0 for black.",
            )
        return fill
    if fill == "mean":
        return _MEAN if channels == 3 else (_MEAN_GREY,) * channels
    return (float(fill),) * channels


class _Erasing(Transform):
    """Draws holes in training; subclasses say which."""

    split_idx: ClassVar[int] = 0
    p: float
    fill: Fill

    @abstractmethod
    def draw_holes(self, random: Random, size: tuple[int, int]) -> list[Hole]:
        """Holes for a picture of `size` (height, width)."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        if not train or random.random() >= self.p:
            return values
        start, changed = random.getstate(), list(values)
        for k, value in enumerate(values):
            if hasattr(value, "erased"):
                random.setstate(start)  # pictures of one sample lose the same part
                changed[k] = value.erased(self.draw_holes(random, value.size))
        return tuple(changed)


def _check_fill(fill: Any) -> Any:
    """The fill, a list of levels as a tuple.

    Raises:
        ArgumentError: It is none.
    """
    if isinstance(fill, str):
        known = ("noise", "mean")
        check(
            fill in known,
            f"`fill` must be one of {known} or levels in [0, 1]",
            fill,
            "Pass e.g. fill=0.0 for black.",
        )
        return fill
    levels = (fill,) if isinstance(fill, (int, float)) else tuple(float(level) for level in fill)
    fits = bool(levels) and all(0 <= level <= 1 for level in levels)
    check(
        fits,
        "the levels of `fill` must be in [0, 1]",
        fill,
        "Pass one, or one per channel; 0.0 is black.",
    )
    return fill if isinstance(fill, (int, float)) else levels


@dataclass(frozen=True, repr=False)
class RandomErasing(_Erasing):
    """Hides random rectangles behind noise (Zhong et al., "Random Erasing Data Augmentation",
    arXiv:1708.04896, algorithm 1).

    Args:
        p: Probability.
        sl: Least share of the picture's area that is hidden, all rectangles together.
        sh: Largest share.
        min_aspect: The rectangles' height over width is even on a log scale between this and its inverse.
        max_count: The number of rectangles is even from 1 to this.
        fill: "noise" (every pixel at random, which did best in the paper), "mean" (ImageNet's, 0 after
            normalising), or levels in [0, 1].

    Example:
        >>> RandomErasing(p=1.0, sh=0.2).arguments()["max_count"]
        1
    """

    p: float = 0.5
    sl: float = 0.0
    sh: float = 0.3
    min_aspect: float = 0.3
    max_count: int = 1
    fill: Fill = "noise"

    def __post_init__(self) -> None:
        check_probability(self.p)
        fits = 0 <= self.sl <= self.sh <= 1
        check(fits, "`sl` and `sh` must be ascending shares", (self.sl, self.sh), "Pass e.g. 0.0 and 0.3.")
        check(0 < self.min_aspect <= 1, "`min_aspect` must be in (0, 1]", self.min_aspect, "Pass e.g. 0.3.")
        check_count(self.max_count, "max_count")
        object.__setattr__(self, "fill", _check_fill(self.fill))

    def draw_holes(self, random: Random, size: tuple[int, int]) -> list[Hole]:
        count = random.randint(1, self.max_count)
        return [self._draw_hole(random, size, count) for _ in range(count)]

    def _draw_hole(self, random: Random, size: tuple[int, int], count: int) -> Hole:
        height, width = size
        h = w = 0
        for _ in range(_TRIES):
            area = height * width * random.uniform(self.sl, self.sh) / count
            aspect = math.exp(random.uniform(math.log(self.min_aspect), -math.log(self.min_aspect)))
            h, w = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if h <= height and w <= width:
                break
        h, w = min(h, height), min(w, width)
        y, x = random.randint(0, height - h), random.randint(0, width - w)
        return Hole.at(x, y, w, h, self.fill, random.getrandbits(63))


@dataclass(frozen=True, repr=False)
class CutOut(_Erasing):
    """Hides squares that may reach over the edge (DeVries & Taylor, "Improved Regularization with Cutout",
    arXiv:1708.04552).

    Args:
        length: Side of a square: a whole number of pixels, or a share of the picture's shorter side. The
            paper's best was half for CIFAR-10, a quarter for CIFAR-100.
        count: How many squares.
        p: Probability.
        fill: "mean" (ImageNet's, 0 after normalising, as in the paper), "noise", or levels in [0, 1].

    Example:
        >>> CutOut(16, fill=0.0)
        CutOut(length=16, fill=0.0)
    """

    length: float = 0.5
    count: int = 1
    p: float = 1.0
    fill: Fill = "mean"

    def __post_init__(self) -> None:
        check_probability(self.p)
        fits = self.length >= 1 if isinstance(self.length, int) else 0 < self.length <= 1
        check(
            fits,
            "`length` must be pixels (a whole number) or a share in (0, 1]",
            self.length,
            "Pass e.g. 0.5, or 16 for pixels.",
        )
        check_count(self.count, "count")
        object.__setattr__(self, "fill", _check_fill(self.fill))

    def draw_holes(self, random: Random, size: tuple[int, int]) -> list[Hole]:
        side = self.length if isinstance(self.length, int) else max(1, round(self.length * min(size)))

        def hole() -> Hole:  # its middle is anywhere in the picture
            x, y = random.randrange(size[1]), random.randrange(size[0])
            return Hole.at(x - side // 2, y - side // 2, side, side, self.fill, random.getrandbits(63))

        return [hole() for _ in range(self.count)]
