"""Many pictures of any sizes resampled in one look-up by torch, on whatever device they are.

In: decoded pictures and a matrix each. Out: uint8 `(n, c, h, w)`. The same rules as `geometry.resample`,
which makes one picture on the CPU: average by halves, blur what a triangle filter would, look up between four
pixels. Read next: `device.py`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from wiggly.vision.geometry import (
    LARGEST_SHRINK,
    Geometry,
    Matrix,
    blur_variance,
    inverted,
    scaling,
    source_scale,
)

__all__ = ["Picture", "warp"]

# Beyond a picture by more than this nobody sees which pixel is repeated, and integers do not overflow.
FARTHEST = float(2**24)


@dataclass(frozen=True, slots=True)
class Picture:
    """Decoded pixels on a device and where they go.

    Attributes:
        pixels: `(c, h, w)`, uint8.
        geometry: Map from these pixels to the target.
        averaged: By how much the decoder has shrunk the picture already.
    """

    pixels: Tensor
    geometry: Geometry
    averaged: int = 1


def warp(pictures: Sequence[Picture]) -> Tensor:
    """All pictures resampled in one look-up, whatever their sizes.

    The border is handled pixel by pixel as OpenCV does: "reflection" mirrors around the centre of the
    outermost pixel (`grid_sample` would mirror at its edge), "border" repeats it, "zeros" mixes with black.

    Args:
        pictures: Of one target size, number of channels and device.

    Returns:
        `(n, c, h, w)`, uint8. An identity map gives the same pixels to the bit.
    """
    filtered = [_filtered(picture) for picture in pictures]
    size, n = pictures[0].geometry.size, len(pictures)
    sources = [pixels for pixels, _ in filtered]
    device, channels = sources[0].device, sources[0].shape[0]
    x, y = _positions(np.stack([inverted(matrix) for _, matrix in filtered]), size, device)
    shapes = torch.tensor([s.shape[1:] for s in sources])
    starts = (shapes.prod(1).cumsum(0) - shapes.prod(1)).view(n, 1, 1).to(device)
    heights, widths = shapes.to(device).T.reshape(2, n, 1, 1)
    flat = torch.cat([s.reshape(channels, -1) for s in sources], 1)
    borders = [picture.geometry.border or "reflection" for picture in pictures]
    mixed = torch.zeros((channels, n * size[0] * size[1]), device=device)
    across, down = _neighbours(x, widths, borders), _neighbours(y, heights, borders)
    for row, row_weight in down:
        for column, column_weight in across:
            at = (starts + row * widths + column).reshape(-1)
            mixed += flat.index_select(1, at) * (row_weight * column_weight).reshape(-1)
    levels = mixed.add_(0.5).clamp_(0, 255).to(torch.uint8)
    return levels.view(channels, n, *size).transpose(0, 1)


def _positions(
    inverse: np.ndarray[Any, Any], size: tuple[int, int], device: torch.device
) -> tuple[Tensor, Tensor]:
    """Where each target pixel's centre lies in its source, the centre of the first pixel being 0."""
    m = torch.from_numpy(inverse.astype(np.float32)).to(device)
    v = torch.arange(size[0], device=device).view(1, -1, 1) + 0.5
    u = torch.arange(size[1], device=device).view(1, 1, -1) + 0.5
    x, y, z = (m[:, k, :1, None] * u + m[:, k, 1:2, None] * v + m[:, k, 2:, None] for k in range(3))
    x, y = ((p / z - 0.5).nan_to_num().clamp(-FARTHEST, FARTHEST) for p in (x, y))
    return x, y


def _neighbours(position: Tensor, length: Tensor, borders: Sequence[str]) -> list[tuple[Tensor, Tensor]]:
    """The two pixels beside each position along one axis, and their weights."""
    low = position.floor()
    share = position - low
    found: list[tuple[Tensor, Tensor]] = []
    for step, weight in ((0, 1 - share), (1, share)):
        index = low.long() + step
        found.append(_inside(index, weight, length, borders))
    return found


def _inside(index: Tensor, weight: Tensor, length: Tensor, borders: Sequence[str]) -> tuple[Tensor, Tensor]:
    """Indices brought into the picture, by each picture's way."""

    def those(name: str) -> Tensor:
        return torch.tensor([b == name for b in borders], device=index.device).view(-1, 1, 1)

    inside = torch.minimum(index.clamp(min=0), length - 1)
    if "reflection" in borders:
        period = (2 * (length - 1)).clamp(min=1)
        folded = torch.remainder(index, period)
        inside = torch.where(those("reflection"), torch.minimum(folded, period - folded), inside)
    if "zeros" in borders:
        weight = torch.where(those("zeros") & (inside != index), 0.0, weight)
    return inside, weight


def _filtered(picture: Picture) -> tuple[Tensor, Matrix]:
    """Pixels that a bilinear look-up may be made in, and their matrix: averaged by halves, then blurred."""
    pixels, geometry = picture.pixels, picture.geometry
    sx, sy = source_scale(geometry.matrix, geometry.size)
    fx, fy = _halvings(sx), _halvings(sy)
    across = blur_variance(sx, fx, picture.averaged)
    down = blur_variance(sy, fy, picture.averaged)
    if max(fx, fy) == 1 and max(across, down) == 0:
        return pixels, geometry.matrix
    floats = pixels.float()[None]
    if max(fx, fy) > 1:
        floats = _averaged(floats, fx, fy)
    floats = _blurred(floats, across, down)
    return floats[0].round_().to(torch.uint8), geometry.matrix @ scaling(fx, fy)


def _halvings(scale: float) -> int:
    """The power of two to average by, so that the remaining shrink is below `LARGEST_SHRINK`."""
    return 2 ** max(0, math.ceil(math.log2(1 / (scale * LARGEST_SHRINK)) + 1e-9))


def _averaged(pixels: Tensor, fx: int, fy: int) -> Tensor:
    """Means of whole blocks; the last row and column are repeated to fill the last block."""
    h, w = pixels.shape[2:]
    padded = functional.pad(pixels, (0, -w % fx, 0, -h % fy), mode="replicate")
    return functional.avg_pool2d(padded, (fy, fx)).round_()


def _blurred(pixels: Tensor, across: float, down: float) -> Tensor:
    """A separable blur of these variances, mirrored around the outermost pixels."""
    for variance, axis in ((across, 3), (down, 2)):
        if variance == 0:
            continue
        kernel = _kernel(variance).to(pixels.device)
        side = len(kernel) // 2
        channels, wide = pixels.shape[1], axis == 3
        margins = (side, side, 0, 0) if wide else (0, 0, side, side)
        fits = pixels.shape[axis] > side
        padded = functional.pad(pixels, margins, mode="reflect" if fits else "replicate")
        shape = (channels, 1, 1, -1) if wide else (channels, 1, -1, 1)
        weights = kernel.repeat(channels).view(shape)
        pixels = functional.conv2d(padded, weights, groups=channels)
    return pixels


def _kernel(variance: float) -> Tensor:
    """Three weights of this variance in pixels², up to 1/2; above, such three applied twice."""
    if variance <= 0.5:
        return torch.tensor([variance / 2, 1 - variance, variance / 2])
    three = np.array([variance / 4, 1 - variance / 2, variance / 4])
    return torch.from_numpy(np.convolve(three, three)).float()
