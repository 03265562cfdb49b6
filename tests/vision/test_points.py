"""Key points: moved exactly, encoded in [-1, 1], and back in pixels of the picture they came from."""

from __future__ import annotations

import json
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
from tests.vision.placed import MOVES, moved, placed, seeds, several_moves
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import Block
from wiggly.data.items import ColReader
from wiggly.data.split import ColSplitter, IndexSplitter
from wiggly.errors import ArgumentError, DataError, LabelError
from wiggly.train.learner import Learner
from wiggly.train.losses.core import MSELossFlat, loss_for, loss_per_item
from wiggly.train.metrics.core import PointError, metric_for
from wiggly.vision.augment import Rotate, Zoom, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.flip import Flip
from wiggly.vision.frame import from_unit, to_unit
from wiggly.vision.geometry import Geometry, inverted
from wiggly.vision.learner import vision_learner
from wiggly.vision.points import PointBlock, Points
from wiggly.vision.resize import RandomResizedCrop, Resize

coordinates = st.lists(st.tuples(st.floats(0, 120), st.floats(0, 90)), min_size=1, max_size=6)


@settings(deadline=None, max_examples=150)
@given(several_moves, seeds, coordinates)
def test_a_transform_and_its_inverse_return_points(moves: list[Any], seed: int, xy: Any) -> None:
    image, points = placed(gradient(90, 120), points=xy)
    image, there = moved((image, points), moves, seed)
    assert there.size == image.size and np.array_equal(there.geometry.matrix, image.geometry.matrix)
    back = there.moved(Geometry(inverted(image.geometry.matrix), (90, 120)))
    np.testing.assert_allclose(back.xy, xy, atol=1e-4)
    # What the model is trained on goes back as well, as far as float32 reaches.
    block = PointBlock()
    again = block.decode_on(block.encode(there), there.size, inverted(image.geometry.matrix))
    np.testing.assert_allclose(again, xy, atol=5e-3)


@settings(deadline=None, max_examples=50)
@given(several_moves, seeds, coordinates)
def test_points_are_moved_as_opencv_would(moves: list[Any], seed: int, xy: Any) -> None:
    image, points = moved(placed(gradient(90, 120), points=xy), moves, seed)
    matrix = image.geometry.matrix
    want = cv2.perspectiveTransform(np.array([xy], dtype=np.float64), matrix)[0]
    np.testing.assert_allclose(points.xy, want, atol=1e-9)
    h, w = image.size
    unit = PointBlock().encode(points)
    assert unit.dtype == torch.float32
    np.testing.assert_allclose(unit.numpy(), want / [w / 2, h / 2] - 1, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("move", MOVES, ids=repr)
def test_points_stay_on_what_they_mark(move: Any) -> None:
    picture = np.zeros((90, 120, 3), np.float64)
    marks = np.array([[40.5, 30.5], [75.5, 60.5]])
    y, x = np.mgrid[0:90, 0:120] + 0.5
    for x0, y0 in marks:
        picture += np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / (2 * 2.5**2))[:, :, None]
    bright = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    for seed in range(4):
        image, points = moved(placed(bright, points=marks), [move], seed)
        h, w = image.size
        pixels = image.pixels()[:, :, 0].astype(np.float64)
        v, u = np.mgrid[0:h, 0:w] + 0.5
        for px, py in points.xy:
            if not (8 < px < w - 8 and 8 < py < h - 8):
                continue
            near = (abs(u - px) < 7) & (abs(v - py) < 7)
            weights = pixels[near]
            centre = np.array([(u[near] * weights).sum(), (v[near] * weights).sum()]) / weights.sum()
            assert np.linalg.norm(centre - (px, py)) < 0.5


def test_flips_and_resizes_are_torchvisions() -> None:
    from torchvision import tv_tensors
    from torchvision.transforms.v2 import functional

    xy = np.random.default_rng(0).uniform(0, 60, (5, 2))
    image, points = placed(gradient(60, 80), points=xy)
    # A box without extent, as torchvision's own key points follow another convention (pixel centres).
    theirs: Any = tv_tensors.BoundingBoxes(np.tile(xy, 2), format="XYXY", canvas_size=(60, 80))
    for ours, want in (
        ([Flip(1.0)], functional.horizontal_flip(theirs)),
        ([Flip(1.0, vertical=True)], functional.vertical_flip(theirs)),
        ([Resize((30, 200), method="squish")], functional.resize(theirs, [30, 200])),
    ):
        found = moved((image, points), ours, 0)[1].xy
        np.testing.assert_allclose(found, want.numpy()[:, :2], atol=1e-4)


def test_points_outside_stay_as_they_are() -> None:
    points = placed(gradient(40, 80), points=[[-20, 50], [100, -10]])[1]
    unit = PointBlock().encode(points)
    torch.testing.assert_close(unit, torch.tensor([[-1.5, 1.5], [1.5, -1.5]]))


def test_ways_to_give_points() -> None:
    block = PointBlock()
    want = np.array([[1.0, 2.0], [3.0, 4.0]])
    for raw in ([(1, 2), (3, 4)], [1, 2, 3, 4], want, torch.tensor(want), torch.tensor([1, 2, 3, 4])):
        assert np.array_equal(block.load(raw).stored, want)
    block.fit([want, want])
    assert (block.n_points, block.n_out, block.loss, block.metric) == (2, 4, "mse", "PointError")
    assert PointBlock(3).n_out == 6
    again = Block.from_config(json.loads(json.dumps(block.config())))
    assert isinstance(again, PointBlock) and again.n_points == 2
    for wrong in ([1, 2, 3], [[1, 2, 3]], "12", None, [], {"x": 1}, [[1, float("inf")]], np.zeros((2, 2, 2))):
        with pytest.raises(LabelError, match="pairs of numbers"):
            PointBlock().load(wrong)
    with pytest.raises(LabelError, match=r"must have 2 points; one has 1"):
        block.load([1, 2])
    with pytest.raises(ArgumentError, match="size of their picture"):
        block.encode(block.load(want))


def files(root: Path, n: int = 6) -> list[Path]:
    for k in range(n):
        Image.fromarray(gradient(40 + 4 * k, 60)).save(root / f"{k}.png")
    return [root / f"{k}.png" for k in range(n)]


def loaders(root: Path, points_of: Any, n: int = 6, **tfms: Any) -> Any:
    block = DataBlock((ImageBlock, PointBlock), get_y=points_of, splitter=IndexSplitter([0, 1]), **tfms)
    return block.dataloaders(files(root, n), bs=2, seed=0, path=root)


def test_wrong_points_are_found_at_the_start(tmp_path: Path) -> None:
    def points_of(path: Path) -> Any:
        return [(1, 2)] if path.stem != "1" else [(1, 2), (3, 4)]

    with pytest.raises(LabelError, match=r"1 points; one has 2 \(item '.*1.png', in validation\)"):
        loaders(tmp_path, points_of)


def test_upright_pictures(tmp_path: Path) -> None:
    """A phone's photo is stored on its side; its points are where a viewer sees them."""
    picture = np.zeros((48, 80, 3), np.uint8)
    picture[8:16, 64:72] = 255
    upright = Image.fromarray(picture)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned: show it turned clockwise
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "a.jpg", exif=exif, quality=95)
    image = ImageBlock().load(tmp_path / "a.jpg")
    points = PointBlock().relate(PointBlock().load([68, 12]), (image,))
    image, points = moved((image, points), [Resize((96, 160)), Flip(1.0)], 0)
    pixels = image.pixels()[:, :, 0].astype(float)
    y, x = np.mgrid[0:96, 0:160] + 0.5
    centre = (x * pixels).sum() / pixels.sum(), (y * pixels).sum() / pixels.sum()
    np.testing.assert_allclose(points.xy[0], centre, atol=0.6)


def test_missing_points_stay_missing_and_do_not_count(tmp_path: Path) -> None:
    nan = float("nan")
    _, points = moved(placed(gradient(), points=[[nan, 3.0], [10, 20]]), [Rotate(60.0, 1.0)], 3)
    encoded = PointBlock().encode(points)
    assert encoded.isnan().tolist() == [[True, True], [False, False]]

    loss = loss_for(PointBlock(2))
    pred = torch.randn(3, 4, requires_grad=True)
    target = torch.randn(3, 2, 2)
    target[0, 1] = nan
    known = ~target.isnan()
    want = (pred.reshape(3, 2, 2)[known] - target[known]).square().mean()
    assert torch.allclose(loss(pred, target), want)
    loss(pred, target).backward()
    assert pred.grad is not None and pred.grad.isfinite().all() and (pred.grad[0, 2:] == 0).all()
    assert loss_per_item(loss, pred, (target,)).isfinite().all()
    assert loss(pred, torch.full((3, 2, 2), nan)) == 0
    assert MSELossFlat()(pred, target).isnan()  # elsewhere a NaN stays visible
    assert torch.allclose(MSELossFlat("sum", True)(pred, target), want * known.sum())

    metric = metric_for(PointBlock(2))()
    metric.accumulate(pred, (target,))
    metric.accumulate(pred[:1], (torch.full((1, 2, 2), nan),))
    gaps = (pred.detach().reshape(3, 2, 2) - target).norm(dim=2) / 2
    assert metric.value() == pytest.approx(gaps[~gaps.isnan()].mean().item(), rel=1e-5)
    metric.reset()
    metric.accumulate(torch.full((1, 4), nan), (torch.zeros(1, 2, 2),))
    assert np.isnan(metric.value())  # a model that returns NaN is not missing


class Fixed(nn.Module):
    """Answers the same for every picture."""

    def __init__(self, *outputs: float) -> None:
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.outputs.expand(len(x), -1)


@pytest.mark.parametrize("tfms", [Resize(32), Resize((20, 64), method="squish"), RandomResizedCrop(24)])
def test_a_prediction_is_in_pixels_of_the_photo(tmp_path: Path, tfms: Any) -> None:
    dls = loaders(tmp_path, lambda _: [(1, 2)], item_tfms=tfms, batch_tfms=aug_transforms())
    learn = Learner(dls, Fixed(0.0, 0.0))
    said, index, raw = learn.predict(tmp_path / "4.png")  # 56 high, 60 wide
    np.testing.assert_allclose(
        said, [[30, 28]], atol=0.51
    )  # the middle stays the middle; crops: whole pixels
    assert index.shape == (1, 2) and raw.tolist() == [0, 0]
    image = ImageBlock().load(tmp_path / "4.png")
    corner = Learner(dls, Fixed(-1.0, 1.0)).predict(tmp_path / "4.png")[0]
    geometry = tfms.apply((image,), Random(0), False)[0].geometry
    np.testing.assert_allclose(geometry.points(corner), [[0, geometry.size[0]]], atol=1e-6)


def test_points_are_learnt_and_shown(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    dls = loaders(tmp_path, lambda _: [(10, 20), (30, 15)], 12, item_tfms=Resize(32))
    assert dls.one_batch()[1].shape == (2, 2, 2) and dls.c == 4
    learn = Learner(dls, Fixed(0.0, 0.0, 0.0, 0.0), metrics=PointError, lr=0.1)
    with learn.no_bar(), learn.no_logging():
        before = learn.validate()
        learn.fit(20)
    assert learn.validate()[0] < before[0] / 2 and learn.validate()[1] < before[1]
    probs, targets, decoded = learn.get_preds(with_decoded=True)
    assert probs.shape == (2, 4) and targets.shape == decoded.shape == (2, 2, 2)
    learn.show_results()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["Target", "Prediction"] * 2
    dots = axes[0].collections[0].get_offsets()
    want = dls.valid_ds.sample(0, Random(0))[1].xy - 0.5, dls.valid_ds.sample(1, Random(0))[1].xy - 0.5
    assert min(abs(dots - w).max() for w in want) < 1e-3
    assert axes[0].get_xlim() == (-0.5, 31.5)
    dls.show_batch(unique=True, max_n=2)


def test_ours_behind_a_callable_of_the_batch_moves_points_too(tmp_path: Path) -> None:
    late: list[Any] = [lambda x: 1 - x, Flip(1.0), Zoom(draw=2.0, p=1.0, draw_x=0.0, draw_y=0.0)]
    dls = loaders(tmp_path, lambda _: [(10, 20)], item_tfms=Resize(40, method="squish"), batch_tfms=late)
    batch = next(iter(dls.train.batches()))
    for row, position in enumerate(batch.positions):
        h = 40 + 4 * int(dls.train_ds.items[position].stem)
        x, y = 40 - 10 * 40 / 60, 20 * 40 / h
        torch.testing.assert_close(
            batch.targets[0][row], torch.tensor([[2 * x / 20 - 1, 2 * y / 20 - 1]]), atol=1e-5, rtol=0
        )


def test_points_of_two_pictures_belong_to_the_first(tmp_path: Path) -> None:
    block = DataBlock(
        (ImageBlock, ImageBlock, PointBlock),
        n_inp=2,
        getters=[lambda _: gradient(40, 60), lambda _: gradient(90, 30), lambda _: [(30, 20)]],
        splitter=IndexSplitter([0]),
        item_tfms=Resize(50, method="squish"),
    )
    assert block.dataloaders(range(3), bs=2).one_batch()[2].tolist() == [[[0.0, 0.0]]] * 2
    alone = DataBlock(getters=[lambda _: 1.0, lambda _: [(1, 2)]], splitter=IndexSplitter([0]))
    alone.blocks[1] = PointBlock
    with pytest.raises(ArgumentError, match="PointBlock needs a picture"):
        alone.dataloaders(range(3), bs=1).one_batch()


def test_units() -> None:
    xy = np.random.default_rng(0).uniform(-5, 50, (6, 2))
    np.testing.assert_allclose(from_unit(to_unit(xy, (30, 45)), (30, 45)), xy, atol=1e-12)
    assert to_unit(np.array([0, 0]), (30, 45)).tolist() == [-1, -1]
    assert to_unit(np.array([45, 30]), (30, 45)).tolist() == [1, 1]
    assert Points(xy).on((30, 45)).replaced(xy[:1], (5, 6)).size == (5, 6)


# ------------------------------------------------------------------------------------------------- real data


def faces(shared: Path, **tfms: Any) -> Any:
    import pandas as pd

    root = shared / "data" / "face_keypoints"
    table = pd.read_csv(root / "keypoints.csv")
    columns = [c for c in table.columns if c not in ("fname", "is_valid")]
    block = DataBlock(
        (ImageBlock, PointBlock),
        get_x=ColReader("fname", pref=root / "images"),
        get_y=ColReader(columns),
        splitter=ColSplitter("is_valid"),
        **tfms,
    )
    return block.dataloaders(table, bs=16, seed=0), table[columns].to_numpy().reshape(-1, 68, 2)


def test_real_faces(shared: Path) -> None:
    dls, stored = faces(shared, item_tfms=Resize(96), batch_tfms=aug_transforms(max_rotate=30.0))
    assert dls.c == 136 and (len(dls.train_ds), len(dls.valid_ds)) == (240, 60)
    x, y = dls.one_batch()
    assert x.shape == (16, 3, 96, 96) and y.shape == (16, 68, 2)
    block, ds = dls.target_blocks[0], dls.train_ds
    for position in range(0, 240, 24):
        image, points = ds.sample(position, Random(position))
        back = block.decode_on(block.encode(points), image.size, inverted(image.geometry.matrix))
        row = ds.items[position]
        want = np.array([row[name] for name in list(row.keys())[2:]], dtype=float)
        np.testing.assert_allclose(back, want.reshape(-1, 2), atol=1e-2)
        np.testing.assert_allclose(
            points.moved(Geometry(inverted(image.geometry.matrix), (1, 1))).xy,
            want.reshape(-1, 2),
            atol=1e-4,
        )
    assert stored.shape == (300, 68, 2)


def test_a_real_learner_on_faces(shared: Path) -> None:
    dls, _ = faces(shared, item_tfms=Resize(32))
    torch.manual_seed(0)
    learn = vision_learner(dls, "test_resnet", pretrained=False, y_range=(-1.2, 1.2))
    assert [m.name for m in learn.metrics] == ["point_error"]
    with learn.no_bar(), learn.no_logging():
        before = learn.validate()
        learn.fit_one_cycle(8, 1e-2)
    after = learn.validate()
    assert after[0] < before[0] and after[1] < before[1]


def test_a_size_changed_by_a_callable(tmp_path: Path) -> None:
    dls = loaders(tmp_path, lambda _: [(1, 2)], item_tfms=[lambda im: im.resize((20, 20))])
    with pytest.raises(DataError, match="changed the picture alone"):
        dls.one_batch()
