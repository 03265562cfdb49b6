"""Whether a fit is the one that was interrupted: what it depends on, in few words that can be compared.

In: a learner. Out: JSON values, their differences in words, digests. Read next: `run.py`.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from wiggly.data.order import Ordered
from wiggly.train.callback import Callback
from wiggly.train.distributed.sharding import whole_tensor

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["beginning_of", "differences", "digest_of", "facts_of", "settings_of"]

# Names and labels of so many items are compared.
ITEMS_COMPARED = 4096
# And of items that are tensors so many numbers each.
NUMBERS_COMPARED = 64
# Characters of a value in a message.
MOST_TOLD = 300
# Names of facts that stand for many values by a few letters, which nobody wants to read.
DIGEST = re.compile(r"(names|labels|numbers) of (train|valid) items")
COUNT = re.compile(r"(bs|items|batches) of (train|valid)")
SIDES = {"train": "training", "valid": "validation"}
COUNTED = {
    "bs": "the batch size of {}",
    "items": "the number of {} items",
    "batches": "the number of {} batches",
}
# What differs from process to process: where an object lies, and what FSDP calls a layer.
PASSING = re.compile(r" at 0x[0-9a-f]+|\bFSDP(?=[A-Z])")


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, where two descriptions differ.

    Args:
        then: Names to JSON values; of a dictionary among them the first difference is told.
        now: As `then`.

    Example:
        >>> differences({"epochs": 3, "lr": 0.1}, {"epochs": 5, "lr": 0.1})
        ['`epochs` was 3 then and is 5 now']
        >>> differences({"labels of train items": "3fa2"}, {"labels of train items": "90cd"})
        ['the training items have other labels than then']
    """
    names = [*then, *(name for name in now if name not in then)]
    pairs = ((name, then.get(name), now.get(name)) for name in names)
    return [_difference(name, a, b) for name, a, b in pairs if a != b]


def _difference(name: str, then: Any, now: Any) -> str:
    if isinstance(then, dict) and isinstance(now, dict):
        parts = differences(cast("dict[str, Any]", then), cast("dict[str, Any]", now))
        return f"of {name} {parts[0]}" + (f" (and {len(parts) - 1} more)" if len(parts) > 1 else "")
    if isinstance(then, list) and isinstance(now, list):  # of texts, what is in one of them only
        told, others = cast("list[Any]", then), cast("list[Any]", now)
        if all(isinstance(text, str) for text in (*told, *others)) and set(told) != set(others):
            then, now = [t for t in told if t not in others], [t for t in others if t not in told]
    digest, count = DIGEST.fullmatch(name), COUNT.fullmatch(name)
    if digest:
        what = digest[1].replace("numbers", "values")
        return f"the {SIDES[digest[2]]} items have other {what} than then"
    told = COUNTED[count[1]].format(SIDES[count[2]]) if count else f"`{name}`"
    return f"{told} was {then!r:.{MOST_TOLD}} then and is {now!r:.{MOST_TOLD}} now"


def facts_of(learner: Loop) -> dict[str, Any]:
    """What a run depends on besides the call's arguments and the layers; JSON values."""
    loss: Any = learner.loss_func
    found: dict[str, Any] = {
        "optimizer": type(learner.opt.inner).__name__,
        "loss_func": getattr(loss, "__name__", type(loss).__name__),
        "the loss": _plain(vars(loss)) if isinstance(loss, nn.Module) else {},
        "metrics": [metric.name for metric in learner.metrics],
        "precision": learner.engine.precision,
        "the layers": dict(_layers(learner.model)),
    }
    for side in ("train", "valid"):
        dl = getattr(learner.dls, side)
        if isinstance(dl, Ordered):
            found[f"bs of {side}"], found[f"items of {side}"] = dl.bs, dl.count()
            found |= {f"{name} of {side} items": what for name, what in _items(dl).items()}
        elif hasattr(dl, "__len__"):
            found[f"batches of {side}"] = len(dl)
    return found


def settings_of(callbacks: Sequence[Callback]) -> list[str]:
    """Callbacks of ours that change what is learned, each with the arguments that it keeps: JSON values.

    Those of a user may print, say; only what they keep themselves is compared.

    Example:
        >>> from wiggly.train.mix import MixUp
        >>> settings_of([MixUp(0.2)])
        ['MixUp(alpha=0.2)']
    """
    return [_setting(callback) for callback in callbacks if _changes_training(callback)]


def _changes_training(callback: Callback) -> bool:
    """`lr_find` needs those as well, all but averages of the weights."""
    kind = type(callback)
    return kind.__module__.startswith("wiggly.") and (callback.in_lr_find or kind.__name__ == "EMA")


def _setting(callback: Callback) -> str:
    taken = inspect.signature(type(callback)).parameters
    kept = callback.state_dict()  # moves with the run
    values = _plain({name: getattr(callback, name, None) for name in taken if name not in kept})
    return f"{type(callback).__name__}({', '.join(f'{name}={value}' for name, value in values.items())})"


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Numbers and texts, without what a module keeps for itself."""
    return {
        name: value
        for name, value in values.items()
        if isinstance(value, (bool, int, float, str))
        and value == value  # NaN would differ from itself
        and not name.startswith("_")
        and name != "training"
    }


def _layers(model: nn.Module) -> Iterator[tuple[str, str]]:
    """What each layer prints about itself: weights do not say how much is dropped, or by how much a window
    moves on."""
    for name, layer in model.named_modules():
        if next(layer.children(), None) is None:
            yield name, PASSING.sub("", f"{type(layer).__name__}({layer.extra_repr()})")


def _items(dl: Ordered) -> dict[str, Any]:
    """What is known of a loader's items without reading one."""
    dataset: Any = getattr(dl, "dataset", None)
    found: dict[str, Any] = {"names": _names(dataset)}
    transforms = [*getattr(dataset, "item_tfms", ()), *getattr(dl, "batch_tfms", ())]
    found["transforms"] = [PASSING.sub("", repr(transform)) for transform in transforms]
    for number, raws in enumerate(getattr(dataset, "raws", ())):
        if raws is not None and number >= dataset.n_inp:
            found["labels"] = _digest(_text(raw) for raw in _some(raws))
    tensors = getattr(dataset, "tensors", None)
    if isinstance(tensors, tuple):
        rows = (_some(tensor) for tensor in cast("tuple[Tensor, ...]", tensors))
        few = (t.reshape(len(t), -1)[:, :NUMBERS_COMPARED] for t in rows if len(t))
        found["numbers"] = f"{_checksum(few):08x}"
    return found


def digest_of(values: Any) -> str:
    """Eight letters that stand for JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _names(dataset: Any) -> str:
    """A digest of some items' names: of files below the folder that has them all, which may move."""
    items = getattr(dataset, "items", None)
    if not isinstance(items, Sequence) or not items or not isinstance(items[0], (str, Path)):
        return ""
    some = [os.path.abspath(item) for item in _some(items)]
    top = os.path.commonpath([os.path.dirname(name) for name in some])
    return _digest(os.path.relpath(name, top) for name in some)


def _some(values: Any) -> Any:
    return values[:: max(1, len(values) // ITEMS_COMPARED)]


def _text(raw: Any) -> str:
    """A label as text; of a file its name, of what prints where it lies nothing."""
    if isinstance(raw, Path):
        return raw.name
    return PASSING.sub("", repr(raw)) if isinstance(raw, (str, int, float, bool, list, tuple)) else ""


def _digest(texts: Iterator[str]) -> str:
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def beginning_of(learner: Loop) -> str:
    """A digest of how a fit begins: weights and the loaders' draws."""
    tensors = (value for value in learner.model.state_dict().values() if isinstance(value, Tensor))
    total = _checksum(whole_tensor(tensor.detach()) for tensor in tensors)
    seeds = [getattr(dl, "seed", None) for dl in (learner.dls.train, learner.dls.valid)]
    return f"{total:08x} {seeds}"


def _checksum(tensors: Iterator[Tensor]) -> int:
    """Of all bits."""
    total = 0
    for tensor in tensors:
        plain = tensor.cpu().contiguous().reshape(-1).view(torch.uint8)
        total = zlib.crc32(cast("Any", plain.numpy()), total)
    return total
