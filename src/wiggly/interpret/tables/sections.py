"""The report's page for a model of tables, and for one that predicts numbers or several labels.

In: `TableFacts`. Out: `Html`, a whole page. Read next: `../sections.py`, the page for categories, with which
it shares what both have.
"""

from __future__ import annotations

from wiggly.interpret.data_check import check_section
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
from wiggly.interpret.numbers import calibration, class_table, confusion, learning_curve
from wiggly.interpret.sections import again, unreadable
from wiggly.interpret.tables.facts import TableFacts
from wiggly.interpret.tables.slices import Slices

__all__ = ["table_page"]


def table_page(facts: TableFacts) -> Html:
    """The whole report.

    Args:
        facts: What it says.
    """
    classes = facts.classes
    sections = [
        _headline(facts),
        section("data", "Data", _data(facts)),
        *([] if facts.check is None else [section("check", "Data check", check_section(facts.check))]),
        section("curve", "Learning curve", learning_curve(facts)),
        *([section("importance", "What it goes by", _importance(facts))] if facts.importance else []),
        *([section("slices", "For whom it is worse", _slices(facts))] if facts.slices else []),
    ]
    if classes is not None:
        sections += [
            section("classes", "Class by class", class_table(classes)),
            section("confusion", "What is taken for what", confusion(classes)),
            section("calibration", "Can its confidence be believed?", _calibration(facts)),
        ]
    sections += [
        section("errors", "Worst errors", _worst(facts)),
        section("unreadable", "Unreadable files", unreadable(facts)),
        section("warnings", "Read with care", _warnings(facts)),
        section("absent", "What is not here", _absent(facts)),
        section("model", "Model and training", pairs(facts.model, "Model and training")),
        section("versions", "Versions", pairs(facts.versions, "Versions")),
        section("again", "How to do it again", again(facts)),
    ]
    return document(facts.title, sections, facts.versions.get("wiggly", ""))


def _headline(facts: TableFacts) -> Html:
    score, rival = facts.score, facts.best_baseline
    is_share = facts.score_name == "error rate"
    figure = element("b", None, facts.said(1 - score.score if is_share else score.score))
    unit = (
        f" right, an error rate of {facts.said(score.score)}"
        if is_share
        else (
            f" {facts.score_name}"
            + (f" of {facts.unit}" if facts.unit and facts.score_name == "RMSE" else "")
        )
    )
    reach = f" on {score.n:,} {facts.scored} (95 % interval {facts.reach(score.low, score.high)})"
    ending = "." if is_share else "; less is better."
    parts = [paragraph(figure, unit, reach, ending, kind="score")]
    if facts.baselines:
        parts.append(_beside(facts))
    if rival is not None:
        better = score.high < rival.score
        found = f"Better than {rival.name}" if better else f"Not shown to be better than {rival.name}"
        parts.append(
            paragraph(element("b", {"class": "yes" if better else "no"}, f"{found}."), kind="verdict")
        )
    scope = (
        f"The interval covers the luck of drawing these {facts.noun}. It does not cover {facts.noun} from "
        "another source, near-duplicates in both sets, or settings that were chosen by this score."
    )
    parts.append(paragraph(scope, kind="soft"))
    remarks = facts.warnings()
    if remarks:
        link = "1 remark" if len(remarks) == 1 else f"{len(remarks)} remarks"
        parts.append(
            paragraph(element("a", {"href": "#warnings"}, link), " on how to read this.", kind="soft")
        )
    subtitle = paragraph(facts.subtitle, kind="soft")
    return join([element("h1", None, facts.title), subtitle, element("div", {"class": "lead"}, *parts)])


def _beside(facts: TableFacts) -> Html:
    rows = [["this model", facts.said(facts.score.score), ""]]
    for simpler in facts.baselines:
        seconds = "" if simpler.seconds is None else f"{simpler.seconds:.1f} s"
        rows.append([simpler.name, facts.said(simpler.score), seconds])
    head = ["", _score_title(facts), "Time to fit"]
    return table(head, rows, _rivals(facts), numeric=(1, 2))


def _rivals(facts: TableFacts) -> str:
    if not facts.everything:
        return f"Simpler models of the same data, on the same {facts.noun}"
    return f"Simpler models that learn from these very {facts.noun}, each fifth from the others"


def _score_title(facts: TableFacts) -> str:
    return facts.score_name if facts.score_name == "RMSE" else facts.score_name.capitalize()


def _data(facts: TableFacts) -> Html:
    parts = [pairs(facts.data, "Data and split")]
    if facts.columns:
        parts.append(long_table(["Column", "Kind", "What was learnt"], facts.columns, "Inputs", ()))
    return join(parts)


def _picture(facts: TableFacts, *beginnings: str) -> list[Html]:
    return [
        element("img", {"src": uri, "alt": title, "class": "plot"})
        for title, uri in facts.pictures
        if title.startswith(beginnings)
    ]


def _importance(facts: TableFacts) -> Html:
    found = facts.importance
    assert found is not None
    said = (
        f"How much the {found.score_name} rises when the values of a column are dealt out anew among "
        f"{found.n:,} {facts.scored}. A column whose content another one has as well seems to cost nothing."
    )
    rows = [
        [clip(name), facts.said(rise), facts.said(spread)]
        for name, rise, spread in found.to_frame().itertuples(index=False)
    ]
    numbers = long_table(["Column", "Rise", "Standard deviation"], rows, "Permutation importance", (1, 2))
    note = paragraph(
        "Dependence: the mean prediction when all rows are given the same value. It says what the model "
        "does, not what causes what.",
        kind="soft",
    )
    pictures = element("div", {"class": "charts plots"}, *_picture(facts, "What the model", "Dependence"))
    return join([paragraph(said), pictures, note, numbers])


def _slices(facts: TableFacts) -> Html:
    said = (
        f"The {facts.score_name} of groups of {facts.scored} beside that of all "
        f"({facts.said(facts.score.score)}), for the columns that the model goes by most. Groups of fewer "
        "than 10 rows are left out. With many groups some differ by chance: 1 in 20 intervals misses."
    )
    return join([paragraph(said), *(_groups(facts, part) for part in facts.slices)])


def _groups(facts: TableFacts, part: Slices) -> Html:
    rows: list[list[str]] = []
    for group in part.groups:
        worse, better = group.low > facts.score.score, group.high < facts.score.score
        verdict = "worse" if worse else "better" if better else ""
        reach = facts.reach(group.low, group.high)
        mark = element("b", {"class": "no" if worse else "yes"}, verdict) if verdict else ""
        rows.append([clip(group.group, 40), facts.said(group.score), mark, f"{group.n:,}", reach])
    # What matters first: a phone shows three columns.
    head = [clip(part.column, 40), _score_title(facts), "Than all", "Rows", "95 % interval"]
    return long_table(head, rows, f"By {clip(part.column, 40)}", (1, 3, 4))


def _calibration(facts: TableFacts) -> Html:
    found = facts.reliability
    assert facts.classes is not None
    if found is None:
        return calibration(facts.classes)
    rows = [
        [f"{100 * said:.1f} %", f"{100 * true:.1f} %", f"{n:,}"]
        for n, said, true in found.to_frame().itertuples(index=False)
    ]
    advice = (
        f"Dividing the scores by {found.temperature:.2f} would calibrate them best on these rows; the error "
        f"would be {100 * found.ece_after:.1f} % then (temperature scaling, Guo et al., 2017)."
    )
    reliability = table(["Said", "Came true", "Rows"], rows, f"Reliability: {found.what}", (0, 1, 2))
    return join([calibration(facts.classes), *_picture(facts, "Calibration"), reliability, paragraph(advice)])


def _worst(facts: TableFacts) -> Html:
    head, rows = facts.worst
    said = f"The {len(rows)} with the largest loss. A wrong label or a slip of the hand shows up here first."
    cut = [[clip(cell, 30) for cell in row] for row in rows]
    caption = f"Worst {facts.noun}"
    return join([paragraph(said), table(list(map(str, head)), cut, caption)])


def _warnings(facts: TableFacts) -> Html:
    found = facts.warnings()
    if not found:
        return paragraph("Nothing stands out.")
    return element("ul", {"class": "warnings"}, *(element("li", None, text) for text in found))


def _absent(facts: TableFacts) -> Html:
    if not facts.absent:
        return paragraph("Nothing that such a report usually has.")
    return element("ul", {"class": "warnings"}, *(element("li", None, text) for text in facts.absent))
