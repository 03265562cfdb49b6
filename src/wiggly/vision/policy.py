"""`RandAugment` and `TrivialAugment`: a few operations, drawn from a fixed list, for every picture.

In: the values of a sample. Out: the same values with a few more steps. What moves pixels becomes part of the
one resampling and moves masks, points and boxes too; what changes colours is a curve of the one table, a
matrix, or, for sharpness alone, a filter. Colours act on the resampled picture, whatever the order of the
draws. Read next: `blocks.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from wiggly.data.transform import Transform
from wiggly.vision.colour import ColourStep, saturation
from wiggly.vision.draws import PadMode, check, check_count, check_pad_mode, moved, recoloured
from wiggly.vision.geometry import Geometry, Matrix, rotation, translation
from wiggly.vision.operations import (
    AutoContrast,
    Equalize,
    MeanContrast,
    Sharpness,
    brightened,
    posterized,
    shear,
    solarized,
)

__all__ = ["RandAugment", "TrivialAugment"]

# The list of both papers, in the order of RandAugment's.
NAMES = (
    "Identity",
    "AutoContrast",
    "Equalize",
    "Rotate",
    "Solarize",
    "Color",
    "Posterize",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
)
# Those that go either way.
SIGNED = {
    "Rotate",
    "Color",
    "Contrast",
    "Brightness",
    "Sharpness",
    "ShearX",
    "ShearY",
    "TranslateX",
    "TranslateY",
}
STRONGEST = 30  # of both papers' scale of magnitudes, 0 to 30

# How an operation's strength becomes a matrix on an image of (height, width): degrees counter-clockwise,
# shares of the side, pixels.
MATRICES: dict[str, Callable[[float, tuple[int, int]], Matrix]] = {
    "Rotate": lambda degrees, size: rotation(degrees, size[1] / 2, size[0] / 2),
    "ShearX": lambda share, size: shear(share, 0),
    "ShearY": lambda share, size: shear(0, share),
    "TranslateX": lambda pixels, size: translation(pixels, 0),
    "TranslateY": lambda pixels, size: translation(0, pixels),
}

# And a colour step: the change of a factor around 1, a threshold, a number of bits.
STEPS: dict[str, Callable[[float], ColourStep]] = {
    "AutoContrast": lambda _: AutoContrast(),
    "Equalize": lambda _: Equalize(),
    "Solarize": solarized,
    "Posterize": lambda bits: posterized(int(bits)),
    "Color": lambda change: saturation(1 + change),
    "Contrast": lambda change: MeanContrast(1 + change),
    "Brightness": lambda change: brightened(1 + change),
    "Sharpness": lambda change: Sharpness(1 + change),
}


class _Policy(Transform):
    """Draws operations in training; subclasses say how many, how strong, and what strength means."""

    split_idx: ClassVar[int] = 0
    pad_mode: str

    @abstractmethod
    def draw(self, random: Random) -> list[tuple[str, float]]:
        """Names and magnitudes, as shares of the strongest; signed where the operation goes either way."""

    @abstractmethod
    def strength(self, name: str, share: float, side: int) -> float:
        """The magnitude in the operation's unit, for an image whose side along it has so many pixels."""

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        for name, share in self.draw(random) if train else ():
            values = self.operate(values, name, share)
        return values

    def operate(self, values: tuple[Any, ...], name: str, share: float) -> tuple[Any, ...]:
        """One operation on the values of a sample."""
        if name in STEPS:
            return recoloured(values, STEPS[name](self.strength(name, share, 0)))
        if name not in MATRICES:  # Identity
            return values

        def make(size: tuple[int, int]) -> Geometry:
            side = size[0] if name.endswith("Y") else size[1]
            return Geometry(MATRICES[name](self.strength(name, share, side), size), size, self.pad_mode)

        return moved(values, make)


def _signed(name: str, share: float, random: Random) -> float:
    return -share if name in SIGNED and random.random() < 0.5 else share


@dataclass(frozen=True, repr=False)
class RandAugment(_Policy):
    """`n` operations of 14, all of the same magnitude (Cubuk et al., arXiv:1909.13719; ranges as in
    torchvision).

    At the strongest: 30 degrees, a shear of 0.3, a shift of 150/331 of the side, factors of colour, contrast,
    brightness and sharpness of 1 ± 0.9, 4 bits, everything inverted.

    Args:
        n: How many operations, drawn with replacement.
        m: Magnitude, 0 to 30.
        pad_mode: What lies outside the picture; the papers' code had black ("zeros") or grey.

    Example:
        >>> len(RandAugment(2, 9).draw(Random(0)))
        2
    """

    n: int = 2
    m: float = 9
    pad_mode: str = PadMode.Reflection

    def __post_init__(self) -> None:
        check_count(self.n, "n")
        check(0 <= self.m <= STRONGEST, "`m` must be from 0 to 30", self.m, "Pass e.g. 9.")
        check_pad_mode(self.pad_mode)

    def draw(self, random: Random) -> list[tuple[str, float]]:
        names = [random.choice(NAMES) for _ in range(self.n)]
        return [(name, _signed(name, self.m / STRONGEST, random)) for name in names]

    def strength(self, name: str, share: float, side: int) -> float:
        if name == "Posterize":
            return 8 - round(share * 4)
        if name == "Solarize":
            return 1 - share
        strongest = {"Rotate": 30, "ShearX": 0.3, "ShearY": 0.3}
        strongest |= {"TranslateX": 150 / 331 * side, "TranslateY": 150 / 331 * side}
        return share * strongest.get(name, 0.9)


@dataclass(frozen=True, repr=False)
class TrivialAugment(_Policy):
    """One operation of 14, its magnitude drawn as well; nothing to tune (Müller & Hutter, arXiv:2103.10158,
    the "wide" ranges).

    At the strongest: 135 degrees, a shear of 0.99, a shift of 32 pixels, factors of colour, contrast,
    brightness and sharpness of 1 ± 0.99, 2 bits, everything inverted.

    Args:
        pad_mode: What lies outside the picture; the paper's code had black ("zeros").

    Example:
        >>> len(TrivialAugment().draw(Random(0)))
        1
    """

    pad_mode: str = PadMode.Reflection

    def __post_init__(self) -> None:
        check_pad_mode(self.pad_mode)

    def draw(self, random: Random) -> list[tuple[str, float]]:
        name = random.choice(NAMES)
        return [(name, _signed(name, random.randint(0, STRONGEST) / STRONGEST, random))]

    def strength(self, name: str, share: float, side: int) -> float:
        if name == "Posterize":
            return 8 - round(share * 6)
        if name == "Solarize":
            return 1 - share
        strongest = {"Rotate": 135, "TranslateX": 32, "TranslateY": 32}
        return share * strongest.get(name, 0.99)
