"""Learning-rate search: raise the rate from tiny to huge over one short run, watch the loss, suggest a rate.

In: a learner. Out: suggestions and a plot; weights, optimizer, random generators and the loader's place are
put back bit by bit. The method is from Smith, "Cyclical Learning Rates", arXiv:1506.01186, section 3.3. Read
next: `optim/schedule.py`.
"""

from __future__ import annotations

import copy
import math
import random
from bisect import bisect_left
from collections import namedtuple
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from wiggly.errors import ArgumentError, TrainingError
from wiggly.records import State
from wiggly.train.callback import Callback, CancelEpoch, CancelFit
from wiggly.train.history import Smoother
from wiggly.train.optim.shapes import Schedule, exponential
from wiggly.train.progress import Progress

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wiggly.train.loop import Loop

__all__ = ["SuggestFunction", "find_lr", "minimum", "plot_lr_find", "slide", "steep", "usable", "valley"]

SuggestFunction = Callable[[Sequence[float], Sequence[float]], float]
# The search stops where the smoothed loss is this many times its lowest.
DIVERGED = 4.0
# Points needed to tell a falling loss from noise.
FEWEST_POINTS = 5


def valley(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The rate in the middle of the longest stretch over which the loss falls.

    That stretch is the longest decreasing subsequence, found by patience sorting in O(n log n) (Fredman,
    Discrete Mathematics 11, 1975).

    Args:
        lrs: Rates, ascending.
        losses: Smoothed loss at each.

    Example:
        >>> valley([1e-5, 1e-4, 1e-3, 1e-2, 1e-1], [2.0, 2.1, 1.5, 1.0, 3.0])
        0.001
    """
    members = longest_decrease(losses)
    return lrs[members[len(members) // 2]]


def longest_decrease(values: Sequence[float]) -> list[int]:
    """Positions of the longest strictly decreasing subsequence.

    Example:
        >>> longest_decrease([3.0, 5.0, 2.0, 4.0, 1.0])
        [1, 3, 4]
    """
    lowest: list[
        float
    ] = []  # of all decreasing runs of length k + 1, the highest last value, negated so that it ascends
    last: list[int] = []  # and where it stands
    before: list[int] = []
    for position, value in enumerate(values):
        k = bisect_left(lowest, -value)
        lowest[k : k + 1] = [-value]
        last[k : k + 1] = [position]
        before.append(last[k - 1] if k else -1)
    members = [last[-1]]
    while before[members[-1]] >= 0:
        members.append(before[members[-1]])
    return members[::-1]


def slide(lrs: Sequence[float], losses: Sequence[float], width: int = 15, threshold: float = 0.005) -> float:
    """The highest rate below which the slope of the loss has settled.

    An interval of `width` steps slides down from the highest rates; it stops once the slopes at its ends
    differ by no more than `threshold`. The rate at its lower end is the last one whose slope still differed.

    Args:
        lrs: Rates, ascending.
        losses: Smoothed loss at each.
        width: Steps between the ends.
        threshold: Difference in slope (loss per step) that counts as settled.
    """
    slopes = np.gradient(np.asarray(losses, dtype=np.float64))
    found = low = max(len(losses) - 1 - width, 0)
    high = len(losses) - 1
    while low >= 0 and abs(slopes[high] - slopes[low]) > threshold:
        found = low
        low, high = low - 1, high - 1
    return lrs[found]


def steep(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """The rate where the loss falls fastest, on a log scale of rates.

    Args:
        lrs: Rates, ascending.
        losses: Smoothed loss at each.

    Example:
        >>> steep([1e-3, 1e-2, 1e-1], [2.0, 1.9, 1.0])
        0.01
    """
    slopes = np.diff(losses) / np.diff(np.log(lrs))
    return lrs[int(slopes.argmin())]


def minimum(lrs: Sequence[float], losses: Sequence[float]) -> float:
    """A tenth of the rate with the lowest loss: at the minimum itself training is about to diverge.

    Args:
        lrs: Rates, ascending.
        losses: Smoothed loss at each.

    Example:
        >>> minimum([1e-3, 1e-2, 1e-1], [2.0, 1.0, 4.0])
        0.001
    """
    return lrs[int(np.argmin(losses))] / 10


class _Search(Callback):
    """Raises the rate step by step and keeps the smoothed loss; ends the run when done or diverged."""

    order = -20

    def __init__(self, rate: Schedule, n_steps: int, stop_div: bool) -> None:
        self.rate, self.n_steps, self.stop_div = rate, n_steps, stop_div
        self.lrs: list[float] = []
        self.losses: list[float] = []
        self.diverged_at = math.nan
        self._smoother = Smoother()

    def before_batch(self, state: State) -> None:
        done = len(self.lrs)
        state.lrs = [self.rate(done / max(self.n_steps - 1, 1))] * self.learner.opt.n_groups
        self.learner.opt.set_lrs(state.lrs)

    def after_loss(self, state: State) -> None:
        loss = float(state.loss.detach())
        if not math.isfinite(loss):
            self.diverged_at = state.lrs[-1]
            raise CancelFit
        smooth = self._smoother.add(loss)
        self.lrs.append(state.lrs[-1])
        self.losses.append(smooth)
        if self.stop_div and smooth > DIVERGED * min(self.losses):
            self.diverged_at = state.lrs[-1]
            raise CancelFit

    def after_batch(self, state: State) -> None:
        if len(self.lrs) >= self.n_steps:
            raise CancelFit

    def before_validate(self, state: State) -> None:
        raise CancelEpoch


@contextmanager
def put_back(learner: Loop) -> Generator[None]:
    """Puts weights, optimizer, random generators and the loader's place back, whatever happens."""
    model, dl = learner.model, learner.dls.train
    learner.engine.prepare(model)  # first: moving a model to its device makes new buffers
    saved = [(t, t.detach().clone()) for t in (*model.parameters(), *model.buffers())]
    modes = [(module, module.training) for module in model.modules()]
    optimizer = copy.deepcopy(learner.opt.state_dict())
    generators = random.getstate(), np.random.get_state(), torch.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    epoch = getattr(dl, "epoch", None)
    try:
        yield
    finally:
        with torch.no_grad():
            for tensor, value in saved:
                tensor.copy_(value)
        for module, training in modes:
            module.training = training
        learner.opt.load_state_dict(optimizer)
        learner.opt.zero_grad()
        random.setstate(generators[0])
        np.random.set_state(generators[1])
        torch.set_rng_state(generators[2])
        if cuda:
            torch.cuda.set_rng_state_all(cuda)
        if epoch is not None:
            dl.epoch = epoch


def find_lr(
    learner: Loop,
    start_lr: float,
    end_lr: float,
    num_it: int,
    stop_div: bool,
    show_plot: bool,
    suggest_funcs: SuggestFunction | Sequence[SuggestFunction],
) -> Any:
    """The search behind `Learner.lr_find`; see there."""
    if not (0 < start_lr < end_lr) or num_it < FEWEST_POINTS:
        raise ArgumentError(
            f"`lr_find` needs 0 < start_lr < end_lr and num_it of at least {FEWEST_POINTS}",
            f"got start_lr={start_lr}, end_lr={end_lr}, num_it={num_it}",
            "Leave them out to search from 1e-7 to 10 in 100 steps.",
        )
    functions = [suggest_funcs] if callable(suggest_funcs) else list(suggest_funcs)
    search = _Search(exponential(start_lr, end_lr), num_it, stop_div)
    n_epochs = math.ceil(num_it / max(len(learner.dls.train), 1))
    callbacks: list[Callback] = [search, Progress(num_it), *(cb for cb in learner.cbs if cb.in_lr_find)]
    with put_back(learner):
        learner.opt.set_wd(learner.wd)
        learner.run(n_epochs, callbacks)
    lrs, losses = _usable(search, num_it)
    names = [str(getattr(f, "__name__", type(f).__name__)) for f in functions]
    suggestions = dict(zip(names, (float(f(lrs, losses)) for f in functions), strict=True))
    record = {"lrs": search.lrs, "losses": search.losses, "n_steps": num_it, "suggestions": suggestions}
    learner.recorder.lr_search = record
    if show_plot:
        plot_lr_find(search.lrs, search.losses, suggestions)
    kind = namedtuple("SuggestedLRs", names)  # pyright: ignore[reportUntypedNamedTuple]  (names are the user's)
    return kind(*suggestions.values())


def usable(n: int, n_steps: int, diverged: bool) -> slice:
    """The part of a search that rules read: without the start, where nothing moves yet, and the end, where it
    diverges, if enough is left.

    Args:
        n: Steps that were taken.
        n_steps: Steps that were asked for.
        diverged: Whether the last of them ran away.

    Example:
        >>> usable(80, 100, diverged=True)
        slice(10, 75, None)
    """
    if n - 5 - n_steps // 10 < FEWEST_POINTS:
        return slice(0, n - diverged)
    return slice(n_steps // 10, n - 5)


def _usable(search: _Search, num_it: int) -> tuple[list[float], list[float]]:
    """Rates and losses that rules read.

    Raises:
        TrainingError: Training diverged before there was anything to see.
    """
    steps = len(search.lrs)
    kept = usable(steps, num_it, not math.isnan(search.diverged_at))
    if kept.stop - kept.start < FEWEST_POINTS:
        raise TrainingError(
            "`lr_find` must see a few steps before the loss diverges",
            f"it diverged after {steps} at a learning rate of {search.diverged_at:.2g}",
            "Start lower (e.g. start_lr=1e-10), and check that inputs and targets hold no NaN.",
        )
    return search.lrs[kept], search.losses[kept]


def plot_lr_find(
    lrs: Sequence[float], losses: Sequence[float], suggestions: dict[str, float], axes: Axes | None = None
) -> Axes:
    """Draws the loss over the rate, with the suggestions marked.

    Args:
        lrs: Rates, ascending.
        losses: Smoothed loss at each.
        suggestions: Name to rate.
        axes: Where to draw; None makes a figure.

    Returns:
        The axes drawn on.
    """
    if axes is None:
        import matplotlib.pyplot as plt

        _, axes = plt.subplots()
    axes.plot(lrs, losses)
    for number, (name, rate) in enumerate(suggestions.items()):
        loss = float(np.interp(math.log(rate), np.log(lrs), losses))
        axes.plot(rate, loss, "o", color=f"C{number + 1}", label=f"{name}: {rate:.1e}")
    # The last points shoot up; an axis that held them would flatten everything else.
    low, high = min(losses), max(losses[: max(len(losses) * 9 // 10, 1)])
    axes.set_ylim(low - 0.1 * (high - low) - 1e-6, high + 0.2 * (high - low) + 1e-6)
    axes.set_xscale("log")
    axes.set_xlabel("learning rate")
    axes.set_ylabel("loss")
    axes.legend()
    return axes
