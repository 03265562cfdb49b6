"""Suspects as pictures: each with what it is called and why it is here, copies beside each other.

In: suspects and the pool they come from. Out: a matplotlib figure; a printed table for rows. Read next:
`suspect.py`.
"""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

from wiggly.data.show import grid
from wiggly.errors import WigglyError

if TYPE_CHECKING:
    from wiggly.clean.suspects.pool import Pool
    from wiggly.clean.suspects.suspect import Suspect, Suspects

__all__ = ["show"]

WIDTH, LINES = 34, 4


def show(found: Suspects, pool: Pool | None, max_n: int, ncols: int | None) -> None:
    """The work behind `Suspects.show`; see there."""
    chosen = list(found[:max_n])
    if not chosen or pool is None or not pool.has_pictures:
        print(found)
        return
    per_item = 2 if any(suspect.others for suspect in chosen) else 1
    axes = grid(len(chosen), ncols=ncols, per_item=1, imsize=3.4 if per_item == 1 else 4.2, aspect=1.1)
    for suspect, place in zip(chosen, axes, strict=False):
        _draw(suspect, pool, place)
    for place in axes[len(chosen) :]:
        place.axis("off")


def _draw(suspect: Suspect, pool: Pool, place: Any) -> None:
    place.axis("off")
    here = [(suspect.split, suspect.position), *suspect.others[:1]]
    pictures = [_picture(pool, split, position) for split, position in here]
    n = len(pictures)
    for k, picture in enumerate(pictures):
        inner = place.inset_axes((k / n, 0.0, 1 / n - (0.02 if n > 1 else 0.0), 1.0))
        inner.axis("off")
        if picture is None:
            inner.text(0.5, 0.5, "?", ha="center", va="center", fontsize=40, color="grey")
        else:
            inner.imshow(picture, cmap="gray")
    given = "" if suspect.given is None else f"{suspect.given}: "
    lines = textwrap.wrap(f"{suspect.score:.2f} {suspect.kind} · {given}{suspect.reason}", WIDTH)[:LINES]
    place.set_title("\n".join(lines), fontsize=9, loc="left")


def _picture(pool: Pool, split: str, position: int) -> Any:
    import numpy as np

    dataset = (pool.dls.train if split == "train" else pool.dls.valid).dataset
    try:
        picture = dataset[position][0]
    except (WigglyError, OSError):
        return None
    return np.asarray(picture)
