"""The report's page for a model of masks, section by section.

In: `MaskFacts`. Out: `Html`, a whole page. Read next: `sections.py`, the page for categories, with which it
shares what both have.
"""

from __future__ import annotations

import numpy as np

from wiggly.interpret.confusion import confused_pairs
from wiggly.interpret.data_check import check_section
from wiggly.interpret.facts import percent, span
from wiggly.interpret.markup import (
    Html,
    clip,
    document,
    element,
    join,
    long_table,
    pairs,
    paragraph,
    section,
    table,
)
from wiggly.interpret.mask_gather import MaskFacts, WorstMask
from wiggly.interpret.numbers import learning_curve
from wiggly.interpret.sections import again, unreadable
from wiggly.vision.drawing import class_colours

__all__ = ["mask_page"]

PAIRS_SHOWN = 15


def mask_page(facts: MaskFacts) -> Html:
    """The whole report of a model of masks.

    Args:
        facts: What it says.
    """
    sections = [
        _headline(facts),
        *([section("data", "Data", pairs(facts.data, "Data and split"))] if facts.data else []),
        *([] if facts.check is None else [section("check", "Data check", check_section(facts.check))]),
        section("curve", "Learning curve", learning_curve(facts)),
        section("classes", "Class by class", _classes(facts)),
        section("confusion", "What is taken for what", _confusion(facts)),
        section("errors", "Worst masks", _worst(facts)),
        section("unreadable", "Unreadable files", unreadable(facts)),
        section("model", "Model and training", pairs(facts.model, "Model and training")),
        section("versions", "Versions", pairs(facts.versions, "Versions")),
        section("again", "How to do it again", again(facts)),
    ]
    return document(facts.title, sections, facts.versions.get("wiggly", ""))


def _mean_iou(facts: MaskFacts) -> float:
    return float(np.mean(facts.ious[facts.counted])) if facts.counted else 0.0


def _headline(facts: MaskFacts) -> Html:
    right, overlap = facts.baseline
    usual = clip(facts.labels[facts.majority], 40)
    figure = element("b", None, percent(facts.accuracy))
    reach = f"95 % interval {span(facts.interval)}"
    rest = (
        f" of the pixels of {facts.n:,} validation {facts.noun} right ({reach}), "
        f"mean intersection over union {percent(_mean_iou(facts))}; "
        f"always answering '{usual}' would get {percent(right)} and {percent(overlap)}."
    )
    better = facts.interval[0] > right
    found = "Better than that." if better else "Not shown to be better than that."
    scope = (
        f"The interval covers the luck of drawing these {facts.noun}: whole {facts.noun} were drawn again "
        f"and again. It does not cover {facts.noun} from another source, or neighbouring frames of one "
        "video in both sets."
    )
    if facts.void is not None:
        scope += " Pixels without a label count nowhere."
    verdict = paragraph(element("b", {"class": "yes" if better else "no"}, found), kind="verdict")
    parts = [paragraph(figure, rest, kind="score"), verdict, paragraph(scope, kind="soft")]
    subtitle = paragraph(facts.subtitle, kind="soft")
    return join([element("h1", None, facts.title), subtitle, element("div", {"class": "lead"}, *parts)])


def _classes(facts: MaskFacts) -> Html:
    colours = class_colours(len(facts.labels))
    both, true, said = np.diag(facts.counts), facts.counts.sum(1), facts.counts.sum(0)
    total = max(int(facts.counts.sum()), 1)
    rows: list[list[str]] = []
    for k in sorted(facts.counted, key=lambda k: facts.ious[k]):
        box = {
            "class": "swatch",
            "style": f"color: rgb({', '.join(str(round(255 * part)) for part in colours[k])})",
        }
        name = join([element("span", box, "■ "), clip(facts.labels[k])])
        parts = [both[k] / true[k] if true[k] else None, both[k] / said[k] if said[k] else None]
        shares = ["–" if part is None else percent(float(part)) for part in parts]
        rows.append([name, percent(float(true[k]) / total), percent(float(facts.ious[k])), *shares])
    head = ["Class", "Share of pixels", "IoU", "Recall", "Precision"]
    caption = "IoU: pixels that are and are said to be the class, over those that are either. Hardest first."
    return long_table(head, rows, caption, numeric=(1, 2, 3, 4))


def _confusion(facts: MaskFacts) -> Html:
    mixed = confused_pairs(facts.counts, facts.labels)
    if not mixed:
        return paragraph("Nothing was confused: all pixels are right.")
    actual = dict(zip(facts.labels, facts.counts.sum(1).tolist(), strict=True))
    cells = [
        [clip(true, 40), clip(said, 40), f"{n:,}", percent(n / max(actual[true], 1))]
        for true, said, n in mixed[:PAIRS_SHOWN]
    ]
    part = f" ({len(cells)} of {len(mixed):,})" if len(mixed) > len(cells) else ""
    head = ["Actual", "Predicted as", "Pixels", "Of the class"]
    return table(head, cells, f"Most confused pairs{part}", numeric=(2, 3))


def _worst(facts: MaskFacts) -> Html:
    intro = f"The {len(facts.worst)} with the largest loss: the true mask left, the predicted one right."
    gallery = element("ul", {"class": "gallery"}, *(_one(item) for item in facts.worst))
    return join([paragraph(intro), gallery])


def _one(item: WorstMask) -> Html:
    name = clip(item.name, 50)
    picture = element("div", {"class": "none"}, "no picture")
    if item.picture:
        picture = element("img", {"src": item.picture, "alt": f"True and predicted mask of {name}"})
    end = element("br")
    said = [f"{percent(item.right)} of its pixels right", end, f"Loss {item.loss:.2f}", end]
    return element("li", None, picture, paragraph(*said, element("span", {"class": "soft"}, name)))
