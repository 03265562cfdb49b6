"""The folder of a Space: the program, the model, exact versions, and the part of wiggly that runs it.

In: a bundle with a graph. Out: files by name, or a folder; an older one of ours is replaced, and nothing else
is touched. Read next: `app.py`, what runs there; `push.py`, which sends it.
"""

from __future__ import annotations

import os
from pathlib import Path

from wiggly.apps.owned import Mark
from wiggly.apps.space.lock import locked, python_of_lock
from wiggly.apps.space.package import SOURCE, package_files
from wiggly.apps.space.readme import readme
from wiggly.bundle.archive import Archive, read_archive
from wiggly.errors import BundleError, StorageError

__all__ = ["MARK", "MODEL", "space_contents", "write_space"]

MARK = Mark("space.json", "wiggly space", "the folder of a Space")
MODEL = "model.wiggly"

#: Where the terms of wiggly lie: in a source checkout, and in an installed package.
TERMS = "wiggly/LICENSE"


def space_contents(bundle: str | os.PathLike[str], *, static: bool = False) -> dict[str, bytes]:
    """The files of a Space by name.

    Args:
        bundle: What `learn.export` wrote; it needs a graph.
        static: A page without a server, where the model runs in the visitor's browser.

    Raises:
        StorageError: The bundle cannot be read.
        BundleError: It is none, or has no graph.
        DependencyError: A package is not installed whose version has to be named, or the page is not built.
    """
    archive = read_archive(bundle)
    if not archive.manifest.graphs:
        raise BundleError(
            "a Space runs a model without PyTorch, so the bundle needs a graph",
            f"'{os.fspath(bundle)}' has none"
            + (f" ({archive.manifest.no_graph.rstrip('.')})" if archive.manifest.no_graph else ""),
            "Export it again where the packages of `wiggly[export]` are.",
        )
    files = _static(bundle, archive) if static else _served(bundle, archive)
    about = {"kind": "static" if static else "gradio", "model": archive.sha256}
    return {**files, MARK.file: MARK.content(files, about)}


def _served(bundle: str | os.PathLike[str], archive: Archive) -> dict[str, bytes]:
    pins = locked()
    gradio = next(line.partition("==")[2] for line in pins if line.startswith("gradio=="))
    sdk = {"sdk": "gradio", "sdk_version": gradio, "python_version": python_of_lock(), "app_file": "app.py"}
    return {
        "README.md": readme(archive.manifest, sdk).encode(),
        "requirements.txt": "".join(f"{line}\n" for line in pins).encode(),
        "app.py": Path(__file__).with_name("app.py").read_bytes(),
        MODEL: Path(bundle).read_bytes(),
        TERMS: _terms(),
        **package_files(),
    }


def _static(bundle: str | os.PathLike[str], archive: Archive) -> dict[str, bytes]:
    from wiggly.apps.web import page_contents

    files = page_contents(bundle)
    sdk = {"sdk": "static", "app_file": "index.html"}
    return {**files, "README.md": readme(archive.manifest, sdk).encode()}


def _terms() -> bytes:
    """The licence of wiggly, which goes wherever its source goes."""
    from importlib.metadata import PackageNotFoundError, distribution

    checkout = SOURCE.parent / "LICENSE"
    if checkout.is_file():
        return checkout.read_bytes()
    try:
        listed = distribution("wiggly").files or []
    except PackageNotFoundError:
        listed = []
    kept = next((file for file in listed if file.name == "LICENSE"), None)
    if kept is None:
        raise StorageError(
            "wiggly's LICENSE goes with its source",
            "it is neither in the source nor in the installed package",
            "Install wiggly anew.",
        )
    return kept.read_binary()


# ---- the folder ----


def write_space(
    bundle: str | os.PathLike[str], folder: str | os.PathLike[str], *, static: bool = False
) -> dict[str, int]:
    """Writes the folder of a Space; it also runs anywhere else: `pip install -r requirements.txt`, `python
    app.py`.

    Args:
        bundle: As for `space_contents`.
        folder: Where to; new, empty, or written by an earlier call.
        static: As there.

    Returns:
        Bytes of each file that was written.

    Raises:
        ArgumentError: The folder holds something else, or files of ours that were changed since.
        BundleError: The bundle is none, or has no graph.
        StorageError: The folder cannot be written.
        DependencyError: As for `space_contents`.
    """
    place = Path(folder)
    MARK.claim(place)  # before anything is read
    files = space_contents(bundle, static=static)
    MARK.write(place, files)
    return {name: len(content) for name, content in files.items()}
