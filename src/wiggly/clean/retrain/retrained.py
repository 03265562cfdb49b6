"""What training on cleaned data changed: scores with intervals, flips by class, items now right or wrong.

In: what two models say of the same items. Out: `Retrained`: printed, or read number by number. Read next:
`scoring.py`, which makes its parts.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from wiggly.interpret.score import Interval

if TYPE_CHECKING:
    from wiggly.data.edits.plan import EditSummary

__all__ = ["ClassFlips", "ItemFlip", "Retrained", "ScoreOf"]

SHOWN = 10  # classes and items that `print` shows
WIDEST = 40


@dataclass(frozen=True)
class ScoreOf:
    """A score of one model.

    Attributes:
        value: The score.
        interval: Its 95 % confidence interval; None where there is none.
    """

    value: float
    interval: Interval | None = None

    def said(self, share: bool) -> str:
        """In words.

        Args:
            share: Whether it is a share, which is said in percent.
        """
        told = _number(self.value, share)
        if self.interval is None:
            return told
        return f"{told} ({_number(self.interval.low, share)} to {_number(self.interval.high, share)})"


def _number(value: float, share: bool) -> str:
    return f"{100 * value:.1f} %" if share else f"{value:.4g}"


@dataclass(frozen=True)
class ClassFlips:
    """What changed for the items of a class, by cleaned label; of several labels, for the label itself.

    Attributes:
        label: The class.
        n: Validation items of it.
        right_before: How many of these the model from before gets right.
        right_after: How many the new one does.
        now_right: Wrong before, right now.
        now_wrong: Right before, wrong now.
    """

    label: Any
    n: int
    right_before: int
    right_after: int
    now_right: int
    now_wrong: int


@dataclass(frozen=True)
class ItemFlip:
    """A validation item that one of the models gets right and the other wrong.

    Attributes:
        item: Its path below its folder, or its row.
        label: Its cleaned label.
        before: What the model from before says.
        after: What the new one says.
        right: Whether the new one is right.
    """

    item: str
    label: Any
    before: Any
    after: Any
    right: bool


@dataclass(frozen=True)
class Retrained:
    """Two models beside each other, scored on the same cleaned validation items.

    Attributes:
        learn: The new learner, trained on the cleaned items.
        metric: What the scores are.
        share: Whether that is a share, in [0, 1].
        before: Of the model from before.
        after: Of the new one.
        gain: 95 % interval of the difference, after less before; None where there is none.
        p: How likely so uneven flips are by chance (McNemar's exact test); None where nothing flips.
        n: Validation items that both were scored on.
        left_out: Validation items that were not compared: the model from before had learned them.
        by_class: Classes, those with the most flips first.
        flips: Items that are right with one model only.
        edits: What the journal changed and what was set aside.
        recipe: How the new one was trained, in words.
    """

    learn: Any = field(repr=False)
    metric: str
    share: bool
    before: ScoreOf
    after: ScoreOf
    gain: Interval | None
    p: float | None
    n: int
    left_out: int
    by_class: list[ClassFlips]
    flips: list[ItemFlip]
    edits: EditSummary
    recipe: str

    @property
    def now_right(self) -> list[ItemFlip]:
        """Items that were wrong before."""
        return [flip for flip in self.flips if flip.right]

    @property
    def now_wrong(self) -> list[ItemFlip]:
        """Items that were right before."""
        return [flip for flip in self.flips if not flip.right]

    def to_dict(self) -> dict[str, Any]:
        """The numbers in JSON types."""
        return {
            "metric": self.metric,
            "n": self.n,
            "left_out": self.left_out,
            "before": _plain(self.before),
            "after": _plain(self.after),
            "gain": None if self.gain is None else list(self.gain),
            "p": self.p,
            "by_class": [vars(row) for row in self.by_class],
            "flips": [vars(flip) for flip in self.flips],
            "edits": self.edits.to_dict(),
            "recipe": self.recipe,
        }

    def __str__(self) -> str:
        n_train = len(self.learn.dls.train_ds)
        lines = [
            f"trained again on {n_train:,} items by {self.recipe}; edits: {self.edits}",
            f"{self.metric} on {self.n:,} validation items with cleaned labels, 95 % intervals in brackets:",
            f"  before  {self.before.said(self.share)}",
            f"  after   {self.after.said(self.share)}",
        ]
        lines += self._difference()
        lines += _classes(self.by_class) if self.flips else []
        lines += _items("now right", self.now_right) + _items("now wrong", self.now_wrong)
        return "\n".join(lines)

    def _difference(self) -> list[str]:
        made: list[str] = []
        if self.gain is not None:
            change, unit = self.after.value - self.before.value, ""
            low, high = self.gain
            if self.share:
                change, low, high, unit = 100 * change, 100 * low, 100 * high, " points"
            certain = "" if low > 0 or high < 0 else ", so it may be chance"
            made.append(f"  change  {change:+.3g}{unit} ({low:+.3g} to {high:+.3g}{certain})")
        if self.left_out:
            noun = "item that was" if self.left_out == 1 else "items that were"
            made.append(f"  not counted: {self.left_out:,} {noun} for training before")
        return made


def _plain(score: ScoreOf) -> dict[str, Any]:
    return {"value": score.value, "interval": None if score.interval is None else list(score.interval)}


def _classes(rows: list[ClassFlips]) -> list[str]:
    changed = [row for row in rows if row.now_right or row.now_wrong]
    width = max(len(_cut(row.label)) for row in changed)
    width = max(width, len("class"))
    lines = [f"{'class':<{width}}  items  before  after  now right  now wrong"]
    lines += [
        f"{_cut(row.label):<{width}}  {row.n:>5,}  {row.right_before:>6,}  {row.right_after:>5,}  "
        f"{row.now_right:>9,}  {row.now_wrong:>9,}"
        for row in changed[:SHOWN]
    ]
    left = len(changed) - SHOWN
    return [*lines, *([f"... and {left:,} more classes"] if left > 0 else [])]


def _items(title: str, flips: list[ItemFlip]) -> list[str]:
    if not flips:
        return []
    lines = [f"{title}:"]
    lines += [
        f"  {_cut(flip.item)}: {_cut(flip.before)} before, {_cut(flip.after)} now; it is {_cut(flip.label)}"
        for flip in flips[:SHOWN]
    ]
    left = len(flips) - SHOWN
    return [*lines, *([f"  ... and {left:,} more"] if left > 0 else [])]


def _cut(value: Any) -> str:
    text = ", ".join(map(str, value)) or "nothing" if isinstance(value, (list, tuple)) else str(value)  # pyright: ignore[reportUnknownArgumentType]
    return text if len(text) <= WIDEST else f"…{text[1 - WIDEST :]}"
