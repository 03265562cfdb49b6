"""What a learner was made of and how it was trained, so that both can be done again on other data.

In: the arguments of a call. Out: `Making`, which makes such a learner anew; `FitCall`, which trains it as the
first one was. Read next: `../clean/retrain/retraining.py`, which needs both.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

__all__ = ["FitCall", "Making"]


class Making:
    """The call that made a learner.

    Args:
        make: The function.
        arguments: All of its arguments by name, the loaders as `dls`. Modules among them are copied now, as
            training changes them.

    Example:
        >>> making = Making(lambda dls, width: nn.Linear(dls, width), {"dls": 3, "width": 2})
        >>> making.again(5)
        Linear(in_features=5, out_features=2, bias=True)
    """

    def __init__(self, make: Callable[..., Any], arguments: Mapping[str, Any]) -> None:
        self._make = make
        self._arguments = {name: _apart(value) for name, value in arguments.items() if name != "dls"}

    def again(self, dls: Any) -> Any:
        """Such a learner of other loaders, nothing trained yet.

        Args:
            dls: The loaders.
        """
        return self._make(dls=dls, **{name: _apart(value) for name, value in self._arguments.items()})


def _apart(value: Any) -> Any:
    return copy.deepcopy(value) if isinstance(value, nn.Module) else value


@dataclass(frozen=True)
class FitCall:
    """One call of a fit that ran to its end.

    Attributes:
        name: Of the method.
        arguments: By name.
        first_unfrozen: First group of parameters that learned.
    """

    name: str
    arguments: Mapping[str, Any]
    first_unfrozen: int

    def run(self, learner: Any) -> None:
        """Trains another learner in the same way, from its beginning to its end."""
        learner.freeze_to(self.first_unfrozen)
        fit = getattr(learner, self.name)
        fit(**{name: value for name, value in self.arguments.items() if name != "resume"})

    def __str__(self) -> str:
        shown = ("n_epoch", "epochs", "n_cycles", "base_lr", "lr_max", "lr", "budget")
        given = (f"{k}={self.arguments[k]!r}" for k in shown if self.arguments.get(k) is not None)
        return f"{self.name}({', '.join(given)})"
