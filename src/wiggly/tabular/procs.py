"""What is done to the columns of a table: `Categorify`, `FillMissing`, `Normalize`, named in `procs=[...]`.

In: classes or instances, in any order. Out: `Procs`, the settings that an encoder is fitted with; what it
learns then is plain data. Read next: `encoder.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wiggly.errors import ArgumentError

__all__ = ["Categorify", "FillMissing", "FillStrategy", "Normalize", "Procs", "as_procs"]

STRATEGIES = ("median", "mode", "constant")


class FillStrategy:
    """Names of what a missing number is replaced by: the training rows' `median`, their `mode`, or a
    `constant`."""

    median, mode, constant = STRATEGIES


@dataclass(frozen=True)
class Categorify:
    """Categories become numbers from 1 in sorted order, or in that of their own type; 0 is for `#na#`: what
    is missing or was not among the training rows. Always done, named or not: a network takes only numbers."""


@dataclass(frozen=True)
class FillMissing:
    """Missing numbers are filled, and a column `<name>_na` says where.

    Args:
        fill_strategy: "median", "mode" (the most frequent), or "constant".
        add_col: Whether to add the column; it is a category, only where training rows lack a number.
        fill_vals: For "constant" the number by column; 0 where none is given.

    Example:
        >>> FillMissing(FillStrategy.constant, fill_vals={"age": -1}).fill_vals
        {'age': -1}
    """

    fill_strategy: str = "median"
    add_col: bool = True
    fill_vals: Mapping[str, float] = field(default_factory=lambda: dict[str, float]())

    def __post_init__(self) -> None:
        if self.fill_strategy not in STRATEGIES:
            raise ArgumentError(
                f"`fill_strategy` must be one of {', '.join(STRATEGIES)}",
                f"it is {self.fill_strategy!r}",
                "Leave it out for the median.",
            )


@dataclass(frozen=True)
class Normalize:
    """Numbers get mean 0 and standard deviation 1 over the training rows (divided by n)."""


@dataclass(frozen=True)
class Procs:
    """The settings an encoder is fitted with.

    Attributes:
        fill: How missing numbers are filled; None refuses them.
        normalize: Whether numbers get mean 0 and standard deviation 1.
    """

    fill: FillMissing | None
    normalize: bool


def as_procs(procs: Sequence[Any] | None) -> Procs:
    """The settings in a list of procs; None takes all three.

    Args:
        procs: Classes or instances. Of `Normalize` any class of that name does, so that the one for pictures
            may stand in the list too.

    Raises:
        ArgumentError: One is something else.

    Example:
        >>> as_procs([Categorify, FillMissing])
        Procs(fill=FillMissing(fill_strategy='median', add_col=True, fill_vals={}), normalize=False)
    """
    fill: FillMissing | None = None
    normalize = False
    for proc in (Categorify, FillMissing, Normalize) if procs is None else procs:
        kind: Any = proc if isinstance(proc, type) else type(proc)
        if issubclass(kind, FillMissing):
            fill = FillMissing() if isinstance(proc, type) else proc
        elif kind.__name__ == "Normalize":
            normalize = True
        elif not issubclass(kind, Categorify):
            raise ArgumentError(
                "`procs` may hold Categorify, FillMissing and Normalize",
                f"it holds {proc!r:.80}",
                "Change the table itself before it is passed.",
            )
    return Procs(fill, normalize)
