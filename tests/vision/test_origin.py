"""Whence pretrained weights come, and their licence: from timm's own table, never guessed for a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision
import yaml
from PIL import Image
from safetensors.torch import save_file

from wiggly import ImageDataLoaders, load_bundle, vision_learner
from wiggly.bundle.card import CARD
from wiggly.vision.detection.models import build_detector, detector_model
from wiggly.vision.models import build_model, model_config, vision_model
from wiggly.vision.origin import origin_of


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Weights in the hub's cache, as if they had been fetched once."""
    path = tmp_path / "model.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: str(path))
    return path


def origin(model: Any) -> Any:
    config = model_config(model)
    assert config is not None
    build_model(json.loads(json.dumps(config)))  # the description still makes the network
    return config["body"]["origin"]


@pytest.mark.usefixtures("published")
def test_published_weights_have_the_licence_that_timm_states() -> None:
    stated = timm.models.get_pretrained_cfg("test_resnet")
    assert stated is not None and stated.license == "apache-2.0"
    found = origin(vision_model("test_resnet", 2))
    assert found == {"weights": "timm/test_resnet.r160_in1k", "licence": "apache-2.0"}


def test_random_weights_have_none() -> None:
    assert origin(vision_model("test_resnet", 2, pretrained=False)) is None
    assert origin(vision_model(torchvision.models.resnet18, 2, pretrained=False)) is None


def test_a_file_has_only_what_is_written_beside_it(published: Path) -> None:
    found = origin(vision_model("test_resnet", 2, weights=published))
    assert found == {"weights": "model.safetensors", "licence": None}
    entry = {"model.safetensors": {"licence": "CC-BY-NC-4.0"}}
    published.with_name("models.json").write_text(json.dumps(entry))
    assert origin(vision_model("test_resnet", 2, weights=published))["licence"] == "CC-BY-NC-4.0"


def test_torchvision_states_none() -> None:
    found = origin_of(torchvision.models.resnet18(), torchvision.models.ResNet18_Weights.IMAGENET1K_V1)
    assert found == {"weights": "torchvision ResNet18_Weights.IMAGENET1K_V1", "licence": None}
    assert origin_of(torch.nn.Linear(1, 1), None) is None


@pytest.mark.usefixtures("published")
def test_a_detector_on_such_a_body() -> None:
    model = detector_model("fcos", 2, body="test_resnet")
    assert model.config is not None and model.config["body"]["origin"]["licence"] == "apache-2.0"
    assert build_detector(model.config).config == model.config


@pytest.mark.usefixtures("published")
@pytest.mark.parametrize(("own", "wanted"), [(None, "apache-2.0"), ("CC-BY-4.0", "CC-BY-4.0")])
def test_the_bundle_says_so(own: str | None, wanted: str, tmp_path: Path) -> None:
    photos = [Image.new("RGB", (32, 32), colour) for colour in ["red", "blue"] * 8]
    dls = ImageDataLoaders.from_lists(".", photos, ["red", "blue"] * 8, seed=1, bs=4)
    learn = vision_learner(dls, "test_resnet")
    predictor = load_bundle(
        learn.export(tmp_path / "x.wiggly", graph=False, licence=own, title="Two colours")
    )
    assert predictor.manifest.licence == wanted and predictor.manifest.title == "Two colours"
    card = predictor.file(CARD).decode()
    metadata = yaml.safe_load(card.split("---\n")[1])
    assert metadata["base_model"] == "timm/test_resnet.r160_in1k"
    assert metadata["license"] == wanted.lower()
    assert "It started from the weights timm/test\\_resnet.r160\\_in1k, licence apache-2.0" in card
    assert ("(that of the weights it started from)" in card) == (own is None)
