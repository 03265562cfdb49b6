"""A model in one page of text: its parts, their parameters, what is frozen, how it learns.

In: a learner. Out: text. Nothing is run, so it costs nothing. Read next: `optim.py` for groups and freezing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["describe"]

# A row for every part at most this deep: a ResNet's stages, not its hundred convolutions.
DEEPEST = 3


def describe(learner: Learner) -> str:
    """The table that `Learner.summary` prints."""
    rows = [("part", "kind", "parameters", "learning")]
    rows += [
        _row(name, part) for name, part in learner.model.named_modules() if name and name.count(".") < DEEPEST
    ]
    wide = [max(len(row[k]) for row in rows) for k in range(4)]
    lines = [
        f"{row[0]:<{wide[0]}}  {row[1]:<{wide[1]}}  {row[2]:>{wide[2]}}  {row[3]:>{wide[3]}}" for row in rows
    ]
    total, learning = _count(learner.model)
    loss = getattr(learner.loss_func, "__name__", type(learner.loss_func).__name__)
    return "\n".join(
        [
            *lines,
            "",
            f"{type(learner.model).__name__}: {total:,} parameters, {learning:,} of them learning",
            f"loss {loss}, optimizer {learner.opt!r}",
            f"on {learner.engine.device} in {learner.engine.precision}",
        ]
    )


def _row(name: str, part: nn.Module) -> tuple[str, str, str, str]:
    total, learning = _count(part)
    return name, type(part).__name__, f"{total:,}", f"{learning:,}"


def _count(module: nn.Module) -> tuple[int, int]:
    """Numbers of parameters and of those that take a gradient."""
    parameters = list(module.parameters())
    return sum(p.numel() for p in parameters), sum(p.numel() for p in parameters if p.requires_grad)
