"""Colours as draws: `Brightness`, `Contrast`, `Saturation`, `Hue`.

In: the values of a sample. Out: the same values with one more colour step, in training. Brightness and
contrast are curves and join one table; saturation and hue are matrices and join one matrix. Like all
transforms they are frozen dataclasses. Read next: `erase.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from wiggly.vision.colour import ColourStep, hue, lighting, saturation
from wiggly.vision.draws import ColourTransform, check, check_max_lighting, check_probability

__all__ = ["Brightness", "Contrast", "Hue", "Saturation"]


@dataclass(frozen=True, repr=False)
class Brightness(ColourTransform):
    """Lighter or darker, without clipping.

    Args:
        max_lighting: The change is even in `0.5 * (1 ± max_lighting)`, as the level that mid-grey moves to.
        p: Probability.
        draw: A fixed change in (0, 1) instead of a drawn one; 0.5 changes nothing.
    """

    max_lighting: float = 0.2
    p: float = 0.75
    draw: float | None = None

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_max_lighting(self.max_lighting)
        fits = self.draw is None or 0 < self.draw < 1
        check(fits, "`draw` must be between 0 and 1", self.draw, "0.5 changes nothing.")

    def draw_curve(self, random: Random) -> ColourStep | None:
        if random.random() >= self.p:
            return None
        m = self.max_lighting
        change = random.uniform(0.5 * (1 - m), 0.5 * (1 + m)) if self.draw is None else self.draw
        return lighting(shift=math.log(change / (1 - change)))


@dataclass(frozen=True, repr=False)
class Contrast(ColourTransform):
    """More or less contrast, without clipping.

    Args:
        max_lighting: The factor is even on a log scale from `1 - max_lighting` to `1 / (1 - max_lighting)`.
        p: Probability.
        draw: A fixed factor instead of a drawn one; 1 changes nothing.
    """

    max_lighting: float = 0.2
    p: float = 0.75
    draw: float | None = None

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_max_lighting(self.max_lighting)
        check(self.draw is None or self.draw > 0, "`draw` must be above 0", self.draw, "1 changes nothing.")

    def draw_curve(self, random: Random) -> ColourStep | None:
        if random.random() >= self.p:
            return None
        limit = -math.log(1 - self.max_lighting)
        return lighting(scale=math.exp(random.uniform(-limit, limit)) if self.draw is None else self.draw)


@dataclass(frozen=True, repr=False)
class Saturation(ColourTransform):
    """More or less colour: the picture mixed with its grey version, or led away from it.

    Args:
        max_lighting: The factor is even on a log scale from `1 - max_lighting` to `1 / (1 - max_lighting)`.
        p: Probability.
        draw: A fixed factor instead of a drawn one; 0 gives grey, 1 changes nothing.

    Example:
        >>> Saturation(0.5).draw_curve(Random(0)) is None  # a quarter of all pictures is left alone
        True
    """

    max_lighting: float = 0.2
    p: float = 0.75
    draw: float | None = None

    def __post_init__(self) -> None:
        check_probability(self.p)
        check_max_lighting(self.max_lighting)
        fits = self.draw is None or self.draw >= 0
        check(fits, "`draw` must not be negative", self.draw, "1 changes nothing.")

    def draw_curve(self, random: Random) -> ColourStep | None:
        if random.random() >= self.p:
            return None
        limit = -math.log(1 - self.max_lighting)
        return saturation(math.exp(random.uniform(-limit, limit)) if self.draw is None else self.draw)


@dataclass(frozen=True, repr=False)
class Hue(ColourTransform):
    """Other colours of the same brightness: each is turned round the colour circle by the same angle.

    Args:
        max_hue: The angle is even in ± this share of a whole turn, at most 0.5.
        p: Probability.
        draw: A fixed angle instead of a drawn one, as a share of a turn; 0 and 1 change nothing.

    Example:
        >>> Hue(0.1, p=1.0, draw=0.25)
        Hue(p=1.0, draw=0.25)
    """

    max_hue: float = 0.1
    p: float = 0.75
    draw: float | None = None

    def __post_init__(self) -> None:
        check_probability(self.p)
        check(0 <= self.max_hue <= 0.5, "`max_hue` must be in [0, 0.5]", self.max_hue, "Pass e.g. 0.1.")

    def draw_curve(self, random: Random) -> ColourStep | None:
        if random.random() >= self.p:
            return None
        return hue(random.uniform(-self.max_hue, self.max_hue) if self.draw is None else self.draw)
