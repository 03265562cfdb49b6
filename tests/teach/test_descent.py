"""Gradient descent: toy losses and steps against torch, a learner's own loss, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage
from tests.train.support import digit_learner, equal, weights_of
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.teach.descent import TOY_LOSSES, gradient_descent, loss_grid, sgd_step
from wiggly.teach.runs import held
from wiggly.train.learner import Learner


def real_gradient(name: str, at: tuple[float, float]) -> tuple[float, tuple[float, float]]:
    """Loss and gradient of a toy loss by torch's autograd."""
    pair = torch.tensor(at, dtype=torch.float64, requires_grad=True)
    loss = TOY_LOSSES[name](pair[0], pair[1])
    loss.backward()
    assert pair.grad is not None
    return loss.item(), (pair.grad[0].item(), pair.grad[1].item())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_steps_are_those_of_torchs_sgd(momentum: float) -> None:
    pair = torch.tensor([-1.7, 0.4], dtype=torch.float64, requires_grad=True)
    opt = torch.optim.SGD([pair], lr=0.05, momentum=momentum)
    at, velocity = (-1.7, 0.4), (0.0, 0.0)
    for _ in range(30):
        opt.zero_grad()
        TOY_LOSSES["valley"](pair[0], pair[1]).backward()
        opt.step()
        at, velocity = sgd_step(at, velocity, real_gradient("valley", at)[1], 0.05, momentum)
    np.testing.assert_allclose(at, pair.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize("name", TOY_LOSSES)
def test_the_page_has_the_same_losses_and_torchs_gradients(
    in_node: Callable[[str, Any], Any], name: str
) -> None:
    points = [[-1.7, 0.4], [0.3, -1.1], [1.9, 1.2], [0.0, 0.0]]
    theirs = in_node(
        "given.points.map(([a, b]) => { const f = descent.SURFACES[given.name];"
        " return { loss: f.loss(a, b), gradient: f.gradient(a, b) }; })",
        {"points": points, "name": name},
    )
    for (a, b), found in zip(points, theirs, strict=True):
        loss, gradient = real_gradient(name, (a, b))
        assert found["loss"] == pytest.approx(loss, rel=1e-12)
        np.testing.assert_allclose(found["gradient"], gradient, atol=1e-12)


def test_the_page_steps_and_measures_curvature_as_torch_does(in_node: Callable[[str, Any], Any]) -> None:
    theirs = in_node(
        "(() => { let ball = { at: [-1.7, 0.4], velocity: [0, 0] }; const f = descent.SURFACES.hills;"
        " for (let i = 0; i < 25; i++) ball = descent.sgdStep(ball, f.gradient(...ball.at), 0.07, 0.8);"
        " return { at: ball.at, curvature: descent.curvature(f, 0.9, -0.3) }; })()",
        None,
    )
    at, velocity = (-1.7, 0.4), (0.0, 0.0)
    for _ in range(25):
        at, velocity = sgd_step(at, velocity, real_gradient("hills", at)[1], 0.07, 0.8)
    np.testing.assert_allclose(theirs["at"], at, rtol=1e-10)
    point = (torch.tensor(0.9, dtype=torch.float64), torch.tensor(-0.3, dtype=torch.float64))
    hessian = torch.tensor(torch.autograd.functional.hessian(TOY_LOSSES["hills"], point))
    assert theirs["curvature"] == pytest.approx(torch.linalg.eigvalsh(hessian)[-1].item(), rel=1e-5)


@pytest.fixture(scope="module")
def learn() -> Learner:
    learn = digit_learner()
    learn.fit(1, 1e-3)
    return learn


def test_a_learners_grid_is_its_real_loss(learn: Learner) -> None:
    before, training = weights_of(learn), learn.model.training
    grid = loss_grid(learn, ["1.1.weight[3, 7]", "1.1.bias[2]"], size=7, n_items=32)
    assert equal(before, weights_of(learn)), "looking changes nothing"
    assert learn.model.training == training
    layer = learn.get_submodule("1.1")
    assert isinstance(layer, nn.Linear)
    assert grid.start == pytest.approx((layer.weight[3, 7].item(), layer.bias[2].item()))
    with held(learn, 32) as batch:
        for i, k in ((0, 0), (3, 3), (6, 2)):
            with torch.no_grad():
                layer.weight[3, 7], layer.bias[2] = grid.first[i], grid.second[k]
            loss = nn.functional.cross_entropy(learn.model(batch.inputs[0]), batch.targets[0])
            by_weight, by_bias = torch.autograd.grad(loss, [layer.weight, layer.bias])
            found = grid.loss[i, k], grid.slope_first[i, k], grid.slope_second[i, k]
            theirs = loss.item(), by_weight[3, 7].item(), by_bias[2].item()
            assert [value.item() for value in found] == pytest.approx(theirs, rel=1e-5, abs=1e-7)
    # The slopes on the grid are the differences of the losses on the grid.
    step = float(grid.first[1] - grid.first[0])
    measured = (grid.loss[2:, 3] - grid.loss[:-2, 3]) / (2 * step)
    torch.testing.assert_close(measured, grid.slope_first[1:-1, 3], rtol=0.2, atol=2e-2)


def test_the_steepest_two_are_found_and_errors_name_the_shape(learn: Learner) -> None:
    grid = loss_grid(learn, size=5, n_items=16)
    assert all(name.startswith("1.1.weight[") for name in grid.names)
    for names, said in (
        (["1.1.weight[3]", "1.1.bias[0]"], "does not fit the shape"),
        (["1.1.bias[0]", "1.1.bias[0]"], "two different"),
        (["1.1.bias[10]", "1.1.bias[0]"], "does not fit the shape"),
    ):
        with pytest.raises(ArgumentError, match=said):
            loss_grid(learn, names, size=5)
    with pytest.raises(ModelError):
        loss_grid(learn, ["head.weight[0]", "1.1.bias[0]"], size=5)
    with pytest.raises(ArgumentError, match="from 5 to 101"):
        loss_grid(learn, size=3)


# ---- in the browser


@pytest.mark.browser
def test_too_low_good_and_too_high_do_as_they_say(stage: Callable[..., Stage]) -> None:
    toy = stage(gradient_descent())
    left: dict[str, float] = {}
    for name in ("Too low", "Good", "Too high"):
        toy.press(name)
        for _ in range(30):
            toy.press("Step")
        left[name] = toy.state["loss"] / real_gradient("valley", (-1.7, 0.4))[0]
        if name != "Good":
            assert toy.notice.startswith(name)
    assert left["Good"] < 0.1 < left["Too low"] < 1 < left["Too high"]


@pytest.mark.browser
def test_the_shown_steps_are_those_of_python_with_momentum(stage: Callable[..., Stage]) -> None:
    toy = stage(gradient_descent())
    toy.slide("Momentum", 0.5)
    start, lr = tuple(toy.state["at"]), toy.state["lr"]
    at, velocity = (start[0], start[1]), (0.0, 0.0)
    for _ in range(4):
        toy.page.keyboard.press("Escape")
        toy.press("Step")
        at, velocity = sgd_step(at, velocity, real_gradient("valley", at)[1], lr, 0.5)
    np.testing.assert_allclose(toy.state["at"], at, rtol=1e-9)
    assert f"step 4 · a {at[0]:.3f}".replace("-", "−") in toy.page.inner_text("[data-part=numbers]")
    toy.press("Back")
    assert toy.state["steps"] == 3


@pytest.mark.browser
def test_the_ball_is_dragged_and_every_surface_shows(stage: Callable[..., Stage]) -> None:
    toy = stage(gradient_descent(), width=390, dark=True)
    for name in ("Bowl", "Fit of a line", "Two valleys", "Narrow valley"):
        toy.press(name)
        assert toy.page.locator("[data-part=arrow]").count() == 1
        assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
    toy.page.locator("h2").scroll_into_view_if_needed()
    box = toy.page.locator(".stage svg").bounding_box()
    toy.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 100)
    toy.page.mouse.down()
    toy.page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + 120)
    toy.page.mouse.up()
    assert toy.state["steps"] == 0
    moved = toy.state["at"]
    toy.page.keyboard.press("Shift+ArrowLeft")
    assert toy.state["at"][0] == pytest.approx(moved[0] - 0.1)
    assert toy.page.inner_text(".wx .notice b").lower() == "what to notice"


@pytest.mark.browser
def test_a_learners_own_loss_is_walked_down(stage: Callable[..., Stage], learn: Learner) -> None:
    grid = loss_grid(learn, size=11)
    toy = stage(gradient_descent(learn, size=11))
    state = toy.state
    assert state["surface"] == "own"
    middle = (float(grid.loss[5, 5]), float(grid.slope_first[5, 5]), float(grid.slope_second[5, 5]))
    assert (state["loss"], *state["gradient"]) == pytest.approx(middle, rel=1e-3)
    toy.press("Good")
    for _ in range(10):
        toy.press("Step")
    assert toy.state["loss"] < state["loss"]
