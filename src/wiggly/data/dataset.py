"""Items as samples: getters, blocks and item transforms applied to one item at a time.

In: items, one getter and one fitted block per side. Out: `Dataset`, indexable by position; `Datasets` holds
both splits. Everything random about an item comes from the generator handed in. Read next: `loader.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any

from torch import Tensor

from wiggly.data.blocks import Block, Vocab
from wiggly.data.items import TableItems, item_name
from wiggly.data.transform import Transform, apply_item_transform, transform_names
from wiggly.errors import ArgumentError, DataError, ItemError, LabelError, WigglyError

__all__ = ["Dataset", "Datasets", "Getter", "identity", "read_labels", "subset"]

Getter = Callable[[Any], Any]


def identity(item: Any) -> Any:
    """The item itself."""
    return item


def subset(items: Sequence[Any], positions: Sequence[int]) -> Sequence[Any]:
    """The items at these positions; a table stays a table."""
    return items.subset(positions) if isinstance(items, TableItems) else [items[i] for i in positions]


def read_labels(items: Sequence[Any], positions: Sequence[int], getter: Getter, what: str) -> list[Any]:
    """The raw value of every item, read once, before anything is trained.

    Raises:
        LabelError: The getter fails on an item; the message names it.
    """
    raws: list[Any] = []
    for i in positions:
        item = items[i]
        try:
            raws.append(getter(item))
        except Exception as error:
            if isinstance(error, DataError) and not isinstance(error, LabelError):
                raise  # a missing column: the same for every row
            reason = error.rule if isinstance(error, WigglyError) else f"{type(error).__name__}: {error}"
            raise LabelError(
                f"`{what}` must return a value for every item",
                f"it failed on '{item_name(item, i)}': {reason}",
                "Mend the function, or leave such items out in `get_items`.",
            ) from error
    return raws


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
        except (WigglyError, OSError):
            raise
        except Exception as error:
            raise DataError(
                f"`get_{'x' if side < self.n_inp else 'y'}` must return a value for every item",
                f"it failed on '{self.item_name(position)}': {type(error).__name__}: {error}",
                "Mend the function, or leave such items out in `get_items`.",
            ) from error

    def load(self, position: int) -> tuple[Any, ...]:
        """The values of all blocks, before any transform.

        Raises:
            ItemError: The item cannot be read.
            ArgumentError: The item is of a kind that its block does not take.
        """
        try:
            return tuple(block.load(self.raw(position, side)) for side, block in enumerate(self.blocks))
        except ItemError:
            raise
        except ArgumentError as error:
            where = f"{error.received} (item '{self.item_name(position)}')"
            raise ArgumentError(error.rule, where, error.fix) from error
        except OSError as error:
            raise ItemError(self.item_name(position), f"{type(error).__name__}: {error}") from error

    def sample(self, position: int, random: Random, extra: Sequence[Any] = ()) -> tuple[Any, ...]:
        """The values after the item transforms (and `extra` ones), ready to be encoded."""
        values = self.load(position)
        for transform in (*self.item_tfms, *extra):
            try:
                values = apply_item_transform(transform, values, self.n_inp, random, self.train)
            except ItemError:
                raise
            except Exception as error:
                if isinstance(error, WigglyError) and isinstance(transform, Transform):
                    raise
                reason = (
                    f"{error.rule}; {error.received}"  # what it returned is no picture
                    if isinstance(error, WigglyError)
                    else f"it raised {type(error).__name__}: {error}"
                )
                raise DataError(
                    f"the transform {transform_names([transform])[0]} must work on every item",
                    f"{reason} (on '{self.item_name(position)}')",
                    "A callable in `item_tfms` gets a PIL image and returns an image or a uint8 array (h, "
                    "w, c).",
                ) from error
        return values

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


class Datasets(Sequence[Dataset]):
    """Training and validation samples: `.train`, `.valid`, or by position.

    Args:
        train: Training samples.
        valid: Validation samples.
    """

    def __init__(self, train: Dataset, valid: Dataset) -> None:
        self.train, self.valid = train, valid

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: Any) -> Any:
        return (self.train, self.valid)[index]

    @property
    def vocab(self) -> Vocab | None:
        """Labels by index of the first target."""
        return self.train.vocab
