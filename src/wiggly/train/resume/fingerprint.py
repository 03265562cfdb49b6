"""Whether a fit is the one that was interrupted: what it depends on, in few words that can be compared.

In: a learner. Out: JSON values, their differences in words, digests. Read next: `run.py`.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from wiggly.data.order import Ordered
from wiggly.train.distributed.sharding import whole_tensor

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["beginning_of", "differences", "digest_of", "facts_of"]

# Names of so many items are compared.
NAMES_COMPARED = 4096


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """In words, where two descriptions differ.

    Example:
        >>> differences({"epochs": 3, "lr": 0.1}, {"epochs": 5, "lr": 0.1})
        ['`epochs` was 3 then and is 5 now']
    """
    names = [*then, *(name for name in now if name not in then)]
    pairs = ((name, then.get(name), now.get(name)) for name in names)
    return [f"`{name}` was {a!r} then and is {b!r} now" for name, a, b in pairs if a != b]


def facts_of(learner: Loop) -> dict[str, Any]:
    """What a run depends on besides the call's arguments and the layers; JSON values."""
    loss = learner.loss_func
    found: dict[str, Any] = {
        "optimizer": type(learner.opt.inner).__name__,
        "loss_func": getattr(loss, "__name__", type(loss).__name__),
        "metrics": [metric.name for metric in learner.metrics],
        "precision": learner.engine.precision,
    }
    for side in ("train", "valid"):
        dl = getattr(learner.dls, side)
        if isinstance(dl, Ordered):
            found[f"bs of {side}"], found[f"items of {side}"] = dl.bs, dl.count()
            found[f"names of {side} items"] = _names(getattr(dl, "dataset", None))
        elif hasattr(dl, "__len__"):
            found[f"batches of {side}"] = len(dl)
    return found


def digest_of(values: Any) -> str:
    """Eight letters that stand for JSON values."""
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:8]


def _names(dataset: Any) -> str:
    """A digest of some items' names: files by name alone, so that a folder may move."""
    items = getattr(dataset, "items", None)
    if not isinstance(items, Sequence) or not items or not isinstance(items[0], (str, Path)):
        return ""
    some: Any = items[:: max(1, len(items) // NAMES_COMPARED)]
    return hashlib.sha256("\n".join(Path(item).name for item in some).encode()).hexdigest()[:16]


def beginning_of(learner: Loop) -> str:
    """A digest of how a fit begins: weights and the loaders' draws."""
    total = 0
    for value in learner.model.state_dict().values():
        if isinstance(value, Tensor):
            plain = whole_tensor(value.detach()).cpu().contiguous().reshape(-1).view(torch.uint8)
            total = zlib.crc32(cast("Any", plain.numpy()), total)
    seeds = [getattr(dl, "seed", None) for dl in (learner.dls.train, learner.dls.valid)]
    return f"{total:08x} {seeds}"
