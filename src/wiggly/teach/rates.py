"""The learning-rate finder: a mock training whose rate rises from tiny to huge, on a toy and on your record.

In: nothing, or a learner whose `lr_find` has run. Out: the loss at every rate, smoothed, and what the four
rules suggest. The page computes the same (`web/widgets/src/core/rates.ts`). Read next: `training_step.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from wiggly.teach.explorable import Explorable
from wiggly.teach.network import Network, backward, forward, sgd, toy_network, toy_pictures
from wiggly.train.history import Smoother
from wiggly.train.learner import Learner
from wiggly.train.lr_find import DIVERGED, minimum, slide, steep, usable, valley
from wiggly.train.optim.shapes import exponential

__all__ = ["Search", "learning_rate_finder", "search", "suggestions", "toy_batch", "train"]

RULES = (valley, slide, steep, minimum)
HIDDEN, BATCH, PICTURES, NOISE = 8, 12, 120, 0.5  # of the toy


@dataclass(frozen=True)
class Search:
    """What a mock training saw.

    Attributes:
        rates: Learning rate of each step.
        losses: Loss of each step's batch.
        smooth: Their moving average, which the rules read.
        n_steps: Steps it would have taken had the loss not run away.
    """

    rates: list[float]
    losses: list[float]
    smooth: list[float]
    n_steps: int


def toy_batch(step: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of a step of the toy's training: twelve after twelve, then from the start again."""
    x, labels = toy_pictures(PICTURES, NOISE)
    rows = (step * BATCH + np.arange(BATCH)) % PICTURES
    return x[rows], labels[rows]


def _step(network: Network, number: int, rate: float) -> tuple[Network, float]:
    x, labels = toy_batch(number)
    made = forward(network, x, labels)
    return sgd(network, backward(network, x, labels, made).weights, rate), made.loss


def search(start: float = 1e-3, end: float = 100.0, n_steps: int = 150) -> Search:
    """Trains the toy with a rate that grows by the same factor at every step, until the loss runs away.

    Args:
        start: Rate of the first step.
        end: Rate of the last.
        n_steps: Steps at most; at least 2.

    Example:
        >>> found = search()
        >>> found.rates[0], len(found.rates) < found.n_steps
        (0.001, True)
    """
    network, smoother, rate = toy_network(HIDDEN), Smoother(), exponential(start, end)
    rates: list[float] = []
    losses: list[float] = []
    smooth: list[float] = []
    for step in range(n_steps):
        rates.append(rate(step / (n_steps - 1)))
        network, loss = _step(network, step, rates[-1])
        losses.append(loss)
        smooth.append(smoother.add(loss))
        if smooth[-1] > DIVERGED * min(smooth):
            break
    return Search(rates, losses, smooth, n_steps)


def suggestions(rates: list[float], smooth: list[float], n_steps: int) -> dict[str, float]:
    """What wiggly's four rules read off a search.

    Args:
        rates: Learning rate of each step.
        smooth: Smoothed loss of each.
        n_steps: Steps that were asked for.

    Example:
        >>> found = search()
        >>> list(suggestions(found.rates, found.smooth, found.n_steps))
        ['valley', 'slide', 'steep', 'minimum']
    """
    kept = usable(len(rates), n_steps, diverged=len(rates) < n_steps)
    return {rule.__name__: float(rule(rates[kept], smooth[kept])) for rule in RULES}


def train(rate: float, n_steps: int = 60) -> list[float]:
    """The toy trained anew at one rate: the loss of each step, then of one more batch.

    Args:
        rate: Learning rate.
        n_steps: Steps.

    Example:
        >>> losses = train(0.3)
        >>> losses[-1] < 0.5 * losses[0]
        True
    """
    network = toy_network(HIDDEN)
    losses: list[float] = []
    for step in range(n_steps + 1):
        network, loss = _step(network, step, rate)
        losses.append(loss)
    return losses


def learning_rate_finder(learn: Learner | None = None) -> Explorable:
    """The explorable: watch the rate rise, read a rate off the curve, and train with it.

    Args:
        learn: Shows the record of this learner's last `lr_find`; runs one if there is none, which leaves the
            learner as it was.

    Example:
        >>> learning_rate_finder()
        Learning rate finder: an explorable. ...
    """
    code = (search, suggestions, *RULES)
    if learn is None:
        return Explorable("learning-rate-finder", code=code)
    if learn.recorder.lr_search is None:
        with learn.no_bar():
            learn.lr_find(show_plot=False)
    record: dict[str, Any] = learn.recorder.lr_search or {}
    rates, smooth = record["lrs"], record["losses"]
    n_steps = record.get("n_steps", len(rates))  # searches recorded by earlier versions do not tell
    own = {
        "rates": rates,
        "smooth": smooth,
        "nSteps": n_steps,
        "suggestions": {**suggestions(rates, smooth, n_steps), **record["suggestions"]},
    }
    return Explorable("learning-rate-finder", {"own": own}, code)
