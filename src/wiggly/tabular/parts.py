"""What networks for tables are built of: embeddings of categories and of numbers, and the scale of outputs.

In: `cats` int64 `(n, k)`, `conts` float32 `(n, m)`. Out: one row of features each. No training code is
imported, so a predictor can use them. Read next: `models.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError, DependencyError

__all__ = ["Embeddings", "Numbers", "Outputs", "Range", "bins_of"]

Range = tuple[float, float]

# Numbers in all tables together up to which they are copied side by side for one look-up in a training step.
FEW = 1 << 18
KINDS = ("linear", "periodic", "piecewise")
FEWEST = 16  # rows of a piece, where there are enough
MOST_ROWS = 1 << 20  # from which quantiles are taken; torch.quantile refuses more than 2 ** 24


class Embeddings(nn.ModuleList):
    """A table of vectors for each category; a row's vectors side by side.

    In training small tables are looked up all at once: seven of them one by one, forward and backward, took
    118 µs of a step with 64 rows, and 82 so.

    Args:
        sizes: For each category its number of values and the width of its vectors.
        std: Standard deviation of the first values, a truncated normal.

    Example:
        >>> embeds = Embeddings([(3, 2), (5, 4)])
        >>> embeds(torch.tensor([[0, 4], [2, 1]])).shape, embeds[1].weight.shape
        (torch.Size([2, 6]), torch.Size([5, 4]))
    """

    places: Tensor
    widths: Tensor
    owner: Tensor

    def __init__(self, sizes: Sequence[tuple[int, int]], std: float = 0.01) -> None:
        super().__init__([nn.Embedding(n, width) for n, width in sizes])
        for table in self:
            nn.init.trunc_normal_(self._weight(table), std=std)
        starts = [0, *accumulate(n * width for n, width in sizes)]
        self.total = starts.pop()
        # Where in all tables, one after the other, a row's numbers lie: places + code * width of the table.
        owner = torch.repeat_interleave(torch.tensor([width for _, width in sizes], dtype=torch.int64))
        within = [torch.arange(width) + start for start, (_, width) in zip(starts, sizes, strict=True)]
        buffers = {
            "places": torch.cat(within) if within else torch.zeros(0, dtype=torch.int64),
            "widths": torch.tensor([sizes[k][1] for k in owner.tolist()], dtype=torch.int64),
            "owner": owner,
        }
        for name, values in buffers.items():
            self.register_buffer(name, values, persistent=False)

    @staticmethod
    def _weight(table: Any) -> nn.Parameter:
        return table.weight

    @property
    def width(self) -> int:
        """Numbers per row."""
        return len(self.owner)

    def forward(self, cats: Tensor) -> Tensor:
        """Vectors `(n, width)` of codes `(n, k)`."""
        if self.training and 0 < self.total <= FEW:
            tables = torch.cat([self._weight(table).view(-1) for table in self._modules.values()])
            index = torch.addcmul(self.places, cats.index_select(1, self.owner), self.widths)
            return tables.index_select(0, index.view(-1)).view(len(cats), -1)
        return torch.cat([table(cats[:, k]) for k, table in enumerate(self)], dim=1)


def bins_of(conts: Tensor, n_bins: int = 48, target: Tensor | None = None) -> list[Tensor]:
    """Borders of a piecewise linear embedding's pieces (Gorishniy et al., arXiv:2203.05556, section 3.2).

    Args:
        conts: Numbers of the training rows, `(n, m)`.
        n_bins: Pieces at most; columns with few values have fewer.
        target: What is predicted, `(n,)`, float for numbers and int64 for labels: borders then are where a
            decision tree of that column alone would split; None takes quantiles.

    Example:
        >>> bins_of(torch.tensor([[0.0], [1.0], [2.0], [3.0]]), 2)
        [tensor([0.0000, 1.5000, 3.0000])]
    """
    every = -(-len(conts) // MOST_ROWS)
    few, known = conts[::every].cpu(), None if target is None else target[::every].cpu()
    found: list[Tensor] = []
    for column in few.unbind(1):
        if known is None:
            inner = torch.quantile(column, torch.linspace(0.0, 1.0, n_bins + 1))
        else:
            inner = _splits(column, known, n_bins)
        borders = torch.cat([column.min()[None], inner.to(column.dtype), column.max()[None]]).unique()
        found.append(borders if len(borders) > 1 else torch.stack([borders[0] - 0.5, borders[0] + 0.5]))
    return found


def _splits(column: Tensor, target: Tensor, n_bins: int) -> Tensor:
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    tree: Any = DecisionTreeRegressor if target.is_floating_point() else DecisionTreeClassifier
    least = max(1, min(FEWEST, len(column) // 64))
    made = tree(max_leaf_nodes=max(n_bins, 2), min_samples_leaf=least)
    grown = made.fit(column[:, None].numpy(), target.numpy()).tree_
    return torch.from_numpy(grown.threshold[grown.children_left != grown.children_right])


class Numbers(nn.Module):
    """Vectors of numbers, by the modules of rtdl_num_embeddings.

    Args:
        kind: "linear" (with ReLU), "periodic" or "piecewise" (linear between the borders).
        n: Columns.
        width: Numbers in a vector.
        bins: For "piecewise", the borders of each column, or how many pieces it has if weights are to be
            loaded.

    Raises:
        DependencyError: The package is not there.
        ArgumentError: The kind is not known.

    Example:
        >>> Numbers("linear", 3, 8)(torch.zeros(2, 3)).shape
        torch.Size([2, 24])
    """

    def __init__(
        self, kind: str, n: int, width: int = 16, bins: Sequence[Tensor | int] | None = None
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ArgumentError(
                f"`num_embeddings` must be one of {', '.join(KINDS)}, or None", f"it is {kind!r}", "Pass one."
            )
        try:
            import rtdl_num_embeddings as rtdl
        except ImportError as error:
            raise DependencyError(
                "embeddings of numbers need rtdl_num_embeddings",
                "it is not installed",
                'Install "wiggly[tabular]".',
            ) from error
        if kind == "linear":
            self.vectors: nn.Module = rtdl.LinearReLUEmbeddings(n, width)
        elif kind == "periodic":
            self.vectors = rtdl.PeriodicEmbeddings(n, width, lite=False)
        else:
            borders = [torch.linspace(0, 1, b + 1) if isinstance(b, int) else b for b in bins or ()]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of a column with one piece, which is meant
                self.vectors = rtdl.PiecewiseLinearEmbeddings(borders, width, activation=False, version="B")
        self.width = n * width

    def forward(self, conts: Tensor) -> Tensor:
        """Vectors side by side, `(n, m * width)`."""
        return self.vectors(conts).flatten(1)


class Outputs(nn.Module):
    """From the last layer to what is predicted: numbers between bounds, or in the unit of the target.

    Args:
        counts: Outputs of each target.
        y_range: Least and largest number; None leaves them free.
        scaled: Whether numbers are predicted as `mean + std * output`, with statistics of the training rows,
            so that a network whose first outputs are about 0 has not to find the way to 200,000.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, counts: Sequence[int], y_range: Range | None = None, scaled: bool = False) -> None:
        super().__init__()
        if y_range is not None and not y_range[0] < y_range[1]:
            raise ArgumentError(
                "`y_range` must be the least and the largest prediction", f"it is {y_range}", "E.g. (0, 5.5)."
            )
        self.counts, self.y_range, self.scaled = list(counts), y_range, scaled
        if scaled:
            self.register_buffer("mean", torch.zeros(sum(counts)))
            self.register_buffer("std", torch.ones(sum(counts)))

    def forward(self, out: Tensor) -> Any:
        """A tensor `(..., n_out)`, or a tuple of one for each of several targets."""
        if self.y_range is not None:
            low, high = self.y_range
            out = torch.sigmoid(out) * (high - low) + low
        elif self.scaled:
            out = torch.addcmul(self.mean, out, self.std)
        return out if len(self.counts) == 1 else out.split(self.counts, dim=-1)
