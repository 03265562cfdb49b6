"""The verb `serve`: a model as an HTTP service.

In: a bundle. Out: a server, until Ctrl-C or SIGTERM. Read next: `wiggly/apps/server/start.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from wiggly.apps.server.limits import Limits

__all__ = ["LimitOptions", "serve"]

USUAL = Limits()


@Parameter(name="*", group="Limits")
@dataclass(frozen=True, kw_only=True)
class LimitOptions:
    """What a stranger may ask of the server."""

    max_bytes: Annotated[int, Parameter(help="Largest file of a picture.")] = USUAL.max_bytes
    max_pixels: Annotated[int, Parameter(help="Largest picture.")] = USUAL.max_pixels
    max_rows: Annotated[int, Parameter(help="Most rows in one request.")] = USUAL.max_rows
    timeout: Annotated[float, Parameter(help="Seconds for a request.")] = USUAL.timeout
    queue: Annotated[int, Parameter(help="Most requests in work or waiting.")] = USUAL.queue
    batch: Annotated[int, Parameter(help="Most items that go through the model together.")] = USUAL.batch
    batch_wait: Annotated[
        float, Parameter(help="Milliseconds a batch waits for others that are just being read.")
    ] = USUAL.batch_wait
    max_collected: Annotated[int, Parameter(help="Most bytes of corrections.")] = USUAL.max_collected
    corrections_per_minute: Annotated[int, Parameter(help="Most corrections.")] = USUAL.corrections_per_minute


def serve(
    bundle: Annotated[Path, Parameter(help="A model that `wiggly train` wrote.")],
    /,
    *,
    host: Annotated[
        str, Parameter(help="Address to listen on; 0.0.0.0 lets other machines in.")
    ] = "127.0.0.1",
    port: Annotated[int, Parameter(help="Port to listen on; 0 takes a free one.")] = 8000,
    page: Annotated[
        bool, Parameter(help="Show the web pages too: at /ui/, and at / where Gradio is installed.")
    ] = True,
    allow_urls: Annotated[
        bool, Parameter(negative="", show_default=False, help="Let requests name the address of a picture.")
    ] = False,
    cors: Annotated[
        list[str] | None,
        Parameter(
            negative="", help="Origin whose pages may ask, such as https://example.org; may be repeated."
        ),
    ] = None,
    collect: Annotated[
        Path | None,
        Parameter(help="Folder that keeps visitors' corrections, with their pictures. Default: none are."),
    ] = None,
    root_path: Annotated[str, Parameter(help="Prefix under which a proxy shows the server.")] = "",
    access_log: Annotated[
        bool, Parameter(negative="", show_default=False, help="Print a line for each request.")
    ] = False,
    runtime: Annotated[
        Literal["onnx", "torch"] | None,
        Parameter(
            help="What runs the model. Default: ONNX Runtime where it is installed and there is a graph."
        ),
    ] = None,
    limits: LimitOptions | None = None,
) -> int:
    """Serves a model over HTTP: /v1/predict for programs, with limits and metrics, and the web page at /."""
    from wiggly.apps.server.start import Place, serve_bundle

    chosen = Limits(**vars(limits)) if limits is not None else USUAL
    serve_bundle(
        bundle,
        Place(host=host, port=port, root_path=root_path),
        limits=chosen,
        allow_urls=allow_urls,
        cors=tuple(cors or ()),
        page=page,
        access_log=access_log,
        runtime=runtime,
        collect=collect,
    )
    return 0
