"""A folder that any web host can serve: the page, and the model that runs on the visitor's own device.

In: a bundle with a graph, or one and the address of a server that is asked instead. Out: a folder of plain
files, written so that an older one of ours is replaced and nothing else is touched. Read next: `built.py`,
where the page comes from; `web/ui`, the page.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

from wiggly.apps.built import page_files
from wiggly.apps.owned import Mark
from wiggly.bundle.archive import MANIFEST, MANIFEST_HASH, Archive, read_archive
from wiggly.bundle.manifest import WEIGHTS, Manifest
from wiggly.errors import ArgumentError, BundleError

__all__ = ["WebPage", "page_contents", "write_page"]

#: The page reads its settings from it.
MARK = Mark("page.json", "wiggly web", "the folder of the page")
MODEL = "model"
RUNTIME = "runtime/"


@dataclass(frozen=True)
class WebPage:
    """A folder that was written.

    Attributes:
        folder: Where.
        first_load: Bytes a visitor fetches for the page and what runs the model, at most.
        model: Bytes of the model; 0 where a server is asked.
    """

    folder: Path
    first_load: int
    model: int


def write_page(
    bundle: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    endpoint: str | None = None,
    precision: str = "float32",
) -> WebPage:
    """Writes the page of a model, ready to be put on any web host.

    Args:
        bundle: What `learn.export` wrote.
        folder: Where to; new, empty, or written by an earlier call.
        endpoint: Address of a `/v1` server that is asked, or its path on the same host ("/pets/"); None has
            the model run on the visitor's device.
        precision: Of the graph that is taken along: "float32", "float16" or "int8".

    Raises:
        BundleError: The bundle is none, or has no such graph.
        ArgumentError: The folder holds something else, or files of ours that were changed since; or the
            address is none.
        StorageError: The folder cannot be written.
        DependencyError: The page is not built, and cannot be here.
    """
    place = Path(folder)
    MARK.claim(place)  # before anything is read
    written = page_contents(bundle, endpoint=endpoint, precision=precision)
    MARK.write(place, written)
    model_bytes = sum(len(content) for name, content in written.items() if name.startswith(f"{MODEL}/"))
    return WebPage(place, _first_load(written) - model_bytes, model_bytes)


def page_contents(
    bundle: str | os.PathLike[str], *, endpoint: str | None = None, precision: str = "float32"
) -> dict[str, bytes]:
    """The files of a model's page by name, for those who hand them out themselves.

    Args:
        bundle: As for `write_page`.
        endpoint: As there.
        precision: As there.

    Raises:
        BundleError: The bundle is none, or has no such graph.
        ArgumentError: The address is none.
        DependencyError: The page is not built, and cannot be here.
    """
    archive = read_archive(bundle)
    model = {} if endpoint else _model_files(Path(bundle), archive, precision)
    page = {name: content for name, content in page_files().items() if model or not _is_runtime(name)}
    return _finished(page, model, archive.manifest, endpoint)


def _is_runtime(name: str) -> bool:
    return name.startswith(RUNTIME)


def _model_files(bundle: Path, archive: Archive, precision: str) -> dict[str, bytes]:
    """What the page needs of a bundle; the weights are in the graph already."""
    manifest = archive.manifest
    graph = next((one for one in manifest.graphs if one.precision == precision), None)
    if graph is None:
        known = [one.precision for one in manifest.graphs]
        raise BundleError(
            f"a page that runs the model needs a bundle with a {precision} graph",
            f"'{bundle}' has {' and '.join(known) if known else 'none'}"
            + (f" ({manifest.no_graph})" if manifest.no_graph else ""),
            "Export it again with `wiggly[export]` installed, or pass the address of a server that is asked "
            "instead: --endpoint https://…",
        )
    with zipfile.ZipFile(bundle) as opened:  # the manifest byte for byte, as its hash is of
        texts = {name: opened.read(name) for name in (MANIFEST, MANIFEST_HASH)}
    examples = [name for one in manifest.examples for name in (one.file, getattr(one, "mask", None)) if name]
    # "People who liked this" is read from the factors themselves.
    weights = [WEIGHTS] if manifest.task == "recommendation" else []
    wanted = dict.fromkeys([graph.file, *examples, *weights])
    return {
        f"{MODEL}/{name}": one for name, one in [*texts.items(), *((n, archive.files[n]) for n in wanted)]
    }


# ---- the page with the model's name in it ----


def _finished(
    page: Mapping[str, bytes], model: Mapping[str, bytes], manifest: Manifest, endpoint: str | None
) -> dict[str, bytes]:
    """All files, by name; the settings come last."""
    files = {**page, **model}
    files["index.html"] = _titled(page["index.html"].decode(), manifest, endpoint).encode()
    files["app.webmanifest"] = _named(page["app.webmanifest"], manifest.title)
    about = {"title": manifest.title, **({"endpoint": endpoint} if endpoint else {"model": f"./{MODEL}/"})}
    known = {**files, MARK.file: json.dumps(about).encode()}
    files["sw.js"] = _versioned(page["sw.js"].decode(), known).encode()
    files[MARK.file] = MARK.content(files, about)
    return files


def _titled(text: str, manifest: Manifest, endpoint: str | None) -> str:
    text = text.replace("<title>Model</title>", f"<title>{escape(manifest.title)}</title>")
    if endpoint:
        text = text.replace("connect-src 'self'", f"connect-src 'self' {_origin(endpoint)}".strip())
    return text


def _origin(endpoint: str) -> str:
    """What the page's policy must allow."""
    if re.fullmatch(r"[./][\w./\-]*", endpoint) and not endpoint.startswith("//"):
        return ""  # the host that the page is on
    parts = urlsplit(endpoint)
    if parts.scheme not in ("http", "https") or not re.fullmatch(r"[\w.\-:\[\]]+", parts.netloc):
        raise ArgumentError(
            "the endpoint must be an address with http:// or https://, or a path on the same host",
            f"it is {endpoint!r}",
            "Pass that of a server that `wiggly serve` runs, e.g. https://models.example.org/pets.",
        )
    return f"{parts.scheme}://{parts.netloc}"


def _named(text: bytes, title: str) -> bytes:
    described = json.loads(text)
    described |= {"name": title, "short_name": title[:24]}
    return json.dumps(described, indent=1, ensure_ascii=False).encode()


def _versioned(text: str, files: Mapping[str, bytes]) -> str:
    """The service worker, knowing its version and what the page needs at first."""
    digest = hashlib.sha256()
    for name, content in sorted(files.items()):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    fetched_later = (MODEL + "/", RUNTIME, "sw.js", "index.html")
    shell = ["./", *(name for name in sorted(files) if not name.startswith(fetched_later))]
    shell = [name for name in shell if not name.startswith(("assets/ort.", "assets/engine"))]
    text = text.replace('const VERSION = "development";', f'const VERSION = "{digest.hexdigest()[:16]}";')
    return text.replace('const SHELL = ["./"];', f"const SHELL = {json.dumps(shell)};")


def _first_load(files: Mapping[str, bytes]) -> int:
    """Bytes with the larger of the two runtimes, of which a browser takes one."""
    runtimes = [len(content) for name, content in files.items() if _is_runtime(name)]
    return sum(map(len, files.values())) - sum(runtimes) + max(runtimes, default=0)
