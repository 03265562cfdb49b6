"""Confusion counts, of items or of pixels: the pairs most often mixed up, and the matrix as a picture.

In: counts `(c, c)`, rows actual, columns predicted, and the names of the classes. Out: pairs; a matplotlib
figure. Read next: `classification.py` and `segmentation.py`, which count.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["confused_pairs", "draw_confusions"]

SMALLEST_FONT = 4.0  # points; below it numbers in cells are a grey blur, so they are left out


def confused_pairs(
    counts: npt.NDArray[np.int64], vocab: Sequence[Any], min_val: int = 1
) -> list[tuple[Any, Any, int]]:
    """The pairs of classes that are mixed up most often.

    Args:
        counts: `(c, c)`.
        vocab: The classes.
        min_val: Leave out pairs that occur less often.

    Returns:
        `(actual, predicted, n)`, most frequent first; equal counts in the order of the vocabulary.

    Example:
        >>> confused_pairs(np.array([[5, 1], [3, 5]]), ["cat", "dog"])
        [('dog', 'cat', 3), ('cat', 'dog', 1)]
    """
    counts = counts.copy()
    np.fill_diagonal(counts, 0)
    rows, columns = np.nonzero(counts >= max(min_val, 1))
    order = np.argsort(-counts[rows, columns], kind="stable")
    pairs = zip(rows[order].tolist(), columns[order].tolist(), strict=True)
    return [(vocab[row], vocab[column], int(counts[row, column])) for row, column in pairs]


def draw_confusions(
    counts: npt.NDArray[np.int64],
    labels: Sequence[str],
    normalize: bool,
    title: str,
    cmap: Any = "Blues",
    figsize: tuple[float, float] | None = None,
    dpi: float | None = None,
) -> None:
    """Draw a confusion matrix.

    Args:
        counts: `(c, c)`.
        labels: Names of the classes.
        normalize: Show shares of each actual class instead of counts; a class without items stays 0.
        title: Text above.
        cmap: A matplotlib colour map or its name.
        figsize: Width and height in inches; by default it grows with the number of classes up to 20.
        dpi: Dots per inch; matplotlib's own by default.
    """
    import matplotlib.pyplot as plt

    values = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1) if normalize else counts
    side = min(3.5 + 0.35 * len(labels), 20.0)
    figure, axes = plt.subplots(figsize=figsize or (side, side), dpi=dpi, layout="constrained")
    axes.imshow(values, cmap=cmap, interpolation="nearest")
    # The matrix takes about three quarters of the figure; 72 points to an inch.
    cell = 0.75 * min(figure.get_size_inches()) * 72 / len(labels)
    digits = 4 if normalize else max(len(str(values.max())), 3)
    font = min(10.0, cell / (0.65 * digits))
    if font >= SMALLEST_FONT:
        _write_cells(axes, values, font)
    size = min(10.0, max(0.8 * cell, SMALLEST_FONT))
    every = max(1, ceil(size / cell))  # where names would overlap, only some of them
    ticks = np.arange(0, len(labels), every)
    axes.set_xticks(ticks, labels[::every], rotation=90, fontsize=size)
    axes.set_yticks(ticks, labels[::every], fontsize=size)
    axes.set(title=title, xlabel="Predicted", ylabel="Actual")


def _write_cells(axes: Any, values: npt.NDArray[Any], font: float) -> None:
    middle = float(values.max()) / 2
    form = "{:.2f}" if values.dtype.kind == "f" else "{}"
    for row, column in zip(*np.nonzero(values), strict=True):
        shade = "white" if values[row, column] > middle else "black"
        text = form.format(values[row, column])
        axes.text(column, row, text, ha="center", va="center", color=shade, fontsize=font)
