"""`tabular_learner`: a Learner over a network that fits a table.

In: `TabularDataLoaders`. Out: a `Learner`, nothing trained yet. Read next: `../train/learner.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.models import TabularModel
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import metric_for

__all__ = ["tabular_learner"]


def tabular_learner(
    dls: TabularDataLoaders,
    layers: Sequence[int] | None = None,
    n_out: int | None = None,
    y_range: tuple[float, float] | None = None,
    metrics: Any = None,
    loss_func: Callable[..., Any] | None = None,
) -> Learner:
    """Make a learner for a table.

    Args:
        dls: Loaders of a table.
        layers: Widths of the hidden layers; None takes 200 and 100.
        n_out: Outputs; None asks the target block.
        y_range: Least and largest prediction of a number.
        metrics: None takes the target block's own.
        loss_func: None asks the target block.
    """
    outputs = n_out or int(dls.c)  # pyright: ignore[reportArgumentType]
    model = TabularModel(dls.embs, len(dls.cont_names), outputs, layers or (200, 100), y_range)
    found = metric_for(dls.target_blocks[0]) if metrics is None else metrics
    return Learner(dls, model, loss_func=loss_func, metrics=found)
