"""Simpler models of the same table, to be seen beside the score: the constant answer, a linear model, trees.

In: a learner of a table. Out: `Baseline`, one each, fitted to its training rows and scored on the others.
Read next: `gather.py`.
"""

from __future__ import annotations

import time
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from wiggly.interpret.tables.facts import Baseline
from wiggly.interpret.tables.rows import TableRows, score_name

if TYPE_CHECKING:
    from wiggly.train.learner import Learner

__all__ = ["baselines_of"]

MOST_ROWS = 100_000  # to learn from: more change the score little and take minutes
MOST_CODES = 255  # of a category, that scikit-learn's trees take as one
FOLDS, FEWEST = 5, 50  # and rows at least, where they learn from the rows that are scored
ROUNDS = 300  # of the linear model's solver


def baselines_of(learn: Learner) -> list[Baseline]:
    """The constant answer, a linear model, and scikit-learn's gradient boosting at its defaults.

    They see what the network sees: the encoded columns of the same training rows. Where there are none, as
    all rows are new, they learn from four fifths of these to answer the last one, in turn: a harder opponent.

    Args:
        learn: A learner of a table with one target of one label or one number; of others there is none.
    """
    name = score_name(learn)
    if name == "loss" or (
        name == "RMSE" and learn.target_block is not None and learn.target_block.n_out != 1
    ):
        return []
    alone = not len(learn.dls.train_ds)
    valid = TableRows.of(learn, 1)
    train = valid if alone else TableRows.of(learn, 0, max_rows=MOST_ROWS)
    y, truth = (rows.targets[0].flatten().numpy() for rows in (train, valid))

    def scored(predicted: Any) -> float:
        if name == "error rate":
            return float((predicted != truth).mean())
        return float(np.sqrt(np.mean((predicted - truth) ** 2)))

    constant = np.bincount(y).argmax() if name == "error rate" else y.mean()
    label = "always the most frequent label" if name == "error rate" else "always the mean"
    found = [Baseline(label, scored(np.full(len(truth), constant)))]
    if (name == "error rate" and len(np.unique(y)) < 2) or (alone and len(y) < FEWEST):
        return found
    for title, model in _models(train, name):
        start = time.perf_counter()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a solver that has not ended: what it has is scored
            if alone:
                predicted = _in_turn(model, _matrix(valid), y)
            else:
                predicted = model.fit(_matrix(train), y).predict(_matrix(valid))
        found.append(Baseline(title, scored(predicted), time.perf_counter() - start))
    return found


def _in_turn(model: Any, rows: Any, y: Any) -> Any:
    """For each row the answer of a model that has learnt from four fifths of the others."""
    from sklearn.model_selection import KFold, cross_val_predict

    return cross_val_predict(model, rows, y, cv=KFold(FOLDS, shuffle=True, random_state=0))


def _matrix(rows: TableRows) -> Any:
    return np.concatenate([rows.cats.numpy().astype(np.float64), rows.conts.numpy()], axis=1)


def _few(rows: TableRows) -> list[int]:
    """The categories with so few values that scikit-learn's trees take them as such."""
    return [i for i, c in enumerate(rows.encoder.categories) if len(c.vocab) <= MOST_CODES]


def _models(rows: TableRows, name: str) -> list[tuple[str, Any]]:
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    settings: Any = {"categorical_features": _few(rows), "random_state": 0}
    k, m = rows.cats.shape[1], rows.conts.shape[1]
    columns = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore", min_frequency=2), list(range(k))),
        (StandardScaler(), list(range(k, k + m))),
    )
    if name == "error rate":
        linear: Any = LogisticRegression(max_iter=ROUNDS)
        trees: Any = HistGradientBoostingClassifier(**settings)
        title = "logistic regression"
    else:
        linear, trees = Ridge(), HistGradientBoostingRegressor(**settings)
        title = "linear regression"
    return [(title, make_pipeline(columns, linear)), ("gradient boosting", trees)]
