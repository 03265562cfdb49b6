"""A bundle on a labelled table: what `wiggly report` scores where the model is one of tables or ratings.

In: a predictor, a file and how it is split. Out: a learner whose validation rows are those to score, encoded
exactly as the bundle says; what is printed of its report. Read next: `../interpret/tables/gather.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import narwhals as nw
import numpy as np

from wiggly.bundle.predictor import Predictor
from wiggly.bundle.rows import RowReader
from wiggly.cli.options import DEFAULT_VALID_PCT, LabelOptions
from wiggly.cli.tables import is_table, refuse_label_options
from wiggly.data.blocks import Block, CategoryBlock, MultiCategoryBlock, RegressionBlock
from wiggly.data.loaders import Recipe
from wiggly.data.split import RandomSplitter
from wiggly.data.summary import describe
from wiggly.errors import ArgumentError
from wiggly.interpret.tables.facts import TableFacts
from wiggly.records import Split
from wiggly.tabular.collab.loaders import CollabDataLoaders
from wiggly.tabular.columns import Kinds
from wiggly.tabular.learner import TabularLearner, table_loss
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.reading import Frame, check_columns
from wiggly.tabular.table import TabularPandas
from wiggly.tabular.targets import Targets
from wiggly.train.metrics.core import metric_for

__all__ = ["other_rows_warning", "said_of", "scored_rows", "summary_of_rows"]


def scored_rows(
    predictor: Predictor, source: Path, options: LabelOptions, everything: bool
) -> TabularLearner:
    """A learner that holds the bundle's model, and the rows to score as its validation part.

    Args:
        predictor: A bundle of tables or ratings.
        source: The table, with the target's column.
        options: Share of the validation rows, and the seed.
        everything: Score all rows, not just those the split leaves for validation.

    Raises:
        ArgumentError: It is no table, or a column is not there.
        LabelError: A target is missing, or none that the model knows.
    """
    if not is_table(source):
        raise ArgumentError(
            "a model of a table is scored on a .csv or .parquet file",
            f"'{source}' is none",
            "Pass the file.",
        )
    refuse_label_options(options)
    reader, targets = cast("RowReader", predictor.reader), _targets(predictor)
    frame = _labelled(reader.frame(source), targets)
    kinds = Kinds(reader.encoder.cat_names, reader.encoder.cont_names, {})
    table = TabularPandas.of_parts(frame, reader.encoder, targets, kinds)
    splitter = RandomSplitter(
        DEFAULT_VALID_PCT if options.valid_pct is None else options.valid_pct, options.seed
    )
    split = Split([], range(len(frame))) if everything else splitter(frame)
    how = "none: every row is scored" if everything else describe(splitter)
    kind = CollabDataLoaders if predictor.manifest.inputs[0].kind == "pairs" else TabularDataLoaders
    sides = (table.dataset(np.asarray(side, dtype=np.int64)) for side in split)
    train, valid = (kind.loader_class(side, reader.batch_size, seed=options.seed) for side in sides)
    dls = kind(train, valid, table, recipe=Recipe(f"'{source}'", how))
    model: Any = predictor.model
    metrics = metric_for(targets.blocks[0]) if len(targets.blocks) == 1 else None
    return TabularLearner(
        dls,
        model,
        loss_func=None if kind is CollabDataLoaders else table_loss(dls, model),
        metrics=metrics,
        model_config=predictor.manifest.model,
    )


def _targets(predictor: Predictor) -> Targets:
    names: list[list[str]] = []
    blocks: list[Block] = []
    for output in cast("tuple[Any, ...]", predictor.manifest.outputs):
        if output.kind == "numbers":
            names.append(list(output.names))
            blocks.append(RegressionBlock(len(output.names)))
        else:
            kind = CategoryBlock if output.kind == "category" else MultiCategoryBlock
            names.append([output.name])
            blocks.append(kind(vocab=output.vocabulary))
            cast("Any", blocks[-1]).sort = False
    return Targets(names, blocks)


def _labelled(frame: Frame, targets: Targets) -> Frame:
    """The table, labels of texts as texts: a column of them may happen to hold but digits."""
    check_columns(frame, targets.columns, "what the model predicts")
    for names, block in zip(targets.names, targets.blocks, strict=True):
        if block.vocab and all(isinstance(label, str) for label in block.vocab):
            frame = frame.with_columns(nw.col(names[0]).cast(nw.String))
    return frame


def said_of(facts: TableFacts) -> str:
    """The score in one honest sentence, in the form of the report."""
    score, rival = facts.score, facts.best_baseline
    told = f"{facts.score_name} {facts.said(score.score)}"
    if facts.score_name == "error rate":
        told = f"{facts.said(1 - score.score)} right, {told}"
    reach = f"95 % interval {facts.reach(score.low, score.high)}"
    beside = f"; {rival.name}: {facts.said(rival.score)}" if rival else ""
    return f"{told} on {score.n:,} {facts.scored} ({reach}{beside})"


def other_rows_warning(predictor: Predictor, facts: TableFacts) -> str | None:
    """What to say when these cannot be the validation rows of the training run, else None."""
    then, score = predictor.manifest.score, facts.score
    if then is None or facts.score_name not in ("error rate", "RMSE"):
        return None
    now = 1 - score.score if then.name == "accuracy" else score.score
    if then.n == score.n and abs(then.value - now) <= 1e-3 * max(1.0, abs(then.value)):
        return None
    value = f"{then.value:.1%} were right" if then.name == "accuracy" else f"the RMSE was {then.value:.4g}"
    return (
        f"in training, of {then.n:,} rows, {value}, so these are other ones. Some may have been trained on, "
        "and the score be too good. Pass the options of training (--seed, ...), or --all for rows that are "
        "all new."
    )


def summary_of_rows(facts: TableFacts, page: Path, warning: str | None) -> dict[str, Any]:
    """The score for a program."""
    score, right = facts.score, facts.score_name == "error rate"
    return {
        "report": str(page),
        "n": score.n,
        "score": {"name": facts.score_name, "value": score.score, "interval": [score.low, score.high]},
        "accuracy": 1 - score.score if right else None,
        "interval": [1 - score.high, 1 - score.low] if right else [score.low, score.high],
        "baselines": {simpler.name: simpler.score for simpler in facts.baselines},
        "warning": warning,
    }
