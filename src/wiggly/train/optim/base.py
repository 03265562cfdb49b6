"""Optimizers: torch's, with rates per parameter group, decoupled weight decay and none for norms and biases.

In: groups of parameters (`groups.py`). Out: `Optimizer`, which steps, and which schedules drive by group;
`Adam` and `SGD`, the two that users name most. Weight decay is decoupled from the gradient as in Loshchilov &
Hutter, arXiv:1711.05101. Read next: `more.py`, the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, cast

import torch
from torch import Tensor

from wiggly.errors import ArgumentError, ModelError
from wiggly.train.optim.quick import QuickAdam
from wiggly.train.optim.state import aligned, as_tuples, check_same_kind, copied, is_data

__all__ = [
    "FOREACH",
    "SGD",
    "Adam",
    "Optimizer",
    "Parameters",
    "as_groups",
    "check_first_order",
    "torch_class",
]

Parameters = Iterable[Any]
# One call for many tensors, as torch's own optimizers use it; it has no public name.
FOREACH = cast("Any", torch)
# torch's classes with a kernel that updates all parameters at once, on every device.
FUSED: tuple[Any, ...] = (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD)


@dataclass(frozen=True)
class _Made:
    """What a torch group was made with."""

    wd: float
    momentum: float | None
    beta: float | None
    keys: frozenset[str]


class Optimizer:
    """A torch optimizer whose rates are set by parameter group.

    Made by `Adam`, `SGD`, their kin, or any torch optimizer; a torch group carries the number of the
    parameter group it belongs to (`layer`) and whether its parameters decay (`decay`), so one parameter group
    may be several torch groups.

    Args:
        inner: The torch optimizer.
        decay_here: Apply decoupled weight decay in `step` (for those of torch's that only know the coupled
            kind).

    Raises:
        ArgumentError: It needs more of a step than gradients.
    """

    def __init__(self, inner: torch.optim.Optimizer, decay_here: bool = False) -> None:
        check_first_order(type(inner), getattr(inner, "is_second_order", False))
        self.inner, self.decay_here, self._quick = inner, decay_here, QuickAdam(inner)
        for number, group in enumerate(inner.param_groups):
            group.setdefault("layer", number)
            group.setdefault("decay", True)
            if decay_here:
                group.setdefault("wd", group["weight_decay"])
        self._made = [_made_with(group) for group in inner.param_groups]
        # torch's Adagrad starts with state, and cannot step without it.
        self._first_state = {p: copied(values) for p, values in self._state.items()}
        self.set_wd(None)

    @property
    def _state(self) -> dict[Tensor, dict[str, Any]]:
        # timm's Lookahead leaves the state with the optimizer that it wraps.
        return cast("Any", getattr(self.inner, "_base_optimizer", self.inner)).state

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """torch's groups with their settings."""
        return self.inner.param_groups

    @property
    def n_groups(self) -> int:
        """Number of parameter groups, as the splitter made them."""
        return 1 + max(int(group["layer"]) for group in self.param_groups)

    @property
    def lrs(self) -> list[float]:
        """Learning rate of each parameter group."""
        rates = {int(group["layer"]): float(group["lr"]) for group in self.param_groups}
        return [rates.get(layer, 0.0) for layer in range(self.n_groups)]

    @property
    def momentum(self) -> float | None:
        """Momentum, or beta1 where there are betas; None where there is neither."""
        group = self.param_groups[0]
        return group["betas"][0] if group.get("betas") else group.get("momentum")

    def set_lrs(self, rates: Sequence[float]) -> None:
        """Sets the learning rate of each parameter group."""
        for group in self.param_groups:
            rate = group["lr"] = rates[group["layer"]]
            # timm's corrected weight decay divides by the highest rate of the fit, and for that takes the one
            # that the optimizer was made with.
            if group.get("corrected_weight_decay"):
                group["max_lr_snapshot"] = max(rate, group["max_lr_snapshot"])

    def set_momentum(self, value: float | None) -> None:
        """Sets momentum, and beta1 where there are betas; None puts back what the optimizer was made with."""
        for group, made in zip(self.param_groups, self._made, strict=True):
            if made.beta is not None:
                group["betas"] = (made.beta if value is None else value, *group["betas"][1:])
            # A torch optimizer made without momentum has no buffer for it; SGD makes one when it is needed.
            if made.momentum is not None and (made.momentum > 0 or isinstance(self.inner, torch.optim.SGD)):
                group["momentum"] = made.momentum if value is None else value

    def set_wd(self, wd: float | None) -> None:
        """Sets weight decay where parameters decay; None puts back what the optimizer was made with.

        Raises:
            ArgumentError: This optimizer has no weight decay, or it is negative.
        """
        if wd is not None and not (isinstance(wd, Real) and wd >= 0):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise ArgumentError("`wd` must be at least 0", f"it is {wd!r}", "Pass e.g. wd=0.01.")
        key = "wd" if self.decay_here else "weight_decay"
        for group, made in zip(self.param_groups, self._made, strict=True):
            if "weight_decay" not in group:
                if wd is None:
                    continue
                raise ArgumentError(
                    "`wd` needs an optimizer with weight decay", f"{self!r} has none", "Leave `wd` out."
                )
            group["weight_decay"] = 0.0
            group[key] = (made.wd if wd is None else wd) if group["decay"] else 0.0

    def start_fit(self, wd: float | None) -> None:
        """Takes back what schedules of the fit before have changed.

        Args:
            wd: Weight decay of the fit that begins, as for `set_wd`.
        """
        self.set_momentum(None)
        self.set_wd(wd)
        for group in self.param_groups:
            if group.get("corrected_weight_decay"):
                group["max_lr_snapshot"] = 1e-30  # no rate yet; it is divided by

    def step(self) -> None:
        """One update of every parameter that has a gradient."""
        if self.decay_here:
            self._decay()
        if not self._quick.step():
            self.inner.step()

    @torch.no_grad()
    def _decay(self) -> None:
        for group in self.param_groups:
            shrink = 1 - group["lr"] * group["wd"]
            if shrink == 1:
                continue
            moving = [p for p in group["params"] if p.grad is not None]
            if moving:
                FOREACH._foreach_mul_(moving, shrink)

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        if type(self.inner).zero_grad is not torch.optim.Optimizer.zero_grad:
            self.inner.zero_grad(set_to_none=True)
            return
        for group in self.param_groups:  # as torch's does, without its bookkeeping: 16 µs of a small step
            for parameter in group["params"]:
                parameter.grad = None

    def clear_state(self) -> None:
        """Forgets running averages and step counts; the next step starts afresh."""
        self._state.clear()
        self._quick.forget()
        for parameter, values in self._first_state.items():
            self._state[parameter] = copied(values)
        for group, made in zip(self.param_groups, self._made, strict=True):
            for key in group.keys() - made.keys:  # timm's Lamb and Adan count steps in the group
                del group[key]
            if "lookahead_step" in group:
                group["lookahead_step"] = 0

    def state_dict(self) -> dict[str, Any]:
        """Running averages and settings, as torch writes them, without settings that are no data (a dtype, a
        function): those belong to the code that makes the optimizer."""
        saved = self.inner.state_dict()
        groups: list[dict[str, Any]] = saved["param_groups"]
        return {**saved, "param_groups": [{k: v for k, v in g.items() if is_data(v)} for g in groups]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave, also after JSON made lists of its tuples.

        Raises:
            ModelError: It is of another kind of optimizer, or the groups differ in number or size.
        """
        current = self.inner.state_dict()
        mine = [
            {k: v for k, v in group.items() if k in made.keys or not is_data(v)}
            for group, made in zip(current["param_groups"], self._made, strict=True)
        ]
        pairs = list(zip(mine, state["param_groups"], strict=False))
        for own, theirs in pairs:
            check_same_kind(own, theirs)
        groups = [{**own, **as_tuples(theirs, own)} for own, theirs in pairs]
        fits = len(groups) == len(state["param_groups"])
        wanted = as_tuples({**state, "param_groups": groups if fits else state["param_groups"]}, current)
        try:
            self.inner.load_state_dict(wanted)
        except ValueError as error:
            raise ModelError(
                "saved optimizer state must fit the parameter groups",
                str(error),
                "Pass with_opt=False to leave it out.",
            ) from error
        self._keep_counters(wanted["state"])
        self.align()

    def _keep_counters(self, saved: Mapping[int, Mapping[str, Any]]) -> None:
        """Puts back single numbers that torch has rounded to the weights' precision (NAdam's product)."""
        parameters = [p for group in self.param_groups for p in group["params"]]
        for number, values in saved.items():
            taken = self._state[parameters[number]]
            for name, value in values.items():
                if isinstance(value, Tensor) and not value.ndim and taken[name].dtype != value.dtype:
                    taken[name] = value.to(taken[name].device, copy=True)

    def align(self) -> None:
        """Brings running averages to their parameters' device and memory format.

        Needed whenever a model was moved: torch's fused kernels pair numbers by address, so averages in
        another format than the weights would silently be given to the wrong ones.
        """
        self._quick.forget()
        for parameter, values in self._state.items():
            for name, value in values.items():
                values[name] = aligned(value, parameter)

    def __repr__(self) -> str:
        rates = ", ".join(f"{rate:.3g}" for rate in self.lrs)
        return f"{type(self.inner).__name__} with {self.n_groups} parameter groups at rates {rates}"


def check_first_order(kind: Any, second_order: bool = False) -> None:
    """Refuses an optimizer that needs more than gradients.

    Args:
        kind: Its class, or a function that makes one.
        second_order: Whether it is known to need the gradient of the gradient.

    Raises:
        ArgumentError: With the reason.
    """
    reasons: dict[Any, str] = {
        torch.optim.LBFGS: "evaluates the loss several times in one step",
        torch.optim.SparseAdam: "takes sparse gradients only, which no layer here gives",
    }
    reason = "needs the gradient of the gradient" if second_order else reasons.get(kind)
    if reason:
        raise ArgumentError(
            "an optimizer must make its step from the gradients of one batch",
            f"{kind.__name__} {reason}",
            "Take another, e.g. wiggly.Adam or opt_func='lion'.",
        )


def _made_with(group: Mapping[str, Any]) -> _Made:
    decay = group.get("wd", group.get("weight_decay"))
    betas = group.get("betas")
    return _Made(float(decay or 0.0), group.get("momentum"), betas[0] if betas else None, frozenset(group))


def as_groups(params: Parameters) -> list[dict[str, Any]]:
    """torch's group dicts from parameters, lists of parameters, or such dicts.

    Raises:
        ArgumentError: There are none.
    """
    given: list[Any] = [params] if isinstance(params, Tensor) else list(params)
    if not given:
        raise ArgumentError(
            "an optimizer needs parameters", "got none", "Pass model.parameters(), not yet used up."
        )
    if isinstance(given[0], dict):
        return cast("list[dict[str, Any]]", given)
    if isinstance(given[0], Tensor):
        return [{"params": given}]
    return [{"params": list(group)} for group in given]


def _is_fusable(groups: Sequence[Mapping[str, Any]]) -> bool:
    # torch's one-kernel update: 6 times faster than `foreach` for a mobilenetv2 on a CPU (1.7 ms against 10.5
    # ms). Not every optimizer has it for parameters that are sharded over processes.
    parameters = [p for group in groups for p in group["params"]]
    devices = ("cpu", "cuda", "mps")
    sharded = any(hasattr(p, "full_tensor") for p in parameters)
    return not sharded and all(p.is_floating_point() and p.device.type in devices for p in parameters)


def torch_class(made_by: Callable[..., Any], **settings: Any) -> Callable[..., torch.optim.Optimizer]:
    """A torch optimizer class, or a function that makes one, with settings; in its fused form where there is
    one and no other is asked for.

    Args:
        made_by: Called with groups, `lr` and the settings.
        settings: Arguments for it.
    """
    open_choice = made_by in FUSED and not {"fused", "foreach", "differentiable"} & settings.keys()

    def make(params: Parameters, lr: float = 1e-3) -> torch.optim.Optimizer:
        groups = as_groups(params)
        fused = {"fused": True} if open_choice and _is_fusable(groups) else {}
        return made_by(groups, lr=lr, **settings, **fused)

    return make


def Adam(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.01,
    decouple_wd: bool = True,
) -> Optimizer:
    """Adam (Kingma & Ba, arXiv:1412.6980) with the settings that fine-tuning is used to.

    Args:
        params: Parameters, or lists of them, one per parameter group.
        lr: Learning rate.
        mom: Decay of the average gradient (beta1); the one-cycle schedule moves it.
        sqr_mom: Decay of the average squared gradient (beta2); 0.99 forgets faster than the paper's 0.999,
            which suits short fine-tuning runs.
        eps: Added to the square root of the debiased average squared gradient.
        wd: Weight decay.
        decouple_wd: Shrink weights by `1 - lr * wd` before the step; False adds `wd * weight` to the
            gradient.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = Adam([weight], lr=0.1, wd=0.0)
        >>> weight.sum().backward()
        >>> optimizer.step()
        >>> round(weight.item(), 4)
        0.9
    """
    kind = torch.optim.AdamW if decouple_wd else torch.optim.Adam
    return Optimizer(torch_class(kind, betas=(mom, sqr_mom), eps=eps, weight_decay=wd)(params, lr))


def SGD(
    params: Parameters, lr: float = 1e-3, mom: float = 0.0, wd: float = 0.0, decouple_wd: bool = True
) -> Optimizer:
    """Stochastic gradient descent; with `mom` it follows the running sum `mom * sum + gradient`.

    Args:
        params: Parameters, or lists of them, one per parameter group.
        lr: Learning rate.
        mom: Momentum.
        wd: Weight decay.
        decouple_wd: Shrink weights by `1 - lr * wd` before the step; False adds `wd * weight` to the
            gradient.
    """
    make = torch_class(torch.optim.SGD, momentum=mom, weight_decay=wd)
    return Optimizer(make(params, lr), decouple_wd)
