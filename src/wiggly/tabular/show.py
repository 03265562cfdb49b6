"""Tables for a person: HTML in notebooks, text elsewhere.

In: a pandas table. Out: something on the screen, no wider than it. Read next: `loaders.py`.
"""

from __future__ import annotations

import shutil
from typing import Any

__all__ = ["show_table"]


def show_table(table: Any) -> None:
    """Shows a pandas table: as HTML where IPython runs in a notebook, as text elsewhere."""
    try:
        from IPython.core.getipython import get_ipython
    except ImportError:
        shell = None
    else:
        shell = get_ipython()
    if shell is not None and type(shell).__name__ == "ZMQInteractiveShell":
        from IPython.display import HTML, display

        display(HTML(table.to_html(index=False, float_format=_short)))
        return
    width = shutil.get_terminal_size(fallback=(120, 24)).columns
    print("\n\n".join(_blocks(table, width)))


def _blocks(table: Any, width: int) -> list[str]:
    """The table as text, below each other as many columns as fit side by side; each opens with a number per
    row where there are several."""

    def text(names: list[int], index: bool) -> str:
        return str(table.iloc[:, names].to_string(index=index, max_colwidth=30, float_format=_short))

    whole = text(list(range(table.shape[1])), False)
    if _width(whole) <= width:
        return [whole]
    table, found, names = table.reset_index(drop=True), list[str](), list[int]()
    for column in range(table.shape[1]):
        if names and _width(text([*names, column], True)) > width:
            found.append(text(names, True))
            names = []
        names.append(column)
    return [*found, text(names, True)]


def _width(text: str) -> int:
    return max(map(len, text.splitlines()), default=0)


def _short(number: float) -> str:
    """Six digits: what went through float32 and back as 56.999999 was 57."""
    return f"{number:.6g}" if abs(number) < 1e6 else f"{number:.0f}"
