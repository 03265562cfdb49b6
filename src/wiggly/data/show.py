"""Pictures of batches and results: one grid, each block draws its own values.

In: loaders and a batch. Out: matplotlib figures. Read next: `../vision/blocks.py` for a block that draws.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from wiggly.errors import ArgumentError, DataError

if TYPE_CHECKING:
    from wiggly.data.blocks import Block
    from wiggly.data.loader import DataLoader
    from wiggly.data.loaders import DataLoaders

__all__ = ["grid", "show_batch", "show_results"]


def grid(
    n: int,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    imsize: float = 3.0,
) -> list[Any]:
    """Axes for `n` pictures, as square as can be, `imsize` inches each; spare ones are hidden.

    Args:
        n: Number of pictures, at least 1.
        nrows: Rows; None follows from `n`.
        ncols: Columns; None follows from `n`.
        figsize: Inches of the whole figure; None follows from the grid.
        imsize: Inches of one picture.

    Raises:
        ArgumentError: `n` is below 1.
    """
    import matplotlib.pyplot as plt

    if n < 1:
        raise ArgumentError(
            "there must be at least 1 picture to draw", f"there are {n}", "Check `max_n` and the data."
        )
    if ncols is None:
        ncols = math.ceil(n / nrows) if nrows else math.ceil(math.sqrt(n))
    nrows = nrows or math.ceil(n / ncols)
    size = figsize or (ncols * imsize, nrows * (imsize + 0.35))
    figure: Any = plt.figure(figsize=size, layout="constrained")
    axes = [figure.add_subplot(nrows, ncols, k + 1) for k in range(min(n, nrows * ncols))]
    for ax in axes:
        ax.set_xticks([])
        ax.set_yticks([])
        for spine in ax.spines.values():
            spine.set_visible(False)
    return axes


def show_batch(
    loader: DataLoader,
    b: Sequence[Tensor] | None = None,
    max_n: int = 9,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    unique: bool = False,
) -> None:
    """See `DataLoader.show_batch`."""
    blocks: list[Block] = getattr(loader.dataset, "blocks", [])
    if not blocks:
        raise DataError(
            "`show_batch` needs a loader built from blocks",
            f"its data set is a {type(loader.dataset).__name__}",
            "Draw its batches yourself, or build the loaders with a DataBlock.",
        )
    if b is None:
        b = _repeated(loader, max_n) if unique else loader.look(max_n).tensors
    n = min(max_n, int(b[0].shape[0]))
    axes = grid(n, nrows, ncols, figsize)
    for row, ax in enumerate(axes):
        for block, column in zip(blocks, b, strict=False):
            block.draw(block.decode(column[row].cpu()), ax)


def _repeated(loader: DataLoader, n: int) -> tuple[Tensor, ...]:
    first = loader.look(1).positions[0]
    return loader.repeat(first, n).tensors


def show_results(
    dls: DataLoaders,
    inputs: Tensor,
    targets: Tensor | None,
    predicted: Tensor,
    max_n: int = 9,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
) -> None:
    """Draws inputs with the target above the prediction, green where they agree and red where not.

    Args:
        dls: The loaders, for their blocks.
        inputs: First input of a batch, `(n, ...)`, images in [0, 1].
        targets: Encoded targets `(n, ...)`, or None.
        predicted: Encoded predictions `(n, ...)`.
        max_n: At most this many items.
        nrows: Rows of the grid.
        ncols: Columns of the grid.
        figsize: Inches.
    """
    source, target = dls.input_blocks[0], dls.target_blocks[0]
    axes = grid(min(max_n, int(inputs.shape[0])), nrows, ncols, figsize)
    for row, ax in enumerate(axes):
        source.draw(source.decode(inputs[row].cpu()), ax)
        said = target.decode(predicted[row].cpu())
        truth = None if targets is None else target.decode(targets[row].cpu())
        if truth is not None:
            target.draw(truth, ax)
        target.draw(said, ax, colour="black" if truth is None else "green" if truth == said else "red")
