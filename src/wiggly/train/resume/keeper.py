"""The callback that keeps a run: decides after every step whether to write a checkpoint, and stops kindly.

In: events of the loop, signals of the system. Out: calls of `Run.write` at points from which a run can go on
bit by bit: after an optimizer step, when no gradient is waiting, and at the ends of epochs. Read next:
`run.py`.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from wiggly.data.order import Ordered
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.resume.snapshot import take_snapshot

if TYPE_CHECKING:
    from wiggly.train.resume.kept import Place
    from wiggly.train.resume.run import Run

__all__ = ["Keeper", "Signals"]


class Signals:
    """Ctrl-C and SIGTERM wait for the end of the step; the second of them does not.

    Handlers of the user's own stay as they are, and so does everything outside the main thread, where Python
    allows no handlers.

    Args:
        waits: Whether somebody asks between steps; without that they act at once, as they always do.
    """

    def __init__(self, waits: bool = True) -> None:
        self.waits = waits
        self.asked: int | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self.waits and threading.current_thread() is threading.main_thread():
            for number, default in (
                (signal.SIGINT, signal.default_int_handler),
                (signal.SIGTERM, signal.SIG_DFL),
            ):
                if signal.getsignal(number) is default:
                    self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.asked is not None:
            self.stop()
        self.asked = number

    def stop(self) -> None:
        """Ends the program as the signal would have done, so that files are closed on the way.

        Raises:
            KeyboardInterrupt: It was Ctrl-C.
            SystemExit: It was SIGTERM; the exit status is the one that shells give for it.
        """
        if self.asked == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + signal.SIGTERM)


class Keeper(Callback):
    """Writes checkpoints of one phase.

    Args:
        run: What writes them.
        place: Where the phase begins, or goes on.
        callbacks: Those of the phase, whose states are kept.
        signals: What the system has asked for.
    """

    order = 1000
    in_lr_find = False

    def __init__(self, run: Run, place: Place, callbacks: Sequence[Callback], signals: Signals) -> None:
        self.run, self.place, self.callbacks, self.signals = run, place, callbacks, signals
        self._step = place.step
        # All but the weights as they were after the last training batch, for a stop during validation.
        self.before_validation: tuple[Place, dict[str, Any]] | None = None

    def before_epoch(self, state: State) -> None:
        self.before_validation = None

    def after_batch(self, state: State) -> None:
        asked = self.learner.engine.anywhere(self.signals.asked is not None)
        if not state.training:
            if asked:
                self.signals.stop()
            return
        stepped, self._step = state.step != self._step, state.step
        if not stepped:
            return
        over = self._is_over(state)
        worth, due = self.run.is_worth_keeping, self.run.is_due(boundary=over)
        if not (asked or due or (over and worth)) or self._has_gradients():
            return
        place = self.place.within_epoch(state, over)
        if due or (asked and worth):
            self.run.write(place, self.callbacks)
        if asked:
            self.signals.stop()
        if over and worth:
            self.before_validation = place, take_snapshot(self.learner, self.callbacks, within=True)

    def after_epoch(self, state: State) -> None:
        asked = self.learner.engine.anywhere(self.signals.asked is not None)
        self.before_validation = None
        if self._has_gradients():
            return
        if (asked and self.run.is_worth_keeping) or self.run.is_due(boundary=True):
            self.run.write(self.place.after_epoch(state), self.callbacks)
        if asked:
            self.signals.stop()

    def keep_interrupted(self) -> None:
        """Writes what a stop during validation has not; called when everything else has been put back."""
        if self.before_validation is not None and self.run.is_worth_keeping:
            place, snapshot = self.before_validation
            self.run.write(place, self.callbacks, snapshot)

    def _has_gradients(self) -> bool:
        """Whether gradients wait for a later step, as between the steps of accumulation."""
        return any(p.grad is not None for group in self.learner.groups for p in group)

    def _is_over(self, state: State) -> bool:
        """Whether this was the last batch of training in this epoch."""
        dl = self.learner.dls.train
        if isinstance(dl, Ordered):
            return dl.state_dict()["batches"] == 0
        return state.batch_index + 1 >= state.n_batches
