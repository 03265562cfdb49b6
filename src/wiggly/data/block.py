"""`DataBlock`: the recipe that turns a source into loaders.

In: a folder, list or table. Out: `Datasets` or `DataLoaders`; `summary` walks one sample through every step.
Read next: `../train/learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Unpack

from wiggly.data.base import brought_transforms
from wiggly.data.blocks import Block, CategoryBlock, TransformBlock
from wiggly.data.cache.keeping import CacheKind
from wiggly.data.cache.store import Cache
from wiggly.data.dataset import Getter, identity
from wiggly.data.datasets import BlockLike, Datasets, Weights, made_block
from wiggly.data.edits.identity import ItemIds
from wiggly.data.edits.journal import Journal
from wiggly.data.edits.plan import EditPlan, plan_edits
from wiggly.data.items import as_items
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders, Recipe
from wiggly.data.loading import LoadingOptions
from wiggly.data.pipeline import function_name
from wiggly.data.shards.build import shard_datasets
from wiggly.data.shards.source import Source
from wiggly.data.split import RandomSplitter, Splitter, check_split
from wiggly.data.summary import Steps, batch_of, describe, walk
from wiggly.data.transform import as_transforms, split_batch_tfms
from wiggly.errors import ArgumentError, DataError, WigglyError
from wiggly.records import Split

__all__ = ["DataBlock"]


class DataBlock:
    """A recipe: what the items are, how they are split, labelled and changed. No data is touched before it
    runs.

    Args:
        blocks: One per side of a sample, inputs first: instances, or classes to be made without arguments.
        dl_type: The class of the loaders.
        getters: One function per block, item to raw value, instead of `get_x` and `get_y`.
        n_inp: How many blocks are inputs; None for all but the last.
        item_tfms: Transforms of one sample.
        batch_tfms: More transforms. wiggly's own join those of `item_tfms` in one resampling; other callables
            get the whole input batch `(n, c, h, w)` in [0, 1].
        get_items: Source to list of items; None when the source is the list or a table.
        splitter: Items to positions for training and validation; None for 20 % at random.
        get_y: Item to label, or a list of such functions, one per target.
        get_x: Item to input, or a list; None takes the item itself.
        edits: A journal of edits, or its path (below the source, else below the working folder): items that
            were deleted are left out, others get their new label before any vocabulary is made. The splitter
            sees the items as without edits, so that a split by seed stays the same. See `dls.edits`.

    Example:
        >>> block = DataBlock(get_y=lambda item: item * 2, splitter=RandomSplitter(0.5, seed=0))
        >>> block.datasets([1, 2, 3, 4]).train[0]
        (tensor(4), tensor(8))
    """

    def __init__(
        self,
        blocks: Sequence[BlockLike] | BlockLike | None = None,
        dl_type: type[DataLoader] | None = None,
        getters: Sequence[Getter] | None = None,
        n_inp: int | None = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
        *,
        get_items: Callable[[Any], Any] | None = None,
        splitter: Splitter | None = None,
        get_y: Getter | Sequence[Getter] | None = None,
        get_x: Getter | Sequence[Getter] | None = None,
        edits: str | Path | Journal | None = None,
    ) -> None:
        given = (TransformBlock, TransformBlock) if blocks is None else blocks
        self.blocks: list[BlockLike] = list(given) if isinstance(given, Sequence) else [given]
        self.dl_type = dl_type or DataLoader
        self.n_inp = max(1, len(self.blocks) - 1) if n_inp is None else n_inp
        self.get_items, self.splitter = get_items, splitter or RandomSplitter()
        self.get_x, self.get_y, self.edits = get_x, get_y, edits
        self._given_getters = list(getters) if getters is not None else None
        self.item_tfms, self.batch_tfms = as_transforms(item_tfms), as_transforms(batch_tfms)
        self._getters = self._make_getters()

    @classmethod
    def from_columns(
        cls,
        blocks: Sequence[BlockLike] | BlockLike | None = None,
        getters: Sequence[Getter] | None = None,
        get_items: Callable[[Any], Any] | None = None,
        dl_type: type[DataLoader] | None = None,
        n_inp: int | None = None,
        item_tfms: Any = None,
        batch_tfms: Any = None,
        *,
        splitter: Splitter | None = None,
        edits: str | Path | Journal | None = None,
    ) -> DataBlock:
        """A recipe for columns: a list of inputs, a list of labels, and so on, in the same order.

        Args:
            blocks: One per column.
            getters: One function per block, from a row (a tuple of one value per column) to raw value; None
                takes the columns in order.
            get_items: Source to columns; None when the source is the columns.
            dl_type: As in `DataBlock`, like all that follow.
            n_inp: How many blocks are inputs; None for all but the last.
            item_tfms: Transforms of one sample.
            batch_tfms: More transforms.
            splitter: Items to positions; None for 20 % at random.
            edits: A journal of edits, or its path.

        Example:
            >>> from wiggly import CategoryBlock
            >>> columns = [1, 2, 3, 4], ["ant", "bee", "ant", "bee"]
            >>> block = DataBlock.from_columns((TransformBlock, CategoryBlock),
            ...     splitter=lambda items: ([0, 1, 2], [3]))
            >>> block.datasets(columns).train[1]
            (tensor(2), tensor(1))
        """
        n = 2 if blocks is None else len(blocks) if isinstance(blocks, Sequence) else 1
        return cls(
            blocks,
            dl_type,
            [itemgetter(k) for k in range(n)] if getters is None else getters,
            n_inp,
            item_tfms,
            batch_tfms,
            get_items=_Rows(get_items),
            splitter=splitter,
            edits=edits,
        )

    def _make_getters(self) -> list[Getter]:
        n = len(self.blocks)
        if self._given_getters is not None:
            getters = [g or identity for g in self._given_getters]
        else:
            targets = n - self.n_inp
            getters = [*_per_block(self.get_x, self.n_inp), *_per_block(self.get_y, targets)]
        if len(getters) != n:
            raise ArgumentError(
                "there must be one getter per block",
                f"there are {len(getters)} for {n} blocks ({self.n_inp} inputs)",
                "Pass `getters` of that length, or lists as `get_x` and `get_y`, or set `n_inp`.",
            )
        return getters

    def new(self, item_tfms: Any = None, batch_tfms: Any = None) -> DataBlock:
        """The same recipe with other transforms.

        Args:
            item_tfms: Transforms of one sample; None for none.
            batch_tfms: More transforms; None for none.
        """
        return DataBlock(
            self.blocks,
            self.dl_type,
            self._given_getters,
            self.n_inp,
            item_tfms,
            batch_tfms,
            get_items=self.get_items,
            splitter=self.splitter,
            get_y=self.get_y,
            get_x=self.get_x,
            edits=self.edits,
        )

    def datasets(self, source: Any, verbose: bool = False) -> Datasets:
        """Items found, split and labelled, blocks fitted on the training part.

        Args:
            source: What `get_items` takes: a folder, a list, a table, shards (`ParquetSource`, `TarSource`).
            verbose: Print each step.

        Raises:
            DataError: No items, or an empty side of the split.
            LabelError: A label is missing, cannot be found, or is not among those of training.
        """
        return self._build(source, Steps(print if verbose else None))

    def dataloaders(
        self,
        source: Any,
        path: str | Path = ".",
        verbose: bool = False,
        bs: int = 64,
        val_bs: int | None = None,
        shuffle: bool = True,
        device: str | torch.device | None = None,
        num_workers: int | None = None,
        seed: int | None = None,
        max_bad: float = 0.01,
        warp_on: str = "cpu",
        cache: CacheKind | Cache | None = None,
        cache_path: str | Path | None = None,
        cache_bytes: int | None = None,
    ) -> DataLoaders:
        """Runs the recipe.

        Args:
            source: What `get_items` takes: a folder, a list, a table, shards (`ParquetSource`, `TarSource`).
            path: Folder where models are saved.
            verbose: Print each step.
            bs: Items per training batch.
            val_bs: Items per validation batch; None for the same.
            shuffle: Whether training is shuffled (and its last, smaller batch left out).
            device: Where batches go; None for the best there is.
            num_workers: Threads; None for one per core.
            seed: Of order and random draws; None takes one from torch's global generator.
            max_bad: Share of unreadable items above which a run stops.
            warp_on: "cpu", or "device" to decode and warp training batches there, with the same draws;
                validation is read exactly, on the CPU.
            cache: Decode each file once and keep its pixels, as fine as the draws need: "ram" (in this
                process), "disk" (in mapped files that all processes share and later runs find again), "auto"
                (the one that has room for all, or none), or the `cache` of other loaders.
            cache_path: Folder of the "disk" cache; None takes `WIGGLY_CACHE`, else the user's cache folder.
            cache_bytes: Most bytes to keep; None takes half of what is free, on disk at most 20 GB.

        Raises:
            DataError: No items, or an empty side of the split.
            LabelError: A label is missing, cannot be found, or is not among those of training.
        """
        return self._build(source, Steps(print if verbose else None), path).dataloaders(
            bs,
            path=path,
            val_bs=val_bs,
            shuffle=shuffle,
            device=device,
            num_workers=num_workers,
            seed=seed,
            max_bad=max_bad,
            warp_on=warp_on,
            cache=cache,
            cache_path=cache_path,
            cache_bytes=cache_bytes,
            after_batch=split_batch_tfms(self.batch_tfms)[1],
            dl_type=self.dl_type,
        )

    def weighted_dataloaders(
        self,
        source: Any,
        wgts: Weights,
        bs: int = 64,
        verbose: bool = False,
        **options: Unpack[LoadingOptions],
    ) -> DataLoaders:
        """Loaders whose training items are drawn at random with replacement, in proportion to weights. An
        epoch has as many draws as there are training items; validation is as ever.

        Args:
            source: What `dataloaders` takes.
            wgts: One number per item of the source, in its order; or "balanced", which draws each class of
                the target equally often.
            bs: Items per training batch.
            verbose: Print each step.
            options: What `dataloaders` takes by name.

        Raises:
            ArgumentError: There is not one weight per item, one is negative, not finite or no number, all
                those of training are 0, or "balanced" is asked for without one label per item.
            DataError: As `dataloaders`.

        Example:
            >>> block = DataBlock(get_y=str.isupper, splitter=lambda items: ([0, 1, 2], [3]), get_x=len)
            >>> dls = block.weighted_dataloaders(list("aBcd"), wgts=[1, 0, 1, 5], bs=3, seed=0)
            >>> sorted(set(dls.train.order(0)))
            [0, 2]
        """
        options["dl_type"] = options.get("dl_type", self.dl_type)
        options["after_batch"] = split_batch_tfms(self.batch_tfms)[1]
        steps = Steps(print if verbose else None)
        datasets = self._build(source, steps, options.get("path", "."))
        return datasets.weighted_dataloaders(wgts, bs, **options)

    def _build(self, source: Any, steps: Steps, path: str | Path = ".") -> Datasets:
        found = source if self.get_items is None else _called("get_items", self.get_items, source)
        if isinstance(found, Source):
            return self._build_from_shards(found, steps)
        items = self._items(found, source)
        steps.tell("items", f"{len(items):,} from {describe(source)}")
        plan = self._plan(items, source, path)
        split = self._split(items, plan, source if isinstance(source, (str, Path)) else path)
        n_train, n_valid = len(split.train), len(split.valid)
        by = describe(self.splitter)
        steps.tell("split", f"{n_train:,} training, {n_valid:,} validation by {by}")
        blocks = [made_block(b) for b in self.blocks]
        self._check_labelled(blocks)
        tfms = [*self.item_tfms, *split_batch_tfms(self.batch_tfms)[0], *brought_transforms(blocks)]
        folder = source if isinstance(source, (str, Path)) else path
        given = tuple(self.item_tfms), tuple(self.batch_tfms)
        recipe = Recipe(describe(source), by, *given, folder=folder)
        split = split if plan is None else plan.split(split)
        datasets = Datasets.from_parts(items, split, self._getters, blocks, self.n_inp, tfms, recipe, plan)
        if plan is not None:
            steps.tell("edits", str(plan.summary()))
            plan.warn()
        for k, block in enumerate(blocks):
            steps.tell("" if k else "blocks", block.describe(), timed=k == 0)
        return datasets

    def _plan(self, items: Sequence[Any], source: Any, path: str | Path) -> EditPlan | None:
        if self.edits is None:
            return None
        folder = source if isinstance(source, (str, Path)) else path
        label_of = self._label_of(items) if len(self._getters) > self.n_inp else None
        return plan_edits(self.edits, folder, ItemIds(items, self._getters[0], folder), label_of)

    def _label_of(self, items: Sequence[Any]) -> Callable[[int], Any]:
        getter = self._getters[self.n_inp]
        return lambda position: getter(items[position])

    def _build_from_shards(self, source: Source, steps: Steps) -> Datasets:
        if self.edits is not None:
            raise ArgumentError(
                "`edits` need items that can be hashed one by one",
                "the items are rows of shards",
                "Edit the data that the shards were made of, and write them again.",
            )
        blocks = [made_block(b) for b in self.blocks]
        self._check_labelled(blocks)
        tfms = [*self.item_tfms, *split_batch_tfms(self.batch_tfms)[0], *brought_transforms(blocks)]
        by = "the source's `valid` addresses" if source.valid_addresses else describe(self.splitter)
        recipe = Recipe(repr(source), by, tuple(self.item_tfms), tuple(self.batch_tfms))
        sides = shard_datasets(source, self.splitter, self._getters, blocks, self.n_inp, tfms)
        for name, side in zip(("training", "validation"), sides, strict=True):
            n = len(side.rows.shards)
            steps.tell("rows", f"{name}: {n:,} shard{'s'[: n > 1]}, the first '{side.rows.shards[0]}'")
        for k, block in enumerate(blocks):
            steps.tell("" if k else "blocks", block.describe(), timed=k == 0)
        return Datasets.from_sides(*sides, recipe)

    def _items(self, found: Any, source: Any) -> Sequence[Any]:
        items = as_items(found)
        if len(items) == 0:
            folder = isinstance(source, (str, Path))
            raise DataError(
                "there must be at least 2 items",
                f"{describe(source)} gave none",
                "Check the folder and the file suffixes (.jpg, .png, ...); sub-folders are searched too."
                if folder
                else "Check where it comes from, and `get_items` if there is one.",
            )
        return items

    def _split(self, items: Sequence[Any], plan: EditPlan | None, folder: str | Path) -> Split:
        drawn = None if plan is None else plan.drawn(items, self.splitter, folder)
        return check_split(_called("splitter", self.splitter, items) if drawn is None else drawn, len(items))

    def _check_labelled(self, blocks: Sequence[Block]) -> None:
        unsaid = self.get_y is None and self._given_getters is None
        if unsaid and any(isinstance(block, CategoryBlock) for block in blocks[self.n_inp :]):
            raise ArgumentError(
                "`get_y` must say how an item's label is found",
                "it was not given",
                "Pass e.g. get_y=parent_label.",
            )

    def summary(self, source: Any, bs: int = 4, show_batch: bool = False) -> None:
        """Prints what happens to the source and to one sample, step by step, then collates a batch.

        Args:
            source: What `dataloaders` takes.
            bs: Items of the batch that is collated in the end.
            show_batch: Also draw that batch.

        Raises:
            DataError: Whatever step fails, with what to do about it.
        """
        steps = Steps(print)
        with steps.failing():
            datasets = self._build(source, steps)
            walk(datasets.train, steps)
            callables = split_batch_tfms(self.batch_tfms)[1]
            loader, batch = batch_of(datasets.train, callables, bs, steps)
        if show_batch:
            loader.show_batch(batch.tensors)


def _per_block(getter: Getter | Sequence[Getter] | None, n: int) -> list[Getter]:
    if getter is None:
        return [identity] * n
    return list(getter) if isinstance(getter, Sequence) else [getter]


def _called(name: str, function: Callable[[Any], Any], given: Any) -> Any:
    """What a user's `get_items` or `splitter` returns; its failure in our form."""
    try:
        return function(given)
    except WigglyError:
        raise
    except Exception as error:
        raise DataError(
            f"`{name}` must work on what it is given",
            f"{function_name(function)} raised {type(error).__name__}: {error} on {describe(given)}",
            f"Mend the function, or pass another `{name}`.",
        ) from error


class _Rows:
    """`get_items` that returns columns, as one that returns rows."""

    def __init__(self, get_columns: Callable[[Any], Any] | None) -> None:
        self.get_columns = get_columns

    def __call__(self, source: Any) -> list[tuple[Any, ...]]:
        found = source if self.get_columns is None else self.get_columns(source)
        columns = list(found) if isinstance(found, Iterable) and not isinstance(found, str) else [found]
        wrong = [c for c in columns if isinstance(c, (str, bytes)) or not hasattr(c, "__len__")]
        if wrong or not columns or len({len(c) for c in columns}) > 1:
            received = f"one is {wrong[0]!r:.60}" if wrong else f"the lengths are {[len(c) for c in columns]}"
            raise DataError(
                "`get_items` must return columns: lists of the same length, one per block",
                received,
                "Return e.g. (files, labels).",
            )
        return list(zip(*columns, strict=True))

    def __repr__(self) -> str:
        return "columns" if self.get_columns is None else function_name(self.get_columns)
