"""Whence the first weights of a network come, and under which terms; it travels with the description.

In: a network that was just made, and which weights it was asked for. Out: their name and licence as JSON
types. Read next: `bodies.py`, which asks; `wiggly/bundle/export.py`, which writes it down.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import nn

from wiggly.vision.weights import read_sidecar

__all__ = ["origin_of"]


def origin_of(module: nn.Module, weights: Any) -> dict[str, str | None] | None:
    """Name and licence of the pretrained weights of a network.

    Args:
        module: A network that carries pretrained weights.
        weights: A file; an entry of torchvision's; None for the published ones.

    Returns:
        `weights`, their name: on the Hugging Face hub where they are there, a file's without its folder;
        and `licence`, an SPDX identifier as their author gives it, None where that is not known: torchvision
        says none, and of a file only the entry `licence` of a `models.json` beside it is believed, for
        other weights of the same architecture may have other terms. None for a network of the user's own.

    Example:
        >>> network = nn.Linear(1, 1)
        >>> network.pretrained_cfg = {"hf_hub_id": "timm/resnet18.a1_in1k", "license": "apache-2.0"}
        >>> origin_of(network, None)
        {'weights': 'timm/resnet18.a1_in1k', 'licence': 'apache-2.0'}
    """
    if isinstance(weights, str | Path):
        path = Path(weights)
        return {"weights": path.name, "licence": read_sidecar(path).licence}
    known: Any = getattr(module, "pretrained_cfg", None)
    if isinstance(known, Mapping):
        return _of_timm(cast("Mapping[str, Any]", known))
    if type(module).__module__.startswith("torchvision."):
        entry = type(module).__name__ if weights is None else str(weights)
        return {"weights": f"torchvision {entry}", "licence": None}
    return None


def _of_timm(known: Mapping[str, Any]) -> dict[str, str | None]:
    tagged = ".".join(str(known[key]) for key in ("architecture", "tag") if known.get(key))
    name = str(known.get("hf_hub_id") or tagged or known.get("url") or "").partition("@")[0]
    licence = known.get("license")
    return {"weights": name, "licence": str(licence) if licence else None}
