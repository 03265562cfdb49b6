"""What is said about predicted masks: scikit-learn's numbers, the right pictures, and little memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import confusion_matrix, f1_score, jaccard_score, precision_score
from tests.interpret.support import parse
from tests.vision.test_unet import CODES, quietly, scenes

from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.mask_gather import gather_masks, interval_over_items
from wiggly.interpret.report import write_report
from wiggly.interpret.segmentation import SegmentationInterpretation
from wiggly.train.learner import Learner
from wiggly.train.losses.core import loss_per_item
from wiggly.train.metrics.pixels import JaccardCoeffMulti
from wiggly.vision.unet import unet_learner


@pytest.fixture(scope="module")
def learn() -> Learner:
    torch.manual_seed(0)
    learn = unet_learner(scenes(16), "test_resnet", pretrained=False, metrics=JaccardCoeffMulti())
    quietly(learn, "fit_one_cycle", 2, 1e-2)
    return learn


@pytest.fixture(scope="module")
def found(learn: Learner) -> SegmentationInterpretation:
    return SegmentationInterpretation.from_learner(learn)


def counted(found: SegmentationInterpretation) -> tuple[Any, Any]:
    true, said = found.targs.numpy().ravel(), found.preds.numpy().ravel()
    return true[true != 3], said[true != 3]


def test_holds_what_the_learner_predicts(found: SegmentationInterpretation, learn: Learner) -> None:
    probs, targets, losses = learn.get_preds(with_loss=True)
    assert torch.equal(found.preds.long(), probs.argmax(1)) and torch.equal(found.targs.long(), targets)
    assert torch.allclose(found.losses, losses)
    raw = learn.get_preds(act=lambda scores: scores)[0]
    assert torch.allclose(found.losses, loss_per_item(learn.loss_func, raw, (targets,)), atol=1e-5)


def test_keeps_two_bytes_per_pixel(found: SegmentationInterpretation) -> None:
    kept = [v for v in vars(found).values() if isinstance(v, torch.Tensor)]
    pixels = found.targs.numel()
    assert sum(v.numel() * v.element_size() for v in kept) < 2.1 * pixels


def test_counts_are_scikit_learns(found: SegmentationInterpretation) -> None:
    true, said = counted(found)
    assert np.array_equal(found.confusion_matrix(), confusion_matrix(true, said, labels=range(4)))
    table = found.class_table()
    assert list(table.index) == CODES[:3]
    for name, score in (("iou", jaccard_score), ("dice", f1_score), ("precision", precision_score)):
        wanted = score(true, said, average=None, labels=[0, 1, 2], zero_division=0)
        assert np.allclose(table[name].fillna(0), wanted)
    assert table["share"].sum() == pytest.approx(1)
    assert found.pixel_accuracy == pytest.approx((true == said).mean())
    assert found.mean_iou == pytest.approx(np.nanmean(table["iou"]))


def test_agrees_with_the_metric(found: SegmentationInterpretation, learn: Learner) -> None:
    assert learn.validate()[1] == pytest.approx(found.mean_iou)


def test_most_confused_in_order(found: SegmentationInterpretation) -> None:
    pairs = found.most_confused()
    counts = found.confusion_matrix()
    assert [n for *_, n in pairs] == sorted((n for *_, n in pairs), reverse=True)
    assert all(counts[CODES.index(true), CODES.index(said)] == n for true, said, n in pairs)
    assert found.confusion_matrix().trace() == counts.trace()  # asking changed nothing


def test_draws_true_and_predicted_masks(found: SegmentationInterpretation) -> None:
    import matplotlib.pyplot as plt

    found.plot_top_losses(2)
    axes = plt.gcf().axes
    worst = found.top_rows(2)
    assert len(axes) == 4 and [len(axis.images) for axis in axes] == [2] * 4
    assert axes[0].get_title() == f"Target, loss {found.losses[worst[0]]:.3g}"
    shown = axes[1].images[1].get_array()
    assert shown.shape[:2] == found.preds.shape[1:]
    void = (found.preds[worst[0]] == 3).numpy()
    assert (shown[void][:, 3] == 0).all() and (shown[~void][:, 3] > 0).all()
    found.plot_confusion_matrix()
    assert plt.gcf().axes[0].get_title() == "Confusion of pixels"


def test_other_targets_are_refused(learn: Learner) -> None:
    with pytest.raises(ArgumentError, match="one category per item"):
        ClassificationInterpretation.from_learner(learn)
    with pytest.raises(DataError, match="carry none"):
        SegmentationInterpretation.from_learner(
            learn, dl=learn.dls.test_dl([np.zeros((48, 64, 3), np.uint8)])
        )


def test_report_says_and_shows_it(learn: Learner, tmp_path: Path) -> None:
    page = parse(learn.report(tmp_path / "report.html").read_text())
    facts = gather_masks(learn)
    true, said = counted(SegmentationInterpretation.from_learner(learn))
    assert facts.accuracy == pytest.approx((true == said).mean())
    assert f"{100 * facts.accuracy:.1f} %" in page.text and "always answering 'ground'" in page.text
    share = np.bincount(true).max() / len(true)
    assert facts.baseline == (pytest.approx(share), pytest.approx(share / 3))
    for text in ("Worst masks", "What is taken for what", "unet_learner(dls, 'test_resnet'", "disc", "IoU"):
        assert text in page.text
    assert "void" not in page.text.split("Class by class")[1].split("What is taken")[0]
    assert sum(uri.startswith("data:image/jpeg") for uri in images(page)) == len(facts.worst) > 0
    assert write_report(learn, tmp_path / "report.html").is_file()  # replaces its own


def images(page: Any) -> list[str]:
    return [str(dict(attributes)["src"]) for name, attributes in page.starts if name == "img"]


def test_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Each item has its own share of right pixels, around 0.7: counting pixels would be far too sure."""
    random = np.random.default_rng(1)
    inside = 0
    for _ in range(200):
        shares = random.beta(7, 3, 40)
        low, high = interval_over_items(np.stack([shares * 1000, np.full(40, 1000)], 1).astype(np.int64))
        inside += low <= 0.7 <= high
    assert 175 <= inside <= 200
