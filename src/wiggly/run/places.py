"""Places to rent: which cloud, which GPU, and what every cloud can and cannot do.

In: what the user typed after `--on`. Out: a `Place`, and the cloud's facts. Read next: `task.py`.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

from wiggly.errors import ArgumentError

__all__ = ["CLOUDS", "Cloud", "Place", "parse_place"]

DISKS = "the disks of stopped machines, and snapshots"


@dataclass(frozen=True)
class Cloud:
    """What SkyPilot 0.14.1 can do with a cloud (`_CLOUD_UNSUPPORTED_FEATURES` in its `sky/clouds/`).

    Attributes:
        has_spot: Machines at a lower price that may be taken away.
        stops: A machine can be stopped and keeps its disk.
        ends: A machine can be given back by itself when it is idle.
        bills: What goes on billing when no machine runs.
    """

    has_spot: bool = True
    stops: bool = True
    ends: bool = True
    bills: str = DISKS


CLOUDS: dict[str, Cloud] = {
    "aws": Cloud(bills=f"{DISKS}, public IP addresses, and buckets"),
    "azure": Cloud(bills=f"{DISKS}, public IP addresses, and storage accounts"),
    "cudo": Cloud(has_spot=False, stops=False),
    "do": Cloud(has_spot=False, bills="stopped machines at the full price, volumes and snapshots"),
    "fluidstack": Cloud(has_spot=False, stops=False),
    "gcp": Cloud(bills=f"{DISKS}, and buckets"),
    "hyperbolic": Cloud(has_spot=False, stops=False, ends=False),
    "ibm": Cloud(),
    "kubernetes": Cloud(has_spot=False, stops=False, bills="the cluster itself"),
    "lambda": Cloud(has_spot=False, stops=False, bills="persistent file systems"),
    "nebius": Cloud(),
    "oci": Cloud(),
    # https://support.paperspace.com/hc/en-us/articles/360057895553: storage is billed monthly until a machine
    # is deactivated, running or not; snapshots, templates and public IP addresses are add-ons.
    "paperspace": Cloud(
        has_spot=False,
        bills="the storage of a machine, by the month and also while it is stopped, until it is deleted; "
        "snapshots, templates and public IP addresses",
    ),
    "primeintellect": Cloud(stops=False, ends=False),
    "runpod": Cloud(stops=False, bills="network volumes"),
    "scp": Cloud(),
    "seeweb": Cloud(has_spot=False),
    "shadeform": Cloud(has_spot=False, stops=False),
    "vast": Cloud(bills="the disks of stopped instances"),
    "verda": Cloud(stops=False, ends=False),
}
# Any cloud that SkyPilot finds, the cheapest first.
ANY = "any"
PATTERN = re.compile(
    r"(?P<infra>[a-z][a-z0-9_-]*(/[\w.*-]+){0,2})(:(?P<gpu>[A-Za-z][\w.+-]*)(:(?P<count>[1-9]\d*))?)?"
)


@dataclass(frozen=True)
class Place:
    """Where to train.

    Attributes:
        infra: As SkyPilot writes it: a cloud, `cloud/region`, or `cloud/region/zone`; empty for any.
        gpu: Its name there; empty for a machine without.
        count: GPUs of the machine.
        is_spot: A machine that may be taken away, at a lower price.
    """

    infra: str
    gpu: str
    count: int
    is_spot: bool

    @property
    def cloud(self) -> Cloud:
        """What the cloud can do; of one that is not known here, the usual."""
        return CLOUDS.get(self.name, Cloud())

    @property
    def name(self) -> str:
        """The cloud's name, in small letters."""
        return self.infra.partition("/")[0]


def parse_place(text: str, spot: bool = False) -> Place:
    """The place that a text names.

    Args:
        text: `cloud[/region[/zone]][:GPU[:count]]`; `any` lets SkyPilot choose the cheapest cloud.
        spot: Whether to take a machine that may be taken away.

    Raises:
        ArgumentError: It is none, or the cloud has no such machines.

    Example:
        >>> parse_place("paperspace:A4000")
        Place(infra='paperspace', gpu='A4000', count=1, is_spot=False)
        >>> parse_place("aws/us-east-1:A10G:4", spot=True).count
        4
    """
    cloud, slash, rest = text.partition(":" if "/" not in text.partition(":")[0] else "/")
    match = PATTERN.fullmatch(f"{cloud.lower()}{slash}{rest}")  # the names of regions may have capitals
    if match is None:
        raise ArgumentError(
            "`--on` must be a cloud, and a GPU after a colon",
            f"got {text!r}",
            "E.g. --on paperspace:A4000, --on aws/us-east-1:A10G:4, or --on any:T4 for the cheapest.",
        )
    infra, count = match["infra"], int(match["count"] or 1)
    place = Place("" if infra == ANY else infra, match["gpu"] or "", count if match["gpu"] else 0, spot)
    if place.name and place.name not in CLOUDS:
        near = difflib.get_close_matches(place.name, CLOUDS, 1, 0.75)
        if near:
            raise ArgumentError(
                "`--on` must name a cloud", f"got {place.name!r}", f"Did you mean {near[0]!r}?"
            )
    if spot and not place.cloud.has_spot:
        raise ArgumentError(
            "`--spot` needs a cloud that has such machines", f"{place.name} has none", "Leave `--spot` out."
        )
    return place
