"""From a learner to the facts of its report: of tables, and of whatever predicts numbers or several labels.

In: a trained Learner. Out: `TableFacts`. Read next: `facts.py`.
"""

from __future__ import annotations

import base64
import io
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wiggly.data.blocks import CategoryBlock, MultiCategoryBlock
from wiggly.interpret.gather import below, check_predictions, data_facts, gather, noun_of, root_of
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.tables.baselines import baselines_of
from wiggly.interpret.tables.dependence import partial_dependence
from wiggly.interpret.tables.facts import Baseline, TableFacts
from wiggly.interpret.tables.importance import Importance, permutation_importance
from wiggly.interpret.tables.rows import score_name
from wiggly.interpret.tables.slices import Slices, errors_by_group
from wiggly.interpret.training import architecture, model_facts, phases, snippet, training_loss, versions
from wiggly.tabular.loaders import TabularDataLoaders

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from wiggly.train.learner import Learner

__all__ = ["gather_table"]

WORST = 20
MOST_SLICES = 6  # columns whose groups are told
MOST_CURVES = 4  # columns whose dependence is drawn
SHUFFLES = 3
MOST_ROWS = 5000  # for importance: half a percent of a share is seen
DOTS = 90  # per inch


def gather_table(learn: Learner) -> TableFacts:
    """Read from a learner what its report says; its validation set is predicted once, and again for every
    column that is shuffled.

    Args:
        learn: A learner of a table, or one whose target is numbers or several labels.

    Raises:
        DataError: No validation item could be read.
    """
    is_table = isinstance(learn.dls, TabularDataLoaders)
    found = Interpretation.from_learner(learn)
    check_predictions(found.losses)
    name, recipe, root = score_name(learn), learn.dls.recipe(), "" if is_table else root_of(learn)
    source = f"'{root}'" if root else str(recipe["source"])
    labelled = name == "error rate"
    whole = errors_by_group("", ["all"], _zeros(found), found.row_errors(), name).whole
    importance = permutation_importance(learn, n_repeats=SHUFFLES, max_rows=MOST_ROWS) if is_table else None
    return TableFacts(
        title=_title(learn, is_table),
        subtitle=", trained on ".join(filter(None, [architecture(learn), source])),
        noun="rows" if is_table else noun_of(learn),
        score_name=name,
        score=whole,
        unit=", ".join(getattr(learn.dls, "y_names", [])),
        everything=is_table and not len(learn.dls.train_ds),
        classes=replace(gather(learn), noun="rows") if is_table and labelled else None,
        baselines=baselines_of(learn) if is_table else _constant(learn, found),
        columns=_columns(learn) if is_table else (),
        importance=importance,
        slices=_slices(found, importance),
        reliability=found.calibration() if labelled else None,
        pictures=_pictures(learn, found, importance),
        worst=_worst(found, is_table),
        absent=_absent(learn, is_table),
        notes=list(learn.dls.table.notes) if is_table else (),
        data=data_facts(recipe, source),
        phases=phases(learn),
        training_loss=training_loss(learn),
        bad_items={below(root, item): reason for item, reason in learn.dls.bad_items.items()},
        model=model_facts(learn, recipe),
        versions=versions(learn),
        snippet=snippet(learn, recipe),
        command=getattr(learn, "command", None),
        check=learn.dls.last_check,
    )


def _zeros(found: Interpretation) -> Any:
    import numpy as np

    return np.zeros(len(found), dtype=np.int64)


def _title(learn: Learner, is_table: bool) -> str:
    block = learn.target_block
    names = ", ".join(getattr(learn.dls, "y_names", [])) or "the target"
    if isinstance(block, MultiCategoryBlock):
        return f"Labels, several per item: {block.n_out:,} of them"
    if isinstance(block, CategoryBlock):
        return f"Classifier of {names} ({block.n_out:,} labels)"
    return f"Prediction of {names}" if is_table else "Prediction of numbers"


def _constant(learn: Learner, found: Interpretation) -> list[Baseline]:
    """The mean of the validation targets themselves: a harder opponent than that of training."""
    if score_name(learn) != "RMSE":
        return []
    targets = found.targs.double().reshape(len(found), -1)
    return [Baseline("always the mean", float((targets - targets.mean(0)).square().mean().sqrt()))]


def _columns(learn: Learner) -> list[list[str]]:
    rows: list[list[str]] = []
    for category in learn.dls.table.encoder.categories:
        if category.flag_of is None:
            rows.append([category.name, "category", f"{len(category.vocab) - 1:,} values"])
        else:
            rows.append([category.name, "category", f"whether {category.flag_of} was missing"])
    for number in learn.dls.table.encoder.numbers:
        rows.append(
            [
                number.name,
                number.kind,
                f"mean {_rounded(number.mean)}, standard deviation {_rounded(number.std)}",
            ]
        )
    return rows


def _rounded(value: float) -> str:
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e12 else f"{value:.4g}"


def _slices(found: Interpretation, importance: Importance | None) -> list[Slices]:
    if importance is None:
        return []
    return [found.slices(column) for column in importance.columns[:MOST_SLICES]]


def _picture(axes: Axes) -> str:
    """What was drawn, as a data URI; the figure is closed."""
    import matplotlib.pyplot as plt

    figure: Any = axes.figure
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DOTS)
    plt.close(figure)
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")


def _pictures(learn: Learner, found: Interpretation, importance: Importance | None) -> list[tuple[str, str]]:
    made: list[tuple[str, str]] = []
    if importance is not None:
        made.append(("What the model goes by", _picture(importance.plot())))
        if len(learn.dls.target_blocks) == 1:
            for column in importance.columns[:MOST_CURVES]:
                made.append((f"Dependence on {column}", _picture(partial_dependence(learn, column).plot())))
    if score_name(learn) == "error rate":
        made.append(("Calibration", _picture(found.plot_calibration())))
    return made


def _worst(found: Interpretation, is_table: bool) -> tuple[list[str], list[list[str]]]:
    if is_table:
        table = found.top_table(min(WORST, len(found)))
        rows = [[_text(value) for value in row] for row in table.itertuples(index=False)]
        return list(table.columns), rows
    chosen = found.top_rows(min(WORST, len(found)))
    cells = [
        [found.item_name(row), _text(found.decoded_target(row)), _text(found.decoded_pred(row))]
        for row in chosen
    ]
    losses = [f"{float(found.losses[row]):.4g}" for row in chosen]
    return ["Item", "Actual", "Predicted", "Loss"], [
        [*c, loss] for c, loss in zip(cells, losses, strict=True)
    ]


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.5g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_text, value)) or "none"
    return str(value)


def _absent(learn: Learner, is_table: bool) -> list[str]:
    found: list[str] = []
    block = learn.target_block
    if not is_table:
        found.append("No groups, importance or dependence: these inputs are not columns of a table.")
        found.append("No pictures of the worst items: `Interpretation.plot_top_losses` draws them.")
        found.append("No simpler model beside the score but the constant answer, if that.")
    if block is None:
        found.append("No picture of dependence and no simpler models: there are several targets.")
    if isinstance(block, MultiCategoryBlock):
        found.append("No confusion table, calibration or simpler models: an item may have several labels.")
    elif not isinstance(block, CategoryBlock):
        found.append("No confusion table and no calibration: the target is no label.")
    return found
