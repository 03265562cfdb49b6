"""HTML from functions: text is escaped unless it was built here, so no label can become markup.

In: plain strings and `Html`. Out: `Html`, a string that is known to be safe. Read next: `sections.py`.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path

__all__ = [
    "Html",
    "captioned",
    "clip",
    "code",
    "document",
    "element",
    "is_report",
    "join",
    "long_table",
    "pairs",
    "paragraph",
    "section",
    "table",
]

# Elements without an end tag, those used here:
# https://html.spec.whatwg.org/multipage/syntax.html#void-elements
VOID = frozenset({"br", "img", "meta"})
# Not valid in HTML: control characters but tab and newline, and lone surrogates (undecodable file names).
UNPRINTABLE = dict.fromkeys((*range(9), 11, 12, *range(14, 32), 127, *range(0xD800, 0xE000)), "\ufffd")
# How a page of ours is told from any other, near its beginning.
REPORT_MARK = b'name="generator" content="wiggly'
# Rows of a long table that stay open, the others unfold; and rows in all, as 5 MB have no room for 20,000.
ROWS_SHOWN, MOST_ROWS = 12, 1000
LONGEST_CODE = 20_000  # characters


class Html(str):
    """Markup that is safe to put into a page as it stands."""

    __slots__ = ()


def element(name: str, attributes: Mapping[str, object] | None = None, *children: str) -> Html:
    """One HTML element; children that are plain text are escaped.

    Args:
        name: Tag name.
        attributes: Name to value, which is escaped; None and False leave it out, True writes the bare name.
        children: Text or `Html`.

    Returns:
        The element as `Html`.

    Example:
        >>> print(element("p", {"class": "note"}, "a < b", element("b", None, "c")))
        <p class="note">a &lt; b<b>c</b></p>
    """
    written = "".join(_attribute(key, value) for key, value in (attributes or {}).items())
    if name in VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(children)}</{name}>")


def join(children: Iterable[str]) -> Html:
    """The children one after the other; plain text is escaped."""
    return Html("".join(child if isinstance(child, Html) else _escape(child) for child in children))


def clip(text: object, limit: int = 60) -> str:
    """The text on one line, at most `limit` characters, cut in the middle so that a file's ending stays.

    Example:
        >>> clip("a_rather_long_name_of_a_photo.jpg", 20)
        'a_rather_l…photo.jpg'
    """
    line = " ".join(str(text).split())
    if len(line) <= limit:
        return line
    head = limit // 2
    return f"{line[:head]}…{line[len(line) - (limit - head - 1) :]}"


def table(
    head: Sequence[str], rows: Iterable[Sequence[str]], caption: str, numeric: Sequence[int] = ()
) -> Html:
    """A table below its caption, with column headers, and the first cell of each row as its header.

    Args:
        head: Column headers.
        rows: Cells, text or `Html`, as many per row as there are headers.
        caption: What the table shows; a screen reader says it first.
        numeric: Columns that are aligned to the right.

    Returns:
        A figure: the caption, and the table inside a box that scrolls sideways on a narrow screen.
    """
    kind = ["num" if column in numeric else None for column in range(len(head))]
    top = [element("th", {"scope": "col", "class": kind[i]}, text) for i, text in enumerate(head)]
    body: list[Html] = []
    for row in rows:
        cells = [element("th", {"scope": "row", "class": kind[0]}, row[0])]
        cells += [element("td", {"class": kind[i]}, text) for i, text in enumerate(row) if i]
        body.append(element("tr", None, *cells))
    parts = element("thead", None, element("tr", None, *top)), element("tbody", None, *body)
    return captioned(element("table", {"aria-label": caption}, *parts), caption)


def captioned(content: Html, caption: str) -> Html:
    """A table below its caption, in a box that scrolls sideways and is reachable with the keyboard.

    Not `<caption>`: that is as narrow as the table, and moves out of sight when the box is scrolled.
    """
    box = element(
        "div", {"class": "scroll", "tabindex": "0", "role": "region", "aria-label": caption}, content
    )
    return element("figure", None, element("figcaption", None, caption), box)


def paragraph(*parts: str, kind: str | None = None) -> Html:
    """A paragraph of a CSS class."""
    return element("p", {"class": kind}, *parts)


def code(text: str) -> Html:
    """A program, its lines kept."""
    shown = text if len(text) <= LONGEST_CODE else text[:LONGEST_CODE] + "\n# (cut here)"
    return element("pre", {"tabindex": "0"}, element("code", None, shown))


def pairs(rows: Mapping[str, str], caption: str) -> Html:
    """A table of names and texts."""
    body = [
        element("tr", None, element("th", {"scope": "row"}, name), element("td", None, clip(text, 600)))
        for name, text in rows.items()
    ]
    return element("table", {"class": "facts", "aria-label": caption}, element("tbody", None, *body))


def long_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], caption: str, numeric: Iterable[int]
) -> Html:
    """A table whose later rows are folded away; see `table`."""
    columns = tuple(numeric)
    if len(rows) <= ROWS_SHOWN + 3:  # no fold for three rows
        return table(head, rows, caption, columns)
    first, rest = rows[:ROWS_SHOWN], rows[ROWS_SHOWN:MOST_ROWS]
    fold = element("summary", None, f"{len(rest):,} more")
    folded = element("details", None, fold, table(head, rest, f"{caption} (continued)", columns))
    left_out = len(rows) - ROWS_SHOWN - len(rest)
    note = [paragraph(f"{left_out:,} more are left out here.", kind="soft")] if left_out else []
    return join([table(head, first, caption, columns), folded, *note])


def section(name: str, title: str, content: Html) -> Html:
    """A part of a page under its heading; `#name` leads to it."""
    return element("section", {"id": name}, element("h2", None, title), content)


def document(title: str, sections: Iterable[Html], version: str = "") -> Html:
    """A whole page, with its style sheet inside and no reference to anything outside.

    Args:
        title: Of the browser's tab.
        sections: What it shows.
        version: Of wiggly; by the line with it a page is known as ours.
    """
    head = [
        element("meta", {"charset": "utf-8"}),
        element("meta", {"name": "generator", "content": f"wiggly {version}".strip()}),
        element("meta", {"name": "viewport", "content": "width=device-width, initial-scale=1"}),
        element("meta", {"name": "color-scheme", "content": "light dark"}),
        element("title", None, title),
        element("style", None, _style()),
    ]
    body = element("body", None, element("main", None, *sections))
    root = element("html", {"lang": "en"}, element("head", None, *head), body)
    return join([Html("<!doctype html>\n"), root, "\n"])


@cache
def _style() -> Html:
    return Html(files("wiggly.interpret").joinpath("report.css").read_text(encoding="utf-8"))


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    return f" {key}" if value is True else f' {key}="{_escape(str(value))}"'


def _escape(text: str) -> str:
    return html.escape(text.translate(UNPRINTABLE), quote=True)


def is_report(path: Path) -> bool:
    """Whether `path` is a page that wiggly wrote, by its generator line."""
    try:
        with path.open("rb") as page:
            return REPORT_MARK in page.read(2_000)
    except OSError:
        return False
