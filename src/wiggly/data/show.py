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

__all__ = ["add_legend", "decoded_row", "draw_sample", "grid", "show_batch", "show_results"]

MOST_COLUMNS = 4  # of pictures, where an item has several
MOST_LEGEND_ENTRIES = 40  # more would be larger than the pictures
LEGEND_INCHES = 1.4  # width of one entry


def grid(
    n: int,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
    imsize: float = 3.0,
    per_item: int = 1,
    aspect: float = 1.0,
) -> list[Any]:
    """Axes for `n` items, as square as can be, `imsize` inches each picture.

    Args:
        n: Number of items, at least 1.
        nrows: Rows; None follows from `n`.
        ncols: Columns of items; None follows from `n`.
        figsize: Inches of the whole figure; None follows from the grid.
        imsize: Inches of the longer side of a picture.
        per_item: Pictures of one item, side by side.
        aspect: Height of a picture over its width.

    Raises:
        ArgumentError: `n` is below 1.
    """
    import matplotlib.pyplot as plt

    if n < 1:
        raise ArgumentError(
            "there must be at least 1 picture to draw", f"there are {n}", "Check `max_n` and the data."
        )
    if ncols is None:
        ncols = math.ceil(n / nrows) if nrows else math.ceil(math.sqrt(n / per_item))
        if per_item > 1 and not nrows:
            ncols = max(1, min(ncols, MOST_COLUMNS // per_item))
    nrows = nrows or math.ceil(n / ncols)
    columns, n_axes = ncols * per_item, min(n, nrows * ncols) * per_item
    width, height = imsize * min(1.0, 1 / aspect), imsize * min(1.0, aspect)
    size = figsize or (columns * width, nrows * (height + 0.35))
    figure: Any = plt.figure(figsize=size, layout="constrained")
    axes = [figure.add_subplot(nrows, columns, k + 1) for k in range(n_axes)]
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
    n_inp: int = loader.dataset.n_inp
    pictures = _pictures(blocks[:n_inp])
    aspect = _aspect(_size_of(blocks[:n_inp], [column[0] for column in b]))
    axes = grid(n, nrows, ncols, figsize, per_item=pictures, aspect=aspect)
    shown = blocks[: len(b)]
    drawn: list[list[Any]] = [[] for _ in shown]
    for row in range(min(n, len(axes) // pictures)):
        own = axes[row * pictures : (row + 1) * pictures]
        values = decoded_row(shown, n_inp, [column[row] for column in b])
        draw_sample(shown[:n_inp], values[:n_inp], own)
        for block, value in zip(shown[n_inp:], values[n_inp:], strict=True):
            block.draw(value, own[0])
        for values_of_block, value in zip(drawn, values, strict=True):
            values_of_block.append(value)
    add_legend(shown, drawn, axes)


def _repeated(loader: DataLoader, n: int) -> tuple[Tensor, ...]:
    first = loader.look(1).positions[0]
    return loader.repeat(first, n).tensors


def _pictures(inputs: Sequence[Block]) -> int:
    """How many axes the inputs of one item fill."""
    return max(1, sum(block.is_picture for block in inputs))


def decoded_row(blocks: Sequence[Block], n_inp: int, row: Sequence[Tensor]) -> list[Any]:
    """The values of one item as a person reads them, points in the pixels of the first picture.

    Args:
        blocks: Inputs first.
        n_inp: How many are inputs.
        row: One encoded value per block.
    """
    size = _size_of(blocks[:n_inp], row)
    return [_decoded(block, value.cpu(), size) for block, value in zip(blocks, row, strict=True)]


def _size_of(inputs: Sequence[Block], row: Sequence[Tensor]) -> tuple[int, int] | None:
    """Height and width of the first picture."""
    for block, value in zip(inputs, row, strict=False):
        if block.is_picture and value.ndim == 3:
            return int(value.shape[-2]), int(value.shape[-1])
    return None


def _aspect(size: tuple[int, int] | None) -> float:
    return 1.0 if size is None else min(max(size[0] / size[1], 0.25), 4.0)


def _decoded(block: Block, encoded: Tensor, size: tuple[int, int] | None) -> Any:
    return block.decode(encoded) if size is None else block.decode_on(encoded, size)


def draw_sample(inputs: Sequence[Block], values: Sequence[Any], axes: Sequence[Any]) -> None:
    """Draws the inputs of one item: pictures side by side, everything else with the first.

    Args:
        inputs: Their blocks.
        values: Decoded.
        axes: As many as there are pictures, at least one.
    """
    free = list(axes)
    for block, value in zip(inputs, values, strict=True):
        block.draw(value, free.pop(0) if block.is_picture else axes[0])


def add_legend(blocks: Sequence[Block], drawn: Sequence[Sequence[Any]], axes: Sequence[Any]) -> None:
    """What the colours mean, below the pictures.

    Args:
        blocks: That drew onto them.
        drawn: The decoded values each of them drew.
        axes: Of the figure.
    """
    entries = [entry for block, values in zip(blocks, drawn, strict=True) for entry in block.legend(values)]
    if not 0 < len(entries) <= MOST_LEGEND_ENTRIES:
        return
    from matplotlib.patches import Patch

    figure = axes[0].figure
    columns = max(1, min(len(entries), int(figure.get_figwidth() / LEGEND_INCHES)))
    handles = [Patch(color=colour, label=name) for name, colour in dict(entries).items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def show_results(
    dls: DataLoaders,
    inputs: Sequence[Tensor],
    targets: Sequence[Tensor],
    predicted: Sequence[Tensor],
    max_n: int = 9,
    nrows: int | None = None,
    ncols: int | None = None,
    figsize: tuple[float, float] | None = None,
) -> None:
    """Draws inputs with the target above the prediction, green where they agree and red where not; targets
    that are painted onto the picture (masks, points, boxes) in two columns, target and prediction.

    Args:
        dls: The loaders, for their blocks.
        inputs: One tensor per input, `(n, ...)`, images in [0, 1].
        targets: Encoded targets `(n, ...)`, one tensor per target; empty without.
        predicted: Encoded predictions `(n, ...)`, one tensor per target.
        max_n: At most this many items.
        nrows: Rows of the grid.
        ncols: Columns of the grid.
        figsize: Inches.
    """
    blocks, n_inp = [*dls.input_blocks, *dls.target_blocks], dls.n_inp
    pictures = _pictures(dls.input_blocks)
    double = bool(targets) and any(block.drawn_over for block in dls.target_blocks)
    per_item = pictures * (2 if double else 1)
    n = min(max_n, int(inputs[0].shape[0]))
    aspect = _aspect(_size_of(dls.input_blocks, [column[0] for column in inputs]))
    axes = grid(n, nrows, ncols, figsize, per_item=per_item, aspect=aspect)
    drawn: list[list[Any]] = [[] for _ in dls.target_blocks]
    for row in range(min(n, len(axes) // per_item)):
        own = axes[row * per_item : (row + 1) * per_item]
        given = [column[row] for column in inputs]
        said = decoded_row(blocks, n_inp, [*given, *(p[row] for p in predicted)])
        true = decoded_row(blocks, n_inp, [*given, *(t[row] for t in targets)]) if targets else None
        draw_sample(dls.input_blocks, said[:n_inp], own[-pictures:])
        if double:
            draw_sample(dls.input_blocks, said[:n_inp], own[:pictures])
            own[0].set_title("Target", fontsize=10)
            own[pictures].set_title("Prediction", fontsize=10)
        pairs = [(None if true is None else true[n_inp + k], said[n_inp + k]) for k in range(len(drawn))]
        _draw_results(dls.target_blocks, pairs, own[0], own[-pictures])
        for values, (truth, guess) in zip(drawn, pairs, strict=True):
            values += [guess] if true is None else [truth, guess]
    add_legend(dls.target_blocks, drawn, axes)


def _draw_results(
    blocks: Sequence[Block], pairs: Sequence[tuple[Any, Any]], target_axes: Any, axes: Any
) -> None:
    """Truth and prediction of every target of one item; the title is green if all that it names is right."""
    named = [pair for block, pair in zip(blocks, pairs, strict=True) if not block.drawn_over]
    known = bool(named) and named[0][0] is not None
    colour = "black" if not known else "green" if all(truth == said for truth, said in named) else "red"
    for block, (truth, said) in zip(blocks, pairs, strict=True):
        if not block.drawn_over:
            if truth is not None:
                block.draw(truth, target_axes, colour=colour)
            block.draw(said, axes, colour=colour)
            continue
        if target_axes is not axes:
            block.draw(truth, target_axes)
        block.draw(said, axes)
