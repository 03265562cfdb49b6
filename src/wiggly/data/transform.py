"""What may stand in `item_tfms` and `batch_tfms`, and the table by which a bundle finds it again by name.

In: the values of one sample, a random generator, training or not. Out: changed values. A transform of ours
acts on every value of a sample that knows how to be changed so (an image, a mask, points move alike); one of
the user's own may instead say what it makes of a picture, in `encodes`; any other callable gets the inputs as
pictures or whatever they are (`foreign.py`). Read next: `block.py`.
"""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from random import Random
from typing import Any, ClassVar, Protocol, TypeVar, cast, runtime_checkable

from wiggly.data.foreign import apply_foreign, drawing_from, library_of, on_value
from wiggly.data.own import annotated_type, is_shown_as, on_sample
from wiggly.errors import ArgumentError, BundleError

__all__ = [
    "Configurable",
    "DisplayedTransform",
    "ItemTransform",
    "LendStatistics",
    "RandTransform",
    "Transform",
    "apply_item_transform",
    "as_transforms",
    "is_active",
    "is_fused",
    "split_batch_tfms",
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
        known = Configurable.registry.get(cls.__name__)
        ours = known is not None and known.__module__.startswith("wiggly.")
        # A class of the user's that happens to be called like one of ours does not take its place.
        if not ours or cls.__module__.startswith("wiggly."):
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
    """Base of wiggly's own transforms, and of yours.

    A subclass says what it does in one of two ways. `apply` gets all values of a sample as they are while
    their steps are still being collected, so that it can add one (the vision transforms derive from
    `GeometricTransform` and `ColourTransform`, which do so). `encodes` gets a finished value and returns a
    new one: a picture for an image. It is called for every input, or, if its argument is annotated, for every
    value of that type, inputs and targets; in `batch_tfms` it gets the input tensor of the batch.
    Transforms run in the order of their list.

    Attributes:
        random: Whether training draws something at random; shown by `summary`.
        split_idx: 0 runs it in training only, 1 in validation only, None in both.
        encodes: What it makes of one value; None where `apply` says everything.

    Example:
        >>> class Doubled(Transform):
        ...     def encodes(self, x: int):
        ...         return 2 * x
        >>> apply_item_transform(Doubled(), (1, "one"), n_inp=1, random=Random(0), train=True)
        (2, 'one')
    """

    random: ClassVar[bool] = True
    split_idx: ClassVar[Any] = None
    encodes: Any = None

    def __repr__(self) -> str:
        """Name and the arguments that are not the default, so that long lists of transforms can be read."""
        defaults = {f.name: f.default for f in fields(self)} if is_dataclass(self) else {}
        given = {k: v for k, v in self.arguments().items() if k not in defaults or v != defaults[k]}
        return f"{self.name}({', '.join(f'{k}={v!r}' for k, v in given.items())})"

    def apply(self, values: tuple[Any, ...], random: Random, train: bool) -> tuple[Any, ...]:
        """The sample's values after this transform; values that cannot be changed so come back as they
        are."""
        return self.encoded(values, len(values), random, train)

    def encoded(self, values: tuple[Any, ...], n_inp: int, random: Random, train: bool) -> tuple[Any, ...]:
        """The sample's values after `encodes`, of which the first `n_inp` are inputs."""
        if self.encodes is None:
            raise ArgumentError(
                "a transform must define `encodes` or `apply`",
                f"{self.name} defines neither",
                "Write `def encodes(self, x):`, which returns the new value.",
            )
        wanted = annotated_type(self.encodes)
        sides = range(n_inp) if wanted is None else range(len(values))
        changed = list(values)
        with drawing_from(random):
            for side in sides:
                if wanted is None or is_shown_as(values[side], wanted):
                    changed[side] = on_value(self.encodes, values[side])
        return tuple(changed)


DisplayedTransform = Transform


class RandTransform(Transform):
    """Base of transforms of your own that run in training, with a probability.

    Args:
        p: Probability; decided by the item's own generator.

    Example:
        >>> class Shifted(RandTransform):
        ...     def encodes(self, x: int):
        ...         return x + 100
        >>> [apply_item_transform(Shifted(p=0.5), (k,), 1, Random(k), train=True)[0] for k in range(4)]
        [0, 101, 2, 103]
    """

    split_idx: ClassVar[Any] = 0

    def __init__(self, p: float = 1.0) -> None:
        self.p = p

    def before_call(self, b: Any, split_idx: int) -> None:
        """Called before `encodes` with the sample's values and 0 in training, 1 in validation; for what all
        values of a sample shall share. Threads share the object: store only what is the same for all items.
        """

    def encoded(self, values: tuple[Any, ...], n_inp: int, random: Random, train: bool) -> tuple[Any, ...]:
        if random.random() >= getattr(self, "p", 1.0):
            return values
        self.before_call(values, 0 if train else 1)
        return super().encoded(values, n_inp, random, train)


class ItemTransform(Transform):
    """Base of transforms of your own on a whole sample: `encodes` gets a tuple, pictures and masks finished,
    and returns a tuple as long.

    Example:
        >>> class Swapped(ItemTransform):
        ...     def encodes(self, sample):
        ...         a, b = sample
        ...         return b, a
        >>> apply_item_transform(Swapped(), (1, 2), n_inp=1, random=Random(0), train=True)
        (2, 1)
    """

    def encoded(self, values: tuple[Any, ...], n_inp: int, random: Random, train: bool) -> tuple[Any, ...]:
        with drawing_from(random):
            return on_sample(self.encodes, values)


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
    if not isinstance(transform, Transform):
        return apply_foreign(transform, values, n_inp, random)
    if transform.encodes is None:
        return transform.apply(values, random, train)
    return transform.encoded(values, n_inp, random, train)


def is_fused(transform: Any) -> bool:
    """Whether a transform is one of ours, that acts on values whose steps are still being collected."""
    return isinstance(transform, Transform) and transform.encodes is None


def transform_names(transforms: Sequence[Any]) -> list[str]:
    """How each transform is called in a report or summary."""
    return [
        repr(t) if isinstance(t, Transform) else getattr(t, "__name__", type(t).__name__) for t in transforms
    ]


def as_transforms(given: Any) -> list[Any]:
    """What a user gave as `item_tfms` or `batch_tfms`, as a list.

    Raises:
        ArgumentError: One is no transform and cannot be called, or is a class that needs arguments.
    """
    if given is None:
        return []
    several = isinstance(given, (list, tuple))
    found = [_made(one) for one in (cast("Sequence[Any]", given) if several else [given])]
    for transform in found:
        if isinstance(transform, type) or not (isinstance(transform, Transform) or callable(transform)):
            shown = transform.__name__ if isinstance(transform, type) else repr(transform)
            raise ArgumentError(
                "`item_tfms` and `batch_tfms` take transforms and callables",
                f"one is {shown}",
                f"Call the class: {shown}(...)." if isinstance(transform, type) else _fix_of(transform),
            )
    return found


def _fix_of(transform: Any) -> str:
    nested = isinstance(transform, (list, tuple))
    return "Write a star before it: [Resize(224), *aug_transforms()]." if nested else "Leave it out."


def _made(transform: Any) -> Any:
    """Of a class of transforms an object, if it can be made without arguments; fastai's readers write
    `ToTensor` as well as `ToTensor()`."""
    if isinstance(transform, type) and (issubclass(transform, Transform) or library_of(transform)):
        with suppress(TypeError):
            return transform()
    return transform


def split_batch_tfms(batch_tfms: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """Our own transforms up to the first foreign callable (they join the item transforms), and the rest."""
    for k, transform in enumerate(batch_tfms):
        if not is_fused(transform):
            return list(batch_tfms[:k]), list(batch_tfms[k:])
    return list(batch_tfms), []
