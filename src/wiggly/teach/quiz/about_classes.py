"""Questions about right and wrong answers of a classifier: its score, its confusions, its classes.

In: `RunRecord`. Out: questions, or None where the record does not say, or says it of several equally. Read
next: `show.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wiggly.interpret.record import RunRecord
from wiggly.interpret.score import wilson_interval
from wiggly.teach.quiz.question import Question
from wiggly.teach.quiz.wording import chosen, typed

__all__ = ["CLASS_QUESTIONS"]

FEW = 5  # items of a class, or errors, below which a share says nothing
OTHERS = 3  # wrong choices at most
ROUND = 16  # times as many items, or as few, have an interval that is plainly another


def _n_valid(record: RunRecord) -> Question | None:
    n = sum(count for *_, count in record.cells)
    if not n:
        return None
    return typed(
        "run-how-many-validated",
        f"On how many {record.noun} was your model's score measured?",
        n,
        f"The validation set has {n:,} readable {record.noun}; every score is about them.",
    )


def _accuracy(record: RunRecord) -> Question | None:
    right, n = _right(record)
    if not n:
        return None
    share = 100 * right / n
    return typed(
        "run-accuracy",
        f"Which share of the validation {record.noun} does your model get right, to within a point?",
        round(share, 2),
        f"{right:,} of {n:,} are right: {share:.1f} %.",
        1.0,
        "%",
    )


def _interval(record: RunRecord) -> Question | None:
    right, n = _right(record)
    if not n:
        return None
    share = right / n

    def spoken(times: float) -> str:
        few = max(round(n * times), 1)
        low, high = wilson_interval(min(round(few * share), few), few)
        return f"{100 * low:.1f} to {100 * high:.1f} %"

    answer = spoken(1)
    others = [spoken(ROUND), spoken(ROUND**2), spoken(1 / ROUND)]
    if len({answer, *others}) < 4:
        return None
    return chosen(
        "run-interval",
        f"{right:,} of {n:,} validation {record.noun} are right, {100 * share:.1f} %. Where does the "
        "accuracy on new "
        f"{record.noun} of the same kind lie, with 95 % confidence?",
        answer,
        others,
        f"That is Wilson's interval for {right:,} of {n:,}. Four times as many {record.noun} would halve "
        "its width.",
        3,
    )


def _baseline(record: RunRecord) -> Question | None:
    counts = record.counts()
    usual = _only_largest(record.train_counts)
    if not counts or usual is None:
        return None
    n = sum(map(sum, counts))
    of_it = sum(counts[usual])
    name = record.labels[usual]
    return typed(
        "run-baseline",
        f"Which share of the validation {record.noun} would somebody get right who always answers with the "
        "most "
        "frequent training class?",
        round(100 * of_it / n, 2),
        f"That class is '{name}', and {of_it:,} of {n:,} validation {record.noun} are of it: "
        f"{100 * of_it / n:.1f} %. "
        "A model has to beat that.",
        2.0,
        "%",
    )


def _most_confused(record: RunRecord) -> Question | None:
    pairs = _pairs(record.counts())
    if len(record.labels) < 3 or not pairs:
        return None
    (a, b), most = pairs[0]
    others = [pair for pair, n in pairs[1:] if n < most][:OTHERS]
    if most < 2 or (len(pairs) > 1 and pairs[1][1] == most) or len(others) < 2:
        return None
    return chosen(
        "run-most-confused",
        "Which two classes does your model confuse most often, both directions together?",
        _pair(record, (a, b)),
        [_pair(record, pair) for pair in others],
        f"They were taken for each other {most} times; next is {_pair(record, others[0])} with "
        f"{dict(pairs)[others[0]]}.",
    )


def _direction(record: RunRecord) -> Question | None:
    counts = record.counts()
    pairs = _pairs(counts)
    if not pairs:
        return None
    (a, b), most = pairs[0]
    if abs(counts[a][b] - counts[b][a]) < 2 or (len(pairs) > 1 and pairs[1][1] == most):
        return None
    if counts[a][b] < counts[b][a]:
        a, b = b, a
    one, other = record.labels[a], record.labels[b]
    return chosen(
        "run-which-way",
        f"'{one}' and '{other}' are confused most. Which way more often?"
        if one < other
        else f"'{other}' and '{one}' are confused most. Which way more often?",
        f"'{one}' is called '{other}'",
        [f"'{other}' is called '{one}'", "Both equally often"],
        f"'{one}' was called '{other}' {counts[a][b]} times, '{other}' was called '{one}' {counts[b][a]} "
        "times.",
    )


def _hardest(record: RunRecord) -> Question | None:
    shares = [((sum(row) - row[i]) / sum(row), i) for i, row in enumerate(record.counts()) if sum(row) >= FEW]
    shares.sort(key=lambda each: -each[0])
    if len(shares) < 3 or shares[0][0] == 0 or shares[0][0] == shares[1][0]:
        return None
    share, which = shares[0]
    return chosen(
        "run-hardest-class",
        f"Of which class does your model get the largest share wrong? (Classes with {FEW} validation "
        f"{record.noun} or more.)",
        record.labels[which],
        [record.labels[i] for _, i in shares[1 : 1 + OTHERS]],
        f"{100 * share:.0f} % of '{record.labels[which]}' are wrong; the next is "
        f"'{record.labels[shares[1][1]]}' with "
        f"{100 * shares[1][0]:.0f} %.",
        2,
    )


def _share_of_errors(record: RunRecord) -> Question | None:
    errors = [sum(row) - row[i] for i, row in enumerate(record.counts())]
    which, total = _only_largest(errors), sum(errors)
    if which is None or total < FEW or len(errors) < 3:
        return None
    share = 100 * errors[which] / total
    return typed(
        "run-share-of-errors",
        f"Of all errors of your model, which share is about {record.noun} whose actual class is "
        f"'{record.labels[which]}'? Within five points is near enough.",
        round(share, 1),
        f"{errors[which]} of {total} errors, {share:.0f} %: more than of any other class.",
        5.0,
        "%",
        2,
    )


def _rarest(record: RunRecord) -> Question | None:
    counts = record.train_counts
    if len(counts) < 3 or list(counts).count(min(counts)) != 1:
        return None
    order = sorted(range(len(counts)), key=lambda i: counts[i])
    return chosen(
        "run-rarest-class",
        f"Of which class are there fewest training {record.noun}?",
        record.labels[order[0]],
        [record.labels[i] for i in order[1 : 1 + OTHERS]],
        f"'{record.labels[order[0]]}' has {counts[order[0]]}; the most frequent, "
        f"'{record.labels[order[-1]]}', has "
        f"{counts[order[-1]]}.",
    )


def _confidence(record: RunRecord) -> Question | None:
    right, n = _right(record)
    if not n or record.confidence is None:
        return None
    low, high = wilson_interval(right, n)
    if low <= record.confidence <= high:  # chance alone explains such a difference
        return None
    over = record.confidence > high
    names = ["Too sure of itself", "Not sure enough"]
    return chosen(
        "run-confidence",
        f"Your model gets {100 * right / n:.1f} % of the validation {record.noun} right, and gives its "
        "answers a probability "
        f"of {100 * record.confidence:.1f} % on average. What is it?",
        names[0 if over else 1],
        [names[1 if over else 0], "As sure as it should be"],
        f"The interval of its accuracy, {100 * low:.1f} to {100 * high:.1f} %, does not reach what it says "
        "of itself. "
        "Calibration, which an exported bundle has, mends that.",
        2,
    )


def _right(record: RunRecord) -> tuple[int, int]:
    """Items that are right, and all."""
    right = sum(n for actual, predicted, n in record.cells if actual == predicted)
    return right, sum(n for *_, n in record.cells)


def _pairs(counts: Sequence[Sequence[int]]) -> list[tuple[tuple[int, int], int]]:
    """Pairs of classes with how often they were confused, both ways; most often first."""
    c = len(counts)
    pairs = [((a, b), counts[a][b] + counts[b][a]) for a in range(c) for b in range(a + 1, c)]
    return sorted(pairs, key=lambda each: -each[1]) if sum(n for _, n in pairs) else []


def _pair(record: RunRecord, pair: tuple[int, int]) -> str:
    return " and ".join(f"'{record.labels[i]}'" for i in pair)


def _only_largest(values: Sequence[int]) -> int | None:
    """Where the largest number stands; None where there are several, or it is 0."""
    if not values or max(values) == 0 or list(values).count(max(values)) > 1:
        return None
    return list(values).index(max(values))


CLASS_QUESTIONS: tuple[Callable[[RunRecord], Question | None], ...] = (
    _n_valid,
    _accuracy,
    _interval,
    _baseline,
    _most_confused,
    _direction,
    _hardest,
    _share_of_errors,
    _rarest,
    _confidence,
)
