"""Bodies: normalisation, sizes a network cannot take, and what compilers make of them."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torchvision.transforms.v2.functional import normalize

from wiggly.errors import ArgumentError, ModelError
from wiggly.vision.models import vision_model
from wiggly.vision.weights import fit_stats

VIT = "vit_tiny_patch16_224"  # takes one size
IMAGENET = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


@pytest.mark.parametrize(
    ("arch", "mean"),
    [
        ("test_resnet", timm.models.get_pretrained_cfg("test_resnet").mean),
        ("vit_tiny_patch16_224", (0.5, 0.5, 0.5)),
        (torchvision.models.squeezenet1_1, IMAGENET[0]),
    ],
)
def test_statistics_are_the_bodys_own(arch: Any, mean: Any) -> None:
    body = vision_model(arch, 2, pretrained=False).body
    assert body.mean.flatten().tolist() == pytest.approx(list(mean))
    assert body.mean.shape == body.std.shape == (1, 3, 1, 1) and body.mean.dtype == torch.float32
    assert {"mean", "std"} <= set(body.state_dict())


def test_pretrained_inception_gets_the_range_it_was_trained_on() -> None:
    net = torchvision.models.googlenet(
        weights=None, init_weights=False, transform_input=True, aux_logits=False
    )
    assert vision_model(net, 2).body.std.flatten().tolist() == [0.5] * 3


def test_normalises_as_torchvision_does() -> None:
    body = vision_model("test_resnet", 2, pretrained=False, stats=IMAGENET).body.eval()
    x = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        expected = body.model.forward_features(normalize(x, *IMAGENET))
        torch.testing.assert_close(body(x), expected)
        body.normalise = False  # as when the loader has been lent the statistics
        torch.testing.assert_close(body(normalize(x, *IMAGENET)), expected)


def test_bytes_equal_floats() -> None:
    model = vision_model("test_resnet", 2, pretrained=False).eval()
    x = torch.randint(0, 256, (2, 3, 64, 64), dtype=torch.uint8)
    torch.testing.assert_close(model(x), model(x.float() / 255))


def test_normalize_false_leaves_the_images_alone() -> None:
    body = vision_model("test_resnet", 2, pretrained=False, normalize=False).body
    assert body.mean.abs().sum() == 0 and (body.std == 1).all()


@pytest.mark.parametrize(
    ("n_in", "mean"), [(1, [0.2]), (2, [0.1, 0.2]), (3, [0.1, 0.2, 0.3]), (5, [0.1, 0.2, 0.3, 0.1, 0.2])]
)
def test_statistics_for_other_numbers_of_channels(n_in: int, mean: list[float]) -> None:
    got, std = fit_stats(([0.1, 0.2, 0.3], [1.0, 1.0, 1.0]), n_in)
    assert list(got) == pytest.approx(mean) and list(std) == [1.0] * n_in


@pytest.mark.parametrize("stats", [([0.5] * 2, [0.5] * 2), ([0.5], [0.5] * 3), ([0.5] * 3, [0.5, 0.0, 0.5])])
def test_bad_statistics_are_refused(stats: tuple[list[float], list[float]]) -> None:
    with pytest.raises(ArgumentError, match="statistics must be"):
        fit_stats(stats, 3)


def test_wrong_size_is_an_error_when_the_size_is_known() -> None:
    with pytest.raises(ModelError, match=r"224×224 pixels(.|\n)*128×96") as caught:
        vision_model(VIT, 2, pretrained=False, image_size=(128, 96))
    assert "Resize(224)" in caught.value.fix and 'arch_args={"img_size": (128, 96)}' in caught.value.fix


@pytest.mark.parametrize("args", [{}, {"img_size": (70, 100)}])
def test_the_size_to_build_for_instead_works(args: dict[str, Any]) -> None:
    with pytest.raises(ModelError) as caught:
        vision_model("test_vit", 2, pretrained=False, image_size=(70, 100), arch_args=args)
    near = (64, 96)
    assert f'item_tfms=Resize({near}) and arch_args={{"img_size": {near}}}' in caught.value.fix
    vision_model("test_vit", 2, pretrained=False, image_size=near, arch_args={"img_size": near})


def test_wrong_size_is_an_error_at_the_first_batch_otherwise() -> None:
    model = vision_model(VIT, 2, pretrained=False)
    with pytest.raises(ModelError, match=r"Resize\(224\)"):
        model(torch.rand(2, 3, 128, 128))
    model = vision_model(torchvision.models.squeezenet1_1, 2, pretrained=False)
    with pytest.raises(ModelError, match="fails on 3 channels of 2×2 pixels"):
        model(torch.rand(2, 3, 2, 2))


@pytest.mark.parametrize("channels", [1, 4])
def test_wrong_channels_are_named(channels: int) -> None:
    with pytest.raises(ModelError, match=f"3 channels(.|\n)*got {channels} channels(.|\n)*n_in={channels}"):
        vision_model("test_resnet", 2, pretrained=False)(torch.rand(2, channels, 64, 64))


def test_advice_about_the_size_works() -> None:
    model = vision_model(VIT, 2, pretrained=False, image_size=(128, 96), arch_args={"img_size": (128, 96)})
    assert model(torch.rand(2, 3, 128, 96)).shape == (2, 2)


def test_other_errors_pass_through() -> None:
    model = vision_model("test_resnet", 2, pretrained=False)
    model.body.model.conv1 = torch.nn.Conv2d(5, 8, 3)
    with pytest.raises(RuntimeError, match="expected input"):
        model(torch.rand(2, 3, *model.body.size))


def test_probing_changes_neither_mode_nor_statistics() -> None:
    net = torchvision.models.resnet18(weights=None)
    net.layer1.eval()
    before = deepcopy(net.state_dict())
    vision_model(net, 2)
    assert net.training and not net.layer1[0].training
    assert all(torch.equal(before[n], t) for n, t in net.state_dict().items())


def test_channels_last_survives_the_body() -> None:
    model = vision_model("test_resnet", 2, pretrained=False).to(memory_format=torch.channels_last)
    x = torch.rand(2, 3, 64, 64).to(memory_format=torch.channels_last)
    assert model.body(x).is_contiguous(memory_format=torch.channels_last)


def test_exports_as_one_graph() -> None:
    model = vision_model("test_vit", 2, pretrained=False).eval()
    x = torch.rand(2, 3, 160, 160)
    program = torch.export.export(model, (x,))
    torch.testing.assert_close(program.module()(x), model(x))
