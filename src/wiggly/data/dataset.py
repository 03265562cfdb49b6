"""Items as samples: getters, blocks and item transforms applied to one item at a time.

In: items, one getter and one fitted block per side. Out: `Dataset`, indexable by position. Everything random
about an item comes from the generator handed in. Read next: `loader.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from random import Random
from typing import Any

from torch import Tensor

from wiggly.data.base import Block, brought_transforms
from wiggly.data.cache.keeping import Keeping
from wiggly.data.items import item_name
from wiggly.data.own import item_advice
from wiggly.data.pipeline import read_all
from wiggly.data.transform import apply_item_transform, is_fused, transform_names
from wiggly.data.vocab import Vocab
from wiggly.errors import ArgumentError, DataError, DependencyError, ItemError, LabelError, WigglyError

__all__ = ["Dataset", "Getter", "identity", "read_labels", "subset"]

Getter = Callable[[Any], Any]


def identity(item: Any) -> Any:
    """The item itself."""
    return item


def subset(items: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    """The items at these positions; a table, or whatever else can choose by itself, stays what it is."""
    choose = getattr(items, "subset", None)
    return choose(positions) if choose is not None else [items[i] for i in positions]


def read_labels(items: Sequence[Any], positions: Sequence[int], getter: Getter, what: str) -> list[Any]:
    """The raw value of every item, read once, before anything is trained.

    Args:
        items: The items.
        positions: Which of them.
        getter: Item to raw value; a column of a table is read as a whole.
        what: The getter's name in messages.

    Raises:
        LabelError: The getter fails on an item; the message names it.
    """
    whole: list[Any] | None = None
    with suppress(Exception):  # then read item by item below, to say which one it is
        whole = read_all(getter, items, positions)
    raws: list[Any] = [] if whole is None else whole
    same: dict[str, str] = {}  # a million labels are a few texts
    for i in positions if whole is None else ():
        try:
            raw = getter(items[i])
        except Exception as error:
            if isinstance(error, DataError) and not isinstance(error, (LabelError, ItemError)):
                raise  # a missing column: the same for every row
            raise _getter_failed(what, item_name(items[i], i), error) from error
        raws.append(same.setdefault(raw, raw) if type(raw) is str else raw)
    return raws if whole is None else [same.setdefault(r, r) if type(r) is str else r for r in raws]


def _getter_failed(what: str, name: str, error: Exception) -> LabelError:
    fix = "Mend the function, or leave such items out in `get_items`."
    reason = f"{type(error).__name__}: {error}"
    if isinstance(error, ItemError):
        reason, fix = error.reason, error.fix
    elif isinstance(error, WigglyError):
        reason, fix = f"{error.rule}; {error.received}", error.fix
    return LabelError(f"`{what}` must return a value for every item", f"it failed on '{name}': {reason}", fix)


class Dataset(Sequence[tuple[Any, ...]]):
    """The samples of one side of the split.

    Args:
        items: The items.
        getters: One per block: item to raw value.
        blocks: Fitted blocks, inputs first.
        n_inp: How many of them are inputs.
        item_tfms: Transforms of one sample, in order.
        train: Whether transforms draw at random.
        raws: For each block the raw values, where they have been read already, else None.
        labelled: False for items without targets (only the input blocks are used).
        direct: An item that the input block can load as it is (a path, a picture) skips the getter; for new
            items.
    """

    def __init__(
        self,
        items: Sequence[Any],
        getters: Sequence[Getter],
        blocks: Sequence[Block],
        n_inp: int,
        item_tfms: Sequence[Any] = (),
        train: bool = False,
        raws: Sequence[list[Any] | None] | None = None,
        labelled: bool = True,
        direct: bool = False,
    ) -> None:
        self.items, self.n_inp, self.train, self.labelled = items, n_inp, train, labelled
        self.direct = direct
        n = len(blocks) if labelled else n_inp
        self.blocks, self.getters = list(blocks)[:n], list(getters)[:n]
        self.item_tfms = list(item_tfms)
        self.keeping: Keeping | None = None  # the cache, if `keep_decoded` gave one
        self._related = any(type(block).relate is not Block.relate for block in self.blocks)
        self.raws = list(raws)[:n] if raws is not None else [None] * n

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> Any:
        """The item's values as a person or a script would use them: a picture, an encoded label."""
        if isinstance(index, slice):
            return [self[i] for i in range(len(self))[index]]
        position = range(len(self))[int(index)]  # also checks the range and takes negative positions
        return tuple(
            block.present(value) for block, value in zip(self.blocks, self.load(position), strict=True)
        )

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return (self[i] for i in range(len(self)))

    def item_name(self, position: int) -> str:
        """How messages call the item at a position."""
        return item_name(self.items[position], position)

    def raw(self, position: int, side: int) -> Any:
        """What the getter of one block returns for an item."""
        known = self.raws[side]
        if known is not None:
            return known[position]
        item = self.items[position]
        # A new photo may be handed to `predict` where training read its path from a table's row.
        direct = self.direct and side < self.n_inp and self.blocks[side].accepts(item)
        if direct:
            return item
        try:
            return self.getters[side](item)
        except Exception as error:
            if isinstance(error, (WigglyError, OSError)) and not isinstance(error, LabelError):
                raise
            what = "get_x" if side < self.n_inp else "get_y"
            raise _getter_failed(what, self.item_name(position), error) from error

    def load(self, position: int) -> tuple[Any, ...]:
        """The values of all blocks, before any transform.

        Raises:
            ItemError: The item cannot be read.
            LabelError: Its target cannot be.
            ArgumentError: The item is of a kind that its block does not take.
        """
        try:
            values = tuple(self._loaded(block, self.raw(position, k)) for k, block in enumerate(self.blocks))
            if not self.train:
                values = tuple(block.exact(value) for block, value in zip(self.blocks, values, strict=True))
            if not self._related:
                return values
            pairs = zip(self.blocks, values, strict=True)
            return tuple(block.relate(value, values) for block, value in pairs)
        except ItemError:
            raise
        except LabelError as error:
            if f"'{self.item_name(position)}'" in error.received:
                raise
            where = f"{error.received} (item '{self.item_name(position)}')"
            raise LabelError(error.rule, where, error.fix) from error
        except ArgumentError as error:
            where = f"{error.received} (item '{self.item_name(position)}')"
            raise ArgumentError(error.rule, where, error.fix) from error
        except OSError as error:
            raise ItemError(self.item_name(position), f"{type(error).__name__}: {error}") from error

    def _loaded(self, block: Block, raw: Any) -> Any:
        return block.load(raw) if self.keeping is None else block.load_kept(raw, self.keeping)

    def sample(self, position: int, random: Random, extra: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The values after the item transforms (and `extra` ones), ready to be encoded."""
        values = self.load(position)
        for transform in (*self.item_tfms, *extra):
            values = self.transformed(transform, values, position, random)
        return values

    def with_transforms(self, added: Sequence[Any]) -> Dataset:
        """The same samples with more transforms, before those that blocks bring."""
        brought = brought_transforms(self.blocks)
        own = [t for t in self.item_tfms if t not in brought]
        made = copy.copy(self)
        made.item_tfms = [*own, *added, *brought]
        return made

    def transformed(
        self, transform: Any, values: tuple[Any, ...], position: int, random: Random
    ) -> tuple[Any, ...]:
        """One item transform applied to the values of an item.

        Raises:
            DataError: It fails; the message names it and the item.
        """
        try:
            return apply_item_transform(transform, values, self.n_inp, random, self.train)
        except ItemError:
            raise
        except Exception as error:
            if isinstance(error, WigglyError) and is_fused(transform):
                raise
            if isinstance(error, (DataError, DependencyError)):  # its fix is better than the one below
                where = f"{error.received} (on '{self.item_name(position)}')"
                raise type(error)(error.rule, where, error.fix) from error
            reason = (
                f"{error.rule}; {error.received}"  # what it returned is no picture
                if isinstance(error, WigglyError)
                else f"it raised {type(error).__name__}: {error!s:.300}"  # some hold a whole picture
            )
            raise DataError(
                f"the transform {transform_names([transform])[0]} must work on every item",
                f"{reason} (on '{self.item_name(position)}')",
                item_advice(transform),
            ) from error

    @property
    def raw_targets(self) -> list[Any]:
        """Raw labels of the first target, one per item; empty for unlabelled items."""
        if not self.labelled or self.n_inp >= len(self.blocks):
            return []
        return [self.raw(i, self.n_inp) for i in range(len(self))]

    @property
    def vocab(self) -> Vocab | None:
        """Labels by index of the first target."""
        return self.blocks[self.n_inp].vocab if self.n_inp < len(self.blocks) else None

    def encoded_target(self, position: int) -> Tensor:
        """The first target of an item, without reading its input."""
        block = self.blocks[self.n_inp]
        return block.encode(block.load(self.raw(position, self.n_inp)))
