"""Tables for a person: HTML in notebooks, text elsewhere.

In: a pandas table. Out: something on the screen. Read next: `loaders.py`.
"""

from __future__ import annotations

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
    print(table.to_string(index=False, max_colwidth=30, float_format=_short))


def _short(number: float) -> str:
    """Six digits: what went through float32 and back as 56.999999 was 57."""
    return f"{number:.6g}" if abs(number) < 1e6 else f"{number:.0f}"
