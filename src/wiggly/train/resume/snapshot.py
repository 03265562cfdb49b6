"""Snapshots: what a run consists of besides weights and optimizer, as plain values and tensors, and back.

In: a learner between two steps. Out: a tree of dicts and lists: random generators, loaders' places, what is
frozen, callbacks' states; `pack` divides it into JSON and tensors. Read next: `run.py`, which decides when
one is taken.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from wiggly.data.order import Ordered
from wiggly.errors import ArgumentError
from wiggly.train.callback import Callback

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = [
    "apply_snapshot",
    "generators",
    "named_callbacks",
    "pack",
    "set_generators",
    "take_snapshot",
    "unpack",
]

TENSOR_KEY = "@tensor"
# It draws from Python's generator when it is loaded: that must not happen in the middle of a run, as it would
# with the first progress bar, or with the first metric of scikit-learn's.
import_module("rich.style")


def generators(loaders: Sequence[Any] = ()) -> dict[str, Any]:
    """States of all random generators: Python's, numpy's, torch's on every device, and loaders' own.

    Args:
        loaders: Loaders of torch may have a `generator`.

    Example:
        >>> before = generators()
        >>> drawn = torch.rand(1), random.random(), np.random.rand()
        >>> set_generators(before)
        >>> drawn == (torch.rand(1), random.random(), np.random.rand())
        True
    """
    version, words, gauss = random.getstate()
    kind, keys, place, has_gauss, cached = cast("tuple[Any, ...]", np.random.get_state())
    found: dict[str, Any] = {
        "python": [version, torch.tensor(words), gauss],
        "numpy": [
            str(kind),
            torch.from_numpy(keys.astype(np.int64)),
            int(place),
            int(has_gauss),
            float(cached),
        ],
        "torch": torch.get_rng_state(),
        "loaders": [None if own is None else own.get_state() for own in map(_own_generator, loaders)],
    }
    if torch.cuda.is_initialized():
        found["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        found["mps"] = torch.mps.get_rng_state()
    return found


def set_generators(state: Mapping[str, Any], loaders: Sequence[Any] = ()) -> None:
    """Puts generators back to what `generators` found; those of devices that are not here are left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words.tolist()), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    for loader, kept in zip(loaders, state["loaders"], strict=False):
        own = _own_generator(loader)
        if own is not None and kept is not None:
            own.set_state(kept)
    if "cuda" in state and torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def _own_generator(loader: Any) -> torch.Generator | None:
    found = getattr(loader, "generator", None)
    return found if isinstance(found, torch.Generator) else None


def named_callbacks(callbacks: Sequence[Callback]) -> Iterator[tuple[str, Callback]]:
    """Callbacks by the name of their class, numbered from the second of a class on."""
    seen: dict[str, int] = {}
    for callback in callbacks:
        name = type(callback).__name__
        seen[name] = seen.get(name, 0) + 1
        yield (name if seen[name] == 1 else f"{name} {seen[name]}"), callback


def take_snapshot(learner: Loop, callbacks: Sequence[Callback], within: bool) -> dict[str, Any]:
    """Everything but weights, optimizer and the loop's own counters.

    Args:
        learner: Between two steps.
        callbacks: Those of the running fit.
        within: Whether a pass over the training data is under way.
    """
    loaders = [learner.dls.train, learner.dls.valid]
    states = ((name, callback.state_dict()) for name, callback in named_callbacks(callbacks))
    return {
        "generators": generators(loaders),
        "pass_start": learner.pass_start if within else None,
        # Nothing is kept within a pass over validation data, though the last one may have been cut short.
        "loaders": [_place(learner.dls.train, within), _place(learner.dls.valid, within=False)],
        "frozen": [name for name, p in learner.model.named_parameters() if not p.requires_grad],
        "first_unfrozen": learner.first_unfrozen,
        "buffers": dict(_unsaved_buffers(learner.model)),
        "loss": _loss_state(learner),
        "engine": learner.engine.state_dict(),
        "callbacks": {name: state for name, state in states if state},
    }


def apply_snapshot(
    learner: Loop, snapshot: Mapping[str, Any], callbacks: Sequence[Callback], generators_too: bool = True
) -> None:
    """Puts a learner where `take_snapshot` found it; see there.

    Args:
        learner: Gets back everything but weights, optimizer and counters.
        snapshot: What was taken.
        callbacks: Those that get their state back; the others keep theirs.
        generators_too: Whether to put back the random generators.
    """
    loaders = [learner.dls.train, learner.dls.valid]
    for loader, place in zip(loaders, snapshot["loaders"], strict=True):
        _put_back(loader, place)
    learner.pass_start = snapshot["pass_start"]
    frozen = set(snapshot["frozen"])
    for name, parameter in learner.model.named_parameters():
        parameter.requires_grad_(name not in frozen)
    learner.first_unfrozen = snapshot["first_unfrozen"]
    with torch.no_grad():
        for name, buffer in _unsaved_buffers(learner.model):
            buffer.copy_(snapshot["buffers"][name])
    if isinstance(learner.loss_func, nn.Module) and snapshot["loss"]:
        learner.loss_func.load_state_dict(snapshot["loss"])
    learner.engine.load_state_dict(snapshot["engine"])
    for name, callback in named_callbacks(callbacks):
        callback.learner = cast("Any", learner)
        if name in snapshot["callbacks"]:
            callback.load_state_dict(snapshot["callbacks"][name])
    if generators_too:
        set_generators(snapshot["generators"], loaders)
        learner.engine.same_draws()


def _place(loader: Any, within: bool) -> dict[str, Any] | None:
    """Where a loader of ours is. Between two passes it may have been left in the middle of one: the next one
    starts anew all the same."""
    if not isinstance(loader, Ordered):
        return None
    place: dict[str, Any] = dict(loader.state_dict())
    if not within:
        place |= {"epoch": loader.epoch, "batches": 0}
    return {**place, "bad_items": dict(getattr(loader, "bad_items", {}))}


def _put_back(loader: Any, place: Mapping[str, Any] | None) -> None:
    if place is None or not isinstance(loader, Ordered):
        return
    # Size and number were compared before; the loader of another number of processes may differ in them.
    loader.load_state_dict({**place, "bs": loader.bs, "n_items": loader.n_items})
    getattr(loader, "bad_items", {}).update(place["bad_items"])


def _unsaved_buffers(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Buffers that a model leaves out of its saved state; a few models change them all the same."""
    kept = model.state_dict()
    return ((name, buffer) for name, buffer in model.named_buffers() if name not in kept)


def _loss_state(learner: Loop) -> dict[str, Any]:
    loss = learner.loss_func
    return dict(loss.state_dict()) if isinstance(loss, nn.Module) else {}


def pack(tree: Any, tensors: dict[str, Tensor], prefix: str, where: str = "") -> Any:
    """A tree without its tensors, which are collected.

    Args:
        tree: Dicts with string keys, lists, tuples, None, numbers, text, tensors.
        tensors: Gets the tensors, named `prefix` and a number.
        prefix: See there.
        where: Path to this part of the tree, for the message.

    Raises:
        ArgumentError: Something else is in it.

    Example:
        >>> found = {}
        >>> pack({"a": [1, torch.zeros(2)]}, found, "t"), found
        ({'a': [1, {'@tensor': 't0'}]}, {'t0': tensor([0., 0.])})
    """
    if isinstance(tree, Tensor):
        name = f"{prefix}{len(tensors)}"
        tensors[name] = tree
        return {TENSOR_KEY: name}
    if tree is None or isinstance(tree, (bool, int, float, str)):
        return tree
    if isinstance(tree, (list, tuple)):
        parts = cast("Sequence[Any]", tree)
        return [pack(part, tensors, prefix, f"{where}[{k}]") for k, part in enumerate(parts)]
    if isinstance(tree, Mapping) and all(isinstance(key, str) for key in cast("Mapping[Any, Any]", tree)):
        items = cast("Mapping[str, Any]", tree).items()
        return {key: pack(part, tensors, prefix, f"{where}.{key}") for key, part in items}
    raise ArgumentError(
        "what `state_dict` of a callback or engine returns must be tensors and values that JSON can hold",
        f"`{where.lstrip('.')}` is a {type(tree).__name__}",
        "Return numbers, text, lists, dicts with text as keys, and tensors.",
    )


def unpack(tree: Any, tensors: Mapping[str, Tensor]) -> Any:
    """The tree that `pack` divided; tuples have become lists."""
    if isinstance(tree, list):
        return [unpack(part, tensors) for part in cast("list[Any]", tree)]
    if isinstance(tree, dict):
        parts = cast("dict[str, Any]", tree)
        if set(parts) == {TENSOR_KEY}:
            return tensors[parts[TENSOR_KEY]]
        return {key: unpack(part, tensors) for key, part in parts.items()}
    return tree
