"""Comparing architectures on real data: small ones first, alike, and a failure costs the others nothing."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from wiggly.errors import ArgumentError
from wiggly.interpret.compare import compare
from wiggly.interpret.score import wilson_interval
from wiggly.train.metrics.whole_set import APScoreMulti
from wiggly.vision.loaders import ImageDataLoaders
from wiggly.vision.resize import Resize

WEIGHTS = {
    "tf_efficientnet_lite0": "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors",
    "mobilenetv2_100": "mobilenetv2_100.tf_in1k.fp16.safetensors",
}


def digits(folder: Path) -> Any:
    return ImageDataLoaders.from_folder(
        folder, item_tfms=Resize(32), bs=32, valid_pct=0.2, seed=1, device="cpu"
    )


def test_random_weights_small_first_and_a_failure_is_a_row(
    digits_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archs = ["resnet10t", "no_such_net", "test_resnet"]
    found = compare(digits(digits_folder), archs, epochs=2, pretrained=False)
    said = capsys.readouterr().out
    assert said.index("test_resnet:") < said.index("resnet10t:") < said.index("no_such_net:")
    assert {row.arch for row in found.rows} == set(archs)
    failed = found.rows[-1]
    assert (failed.arch, failed.score) == ("no_such_net", None)
    assert "arch" in failed.reason
    for row in found.rows[:-1]:
        right = round((row.score or 0) * 60)
        assert row.interval == wilson_interval(right, 60)
        assert row.images_per_second > 0 and row.seconds > 0
        assert row.megabytes == pytest.approx(row.parameters * 4 / 1e6, rel=0.05)
    assert found.metric == "accuracy"
    assert found.baseline is not None and found.baseline < 0.3


def test_all_draws_are_the_same_for_every_architecture(digits_folder: Path) -> None:
    found = compare(digits(digits_folder), ["test_resnet", "test_resnet"], epochs=1, pretrained=False)
    assert found.rows[0].score == found.rows[1].score


@pytest.mark.slow
def test_the_budget_is_for_all_together(digits_folder: Path) -> None:
    dls = digits(digits_folder)
    compare(dls, ["test_resnet"], epochs=1, pretrained=False)  # what a process does once
    started = time.perf_counter()
    found = compare(dls, ["test_resnet", "resnet10t"], budget="8 s", pretrained=False)
    assert time.perf_counter() - started < 10
    assert all(2 < row.seconds < 5 for row in found.rows)


@pytest.mark.parametrize(
    ("archs", "more"),
    [
        ([], {}),
        ("resnet18", {}),
        (["resnet18"], {"epochs": -1}),
        (["resnet18"], {"epochs": 1, "budget": "1 min"}),
        (["test_resnet"], {"pretrained": False}),
        (["resnet18", "test_resnet"], {"weights": {"resnet81": "resnet18.safetensors"}}),
        (["test_resnet"], {"epochs": 1, "pretrained": False, "nout": 3}),
    ],
)
def test_wrong_arguments(digits_folder: Path, archs: Any, more: dict[str, Any]) -> None:
    with pytest.raises(ArgumentError, match=str(list(more)[-1]) if more else "archs"):
        compare(digits(digits_folder), archs, **more)


def test_pretrained_bodies_are_probed(shared: Path) -> None:
    data, weights = shared / "data" / "hymenoptera", shared / "weights"
    dls = ImageDataLoaders.from_folder(
        data, train="train", valid="val", item_tfms=Resize(64), bs=32, seed=1, device="cpu"
    )
    files = {arch: weights / file for arch, file in WEIGHTS.items()}
    found = compare(dls, list(WEIGHTS), weights=files)
    assert found.rows[0].score is not None
    assert all(row.low > (found.baseline or 1) for row in found.rows)
    assert found.simplest.parameters == min(row.parameters for row in found.rows)


def test_several_labels_get_a_bootstrap_interval_and_a_constant_beside_them(shared: Path) -> None:
    data = shared / "data" / "voc2007_sub"
    dls = ImageDataLoaders.from_csv(
        data,
        "train.csv",
        folder="images",
        label_delim=" ",
        valid_col="is_valid",
        item_tfms=Resize(64),
        bs=32,
        device="cpu",
    )
    arch = "tf_efficientnet_lite0"
    files = {arch: shared / "weights" / WEIGHTS[arch]}
    found = compare(dls, [arch], weights=files, metrics=APScoreMulti())
    row = found.best
    assert row.interval is not None and row.interval.low < (row.score or 0) < row.interval.high
    # A constant ranks nothing: its average precision is the share of the label.
    targets = np.stack([dls.valid_ds.encoded_target(i).numpy() for i in range(len(dls.valid_ds))])
    constant = average_precision_score(targets, np.zeros_like(targets), average="macro")
    assert found.baseline == pytest.approx(constant)
    assert row.low > (found.baseline or 1)
