"""A run that was kept: where it was, what it takes to go on from there, and where its file is.

In: a checkpoint that a fit has written. Out: `Kept`, which puts a learner back. Read next: `run.py`, which
writes and uses them.
"""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wiggly.errors import StorageError
from wiggly.records import State
from wiggly.train.callback import Callback
from wiggly.train.checkpoint import Contents, read_checkpoint
from wiggly.train.distributed.sharding import put_optimizer, put_weights
from wiggly.train.resume.lock import Lock
from wiggly.train.resume.snapshot import apply_snapshot, unpack

if TYPE_CHECKING:
    from wiggly.train.loop import Loop

__all__ = [
    "GoingOn",
    "Kept",
    "Place",
    "folder_of",
    "forget",
    "is_kept",
    "kept_file",
    "previous_of",
    "put_aside",
    "read_kept",
    "remove",
]


@dataclass(frozen=True)
class Place:
    """A point between two steps.

    Attributes:
        phase: Number of the phase in its call, from 0.
        begun: Whether the phase is under way; if not, all before it are over.
        epoch: Epoch in work, or the next.
        step: Optimizer steps taken in the phase.
        batches: Training batches done in the epoch, if it is under way.
        within: Whether the epoch is under way.
        trained: Whether its training batches are all done.
    """

    phase: int
    begun: bool = False
    epoch: int = 0
    step: int = 0
    batches: int = 0
    within: bool = False
    trained: bool = False

    def within_epoch(self, state: State, trained: bool) -> Place:
        """After a training batch of the same phase."""
        return Place(self.phase, True, state.epoch, state.step, state.batch_index + 1, True, trained)

    def after_epoch(self, state: State) -> Place:
        """Between two epochs of the same phase."""
        return Place(self.phase, True, state.epoch + 1, state.step)


@dataclass(frozen=True)
class GoingOn:
    """What the loop needs to go on within a phase.

    Attributes:
        place: Where.
        put_back: Brings everything back to what it was there, given the callbacks that get their state.
    """

    place: Place
    put_back: Callable[[Sequence[Callback]], None]


class Kept:
    """A checkpoint of a run, as it was read.

    Raises:
        StorageError: It is not of a run.
    """

    def __init__(self, path: Path, contents: Contents) -> None:
        run = contents.run
        if run is None:
            raise StorageError(
                f"`{path}` must be the checkpoint of a fit",
                "it has weights only",
                "Move it elsewhere: this name is for checkpoints that fits write.",
            )
        self.path, self.contents = path, contents
        try:
            self.place = Place(**run.values["place"])
            self.phases: list[dict[str, Any]] = run.values["phases"]
            self.facts: dict[str, Any] = run.values["facts"]
            self.snapshot: dict[str, Any] = unpack(run.values["state"], run.tensors)
        except (KeyError, TypeError) as error:
            raise StorageError(
                f"`{path}` must have all parts of a checkpoint of a fit",
                f"{type(error).__name__}: {error}",
                "It may be of another version of wiggly: go on with that one, or delete the file.",
            ) from error

    def put_back(self, learner: Loop, callbacks: Sequence[Callback]) -> None:
        """Brings a learner to where it was, and these callbacks with it."""
        put_weights(learner.model, self.contents.weights)
        if self.contents.optimizer is not None:
            put_optimizer(learner.opt, self.contents.optimizer)
        learner.opt.zero_grad()
        apply_snapshot(learner, self.snapshot, callbacks)


def read_kept(path: Path) -> Kept | None:
    """The last whole checkpoint; the one before it, if a kill or a damaged disk has left no other.

    Raises:
        StorageError: None of them can be read.
    """
    previous = previous_of(path)
    if path.exists():
        try:
            return Kept(path, read_checkpoint(path))
        except StorageError as error:
            if not previous.exists():
                raise _unreadable(error, path) from error
            warnings.warn(f"{path} is damaged; the fit goes on from the one before.", stacklevel=2)
    try:
        return Kept(previous, read_checkpoint(previous)) if previous.exists() else None
    except StorageError as error:
        raise _unreadable(error, path, previous) from error


def _unreadable(error: StorageError, *paths: Path) -> StorageError:
    files = " and ".join(str(path) for path in paths if path.exists())
    return StorageError(
        error.rule, error.received, f"Delete it to train anew, or put a good copy in its place: {files}"
    )


def folder_of(learner: Loop) -> Path:
    """Where the runs of a learner are kept."""
    return Path(os.path.abspath(learner.path / learner.model_dir)) / "resume"


def kept_file(learner: Loop, number: int = 1) -> Path:
    """Where a fit with `resume=True` keeps itself.

    Args:
        learner: The learner.
        number: Of the fit in the learner's life, from 1.
    """
    return folder_of(learner) / f"fit-{number}.safetensors"


def previous_of(path: Path) -> Path:
    """Where the checkpoint before is kept, until the run is over."""
    return path.with_name(path.name.replace(".safetensors", ".previous.safetensors"))


def is_kept(path: Path) -> bool:
    """Whether there is a run to go on with: a kill while a checkpoint is renamed leaves the one before."""
    return path.exists() or previous_of(path).exists()


def put_aside(path: Path) -> Path:
    """Renames a kept run, so that the next one begins anew.

    Args:
        path: The checkpoint.

    Returns:
        Its new path.

    Raises:
        StorageError: Another process goes on with it now, or it cannot be renamed.
    """
    Lock(path).check()
    aside = path.with_name(f"earlier-{path.name}")
    try:
        for file, target in ((path, aside), (previous_of(path), previous_of(aside))):
            remove(target)
            if file.exists():
                file.replace(target)
    except OSError as error:
        raise StorageError(
            f"an earlier run in `{path}` must be put aside",
            f"renaming it failed: {error.strerror}",
            "Go on with it, move it yourself, or choose a folder you may write to.",
        ) from error
    return aside


def remove(path: Path) -> None:
    """Removes a file, if it can be."""
    with contextlib.suppress(OSError):
        path.unlink()


def forget(path: Path, top: Path) -> None:
    """Removes a kept run, and the folders above it that are left empty.

    Args:
        path: The checkpoint.
        top: This folder stays in any case.
    """
    remove(path)
    remove(previous_of(path))
    for folder in path.parents:
        if folder == Path(os.path.abspath(top)):
            return
        try:
            folder.rmdir()
        except OSError:  # something else is in it
            return
