"""SkyPilot's program, driven from outside: it is never imported.

In: what to do with one machine. Out: its own output, passed through, and exit codes turned into words. Read
next: `rent.py`.
"""

from __future__ import annotations

import enum
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wiggly.errors import DependencyError, StorageError
from wiggly.run.places import Place
from wiggly.run.prices import Price, listed_price
from wiggly.run.task import OUT

__all__ = ["Sky", "Standing"]


class Standing(enum.Enum):
    """How a job stands: exit codes of `sky logs --status` (0.14.1: `JobExitCode`)."""

    DONE = 0
    FAILED = 100
    RUNNING = 101
    NOT_FOUND = 102
    CANCELLED = 103
    GONE = 1  # the machine cannot be found, or not be asked


class Sky:
    """The program `sky`, and one machine it rents.

    Args:
        name: Of the machine.
        program: Path of the program; None looks for it.

    Raises:
        DependencyError: It is not installed.
    """

    def __init__(self, name: str, program: str | None = None) -> None:
        found = program or shutil.which("sky")
        if found is None:
            raise DependencyError(
                "renting a machine needs SkyPilot's program `sky`",
                "it is not on this machine's PATH",
                "uv tool install 'skypilot[paperspace]' (or of another cloud), then `sky check`, then this "
                "command again.",
            )
        self.name, self.program = name, found

    def _call(self, *words: str, quiet: bool = False) -> int:
        silent = subprocess.DEVNULL if quiet else None
        return self._run(words, stdout=silent, stderr=silent).returncode

    def _run(self, words: Sequence[str], **how: Any) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run([self.program, *words], **how)
        except OSError as error:  # an environment that was moved, say, or is half removed
            raise DependencyError(
                "SkyPilot's program `sky` must start",
                f"{self.program} does not: {error.strerror}",
                "Install it again: uv tool install --force 'skypilot[paperspace]'",
            ) from error

    def price(self, place: Place) -> Price | None:
        """What SkyPilot's catalogue says the place costs; None if it does not say."""
        if not place.gpu:
            return None
        where = ["--infra", place.infra] if place.infra else []
        words = ["gpus", "list", f"{place.gpu}:{place.count}", *where, "-o", "json"]
        done = self._run(words, capture_output=True, text=True)
        return listed_price(place, done.stdout) if done.returncode == 0 else None

    def launch(self, file: Path, idle: int | None, give_back: bool) -> bool:
        """Rents, installs and starts; returns when the job runs.

        Args:
            file: The task.
            idle: Minutes without a job after which the machine stops by itself; None: never.
            give_back: Whether it is then given back instead, with its disk.
        """
        end = ["-i", str(idle)] if idle is not None else []
        end += ["--down"] if give_back and idle is not None else []
        return self._call("launch", "-y", "-d", "-c", self.name, *end, str(file)) == 0

    def follow(self) -> None:
        """Passes the job's log through until it ends, or the connection does."""
        self._call("logs", self.name)

    def standing(self) -> Standing:
        """How the last job on the machine stands."""
        code = self._call("logs", self.name, "--status", quiet=True)
        return Standing(code) if code in {each.value for each in Standing} else Standing.GONE

    def bring_home(self, folder: Path) -> None:
        """Copies what the job has written; the machine's name is one that ssh knows.

        Raises:
            StorageError: It cannot be copied.
        """
        folder.mkdir(parents=True, exist_ok=True)
        there = f"{self.name}:{OUT.removeprefix('~/')}/"
        if shutil.which("rsync"):
            words = ["rsync", "-az", there, f"{folder}/"]
        else:
            words = ["scp", "-rqp", f"{there}.", f"{folder}/"]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise StorageError(
                f"the results on {self.name} must be copied to '{folder}'",
                done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{words[0]} failed",
                f"The machine was left as it is. Try again: {' '.join(words)}",
            )

    def give_back(self) -> bool:
        """Gives the machine back, with its disk."""
        return self._call("down", "-y", self.name) == 0
