"""`Datasets`: training and validation samples, blocks fitted on the training part.

In: items, a getter and a block per side, a split. Out: `.train`, `.valid`, and their loaders. `DataBlock`
builds this from a recipe; by hand it is for those who have the parts already. Read next: `block.py`.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
from typing_extensions import Unpack

from wiggly.data.base import Block, brought_transforms
from wiggly.data.blocks import TransformBlock
from wiggly.data.dataset import Dataset, Getter, identity, read_labels, subset
from wiggly.data.items import as_items, item_name
from wiggly.data.loaders import DataLoaders, Origin, Recipe
from wiggly.data.loading import LoadingOptions
from wiggly.data.pipeline import Pipeline
from wiggly.data.shards.stream import ShardDataset
from wiggly.data.split import Splitter, check_split
from wiggly.data.vocab import Vocab
from wiggly.errors import ArgumentError, LabelError
from wiggly.records import Split

if TYPE_CHECKING:
    from wiggly.data.edits.plan import EditPlan

__all__ = ["BlockLike", "Datasets", "Weights", "made_block"]

BlockLike = Block | Callable[[], Block]
Weights = Sequence[float] | str


class Datasets(Sequence[Dataset]):
    """Training and validation samples: `.train`, `.valid`, or by position.

    Args:
        items: The items: a list or a table.
        tfms: One list per side of a sample, inputs first: functions, each of which gets what the one before
            returned, and at the end a block; without a block values pass as they are.
        splits: Positions for training and validation, or a splitter that finds them.
        n_inp: How many sides are inputs; None for all but the last.

    Raises:
        DataError: The split is empty on one side or does not fit the items.
        LabelError: A label is missing, cannot be found, or is not among those of training.

    Example:
        >>> from wiggly import CategoryBlock
        >>> words = ["ant", "Bee", "cow", "Dog"]
        >>> sets = Datasets(words, [[len], [str.istitle, CategoryBlock]], splits=([0, 1], [2, 3]))
        >>> sets.train[1], sets.vocab
        ((tensor(3), tensor(1)), [False, True])
    """

    def __init__(
        self,
        items: Any,
        tfms: Sequence[Any],
        splits: tuple[Sequence[int], Sequence[int]] | Splitter,
        n_inp: int | None = None,
    ) -> None:
        found = as_items(items)
        split = check_split(splits(found) if callable(splits) else splits, len(found))
        getters, blocks = zip(*map(_side, tfms), strict=True)
        self._fit(found, split, getters, blocks, max(1, len(blocks) - 1) if n_inp is None else n_inp)
        self._finish(brought_transforms(blocks), Recipe(), split)

    @classmethod
    def from_parts(
        cls,
        items: Sequence[Any],
        split: Split,
        getters: Sequence[Getter],
        blocks: Sequence[Block],
        n_inp: int,
        item_tfms: Sequence[Any],
        recipe: Recipe,
        plan: EditPlan | None = None,
    ) -> Self:
        """What a `DataBlock` calls: the same from parts that are checked already; fits the blocks.

        Args:
            items: The items.
            split: Checked positions.
            getters: One per block.
            blocks: Inputs first, not yet fitted.
            n_inp: How many of them are inputs.
            item_tfms: All transforms of one sample, those of the blocks included.
            recipe: For the loaders.
            plan: Edits, which `split` takes into account already; labels are changed here.
        """
        made = cls.__new__(cls)
        made._fit(items, split, getters, blocks, n_inp, plan)
        drawn = split if plan is None or plan.drawn_split is None else plan.drawn_split
        made._finish(item_tfms, recipe if plan is None else replace(recipe, edits=plan.summary()), drawn)
        return made

    @classmethod
    def from_sides(cls, train: Dataset, valid: Dataset, recipe: Recipe) -> Self:
        """From samples whose blocks are fitted already.

        Args:
            train: Training samples.
            valid: Validation samples.
            recipe: For the loaders.
        """
        made = cls.__new__(cls)
        made.train, made.valid, made._recipe = train, valid, recipe
        made.items, made.blocks, made.n_inp = train.items, train.blocks, train.n_inp
        return made

    def _fit(
        self,
        items: Sequence[Any],
        split: Split,
        getters: Sequence[Getter],
        blocks: Sequence[Block],
        n_inp: int,
        plan: EditPlan | None = None,
    ) -> None:
        self.items, self.n_inp, self.blocks = items, n_inp, list(blocks)
        self._getters = list(getters)
        self.splits = Split(*(cast("Any", np.asarray(side, dtype=np.int64)) for side in split))
        # For each side of the split and each block the raw values, where a block has to know them.
        self._raws: tuple[list[list[Any] | None], list[list[Any] | None]] = ([], [])
        for side, (block, getter) in enumerate(zip(blocks, getters, strict=True)):
            is_target = side >= n_inp and block.needs_check
            edited = plan is not None and side >= n_inp and bool(plan.new_labels)
            if not (is_target or block.needs_fit or edited):  # nothing to learn: read when it is loaded
                raws = [None, None]
                block.fit([])
            else:
                what = "get_x" if side < n_inp else "get_y"
                raws = [read_labels(items, positions, getter, what) for positions in split]
                if plan is not None and edited:
                    plan.relabel(raws, split, block, _label_of(items, getter), n_targets=len(blocks) - n_inp)
                block.fit(raws[0] or [])
            for part, known in zip(self._raws, raws, strict=True):
                part.append(known)
            if is_target:
                _check_targets(block, items, split, cast("list[list[Any]]", raws))

    def _finish(self, item_tfms: Sequence[Any], recipe: Recipe, drawn: Split) -> None:
        self._recipe = replace(recipe, origin=Origin(self.items, drawn, self.splits, recipe.folder))
        self.train, self.valid = (
            Dataset(
                subset(self.items, positions),
                self._getters,
                self.blocks,
                self.n_inp,
                item_tfms,
                train=train,
                raws=raws,
            )
            for positions, raws, train in zip(self.splits, self._raws, (True, False), strict=True)
        )

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.train, self.valid)[index]

    @property
    def recipe(self) -> Recipe:
        """How the samples came about."""
        return self._recipe

    @property
    def vocab(self) -> Vocab | list[Vocab] | None:
        """Labels by index; a list of vocabularies where several targets have one."""
        found = [b.vocab for b in self.blocks[self.n_inp :] if b.vocab is not None]
        return found if len(found) > 1 else found[0] if found else None

    def dataloaders(self, bs: int = 64, **options: Unpack[LoadingOptions]) -> DataLoaders:
        """Loaders of both sides.

        Args:
            bs: Items per training batch.
            options: What `DataLoaders.from_dsets` takes by name.

        Example:
            >>> sets = Datasets(range(10), [[float]], splits=(range(8), [8, 9]))
            >>> sets.dataloaders(bs=4, shuffle=False, device="cpu").one_batch()
            (tensor([0., 1., 2., 3.]),)
        """
        return DataLoaders.from_dsets(self.train, self.valid, bs, recipe=self._recipe, **options)

    def weighted_dataloaders(
        self, wgts: Weights, bs: int = 64, **options: Unpack[LoadingOptions]
    ) -> DataLoaders:
        """Loaders whose training items are drawn at random with replacement, in proportion to weights. An
        epoch has as many draws as there are training items; validation is as ever.

        Args:
            wgts: One number per item, of all items or of those of training; or "balanced", which draws each
                class of the target equally often.
            bs: Items per training batch.
            options: What `DataLoaders.from_dsets` takes by name.

        Raises:
            ArgumentError: There is not one weight per item, one is negative, not finite or no number, all
                those of training are 0, or "balanced" is asked for without one label per item.

        Example:
            >>> sets = Datasets(range(4), [[float]], splits=([0, 1, 2], [3]))
            >>> dls = sets.weighted_dataloaders([0, 2, 1, 9], bs=3, seed=0, device="cpu")
            >>> len(dls.train), sorted({i for epoch in range(9) for i in dls.train.order(epoch)})
            (1, [1, 2])
        """
        if isinstance(wgts, str) and wgts != "balanced":
            raise ArgumentError(
                '`wgts` must be one number per item, or "balanced"', f"it is {wgts!r}", "Pass one of these."
            )
        if isinstance(self.train, ShardDataset):
            raise ArgumentError(
                "`wgts` needs items that can be had in any order",
                "the items are rows of shards",
                "Use `dataloaders`.",
            )
        weights = self._balanced() if isinstance(wgts, str) else self._of_training(wgts)
        options["shuffle"] = True  # so that a smaller last batch is left out
        train, valid = self.train, self.valid
        return DataLoaders.from_dsets(train, valid, bs, wgts=weights, recipe=self._recipe, **options)

    def _of_training(self, wgts: Any) -> Sequence[float]:
        # A Series goes by place, whatever its own index says; a dict has no places.
        if not hasattr(wgts, "__len__") or isinstance(wgts, Mapping):
            raise ArgumentError(
                '`wgts` must be one number per item, or "balanced"',
                f"it is a {type(wgts).__name__}",
                "Pass a list.",
            )
        if len(wgts) == len(self.items):
            return np.asarray(wgts)[np.asarray(self.splits.train)].tolist()
        if len(wgts) != len(self.train):
            raise ArgumentError(
                "`wgts` must have one number per item",
                f"there are {len(wgts)} for {len(self.items)} items, {len(self.train)} of them in training",
                "Pass the weights in the order of the items.",
            )
        return wgts

    def _balanced(self) -> list[float]:
        labels: list[Any] = self.train.raw_targets
        if not labels or not all(isinstance(label, Hashable) for label in labels):
            raise ArgumentError(
                '`wgts="balanced"` needs one label per item',
                f"the first is {labels[0]!r:.60}" if labels else "the items have none",
                "Pass a number per item.",
            )
        counts = Counter(labels)
        return [1 / counts[label] for label in labels]


def made_block(block: BlockLike) -> Block:
    """A block from an instance, a class, or whatever makes one without arguments.

    Of an instance a copy is fitted: one that stands twice in a recipe, or in several recipes, would otherwise
    take the labels it met last everywhere.
    """
    return copy.copy(block) if isinstance(block, Block) else block()


def _side(steps: Any) -> tuple[Getter, Block]:
    steps = list(steps) if isinstance(steps, (list, tuple)) else [steps]
    last: Any = steps[-1] if steps else None
    is_block = isinstance(last, Block) or (isinstance(last, type) and issubclass(last, Block))
    functions = steps[:-1] if is_block else steps
    getter = Pipeline(functions) if len(functions) > 1 else functions[0] if functions else identity
    return getter, made_block(last) if is_block else TransformBlock()


def _label_of(items: Sequence[Any], getter: Getter) -> Callable[[int], Any]:
    return lambda position: getter(items[position])


def _check_targets(block: Block, items: Sequence[Any], split: Split, raws: Sequence[list[Any]]) -> None:
    """Every target can be encoded; found out now rather than in the middle of an epoch."""
    good: set[Any] = set()  # a label met before need not be checked again
    for part, positions, known in zip(("training", "validation"), split, raws, strict=True):
        for i, raw in zip(positions, known, strict=True):
            key = tuple(cast("list[Any]", raw)) if type(raw) is list else raw
            try:
                if key in good:
                    continue
                if type(key) is not float:  # a million different ones would only fill memory
                    good.add(key)
            except TypeError:  # of no kind that can be remembered
                pass
            try:
                block.check(raw)
            except LabelError as error:
                where = f"{error.received} (item '{item_name(items[i], i)}', in {part})"
                raise LabelError(error.rule, where, error.fix) from error
