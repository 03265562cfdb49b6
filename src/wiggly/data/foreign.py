"""Transforms of torchvision and Albumentations, users' callables: given what they expect, seeded per item.

In: a foreign transform, the values of a sample, the item's generator. Out: values after it. A picture and
what lies on it (mask, points, boxes) are handed over together, or the transform is refused: never is a
picture moved alone. What lies outside a mask the library fills, with index 0 unless it is told otherwise.
Neither library is imported here unless the user has. What is drawn from torch's global generator comes from
the item's instead, in this thread alone, and each thread has its own copy of an Albumentations transform;
what a callable draws from `random` or numpy's global generator is the caller's own.
Read next: `own.py`.
"""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from random import Random
from typing import Any, cast
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from wiggly.errors import DataError, DependencyError

__all__ = ["apply_foreign", "apply_to_batch", "drawing_from", "library_of", "on_value"]

Array = npt.NDArray[Any]

# torch's functions that draw, and by which name they take a generator: all "generator".
_DRAWING: set[Any] = {
    torch.rand,
    torch.randn,
    torch.randint,
    torch.randperm,
    torch.normal,
    torch.bernoulli,
    torch.multinomial,
    *(getattr(torch, name) for name in ("_sample_dirichlet", "_standard_gamma") if hasattr(torch, name)),
    Tensor.bernoulli,
    Tensor.multinomial,
    Tensor.uniform_,
    Tensor.normal_,
    Tensor.random_,
    Tensor.bernoulli_,
    Tensor.exponential_,
    Tensor.geometric_,
    Tensor.log_normal_,
    Tensor.cauchy_,
}
# These take no generator in older versions of torch.
_DRAWING_LIKE: dict[Any, Callable[..., Tensor]] = {torch.rand_like: torch.rand, torch.randn_like: torch.randn}


class _Drawing(TorchFunctionMode):
    """Hands a generator to every function of torch that draws on the CPU; modes belong to their thread."""

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self.generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in _DRAWING_LIKE:
            like = args[0]
            given = {"dtype": like.dtype, "device": like.device, **kwargs}
            if torch.device(given["device"]).type == "cpu":
                given.pop("memory_format", None)
                return _DRAWING_LIKE[func](like.shape, generator=self.generator, **given)
        elif func in _DRAWING and kwargs.get("generator") is None:
            device = kwargs.get("device") or getattr(args[0], "device", "cpu") if args else "cpu"
            if torch.device(device).type == "cpu":
                kwargs["generator"] = self.generator
        return func(*args, **kwargs)


@contextmanager
def drawing_from(random: Random) -> Generator[None]:
    """Within the block, what this thread draws with torch on the CPU is decided by `random`.

    Example:
        >>> with drawing_from(Random(0)):
        ...     first = torch.rand(3)
        >>> with drawing_from(Random(0)):
        ...     print(torch.equal(torch.rand(3), first))
        True
    """
    with _Drawing(torch.Generator().manual_seed(random.getrandbits(63))):
        yield


@lru_cache(maxsize=256)
def library_of(kind: type) -> str:
    """Whose transform it is: "torchvision" (v2), "torchvision v1", "albumentations", or "" for anything
    else; classes derived from theirs count as theirs."""
    for base in kind.__mro__:
        if base.__module__.startswith("torchvision.transforms.v2"):
            return "torchvision"
        if base.__module__.startswith("torchvision.transforms."):
            return "torchvision v1"
        if base.__module__.partition(".")[0] == "albumentations":
            return "albumentations"
    return ""


def on_value(function: Callable[[Any], Any], value: Any) -> Any:
    """A callable on one value: on the finished picture of an image, on anything else as it is."""
    mapped = getattr(value, "mapped", None)
    return function(value) if mapped is None else mapped(function)


def apply_foreign(transform: Any, values: tuple[Any, ...], n_inp: int, random: Random) -> tuple[Any, ...]:
    """One foreign transform on one sample.

    Args:
        transform: Of torchvision or Albumentations, or any callable, which then gets the inputs one by one.
        values: Inputs first.
        n_inp: How many are inputs.
        random: The item's generator.

    Raises:
        DataError: It cannot move what lies on the picture, or lost some of it.
        DependencyError: It could with a newer torchvision.
    """
    library = library_of(type(transform))
    # Pictures, and what lies on them, wherever they stand in the sample.
    sides = [k for k, value in enumerate(values) if hasattr(value, "kind")] if library else []
    if library == "torchvision v1":
        _refuse_moving_alone(transform, [values[k] for k in sides])
    with drawing_from(random):
        if library == "torchvision" and len(sides) > 1:
            return _replaced(values, sides, _by_torchvision(transform, [values[k] for k in sides]), transform)
        if library == "albumentations" and sides:
            found = _by_albumentations(transform, [values[k] for k in sides], random)
            return _replaced(values, sides, found, transform)
        return (*(on_value(transform, value) for value in values[:n_inp]), *values[n_inp:])


def _replaced(
    values: tuple[Any, ...], sides: Sequence[int], found: Sequence[Any], transform: Any
) -> tuple[Any, ...]:
    """Values with what the transform made of those at `sides`; coordinates with their picture's new size."""
    changed = list(values)
    size: tuple[int, int] | None = None
    for k, new in zip(sides, found, strict=True):
        old = values[k]
        if old.kind in ("image", "mask"):
            changed[k] = old.replaced(new)
            size = size or changed[k].size
        elif size is None or len(new) != len(_coordinates(old)):
            raise _lost(transform, len(new), len(_coordinates(old)), old.kind)
        else:
            changed[k] = old.replaced(new, size)
    return tuple(changed)


def _lost(transform: Any, left: int, had: int, what: str) -> DataError:
    return DataError(
        "a transform must keep every point and box",
        f"{_named(transform)} made {left} of {had} {what}",
        "Leave out what filters them: wiggly drops boxes that leave the picture, with their labels.",
    )


def _coordinates(value: Any) -> Array:
    return value.xy if value.kind == "points" else value.xyxy


def _named(transform: Any) -> str:
    return type(transform).__name__


def _picture(value: Any) -> Any:
    """The finished picture of an image."""
    seen: list[Any] = []
    value.mapped(lambda picture: seen.append(picture) or picture)
    return seen[0]


# ------------------------------------------------------------------------------------------------ torchvision
# Of version 1, those that keep every pixel in its place.
_V1_COLOURS = {
    "ColorJitter",
    "GaussianBlur",
    "Grayscale",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
}


def _refuse_moving_alone(transform: Any, values: Sequence[Any]) -> None:
    others = sorted({value.kind for value in values} - {"image"})
    if others and _named(transform) not in _V1_COLOURS:
        raise DataError(
            f"a transform must move a picture and its {' and '.join(others)} together",
            f"{_named(transform)} is of torchvision.transforms, which knows pictures only",
            "Take it from torchvision.transforms.v2, or use wiggly's own.",
        )


def _by_torchvision(transform: Any, values: Sequence[Any]) -> list[Any]:
    """All values through one call of a v2 transform, which then draws once for all."""
    from torchvision import tv_tensors

    size = next((value.size for value in values if value.kind in ("image", "mask")), (1, 1))

    def handed(value: Any) -> Any:
        if value.kind == "image":
            picture = _picture(value)
            many = isinstance(picture, np.ndarray)  # not 1 or 3 channels
            return tv_tensors.Image(torch.from_numpy(picture).permute(2, 0, 1)) if many else picture
        if value.kind == "mask":
            return tv_tensors.Mask(torch.from_numpy(np.array(value.pixels())))
        # Boxes follow the convention that the picture's corner is (0, 0), its key points do not always: a
        # point is an empty box.
        xyxy = np.tile(value.xy, 2) if value.kind == "points" else value.xyxy
        return _boxes(torch.from_numpy(np.array(xyxy)), size)

    found = transform(*map(handed, values))
    return [_plain(new, value.kind) for new, value in zip(found, values, strict=True)]


def _boxes(xyxy: Tensor, size: tuple[int, int]) -> Any:
    from torchvision import tv_tensors

    make = cast("Any", tv_tensors.BoundingBoxes)
    try:
        return make(xyxy, format="XYXY", canvas_size=size, clamping_mode=None)
    except TypeError as error:
        raise DependencyError(
            "moving points and boxes by torchvision's transforms needs torchvision 0.24",
            "the one installed clips them to the picture",
            "pip install --upgrade torch torchvision, or use wiggly's own transforms.",
        ) from error


def _plain(new: Any, kind: str) -> Any:
    """What came back as the value's `replaced` takes it."""
    if kind == "image":
        return new.as_subclass(Tensor) if isinstance(new, Tensor) else new
    array = new.as_subclass(Tensor).numpy()
    return array[:, :2] if kind == "points" else array


def apply_to_batch(transform: Any, tensors: Sequence[Tensor], kinds: Sequence[str]) -> list[Tensor]:
    """A v2 transform on the tensors of a batch that are pictures and masks; one draw for the whole batch.

    Args:
        transform: Of torchvision's v2.
        tensors: Of all blocks.
        kinds: What each holds: "image", "mask", "points", "boxes", or "" for anything else.

    Raises:
        DataError: There are points or boxes, whose coordinates in a batch no longer are pixels.
    """
    from torchvision import tv_tensors

    others = sorted({"points", "boxes"} & set(kinds))
    if others:
        raise DataError(
            f"a transform must move a picture and its {' and '.join(others)} together",
            f"{_named(transform)} in `batch_tfms` gets tensors only",
            "Put it into `item_tfms`, or use wiggly's own.",
        )
    at = [k for k, kind in enumerate(kinds) if kind]
    handed = [(tv_tensors.Mask if kinds[k] == "mask" else tv_tensors.Image)(tensors[k]) for k in at]
    found = transform(*handed)
    changed = list(tensors)
    for k, new in zip(at, found if len(at) > 1 else [found], strict=True):
        changed[k] = new.as_subclass(Tensor)
    return changed


# --------------------------------------------------------------------------------------------- Albumentations
_ours = threading.local()  # each thread's copies: a transform of theirs keeps what it drew in itself


def _by_albumentations(transform: Any, values: Sequence[Any], random: Random) -> list[Any]:
    """All values through one call, by keyword, as that library wants it."""
    pictures = [value for value in values if value.kind == "image"]
    masks = [value for value in values if value.kind == "mask"]
    coordinates = [value for value in values if value.kind not in ("image", "mask")]
    named = {f"image{k or ''}": np.asarray(_picture(value)) for k, value in enumerate(pictures)}
    named |= {f"mask{k or ''}": np.array(value.pixels()) for k, value in enumerate(masks)}
    points = [_corners(value) for value in coordinates]
    if "keypoints" not in transform.available_keys:  # it moves nothing; what cannot move points, raises
        points = []
    mine = _copy_of(transform, tuple(named), bool(points))
    _seed(mine, random)
    if not points:
        found = mine(**named)
        moved = None
    else:
        # Theirs has the centre of the first pixel at (0, 0). A missing point is NaN, and stays it.
        whole = np.concatenate(points)
        known = np.isfinite(whole).all(1)
        found = mine(**named, keypoints=whole[known] - 0.5)
        back = np.asarray(found["keypoints"], dtype=np.float64).reshape(-1, 2)
        if len(back) != known.sum():
            raise _lost(transform, len(back), int(known.sum()), "points and corners of boxes")
        moved = whole.copy()
        moved[known] = back + 0.5
    if moved is None:
        others = [_coordinates(value) for value in coordinates]
    else:
        others = _parted(coordinates, points, moved)
    results = iter([found[name] for name in named])
    return _in_order(values, [next(results) for _ in pictures], [next(results) for _ in masks], others)


def _in_order(values: Sequence[Any], *found: list[Any]) -> list[Any]:
    """Results by kind (images, masks, coordinates), brought back into the order of the values."""
    left = {"image": iter(found[0]), "mask": iter(found[1])}
    others = iter(found[2])
    return [next(left.get(value.kind, others)) for value in values]


def _corners(value: Any) -> Array:
    """Points, or the four corners of every box, `(k, 2)`."""
    return value.xy if value.kind == "points" else value.xyxy[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 2)


def _parted(values: Sequence[Any], points: Sequence[Array], moved: Array) -> list[Array]:
    """The moved points of each value; boxes are the upright ones around their corners."""
    parts = np.split(moved, np.cumsum([len(p) for p in points])[:-1])
    return [
        part if value.kind == "points" else _around(part.reshape(-1, 4, 2))
        for value, part in zip(values, parts, strict=True)
    ]


def _around(corners: Array) -> Array:
    return np.concatenate([corners.min(1), corners.max(1)], axis=1)


def _copy_of(transform: Any, names: tuple[str, ...], points: bool) -> Any:
    """This thread's copy of a transform, told what else to move."""
    copies = getattr(_ours, "copies", None)
    if copies is None:
        copies = _ours.copies = WeakKeyDictionary[Any, dict[Any, Any]]()
    known = copies.setdefault(transform, {})
    key = names, points
    if key not in known:
        made = copy.deepcopy(transform)
        if points or len(names) > 1:
            library = sys.modules["albumentations"]
            others = {name: name.rstrip("0123456789") for name in names if name[-1].isdigit()}
            params = library.KeypointParams(format="xy", remove_invisible=False) if points else None
            made = library.Compose([made], additional_targets=others or None, keypoint_params=params)
        known[key] = made
    return known[key]


def _seed(transform: Any, random: Random) -> None:
    """Each part of a transform gets a seed of its own: theirs would give all the same, and whatever has the
    same probability would happen together."""
    if not hasattr(transform, "set_random_seed"):  # before 1.4.19 they drew from the global generators
        return
    parts = getattr(transform, "transforms", None)
    if parts is None:
        transform.set_random_seed(random.getrandbits(32))
        return
    transform.random_generator = np.random.default_rng(random.getrandbits(32))
    transform.py_random = Random(random.getrandbits(32))
    for part in parts:
        _seed(part, random)
