"""A web page for a model: drop a photo, or take one, and read what the model says.

In: a bundle. Out: a Gradio page, served from this machine; it loads nothing from elsewhere and keeps no photo
for longer than an hour. Read next: `../bundle/predictor.py`, which answers.
"""

from __future__ import annotations

import base64
import errno
import io
import os
import signal
import socket
import threading
import webbrowser
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from html import escape
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from PIL import Image

from wiggly.bundle.manifest import Label, Score
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.errors import ArgumentError, BundleError, DependencyError, ItemError, WigglyError

__all__ = ["make_app", "serve"]

TOP = 5  # label bars
LISTED = 1_000  # classes named at the foot of the page
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
.gradio-container { max-width: 960px !important; margin: 0 auto !important; }
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
#answer h2 { overflow-wrap: anywhere; }
.gallery-item .container { width: 96px !important; height: 96px !important; max-height: none; }
.gallery-item .container img { width: 100%; height: 100%; object-fit: cover; }
"""


def make_app(predictor: Predictor) -> Any:
    """The page of a model, to be served or mounted.

    Args:
        predictor: What `load_bundle` returned.

    Returns:
        A `gradio.Blocks`.

    Raises:
        DependencyError: Gradio is not installed.
        BundleError: The model says something else than one label per photo.
    """
    manifest = predictor.manifest
    if manifest.task != "classification":
        raise BundleError(
            "the page shows one label per photo",
            f"{manifest.title!r} is a model for {manifest.task}",
            "Use `wiggly predict`, or `load_bundle(path).predict(photo)` in Python.",
        )
    gradio = _import_gradio()
    with gradio.Blocks(
        title=manifest.title,
        analytics_enabled=False,
        delete_cache=(CLEANING_SECONDS, KEPT_SECONDS),
        fill_width=False,
    ) as app:
        gradio.HTML(_head(predictor), elem_id="head", padding=False)
        with gradio.Row():
            with gradio.Column():
                photo = gradio.Image(
                    label="Photo",
                    sources=["upload", "webcam", "clipboard"],
                    image_mode=None,
                    format="png",  # of the examples: without loss, so that they come out exactly as recorded
                    height=380,
                    elem_id="photo",
                    buttons=["fullscreen"],
                )
            with gradio.Column():
                notice = gradio.HTML(visible=False, elem_id="notice", padding=False)
                answer = gradio.Label(label="The model says", num_top_classes=TOP, elem_id="answer")
        # Without `preprocess` the uploaded file itself arrives: the model's own reader turns, converts and
        # scales it.
        answering = _answer_function(predictor, gradio)
        photo.change(
            answering, photo, [answer, notice], preprocess=False, api_name="predict", show_progress="minimal"
        )
        if predictor.examples:
            pictures = [[Image.open(io.BytesIO(example.content))] for example in predictor.examples]
            gradio.Examples(pictures, photo, label="Photos it had not trained on", cache_examples=False)
        gradio.HTML(_foot(predictor), elem_id="foot", padding=False)
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
    gradio = _import_gradio()
    predictor = load_bundle(path)
    predictor.verify()
    free = _free_port(host, port)
    with _upload_folder():
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
def _upload_folder() -> Generator[None]:
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


def _import_gradio() -> ModuleType:
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
        "theme": gradio.themes.Default(font=FONTS, font_mono=FONTS),
    }


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


def _answer_function(
    predictor: Predictor, gradio: ModuleType
) -> Callable[[dict[str, Any] | None], tuple[Any, Any]]:
    names = _names(predictor.vocab)

    def predict(photo: dict[str, Any] | None) -> tuple[dict[str, float] | None, Any]:
        """Probabilities by label, and a notice when the file cannot be used."""
        if photo is None:
            return None, gradio.HTML(visible=False)
        try:
            probs = predictor.predict(_source(photo)).probs
        except WigglyError as error:
            return None, gradio.HTML(f'<p role="alert">{_complaint(error, photo)}</p>', visible=True)
        return dict(zip(names, probs.tolist(), strict=True)), gradio.HTML(visible=False)

    return predict


def _source(photo: dict[str, Any]) -> str | bytes:
    """The uploaded file as it is. Gradio has checked that the path lies in its upload folder."""
    url = photo.get("url") or ""
    if url.startswith("data:"):
        return base64.b64decode(url.partition(",")[2])
    return str(photo["path"])


def _complaint(error: WigglyError, photo: dict[str, Any]) -> str:
    """What a visitor should know; Gradio shows it as HTML."""
    name = photo.get("orig_name") or "This"
    reason = (
        error.reason if isinstance(error, ItemError) else error.received
    )  # without the path on this machine
    return escape(
        f"{name} cannot be read as a photo: {reason}. Try another one; JPEG, PNG and WebP files work."
    )


def _names(vocab: list[Label]) -> list[str]:
    """Labels as text; those that read alike (`True` and "True") are told apart."""
    times = Counter(map(str, vocab))
    return [str(label) if times[str(label)] == 1 else repr(label) for label in vocab]


def _head(predictor: Predictor) -> str:
    manifest = predictor.manifest
    description = f"<p>{escape(manifest.description)}</p>" if manifest.description else ""
    score = score_line(manifest.score) if manifest.score else "Nobody has measured how often it is right."
    return f'<h1>{escape(manifest.title)}</h1>{description}<p class="score">{escape(score)}</p>'


def score_line(score: Score) -> str:
    """The validation score in one honest sentence.

    Example:
        >>> print(score_line(Score("accuracy", 0.938, 210, (0.897, 0.964), 0.19, "Abyssinian")))
        Right on 93.8 % of 210 photos it had not trained on (95 % interval 89.7 to 96.4 %); always answering
        “Abyssinian” would get 19.0 %.
    """
    low, high = score.interval
    return (
        (
            f"Right on {score.value:.1%} of {score.n:,} photos it had not trained on "
            f"(95 % interval {100 * low:.1f} to {100 * high:.1f} %); "
            f"always answering “{score.baseline_label}” would get {score.baseline:.1%}."
        )
        .replace("%", " %")
        .replace("  %", " %")
    )


def _foot(predictor: Predictor) -> str:
    names, manifest = _names(predictor.vocab), predictor.manifest
    more = f", and {len(names) - LISTED:,} more" if len(names) > LISTED else ""
    listed = escape(", ".join(names[:LISTED]) + more)
    terms = f" Terms of use: {escape(manifest.licence)}." if manifest.licence else ""
    return (
        f"<details><summary>It knows {len(names):,} classes and answers with one of them whatever the photo "
        f"shows</summary>"
        f"<p>{listed}</p></details>"
        f"<p>Photos stay on the machine that serves this page and are deleted after an hour.{terms} "
        f"Made with wiggly {escape(manifest.wiggly)} on {escape(manifest.created[:10])}.</p>"
    )
