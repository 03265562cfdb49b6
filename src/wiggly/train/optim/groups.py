"""Parameter groups: which parameters learn together, which are frozen, and which ones weight decay spares.

In: a model, and a splitter that names its parts. Out: lists of parameters, first layers first. Read next:
`base.py`, which makes an optimizer of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor, nn

from wiggly.errors import ArgumentError, ModelError

__all__ = [
    "Splitter",
    "hold_norms",
    "layer_groups",
    "norm_and_bias",
    "set_frozen",
    "trainable_params",
    "without_decay",
]

Splitter = Callable[[nn.Module], Sequence[Any]]

# Layers whose scale and shift neither decay nor, with `train_bn`, stay frozen. `_BatchNorm` covers 1d to 3d,
# lazy and synchronised.
NORM_LAYERS: tuple[type[nn.Module], ...] = (
    nn.modules.batchnorm._NormBase,  # pyright: ignore[reportPrivateUsage]  (the only common base)
    nn.LayerNorm,
    nn.GroupNorm,
    nn.RMSNorm,
)


def trainable_params(model: nn.Module) -> list[nn.Parameter]:
    """Parameters that take a gradient: the default splitter, all of them in one group."""
    return [p for p in model.parameters() if p.requires_grad]


def layer_groups(model: nn.Module, splitter: Splitter) -> list[list[nn.Parameter]]:
    """The parameter groups a splitter makes of a model; a flat list of parameters is one group.

    Raises:
        ModelError: There is nothing to train.
        ArgumentError: The splitter gives no lists of parameters.
    """
    if not callable(splitter):
        raise _splitter_error(f"it is {splitter!r:.80}")
    given: Any = splitter(model)
    try:
        made: list[Any] = list(given)
        groups = [made] if made and isinstance(made[0], Tensor) else [list(part) for part in made]
    except TypeError:
        raise _splitter_error(f"it returned {type(given).__name__}") from None
    if wrong := [p for part in groups for p in part if not isinstance(p, nn.Parameter)]:
        raise _splitter_error(f"there is a {type(wrong[0]).__name__} in what it returned")
    if not any(groups):
        raise ModelError(
            "a model to train must have parameters that take a gradient",
            f"the splitter found none in {type(model).__name__}",
            "Set requires_grad=True on some, or check `splitter`.",
        )
    return groups


def _splitter_error(received: str) -> ArgumentError:
    return ArgumentError(
        "`splitter` must be a function from the model to lists of parameters",
        received,
        "E.g. splitter=lambda model: [list(part.parameters()) for part in model].",
    )


def norm_and_bias(model: nn.Module) -> tuple[set[nn.Parameter], set[nn.Parameter]]:
    """All parameters of normalisation layers, and all biases of other layers."""
    norms = {p for m in model.modules() if isinstance(m, NORM_LAYERS) for p in m.parameters(recurse=False)}
    biases = {p for m in model.modules() for n, p in m.named_parameters(recurse=False) if n == "bias"}
    return norms, biases - norms


def without_decay(model: nn.Module) -> set[nn.Parameter]:
    """Parameters that weight decay spares unless `wd_bn_bias` is set.

    They are those of normalisation layers, biases, everything else with one dimension (the scales that
    convnext and cait multiply their layers by), and what a part of the model names in a method
    `no_weight_decay()`, as timm's do (position embeddings, class tokens). It is the rule of timm's training
    script; for norms and biases see He et al., arXiv:1812.01187, section 3.1.

    Example:
        >>> model = nn.Sequential(nn.Linear(2, 3), nn.LayerNorm(3))
        >>> [name for name, p in model.named_parameters() if p not in without_decay(model)]
        ['0.weight']
    """
    norms, biases = norm_and_bias(model)
    return norms | biases | {p for p in model.parameters() if p.ndim <= 1} | _spared_by_name(model)


def _spared_by_name(module: nn.Module) -> set[nn.Parameter]:
    """What the outermost modules with a method `no_weight_decay` list; the names may have wildcards."""
    listed: Any = getattr(module, "no_weight_decay", None)
    if callable(listed):
        patterns: list[str] = list(listed())  # pyright: ignore[reportArgumentType]  (a set of names)
        named = module.named_parameters()
        return {p for name, p in named if any(fnmatchcase(name, pattern) for pattern in patterns)}
    return {p for child in module.children() for p in _spared_by_name(child)}


def set_frozen(
    model: nn.Module, groups: Sequence[Sequence[nn.Parameter]], first: int, train_norms: bool
) -> None:
    """Freezes the groups before `first`; with `train_norms` their normalisation layers keep learning."""
    norms = norm_and_bias(model)[0] if train_norms else set[nn.Parameter]()
    for layer, parameters in enumerate(groups):
        for parameter in parameters:
            parameter.requires_grad_(layer >= first or parameter in norms)


def hold_norms(module: nn.Module, held: set[nn.Parameter]) -> None:
    """Puts normalisation layers into evaluation mode, so that their running statistics stay, in every module
    whose parameters are all in `held`."""
    parameters = list(module.parameters())
    if parameters and all(p in held for p in parameters):
        for part in module.modules():
            if isinstance(part, NORM_LAYERS):
                part.eval()
        return
    for child in module.children():
        hold_norms(child, held)
