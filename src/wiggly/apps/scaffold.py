"""A TypeScript project of the user's own around a model: `wiggly new ui NAME`.

In: a folder's name, and a bundle or an address. Out: a Vite project on the client, which lies packed in it.
Read next: `web/template`, what is copied.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

from wiggly.apps.built import client_package, template_files
from wiggly.bundle.archive import read_archive
from wiggly.errors import ArgumentError, BundleError, StorageError

__all__ = ["new_ui"]

LONGEST_NAME = 214  # of an npm package


def new_ui(
    folder: str | os.PathLike[str],
    *,
    bundle: str | os.PathLike[str] | None = None,
    endpoint: str | None = None,
) -> Path:
    """Makes the project.

    Args:
        folder: Where; it must not be there, or be empty. Its name becomes the package's.
        bundle: A bundle with a graph, which is copied into the project and runs in the visitor's browser.
        endpoint: Address of a `/v1` server that is asked instead.

    Returns:
        The folder.

    Raises:
        ArgumentError: Not exactly one of `bundle` and `endpoint` is given, or the folder is not empty.
        BundleError: The bundle is none, or has no graph.
        StorageError: The folder cannot be written.
        DependencyError: The client is not built, and cannot be here.
    """
    place = Path(folder)
    if (bundle is None) == (endpoint is None):
        raise ArgumentError(
            "a page needs a model: a bundle, or the address of a server",
            "neither is given" if bundle is None else "both are given",
            "Pass --bundle pets.wiggly, or --endpoint https://…",
        )
    if place.exists() and (not place.is_dir() or any(place.iterdir())):
        raise ArgumentError("the project needs a new folder", f"'{place}' is there", "Choose another name.")
    if bundle is not None:
        _check_graph(Path(bundle))
    files, package = template_files(), client_package()
    files["package.json"] = _package(files["package.json"], place, package.name)
    files["src/settings.ts"] = _settings(endpoint)
    try:
        for name, content in files.items():
            path = place / (".gitignore" if name == "gitignore" else name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        (place / "vendor").mkdir()
        shutil.copyfile(package, place / "vendor" / package.name)
        if bundle is not None:
            (place / "public").mkdir()
            shutil.copyfile(bundle, place / "public" / "model.wiggly")
    except OSError as error:
        why = f"'{place}' is not: {error.strerror}"
        raise StorageError("the folder of a project must be writable", why, "Name another one.") from error
    return place


def _check_graph(bundle: Path) -> None:
    manifest = read_archive(bundle).manifest
    if not manifest.graphs:
        raise BundleError(
            "a page that runs the model needs a bundle with a graph",
            f"'{bundle}' has none" + (f" ({manifest.no_graph})" if manifest.no_graph else ""),
            "Export it again with `wiggly[export]` installed, or pass --endpoint.",
        )


def _package(text: bytes, place: Path, client: str) -> bytes:
    described: dict[str, Any] = json.loads(text)
    name = re.sub(r"[^a-z0-9-]+", "-", place.resolve().name.lower()).strip("-")[:LONGEST_NAME]
    described["name"] = name or "my-model-page"
    described["dependencies"]["@wiggly/client"] = f"file:./vendor/{client}"
    return (json.dumps(described, indent=2) + "\n").encode()


def _settings(endpoint: str | None) -> bytes:
    bundle = "null" if endpoint else json.dumps("./model.wiggly")
    return (
        "/** Where the model is: a file that runs in the visitor's browser, or a server that is asked. */\n"
        f"export const BUNDLE: string | null = {bundle};\n"
        f"export const ENDPOINT: string | null = {json.dumps(endpoint)};\n"
    ).encode()
