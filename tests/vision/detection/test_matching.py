"""Average precision against pycocotools, on boxes drawn at random and in the corners of its rules."""

from __future__ import annotations

import contextlib
import io
from typing import Any

import numpy as np
import pytest
import torch

from wiggly.errors import ArgumentError
from wiggly.train.metrics.core import as_metrics
from wiggly.vision.detection.boxes import Numbering
from wiggly.vision.detection.matching import BoxMatches, box_overlaps
from wiggly.vision.detection.metrics import BoxMetric, box_metrics

Picture = tuple[Any, Any, Any, Any, Any]  # boxes, labels, scores, true boxes, true labels


def drawn(seed: int, n: int = 12, classes: int = 4, ties: bool = False) -> list[Picture]:
    """Pictures of 100×100 with true boxes, predictions near some of them and others anywhere."""
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> Any:
        low = rng.uniform(0, 80, (count, 2))
        return np.concatenate([low, low + rng.uniform(2, 20, (count, 2))], 1)

    pictures: list[Picture] = []
    for _ in range(n):
        true = boxes(rng.integers(0, 6))
        labels = rng.integers(1, classes + 1, len(true))
        near = np.repeat(true, 2, 0) + rng.normal(0, 1.5, (2 * len(true), 4))
        near[:, 2:] = np.maximum(near[:, 2:], near[:, :2] + 1)
        found = np.concatenate([near, boxes(rng.integers(0, 5))])
        names = np.concatenate([np.repeat(labels, 2), rng.integers(1, classes + 2, len(found) - len(near))])
        names = np.where(rng.random(len(names)) < 0.1, rng.integers(1, classes + 1, len(names)), names)
        scores = rng.uniform(0.05, 1, len(found))
        pictures.append((found, names, np.round(scores, 1) if ties else scores, true, labels))
    return pictures


def coco_scores(pictures: list[Picture]) -> list[float]:
    """AP, AP50 and AP75 by pycocotools."""
    coco = pytest.importorskip("pycocotools.coco")
    evaluation = pytest.importorskip("pycocotools.cocoeval")

    def xywh(box: Any) -> list[float]:
        return [*box[:2], *(box[2:] - box[:2])]

    truth, said = [], []
    for image, (boxes, labels, scores, true_boxes, true_labels) in enumerate(pictures, 1):
        for box, label in zip(true_boxes, true_labels, strict=True):
            area = float((box[2:] - box[:2]).prod())
            entry = {"bbox": xywh(box), "category_id": int(label), "area": area, "iscrowd": 0}
            truth.append({"id": len(truth) + 1, "image_id": image, **entry})
        for box, label, score in zip(boxes, labels, scores, strict=True):
            entry = {"bbox": xywh(box), "category_id": int(label), "score": float(score)}
            said.append({"image_id": image, **entry})
    with contextlib.redirect_stdout(io.StringIO()):
        known = coco.COCO()
        names = sorted({int(label) for picture in pictures for label in (*picture[1], *picture[4])})
        known.dataset = {
            "images": [{"id": image} for image in range(1, len(pictures) + 1)],
            "categories": [{"id": name} for name in names],
            "annotations": truth,
        }
        known.createIndex()
        run = evaluation.COCOeval(known, known.loadRes(said), "bbox")
        run.evaluate()
        run.accumulate()
        run.summarize()
    return list(run.stats[:3])


def counted(pictures: list[Picture]) -> BoxMatches:
    matches = BoxMatches()
    for picture in pictures:
        matches.add(*picture)
    return matches


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("seed", range(4))
def test_average_precision_is_pycocotools(seed: int, ties: bool) -> None:
    pictures = drawn(seed, ties=ties)
    found = counted(pictures)
    ours = [found.average_precision(overlap) for overlap in (None, 0.5, 0.75)]
    assert 0.05 < ours[0] < 0.95
    assert ours == pytest.approx(coco_scores(pictures), abs=1e-6)


def test_more_than_a_hundred_of_a_class_do_not_count() -> None:
    rng = np.random.default_rng(0)
    low = rng.uniform(0, 50, (150, 2))
    boxes = np.concatenate([low, low + 10], 1)
    ones = np.ones(150, dtype=np.int64)
    picture = (boxes, ones, rng.uniform(0.1, 1, 150), boxes[::2], ones[::2])
    assert counted([picture]).average_precision() == pytest.approx(coco_scores([picture])[0], abs=1e-6)


def test_metrics_of_batches_are_those_of_the_whole_set() -> None:
    pictures = drawn(5)
    columns = box_metrics(["AP50", "AP", "precision", "recall"], min_score=0.5)
    for metric in columns:
        metric.reset()
    for part in (pictures[:5], pictures[5:]):
        pred, targets = as_batch(part)
        for metric in columns:
            metric.accumulate(pred, targets)
    whole = counted(pictures)
    wanted = [whole.average_precision(0.5), whole.average_precision(), *whole.precision_and_recall(0.5)]
    assert [metric.value() for metric in columns] == pytest.approx(wanted, abs=1e-6)
    for metric in columns:  # a second validation starts from nothing
        metric.reset()
    columns[3].accumulate(*as_batch(pictures))
    assert columns[3].value() == pytest.approx(wanted[3])


def as_batch(pictures: list[Picture]) -> tuple[Any, Any]:
    """Padded tensors as a detector and the box blocks give them; boxes in [-1, 1]."""
    most, most_true = max(len(p[1]) for p in pictures) + 3, max(len(p[4]) for p in pictures)
    pred = [torch.zeros(len(pictures), most, 4), torch.zeros(len(pictures), most).long()]
    scores = torch.zeros(len(pictures), most)
    targets = [torch.zeros(len(pictures), most_true, 4), torch.zeros(len(pictures), most_true).long()]
    for row, (boxes, labels, own, true_boxes, true_labels) in enumerate(pictures):
        order = np.argsort(-own, kind="stable")
        pred[0][row, : len(own)] = torch.tensor(boxes[order] / 50 - 1)
        pred[1][row, : len(own)] = torch.tensor(labels[order])
        scores[row, : len(own)] = torch.tensor(own[order])
        targets[0][row, : len(true_labels)] = torch.tensor(true_boxes / 50 - 1)
        targets[1][row, : len(true_labels)] = torch.tensor(true_labels)
    return (*pred, scores), tuple(targets)


def test_overlaps_are_torchvisions() -> None:
    from torchvision.ops import box_iou

    first, second = drawn(1)[0][0], drawn(2)[0][0]
    assert box_overlaps(first, second) == pytest.approx(
        box_iou(torch.tensor(first), torch.tensor(second)).numpy()
    )


def test_nothing_there_and_nothing_found() -> None:
    none, box = np.zeros((0, 4)), np.array([[0.0, 0, 4, 4]])
    nobody, one, no_score = np.zeros(0, np.int64), np.ones(1, np.int64), np.zeros(0)
    matches = BoxMatches()
    assert np.isnan(matches.average_precision())
    matches.add(none, nobody, no_score, box, one)
    assert matches.average_precision() == 0
    matches.add(box, one, np.ones(1), none, nobody)
    assert matches.precision_and_recall(0.5) == (0, 0)
    matches.add(box, one + 1, np.ones(1), none, nobody)  # a class without true boxes has no average
    assert set(matches.average_precisions()) == {1}


def test_columns_by_name() -> None:
    assert [metric.name for metric in as_metrics([BoxMetric(), BoxMetric("AP75")])] == ["AP", "AP75"]
    assert BoxMetric(numbering=Numbering(0, -100)).numbering.first == 0
    with pytest.raises(ArgumentError, match="AP50"):
        BoxMetric("mAP")
