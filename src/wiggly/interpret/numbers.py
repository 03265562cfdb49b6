"""The sections of a report that are made of numbers: data, learning curve, classes, confusion, calibration.

In: `Facts`. Out: the content of each section as `Html`. Read next: `sections.py`, the rest of the page.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from wiggly.interpret.charts import Series, confusion_table, heat_map, line_chart
from wiggly.interpret.facts import Facts, percent, span
from wiggly.interpret.markup import ROWS_SHOWN, Html, clip, element, join, long_table, pairs, paragraph, table
from wiggly.interpret.score import wilson_interval

if TYPE_CHECKING:
    from wiggly.interpret.box_gather import BoxFacts
    from wiggly.interpret.mask_gather import MaskFacts
    from wiggly.interpret.tables.facts import TableFacts

__all__ = ["calibration", "class_table", "confusion", "data", "duration", "learning_curve"]

READABLE_MATRIX = 30  # classes: more columns than this do not fit on a screen
FEW = 30  # items: below, a share is given with its interval
PAIRS_SHOWN = 15
METRICS_DRAWN = 3


def data(facts: Facts) -> Html:
    """Where the items came from, how they were split, how many each class has and what they look like."""
    valid, train = facts.valid_counts, facts.train_counts
    rows: list[list[str]] = []
    for index, label in enumerate(facts.labels):
        alt = f"Training example of {clip(label, 40)}"
        uris = facts.examples.get(index, ())
        pictures = [element("img", {"src": uri, "alt": alt}) for uri in uris]
        known = "unknown" if train is None else f"{train[index]:,}"
        thumbs = element("span", {"class": "thumbs"}, *pictures)
        rows.append([clip(label), known, f"{valid[index]:,}", thumbs][: 4 if facts.examples else 3])
    head = ["Class", "Training", "Validation", "Examples"][: 4 if facts.examples else 3]
    counts = long_table(head, rows, f"{facts.noun.capitalize()} per class", numeric=(1, 2))
    return join([pairs(facts.data, "Data and split"), counts] if facts.data else [counts])


def learning_curve(facts: Facts | MaskFacts | BoxFacts | TableFacts) -> Html:
    """Loss and metrics over the epochs, drawn and as a table."""
    rows = [row for phase in facts.phases for row in phase.rows]
    if not rows:
        return paragraph("No training was recorded: this model was loaded, not trained here.")
    starts: list[tuple[float, str]] = []
    cells: list[list[str]] = []
    columns = list(dict.fromkeys(name for row in rows for name in row))
    for phase in facts.phases:
        starts.append((len(cells), phase.name))
        for row in phase.rows:
            numbers = [_number(name, row[name]) if name in row else "" for name in columns]
            cells.append([str(len(cells) + 1), phase.name, *numbers])

    def line(column: str, name: str) -> Series:
        return Series(name, [(x, row[column]) for x, row in enumerate(rows, 1) if column in row], dots=True)

    train = Series("train", facts.training_loss) if facts.training_loss else line("train_loss", "train")
    charts = [line_chart("Loss", [train, line("valid_loss", "valid")], starts)]
    metrics = [name for name in columns if name not in ("train_loss", "valid_loss", "time")]
    charts += [line_chart(name, [line(name, "valid")], starts) for name in metrics[:METRICS_DRAWN]]
    head, numeric = ["Epoch", "Phase", *columns], (0, *range(2, len(columns) + 2))
    numbers = long_table(head, cells, "Losses and metrics after each epoch", numeric)
    return join([element("div", {"class": "charts"}, *charts), numbers])


def _number(name: str, value: float) -> str:
    return duration(value) if name == "time" else f"{value:.4f}"


def duration(seconds: float) -> str:
    """A time as people say it.

    Example:
        >>> duration(7.31), duration(75)
        ('7.3 s', '1 min 15 s')
    """
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02} s" if minutes else f"{seconds:.1f} s"


def class_table(facts: Facts) -> Html:
    """Recall and precision of every class."""
    counts = facts.counts
    right, actual, predicted = np.diag(counts), counts.sum(axis=1), counts.sum(axis=0)
    order = list(range(len(facts.labels)))
    caption = "Recall: of the class, how many are found. Precision: of those so named, how many are right."
    if len(order) > ROWS_SHOWN:  # classes without validation items come last
        order.sort(key=lambda i: right[i] / actual[i] if actual[i] else 2.0)
        caption += " Hardest classes first."
    rows = [
        [
            clip(facts.labels[i]),
            f"{actual[i]:,}",
            _share(right[i], actual[i], "no items"),
            _share(right[i], predicted[i], "never predicted"),
        ]
        for i in order
    ]
    head = ["Class", "Validation", "Recall", "Precision"]
    parts = [long_table(head, rows, caption, numeric=(1, 2, 3))]
    if min(actual.min(), predicted.min()) < FEW:
        note = f"In brackets the 95 % Wilson interval where there are fewer than {FEW} {facts.noun}."
        parts.append(paragraph(note, kind="soft"))
    return join(parts)


def _share(right: int, n: int, without: str) -> Html:
    if n == 0:
        return element("span", {"class": "reach-text"}, without)
    shown = percent(right / n)
    if n >= FEW:
        return join([shown])
    reach = span(wilson_interval(int(right), int(n)), digits=0)
    return join([shown, " ", element("span", {"class": "reach-text"}, f"({reach})")])


def confusion(facts: Facts) -> Html:
    """The confusion matrix as a table, for many classes as a heat map, and the most confused pairs."""
    many = len(facts.labels) > READABLE_MATRIX
    matrix = _map(facts) if many else confusion_table(facts.counts, facts.labels)
    mixed = _pairs_table(facts)
    return element("div", {"class": "charts"}, mixed, matrix) if many else join([matrix, mixed])


def _map(facts: Facts) -> Html:
    score, c = facts.score, len(facts.labels)
    alt = f"Confusion matrix of {c:,} classes: {score.right:,} of {score.n:,} on the diagonal."
    note = (
        "Rows: actual class, columns: predicted class, both in the order of the vocabulary. "
        "Blue is right, orange is wrong; stronger means a larger share of the class."
    )
    return element("figure", None, heat_map(facts.counts, alt), element("figcaption", None, note))


def _pairs_table(facts: Facts) -> Html:
    wrong = facts.counts.copy()
    np.fill_diagonal(wrong, 0)
    rows, columns = np.nonzero(wrong)
    if len(rows) == 0:
        return paragraph("Nothing was confused: all predictions are right.")
    order: list[int] = np.argsort(-wrong[rows, columns], kind="stable")[:PAIRS_SHOWN].tolist()
    shown = [(int(rows[i]), int(columns[i])) for i in order]
    cells = [
        [clip(facts.labels[row], 40), clip(facts.labels[column], 40), f"{wrong[row, column]:,}"]
        for row, column in shown
    ]
    part = f" ({len(shown)} of {len(rows):,})" if len(rows) > len(shown) else ""
    return table(["Actual", "Predicted as", "Times"], cells, f"Most confused pairs{part}", numeric=(2,))


def calibration(facts: Facts) -> Html:
    """How far the model's confidence can be believed."""
    score = facts.score
    gap = 100 * (facts.confidence - score.accuracy)
    tendency = "as sure as it is right"
    if abs(gap) >= 1:
        tendency = f"{abs(gap):.1f} points {'more' if gap > 0 else 'less'} sure than it is right"
    said = (
        f"On average it is {percent(facts.confidence)} sure and {percent(score.accuracy)} right, so it is "
        f"{tendency}. Expected calibration error {percent(facts.calibration)} "
        f"({facts.calibration_bins} bins, {score.n:,} {facts.noun})."
    )
    source = (
        "Method: Guo et al., On Calibration of Modern Neural Networks, 2017. "
        "Few items per bin make the error look larger than it is."
    )
    return join([paragraph(said), paragraph(source, kind="soft")])
