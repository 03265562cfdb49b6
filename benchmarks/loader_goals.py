"""What wiggly's loader has to reach beside its peers, and whether it did.

In: the records of `loader.py`. Out: one line per goal. Ratios are taken round by round, since the peers take
turns, and their median counts: what disturbs one round then disturbs both sides of it. Read next:
`loader.py`.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from typing import Any

from loader_peers import LIMITS

Record = dict[str, Any]
# (task, data) -> peer -> least ratio of wiggly's rate to it.
WANTED = {
    ("full", "cold"): {"fastai": 25.0, "torchvision v2": 4.0, "decode only": 0.6},
    ("crop", "cold"): {"the best of them": 1.6, "decode only": 0.8},
    ("full", "cached"): {"warp + table alone": 0.9},
    ("crop", "cached"): {"warp + table alone": 0.9},
}
SCALING = 1.8


def goals(records: list[Record]) -> list[dict[str, Any]]:
    """Every goal of the scenes that were measured: name, wanted, got, met."""
    found: list[dict[str, Any]] = []
    scenes = dict.fromkeys((r["task"], r["data"], r["workers"]) for r in records)
    for task, data, workers in scenes:
        mine = {
            r["peer"]: r for r in records if (r["task"], r["data"], r["workers"]) == (task, data, workers)
        }
        where = f"{task}, {data}, {workers} core{'s' if workers > 1 else ''}"
        found += _of_scene(mine, WANTED[task, data], where)
    for task, data in dict.fromkeys((task, data) for task, data, _ in scenes):
        for peer in ("wiggly", "decode only"):
            of = {r["workers"]: r for r in records if (r["task"], r["data"], r["peer"]) == (task, data, peer)}
            if {1, 2} <= set(of):
                wanted = SCALING if peer == "wiggly" else None
                found.append(_goal(f"{task}, {data}: {peer} on 2 cores / on 1", wanted, ratio(of[2], of[1])))
    return found


def _of_scene(mine: dict[str, Record], wanted: dict[str, float], where: str) -> Iterable[dict[str, Any]]:
    ours = mine.get("wiggly")
    if ours is None:
        return
    others = [r for name, r in mine.items() if name != "wiggly" and name not in LIMITS]
    if others:
        best = max(others, key=lambda r: r["images_per_second"])
        least = wanted.get("the best of them", 1.0)
        yield _goal(f"{where}: wiggly / the best of them ({best['peer']})", least, ratio(ours, best))
    for name, least in wanted.items():
        if name in mine:
            yield _goal(f"{where}: wiggly / {name}", least, ratio(ours, mine[name]))


def ratio(ours: Record, theirs: Record) -> float:
    """The median over the rounds of the ratio of two rates."""
    return statistics.median(a / b for a, b in zip(ours["rates"], theirs["rates"], strict=True))


def _goal(name: str, wanted: float | None, got: float) -> dict[str, Any]:
    met = "" if wanted is None else "reached" if got >= wanted else "MISSED"
    return {"goal": name, "wanted": f">= {wanted:g}" if wanted else "", "got": f"{got:.2f}", "met": met}
