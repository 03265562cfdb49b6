"""Softmax and cross-entropy: against torch, of a learner's own item, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from tests.teach.conftest import Stage
from tests.train.support import digit_learner, digits, equal, weights_of
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.teach.explore import explore
from wiggly.teach.softmax import cross_entropy, own_scores, softmax, softmax_and_cross_entropy
from wiggly.train.learner import Learner

LOGITS = np.array([2.3, -1.1, 0.4, 0.4, 7.9])
SETTINGS = [(1.0, 0.0), (0.3, 0.0), (4.0, 0.1), (1.0, 1.0)]


@pytest.mark.parametrize(("temperature", "smoothing"), SETTINGS)
def test_loss_and_gradient_are_torchs_and_the_pages(
    in_node: Callable[[str, Any], Any], temperature: float, smoothing: float
) -> None:
    logits = torch.tensor(LOGITS, requires_grad=True)
    loss = nn.functional.cross_entropy(logits / temperature, torch.tensor(2), label_smoothing=smoothing)
    loss.backward()
    ours = cross_entropy(LOGITS, 2, temperature, smoothing)
    assert ours.loss == pytest.approx(loss.item(), rel=1e-12)
    assert logits.grad is not None
    np.testing.assert_allclose(ours.gradient, logits.grad.numpy(), atol=1e-14)
    np.testing.assert_allclose(ours.probabilities, (logits.detach() / temperature).softmax(0), rtol=1e-12)
    np.testing.assert_allclose(ours.powers / ours.powers.sum(), ours.probabilities, rtol=1e-12)
    theirs = in_node("softmax.crossEntropy(...given)", [LOGITS.tolist(), 2, temperature, smoothing])
    for name, value in vars(ours).items():
        np.testing.assert_allclose(theirs[name], value, rtol=1e-12, atol=1e-14)


def test_large_scores_overflow_nothing(in_node: Callable[[str, Any], Any]) -> None:
    scores = np.array([1000.0, 998.0])
    expected = nn.functional.cross_entropy(torch.tensor(scores), torch.tensor(1)).item()
    with np.errstate(over="ignore"):
        assert cross_entropy(scores, 1).loss == pytest.approx(expected, rel=1e-12)
    assert softmax(scores).sum() == pytest.approx(1)
    assert in_node("softmax.crossEntropy(given, 1).loss", scores.tolist()) == pytest.approx(expected)


@pytest.fixture(scope="module")
def learn() -> Learner:
    learn = digit_learner()
    learn.fit(1, 1e-3)
    return learn


def test_an_items_scores_are_the_models(learn: Learner) -> None:
    before = weights_of(learn)
    found = own_scores(learn, 7)
    assert equal(before, weights_of(learn))
    x, y = (each[-100:][7] for each in digits())
    learn.model.eval()
    with torch.no_grad():
        expected = learn.model(x[None])[0]
    np.testing.assert_allclose(found.logits, expected.numpy(), rtol=1e-5, atol=1e-6)
    assert found.true == int(y)
    assert found.names[3] == "class 3"
    assert found.picture is not None
    assert own_scores(learn, -93).logits == found.logits
    losses = learn.get_preds(with_loss=True)[-1]
    assert cross_entropy(np.array(found.logits), found.true).loss == pytest.approx(float(losses[7]), rel=1e-4)


def test_what_softmax_does_not_fit_is_refused(learn: Learner) -> None:
    with pytest.raises(ArgumentError, match="there are 100 items"):
        own_scores(learn, 100)
    with pytest.raises(ModelError, match="choose one of several"):
        explore(digit_learner(loss_func=nn.MSELoss()), "softmax")
    for logits, names in ([1.0], None), ([1.0, 2.0], ["a"]), ([1.0, float("nan")], None):
        with pytest.raises(ArgumentError, match="two numbers or more"):
            softmax_and_cross_entropy(logits, names)


# ---- in the browser


@pytest.mark.browser
def test_scores_are_moved_by_keys_and_by_dragging(stage: Callable[..., Stage]) -> None:
    toy = stage(softmax_and_cross_entropy())
    first = toy.state
    toy.page.locator("[aria-label='Score of fox']").focus()
    toy.page.keyboard.press("ArrowRight")
    toy.page.keyboard.press("Shift+ArrowRight")
    assert toy.state["logits"] == pytest.approx([2, 1, 1.3, -1])
    assert toy.state["steps"] == 0, "an arrow on a score is no step"
    box = toy.page.locator("[aria-label='Score of cat']").bounding_box()
    toy.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    toy.page.mouse.down()
    toy.page.mouse.move(box["x"] - 60, box["y"] + 4, steps=3)
    toy.page.mouse.up()
    logits = toy.state["logits"]
    assert logits[0] < 0
    ours = cross_entropy(np.array(logits), 1)
    assert toy.state["loss"] == pytest.approx(ours.loss, rel=1e-12)
    assert toy.page.inner_text("[data-part=loss]") == f"loss {ours.loss:.3f}"
    assert toy.page.inner_text("[data-part=formula]").endswith(f"= {ours.probabilities[1]:.3f}")
    toy.page.keyboard.press("r")
    assert toy.state["logits"] == first["logits"]


@pytest.mark.browser
def test_only_differences_count_and_the_true_class_changes(stage: Callable[..., Stage]) -> None:
    toy = stage(softmax_and_cross_entropy(LOGITS.tolist()))
    before = toy.state["probabilities"]
    toy.press("All +1")
    assert toy.state["probabilities"] == pytest.approx(before)
    assert toy.notice.startswith("Every score rose by 1")
    toy.page.locator("[role=radio]", has_text="class 4").click()
    toy.slide("Temperature", -0.5)
    state = toy.state
    ours = cross_entropy(LOGITS + 1, 4, state["temperature"])
    assert state["temperature"] == pytest.approx(10**-0.5)
    assert state["gradient"] == pytest.approx(ours.gradient.tolist())
    toy.slide("Temperature", 0)
    toy.press("Sure and wrong")
    assert toy.state["loss"] > 4
    assert toy.notice.startswith("Sure and wrong")


@pytest.mark.browser
def test_the_gradient_pulls_to_the_smoothed_target(stage: Callable[..., Stage]) -> None:
    toy = stage(softmax_and_cross_entropy())
    logits = np.array(toy.state["logits"], float)
    toy.slide("Label smoothing", 0.2)
    for _ in range(3):
        toy.press("Step")
        logits = logits - 0.5 * cross_entropy(logits, 1, smoothing=0.2).gradient
    np.testing.assert_allclose(toy.state["logits"], logits, rtol=1e-12)
    toy.press("Back")
    assert toy.state["steps"] == 2
    toy.press("Play")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.steps > 4")
    toy.page.keyboard.press(" ")
    toy.page.evaluate("for (let i = 0; i < 200; i++) document.querySelectorAll('.player button')[2].click()")
    np.testing.assert_allclose(toy.state["probabilities"], [0.05, 0.85, 0.05, 0.05], atol=2e-3)
    assert toy.notice.startswith("At rest")


@pytest.mark.browser
def test_an_own_item_fits_a_phone(stage: Callable[..., Stage], learn: Learner) -> None:
    found = own_scores(learn, 7)
    toy = stage(explore(learn, "softmax", 7), width=390, dark=True)
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
    assert toy.root.get_attribute("data-dark") == ""
    assert toy.state["logits"] == found.logits
    assert toy.page.locator(".stage img").count() == 1
    assert "4 others" in toy.page.locator(".stage svg").text_content()
    ours = cross_entropy(np.array(found.logits), found.true or 0)
    assert toy.state["loss"] == pytest.approx(ours.loss, rel=1e-12)
