"""What a trained model of ratings knows without new data: biases, factors, neighbours, recommendations.

In: labels of users and items. Out: labels with numbers, best first. Nothing here needs code that trains, so a
bundle answers as well as a learner does. Read next: `models.py`, which inherit this.
"""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, Self

import torch
from torch import Tensor, nn

from wiggly.data.vocab import MISSING, Vocab, is_missing, plain_label, plain_value
from wiggly.errors import ArgumentError
from wiggly.tabular.collab.parts import Embedding, sigmoid_range

__all__ = ["Ranking"]

PAIRS_AT_ONCE = 1 << 16  # rated in one go; more would only take more memory


class Ranking(nn.Module, ABC):
    """A model of ratings whose users and items have names.

    Whoever has no training rating (code 0, and categories that no training row has) is given the mean of
    those who have, whenever the model goes from training to evaluation: of all constants the mean has the
    least expected squared distance to a newcomer of whom nothing is known.

    Args:
        n_users: Users, the unknown one at place 0 included.
        n_items: Items, the unknown one included.
        y_range: Least and largest output. A sigmoid reaches neither, so it should be a little wider than the
            ratings. None leaves the output free.

    Attributes:
        users: The users by code; empty until `set_labels`.
        items: The items by code.
        u_count: Training ratings of each user, int64 `(n_users,)`; before `count` 1 for each but the unknown.
        i_count: Training ratings of each item.
    """

    u_weight: Embedding
    i_weight: Embedding
    u_count: Tensor
    i_count: Tensor

    def __init__(self, n_users: int, n_items: int, y_range: tuple[float, float] | None = None) -> None:
        super().__init__()
        if y_range is not None and not y_range[0] < y_range[1]:
            raise ArgumentError(
                "`y_range` must be the least and the largest rating",
                f"it is {y_range}",
                "Pass e.g. y_range=(0, 5.5).",
            )
        self.y_range = None if y_range is None else (float(y_range[0]), float(y_range[1]))
        self.users, self.items = Vocab([]), Vocab([])
        for name, n in (("u_count", n_users), ("i_count", n_items)):
            self.register_buffer(name, (torch.arange(n) > 0).long())

    @property
    @abstractmethod
    def config(self) -> dict[str, Any]:
        """JSON from which `build_recommender` makes the same model, without its weights and labels."""

    @abstractmethod
    def start_at(self, mean: float) -> None:
        """Has a new model predict about this number for everybody, so that it need not be learnt.

        Args:
            mean: Of the training ratings.
        """

    def bounded(self, found: Tensor) -> Tensor:
        """Any numbers within `y_range`."""
        return found if self.y_range is None else sigmoid_range(found, *self.y_range)

    def unbounded(self, rating: float) -> float:
        """What `bounded` makes this rating of."""
        if self.y_range is None:
            return rating
        low, high = self.y_range
        share = torch.tensor((rating - low) / (high - low), dtype=torch.float64)
        return torch.logit(share, eps=1e-3).item()

    @property
    def tables(self) -> tuple[list[nn.Embedding], list[nn.Embedding]]:
        """All embeddings of the users, and all of the items."""
        return [self.u_weight], [self.i_weight]

    def set_labels(self, users: Sequence[Any], items: Sequence[Any]) -> Self:
        """Says who is who.

        Args:
            users: The users by code, `#na#` first, as in `dls.classes`.
            items: The items by code.

        Returns:
            The model.

        Raises:
            ArgumentError: There are more or fewer than the model has.
        """
        for what, labels, n in (("users", users, len(self.u_count)), ("items", items, len(self.i_count))):
            if len(labels) != n:
                raise ArgumentError(
                    f"there must be a label for each of the {n} {what} of the model",
                    f"there are {len(labels)}",
                    "Pass the vocabulary of the loaders that the model was made for.",
                )
        self.users, self.items = Vocab(users), Vocab(items)
        return self

    def count(self, pairs: Tensor) -> None:
        """Counts who has how many training ratings.

        Args:
            pairs: Codes of user and item per row, `(n, 2)`.
        """
        for column, counts in ((0, self.u_count), (1, self.i_count)):
            counts.copy_(torch.bincount(pairs[:, column], minlength=len(counts)))

    def train(self, mode: bool = True) -> Self:
        """Switches to training or evaluation; see the class for what the latter does to the unknown."""
        if self.training and not mode:
            self.fill_unknown()
        return super().train(mode)

    @torch.no_grad()
    def fill_unknown(self) -> None:
        """Gives those without a training rating the mean of those who have one."""
        for tables, counts in zip(self.tables, (self.u_count, self.i_count), strict=True):
            known = counts > 0
            if known.any():
                for table in tables:
                    table.weight[~known] = table.weight[known].mean(0)

    # Looking up

    def codes(self, labels: Any, is_item: bool = True) -> Tensor:
        """Codes of labels.

        Args:
            labels: One label or several.
            is_item: Whether they are items or users.

        Raises:
            ArgumentError: One was not in training; the message has the nearest ones.
        """
        found = [self._code(label, is_item) for label in _listed(labels)]
        return torch.tensor(found, dtype=torch.long, device=self.i_count.device)

    def _code(self, label: Any, is_item: bool, unknown: bool = False) -> int:
        """The code of a label; with `unknown` that of the unknown where it is not known."""
        what, known = ("item", self.items) if is_item else ("user", self.users)
        if not known:
            raise ArgumentError(
                "a model must know the names of its users and items", "it knows none", "Call `set_labels`."
            )
        label = plain_label(plain_value(label))
        code = 0 if is_missing(label) else known.o2i.get(label, 0)
        if code or unknown or label == MISSING:
            return code
        by_text, text = {str(value): value for value in known[1:]}, str(label)
        near = [found for found in by_text if text.lower() in found.lower()][:3] if text else []
        near = near or difflib.get_close_matches(text, by_text, 3, 0.4)
        raise ArgumentError(
            f"{'an' if is_item else 'a'} {what} must be one of the {len(known) - 1:,} of training",
            f"there is no {label!r}",
            f"Nearest: {', '.join(repr(by_text[found]) for found in near)}." if near else "Pass one of them.",
        )

    def weight(self, arr: Any, is_item: bool = True) -> Tensor:
        """The factors of items or users, `(n, n_factors)`, or `(n_factors,)` for a single one.

        Args:
            arr: One label or several.
            is_item: Whether they are items or users.

        Raises:
            ArgumentError: One was not in training.
        """
        return self._looked_up(self.i_weight if is_item else self.u_weight, arr, is_item)

    @torch.no_grad()
    def _looked_up(self, table: nn.Embedding, arr: Any, is_item: bool) -> Tensor:
        with self._at_rest():
            found = table.weight[self.codes(arr, is_item)].cpu()
        return found if _is_several(arr) else found[0]

    @contextmanager
    def _at_rest(self) -> Generator[None]:
        """The model in evaluation mode, then as it was."""
        before = self.training
        self.eval()
        try:
            yield
        finally:
            self.train(before)

    # Ranking

    @torch.no_grad()
    def nearest(
        self, label: Any, n: int = 10, is_item: bool = True, least: int = 1
    ) -> list[tuple[Any, float]]:
        """Items (or users) whose factors point the same way: liked by the same people.

        Args:
            label: An item, or several: then what is near to the mean of their directions.
            n: At most so many.
            is_item: Whether it is about items or users.
            least: Those with fewer training ratings are left out; with few ratings a direction is chance.

        Returns:
            Labels with the cosine of the angle between, -1 to 1, nearest first; without `label` itself.

        Raises:
            ArgumentError: The label was not in training.
        """
        chosen = self.codes(label, is_item)
        with self._at_rest():
            table = (self.i_weight if is_item else self.u_weight).weight
            directions = nn.functional.normalize(table, dim=1)
            wanted = nn.functional.normalize(directions[chosen].mean(0), dim=0)
            return self._best(directions @ wanted, n, is_item, least, chosen)

    @torch.no_grad()
    def recommend(
        self, user: Any, n: int = 10, leave_out: Iterable[Any] = (), least: int = 1
    ) -> list[tuple[Any, float]]:
        """What a user would rate highest.

        Args:
            user: A user; one who was not in training gets what the mean of all would like.
            n: At most so many.
            leave_out: Items not to recommend, such as those the user has rated.
            least: Items with fewer training ratings are left out.

        Returns:
            Items with the predicted rating, highest first.

        Raises:
            ArgumentError: An item of `leave_out` was not in training.
        """
        code = self._code(user, is_item=False, unknown=True)
        items = torch.arange(len(self.i_count), device=self.i_count.device)
        with self._at_rest():
            parts = items.split(PAIRS_AT_ONCE)
            rated = [self(torch.stack([torch.full_like(part, code), part], 1)) for part in parts]
        return self._best(torch.cat(rated), n, True, least, self.codes(list(leave_out)))

    def _best(
        self, scores: Tensor, n: int, is_item: bool, least: int, leave_out: Tensor
    ) -> list[tuple[Any, float]]:
        if n < 1 or least < 0:
            raise ArgumentError(
                "`n` must be at least 1 and `least` at least 0", f"they are {n} and {least}", "Mend them."
            )
        counts = self.i_count if is_item else self.u_count
        there = counts >= least
        there[0] = False
        there[leave_out] = False
        places = there.nonzero().squeeze(1)
        order = scores[places].argsort(descending=True, stable=True)[:n]
        labels = self.items if is_item else self.users
        return [(labels[int(place)], float(scores[place])) for place in places[order]]


def _is_several(labels: Any) -> bool:
    """Whether it is not a single label, which a number of numpy or torch may be."""
    if isinstance(labels, (str, bytes)) or getattr(labels, "ndim", 1) == 0:
        return False
    return isinstance(labels, Iterable)


def _listed(labels: Any) -> list[Any]:
    return list(labels) if _is_several(labels) else [labels]
