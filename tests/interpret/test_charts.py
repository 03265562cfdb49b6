"""Charts: numbers land where they belong, whatever the numbers."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from tests.interpret.support import parse

from wiggly.interpret.charts import Series, confusion_table, heat_map, line_chart, nice_ticks


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_cover_the_range_with_few_round_numbers(low: float, span: float) -> None:
    ticks = nice_ticks(low, low + span)
    assert ticks[0] <= low + 1e-6 * span
    assert ticks[-1] >= low + span - 1e-6 * span
    assert 2 <= len(ticks) <= 9
    assert np.allclose(np.diff(ticks), ticks[1] - ticks[0])


def test_ticks_of_a_single_value() -> None:
    assert len(nice_ticks(0.0, 0.0)) >= 2
    assert len(nice_ticks(3.0, 3.0)) >= 2


def test_line_chart_says_what_it_shows() -> None:
    chart = line_chart(
        "Loss",
        [Series("train", [(0.5, 2.0), (2, 0.5)]), Series("valid", [(1, 1.0), (2, 0.7)], dots=True)],
        [(0, "frozen"), (1, "all layers")],
    )
    tree = parse(chart)
    svg = next(dict(attributes) for tag, attributes in tree.starts if tag == "svg")
    assert svg["role"] == "img"
    assert "train ends at 0.5" in str(svg["aria-label"])
    assert sum(tag == "circle" for tag, _ in tree.starts) == 2
    assert "all layers" in tree.text


def test_higher_numbers_are_drawn_higher_and_inside() -> None:
    chart = line_chart("Loss", [Series("valid", [(1, 0.1), (2, 3.0)], dots=True)])
    dots = [dict(attributes) for tag, attributes in parse(chart).starts if tag == "circle"]
    heights = [float(str(dot["cy"])) for dot in dots]
    assert 0 < heights[1] < heights[0] < 280
    assert all(0 < float(str(dot["cx"])) < 520 for dot in dots)


def test_numbers_that_are_not_finite_are_left_out() -> None:
    assert line_chart("Loss", [Series("train", [(1, float("nan")), (2, float("inf"))])]) == ""
    assert "nan" not in line_chart("Loss", [Series("train", [(1, float("nan")), (2, 1.0)])])


def test_long_lines_are_thinned_but_keep_their_end() -> None:
    points = Series("train", [(i / 1000, i) for i in range(100_000)]).finite()
    assert len(points) <= 401
    assert points[-1] == (99.999, 99_999)


def test_confusion_table_has_every_count_in_its_place() -> None:
    counts = np.array([[5, 1], [0, 7]])
    tree = parse(confusion_table(counts, ["<ant>", "bee"]))
    assert [tag for tag, _ in tree.starts].count("td") == 4
    assert re.sub(r"\s+", " ", tree.text).endswith("<ant>51bee07")


def picture(made: str) -> np.ndarray:
    source = dict(next(attributes for tag, attributes in parse(made).starts if tag == "img"))["src"]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(str(source).split(",")[1]))))


def test_heat_map_shows_right_and_wrong() -> None:
    counts = np.zeros((40, 40), dtype=int)
    counts[3, 3], counts[3, 9] = 9, 1
    pixels = picture(heat_map(counts, "alt"))
    assert pixels.shape == (40, 40, 4)
    assert np.argwhere(pixels[..., 3] > 0).tolist() == [[3, 3], [3, 9]]
    assert pixels[3, 3, 2] > pixels[3, 3, 0]  # blue
    assert pixels[3, 9, 0] > pixels[3, 9, 2]  # orange


@pytest.mark.parametrize("n", [201, 1000, 1001])
def test_heat_map_of_many_classes_stays_small_and_loses_no_error(n: int) -> None:
    counts = np.zeros((n, n), dtype=int)
    counts[n - 1, 0] = 1
    made = heat_map(counts, "alt")
    pixels = picture(made)
    assert len(pixels) <= 200
    assert (pixels[..., 3] > 0).sum() == 1
    assert pixels[-1, 0, 3] == 255
    assert len(made) < 100_000
