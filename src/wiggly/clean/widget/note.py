"""What a cleaner leaves in a notebook for those who open it without a kernel: how far it got, and the marks.

In: a cleaner. Out: a piece of HTML that needs no script. The live widget hides it. Read next: `carrier.py`.
"""

from __future__ import annotations

import html
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wiggly.clean.widget.cleaner import ImageClassifierCleaner

__all__ = ["note_of", "told"]

#: Of the element; the live widget hides elements of this class that have its own number.
CLASS = "wiggly-cleaner-note"
MOST = 100  # marks that are listed

# JupyterLab says "Error displaying widget: model not found" in place of the widget, which is just above.
STYLE = (
    "<style>.jp-OutputArea-child:has(+ .jp-OutputArea-child .wiggly-cleaner-note) "
    ".jupyter-widgets:not(:has(*)) { display: none; }</style>"
)

#: What marks are called.
SAID = {"delete": "to be deleted", "relabel": "relabelled", "keep": "kept", "unsure": "unsure"}
NOTHING = "nothing is marked yet"


def told(cleaner: ImageClassifierCleaner) -> str:
    """How many marks of each kind there are.

    Args:
        cleaner: Whose.
    """
    n = cleaner.review.counts().verdicts
    return ", ".join(f"{n[kind]:,} {said}" for kind, said in SAID.items() if n.get(kind)) or NOTHING


def note_of(cleaner: ImageClassifierCleaner) -> str:
    """How far it got, in a few lines.

    Args:
        cleaner: Whose marks are told.
    """
    n, journal = len(cleaner.review.items), html.escape(os.fspath(cleaner.edits.path))
    return (
        f'{STYLE}<div class="{CLASS} {CLASS}-{cleaner.number}" style="border-left:3px solid #888;'
        f'padding:2px 12px;margin:4px 0"><b>Cleaner</b> of {n:,} pictures: {told(cleaner)}.<br>'
        f"Every mark is kept in <code>{journal}</code>. "
        f"To see the pictures and go on, run this cell again with a running kernel.{_list(cleaner)}</div>"
    )


def _list(cleaner: ImageClassifierCleaner) -> str:
    """The marks, folded away."""
    states, items = cleaner.review.states, cleaner.review.items
    lines: list[str] = []
    for place, state in sorted(states.items()):
        if state.verdict in ("delete", "relabel"):
            goes = "delete" if state.verdict == "delete" else f"{items[place].given} → {state.label}"
            lines.append(f"<li><code>{html.escape(items[place].file)}</code> {html.escape(goes)}</li>")
    if not lines:
        return ""
    more = f"<li>and {len(lines) - MOST:,} more</li>" if len(lines) > MOST else ""
    return f"<details><summary>What is marked</summary><ul>{''.join(lines[:MOST])}{more}</ul></details>"
