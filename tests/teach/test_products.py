"""Matrix product: against torch, a real layer's numbers to the last digit, and the page played with."""

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
from wiggly.teach.explore import EXPLORABLES, explore
from wiggly.teach.products import layer_product, matrix_product, patches, product
from wiggly.teach.runs import held
from wiggly.train.learner import Learner

A, B = np.array([[1, 2, -3], [4, 0, 5]]), np.array([[2, 1], [-1, 3], [0, 6]])


def test_products_and_patches_are_torchs_and_the_pages(in_node: Callable[[str, Any], Any]) -> None:
    assert product(A, B).tolist() == (torch.tensor(A) @ torch.tensor(B)).tolist()
    image = np.arange(20).reshape(4, 5) ** 2 % 7
    kernels = np.array([[1, -1, 2, 0], [0, 3, -2, 1]])
    unfolded = nn.functional.unfold(torch.tensor(image, dtype=torch.float32)[None, None], 2)[0].T
    assert patches(image, 2, 2).tolist() == unfolded.int().tolist()
    convolved = nn.functional.conv2d(
        torch.tensor(image, dtype=torch.float32)[None, None],
        torch.tensor(kernels, dtype=torch.float32).reshape(2, 1, 2, 2),
    )
    as_product = product(patches(image, 2, 2), kernels.T)
    assert as_product.T.reshape(2, 3, 4).tolist() == convolved[0].int().tolist()
    theirs = in_node(
        "[products.product(given.a, given.b), products.patches(given.image, 2, 2)]",
        {"a": A.tolist(), "b": B.tolist(), "image": image.tolist()},
    )
    assert theirs == [product(A, B).tolist(), patches(image, 2, 2).tolist()]


@pytest.fixture(scope="module")
def learn() -> Learner:
    return digit_learner()


@pytest.mark.parametrize("name", ["1.1", "0.3"])
def test_a_real_layers_parts_add_up_to_its_output(learn: Learner, name: str) -> None:
    before = weights_of(learn)
    cut = layer_product(learn, name)
    assert equal(before, weights_of(learn))
    torch.testing.assert_close(cut.inputs @ cut.weights + cut.rest + cut.bias, cut.outputs)
    layer = learn.get_submodule(name)
    with held(learn, 8) as batch, torch.no_grad():
        body = learn.get_submodule("0")
        assert isinstance(body, nn.Sequential)
        until = body if name == "1.1" else body[:3]
        features = until(batch.inputs[0])
        expected = layer(features.flatten(1)) if name == "1.1" else layer(features)[0].flatten(1).T
    shown = expected[[int(row.split()[1]) - 1 for row in cut.rows]]
    shown = shown[:, [int(column.split()[1]) for column in cut.columns]]
    torch.testing.assert_close(cut.outputs.float(), shown, rtol=1e-5, atol=1e-6)
    assert cut.n_hidden == (251 if name == "1.1" else 67)


def test_what_cannot_be_shown_is_refused(learn: Learner) -> None:
    with pytest.raises(ModelError, match="BatchNorm2d"):
        explore(learn, "0.1")
    with pytest.raises(ModelError, match="head"):
        explore(learn, "head")
    with pytest.raises(ArgumentError, match="sum of relus"):
        explore("relu")
    for a, b in ((A, A), (np.ones((9, 2)), np.ones((2, 2))), ([1, 2], [[1], [2]]), (A, None)):
        with pytest.raises(ArgumentError, match="each size from 1 to 8"):
            matrix_product(a, b)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", EXPLORABLES)
def test_every_explorable_is_small_and_asks_for_nothing(built: None, name: str) -> None:
    page = explore(name.replace("-", " ")).page()
    assert len(page.encode()) < 200_000
    links = [word for word in ("src=", "href=", "@import", "fetch(", "import(") if word in page]
    assert not links, "nothing comes from elsewhere"


# ---- in the browser


@pytest.mark.browser
def test_numbers_fall_and_add_up(stage: Callable[..., Stage]) -> None:
    toy = stage(matrix_product(A.tolist(), B.tolist()))
    assert toy.state["c"] == product(A, B).tolist()
    assert toy.state["tick"] == -1
    toy.press("Step")
    said = toy.page.inner_text("[data-part=formula]").replace("−", "-")
    assert said == "row 1 · column 1: 1×2 + 2×(-1) + -3×0 = 0"
    shown = toy.page.locator("[data-cell='c0,0'] text")
    hidden = toy.page.locator("[data-cell='c1,1'] text")
    assert (shown.evaluate("e => e.style.opacity"), hidden.evaluate("e => e.style.opacity")) == ("1", "0")
    for _ in range(5):
        toy.press("Step")
    assert toy.state["tick"] == toy.state["last"] == 2
    assert "GPU" in toy.notice
    toy.press("Back")
    assert toy.state["tick"] == 1


@pytest.mark.browser
def test_a_cell_is_chosen_by_key_and_a_number_changed(stage: Callable[..., Stage]) -> None:
    toy = stage(matrix_product(A.tolist(), B.tolist()))
    toy.page.locator("[data-cell='c1,1']").focus()
    toy.page.keyboard.press("Enter")
    assert toy.state["at"] == [1, 1]
    assert toy.state["tick"] == 2
    toy.page.locator("[data-cell='a1,2']").click()
    toy.page.keyboard.type("-7")
    toy.page.keyboard.press("Enter")
    changed = A.copy()
    changed[1, 2] = -7
    assert toy.state["c"] == product(changed, B).tolist()
    toy.slide("Columns of A = rows of B", 8)
    toy.slide("Rows of A", 8)
    toy.slide("Columns of B", 8)
    state = toy.state
    assert np.shape(state["c"]) == (8, 8)
    assert state["c"] == product(np.array(state["a"]), np.array(state["b"])).tolist()


@pytest.mark.browser
def test_every_scene_fits_a_phone(stage: Callable[..., Stage]) -> None:
    toy = stage(matrix_product(), width=390, dark=True)
    for name in ("A layer, with bias", "A batch", "A convolution", "Two matrices"):
        toy.press(name)
        toy.press("Step")
        assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
        assert toy.notice
        if name == "A convolution":
            image = torch.tensor([[0.0, 0, 5, 5], [0, 0, 5, 5], [0, 5, 5, 5]])
            kernels = torch.tensor([[-1.0, 1, -1, 1], [1, 1, -1, -1]]).reshape(2, 1, 2, 2)
            expected = nn.functional.conv2d(image[None, None], kernels)[0].flatten(1).T
            assert toy.state["c"] == expected.tolist()


@pytest.mark.browser
def test_a_real_layer_is_shown(stage: Callable[..., Stage], learn: Learner) -> None:
    cut = layer_product(learn, "1.1")
    toy = stage(explore(learn, "1.1"))
    np.testing.assert_allclose(toy.state["c"], cut.outputs.numpy(), rtol=1e-9)
    assert "251" in toy.notice
    toy.press("Step")
    said = toy.page.inner_text("[data-part=formula]")
    assert said.startswith(f"{cut.rows[0]}, {cut.columns[0]}: ")
    assert said.replace("−", "-").endswith(f"= {cut.outputs[0, 0]:.2f}")
