"""The network of a bundle, built from its description and filled with its weights. Nothing is unpickled.

In: a manifest and the bytes of a safetensors file. Out: a network in evaluation mode. Read next:
`../vision/models.py`, which builds those for pictures.
"""

from __future__ import annotations

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from torch import nn

from wiggly.bundle.answers import Answer
from wiggly.bundle.manifest import Manifest
from wiggly.bundle.readers import Reader
from wiggly.errors import BundleError, WigglyError

__all__ = ["build_network", "made_with"]


def build_network(manifest: Manifest, weights: bytes, reader: Reader, answer: Answer, name: str) -> nn.Module:
    """The network of a bundle.

    Args:
        manifest: Describes it.
        weights: A safetensors file.
        reader: Knows networks for its kind of input.
        answer: Knows those that are made for its kind of output alone.
        name: How errors call the bundle.

    Raises:
        BundleError: It cannot be built here, or the weights do not fit it.
    """
    try:
        with torch.random.fork_rng(devices=[]):  # weights are drawn, to be replaced: the user's draws stay
            model = answer.network(manifest.model, reader, len(weights))
    except BundleError:
        raise
    except Exception as error:  # timm and torchvision raise anything for arguments that a stranger made up
        told = isinstance(error, WigglyError)
        reason = f"{error.rule}; {error.received}" if told else f"{type(error).__name__}: {error}"
        raise BundleError(
            f"the network of {name} must be one that can be built here",
            reason,
            f"Install the versions it was made with: {made_with(manifest)}.",
        ) from error
    try:
        model.load_state_dict(load_tensors(weights))
    except (SafetensorError, RuntimeError) as error:
        raise BundleError(
            f"the weights of {name} must fit the network its model.json describes",
            " ".join(str(error).split())[:300],
            f"Install the versions it was made with ({made_with(manifest)}), or export the model again.",
        ) from error
    return model.eval()


def made_with(manifest: Manifest) -> str:
    """The software that the model was made with, in words."""
    packages = [f"{package} {version}" for package, version in manifest.versions.items()]
    return ", ".join(packages) or "not recorded"
