"""`DataBlock`: the recipe that turns a source into loaders.

In: a folder, list or table. Out: `Datasets` or `DataLoaders`; `summary` walks one sample through every step.
Read next: `../train/learner.py`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from random import Random
from typing import Any

import narwhals as nw
import torch

from wiggly.data.blocks import Block, CategoryBlock, TransformBlock
from wiggly.data.dataset import Dataset, Datasets, Getter, identity, read_labels, subset
from wiggly.data.items import as_items, item_name
from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders, Recipe
from wiggly.data.split import RandomSplitter, Splitter, check_split
from wiggly.data.transform import Transform, apply_item_transform, transform_names
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.records import Split

__all__ = ["DataBlock"]

BlockLike = Block | Callable[[], Block]


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
    ) -> None:
        given = (TransformBlock, TransformBlock) if blocks is None else blocks
        self.blocks: list[BlockLike] = list(given) if isinstance(given, Sequence) else [given]
        self.dl_type = dl_type or DataLoader
        self.n_inp = max(1, len(self.blocks) - 1) if n_inp is None else n_inp
        self.get_items, self.splitter = get_items, splitter or RandomSplitter()
        self.get_x, self.get_y = get_x, get_y
        self._given_getters = list(getters) if getters is not None else None
        self.item_tfms, self.batch_tfms = _as_list(item_tfms), _as_list(batch_tfms)
        self._getters = self._make_getters()

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
        )

    def datasets(self, source: Any, verbose: bool = False) -> Datasets:
        """Items found, split and labelled, blocks fitted on the training part.

        Args:
            source: What `get_items` takes: a folder, a list, a table.
            verbose: Print each step.

        Raises:
            DataError: No items, or an empty side of the split.
            LabelError: A label is missing, cannot be found, or is not among those of training.
        """
        datasets, _, _ = self._build(source, print if verbose else _quiet)
        return datasets

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
    ) -> DataLoaders:
        """Runs the recipe.

        Args:
            source: What `get_items` takes: a folder, a list, a table.
            path: Folder where models are saved.
            verbose: Print each step.
            bs: Items per training batch.
            val_bs: Items per validation batch; None for the same.
            shuffle: Whether training is shuffled (and its last, smaller batch left out).
            device: Where batches go; None for the best there is.
            num_workers: Threads; None for one per core.
            seed: Of order and random draws; None takes one from torch's global generator.
            max_bad: Share of unreadable items above which a run stops.

        Raises:
            DataError: No items, or an empty side of the split.
            LabelError: A label is missing, cannot be found, or is not among those of training.
        """
        datasets, blocks, recipe = self._build(source, print if verbose else _quiet)
        batch_callables = split_batch_tfms(self.batch_tfms)[1]
        seed = int(torch.randint(2**31, ())) if seed is None else seed

        def loader(dataset: Dataset, size: int, shuffled: bool) -> DataLoader:
            return self.dl_type(
                dataset,
                size,
                shuffle=shuffled,
                drop_last=shuffled,
                num_workers=num_workers,
                batch_tfms=batch_callables,
                seed=seed,
                max_bad=max_bad,
            )

        train = loader(datasets.train, bs, shuffle)
        valid = loader(datasets.valid, bs if val_bs is None else val_bs, False)
        return DataLoaders(train, valid, path, device, blocks=blocks, n_inp=self.n_inp, recipe=recipe)

    def _build(self, source: Any, say: Callable[[str], object]) -> tuple[Datasets, list[Block], Recipe]:
        items = self._items(source)
        say(f"items: {len(items):,} from {_describe(source)}")
        split = self._split(items)
        n_train, n_valid = len(split.train), len(split.valid)
        say(f"split: {n_train:,} training, {n_valid:,} validation by {_describe(self.splitter)}")
        blocks = [b if isinstance(b, Block) else b() for b in self.blocks]
        raws = self._read_targets(items, split, blocks)
        for block in blocks:
            say(f"block: {block.describe()}")
        tfms = [*self.item_tfms, *split_batch_tfms(self.batch_tfms)[0]]
        tfms += [t for block in blocks for t in block.item_tfms]

        def side(positions: Sequence[int], train: bool) -> Dataset:
            known = [None if r is None else [r[i] for i in positions] for r in raws]
            return Dataset(
                subset(items, positions), self._getters, blocks, self.n_inp, tfms, train=train, raws=known
            )

        recipe = Recipe(
            source=_describe(source),
            splitter=_describe(self.splitter),
            item_tfms=tuple(self.item_tfms),
            batch_tfms=tuple(self.batch_tfms),
        )
        return Datasets(side(split.train, True), side(split.valid, False)), blocks, recipe

    def _items(self, source: Any) -> Sequence[Any]:
        items = as_items(self.get_items(source) if self.get_items is not None else source)
        if len(items) == 0:
            raise DataError(
                "there must be at least 2 items",
                f"{_describe(source)} gave none",
                "Check the folder and the file suffixes (.jpg, .png, ...); sub-folders are searched too.",
            )
        return items

    def _split(self, items: Sequence[Any]) -> Split:
        answer = self.splitter(items)
        return check_split(answer, len(items))

    def _read_targets(
        self, items: Sequence[Any], split: Split, blocks: Sequence[Block]
    ) -> list[dict[int, Any] | None]:
        """Fits the blocks; the values of all items are read once and kept where a block has to know them."""
        raws: list[dict[int, Any] | None] = []
        for side, (block, getter) in enumerate(zip(blocks, self._getters, strict=True)):
            is_target = side >= self.n_inp and bool(block.loss)
            if not is_target and type(block).fit is Block.fit:  # nothing to learn: read when it is loaded
                raws.append(None)
                continue
            unsaid = self.get_y is None and self._given_getters is None
            if unsaid and is_target and isinstance(block, CategoryBlock):
                raise ArgumentError(
                    "`get_y` must say how an item's label is found",
                    "it was not given",
                    "Pass e.g. get_y=parent_label.",
                )
            positions = [*split.train, *split.valid]
            what = "get_x" if side < self.n_inp else "get_y"
            known = dict(zip(positions, read_labels(items, positions, getter, what), strict=True))
            block.fit([known[i] for i in split.train])
            if is_target:
                _check_targets(block, items, known, split)
            raws.append(known)
        return raws

    def summary(self, source: Any, bs: int = 4, show_batch: bool = False) -> None:
        """Prints what happens to the source and to one sample, step by step, then collates a batch.

        Args:
            source: What `dataloaders` takes.
            bs: Items of the batch that is collated in the end.
            show_batch: Also draw that batch.

        Raises:
            DataError: Whatever step fails, with what to do about it.
        """
        datasets, blocks, _ = self._build(source, print)
        self._walk(datasets.train, blocks)
        dls = self.dataloaders(source, bs=bs, num_workers=0)
        batch = dls.look(bs)
        for what, tensor in zip(("x", *["y"] * (len(batch.tensors) - 1)), batch.tensors, strict=False):
            print(f"batch: {what} {tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}")
        if show_batch:
            dls.show_batch(batch.tensors)

    def _walk(self, dataset: Dataset, blocks: Sequence[Block]) -> None:
        print(f"sample: {dataset.item_name(0)}")
        values = dataset.load(0)
        for block, value in zip(blocks, values, strict=True):
            print(f"  {block.name} loads {_brief(value)}")
        for transform in dataset.item_tfms:
            values = apply_item_transform(transform, values, self.n_inp, Random(0), True)
            print(f"  {transform_names([transform])[0]} gives {_brief(values[0])}")
        for block, value in zip(blocks, values, strict=True):
            start = time.perf_counter()
            encoded = block.encode(value)
            spent = 1000 * (time.perf_counter() - start)
            shape = tuple(encoded.shape) or encoded.item()
            kind = str(encoded.dtype).removeprefix("torch.")
            print(f"  {block.name} encodes {shape} {kind} in {spent:.1f} ms")


def split_batch_tfms(batch_tfms: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Our own transforms up to the first foreign callable (they join the item transforms), and the rest."""
    for k, transform in enumerate(batch_tfms):
        if not isinstance(transform, Transform):
            return list(batch_tfms[:k]), list(batch_tfms[k:])
    return list(batch_tfms), []


def _check_targets(block: Block, items: Sequence[Any], known: dict[int, Any], split: Split) -> None:
    """Every target can be encoded; found out now rather than in the middle of an epoch."""
    good: set[Any] = set()  # a label met before need not be checked again
    for part, positions in (("training", split.train), ("validation", split.valid)):
        for i in positions:
            raw = known[i]
            if isinstance(raw, Hashable):
                if raw in good:
                    continue
                good.add(raw)
            try:
                block.check(raw)
            except LabelError as error:
                where = f"{error.received} (item '{item_name(items[i], i)}', in {part})"
                raise LabelError(error.rule, where, error.fix) from error


def _as_list(transforms: Any) -> list[Any]:
    if transforms is None:
        return []
    given: list[Any] = list(transforms) if isinstance(transforms, (list, tuple)) else [transforms]
    for transform in given:
        if isinstance(transform, type) or not (isinstance(transform, Transform) or callable(transform)):
            shown = transform.__name__ if isinstance(transform, type) else repr(transform)
            raise ArgumentError(
                "`item_tfms` and `batch_tfms` take transforms and callables",
                f"one is {shown}",
                f"Call the class: {shown}(...)." if isinstance(transform, type) else "Leave it out.",
            )
    return given


def _per_block(getter: Getter | Sequence[Getter] | None, n: int) -> list[Getter]:
    if getter is None:
        return [identity] * n
    return list(getter) if isinstance(getter, Sequence) else [getter]


def _describe(thing: Any) -> str:
    if isinstance(thing, (str, Path)):
        return f"'{thing}'"
    if nw.dependencies.is_into_dataframe(thing):
        return f"a table of {len(thing):,} rows"
    if isinstance(thing, Sequence):
        return f"a list of {len(thing):,}"
    settings = {k: v for k, v in vars(thing).items() if v is not None} if hasattr(thing, "__dict__") else {}
    inner = ", ".join(f"{k}={v!r}" for k, v in settings.items() if isinstance(v, (int, float, str)))
    name = getattr(thing, "__name__", type(thing).__name__)
    return f"{name}({inner})" if inner else name


def _brief(value: Any) -> str:
    size = getattr(value, "size", None)
    if isinstance(size, tuple):
        return f"an image {size[0]}×{size[1]} (height × width)"
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _quiet(_: str) -> None:
    """Says nothing."""
