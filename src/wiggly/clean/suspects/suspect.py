"""A suspect and the ranked list of them.

In: what was found about items. Out: `Suspects`: printed as a table, drawn as pictures, written as a pandas
table, turned into edits. Read next: `suggest.py`, which makes it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from wiggly.data.edits.edit import Edit, Kind, made_edit
from wiggly.data.edits.journal import user_name
from wiggly.errors import ArgumentError

if TYPE_CHECKING:
    from wiggly.clean.suspects.disputes import Disputes
    from wiggly.clean.suspects.pool import Pool
    from wiggly.data.edits.edit import ItemRef

__all__ = ["KINDS", "Suspect", "Suspects"]

#: What may be wrong with an item, and how it is said.
KINDS = {
    "unreadable": "cannot be read",
    "conflict": "copies with different labels",
    "leak": "a copy on the other side of the split",
    "label": "label disputed out of fold",
    "loss": "highest loss",
    "blank": "shows nothing",
    "dark": "dark",
    "blurred": "blurred",
    "tiny": "hardly any pixels",
    "odd-shaped": "odd shape",
    "outlier": "like no other item",
}
SHOWN = 20  # rows that `print` shows
WIDEST_NAME, WIDEST_LABEL = 40, 22


@dataclass(frozen=True)
class Suspect:
    """An item to look at, and why.

    Attributes:
        item: Its path below its folder, or its row.
        kind: One of `KINDS`.
        score: In [0, 1]; the surer that something is wrong, the higher.
        reason: In words.
        evidence: Numbers and names behind it, in JSON types.
        given: Its label in the data; None where that is no label.
        predicted: What it is likelier to be; None where nobody says.
        split: "train" or "valid".
        part: Of several labels the one that is disputed.
        position: In the data set of its side.
        others: Split and position of its copies.
    """

    item: str
    kind: str
    score: float
    reason: str
    evidence: Mapping[str, Any] = field(default_factory=lambda: dict[str, Any]())
    given: Any = None
    predicted: Any = None
    split: str = "train"
    part: str = ""
    position: int = 0
    others: tuple[tuple[str, int], ...] = ()
    _ref: Callable[[], ItemRef] | None = field(default=None, repr=False, compare=False)

    @property
    def ref(self) -> ItemRef:
        """What a journal of edits calls the item: `journal.add("delete", suspect.ref)`.

        Raises:
            DataError: It cannot be read.
        """
        assert self._ref is not None
        return self._ref()

    @property
    def id(self) -> str:
        """The item by its content; "" for one that cannot be read."""
        from wiggly.errors import DataError

        try:
            return self.ref.id
        except DataError:
            return ""


class Suspects(Sequence[Suspect]):
    """Items to look at, surest first; an item may be there for several reasons.

    Args:
        suspects: Ranked.
        n_items: How many items were looked at.
        disputes: The verdict on every label; None where labels were not judged.
        pool: The items, with their features.

    Example:
        >>> found = Suspects([Suspect("a.jpg", "dark", 0.4, "darker than all others")], n_items=10)
        >>> print(found)
        1 suspect among 10 items: 1 dark
        score  kind  item   split  given  likelier  reason
         0.40  dark  a.jpg  train                   darker than all others
    """

    def __init__(
        self,
        suspects: Sequence[Suspect],
        n_items: int = 0,
        disputes: Disputes | None = None,
        pool: Pool | None = None,
    ) -> None:
        self._suspects = list(suspects)
        self.n_items, self.disputes, self.pool = n_items, disputes, pool

    def __len__(self) -> int:
        return len(self._suspects)

    @overload
    def __getitem__(self, index: int) -> Suspect: ...
    @overload
    def __getitem__(self, index: slice) -> Suspects: ...
    def __getitem__(self, index: int | slice) -> Suspect | Suspects:
        found = self._suspects[index]
        return self._with(found) if isinstance(found, list) else found

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self._suspects)

    def _with(self, suspects: Sequence[Suspect]) -> Suspects:
        return Suspects(suspects, self.n_items, self.disputes, self.pool)

    @property
    def counts(self) -> dict[str, int]:
        """Kind to number of suspects, most first."""
        return dict(Counter(suspect.kind for suspect in self).most_common())

    def of(self, *kinds: str, split: str | None = None, given: Any = None) -> Suspects:
        """Some of them, in the same order.

        Args:
            kinds: Any of `KINDS`; none for all.
            split: "train" or "valid".
            given: A label.

        Raises:
            ArgumentError: A kind is unknown.
        """
        check_kinds(kinds)
        return self._with(
            [
                s
                for s in self
                if (not kinds or s.kind in kinds)
                and split in (None, s.split)
                and (given is None or s.given == given)
            ]
        )

    def edits(self, kind: Kind | None = None, author: str | None = None) -> list[Edit]:
        """Decisions for `journal.extend`: each item once, with the reason it is suspected for.

        Args:
            kind: "delete", "relabel" (to what is predicted; suspects without that are left out), "keep" or
                "unsure"; None relabels where something is predicted and marks the rest as unsure.
            author: Who decides; None for the user.
        """
        made: dict[tuple[str, int], Edit] = {}
        for suspect in self:
            chosen = kind or ("unsure" if suspect.predicted is None else "relabel")
            done = (suspect.split, suspect.position) in made
            if done or not suspect.id or (chosen == "relabel" and suspect.predicted is None):
                continue
            new = suspect.predicted if chosen == "relabel" else None
            made[suspect.split, suspect.position] = made_edit(
                chosen,
                suspect.ref,
                new,
                reason=suspect.reason,
                author=user_name() if author is None else author,
            )
        return list(made.values())

    def to_pandas(self, ids: bool = False) -> Any:
        """A row for each suspect; the evidence in columns of its own.

        Args:
            ids: Also the items' ids by content, for which files are hashed.
        """
        import pandas as pd

        names = ("item", "kind", "score", "reason", "given", "predicted", "split", "part", "position")
        rows: list[dict[str, Any]] = []
        for suspect in self:
            row = {name: getattr(suspect, name) for name in names} | ({"id": suspect.id} if ids else {})
            rows.append(row | {f"evidence.{name}": value for name, value in suspect.evidence.items()})
        return pd.DataFrame(rows, columns=None if rows else [*names])

    def table(self, max_n: int = SHOWN) -> str:
        """A line of counts, and the first ones in a table.

        Args:
            max_n: At most this many.
        """
        told = ", ".join(f"{n:,} {kind}" for kind, n in self.counts.items()) or "nothing found"
        noun = "suspect" if len(self) == 1 else "suspects"
        head = f"{len(self):,} {noun} among {self.n_items:,} items: {told}"
        if not len(self):
            return head
        header = ["score", "kind", "item", "split", "given", "likelier", "reason"]
        lines = _aligned([header, *(_cells(suspect) for suspect in self[:max_n])])
        left = len(self) - max_n
        return "\n".join([head, *lines, *([f"... and {left:,} more"] if left > 0 else [])])

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:
        return str(self)

    def show(self, max_n: int = 12, ncols: int | None = None) -> None:
        """Draws the first ones, copies beside each other; rows of a table are printed.

        Args:
            max_n: At most this many.
            ncols: Columns; None follows from `max_n`.
        """
        from wiggly.clean.suspects.showing import show

        show(self, self.pool, max_n, ncols)


def check_kinds(kinds: Sequence[str]) -> None:
    """Refuses a kind that is none.

    Raises:
        ArgumentError: One is unknown.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown:
        raise ArgumentError(
            "a kind of suspect must be a known one",
            f"got {unknown[0]!r}",
            f"Pass some of {', '.join(KINDS)}.",
        )


def _cells(suspect: Suspect) -> list[str]:
    name = suspect.item
    if len(name) > WIDEST_NAME:
        name = f"…{name[1 - WIDEST_NAME :]}"
    labels = [_label(suspect.given), _label(suspect.predicted)]
    return [f"{suspect.score:5.2f}", suspect.kind, name, suspect.split, *labels, suspect.reason]


def _label(value: Any) -> str:
    """A label in a cell."""
    if value is None:
        return ""
    if isinstance(value, (list, tuple, set, frozenset)):
        text = ", ".join(map(str, value))  # pyright: ignore[reportUnknownArgumentType]
    else:
        text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= WIDEST_LABEL else f"{text[: WIDEST_LABEL - 1]}…"


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
