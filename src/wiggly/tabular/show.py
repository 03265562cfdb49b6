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

        display(HTML(table.to_html(index=False)))
        return
    print(table.to_string(index=False, max_colwidth=30))
