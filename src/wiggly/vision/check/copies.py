"""Which pictures are copies of which: byte for byte, or to the eye.

In: probes. Out: groups of positions. Every member of a group was compared with the group's first picture, so
no chain of small differences joins what is different. Read next: `leaks.py`, which says what is wrong with
them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.errors import WigglyError
from wiggly.vision.check.compare import FIRST_LOOK, TINY, closeness, may_be_copies, same_picture
from wiggly.vision.check.probe import Probe
from wiggly.vision.check.similar import Candidate, candidates

__all__ = ["Copies", "find_copies"]

MOST_COMPARED = 6_000  # close looks, 5 ms each: a quarter of a minute on two cores for a set of look-alikes
# First looks that succeed, for each tiny picture: 0.05 in CIFAR-10, which has real copies; 0.4 to 10 in sets
# of digits and clothes, where two pictures agree because all do.
LOOK_ALIKE = 0.15
NEARLY_EQUAL = 0.95  # correlation of the 32×32 versions of tiny pictures that are equal in nearly every pixel
KEPT_PICTURES = 64  # decoded pictures kept while their neighbours are compared: 320×320 each
PAIRS = 4096  # first looks at a time
ROUND = 256  # pairs compared between two looks at who is in which group already


@dataclass(frozen=True, slots=True)
class Copies:
    """Groups of positions, each in ascending order.

    Attributes:
        exact: Equal bytes.
        near: The same picture in other bytes; the first picture of each exact group stands for it.
        mirrored: Mirror images.
        left_out: Pairs that may be copies and were not compared, because there were too many.
    """

    exact: list[list[int]] = field(default_factory=list)
    near: list[list[int]] = field(default_factory=list)
    mirrored: list[list[int]] = field(default_factory=list)
    left_out: int = 0


def find_copies(
    probes: Sequence[Probe], read: Callable[[int], Any], threads: int = 2, near: bool = True
) -> Copies:
    """Groups of copies.

    Args:
        probes: One per picture.
        read: Position to pixels `(h, w, c)` of 320 pixels or more; asked again for the few that look alike.
        threads: How many compare.
        near: Also look for copies in other bytes.
    """
    by_digest: dict[bytes, list[int]] = {}
    for position, found in enumerate(probes):
        if found.digest:
            by_digest.setdefault(found.digest, []).append(position)
    exact = [group for group in by_digest.values() if len(group) > 1]
    if not near:
        return Copies(exact)
    first = [group[0] for group in by_digest.values() if probes[group[0]].sketch is not None]
    sketches = [sketch for p in first if (sketch := probes[p].sketch) is not None]
    pairs = [
        Candidate(first[pair.first], first[pair.second], pair.likeness, pair.mirrored)
        for pair in candidates(sketches)
    ]
    compare = _Comparison(probes, read, threads)
    upright = compare.groups([pair for pair in pairs if not pair.mirrored])
    mirrored = compare.groups([pair for pair in pairs if pair.mirrored], mirrored=True)
    return Copies(exact, upright, mirrored, compare.left_out)


class _Comparison:
    """Compares pairs in threads and collects the groups."""

    def __init__(self, probes: Sequence[Probe], read: Callable[[int], Any], threads: int) -> None:
        self.probes, self.threads = probes, threads
        self.read = lru_cache(KEPT_PICTURES)(read)
        self.left = MOST_COMPARED
        self.left_out, self.look_alikes = 0, False

    def groups(self, pairs: Sequence[Candidate], mirrored: bool = False) -> list[list[int]]:
        """Groups around a first picture each."""
        groups = _Groups(lambda first, second: self._same(first, second, False) != mirrored)
        with ThreadPoolExecutor(self.threads) as pool:
            likely = self._first_look(pairs, pool, mirrored)
            for start in range(0, len(likely), ROUND):
                wanted = [pair for pair in likely[start : start + ROUND] if not groups.together(pair)]
                taken = wanted[: self.left]
                self.left, self.left_out = self.left - len(taken), self.left_out + len(wanted) - len(taken)
                for pair, same in zip(taken, pool.map(self._closely, taken), strict=True):
                    if same:
                        groups.join(pair.first, pair.second)
        return sorted(sorted(group) for group in groups.members.values() if len(group) > 1)

    def _first_look(
        self, pairs: Sequence[Candidate], pool: ThreadPoolExecutor, mirrored: bool
    ) -> list[Candidate]:
        """The pairs whose 32×32 versions agree."""
        close = self._closeness(pairs)
        tiny = [self._is_tiny(pair.first) and self._is_tiny(pair.second) for pair in pairs]
        if mirrored:  # few pixels of a thing that is nearly symmetric agree with their mirror image
            close, pairs = (
                close[~np.array(tiny, dtype=bool)],
                [p for p, small in zip(pairs, tiny, strict=True) if not small],
            )
            tiny = [False] * len(pairs)
        alike = int((close[np.array(tiny, dtype=bool)] > FIRST_LOOK).sum())
        n_tiny = sum(self._is_tiny(position) for position in range(len(self.probes)))
        self.look_alikes = self.look_alikes or alike > LOOK_ALIKE * n_tiny > 0

        def look(pair: Candidate, value: float, small: bool) -> bool:
            if small and self.look_alikes:
                return value > NEARLY_EQUAL
            a, b = self.probes[pair.first].sketch, self.probes[pair.second].sketch
            assert a is not None
            assert b is not None
            return value > FIRST_LOOK or may_be_copies(a.thumb, b.thumb, pair.mirrored)

        answers = pool.map(look, pairs, close.tolist(), tiny)
        return [pair for pair, yes in zip(pairs, answers, strict=True) if yes]

    def _closeness(self, pairs: Sequence[Candidate]) -> npt.NDArray[np.float32]:
        """Of each pair how well the 32×32 versions agree as they are."""
        thumbs = {p: found.sketch.thumb for p, found in enumerate(self.probes) if found.sketch is not None}
        parts = [np.zeros(0, dtype=np.float32)]
        for start in range(0, len(pairs), PAIRS):
            part = pairs[start : start + PAIRS]
            others = [thumbs[p.second][:, ::-1] if p.mirrored else thumbs[p.second] for p in part]
            parts.append(closeness(np.stack([thumbs[p.first] for p in part]), np.stack(others)))
        return np.concatenate(parts)

    def _is_tiny(self, position: int) -> bool:
        return 0 < min(self.probes[position].height, self.probes[position].width) < TINY

    def _closely(self, pair: Candidate) -> bool:
        return self._same(pair.first, pair.second, pair.mirrored)

    def _same(self, first: int, second: int, mirrored: bool) -> bool:
        strict = self.look_alikes and self._is_tiny(first) and self._is_tiny(second)
        try:
            return same_picture(self.read(first), self.read(second), mirrored, strict)
        except (WigglyError, OSError, ValueError):  # changed or gone since it was probed
            return False


class _Groups:
    """Groups that grow pair by pair, each around a leader that all its members are copies of."""

    def __init__(self, same: Callable[[int, int], bool]) -> None:
        self.same = same
        self.members: dict[int, set[int]] = {}
        self.leader: dict[int, int] = {}

    def together(self, pair: Candidate) -> bool:
        """Whether both are in one group already."""
        head = self.leader.get(pair.first)
        return head is not None and head == self.leader.get(pair.second)

    def join(self, first: int, second: int) -> None:
        """Two copies come into one group, with all others that are copies of its leader."""
        a, b = self.leader.get(first, first), self.leader.get(second, second)
        if a == b:
            return
        group, other = self.members.setdefault(a, {a}), self.members.get(b, {b})
        self.leader[a] = a
        for new in sorted(other):
            if {a, new} == {first, second} or self.same(a, new):
                group.add(new)
                self.leader[new] = a
        kept = {new for new in other if self.leader.get(new, b) == b}
        if len(kept) > 1:
            self.members[b] = kept
        else:
            self.members.pop(b, None)
        if self.leader.get(second) != a:  # a copy of this member, yet not of the leader
            self.members.setdefault(first, {first}).add(second)
            self.leader.setdefault(second, first)
