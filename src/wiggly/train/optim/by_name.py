"""From what is passed as `opt_func` to the optimizer of a model: a function, a class, or a name.

In: a function of parameters and `lr`, or the name of any optimizer that torch or timm has. Out: `Optimizer`
over the model's groups. Read next: `base.py`, what an `Optimizer` is.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, cast

import torch
from torch import nn

from wiggly.errors import ArgumentError, DependencyError, WigglyError
from wiggly.train.optim.base import FUSED, Optimizer, Parameters, check_first_order, torch_class
from wiggly.train.optim.more import Muon, ranger

__all__ = [
    "OptFunc",
    "OptimWrapper",
    "as_code",
    "as_opt_func",
    "list_optimizers",
    "make_optimizer",
    "wrap_optimizer",
]

OptFunc = Callable[..., Any]

# Names that stand for functions of ours: torch's Muon refuses whatever is no matrix.
OWN: dict[str, OptFunc] = {"muon": Muon, "ranger": ranger}


def wrap_optimizer(opt: str | Callable[..., torch.optim.Optimizer], **settings: Any) -> OptFunc:
    """Makes an `opt_func` of any torch optimizer with settings of your own.

    Args:
        opt: A class, a function that returns an optimizer, or a name: of `torch.optim`, of timm
            (`timm.optim.list_optimizers()`), "muon" or "ranger". Case does not matter. Where both libraries
            have a name it is torch's, and "timm.sgd" is timm's. The defaults are that library's: "adam" is
            torch's, `wiggly.Adam` is ours.
        settings: Arguments for it, under its own names.

    Returns:
        A function of parameters and `lr`.

    Raises:
        ArgumentError: There is no optimizer of that name.

    Example:
        >>> make = wrap_optimizer(torch.optim.AdamW, betas=(0.9, 0.999))
        >>> make([torch.nn.Parameter(torch.ones(1))], lr=1e-3)
        AdamW with 1 parameter groups at rates 0.001
        >>> wrap_optimizer("lion", betas=(0.95, 0.98))([torch.nn.Parameter(torch.ones(1))], lr=1e-4)
        Lion with 1 parameter groups at rates 0.0001
    """
    found = _by_name(opt) if isinstance(opt, str) else opt
    check_first_order(found)

    def make(params: Parameters, lr: float = 1e-3) -> Optimizer:
        if found in OWN.values():
            return cast("Optimizer", found(params, lr=lr, **settings))
        made = torch_class(found, **settings)(params, lr=lr)
        return Optimizer(made)

    make.__name__ = opt if isinstance(opt, str) else getattr(opt, "__name__", repr(opt))
    given = "".join(f", {name}={value!r}" for name, value in settings.items())
    make.__qualname__ = f"wrap_optimizer({repr(opt) if isinstance(opt, str) else as_code(opt)}{given})"
    return make


def OptimWrapper(
    params: Parameters, opt: str | Callable[..., torch.optim.Optimizer], lr: float = 1e-3, **settings: Any
) -> Optimizer:
    """`wrap_optimizer` in the form that readers of the course know: `partial(OptimWrapper, opt=AdamW)`.

    Args:
        params: Parameters, or lists of them, one per parameter group.
        opt: As for `wrap_optimizer`.
        lr: Learning rate.
        settings: As for `wrap_optimizer`.

    Example:
        >>> OptimWrapper([torch.nn.Parameter(torch.ones(1))], torch.optim.AdamW, lr=0.1)
        AdamW with 1 parameter groups at rates 0.1
    """
    return cast("Optimizer", wrap_optimizer(opt, **settings)(params, lr))


def as_code(opt_func: OptFunc) -> str:
    """What to write for an `opt_func` in a program; its bare name where that cannot be known.

    Example:
        >>> as_code(wrap_optimizer("lion", betas=(0.9, 0.98))), as_code(torch.optim.AdamW)
        ("wrap_optimizer('lion', betas=(0.9, 0.98))", 'torch.optim.AdamW')
    """
    name = getattr(opt_func, "__name__", type(opt_func).__name__)
    if getattr(torch.optim, name, None) is opt_func:
        return f"torch.optim.{name}"
    made_here = getattr(opt_func, "__qualname__", "").startswith("wrap_optimizer(")
    return cast("Any", opt_func).__qualname__ if made_here else name


def as_opt_func(opt: str | OptFunc) -> OptFunc:
    """What a learner takes as `opt_func`, as a function.

    Raises:
        ArgumentError: It is no function, or there is no optimizer of that name.
    """
    if isinstance(opt, str):
        return wrap_optimizer(opt)
    if callable(opt):
        check_first_order(opt)
        return opt
    raise ArgumentError(
        "`opt_func` must be a function of parameters and `lr`, or the name of an optimizer",
        f"got {opt!r}",
        "Pass wiggly.Adam, a torch class (not an optimizer made already), or a name like 'lion'.",
    )


def list_optimizers() -> list[str]:
    """Every name that `opt_func` takes, in alphabetical order."""
    return sorted({*OWN, *_torch_classes(), *_timm_names()})


def _torch_classes() -> dict[str, type[torch.optim.Optimizer]]:
    members: dict[str, Any] = {name: getattr(torch.optim, name) for name in torch.optim.__all__}
    kinds = {k: v for k, v in members.items() if isinstance(v, type) and issubclass(v, torch.optim.Optimizer)}
    return {name.lower(): kind for name, kind in kinds.items() if kind is not torch.optim.Optimizer}


def _timm_names() -> list[str]:
    from timm import optim

    return cast("Any", optim).list_optimizers()


def _by_name(name: str) -> OptFunc:
    wanted = name.lower().removeprefix("torch.optim.").removeprefix("timm.optim.").removeprefix("timm.")
    prefix = name.lower().removesuffix(wanted)
    if wanted in OWN and not prefix:
        return OWN[wanted]
    if wanted in _torch_classes() and not prefix.startswith("timm"):
        return _torch_classes()[wanted]
    if wanted.removeprefix("lookahead_") in _timm_names() and not prefix.startswith("torch"):
        return partial(_from_timm, wanted)
    near = difflib.get_close_matches(wanted, list_optimizers(), 3, 0.5) or ["adamw", "lion", "sgd"]
    raise ArgumentError(
        "`opt_func` must be an optimizer that torch or timm has",
        f"there is no {name!r}",
        f"Nearest: {', '.join(near)}. All: wiggly.train.optim.by_name.list_optimizers()",
    )


def _from_timm(name: str, params: Parameters, lr: float, **settings: Any) -> torch.optim.Optimizer:
    from timm import optim

    try:
        return cast("Any", optim).create_optimizer_v2(params, name, lr, **settings)
    except (AssertionError, ImportError) as error:  # names that start with fused or bnb
        raise DependencyError(
            f"the optimizer {name!r} must have its package and device",
            str(error),
            "Install that package on a machine with a CUDA device, or choose another: 'adamw', 'lion'.",
        ) from error


def make_optimizer(
    make: Callable[..., Any], groups: Sequence[Sequence[nn.Parameter]], lr: float, no_decay: set[nn.Parameter]
) -> Optimizer:
    """The optimizer for a model's groups, each split in two: parameters that decay and those that do not.

    Raises:
        ArgumentError: `make` cannot make an optimizer of them.
    """
    torch_groups: list[dict[str, Any]] = []
    for layer, parameters in enumerate(groups):
        for decay in (True, False):
            chosen = [p for p in parameters if (p not in no_decay) == decay]
            if chosen:
                torch_groups.append({"params": chosen, "layer": layer, "decay": decay})
    made = _called(torch_class(make) if make in FUSED else make, torch_groups, lr)
    if isinstance(made, Optimizer):
        return made
    if isinstance(made, torch.optim.Optimizer):
        return Optimizer(made)
    raise ArgumentError(
        "`opt_func` must return an optimizer",
        f"got {type(made).__name__}",
        "Pass wiggly.Adam, SGD, a name like 'lion', or a torch class.",
    )


def _called(make: Callable[..., Any], groups: list[dict[str, Any]], lr: float) -> Any:
    try:
        return make(groups, lr=lr)
    except WigglyError:
        raise
    except (TypeError, ValueError) as error:
        name = getattr(make, "__name__", repr(make))
        other = f"opt_func={name.lower()!r}" if name.lower() in OWN else "wiggly.Adam, another optimizer"
        raise ArgumentError(
            "`opt_func` must be able to make an optimizer of the model's parameter groups and `lr`",
            f"{name} says: {error}",
            f"Pass {other}, or a function `(params, lr)` that returns one.",
        ) from error
