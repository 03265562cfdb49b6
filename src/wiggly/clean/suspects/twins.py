"""Copies that contradict: the same picture with two labels, or on both sides of the split.

In: looks at all pictures, and features. Out: groups of copies, and suspects. Read next: `neighbours.py`.

Copies are found in two ways: sketches of the pictures (a perceptual hash) find what was resized,
recompressed, cropped or mirrored; and what a network finds nearly equal is laid on each other and compared in
detail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from wiggly.clean.suspects.judging import suspect_of
from wiggly.clean.suspects.neighbours import Neighbours
from wiggly.clean.suspects.pool import Pool
from wiggly.clean.suspects.quality import Looks
from wiggly.clean.suspects.suspect import Suspect
from wiggly.data.loader import default_workers
from wiggly.errors import WigglyError
from wiggly.vision.check.compare import TINY, same_picture
from wiggly.vision.check.copies import find_copies

__all__ = ["Twins", "find_twins", "twin_suspects"]

ALIKE = 0.92  # cosine from which two pictures are compared in detail
MOST_COMPARED = 1500  # of them; 5 ms each
SCORES = {"equal": 0.99, "near": 0.96, "mirrored": 0.94}
LEAK = 0.06  # a leak is less than a wrong label
SAID = {"equal": "the same file", "near": "the same picture", "mirrored": "the same picture, mirrored"}


@dataclass(frozen=True)
class Twins:
    """Groups of copies.

    Attributes:
        groups: Kind ("equal", "near", "mirrored") and items, in ascending order.
    """

    groups: list[tuple[str, list[int]]]

    def rows(self, pool: Pool) -> list[list[int]]:
        """The groups as rows of the pass, without what could not be read; each item in one group only."""
        leader: dict[int, int] = {}

        def head(item: int) -> int:
            while leader.get(item, item) != item:
                item = leader[item]
            return item

        for _, members in self.groups:
            for item in members:
                leader[head(item)] = head(members[0])
        joined: dict[int, list[int]] = {}
        for item in sorted({item for _, members in self.groups for item in members} & set(pool.seen)):
            joined.setdefault(head(item), []).append(pool.row_of[item])
        return [rows for rows in joined.values() if len(rows) > 1]


def find_twins(
    pool: Pool, looks: Sequence[Looks], near: Neighbours | None, read: Callable[[int], Any]
) -> Twins:
    """Groups of copies.

    Args:
        pool: The items.
        looks: At each of them.
        near: Neighbours by features; None without.
        read: Item to pixels.
    """
    probes = [look.probe for look in looks]
    found = find_copies(probes, read, default_workers())
    groups = [("equal", group) for group in found.exact]
    groups += [("near", group) for group in found.near]
    groups += [("mirrored", group) for group in found.mirrored]
    together = {(a, b) for _, group in groups for a in group for b in group}
    if near is not None:
        for a, b in _alike(pool, near)[:MOST_COMPARED]:
            if (a, b) in together or min(_side(looks[a]), _side(looks[b])) < TINY:
                continue
            kind = _compared(read, a, b)
            if kind:
                groups.append((kind, sorted((a, b))))
                together |= {(a, b), (b, a)}
    return Twins(groups)


def _side(look: Looks) -> int:
    return min(look.probe.height, look.probe.width)


def _alike(pool: Pool, near: Neighbours) -> list[tuple[int, int]]:
    """Pairs of items that a network finds nearly equal, nearest first."""
    pairs: dict[tuple[int, int], float] = {}
    for k in range(min(3, near.positions.shape[1])):
        for row in (near.likeness[:, k] > ALIKE).nonzero().flatten().tolist():
            a, b = pool.seen[row], pool.seen[int(near.positions[row, k])]
            pairs[min(a, b), max(a, b)] = float(near.likeness[row, k])
    return sorted(pairs, key=lambda pair: -pairs[pair])


def _compared(read: Callable[[int], Any], a: int, b: int) -> str:
    """ "near", "mirrored", or "" for two that are no copies."""
    try:
        first, second = read(a), read(b)
        if same_picture(first, second):
            return "near"
        return "mirrored" if same_picture(first, second, mirrored=True) else ""
    except (WigglyError, OSError, ValueError):
        return ""


def twin_suspects(pool: Pool, twins: Twins, scores: dict[int, float]) -> Iterator[Suspect]:
    """Copies with different labels, and copies on both sides.

    Args:
        pool: The items.
        twins: The groups.
        scores: Item to how much its label is disputed: of two labels the one that is likelier wrong comes
            first.
    """
    said: set[tuple[str, int]] = set()
    for kind, group in sorted(twins.groups, key=lambda pair: -SCORES[pair[0]]):
        labels = {item: _key(pool.given(item)) for item in group}
        if len(set(labels.values()) - {None}) > 1:
            item = max(group, key=lambda k: scores.get(k, 0.0))
            rest = [k for k in group if labels[k] != labels[item]]
            if ("conflict", item) not in said:
                said.add(("conflict", item))
                yield _conflict(pool, kind, item, rest)
        valid = [k for k in group if pool.splits[k] == "valid"]
        for item in group if valid else ():
            if pool.splits[item] == "train" and ("leak", item) not in said:
                said.add(("leak", item))
                yield _leak(pool, kind, item, valid)


def _key(label: Any) -> Any:
    """A label that can be compared; None for what is none."""
    if label is None or isinstance(label, (str, int, bool)):
        return label
    if isinstance(label, (list, tuple, set, frozenset)):
        return tuple(sorted(map(str, label)))  # pyright: ignore[reportUnknownArgumentType]
    return str(label)


def _conflict(pool: Pool, kind: str, item: int, rest: Sequence[int]) -> Suspect:
    others = [pool.name(k) for k in rest]
    label = pool.given(rest[0])
    reason = f"{SAID[kind]} as {others[0]}, which is labelled {_shown(label)}"
    evidence = {"copy": kind, "of": others, "labels": [_shown(pool.given(k)) for k in rest]}
    predicted = label if isinstance(label, (str, int, list)) else None
    return suspect_of(
        pool, item, "conflict", SCORES[kind], reason, evidence, predicted=predicted, others=list(rest)
    )


def _leak(pool: Pool, kind: str, item: int, valid: Sequence[int]) -> Suspect:
    others = [pool.name(k) for k in valid]
    reason = f"{SAID[kind]} as {others[0]} of the validation items: the score is too good by it"
    evidence = {"copy": kind, "of": others}
    return suspect_of(pool, item, "leak", SCORES[kind] - LEAK, reason, evidence, others=list(valid))


def _shown(label: Any) -> str:
    several = isinstance(label, (list, tuple, set, frozenset))
    return ", ".join(map(str, label)) if several else str(label)  # pyright: ignore[reportUnknownArgumentType]
