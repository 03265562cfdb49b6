"""Boxes and labels: moved by their corners, clipped, dropped together, padded, and read from annotations."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.support import gradient
from tests.vision.placed import moved, placed, seeds, several_moves
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import Block
from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.train.learner import Learner
from wiggly.vision.annotations import get_annotations
from wiggly.vision.augment import Rotate, Zoom, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock, Boxes, BoxLabels, ClipBoxes
from wiggly.vision.flip import Flip
from wiggly.vision.geometry import Geometry, translation
from wiggly.vision.resize import RandomResizedCrop, Resize

side = st.floats(0, 1)


@st.composite
def some_boxes(draw: Any, h: int = 90, w: int = 120) -> Any:
    """Up to six boxes in a picture of `h` × `w` pixels."""
    found = []
    for _ in range(draw(st.integers(0, 6))):
        (x1, x2), (y1, y2) = sorted([draw(side), draw(side)]), sorted([draw(side), draw(side)])
        found.append([x1 * w, y1 * h, x2 * w, y2 * h])
    return found


def by_hand(boxes: Any, matrix: Any, size: tuple[int, int], min_share: float = 0.0) -> dict[int, list[float]]:
    """What must become of boxes, from the definition, one after the other: position to clipped box."""
    h, w = size
    kept: dict[int, list[float]] = {}
    for k, (x1, y1, x2, y2) in enumerate(boxes):
        corners = np.array([[[x1, y1], [x2, y1], [x2, y2], [x1, y2]]], dtype=np.float64)
        xs, ys = cv2.perspectiveTransform(corners, matrix)[0].T
        whole = (xs.max() - xs.min()) * (ys.max() - ys.min())
        left, right = max(xs.min(), 0.0), min(xs.max(), float(w))
        top, bottom = max(ys.min(), 0.0), min(ys.max(), float(h))
        near_one = min(abs(right - left - 1), abs(bottom - top - 1)) < 1e-5
        share = max(right - left, 0) * max(bottom - top, 0) / whole if whole else 1.0
        if right - left >= 1 and bottom - top >= 1 and share >= min_share and not near_one:
            kept[k] = [left, top, right, bottom]
    return kept


@settings(deadline=None, max_examples=150)
@given(several_moves, seeds, some_boxes())
def test_boxes_are_clipped_and_dropped_as_by_hand(moves: list[Any], seed: int, boxes: Any) -> None:
    labels = [f"box {k}" for k in range(len(boxes))]
    values = moved(placed(gradient(90, 120), boxes=boxes, labels=labels), [*moves, ClipBoxes()], seed)
    image, found, names = values
    want = by_hand(boxes, image.geometry.matrix, image.size)
    block = BBoxLblBlock(sorted([*labels, "other"]))
    kept = block.decode(block.encode(names))
    assert len(found) == len(kept) and set(want) <= {int(name[4:]) for name in kept}
    for name, box in zip(kept, found.xyxy, strict=True):
        if int(name[4:]) in want:  # a box of exactly 1 pixel may be either
            np.testing.assert_allclose(box, want[int(name[4:])], atol=1e-6)
    unit = BBoxBlock().encode(found)
    assert unit.shape == (len(kept), 4) and unit.dtype == torch.float32
    assert unit.abs().max() <= 1 + 1e-6 if len(kept) else True


@settings(deadline=None, max_examples=40)
@given(seeds, some_boxes(60, 80), st.integers(0, 40), st.integers(0, 30))
def test_they_are_torchvisions(seed: int, boxes: Any, x: int, y: int) -> None:
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import SanitizeBoundingBoxes, functional

    array = np.array(boxes, dtype=np.float64).reshape(-1, 4)
    theirs: Any = tv_tensors.BoundingBoxes(torch.from_numpy(array), format="XYXY", canvas_size=(60, 80))
    names = torch.arange(len(array))
    cases = [
        ([Flip(1.0)], functional.horizontal_flip(theirs)),
        ([Flip(1.0, vertical=True)], functional.vertical_flip(theirs)),
        ([Resize((30, 200), method="squish")], functional.resize(theirs, [30, 200])),
        ([Geometry(translation(-x, -y), (30, 40))], functional.crop(theirs, y, x, 30, 40)),
    ]
    for moves, want in cases:
        start = placed(gradient(60, 80), boxes=boxes, labels=[str(k) for k in range(len(boxes))])
        steps = [step for step in moves if not isinstance(step, Geometry)]
        values = moved(start, steps, seed)
        for step in moves:
            if isinstance(step, Geometry):
                values = (values[0].moved(step), values[1].moved(step), values[2])
        _, found, labels = moved(values, [ClipBoxes()], seed)
        cleaner = SanitizeBoundingBoxes(min_size=1, labels_getter=lambda sample: sample["labels"])
        clamped: Any = functional.clamp_bounding_boxes(want)
        good = cleaner({"boxes": clamped, "labels": names})
        near_one = (abs(clamped[:, 2:] - clamped[:, :2] - 1) < 1e-4).any()
        if not near_one:
            np.testing.assert_allclose(found.xyxy, good["boxes"].numpy(), atol=1e-4)
            assert len(labels) == len(good["labels"])


def test_a_share_that_must_be_left() -> None:
    half = placed(gradient(40, 40), boxes=[[0, 10, 20, 20], [30, 30, 40, 40]])
    for share, left in ((0.0, 2), (0.49, 2), (0.5, 2), (0.51, 1), (1.0, 1)):
        block = BBoxBlock(min_share=share)
        boxes = block.load([[0, 10, 20, 20], [30, 30, 40, 40]]).on((40, 40))
        shifted = boxes.moved(Geometry(translation(-10, 0), (40, 40)))
        found, kept = shifted.clipped()
        assert len(found) == left == kept.sum()
    assert len(half) == 2
    for wrong in (-0.1, 1.1):
        with pytest.raises(ArgumentError, match="min_share"):
            BBoxBlock(wrong)


def test_thin_boxes() -> None:
    block = BBoxBlock()
    boxes = block.load([[0, 0, 1, 1], [5, 5, 5.99, 9], [5, 5, 5, 5], [39, 39, 60, 60], [40, 0, 50, 9]])
    assert boxes.on((40, 40)).clipped()[1].tolist() == [True, False, False, True, False]


def test_a_turned_box_is_the_upright_one_around_its_corners() -> None:
    value = placed(gradient(100, 100), boxes=[[40, 40, 60, 60]])[1]
    turned = moved((value,), [Rotate(draw=45.0, p=1.0)], 0)[0]
    reach = 10 * 2**0.5
    np.testing.assert_allclose(turned.xyxy, [[50 - reach, 50 - reach, 50 + reach, 50 + reach]])
    np.testing.assert_allclose(moved((turned,), [Rotate(draw=-45.0, p=1.0)], 0)[0].xyxy, [[40, 40, 60, 60]])


def test_ways_to_give_boxes() -> None:
    block = BBoxBlock()
    for raw in ([], None, np.empty((0, 4)), (), torch.empty(0, 4)):
        assert len(block.load(raw)) == 0
    for raw in ([[1, 2, 3, 4]], np.array([[1, 2, 3, 4]]), torch.tensor([[1, 2, 3, 4]]), [(1, 2, 3, 4)]):
        assert block.load(raw).on((9, 9)).xyxy.tolist() == [[1, 2, 3, 4]]
    for wrong in ([1, 2, 3, 4], [[1, 2, 3]], "boxes", [[1, 2, 3, float("nan")]], [[1, 2], [3, 4, 5]], 3):
        with pytest.raises(LabelError, match="four numbers each"):
            block.load(wrong)
    with pytest.raises(LabelError, match=r"x1 <= x2.*one is \[10.0, 20.0, 5.0, 30.0\](.|\n)*width"):
        block.load([[10, 20, 5, 30]])


def test_labels() -> None:
    block = BBoxLblBlock()
    block.fit([["b", "a"], [], ["c"]])
    assert block.vocab == ["#na#", "a", "b", "c"] and block.n_out == 4
    assert block.load(["c", "unknown", None]).indices == (3, 0, 0)
    plain = BBoxLblBlock(["b", "a"], add_na=False)
    assert plain.vocab == ["b", "a"] and plain.load(["a"]).indices == (1,)
    with pytest.raises(LabelError, match="'z' is not among"):
        plain.load(["z"])
    for wrong in ("cat", None, 3):
        with pytest.raises(LabelError, match="BBoxLblBlock needs a list"):
            block.load(wrong)
    with pytest.raises(LabelError, match="at least 1 class"):
        BBoxLblBlock().fit([[], []])
    for fitted in (block, plain, BBoxBlock(0.25)):
        again = Block.from_config(json.loads(json.dumps(fitted.config())))
        assert again.config() == fitted.config() and again.vocab == fitted.vocab
    rows = [torch.tensor([1, 2]), torch.tensor([], dtype=torch.int64)]
    assert block.collate(rows).tolist() == [[1, 2], [0, 0]]
    assert plain.collate(rows[1:] + rows[:1]).tolist() == [[-100, -100], [1, 2]]
    assert plain.decode(torch.tensor([0, 1, -100])) == ["b", "a"]
    assert block.decode(torch.tensor([2, 0, 1, 0, 0])) == ["b", "#na#", "a"]


# ----------------------------------------------------------------------------------------------- in batches

BOXES = {
    0: ([[0, 0, 10, 10], [10, 10, 30, 30]], ["cat", "dog"]),
    1: ([], []),
    2: ([[5, 5, 20, 35]], ["dog"]),
    3: ([[0, 0, 40, 40], [1, 1, 5, 5], [30, 30, 40, 40]], ["cat", "cat", "dog"]),
    4: ([], []),
    5: ([[2, 3, 4, 5]], ["cat"]),
}


def loaders(boxes: Any = BOXES, block: Any = BBoxBlock, bs: int = 2, **tfms: Any) -> Any:
    recipe = DataBlock(
        (ImageBlock, block, BBoxLblBlock),
        n_inp=1,
        get_x=lambda k: gradient(40, 40),
        get_y=[lambda k: boxes[k][0], lambda k: boxes[k][1]],
        splitter=IndexSplitter([5]),
        **tfms,
    )
    return recipe.dataloaders(list(boxes), bs=bs, seed=0, num_workers=0, shuffle=False)


def test_a_batch_is_padded_at_the_end() -> None:
    dls = loaders(bs=5)
    x, boxes, labels = dls.one_batch()
    assert x.shape == (5, 3, 40, 40) and boxes.shape == (5, 3, 4) and labels.shape == (5, 3)
    assert dls.vocab == ["#na#", "cat", "dog"] and dls.c == [4, 3]
    assert labels.tolist() == [[1, 2, 0], [0, 0, 0], [2, 0, 0], [1, 1, 2], [0, 0, 0]]
    assert boxes[0].tolist() == [[-1, -1, -0.5, -0.5], [-0.5, -0.5, 0.5, 0.5], [0, 0, 0, 0]]
    assert (boxes[labels == 0] == 0).all() and boxes.dtype == torch.float32 and labels.dtype == torch.int64
    block = dls.target_blocks[0]
    np.testing.assert_allclose(block.decode_on(boxes[2], (40, 40)), [[5, 5, 20, 35]], atol=1e-5)


def test_pictures_without_boxes() -> None:
    empty = {k: ([], []) if k < 5 else ([[1, 1, 9, 9]], ["cat"]) for k in range(6)}
    empty[0] = ([[0, 0, 0.5, 9]], ["cat"])  # too thin
    dls = loaders(empty, bs=4)
    x, boxes, labels = dls.one_batch()
    assert boxes.shape == (4, 0, 4) and labels.shape == (4, 0) and len(x) == 4
    dls.show_batch((x, boxes, labels))
    dls.show_batch(unique=True, max_n=2)


def test_a_user_may_call_the_block_or_not() -> None:
    for block in (BBoxBlock, BBoxBlock()):
        assert loaders(block=block).one_batch()[1].shape == (2, 2, 4)


def test_boxes_and_labels_that_do_not_fit() -> None:
    with pytest.raises(LabelError, match=r"one label.*2 boxes and 1 labels \(item 'item 0'\)"):
        loaders({**BOXES, 0: (BOXES[0][0], ["cat"])}).one_batch()
    with pytest.raises(LabelError, match=r"x1 <= x2.*item 'item 2', in training"):
        loaders({**BOXES, 2: ([[9, 9, 1, 1]], ["cat"])})
    alone = DataBlock(
        (ImageBlock, BBoxLblBlock),
        getters=[lambda k: gradient(8, 8), lambda k: ["a"]],
        splitter=IndexSplitter([0]),
    )
    with pytest.raises(ArgumentError, match="needs the boxes of its labels"):
        alone.dataloaders(range(3), bs=1).one_batch()
    nothing = DataBlock((ImageBlock, BBoxBlock), getters=[lambda k: gradient(8, 8), lambda k: [[1, 1, 5, 5]]])
    assert nothing.dataloaders(range(5), bs=2).one_batch()[1].shape == (2, 1, 4)


def test_labels_follow_their_boxes_through_a_crop() -> None:
    boxes = [[x, y, x + 6, y + 6] for x in range(0, 40, 8) for y in range(0, 40, 8)]
    names = [f"{x}-{y}" for x in range(0, 40, 8) for y in range(0, 40, 8)]
    dls = loaders(
        dict.fromkeys(range(6), (boxes, names)), item_tfms=RandomResizedCrop(20, min_scale=0.2, ratio=(1, 1))
    )
    dropped = 0
    for position in range(5):
        image, found, labels = dls.train_ds.sample(position, Random(position))
        assert len(found) == len(labels) > 0
        dropped += len(boxes) - len(found)
        inverse = Geometry(np.linalg.inv(image.geometry.matrix), (40, 40))
        for box, index in zip(found.xyxy, labels.indices, strict=True):
            x, y = map(int, dls.vocab[index].split("-"))
            middle = inverse.points(np.array([[(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]]))[0]
            assert x - 0.01 <= middle[0] <= x + 6.01 and y - 0.01 <= middle[1] <= y + 6.01
    assert dropped > 10


def test_boxes_of_two_pictures_and_two_sets() -> None:
    recipe = DataBlock(
        (ImageBlock, BBoxBlock, BBoxLblBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        getters=[
            lambda k: gradient(40, 40),
            lambda k: [[0, 0, 10, 10], [30, 30, 40, 40]],
            lambda k: ["a", "b"],
            lambda k: [[30, 30, 40, 40]],
            lambda k: ["c"],
        ],
        splitter=IndexSplitter([0]),
        item_tfms=Zoom(draw=2.0, p=1.0, draw_x=0.0, draw_y=0.0),
    )
    dls = recipe.dataloaders(range(3), bs=2)
    _, boxes, labels, more, names = dls.one_batch()
    assert boxes.tolist() == [[[-1, -1, 0, 0]]] * 2 and labels.tolist() == [[1], [1]]
    assert more.shape == (2, 0, 4) and names.shape == (2, 0)
    assert dls.vocab == [["#na#", "a", "b"], ["#na#", "c"]]


def test_ours_behind_a_callable_of_the_batch_clips_and_drops_again() -> None:
    late: list[Any] = [lambda x: 1 - x, Zoom(draw=2.0, p=1.0, draw_x=0.0, draw_y=0.0), Flip(1.0)]
    x, boxes, labels = next(iter(loaders(bs=5, batch_tfms=late).train.batches())).tensors
    assert x.shape == (5, 3, 40, 40) and labels.tolist() == [[1, 2], [0, 0], [2, 0], [1, 1], [0, 0]]
    assert boxes[0].tolist() == [[0, -1, 1, 0], [-1, 0, 0, 1]]
    unknown = loaders({**BOXES, 0: (BOXES[0][0], ["cat", "cow"])}, bs=1, batch_tfms=late)
    assert next(iter(unknown.train.batches())).tensors[2].tolist() == [[1, 2]]


def test_a_size_changed_by_a_callable() -> None:
    with pytest.raises(DataError, match="changed the picture alone"):
        loaders(item_tfms=[lambda im: im.resize((20, 20))]).one_batch()


def test_threads_change_nothing() -> None:
    recipe = DataBlock(
        (ImageBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        get_x=lambda k: gradient(40, 40),
        get_y=[lambda k: BOXES[k][0], lambda k: BOXES[k][1]],
        splitter=IndexSplitter([5]),
        item_tfms=RandomResizedCrop(32),
        batch_tfms=aug_transforms(),
    )
    runs = [recipe.dataloaders(range(6), bs=2, seed=3, num_workers=n).train.batches() for n in (0, 2)]
    for one, other in zip(*runs, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one.tensors, other.tensors, strict=True))


class Counting(nn.Module):
    """Predicts how many boxes there are, the same for every picture."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.number.expand(len(x))


def count_loss(pred: Any, boxes: Any, labels: Any) -> Any:
    return (pred - (labels > 0).sum(1)).square().mean()


def test_a_learner_of_ones_own(tmp_path: Path) -> None:
    dls = loaders(bs=2)
    learn = Learner(dls, Counting(), loss_func=count_loss, lr=0.1, path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit(3)
    preds, targets = learn.get_preds(ds_idx=0)
    assert preds.shape == (5,) and targets[0].shape == (5, 3, 4) and targets[1].shape == (5, 3)
    assert targets[1].tolist() == [[1, 2, 0], [0, 0, 0], [2, 0, 0], [1, 1, 2], [0, 0, 0]]
    assert learn.validate()[0] >= 0
    with pytest.raises(DataError, match="one output per target"):
        learn.show_results()


class Seeing(nn.Module):
    """One box and one label for every picture."""

    def forward(self, x: torch.Tensor) -> Any:
        n = len(x)
        return torch.tensor([[[-0.5, -0.5, 0.5, 0.5]]]).repeat(n, 1, 1), torch.zeros(n, 1, 3) + torch.eye(3)[
            2
        ]


def test_results_are_drawn() -> None:
    import matplotlib.pyplot as plt

    dls = loaders(bs=2)
    dls.show_batch(max_n=4)
    axes = plt.gcf().axes
    names = [text.get_text() for text in axes[0].texts]
    assert len(axes[0].patches) == len(names) and set(names) <= {"cat", "dog"}
    learn = Learner(dls, Seeing(), loss_func=count_loss)
    learn.show_results(ds_idx=0, max_n=2)
    target, prediction = plt.gcf().axes[:2]
    assert (target.get_title(), prediction.get_title()) == ("Target", "Prediction")
    assert [text.get_text() for text in prediction.texts] == ["dog"]
    outline = prediction.patches[0]
    assert (outline.get_x(), outline.get_width()) == (9.5, 20)


def test_values() -> None:
    boxes = Boxes.of(np.array([[1.0, 2, 3, 4]])).on((10, 10))
    assert boxes.replaced([[0, 0, 5, 5]], (20, 20)).size == (20, 20) and len(boxes) == 1
    assert BoxLabels((1, 2, 3)).chosen(np.array([True, False, True])) == BoxLabels((1, 3))


# ----------------------------------------------------------------------------------------------- annotations


def test_annotations(tmp_path: Path) -> None:
    content = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "annotations": [
            {"image_id": 2, "category_id": 9, "bbox": [1, 2, 10, 20]},
            {"image_id": 2, "category_id": 4, "bbox": [0.5, 0, 1, 1]},
        ],
        "categories": [{"id": 9, "name": "cat"}, {"id": 4, "name": "dog"}],
    }
    file = tmp_path / "boxes.json"
    file.write_text(json.dumps(content))
    names, found = get_annotations(file)
    assert names == ["a.jpg", "b.jpg"]
    assert found == [([], []), ([[1, 2, 11, 22], [0.5, 0, 1.5, 1]], ["cat", "dog"])]
    assert get_annotations(file, prefix="photos/")[0][0] == "photos/a.jpg"
    assert get_annotations(file, prefix=tmp_path)[0][0] == str(tmp_path / "a.jpg")
    wrong: list[Any] = [
        "no json",
        "[]",
        json.dumps({"images": []}),
        json.dumps({**content, "categories": []}),
        json.dumps({**content, "annotations": [{"image_id": 3, "category_id": 9, "bbox": [1, 2, 3, 4]}]}),
        json.dumps({**content, "annotations": [{"image_id": 2, "category_id": 9, "bbox": [1, 2, 3]}]}),
    ]
    for text in wrong:
        file.write_text(text)
        with pytest.raises(DataError, match=r"COCO's format(.|\n)*boxes.json"):
            get_annotations(file)
    with pytest.raises(DataError, match="No such file"):
        get_annotations(tmp_path / "none.json")


def detection(shared: Path, name: str, images: str, **tfms: Any) -> tuple[Any, dict[str, Any]]:
    root = shared / "data" / name
    files, found = get_annotations(root / "train.json", prefix=root / images)
    known = dict(zip(files, found, strict=True))
    recipe = DataBlock(
        (ImageBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        get_y=[lambda f: known[f][0], lambda f: known[f][1]],
        splitter=RandomSplitter(seed=0),
        **tfms,
    )
    return recipe.dataloaders(files, bs=32, seed=0), known


@pytest.mark.parametrize(
    ("name", "images", "n_boxes", "n_classes"),
    [("coco_tiny", "train", 688, 6), ("voc2007_sub", "images", 1492, 20)],
)
def test_real_boxes(shared: Path, name: str, images: str, n_boxes: int, n_classes: int) -> None:
    dls, known = detection(shared, name, images, item_tfms=Resize(128, method="squish"))
    assert sum(len(boxes) for boxes, _ in known.values()) == n_boxes and len(dls.vocab) == n_classes + 1
    block, names = dls.target_blocks
    for batch in dls.valid.batches():
        _, boxes, labels = batch.tensors
        assert boxes.shape[:2] == labels.shape and boxes.abs().max() <= 1
        assert ((labels == 0) == (boxes == 0).all(2)).all()
        for row, position in enumerate(batch.positions):
            file = dls.valid_ds.items[position]
            with Image.open(file) as photo:
                w, h = photo.size
            scale = np.array([128 / w, 128 / h] * 2)
            want = by_hand(known[file][0], np.diag([*scale[:2], 1.0]), (128, 128))
            found = block.decode_on(boxes[row], (128, 128))
            np.testing.assert_allclose(found, np.array(list(want.values())).reshape(-1, 4), atol=1e-3)
            assert names.decode(labels[row]) == [known[file][1][k] for k in want]


def test_real_boxes_augmented(shared: Path) -> None:
    tfms = aug_transforms(max_rotate=20.0, min_scale=0.4, size=96)
    dls, known = detection(shared, "voc2007_sub", "images", item_tfms=Resize(160), batch_tfms=tfms)
    dropped = 0
    for position in range(0, 380, 19):
        file = dls.train_ds.items[position]
        image, boxes, labels = dls.train_ds.sample(position, Random(position))
        want = by_hand(known[file][0], image.geometry.matrix, (96, 96))
        np.testing.assert_allclose(boxes.xyxy, np.array(list(want.values())).reshape(-1, 4), atol=1e-6)
        assert [dls.vocab[i] for i in labels.indices] == [known[file][1][k] for k in want]
        dropped += len(known[file][0]) - len(boxes)
    assert dropped > 0
    batch = next(iter(dls.train.batches()))
    assert batch.targets[0].abs().max() <= 1 and len(batch) == 32


def test_annotations_without_boxes_stay_items(shared: Path, tmp_path: Path) -> None:
    root = shared / "data" / "coco_tiny"
    content = json.loads((root / "train.json").read_text())
    first = content["images"][0]
    content["annotations"] = [a for a in content["annotations"] if a["image_id"] != first["id"]]
    (tmp_path / "train.json").write_text(json.dumps(content))
    (tmp_path / "train").mkdir()
    shutil.copy(root / "train" / first["file_name"], tmp_path / "train")
    files, found = get_annotations(tmp_path / "train.json", prefix=tmp_path / "train")
    assert len(files) == 200 and found[0] == ([], []) and Path(files[0]).exists()
