"""The report's page for a detector, section by section.

In: `BoxFacts`. Out: `Html`, a whole page. Read next: `sections.py`, the page for categories, with which it
shares what both have.
"""

from __future__ import annotations

import math

from wiggly.interpret.box_gather import BoxFacts, WorstBoxes
from wiggly.interpret.data_check import check_section
from wiggly.interpret.facts import percent
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
)
from wiggly.interpret.numbers import learning_curve
from wiggly.interpret.sections import again, unreadable

__all__ = ["box_page"]


def box_page(facts: BoxFacts) -> Html:
    """The whole report of a detector.

    Args:
        facts: What it says.
    """
    sections = [
        _headline(facts),
        *([section("data", "Data", pairs(facts.data, "Data and split"))] if facts.data else []),
        *([] if facts.check is None else [section("check", "Data check", check_section(facts.check))]),
        section("curve", "Learning curve", learning_curve(facts)),
        section("classes", "Class by class", _classes(facts)),
        section("errors", "Most mistakes", _worst(facts)),
        section("unreadable", "Unreadable files", unreadable(facts)),
        section("model", "Model and training", pairs(facts.model, "Model and training")),
        section("versions", "Versions", pairs(facts.versions, "Versions")),
        section("again", "How to do it again", again(facts)),
    ]
    return document(facts.title, sections, facts.versions.get("wiggly", ""))


def _headline(facts: BoxFacts) -> Html:
    where = f"{facts.n_boxes:,} boxes in {facts.n:,} validation {facts.noun}"
    figure = element("b", None, f"AP50 {_share(facts.ap50)}")
    parts = [paragraph(figure, f", AP {_share(facts.ap)}, over {where}.", kind="score")]
    if facts.baseline is not None:
        better = facts.ap50 > facts.baseline
        said = "Better than that." if better else "Not better than that."
        constant = (
            f" The mean training box of every class, said everywhere, gets AP50 {_share(facts.baseline)}. "
        )
        verdict = element("b", {"class": "yes" if better else "no"}, said)
        parts.append(paragraph(constant, verdict, kind="verdict"))
    shown = (
        f"Of the boxes with a score of at least {facts.min_score:g}, {percent(facts.precision)} are right; "
        f"they find {percent(facts.recall)} of the true ones, at an overlap of 0.5."
    )
    scope = (
        "AP50: average precision, as COCO counts it, of boxes that overlap a true one of their class by at "
        "least half; AP: the mean over overlaps from 0.50 to 0.95. No interval is given: with few boxes of a "
        "class these numbers move by several points from one split to another."
    )
    parts += [paragraph(shown), paragraph(scope, kind="soft")]
    subtitle = paragraph(facts.subtitle, kind="soft")
    return join([element("h1", None, facts.title), subtitle, element("div", {"class": "lead"}, *parts)])


def _share(value: float) -> str:
    return "–" if math.isnan(value) else percent(value)


def _classes(facts: BoxFacts) -> Html:
    rows = [
        [clip(each.label), f"{each.n:,}", *map(_share, (each.ap50, each.ap, each.precision, each.recall))]
        for each in facts.classes
    ]
    head = ["Class", "Boxes", "AP50", "AP", "Precision", "Recall"]
    caption = f"Precision and recall of boxes with a score of at least {facts.min_score:g}. Hardest first."
    return long_table(head, rows, caption, numeric=(1, 2, 3, 4, 5))


def _worst(facts: BoxFacts) -> Html:
    if not facts.worst:
        return paragraph(f"No box is missed, and none is false, in the validation {facts.noun}.")
    intro = (
        f"The {len(facts.worst)} with the most boxes missed or false: true boxes in dashed green. A true box "
        "that nobody drew shows up here first."
    )
    gallery = element("ul", {"class": "gallery"}, *(_one(item) for item in facts.worst))
    return join([paragraph(intro), gallery])


def _one(item: WorstBoxes) -> Html:
    name = clip(item.name, 50)
    picture = element("div", {"class": "none"}, "no picture")
    if item.picture:
        picture = element("img", {"src": item.picture, "alt": f"True and found boxes in {name}"})
    said = [f"{item.missed} missed, {item.false} false", element("br")]
    return element("li", None, picture, paragraph(*said, element("span", {"class": "soft"}, name)))
