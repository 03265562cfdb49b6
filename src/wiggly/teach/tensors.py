"""Tensors made small enough to look at: shape, least, greatest, mean, and a part of the numbers.

In: a tensor of any shape. Out: `View`, which a page draws as heat maps with numbers in them. Read next:
`training_step.py`.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

__all__ = ["View", "view"]

DIGITS = 4  # of a shown number


@dataclass(frozen=True)
class View:
    """What is shown of a tensor.

    Attributes:
        shape: Its shape.
        min: Its least number.
        max: Its greatest.
        mean: The mean of all of them.
        tiles: Parts of it as matrices, one heat map each.
        note: Which parts these are; empty where all is shown.
    """

    shape: list[int]
    min: float
    max: float
    mean: float
    tiles: list[list[list[float]]]
    note: str


def view(tensor: Tensor, side: int = 8, n_tiles: int = 4, maps: bool = False) -> View:
    """Cuts a tensor down to what a page has room for; every number shown is one of its own, or said to be a
    mean.

    Args:
        tensor: Of any shape with numbers in it.
        side: Rows and columns of a heat map at most; a single matrix may be twice as wide.
        n_tiles: Heat maps at most.
        maps: Whether it is `(n, c, h, w)`, of which the first item's channels are shown, made smaller;
            otherwise four axes are a convolution's weights.

    Example:
        >>> import torch
        >>> found = view(torch.arange(6.0).reshape(2, 3))
        >>> found.shape, found.mean, found.tiles, found.note
        ([2, 3], 2.5, [[[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]], '')
    """
    values = tensor.detach().cpu().double()
    shape = list(values.shape)
    if values.dim() == 4:
        tiles, note = (_maps if maps else _filters)(values, side, n_tiles)
    else:
        matrix = values.reshape(1, -1) if values.dim() < 2 else values.reshape(-1, shape[-1])
        tiles, note = _matrix(matrix, side)
    least, greatest, mean = (_rounded(float(each)) for each in (values.min(), values.max(), values.mean()))
    return View(shape, least, greatest, mean, [_rows(tile) for tile in tiles], note)


def _matrix(matrix: Tensor, side: int) -> tuple[list[Tensor], str]:
    (high, wide), (rows, columns) = matrix.shape, (side, 2 * side)
    said = [f"the first {side} of {high} rows"] if high > rows else []
    said += [f"the first {columns} of {wide} columns"] if wide > columns else []
    return [matrix[:rows, :columns]], ", ".join(said)


def _maps(values: Tensor, side: int, n_tiles: int) -> tuple[list[Tensor], str]:
    _, channels, high, wide = values.shape
    shown = values[0, :n_tiles]
    said = "item 1" + (f", {_first(n_tiles)} of {channels} channels" if channels > n_tiles else "")
    if max(high, wide) > side:
        size = min(high, side), min(wide, side)
        shown = functional.adaptive_avg_pool2d(shown, size)
        said += f"; a square is the mean of {_about(high, size[0])}×{_about(wide, size[1])} numbers"
    return list(shown), said


def _first(n: int) -> str:
    return "the first" if n == 1 else f"the first {n}"


def _about(all_: int, squares: int) -> str:
    return str(all_ // squares) if all_ % squares == 0 else f"about {all_ / squares:.1f}"


def _filters(values: Tensor, side: int, n_tiles: int) -> tuple[list[Tensor], str]:
    outputs, inputs, high, wide = values.shape
    said = [f"{_first(n_tiles)} of {outputs} filters"] if outputs > n_tiles else ["each filter"]
    said += [f"at the first of {inputs} channels"] if inputs > 1 else []
    said += [f"its upper left {side}×{side} numbers"] if max(high, wide) > side else []
    return list(values[:n_tiles, 0, :side, :side]), ", ".join(said)


def _rows(matrix: Tensor) -> list[list[float]]:
    return [[_rounded(value) for value in row] for row in matrix.tolist()]


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")
