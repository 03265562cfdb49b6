"""The learning-rate finder: the toy against torch and the page's twin, the rules against wiggly's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage
from tests.train.support import digit_learner, equal, weights_of
from torch import nn

from wiggly.teach.explore import explore
from wiggly.teach.network import toy_network
from wiggly.teach.rates import search, suggestions, toy_batch, train
from wiggly.train.learner import Learner
from wiggly.train.lr_find import minimum, slide, steep, valley


def as_torch(hidden: int) -> nn.Sequential:
    """The toy as modules of torch."""
    ours = toy_network(hidden)
    model = nn.Sequential(nn.Linear(16, hidden), nn.ReLU(), nn.Linear(hidden, 3)).double()
    values = (ours.first.T, ours.first_bias, ours.second.T, ours.second_bias)
    with torch.no_grad():
        for parameter, value in zip(model.parameters(), values, strict=True):
            parameter.copy_(torch.tensor(value))
    return model


def test_the_search_is_torchs() -> None:
    found = search()
    model = as_torch(8)
    opt = torch.optim.SGD(model.parameters(), lr=0.1)
    losses: list[float] = []
    for step, rate in enumerate(found.rates):
        opt.param_groups[0]["lr"] = rate
        x, labels = toy_batch(step)
        loss = nn.functional.cross_entropy(model(torch.tensor(x)), torch.tensor(labels))
        opt.zero_grad()
        loss.backward()
        opt.step()
        losses.append(loss.item())
    # Where it runs away, rounding grows as fast as the loss.
    calm = int(np.argmin(found.smooth)) + 10
    np.testing.assert_allclose(found.losses[:calm], losses[:calm], rtol=1e-8)
    assert found.smooth[-1] > 4 * min(found.smooth)
    assert len(found.rates) < found.n_steps == 150


def test_the_page_searches_smooths_and_trains_the_same(in_node: Callable[[str, Any], Any]) -> None:
    found = search()
    theirs = in_node(
        "(() => { const found = rates.search(); return { found, read: rates.suggestions(found),"
        " back: rates.unsmoothed(found.smooth), trained: rates.train(0.3) }; })()",
        None,
    )
    calm = int(np.argmin(found.smooth)) + 10
    np.testing.assert_allclose(theirs["found"]["losses"][:calm], found.losses[:calm], rtol=1e-8)
    np.testing.assert_allclose(theirs["found"]["rates"], found.rates, rtol=1e-12)
    np.testing.assert_allclose(theirs["back"], theirs["found"]["losses"], rtol=1e-6)
    assert theirs["read"] == pytest.approx(suggestions(found.rates, found.smooth, found.n_steps))
    np.testing.assert_allclose(theirs["trained"], train(0.3), rtol=1e-8)


@pytest.mark.parametrize("seed", range(6))
def test_the_pages_rules_are_wigglys(in_node: Callable[[str, Any], Any], seed: int) -> None:
    generator = np.random.default_rng(seed)
    n = int(generator.integers(12, 120))
    rates = np.geomspace(1e-6, 10, n).tolist()
    bowl = 2 - np.exp(-((np.linspace(-2, 2, n) - 0.5) ** 2)) + 3 * np.linspace(0, 1, n) ** 8
    losses = (bowl + 0.05 * generator.standard_normal(n)).tolist()
    theirs = in_node(
        "Object.fromEntries(Object.entries(rates.RULES).map(([name, rule]) => [name, rule(...given)]))",
        [rates, losses],
    )
    assert theirs == {rule.__name__: rule(rates, losses) for rule in (valley, slide, steep, minimum)}


@pytest.fixture(scope="module")
def learn() -> Learner:
    return digit_learner()


def test_a_learners_record_is_shown_as_it_is(learn: Learner) -> None:
    found = learn.lr_find(show_plot=False, suggest_funcs=(valley, slide, steep, minimum))
    own = explore(learn, "learning rate finder").data["own"]
    assert own["rates"] == learn.recorder.lr_search["lrs"]  # type: ignore[index]
    assert own["suggestions"] == pytest.approx(found._asdict())
    short = learn.lr_find(num_it=12, end_lr=1e-3, show_plot=False)
    own = explore(learn, "learning rate finder").data["own"]
    assert len(own["rates"]) == own["nSteps"] == 12
    assert own["suggestions"]["valley"] == short.valley


def test_without_a_record_one_is_made_and_the_learner_stays() -> None:
    learn = digit_learner()
    before = weights_of(learn)
    data = explore(learn, "rate finder").data
    assert equal(before, weights_of(learn))
    assert data["own"]["nSteps"] == 100


# ---- in the browser


@pytest.mark.browser
def test_the_search_is_walked_and_its_numbers_are_pythons(stage: Callable[..., Stage]) -> None:
    found = search()
    toy = stage(explore("learning rate finder"))
    assert toy.state["step"] == 0
    for _ in range(3):
        toy.press("Step")
    toy.press("Back")
    assert toy.state["step"] == 2
    said = toy.page.inner_text("[data-part=loss]")
    assert said == f"step 2 of 150: loss {found.losses[1]:.2f}, smoothed {found.smooth[1]:.2f}"
    assert toy.page.locator("[data-rule]").count() == 0
    toy.press("Play")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.step > 6")
    toy.page.keyboard.press(" ")
    toy.page.keyboard.press("e")
    state = toy.state
    assert state["finished"]
    assert state["taken"] == len(found.rates)
    assert state["suggestions"] == pytest.approx(suggestions(found.rates, found.smooth, found.n_steps))
    assert toy.page.locator("[data-rule]").count() == 4


@pytest.mark.browser
def test_suggestions_are_tried(stage: Callable[..., Stage]) -> None:
    toy = stage(explore("learning rate finder"), width=390, dark=True)
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
    toy.page.locator("h2").click()
    toy.page.keyboard.press("3")
    rate = toy.state["rate"]
    assert toy.state["rule"] == "steep"
    assert toy.notice.startswith("Steep")
    toy.page.keyboard.press("t")
    toy.page.locator("circle[role=slider]").focus()
    toy.page.keyboard.press("Shift+ArrowRight")
    toy.page.keyboard.press("Shift+ArrowRight")
    assert toy.state["rate"] == pytest.approx(rate * 1.1**20)
    toy.press("Train 60 steps")
    tried = toy.state["trained"]
    assert [each["rate"] for each in tried] == pytest.approx([rate, rate * 1.1**20])
    np.testing.assert_allclose(tried[0]["losses"], train(rate), rtol=1e-6)
    assert toy.notice.startswith("At 5.6 training goes nowhere"), "too high is seen to be too high"
    toy.press("Clear")
    assert toy.state["trained"] == []
    toy.slide("Steps of the search", 60)
    assert (toy.state["nSteps"], toy.state["step"]) == (60, 0)


@pytest.mark.browser
def test_the_dashed_line_is_dragged_over_ones_own_record(stage: Callable[..., Stage], learn: Learner) -> None:
    found = learn.lr_find(show_plot=False)
    toy = stage(explore(learn, "learning rate finder"))
    toy.press("To the end")
    assert toy.state["suggestions"]["valley"] == found.valley
    assert toy.state["rates"] == learn.recorder.lr_search["lrs"]  # type: ignore[index]
    toy.press("valley")
    line = toy.page.locator("[data-part=line]")
    assert line.inner_text() == f"learn.fine_tune(4, base_lr={float(f'{found.valley:.1e}'):g})"
    box = toy.page.locator("circle[role=slider]").bounding_box()
    toy.page.mouse.move(box["x"] + 9, box["y"] + 9)
    toy.page.mouse.down()
    toy.page.mouse.move(box["x"] + 99, box["y"] + 9, steps=3)
    toy.page.mouse.up()
    assert toy.state["rate"] > 5 * found.valley
    assert toy.page.locator("button", has_text="Train").count() == 0, "the page has no model to train"
