"""A web page for a model: drop a photo or fill in a form, and read what the model says.

In: a bundle. Out: a Gradio page, served from this machine; it loads nothing from elsewhere and keeps no photo
for longer than an hour. Read next: `photos.py`, `forms.py` and `liked.py`, one for each kind of input;
`../bundle/predictor.py`, which answers.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import threading
import webbrowser
from collections.abc import Generator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from wiggly.apps.model import PageModel
from wiggly.apps.photos import photo_page
from wiggly.errors import ArgumentError, DependencyError

__all__ = ["STYLE", "import_gradio", "make_app", "serve", "theme_of", "upload_folder"]

PORTS_TRIED = 100
LARGEST_UPLOAD = "50mb"  # a 50-megapixel camera's JPEG is half of that
KEPT_SECONDS = 3600  # Gradio stores uploads in a temporary folder; they are deleted when this old
CLEANING_SECONDS = 300  # how often it looks

FONTS = [
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "sans-serif",
]  # the visitor's own: nothing to load

STYLE = """
.gradio-container { max-width: min(960px, 100vw) !important; margin: 0 auto !important; }
.gradio-container .table-wrap { max-width: 100%; overflow-x: auto; }
#head .html-container, #foot .html-container, #notice .html-container { padding: 0; }
#head h1 { font-size: 1.9rem; line-height: 1.2; margin: 0.6rem 0 0.2rem; overflow-wrap: anywhere; }
#head p, #foot p { margin: 0.3rem 0; }
#head .score, #foot { opacity: 0.8; }
#foot { font-size: 0.9rem; }
#foot summary { cursor: pointer; padding: 0.3rem 0; }
#foot details p { overflow-wrap: anywhere; }
#notice p { border-left: 4px solid #d97706; background: #d9770618; border-radius: 4px; padding: 0.7rem 0.9rem;
margin: 0;
  overflow-wrap: anywhere; }
#answer.block:has(ol), #answer.block:has(strong) { padding-top: 1.8rem; }
#answer strong { font-size: 1.9rem; line-height: 1.2; }
#answer ol { padding-left: 1.6rem; margin: 0.3rem 0; list-style: decimal; }
#answer li { padding: 0.15rem 0; overflow-wrap: anywhere; }
#answer span { opacity: 0.7; }
#form .form { display: grid; grid-template-columns: repeat(auto-fill, minmax(200px, 1fr));
  background: var(--block-background-fill); }
#answer h2 { overflow-wrap: anywhere; }
.gallery-item .container { width: 96px !important; height: 96px !important; max-height: none; }
.gallery-item .container img { width: 100%; height: 100%; object-fit: cover; }
"""


def make_app(predictor: PageModel) -> Any:
    """The page of a model, to be served or mounted.

    Args:
        predictor: What `load_bundle` or `open_session` returned.

    Returns:
        A `gradio.Blocks`.

    Raises:
        DependencyError: Gradio is not installed.
    """
    gradio, manifest = import_gradio(), predictor.manifest
    with gradio.Blocks(
        title=manifest.title,
        analytics_enabled=False,
        delete_cache=(CLEANING_SECONDS, KEPT_SECONDS),
        fill_width=False,
    ) as app:
        if manifest.inputs[0].kind == "image":
            photo_page(predictor, gradio)
        elif manifest.inputs[0].kind == "pairs":
            from wiggly.apps.liked import liked_page

            liked_page(predictor, gradio)
        else:
            from wiggly.apps.forms import form_page

            form_page(predictor, gradio)
    return app


def serve(
    path: str | os.PathLike[str], host: str = "127.0.0.1", port: int = 7860, open_browser: bool = False
) -> None:
    """Serve the page of a bundle until Ctrl-C, and print its address.

    The worked examples are run first: a model that answers differently on this machine is not served.

    Args:
        path: The bundle.
        host: Address to listen on. By default only this machine can see the page; "0.0.0.0" lets the network
            in.
        port: Port to listen on; the next free one is taken when it is in use.
        open_browser: Open the page in the default browser.

    Raises:
        BundleError: The bundle is damaged or does not answer as it should.
        DependencyError: Gradio is not installed.
        ArgumentError: `host` is not an address of this machine, or no port is free.
    """
    from wiggly.bundle.predictor import load_bundle

    gradio = import_gradio()
    predictor = load_bundle(path)
    predictor.verify()
    free = _free_port(host, port)
    with upload_folder():
        app = make_app(predictor)
        _, address, _ = app.launch(**_launch_settings(gradio, host, free))
        print(f"{predictor.manifest.title}: {address}   (Ctrl-C stops)", flush=True)
        if host not in ("127.0.0.1", "localhost", "::1"):
            print("Everybody who can reach this machine can use the page.", flush=True)
        if open_browser:
            webbrowser.open(address)
        try:
            _wait_for_the_end()
        finally:
            app.close(verbose=False)
    print("stopped", flush=True)


@contextmanager
def upload_folder() -> Generator[None]:
    """A folder for Gradio's copies of photos, gone when serving ends; or the one the user has named."""
    if "GRADIO_TEMP_DIR" in os.environ:
        yield
        return
    with TemporaryDirectory(prefix="wiggly-app-", ignore_cleanup_errors=True) as folder:
        os.environ["GRADIO_TEMP_DIR"] = folder
        try:
            yield
        finally:
            del os.environ["GRADIO_TEMP_DIR"]


def _wait_for_the_end() -> None:
    """Until Ctrl-C, or SIGTERM, which is how a container is stopped."""
    stop = threading.Event()
    in_charge = threading.current_thread() is threading.main_thread()  # others may set no handler
    before = signal.signal(signal.SIGTERM, lambda *_: stop.set()) if in_charge else None
    try:
        stop.wait()
    except KeyboardInterrupt:
        pass
    finally:
        if in_charge:
            signal.signal(signal.SIGTERM, before)


def import_gradio() -> ModuleType:
    """Gradio, kept from asking the internet whether it is the newest.

    Raises:
        DependencyError: It is not installed.
    """
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # on import Gradio would ask whether it is the newest
    try:
        import gradio
    except ImportError as error:
        raise DependencyError(
            "the web page needs the package gradio",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[app]"`',
        ) from error
    return gradio


def _launch_settings(gradio: ModuleType, host: str, port: int) -> dict[str, Any]:
    return {
        "server_name": host,
        "server_port": port,
        "prevent_thread_lock": True,
        "quiet": True,
        "share": False,
        "ssr_mode": False,
        "enable_monitoring": False,
        "max_file_size": LARGEST_UPLOAD,
        "footer_links": [],
        "css": STYLE,
        "theme": theme_of(gradio),
    }


def theme_of(gradio: ModuleType) -> Any:
    """Gradio's look with the visitor's own fonts."""
    return gradio.themes.Default(font=FONTS, font_mono=FONTS)


def _free_port(host: str, port: int) -> int:
    """`port`, or the first one after it that nobody listens on."""
    if not 1 <= port <= 65535:
        raise ArgumentError("`port` must be from 1 to 65535", f"it is {port}", "Leave it out, or pass 8000.")
    for candidate in range(port, min(port + PORTS_TRIED, 65536)):
        try:
            family = socket.AF_INET6 if ":" in host else socket.AF_INET
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(
                    socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
                )  # a server that just stopped is no obstacle
                probe.bind((host, candidate))
                return candidate
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise ArgumentError(
                    "`host` and `port` must be an address of this machine that you may use",
                    f"{host}:{candidate} cannot be used: {error.strerror or error}",
                    "Leave `host` out, and pass a port from 1024 to 65535.",
                ) from error
    raise ArgumentError(
        f"one of the ports {port} to {port + PORTS_TRIED - 1} must be free",
        "all are in use",
        "Pass another `port`.",
    )
