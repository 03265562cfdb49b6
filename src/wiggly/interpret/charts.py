"""The report's drawings: line chart and confusion table as markup, heat map as a small picture.

In: numbers. Out: `Html` whose colours come from `report.css`, so light, dark and print need no second
drawing. Read next: `sections.py`.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from wiggly.interpret.markup import Html, captioned, clip, element, join

__all__ = ["Series", "confusion_table", "heat_map", "line_chart", "nice_ticks"]

# Units of the viewBox; text in it is scaled with the drawing, see `.chart text` in report.css.
WIDTH, HEIGHT = 520, 280
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 18, 54
LARGEST_MAP = 200  # cells on a side: 1,000 classes are shown in blocks of 5 x 5
ROOMY = 15  # classes: with more, the cells of the table are made smaller
LONGEST_LINE = 400  # points: more than the pixels they would share


@dataclass(frozen=True, slots=True)
class Series:
    """One line of a chart.

    Attributes:
        name: For the legend; also its CSS class (`train`, `valid`).
        points: `(x, y)` in the order drawn; a y that is not finite is left out.
        dots: Mark every point.
    """

    name: str
    points: Sequence[tuple[float, float]]
    dots: bool = False

    def finite(self) -> list[tuple[float, float]]:
        """The points that can be drawn, thinned to `LONGEST_LINE`."""
        kept = [(x, y) for x, y in self.points if isfinite(x) and isfinite(y)]
        step = max(1, ceil(len(kept) / LONGEST_LINE))
        return kept if step == 1 else [*kept[:-1:step], kept[-1]]


def nice_ticks(low: float, high: float, n: int = 5) -> list[float]:
    """About `n` round numbers (1, 2 or 5 times a power of ten) that cover `low` to `high`.

    Example:
        >>> nice_ticks(0, 3.7)
        [0.0, 1.0, 2.0, 3.0, 4.0]
    """
    span = high - low or abs(high) or 1.0
    power = 10.0 ** floor(log10(span / n))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= span / n)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    last = max(last, first + 1)
    return [round(i * step, 12) for i in range(first, last + 1)]


def line_chart(title: str, series: Sequence[Series], marks: Sequence[tuple[float, str]] = ()) -> Html:
    """Lines over epochs.

    Args:
        title: What the y axis shows.
        series: The lines; those without a finite point are left out.
        marks: Phases, as (epoch at which one starts, its name).

    Returns:
        A figure with an inline SVG and a text for screen readers, empty `Html` when there is nothing to draw.
    """
    drawn = [(line, line.finite()) for line in series if line.finite()]
    if not drawn:
        return Html("")
    ys = [y for _, points in drawn for _, y in points]
    # From zero where that wastes little: half a height then is half a loss.
    y_ticks = nice_ticks(min(0.0, *ys) if min(ys) < 0.6 * max(ys) else min(ys), max(ys))
    end = max(1.0, *(points[-1][0] for _, points in drawn))
    x_ticks = [tick for tick in nice_ticks(0, end) if tick == int(tick) and tick <= end]
    box = _Box(0.0, end, y_ticks[0], y_ticks[-1])
    parts = [_axes(box, x_ticks, y_ticks), *(_mark(box, x, name) for x, name in marks if len(marks) > 1)]
    parts += [_line(box, line, points) for line, points in drawn]
    last = "; ".join(f"{line.name} ends at {points[-1][1]:.4g}" for line, points in drawn)
    label = f"{title} over {end:g} epochs: {last}."
    svg = {"viewBox": f"0 0 {WIDTH} {HEIGHT}", "role": "img", "aria-label": label}
    legend = [element("span", {"class": f"key {line.name}"}, line.name) for line, _ in drawn]
    caption = element("figcaption", None, element("b", None, title), " ", *legend)
    return element("figure", {"class": "chart"}, caption, element("svg", svg, *parts))


@dataclass(frozen=True, slots=True)
class _Box:
    """Where numbers lie in the drawing."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float

    def x(self, value: float) -> str:
        share = (value - self.x_low) / (self.x_high - self.x_low)
        return f"{LEFT + share * (WIDTH - LEFT - RIGHT):.1f}"

    def y(self, value: float) -> str:
        share = (value - self.y_low) / (self.y_high - self.y_low)
        return f"{HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM):.1f}"


def _axes(box: _Box, x_ticks: Sequence[float], y_ticks: Sequence[float]) -> Html:
    parts: list[Html] = []
    for tick in y_ticks:
        y = box.y(tick)
        parts.append(element("line", {"class": "rule", "x1": LEFT, "x2": WIDTH - RIGHT, "y1": y, "y2": y}))
        parts.append(
            element("text", {"x": LEFT - 8, "y": y, "dy": "0.35em", "text-anchor": "end"}, f"{tick:g}")
        )
    for tick in x_ticks:
        place = {"x": box.x(tick), "y": HEIGHT - BOTTOM + 22, "text-anchor": "middle"}
        parts.append(element("text", place, f"{tick:g}"))
    middle = {"x": (LEFT + WIDTH - RIGHT) / 2, "y": HEIGHT - 6, "text-anchor": "middle"}
    return join([*parts, element("text", middle, "epochs")])


def _mark(box: _Box, at: float, name: str) -> Html:
    x = box.x(at)
    line = element("line", {"class": "mark", "x1": x, "x2": x, "y1": TOP - 8, "y2": HEIGHT - BOTTOM})
    return join([line, element("text", {"x": x, "dx": 5, "y": TOP, "class": "small"}, name)])


def _line(box: _Box, line: Series, points: Sequence[tuple[float, float]]) -> Html:
    places = [(box.x(x), box.y(y)) for x, y in points]
    path = "M" + "L".join(f"{x} {y}" for x, y in places)
    parts = [element("path", {"class": f"line {line.name}", "d": path})]
    if line.dots:
        parts += [
            element("circle", {"class": f"dot {line.name}", "cx": x, "cy": y, "r": 4}) for x, y in places
        ]
    return join(parts)


def confusion_table(counts: npt.NDArray[Any], labels: Sequence[str]) -> Html:
    """The confusion matrix as a table, shaded by the share of each actual class.

    Args:
        counts: Shape `(c, c)`, rows actual, columns predicted.
        labels: The c class names.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [clip(label, 24) for label in labels]
    corner = element("th", {"scope": "col", "class": "corner"}, "actual \u2193 predicted \u2192")
    head = [corner, *(element("th", {"scope": "col"}, element("span", None, name)) for name in names)]
    body: list[Html] = []
    for row, name in enumerate(names):
        cells = [
            _cell(int(n), float(share), row == i)
            for i, (n, share) in enumerate(zip(counts[row], shares[row], strict=True))
        ]
        body.append(element("tr", None, element("th", {"scope": "row"}, name), *cells))
    caption = "Confusion matrix: rows are the actual class, columns the predicted one"
    kind = "confusion dense" if len(labels) > ROOMY else "confusion"
    parts = element("thead", None, element("tr", None, *head)), element("tbody", None, *body)
    return captioned(element("table", {"class": kind, "aria-label": caption}, *parts), caption)


def _cell(n: int, share: float, right: bool) -> Html:
    if not n:
        return element("td", {"class": "zero"}, "0")
    return element("td", {"class": "right" if right else "wrong", "style": f"--share:{share:.2f}"}, str(n))


def heat_map(counts: npt.NDArray[Any], alt: str) -> Html:
    """The confusion matrix of many classes as a picture of at most 200 x 200 cells.

    Right answers are blue, wrong ones orange, on a clear ground, so it suits a light and a dark page. With
    more classes than cells, neighbouring classes share one.

    Args:
        counts: Shape `(c, c)`, rows actual, columns predicted.
        alt: What is to be seen, in words.
    """
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    wrong = shares.copy()
    np.fill_diagonal(wrong, 0.0)
    side = ceil(len(counts) / LARGEST_MAP)
    errors, rights = _largest_in_blocks(wrong, side), _largest_in_blocks(np.diag(np.diag(shares)), side)
    pixels = np.zeros((*errors.shape, 4), dtype=np.uint8)
    pixels[..., :3] = np.where(
        (errors > 0)[..., None], (213, 94, 0), (0, 114, 178)
    )  # Okabe and Ito's safe colours
    # A single error among many must be seen: the faintest mark is a third of full colour.
    strength = np.where(errors > 0, errors, rights)
    pixels[..., 3] = np.where(strength > 0, np.rint(255 * (0.35 + 0.65 * strength)), 0)
    stream = io.BytesIO()
    Image.fromarray(pixels, "RGBA").save(stream, format="PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode("ascii")
    size = {"width": len(errors), "height": len(errors)}
    return element("img", {"class": "map", "src": source, "alt": alt, **size})


def _largest_in_blocks(values: npt.NDArray[Any], side: int) -> npt.NDArray[Any]:
    cells = ceil(len(values) / side)
    padded = np.zeros((cells * side, cells * side))
    padded[: len(values), : len(values)] = values
    return padded.reshape(cells, side, cells, side).max(axis=(1, 3))
