"""Networks: names, old names, misspelt names, constructors and one's own."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.vision.models import vision_model
from wiggly.vision.networks import find_source


@pytest.mark.parametrize(
    ("arch", "library", "name"),
    [
        ("resnet34", "timm", "resnet34"),
        ("convnext_tiny.fb_in22k", "timm", "convnext_tiny.fb_in22k"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm", "resnet18.a1_in1k"),
        ("squeezenet1_1", "torchvision", "squeezenet1_1"),
        (torchvision.models.resnet34, "torchvision", "resnet34"),
        (timm.models.resnet34, "timm", "resnet34"),
        (nn.Conv2d(3, 8, 3), "own", "Conv2d"),
        (lambda: nn.Conv2d(3, 8, 3), "own", "<lambda>"),
    ],
)
def test_where_it_comes_from(arch: Any, library: str, name: str) -> None:
    source = find_source(arch)
    assert (source.library, source.name) == (library, name)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [("convnxt_tiny", "convnext_tiny"), ("resnet_34", "resnet34"), ("squeezenet11", "squeezenet1_1")],
)
def test_misspelt_names_are_answered_with_the_nearest(wrong: str, right: str) -> None:
    with pytest.raises(ModelError, match=f"'{wrong}' is not one; the nearest are .*{right}"):
        find_source(wrong)


def test_unknown_tag_lists_those_there_are() -> None:
    with pytest.raises(ModelError, match=r"resnet18\.a1_in1k"):
        find_source("resnet18.nothing")


def test_old_names_of_the_course_resolve_with_one_clear_note() -> None:
    with pytest.warns(UserWarning, match=r"timm now calls .*convnext_small\.fb_in22k") as caught:
        source = find_source("convnext_small_in22k")
    assert source.name == "convnext_small.fb_in22k" and len(caught) == 1
    with pytest.warns(UserWarning, match=r"swinv2_large_window12_192\.ms_in22k"):
        assert timm.is_model(find_source("swinv2_large_window12_192_22k").name)


@pytest.mark.parametrize("arch", [3, None, ["resnet18"]])
def test_other_things_are_refused(arch: Any) -> None:
    with pytest.raises(ArgumentError, match="`arch` must be"):
        find_source(arch)


def test_arguments_reach_the_constructor() -> None:
    model = vision_model("test_vit", 2, pretrained=False, arch_args={"img_size": 64})
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 2)
    model = vision_model(torchvision.models.mobilenet_v2, 2, pretrained=False, arch_args={"width_mult": 0.25})
    assert model.body.n_features == 1280


@pytest.mark.parametrize("arch", ["test_resnet", torchvision.models.resnet18])
def test_unknown_arguments_are_named(arch: Any) -> None:
    with pytest.raises(ModelError, match=r"`arch_args` must be arguments of the architecture(.|\n)*nothing"):
        vision_model(arch, 2, pretrained=False, arch_args={"nothing": 1})


@pytest.mark.parametrize("weights", [3, torchvision.models.ResNet18_Weights.DEFAULT])
def test_weights_of_another_kind_are_refused(weights: Any) -> None:
    with pytest.raises(ArgumentError, match=r"`weights` must be a \.safetensors file"):
        vision_model("test_resnet", 2, weights=weights)


def test_torchvisions_own_weights_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def get_model(name: str, weights: Any = None, **_: Any) -> nn.Module:
        asked.append((name, weights))
        return torchvision.models.resnet18(weights=None)

    monkeypatch.setattr("wiggly.vision.networks.require_download", lambda *_: None)
    monkeypatch.setattr(torchvision.models, "get_model", get_model)
    entry = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    assert vision_model(torchvision.models.resnet18, 2, weights=entry).pretrained
    assert vision_model(torchvision.models.resnet18, 2).pretrained
    assert asked == [("resnet18", entry), ("resnet18", torchvision.models.ResNet18_Weights.DEFAULT)]


def test_a_callable_is_asked_for_weights_if_it_takes_them() -> None:
    asked: list[Any] = []

    def with_weights(weights: str | None = None) -> nn.Module:
        asked.append(weights)
        return nn.Conv2d(3, 4, 3)

    def with_pretrained(pretrained: bool) -> nn.Module:
        asked.append(pretrained)
        return nn.Conv2d(3, 4, 3)

    assert vision_model(with_weights, 2).pretrained
    assert not vision_model(with_weights, 2, pretrained=False).pretrained
    assert vision_model(with_pretrained, 2).pretrained
    assert not vision_model(lambda: nn.Conv2d(3, 4, 3), 2).pretrained
    assert asked == ["DEFAULT", None, True]


def test_a_callable_must_return_a_module() -> None:
    with pytest.raises(ModelError, match="it returned a int"):
        vision_model(lambda: 3, 2)
