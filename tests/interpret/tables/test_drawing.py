"""Plots of tables: names do not cover each other, large numbers can be read."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest

from wiggly.interpret.tables.drawing import name_points, with_thousands


@pytest.mark.parametrize("n", [3, 60])
def test_names_of_points_do_not_cover_each_other_nor_leave_the_axes(n: int) -> None:
    figure, axes = plt.subplots(layout="constrained")
    places = np.random.default_rng(0).normal(size=(n, 2))
    sizes = np.full(n, 40.0)
    axes.scatter(*places.T, s=sizes)
    named = name_points(axes, [f"a long name {k}" for k in range(n)], places, sizes, 50)
    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == named and (named == n if n == 3 else 10 < named < n)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    assert all(axes.bbox.x0 - 1 <= box.x0 and box.x1 <= axes.bbox.x1 + 1 for box in boxes)
    plt.close(figure)


@pytest.mark.parametrize(("top", "shown"), [(300_000.0, "300,000"), (0.3, "0.3")])
def test_digits_of_large_numbers_are_grouped(top: float, shown: str) -> None:
    figure, axes = plt.subplots()
    axes.set_xlim(0, top)
    axes.set_xticks([0, top])
    with_thousands(axes, "x")
    figure.canvas.draw()
    assert axes.get_xticklabels()[-1].get_text() == shown
    plt.close(figure)
