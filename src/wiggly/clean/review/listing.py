"""Which items are shown, in which order, what is said of each, and how many there are.

In: a review. Out: positions, records in JSON types, counts. Read next: `protocol.py`.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from wiggly.clean.review.item import ReviewItem, parts_of
from wiggly.clean.suspects.suspect import KINDS
from wiggly.data.edits.state import ItemState

if TYPE_CHECKING:
    from wiggly.clean.review.review import Review

__all__ = ["ORDERS", "STATES", "Counts", "Filter", "counts_of", "listed", "record"]

STATES = ("open", "marked", "keep", "relabel", "delete", "unsure")
ORDERS = ("score", "loss", "name", "class")
NAMED = 20


@dataclass(frozen=True)
class Filter:
    """Which items are wanted; what is None or empty lets all through.

    Attributes:
        given: A label that they have in the data.
        split: "train" or "valid".
        kind: What is suspected of them.
        state: "open" for those without a decision, "marked" for the others, or a decision.
        text: Part of their path, in any case.
        suspects: Only those that are suspected of something.
        order: "score" surest first, "loss" highest first, "name", or "class".
        limit: At most this many.
    """

    given: Any = None
    split: str | None = None
    kind: str | None = None
    state: str | None = None
    text: str = ""
    suspects: bool = False
    order: str = "score"
    limit: int | None = None


@dataclass(frozen=True)
class Counts:
    """How many items there are.

    Attributes:
        before: Label to items in the data.
        after: The same after all decisions.
        items: In all.
        suspects: Suspected of something.
        done: Of those, with a decision.
        verdicts: Items by decision.
        damaged: Lines of the journal that are no rows.
        aside: Rows of the journal that apply to nothing here, with the reason.
    """

    before: dict[Any, int]
    after: dict[Any, int]
    items: int
    suspects: int
    done: int
    verdicts: dict[str, int]
    damaged: int
    aside: list[str]

    def to_dict(self) -> dict[str, Any]:
        """In JSON types."""
        labels = [*self.before, *(label for label in self.after if label not in self.before)]
        return {
            "classes": [
                {"label": label, "before": self.before.get(label, 0), "after": self.after.get(label, 0)}
                for label in labels
            ],
            "items": self.items,
            "suspects": self.suspects,
            "done": self.done,
            **{name: self.verdicts.get(name, 0) for name in ("keep", "relabel", "delete", "unsure")},
            "damaged": self.damaged,
            "aside": self.aside,
        }


def listed(review: Review, wanted: Filter) -> list[int]:
    """Positions of the items that a filter lets through, in its order."""
    states, part = review.states, wanted.text.casefold()

    def fits(position: int) -> bool:
        item, state = review.items[position], states.get(position)
        return (
            (wanted.given is None or wanted.given in parts_of(item.given))
            and wanted.split in (None, item.split)
            and (wanted.kind is None or any(finding.kind == wanted.kind for finding in item.findings))
            and (not wanted.suspects or bool(item.findings))
            and _in_state(state, wanted.state)
            and (not part or part in review.ids.name(position).casefold())
        )

    found = sorted(filter(fits, range(len(review))), key=_order(review, wanted.order))
    if wanted.limit is None:
        return found
    chosen: list[int] = []
    for position in found:  # those whose file has gone meanwhile are passed over
        if len(chosen) == wanted.limit:
            break
        if os.path.exists(review.items[position].file):
            chosen.append(position)
    return chosen


def _in_state(state: ItemState | None, wanted: str | None) -> bool:
    verdict = None if state is None else state.verdict
    if wanted in ("open", "marked"):
        return (verdict is None) == (wanted == "open")
    return wanted is None or verdict == wanted


def _order(review: Review, order: str) -> Callable[[int], Any]:
    """What items are sorted by; equal ones stay in the order of their paths."""

    def by_loss(item: ReviewItem) -> float:
        if item.loss is not None and item.loss == item.loss:
            return -item.loss
        unreadable = any(finding.kind == "unreadable" for finding in item.findings)
        return float("-inf") if unreadable else float("inf")

    def key(position: int) -> Any:
        item, name = review.items[position], review.ids.name(position)
        if order == "loss":
            return by_loss(item), name
        if order == "class":
            return str(item.given), -item.score, name
        return (name,) if order == "name" else (-item.score, name)

    return key


def record(review: Review, position: int, state: ItemState | None) -> dict[str, Any]:
    """An item as the page shows it, in JSON types."""
    item = review.items[position]
    return {
        "position": position,
        "name": review.ids.name(position),
        "given": item.given,
        "predicted": item.likelier,
        "split": item.split,
        "score": round(item.score, 4),
        "loss": item.loss,
        "findings": [
            {
                "kind": finding.kind,
                "said": KINDS.get(finding.kind, finding.kind),
                "score": round(finding.score, 4),
                "reason": finding.reason,
                "predicted": finding.predicted,
                "others": list(finding.others),
            }
            for finding in item.findings
        ],
        "mark": _mark(state),
    }


def _mark(state: ItemState | None) -> dict[str, Any] | None:
    if state is None or state.verdict is None:
        return None
    author = "" if state.decided is None else state.decided.author
    return {"action": state.verdict, "label": state.label if state.relabelled else None, "author": author}


def counts_of(review: Review) -> Counts:
    """How many items there are; see `Counts`."""
    matched = review.matched
    before = Counter(dict.fromkeys(review.vocab, 0))
    after = Counter(before)
    suspects = done = 0
    for position, item in enumerate(review.items):
        state = matched.states.get(position)
        before.update(parts_of(item.given))
        if state is None or state.verdict != "delete":
            relabelled = state is not None and state.relabelled
            after.update(parts_of(state.label if relabelled and state else item.given))
        suspects += bool(item.findings)
        done += bool(item.findings) and state is not None and state.verdict is not None
    verdicts = Counter(state.verdict for state in matched.states.values() if state.verdict)
    aside = [str(row) for row in matched.aside]
    known = {*review.vocab}
    for position, state in matched.states.items():
        lost = [part for part in parts_of(state.label) if part not in known] if state.relabelled else []
        if lost and not state.new_class:
            aside.append(f"{review.ids.name(position)}: no item has the label {lost[0]!r} (any more)")
    damaged = len(review.journal.damaged)
    return Counts(
        dict(before), dict(after), len(review), suspects, done, dict(verdicts), damaged, aside[:NAMED]
    )
