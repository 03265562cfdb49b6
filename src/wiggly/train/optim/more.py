"""More optimizers, with the settings that fine-tuning is used to.

In: groups of parameters. Out: `Optimizer`. The arithmetic is torch's and timm's own; what is added here are
names, groups, decoupled weight decay, and `Lookahead`, whose slow weights begin where the paper lets them.
Read next: `by_name.py`, which finds any other optimizer by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from wiggly.errors import ArgumentError
from wiggly.train.optim.base import FOREACH, Adam, Optimizer, Parameters, as_groups
from wiggly.train.optim.state import aligned

__all__ = ["AdamW", "Lamb", "Lookahead", "Muon", "RAdam", "RMSProp", "ranger"]


def AdamW(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.999,
    eps: float = 1e-8,
    wd: float = 0.01,
) -> Optimizer:
    """AdamW (Loshchilov & Hutter, arXiv:1711.05101) with torch's defaults; `Adam` has those of fine-tuning.

    Args:
        params: As for `Adam`, and so are the others.
        lr: Learning rate.
        mom: Decay of the average gradient (beta1).
        sqr_mom: Decay of the average squared gradient (beta2).
        eps: Added to the square root of the debiased average squared gradient.
        wd: Weight decay, decoupled.
    """
    return Adam(params, lr, mom, sqr_mom, eps, wd)


def RMSProp(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.0,
    sqr_mom: float = 0.99,
    eps: float = 1e-8,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:
    """Gradients divided by the root of their average square (Tieleman & Hinton, 2012), as torch's.

    Args:
        params: As for `Adam`.
        lr: Learning rate.
        mom: Momentum; 0 has none, and no schedule brings it in.
        sqr_mom: Decay of the average squared gradient.
        eps: Added to its square root.
        wd: Weight decay.
        decouple_wd: As for `Adam`.
    """
    inner = torch.optim.RMSprop(as_groups(params), lr, sqr_mom, eps, wd, mom)
    return Optimizer(inner, decouple_wd)


def RAdam(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.0,
    decouple_wd: bool = True,
) -> Optimizer:
    """Rectified Adam (Liu et al., arXiv:1908.03265), torch's: the first steps, whose average square is not to
    be trusted yet, are those of momentum.

    Args:
        params: As for `Adam`, and so are the others.
        lr: Learning rate.
        mom: Decay of the average gradient (beta1).
        sqr_mom: Decay of the average squared gradient (beta2).
        eps: Added to the square root of the average squared gradient.
        wd: Weight decay.
        decouple_wd: As for `Adam`.
    """
    settings: dict[str, Any] = {"eps": eps, "weight_decay": wd, "decoupled_weight_decay": decouple_wd}
    settings["foreach"] = True  # 29 ms a step for a mobilenetv3_small on a CPU; 44 ms as torch chooses there
    return Optimizer(torch.optim.RAdam(as_groups(params), lr, (mom, sqr_mom), **settings))


def Lamb(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.9,
    sqr_mom: float = 0.99,
    eps: float = 1e-5,
    wd: float = 0.0,
) -> Optimizer:
    """LAMB (You et al., arXiv:1904.00962), timm's: Adam's step, rescaled layer by layer to the length of the
    weights, for large batches.

    Without the clipping of gradients that timm adds by default: a callback does that.

    Args:
        params: As for `Adam`.
        lr: Learning rate: the share of its length that a layer moves in a step.
        mom: Decay of the average gradient (beta1).
        sqr_mom: Decay of the average squared gradient (beta2).
        eps: Added to the square root of the debiased average squared gradient.
        wd: Weight decay, part of the step that is rescaled, as in the paper.
    """
    from timm.optim.lamb import Lamb as TimmLamb

    settings: dict[str, Any] = {"max_grad_norm": None, "always_adapt": True}
    groups = as_groups(params)
    return Optimizer(TimmLamb(groups, lr, betas=(mom, sqr_mom), eps=eps, weight_decay=wd, **settings))


def Muon(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.95,
    sqr_mom: float = 0.99,
    wd: float = 0.01,
) -> Optimizer:
    """Muon (Jordan, kellerjordan.github.io/posts/muon, 2024), timm's, for hidden layers; Adam for the rest.

    The step of a hidden layer's matrix, or of its filters laid out as one, is made orthogonal. Vectors, and
    the first and the last matrix of three or more (input and output layer, as Jordan advises), go by Adam
    with Nesterov momentum. Steps are as long as AdamW's at the same rate (Liu et al., arXiv:2502.16982,
    section 2.2), so the rates that suit `Adam`, and those of `lr_find`, suit it too.

    Args:
        params: As for `Adam`; a matrix counts as first or last in this order.
        lr: Learning rate.
        mom: Momentum, and beta1 of the rest.
        sqr_mom: Decay of the average squared gradient (beta2) of the rest.
        wd: Weight decay, decoupled.
    """
    from timm.optim.muon import Muon as TimmMuon

    groups: list[dict[str, Any]] = [
        {"layer": number, **group} for number, group in enumerate(as_groups(params))
    ]
    matrices: list[Tensor] = [p for group in groups for p in group["params"] if p.ndim > 1 and p.shape[0] > 1]
    edges = {matrices[0], matrices[-1]} if len(matrices) > 2 else set[Tensor]()
    parts = [part for group in groups for part in _split_off(group, edges)]
    # Jordan's own five steps and momentum; timm's defaults have other coefficients.
    settings: dict[str, Any] = {"nesterov": True, "ns_coefficients": "original"}
    made = TimmMuon(parts, lr, wd, mom, betas=(mom, sqr_mom), adjust_lr_fn="match_rms_adamw", **settings)
    return Optimizer(made)


def _split_off(group: Mapping[str, Any], edges: set[Tensor]) -> list[dict[str, Any]]:
    """A group in two: what timm's Muon may sort by shape, and what it is told to leave to Adam."""
    hidden = {**group, "params": [p for p in group["params"] if p not in edges]}
    rest = {**group, "params": [p for p in group["params"] if p in edges], "use_fallback": True}
    return [part for part in (hidden, rest) if part["params"]]


class Lookahead(Optimizer):
    """Slow weights that every `k` steps go a part of the way to the fast ones, which go on from there (Zhang
    et al., arXiv:1907.08610, algorithm 1).

    Args:
        opt: The optimizer of the fast weights.
        k: Steps between two of the slow weights.
        alpha: Part of the way, in [0, 1].

    Raises:
        ArgumentError: A number is out of range.

    Example:
        >>> weight = torch.nn.Parameter(torch.ones(1))
        >>> optimizer = Lookahead(torch.optim.SGD([weight], lr=0.1), k=2)
        >>> for _ in range(2):
        ...     weight.grad = torch.ones(1)
        ...     optimizer.step()
        >>> round(weight.item(), 4)  # from 1 the fast weight went to 0.8; half the way is 0.9
        0.9
    """

    def __init__(self, opt: Optimizer | torch.optim.Optimizer, k: int = 6, alpha: float = 0.5) -> None:
        if k < 1 or not 0 <= alpha <= 1:
            raise ArgumentError(
                "`k` must be at least 1 and `alpha` in [0, 1]",
                f"k={k}, alpha={alpha}",
                "Pass k=6, alpha=0.5.",
            )
        inner, decay_here = (opt.inner, opt.decay_here) if isinstance(opt, Optimizer) else (opt, False)
        inner.param_groups[0].setdefault("lookahead_step", 0)
        super().__init__(inner, decay_here)
        self.k, self.alpha = k, alpha
        self._slow: dict[Tensor, Tensor] = {}

    @torch.no_grad()
    def step(self) -> None:
        moving = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        for parameter in moving:
            if parameter not in self._slow:
                self._slow[parameter] = parameter.detach().clone()
        super().step()
        first = self.param_groups[0]
        first["lookahead_step"] += 1
        if first["lookahead_step"] % self.k == 0 and moving:
            slow = [self._slow[p] for p in moving]
            FOREACH._foreach_lerp_(slow, moving, self.alpha)
            FOREACH._foreach_copy_(moving, slow)

    def clear_state(self) -> None:
        super().clear_state()
        self._slow.clear()

    def state_dict(self) -> dict[str, Any]:
        saved = super().state_dict()
        state: dict[int, dict[str, Any]] = {number: dict(values) for number, values in saved["state"].items()}
        for number, parameter in enumerate(self._parameters()):
            if parameter in self._slow:
                state.setdefault(number, {})[SLOW] = self._slow[parameter]
        return {**saved, "state": state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        values: dict[int, dict[str, Any]] = {int(number): dict(v) for number, v in state["state"].items()}
        slow = {number: parts.pop(SLOW) for number, parts in values.items() if SLOW in parts}
        super().load_state_dict({**state, "state": {n: parts for n, parts in values.items() if parts}})
        parameters = self._parameters()
        self._slow = {parameters[n]: t.to(parameters[n]).clone() for n, t in slow.items()}
        self.align()

    def align(self) -> None:
        super().align()
        self._slow = {p: aligned(slow, p) for p, slow in self._slow.items()}

    def _parameters(self) -> list[Tensor]:
        """In the order in which torch numbers them."""
        return [p for group in self.param_groups for p in group["params"]]

    def __repr__(self) -> str:
        return f"Lookahead of {super().__repr__()}"


# The name of the slow weights in saved state.
SLOW = "lookahead_slow"


def ranger(
    params: Parameters,
    lr: float = 1e-3,
    mom: float = 0.95,
    sqr_mom: float = 0.99,
    eps: float = 1e-6,
    wd: float = 0.01,
    k: int = 6,
    alpha: float = 0.5,
) -> Optimizer:
    """`RAdam` with `Lookahead`, as Wright (2019) put them together; it goes with `fit_flat_cos`.

    Args:
        params: As for `RAdam`, and so are the others but the last two.
        lr: Learning rate.
        mom: Decay of the average gradient (beta1).
        sqr_mom: Decay of the average squared gradient (beta2).
        eps: Added to the square root of the average squared gradient.
        wd: Weight decay, decoupled.
        k: As for `Lookahead`.
        alpha: As for `Lookahead`.
    """
    return Lookahead(RAdam(params, lr, mom, sqr_mom, eps, wd), k, alpha)
