"""Sharding: parameters, gradients and optimizer state divided over processes, for models too large for one.

In: a model. Out: the same model, of whose every parameter each process keeps a part; they are put together
block by block while the model computes (FSDP, Zhao et al., arXiv:2304.11277, in torch's second version). Read
next: `engine.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn

from wiggly.train.optim.base import Optimizer

__all__ = ["put_optimizer", "put_weights", "shard_model", "whole_tensor"]


def shard_model(model: nn.Module, device: torch.device, plugin: Any = None) -> None:
    """Shards a model in place; its parameters are new ones afterwards.

    Args:
        model: On its device, with the same weights in all processes.
        device: Of the processes: a CPU shards as well.
        plugin: Accelerate's settings, if its launcher was given any.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    settings: dict[str, Any] = {"mesh": init_device_mesh(device.type, (torch.distributed.get_world_size(),))}
    offload = getattr(plugin, "cpu_offload", None)
    if offload is not None and not isinstance(offload, bool):
        settings["offload_policy"] = offload
    for block in _repeated(model):
        fully_shard(block, **settings)
    fully_shard(model, **settings)


def _repeated(model: nn.Module) -> Iterator[nn.Module]:
    """The blocks that a model is a stack of, inner ones first: each is put together, used and let go in
    turn."""
    for child in model.children():
        yield from _repeated(child)
    children = list(model.children())
    if isinstance(model, (nn.Sequential, nn.ModuleList)):
        kinds = [type(child) for child in children]
        for child in children:
            if kinds.count(type(child)) > 1 and len(list(child.parameters())) > 2:
                yield child


def whole_tensor(tensor: Tensor) -> Tensor:
    """A sharded tensor put together, which all processes must do; others as they are.

    Example:
        >>> whole_tensor(torch.ones(2))
        tensor([1., 1.])
    """
    whole = getattr(tensor, "full_tensor", None)  # torch's DTensor, which takes long to import
    return tensor if whole is None else cast("Tensor", whole())


def _part_of(whole: Tensor, wanted: Tensor) -> Tensor:
    """This process's part of a whole tensor, where `wanted` is sharded; else the tensor as it is."""
    if not hasattr(wanted, "full_tensor"):
        return whole
    from torch.distributed.tensor import distribute_tensor

    like = cast("Any", wanted)
    moved = whole.to(device=like.device, dtype=like.dtype)
    return distribute_tensor(moved, like.device_mesh, list(like.placements))


def put_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Loads whole weights into a model, sharded or not.

    Args:
        model: Takes them.
        weights: Its state, under its names.
    """
    own = model.state_dict()
    model.load_state_dict({name: _part_of(tensor, own.get(name, tensor)) for name, tensor in weights.items()})


def put_optimizer(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Loads whole running averages into an optimizer, whose parameters may be sharded.

    Args:
        optimizer: Takes them.
        state: As its `state_dict` gives it.
    """
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    parts = {
        index: {name: _fitting(value, parameters[index]) for name, value in values.items()}
        for index, values in state["state"].items()
        if index < len(parameters)
    }
    optimizer.load_state_dict({**state, "state": {**state["state"], **parts}})


def _fitting(value: Any, parameter: Tensor) -> Any:
    same = isinstance(value, Tensor) and value.shape == parameter.shape
    return _part_of(cast("Tensor", value), parameter) if same else value
