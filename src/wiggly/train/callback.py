"""Callbacks: one method per event of the training loop, each receives the one mutable `State`.

In: events of `Learner`. Out: whatever a callback does to the state, the model or the outside world. A
callback steers by changing the state or by raising one of the three `Cancel...` exceptions. Read next:
`history.py`, the largest callback here.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from wiggly.errors import ArgumentError
from wiggly.records import State

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["EVENTS", "Callback", "CancelBatch", "CancelEpoch", "CancelFit", "as_callbacks"]

EVENTS = (
    "before_fit",
    "before_epoch",
    "before_train",
    "before_batch",
    "after_pred",
    "after_loss",
    "before_step",
    "after_batch",
    "after_train",
    "before_validate",
    "after_validate",
    "after_epoch",
    "after_fit",
    "on_error",
    "cleanup",
)


class CancelBatch(Exception):
    """Raised in a callback: leave the rest of this batch out; `after_batch` still runs."""


class CancelEpoch(Exception):
    """Raised in a callback: leave the rest of this epoch out; `after_epoch` still runs."""


class CancelFit(Exception):
    """Raised in a callback: end this fit; `after_fit` still runs."""


class Callback:
    """Base of all callbacks; override the events you need.

    Order of a fit: `before_fit`; per epoch `before_epoch`, `before_train`, per batch (`before_batch`,
    `after_pred`, `after_loss`, `before_step`, `after_batch`), `after_train`, `before_validate`, per batch
    (`before_batch`, `after_pred`, `after_loss`, `after_batch`), `after_validate`, `after_epoch`; `after_fit`.
    The gradients stand ready in `before_step`; cancelling the batch there keeps them for the next batch.
    `on_error` runs when anything else is raised (Ctrl-C too), `cleanup` always comes last. Predictions run
    `before_batch` and `after_pred` only.

    Attributes:
        learner: The learner, set when the callback is attached.
        order: Callbacks run in ascending order; the built-in ones are at -20 (schedule), -10 (history), 100
            (progress).
        in_lr_find: Whether it also runs while `lr_find` searches; False for whatever saves, stops or reports.

    Example:
        >>> class StopWhenGood(Callback):
        ...     def after_loss(self, state):
        ...         if state.training and state.loss < 0.01:
        ...             raise CancelFit
    """

    learner: Learner
    order: ClassVar[int] = 0
    in_lr_find: ClassVar[bool] = True

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, member in vars(cls).items():
            if name.startswith(("before_", "after_")) or name in EVENTS:
                _check_event(cls.__name__, name, member)

    def before_fit(self, state: State) -> None:
        """Before anything else; the optimizer exists."""

    def before_epoch(self, state: State) -> None:
        """At the start of an epoch."""

    def before_train(self, state: State) -> None:
        """Before the first training batch of an epoch; the model is in training mode."""

    def before_batch(self, state: State) -> None:
        """`state.batch` is on the device; it may be replaced."""

    def after_pred(self, state: State) -> None:
        """`state.pred` is the model's output in float32; it may be replaced."""

    def after_loss(self, state: State) -> None:
        """`state.loss` is known; in training the gradient is computed from it next."""

    def before_step(self, state: State) -> None:
        """The gradients of this batch have been added; the optimizer steps next. Training only."""

    def after_batch(self, state: State) -> None:
        """The batch is done, in training and in validation (`state.training` tells)."""

    def after_train(self, state: State) -> None:
        """After the last training batch of an epoch."""

    def before_validate(self, state: State) -> None:
        """Before the first validation batch; the model is in evaluation mode."""

    def after_validate(self, state: State) -> None:
        """After the last validation batch; `state.row` has the loss and the metrics."""

    def after_epoch(self, state: State) -> None:
        """`state.row` is this epoch's line of the history."""

    def after_fit(self, state: State) -> None:
        """After the last epoch, also when a callback ended the fit early."""

    def on_error(self, state: State, error: BaseException) -> None:
        """Something other than a cancellation was raised; it is raised again after `cleanup`."""

    def cleanup(self, state: State) -> None:
        """Always runs last: close files, put back what was changed."""


def _check_event(owner: str, name: str, member: Any) -> None:
    """Catches a misspelt event, or a method without the state, when the class is written."""
    if not callable(member):
        return
    if name not in EVENTS:
        near = difflib.get_close_matches(name, EVENTS, 1) or list(EVENTS)
        raise ArgumentError(
            "a callback's `before_...` and `after_...` methods must be named after an event",
            f"{owner} has `{name}`",
            f"Did you mean `{near[0]}`? For a helper method choose a name that starts otherwise.",
        )
    wanted = ("self", "state", "error") if name == "on_error" else ("self", "state")
    try:
        inspect.signature(member).bind(*wanted)
    except TypeError:
        raise ArgumentError(
            f"`{name}` of a callback must accept ({', '.join(wanted)})",
            f"{owner} defines {name}{inspect.signature(member)}",
            f"Write `def {name}({', '.join(wanted)}):`; the learner is `self.learner`.",
        ) from None


def as_callbacks(cbs: Callback | Sequence[Callback] | None) -> list[Callback]:
    """Callbacks as a list; classes are made into instances.

    Raises:
        ArgumentError: One of them is no callback.
    """
    if cbs is None:
        return []
    given: list[Any] = list(cbs) if isinstance(cbs, Sequence) else [cbs]
    made = [cb() if isinstance(cb, type) else cb for cb in given]
    for cb in made:
        if not isinstance(cb, Callback):
            raise ArgumentError("`cbs` must be callbacks", f"got {cb!r}", "Derive it from wiggly.Callback.")
    return made
