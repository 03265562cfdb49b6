"""Augmentation: `Rotate`, `Zoom`, `Warp`; `aug_transforms` for the usual list; `Normalize`.

In: the values of a sample. Out: the same values with one more step; an image, its mask and its points get the
same matrix. Every class is a frozen dataclass: its fields are its arguments, it can be hashed, compared and
written as JSON. Read next: `lighting.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from wiggly.data.transform import Transform, as_transforms
from wiggly.errors import ArgumentError
from wiggly.vision.draws import (
    GeometricTransform,
    PadMode,
    Size,
    check,
    check_pad_mode,
    check_probability,
)
from wiggly.vision.flip import Dihedral, Flip
from wiggly.vision.geometry import Geometry, Matrix, perspective, rotation, scaling_around
from wiggly.vision.lighting import Brightness, Contrast
from wiggly.vision.resize import RandomResizedCrop, Resize, ResizeMethod

__all__ = [
    "IntToFloatTensor",
    "Normalize",
    "Rotate",
    "ToTensor",
    "Warp",
    "Zoom",
    "aug_transforms",
    "imagenet_stats",
    "setup_aug_tfms",
]

# torchvision's statistics of ImageNet's training photos, on the [0, 1] scale.
imagenet_stats: tuple[tuple[float, float, float], tuple[float, float, float]] = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)

# Of both tilts of a `Warp` together. From 0.73 on, a corner of the target lies behind the horizon.
LARGEST_TILT = 0.7


class _InPlaceTransform(GeometricTransform):
    """A geometric transform of training alone that keeps the image's size."""

    p: float
    pad_mode: str

    def draw_geometry(self, random: Random, size: tuple[int, int], train: bool) -> Geometry | None:
        if not train or random.random() >= self.p:
            return None
        return Geometry(self.matrix(random, size), size, self.pad_mode)

    @abstractmethod
    def matrix(self, random: Random, size: tuple[int, int]) -> Matrix:
        """The drawn map on an image of `size` (height, width)."""


@dataclass(frozen=True, repr=False)
class Rotate(_InPlaceTransform):
    """Turns around the middle.

    Args:
        max_deg: The angle is even in ± this many degrees, counter-clockwise.
        p: Probability.
        draw: A fixed angle instead of a drawn one.
        pad_mode: What fills the corners.
    """

    max_deg: float = 10.0
    p: float = 0.5
    draw: float | None = None
    pad_mode: str = PadMode.Reflection

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_pad_mode(self.pad_mode)

    def matrix(self, random: Random, size: tuple[int, int]) -> Matrix:
        degrees = random.uniform(-self.max_deg, self.max_deg) if self.draw is None else self.draw
        return rotation(degrees, size[1] / 2, size[0] / 2)


@dataclass(frozen=True, repr=False)
class Zoom(_InPlaceTransform):
    """Enlarges around a random point.

    Args:
        min_zoom: Least factor; below 1 shrinks.
        max_zoom: Largest factor.
        p: Probability.
        draw: A fixed factor instead of a drawn one.
        draw_x: Fixed centre as a share of the width, 0 to 1.
        draw_y: Fixed centre as a share of the height, 0 to 1.
        pad_mode: What fills the outside.
    """

    min_zoom: float = 1.0
    max_zoom: float = 1.1
    p: float = 0.5
    draw: float | None = None
    draw_x: float | None = None
    draw_y: float | None = None
    pad_mode: str = PadMode.Reflection

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_pad_mode(self.pad_mode)
        fits = 0 < self.min_zoom <= self.max_zoom
        zooms = f"min_zoom={self.min_zoom}, max_zoom={self.max_zoom}"
        if not fits:
            raise ArgumentError(
                "`min_zoom` must be above 0 and at most `max_zoom`", zooms, "Pass both, e.g. 0.9 and 1.1."
            )
        check(self.draw is None or self.draw > 0, "`draw` must be above 0", self.draw, "1 changes nothing.")

    def matrix(self, random: Random, size: tuple[int, int]) -> Matrix:
        factor = random.uniform(self.min_zoom, self.max_zoom) if self.draw is None else self.draw
        x = random.random() if self.draw_x is None else self.draw_x
        y = random.random() if self.draw_y is None else self.draw_y
        return scaling_around(factor, factor, x * size[1], y * size[0])


@dataclass(frozen=True, repr=False)
class Warp(_InPlaceTransform):
    """Perspective, as if seen from the side or from below.

    Args:
        magnitude: Each of the two tilts is even in ± this; 0.2 moves a corner by a tenth of the side.
        p: Probability.
        draw_x: A fixed horizontal tilt instead of a drawn one.
        draw_y: A fixed vertical tilt instead of a drawn one.
        pad_mode: What fills the outside.
    """

    magnitude: float = 0.2
    p: float = 0.5
    draw_x: float | None = None
    draw_y: float | None = None
    pad_mode: str = PadMode.Reflection

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_pad_mode(self.pad_mode)
        check(0 <= self.magnitude < 1, "`magnitude` must be in [0, 1)", self.magnitude, "Pass e.g. 0.2.")

    def matrix(self, random: Random, size: tuple[int, int]) -> Matrix:
        m = self.magnitude
        tilt_x = random.uniform(-m, m) if self.draw_x is None else self.draw_x
        tilt_y = random.uniform(-m, m) if self.draw_y is None else self.draw_y
        together = max(1.0, (abs(tilt_x) + abs(tilt_y)) / LARGEST_TILT)
        tilt_x, tilt_y = tilt_x / together, tilt_y / together
        return perspective(tilt_x, tilt_y, size)


@dataclass(frozen=True, repr=False)
class Normalize(Transform):
    """Statistics the model shall normalise with. Images in batches stay in [0, 1]: `vision_learner` moves
    these numbers into the model, which otherwise takes those its body was trained with.

    Args:
        mean: Per channel, on the [0, 1] scale.
        std: Per channel, on the [0, 1] scale.

    Example:
        >>> Normalize.from_stats(*imagenet_stats).mean
        (0.485, 0.456, 0.406)
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(float(m) for m in self.mean))
        object.__setattr__(self, "std", tuple(float(s) for s in self.std))
        fits = len(self.mean) == len(self.std) and all(s > 0 for s in self.std)
        check(
            fits,
            "`mean` and `std` must be as long as each other and `std` positive",
            (self.mean, self.std),
            "Pass one number per channel.",
        )

    @classmethod
    def from_stats(cls, mean: Sequence[float], std: Sequence[float]) -> Normalize:
        """From two sequences, one number per channel."""
        return cls(tuple(mean), tuple(std))

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return values


@dataclass(frozen=True, repr=False)
class ToTensor(Transform):
    """Nothing: a block makes the tensor. Accepted so that lists written for fastai run."""

    random: ClassVar[bool] = False

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return values


@dataclass(frozen=True, repr=False)
class IntToFloatTensor(Transform):
    """Nothing: images come as floats in [0, 1] anyway. Accepted so that lists written for fastai run.

    Args:
        div: What bytes are divided by: 255.
        div_mask: What masks are divided by: 1.
    """

    div: float = 255.0
    div_mask: int = 1
    random: ClassVar[bool] = False

    def __post_init__(self) -> None:
        fits = (self.div, self.div_mask) == (255, 1)
        fix = "Leave them out; images come in [0, 1], masks as class numbers."
        check(fits, "`div` must be 255 and `div_mask` 1", (self.div, self.div_mask), fix)

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return values


def setup_aug_tfms(tfms: Sequence[Any]) -> list[Any]:
    """The list as it is: whatever stands in a list of transforms is fused when an image is made."""
    return list(tfms)


def aug_transforms(
    mult: float = 1.0,
    do_flip: bool = True,
    flip_vert: bool = False,
    max_rotate: float = 10.0,
    min_zoom: float = 1.0,
    max_zoom: float = 1.1,
    max_lighting: float = 0.2,
    max_warp: float = 0.2,
    p_affine: float = 0.75,
    p_lighting: float = 0.75,
    xtra_tfms: Any = None,
    size: Size | None = None,
    mode: str = "bilinear",
    pad_mode: str = PadMode.Reflection,
    align_corners: bool = True,
    batch: bool = False,
    min_scale: float = 1.0,
) -> list[Any]:
    """The usual augmentation: flip, perspective, rotation, zoom, lighting, with a good default each.

    All of it is one resampling and one table per image, together with the item transforms. In validation only
    the size is changed.

    Args:
        mult: Factor on `max_rotate`, `max_lighting` and `max_warp`.
        do_flip: Mirror left and right half of the time.
        flip_vert: Pictures have no up and down (from satellites and microscopes): half of them get one of the
            eight symmetries of a square, or of the four of a rectangle; without `do_flip` top and bottom are
            swapped half of the time.
        max_rotate: Degrees; 0 for none.
        min_zoom: Least zoom.
        max_zoom: Largest zoom; 1 for none.
        max_lighting: Brightness and contrast; 0 for none.
        max_warp: Perspective; 0 for none.
        p_affine: Probability of each of rotation, zoom and perspective.
        p_lighting: Probability of each of brightness and contrast.
        xtra_tfms: A transform or a list of them, put at the end.
        size: Final size in pixels: a number, or (height, width).
        mode: "bilinear" for images; masks always take the nearest pixel.
        pad_mode: What lies outside the picture.
        align_corners: No difference: a matrix acts on the pixels' true positions.
        batch: False: every image draws for itself.
        min_scale: Below 1, the final size is reached by a random crop of at least this share of the area.

    Raises:
        ArgumentError: An argument is out of range, or asks for another `mode` or for `batch`.

    Example:
        >>> [t.name for t in aug_transforms(max_warp=0, size=224)]
        ['Flip', 'Rotate', 'Zoom', 'Brightness', 'Contrast', 'Resize']
    """
    _check_mode(mode, batch)
    rotate, light, warp = max_rotate * mult, max_lighting * mult, max_warp * mult
    for name, product in (("max_lighting", light), ("max_warp", warp)):
        check(0 <= product < 1, f"`{name}` times `mult` must be in [0, 1)", product, "Pass a smaller one.")
    tfms: list[Any] = []
    if do_flip:
        tfms.append(Dihedral(0.5) if flip_vert else Flip(0.5))
    elif flip_vert:
        tfms.append(Flip(0.5, vertical=True))
    tfms += [Warp(warp, p_affine, pad_mode=pad_mode)] if warp else []
    tfms += [Rotate(rotate, p_affine, pad_mode=pad_mode)] if rotate else []
    tfms += [Zoom(min_zoom, max_zoom, p_affine, pad_mode=pad_mode)] if (min_zoom, max_zoom) != (1, 1) else []
    tfms += [Brightness(light, p_lighting), Contrast(light, p_lighting)] if light else []
    if size is not None:
        plain = min_scale == 1.0
        tfms.append(
            Resize(size, ResizeMethod.Squish)
            if plain
            else RandomResizedCrop(size, min_scale, (1.0, 1.0), 0.0)
        )
    elif min_scale != 1.0:
        raise ArgumentError(
            "`min_scale` needs `size`", f"it is {min_scale} without a size", "Pass size=224 as well."
        )
    return [*tfms, *as_transforms(xtra_tfms)]


def _check_mode(mode: str, batch: bool) -> None:
    fix = "Leave it out: images are filtered before they shrink, masks take the nearest pixel."
    check(mode == "bilinear", "`mode` must be 'bilinear'", mode, fix)
    fix = "Leave it out: an image's draw depends on seed, epoch and image alone, not on its batch."
    check(not batch, "`batch` must be False", batch, fix)
