"""What a comparison says: the order, the best, the simplest, the table, the figure."""

from __future__ import annotations

import pytest

from wiggly.errors import DataError
from wiggly.interpret.comparison import Compared, Comparison
from wiggly.interpret.score import Interval

ROWS = [
    Compared("tiny", 0.70, Interval(0.65, 0.75), 5.0, 1_000_000, 4.0, 900.0),
    Compared("broken", reason="no weights"),
    Compared("large", 0.91, Interval(0.88, 0.93), 60.0, 30_000_000, 120.0, 50.0),
    Compared("small", 0.90, Interval(0.87, 0.92), 10.0, 3_000_000, 12.0, 400.0),
]


def test_best_first_and_failures_last() -> None:
    assert [row.arch for row in Comparison(ROWS, "accuracy").rows] == ["large", "small", "tiny", "broken"]
    errors = Comparison(ROWS, "error_rate", higher=False)
    assert [row.arch for row in errors.rows] == ["tiny", "small", "large", "broken"]


def test_of_equal_scores_the_smaller_model_is_best() -> None:
    equal = [Compared("a", 0.5, None, 1.0, 20), Compared("b", 0.5, None, 9.0, 10)]
    assert Comparison(equal, "accuracy").best.arch == "b"


def test_the_simplest_is_the_smallest_within_the_interval_of_the_best() -> None:
    found = Comparison(ROWS, "accuracy", baseline=0.5)
    assert (found.best.arch, found.simplest.arch) == ("large", "small")


def test_the_table() -> None:
    lines = str(Comparison(ROWS, "accuracy", baseline=0.5, baseline_name="most frequent class")).splitlines()
    assert lines[0].split()[:3] == ["arch", "accuracy", "95"]
    assert lines[1].split() == [
        "large",
        "0.9100",
        "0.8800",
        "to",
        "0.9300",
        "60.0",
        "30,000,000",
        "120.0",
        "50",
    ]
    assert lines[4].split(maxsplit=2) == ["broken", "-", "no weights"]
    assert lines[5] == "most frequent class: 0.5000"
    assert lines[6].startswith("Start simple; trying architectures is the last step.")
    assert "`small`" in lines[6]
    assert len({len(line) for line in lines[:4]}) == 1  # columns stand under each other


def test_the_frame() -> None:
    frame = Comparison(ROWS, "accuracy", baseline=0.5).to_frame()
    assert frame["arch"].tolist() == ["large", "small", "tiny", "broken"]
    assert frame["accuracy"].tolist()[:3] == [0.91, 0.90, 0.70]
    assert frame["low"].tolist()[:3] == [0.88, 0.87, 0.65]
    assert frame["baseline"].tolist() == [0.5] * 4


def test_the_figure_has_three_panels_with_a_point_for_each() -> None:
    figure = Comparison(ROWS, "accuracy", baseline=0.5).plot()
    assert [axes.get_xlabel() for axes in figure.axes] == ["training time, s", "size, MB", "images/s"]
    for axes in figure.axes:
        assert len(axes.containers) == 3
        assert len(axes.lines) >= 1  # the baseline among them
    assert figure.axes[1].get_xscale() == "log"
    assert figure.axes[0].get_xscale() == "linear"


def test_none_could_be_trained() -> None:
    found = Comparison([ROWS[1]], "accuracy")
    with pytest.raises(DataError, match="no weights"):
        _ = found.best
    assert "broken" in str(found)
    found.plot()
