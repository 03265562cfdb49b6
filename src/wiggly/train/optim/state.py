"""What an optimizer remembers, as data: which of it can be written, and how what was read becomes it again.

In: state and settings of a torch optimizer, or what a checkpoint has of them. Out: the same with tuples where
torch wants them, on the parameters' device; a refusal of another optimizer's. Read next: `../checkpoint.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from wiggly.errors import ModelError

__all__ = ["aligned", "as_tuples", "check_same_kind", "copied", "is_data"]


def copied(values: Mapping[str, Any]) -> dict[str, Any]:
    """State with tensors of its own."""
    return {name: v.clone() if isinstance(v, Tensor) else v for name, v in values.items()}


def is_data(value: Any) -> bool:
    """Whether a setting can be written: no dtype, no function."""
    if isinstance(value, list | tuple):
        return all(map(is_data, cast("Sequence[Any]", value)))
    return value is None or isinstance(value, bool | int | float | str | Tensor)


def as_tuples(value: Any, like: Any) -> Any:
    """`value` with tuples wherever `like` has them; JSON knows lists only."""
    if isinstance(value, Mapping) and isinstance(like, Mapping):
        pairs = cast("Mapping[Any, Any]", value).items()
        return {key: as_tuples(part, cast("Mapping[Any, Any]", like).get(key)) for key, part in pairs}
    if isinstance(value, list | tuple) and isinstance(like, tuple):
        parts, models = cast("Sequence[Any]", value), cast("tuple[Any, ...]", like)
        known = models if len(models) == len(parts) else (None,) * len(parts)
        return tuple(as_tuples(part, model) for part, model in zip(parts, known, strict=True))
    return value


def aligned(value: Any, parameter: Tensor) -> Any:
    """A value of the state on its parameter's device and, if of its shape, in its memory format."""
    if isinstance(value, list | tuple):
        parts = [aligned(part, parameter) for part in cast("Sequence[Any]", value)]
        return parts if isinstance(value, list) else tuple(parts)
    if not isinstance(value, Tensor) or not value.ndim:  # step counts stay where torch put them
        return value
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    if value.device == parameter.device and value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def check_same_kind(mine: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Refuses the settings of a group of another kind of optimizer: each has some that the other has not.

    More on one side alone is no sign of that, as later versions of torch add settings.

    Raises:
        ModelError: The settings differ both ways.
    """
    missing = sorted(name for name in mine.keys() - theirs.keys() if is_data(mine[name]))
    unknown = sorted(theirs.keys() - mine.keys())
    if missing and unknown:
        raise ModelError(
            "saved optimizer state must be of the same kind of optimizer",
            f"it has {', '.join(unknown)}, this one {', '.join(missing)}",
            "Make the learner with the opt_func that it was saved with, or pass with_opt=False.",
        )
