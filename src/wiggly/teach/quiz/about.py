"""Questions about your own run: each answer is read from its record; what it does not say is not asked.

In: `RunRecord`. Out: questions of lesson 0. Read next: `about_classes.py`, those about right and wrong
answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from math import log
from typing import TYPE_CHECKING

from wiggly.interpret.record import Fit, RunRecord
from wiggly.teach.quiz.about_classes import CLASS_QUESTIONS
from wiggly.teach.quiz.question import Question
from wiggly.teach.quiz.wording import chosen, nth, rate, typed

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["questions_about", "questions_of"]

RISE = 1.05  # of the validation loss above its lowest: less is noise
FALL = 0.95  # of the training loss in the same epochs
APART = 0.02  # share by which two losses differ before one is called the higher
BETTER = {"accuracy": max, "error_rate": min}  # metrics whose direction is known
KNOWN_SHAPES = ("one_cycle", "flat", "flat_cos")  # whose highest rate is what was asked for


def questions_about(record: RunRecord) -> list[Question]:
    """All questions that a record supports.

    Args:
        record: Of a run.

    Returns:
        The questions, those about the course of training first.

    Example:
        >>> rows = [{"train_loss": t, "valid_loss": v} for t, v in [(2.0, 1.9), (1.5, 1.4), (1.1, 1.2)]]
        >>> [question.id for question in questions_about(RunRecord((Fit(tuple(rows)),)))]
        ['run-best-epoch', 'run-still-falling', 'run-higher-loss']
    """
    makers: tuple[Callable[[RunRecord], Question | None], ...] = (
        _best_epoch,
        _overfitting,
        _still_falling,
        _higher_loss,
        _best_metric,
        _first_trained,
        _highest_rate,
        _steepest_rate,
        *CLASS_QUESTIONS,
    )
    return [question for question in (make(record) for make in makers) if question is not None]


def questions_of(learn: Learner) -> list[Question]:
    """All questions that a learner's history and predictions support."""
    from wiggly.interpret.record import run_record

    return questions_about(run_record(learn))


def _losses(record: RunRecord, fewest: int) -> tuple[list[float], list[float]] | None:
    """Training and validation losses of the last fit, if it has that many epochs and all of them."""
    last = record.fits[-1] if record.fits else Fit(())
    train, valid = last.column("train_loss"), last.column("valid_loss")
    return (train, valid) if min(len(train), len(valid)) >= fewest else None


def _only(values: Sequence[float], best: float) -> int | None:
    """Where the best of some numbers stands; None where it stands twice."""
    return values.index(best) if list(values).count(best) == 1 else None


def _best_epoch(record: RunRecord) -> Question | None:
    losses = _losses(record, 3)
    best = None if losses is None else _only(losses[1], min(losses[1]))
    if losses is None or best is None:
        return None
    told = ", ".join(f"{loss:.4g}" for loss in losses[1])
    return typed(
        "run-best-epoch",
        "In which epoch of the last fit was the validation loss lowest? Epochs are counted from 0.",
        best,
        f"The validation losses were {told}: the lowest is that of epoch {best}.",
    )


def _overfitting(record: RunRecord) -> Question | None:
    losses = _losses(record, 4)
    if losses is None:
        return None
    train, valid = losses
    best, end = _only(valid, min(valid)), len(valid) - 1
    if best is None or end - best < 2:
        return None
    if valid[end] < RISE * valid[best] or train[end] > FALL * train[best]:
        return None
    return chosen(
        "run-overfitting",
        f"From epoch {best} to epoch {end} of your last fit the training loss fell from {train[best]:.4g} to "
        f"{train[end]:.4g}, and the validation loss went from its lowest, {valid[best]:.4g}, up to "
        f"{valid[end]:.4g}. What is this?",
        "Overfitting: training items are learnt by heart",
        [
            "Underfitting: the model has too few parameters",
            "Divergence: the learning rate is too high",
            "Leakage: validation items were trained on",
        ],
        f"It still got better at what it saw again and again, and worse at what it had not seen. Epoch "
        f"{best} was "
        "its best; fewer epochs, more data or stronger augmentation help.",
        2,
    )


def _still_falling(record: RunRecord) -> Question | None:
    losses = _losses(record, 3)
    if losses is None:
        return None
    train, valid = losses
    end = len(valid) - 1
    if _only(valid, min(valid)) != end or _only(train, min(train)) != end:
        return None
    return chosen(
        "run-still-falling",
        f"In your last fit the training loss ended at {train[end]:.4g} and the validation loss at "
        f"{valid[end]:.4g}, "
        "each the lowest of all epochs. What does that show?",
        "No overfitting up to the last epoch",
        [
            f"Overfitting from epoch {max(end // 2, 1)} on",
            "A learning rate that is far too high",
            "Too many epochs, at least by one",
        ],
        "While the validation loss falls, what is learnt holds for items the model has not seen. Whether "
        "more "
        "epochs would help still, only more epochs tell.",
        2,
    )


def _higher_loss(record: RunRecord) -> Question | None:
    losses = _losses(record, 1)
    if losses is None:
        return None
    train, valid = losses[0][-1], losses[1][-1]
    if abs(train - valid) <= APART * max(abs(train), abs(valid)):
        return None
    names = ["The training loss", "The validation loss"]
    right = names.pop(0 if train > valid else 1)
    return chosen(
        "run-higher-loss",
        "Which loss was higher at the end of your last fit?",
        right,
        [*names, "They were equal to within a hundredth"],
        f"The training loss was {train:.4g}, the validation loss {valid:.4g}. The training loss is a mean "
        "over "
        "steps, with augmentation and dropout on; the validation loss is of items not learnt from.",
    )


def _best_metric(record: RunRecord) -> Question | None:
    last = record.fits[-1] if record.fits else Fit(())
    for name, pick in BETTER.items():
        values = last.column(name)
        if len(values) < 3:
            continue
        best = _only(values, pick(values))
        if best is None:
            continue
        told = ", ".join(f"{value:.4g}" for value in values)
        return typed(
            "run-best-metric",
            f"In which epoch of the last fit was `{name}` best? Epochs are counted from 0.",
            best,
            f"They were {told}: the {'highest' if pick is max else 'lowest'} is that of epoch {best}.",
        )
    return None


def _first_trained(record: RunRecord) -> Question | None:
    if len(record.fits) < 2:
        return None
    first, last = record.fits[0].trained, record.fits[-1].trained
    if (first, last) != ("head", "all"):
        return None
    return chosen(
        "run-first-trained",
        "Your run has several fits. What did the first of them train?",
        "The head alone",
        ["The body alone", "Body and head", "The input's normalisation"],
        "The new head was fitted while the body was frozen; the last fit then trained all layers.",
    )


def _highest_rate(record: RunRecord) -> Question | None:
    last = record.fits[-1] if record.fits else Fit(())
    if not last.lr or last.schedule not in KNOWN_SHAPES or max(last.lr) <= 0:
        return None
    highest = max(last.lr)
    return chosen(
        "run-highest-rate",
        "What was the highest learning rate of your last fit?",
        rate(highest),
        [rate(highest * factor) for factor in (100, 10, 0.1)],
        f"It is {rate(highest)}"
        + (f"; the first layers had {rate(min(last.lr))}." if min(last.lr) < highest else " for all layers."),
    )


def _steepest_rate(record: RunRecord) -> Question | None:
    lrs, losses = record.lrs, record.lr_losses
    if len(lrs) < 10 or len(lrs) != len(losses) or any(b <= a for a, b in pairwise(lrs)):
        return None
    slopes = [
        (losses[i + 1] - losses[i]) / log(lrs[i + 1] / lrs[i]) for i in range(len(lrs) - 1)
    ]  # on a log scale of rates, as `steep` has it
    at = _only(slopes, min(slopes))
    if at is None or slopes[at] >= 0:
        return None
    others = [value for value in _spread(lrs) if not 1 / 4 < value / lrs[at] < 4]
    if len(others) < 2:
        return None
    return chosen(
        "run-steepest-rate",
        f"Your `lr_find` tried rates from {rate(lrs[0])} to {rate(lrs[-1])}. At which of these did the loss "
        "fall fastest?",
        rate(lrs[at]),
        [rate(value) for value in others[:: max(1, len(others) // 3)][:3]],
        f"The smoothed loss fell fastest, by factor of the rate, at {rate(lrs[at])}: it was "
        f"{losses[at]:.4g} there, "
        f"{nth(at + 1)} of {len(lrs)} rates.",
        2,
    )


def _spread(lrs: Sequence[float]) -> list[float]:
    """Rates that were tried, a factor of four or more apart."""
    found: list[float] = []
    for value in lrs:
        if not found or value >= 4 * found[-1]:
            found.append(value)
    return found
