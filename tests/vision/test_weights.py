"""Weights: local files, the note beside them, and what happens without a network."""

from __future__ import annotations

import json
import socket
import time
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import timm
import torch
import torchvision.models
from safetensors.torch import save_file

from wiggly.errors import ModelError
from wiggly.vision import weights
from wiggly.vision.models import vision_model
from wiggly.vision.networks import find_source, pretrained_network


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No name is found, and the caches are empty."""

    def refuse(*_: Any, **__: Any) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_, **__: None)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """Random weights of timm's `test_resnet` with its classifier."""
    torch.manual_seed(0)
    path = tmp_path / "net.safetensors"
    save_file(timm.create_model("test_resnet").state_dict(), path)
    return path


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("arch", ["convnext_tiny", torchvision.models.resnet18, "test_resnet.r160_in1k"])
def test_without_a_network_both_ways_out_are_named_at_once(arch: Any) -> None:
    start = time.perf_counter()
    with pytest.raises(ModelError) as caught:
        vision_model(arch, 2)
    assert time.perf_counter() - start < 5
    assert 'weights="FILE.safetensors"' in caught.value.fix and "pretrained=False" in caught.value.fix
    assert "https://" in caught.value.received


@pytest.mark.usefixtures("no_network")
def test_offline_switch_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        vision_model("convnext_tiny", 2)


@pytest.mark.usefixtures("no_network")
def test_cached_weights_need_no_network(monkeypatch: pytest.MonkeyPatch, saved: Path) -> None:
    asked: list[str] = []

    def cached(repository: str, name: str, revision: str | None = None) -> str | None:
        asked.append(f"{repository}/{name}")
        return str(saved) if name.endswith(".safetensors") else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    model = vision_model("test_resnet", 2)
    assert asked == ["timm/test_resnet.r160_in1k/model.safetensors"]
    assert model.pretrained
    stored = weights.read_weights(saved)["conv1.0.weight"]
    assert torch.equal(model.get_parameter("0.model.conv1.0.weight"), stored)


def test_architecture_without_published_weights() -> None:
    with pytest.raises(ModelError, match="timm has none for 'ghostnetv3_050'") as caught:
        vision_model("ghostnetv3_050", 2)
    assert "pretrained=False" in caught.value.fix


@pytest.mark.parametrize("with_head", [True, False])
def test_local_weights_with_and_without_classifier(saved: Path, tmp_path: Path, with_head: bool) -> None:
    tensors = weights.read_weights(saved)
    path = tmp_path / "other.safetensors"
    save_file({n: t for n, t in tensors.items() if with_head or not n.startswith("fc.")}, path)
    model = vision_model("test_resnet", 2, weights=path, pretrained=False)
    body = model.body.model.state_dict()
    assert model.pretrained
    assert all(torch.equal(body[n], t) for n, t in tensors.items() if not n.startswith("fc."))


def test_half_precision_is_cast_up(saved: Path, tmp_path: Path) -> None:
    tensors = weights.read_weights(saved)
    path = tmp_path / "half.safetensors"
    save_file({n: t.half() if t.is_floating_point() else t for n, t in tensors.items()}, path)
    body = vision_model("test_resnet", 2, weights=path).body.model
    weight = body.get_parameter("conv1.0.weight")
    assert weight.dtype == torch.float32
    assert torch.equal(weight, tensors["conv1.0.weight"].half().float())


def test_missing_and_left_over_names_are_counted(saved: Path, tmp_path: Path) -> None:
    tensors = weights.read_weights(saved)
    tensors["extra.weight"] = tensors.pop("conv1.0.weight")
    path = tmp_path / "wrong.safetensors"
    save_file(tensors, path)
    message = r"1 missing \(first 'conv1.0.weight'\), 1 unexpected \(first 'extra.weight'\)"
    with pytest.raises(ModelError, match=message):
        vision_model("test_resnet", 2, weights=path)


@pytest.mark.parametrize("arch", ["test_resnet", "torchvision"])
def test_other_shapes_are_refused(saved: Path, tmp_path: Path, arch: str) -> None:
    first = "conv1.0.weight"
    tensors = weights.read_weights(saved)
    if arch == "torchvision":
        first = "features.0.weight"
        tensors = torchvision.models.squeezenet1_1(weights=None).state_dict()
    path = tmp_path / "wrong.safetensors"
    save_file({n: t[:1].clone() if n == first else t for n, t in tensors.items()}, path)
    with pytest.raises(ModelError, match=f"shapes of the architecture(.|\n)*{first}"):
        vision_model(arch if arch == "test_resnet" else torchvision.models.squeezenet1_1, 2, weights=path)


def test_torchvision_weights_from_a_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    full = torchvision.models.squeezenet1_1(weights=None).eval()
    path = tmp_path / "squeeze.safetensors"
    save_file(full.state_dict(), path)
    body = vision_model(torchvision.models.squeezenet1_1, 2, weights=path, normalize=False).body.eval()
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(body(x), full.features(x))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.safetensors", None, "does not exist"),
        ("net.pth", b"x", "pickled"),
        ("cut.safetensors", b"\x10\0\0", "is not"),
    ],
)
def test_unusable_files(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=message) as caught:
        weights.read_weights(path)
    assert name in str(caught.value)


def test_a_folder_is_called_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder"):
        weights.read_weights(tmp_path)


def test_sidecar_gives_arguments_and_statistics(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    torch.manual_seed(0)
    save_file(timm.create_model("test_vit", img_size=64, num_classes=0).state_dict(), path)
    entry = {"kwargs": {"img_size": 64}, "mean": [0.1, 0.2, 0.3], "std": [1, 2, 4]}
    (tmp_path / "models.json").write_text(json.dumps({path.name: entry}))
    body = vision_model("test_vit", 2, weights=path).body
    assert body.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert body.std.flatten().tolist() == [1, 2, 4]
    assert body(torch.rand(1, 3, 64, 64)).shape == (1, 64)
    said = vision_model("test_vit", 2, weights=path, stats=([0.5], [0.25])).body
    assert said.std.flatten().tolist() == [0.25] * 3


@pytest.mark.parametrize("text", ["{", "[1]", '{"net.safetensors": {"mean": "x", "std": [1]}}'])
def test_damaged_sidecar(tmp_path: Path, text: str) -> None:
    (tmp_path / "models.json").write_text(text)
    with pytest.raises(ModelError, match=r"models\.json"):
        weights.read_sidecar(tmp_path / "net.safetensors")


@pytest.mark.parametrize(
    ("arch", "name", "arguments"),
    [
        ("tf_efficientnet_lite0", "tf_efficientnet_lite0.in1k_backbone.fp16.safetensors", {}),
        ("mobilenetv2_100", "mobilenetv2_100.tf_in1k.fp16.safetensors", {"pad_type": "same"}),
    ],
)
def test_shared_backbones_equal_timms_own_loading(
    shared: Path, arch: str, name: str, arguments: dict[str, Any]
) -> None:
    path = shared / "weights" / name
    body = vision_model(arch, 2, weights=path).body.eval()
    overlay = {"file": str(path)}
    net = timm.create_model(
        arch, pretrained=True, num_classes=0, pretrained_cfg_overlay=overlay, **arguments
    ).eval()
    x = torch.rand(2, 3, 97, 97)  # odd, so that the padding matters
    with torch.no_grad():
        assert torch.equal(body(x), net.forward_features((x - 0.5) / 0.5))


def test_timm_fits_the_first_layer_of_local_weights(saved: Path) -> None:
    module, _, loaded = pretrained_network(find_source("test_resnet"), 1, True, saved, {})
    expected = weights.read_weights(saved)["conv1.0.weight"].sum(1, keepdim=True)
    assert loaded
    torch.testing.assert_close(module.get_parameter("conv1.0.weight"), expected)
