"""What the report of a model of tables, or of any model that predicts numbers or several labels, says.

In: numbers and texts that `gather.py` read from a learner. Out: `TableFacts`. Read next: `sections.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wiggly.interpret.facts import Facts, Phase, span
from wiggly.interpret.tables.calibration import Calibration
from wiggly.interpret.tables.importance import Importance
from wiggly.interpret.tables.slices import Slice, Slices
from wiggly.vision.check import DataCheck

__all__ = ["Baseline", "TableFacts"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Something simpler on the same rows.

    Attributes:
        name: What it is.
        score: Its score.
        seconds: What it took to fit; None for an answer that needs no fit.
    """

    name: str
    score: float
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class TableFacts:
    """All that such a report says; fields of the same name are those of `Facts`.

    Attributes:
        score_name: "error rate", "RMSE" or "loss"; less is better.
        score: The model's, with its interval.
        unit: What the numbers that are predicted are called.
        everything: Whether all rows were scored, as all of them are new; else those for validation.
        classes: What a report of one label per item says besides; None for other targets.
        baselines: Simpler models on the same rows.
        columns: For each column its name, its kind, and what was learnt of it.
        importance: What shuffling each column costs; None where there are no columns.
        slices: The score of groups.
        reliability: How far probabilities can be believed; None for other targets.
        pictures: Title and data URI of each picture.
        worst: Head and rows of the table of the largest losses.
        absent: What a reader might look for and is not there, with the reason.
    """

    title: str
    subtitle: str
    noun: str
    score_name: str
    score: Slice
    unit: str = ""
    everything: bool = False
    classes: Facts | None = None
    baselines: Sequence[Baseline] = ()
    columns: Sequence[Sequence[str]] = ()
    importance: Importance | None = None
    slices: Sequence[Slices] = ()
    reliability: Calibration | None = None
    pictures: Sequence[tuple[str, str]] = ()
    worst: tuple[Sequence[str], Sequence[Sequence[str]]] = ((), ())
    absent: Sequence[str] = ()
    notes: Sequence[str] = ()
    data: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    phases: Sequence[Phase] = ()
    training_loss: Sequence[tuple[float, float]] = ()
    bad_items: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    model: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    versions: Mapping[str, str] = field(default_factory=lambda: dict[str, str]())
    snippet: str = ""
    command: str | None = None
    check: DataCheck | None = None

    @property
    def scored(self) -> str:
        """What was scored."""
        return self.noun if self.everything else f"validation {self.noun}"

    def reach(self, low: float, high: float) -> str:
        """Both ends of an interval of the score, `12.4\u201315.9 %`."""
        if self.score_name == "error rate":
            return span((low, high))
        return f"{self.said(low)}\u2013{self.said(high)}"

    @property
    def best_baseline(self) -> Baseline | None:
        """The lowest score among the simpler models."""
        return min(self.baselines, key=lambda simpler: simpler.score, default=None)

    def said(self, score: float) -> str:
        """A score as people read it: a share in percent, an error in the unit of the target."""
        if self.score_name == "error rate":
            return f"{100 * score:.1f} %"
        return f"{score:,.0f}" if abs(score) >= 1000 else f"{score:.4g}"

    def warnings(self) -> list[str]:
        """What should make a reader careful, one sentence each."""
        found = list(self.notes)
        rival = self.best_baseline
        if rival is not None and rival.score <= self.score.high:
            verdict = (
                "does as well or better" if rival.score <= self.score.score else "is within the interval"
            )
            found.append(
                f"{rival.name} {verdict} ({self.score_name} {self.said(rival.score)}): the network is not "
                "shown to be worth its effort."
            )
        for part in self.slices:
            worst = part.worst
            if worst is not None:
                found.append(
                    f"It is worse for {part.column} = {worst.group}: {self.score_name} "
                    f"{self.said(worst.score)} on {worst.n:,} rows, {self.said(self.score.score)} on all."
                )
        return found

    def numbers(self) -> dict[str, Any]:
        """Score and baselines, for programs."""
        return {"model": self.score.score, **{simpler.name: simpler.score for simpler in self.baselines}}
