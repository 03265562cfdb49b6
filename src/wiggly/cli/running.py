"""The verb that rents a machine: `wiggly run --on paperspace:A4000 -- train photos`.

In: a place, and the command that would run here. Out: a task file, and the results of the rented machine.
Read next: `wiggly/run/rent.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from wiggly import __version__
from wiggly.errors import ArgumentError

__all__ = ["run"]

#: Whose versions there should be those here, so that a checkpoint goes on as it was.
PINNED = ("torch", "torchvision", "timm")


def run(
    *command: Annotated[
        str, Parameter(allow_leading_hyphen=True, help="After `--`: train, its folder and options.")
    ],
    on: Annotated[str, Parameter(help="Cloud and GPU, e.g. paperspace:A4000, aws/us-east-1:A10G:4, any:T4.")],
    spot: Annotated[
        bool, Parameter(negative="", show_default=False, help="Cheaper, but the machine may be taken away.")
    ] = False,
    workdir: Annotated[Path | None, Parameter(help="A folder to copy there as well.")] = None,
    disk: Annotated[int | None, Parameter(help="Gigabytes of the machine's disk.")] = None,
    install: Annotated[
        str | None, Parameter(help="What pip installs there. Default: this version of wiggly.")
    ] = None,
    yes: Annotated[
        bool, Parameter(name=["--yes", "-y"], negative="", show_default=False, help="Start without asking.")
    ] = False,
    keep: Annotated[
        bool, Parameter(negative="", show_default=False, help="Leave the machine running at the end.")
    ] = False,
    dry_run: Annotated[
        bool, Parameter(negative="", show_default=False, help="Write the task file, show the price, stop.")
    ] = False,
) -> int:
    """Trains on a rented machine: shows the price, asks, follows the log, brings the results home.

    Returns:
        0; 130 after Ctrl-C, which leaves the machine running and says how to end it.
    """
    from wiggly.run.places import parse_place
    from wiggly.run.prices import offline_price
    from wiggly.run.rent import Terms, rent, show_terms
    from wiggly.run.task import read_job, task_text
    from wiggly.train.checkpoint import atomic_write

    place, job = parse_place(on, spot), read_job(command)
    _check(command, job.bundle, workdir, disk)
    extra = "[distributed]" if place.count > 1 else ""
    packages = [install or f"wiggly{extra}=={__version__}", *_pins()]
    file = job.bundle.with_name(f"{job.bundle.stem}.sky.yaml")

    def write_task() -> Path:
        return atomic_write(file, task_text(job, place, packages, disk, workdir).encode("utf-8"))

    if dry_run:
        print(f"Task:     {write_task()}")
        show_terms(job, place, offline_price(place))
        return 0
    rent(job, Terms(place, yes, keep), write_task)
    return 0


def _check(command: Sequence[str], bundle: Path, workdir: Path | None, disk: int | None) -> None:
    """Finds out here what would else come to light on a machine that bills.

    Raises:
        CycloptsError: The command is not understood; printed.
        ArgumentError: A folder or number cannot be, or the result has no place here.
    """
    from wiggly.bundle.archive import is_bundle
    from wiggly.cli import app
    from wiggly.cli.options import check_target

    app.parse_args(list(command), exit_on_error=False)
    check_target(bundle, ours=is_bundle(bundle), force="--force" in command)
    if workdir is not None and not workdir.is_dir():
        raise ArgumentError(
            "`--workdir` must be a folder", f"there is no folder '{workdir}'", "Check the path."
        )
    if disk is not None and disk < 1:
        raise ArgumentError("`--disk` must be at least 1 GB", f"it is {disk}", "Leave it out, or pass 100.")


def _pins() -> list[str]:
    """Versions here, without the part after `+` that names a build for one kind of GPU."""
    return [f"{name}=={metadata.version(name).partition('+')[0]}" for name in PINNED]
