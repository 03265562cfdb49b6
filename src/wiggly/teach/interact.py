"""`interact`: a function of your own with a control for each argument, as in ipywidgets.

In: a function that draws, prints or returns something, and abbreviations for its arguments. Out: controls and
what the function makes; with a running kernel every setting is computed, without one the nearest of the
settings that were computed beforehand is shown, so a saved notebook stays playable. Read next:
`controls.py`.
"""

from __future__ import annotations

import base64
import contextlib
import inspect
import io
import itertools
import sys
import time
import traceback
import uuid
from collections.abc import Callable, Iterator
from typing import Any, TypeVar, overload

from wiggly.errors import ArgumentError, DependencyError
from wiggly.teach.controls import FINE, Control, control_of
from wiggly.teach.explorable import Explorable

__all__ = ["Interactive", "interact", "interactive"]

F = TypeVar("F", bound=Callable[..., Any])

SECONDS = 4.0  # of the processor's time, spent on settings computed beforehand
MOST_STATES = 160
FEWEST = 3  # values of each control in settings where several differ
COLOURS = 64  # of a picture: a chart needs no more, and takes a third of the room
DPI = 80


class Interactive(Explorable):
    """A function with a control for each of its arguments; a notebook shows it.

    Args:
        function: What is called whenever a control moves.
        controls: One per argument.
        seconds: How long to compute settings beforehand, in time of the processor.
    """

    def __init__(self, function: Callable[..., Any], controls: list[Control], seconds: float) -> None:
        self.function, self.controls = function, controls
        states, outputs = self._beforehand(seconds)
        doc = (inspect.getdoc(function) or "").split("\n\n")[0].replace("\n", " ")
        data = {
            "id": uuid.uuid4().hex,
            "title": getattr(function, "__name__", "function"),
            "idea": doc,
            "controls": [control.config() for control in controls],
            "states": states,
            "outputs": outputs,
        }
        super().__init__("interact", data, [function] if _has_source(function) else [])

    def call(self, values: list[Any]) -> list[dict[str, str]]:
        """What the function makes of a setting: pictures, text, HTML."""
        pairs = zip(self.controls, values, strict=True)
        return captured(self.function, {control.name: control.argument(value) for control, value in pairs})

    def widget(self) -> Any:
        """The anywidget that brings the settings of the page to this kernel, and the answers back."""
        if self._widget is None:
            super().widget().observe(self._answer, "state")
        return self._widget

    def _widget_data(self) -> dict[str, Any]:
        return {"id": self.data["id"]}  # the page has the rest

    def _answer(self, change: Any) -> None:
        values = change["new"].get("values")
        if values is None:
            return
        try:
            items = self.call(values)
        except Exception:
            items = [{"type": "error", "data": traceback.format_exc(limit=-2)}]
        self._widget.live = {"values": values, "items": items}

    def _ipython_display_(self) -> None:
        """The page, and beside it, unseen, the widget that connects it to the kernel."""
        from IPython.display import display

        display({"text/html": self._repr_html_(), "text/plain": repr(self)}, raw=True)
        with contextlib.suppress(DependencyError):
            display(self.widget())

    def _beforehand(self, seconds: float) -> tuple[list[dict[str, Any]], list[list[dict[str, str]]]]:
        outputs: list[list[dict[str, str]]] = []
        states: list[dict[str, Any]] = []
        start = time.process_time()
        for values in _settings(self.controls):
            if len(states) >= MOST_STATES or (states and time.process_time() - start > seconds):
                break
            try:
                made = self.call(values)
            except Exception:
                if not states:  # the first is what the user sees: let the error speak
                    raise
                continue
            if made not in outputs:
                outputs.append(made)
            states.append({"values": values, "output": outputs.index(made)})
        return states, outputs


def _settings(controls: list[Control]) -> Iterator[list[Any]]:
    """Settings worth computing, most useful first: the start, one control moved, then several."""
    start = [control.value for control in controls]
    seen: list[list[Any]] = [start]
    yield start
    for n in (7, FINE):
        for i, control in enumerate(controls):
            for value in control.values(n)[1:]:
                moved = [*start[:i], value, *start[i + 1 :]]
                if moved not in seen:
                    seen.append(moved)
                    yield moved
        if n == 7:
            for several in itertools.product(*(control.values(FEWEST + 1) for control in controls)):
                if list(several) not in seen:
                    seen.append(list(several))
                    yield list(several)


def captured(function: Callable[..., Any], arguments: dict[str, Any]) -> list[dict[str, str]]:
    """Calls a function and keeps all that it shows: what it prints, displays, draws and returns.

    Args:
        function: The function.
        arguments: Its arguments by name.

    Returns:
        Items `{"type": ..., "data": ...}` with a picture as PNG in base64, HTML, or text.

    Example:
        >>> captured(lambda a: print("twice:", 2 * a), {"a": 4})
        [{'type': 'text/plain', 'data': 'twice: 8'}]
    """
    plot = sys.modules.get("matplotlib.pyplot")
    before: set[int] = set(plot.get_fignums()) if plot else set()
    printed, shown, result = _called(function, arguments)
    items = [{"type": "text/plain", "data": printed.rstrip()}] if printed.strip() else []
    items += shown
    plot = sys.modules.get("matplotlib.pyplot")
    if plot:
        for number in set(plot.get_fignums()) - before:
            items.append(_picture_of(plot.figure(number)))
            plot.close(number)
    if result is not None:
        items.append(_item_of(result))
    return items


def _called(function: Callable[..., Any], arguments: dict[str, Any]) -> tuple[str, list[dict[str, str]], Any]:
    """The function's printed text, what it displayed in IPython, and its result."""
    python = sys.modules.get("IPython")
    if python is None or python.get_ipython() is None:
        text = io.StringIO()
        with contextlib.redirect_stdout(text):
            result = function(**arguments)
        return text.getvalue(), [], result
    from IPython.utils.capture import capture_output

    with capture_output() as kept:
        result = function(**arguments)
    shown = [_from_mime(output.data) for output in kept.outputs]
    return kept.stdout, shown, result


def _from_mime(bundle: dict[str, Any]) -> dict[str, str]:
    for kind in ("image/png", "text/html", "text/plain"):
        if kind in bundle:
            value = bundle[kind]
            return {
                "type": kind,
                "data": base64.b64encode(value).decode() if isinstance(value, bytes) else value,
            }
    return {"type": "text/plain", "data": f"(shown as {', '.join(bundle)})"}


def _item_of(result: Any) -> dict[str, str]:
    if type(result).__module__.startswith("matplotlib") and hasattr(result, "savefig"):
        return _picture_of(result)
    as_html = getattr(result, "_repr_html_", None)
    made = as_html() if callable(as_html) else None
    return {"type": "text/html", "data": str(made)} if made else {"type": "text/plain", "data": repr(result)}


def _picture_of(figure: Any) -> dict[str, str]:
    """A matplotlib figure as a small PNG: few colours, which charts do not miss."""
    import numpy as np
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from PIL import Image

    figure.set_dpi(DPI)
    figure.set_facecolor("white")
    canvas, small = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    drawn = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    drawn.quantize(COLOURS, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(small, "PNG")
    return {"type": "image/png", "data": base64.b64encode(small.getvalue()).decode()}


def _has_source(function: Callable[..., Any]) -> bool:
    try:
        inspect.getsource(function)
    except (OSError, TypeError):
        return False
    return True


def interactive(
    function: Callable[..., Any], *, seconds_beforehand: float = SECONDS, **abbreviations: Any
) -> Interactive:
    """The controls and output of a function, to show, save or keep.

    Args:
        function: Draws with matplotlib, prints, or returns something.
        seconds_beforehand: How long to compute settings for readers without a kernel.
        abbreviations: A control for each argument, by name; see `control_of`. Arguments that are not named
            take their default for one.

    Raises:
        ArgumentError: An argument has no control and no default, or a control has no argument.

    Example:
        >>> shown = interactive(lambda a, b: a + b, a=(0, 10), b=[1, 2])
        >>> [control.kind for control in shown.controls]
        ['slider', 'choice']
    """
    parameters = inspect.signature(function).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    named = {name: p for name, p in parameters.items() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    unknown = [name for name in abbreviations if name not in named and not takes_any]
    empty = inspect.Parameter.empty
    missing = [name for name, p in named.items() if name not in abbreviations and p.default is empty]
    if unknown or missing:
        raise ArgumentError(
            "`interact` needs one control for each argument of the function",
            f"none for {missing}" if missing else f"the function has no {unknown}",
            f"Its arguments are {list(named)}; write e.g. {next(iter(missing or named), 'a')}=(0, 5).",
        )
    controls: list[Control] = []
    for name, parameter in named.items():
        default = None if parameter.default is empty else parameter.default
        controls.append(control_of(name, abbreviations.get(name, default), default))
    controls += [control_of(name, given) for name, given in abbreviations.items() if name not in named]
    return Interactive(function, controls, seconds_beforehand)


@overload
def interact(function: F, /, **abbreviations: Any) -> F: ...
@overload
def interact(**abbreviations: Any) -> Callable[[F], F]: ...
def interact(function: Any = None, /, **abbreviations: Any) -> Any:
    """Shows controls for a function's arguments and what the function makes of them.

    The same call as ipywidgets' `interact`: `interact(f, a=(0, 5))`, or `@interact(a=1.5)` above the
    function. What it adds: a saved notebook stays playable without a kernel.

    Args:
        function: Draws with matplotlib, prints, or returns something.
        abbreviations: A control for each argument, by name: a number is a slider around it, `(min, max)` or
            `(min, max, step)` a slider, a truth a box to tick, a text a field, a list or dict a choice.

    Returns:
        The function, unchanged.

    Example:
        >>> @interact(a=1.5, squared=False)
        ... def area(a, squared):
        ...     return a * a if squared else a
        >>> area(2, True)
        4
    """
    if function is None:
        return lambda decorated: interact(decorated, **abbreviations)  # pyright: ignore
    shown = interactive(function, **abbreviations)
    python = sys.modules.get("IPython")
    if python is not None and python.get_ipython() is not None:
        shown._ipython_display_()  # pyright: ignore[reportPrivateUsage]
    return function
