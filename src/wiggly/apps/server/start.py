"""`wiggly serve`: open a bundle, prove it, listen, and stop without dropping anybody.

In: a bundle. Out: a server on this machine, until Ctrl-C or SIGTERM. Read next: `app.py`.
"""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from types import FrameType
from typing import TYPE_CHECKING, Any

from wiggly.apps.server.limits import Limits
from wiggly.errors import ArgumentError, DependencyError

if TYPE_CHECKING:
    from fastapi import FastAPI

    from wiggly.apps.server.worker import Servable, Worker

__all__ = ["open_predictor", "serve_bundle"]

NEEDED = ("fastapi", "uvicorn", "python_multipart", "prometheus_client")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a server listens, and how a proxy shows it.

    Attributes:
        host: Address; by default only this machine can ask.
        port: Port; 0 takes a free one.
        root_path: Prefix under which a proxy shows the server.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    root_path: str = ""


def serve_bundle(
    path: str | os.PathLike[str],
    place: Place | None = None,
    *,
    limits: Limits | None = None,
    allow_urls: bool = False,
    cors: Sequence[str] = (),
    page: bool = True,
    access_log: bool = False,
    runtime: str | None = None,
    threads: int | None = None,
    collect: str | os.PathLike[str] | None = None,
) -> None:
    """Serve a bundle until Ctrl-C or SIGTERM; requests in work then get their answer first.

    The worked examples are run before anything else: a model that answers differently on this machine is not
    served.

    Args:
        path: The bundle.
        place: Where to listen.
        limits: What a stranger may ask.
        allow_urls: Whether a request may name the address of a picture, which this machine then fetches.
        cors: Origins whose pages may ask.
        page: Whether the Gradio page is shown at `/`, where Gradio is installed, and that of `wiggly web` at
            `/ui/`, where it is built.
        access_log: Print a line for each request.
        runtime: "onnx" or "torch"; None takes ONNX Runtime where the bundle has a graph and it is installed.
        threads: How many compute one answer, in ONNX Runtime; None leaves it to the runtime.
        collect: Folder in which visitors' corrections are kept; None takes none.

    Raises:
        BundleError: The bundle is damaged or does not answer as it should.
        ArgumentError: The port is taken, or `host` is no address of this machine; or this kind of model
            cannot collect corrections.
        StorageError: `collect` cannot be written to.
        DependencyError: A package that a server needs is not installed.
    """
    _check_packages()
    from wiggly.apps.server.app import make_server
    from wiggly.apps.server.ui import static_page

    place = place or Place()
    with ExitStack() as stack:
        listening = stack.enter_context(_listening(place.host, place.port))
        predictor, runs_on = open_predictor(path, runtime, threads)
        checked = predictor.verify()
        shown = _page_maker(stack) if page else None
        app = make_server(
            predictor,
            limits=limits,
            allow_urls=allow_urls,
            cors=cors,
            root_path=place.root_path,
            runtime=runs_on,
            checked=checked,
            page=shown,
            static_page=static_page(path) if page else None,
            collect=collect,
        )
        proved = (
            f"{len(predictor.examples)} worked examples within {checked:.1g}" if predictor.examples else ""
        )
        _say_where(predictor.manifest.title, place, listening, ", ".join(filter(None, [runs_on, proved])))
        if collect is not None:
            print(
                f"Visitors' corrections are kept in {os.fspath(collect)}; look: wiggly clean status",
                flush=True,
            )
        _run(app, listening, limits or Limits(), access_log)
    print("stopped", flush=True)


def open_predictor(
    path: str | os.PathLike[str], runtime: str | None = None, threads: int | None = None
) -> tuple[Servable, str]:
    """The predictor that suits this machine, and what runs it in words.

    Args:
        path: The bundle.
        runtime: "onnx" or "torch"; None takes ONNX Runtime where the bundle has a graph and it is installed.
        threads: How many compute one answer, in ONNX Runtime; None leaves it to the runtime.

    Raises:
        ArgumentError: There is no such runtime.
        BundleError: The bundle is damaged.
        DependencyError: The runtime is not installed.
    """
    if runtime not in (None, "onnx", "torch"):
        raise ArgumentError("`runtime` must be 'onnx' or 'torch'", f"it is {runtime!r}", "Leave it out.")
    if runtime == "torch" or (runtime is None and not _suits_onnx(path)):
        from wiggly.bundle.predictor import load_bundle

        return load_bundle(path), f"PyTorch {_version('torch')}"
    from wiggly.bundle.session.predictor import open_session

    return open_session(path, threads=threads), f"ONNX Runtime {_version('onnxruntime')}"


def _suits_onnx(path: str | os.PathLike[str]) -> bool:
    """Whether ONNX Runtime is there, and the bundle has a graph for it."""
    if find_spec("onnxruntime") is None:
        return False
    from wiggly.bundle.archive import read_archive

    return find_spec("torch") is None or bool(read_archive(path).manifest.graphs)


def _version(package: str) -> str:
    return version(package).partition("+")[0]


# ---- the page ----


class PagePredictor:
    """A model as its page sees it: what it asks goes through the queue, like everybody's.

    Args:
        worker: Of the server.
    """

    def __init__(self, worker: Worker) -> None:
        self.predict: Callable[[Any], Any] = worker.predict
        self.manifest = worker.predictor.manifest
        self.examples = worker.predictor.examples
        self.file = worker.predictor.file
        outputs = self.manifest.outputs
        self.vocab: list[Any] = list(getattr(outputs[0], "vocabulary", ())) if len(outputs) == 1 else []


def _page_maker(stack: ExitStack) -> Callable[[Worker], Any] | None:
    """What makes the page; None where Gradio is not installed."""
    if find_spec("gradio") is None:
        return None
    from wiggly.apps.page import make_app, upload_folder

    stack.enter_context(upload_folder())
    return lambda worker: make_app(PagePredictor(worker))


# ---- listening ----


@contextmanager
def _listening(host: str, port: int) -> Generator[socket.socket]:
    """A socket that is bound, so that the port is known, and known to be free, before the model is loaded."""
    if not 0 <= port <= 65535:
        raise ArgumentError("`port` must be from 0 to 65535", f"it is {port}", "Leave it out, or pass 8000.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as bound:
        if os.name != "nt":  # there it would let two servers share a port
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((host, port))
            bound.listen()
        except OSError as error:
            raise ArgumentError(
                "`host` and `port` must be a free address of this machine",
                f"{host}:{port} cannot be used: {error.strerror or error}",
                "Pass another `port`, or 0 for a free one; `host` is 127.0.0.1, or 0.0.0.0 to let others in.",
            ) from error
        yield bound


def _say_where(title: str, place: Place, listening: socket.socket, proved: str) -> None:
    host = f"[{place.host}]" if ":" in place.host else place.host
    address = f"http://{host}:{listening.getsockname()[1]}"
    print(f"{title}: {address}   ({proved}; Ctrl-C stops)", flush=True)
    if place.host not in LOOPBACK:
        print("Everybody who can reach this machine can ask it.", flush=True)


def _run(app: FastAPI, listening: socket.socket, limits: Limits, access_log: bool) -> None:
    import uvicorn

    class Server(uvicorn.Server):
        """Ends the page's open connections first: they would last as long as a browser shows it."""

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            """On a signal."""
            getattr(app.state, "stop_page", lambda: None)()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        log_level="info" if access_log else "warning",
        access_log=access_log,
        server_header=False,
        ws="none",
        timeout_graceful_shutdown=int(limits.timeout) + 1,
    )
    # uvicorn raises a signal again once it has stopped: by then it has been obeyed
    before = {sign: signal.signal(sign, lambda *_: None) for sign in (signal.SIGINT, signal.SIGTERM)}
    try:
        Server(config).run(sockets=[listening])
    finally:
        for sign, handler in before.items():
            signal.signal(sign, handler)


def _check_packages() -> None:
    missing = [name for name in NEEDED if find_spec(name) is None]
    if missing:
        raise DependencyError(
            "a server needs FastAPI, uvicorn, python-multipart and prometheus-client",
            f"{', '.join(missing)} cannot be imported",
            'Install them: `pip install "wiggly[app]"`',
        )
