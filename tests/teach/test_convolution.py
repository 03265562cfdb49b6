"""Convolution: against torch in every setting, a real layer's numbers, and the page played with."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.teach.conftest import Stage
from tests.train.support import digit_learner, equal, weights_of
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.teach.convolution import KERNELS, convolution, convolve, layer_kernels, windows
from wiggly.teach.explore import explore
from wiggly.train.learner import Learner

IMAGE = (np.arange(63).reshape(7, 9) ** 2 % 11 - 4).astype(float)
KERNEL = np.array([[1.0, -2, 0.5], [0, 3, -1]])
SETTINGS = [
    ((1, 1), (0, 0), (1, 1)),
    ((2, 3), (1, 2), (1, 1)),
    ((1, 2), (3, 1), (2, 3)),
    ((4, 1), (0, 2), (1, 2)),
]


@pytest.mark.parametrize(("stride", "padding", "dilation"), SETTINGS)
def test_every_setting_is_torchs_and_the_pages(
    in_node: Callable[[str, Any], Any], stride: Any, padding: Any, dilation: Any
) -> None:
    ours = convolve(IMAGE, KERNEL, stride, padding, dilation)
    image = torch.tensor(IMAGE)[None, None]
    settings = {"stride": stride, "padding": padding, "dilation": dilation}
    expected = nn.functional.conv2d(image, torch.tensor(KERNEL)[None, None], **settings)[0, 0]
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    rows = windows(IMAGE, (2, 3), stride, padding, dilation)
    unfolded = nn.functional.unfold(image, (2, 3), dilation, padding, stride)[0].T
    np.testing.assert_array_equal(rows, unfolded)
    given = {"image": IMAGE.tolist(), "kernel": KERNEL.tolist(), "settings": settings}
    theirs = in_node(
        "[convolution.convolve(given.image, given.kernel, given.settings),"
        " convolution.windows(given.image, given.kernel, given.settings)]",
        given,
    )
    np.testing.assert_allclose(theirs[0], ours, atol=1e-12)
    np.testing.assert_array_equal(theirs[1], rows)


def test_the_pages_kernels_are_these(in_node: Callable[[str, Any], Any]) -> None:
    theirs = in_node("convolution.KERNELS", None)
    assert theirs == {name: [list(row) for row in kernel] for name, kernel in KERNELS.items()}


@pytest.fixture(scope="module")
def learn() -> Learner:
    return digit_learner()


def own_sums(found: Any) -> torch.Tensor:
    """What the page adds up of a layer's numbers."""
    settings = {"stride": found.stride, "padding": found.padding, "dilation": found.dilation}
    sums = nn.functional.conv2d(found.inputs[None], found.kernels, **settings)[0]
    return sums + found.rest + found.bias[:, None, None]


@pytest.mark.parametrize(("name", "hidden"), [(None, 0), ("0.3", 5)])
def test_a_real_layers_parts_add_up_to_its_output(learn: Learner, name: str | None, hidden: int) -> None:
    before = weights_of(learn)
    found = layer_kernels(learn, name)
    assert equal(before, weights_of(learn))
    assert found.n_hidden == hidden
    torch.testing.assert_close(own_sums(found), found.outputs)
    layer = learn.get_submodule(name or "0.0")
    chosen = [int(each.split()[1]) for each in found.names]
    if name is None:
        with torch.no_grad():
            expected = layer(found.inputs[None].float())[0][chosen]
        torch.testing.assert_close(found.outputs.float(), expected)


PADDED = [
    nn.Conv2d(1, 6, 4, padding="same", dilation=2),
    nn.Conv2d(1, 6, 3, padding=(2, 1), padding_mode="reflect", stride=(2, 1), bias=False),
]


@pytest.mark.parametrize("layer", PADDED, ids=["same", "reflect"])
def test_other_paddings_and_groups(layer: nn.Conv2d) -> None:
    model = nn.Sequential(layer, nn.Conv2d(6, 12, 3, groups=3), nn.Flatten(), nn.LazyLinear(10))
    model(torch.zeros(1, 1, 8, 8))
    learn = digit_learner(model=model, splitter=lambda m: [list(m.parameters())])
    for name in ("0", "1"):
        found = layer_kernels(learn, name)
        torch.testing.assert_close(own_sums(found), found.outputs, rtol=1e-4, atol=1e-5)
        assert name != "1" or found.rest.abs().max() > 0


def test_what_cannot_be_shown_is_refused(learn: Learner) -> None:
    with pytest.raises(ModelError, match="BatchNorm2d"):
        layer_kernels(learn, "0.1")
    with pytest.raises(ArgumentError, match="layer of a learner"):
        convolution(layer="0")


# ---- in the browser


@pytest.mark.browser
def test_the_window_slides_and_numbers_are_torchs(stage: Callable[..., Stage]) -> None:
    toy = stage(convolution())
    toy.press("Step")
    toy.page.keyboard.press("ArrowRight")
    toy.page.keyboard.press("ArrowDown")
    state = toy.state
    assert state["at"] == [1, 1]
    expected = convolve(np.array(state["image"]), np.array(KERNELS["upright edges"]))
    np.testing.assert_allclose(state["out"], expected)
    assert toy.page.text_content("[data-part=sum]").replace("−", "-") == f"{expected[1, 1]:.0f}"
    assert toy.page.inner_text("[data-part=formula]").endswith(f"= {expected[1, 1]:.0f}")
    toy.slide("Stride", 2)
    toy.slide("Padding", 1)
    toy.slide("Dilation", 2)
    toy.page.fill("input[aria-label='Weight in row 2, column 2']", "-1.5")
    state = toy.state
    assert state["kernel"][1][1] == -1.5
    expected = convolve(np.array(state["image"]), np.array(state["kernel"]), (2, 2), (1, 1), (2, 2))
    np.testing.assert_allclose(state["out"], expected)
    toy.root.locator("input[type=checkbox]").check()
    np.testing.assert_allclose(toy.state["out"], np.maximum(expected, 0))
    assert "ReLU" in toy.notice


@pytest.mark.browser
def test_on_a_phone_a_place_is_chosen_and_a_photo_loaded(stage: Callable[..., Stage], tmp_path: Path) -> None:
    toy = stage(convolution(), width=390, dark=True)
    toy.press("A photo")
    photo = Image.fromarray((np.arange(60 * 80).reshape(60, 80) * 7 % 256).astype(np.uint8))
    photo.save(tmp_path / "mine.png")
    toy.page.set_input_files("input[type=file]", str(tmp_path / "mine.png"))
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.size[0] === 58")
    expected = convolve(np.array(photo, float), np.array(KERNELS["upright edges"]))
    assert toy.state["total"] == pytest.approx(expected.sum())
    box = toy.page.locator(".stage svg").bounding_box()
    toy.page.mouse.click(box["x"] + 0.75 * box["width"], box["y"] + 60)
    row, column = toy.state["at"]
    assert toy.state["value"] == pytest.approx(expected[row, column])
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.browser
def test_a_real_layer_is_shown(stage: Callable[..., Stage], learn: Learner) -> None:
    found = layer_kernels(learn, "0.3")
    toy = stage(explore(learn, "0.3"))
    for i, name in enumerate(found.names):
        toy.press(name.replace("output ", ""))
        np.testing.assert_allclose(toy.state["out"], found.outputs[i].numpy(), atol=1e-4)
    assert "other 5 input channels" in toy.notice
    toy.press("Step")
    assert "other channels" in toy.page.inner_text("[data-part=formula]")
