"""Outputs that are more than one tensor: tensors in tuples, lists and dictionaries, dealt with alike.

In: what a model returned. Out: the same form, with every tensor changed, or batch after batch joined. Read
next: `predict.py`, which collects outputs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from wiggly.errors import TrainingError

__all__ = ["each_tensor", "joined"]


def each_tensor(value: Any, function: Callable[[Tensor], Any]) -> Any:
    """A function of every tensor in a value; lists become tuples, mappings dictionaries.

    Args:
        value: A tensor, or tensors in tuples, lists and mappings, in each other as well.
        function: From a tensor to what stands in its place.

    Raises:
        TrainingError: There is something else in it.

    Example:
        >>> each_tensor({"a": torch.ones(2), "b": [torch.zeros(3)]}, len)
        {'a': 2, 'b': (3,)}
    """
    if isinstance(value, Tensor):
        return function(value)
    if isinstance(value, Mapping):
        parts = cast("Mapping[str, Any]", value)
        return {name: each_tensor(part, function) for name, part in parts.items() if part is not None}
    if isinstance(value, (tuple, list)):
        return tuple(each_tensor(part, function) for part in cast("Sequence[Any]", value))
    raise TrainingError(
        "a model must return a tensor, or tensors in a tuple or a dictionary",
        f"its output is or holds a {type(value).__name__}",
        "Its `forward` must end with `return`." if value is None else "Change what its `forward` returns.",
    )


def joined(parts: Sequence[Any]) -> Any:
    """Values of one form, batch after batch, as one.

    Args:
        parts: At least one.

    Example:
        >>> joined([{"a": torch.ones(2)}, {"a": torch.ones(3)}])["a"].shape
        torch.Size([5])
    """
    first = parts[0]
    if isinstance(first, Tensor):
        return torch.cat(list(parts))
    if isinstance(first, Mapping):
        return {name: joined([part[name] for part in parts]) for name in cast("Mapping[str, Any]", first)}
    return tuple(joined(column) for column in zip(*parts, strict=True))
