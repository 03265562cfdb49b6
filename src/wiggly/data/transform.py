"""What may stand in `item_tfms` and `batch_tfms`, and the table by which a bundle finds it again by name.

In: the values of one sample, a random generator, training or not. Out: changed values. A transform of ours
acts on every value of a sample that knows how to be changed so (an image, a mask, points move alike); a
user's own callable gets the input as a picture or whatever it is. Read next: `block.py`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from random import Random
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from wiggly.errors import BundleError

__all__ = [
    "Configurable",
    "LendStatistics",
    "Transform",
    "apply_item_transform",
    "is_active",
    "transform_names",
]

Self = TypeVar("Self", bound="Configurable")


class Configurable:
    """Something that can be written as JSON and made again from it, found by its class name.

    Subclasses are registered when they are defined; nothing outside this table can be named by a file.
    """

    registry: ClassVar[dict[str, type[Configurable]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        Configurable.registry[cls.__name__] = cls

    @property
    def name(self) -> str:
        """The class name, by which it is found again."""
        return type(self).__name__

    def arguments(self) -> dict[str, Any]:
        """The arguments that make an equal object; JSON types and tuples."""
        if not is_dataclass(self):
            return {}
        return {f.name: getattr(self, f.name) for f in fields(self) if f.init}

    def config(self) -> dict[str, Any]:
        """`{"name": ..., "args": {...}}`, ready for JSON."""
        return {"name": self.name, "args": self.arguments()}

    @classmethod
    def from_config(cls: type[Self], config: Mapping[str, Any]) -> Self:
        """The object a `config()` describes.

        Raises:
            BundleError: The name is not in the table, is of another kind, or the arguments do not fit.
        """
        found = Configurable.registry.get(str(config.get("name")))
        if found is None or not issubclass(found, cls):
            raise BundleError(
                f"a {cls.__name__.lower()} must be one that this version of wiggly knows",
                f"it is called {config.get('name')!r}",
                "Update wiggly, or export the model again.",
            )
        arguments = {
            k: tuple(v) if isinstance(v, list) else v for k, v in dict(config.get("args", {})).items()
        }
        try:
            return found(**arguments)
        except (TypeError, ValueError) as error:
            raise BundleError(
                f"the arguments of {config.get('name')} must fit", str(error), "Export the model again."
            ) from error


class Transform(Configurable, ABC):
    """Base of wiggly's own transforms.

    Attributes:
        random: Whether training draws something at random; shown by `summary`.
    """

    random: ClassVar[bool] = True

    def __repr__(self) -> str:
        """Name and the arguments that are not the default, so that long lists of transforms can be read."""
        defaults = {f.name: f.default for f in fields(self)} if is_dataclass(self) else {}
        given = {k: v for k, v in self.arguments().items() if k not in defaults or v != defaults[k]}
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    @abstractmethod
    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        """The sample's values after this transform; values that cannot be changed so come back as they
        are."""


@runtime_checkable
class Mappable(Protocol):
    """A value to which a user's own callable can be applied in its own terms (a picture for an image)."""

    def mapped(self, f: Callable[[Any], Any]) -> Any: ...


@dataclass(frozen=True)
class LendStatistics(Transform):
    """Has images come normalised, because the model has lent its statistics for this pass.

    Args:
        mean: Per channel, on the [0, 1] scale.
        std: Per channel, on the [0, 1] scale.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    random: ClassVar[bool] = False

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        return tuple(v.normalised(self.mean, self.std) if hasattr(v, "normalised") else v for v in values)


def is_active(transform: Any, train: bool) -> bool:
    """Whether a transform runs on this side: `split_idx` 0 is training only, 1 validation only, None both."""
    wanted = getattr(transform, "split_idx", None)
    return wanted is None or wanted == (0 if train else 1)


def apply_item_transform(
    transform: Any, values: tuple[Any, ...], n_inp: int, random: Random, train: bool
) -> tuple[Any, ...]:
    """One step of `item_tfms` on one sample: ours on every value, a user's callable on the inputs."""
    if not is_active(transform, train):
        return values
    if isinstance(transform, Transform):
        return transform.apply(values, random, train)
    f = cast("Callable[[Any], Any]", transform)
    changed = [v.mapped(f) if isinstance(v, Mappable) else f(v) for v in values[:n_inp]]
    return (*changed, *values[n_inp:])


def transform_names(transforms: Sequence[Any]) -> list[str]:
    """How each transform is called in a report or summary."""
    return [
        repr(t) if isinstance(t, Transform) else getattr(t, "__name__", type(t).__name__) for t in transforms
    ]
