"""Where the built page and the built widget of cleaning are; a source checkout builds them when first needed.

In: the name of a file. Out: its content. They are built from `web/cleaner` by `scripts/web.py`, and lie
ready-made in an installed package. Read next: `widget/carrier.py`.
"""

from __future__ import annotations

from pathlib import Path

from wiggly.checkout import build_web
from wiggly.errors import DependencyError

__all__ = ["static_files"]

STATIC = Path(__file__).parent / "static"


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
        build_web("the page for cleaning")
    if not place.exists():
        raise DependencyError(
            "the page for cleaning must have been built",
            f"there is no '{name}' among the built files",
            "Update this checkout and run `python scripts/web.py`, or install a released wheel.",
        )
    files = [place] if place.is_file() else [path for path in sorted(place.rglob("*")) if path.is_file()]
    root = place.parent if place.is_file() else place
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in files}
