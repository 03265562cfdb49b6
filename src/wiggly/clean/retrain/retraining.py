"""`retrain`: the same network, trained in the same way, on the data as the edits leave them.

In: a trained learner and a journal of edits. Out: `Retrained`: the new learner, and what changed. Read next:
`edited.py`, `scoring.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from wiggly.clean.retrain.edited import edited_loaders
from wiggly.clean.retrain.retrained import Retrained
from wiggly.clean.retrain.scoring import compared
from wiggly.data.edits.journal import Journal
from wiggly.errors import ArgumentError
from wiggly.train.again import FitCall

__all__ = ["retrain"]


def retrain(
    learn: Any,
    edits: str | Path | Journal,
    epochs: int | None = None,
    lr: float | None = None,
    make: Callable[[Any], Any] | None = None,
) -> Retrained:
    """The work behind `Learner.retrain`; see there."""
    made_by = make if learn.making is None or make is not None else learn.making.again
    if made_by is None:
        raise ArgumentError(
            "`retrain` must know how the learner was made",
            f"this {type(learn).__name__} was made of a finished model",
            "Pass make=lambda dls: Learner(dls, make_model(), ...), with a new model in it.",
        )
    fits = _fits(learn, epochs, lr)
    edited = edited_loaders(learn.dls, edits)
    new = made_by(edited.dls)
    new.metrics, new.show_bar, new.show_table = learn.metrics, learn.show_bar, learn.show_table
    new.path, new.model_dir, new.command = learn.path, learn.model_dir, learn.command
    for fit in fits:
        fit.run(new)
    found = compared(learn, new, edited)
    made = Retrained(new, *found, edited.summary, ", ".join(map(str, fits)))
    print(made)
    return made


def _fits(learn: Any, epochs: int | None, lr: float | None) -> list[FitCall]:
    """How the new learner is trained: as told, else as this one was."""
    if epochs is None and lr is not None:
        raise ArgumentError("`lr` goes with `epochs`", "`epochs` was not given", "Pass both, or neither.")
    if epochs is not None:
        frozen = getattr(learn.model, "pretrained", False)
        name, rate = ("fine_tune", "base_lr") if frozen else ("fit_one_cycle", "lr_max")
        count = "epochs" if frozen else "n_epoch"
        given = {count: epochs} | ({} if lr is None else {rate: lr})
        return [FitCall(name, given, learn.first_unfrozen)]
    if not learn.fit_calls:
        raise ArgumentError(
            "`retrain` must know how long to train",
            "this learner was not trained in this program",
            "Pass epochs=, and lr= if you like.",
        )
    return list(learn.fit_calls)
