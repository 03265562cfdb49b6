"""A detector on real photos: the same boxes from the notebook, the bundle and ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import wiggly as wg
from wiggly.bundle.proof import prove
from wiggly.bundle.session import open_session
from wiggly.records import Detection

pytest.importorskip("onnxscript")


def same(first: Detection, second: Detection) -> bool:
    apart = np.abs(np.subtract(first.box, second.box)).max()
    return first.label == second.label and apart <= 1 and abs(first.score - second.score) <= 1e-4


@pytest.mark.slow
def test_photos_of_rooms(shared: Path, tmp_path: Path) -> None:
    folder = shared / "data" / "coco_tiny"
    weights = shared / "weights" / "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors"
    names, annotations = wg.get_annotations(folder / "train.json")
    of = dict(zip(names, annotations, strict=True))
    block = wg.DataBlock(
        blocks=(wg.ImageBlock, wg.BBoxBlock(min_share=0.2), wg.BBoxLblBlock),
        n_inp=1,
        get_items=lambda where: [photo for photo in wg.get_image_files(where) if photo.name in of][:80],
        splitter=wg.RandomSplitter(0.3, seed=42),
        get_y=[lambda photo: of[photo.name][0], lambda photo: of[photo.name][1]],
        item_tfms=wg.Resize(160, method="squish"),
    )
    dls = block.dataloaders(folder, bs=8, seed=42, num_workers=0)
    wg.set_seed(1)
    learn = wg.detection_learner(dls, "fcos", body="tf_efficientnet_lite0", weights=weights)
    with learn.no_bar(), learn.no_logging():
        learn.fit(3, 2e-3)
    learn.loss_func.min_score = 0.2  # it has hardly learned anything yet
    path = learn.export(tmp_path / "rooms.wiggly", calibrate=False)
    predictor, session = wg.load_bundle(path), open_session(path)
    agreement = predictor.manifest.agreement
    assert agreement is not None and (agreement.n, agreement.same) == (24, 1.0)
    assert agreement.largest <= 1e-4
    assert [(proof.runtime, proof.fits) for proof in prove(path)] == [
        ("pytorch", True),
        ("onnxruntime", True),
    ]
    seen = 0
    for photo in dls.valid_ds.items:
        wanted = learn.predict(photo).decoded
        for found in (predictor.predict(photo).decoded, session.predict(photo).decoded):
            assert len(found) == len(wanted)
            assert all(any(same(box, other) for other in found) for box in wanted)
        seen += len(wanted)
    assert seen > 50
