"""RandomResizedCrop: the page's draws are wiggly's own, number for number; what is lost is counted right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.teach.conftest import Stage

from wiggly import DataBlock, ImageBlock, MaskBlock, RandomSplitter
from wiggly.errors import ArgumentError, DataError
from wiggly.teach.crops import crops, kept, kept_of_box, random_resized_crop, seen
from wiggly.teach.explore import explore
from wiggly.train.learner import Learner
from wiggly.vision.resize import RandomResizedCrop, Resize

SIZES = [(480, 640), (333, 90), (40, 800)]


def test_the_pages_random_numbers_are_pythons(in_node: Callable[[str, Any], Any]) -> None:
    for seed in (0, 42, 2**31 + 5):
        random = Random(seed)
        ours = [[random.random(), random.randint(0, n), random.uniform(-1, n)] for n in range(400)]
        theirs = in_node(
            "(() => { const r = new twister.Twister(given); return Array.from({length: 400}, (_, n) =>"
            " [r.random(), r.whole(0, n), r.uniform(-1, n)]); })()",
            seed,
        )
        assert theirs == ours


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("settings", [(0.08, (3 / 4, 4 / 3)), (0.5, (0.4, 2.5))])
def test_the_pages_draws_are_wigglys(in_node: Callable[[str, Any], Any], size: Any, settings: Any) -> None:
    transform = RandomResizedCrop(224, min_scale=settings[0], ratio=settings[1])
    given = {"size": size, "settings": {"minScale": settings[0], "maxScale": 1, "ratio": settings[1]}}
    theirs = in_node("crops.crops(given.size, 300, given.settings, 7)", given)
    np.testing.assert_array_equal(crops(transform, size, 300, 7), theirs)
    theirs = in_node("crops.largestCrops(given.size, 50, [224, 160], 7)", given)
    np.testing.assert_array_equal(crops(Resize((224, 160)), size, 50, 7), theirs)


def test_what_is_seen_and_lost_is_counted_pixel_by_pixel(in_node: Callable[[str, Any], Any]) -> None:
    size = (60, 80)
    boxes = crops(RandomResizedCrop(32), size, 40, 3)
    y, x = np.mgrid[:60, :80]
    mask = (x - 50) ** 2 + (y - 20) ** 2 < 200
    counts, shares = np.zeros(size), []
    for left, top, w, h in boxes.astype(int):
        counts[top : top + h, left : left + w] += 1
        shares.append(mask[top : top + h, left : left + w].sum() / mask.sum())
    np.testing.assert_allclose(seen(boxes, size, size), counts / 40)
    np.testing.assert_allclose(kept(boxes, mask, size), shares)
    small = mask[::4, ::4]
    block = np.zeros(size)
    block[5:25, 30:70] = 1
    given = {"boxes": boxes.tolist(), "mask": small.tolist(), "size": size}
    theirs = in_node(
        "[crops.seen(given.boxes, given.size, [13, 9]), crops.kept(given.boxes, given.mask, given.size),"
        " crops.keptOfBox(given.boxes, [30, 5, 40, 20])]",
        given,
    )
    np.testing.assert_allclose(theirs[0], seen(boxes, size, (13, 9)), atol=1e-12)
    np.testing.assert_allclose(theirs[1], kept(boxes, small, size), atol=1e-9)
    np.testing.assert_allclose(theirs[2], kept_of_box(boxes, (30, 5, 40, 20)), atol=1e-12)
    np.testing.assert_allclose(theirs[2], kept(boxes, block, size), atol=1e-12)


@pytest.fixture
def masked(tmp_path: Path) -> Learner:
    """A learner on photos with masks: a square on a plain ground."""
    from torch import nn

    for i in range(4):
        photo = np.full((90, 120, 3), 60 * i, np.uint8)
        Image.fromarray(photo).save(tmp_path / f"{i}.png")
        mask = np.zeros((90, 120), np.uint8)
        mask[10:40, 70:110] = 1
        Image.fromarray(mask).save(tmp_path / f"{i}.mask.tif")
    block = DataBlock(
        (ImageBlock, MaskBlock(codes=["ground", "thing"])),
        get_items=lambda folder: sorted(folder.glob("*.png")),
        get_y=lambda path: path.with_suffix(".mask.tif"),
        splitter=RandomSplitter(0.25, seed=1),
        item_tfms=RandomResizedCrop(48, min_scale=0.4, ratio=(0.9, 1.2)),
    )
    return Learner(block.dataloaders(tmp_path, bs=2), nn.Conv2d(3, 2, 1), loss_func=nn.CrossEntropyLoss())


def test_photo_mask_and_settings_come_from_the_learner(masked: Learner) -> None:
    data = explore(masked, "random resized crop", 1).data
    assert data["size"] == [90, 120]
    assert data["target"] == [48, 48]
    assert (data["minScale"], data["ratio"]) == (0.4, [0.9, 1.2])
    assert data["mask"].startswith("data:image/png")
    assert "mask" in random_resized_crop(learn=masked, of="ground").data
    with pytest.raises(ArgumentError, match="thing"):
        random_resized_crop(learn=masked, of="cat")


def test_what_does_not_fit_is_refused() -> None:
    from tests.train.support import digit_learner

    photo = np.zeros((30, 40, 3), np.uint8)
    with pytest.raises(ArgumentError, match="as large as the photo"):
        random_resized_crop(photo, mask=np.ones((3, 4)))
    with pytest.raises(ArgumentError, match="inside the photo"):
        random_resized_crop(photo, box=(0, 0, 41, 10))
    with pytest.raises(DataError, match="pictures"):
        explore(digit_learner(), "random resized crop")


# ---- in the browser


@pytest.mark.browser
def test_draws_are_stepped_through_and_counted(stage: Callable[..., Stage]) -> None:
    toy = stage(random_resized_crop())
    toy.press("Step")
    toy.page.keyboard.press("ArrowRight")
    boxes = crops(RandomResizedCrop(224), (480, 640), 400)
    assert toy.state["draw"] == 2
    assert toy.state["box"] == boxes[2].tolist()
    lost = toy.state["meanKept"]
    toy.slide("min_scale: least share of the area", 0.6)
    assert toy.state["meanKept"] > lost + 0.1
    boxes = crops(RandomResizedCrop(224, min_scale=0.6), (480, 640), 400)
    assert toy.state["box"] == boxes[2].tolist()
    toy.press("What many draws see")
    toy.press("Step")
    assert "4 draws" in toy.page.locator(".stage svg").text_content()


@pytest.mark.browser
def test_a_photo_with_a_mask_is_measured_as_in_python(stage: Callable[..., Stage], masked: Learner) -> None:
    toy = stage(random_resized_crop(learn=masked))
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.size[0] === 90")
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.kept !== null")
    mask = np.zeros((90, 120))
    mask[10:40, 70:110] = 1
    transform = RandomResizedCrop(48, min_scale=0.4, ratio=(0.9, 1.2))
    expected = kept(crops(transform, (90, 120), 400), mask, (90, 120))
    assert toy.state["kept"] == pytest.approx(expected[0], abs=1e-9)
    assert toy.state["meanKept"] == pytest.approx(expected.mean(), abs=1e-9)


@pytest.mark.browser
def test_on_a_phone_a_box_is_drawn_around_the_object(stage: Callable[..., Stage], tmp_path: Path) -> None:
    photo = Image.new("RGB", (300, 200), "teal")
    photo.save(tmp_path / "mine.jpg")
    toy = stage(random_resized_crop(), width=390, dark=True)
    toy.page.set_input_files("input[type=file]", str(tmp_path / "mine.jpg"))
    toy.page.wait_for_function("document.querySelector('.wx').wigglyState.size[0] === 200")
    assert toy.state["kept"] is None
    assert "Drag a box" in toy.notice
    box = toy.page.locator(".stage svg").bounding_box()
    toy.page.mouse.move(box["x"] + 60, box["y"] + 40)
    toy.page.mouse.down()
    toy.page.mouse.move(box["x"] + 200, box["y"] + 120, steps=3)
    toy.page.mouse.up()
    state = toy.state
    expected = kept_of_box(crops(RandomResizedCrop(224), (200, 300), 400), state["object"])
    assert state["meanKept"] == pytest.approx(expected.mean())
    assert toy.page.evaluate("document.documentElement.scrollWidth") <= 390
