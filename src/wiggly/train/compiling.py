"""`learn.compile()`: the model's forward and backward pass as fused code, made by torch while training runs.

In: a model and batches. Out: the same outputs, sooner. The model itself is left as it is: names of weights,
`get_submodule`, copies, exports and hooks do not know of it. Read next: `engine.py`, which calls it.
"""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError

__all__ = ["MODES", "CompiledForward"]

# torch's, see torch.compile; those that replay CUDA graphs reuse the memory of their outputs.
MODES = ("default", "reduce-overhead", "max-autotune", "max-autotune-no-cudagraphs")
CUDA_GRAPH_MODES = ("reduce-overhead", "max-autotune")
Forward = Callable[..., Any]
Key = tuple[Any, ...]


def _forward(model: nn.Module, *inputs: Tensor) -> Any:
    return model(*inputs)


class CompiledForward:
    """Calls a model through torch.compile where that pays, and as it is where it does not.

    Compiling takes seconds to minutes for every new size of batch, so a size is compiled when it comes twice
    in a row within a pass: the smaller last batch, a single prediction or a first look never are. Freezing,
    evaluation mode and another image size compile once each; going back to one known costs nothing.

    Args:
        mode: One of `MODES`.
        dynamic: One program for all sizes, somewhat slower, instead of one per size.
        backend: "inductor" makes fused code; "eager" and "aot_eager" check whether a model can be compiled.

    Raises:
        ArgumentError: The mode or the backend is unknown, or `dynamic` neither True nor False.

    Example:
        >>> double, compiled = nn.Linear(1, 1), CompiledForward(backend="eager")
        >>> batch = torch.zeros(2, 1)
        >>> bool((compiled(double, batch) == compiled(double, batch)).all())
        True
    """

    def __init__(self, mode: str = "default", dynamic: bool = False, backend: str = "inductor") -> None:
        if mode not in MODES:
            raise ArgumentError(f"`mode` must be one of {', '.join(MODES)}", f"got {mode!r}", "Leave it out.")
        known = torch.compiler.list_backends(exclude_tags=())
        if backend not in known:
            raise ArgumentError(
                f"`backend` must be one of {', '.join(known)}", f"got {backend!r}", "Leave it out."
            )
        if dynamic not in (True, False):
            raise ArgumentError("`dynamic` must be True or False", f"got {dynamic!r}", "Leave it out.")
        self.mode, self.dynamic, self.backend = mode, bool(dynamic), backend
        self.failure: str | None = None
        self._functions: dict[Key, Forward] = {}
        self._previous: Key = ()

    @property
    def n_sizes(self) -> int:
        """How many kinds of batch have been compiled."""
        return len(self._functions)

    def start_pass(self) -> None:
        """Called before every pass over data."""
        self._previous = ()

    def __call__(self, model: nn.Module, *inputs: Tensor) -> Any:
        """The model's output for a batch."""
        key = self._key(model, inputs)
        repeated, self._previous = key == self._previous, key
        worth_it = key in self._functions or repeated or self.dynamic
        # Compiled code does not call hooks that came after it.
        if not worth_it or self.failure is not None or _is_hooked(model):
            return model(*inputs)
        try:
            return self._run(key, model, inputs)
        except Exception as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            self.failure = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
            warnings.warn(
                f"This model could not be compiled here, so it runs uncompiled ({self.failure}).",
                stacklevel=2,
            )
            return model(*inputs)

    def _key(self, model: nn.Module, inputs: tuple[Tensor, ...]) -> Key:
        if self.dynamic:
            return id(model), model.training
        return id(model), model.training, *((tuple(x.shape), x.dtype) for x in inputs)

    def _run(self, key: Key, model: nn.Module, inputs: tuple[Tensor, ...]) -> Any:
        if key not in self._functions:
            self._functions[key] = self._compiled()
        if self.mode not in CUDA_GRAPH_MODES or not inputs[0].is_cuda:
            return self._functions[key](model, *inputs)
        torch.compiler.cudagraph_mark_step_begin()
        return _cloned(self._functions[key](model, *inputs))

    def _compiled(self) -> Forward:
        # torch keeps compiled programs per code object and gives up on one after eight of them. With a code
        # object of its own per size, only freezing, precision and the like count towards the eight.
        code = _forward.__code__.replace(co_name=f"forward_{len(self._functions)}")
        own = types.FunctionType(code, _forward.__globals__)
        return torch.compile(own, mode=self.mode, dynamic=self.dynamic, backend=self.backend)

    def __repr__(self) -> str:
        failed = "" if self.failure is None else f", not possible here: {self.failure}"
        return f"compiled ({self.backend}, {self.mode}{', dynamic' if self.dynamic else ''}){failed}"


def _is_hooked(model: nn.Module) -> bool:
    kept = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks")  # torch has no public way to ask
    return any(getattr(part, name) for part in model.modules() for name in kept)


def _cloned(output: Any) -> Any:
    """Outputs in memory of their own: the next replay of the graph would overwrite them."""
    if isinstance(output, Tensor):
        return output.clone()
    return tuple(_cloned(part) for part in output)
