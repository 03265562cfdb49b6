"""Fit by hand: loss and slopes against torch and against the page's own, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage

from wiggly.errors import DataError
from wiggly.teach.quadratic import distance, fit_by_hand, quadratic, slopes

X, Y = np.linspace(-2, 2, 9), np.array([9.1, 4.2, 3.3, 0.2, 1.1, 2.8, 6.1, 10.4, 17.3])
ABC = np.array([1.3, -0.4, 2.2])


@pytest.mark.parametrize(("kind", "loss_function"), [("square", "mse_loss"), ("absolute", "l1_loss")])
def test_loss_and_slopes_are_torchs_and_the_pages(
    in_node: Callable[[str, Any], Any], kind: Any, loss_function: str
) -> None:
    abc = torch.tensor(ABC, requires_grad=True)
    x = torch.tensor(X)
    predicted = abc[0] * x**2 + abc[1] * x + abc[2]
    loss = getattr(torch.nn.functional, loss_function)(predicted, torch.tensor(Y))
    loss.backward()
    np.testing.assert_allclose(quadratic(X, ABC), predicted.detach().numpy(), rtol=1e-12)
    assert distance(ABC, X, Y, kind) == pytest.approx(loss.item(), rel=1e-12)
    assert abc.grad is not None
    np.testing.assert_allclose(slopes(ABC, X, Y, kind), abc.grad.numpy(), rtol=1e-12)
    theirs = in_node(
        "[quadratic.distance(given.abc, given.x, given.y, given.kind),"
        " ...quadratic.slopes(given.abc, given.x, given.y, given.kind), ...quadratic.best(given.x, given.y)]",
        {"abc": ABC.tolist(), "x": X.tolist(), "y": Y.tolist(), "kind": kind},
    )
    expected = [loss.item(), *abc.grad.tolist(), *np.polyfit(X, Y, 2)]
    np.testing.assert_allclose(theirs, expected, rtol=1e-9)


def test_own_points_need_three_places() -> None:
    assert fit_by_hand([0, 1, 2], [1, 2, 3]).data["points"] == {"x": [0.0, 1.0, 2.0], "y": [1.0, 2.0, 3.0]}
    for x, y in (([0, 1], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([0, 1, 2], None)):
        with pytest.raises(DataError, match="three different x"):
            fit_by_hand(x, y)


@pytest.mark.browser
def test_sliders_slopes_and_steps(stage: Callable[..., Stage]) -> None:
    toy = stage(fit_by_hand(X.tolist(), Y.tolist()), width=390)
    toy.slide("a", 2)
    state = toy.state
    abc = np.array(state["abc"])
    assert abc[0] == pytest.approx(2, abs=0.05)  # the slider's own grid
    assert state["loss"] == pytest.approx(distance(abc, X, Y), rel=1e-9)
    np.testing.assert_allclose(state["slopes"], slopes(abc, X, Y), rtol=1e-9)
    toy.press("Show the slopes")
    said = toy.page.inner_text("[data-part=slope-a]")
    assert ("less a" if state["slopes"][0] > 0 else "more a") in said
    for _ in range(25):
        toy.press("Step")
    assert toy.state["loss"] < 0.3 * state["loss"]
    assert "As low as it goes" in toy.notice or toy.state["steps"] == 25
    toy.press("Mean absolute")
    assert toy.state["loss"] == pytest.approx(
        distance(np.array(toy.state["abc"]), X, Y, "absolute"), rel=1e-9
    )
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_arrow_keys_on_a_slider_turn_it(stage: Callable[..., Stage]) -> None:
    toy = stage(fit_by_hand())
    before = toy.state["abc"]
    toy.page.locator("input[aria-label=b]").focus()
    toy.page.keyboard.press("ArrowRight")
    assert toy.state["abc"][1] > before[1]
    assert toy.state["steps"] == 0
