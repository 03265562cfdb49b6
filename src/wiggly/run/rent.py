"""Renting: the price, a yes, a machine, its log, the results at home, the machine given back.

In: a job and a place. Out: the job's files here. Whatever ends the story early, the user is told what still
bills and which command ends it. Read next: `../cli/running.py`.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from wiggly.errors import ArgumentError, StorageError, TrainingError
from wiggly.run.places import Place
from wiggly.run.prices import Price, offline_price
from wiggly.run.sky import Sky, Standing
from wiggly.run.task import Job

__all__ = ["Terms", "rent", "show_terms"]

# Minutes without work after which a machine stops by itself; where it cannot keep its disk, long enough to
# fetch the results by hand.
IDLE, IDLE_BEFORE_LOSS = 30, 120
MINUTES_BETWEEN_COPIES = 5.0
SECONDS_BEFORE_RETRY = 5.0
CONNECTIONS_LOST = 20


@dataclass(frozen=True)
class Terms:
    """How a machine is rented.

    Attributes:
        place: Where.
        yes: Start without asking.
        keep: Leave the machine running at the end.
        retries: How often a machine that was taken away is rented anew.
    """

    place: Place
    yes: bool = False
    keep: bool = False
    retries: int = 3


def show_terms(job: Job, place: Place, price: Price | None) -> None:
    """Prints what will be rented, what it costs, and what goes on billing."""
    machine = f"{place.count} × {place.gpu}" if place.gpu else "a machine without a GPU"
    spot = ", spot: it may be taken away" if place.is_spot else ""
    print(f"Machine:  {machine} on {place.infra or 'the cheapest cloud'}{spot}, named {job.name}")
    print(f"Price:    {price or 'not known here; `sky launch --dryrun` shows it, once the cloud is set up'}")
    print(f"Results:  {job.bundle} and what belongs to it")
    print(f"At last:  {_ending(place)}", flush=True)
    _warn(f"On {place.name or 'most clouds'} this goes on billing when no machine runs: {place.cloud.bills}.")


def _idle(place: Place) -> tuple[int | None, bool]:
    """After how many idle minutes a machine ends by itself, and whether it is then given back."""
    if place.cloud.stops and not place.is_spot:
        return IDLE, False
    return (IDLE_BEFORE_LOSS, True) if place.cloud.ends else (None, False)


def _ending(place: Place) -> str:
    idle, gives_back = _idle(place)
    by_itself = "it never ends by itself"
    if idle is not None:
        by_itself = (
            f"after {idle} idle minutes it {'is deleted with its disk' if gives_back else 'stops'} by itself"
        )
    return f"given back when the results are here; if this computer is off by then, {by_itself}"


def _warn(text: str) -> None:
    red = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    sys.stdout.flush()
    print(f"\033[1;31m{text}\033[0m" if red else text, file=sys.stderr, flush=True)


def rent(job: Job, terms: Terms, write_task: Callable[[], Path]) -> None:
    """Rents a machine for a job, from the price to the end.

    Args:
        job: What runs.
        terms: Where and how.
        write_task: Writes the task file and returns its path; called anew for every machine, as checkpoints
            may have come home meanwhile.

    Raises:
        DependencyError: SkyPilot is not installed; the task file is written all the same.
        ArgumentError: Nobody can be asked, and `yes` was not given; or the answer was no.
        TrainingError: The machine could not be had, or the job failed.
        StorageError: The results could not be copied.
    """
    file = write_task()
    print(f"Task:     {file}")
    show_terms(job, terms.place, offline_price(terms.place))
    sky = Sky(job.name)
    price = sky.price(terms.place)
    if price is not None:
        print(f"Today:    {price}", flush=True)
    if not terms.yes:
        _ask()
    with _told_what_bills(job, terms.place):
        _work(sky, job, terms, file, write_task)
    if terms.keep:
        _warn(f"{job.name} goes on running, and billing: sky down {job.name}")
    elif not sky.give_back():
        _warn(f"{job.name} could not be given back, and may go on billing: sky down {job.name}")
    print(f"Results:  {job.bundle}", flush=True)


def _ask() -> None:
    if not sys.stdin.isatty():
        raise ArgumentError("somebody must agree to the price", "nobody can be asked here", "Pass --yes.")
    try:
        answer = input("Start it? [y/N] ")
    except EOFError:  # Ctrl-D
        print()
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise ArgumentError("the price must be agreed to", "the answer was no", "Nothing was started.")


@contextlib.contextmanager
def _told_what_bills(job: Job, place: Place) -> Generator[None]:
    try:
        yield
    except BaseException:
        idle, gives_back = _idle(place)
        by_itself = "It does not end by itself."
        if idle is not None:
            by_itself = f"It {'is deleted' if gives_back else 'stops'} after {idle} idle minutes."
        _warn(
            f"{job.name} may go on running, and billing. {by_itself}\n"
            f"  to see it:        sky status {job.name}; sky logs {job.name}\n"
            f"  to end it now:    sky down {job.name}   (deletes what is on it)\n"
            f"  to go on with it: the same `wiggly run` command"
        )
        raise


def _work(sky: Sky, job: Job, terms: Terms, file: Path, write_task: Callable[[], Path]) -> None:
    idle, gives_back = _idle(terms.place)
    for attempt in range(terms.retries + 1):
        if attempt:
            print(f"The machine is gone; renting another one ({attempt} of {terms.retries}).", flush=True)
            file = write_task()
        if not sky.launch(file, idle, gives_back):
            raise TrainingError(
                f"SkyPilot must be able to rent {job.name}",
                "`sky launch` failed; its messages are above",
                "Try another place, e.g. --on any:"
                + (terms.place.gpu or "T4")
                + ", or `sky check` for access.",
            )
        standing = _followed(sky, job)
        if standing is Standing.DONE:
            sky.bring_home(job.bundle.parent)
            return
        if standing not in (Standing.GONE, Standing.NOT_FOUND):
            with contextlib.suppress(StorageError):
                sky.bring_home(job.bundle.parent)
            raise TrainingError(
                "the training there must end well",
                "it was cancelled" if standing is Standing.CANCELLED else "it failed; its messages are above",
                "What it wrote was brought home. Mend the cause; the same command then goes on from there.",
            )
    raise TrainingError(
        "the machine must not be taken away too often",
        f"it was, {terms.retries + 1} times",
        "The last checkpoint is at home; the same command goes on with it. Without --spot it would stay.",
    )


def _followed(sky: Sky, job: Job) -> Standing:
    """Shows the log until the job is over or its machine gone, and brings checkpoints home meanwhile."""
    with _copying(sky, job.bundle.parent):
        lost = 0
        while True:
            started = time.monotonic()
            sky.follow()
            standing = sky.standing()
            if standing not in (Standing.RUNNING, Standing.GONE):
                return standing
            # A connection that held for a while was no failure of the machine.
            lost = 0 if time.monotonic() - started > 60 else lost + 1
            if lost > (CONNECTIONS_LOST if standing is Standing.RUNNING else 1):
                return Standing.GONE
            print("The log was cut; connecting again.", flush=True)
            time.sleep(SECONDS_BEFORE_RETRY)


@contextlib.contextmanager
def _copying(sky: Sky, folder: Path) -> Generator[None]:
    """Copies what is there every few minutes, so that a machine that is taken away takes little with it."""
    over = threading.Event()

    def copy() -> None:
        while not over.wait(MINUTES_BETWEEN_COPIES * 60):
            with contextlib.suppress(StorageError):
                sky.bring_home(folder)

    thread = threading.Thread(target=copy, name="wiggly-copies", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
