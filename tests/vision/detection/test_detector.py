"""The detectors against torchvision's own forward pass: losses, boxes, and what a wrapper may cost."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.vision.detection.scenes import learner, loaders
from torch import Tensor

from wiggly.errors import ModelError
from wiggly.vision.boxes import BBoxLblBlock
from wiggly.vision.detection.boxes import Numbering, as_rows, as_targets
from wiggly.vision.detection.detector import Detector
from wiggly.vision.detection.models import build_detector, detector_model

CASES: list[tuple[str, str | None, tuple[int, int]]] = [
    ("fcos", "test_resnet", (100, 64)),
    ("retinanet", "test_resnet", (64, 96)),
    ("fasterrcnn", "test_resnet", (96, 100)),
    ("ssdlite320_mobilenet_v3_large", None, (320, 320)),
    ("fasterrcnn_mobilenet_v3_large_320_fpn", None, (64, 64)),
]
BOXES = torch.tensor([[[-0.8, -0.8, 0.1, 0.2], [-0.2, -0.5, 0.9, 0.9]], [[0.0, 0, 0, 0], [0, 0, 0, 0]]])
LABELS = torch.tensor([[1, 3], [0, 0]])


def without_resize(model: Detector, size: tuple[int, int]) -> Any:
    """torchvision's own network, told to leave pictures in their size and to use the same statistics."""
    network: Any = model.network
    transform = network.transform
    transform.image_mean = model.scaling.mean.flatten().tolist()
    transform.image_std = model.scaling.std.flatten().tolist()
    if transform.fixed_size is None:
        transform.min_size, transform.max_size = (min(size),), max(size)
    else:
        assert model.fixed_size == size
    transform._skip_resize = True  # in training it would draw a size, and move the draws of the samples
    return network


@pytest.fixture(params=CASES, ids=lambda case: case[0])
def made(request: pytest.FixtureRequest) -> tuple[Detector, tuple[int, int]]:
    arch, body, size = request.param
    torch.manual_seed(0)
    return detector_model(arch, 3, body=body, pretrained=False), size


def test_losses_and_boxes_are_torchvisions(made: tuple[Detector, tuple[int, int]]) -> None:
    model, size = made
    network, images = without_resize(model, size), torch.rand(2, 3, *size)
    model.train()
    torch.manual_seed(1)
    theirs = network(list(images), as_targets(BOXES, LABELS, size, model.numbering))
    torch.manual_seed(1)
    ours = model.losses(model(images), BOXES, LABELS)
    assert set(ours) == set(theirs)
    for name, loss in theirs.items():
        assert torch.isclose(ours[name], loss, rtol=1e-6, atol=1e-6), name

    model.eval()
    getattr(network, "roi_heads", network).score_thresh = 0.001  # random weights are never sure
    with torch.no_grad():
        found, (boxes, labels, scores, *_) = network(list(images)), model(images)
    height, width = size
    for row, wanted in enumerate(found):
        real = wanted["labels"] > 0  # FCOS and RetinaNet score the background like a class
        wanted = {name: part[real] for name, part in wanted.items()}
        n = len(wanted["scores"])
        assert n > 10
        pixels = (boxes[row, :n] + 1) / 2 * torch.tensor([width, height, width, height])
        assert torch.allclose(pixels, wanted["boxes"], atol=1e-3)
        assert torch.equal(labels[row, :n], wanted["labels"])
        assert torch.allclose(scores[row, :n], wanted["scores"], atol=1e-6)
        assert scores[row, n:].le(wanted["scores"].min()).all()


def test_gradients_are_torchvisions() -> None:
    torch.manual_seed(0)
    model = detector_model("fcos", 3, body="test_resnet", pretrained=False).train()
    network, images = without_resize(model, (64, 64)), torch.rand(2, 3, 64, 64)
    for parameter in model.parameters():
        parameter.requires_grad_(True)

    def gradients(losses: dict[str, Tensor]) -> list[Tensor]:
        model.zero_grad()
        torch.stack(list(losses.values())).sum().backward()
        return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]

    norms = {name: t.clone() for name, t in model.state_dict().items()}
    theirs = gradients(network(list(images), as_targets(BOXES, LABELS, (64, 64), model.numbering)))
    model.load_state_dict(norms)  # running statistics have moved
    ours = gradients(model.losses(model(images), BOXES, LABELS))
    assert len(ours) == len(theirs) > 20
    assert all(torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(ours, theirs, strict=True))


def test_pictures_without_boxes(made: tuple[Detector, tuple[int, int]]) -> None:
    model, size = made
    none, labels = torch.zeros(2, 0, 4), torch.zeros(2, 0, dtype=torch.int64)
    losses = model.train().losses(model(torch.rand(2, 3, *size)), none, labels)
    total = torch.stack(list(losses.values())).sum()
    assert torch.isfinite(total)
    total.backward()


def test_a_validation_loss_says_the_same_twice_and_moves_no_draws() -> None:
    torch.manual_seed(0)
    model = detector_model("fasterrcnn", 3, body="test_resnet", pretrained=False).eval()
    images = torch.rand(2, 3, 64, 64)
    outputs = model(images)
    state = torch.get_rng_state()
    first, second = (model.losses(outputs, BOXES, LABELS) for _ in range(2))
    assert {k: v.item() for k, v in first.items()} == {k: v.item() for k, v in second.items()}
    assert torch.equal(torch.get_rng_state(), state)
    assert not any(loss.requires_grad for loss in first.values())


def test_losses_row_by_row_are_those_of_each_picture() -> None:
    torch.manual_seed(0)
    model = detector_model("retinanet", 3, body="test_resnet", pretrained=False).eval()
    outputs = model(torch.rand(2, 3, 64, 64))
    rows = [
        sum(
            model.losses(
                tuple(part[i : i + 1] for part in outputs), BOXES[i : i + 1], LABELS[i : i + 1]
            ).values()
        )
        for i in range(2)
    ]
    whole = sum(model.losses(outputs, BOXES, LABELS).values())
    assert torch.isclose(torch.stack(rows).mean(), whole)  # RetinaNet's loss is a mean over pictures


def test_targets_go_to_pixels_and_back() -> None:
    for numbering, labels in ((Numbering(), LABELS), (Numbering(0, -100), LABELS - 1)):
        labels = torch.where(LABELS == 0, numbering.padding, labels)
        targets = as_targets(BOXES, labels, (40, 60), numbering)
        assert [len(target["labels"]) for target in targets] == [2, 0]
        assert targets[0]["labels"].tolist() == [1, 3]
        assert targets[0]["boxes"][0].tolist() == pytest.approx([6, 4, 33, 24])
        found = [{**target, "scores": torch.ones(len(target["labels"]))} for target in targets]
        boxes, names, scores = as_rows(found, (40, 60), 4, numbering)
        assert torch.allclose(boxes[:, :2], BOXES, atol=1e-6)
        assert torch.equal(names[:, :2], labels)
        assert scores.sum(1).tolist() == [2, 0]


def test_boxes_without_area_or_class_are_left_out() -> None:
    boxes = torch.tensor([[[0.0, 0, 0, 0.5], [-0.5, -0.5, 0.5, 0.5], [-2.0, -2, 0, 0]]])
    [target] = as_targets(boxes, torch.tensor([[1, 0, 2]]), (10, 10), Numbering())
    assert target["labels"].tolist() == [2]
    assert target["boxes"].tolist() == [[0, 0, 5, 5]]


def test_anchors_stay_exact_in_half_precision() -> None:
    torch.manual_seed(0)
    model = detector_model("fcos", 3, body="test_resnet", pretrained=False).eval()
    images = torch.rand(1, 3, 320, 320)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = model(images)
    assert outputs[3].dtype == torch.bfloat16
    anchors = outputs[-2]
    assert anchors.dtype == torch.float32
    assert torch.equal(anchors, model(images)[-2])


def test_ssd_resizes_to_its_own_size() -> None:
    model = detector_model("ssdlite320_mobilenet_v3_large", 2, pretrained=False).eval()
    boxes, *_ = model(torch.rand(1, 3, 64, 64))
    assert boxes.shape == (1, 100, 4)


def test_a_description_makes_the_same_detector_again(made: tuple[Detector, tuple[int, int]]) -> None:
    model, size = made
    assert model.config is not None
    again = build_detector(model.config)
    again.load_state_dict(model.state_dict())
    images = torch.rand(1, 3, *size)
    for ours, theirs in zip(model.eval()(images), again.eval()(images), strict=True):
        assert torch.equal(ours, theirs)


def test_small_or_wrong_pictures() -> None:
    model = detector_model("fcos", 2, body="test_resnet", pretrained=False)
    with pytest.raises(ModelError, match="at least 32 pixels"):
        model(torch.rand(1, 3, 16, 64))
    with pytest.raises(ModelError, match="images of 3 channels"):
        model(torch.rand(1, 1, 64, 64))


def test_labels_without_na() -> None:
    dls = loaders(labels=BBoxLblBlock(vocab=["blue", "red"], add_na=False))
    learn = learner(dls)
    with learn.no_bar(), learn.no_logging():
        learn.fit(1, 1e-3)
    (_, labels, scores), (_, truth) = learn.get_preds()
    assert set(truth.unique().tolist()) == {-100, 0, 1}
    assert labels[scores == 0].eq(-100).all()
    assert labels[scores > 0].ge(0).all()
