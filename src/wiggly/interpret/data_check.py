"""What a check of the data found, as a section of the report and as a page of its own.

In: `DataCheck`. Out: `Html` of bounded size, with small pictures of copies beside each other. Read next:
`sections.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from wiggly import __version__
from wiggly.errors import WigglyError
from wiggly.interpret.markup import Html, captioned, clip, document, element, join, paragraph, section
from wiggly.interpret.pictures import thumbnail
from wiggly.vision.check import DataCheck, Finding
from wiggly.vision.image import PILImage

__all__ = ["check_page", "check_section"]

SHOWN = 12  # names or groups of a finding that are shown; the JSON has all
IN_A_GROUP = 4  # pictures of a group
PIXELS, MOST_BYTES = 160, 9_000  # of a picture; 12 groups of 4 in 5 kinds stay under 3 MB
PICTURED = (
    "exact-across",
    "near-across",
    "mirrored-across",
    "conflicting-labels",
    "near-conflict",
    "near-copies",
)


def check_page(check: DataCheck) -> Html:
    """The check as a page that needs nothing else."""
    title = "Data check"
    parts = [element("h1", None, title), section("check", "Findings", check_section(check))]
    return document(title, parts, __version__)


def check_section(check: DataCheck) -> Html:
    """The findings in a table, then each with its files and what to do.

    Example:
        >>> "nothing found" in check_section(DataCheck([], "photos", {"all": 3}))
        True
    """
    head = paragraph(check.headline)
    if not check.findings:
        return head
    return join([head, _table(check.findings), *(_details(check, found) for found in check.findings)])


def _table(findings: Sequence[Finding]) -> Html:
    rows: list[Html] = []
    for found in findings:
        mark = element("span", {"class": f"severity {found.severity}"}, found.severity)
        name = element("a", {"href": f"#check-{found.kind}"}, found.kind)
        cells = [element("th", {"scope": "row"}, mark), element("td", None, name)]
        rows.append(element("tr", None, *cells, element("td", None, clip(found.message, 300))))
    top = [element("th", {"scope": "col"}, text) for text in ("", "Finding", "What it means")]
    parts = element("thead", None, element("tr", None, *top)), element("tbody", None, *rows)
    caption = (
        "Errors stop training or spoil the score; warnings cost pictures or accuracy; notes need nothing."
    )
    return captioned(element("table", {"class": "findings", "aria-label": "Findings"}, *parts), caption)


def _details(check: DataCheck, found: Finding) -> Html:
    title = element("h3", {"id": f"check-{found.kind}"}, found.kind)
    fix = paragraph(element("b", None, "Fix: "), element("code", {"class": "fix"}, clip(found.fix, 400)))
    return join([title, paragraph(found.message), fix, _where(check, found)])


def _where(check: DataCheck, found: Finding) -> Html:
    if not found.items:
        return join([])
    if found.kind in PICTURED:
        shown = [_group(check, found, group) for group in found.groups[:SHOWN]]
        left = len(found.groups) - len(shown)
        more = [paragraph(f"And {left:,} more.", kind="soft")] if left > 0 else []
        return join([*shown, *more])
    names = [element("li", None, clip(line, 200)) for line in found.lines(SHOWN)]
    return element("ul", {"class": "files"}, *names)


def _group(check: DataCheck, found: Finding, group: Sequence[int]) -> Html:
    """Copies beside each other, each with its name."""
    cards: list[Html] = []
    for position in group[:IN_A_GROUP]:
        name, detail = found.items[position], found.details[position] if found.details else ""
        uri = _picture(check, name)
        picture = (
            element("img", {"src": uri, "alt": clip(name, 80)})
            if uri
            else element("div", {"class": "none"}, "?")
        )
        said = [element("span", {"class": "soft"}, clip(name, 80))]
        said += [element("br"), detail] if detail else []
        cards.append(element("li", None, picture, paragraph(*said)))
    if len(group) > IN_A_GROUP:
        cards.append(element("li", None, paragraph(f"and {len(group) - IN_A_GROUP:,} more", kind="soft")))
    return element("ul", {"class": "gallery copies"}, *cards)


def _picture(check: DataCheck, name: str) -> str | None:
    if not check.root:
        return None
    try:
        return thumbnail(PILImage.create(Path(check.root, name)), PIXELS, MOST_BYTES)
    except (WigglyError, OSError):  # gone since
        return None
