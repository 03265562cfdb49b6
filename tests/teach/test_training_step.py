"""One training step: the toy and a learner's own against torch, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.teach.conftest import Stage
from tests.teach.test_rates import as_torch
from tests.train.support import digit_learner, equal, weights_of
from torch import nn

from wiggly.errors import ModelError
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.procs import Categorify, Normalize
from wiggly.teach.explore import explore
from wiggly.teach.network import backward, forward, sgd, toy_network, toy_pictures
from wiggly.teach.runs import held
from wiggly.teach.softmax import own_scores
from wiggly.teach.tensors import view
from wiggly.teach.training_step import step_of
from wiggly.train.learner import Learner


def test_the_toys_step_is_torchs_and_the_pages(in_node: Callable[[str, Any], Any]) -> None:
    x, labels = toy_pictures(6)
    network = toy_network()
    made = forward(network, x, labels)
    slopes = backward(network, x, labels, made)
    moved = sgd(network, slopes.weights, 0.5)
    model = as_torch(4)
    steps = [torch.tensor(x)]
    for layer in model:
        steps.append(layer(steps[-1]))
        steps[-1].retain_grad()
    loss = nn.functional.cross_entropy(steps[-1], torch.tensor(labels))
    loss.backward()
    assert made.loss == pytest.approx(loss.item(), rel=1e-12)
    for ours, theirs in zip((made.sums, made.hidden, made.logits), steps[1:], strict=True):
        np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-14)
    for ours, theirs in zip((slopes.sums, slopes.hidden, slopes.logits), steps[1:], strict=True):
        assert theirs.grad is not None
        np.testing.assert_allclose(ours, theirs.grad.numpy(), atol=1e-14)
    torch.optim.SGD(model.parameters(), lr=0.5).step()
    for ours, theirs in zip(vars(moved).values(), model.parameters(), strict=True):
        np.testing.assert_allclose(ours.T, theirs.detach().numpy(), atol=1e-14)
    page = in_node(
        "(() => { const batch = network.toyPictures(6), net = network.toyNetwork();"
        " const made = network.forward(net, batch), slopes = network.backward(net, batch, made);"
        " return { x: batch.x, made, slopes, moved: network.sgd(net, slopes.weights, 0.5) }; })()",
        None,
    )
    np.testing.assert_allclose(page["x"], x, atol=1e-15)
    for key, ours in (("made", made), ("slopes", slopes)):
        for name, value in vars(ours).items():
            if name != "weights":
                np.testing.assert_allclose(page[key][name], value, atol=1e-14)
    for name, key in (("first", "first"), ("firstBias", "first_bias"), ("secondBias", "second_bias")):
        np.testing.assert_allclose(page["moved"][name], getattr(moved, key), atol=1e-14)


@pytest.fixture(scope="module")
def learn() -> Learner:
    learn = digit_learner()
    learn.fit(1, 1e-3)
    return learn


def test_a_learners_step_is_torchs(learn: Learner) -> None:
    before, training = weights_of(learn), learn.model.training
    step = step_of(learn, 5)
    assert equal(before, weights_of(learn)), "looking changes nothing"
    assert learn.model.training == training
    assert [layer.name for layer in step.layers] == ["0.0", "0.1", "0.2", "0.3", "0.4", "0.5", "1.0", "1.1"]
    head = learn.get_submodule("1.1")
    assert isinstance(head, nn.Linear)
    with held(learn, 5) as batch:
        body = learn.get_submodule("0")(batch.inputs[0])
        scores = head(body.flatten(1))
        loss = nn.functional.cross_entropy(scores, batch.targets[0])
        slopes = torch.autograd.grad(loss, [body, scores, *learn.model.parameters()])
        last = step.layers[-1]
        assert step.loss == pytest.approx(loss.item(), rel=1e-5)
        np.testing.assert_allclose(last.output.tiles[0], scores.detach(), rtol=1e-3, atol=1e-6)
        assert last.gradient is not None
        np.testing.assert_allclose(last.gradient.tiles[0], slopes[1], rtol=1e-3, atol=1e-6)
        weight = last.parameters[0]
        assert weight.gradient is not None
        np.testing.assert_allclose(weight.gradient.tiles[0], slopes[-2][:8, :16], rtol=1e-3, atol=1e-6)
        assert weight.gradient.max == pytest.approx(float(slopes[-2].max()), rel=1e-4)
        relu = step.layers[5]
        assert relu.gradient is not None
        np.testing.assert_allclose(relu.gradient.tiles[1], slopes[0][0, 1], rtol=1e-3, atol=1e-6)
        moving = list(learn.model.parameters())
        for rate, after in zip(step.rates, step.after, strict=True):
            with torch.no_grad():
                for p, slope in zip(moving, slopes[2:], strict=True):
                    p -= rate * slope
                features = learn.get_submodule("0")(batch.inputs[0]).flatten(1)
                expected = nn.functional.cross_entropy(head(features), batch.targets[0])
                for p, slope in zip(moving, slopes[2:], strict=True):
                    p += rate * slope
            assert after == pytest.approx(expected.item(), rel=1e-3, abs=1e-4)
    assert np.mean([item.loss for item in step.items]) == pytest.approx(step.loss, rel=1e-5)
    assert step.n_moved == sum(p.numel() for p in moving)


def test_frozen_layers_have_no_gradient(learn: Learner) -> None:
    learn.freeze()
    try:
        step = step_of(learn, 3)
        conv, norm, head = step.layers[0], step.layers[1], step.layers[-1]
        assert all(p.gradient is None for p in conv.parameters)
        assert all(p.gradient is not None for p in norm.parameters), "norms learn in a frozen body"
        assert all(p.gradient is not None for p in head.parameters)
        for p in learn.model.parameters():
            p.requires_grad_(False)
        with pytest.raises(ModelError, match="all of them are frozen"):
            step_of(learn)
    finally:
        learn.unfreeze()


def test_a_view_says_what_it_leaves_out() -> None:
    maps = torch.arange(2 * 5 * 16 * 16, dtype=torch.float32).reshape(2, 5, 16, 16)
    found = view(maps, side=4, n_tiles=2, maps=True)
    assert found.note == "item 1, the first 2 of 5 channels; a square is the mean of 4×4 numbers"
    assert found.tiles[1][0][1] == float(maps[0, 1, :4, 4:8].mean())
    assert (found.min, found.max, found.shape) == (0.0, 2559.0, [2, 5, 16, 16])
    weights = view(torch.ones(5, 3, 3, 3), side=4, n_tiles=2)
    assert weights.note == "the first 2 of 5 filters, at the first of 3 channels"
    assert view(torch.tensor(3.5)).tiles == [[[3.5]]]
    assert view(torch.ones(20, 40), side=4).note == "the first 4 of 20 rows, the first 8 of 40 columns"


def test_tables_and_numbers_to_predict_are_stepped_on_too() -> None:
    generator = np.random.default_rng(0)
    frame = pd.DataFrame({"a": generator.normal(size=120), "k": generator.choice(list("xyz"), 120)})
    frame["price"] = 2 * frame["a"] + (frame["k"] == "x")
    frame["dear"] = np.where(frame["price"] > 0, "yes", "no")
    for target in ("price", "dear"):
        dls = TabularDataLoaders.from_df(
            frame,
            procs=[Categorify, Normalize],
            cat_names=["k"],
            cont_names=["a"],
            y_names=target,
            valid_idx=list(range(30)),
            bs=32,
            seed=3,
        )
        learn = tabular_learner(dls)
        step = step_of(learn)
        assert step.items[0].picture is None
        assert step.after[4] < step.loss
        if target == "price":
            assert float(step.items[0].label) in frame["price"].map(lambda v: float(f"{v:.3g}")).tolist()
        else:
            assert {item.label for item in step.items} <= {"yes", "no"}
            found = own_scores(learn, 17)
            logits = torch.tensor(found.logits).softmax(0)
            torch.testing.assert_close(learn.get_preds()[0][17], logits.float())
            assert found.names[found.true or 0] == frame["dear"][17]


# ---- in the browser


def shown_numbers(toy: Stage, name: str) -> list[float]:
    """The numbers written in a tensor's heat map."""
    texts = toy.page.locator(f"[data-tensor='{name}'] svg text").all_text_contents()
    return [float(text.replace("−", "-")) for text in texts]


@pytest.mark.browser
def test_the_walk_shows_torchs_numbers(stage: Callable[..., Stage]) -> None:
    toy = stage(explore("one training step"))
    x, labels = toy_pictures(6)
    network = toy_network()
    made = forward(network, x, labels)
    slopes = backward(network, x, labels, made)
    assert toy.state["part"] == "batch"
    toy.press("Step")
    assert (toy.state["part"], toy.state["open"]) == ("forward", 0)
    np.testing.assert_allclose(shown_numbers(toy, "output"), made.sums.flatten(), atol=0.0051)
    np.testing.assert_allclose(shown_numbers(toy, "weight"), network.first.flatten(), atol=0.0051)
    caption = toy.page.inner_text("[data-tensor=weight] figcaption").replace("−", "-")
    ends = f"min {network.first.min():.3f} · max {network.first.max():.3f} · mean {network.first.mean():.5f}"
    assert caption == f"weight 16×4 · {ends}"
    assert "not yet known" in toy.page.inner_text("[data-part=loss]")
    for _ in range(3):
        toy.press("Step")
    assert toy.state["part"] == "loss"
    assert toy.page.inner_text("[data-part=loss]") == f"loss {made.loss:.2f}"
    probabilities = shown_numbers(toy, "probabilities: softmax of the last output")
    np.testing.assert_allclose(probabilities, made.probabilities.flatten(), atol=0.0051)
    toy.page.keyboard.press("ArrowRight")
    assert (toy.state["part"], toy.state["open"]) == ("backward", 2)
    gradient = toy.state["layer"]["gradient"]["tiles"][0]
    np.testing.assert_allclose(gradient, slopes.logits, atol=1e-14)
    toy.page.keyboard.press("ArrowLeft")
    assert toy.state["part"] == "loss"


@pytest.mark.browser
def test_whole_steps_train_as_torch_does(stage: Callable[..., Stage]) -> None:
    toy = stage(explore("one training step"))
    model = as_torch(4)
    opt = torch.optim.SGD(model.parameters(), lr=1.0)
    x, labels = (torch.tensor(each) for each in toy_pictures(6))
    for number in range(1, 6):
        toy.page.keyboard.press("w") if number > 1 else toy.press("Whole step")
        loss = nn.functional.cross_entropy(model(x), labels)
        opt.zero_grad()
        loss.backward()
        opt.step()
        after = nn.functional.cross_entropy(model(x), labels)
        state = toy.state
        assert (state["step"], state["part"]) == (number, "again")
        assert (state["loss"], state["after"]) == pytest.approx((loss.item(), after.item()), rel=1e-9)
    assert toy.page.locator(".item .wrong").count() == 0, "five steps, and all six are right"
    toy.slide("Learning rate", 40)
    assert toy.state["after"] > toy.state["loss"]
    assert "too far" in toy.notice


@pytest.mark.browser
def test_layers_are_opened_and_a_number_is_read_on_a_phone(stage: Callable[..., Stage]) -> None:
    toy = stage(explore("training step"), width=390, dark=True)
    toy.press("Whole step")
    toy.page.locator("[data-layer='2']").click()
    assert toy.state["open"] == 2
    assert toy.page.locator("[data-tensor^=update]").count() == 2
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
    toy.page.locator("[data-tensor='weight'] svg").click(position={"x": 10, "y": 30})
    value = toy_network().second[1, 0]
    said = toy.page.inner_text("[data-tensor='weight'] .at").replace("−", "-")
    assert said == f"row 2, column 1: {value:.3f}"
    toy.page.keyboard.press("ArrowUp")
    assert toy.state["open"] == 1
    toy.press("Follow the walk again")
    assert toy.state["open"] == "loss"
    toy.press("Play")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.step === 2")


@pytest.mark.browser
def test_a_learners_own_step_is_walked(stage: Callable[..., Stage], learn: Learner) -> None:
    step = step_of(learn)
    toy = stage(explore(learn, "training step"))
    assert toy.page.locator(".item img").count() == 6
    toy.press("Whole step")
    assert toy.state["loss"] == pytest.approx(step.loss)
    assert toy.state["after"] == pytest.approx(step.after[step.rates.index(0.1)])
    assert toy.page.locator("[data-layer]").count() == 10
    toy.page.locator("[data-layer='7']").click()
    assert shown_numbers(toy, "bias")[0] == pytest.approx(
        step.layers[7].parameters[1].value.tiles[0][0][0], abs=0.006
    )
    toy.press("Step")
    assert toy.state["step"] == 1, "a real batch is stepped on once"
