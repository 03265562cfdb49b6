"""One loader per side of the split, from two data sets and the options all constructors take.

In: two data sets. Out: their loaders, with the same seed and settings. Read next: `loaders.py`, which holds
both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypedDict

import torch
from typing_extensions import Unpack

from wiggly.data.cache.keeping import CacheKind, keep_decoded
from wiggly.data.cache.store import Cache
from wiggly.data.dataset import Dataset
from wiggly.data.loader import DataLoader
from wiggly.data.transform import Transform, as_transforms, split_batch_tfms
from wiggly.errors import ArgumentError

__all__ = ["LoadingOptions", "make_loaders"]


class LoadingOptions(TypedDict, total=False):
    """What `DataLoaders.from_dsets` takes by name; each may be left out.

    Attributes:
        val_bs: Items per validation batch; None for the same as in training.
        shuffle: Whether training is shuffled (and its last, smaller batch left out); it is unless told.
        path: Folder where models are saved; the current one unless told.
        device: Where batches go; None for the best there is.
        num_workers: Threads; None for one per core (0 for plain sequences).
        seed: Of order and random draws; None takes one from torch's global generator.
        max_bad: Share of unreadable items above which a run stops; 0.01 unless told.
        warp_on: "cpu", or "device" to decode and warp batches there, with the same draws.
        cache: As in `DataBlock.dataloaders`, like the next two; for samples made by blocks.
        cache_path: Folder of the "disk" cache.
        cache_bytes: Most bytes to keep.
        after_item: More transforms of one sample; of a plain sequence, functions of its element.
        after_batch: More transforms of the batch, as `batch_tfms` of a DataBlock.
        dl_type: The class of the loaders.
    """

    val_bs: int | None
    shuffle: bool
    path: str | Path
    device: str | torch.device | None
    num_workers: int | None
    seed: int | None
    max_bad: float
    warp_on: str
    cache: CacheKind | Cache | None
    cache_path: str | Path | None
    cache_bytes: int | None
    after_item: Any
    after_batch: Any
    dl_type: type[DataLoader]


def make_loaders(
    train_ds: Any, valid_ds: Any, bs: int, wgts: Sequence[float] | None, **options: Unpack[LoadingOptions]
) -> tuple[DataLoader, DataLoader]:
    """Training and validation loader.

    Args:
        train_ds: Training samples.
        valid_ds: Validation samples.
        bs: Items per training batch.
        wgts: Weights of the training items, which are then drawn with replacement; None takes each once.
        options: See `LoadingOptions`.

    Raises:
        ArgumentError: wiggly's own transforms for samples that were not made by blocks.
        TypeError: There is no such option.
    """
    _check_known(options)
    own, callables = split_batch_tfms(as_transforms(options.get("after_batch")))
    added = [*as_transforms(options.get("after_item")), *own]
    sides = [_with_transforms(dataset, added, callables) for dataset in (train_ds, valid_ds)]
    if options.get("cache") is not None:
        made = [side for side in sides if isinstance(side, Dataset)]
        keep_decoded(made, options.get("cache"), options.get("cache_path"), options.get("cache_bytes"))
    seed, shuffle, val_bs = options.get("seed"), options.get("shuffle", True), options.get("val_bs")
    shared: dict[str, Any] = {
        "num_workers": options.get("num_workers"),
        "batch_tfms": callables,
        "seed": int(torch.randint(2**31, ())) if seed is None else seed,
        "max_bad": options.get("max_bad", 0.01),
        "warp_on": options.get("warp_on", "cpu"),
    }
    dl_type = options.get("dl_type", DataLoader)
    train = dl_type(sides[0], bs, shuffle=shuffle, drop_last=shuffle, wgts=wgts, **shared)
    return train, dl_type(sides[1], bs if val_bs is None else val_bs, **shared)


def _check_known(options: Mapping[str, Any]) -> None:
    unknown = [name for name in options if name not in LoadingOptions.__annotations__]
    if unknown:  # Python itself says so only of arguments that are written out
        near = get_close_matches(unknown[0], LoadingOptions.__annotations__)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise TypeError(f"loaders have no option {unknown[0]!r}{hint}")


def _with_transforms(dataset: Any, added: list[Any], later: Sequence[Any]) -> Any:
    if isinstance(dataset, Dataset):
        return dataset.with_transforms(added)
    wrong = [t for t in (*added, *later) if isinstance(t, Transform)]
    if wrong:
        raise ArgumentError(
            "wiggly's transforms change samples that were made by blocks",
            f"{wrong[0]!r} is for a {type(dataset).__name__}",
            "Build the data sets with Datasets(items, [[get_x, ImageBlock], [get_y, CategoryBlock]], ...).",
        )
    return _Changed(dataset, added) if added else dataset


class _Changed(Sequence[Any]):
    """A plain sequence whose elements pass through functions."""

    def __init__(self, elements: Any, functions: Sequence[Callable[[Any], Any]]) -> None:
        self.elements, self.functions = elements, functions

    def __len__(self) -> int:
        return len(self.elements)

    def __getitem__(self, index: Any) -> Any:
        element = self.elements[index]
        for function in self.functions:
            element = function(element)
        return element
