"""Masks: read exactly, moved as the picture is, learnt and drawn."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.data.support import encoded, gradient, noise
from tests.vision.placed import distance_to, filled, moved, placed, polygon, seeds, several_moves
from torch import nn

from wiggly.data.block import DataBlock
from wiggly.data.blocks import Block
from wiggly.data.split import IndexSplitter, RandomSplitter
from wiggly.errors import ArgumentError, BadItemsError, DataError, LabelError
from wiggly.train.learner import Learner
from wiggly.train.losses.core import loss_for
from wiggly.train.metrics.core import metric_for, pixel_accuracy
from wiggly.vision.augment import Rotate, Zoom
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.flip import Flip
from wiggly.vision.geometry import Geometry, scaling, translation
from wiggly.vision.loaders import SegmentationDataLoaders
from wiggly.vision.mask import LazyMask, MaskBlock, PILMask
from wiggly.vision.resize import Resize


def indices(h: int = 20, w: int = 30, n: int = 5, seed: int = 0) -> Any:
    return np.random.default_rng(seed).integers(0, n, (h, w), dtype=np.uint8)


def npy(array: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_palette(array: Any) -> Image.Image:
    picture = Image.fromarray(array).convert("P")
    picture.putdata(array.ravel().tolist())
    picture.putpalette([200, 30, 60, 0, 255, 0, 1, 2, 3, 90, 90, 90, 7, 7, 7])
    return picture


FORMS = {
    "grey png": lambda a: encoded(a, "PNG"),
    "palette png": lambda a: encoded(with_palette(a), "PNG"),
    "16-bit png": lambda a: encoded(Image.fromarray(a.astype(np.uint16)), "PNG"),
    "equal channels": lambda a: encoded(np.stack([a] * 3, -1), "PNG"),
    "opaque": lambda a: encoded(np.dstack([a, a, a, np.full_like(a, 255)]), "PNG"),
    "grey tiff": lambda a: encoded(a, "TIFF"),
    "lzw tiff": lambda a: encoded(Image.fromarray(a), "TIFF", compression="tiff_lzw"),
    "bmp": lambda a: encoded(a, "BMP"),
    "npy": npy,
    "npy of floats": lambda a: npy(a.astype(np.float32)),
    "array": lambda a: a,
    "array of int64": lambda a: a.astype(np.int64),
    "array with an axis": lambda a: a[:, :, None],
    "tensor": torch.from_numpy,
    "tensor with an axis": lambda a: torch.from_numpy(a)[None],
    "picture": Image.fromarray,
    "palette picture": with_palette,
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_indices(form: str) -> None:
    value = MaskBlock(range(5)).load(FORMS[form](indices()))
    assert value.indices.dtype == np.uint8 and np.array_equal(value.indices, indices())
    row = MaskBlock(range(5)).encode(value)
    assert row.dtype == torch.int64 and np.array_equal(row.numpy(), indices())


def test_bits_and_large_indices(tmp_path: Path) -> None:
    two = indices(n=2).astype(bool)
    for source in (two, Image.fromarray(two), encoded(Image.fromarray(two), "PNG"), npy(two)):
        assert np.array_equal(MaskBlock(["no", "yes"]).load(source).indices, two)
    many = indices().astype(np.uint16) * 1000
    path = tmp_path / "many.png"
    Image.fromarray(many).save(path)
    turned = Geometry(np.array([[0.0, 1, 0], [1, 0, 0], [0, 0, 1]]), (30, 20))
    value = MaskBlock(range(5000)).load(path).moved(turned)
    assert np.array_equal(value.pixels(), many.T) and value.name == str(path)


def test_an_upright_mask(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(indices()).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(MaskBlock().load(tmp_path / "turned.png").indices, np.rot90(indices(), -1))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (encoded(indices(), "JPEG"), "without loss.*JPEG"),
        (encoded(noise(20, 30), "PNG"), "one index per pixel.*3 different channels"),
        (np.full((4, 4), 0.5), "whole numbers.*fractions"),
        (np.full((4, 4), np.nan), "whole numbers"),
        (np.full((4, 4), -1), "from 0 to 4.*has -1"),
        (np.full((4, 4), 2**40), "31 bits"),
        (indices() * 60, "from 0 to 4.*has 240"),
        (np.eye(4, dtype=np.uint8) * 255, r"has 255(.|\n)*> 0"),
    ],
)
def test_what_is_no_mask(source: Any, message: str) -> None:
    with pytest.raises(LabelError, match=message):
        MaskBlock(range(5)).load(source)


def folder_of_masks(root: Path, n: int = 6, codes: int = 3, size: tuple[int, int] = (40, 56)) -> list[Path]:
    """Pictures whose mask is their red channel's third."""
    (root / "masks").mkdir(parents=True)
    for k in range(n):
        mask = np.roll(np.arange(size[1]) * codes // size[1], 7 * k)[None].repeat(size[0], 0).astype(np.uint8)
        Image.fromarray(np.stack([mask * 80 + 20] * 3, -1)).save(root / f"{k}.png")
        Image.fromarray(mask).save(root / "masks" / f"{k}.png")
    return [root / f"{k}.png" for k in range(n)]


def mask_of(path: Path) -> Path:
    return path.parent / "masks" / path.name


def loaders(root: Path, files: list[Path], block: Any, **options: Any) -> Any:
    tfms = {name: options.pop(name, None) for name in ("item_tfms", "batch_tfms")}
    recipe = DataBlock((ImageBlock, block), get_y=mask_of, splitter=IndexSplitter([0, 1]), **tfms)
    return recipe.dataloaders(files, bs=2, seed=0, **options)


def test_the_file_of_a_wrong_index_is_named(tmp_path: Path) -> None:
    files = folder_of_masks(tmp_path)
    dls = loaders(tmp_path, files, MaskBlock(["a", "b"]))
    with pytest.raises(LabelError, match=r"from 0 to 1.*masks.\d.png' has 2"):
        dls.one_batch()
    assert loaders(tmp_path, files, MaskBlock(["a", "b"], void=2)).one_batch()[1].max() == 2


def test_nothing_is_decoded_at_the_start_and_a_bad_mask_is_skipped(tmp_path: Path) -> None:
    files = folder_of_masks(tmp_path)
    mask_of(files[3]).unlink()
    mask_of(files[4]).write_bytes(b"no picture")
    dls = loaders(tmp_path, files, MaskBlock(range(3)), max_bad=0.5)
    assert len(next(iter(dls.train.batches()))) in (0, 1, 2)
    assert sum(len(batch) for batch in dls.train.batches()) == 2
    assert set(dls.bad_items) == {str(files[3]), str(files[4])}
    with pytest.raises(BadItemsError, match="no known format"):
        list(loaders(tmp_path, files, MaskBlock(range(3)), max_bad=0.1).train.batches())


def test_classes_are_counted_in_the_training_masks(tmp_path: Path) -> None:
    files = folder_of_masks(tmp_path, codes=4)
    dls = loaders(tmp_path, files, MaskBlock())
    assert dls.c == 4 and dls.vocab == [0, 1, 2, 3]
    assert loaders(tmp_path, files, MaskBlock(void=3)).c == 3
    Image.fromarray(np.full((40, 56), 9, np.uint8)).save(mask_of(files[0]))  # in validation
    dls = loaders(tmp_path, files, MaskBlock)
    assert dls.c == 4
    with pytest.raises(LabelError, match=r"from 0 to 3.*has 9"):
        list(dls.valid.batches())
    with pytest.raises(LabelError, match="at least 2 classes"):
        MaskBlock().fit([np.zeros((2, 2), np.uint8)])
    with pytest.raises(ArgumentError, match="fitted"):
        _ = MaskBlock().n_out


def test_codes_and_void(tmp_path: Path) -> None:
    codes = np.array(["Sky", "Road", "Void"])
    block = MaskBlock(codes, void="Void")
    assert block.vocab == ["Sky", "Road", "Void"] and block.n_out == 3 and block.void == 2
    assert all(type(code) is str for code in block.vocab)
    again = Block.from_config(json.loads(json.dumps(block.config())))
    assert isinstance(again, MaskBlock) and again.config() == block.config() and again.void == 2
    for wrong in ("void", -1, True, 1.5):
        with pytest.raises(ArgumentError, match="`void`"):
            MaskBlock(codes, void=wrong)
    assert MaskBlock(codes).void is None and "3 classes: Sky, Road, Void" in block.describe()


@pytest.mark.parametrize(("void", "want"), [(None, 0), (2, 2), (255, 255), (70_000, 70_000)])
def test_what_lies_outside(void: int | None, want: int) -> None:
    mask = indices() % 2 + 1
    block = MaskBlock(range(3), void=void)
    shifted = block.load(mask).moved(Geometry(translation(10, 0), (20, 30), "zeros"))
    assert (shifted.pixels()[:, :10] == want).all() and np.array_equal(shifted.pixels()[:, 10:], mask[:, :20])
    mirrored = block.load(mask).moved(Geometry(translation(10, 0), (20, 30), "reflection"))
    assert np.array_equal(mirrored.pixels()[:, 9::-1], mask[:, 1:11])  # as the picture: about the first pixel
    repeated = block.load(mask).moved(Geometry(translation(10, 0), (20, 30), "border"))
    assert (repeated.pixels()[:, :10] == mask[:, :1]).all()


@settings(deadline=None, max_examples=40)
@given(several_moves, seeds)
def test_each_pixel_takes_the_nearest_one(moves: list[Any], seed: int) -> None:
    mask = indices(45, 61, 200)
    value = placed(gradient(45, 61), mask=mask)[1]
    value = moved((value,), moves, seed)[0]
    h, w = value.size
    y, x = np.mgrid[0:h, 0:w] + 0.5
    inverse = np.linalg.inv(value.geometry.matrix)
    u, v, z = inverse @ np.stack([x.ravel(), y.ravel(), np.ones(h * w)])
    u, v = u / z, v / z
    inside = (u > 0) & (v > 0) & (u < 61) & (v < 45)
    # OpenCV rounds positions to 1/32 pixel: on the border between two pixels either is right.
    apart = np.minimum(abs(u - np.round(u)), abs(v - np.round(v))) > 0.05
    sure = inside & apart
    want = mask[np.floor(v[sure]).astype(int), np.floor(u[sure]).astype(int)]
    assert np.array_equal(value.pixels().ravel()[sure], want)
    assert set(np.unique(value.pixels())) <= {0, *np.unique(mask)}


@settings(deadline=None, max_examples=40)
@given(several_moves, seeds, st.integers(0, 50))
def test_mask_picture_and_outline_agree(moves: list[Any], seed: int, shape: int) -> None:
    outline = polygon(90, 120, shape)
    inside = filled(outline, 90, 120)
    picture = np.stack([inside * np.uint8(255)] * 3, -1)
    image, mask, points = moved(placed(picture, mask=inside, points=outline), moves, seed)
    h, w = image.size
    assert mask.size == points.size == (h, w)
    y, x = np.mgrid[0:h, 0:w] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    # Only the real picture is compared: what it shows of itself by reflection has no outline.
    back = Geometry(np.linalg.inv(image.geometry.matrix), (90, 120)).points(centres)
    real = ((back > 1) & (back < (119, 89))).all(1)
    drawn = filled(points.xy, h, w).ravel().astype(bool)
    # A pixel of the source, as large as it is in the target, is the most that both may be off at the edge.
    size = max(1.0, *(1.5 * s for s in np.linalg.svd(image.geometry.matrix[:2, :2])[1]))
    for seen in (mask.pixels() == 1, image.pixels()[:, :, 0] > 127):
        wrong = real & (seen.ravel() != drawn)
        assert distance_to(points.xy, centres[wrong]).max(initial=0) < size


@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("size", [(45, 61), (44, 60), (1, 7)])
def test_flipping_twice_is_the_identity_to_the_bit(vertical: bool, size: tuple[int, int]) -> None:
    picture, mask = noise(*size), indices(*size)
    points, boxes = np.random.default_rng(0).uniform(0, 1, (9, 2)) * size[::-1], [[0.3, 0.1, 5.7, 0.9]]
    start = placed(picture, mask=mask, points=points, boxes=boxes)
    blocks = (ImageBlock(), MaskBlock(range(5)), *placed_blocks())
    flip = Flip(1.0, vertical=vertical)
    once, twice = moved(start, [flip], 0), moved(start, [flip, flip], 0)
    for block, before, after in zip(blocks, start, twice, strict=True):
        assert torch.equal(block.encode(before), block.encode(after))
    side = 0 if vertical else 1
    assert np.array_equal(once[0].pixels(), np.flip(picture, side))
    assert np.array_equal(once[1].pixels(), np.flip(mask, side))
    # Also when the flipped picture is written down in between.
    again = moved(placed(once[0].pixels(), mask=once[1].pixels()), [flip], 0)
    assert np.array_equal(again[0].pixels(), picture) and np.array_equal(again[1].pixels(), mask)


def placed_blocks() -> tuple[Block, ...]:
    from wiggly.vision.boxes import BBoxBlock
    from wiggly.vision.points import PointBlock

    return PointBlock(), BBoxBlock()


def test_a_mask_of_another_size_is_stretched_to_its_picture(tmp_path: Path) -> None:
    mask = indices(20, 30)
    block = MaskBlock(range(5))
    image = ImageBlock().load(gradient(60, 90))
    value = block.relate(block.load(mask), (image, block.load(mask)))
    assert value.size == (60, 90)
    assert np.array_equal(value.pixels(), mask.repeat(3, 0).repeat(3, 1))
    odd = block.relate(block.load(indices(187, 250)), (ImageBlock().load(gradient(375, 500)),))
    assert odd.size == (375, 500)
    files = folder_of_masks(tmp_path)
    Image.fromarray(indices(56, 40, 3)).save(mask_of(files[3]))  # a picture turned by EXIF, its mask not
    dls = loaders(tmp_path, files, MaskBlock(range(3)), max_bad=0.5)
    list(dls.train.batches())
    assert "56×40 (height × width), its picture 40×56" in dls.bad_items[str(files[3])]


def test_a_mask_needs_a_picture() -> None:
    block = DataBlock((ImageBlock, MaskBlock(range(3))), getters=[lambda x: x, lambda x: x])
    assert block.blocks
    with pytest.raises(ArgumentError, match="MaskBlock needs a picture"):
        MaskBlock(range(5)).relate(MaskBlock(range(5)).load(indices()), (torch.zeros(3),))


def test_a_callable_that_changes_the_picture_alone(tmp_path: Path) -> None:
    files = folder_of_masks(tmp_path)
    dls = loaders(tmp_path, files, MaskBlock(range(3)), item_tfms=[lambda im: im.crop((0, 0, 20, 20))])
    with pytest.raises(DataError, match=r"20×20 and 40×56.*\n.*changed the picture alone"):
        dls.one_batch()
    fine = loaders(tmp_path, files, MaskBlock(range(3)), item_tfms=[Resize(32), lambda im: im.rotate(0)])
    assert fine.one_batch()[1].shape == (2, 32, 32)


@pytest.mark.parametrize("workers", [0, 2])
def test_ours_behind_a_callable_of_the_batch_moves_the_mask_too(tmp_path: Path, workers: int) -> None:
    files = folder_of_masks(tmp_path)
    plain = loaders(tmp_path, files, MaskBlock(range(3)), shuffle=False, num_workers=workers)
    late: list[Any] = [lambda x: 1 - x, Flip(1.0), Rotate(draw=30.0, p=1.0, pad_mode="border")]
    turned = loaders(
        tmp_path, files, MaskBlock(range(3)), batch_tfms=late, shuffle=False, num_workers=workers
    )
    x, y = next(iter(turned.train.batches())).tensors
    # The picture's levels say its class: they still do.
    level = torch.round(((1 - x[:, 0]) * 255 - 20) / 80)
    assert (level == y).float().mean() > 0.93 and not torch.equal(y, plain.one_batch()[1])
    assert y.dtype == torch.int64


def test_loss_and_metric_leave_void_out() -> None:
    scores, mask = torch.randn(2, 4, 5, 6), torch.randint(0, 4, (2, 5, 6))
    mask[:, 0] = 3
    plain, leaving = loss_for(MaskBlock(range(4))), loss_for(MaskBlock(range(4), void=3))
    assert torch.allclose(plain(scores, mask), nn.functional.cross_entropy(scores, mask))
    assert torch.allclose(leaving(scores, mask), nn.functional.cross_entropy(scores, mask, ignore_index=3))
    counted = mask != 3
    want = (scores.argmax(1) == mask)[counted].float().mean()
    assert torch.allclose(metric_for(MaskBlock(range(4), void=3))(scores, mask), want)
    assert torch.allclose(pixel_accuracy(scores, mask), (scores.argmax(1) == mask).float().mean())
    assert pixel_accuracy(scores, torch.full_like(mask, 9), ignore=9) == 0


def tiny_net(classes: int) -> nn.Module:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, classes, 1))
    torch.manual_seed(0)
    for part in net:
        if isinstance(part, nn.Conv2d):
            part.reset_parameters()
    return net


def test_a_net_learns_masks_and_shows_them(tmp_path: Path) -> None:
    import matplotlib.pyplot as plt

    files = folder_of_masks(tmp_path, n=12)
    dls = loaders(tmp_path, files, MaskBlock(["left", "middle", "right"]), item_tfms=Resize(32))
    learn = Learner(dls, tiny_net(3), metrics=metric_for(dls.target_blocks[0]), path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit(8, 2e-2)
    loss, accuracy = learn.validate()
    assert accuracy > 0.9 and learn.loss_func.axis == 1
    probs, targets, decoded, losses = learn.get_preds(with_decoded=True, with_loss=True)
    assert probs.shape == (2, 3, 32, 32) and torch.allclose(probs.sum(1), torch.ones(2, 32, 32), atol=1e-5)
    assert torch.equal(decoded, probs.argmax(1)) and decoded.shape == targets.shape
    assert losses.shape == (2,) and losses.mean().item() == pytest.approx(loss, rel=1e-4)
    said, index, prob = learn.predict(files[0])
    assert isinstance(said, PILMask) and said.shape == (40, 56)  # the photo's own
    assert index.shape == (32, 32) and prob.shape == (3, 32, 32)
    assert set(np.unique(said)) <= set(index.unique().tolist())
    learn.show_results()
    axes = plt.gcf().axes
    assert [ax.get_title() for ax in axes] == ["Target", "Prediction"] * 2
    assert all(len(ax.images) == 2 for ax in axes)  # the picture, the mask over it
    assert {text.get_text() for text in plt.gcf().legends[0].get_texts()} <= {"left", "middle", "right"}


def test_void_is_not_coloured() -> None:
    import matplotlib.pyplot as plt

    _, axes = plt.subplots()
    block = MaskBlock(["a", "b", "nothing"], void="nothing")
    mask = block.decode(torch.tensor([[0, 1, 2]]))
    block.draw(mask, axes)
    colours = axes.images[0].get_array()
    assert colours[0, 2, 3] == 0 and colours[0, 0, 3] == colours[0, 1, 3] > 0.3
    assert [name for name, _ in block.legend([mask])] == ["a", "b"]
    MaskBlock(["a", "b"], void=255).draw(PILMask.from_indices(np.array([[0, 255]])), axes)


def test_pil_mask(tmp_path: Path) -> None:
    Image.fromarray(indices()).save(tmp_path / "a.png")
    mask = PILMask.create(tmp_path / "a.png")
    assert isinstance(mask, Image.Image) and mask.shape == (20, 30) and mask.size == (30, 20)
    assert np.array_equal(np.asarray(mask), indices()) and PILMask.create(mask) == mask
    assert np.array_equal(np.asarray(PILMask.from_indices(np.array([[0, 70_000]]))), [[0, 70_000]])
    dls = DataBlock(
        (ImageBlock, MaskBlock(range(5))),
        getters=[lambda _: gradient(20, 30), lambda _: indices()],
        splitter=IndexSplitter([0]),
    ).dataloaders([0, 1], bs=1)
    assert dls.train_ds[0][1] == mask


# ------------------------------------------------------------------------------------------------- real data


def camvid(shared: Path) -> tuple[Path, list[Path], Any]:
    root = shared / "data" / "camvid"
    return root, sorted((root / "images").iterdir()), np.loadtxt(root / "codes.txt", dtype=str)


def test_camvid_masks_are_exact_and_stay_with_their_photos(shared: Path, tmp_path: Path) -> None:
    root, files, codes = camvid(shared)

    def label(path: Path) -> Path:
        return root / "labels" / f"{path.stem}_P.png"

    dls = SegmentationDataLoaders.from_label_func(
        tmp_path, files, label, codes=codes, void="Void", bs=4, seed=1, valid_pct=0.25
    )
    assert dls.path == tmp_path and dls.vocab == list(codes) and dls.c == 12
    assert len(dls.train_ds) == 90 and len(dls.valid_ds) == 30
    batch = next(iter(dls.valid.batches()))
    for row, position in enumerate(batch.positions):
        stored = np.asarray(Image.open(label(dls.valid_ds.items[position])))
        assert np.array_equal(batch.targets[0][row].numpy(), stored)
    # A photo in the colours of its own mask, warped, is still the mask's: image and mask move alike.
    painted = [np.asarray(Image.open(label(f))) for f in files[:4]]
    twin = DataBlock(
        (ImageBlock, MaskBlock(codes)),
        getters=[lambda k: np.stack([painted[k] * np.uint8(20)] * 3, -1), lambda k: painted[k]],
        splitter=RandomSplitter(0.25, seed=0),
        item_tfms=Resize((180, 240)),
        batch_tfms=[Rotate(25.0, 1.0), Zoom(1.0, 2.0, 1.0), Flip()],
    ).dataloaders(range(4), bs=3, seed=0)
    x, y = twin.one_batch()
    agree = (torch.round(x[:, 0] * 255 / 20) == y).float().mean()
    assert agree > 0.9, agree  # the rest is where classes mix at their borders


def test_camvid_is_learnt_end_to_end(shared: Path, tmp_path: Path) -> None:
    root, files, codes = camvid(shared)
    dls = SegmentationDataLoaders.from_label_func(
        tmp_path,
        files[::4],
        lambda path: root / "labels" / f"{path.stem}_P.png",
        codes=codes,
        void="Void",
        bs=6,
        seed=1,
        item_tfms=Resize((60, 80), method="squish"),
        batch_tfms=[Flip(), Rotate(pad_mode="zeros")],
    )
    learn = Learner(dls, tiny_net(12), metrics=metric_for(dls.target_blocks[0]), path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        before = learn.validate()[0]
        learn.fit_one_cycle(6, 3e-2)
    loss, accuracy = learn.validate()
    assert loss < before - 0.5 and accuracy > 0.2
    learn.show_results(max_n=2)
    dls.show_batch(max_n=2)


def test_the_lazy_mask_is_scaled_once() -> None:
    mask = LazyMask(indices(8, 8), "a")
    small = mask.moved(Geometry(scaling(0.5, 0.5), (4, 4)))
    assert set(np.unique(small.pixels())) <= set(np.unique(mask.indices)) and small.size == (4, 4)
    assert cv2.countNonZero(small.moved(Geometry(scaling(2, 2), (8, 8))).pixels() - mask.indices) == 0


def test_masks_that_a_function_makes_are_not_kept(tmp_path: Path) -> None:
    files, made = folder_of_masks(tmp_path), []

    def mask(path: Path) -> Any:
        made.append(path)
        return np.asarray(Image.open(mask_of(path))) > 0

    recipe = DataBlock((ImageBlock, MaskBlock(["no", "yes"])), get_y=mask, splitter=IndexSplitter([0, 1]))
    dls = recipe.dataloaders(files, bs=2, seed=0, num_workers=0)
    assert not made
    assert dls.one_batch()[1].unique().tolist() == [0, 1] and len(made) == 2
