"""Prices: what a place costs by the hour, as SkyPilot's catalogue has it.

In: a place. Out: dollars per hour, and where the number is from. Read next: `rent.py`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from wiggly.run.places import Place

__all__ = ["Price", "listed_price", "offline_price"]

#: Dollars per hour of one machine, by GPUs, from SkyPilot's catalogue (v6, paperspace/vms.csv).
PAPERSPACE = {
    "M4000": 0.45,
    "P4000": 0.51,
    "A4000": 0.76,
    "V100": 2.29,
    "V100-32GB": 2.30,
    "A100-80GB": 3.18,
    "H100": 5.95,
}
LISTED = "SkyPilot's catalogue v6"


@dataclass(frozen=True)
class Price:
    """What a machine costs.

    Attributes:
        dollars: Per hour.
        source: Where the number is from.
    """

    dollars: float
    source: str

    def __str__(self) -> str:
        return f"${self.dollars:.2f} per hour, ${self.dollars * 24:.2f} per day ({self.source})"


def offline_price(place: Place) -> Price | None:
    """The price where it is known without asking anyone; clouds change theirs.

    Example:
        >>> from wiggly.run.places import parse_place
        >>> print(offline_price(parse_place("paperspace:A4000:2")))
        $1.52 per hour, $36.48 per day (list price in SkyPilot's catalogue v6)
    """
    one = PAPERSPACE.get(place.gpu.upper()) if place.name == "paperspace" else None
    return None if one is None else Price(one * place.count, f"list price in {LISTED}")


def listed_price(place: Place, printed: str) -> Price | None:
    """The lowest price in what `sky gpus list -o json` printed.

    Args:
        place: What was asked for.
        printed: JSON, perhaps after other lines; lists of machines by GPU.
    """
    try:
        found: dict[str, list[dict[str, Any]]] = json.loads(printed[printed.index("{") :])
        rows = [row for rows in found.values() for row in rows if row["accelerator_count"] == place.count]
        prices = [row["spot_price" if place.is_spot else "price"] for row in rows]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    known = [float(price) for price in prices if price is not None]
    return Price(min(known), "SkyPilot's catalogue") if known else None
