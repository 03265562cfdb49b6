"""What the notebook says of a file is what its bundle says, in PyTorch and ONNX Runtime; on real photos."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.bundle.support import learner

from wiggly import ImageDataLoaders, Resize, load_bundle
from wiggly.bundle.session import open_session
from wiggly.vision.augment import aug_transforms
from wiggly.vision.resize import RandomResizedCrop

PHOTOS = 200
TOLERANCE = 1e-4


def breed(file: Path) -> str:
    return file.name.rsplit("_", 1)[0]


@pytest.fixture(scope="module")
def photos(shared: Path) -> list[Path]:
    """Pets, spread over the breeds."""
    files = sorted((shared / "data" / "pets").rglob("*.jpg"))
    return files[:: max(1, len(files) // (2 * PHOTOS))][: 2 * PHOTOS]


@pytest.fixture(scope="module", params=["crop", "pad", "random crop"])
def made(request: pytest.FixtureRequest, photos: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A learner, its bundle, and photos that it has not trained on."""
    item_tfms = {"crop": Resize(64), "pad": Resize((56, 72), "pad"), "random crop": RandomResizedCrop(64)}
    dls = ImageDataLoaders.from_path_func(
        ".",
        photos,
        breed,
        seed=1,
        valid_pct=0.5,
        item_tfms=item_tfms[request.param],
        batch_tfms=aug_transforms(),
        num_workers=0,
        bs=32,
    )
    torch.manual_seed(1)
    learn = learner(dls)
    learn.fit(1, 1e-2)
    path = tmp_path_factory.mktemp("same") / "pets.wiggly"
    learn.export(path, calibrate=False)
    return learn, path, [Path(file) for file in dls.valid_ds.items[:PHOTOS]]


@pytest.mark.parametrize("load", [load_bundle, open_session], ids=["pytorch", "onnxruntime"])
def test_the_notebook_and_the_bundle_agree(made: Any, load: Callable[..., Any]) -> None:
    learn, path, files = made
    assert len(files) >= 190
    predictor = load(path)
    apart = []
    for file in files:
        wanted, found = learn.predict(file), predictor.predict(file)
        assert found.decoded == wanted.decoded, file
        apart.append(float(np.abs(np.asarray(found.probs) - wanted.probs.numpy()).max()))
    assert max(apart) <= TOLERANCE


def test_every_way_to_ask_in_a_notebook_says_the_same(made: Any) -> None:
    learn, _, files = made
    one_by_one = torch.stack([learn.predict(file).probs for file in files[:40]])
    new, _ = learn.get_preds(dl=learn.dls.test_dl(files[:40]))
    whole, _ = learn.get_preds()
    opened = torch.stack([learn.predict(Image.open(file)).probs for file in files[:40]])
    assert torch.allclose(new, one_by_one, atol=1e-6)
    assert torch.allclose(whole[:40], one_by_one, atol=1e-6)
    assert torch.allclose(opened, one_by_one, atol=1e-6)


def test_the_card_says_so(made: Any) -> None:
    _, path, files = made
    predictor = load_bundle(path)
    found = predictor.manifest.agreement
    assert found is not None and found.same == 1 and found.largest <= TOLERANCE and found.n == len(files)
    assert "100.0% get the same answer" in predictor.file("README.md").decode()


def test_calibrated_probabilities_are_those_of_the_notebook_at_the_temperature(
    made: Any, tmp_path: Path
) -> None:
    learn, _, files = made
    learn.export(tmp_path / "pets.wiggly", graph=False)
    predictor = load_bundle(tmp_path / "pets.wiggly")
    output: Any = predictor.manifest.outputs[0]
    assert output.temperature != 1
    for file in files[:20]:
        wanted, found = learn.predict(file), predictor.predict(file)
        assert found.decoded == wanted.decoded
        assert torch.allclose(
            found.probs, (wanted.probs.log() / output.temperature).softmax(0), atol=TOLERANCE
        )
