"""Which cache a run uses, and what blocks need to know to keep their decoded values in it.

In: `cache="ram" | "disk" | "auto"` and the data sets. Out: data sets that decode an item once. Read next:
`dataset.py`, whose `load` asks blocks to keep; `../vision/kept.py`, the block that does.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Literal

from wiggly.data.cache.disk import DiskCache, default_folder, default_limit
from wiggly.data.cache.store import Cache, RamCache, amount
from wiggly.data.transform import apply_item_transform
from wiggly.errors import ArgumentError, ItemError

__all__ = ["CacheKind", "Keeping", "choose_cache", "keep_decoded"]

CacheKind = Literal["ram", "disk", "auto"]
# Items of a data set that are decoded, each with as many draws, to estimate what all will take.
TRIAL_ITEMS, TRIAL_DRAWS = 24, 3
# What an estimate from a sample may be short of.
MARGIN = 1.1


@dataclass(frozen=True)
class Keeping:
    """What a block gets beside the raw value when its data set has a cache.

    Attributes:
        cache: Where to look and to keep.
        transforms: The item transforms of the data set.
        train: Whether they draw at random.
        memo: Room for what a block finds out about them.
    """

    cache: Cache
    transforms: tuple[Any, ...] = ()
    train: bool = False
    memo: dict[Any, Any] = field(default_factory=dict[Any, Any])

    def rehearse(self, value: Any, draw: int) -> Any:
        """A value after the transforms, with draws that depend on `draw` alone: a dummy can note what is
        asked of it.
        """
        random, values = Random(draw), (value,)
        for transform in self.transforms:
            values = apply_item_transform(transform, values, 1, random, self.train)
        return values[0]


def keep_decoded(
    datasets: Sequence[Any], cache: CacheKind | Cache | None, folder: str | Path | None, limit: int | None
) -> None:
    """Has data sets keep what they decode; says on standard error what "auto" chose and why.

    Args:
        datasets: `Dataset`s that share the cache.
        cache: See `choose_cache`.
        folder: Where "disk" keeps its files.
        limit: Most bytes.

    Raises:
        ArgumentError: There is no such kind of cache, or `limit` is below 1.
    """
    chosen, why = choose_cache(cache, folder, limit, lambda: sum(map(_bytes_needed, datasets)))
    if why:
        print(why, file=sys.stderr)
    if chosen is not None:
        for dataset in datasets:
            dataset.keeping = Keeping(chosen, tuple(dataset.item_tfms), dataset.train)


def choose_cache(
    cache: CacheKind | Cache | None, folder: str | Path | None, limit: int | None, need: Callable[[], int]
) -> tuple[Cache | None, str]:
    """The cache that a user asked for, and for "auto" in a sentence which and why.

    Args:
        cache: "ram", "disk", "auto" (memory if all items fit into it, else the disk if they fit there, else
            none), a cache that other loaders use already, or None.
        folder: Where "disk" keeps its files; None takes the user's cache folder.
        limit: Most bytes; None takes half of what is free, of a disk at most 20 GB.
        need: Estimates the bytes that all items take; only asked by "auto".

    Raises:
        ArgumentError: There is no such kind, or `limit` is below 1.

    Example:
        >>> choose_cache("auto", ".", 1_000_000, lambda: 400_000)[1]
        'cache: ram, for the decoded items take about 400 kB of the 1 MB that may be used there'
    """
    _check(cache, limit)
    if cache is None or isinstance(cache, Cache):
        return cache, ""
    place = default_folder() if folder is None else Path(folder).expanduser()
    if cache == "ram":
        return RamCache(limit), ""
    if cache == "disk":
        return DiskCache(place, limit), ""
    needed, ram = need(), RamCache(limit)
    disk = default_limit(place) if limit is None else limit
    if needed == 0:
        return None, "cache: none, for no item is decoded from a file"
    takes = f"for the decoded items take about {amount(needed)}"
    if needed <= ram.limit:
        return ram, f"cache: ram, {takes} of the {amount(ram.limit)} that may be used there"
    if needed <= disk:
        room = f"memory has room for {amount(ram.limit)}, '{place}' for {amount(disk)}"
        return DiskCache(place, limit), f"cache: disk, {takes}; {room}"
    room = f"memory has room for {amount(ram.limit)}, '{place}' for {amount(disk)}"
    return None, f"cache: none, {takes}; {room}; cache='disk' keeps as many as fit"


def _check(cache: Any, limit: int | None) -> None:
    if not (cache is None or isinstance(cache, Cache) or cache in ("ram", "disk", "auto")):
        raise ArgumentError(
            "`cache` must be 'ram', 'disk', 'auto' or None", f"it is {cache!r}", "Pass cache='auto'."
        )
    if limit is not None and limit < 1:
        raise ArgumentError("`cache_bytes` must be at least 1", f"it is {limit}", "Pass e.g. 10_000_000_000.")


def _bytes_needed(dataset: Any) -> int:
    """An estimate from a few items spread over the data set, each decoded as a few draws need it."""
    trial, n = copy.copy(dataset), len(dataset)
    cache = RamCache(sys.maxsize)
    trial.keeping = Keeping(cache, tuple(dataset.item_tfms), dataset.train)
    positions = sorted({n * k // TRIAL_ITEMS for k in range(TRIAL_ITEMS)})
    for position in positions:
        for draw in range(TRIAL_DRAWS):
            try:
                values = trial.sample(position, Random(draw))
                for block, value in zip(trial.blocks, values, strict=True):
                    block.encode(value)
            except ItemError:  # the loader will skip it, and count it
                break
    return int(MARGIN * cache.size * n / len(positions)) if positions else 0
