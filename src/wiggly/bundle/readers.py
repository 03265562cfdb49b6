"""What goes into a model: one `Reader` for each kind of input; pictures and rows of tables so far.

In: the input that `model.json` describes, or a learner to be described. Out: tensors for the network, worked
examples' files. A reader imports no training code. Read next: `pictures.py`, `rows.py`; `answers.py`, what
comes out.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, cast

import numpy.typing as npt
from torch import Tensor, nn

from wiggly.bundle.parts import Input, Task
from wiggly.errors import BundleError

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["ChosenExample", "Reader", "dealt", "first_known", "reader_of", "reader_to_describe", "spread"]

#: Module and class for each `kind` of input.
READERS = {
    "image": ("pictures", "PictureReader"),
    "table": ("rows", "RowReader"),
    "pairs": ("rows", "PairReader"),
}

#: Which kind a learner's loaders, or their only input block, are.
KINDS = {"CollabDataLoaders": "pairs", "ImageBlock": "image", "TableBlock": "table"}


class ChosenExample(NamedTuple):
    """A validation item that becomes a worked example.

    Attributes:
        suffix: Of its file.
        content: Of its file.
        actual: What the data says of it; None where that is not kept.
    """

    suffix: str
    content: bytes
    actual: Any


class Reader(ABC):
    """How an item becomes the network's input.

    Args:
        described: What `model.json` says.
        name: How errors call the bundle.

    Attributes:
        batch_size: Items per pass when nobody says.
        task: What models of this input do, where that is more than their kind of output says.
    """

    batch_size: ClassVar[int] = 32
    task: ClassVar[Task | None] = None

    @abstractmethod
    def __init__(self, described: Any, name: str) -> None: ...

    @classmethod
    @abstractmethod
    def describe(cls, learn: Learner) -> Input:
        """What is written about a learner's input.

        Raises:
            BundleError: It cannot travel as data.
        """

    @classmethod
    @abstractmethod
    def choose(cls, learn: Learner, n: int, by_class: bool) -> Iterator[ChosenExample]:
        """Up to `n` validation items, spread over the classes or over the data."""

    @abstractmethod
    def network(self, config: Mapping[str, Any], room: int) -> nn.Module:
        """The network that `model.json` describes, with random weights.

        Args:
            config: Its description.
            room: Bytes that the weights take: a network that needs many more is not the one they are of.
        """

    @abstractmethod
    def items(self, items: Any) -> Any:
        """Items as `batches` and `seen` take them; has a length."""

    @abstractmethod
    def batches(self, items: Any, bs: int) -> Iterator[tuple[Tensor, ...]]:
        """The network's inputs, batch by batch, in order."""

    @abstractmethod
    def one(self, item: Any) -> tuple[tuple[Tensor, ...], tuple[Any, ...]]:
        """The network's inputs for one item, with a batch axis of 1, and what `seen` gives for it."""

    def seen(self, items: Any, position: int) -> tuple[Any, ...]:
        """The values of an item as the network sees them: a picture knows where its pixels came from."""
        return ()

    def feeds(self, content: bytes) -> list[tuple[npt.NDArray[Any], ...]]:
        """An example's inputs for the ONNX graph, with a batch axis of 1; of pictures in several forms."""
        inputs, _ = self.one(content)
        return [tuple(part.numpy() for part in inputs if part.shape[1])]

    def item_of(self, content: bytes) -> Any:
        """The item in an example's file, as a learner takes it."""
        return content


def reader_of(described: Input, name: str) -> Reader:
    """The reader of an input that `model.json` describes."""
    return _reader(described.kind)(described, name)


def reader_to_describe(learn: Learner) -> type[Reader]:
    """The class that can describe a learner's input.

    Raises:
        BundleError: None can.
    """
    blocks = learn.dls.input_blocks
    kind = first_known(KINDS, learn.dls) or (first_known(KINDS, blocks[0]) if len(blocks) == 1 else None)
    if kind is None:
        raise BundleError(
            "a bundle needs loaders with one ImageBlock, or a table, as their input",
            f"these have {[block.name for block in blocks] or 'no blocks'}",
            "Build them with `ImageDataLoaders`, `TabularDataLoaders` or a "
            "`DataBlock(blocks=(ImageBlock, CategoryBlock), ...)`.",
        )
    return _reader(kind)


def first_known(kinds: Mapping[str, str], thing: Any) -> str | None:
    """The kind of an object by the name of its class, or of the nearest class it was derived from."""
    return next((kinds[kind.__name__] for kind in type(thing).__mro__ if kind.__name__ in kinds), None)


def _reader(kind: str) -> type[Reader]:
    module, name = READERS[kind]
    return cast("type[Reader]", getattr(import_module(f"wiggly.bundle.{module}"), name))


def dealt(groups: Sequence[Iterable[Any]], n: int) -> Iterator[Any]:
    """Up to `n` members of the groups: one of each (of groups evenly spread where there are more than `n`),
    then a second of each, and so on.

    Example:
        >>> list(dealt(["aaaa", "b", "cc"], 6))
        ['a', 'b', 'c', 'a', 'c', 'a']
        >>> list(dealt(["aaaa", "b", "cc"], 2))
        ['a', 'c']
    """
    sources = [iter(groups[place]) for place in spread(len(groups), n)]
    left = n
    while left > 0 and sources:
        for source in list(sources):
            try:
                member = next(source)
            except StopIteration:
                sources.remove(source)
                continue
            yield member
            left -= 1
            if not left:
                return


def spread(count: int, n: int) -> Sequence[int]:
    """Up to `n` positions evenly spread over `count`.

    Example:
        >>> spread(10, 3), spread(2, 5)
        ([0, 4, 9], [0, 1])
    """
    import numpy as np

    places = np.linspace(0, count - 1, min(n, count)).round()
    return list(dict.fromkeys(int(place) for place in places))
