"""Bundles of photos with several labels, numbers, points and masks answer as their learners do."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from PIL import Image
from tests.bundle.support import entries_of, forged, learner, rewrite

from wiggly.bundle.manifest import VERSION, manifest_schema, read_manifest
from wiggly.bundle.predictor import Predictor, load_bundle
from wiggly.data.block import DataBlock
from wiggly.data.blocks import MultiCategoryBlock, RegressionBlock
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, BundleError
from wiggly.train.losses.core import BCEWithLogitsLossFlat
from wiggly.vision.augment import Resize
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.mask import MaskBlock, PILMask
from wiggly.vision.points import PointBlock
from wiggly.vision.unet import unet_learner

SIZES = [(40, 56), (64, 48), (32, 32), (50, 50)]


def photo(number: int) -> np.ndarray:
    """A grey picture with a bright square, of one of several shapes."""
    h, w = SIZES[number % len(SIZES)]
    picture = np.full((h, w, 3), 40, np.uint8)
    x, y = corner(number)
    picture[y : y + 12, x : x + 12] = 60 + 9 * (number % 20)
    return picture


def corner(number: int) -> tuple[int, int]:
    h, w = SIZES[number % len(SIZES)]
    return 7 * number % (w - 12), 5 * number % (h - 12)


def mask(number: int) -> np.ndarray:
    x, y = corner(number)
    made = np.zeros(photo(number).shape[:2], np.uint8)
    made[y : y + 12, x : x + 12] = 1
    return made


def labels(number: int) -> list[str]:
    return [name for name, step in (("two", 2), ("three", 3), ("five", 5)) if number % step == 0]


def loaders(target: Any, get_y: Any, **options: Any) -> Any:
    block = DataBlock(
        (ImageBlock, target),
        get_x=photo,
        get_y=get_y,
        splitter=RandomSplitter(0.25, seed=1),
        **{"item_tfms": Resize(32), **options},
    )
    return block.dataloaders(list(range(40)), bs=8, seed=0, num_workers=0)


def learned(kind: str) -> Any:
    torch.manual_seed(0)
    if kind == "mask":
        dls = loaders(MaskBlock(["ground", "square", "nothing"], void="nothing"), mask)
        learn = unet_learner(dls, "test_resnet", pretrained=False)
    elif kind == "points":
        learn = learner(loaders(PointBlock, lambda i: [corner(i), np.add(corner(i), 12)]))
    elif kind == "labels":
        learn = learner(loaders(MultiCategoryBlock, labels), loss_func=BCEWithLogitsLossFlat(thresh=0.3))
    elif kind == "number":
        learn = learner(loaders(RegressionBlock, lambda i: 100.0 * i), y_range=(0, 4000))
    else:
        learn = learner(loaders(RegressionBlock, lambda i: [float(i), i / 1000]))
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(1, 5e-3)
    return learn


KINDS = ["mask", "points", "labels", "number", "numbers"]
TASKS = dict(zip(KINDS, ["segmentation", "keypoints", "multilabel", "regression", "regression"], strict=True))


@pytest.fixture(scope="module", params=KINDS)
def made(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Any, Path]:
    """What it is, the learner, and its bundle."""
    learn = learned(request.param)
    return (
        request.param,
        learn,
        learn.export(tmp_path_factory.mktemp("kinds") / "squares.wiggly", graph=False),
    )


def content_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read("model.json"))


def plain(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, Image.Image) else value


def test_the_same_answer_as_the_learner(made: tuple[str, Any, Path]) -> None:
    kind, learn, path = made
    predictor = load_bundle(path)
    photos = [photo(number) for number in range(3, 9)]
    for one, many in zip(photos, predictor.predict_batch(photos, bs=4), strict=True):
        wanted, found = learn.predict(one), predictor.predict(one)
        for answer in (found, many):
            assert type(answer.decoded) is type(wanted.decoded)
            if kind == "labels":
                assert answer.decoded == wanted.decoded
            else:
                np.testing.assert_allclose(plain(answer.decoded), plain(wanted.decoded), rtol=1e-4, atol=1e-3)
            assert answer.index.shape == wanted.index.shape and answer.index.dtype == wanted.index.dtype
            assert torch.allclose(answer.probs, wanted.probs, rtol=1e-4, atol=1e-4)


def test_get_preds_is_that_of_the_learner(made: tuple[str, Any, Path]) -> None:
    _, learn, path = made
    predictor = load_bundle(path)
    photos = [photo(number) for number in range(6)]
    wanted, _ = learn.get_preds(dl=learn.dls.test_dl(photos))
    found, nothing = predictor.get_preds(dl=predictor.dls.test_dl(photos))
    assert nothing is None
    assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ArgumentError, match="0 items"):
        predictor.get_preds(dl=[])


def test_what_is_in_it(made: tuple[str, Any, Path]) -> None:
    kind, learn, path = made
    content, predictor = content_of(path), load_bundle(path)
    jsonschema.Draft202012Validator(manifest_schema()).validate(content)
    assert content["version"] == VERSION == 4
    assert content["task"] == TASKS[kind]
    assert len(predictor.examples) == 6
    assert predictor.verify() <= predictor.answer.tolerance / 10
    assert predictor.manifest.metrics
    output = content["outputs"][0]
    if kind == "labels":
        assert (output["vocabulary"], output["threshold"]) == (["five", "three", "two"], 0.3)
        assert isinstance(predictor.examples[0].actual, tuple)
    if kind == "mask":
        assert (output["vocabulary"], output["void"]) == (["ground", "square", "nothing"], 2)
    if kind == "numbers":
        targets = np.array([[i, i / 1000] for i in learn.dls.train_ds.items])
        np.testing.assert_allclose([output["low"], output["high"]], [targets.min(0), targets.max(0)])
        assert output["names"] == ["value 1", "value 2"]


def test_a_mask_is_as_large_as_the_picture() -> None:
    learn = learned("mask")
    mask_found = learn.predict(photo(1)).decoded
    assert isinstance(mask_found, PILMask) and mask_found.size == (48, 64)


def test_score_of_a_number_is_its_rmse(tmp_path: Path) -> None:
    learn = learned("number")
    score = load_bundle(learn.export(tmp_path / "x.wiggly", graph=False)).manifest.score
    preds, targets = (part.numpy().ravel().astype(float) for part in learn.get_preds())
    mean = np.mean([100.0 * i for i in learn.dls.train_ds.items])
    assert score is not None and score.name == "rmse" and score.n == len(targets) == 10
    assert score.value == pytest.approx(np.sqrt(np.mean((preds - targets) ** 2)))
    assert score.baseline == pytest.approx(np.sqrt(np.mean((mean - targets) ** 2)))
    assert score.baseline_label == pytest.approx(mean)
    assert score.interval[0] < score.value < score.interval[1]


def changed(path: Path, to: Path, change: Any) -> Path:
    """The bundle with another model.json, all hashes right."""
    entries = entries_of(path)
    content = json.loads(entries["model.json"])
    change(content)
    files = {name: entries[name] for name in content["files"]}
    return rewrite(to, forged(read_manifest(json.dumps(content), "x"), files))


def spoil(kind: str, content: dict[str, Any]) -> None:
    """Make the first worked example wrong."""
    example = content["examples"][0]
    if kind == "mask":
        example["mask"] = content["examples"][1]["mask"]
    elif kind == "labels":
        example["probabilities"][0] = 1 - example["probabilities"][0]
    elif kind == "points":
        example["points"][0][0] += 5
    else:
        example["values"][-1] += 0.001 * (content["outputs"][0]["high"][-1])


def test_another_answer_is_noticed(made: tuple[str, Any, Path], tmp_path: Path) -> None:
    kind, _, path = made
    bad = changed(path, tmp_path / "x.wiggly", lambda content: spoil(kind, content))
    with pytest.raises(BundleError, match=r"examples/1\.png"):
        load_bundle(bad).verify()


def test_a_diverged_network_is_not_exported(made: tuple[str, Any, Path], tmp_path: Path) -> None:
    kind, _, _ = made
    learn = learned(kind)
    with torch.no_grad():
        next(iter(learn.model[1].parameters())).fill_(float("nan"))
    with pytest.raises(BundleError, match="NaN"):
        learn.export(tmp_path / "x.wiggly", graph=False)
    assert list(tmp_path.iterdir()) == []


def test_a_mask_that_is_no_picture(tmp_path: Path) -> None:
    path = learned("mask").export(tmp_path / "squares.wiggly", graph=False)
    entries = entries_of(path)
    content = json.loads(entries["model.json"])
    content["examples"][0]["mask"] = "weights.safetensors"
    forged_path = rewrite(
        tmp_path / "x.wiggly",
        forged(read_manifest(json.dumps(content), "x"), {n: entries[n] for n in content["files"]}),
    )
    predictor = load_bundle(forged_path)
    with pytest.raises(BundleError, match="PNG of class indices"):
        predictor.verify()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"task": "regression"}, "goes with 'regression'"),
        ({"outputs": [{"kind": "points", "n": 2}]}, "goes with"),
        ({"outputs": [{"kind": "mask", "vocabulary": ["a", "b"], "void": "c"}]}, "void"),
        ({"examples": [{"kind": "mask", "file": "examples/1.png", "mask": "none.png"}]}, "none.png"),
        ({"examples": [{"kind": "mask", "file": "../x", "mask": "examples/1.png"}]}, "one of `files`"),
        (
            {"examples": [{"kind": "numbers", "file": "examples/1.png", "values": [1]}]},
            "an example of segmentation",
        ),
    ],
)
def test_what_does_not_belong_together(change: dict[str, Any], match: str, squares: Path) -> None:
    with pytest.raises(BundleError, match=match):
        read_manifest(json.dumps({**content_of(squares), **change}), "x")


@pytest.fixture(scope="module")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle for masks."""
    return learned("mask").export(tmp_path_factory.mktemp("mask") / "squares.wiggly", graph=False)


def test_masks_of_real_streets(shared: Path, tmp_path: Path) -> None:
    camvid_folder = shared / "data" / "camvid"
    codes = (camvid_folder / "codes.txt").read_text().split()
    block = DataBlock(
        (ImageBlock, MaskBlock(codes, void="Void")),
        get_y=lambda file: camvid_folder / "labels" / f"{file.stem}_P.png",
        splitter=RandomSplitter(0.5, seed=0),
        item_tfms=Resize((48, 64)),
    )
    files = sorted((camvid_folder / "images").iterdir())[:8]
    learn = unet_learner(
        block.dataloaders(files, bs=4, seed=0, num_workers=0), "test_resnet", pretrained=False
    )
    predictor: Predictor = load_bundle(learn.export(tmp_path / "streets.wiggly", graph=False))
    wanted, found = learn.predict(files[0]).decoded, predictor.predict(files[0]).decoded
    with Image.open(files[0]) as picture:
        assert found.size == picture.size
    # An untrained network, and photos of 360 pixels made 48 high: the learner's faster resampling shows.
    assert (np.asarray(wanted) != np.asarray(found)).mean() < 0.1
    assert predictor.vocab == codes
