"""An image in the making: an encoded picture, one matrix and a list of colour steps, turned into pixels once,
at the end.

In: an `EncodedImage` and what transforms drew. Out: uint8 pixels or a row of a float batch. Transforms only
replace the matrix or add a step, so a whole list of them costs one decode, one resampling and one look-up.
The order at the end is: geometry, colours, holes, statistics. In training the resampling is a quick one; a
model that is asked about a picture sees it resampled exactly, as in every runtime it is exported to.
Read next: `augment.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.errors import ArgumentError
from wiggly.vision.arrays import open_bands
from wiggly.vision.colour import ColourStep, apply_curves, joined, look_up, repainted, settled, table
from wiggly.vision.decode import EncodedImage, open_image
from wiggly.vision.erase import Hole
from wiggly.vision.exact import DEFAULT_BORDER, Axis, Placement, placement_of
from wiggly.vision.geometry import LARGEST_SHRINK, Geometry, resample, scaling, source_scale

__all__ = ["LazyImage", "PILImage", "PILImageBW"]

Statistics = tuple[tuple[float, ...], tuple[float, ...]]


class PILImage(Image.Image):
    """A Pillow picture in RGB, upright, fully loaded.

    Example:
        >>> PILImage.create(np.zeros((4, 6), dtype=np.uint8)).size
        (6, 4)
    """

    colour_mode = "RGB"

    @classmethod
    def create(cls, source: Any) -> PILImage:
        """Reads a picture from a path, bytes, array, tensor or Pillow image.

        Raises:
            ItemError: It cannot be read.
        """
        pixels = open_image(source, channels=3 if cls.colour_mode == "RGB" else 1).pixels()
        return cls.from_pixels(pixels)

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[Any]) -> PILImage:
        """From `(h, w, c)`, uint8 or float32 in [0, 1]."""
        bytes_ = pixels if pixels.dtype == np.uint8 else np.rint(pixels * 255).astype(np.uint8)
        plain = Image.fromarray(np.ascontiguousarray(bytes_[:, :, 0] if bytes_.shape[2] == 1 else bytes_))
        made = cls()
        made.__dict__.update(plain.__dict__)  # Pillow has no public way to make one of a subclass
        return made

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.height, self.width

    def to_thumb(self, h: int, w: int | None = None) -> Image.Image:
        """A copy that fits into `h` × `w` pixels (`h` × `h` if `w` is not given), same proportions."""
        small = self.copy()
        small.thumbnail((w or h, h))
        return small


class PILImageBW(PILImage):
    """A Pillow picture in grey."""

    colour_mode = "L"


@dataclass(frozen=True, slots=True)
class LazyImage:
    """An image and everything that is still to be done to it.

    Attributes:
        source: The encoded picture.
        geometry: Map from its upright pixels to the target; None for none.
        curves: Colour steps in order: curves, and what else `colour.py` knows.
        statistics: Mean and std per channel that a model lent, or None.
        holes: What is hidden, in pixels of the target.
        exact: Resample by the written specification (docs/format.md), not by training's approximation.
    """

    source: EncodedImage
    geometry: Geometry | None = None
    curves: tuple[ColourStep, ...] = ()
    statistics: Statistics | None = None
    holes: tuple[Hole, ...] = ()
    exact: bool = False

    kind: ClassVar[str] = "image"  # how transforms of other libraries call it

    @property
    def shown_as(self) -> type:
        """What a callable gets."""
        return {1: PILImageBW, 3: PILImage}.get(self.source.channels, np.ndarray)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels, as the next transform sees it."""
        return self.geometry.size if self.geometry else (self.source.height, self.source.width)

    def moved(self, geometry: Geometry) -> LazyImage:
        """With one more geometric step."""
        whole = self.geometry.then(geometry) if self.geometry else geometry
        holes = tuple(hole.moved(geometry) for hole in self.holes) if self.holes else ()
        return LazyImage(self.source, whole, self.curves, self.statistics, holes, self.exact)

    def recoloured(self, step: ColourStep) -> LazyImage:
        """With one more colour step."""
        curves = joined(self.curves, step)
        return LazyImage(self.source, self.geometry, curves, self.statistics, self.holes, self.exact)

    def erased(self, holes: Sequence[Hole]) -> LazyImage:
        """With more holes."""
        return replace(self, holes=(*self.holes, *holes))

    def normalised(self, mean: tuple[float, ...], std: tuple[float, ...]) -> LazyImage:
        """To come out as `(x - mean) / std` instead of in [0, 1].

        Raises:
            ArgumentError: There is not one number per channel.
        """
        if len(mean) != self.source.channels or len(std) != self.source.channels:
            raise ArgumentError(
                "`mean` and `std` must have one number per channel",
                f"{len(mean)} and {len(std)} for {self.source.channels} channels",
                "Pass statistics of the images' own kind.",
            )
        return replace(self, statistics=(mean, std))

    def mapped(self, f: Callable[[Any], Any]) -> LazyImage:
        """Ends the fused run: `f` gets the picture made so far (an array `(h, w, c)` unless it has 1 or 3
        channels) and returns a new one (PIL, array or tensor)."""
        return self.replaced(f(self.picture() if self.source.channels in (1, 3) else self.finished()))

    def replaced(self, picture: Any) -> LazyImage:
        """Another picture (PIL, array or tensor) in its place; statistics still wait for the end."""
        open_again = open_image if self.source.channels in (1, 3) else open_bands
        source = open_again(picture, self.source.channels, name=self.source.name)
        return LazyImage(source, statistics=self.statistics, exact=self.exact)

    @property
    def placement(self) -> Placement | None:
        """Where its pixels lie in the source, axis by axis; None if it was turned, mirrored or tilted."""
        height, width = self.size
        if self.geometry is None:
            return Placement(Axis(0.0, 1.0, height), Axis(0.0, 1.0, width))
        border = self.geometry.border or DEFAULT_BORDER
        return placement_of(self.geometry.matrix, (height, width), border)

    def pixels(self) -> npt.NDArray[Any]:
        """Pixels after geometry, before colours: `(h, w, c)`, uint8, or float32 if the source was."""
        source, geometry = self.source, self.geometry
        if geometry is None:
            return source.pixels()
        placement = self.placement if self.exact else None
        if placement is not None:
            return source.placed(placement)
        sx, sy = source_scale(geometry.matrix, geometry.size)
        # Half of the largest shrink that `resample` takes in one step.
        enough = LARGEST_SHRINK / 2
        pixels = source.pixels(enough * sy * source.height, enough * sx * source.width)
        factor = _decode_factor(source, pixels)
        if factor > 1:
            geometry = Geometry(geometry.matrix @ scaling(factor, factor), geometry.size, geometry.border)
        return resample(pixels, geometry, scale=(sx * factor, sy * factor), averaged=factor)

    def picture(self) -> PILImage:
        """The finished image for people, without lent statistics; of 1 or 3 channels."""
        return (PILImage if self.source.channels == 3 else PILImageBW).from_pixels(self.finished())

    def finished(self) -> npt.NDArray[Any]:
        """The finished pixels `(h, w, c)`, uint8 or float32 in [0, 1], without lent statistics."""
        pixels = repainted(*settled(self.pixels(), self.curves))
        if self.holes:
            pixels = pixels.copy()  # they may be the caller's own array
            for hole in self.holes:
                hole.cut(pixels)
        return pixels

    def write(self, out: npt.NDArray[np.float32]) -> None:
        """Writes the finished image into `(h, w, c)` float32 memory, in [0, 1] or normalised."""
        pixels, curves = settled(self.pixels(), self.curves)
        mean, std = self.statistics or (None, None)
        if pixels.dtype == np.uint8:
            look_up(np.ascontiguousarray(pixels), table(curves, mean, std), out)
        else:
            levels = apply_curves(curves, pixels)
            if mean is not None and std is not None:
                levels = (levels - np.asarray(mean)) / np.asarray(std)
            out[...] = levels
        for hole in self.holes:
            hole.cut(out, self.statistics)


def _decode_factor(source: EncodedImage, pixels: npt.NDArray[Any]) -> int:
    """By how much the decoder shrank the picture: pixel i of the small one covers `factor` of the large
    one."""
    h, w = pixels.shape[:2]
    for factor in (1, 2, 4, 8):
        if (-(-source.height // factor), -(-source.width // factor)) == (h, w):
            return factor
    return 1
