"""What a transform of the user's own is called with: finished values, chosen by the type it asks for.

In: a method `encodes` and the values of a sample. Out: the type it is annotated with, values after it; what
to do about one that fails. Read next: `transform.py`.
"""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from types import UnionType
from typing import Any, cast

from wiggly.data.foreign import library_of
from wiggly.errors import DataError

__all__ = ["annotated_type", "batch_advice", "is_shown_as", "item_advice", "on_sample"]


def annotated_type(method: Callable[[Any], Any]) -> tuple[type, ...] | None:
    """The types that a method's argument is annotated with; None for none, or one that cannot be found.

    Example:
        >>> def encodes(x: int | str): ...
        >>> annotated_type(encodes)
        (<class 'int'>, <class 'str'>)
    """
    parameters = list(inspect.signature(method).parameters.values())
    if not parameters or parameters[0].annotation is inspect.Parameter.empty:
        return None
    name, given = parameters[0].name, parameters[0].annotation
    if isinstance(given, str):
        try:
            given = typing.get_type_hints(method)[name]
        except (NameError, TypeError):
            return None
    if isinstance(given, UnionType) or typing.get_origin(given) is typing.Union:
        given = typing.get_args(given)
    found = cast("tuple[Any, ...]", given) if isinstance(given, tuple) else (given,)
    kinds = tuple(kind for kind in found if isinstance(kind, type))
    return kinds if len(kinds) == len(found) and object not in kinds else None


def is_shown_as(value: Any, kinds: tuple[type, ...]) -> bool:
    """Whether a value is, or is shown to a callable as, one of these types."""
    return issubclass(getattr(value, "shown_as", type(value)), kinds)


def on_sample(function: Callable[[Any], Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """A function on the tuple of a sample's finished values; what it returns unchanged stays as it was.

    Raises:
        DataError: It does not return one value for each.
    """
    finished, shown = list(values), list(values)
    for side, value in enumerate(values):
        if hasattr(value, "mapped"):
            finished[side], shown[side] = _finished(value)
    answer = function(tuple(shown))
    if not isinstance(answer, (tuple, list)) or len(cast("tuple[Any, ...]", answer)) != len(values):
        raise DataError(
            f"`encodes` of an ItemTransform must return {len(values)} values, as many as it got",
            f"it returned {answer!r:.60}",
            "Return the whole tuple, inputs and targets.",
        )
    changed = list(finished)
    for side, new in enumerate(cast("tuple[Any, ...]", answer)):
        if new is not shown[side]:
            old = finished[side]
            changed[side] = old.replaced(new) if hasattr(old, "mapped") else new
    return tuple(changed)


def _finished(value: Any) -> tuple[Any, Any]:
    """A value with its steps done, and what it is shown as."""
    seen: list[Any] = []
    done = value.mapped(lambda shown: seen.append(shown) or shown)
    return done, seen[0]


def item_advice(transform: Any) -> str:
    """What to do about a transform in `item_tfms` that fails, or does not return what it should."""
    normalising = "Leave normalising to `batch_tfms`: Normalize.from_stats(mean, std)."
    if library_of(type(transform)):
        return (
            f"{normalising} It gets the picture with its mask, points and boxes, no labels: leave out what "
            "filters boxes, too; those that leave the picture are dropped with their labels."
        )
    return (
        "A callable in `item_tfms` gets a PIL image and returns an image, a uint8 array (h, w, c), or floats "
        f"in [0, 1]. {normalising}"
    )


def batch_advice(transform: Any) -> str:
    """The same for one in `batch_tfms`."""
    library = library_of(type(transform))
    if library == "albumentations":
        return "Put it into `item_tfms`: it takes one picture at a time."
    if library and type(transform).__name__ in ("MixUp", "CutMix"):
        return f"Take wiggly's own, a callback of the learner: cbs={type(transform).__name__}()."
    return "It gets the images as a float tensor (n, c, h, w) in [0, 1] and returns one like it."
