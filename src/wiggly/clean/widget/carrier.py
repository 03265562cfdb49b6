"""The cleaner in a notebook: requests of its front end come over the kernel, answers and pictures go back.

In: a cleaner. Out: an anywidget of the built component, and beside it a note for those who open the notebook
without a kernel. A message from the page is `{"id", "ask": request}`, or `{"id", "pictures": positions,
"size"}`; the reply has the same id, and with pictures a buffer for each. Read next: `note.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wiggly.clean.built import static_files
from wiggly.clean.widget.note import note_of
from wiggly.errors import DependencyError, WigglyError

if TYPE_CHECKING:
    from wiggly.clean.widget.cleaner import ImageClassifierCleaner

__all__ = ["Carrier", "check_anywidget", "reply"]

CHANGING = ("mark", "undo", "redo")


class Carrier:
    """Brings a cleaner to the notebooks that show it.

    Args:
        cleaner: Answers the requests.

    Raises:
        DependencyError: anywidget is not installed, or the page was not built and cannot be.
    """

    def __init__(self, cleaner: ImageClassifierCleaner) -> None:
        self.cleaner = cleaner
        self.widget = _made(cleaner)
        self.widget.on_msg(self._answer)
        self._shown = False

    def _answer(self, widget: Any, message: Any, _buffers: Any) -> None:
        content, pictures = reply(self.cleaner, message)
        widget.send(content, pictures)
        if self._shown and message.get("ask", {}).get("do") in CHANGING:
            _show_note(self.cleaner, again=True)

    def display(self) -> None:
        """Shows it below a cell, and the note, which the live widget hides."""
        from IPython.display import display

        # Nothing but the widget: what cannot show it takes the note, and not two texts.
        view = {"version_major": 2, "version_minor": 0, "model_id": self.widget.model_id}
        display({"application/vnd.jupyter.widget-view+json": view}, raw=True)
        _show_note(self.cleaner)
        self._shown = True


def _show_note(cleaner: ImageClassifierCleaner, again: bool = False) -> None:
    from IPython.display import display

    shown = {"text/html": note_of(cleaner), "text/plain": repr(cleaner)}
    display(shown, raw=True, display_id=cleaner.number, update=again)


def reply(cleaner: ImageClassifierCleaner, message: Any) -> tuple[dict[str, Any], list[bytes]]:
    """The answer to a message of the page; whatever fails is an answer, too.

    Args:
        cleaner: Is asked.
        message: See the module.

    Returns:
        The content, and the pictures.
    """
    number = message.get("id") if isinstance(message, dict) else None
    try:
        if "pictures" in message:
            return _pictures(cleaner, message)
        return {"id": number, "answer": cleaner.answer(message["ask"])}, []
    except WigglyError as error:
        said = str(error)
    except Exception as error:  # the page must not wait for ever
        said = f"{type(error).__name__}: {error}"
    return {"id": number, "answer": {"error": said}}, []


def _pictures(cleaner: ImageClassifierCleaner, message: dict[str, Any]) -> tuple[dict[str, Any], list[bytes]]:
    """Pictures by position; size 0 is the picture itself, as far as a browser can show it."""
    found: list[bytes] = []
    types: list[str] = []
    for position in message["pictures"]:
        try:
            size = int(message["size"])
            data, kind = (
                (cleaner.review.thumbnail(position, size), "image/jpeg")
                if size
                else cleaner.review.picture(position)
            )
        except (WigglyError, OSError, IndexError):
            data, kind = b"", ""
        found.append(data)
        types.append(kind)
    return {"id": message.get("id"), "types": types}, found


def _built(name: str) -> str:
    return static_files(name)[name].decode("utf-8")


def check_anywidget() -> None:
    """Says what is missing where the cleaner could not be shown.

    Raises:
        DependencyError: anywidget is not installed.
    """
    try:
        import anywidget  # noqa: F401 # pyright: ignore[reportUnusedImport]
    except ImportError as error:
        raise DependencyError(
            "the cleaner needs the package anywidget to be shown",
            f"it cannot be imported ({error})",
            'Install it with `pip install "wiggly[notebook]"` and restart the kernel; '
            "or clean in the browser: `wiggly clean DATA`",
        ) from error


def _made(cleaner: ImageClassifierCleaner) -> Any:
    check_anywidget()
    import anywidget
    import traitlets

    class CleanerWidget(anywidget.AnyWidget):
        """The component of `web/cleaner`; `start` is how it begins."""

        _esm = _built("widget.js")
        _css = _built("widget.css")
        start: Any = traitlets.Dict().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]

    return CleanerWidget(start=cleaner.settings)
