"""What page and widget ask, in JSON: one request, one answer.

In: `{"do": "query", "split": "valid"}`. Out: `{"positions": [...], ...}`, or `{"error": "..."}`. The server
and the notebook widget only carry these. Read next: `serving.py`.

- open: what is reviewed: title, labels, kinds of suspects, counts.
- query: positions of the items that a filter lets through; page: these items.
- mark, undo, redo: decisions; the answer comes when they are on the disk.
- counts: of items by class before and after.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from wiggly.clean.review.listing import ORDERS, STATES, Filter
from wiggly.clean.suspects.suspect import KINDS
from wiggly.errors import ArgumentError, WigglyError

if TYPE_CHECKING:
    from wiggly.clean.review.review import Marked, Review

__all__ = ["MOST_AT_ONCE", "answer"]

#: Items that one request may ask for.
MOST_AT_ONCE = 1000
FILTERS = {"given": (str, int, bool), "split": str, "kind": str, "state": str, "text": str, "order": str}


def answer(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    """Answers one request.

    Args:
        review: The review.
        request: What is asked, in JSON types.

    Returns:
        In JSON types; `{"error": ...}` where it cannot be done.

    Example:
        >>> from wiggly.clean.review.review import Review
        >>> from wiggly.data.edits.journal import Journal
        >>> answer(Review([], Journal("edits.jsonl"), [], root="."), {"do": "dance"})
        {'error': "`do` must be one of open, query, page, mark, undo, redo, counts; got 'dance'"}
    """
    do = request.get("do")
    handler = HANDLERS.get(do) if isinstance(do, str) else None
    if handler is None:
        return {"error": f"`do` must be one of {', '.join(HANDLERS)}; got {do!r:.40}"}
    try:
        return handler(review, request)
    except WigglyError as error:
        return {"error": f"{error.rule}: {error.received}. {error.fix}"}


def _open(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    kinds = Counter(kind for item in review.items for kind in {finding.kind for finding in item.findings})
    splits = Counter(item.split for item in review.items)
    return {
        "data": review.data,
        "title": review.title,
        "n": len(review),
        "vocab": review.vocab,
        "several": review.several,
        "journal": str(review.journal.path),
        "author": review.journal.author,
        "kinds": [{"kind": k, "said": said, "n": kinds[k]} for k, said in KINDS.items() if kinds[k]],
        "splits": [{"name": name, "n": n} for name, n in sorted(splits.items())],
        "note": review.note,
        "counts": review.counts().to_dict(),
    }


def _query(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    found = review.query(_filter(request))
    states = review.states
    return {
        "positions": found,
        "suspects": sum(bool(review.items[position].findings) for position in found),
        "open": sum(position not in states or states[position].verdict is None for position in found),
    }


def _filter(request: Mapping[str, Any]) -> Filter:
    chosen = {name: request[name] for name in FILTERS if request.get(name) is not None}
    for name, value in chosen.items():
        if not isinstance(value, FILTERS[name]) or len(str(value)) > 1000:
            raise _misunderstood(name, value)
    if chosen.get("state", "open") not in STATES or chosen.get("order", "score") not in ORDERS:
        raise _misunderstood("state or order", (chosen.get("state"), chosen.get("order")))
    limit = request.get("limit")
    if limit is not None and (type(limit) is not int or limit < 1):
        raise _misunderstood("limit", limit)
    return Filter(**chosen, suspects=request.get("suspects") is True, limit=limit)


def _misunderstood(name: str, value: Any) -> ArgumentError:
    return ArgumentError("a request must be one of this page", f"{name} is {value!r:.60}", "Load it again.")


def _page(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"items": review.page(_positions(review, request, MOST_AT_ONCE))}


def _positions(review: Review, request: Mapping[str, Any], most: int) -> list[int]:
    found: Any = request.get("positions")
    if (
        not isinstance(found, list)
        or len(found) > most  # pyright: ignore[reportUnknownArgumentType]
        or not all(type(p) is int and 0 <= p < len(review) for p in found)  # pyright: ignore[reportUnknownVariableType]
    ):
        raise _misunderstood("positions", found)
    return list(found)  # pyright: ignore[reportUnknownArgumentType]


def _mark(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    if request.get("data", review.data) != review.data:
        said = "the data have changed since this page was opened; load it again"
        return {"error": f"Nothing was marked: {said}", "code": "stale"}
    positions = _positions(review, request, len(review))
    action: Any = request.get("action")
    done = review.mark(positions, action, request.get("label"), request.get("new_class") is True)
    return _done(review, done)


def _undo(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    return _done(review, review.undo())


def _redo(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    return _done(review, review.redo())


def _done(review: Review, done: Marked) -> dict[str, Any]:
    return {
        "positions": done.positions,
        "items": review.page(done.positions[:MOST_AT_ONCE]),
        "said": done.said,
        "refused": [{"position": p, "reason": reason} for p, reason in done.refused.items()],
        "vocab": review.vocab,
        "counts": review.counts().to_dict(),
    }


def _counts(review: Review, request: Mapping[str, Any]) -> dict[str, Any]:
    return {"counts": review.counts().to_dict()}


HANDLERS: dict[str, Callable[[Review, Mapping[str, Any]], dict[str, Any]]] = {
    "open": _open,
    "query": _query,
    "page": _page,
    "mark": _mark,
    "undo": _undo,
    "redo": _redo,
    "counts": _counts,
}
