"""What networks for tables are built of: embeddings of categories and of numbers, and the scale of outputs.

In: `cats` int64 `(n, k)`, `conts` float32 `(n, m)`. Out: one row of features each. No training code is
imported, so a predictor can use them. Read next: `models.py`.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError, DependencyError

__all__ = ["Embeddings", "Levels", "Numbers", "Outputs", "Range", "bins_of", "levels_of"]

Range = tuple[float, float]

# Numbers in all tables together up to which they are copied side by side for one look-up in a training step.
FEW = 1 << 18
KINDS = ("linear", "periodic", "piecewise")
FEWEST = 16  # rows of a piece, where there are enough
SLACK = 1e-6  # between equal numbers; those of a column have standard deviation 1
USUAL = 5  # rows that must have a value for it to get a vector of its own
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

    With "piecewise", numbers beyond those of training count as the outermost of them, as they do for trees,
    so that a slip of the hand (an age of 999) is not followed into the distance.

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

    ends: Tensor

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
        self.width, self.bounded = n * width, kind == "piecewise"
        if self.bounded:
            ends = [torch.zeros(2) if isinstance(b, int) else b[[0, -1]] for b in bins or ()]
            self.register_buffer("ends", torch.stack(ends, dim=1))

    def forward(self, conts: Tensor) -> Tensor:
        """Vectors side by side, `(n, m * width)`."""
        if self.bounded:
            conts = conts.clamp(self.ends[0], self.ends[1])
        return self.vectors(conts).flatten(1)


def levels_of(conts: Tensor, most: int = 200) -> list[Tensor]:
    """The values of each column of numbers that has few: those seen at least five times. None of others.


    Args:
        conts: Numbers of the training rows, `(n, m)`.
        most: Different values that a column may have.

    Example:
        >>> levels_of(torch.tensor([[0.0, 1.0], [2.0, 2.0]] * 5 + [[9.0, 3.0]]), 2)
        [tensor([]), tensor([])]
        >>> levels_of(torch.tensor([[0.0, 1.0], [2.0, 2.0]] * 5 + [[9.0, 2.0]]), 2)
        [tensor([]), tensor([1., 2.])]
    """
    every = -(-len(conts) // MOST_ROWS)
    found: list[Tensor] = []
    for column in conts[::every].cpu().unbind(1):
        values, counts = column.unique(return_counts=True)
        usual = values[counts >= USUAL]
        found.append(usual if len(values) <= most and len(usual) > 1 else column[:0])
    return found


class Levels(nn.Module):
    """A vector for each value of the columns that have few, such as ages in years: one step may matter more
    than what lies beside it. Values without a vector share one.

    Args:
        values: Of each column, sorted, or how many there are if weights are to be loaded; none leaves the
            column out.
        std: Standard deviation of the first vectors.

    Attributes:
        widths: Of the vectors, of the columns that have some.

    Example:
        >>> levels = Levels([torch.tensor([0.0, 1.0, 5.0]), torch.zeros(0)])
        >>> vectors = levels(torch.tensor([[1.0, 7.0], [2.0, 7.0], [9.0, 7.0]]))
        >>> vectors.shape, bool(vectors[0].any()), bool(vectors[1:].any())
        (torch.Size([3, 3]), True, False)
    """

    values: Tensor
    columns: Tensor

    def __init__(self, values: Sequence[Tensor | int], std: float = 0.01) -> None:
        super().__init__()
        counts = [v if isinstance(v, int) else len(v) for v in values]
        used = [column for column, n in enumerate(counts) if n]
        known = torch.full((len(used), max(counts)), torch.inf)  # columns with fewer are filled up
        for row, column in enumerate(used):
            own = values[column]
            if isinstance(own, Tensor):
                known[row, : len(own)] = own
        self.register_buffer("values", known)
        self.register_buffer("columns", torch.tensor(used, dtype=torch.int64), persistent=False)
        # The width that categories have, see `models.emb_sz_rule`; the first vector is for all other values.
        self.widths = [min(600, round(1.6 * (counts[column] + 1) ** 0.56)) for column in used]
        sizes = [(counts[column] + 1, width) for column, width in zip(used, self.widths, strict=True)]
        self.embeds = Embeddings(sizes, std)
        with torch.no_grad():  # where training has no other values it stays 0
            for table in self.embeds.children():
                cast("nn.Embedding", table).weight[0] = 0

    def forward(self, conts: Tensor) -> Tensor:
        """Vectors side by side, `(n, sum of widths)`."""
        own = conts.index_select(1, self.columns)[:, :, None]
        codes = (own >= self.values - SLACK).sum(2)
        is_known = ((own - self.values).abs() <= SLACK).any(2)
        return self.embeds(codes * is_known)


class Outputs(nn.Module):
    """From the last layer to what is predicted: numbers between bounds, or in the unit of the target.

    Args:
        counts: Outputs of each target.
        y_range: Least and largest number; None leaves them free.
        scaled: Whether numbers are predicted as `mean + std * output`, with statistics of the training rows,
            so that a network whose first outputs are about 0 has not to find the way to 200,000.
        bounded: Whether, in evaluation, scaled numbers are held between `low` and `high`.
    """

    mean: Tensor
    std: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        counts: Sequence[int],
        y_range: Range | None = None,
        scaled: bool = False,
        bounded: bool = False,
    ) -> None:
        super().__init__()
        if y_range is not None and not y_range[0] < y_range[1]:
            raise ArgumentError(
                "`y_range` must be the least and the largest prediction", f"it is {y_range}", "E.g. (0, 5.5)."
            )
        self.counts, self.y_range, self.scaled = list(counts), y_range, scaled
        self.bounded = scaled and bounded
        if scaled:
            self.register_buffer("mean", torch.zeros(sum(counts)))
            self.register_buffer("std", torch.ones(sum(counts)))
        if self.bounded:
            farthest = torch.finfo(torch.float32).max
            self.register_buffer("low", torch.full((sum(counts),), -farthest))
            self.register_buffer("high", torch.full((sum(counts),), farthest))

    def forward(self, out: Tensor) -> Any:
        """A tensor `(..., n_out)`, or a tuple of one for each of several targets."""
        if self.y_range is not None:
            low, high = self.y_range
            out = torch.sigmoid(out) * (high - low) + low
        elif self.scaled:
            out = torch.addcmul(self.mean, out, self.std)
        if self.bounded and not self.training:  # in training a gradient must lead back
            out = out.clamp(self.low, self.high)
        return out if len(self.counts) == 1 else out.split(self.counts, dim=-1)
