"""The record of a run: what its history and its predictions say, as numbers to keep.

In: a trained Learner. Out: `RunRecord`, JSON. A report carries it, unseen, and the quiz asks about it. Read
next: `gather.py`, which puts it into a report.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from wiggly.errors import DataError, StorageError

if TYPE_CHECKING:
    from wiggly.interpret.classification import ClassificationInterpretation
    from wiggly.train.learner import Learner

__all__ = ["MARK", "Fit", "RunRecord", "run_record"]

MARK = "wiggly-run"
VERSION = 1
MOST_CELLS = 5000  # of a confusion matrix that is kept: a report stays under 5 MB with any number of classes
DIGITS = 6  # that count, of a number that is kept


@dataclass(frozen=True)
class Fit:
    """One fit: `fine_tune` has two.

    Attributes:
        rows: For each epoch its columns by name; what was no number is missing.
        lr: Highest rate of each parameter group; empty if unknown.
        schedule: Its shape, "one_cycle"; "" if unknown.
        trained: "head", "all", "part", or "" if unknown.
    """

    rows: tuple[Mapping[str, float], ...]
    lr: tuple[float, ...] = ()
    schedule: str = ""
    trained: str = ""

    def column(self, name: str) -> list[float]:
        """A column's numbers, one for each epoch; empty unless every epoch has one."""
        found = [row[name] for row in self.rows if name in row]
        return found if len(found) == len(self.rows) else []


@dataclass(frozen=True)
class RunRecord:
    """What is known of a run; what is not known is empty.

    Attributes:
        fits: In order.
        labels: Class names, c of them.
        cells: Counts of the confusion matrix that are not 0: (actual, predicted, n).
        train_counts: Training items of each class.
        confidence: Mean probability of the predicted class.
        lrs: Rates that `lr_find` tried.
        lr_losses: The smoothed loss at each.
        noun: What an item is called, in the plural.
    """

    fits: tuple[Fit, ...] = ()
    labels: tuple[str, ...] = ()
    cells: tuple[tuple[int, int, int], ...] = ()
    train_counts: tuple[int, ...] = ()
    confidence: float | None = None
    lrs: tuple[float, ...] = ()
    lr_losses: tuple[float, ...] = ()
    noun: str = "items"

    def counts(self) -> list[list[int]]:
        """The confusion matrix, rows actual; empty if unknown."""
        if not self.cells:
            return []
        table = [[0] * len(self.labels) for _ in self.labels]
        for actual, predicted, n in self.cells:
            table[actual][predicted] = n
        return table

    def text(self) -> str:
        """As JSON on one line."""
        return json.dumps({"format": MARK, "version": VERSION, **asdict(self)}, allow_nan=False)

    def save(self, path: str | Path) -> Path:
        """Writes it as JSON.

        Raises:
            StorageError: It cannot be written.
        """
        place = Path(path)
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(self.text() + "\n", "utf-8")
        except OSError as error:
            raise StorageError(
                "a record must be written to a place that can be written to",
                f"'{place}': {error.strerror}",
                "Pass another path.",
            ) from error
        return place

    @classmethod
    def of(cls, text: str) -> RunRecord:
        """From what `text` gave.

        Raises:
            DataError: It is no record.

        Example:
            >>> RunRecord.of(RunRecord(labels=("cat", "dog")).text()).labels
            ('cat', 'dog')
        """
        try:
            raw = cast("dict[str, Any]", json.loads(text))
            if raw.pop("format") != MARK or raw.pop("version") > VERSION:
                raise ValueError("it is of another format or a newer version")
            fits = tuple(
                Fit(tuple(fit["rows"]), tuple(fit["lr"]), fit["schedule"], fit["trained"])
                for fit in raw.pop("fits")
            )
            cells = tuple((int(a), int(b), int(n)) for a, b, n in raw.pop("cells"))
            rest = {f.name: raw[f.name] for f in fields(cls) if f.name in raw}
            plain: dict[str, Any] = {
                name: tuple(cast("list[Any]", value)) if isinstance(value, list) else value
                for name, value in rest.items()
            }
            made = cls(fits=fits, cells=cells, **plain)
            made.counts()
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            raise DataError(
                "the record of a run must be what wiggly wrote",
                f"{type(error).__name__}: {error}",
                "Write it anew: `run_record(learn).save('run.json')`, or a report.",
            ) from error
        return made


def run_record(learn: Learner, found: ClassificationInterpretation | None = None) -> RunRecord:
    """The record of a learner's run.

    Args:
        learn: The learner. If it has one category per item, its validation set is predicted once.
        found: That prediction, if it is there already.

    Returns:
        The record; parts that cannot be known are empty.
    """
    from wiggly.interpret.gather import noun_of

    search: Mapping[str, Any] = learn.recorder.lr_search or {"lrs": (), "losses": ()}
    pairs = zip(search["lrs"], search["losses"], strict=True)
    tried = [(rate, loss) for rate, loss in pairs if math.isfinite(rate) and math.isfinite(loss)]
    block = learn.target_block
    if found is None and block is not None and block.loss == "cross_entropy" and block.vocab is not None:
        found = _interpreted(learn)
    return RunRecord(
        fits=tuple(_fit(phase) for phase in learn.recorder.phases if phase["rows"]),
        lrs=tuple(short(rate for rate, _ in tried)),
        lr_losses=tuple(short(loss for _, loss in tried)),
        noun=noun_of(learn),
        **({} if found is None else _of_classes(learn, found)),
    )


def _interpreted(learn: Learner) -> ClassificationInterpretation | None:
    from wiggly.errors import WigglyError
    from wiggly.interpret.classification import ClassificationInterpretation

    try:
        found = ClassificationInterpretation.from_learner(learn)
    except WigglyError:  # no validation items, no probabilities: then it is not known
        return None
    return None if bool(found.losses.isnan().any()) else found


def _of_classes(learn: Learner, found: ClassificationInterpretation) -> dict[str, Any]:
    from wiggly.interpret.gather import train_counts

    counts = found.confusion_matrix()
    cells = [(int(a), int(b), int(counts[a, b])) for a, b in zip(*counts.nonzero(), strict=True)]
    known = train_counts(learn.dls.train, len(found.labels))
    if len(cells) > MOST_CELLS:
        return {}
    return {
        "labels": tuple(found.labels),
        "cells": tuple(cells),
        "train_counts": () if known is None else tuple(int(n) for n in known),
        "confidence": short([float(found.preds.max(dim=1).values.double().mean())])[0],
    }


def _fit(phase: Mapping[str, Any]) -> Fit:
    rows = [
        {
            name: short([value])[0]
            for name, value in zip(phase["columns"], row, strict=True)
            if value is not None and math.isfinite(value)
        }
        for row in phase["rows"]
    ]
    first, groups = phase.get("first_unfrozen"), phase.get("groups")
    trained = ""
    if isinstance(first, int) and isinstance(groups, int) and groups > 1:
        trained = "all" if first == 0 else "head" if first == groups - 1 else "part"
    return Fit(tuple(rows), tuple(short(phase.get("lr", ()))), str(phase.get("schedule", "")), trained)


def short(values: Iterable[float]) -> list[float]:
    """Numbers with no more digits than anybody reads."""
    return [float(f"{value:.{DIGITS}g}") for value in values]
