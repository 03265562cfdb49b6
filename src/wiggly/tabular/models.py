"""Networks for tables: embeddings of the categories and the numbers, then layers.

In: `cats` int64 `(n, k)` and `conts` float32 `(n, m)`. Out: `(n, n_out)`. Read next: `learner.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["TabularModel", "emb_sz_rule"]


def emb_sz_rule(n: int) -> int:
    """Width of the embedding of a category with `n` values, `#na#` included.

    Example:
        >>> emb_sz_rule(2), emb_sz_rule(10), emb_sz_rule(10**6)
        (2, 6, 600)
    """
    return min(600, round(1.6 * n**0.56))


class TabularModel(nn.Module):
    """Embeddings and normalised numbers side by side, then linear layers with ReLU and batch norm.

    Args:
        emb_szs: For each category its number of values and the width of its embedding.
        n_cont: Numbers.
        n_out: Outputs.
        layers: Widths of the hidden layers.
        y_range: Least and largest output; None leaves it free.

    Example:
        >>> model = TabularModel([(3, 2)], 1, 2, [8])
        >>> model(torch.tensor([[0], [2]]), torch.zeros(2, 1)).shape
        torch.Size([2, 2])
    """

    def __init__(
        self,
        emb_szs: Sequence[tuple[int, int]],
        n_cont: int,
        n_out: int,
        layers: Sequence[int] = (200, 100),
        y_range: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        self.embeds = nn.ModuleList([nn.Embedding(n, width) for n, width in emb_szs])
        for embed in self.embeds:
            nn.init.trunc_normal_(embed.weight, std=0.01)  # pyright: ignore[reportArgumentType]
        self.bn_cont = nn.BatchNorm1d(n_cont) if n_cont else nn.Identity()
        widths = [sum(width for _, width in emb_szs) + n_cont, *layers]
        parts: list[nn.Module] = []
        for before, after in pairwise(widths):
            parts += [nn.Linear(before, after, bias=False), nn.ReLU(), nn.BatchNorm1d(after)]
        self.layers = nn.Sequential(*parts, nn.Linear(widths[-1], n_out))
        self.y_range = y_range

    def forward(self, cats: Tensor, conts: Tensor) -> Tensor:
        parts = [embed(cats[:, k]) for k, embed in enumerate(self.embeds)]
        out = self.layers(torch.cat([*parts, self.bn_cont(conts)], dim=1))
        if self.y_range is None:
            return out
        low, high = self.y_range
        return torch.sigmoid(out) * (high - low) + low
