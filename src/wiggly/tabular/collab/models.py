"""Models of who would rate what how: a dot product of factors with biases, or layers over both embeddings.

In: int64 `(n, 2)`, the codes of a user and an item per row; code 0 is whoever training did not know. Out: one
number per row. Read next: `learner.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.tabular.collab.parts import Embedding
from wiggly.tabular.collab.ranking import Ranking

__all__ = ["EmbeddingDotBias", "EmbeddingNN", "build_recommender"]

Bounds = tuple[float, float]


class EmbeddingDotBias(Ranking):
    """The dot product of a user's and an item's factors, plus a bias of each (Koren, Bell & Volinsky, "Matrix
    Factorization Techniques for Recommender Systems", IEEE Computer 42(8), 2009; the mean of all ratings is
    part of the users' biases).

    Args:
        n_factors: Numbers per user and per item.
        n_users: Users, the unknown one included.
        n_items: Items, the unknown one included.
        y_range: Least and largest output; see `Ranking`.

    Attributes:
        u_weight: Factors of the users, an embedding `(n_users, n_factors)`.
        i_weight: Factors of the items.
        u_bias: Biases of the users, an embedding `(n_users, 1)`.
        i_bias: Biases of the items.

    Example:
        >>> model = EmbeddingDotBias(5, n_users=3, n_items=4, y_range=(0, 5.5))
        >>> model(torch.tensor([[1, 2], [0, 3]])).shape
        torch.Size([2])
    """

    def __init__(self, n_factors: int, n_users: int, n_items: int, y_range: Bounds | None = None) -> None:
        super().__init__(n_users, n_items, y_range)
        self.u_weight, self.i_weight = Embedding(n_users, n_factors), Embedding(n_items, n_factors)
        self.u_bias, self.i_bias = Embedding(n_users, 1), Embedding(n_items, 1)

    @classmethod
    def from_classes(
        cls,
        n_factors: int,
        classes: Mapping[str, Sequence[Any]],
        user: str | None = None,
        item: str | None = None,
        y_range: Bounds | None = None,
    ) -> EmbeddingDotBias:
        """A model of the users and items of `dls.classes`.

        Args:
            n_factors: Numbers per user and per item.
            classes: Vocabulary by name of column.
            user: Column of the users; None takes the first.
            item: Column of the items; None takes the second.
            y_range: As for the class.
        """
        first, second = list(classes)[:2]
        users, items = classes[user or first], classes[item or second]
        made = cls(n_factors, len(users), len(items), y_range)
        made.set_labels(users, items)
        return made

    def forward(self, x: Tensor) -> Tensor:
        users, items = x[:, 0], x[:, 1]
        found = (self.u_weight(users) * self.i_weight(items)).sum(1)
        found = found + self.u_bias(users).squeeze(1) + self.i_bias(items).squeeze(1)
        return self.bounded(found)

    def bias(self, arr: Any, is_item: bool = True) -> Tensor:
        """How much better or worse than others items are rated, or users rate, whatever the factors say.

        Args:
            arr: One label or several.
            is_item: Whether they are items or users.

        Returns:
            `(n,)`, or a single number for a single label.

        Raises:
            ArgumentError: One was not in training.
        """
        return self._looked_up(self.i_bias if is_item else self.u_bias, arr, is_item).squeeze(-1)

    def no_weight_decay(self) -> set[str]:
        """Biases do not decay: decay is there to keep factors small that few ratings support."""
        return {"u_bias.weight", "i_bias.weight"}

    @torch.no_grad()
    def start_at(self, mean: float) -> None:
        self.u_bias.weight += self.unbounded(mean)

    @property
    def tables(self) -> tuple[list[nn.Embedding], list[nn.Embedding]]:
        return [self.u_weight, self.u_bias], [self.i_weight, self.i_bias]

    @property
    def config(self) -> dict[str, Any]:
        return {
            "arch": "dot",
            "n_factors": self.u_weight.embedding_dim,
            "n_users": self.u_weight.num_embeddings,
            "n_items": self.i_weight.num_embeddings,
            "y_range": None if self.y_range is None else list(self.y_range),
        }


class EmbeddingNN(Ranking):
    """The embeddings of user and item side by side, then linear layers with ReLU and batch norm (He et al.,
    "Neural Collaborative Filtering", arXiv:1708.05031, section 3.3).

    Args:
        emb_szs: Number of users and the width of their embedding; the same of the items.
        layers: Widths of the hidden layers.
        y_range: Least and largest output; see `Ranking`.
        ps: Dropout after each hidden layer; one share, or one per layer.
        embed_p: Dropout after the embeddings.

    Attributes:
        u_weight: Embedding of the users.
        i_weight: Embedding of the items.
        layers: What follows.

    Example:
        >>> EmbeddingNN([(3, 4), (5, 6)], [8]).eval()(torch.tensor([[1, 2]])).shape
        torch.Size([1])
    """

    def __init__(
        self,
        emb_szs: Sequence[Sequence[int]],
        layers: Sequence[int],
        y_range: Bounds | None = None,
        ps: float | Sequence[float] = 0.0,
        embed_p: float = 0.0,
    ) -> None:
        (n_users, user_width), (n_items, item_width) = emb_szs
        super().__init__(n_users, n_items, y_range)
        self.widths, self.embed_p = list(layers), float(embed_p)
        self.ps = _dropouts(ps, len(self.widths))
        self.u_weight, self.i_weight = Embedding(n_users, user_width), Embedding(n_items, item_width)
        parts: list[nn.Module] = [nn.Dropout(embed_p)] if embed_p else []
        widths = [user_width + item_width, *self.widths]
        for (before, after), p in zip(pairwise(widths), self.ps, strict=True):
            parts += [nn.Linear(before, after, bias=False), nn.ReLU(), nn.BatchNorm1d(after)]
            parts += [nn.Dropout(p)] if p else []
        self.last = nn.Linear(widths[-1], 1)
        self.layers = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        found = torch.cat([self.u_weight(x[:, 0]), self.i_weight(x[:, 1])], dim=1)
        found = self.last(self.layers(found)).squeeze(1)
        return self.bounded(found)

    @torch.no_grad()
    def start_at(self, mean: float) -> None:
        self.last.bias.fill_(self.unbounded(mean))

    @property
    def config(self) -> dict[str, Any]:
        tables = (self.u_weight, self.i_weight)
        return {
            "arch": "layers",
            "emb_szs": [[table.num_embeddings, table.embedding_dim] for table in tables],
            "layers": self.widths,
            "y_range": None if self.y_range is None else list(self.y_range),
            "ps": self.ps,
            "embed_p": self.embed_p,
        }


def _dropouts(ps: float | Sequence[float], n: int) -> list[float]:
    shares = [float(p) for p in ps] if isinstance(ps, Sequence) else [float(ps)] * n
    if len(shares) != n:
        raise ArgumentError(
            f"`ps` must be one share for each of the {n} layers, or one for all",
            f"there are {len(shares)}",
            "Pass e.g. ps=0.1.",
        )
    return shares


def build_recommender(config: Mapping[str, Any]) -> EmbeddingDotBias | EmbeddingNN:
    """A model again from its description, with random weights and without labels, ready for
    `load_state_dict` and `set_labels`.

    Args:
        config: What `model.config` is.

    Raises:
        ModelError: It describes no model of this version of wiggly.

    Example:
        >>> model = EmbeddingDotBias(5, 3, 4, (0, 5.5))
        >>> build_recommender(model.config).load_state_dict(model.state_dict())
        <All keys matched successfully>
    """
    kinds = {"dot": EmbeddingDotBias, "layers": EmbeddingNN}
    try:
        arguments = dict(config)
        return kinds[arguments.pop("arch")](**arguments)
    except (KeyError, TypeError, ValueError, RuntimeError, ArgumentError) as error:
        raise ModelError(
            "a model's description must be one that this version of wiggly writes",
            f"it fails with {type(error).__name__}: {error}",
            "Export the model again.",
        ) from error
