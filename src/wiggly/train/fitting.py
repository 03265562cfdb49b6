"""The fits: each chooses a schedule, or several, and lets the loop run.

In: epochs, rates, callbacks. Out: a trained model and its history. `Learner` inherits them. Read next:
`loop.py`, which they run, and `optim/schedule.py`, from which they choose.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

from wiggly.errors import ArgumentError
from wiggly.train.again import FitCall
from wiggly.train.callback import Callback, as_callbacks
from wiggly.train.callbacks.not_worse import NotWorse
from wiggly.train.callbacks.save import SaveModel
from wiggly.train.checks import check_number, whole_number
from wiggly.train.loop import Callbacks, Loop, Momenta
from wiggly.train.lr_find import SuggestFunction, find_lr, valley
from wiggly.train.optim.schedule import (
    Rate,
    Scheduler,
    StepSchedule,
    StepScheduler,
    flat_cosine_scheduler,
    flat_scheduler,
    one_cycle_scheduler,
    restarts_scheduler,
)
from wiggly.train.progress import Progress
from wiggly.train.resume.fingerprint import settings_of
from wiggly.train.resume.kept import GoingOn
from wiggly.train.resume.run import resumable

__all__ = ["Fitting"]


class Fitting(Loop):
    """The loop with the fits that users type; `Learner` documents the arguments."""

    def fit(
        self,
        n_epoch: int | None = None,
        lr: Rate | None = None,
        wd: float | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
        start_epoch: int = 0,
        schedule: StepSchedule | None = None,
        resume: bool = False,
        budget: str | float | None = None,
    ) -> None:
        """Trains at a constant rate, or along a schedule of your own, or for as long as there is time.

        Args:
            n_epoch: Passes over the training data, at least 1.
            lr: A number, `slice(low, high)` over the groups, or a list; None takes the learner's.
            wd: Weight decay of this fit.
            cbs: Callbacks of this fit.
            reset_opt: Start with a new optimizer.
            start_epoch: First epoch that is run; those before it count as done.
            schedule: Instead of `lr`, a function of the optimizer steps done in this fit, from 0, that gives
                a rate: a number for all groups, a slice or a list. `torch_schedule` makes one of torch's
                schedulers.
            resume: Whether to go on where an earlier run of the same program was killed, bit by bit on a CPU.
                The run is kept in `path/model_dir/resume/fit-1.safetensors` (fit-2: the learner's second fit,
                and so on): at first after one step, then every `learn.checkpoint_every` seconds, as long as
                writing takes less than a fiftieth of the time, at the ends of epochs, on Ctrl-C and SIGTERM,
                and at the end. The file stays there: a fit that is over is not run again; delete it to train
                anew. Without `resume` a fit that takes longer than that keeps itself as well, in
                `unasked-1-....safetensors`, until it is over; if it is killed, the same call with
                `resume=True` goes on with it. Loaders of other libraries give their batches again up to the
                place, with the same random draws. Another call, other data, layers or callbacks are refused,
                and so is a second process while the first one runs.
            budget: Instead of `n_epoch` and the rates, a time: "10 min", "90 s", or seconds. A frozen body is
                probed and then joins in, other models train as they are; a few steps tell what a batch
                costs, which decides epochs, rates and the size of the images (smaller ones where there would
                be fewer than 2 epochs), and one sentence says why. Ends when the time is over, to a few
                percent.

        Raises:
            ArgumentError: A number is out of range, both `lr` and `schedule` are given, or the run to go on
                with was another one.
            StorageError: What an earlier run has left cannot be read, or another process goes on with it now.
            TrainingError: Training cannot go on; the message says what to change.
        """
        given = dict(locals())
        if budget is not None:
            from wiggly.train.probe.budget import fit_within

            if any(given is not None for given in (n_epoch, lr, schedule)) or start_epoch:
                raise ArgumentError(
                    "`budget` chooses epochs and rates itself",
                    f"got n_epoch={n_epoch}, lr={lr}, start_epoch={start_epoch} as well",
                    "Pass budget= and nothing of them.",
                )
            fit_within(self, budget, self._fit, wd, cbs, reset_opt, resume)
            self._note("fit", given)
            return
        if n_epoch is None:
            raise ArgumentError(
                "`fit` needs `n_epoch` or `budget`", "got neither", "Pass e.g. 3, or budget='10 min'."
            )
        if schedule is None:
            scheduler = flat_scheduler(self.rates(lr))
        elif lr is None:
            scheduler = StepScheduler(schedule, len(self.groups), start_epoch * len(self.dls.train))
        else:
            raise ArgumentError(
                "`schedule` gives the rates, so `lr` must be left out",
                f"got lr={lr!r} as well",
                "Have the function return a slice or a list for rates that differ by group.",
            )
        self._fit(n_epoch, scheduler, wd, cbs, reset_opt, start_epoch, resume)
        self._note("fit", given)

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
        resume: bool = False,
    ) -> None:
        """Trains with the rate going up and then down once (Smith & Topin, arXiv:1708.07120).

        Args:
            n_epoch: As for `fit`, and so are `wd`, `cbs`, `reset_opt`, `start_epoch` and `resume`.
            lr_max: Highest rate: a number, `slice(low, high)` over the groups, or a list.
            div: The rate starts at `lr_max / div`.
            div_final: It ends at `lr_max / div_final`.
            pct_start: Share of the steps on the way up.
            moms: Momentum at start, peak and end; None takes the learner's.
        """
        given = dict(locals())
        moms = self.moms if moms is None else moms
        scheduler = one_cycle_scheduler(self.rates(lr_max), moms, div, div_final, pct_start)
        self._fit(n_epoch, scheduler, wd, cbs, reset_opt, start_epoch, resume)
        self._note("fit_one_cycle", given)

    def fit_flat_cos(
        self,
        n_epoch: int,
        lr: Rate | None = None,
        div_final: float = 1e5,
        pct_start: float = 0.75,
        wd: float | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
        start_epoch: int = 0,
        resume: bool = False,
    ) -> None:
        """Trains at a constant rate, and lets it fall along half a cosine at the end; it goes with `ranger`.

        Args:
            n_epoch: As for `fit`, and so are `wd`, `cbs`, `reset_opt`, `start_epoch` and `resume`.
            lr: Rate before the fall: a number, `slice(low, high)` over the groups, or a list.
            div_final: The rate ends at `lr / div_final`.
            pct_start: Share of the steps before the fall.
        """
        given = dict(locals())
        scheduler = flat_cosine_scheduler(self.rates(lr), div_final, pct_start)
        self._fit(n_epoch, scheduler, wd, cbs, reset_opt, start_epoch, resume)
        self._note("fit_flat_cos", given)

    def fit_sgdr(
        self,
        n_cycles: int,
        cycle_len: int,
        lr_max: Rate | None = None,
        cycle_mult: int = 2,
        wd: float | None = None,
        cbs: Callbacks = None,
        reset_opt: bool = False,
        start_epoch: int = 0,
        resume: bool = False,
    ) -> None:
        """Trains in cycles, each with the rate falling along half a cosine (SGDR; Loshchilov & Hutter,
        arXiv:1608.03983).

        Args:
            n_cycles: Cycles, at least 1.
            cycle_len: Epochs of the first, at least 1.
            lr_max: Rate at the start of each: a number, `slice(low, high)` over the groups, or a list.
            cycle_mult: Each cycle is this many times as long as the one before, at least 1.
            wd: As for `fit`, and so are `cbs`, `reset_opt`, `start_epoch` and `resume`.
        """
        given = dict(locals())
        n_cycles = whole_number("n_cycles", n_cycles, lowest=1)
        cycle_len = whole_number("cycle_len", cycle_len, lowest=1)
        cycle_mult = whole_number("cycle_mult", cycle_mult, lowest=1)
        scheduler = restarts_scheduler(self.rates(lr_max), n_cycles, cycle_len, cycle_mult)
        n_epoch = sum(cycle_len * cycle_mult**cycle for cycle in range(n_cycles))
        self._fit(n_epoch, scheduler, wd, cbs, reset_opt, start_epoch, resume)
        self._note("fit_sgdr", given)

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
        resume: bool = False,
        start: Literal["frozen", "probe"] | None = None,
    ) -> None:
        """Trains the head on the frozen body, then everything at lower rates, first layers slowest.

        A pretrained body that keeps its norm layers' statistics (`train_bn=False`, the default of
        `vision_learner`) is probed first: measured on four sets of photos that ends with less error than a
        frozen epoch, in less time (`dev/LOG.md`). What comes after is slower then, as there is more to lose.
        Should the validation items say that the second phase has made the model worse all the same, the one
        from before it is kept, and a line says so (`NotWorse`; not where `SaveModel` chooses).

        Args:
            epochs: Epochs with everything unfrozen.
            base_lr: Highest rate of the frozen phase; the second runs at half of it, after a probe at an
                eighth.
            freeze_epochs: Epochs with all groups but the last frozen; other than 1 there is no probe, unless
                `start` asks for it.
            lr_mult: In the second phase the first group's rate is the last one's divided by this.
            pct_start: Share of the second phase on the way up.
            div: The second phase starts at its highest rate divided by this.
            div_final: Both end at their highest rate divided by this.
            wd: As for `fit`, and so are `cbs`, `reset_opt` and `resume`; they hold for both phases.
            moms: Momentum at start, peak and end; None takes the learner's.
            start: "frozen" trains the head for `freeze_epochs`; "probe" has `probe` do it in about the time
                of one pass over the data; callbacks have no part in that. None probes where it can, as told
                above.
        """
        given = dict(locals())
        if start not in ("frozen", "probe", None):
            raise ArgumentError('`start` must be "frozen" or "probe"', f"it is {start!r}", "Leave it out.")
        epochs, freeze_epochs = (
            whole_number(name, value, lowest=0)
            for name, value in (("epochs", epochs), ("freeze_epochs", freeze_epochs))
        )
        check_number("lr_mult", lr_mult, "above 0", lambda times: times > 0, "100")
        probing = start == "probe" or (start is None and freeze_epochs == 1 and self._is_probed_by_default)
        if epochs + freeze_epochs < 1 and not probing:
            given = f"epochs={epochs}, freeze_epochs={freeze_epochs}"
            raise ArgumentError("`fine_tune` needs at least 1 epoch in all", given, "Pass e.g. epochs=3.")
        moms = self.moms if moms is None else moms
        cbs = as_callbacks(cbs)  # classes are made once: what they remember holds for both phases
        with resumable(self, resume):
            if probing:
                self.freeze()
                self.probe()
            elif freeze_epochs:
                self.freeze()
                rates = self.rates(slice(base_lr))
                # 99 % of the way up, so that the new head sees practically no decay before the body joins in.
                scheduler = one_cycle_scheduler(rates, moms, 25.0, div_final, 0.99)
                self._fit(freeze_epochs, scheduler, wd, cbs, reset_opt, name="frozen")
            self.unfreeze()
            if epochs:
                high = base_lr / (8 if probing else 2)
                rates = self.rates(slice(high / lr_mult, high))
                scheduler = one_cycle_scheduler(rates, moms, div, div_final, pct_start)
                began = probing or freeze_epochs > 0
                guard = [NotWorse()] if began and not _chooses([*self.cbs, *cbs]) else []
                self._fit(epochs, scheduler, wd, [*cbs, *guard], reset_opt, name="unfrozen")
        self._note("fine_tune", given)

    def probe(self, augmented: int = 0, resume: bool = False) -> None:
        """Trains the head alone, to convergence, in about the time of one pass over the data.

        The data go once through the body, in evaluation mode and with the validation transforms; the head
        then learns from what came out, which is kept in memory (above 1 GiB in a temporary file, as float16),
        in 10 epochs of AdamW at one cycle with strong decay. Nothing is chosen by the validation items. Body,
        `opt_func`, `cbs` and what is frozen stay as they are; callbacks that change batches of training
        (MixUp) have no part in it. A second probe of a head that has not learned since begins where the
        first began. The history gets one row, `learn.recorder.phases` one more phase.

        Args:
            augmented: So many more passes, with the random transforms of training; each takes as long as the
                first. The head's epochs take turns with them.
            resume: As for `fit`; a probe that was killed begins anew.

        Raises:
            ModelError: The model is not a sequence of a body and a head that is the last parameter group.

        Example:
            >>> from wiggly.data.loaders import DataLoaders
            >>> import torch
            >>> _ = torch.manual_seed(0)
            >>> pairs = [(torch.randn(4) + 2 * (i % 2), i % 2) for i in range(64)]
            >>> body, head = torch.nn.Linear(4, 8), torch.nn.Linear(8, 2)
            >>> groups = lambda model: [list(part.parameters()) for part in model]
            >>> dls = DataLoaders.from_dsets(pairs[:48], pairs[48:], bs=16, device="cpu")
            >>> loss = torch.nn.CrossEntropyLoss()
            >>> learn = Fitting(dls, torch.nn.Sequential(body, head), loss_func=loss, splitter=groups)
            >>> with learn.no_bar(), learn.no_logging():
            ...     learn.probe()
            >>> learn.recorder.values[0][1] < 0.5  # the validation loss; 0.69 is that of a coin
            True
        """
        given = dict(locals())
        from wiggly.train.probe.probing import probe_head

        if not resume and self.fit_under_way is None:  # short enough not to be kept
            probe_head(self, augmented)
            self._note("probe", given)
            return
        with resumable(self, resume) as run:
            run.once({"phase": "probe", "augmented": augmented}, partial(probe_head, self, augmented))
        self._note("probe", given)

    @property
    def _is_probed_by_default(self) -> bool:
        """Whether the body acts in training as it does in a probe, and there is a head to fit."""
        from wiggly.train.probe.probing import can_probe

        return not self.train_bn and can_probe(self)

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
        start_epoch: int = 0,
        resume: bool = False,
        name: str = "",
    ) -> None:
        """One phase: every fit runs one or several of these."""
        n_epoch = whole_number("n_epoch", n_epoch, lowest=1)
        start_epoch = whole_number("start_epoch", start_epoch, lowest=0)
        if start_epoch >= n_epoch:
            raise ArgumentError(
                "`start_epoch` must be below `n_epoch`, as epochs count from 0",
                f"they are {start_epoch} and {n_epoch}",
                "Leave it out to train all of them.",
            )
        if reset_opt:
            self.reset_optimizer()
        wd = self.wd if wd is None else wd
        self.opt.start_fit(wd)
        settings: dict[str, Any] = {"epochs": n_epoch, **scheduler.settings, "groups": len(self.groups)}
        settings |= {"first_unfrozen": self.first_unfrozen, "wd": wd, **({"phase": name} if name else {})}
        settings = json.loads(json.dumps(settings, default=float))  # numbers may be numpy's, or torch's
        given = as_callbacks([*self.cbs, *as_callbacks(cbs)])
        callbacks = [scheduler, self.recorder, Progress(), *given]
        compared = {**settings, "start_epoch": start_epoch, "callbacks": settings_of(given)}

        def work(keeper: Callback, going_on: GoingOn | None) -> None:
            self.recorder.start(settings)
            self.run(n_epoch, [*callbacks, keeper], start_epoch, going_on)

        known_bad = len(self._bad_items)
        with resumable(self, resume) as run:
            run.phase(compared, callbacks, work)
        if self.show_table and len(self._bad_items) > known_bad:
            print(f"Items skipped as unreadable: {len(self._bad_items)}; `dls.bad_items` names them.")

    def _note(self, name: str, given: dict[str, Any]) -> None:
        """Remembers a fit that ran to its end, for `retrain`; not one that is a part of another."""
        if self.fit_under_way is None:
            given = {argument: value for argument, value in given.items() if argument != "self"}
            self.fit_calls.append(FitCall(name, given, self.first_unfrozen))

    @property
    def _bad_items(self) -> dict[str, str]:
        return getattr(self.dls, "bad_items", {})


def _chooses(callbacks: Sequence[Callback]) -> bool:
    """Whether a callback decides which epoch's weights a fit ends with."""
    return any(isinstance(callback, SaveModel) for callback in callbacks)
