"""The fits: each chooses a schedule, or several, and lets the loop run.

In: epochs, rates, callbacks. Out: a trained model and its history. `Learner` inherits them. Read next:
`loop.py`, which they run, and `schedule.py`, from which they choose.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wiggly.errors import ArgumentError
from wiggly.train.callback import as_callbacks
from wiggly.train.loop import Callbacks, Loop, Momenta
from wiggly.train.lr_find import SuggestFunction, find_lr, valley
from wiggly.train.progress import Progress
from wiggly.train.schedule import Rate, Scheduler, flat_scheduler, one_cycle_scheduler

__all__ = ["Fitting"]


class Fitting(Loop):
    """The loop with the fits that users type; `Learner` documents the arguments."""

    def fit(
        self,
        n_epoch: int,
        lr: Rate | None = None,
        wd: float | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
        start_epoch: int = 0,
    ) -> None:
        """Trains at a constant rate.

        Args:
            n_epoch: Passes over the training data, at least 1.
            lr: A number, `slice(low, high)` over the groups, or a list; None takes the learner's.
            wd: Weight decay of this fit.
            cbs: Callbacks of this fit.
            reset_opt: Start with a new optimizer.
            start_epoch: First epoch that is run; those before it count as done.

        Raises:
            ArgumentError: A number is out of range.
            TrainingError: Training cannot go on; the message says what to change.
        """
        self._fit(n_epoch, flat_scheduler(self.rates(lr)), wd, cbs, reset_opt, start_epoch)

    def fit_one_cycle(
        self,
        n_epoch: int,
        lr_max: Rate | None = None,
        div: float = 25.0,
        div_final: float = 1e5,
        pct_start: float = 0.25,
        wd: float | None = None,
        moms: Momenta | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
        start_epoch: int = 0,
    ) -> None:
        """Trains with the rate going up and then down once (Smith & Topin, arXiv:1708.07120).

        Args:
            n_epoch: As for `fit`, and so are `wd`, `cbs`, `reset_opt` and `start_epoch`.
            lr_max: Highest rate: a number, `slice(low, high)` over the groups, or a list.
            div: The rate starts at `lr_max / div`.
            div_final: It ends at `lr_max / div_final`.
            pct_start: Share of the steps on the way up.
            moms: Momentum at start, peak and end; None takes the learner's.
        """
        moms = self.moms if moms is None else moms
        scheduler = one_cycle_scheduler(self.rates(lr_max), moms, div, div_final, pct_start)
        self._fit(n_epoch, scheduler, wd, cbs, reset_opt, start_epoch)

    def fine_tune(
        self,
        epochs: int,
        base_lr: float = 2e-3,
        freeze_epochs: int = 1,
        lr_mult: float = 100,
        pct_start: float = 0.3,
        div: float = 5.0,
        div_final: float = 1e5,
        wd: float | None = None,
        moms: Momenta | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
    ) -> None:
        """Trains the head on the frozen body, then everything at half the rate, first layers slowest.

        Args:
            epochs: Epochs with everything unfrozen.
            base_lr: Highest rate of the frozen phase; the second runs at half of it.
            freeze_epochs: Epochs with all groups but the last frozen.
            lr_mult: In the second phase the first group's rate is the last one's divided by this.
            pct_start: Share of the second phase on the way up.
            div: The second phase starts at its highest rate divided by this.
            div_final: Both end at their highest rate divided by this.
            wd: As for `fit`, and so are `cbs` and `reset_opt`; they hold for both phases.
            moms: Momentum at start, peak and end; None takes the learner's.
        """
        if epochs < 0 or freeze_epochs < 0 or epochs + freeze_epochs < 1:
            given = f"epochs={epochs}, freeze_epochs={freeze_epochs}"
            raise ArgumentError("`fine_tune` needs at least 1 epoch in all", given, "Pass e.g. epochs=3.")
        if freeze_epochs:
            self.freeze()
            frozen = slice(base_lr)
            # 99 % of the way up, so that the new head sees practically no decay before the body joins in.
            self.fit_one_cycle(freeze_epochs, frozen, 25.0, div_final, 0.99, wd, moms, cbs, reset_opt)
        self.unfreeze()
        if epochs:
            high = base_lr / 2
            rates = slice(high / lr_mult, high)
            self.fit_one_cycle(epochs, rates, div, div_final, pct_start, wd, moms, cbs, reset_opt)

    def lr_find(
        self,
        start_lr: float = 1e-7,
        end_lr: float = 10,
        num_it: int = 100,
        stop_div: bool = True,
        show_plot: bool = True,
        suggest_funcs: SuggestFunction | Sequence[SuggestFunction] = valley,
    ) -> Any:
        """Searches for a learning rate; afterwards the learner is as before, bit by bit.

        Args:
            start_lr: Rate of the first step.
            end_lr: Rate of the last.
            num_it: Steps; the training data is gone through as often as needed.
            stop_div: Stop once the loss is 4 times its lowest.
            show_plot: Draw the loss over the rate.
            suggest_funcs: Of `valley`, `slide`, `steep`, `minimum`, or functions `(lrs, losses) -> rate` of
                your own.

        Returns:
            A named tuple with one rate per function, in the order asked.

        Raises:
            TrainingError: Training diverged before there was anything to see.
        """
        return find_lr(self, start_lr, end_lr, num_it, stop_div, show_plot, suggest_funcs)

    def _fit(
        self,
        n_epoch: int,
        scheduler: Scheduler,
        wd: float | None,
        cbs: Callbacks,
        reset_opt: bool,
        start_epoch: int,
    ) -> None:
        if n_epoch < 1:
            raise ArgumentError("`n_epoch` must be at least 1", f"it is {n_epoch}", "Pass e.g. 3.")
        if reset_opt:
            self.reset_optimizer()
        wd = self.wd if wd is None else wd
        self.opt.set_momentum(None)
        self.opt.set_wd(wd)
        frozen = {"groups": len(self.groups), "first_unfrozen": self.first_unfrozen, "wd": wd}
        self.recorder.start({"epochs": n_epoch, **scheduler.settings, **frozen})
        known_bad = len(self._bad_items)
        self.run(n_epoch, [scheduler, self.recorder, Progress(), *self.cbs, *as_callbacks(cbs)], start_epoch)
        if self.show_table and len(self._bad_items) > known_bad:
            print(f"Items skipped as unreadable: {len(self._bad_items)}; `dls.bad_items` names them.")

    @property
    def _bad_items(self) -> dict[str, str]:
        return getattr(self.dls, "bad_items", {})
