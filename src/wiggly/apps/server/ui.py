"""The page of `wiggly web` at `/ui/`, on the server that it asks.

In: the page's files. Out: a FastAPI application that hands them out, from memory. Read next: `../web.py`,
which makes them; `mounted.py`, the Gradio page at `/`.
"""

from __future__ import annotations

import mimetypes
import os
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import PurePosixPath

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from wiggly.apps.owned import hashes_of

__all__ = ["PREFIX", "add_static_page", "static_page"]

PREFIX = "/ui"
SERVER = "../"  # from there

#: What `mimetypes` says otherwise on some machines.
KINDS = {".js": "text/javascript", ".webmanifest": "application/manifest+json", ".svg": "image/svg+xml"}


def static_page(bundle: str | os.PathLike[str]) -> dict[str, bytes]:
    """The files of a model's page, by name; none where the page is not built, or not there, as in a Space.

    Args:
        bundle: What `learn.export` wrote.
    """
    if find_spec("wiggly.apps.web") is None:
        return {}
    from wiggly.apps.built import is_built
    from wiggly.apps.web import page_contents

    return page_contents(bundle, endpoint=SERVER) if is_built() else {}


def add_static_page(app: FastAPI, files: Mapping[str, bytes]) -> None:
    """Hands the page out; to be called before anything is mounted at `/`.

    Args:
        app: Of the server.
        files: From `static_page`.
    """
    tags = {name: f'"{digest[:32]}"' for name, digest in hashes_of(files).items()}

    async def file(request: Request, name: str) -> Response:
        name = name or "index.html"
        if name not in files:
            raise HTTPException(404)
        # The names of most files change with what is in them, but not those of the page and its worker.
        headers = {"ETag": tags[name], "Cache-Control": "no-cache"}
        if request.headers.get("if-none-match") == tags[name]:
            return Response(status_code=304, headers=headers)
        return Response(files[name], headers=headers, media_type=_kind_of(name))

    app.add_api_route(PREFIX, to_the_page, include_in_schema=False)
    app.add_api_route(f"{PREFIX}/{{name:path}}", file, methods=["GET", "HEAD"], include_in_schema=False)


async def to_the_page(request: Request) -> Response:
    """A redirect to the page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}{PREFIX}/")


def _kind_of(name: str) -> str:
    found = KINDS.get(PurePosixPath(name).suffix) or mimetypes.guess_type(name)[0]
    return found or "application/octet-stream"
