"""`Explorable`: an idea to play with, shown by a notebook, saved as a page, readable from Python.

In: the name of an ES module and the data it begins with. Out: a widget where there is a kernel (anywidget),
the same module in a frame where there is none, or a file that any browser opens. Read next: `explore.py`.
"""

from __future__ import annotations

import html
import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from wiggly.errors import DependencyError, StorageError
from wiggly.teach.assets import module_source

__all__ = ["Explorable", "code_of", "plain"]

FRAME_HEIGHT = 980  # pixels, until the page in the frame has told its own height

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""

OWN_PAGE = ":root { color-scheme: light dark; } body { margin: 8px; background: Canvas; }"
IN_FRAME = "body { margin: 8px; background: transparent; }"  # the notebook's own colour shines through

# A frame cannot size itself, so its page tells the height to the element that holds it.
TELL_HEIGHT = """
const tell = () => { try { frameElement.style.height = document.documentElement.offsetHeight + 18 + "px"; }
  catch { /* a frame of another origin keeps its first height */ } };
new ResizeObserver(tell).observe(document.body);
"""


class Explorable:
    """One idea to play with.

    In a notebook, the last line of a cell shows it. It needs no kernel: everything is computed in the page,
    so a saved notebook stays playable.

    Args:
        name: The ES module, e.g. "sum-of-relus".
        data: What the page begins with, JSON.
        code: The Python function that computes the same, shown in the page.

    Example:
        >>> from wiggly.teach.relus import relu_sum
        >>> toy = Explorable("sum-of-relus", code=[relu_sum])
        >>> toy.save("relus.html").name
        'relus.html'
    """

    def __init__(
        self, name: str, data: Mapping[str, Any] | None = None, code: Iterable[Callable[..., Any]] = ()
    ) -> None:
        self.name = name
        self.data: dict[str, Any] = {"code": code_of(*code), **plain(dict(data or {}))}
        self._widget: Any = None

    @property
    def title(self) -> str:
        """The name for a person: "Sum of relus"."""
        return self.name.replace("-", " ").capitalize()

    @property
    def state(self) -> dict[str, Any]:
        """Where the person who plays with the widget is now: the numbers the page shows; empty before.

        Only a shown `widget` can tell; a saved page has no way back to Python.
        """
        return {} if self._widget is None else dict(self._widget.state)

    def html(self) -> str:
        """A piece of HTML that works in any page, offline: the module, and its data beside it."""
        data = json.dumps(self.data, allow_nan=False).replace("</", "<\\/")
        code = module_source(self.name).replace("</script", "<\\/script")
        return (
            f'<div data-wiggly="{self.name}"><script type="application/json">{data}</script></div>\n'
            f'<script type="module">{code}</script>'
        )

    def page(self) -> str:
        """A whole page of HTML, which asks for nothing from elsewhere."""
        return PAGE.format(title=html.escape(self.title), style=OWN_PAGE, body=self.html())

    def save(self, path: str | Path) -> Path:
        """Writes the page to a file that any browser opens.

        Args:
            path: Where; ends in `.html`.

        Raises:
            StorageError: It cannot be written.
        """
        target = Path(path)
        try:
            target.write_text(self.page(), "utf-8")
        except OSError as error:
            raise StorageError(
                "the page must be written to a place that can be written to",
                f"{target}: {error.strerror or error}",
                "Pass another path.",
            ) from error
        return target

    def widget(self) -> Any:
        """The anywidget of it, for code that reads `state`, or puts it beside other widgets.

        Raises:
            DependencyError: anywidget is not installed.
        """
        if self._widget is None:
            self._widget = _make_widget(self.name, self._widget_data())
        return self._widget

    def _widget_data(self) -> dict[str, Any]:
        return self.data

    def _repr_html_(self) -> str:
        inner = PAGE.format(
            title=html.escape(self.title),
            style=IN_FRAME,
            body=f'{self.html()}\n<script type="module">{TELL_HEIGHT}</script>',
        )
        return (
            f'<iframe title="{html.escape(self.title)}" srcdoc="{html.escape(inner)}" '
            f'style="width:100%;height:{FRAME_HEIGHT}px;border:0" loading="lazy"></iframe>'
        )

    def __repr__(self) -> str:
        return f"{self.title}: an explorable. A notebook shows it; .save('page.html') writes a page."


def code_of(*functions: Callable[..., Any]) -> dict[str, str] | None:
    """What the page shows of the code behind it: the functions' place and source."""
    if not functions:
        return None
    first = inspect.unwrap(functions[0])
    source = "\n\n".join(inspect.getsource(function).rstrip() for function in functions)
    return {"name": f"{first.__module__}.{first.__qualname__}", "source": source}


def plain(value: Any) -> Any:
    """The same as JSON: lists for tensors and arrays, None for what is no number."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(each) for key, each in cast("Mapping[Any, Any]", value).items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in cast("list[Any]", value)]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _make_widget(name: str, data: dict[str, Any]) -> Any:
    try:
        import anywidget
        import traitlets
    except ImportError as error:
        raise DependencyError(
            "the widget needs the package anywidget",
            f"it cannot be imported ({error})",
            'Install it: `pip install "wiggly[notebook]"`',
        ) from error

    class ExplorableWidget(anywidget.AnyWidget):
        """An explorable in a notebook: `data` goes to the page, `state` comes back, `live` answers it."""

        _esm = module_source(name)
        data: Any = traitlets.Dict().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
        state: Any = traitlets.Dict().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]
        live: Any = traitlets.Dict().tag(sync=True)  # pyright: ignore[reportUnknownVariableType]

    return ExplorableWidget(data=data)
