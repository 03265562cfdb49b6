"""Looking inside a model while it runs: outputs and gradients of its parts, and what sizes they have.

In: parts of a model. Out: `Hook` and `Hooks`, which keep what those parts put out each time they run and are
taken off when their `with` block ends. Read next: `summary.py`, which runs a model once and tells what it
saw.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, cast, overload

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError

__all__ = [
    "Hook",
    "HookFunction",
    "Hooks",
    "dummy_eval",
    "evaluating",
    "first_tensor",
    "hook_output",
    "hook_outputs",
    "model_sizes",
    "num_features_model",
]

HookFunction = Callable[[nn.Module, Any, Any], Any]
# Sides of the pictures tried by `num_features_model`: a network that halves its map six times leaves nothing
# of less than 64, and some are made for one size.
SIDES = (64, 128, 224, 256, 384, 512)


def _copied(module: nn.Module, inputs: Any, output: Any) -> Any:
    """The output as it is now: an in-place ReLU that follows would change it."""
    if isinstance(output, Tensor):
        return output.detach().clone()
    if isinstance(output, dict):
        return {key: _copied(module, inputs, part) for key, part in cast("dict[Any, Any]", output).items()}
    if isinstance(output, (list, tuple)):
        return tuple(_copied(module, inputs, part) for part in cast("Sequence[Any]", output))
    return output


class Hook:
    """Keeps what one part of a model puts out, each time it runs; taken off at the end of a `with` block.

    Args:
        module: The part, e.g. `learn.get_submodule("0.model.layer4")`.
        function: What to keep: called with the part, its inputs and its output (or the gradient with respect
            to it). None keeps a copy.
        grad: Keep the gradient of the loss with respect to the output instead, known once `backward` has
            run. A part with several outputs: that of the first tensor among them.

    Raises:
        ArgumentError: `module` is no module.

    Attributes:
        stored: What was kept the last time; None before.

    Example:
        >>> double = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(double.weight, 2.0)
        >>> with Hook(double) as hook:
        ...     _ = double(torch.tensor([[3.0]]))
        >>> hook.stored
        tensor([[6.]])
    """

    def __init__(self, module: nn.Module, function: HookFunction | None = None, grad: bool = False) -> None:
        if not isinstance(module, nn.Module):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError(
                "a hook must be put on a part of a model",
                f"got {module!r}",
                "Pass a module, e.g. learn.get_submodule('0.model.layer4').",
            )
        self.stored: Any = None
        self._function = _copied if function is None else function
        # A hook on the tensor: a module's own backward hook forbids in-place layers behind it.
        self._handle = module.register_forward_hook(self._after_gradient if grad else self._after_output)

    def _after_output(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self.stored = self._function(module, inputs, output)

    def _after_gradient(self, module: nn.Module, inputs: Any, output: Any) -> None:
        found = first_tensor(output)
        if found is None or not found.requires_grad:
            return

        def keep(gradient: Tensor) -> None:
            self.stored = self._function(module, inputs, gradient)

        found.register_hook(keep)

    def remove(self) -> None:
        """Takes it off; what is stored stays."""
        self._handle.remove()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class Hooks(Sequence[Hook]):
    """Several hooks that are put on and taken off together.

    Args:
        modules: The parts.
        function: As for `Hook`.
        grad: As for `Hook`.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
        >>> with Hooks(model) as hooks:
        ...     _ = model(torch.zeros(4, 2))
        >>> [tuple(output.shape) for output in hooks.stored]
        [(4, 3), (4, 3)]
    """

    def __init__(
        self, modules: Iterable[nn.Module], function: HookFunction | None = None, grad: bool = False
    ) -> None:
        self._hooks = [Hook(module, function, grad) for module in modules]

    @property
    def stored(self) -> list[Any]:
        """What each hook kept the last time, in the order of the parts."""
        return [hook.stored for hook in self._hooks]

    def remove(self) -> None:
        """Takes all of them off."""
        for hook in self._hooks:
            hook.remove()

    @overload
    def __getitem__(self, index: int) -> Hook: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Hook]: ...
    def __getitem__(self, index: int | slice) -> Hook | Sequence[Hook]:
        return self._hooks[index]

    def __len__(self) -> int:
        return len(self._hooks)

    def __iter__(self) -> Iterator[Hook]:
        return iter(self._hooks)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


def hook_output(module: nn.Module, grad: bool = False) -> Hook:
    """A hook that keeps a copy of what a part puts out, or with `grad` of the gradient with respect to it.

    Args:
        module: The part.
        grad: Keep the gradient instead.
    """
    return Hook(module, grad=grad)


def hook_outputs(modules: Iterable[nn.Module], grad: bool = False) -> Hooks:
    """Hooks that keep a copy of what each part puts out, or with `grad` of the gradients.

    Args:
        modules: The parts; a `Sequential` gives its children.
        grad: Keep the gradients instead.
    """
    return Hooks(modules, grad=grad)


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor in an output, which may be one, or hold some in tuples, lists and dictionaries."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, dict):
        value = list(cast("dict[Any, Any]", value).values())
    parts = cast("Sequence[Any]", value if isinstance(value, (list, tuple)) else ())
    return next((found for part in parts if (found := first_tensor(part)) is not None), None)


@contextmanager
def evaluating(model: nn.Module, grad: bool = False) -> Generator[None]:
    """Evaluation mode within the block; afterwards every part is in the mode it was in.

    Args:
        model: The model.
        grad: Whether gradients can be computed.
    """
    modes = [(part, part.training) for part in model.modules()]
    model.eval()
    try:
        with torch.set_grad_enabled(grad):
            yield
    finally:
        for part, training in modes:
            part.training = training


def dummy_eval(model: nn.Module, size: tuple[int, int] = (64, 64)) -> Any:
    """What a model puts out for one made-up picture in evaluation mode.

    Args:
        model: The model; its first layer with weights says how many channels it takes.
        size: Height and width of the picture.

    Example:
        >>> dummy_eval(nn.Conv2d(3, 8, 3, stride=2), size=(32, 32)).shape
        torch.Size([1, 8, 15, 15])
    """
    first = next((p for p in model.parameters() if p.ndim > 1), None)
    conv = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    channels = conv.in_channels if conv is not None else 3 if first is None else int(first.shape[1])
    like = torch.zeros(()) if first is None else first
    with evaluating(model):
        return model(torch.rand(1, channels, *size, device=like.device, dtype=like.dtype))


def model_sizes(model: nn.Module, size: tuple[int, int] = (64, 64)) -> list[torch.Size]:
    """The output shape of each child of a model, for one picture.

    Args:
        model: A model that runs its children.
        size: Height and width of the picture.

    Example:
        >>> model_sizes(nn.Sequential(nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.MaxPool2d(2)))
        [torch.Size([1, 8, 32, 32]), torch.Size([1, 8, 16, 16])]
    """
    with hook_outputs(model.children()) as hooks:
        dummy_eval(model, size)
    tensors = [first_tensor(stored) for stored in hooks.stored]
    return [found.shape for found in tensors if found is not None]


def num_features_model(model: nn.Module) -> int:
    """Number of channels that come out of a model's last child, or of itself if it calls none.

    Raises:
        ModelError: It takes pictures of none of the usual sizes.

    Example:
        >>> num_features_model(nn.Sequential(nn.Conv2d(5, 4, 3), nn.Conv2d(4, 3, 3)))
        3
    """
    reason = ""
    for side in SIDES:
        try:
            sizes = model_sizes(model, (side, side))
            whole = None if sizes else first_tensor(dummy_eval(model, (side, side)))
            return int((sizes[-1] if whole is None else whole.shape)[1])
        except (RuntimeError, AssertionError, ValueError, IndexError) as error:
            reason = str(error).split("\n")[0]
    raise ModelError(
        "`num_features_model` needs a model that takes pictures",
        f"it fails on all squares of {SIDES[0]} to {SIDES[-1]} pixels ({reason})",
        "Call `model_sizes(model, size=(h, w))` with the size it was made for.",
    )
