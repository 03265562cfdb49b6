"""Where the built page and the packed TypeScript client are; a source checkout builds them when first needed.

In: nothing. Out: their files. They are built from `web/ui` and `web/client` by `scripts/web.py`, and lie
ready-made in an installed package. Read next: `web.py`.
"""

from __future__ import annotations

from pathlib import Path

from wiggly.checkout import build_web

__all__ = ["client_package", "is_built", "page_files", "template_files"]

STATIC = Path(__file__).parent / "static"


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
        build_web("the web page")
    return max(STATIC.glob("wiggly-client-*.tgz"))


def _files(name: str) -> dict[str, bytes]:
    folder = STATIC / name
    if not (folder / "index.html").is_file():
        build_web("the web page")
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}
