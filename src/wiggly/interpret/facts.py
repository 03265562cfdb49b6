"""What a report says, as plain data: the page is a function of this and of nothing else.

In: numbers and texts that `gather.py` read from a learner. Out: `Facts`. Read next: `sections.py`, which
writes them down.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from wiggly.interpret.markup import clip
from wiggly.interpret.score import Score
from wiggly.vision.check import DataCheck

__all__ = ["Error", "Facts", "Phase", "find_warnings", "headline", "percent", "span"]

FEW_ITEMS = 100  # validation items: below, the 95 % interval of an accuracy of 90 % is wider than 12 points
FEW_OF_A_CLASS = 5  # items: at 5 of 5 right, the interval of a class still begins at 57 %
IMBALANCE = 10  # largest over smallest class: the smallest is then an afterthought to the loss


@dataclass(frozen=True, slots=True)
class Phase:
    """One fit: `fine_tune` has two.

    Attributes:
        name: What was trained, "frozen body".
        rows: For each epoch the columns that were printed, name to number.
    """

    name: str
    rows: Sequence[Mapping[str, float]]


@dataclass(frozen=True, slots=True)
class Error:
    """One wrong prediction.

    Attributes:
        name: The file's name.
        actual: Its label.
        predicted: What the model says.
        probability: How sure the model is, in [0, 1].
        loss: The loss of this item.
        picture: Data URI, None without a picture.
        heat: The same with what spoke for the prediction in colour; None where no heat map can be made.
    """

    name: str
    actual: str
    predicted: str
    probability: float
    loss: float
    picture: str | None
    heat: str | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that a report says.

    Attributes:
        title: What the model does, in a few words.
        subtitle: What it is and what it was trained on.
        noun: What an item is called, in the plural: "photos".
        labels: Class names, c of them.
        majority: Index of the most frequent training class.
        score: Accuracy beside the constant answer.
        counts: Confusion counts of the validation items, `(c, c)`, rows actual.
        train_counts: Training items per class, `(c,)`; None when the loaders do not tell.
        confidence: Mean probability of the predicted class.
        calibration: Expected calibration error.
        calibration_bins: In how many bins.
        data: What the data are and how they were split, name to text.
        examples: Class index to pictures (data URIs).
        phases: The fits, in order.
        training_loss: Smoothed training loss as (epochs done, loss).
        errors: Wrong predictions, largest loss first; bounded, `score` has the full number.
        bad_items: Unreadable items with the reason.
        model: What the model is and how it was trained, name to text.
        versions: Program to version.
        snippet: Python that does it again.
        command: The command line that did it, when there was one.
        notes: More that should make a reader careful, from whoever asked for the report.
        check: What a check of the data found, if one was made.
        record: The record of the run as JSON, for programs that read the page; "" for none.
    """

    title: str
    subtitle: str
    noun: str
    labels: Sequence[str]
    majority: int
    score: Score
    counts: npt.NDArray[np.int64]
    train_counts: npt.NDArray[np.int64] | None
    confidence: float
    calibration: float
    calibration_bins: int
    data: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    examples: Mapping[int, Sequence[str]] = field(default_factory=lambda: dict[int, Sequence[str]]())
    phases: Sequence[Phase] = ()
    training_loss: Sequence[tuple[float, float]] = ()
    errors: Sequence[Error] = ()
    bad_items: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    model: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    versions: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    snippet: str = ""
    command: str | None = None
    notes: Sequence[str] = ()
    check: DataCheck | None = None
    record: str = ""

    @property
    def valid_counts(self) -> npt.NDArray[Any]:
        """Validation items per class, `(c,)`."""
        return self.counts.sum(axis=1)


def percent(share: float, digits: int = 1) -> str:
    """A share as people read it; not rounded up to 100 % nor down to 0 % unless it is.

    Example:
        >>> percent(0.938), percent(0.99999), percent(1.0)
        ('93.8 %', '> 99.9 %', '100 %')
    """
    step = 10.0**-digits
    value = 100 * share
    if 0 < value < step / 2:
        return f"< {step:g} %"
    if 100 - step / 2 <= value < 100:
        return f"> {100 - step:.{digits}f} %"
    return f"{value:.0f} %" if value in (0, 100) else f"{value:.{digits}f} %"


def headline(facts: Facts) -> str:
    """The score in one honest sentence: share, number, interval, and the answer that needs no model."""
    score, constant = facts.score, clip(facts.labels[facts.majority], 40)
    return (
        f"{percent(score.accuracy)} of {score.n:,} validation {facts.noun} right "
        f"(95 % interval {span(score.interval)}); "
        f"always answering '{constant}' would get {percent(score.baseline)}."
    )


def span(interval: tuple[float, float], digits: int = 1) -> str:
    """Both ends of an interval of shares, `89.7–96.3 %`."""
    low, high = interval
    return f"{100 * low:.{digits}f}\u2013{100 * high:.{digits}f} %"


def find_warnings(facts: Facts) -> list[str]:
    """What should make a reader careful, one sentence each."""
    found: list[str] = list(facts.notes)
    score, valid, noun = facts.score, facts.valid_counts, facts.noun
    if not score.better:
        found.append("The model is not shown to be better than always giving the same answer.")
    if score.n < FEW_ITEMS:
        width = 100 * (score.interval.high - score.interval.low)
        found.append(
            f"Only {score.n} validation {noun}: the true accuracy is known to within {width:.0f} points. "
            "More of them would narrow that."
        )
    few = [label for label, n in zip(facts.labels, valid, strict=True) if n < FEW_OF_A_CLASS]
    if few:
        found.append(
            f"{len(few)} of {len(facts.labels)} classes have fewer than {FEW_OF_A_CLASS} validation {noun} "
            f"({_some(few)}): their own figures say little."
        )
    found += _imbalance(facts)
    if facts.bad_items:
        files = "1 file" if len(facts.bad_items) == 1 else f"{len(facts.bad_items):,} files"
        found.append(f"{files} could not be read (listed above); the score counts none of them.")
    return found


def _imbalance(facts: Facts) -> list[str]:
    counts, labels = facts.train_counts, facts.labels
    if counts is None:
        return []
    found: list[str] = []
    empty = [label for label, n in zip(labels, counts, strict=True) if n == 0]
    if empty:
        found.append(f"No training {facts.noun} at all: {_some(empty)}.")
    present = np.flatnonzero(counts)
    if len(present) > 1:
        largest, smallest = int(counts.argmax()), int(present[counts[present].argmin()])
        ratio = counts[largest] / counts[smallest]
        if ratio >= IMBALANCE:
            found.append(
                f"The classes are unequal: '{clip(labels[largest], 40)}' has {ratio:.0f} times the training "
                f"{facts.noun} of '{clip(labels[smallest], 40)}' "
                f"({counts[largest]:,} and {counts[smallest]:,})."
            )
    return found


def _some(labels: Sequence[str], n: int = 4) -> str:
    shown = ", ".join(f"'{clip(label, 40)}'" for label in labels[:n])
    return f"{shown} and {len(labels) - n} more" if len(labels) > n else shown
