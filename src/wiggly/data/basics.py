"""Small helpers that notebooks of the course lean on: a list that maps, seeds, tensors from anything.

Read next: `items.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from operator import index
from typing import Any, SupportsIndex, TypeVar, overload

import numpy as np
import torch
from torch import Tensor

from wiggly.errors import ArgumentError

__all__ = ["L", "first", "range_of", "set_seed", "tensor"]

T = TypeVar("T")


class L(list[Any]):
    """A list with the operations one does on lists of files and rows; indexed by positions, masks and tensors
    too.

    Args:
        items: One iterable, or several single items.

    Example:
        >>> files = L(3, 1, 2)
        >>> files.sorted().map(str), files[[True, False, True]], files[torch.tensor([0, 2])]
        (['1', '2', '3'], [3, 2], [3, 2])
    """

    def __init__(self, *items: Any) -> None:
        single = len(items) == 1 and isinstance(items[0], Iterable) and not isinstance(items[0], (str, bytes))
        super().__init__(items[0] if single else items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, (Tensor, np.ndarray)):
            index = index.tolist()
        if isinstance(index, slice):
            return L(super().__getitem__(index))
        if not isinstance(index, (list, tuple)):
            return super().__getitem__(index)
        if index and all(isinstance(i, bool) for i in index):
            return L(item for item, keep in zip(self, index, strict=True) if keep)
        return L(super(L, self).__getitem__(i) for i in index)

    def map(self, f: Callable[..., Any], *args: Any, **kwargs: Any) -> L:
        """`f(item, *args, **kwargs)` of every item."""
        return L(f(item, *args, **kwargs) for item in self)

    def filter(self, f: Callable[[Any], Any]) -> L:
        """Items for which `f` is true."""
        return L(item for item in self if f(item))

    def sorted(self, key: Callable[[Any], Any] | str | None = None, reverse: bool = False) -> L:
        """A sorted copy; `key` may be the name of an attribute."""
        by = (lambda item: getattr(item, key)) if isinstance(key, str) else key
        return L(sorted(self, key=by, reverse=reverse))

    def itemgot(self, *positions: Any) -> L:
        """`item[position]` of every item, one position after the other."""
        found = list(self)
        for position in positions:
            found = [item[position] for item in found]
        return L(found)

    def attrgot(self, name: str, default: Any = None) -> L:
        """An attribute of every item."""
        return L(getattr(item, name, default) for item in self)

    def argwhere(self, f: Callable[[Any], Any]) -> L:
        """Positions of the items for which `f` is true."""
        return L(i for i, item in enumerate(self) if f(item))

    def zipwith(self, *others: Iterable[Any]) -> L:
        """Tuples of an item and its partners."""
        return L(zip(self, *others, strict=False))

    def unique(self, sort: bool = False) -> L:
        """Distinct items, by first appearance or sorted."""
        distinct = dict.fromkeys(self)
        return L(sorted(distinct) if sort else distinct)

    def concat(self) -> L:
        """The items of the items."""
        return L(inner for item in self for inner in item)


@overload
def first(items: Iterable[T]) -> T | None: ...
@overload
def first(items: Iterable[T], f: Callable[[T], Any]) -> T | None: ...
def first(items: Iterable[T], f: Callable[[T], Any] | None = None) -> T | None:
    """The first item (for which `f` is true), or None.

    Example:
        >>> first([1, 2, 3], lambda x: x > 1)
        2
    """
    return next((item for item in items if f is None or f(item)), None)


def range_of(items: Any) -> list[int]:
    """Positions of the items.

    Example:
        >>> range_of("abc")
        [0, 1, 2]
    """
    return list(range(len(items)))


def set_seed(seed: SupportsIndex, reproducible: bool = False) -> None:
    """Seeds the global generators of Python, numpy and torch (on all devices).

    Args:
        seed: Any integer; numpy gets it modulo 2**32.
        reproducible: Also make cuDNN choose the same algorithms every time, which costs speed.

    Raises:
        ArgumentError: The seed is no integer.

    Example:
        >>> set_seed(42); a = torch.rand(1); set_seed(42); bool(a == torch.rand(1))
        True
    """
    try:
        number = index(seed)
    except TypeError:
        raise ArgumentError("a seed must be an integer", f"it is {seed!r}", "Pass e.g. 42.") from None
    random.seed(number)
    np.random.seed(number % 2**32)
    torch.manual_seed(number)
    if reproducible:
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.benchmark = False


def tensor(x: Any, *rest: Any) -> Tensor:
    """A tensor of numbers, a list, an array, a picture, a table or a column; 64-bit floats become 32-bit.

    Example:
        >>> tensor(1, 2, 3), tensor(np.array([0.5])).dtype
        (tensor([1, 2, 3]), torch.float32)
    """
    if rest:
        x = (x, *rest)
    if isinstance(x, Tensor):
        return x
    if not isinstance(x, np.ndarray) and (hasattr(x, "__array__") or hasattr(x, "__array_interface__")):
        x = np.asarray(x)
    if isinstance(x, np.ndarray):
        x = np.ascontiguousarray(x)
        made = torch.as_tensor(x if x.flags.writeable else x.copy())  # a table's column may not be written to
    else:
        made = torch.tensor(x)
    return made.float() if made.dtype == torch.float64 else made
