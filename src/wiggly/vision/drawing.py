"""What is painted onto a picture: colours of classes, points, boxes and their names.

In: matplotlib axes on which a picture was shown. Out: more on them. Coordinates have the picture's corner at
(0, 0), matplotlib's the centre of its first pixel: half a pixel is taken off. Read next: `mask.py`.
"""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Colour", "class_colours", "draw_box", "draw_indices", "draw_points", "name_boxes"]

Colour = tuple[float, float, float]

# Kelly's colours of maximum contrast (1965), ISCC-NBS values, without white, black and grey.
_KELLY = (
    0xF3C300, 0x875692, 0xF38400, 0xA1CAF1, 0xBE0032, 0xC2B280, 0x008856, 0xE68FAC, 0x0067A5, 0xF99379,
    0x604E97, 0xF6A600, 0xB3446C, 0xDCD300, 0x882D17, 0x8DB600, 0x654522, 0xE25822, 0x2B3D26,
)  # fmt: skip
_GOLDEN = 0.618034  # turns of the colour circle: neighbours among further classes are far apart
ALPHA = 0.6


def class_colours(n: int) -> list[Colour]:
    """`n` colours that can be told apart, red, green and blue in [0, 1].

    Example:
        >>> len(set(class_colours(100)))
        100
    """
    named = [((k >> 16) / 255, (k >> 8 & 255) / 255, (k & 255) / 255) for k in _KELLY[:n]]
    return named + [colorsys.hsv_to_rgb(k * _GOLDEN % 1, 0.6, 0.95) for k in range(n - len(named))]


def draw_indices(indices: npt.NDArray[Any], axes: Any, n: int, void: int | None) -> None:
    """Lays colours over a picture, one per index.

    Args:
        indices: `(h, w)`.
        axes: With the picture, or empty.
        n: Number of classes.
        void: Index that is left out.
    """
    table = np.zeros((max(n, int(indices.max(initial=0)) + 1), 4))
    table[:, :3], table[:, 3] = class_colours(len(table)), ALPHA
    if void is not None and void < len(table):
        table[void, 3] = 0
    axes.imshow(table[indices], interpolation="nearest")


def draw_points(xy: npt.NDArray[Any], axes: Any) -> None:
    """Dots at points `(k, 2)` in pixels; missing ones (NaN) and those outside the picture are left out."""
    here = xy[np.isfinite(xy).all(1)] - 0.5
    size = float(np.clip(400 / max(len(xy), 1), 8, 30))
    axes.autoscale(enable=False)  # the picture fills the axes, wherever the points are
    axes.scatter(*here.T, s=size, c="#39ff14", edgecolors="black", linewidths=0.6, zorder=3)


def draw_box(box: Sequence[float], axes: Any) -> None:
    """The outline of a box (x1, y1, x2, y2) in pixels, to be coloured by `name_boxes`."""
    from matplotlib.patches import Rectangle
    from matplotlib.patheffects import Normal, Stroke

    x, y, right, bottom = box
    axes.autoscale(enable=False)
    outline = Rectangle((x - 0.5, y - 0.5), right - x, bottom - y, fill=False, edgecolor="white", linewidth=2)
    outline.set_path_effects([Stroke(linewidth=3.5, foreground="black"), Normal()])
    axes.add_patch(outline)


def name_boxes(names: Sequence[str], colours: Sequence[Colour], axes: Any) -> None:
    """Writes names into the boxes drawn last, in their order, and colours both."""
    from matplotlib.patches import Rectangle

    outlines = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    for outline, name, colour in zip(outlines, names, colours, strict=False):
        outline.set_edgecolor(colour)
        dark = sum(colour) < 1.5
        axes.text(
            outline.get_x(),
            outline.get_y(),
            name,
            fontsize=7,
            color="white" if dark else "black",
            verticalalignment="bottom" if outline.get_y() > 8 else "top",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.0, "alpha": 0.9},
            clip_on=True,
        )
