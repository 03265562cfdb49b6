"""Resuming: a fit that was killed goes on, bit by bit, as if nothing had happened.

In: a learner and a call of a fit, which consists of one phase or several. Out: checkpoints while it runs, and
a fit that goes on from them when the same program is run again. A phase that was over is passed over, one
that was under way begins at its last checkpoint. Read next: `keeper.py`, which decides when one is written,
and `snapshot.py`, what is in it.
"""

from __future__ import annotations

import contextlib
import json
import time
import warnings
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor

from wiggly.errors import ArgumentError, DivergedError, StorageError, WigglyError
from wiggly.train.callback import Callback
from wiggly.train.checkpoint import (
    RUN_PREFIX,
    RunState,
    save_checkpoint,
    weight_differences,
)
from wiggly.train.distributed.sharding import put_optimizer, put_weights
from wiggly.train.progress import choose_display, show_phase
from wiggly.train.resume.fingerprint import beginning_of, differences, digest_of, facts_of
from wiggly.train.resume.keeper import Keeper, Signals
from wiggly.train.resume.kept import GoingOn, Kept, Place, folder_of, forget, previous_of, read_kept, remove
from wiggly.train.resume.lock import Lock
from wiggly.train.resume.snapshot import named_callbacks, pack, take_snapshot

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = ["Run", "resumable"]

# Writing may take one part in so many of the time.
TIMES_AS_LONG = 50
# For each folder and number of a fit: how those began that this process has finished.
_finished: dict[tuple[Path, int], list[str]] = {}


class Run:
    """One call of a fit: its phases, and the file that keeps it.

    Args:
        learner: Trains.
        asked: Whether the call has `resume=True`.
    """

    def __init__(self, learner: Loop, asked: bool) -> None:
        self.learner, self.asked = learner, asked
        self.folder = folder_of(learner)
        self.phases: list[dict[str, Any]] = []
        self._kept: Kept | None = None
        self._lock: Lock | None = None
        self._trained = self._warned = self._written_once = False
        self._unrecorded = 0
        self._started = self._written = time.perf_counter()
        self._cost: float | None = None

    # Phases

    def phase(
        self,
        settings: Mapping[str, Any],
        callbacks: Sequence[Callback],
        work: Callable[[Keeper, GoingOn | None], None],
        in_steps: bool = True,
    ) -> None:
        """Runs a phase, or passes over it if it was over when the run was killed.

        Args:
            settings: What must be the same when the run goes on; JSON values.
            callbacks: Those whose states are kept.
            work: Runs the phase with one more callback, from the beginning or from where it goes on.
            in_steps: Whether that callback hears of every step, so that signals can wait for its end.

        Raises:
            ArgumentError: The run that was killed was another one.
        """
        number = len(self.phases)
        self.phases.append(json.loads(json.dumps(settings)))
        if not number:
            self._open()
        kept, place, going_on = self._kept, Place(number), None
        if kept is not None:
            self._compare(kept, number, callbacks)
            if number < kept.place.phase:
                self._pass_over(kept, number, callbacks)
                return
            place = kept.place
            going_on = GoingOn(place, lambda given: kept.put_back(self.learner, given))
        self._run(place, callbacks, lambda keeper: work(keeper, going_on), in_steps)

    def once(self, settings: Mapping[str, Any], work: Callable[[], Any], recorded: bool = True) -> None:
        """Runs a phase that cannot be divided, such as a probe; if it is killed it begins anew.

        Args:
            settings: As for `phase`.
            work: Runs it.
            recorded: Whether it adds a phase to the history.
        """
        callbacks = [self.learner.recorder, *self.learner.cbs]
        self._unrecorded += not recorded
        self.phase(settings, callbacks, lambda keeper, going_on: work(), in_steps=False)

    def known(self) -> dict[str, Any] | None:
        """Settings of the next phase, as the run had them that was killed; None if it did not get there, if
        there was none, or before the first phase of this call."""
        phases = [] if self._kept is None else self._kept.phases
        return phases[len(self.phases)] if len(self.phases) < len(phases) else None

    def _run(
        self, place: Place, callbacks: Sequence[Callback], work: Callable[[Keeper], None], in_steps: bool
    ) -> None:
        self._trained = True
        with Signals(waits=in_steps) as signals:
            keeper = Keeper(self, place, callbacks, signals)
            try:
                work(keeper)
            except (KeyboardInterrupt, SystemExit):
                keeper.keep_interrupted()
                self._say_interrupted()
                raise
            except DivergedError as error:
                raise self._put_back(error) from error
            self._kept = None
            engine = self.learner.engine
            asked = any(engine.from_all(signals.asked is not None))  # since the last step
            worth = self.asked or (asked and engine.agreed(self.is_worth_keeping))
            if worth or self.is_due(boundary=True):
                self.write(Place(place.phase + 1), callbacks)
            if asked:
                self._say_interrupted()
                signals.stop()

    def _put_back(self, error: DivergedError) -> DivergedError:
        """Puts weights and optimizer of the last checkpoint of this run back, if there is one, and says
        so."""
        learner = self.learner
        kept = learner.engine.once(self._last_written)
        learner.opt.clear_state()  # its averages are spoilt as well
        learner.opt.zero_grad()
        if kept is not None:
            put_weights(learner.model, kept.contents.weights)
            if kept.contents.optimizer is not None:
                put_optimizer(learner.opt, kept.contents.optimizer)
            where = f"step {kept.place.step} of epoch {kept.place.epoch}"
            advice = f"The weights are again those of the last checkpoint ({where}): {self.path}"
            if self.asked:
                advice += ", from which `resume=True` goes on; delete it to begin anew, at a lower rate"
        else:
            advice = "The weights may be spoilt: make the learner anew or load a saved state."
        return DivergedError(error.rule, error.received, error.fix + advice)

    def _last_written(self) -> Kept | None:
        with contextlib.suppress(StorageError):
            return read_kept(self.path) if self._written_once else None
        return None

    def _pass_over(self, kept: Kept, number: int, callbacks: Sequence[Callback]) -> None:
        phases = kept.snapshot["callbacks"]["History"]["phases"]
        place = self._first + number - self._unrecorded
        is_there = self._first <= place < len(phases)
        if not number:
            self._say(f"Done already, and read from {kept.path}:")
        if self.learner.show_table and self.learner.engine.is_main and is_there:
            display = choose_display(self.learner.show_bar)
            show_phase(display, phases[place])
            display.close()
        last = not kept.place.begun and number == kept.place.phase - 1
        if last:
            kept.put_back(self.learner, callbacks)
            self._kept = None

    def finish(self) -> None:
        """Ends the call.

        Raises:
            ArgumentError: The run that was killed had more phases.
        """
        if not self.phases:
            return
        if self._kept is not None:
            raise _another(self._kept, [f"it has {len(self.phases)} phases now, and had more then"])
        if not self._trained:
            self._say(f"This fit was over already: its result was read from {self.path}.")
        if self.learner.engine.is_main and (self._lock or Lock(self.path)).is_free:
            remove(self.previous)
            self.let_go()
            forget(self.unasked_path, self.learner.path)
        if self.asked:
            known = _finished.setdefault((self.folder, self._number), [])
            if self._beginning not in known:
                known.append(self._beginning)
        self.learner.fits_done += 1

    # Files

    def _open(self) -> None:
        """Chooses the file, and reads the one that is there.

        The first fit of a learner is number 1, and so on. Where one program makes several learners in the
        same folder, the second that trains something else gets names of its own.
        """
        learner = self.learner
        self.facts, self._first = facts_of(learner), len(learner.recorder.phases)
        self._number = learner.fits_done + 1
        shapes = [
            (name, list(t.shape)) for name, t in learner.model.state_dict().items() if isinstance(t, Tensor)
        ]
        digest = digest_of([self.facts, self.phases, shapes])
        self.unasked_path = self.folder / f"unasked-{self._number}-{digest}.safetensors"
        self.path = self.unasked_path
        if self.asked:
            self._beginning = f"{digest} {beginning_of(learner)}"
            earlier = _finished.get((self.folder, self._number), [])
            place = earlier.index(self._beginning) if self._beginning in earlier else len(earlier)
            name = f"fit-{self._number}" + (f"-learner-{place + 1}" if place else "")
            self.path = self.folder / f"{name}.safetensors"
            learner.engine.once(self._take)
            # Read by the first process, which writes them: on other machines they may not be there.
            self._kept = learner.engine.once(lambda: read_kept(self.path) or read_kept(self.unasked_path))
        elif self.unasked_path.exists():
            self._say("This fit was interrupted before; the same call with resume=True goes on from there.")
        self.previous = previous_of(self.path)
        for half in self.folder.glob(f".{self.path.name}.*.part"):  # left by a kill while it was written
            remove(half)
        if self._kept is not None:
            self._compare_facts(self._kept)

    def _take(self) -> None:
        """Takes the lock on the file.

        Raises:
            StorageError: Another process holds it, or is writing what would be gone on with.
        """
        self._lock = self._lock or Lock(self.path)
        self._lock.take()
        if self.asked:
            Lock(self.unasked_path).check()

    def let_go(self) -> None:
        """Gives the lock back, however the call has ended."""
        if self._lock is not None:
            self._lock.release()

    def _compare_facts(self, kept: Kept) -> None:
        found = differences(kept.facts, self.facts)
        layers = weight_differences(self.learner.model, kept.contents.weights)
        if layers and kept.facts.get("the layers") == self.facts["the layers"]:  # else they were told above
            found.append(f"of its layers {layers}")
        if found:
            raise _another(kept, found)

    def _compare(self, kept: Kept, number: int, callbacks: Sequence[Callback]) -> None:
        found: list[str] = []
        if number < len(kept.phases):
            found = differences(kept.phases[number], self.phases[number])
        if number == len(kept.phases) - 1:
            here = {name for name, _ in named_callbacks(callbacks)}
            found += [
                f"the callback {name} is gone" for name in kept.snapshot["callbacks"] if name not in here
            ]
        if found:
            raise _another(kept, found)

    @property
    def is_worth_keeping(self) -> bool:
        """Whether an interruption leaves a checkpoint: if it was asked for, or the fit has taken long."""
        return self.asked or time.perf_counter() - self._started >= self.learner.checkpoint_every

    def is_due(self, boundary: bool) -> bool:
        """Whether it is time to write.

        Args:
            boundary: Whether an epoch's training, an epoch or a phase is over.
        """
        engine = self.learner.engine
        due = engine.writes_weights and self._is_due(boundary)
        return engine.agreed(due) if engine.is_sharded else due

    def _is_due(self, boundary: bool) -> bool:
        every = self.learner.checkpoint_every
        if not every or (self.asked and self._cost is None):  # the first one tells what one costs
            return True
        waited = time.perf_counter() - self._written
        if waited < TIMES_AS_LONG * (self._cost or 0):
            return False
        return waited >= every or (boundary and self.asked)

    def write(
        self, place: Place, callbacks: Sequence[Callback], snapshot: Mapping[str, Any] | None = None
    ) -> None:
        """Writes a checkpoint; if that fails there is one warning, and training goes on.

        Args:
            place: Where the run is.
            callbacks: Those whose states are kept.
            snapshot: Taken before; None takes one.
        """
        learner, started = self.learner, time.perf_counter()
        if not learner.engine.writes_weights:
            return
        try:
            if not (self.asked or learner.engine.is_sharded):
                self._take()
            state = snapshot or take_snapshot(learner, callbacks, place.within)
            # What is spoilt must not take the place of what was good.
            if _is_finite(learner):
                tensors: dict[str, Tensor] = {}
                packed = pack(state, tensors, RUN_PREFIX)
                values = {"place": asdict(place), "phases": self.phases, "facts": self.facts, "state": packed}
                run = RunState(values, tensors)
                save_checkpoint(
                    self.path, learner.model, learner.opt, run, self.previous, writes=learner.engine.is_main
                )
                self._written_once = True
        except WigglyError as error:
            if self.asked and not isinstance(error, StorageError):
                raise
            self._warn(error)
        self._written = time.perf_counter()
        self._cost = self._written - started

    def _warn(self, error: WigglyError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(f"This run cannot be kept, and goes on all the same: {error}", stacklevel=2)

    def _say(self, text: str) -> None:
        if self.learner.show_table and self.learner.engine.is_main:
            print(text, flush=True)

    def _say_interrupted(self) -> None:
        if self.path.exists():
            self._say(f"Kept in {self.path}; the same call with resume=True goes on from there.")


@contextlib.contextmanager
def resumable(learner: Loop, asked: bool) -> Generator[Run]:
    """The call of a fit; fits that it calls become phases of it.

    Args:
        learner: Trains.
        asked: Whether the call has `resume=True`.
    """
    if learner.fit_under_way is not None:
        yield learner.fit_under_way
        return
    run = learner.fit_under_way = Run(learner, asked)
    try:
        yield run
        run.finish()
    finally:
        learner.fit_under_way = None
        run.let_go()


def _another(kept: Kept, differences: Sequence[str]) -> ArgumentError:
    return ArgumentError(
        "`resume=True` needs the call, the data and the model of the run that it goes on with",
        "; ".join(differences),
        f"Make them as they were to go on with it; or delete {kept.path} to train anew, as is asked for now. "
        "`learn.load(file)` takes its weights alone.",
    )


def _is_finite(learner: Loop) -> bool:
    """Whether all weights are numbers."""
    return all(bool(p.isfinite().all()) for p in learner.model.parameters())
