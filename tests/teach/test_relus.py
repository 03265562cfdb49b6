"""Sum of ReLUs: the numbers against torch and against the page's own, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage
from torch import nn

from wiggly.errors import DataError
from wiggly.teach.relus import (
    POSITION_SHARE,
    Hinges,
    Moments,
    adam_step,
    fold,
    loss_and_gradient,
    relu_sum,
    sum_of_relus,
)

X = np.arange(101) / 10
Y = 1.8 * np.sin(1.3 * X)
START = Hinges(-0.6, np.array([0.03, 2.41, 5.57]), np.array([1.1, -2.0, 1.7]))


class Network(nn.Module):
    """The same function as layers of torch: Linear with weight 1, ReLU, Linear."""

    def __init__(self, hinges: Hinges) -> None:
        super().__init__()
        self.hidden, self.out = nn.Linear(1, len(hinges.bends)), nn.Linear(len(hinges.bends), 1)
        with torch.no_grad():
            self.hidden.weight.fill_(1.0)
            self.hidden.bias.copy_(torch.tensor(-hinges.positions))
            self.out.weight.copy_(torch.tensor(hinges.bends)[None])
            self.out.bias.fill_(hinges.bias)
        self.double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden(x[:, None])))[:, 0]


def test_it_is_a_network_of_torch() -> None:
    network = Network(START)
    expected = network(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(relu_sum(X, START), expected, atol=1e-6)


def test_the_gradient_is_that_of_autograd() -> None:
    network = Network(START)
    with torch.no_grad():  # float64 all through, so that it is compared to the last digits
        network.hidden.bias.copy_(torch.tensor(-START.positions))
        network.out.weight.copy_(torch.tensor(START.bends)[None])
        network.out.bias.fill_(START.bias)
    loss = nn.functional.mse_loss(network(torch.tensor(X)), torch.tensor(Y))
    loss.backward()
    ours, gradient = loss_and_gradient(X, Y, START)
    assert ours == pytest.approx(loss.item(), rel=1e-9)
    assert network.hidden.bias.grad is not None
    assert network.out.weight.grad is not None
    assert network.out.bias.grad is not None
    theirs = [network.out.bias.grad, -network.hidden.bias.grad, network.out.weight.grad[0]]
    np.testing.assert_allclose(gradient, torch.cat(theirs).numpy(), rtol=1e-9)


def test_fifty_steps_are_those_of_torchs_adam() -> None:
    bias = torch.tensor([START.bias], dtype=torch.float64, requires_grad=True)
    positions = torch.tensor(START.positions, requires_grad=True)
    bends = torch.tensor(START.bends, requires_grad=True)
    x, y = torch.tensor(X), torch.tensor(Y)
    groups = [{"params": [bias, bends]}, {"params": [positions], "lr": 0.05 * POSITION_SHARE}]
    opt = torch.optim.Adam(groups, lr=0.05)
    hinges, moments = START, Moments.none(3)
    for _ in range(50):
        opt.zero_grad()
        ((bias + torch.relu(x[:, None] - positions) @ bends - y) ** 2).mean().backward()
        opt.step()
        hinges, moments = adam_step(X, Y, hinges, moments, 0.05)
    np.testing.assert_allclose(hinges.positions, positions.detach().numpy(), rtol=1e-9)
    np.testing.assert_allclose(hinges.bends, bends.detach().numpy(), rtol=1e-9)
    assert hinges.bias == pytest.approx(bias.item(), rel=1e-9)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_a_fold_is_a_deep_network_of_torch(depth: int) -> None:
    layers: list[nn.Module] = []
    for _ in range(depth):
        first, second = nn.Linear(1, 2), nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            first.weight.fill_(1.0)
            first.bias.copy_(torch.tensor([0.0, -0.5]))
            second.weight.copy_(torch.tensor([[2.0, -4.0]]))
        layers += [first, nn.ReLU(), second]
    x = np.linspace(0, 1, 257)
    with torch.no_grad():
        expected = nn.Sequential(*layers)(torch.tensor(x, dtype=torch.float32)[:, None])[:, 0].numpy()
    np.testing.assert_allclose(fold(x, depth), expected, atol=1e-5)
    slopes = np.sign(np.diff(fold(x, depth)))
    assert (np.diff(slopes) != 0).sum() + 1 == 2**depth


def test_the_page_computes_the_same(in_node: Callable[[str, Any], Any]) -> None:
    hinges: dict[str, Any] = {
        "bias": START.bias,
        "positions": START.positions.tolist(),
        "bends": START.bends.tolist(),
    }
    given = {"hinges": hinges, "curve": {"x": X.tolist(), "y": Y.tolist()}}
    program = """(() => {
        let { hinges } = given, moments = relus.noMoments(3);
        const first = relus.lossAndGradient(hinges, given.curve);
        for (let i = 0; i < 200; i++) [hinges, moments] = relus.adamStep(hinges, moments, given.curve, 0.05);
        return { first, hinges, y: given.curve.x.map((x) => relus.reluSum(x, hinges)),
                 folded: given.curve.x.map((x) => relus.fold(x / 10, 4)) };
    })()"""
    theirs = in_node(program, given)
    loss, gradient = loss_and_gradient(X, Y, START)
    assert theirs["first"]["loss"] == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(theirs["first"]["gradient"], gradient, rtol=1e-9)
    ours, moments = START, Moments.none(3)
    for _ in range(200):
        ours, moments = adam_step(X, Y, ours, moments, 0.05)
    np.testing.assert_allclose(theirs["hinges"]["positions"], ours.positions, rtol=1e-8)
    np.testing.assert_allclose(theirs["hinges"]["bends"], ours.bends, rtol=1e-8)
    np.testing.assert_allclose(theirs["y"], relu_sum(X, ours), atol=1e-8)
    np.testing.assert_allclose(theirs["folded"], fold(X / 10, 4), atol=1e-12)


def test_a_curve_of_ones_own_needs_two_places() -> None:
    assert sum_of_relus([2, 0], [5.0, 1.0]).data["curve"] == {"x": [0.0, 2.0], "y": [1.0, 5.0]}
    for x, y in ([1, 1], [2, 3]), ([0], [1]), ([0, 1, 2], [1, 2]):
        with pytest.raises(DataError, match="as many x as y"):
            sum_of_relus(x, y)


# ---- in the browser


@pytest.mark.browser
def test_steps_go_forwards_and_back(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus())
    first = toy.state
    for _ in range(3):
        toy.press("Step")
    assert toy.state["steps"] == 3
    assert toy.state["loss"] < first["loss"]
    toy.press("Back")
    assert toy.state["steps"] == 2
    toy.page.keyboard.press("ArrowRight")
    assert toy.state["steps"] == 3
    toy.page.keyboard.press("r")
    assert toy.state["hinges"] == first["hinges"]


@pytest.mark.browser
def test_the_shown_numbers_are_those_of_python(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus())
    state = toy.state
    for _ in range(5):
        toy.press("Step")
    hinges = Hinges(
        state["hinges"]["bias"],
        np.array(state["hinges"]["positions"], float),
        np.array(state["hinges"]["bends"], float),
    )
    x, y = np.array(state["curve"]["x"]), np.array(state["curve"]["y"])
    moments = Moments.none(len(hinges.bends))
    for _ in range(5):
        hinges, moments = adam_step(x, y, hinges, moments, state["lr"])
    loss, _ = loss_and_gradient(x, y, hinges)
    assert toy.state["loss"] == pytest.approx(loss, rel=1e-9)
    assert f"{loss:.2f}" in toy.page.inner_text("[data-part=loss]")


@pytest.mark.browser
def test_playing_fits_the_curve(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus())
    toy.slide("Hinges", 12)
    toy.slide("Steps a second", 2.38)
    start = toy.state["loss"]
    toy.page.keyboard.press("Escape")
    toy.press("Play")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.steps > 250")
    toy.page.keyboard.press(" ")
    assert toy.state["loss"] < 0.2 * start
    steps = toy.state["steps"]
    toy.page.wait_for_timeout(200)
    assert toy.state["steps"] == steps, "space pauses"


@pytest.mark.browser
def test_a_knob_is_dragged_and_moved_by_keys(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus())
    before = toy.state["hinges"]
    box = toy.page.locator(".handle").nth(1).bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    toy.page.mouse.move(x, y)
    toy.page.mouse.down()
    toy.page.mouse.move(x + 68, y - 60, steps=4)
    toy.page.mouse.up()
    after = toy.state["hinges"]
    assert after["positions"][1] > before["positions"][1] + 0.5
    assert after["bends"][1] > before["bends"][1]
    assert after["positions"][0] == before["positions"][0]
    toy.page.locator(".handle").nth(0).focus()
    toy.page.keyboard.press("ArrowUp")
    assert toy.state["hinges"]["bends"][0] == pytest.approx(before["bends"][0] + 0.1)
    assert toy.state["steps"] == 0, "an arrow on a knob is no step"
    toy.page.keyboard.press("Delete")
    assert len(toy.state["hinges"]["bends"]) == 2


@pytest.mark.browser
def test_a_finger_draws_a_curve_on_a_phone(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus(), width=390, dark=True, touch=True)
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert toy.root.get_attribute("data-dark") == ""
    toy.press("Yours")
    box = toy.page.locator(".stage svg").bounding_box()
    session = toy.page.context.new_cdp_session(toy.page)

    def touch(kind: str, x: float, y: float) -> None:
        points = [] if kind == "touchEnd" else [{"x": box["x"] + x, "y": box["y"] + y}]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    toy.page.locator(".stage svg").scroll_into_view_if_needed()
    box = toy.page.locator(".stage svg").bounding_box()
    touch("touchStart", 60, 60)
    for x in range(70, 330, 10):
        touch("touchMove", x, 60)
    touch("touchEnd", 330, 60)
    drawn = np.array(toy.state["curve"]["y"])
    assert drawn.max() > 1.0
    assert (np.abs(drawn[20:80] - drawn.max()) < 0.2).all(), "a level stroke is a level curve"


@pytest.mark.browser
def test_a_file_of_numbers_is_loaded(stage: Callable[..., Stage], tmp_path: Any) -> None:
    file = tmp_path / "mine.csv"
    file.write_text("day,value\n" + "\n".join(f"{i},{(i - 5) ** 2}" for i in range(11)))
    toy = stage(sum_of_relus())
    toy.press("Yours")
    toy.page.set_input_files("input[type=file]", str(file))
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.curve.y[0] > 2.4")
    assert min(toy.state["curve"]["y"]) == pytest.approx(-2.5)


@pytest.mark.browser
def test_depth_beats_width_and_the_code_is_shown(stage: Callable[..., Stage]) -> None:
    toy = stage(sum_of_relus())
    toy.press("Deep against wide")
    toy.slide("Layers", 5)
    assert toy.state == {"tab": "depth", "depth": 5, "deepPieces": 32, "widePieces": 11}
    assert "32 straight pieces" in toy.notice
    toy.page.click("summary")
    assert "def relu_sum" in toy.page.inner_text("details pre")
