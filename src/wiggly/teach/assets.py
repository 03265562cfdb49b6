"""Where the built pages of the explorables are; a source checkout builds them when they are first needed.

In: an explorable's name. Out: its ES module as text. The modules are built from `web/widgets` by
`scripts/web.py`, and lie ready-made in an installed package. Read next: `explorable.py`.
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from wiggly.checkout import build_web
from wiggly.errors import ArgumentError

__all__ = ["module_source"]


@cache
def module_source(name: str) -> str:
    """The JavaScript of an explorable, one ES module in anywidget's form.

    Args:
        name: As in the file's name, e.g. "sum-of-relus".

    Raises:
        ArgumentError: There is no such explorable.
        DependencyError: This is a source checkout, and it cannot be built here.
    """
    folder = resources.files("wiggly.teach") / "static"
    if not folder.is_dir() or not any(folder.iterdir()):
        build_web("the pages of the explorables")
    file = folder / f"{name}.js"
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".js") for entry in folder.iterdir())
        raise ArgumentError("the name must be that of an explorable", f"it is {name!r}", f"Known: {known}.")
    return file.read_text("utf-8")
