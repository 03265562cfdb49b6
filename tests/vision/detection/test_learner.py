"""`detection_learner`: it learns, says where things are in the photo as given, and names what is wrong."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from PIL import Image
from safetensors.torch import save_file
from tests.vision.detection.scenes import SIDE, learner, loaders, scene
from torchvision.models import get_model
from torchvision.models.detection import fcos_resnet50_fpn

from wiggly.data.block import DataBlock
from wiggly.errors import ArgumentError, ItemError, ModelError
from wiggly.interpret.detection import DetectionInterpretation, constant_matches
from wiggly.vision.augment import Resize, aug_transforms
from wiggly.vision.blocks import ImageBlock
from wiggly.vision.boxes import BBoxBlock, BBoxLblBlock
from wiggly.vision.detection.boxes import Detection
from wiggly.vision.detection.detector import Detector
from wiggly.vision.detection.learner import DetectionLearner, detection_learner
from wiggly.vision.detection.networks import find_detector
from wiggly.vision.loaders import ImageDataLoaders


@pytest.fixture(scope="module")
def trained() -> DetectionLearner:
    """A detector of coloured squares; about ten seconds on one quiet core."""
    learn = learner(metrics=["AP", "AP50", "precision", "recall"])
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(10, 5e-3)
    return learn


def test_it_learns(trained: DetectionLearner) -> None:
    _, ap, ap50, _, recall = trained.validate()
    assert ap50 > 0.8
    assert ap50 > ap > 0.3
    assert recall > 0.8
    found = DetectionInterpretation.from_learner(trained)
    constant = constant_matches(found, trained.dls.train)
    assert constant is not None
    assert constant.average_precision(0.5) < 0.2
    assert found.matches.average_precision(0.5) == pytest.approx(ap50, abs=1e-9)


def test_the_history_has_the_columns(trained: DetectionLearner) -> None:
    names = ["train_loss", "valid_loss", "AP", "AP50", "precision", "recall"]
    assert trained.recorder.metric_names[1:-1] == names
    losses = [row[1] for row in trained.recorder.values]
    assert losses[-1] < 0.8 * losses[0]


def overlap(first: Any, second: Any) -> float:
    low, high = np.maximum(first[:2], second[:2]), np.minimum(first[2:], second[2:])
    shared = np.clip(high - low, 0, None).prod()
    areas = [(np.subtract(box[2:], box[:2])).prod() for box in (np.array(first), np.array(second))]
    return float(shared / (sum(areas) - shared))


def test_predict_says_what_is_where(trained: DetectionLearner) -> None:
    for number in (3, 12, 1008):  # the last is new and empty
        pixels, boxes, names = scene(number)
        found, labels, scores = trained.predict(pixels)
        assert len(found) == len(labels) == len(scores)
        assert scores.tolist() == sorted(scores.tolist(), reverse=True)
        assert [box.label for box in found] == [trained.dls.vocab[i] for i in labels.tolist()]
        for box, name in zip(boxes, names, strict=True):
            assert any(f.label == name and overlap(f.box, box) > 0.5 for f in found)
        if not boxes:
            assert found == []


@pytest.mark.parametrize("method", ["squish", "crop", "pad"])
def test_boxes_come_in_the_pixels_of_the_photo_as_given(trained: DetectionLearner, method: str) -> None:
    """A photo twice as wide as high, three times as large as what the model sees."""
    dls = loaders(item_tfms=Resize(SIDE, method=method))
    learn = learner(dls)
    learn.model.load_state_dict(trained.model.state_dict())
    big = np.full((3 * SIDE, 6 * SIDE, 3), 110, np.uint8)
    big[60:126, 150:225] = (30, 30, 230)
    found, *_ = learn.predict(big)
    # Squeezed to half its width, or shrunk by two more, the square is another size for the model.
    assert found, method
    assert overlap(found[0].box, [150, 60, 225, 126]) > 0.4
    assert all(0 <= side <= 6 * SIDE for box in found for side in box.box)


def test_an_unreadable_photo(trained: DetectionLearner, tmp_path: Path) -> None:
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    with pytest.raises(ItemError, match=r"broken\.jpg"):
        trained.predict(broken)


def test_predictions_of_a_set(trained: DetectionLearner) -> None:
    (boxes, labels, scores), (true_boxes, true_labels), (shown, names), losses = trained.get_preds(
        with_decoded=True, with_loss=True
    )
    assert boxes.shape == (16, 100, 4)
    assert labels.shape == scores.shape == names.shape == (16, 100)
    assert true_boxes.shape[0] == true_labels.shape[0] == 16
    low = scores < trained.min_score
    assert names[low].eq(0).all()
    assert shown[low].eq(0).all()
    assert torch.equal(names[~low], labels[~low])
    assert losses.shape == (16,)
    assert torch.isfinite(losses).all()
    assert not losses.requires_grad


def test_min_score_decides_what_is_shown(trained: DetectionLearner) -> None:
    pixels, boxes, _ = scene(3)
    before = trained.min_score
    try:
        trained.min_score = 0.99
        assert trained.predict(pixels).decoded == []
        assert trained.validate()[-1] == 0  # recall
    finally:
        trained.min_score = before
    assert len(trained.predict(pixels).decoded) >= len(boxes)
    with pytest.raises(ArgumentError, match="min_score"):
        trained.min_score = 2


def test_show_results_draws_true_and_found_boxes(trained: DetectionLearner) -> None:
    trained.show_results(max_n=4, shuffle=False)
    axes = plt.gcf().axes
    assert len(axes) == 4
    texts = {text.get_text() for axis in axes for text in axis.texts}
    assert any("%" in text for text in texts)
    assert {"blue", "red"} & texts
    dashed = [patch for axis in axes for patch in axis.patches if patch.get_linestyle() != "-"]
    assert dashed


def test_interpretation(trained: DetectionLearner) -> None:
    found = DetectionInterpretation.from_learner(trained)
    table = found.class_table()
    assert set(table["class"]) == {"blue", "red"}
    assert table["boxes"].sum() == int((found.targs[1] > 0).sum())
    assert table["AP50"].mean() == pytest.approx(found.matches.average_precision(0.5))
    precision, recall = found.matches.precision_and_recall(found.min_score)
    missed, false = (sum(len(found.mistakes(row)[k]) for row in range(len(found))) for k in (0, 1))
    n_true = int(table["boxes"].sum())
    said = int((found.preds[2] >= found.min_score).sum())
    assert 1 - missed / n_true == pytest.approx(recall)
    assert 1 - false / said == pytest.approx(precision)
    counts = [sum(map(len, found.mistakes(row))) for row in found.top_mistakes()]
    assert counts == sorted(counts, reverse=True)
    found.plot_top_losses(3)
    assert "missed" in plt.gcf().axes[0].get_title()


def test_the_report_of_a_detector(trained: DetectionLearner, tmp_path: Path) -> None:
    page = html.unescape(trained.report(tmp_path / "report.html").read_text(encoding="utf-8"))
    for said in ("Detector for 2 classes", "AP50", "Class by class", "blue", "detection_learner(dls, 'fcos'"):
        assert said in page
    assert "<script" not in page


def test_freeze_search_save_and_load(tmp_path: Path) -> None:
    dls = loaders(n=24, bs=4)
    learn = learner(dls, "retinanet", path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.freeze()
        body, top = learn.groups
        assert not any(p.requires_grad for p in body if p.ndim > 1)
        assert all(p.requires_grad for p in top)
        learn.fine_tune(1, 1e-3)
        assert all(p.requires_grad for p in body)
        before = {name: t.clone() for name, t in learn.model.state_dict().items()}
        learn.lr_find(num_it=8, show_plot=False)
    assert all(torch.equal(t, before[name]) for name, t in learn.model.state_dict().items())
    learn.save("one")
    again = learner(dls, "retinanet", path=tmp_path).load("one")
    assert again.validate() == pytest.approx(learn.validate())


def test_augmentation_and_empty_batches(tmp_path: Path) -> None:
    dls = loaders(n=10, bs=4, batch_tfms=aug_transforms(max_zoom=3.0, size=SIDE))
    learn = learner(dls, "fasterrcnn", metrics=[], path=tmp_path)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    images, none = torch.rand(2, 3, SIDE, SIDE), torch.zeros(2, 0, 4)
    loss = learn.loss_func(learn.model.train()(images), none, torch.zeros(2, 0).long())
    assert torch.isfinite(loss)


def test_one_class(tmp_path: Path) -> None:
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock, BBoxLblBlock),
        n_inp=1,
        get_x=lambda number: scene(number)[0],
        get_y=[lambda number: scene(number)[1], lambda number: ["square"] * len(scene(number)[1])],
    )
    learn = learner(block.dataloaders(range(16), bs=4, seed=1, num_workers=0))
    assert learn.model.config["detector"]["n_classes"] == 2
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    assert {box.label for box in learn.predict(scene(3)[0]).decoded} <= {"square"}


# ---- what does not fit ----


def test_loaders_without_labelled_boxes() -> None:
    photos = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue") * 4]
    dls = ImageDataLoaders.from_lists(".", photos, ["red", "blue"] * 4, seed=1, bs=4)
    with pytest.raises(ArgumentError, match=r"boxes and a label.*CategoryBlock"):
        detection_learner(dls, "fcos", body="test_resnet", pretrained=False)
    block = DataBlock(
        blocks=(ImageBlock, BBoxBlock),
        get_x=lambda number: scene(number)[0],
        get_y=lambda number: scene(number)[1],
    )
    with pytest.raises(ArgumentError, match="one label"):
        learner(block.dataloaders(range(8), bs=4, seed=1, num_workers=0))


def test_images_that_are_too_small() -> None:
    with pytest.raises(ArgumentError, match="at least 32 pixels"):
        learner(loaders(n=8, item_tfms=Resize(24)))


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"arch": "fcos_resnet18"}, "Nearest: fcos_resnet50_fpn"),
        ({"arch": "maskrcnn_resnet50_fpn"}, "detectors of boxes"),
        ({"arch": "ssd"}, "detectors of boxes"),
        ({"arch": "resnet18"}, 'below one of them: "fcos", body="resnet18"'),
        ({"arch": "yolo"}, 'With a body of your own: "fcos", body="resnet18"'),
        ({"body": "vit_tiny_patch16_224", "arch_args": {"img_size": 64}}, "maps of 1/8, 1/16 and 1/32"),
        ({"arch": "ssd300_vgg16"}, "on a body of your own"),
    ],
)
def test_detectors_that_are_not_there(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelError, match=message):
        learner(loaders(n=8), **how)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"min_score": 1.5}, "min_score"),
        ({"max_boxes": 0}, "max_boxes"),
        ({"iou_threshold": 0.0}, "iou_threshold"),
        ({"metrics": ["mAP"]}, "AP50"),
        ({"body": None}, "name of a body"),
    ],
)
def test_numbers_out_of_range(how: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        learner(loaders(n=8), **how)


# ---- weights ----


def coco_file(folder: Path, name: str) -> Path:
    """Weights of a whole detector for 91 classes as torchvision publishes them: fixed norms."""
    torch.manual_seed(3)
    network = get_model(name, weights=None, weights_backbone=None)
    fixed = {key: t for key, t in network.state_dict().items() if not key.endswith("num_batches_tracked")}
    file = folder / f"{name}.safetensors"
    save_file(fixed, file)
    return file


def test_weights_of_a_whole_detector(tmp_path: Path) -> None:
    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    file = coco_file(tmp_path, name)
    learn = learner(loaders(n=8), name, body=None, weights=file)
    model: Detector = learn.model
    assert model.pretrained
    assert learn.first_unfrozen == 1
    assert model.config is not None
    assert model.config["detector"]["fixed_norms"]
    torch.manual_seed(3)
    source = get_model(name, weights=None, weights_backbone=None).state_dict()
    own = model.network.state_dict()
    new = [key for key, t in source.items() if key in own and own[key].shape != t.shape]
    assert new
    assert all(key.startswith("roi_heads.box_predictor.") for key in new)
    kept = [key for key in own if key not in new]
    assert len(kept) > 200
    assert all(torch.equal(own[key], source[key]) for key in kept)
    with pytest.raises(ModelError, match="missing"):
        learner(loaders(n=8), "ssdlite320_mobilenet_v3_large", body=None, weights=file)


def test_weights_of_the_body(tmp_path: Path, shared: Path) -> None:
    from safetensors.torch import load_file

    file = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    learn = learner(loaders(n=8), "fcos", body="tf_efficientnet_lite0", weights=file)
    assert learn.model.pretrained
    assert learn.model.scaling.mean.flatten().tolist() == [0.5, 0.5, 0.5]
    stored = load_file(file)["conv_stem.weight"].float()
    assert torch.equal(learn.get_submodule("network.backbone.body.conv_stem").weight, stored)


def test_published_weights_need_a_network() -> None:
    with pytest.raises(ModelError, match=r"needs a network or a copy.*fcos_resnet50_fpn"):
        learner(loaders(n=8), "fcos_resnet50_fpn", body=None, pretrained=True)


def test_names_and_constructors() -> None:
    assert find_detector(fcos_resnet50_fpn) == find_detector("fcos_resnet50_fpn") == "fcos_resnet50_fpn"
    assert Detection("cat", 0.5, (0, 0, 1, 1)).box[2] == 1
