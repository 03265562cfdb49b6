"""Callbacks: one method per event of the training loop, each receives the one mutable `State`.

In: events of `Learner`. Out: whatever a callback does to the state, the model or the outside world. A
callback steers by changing the state or by raising one of the four `Cancel...` exceptions. Read next:
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

__all__ = [
    "EVENTS",
    "Callback",
    "CancelBatch",
    "CancelEpoch",
    "CancelFit",
    "CancelPass",
    "as_callbacks",
    "listens",
]

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


class CancelPass(Exception):
    """Raised in a callback: leave the rest of this pass over the training or validation data out;
    `after_train`, or `after_validate`, still runs."""


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
        ...     def after_epoch(self, state):
        ...         if state.row["valid_loss"] < 0.01:
        ...             print(f"good enough after epoch {state.epoch}")
        ...             raise CancelFit
        >>> import torch
        >>> from wiggly import DataLoader, DataLoaders, Learner
        >>> pairs = [(torch.tensor([x / 8]), torch.tensor([x / 4])) for x in range(8)]  # y = 2x
        >>> dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4))
        >>> learn = Learner(dls, torch.nn.Linear(1, 1), torch.nn.MSELoss(), torch.optim.SGD)
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit(500, lr=0.3, cbs=StopWhenGood())
        good enough after epoch ...
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

    def state_dict(self) -> dict[str, Any]:
        """What a killed run needs to go on as if nothing had happened; it is asked for after optimizer steps
        and at the ends of epochs and fits, so it must be quick.

        Weights, optimizer, loaders and random generators are kept anyway: what belongs here is the rest.

        Returns:
            Tensors, and values that JSON can hold (None, bool, int, float, str, and lists and dicts with text
            as keys of these), by name; tensors may also lie inside such lists and dicts.
        """
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Takes back what `state_dict` gave, in a run that goes on where another one was killed.

        A run that goes on within an epoch calls `before_fit`, `before_epoch` and `before_train` again, with
        `state.epoch` and `state.step` being where it goes on (the step is 0 in a run from the start). This is
        called before `before_epoch`, and once more after `before_train`, to undo what these two may have
        changed. Of a fit that is over it is called without any event: rely on `__init__` only.

        Args:
            state: Tensors are on the CPU, tuples have become lists.
        """


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


def listens(callback: Callback, event: str) -> bool:
    """Whether a callback does anything at an event; most do nothing at most, and steps can be short."""
    own = getattr(type(callback), event, None) is not getattr(Callback, event)
    return own or event in vars(callback)


def as_callbacks(cbs: Callback | Sequence[Callback] | None) -> list[Callback]:
    """Callbacks as a list; classes are made into instances.

    Raises:
        ArgumentError: One of them is no callback.
    """
    if cbs is None:
        return []
    given: list[Any] = list(cbs) if isinstance(cbs, Sequence) and not isinstance(cbs, str) else [cbs]
    made = [_made(cb) for cb in given]
    return list(dict.fromkeys(made))  # one that is there twice must not act twice


def _made(cb: Any) -> Callback:
    if isinstance(cb, type) and issubclass(cb, Callback):
        try:
            return cb()
        except TypeError as error:
            raise ArgumentError(
                "a callback given as a class must need no arguments",
                f"{cb.__name__} says: {error}",
                f"Make one of it: cbs={cb.__name__}(...).",
            ) from error
    if not isinstance(cb, Callback):
        raise ArgumentError("`cbs` must be callbacks", f"got {cb!r}", "Derive it from wiggly.Callback.")
    return cb
