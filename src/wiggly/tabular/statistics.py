"""What a network takes from the training rows before any step: borders of pieces, values, scales of outputs.

In: loaders of a table. Out: tensors that `learner.py` makes the network with. Read next: `parts.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from wiggly.tabular.fields import NumberColumn
from wiggly.tabular.loader import TableDataset
from wiggly.tabular.parts import bins_of, levels_of

__all__ = ["pieces_of", "scales_of", "training_rows"]

# By which part of the span of the training targets a number may be predicted beyond them.
BEYOND = 0.1


def training_rows(dls: Any) -> tuple[Tensor, ...]:
    """Training rows for statistics, `(cats, conts, *targets)`: all that are in memory, else the first."""
    dataset = dls.train.dataset
    rows = dataset.tensors if isinstance(dataset, TableDataset) else dls.train.look(1 << 16).tensors
    return tuple(tensor.cpu() for tensor in rows)


def pieces_of(dls: Any, settings: dict[str, Any], arch: str) -> dict[str, Any]:
    """The borders of piecewise embeddings of numbers, and the values with vectors, if there are some.

    Args:
        dls: Loaders of a table.
        settings: Of the network; those that are for this are taken out.
        arch: "mlp" or "tabm".
    """
    n_bins, n_levels = settings.pop("n_bins", 96), settings.pop("n_levels", 200)
    kind = settings.get("num_embeddings", "piecewise" if arch == "tabm" else None)
    if kind != "piecewise" or not dls.cont_names:
        return {}
    _, conts, *targets = training_rows(dls)
    plain = len(targets) == 1 and targets[0].ndim == 1
    bins = bins_of(conts, n_bins, targets[0] if plain else None)
    if not isinstance(dls.train.dataset, TableDataset):  # the outermost numbers are in rows not looked at
        bins = [_reaching(*pair) for pair in zip(bins, dls.table.encoder.numbers, strict=True)]
    return {"bins": bins, "levels": levels_of(conts, n_levels)}


def _reaching(borders: Tensor, column: NumberColumn) -> Tensor:
    """The borders of a column's pieces, the outermost as far out as its numbers are."""
    ends = [(end - column.center - column.mean) / column.std for end in (column.low, column.high)]
    low, high = min(ends[0], float(borders[0])), max(ends[1], float(borders[-1]))
    return torch.cat([borders.new_tensor([low]), borders[1:-1], borders.new_tensor([high])])


def scales_of(dls: Any, blocks: Sequence[Any]) -> dict[str, Tensor]:
    """Of every output of numbers the mean and standard deviation of the target, and between which bounds it
    is predicted; 0, 1 and none for other outputs.

    Args:
        dls: Loaders of a table.
        blocks: The target blocks.
    """
    farthest = torch.finfo(torch.float32).max
    found: dict[str, list[Tensor]] = {"mean": [], "std": [], "low": [], "high": []}
    for block, target in zip(blocks, training_rows(dls)[2:], strict=True):
        if block.activation != "none":
            for values, name in zip((0.0, 1.0, -farthest, farthest), found, strict=True):
                found[name].append(torch.full((block.n_out,), values))
            continue
        values = target.reshape(len(target), -1).double()
        std, (low, high) = values.std(0, correction=0), values.aminmax(dim=0)
        margin = BEYOND * (high - low)
        found["mean"].append(values.mean(0).float())
        found["std"].append(torch.where(std > 0, std, 1.0).float())
        found["low"].append((low - margin).float())
        found["high"].append((high + margin).float())
    return {name: torch.cat(parts) for name, parts in found.items()}
