"""What the plots of tables share: numbers a person can read on an axis, names that do not cover each other.

In: axes of matplotlib. Out: the same, mended. Read next: `importance.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["name_points", "said_of_score", "with_thousands"]

LARGE = 10_000  # from which digits are grouped by three


def with_thousands(axes: Axes, side: str) -> None:
    """Groups the digits of large numbers on an axis: 300,000.

    Args:
        axes: Drawn already.
        side: "x" or "y".
    """
    if max(map(abs, getattr(axes, f"get_{side}lim")())) >= LARGE:
        getattr(axes, f"{side}axis").set_major_formatter("{x:,.0f}")


def said_of_score(score: float) -> str:
    """A score beside an axis.

    Example:
        >>> said_of_score(47380.2), said_of_score(0.14062)
        ('47,380', '0.1406')
    """
    return f"{score:,.0f}" if abs(score) >= LARGE else f"{score:.4g}"


def name_points(
    axes: Axes, names: Sequence[str], places: npt.NDArray[Any], sizes: npt.NDArray[Any], most: int
) -> int:
    """Writes the names of points beside them, the first ones first, and leaves out those that would cover
    another name.

    Args:
        axes: With the points drawn already.
        names: Of the points.
        places: Where they are, `(n, 2)`.
        sizes: Of the points, as `scatter` takes them.
        most: Names at most.

    Returns:
        How many were written.
    """
    figure: Any = axes.figure
    figure.canvas.draw()  # only then it is known how large a text is
    renderer, taken = figure.canvas.get_renderer(), list[Any]()
    for name, place, size in list(zip(names, places, sizes, strict=True))[:most]:
        radius = float(np.sqrt(size)) / 2  # points; scatter takes the area
        for side in ("left", "right"):
            away = radius + 2 if side == "left" else -radius - 2
            text = axes.annotate(
                name,
                (place[0], place[1]),
                fontsize=8,
                ha=side,
                va="center",
                xytext=(away, 0),
                textcoords="offset points",
            )
            box = text.get_window_extent(renderer)
            inside = axes.bbox.x0 <= box.x0 and box.x1 <= axes.bbox.x1
            if inside and not any(box.overlaps(other) for other in taken):
                taken.append(box)
                break
            text.remove()
    return len(taken)
