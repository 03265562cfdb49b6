"""Adam's step without torch's bookkeeping around it, which for small networks takes longer than the step.

In: a torch Adam or AdamW in its fused form, on a CPU. Out: the same numbers from the same kernel; state stays
where torch keeps it. Whatever is unusual is left to torch. Read next: `base.py`, which asks for a step.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor

__all__ = ["QuickAdam"]

# torch's kernels have no public name.
KERNELS: dict[Any, Any] = {
    torch.optim.Adam: cast("Any", torch)._fused_adam_,
    torch.optim.AdamW: cast("Any", torch)._fused_adamw_,
}
PLAIN = {"amsgrad": False, "maximize": False, "capturable": False, "differentiable": False, "fused": True}
AVERAGES = ("exp_avg", "exp_avg_sq")


class _Lists:
    """What the kernel takes for one group: parameters with their averages, and one count of steps for all.

    Args:
        group: The group of the torch optimizer.
        state: The optimizer's state; its step counts become views of the one count.
    """

    def __init__(self, group: dict[str, Any], state: Any) -> None:
        self.params: list[Tensor] = list(group["params"])
        self.averages = [[state[p][name] for p in self.params] for name in AVERAGES]
        self.count = torch.stack([state[p]["step"] for p in self.params])
        self.steps = list(self.count.unbind())
        for p, step in zip(self.params, self.steps, strict=True):
            state[p]["step"] = step

    def holds(self, group: dict[str, Any], state: Any) -> bool:
        """Whether nobody has put other parameters or another state in their place since. Who replaces a part
        of the state calls `forget`."""
        given = group["params"]
        if len(given) != len(self.params) or given[0] is not self.params[0]:
            return False
        ends = state.get(given[0], {}), state.get(given[-1], {})
        return ends[0].get("step") is self.steps[0] and ends[1].get("step") is self.steps[-1]


class QuickAdam:
    """Steps of a torch Adam or AdamW.

    Of 26 small tensors torch's own `step` took 220 µs and the kernel within it 30.

    Args:
        inner: The optimizer, of any kind: those of another kind are always left to torch.
    """

    def __init__(self, inner: torch.optim.Optimizer) -> None:
        self.inner, self.kernel = inner, KERNELS.get(type(inner))
        self._lists: dict[int, _Lists] = {}

    def forget(self) -> None:
        """Has the next step look at the optimizer's state anew."""
        self._lists.clear()

    def step(self) -> bool:
        """Makes one step; False if it has done nothing, as there is something unusual about it."""
        inner: Any = self.inner
        hooked = inner._optimizer_step_pre_hooks or inner._optimizer_step_post_hooks
        if self.kernel is None or hooked or "step" in vars(inner):  # schedulers of torch wrap `step`
            return False
        work: list[tuple[dict[str, Any], _Lists, list[Tensor]]] = []
        for number, group in enumerate(inner.param_groups):
            grads: list[Any] = [p.grad for p in group["params"] if p.grad is not None]
            if not grads:
                continue
            lists = self._found(number, group, grads) if len(grads) == len(group["params"]) else None
            if lists is None:
                return False
            work.append((group, lists, grads))
        with torch.no_grad():
            for group, lists, grads in work:
                self._update(group, lists, grads)
        return True

    def _found(self, number: int, group: dict[str, Any], grads: list[Tensor]) -> _Lists | None:
        """The lists of a group, made anew where its state is another; None before there is one."""
        state, lists = self.inner.state, self._lists.get(number)
        if lists is not None and lists.holds(group, state):
            return lists
        plain = all(bool(group.get(name)) == value for name, value in PLAIN.items())
        if not plain or isinstance(group["lr"], Tensor) or any(grad.is_sparse for grad in grads):
            return None
        params: list[Tensor] = group["params"]
        alike = all(p.device.type == "cpu" and p.dtype == params[0].dtype for p in params)
        if not alike or not all("step" in state.get(p, {}) for p in params):
            return None
        self._lists[number] = _Lists(group, state)
        return self._lists[number]

    def _update(self, group: dict[str, Any], lists: _Lists, grads: list[Tensor]) -> None:
        lists.count.add_(1)
        beta1, beta2 = group["betas"]
        assert self.kernel is not None
        self.kernel(
            lists.params,
            grads,
            *lists.averages,
            [],
            lists.steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=False,
            grad_scale=None,
            found_inf=None,
        )
