"""`SaveModel`: keeps the best epoch of a fit, in a file or in memory, and ends with it.

In: the model and the table's row after each epoch. Out: checkpoints, and the best weights in the model when
the fit ends. Read next: `logs.py`.
"""

from __future__ import annotations

import json
import weakref
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from wiggly.errors import ArgumentError
from wiggly.records import State
from wiggly.train.callbacks.monitor import Mode, Monitor, is_better
from wiggly.train.checkpoint import check_name, checkpoint_path, read_notes, save_checkpoint
from wiggly.train.checks import check_number

__all__ = ["SaveModel"]


def _is_count(value: Any) -> bool:
    return value >= 0 and int(value) == value


class SaveModel(Monitor):
    """Saves the model after every epoch that is the best so far, and loads the best when the fit ends.

    "So far" counts all fits of this callback, both phases of `fine_tune` too. A file that an earlier run left
    under this name with a better value of the same number is not overwritten: this run's best is then kept in
    memory, and a line says so.

    Args:
        monitor: Column of the table: "train_loss", "valid_loss" or a metric's name.
        fname: Checkpoint in the learner's folder of models, as for `save`; None keeps the weights in memory.
        every_epoch: Save after every epoch instead (or every so many, for a number above 1), as
            `<fname>_<epoch>`, counted over all fits; nothing is loaded.
        at_end: Save once instead, when the fit has ended.
        with_opt: Whether to save, and load, the optimizer's state as well.
        min_delta: A change of this much or less is no improvement.
        mode: "min", "max", or "auto" to go by the name.
        reset_on_fit: Whether each fit has a best epoch of its own.

    Raises:
        ArgumentError: An argument is out of range; when a fit begins, if it has no such column.
        StorageError: A checkpoint cannot be written.

    Example:
        >>> SaveModel("accuracy", fname="best-cats").lower
        False
    """

    order: ClassVar[int] = 60

    def __init__(
        self,
        monitor: str = "valid_loss",
        fname: str | Path | None = "model",
        every_epoch: bool | int = False,
        at_end: bool = False,
        with_opt: bool = False,
        min_delta: float = 0.0,
        mode: Mode = "auto",
        reset_on_fit: bool = False,
    ) -> None:
        super().__init__(monitor, min_delta, mode, reset_on_fit)
        if fname is not None:
            check_name(fname)
        elif every_epoch or at_end:
            raise ArgumentError(
                "`every_epoch` and `at_end` need a file",
                "`fname` is None",
                "Pass a name, e.g. fname='model'.",
            )
        check_number(
            "every_epoch", every_epoch, "a bool or a whole number", _is_count, "True, or every_epoch=5"
        )
        self.fname, self.every_epoch, self.at_end, self.with_opt = fname, int(every_epoch), at_end, with_opt
        self.epochs_done = 0
        self._kept: dict[str, Tensor] = {}  # the best weights, where they are in no file
        self._model: weakref.ref[nn.Module] | None = None  # that `best` is of
        self._earlier: float | None = None  # the value of the file that was there when the fit began

    @property
    def _keeps_best(self) -> bool:
        return not self.every_epoch and not self.at_end

    def _path(self, name: str | Path) -> Path:
        return checkpoint_path(self.learner.path / self.learner.model_dir, name)

    def before_fit(self, state: State) -> None:
        if not self._keeps_best:
            return
        super().before_fit(state)
        if self._model is None or self._model() is not self.learner.model:
            self.best = self.best_epoch = None
            self._model = weakref.ref(self.learner.model)
        if self.best is None:
            self._kept = {}
        self._earlier = None
        if self.fname is not None:
            path = self._path(self.fname)
            self._earlier = self.learner.engine.once(lambda: self._value_in(path))

    def _value_in(self, path: Path) -> float | None:
        """The value that a checkpoint was saved for, if it was one of this number."""
        notes = json.loads(read_notes(path).get("best", "{}"))
        return notes.get("value") if notes.get("monitor") == self.monitor else None

    def after_epoch(self, state: State) -> None:
        self.epochs_done += 1
        if self.every_epoch:
            if self.epochs_done % self.every_epoch == 0:
                self._save(f"{self.fname}_{self.epochs_done - 1}")
        elif self._keeps_best and self.improves(state):
            self._keep()

    def _keep(self) -> None:
        assert self.best is not None
        earlier_is_better = self._earlier is not None and is_better(self._earlier, self.best, self.lower)
        if self.fname is None or earlier_is_better:
            state = self.learner.model.state_dict()
            self._kept = {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
        else:
            note = {"monitor": self.monitor, "value": self.best, "epoch": self.best_epoch}
            self._save(self.fname, {"best": json.dumps(note)})
            self._kept, self._earlier = {}, None

    def _save(self, name: str | Path, notes: dict[str, str] | None = None) -> None:
        learner, path = self.learner, self._path(name)
        if learner.engine.writes_weights:
            optimizer = learner.opt if self.with_opt else None
            save_checkpoint(path, learner.model, optimizer, notes=notes, writes=learner.engine.is_main)
        learner.engine.agreed(True)  # the other processes wait until the file is there

    def after_fit(self, state: State) -> None:
        if self.at_end and self.fname is not None:
            self._save(self.fname)
        elif self._keeps_best and self.best is not None:
            self._load_best()
        elif self._keeps_best and self.monitor in state.row and self.learner.engine.is_main:
            print(f"{self.monitor} was {state.row[self.monitor]}: there is no best epoch, so none was kept.")

    def _load_best(self) -> None:
        if not self._kept and self.fname is not None:
            self.learner.load(self.fname, with_opt=self.with_opt)
            return
        with torch.no_grad():
            self.learner.model.load_state_dict(self._kept)
        if self.fname is not None and self.learner.engine.is_main:
            print(
                f"'{self._path(self.fname)}' of an earlier run is better ({self.monitor} {self._earlier:.6f}"
                f" against {self.best:.6f}): it was kept. The model has this run's best weights;"
                f" learn.load('{self.fname}') takes the earlier ones."
            )

    def state_dict(self) -> dict[str, Any]:
        own = {"epochs_done": self.epochs_done, "kept": dict(self._kept)}
        return {**super().state_dict(), **own}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.epochs_done, self._kept = state["epochs_done"], dict(state["kept"])
        self._model = weakref.ref(self.learner.model)
