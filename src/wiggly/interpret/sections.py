"""The report's page, section by section in the order they are read.

In: `Facts`. Out: `Html`, a whole page with its style sheet inside and no reference to anything outside.
Read next: `report.py`, which writes it to disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from wiggly.interpret.data_check import check_section
from wiggly.interpret.facts import Error, Facts, find_warnings, headline, percent, span
from wiggly.interpret.markup import (
    Html,
    clip,
    code,
    document,
    element,
    join,
    pairs,
    paragraph,
    section,
    table,
)
from wiggly.interpret.numbers import calibration, class_table, confusion, data, learning_curve
from wiggly.interpret.record import MARK

if TYPE_CHECKING:
    from wiggly.interpret.box_gather import BoxFacts
    from wiggly.interpret.mask_gather import MaskFacts
    from wiggly.interpret.tables.facts import TableFacts

__all__ = ["again", "page", "unreadable"]

BAD_SHOWN = 50


def page(facts: Facts) -> Html:
    """The whole report.

    Args:
        facts: What it says.

    Returns:
        One HTML page of bounded size: only the tables grow with the number of classes, and they are cut at
        1,000.
    """
    sections = [
        _headline(facts),
        section("data", "Data", data(facts)),
        *([] if facts.check is None else [section("check", "Data check", check_section(facts.check))]),
        section("curve", "Learning curve", learning_curve(facts)),
        section("classes", "Class by class", class_table(facts)),
        section("confusion", "What is taken for what", confusion(facts)),
        section("errors", "Worst errors", _errors(facts)),
        section("calibration", "Can its confidence be believed?", calibration(facts)),
        section("unreadable", "Unreadable files", unreadable(facts)),
        section("warnings", "Read with care", _warnings(facts)),
        section("model", "Model and training", pairs(facts.model, "Model and training")),
        section("versions", "Versions", pairs(facts.versions, "Versions")),
        section("again", "How to do it again", again(facts)),
        *([element("template", {"id": MARK}, facts.record)] if facts.record else []),
    ]
    return document(facts.title, sections, facts.versions.get("wiggly", ""))


def _headline(facts: Facts) -> Html:
    warnings = find_warnings(facts)
    figure, rest = headline(facts).split(" of ", 1)
    scope = (
        f"The interval covers the luck of drawing these {facts.noun}. It does not cover {facts.noun} from "
        "another source, near-duplicates in both sets, or settings that were chosen by this score."
    )
    parts = [
        paragraph(element("b", None, figure), " of ", rest, kind="score"),
        _strip(facts),
        _verdict(facts),
        paragraph(scope, kind="soft"),
    ]
    if warnings:
        link = "1 remark" if len(warnings) == 1 else f"{len(warnings)} remarks"
        parts.append(
            paragraph(element("a", {"href": "#warnings"}, link), " on how to read this.", kind="soft")
        )
    subtitle = paragraph(facts.subtitle, kind="soft")
    return join([element("h1", None, facts.title), subtitle, element("div", {"class": "lead"}, *parts)])


def _verdict(facts: Facts) -> Html:
    score = facts.score
    p = "p < 0.001" if score.p_value < 0.001 else f"p = {score.p_value:.2g}"
    low, high = score.gain_interval
    proof = f"(95 % interval {100 * low:.1f} to {100 * high:.1f}; {p}, exact McNemar test)"
    if score.better:
        found = element("b", {"class": "yes"}, "Better than that by ")
        return paragraph(found, f"{100 * score.gain:.1f} points {proof}.", kind="verdict")
    found = element("b", {"class": "no"}, "Not shown to be better than that: ")
    return paragraph(
        found, f"the difference of {100 * score.gain:.1f} points {proof} may be chance.", kind="verdict"
    )


def _strip(facts: Facts) -> Html:
    """Accuracy with its interval and the constant answer on one line from 0 to 100 %."""
    score = facts.score

    def x(share: float) -> str:
        return f"{30 + 340 * share:.1f}"

    def text(share: float, y: int, said: str) -> Html:
        return element("text", {"x": x(share), "y": y, "text-anchor": "middle"}, said)

    def line(kind: str, low: float, high: float, y1: int = 30, y2: int = 30) -> Html:
        return element("line", {"class": kind, "x1": x(low), "x2": x(high), "y1": y1, "y2": y2})

    parts = [line("track", 0, 1), text(0, 54, "0 %"), text(0.5, 54, "50 %"), text(1, 54, "100 %")]
    parts += [line("reach", *score.interval), line("constant", score.baseline, score.baseline, 22, 38)]
    parts.append(element("circle", {"class": "point", "cx": x(score.accuracy), "cy": 30, "r": 5}))
    if abs(score.gain) > 0.3:  # closer together the two words would overlap
        parts += [text(score.baseline, 14, "no model"), text(score.accuracy, 14, "model")]
    label = (
        f"Accuracy {percent(score.accuracy)}, interval {span(score.interval)}; "
        f"constant answer {percent(score.baseline)}."
    )
    box = {"class": "strip", "viewBox": "0 0 400 60", "role": "img", "aria-label": label}
    return element("svg", box, *parts)


def _errors(facts: Facts) -> Html:
    total, shown = facts.score.n - facts.score.right, len(facts.errors)
    if not shown:
        return paragraph(f"None of the {facts.score.n:,} validation {facts.noun} is predicted wrongly.")
    intro = (
        f"The {shown} with the largest loss, of {total:,}."
        if total > shown
        else f"All {total}, largest loss first."
    )
    advice = (
        " A wrong label shows up here first: look whether some of these are right and their label is not."
    )
    if any(error.heat for error in facts.errors):
        advice += (
            " The second picture shows what spoke for the prediction: from blue to red the more it counted, "
            "dark where it did not count or was not seen (Grad-CAM)."
        )
    gallery = element("ul", {"class": "gallery"}, *(_error(error) for error in facts.errors))
    return join([paragraph(intro, advice), gallery])


def _error(error: Error) -> Html:
    name, actual, predicted = clip(error.name, 50), clip(error.actual, 40), clip(error.predicted, 40)
    picture = element("div", {"class": "none"}, "no picture")
    if error.picture:
        alt = f"{name}: {actual}, predicted as {predicted}"
        picture = element("img", {"src": error.picture, "alt": alt})
    if error.heat:
        heat = element("img", {"src": error.heat, "alt": f"What spoke for {predicted}", "class": "heat"})
        picture = join([picture, heat])
    end = element("br")
    said = ["Predicted ", element("b", None, predicted), end, "Actual ", element("b", None, actual), end]
    said += [f"Probability {percent(error.probability, 0)}", end, f"Loss {error.loss:.2f}", end]
    said.append(element("span", {"class": "soft"}, name))
    return element("li", None, picture, paragraph(*said))


def unreadable(facts: Facts | MaskFacts | BoxFacts | TableFacts) -> Html:
    """The files that were skipped, with the reason."""
    bad = facts.bad_items
    if not bad:
        return paragraph("None: every file could be read.")
    shown = [[clip(name, 120), clip(reason, 200)] for name, reason in list(bad.items())[:BAD_SHOWN]]
    caption = f"{len(bad):,} skipped, in training and validation"
    left_out = len(bad) - len(shown)
    more = [paragraph(f"And {left_out:,} more: `dls.bad_items` has them all.")] if left_out else []
    return join([table(["File", "Reason"], shown, caption), *more])


def _warnings(facts: Facts) -> Html:
    warnings = find_warnings(facts)
    if not warnings:
        return paragraph(
            "Nothing stands out: enough validation items, in every class, and no class dwarfs another."
        )
    return element("ul", {"class": "warnings"}, *(element("li", None, text) for text in warnings))


def again(facts: Facts | MaskFacts | BoxFacts | TableFacts) -> Html:
    """The command and the program that train the model again."""
    parts: list[Html] = []
    if facts.command:
        parts += [paragraph("From the command line:"), code(facts.command)]
    if facts.snippet:
        parts += [paragraph("In Python:"), code(facts.snippet)]
    note = (
        "The seed repeats split, order and random draws. A new head starts from random weights: call "
        "torch.manual_seed first to repeat those too, else expect numbers that are close, not equal."
    )
    return join([*parts, paragraph(note, kind="soft")])
