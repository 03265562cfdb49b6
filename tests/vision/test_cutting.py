"""Cutting: every family of torchvision, some sixty of timm, one's own, against their own forward passes."""

from __future__ import annotations

from typing import Any

import pytest
import timm
import torch
import torchvision.models
from torch import Tensor, nn
from torch.nn import functional

from wiggly.errors import ModelError
from wiggly.vision.cutting import adapt_first_conv
from wiggly.vision.models import vision_model

# The smallest member of each family; those of the first row run in `make test`.
QUICK_TORCHVISION = ["resnet18", "squeezenet1_1", "mobilenet_v3_small", "shufflenet_v2_x0_5"]
SLOW_TORCHVISION = [
    "alexnet",
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "googlenet",
    "inception_v3",
    "maxvit_t",
    "mnasnet0_5",
    "mobilenet_v2",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "resnext50_32x4d",
    "swin_t",
    "swin_v2_t",
    "vgg11",
    "vgg11_bn",
    "vit_b_32",
    "wide_resnet50_2",
]
QUICK_TIMM = [
    "test_resnet",
    "test_vit",
    "test_convnext",
    "test_efficientnet",
    "test_byobnet",
    "test_mambaout",
    "mobilenetv3_small_050",
    "convnext_atto",
    "regnetx_002",
    "levit_128s",
]
SLOW_TIMM = [
    "resnet10t",
    "resnetv2_50",
    "regnety_002",
    "efficientnet_b0",
    "tf_efficientnet_lite0",
    "tf_efficientnetv2_b0",
    "mobilenetv2_100",
    "mobilenetv4_conv_small_035",
    "lcnet_050",
    "ghostnet_050",
    "hardcorenas_a",
    "deit_tiny_patch16_224",
    "beit_base_patch16_224",
    "cait_xxs24_224",
    "swin_tiny_patch4_window7_224",
    "swinv2_tiny_window8_256",
    "swinv2_cr_tiny_ns_224",
    "maxvit_tiny_tf_224",
    "coatnet_nano_rw_224",
    "poolformer_s12",
    "davit_tiny",
    "pvt_v2_b0",
    "twins_pcpvt_small",
    "xcit_nano_12_p16_224",
    "crossvit_tiny_240",
    "coat_tiny",
    "densenet121",
    "vgg11",
    "dla34",
    "res2net50_26w_4s",
    "hrnet_w18_small",
    "inception_v4",
    "inception_next_atto",
    "repvgg_a0",
    "rexnet_100",
    "hgnetv2_b0",
    "edgenext_xx_small",
    "efficientformer_l1",
    "efficientformerv2_s0",
    "efficientvit_b0",
    "fastvit_t8",
    "fasternet_t0",
    "gcvit_xxtiny",
    "hiera_tiny_224",
    "mixer_s32_224",
    "mobilevit_xxs",
    "mvitv2_tiny",
    "nest_tiny",
    "pit_ti_224",
    "sequencer2d_s",
    "tiny_vit_5m_224",
    "tresnet_m",
    "volo_d1_224",
    "convmixer_768_32",
]


def slow(names: list[str]) -> list[Any]:
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def check_training_step(arch: Any) -> None:
    """Forward and backward through a whole model: the right shape, a gradient for (nearly) all weights."""
    torch.manual_seed(0)
    model = vision_model(arch, 5, pretrained=False).train()
    y = model(torch.rand(2, 3, *model.body.traits.size))
    assert y.shape == (2, 5) and y.isfinite().all()
    functional.cross_entropy(y, torch.tensor([0, 1])).backward()
    weights = list(model.body.parameters())
    learnt = sum(p.numel() for p in weights if p.grad is not None)
    assert learnt > 0.98 * sum(p.numel() for p in weights)  # a last norm behind the pooling may be left


@pytest.mark.parametrize("name", [*QUICK_TORCHVISION, *slow(SLOW_TORCHVISION)])
def test_torchvision_features_lead_to_the_networks_own_outputs(name: str) -> None:
    """The rest of the network, put behind the body, must give what the whole network gives."""
    torch.manual_seed(0)
    net = torchvision.models.get_model(name, weights=None, **extra(name)).eval()
    wanted: list[Tensor] = []
    head = last_layers(net)
    head.register_forward_pre_hook(lambda _, inputs: wanted.append(inputs[0]))
    size = 224 if name in ("vit_b_32", "maxvit_t") else 96
    x = torch.rand(2, 3, size, size)
    with torch.no_grad():
        net(x)
        head._forward_pre_hooks.clear()
        body = vision_model(net, 2, normalize=False, image_size=(size, size)).body.eval()
        got = body(x)
    if got.ndim == 4 and wanted[0].ndim == 2:  # it pooled by a function of its own
        got = got.mean((2, 3))
    torch.testing.assert_close(got, wanted[0])


def extra(name: str) -> dict[str, Any]:
    return {"init_weights": True} if name in ("googlenet", "inception_v3") else {}


def last_layers(net: nn.Module) -> nn.Module:
    """The first layer behind the features."""
    for name in ("avgpool", "classifier", "fc", "heads"):
        if hasattr(net, name):
            return net.get_submodule(name)
    raise AssertionError(f"no last layers in {type(net).__name__}")


def test_every_torchvision_family_is_tried() -> None:
    builders = [
        torchvision.models.get_model_builder(n) for n in torchvision.models.list_models(torchvision.models)
    ]
    families = {builder.__module__ for builder in builders}
    tried = {torchvision.models.get_model_builder(n).__module__ for n in QUICK_TORCHVISION + SLOW_TORCHVISION}
    assert tried == families


@pytest.mark.parametrize("name", [*QUICK_TORCHVISION, *slow(SLOW_TORCHVISION)])
def test_torchvision_families_train(name: str) -> None:
    check_training_step(torchvision.models.get_model_builder(name))


@pytest.mark.parametrize("name", [*QUICK_TIMM, *slow(SLOW_TIMM)])
def test_timm_families_train(name: str) -> None:
    check_training_step(name)


@pytest.mark.parametrize("name", [*QUICK_TIMM, *slow(SLOW_TIMM)])
def test_timm_features_equal_those_of_timm(name: str) -> None:
    """The map averaged over height and width is what timm's own pooling gives; vectors are equal."""
    torch.manual_seed(0)
    net = timm.create_model(name, num_classes=0).eval()
    state = net.state_dict()
    body = vision_model(name, 2, pretrained=False, normalize=False).body.eval()
    known = body.model.load_state_dict(state, strict=False)
    assert not known.missing_keys  # what the body lacks lies behind the pooling
    x = torch.rand(2, 3, *body.traits.size)
    with torch.no_grad():
        got, whole = body(x), net(x)
        if body.pooled:
            assert torch.equal(got, whole)
            return
        assert got.shape[1] == body.n_features == net.num_features
        wanted = net.forward_features(x)
    if got.shape != wanted.shape or str(getattr(net, "output_fmt", "")) == "NHWC":
        wanted = wanted.movedim(-1, 1)
    assert torch.equal(got, wanted)
    if body.n_features == whole.shape[1] and not any(n.startswith("head.norm") for n in state):
        torch.testing.assert_close(got.mean((2, 3)), whole, rtol=1e-4, atol=1e-4)


def test_what_lies_behind_the_pooling_is_dropped() -> None:
    body = vision_model("mobilenetv3_small_050", 2, pretrained=False).body
    assert not any("conv_head" in name for name in body.state_dict())


def test_pool_false_lets_timm_pool() -> None:
    model = vision_model("mobilenetv3_small_050", 2, pretrained=False, pool=False).eval()
    assert model.body.pooled and model.body.n_features == 1024
    with pytest.raises(ModelError, match="`pool=False` needs a body that pools"):
        vision_model(torchvision.models.squeezenet1_1, 2, pretrained=False, pool=False)


@pytest.mark.parametrize("arch", ["test_resnet", torchvision.models.resnet18])
def test_cut_is_honoured(arch: Any) -> None:
    """Two of resnet's four stages are kept, by number and by function."""
    usual = vision_model(arch, 2, pretrained=False).body
    names = [name for name, _ in usual.model.named_children()]
    count = names.index("layer2") + 1
    short = vision_model(arch, 2, pretrained=False, cut=count).body
    assert [name for name, _ in short.model.named_children()] == names[:count]
    assert short.n_features == usual.n_features // 4 or arch == "test_resnet"

    def first_stages(net: nn.Module) -> nn.Module:
        return nn.Sequential(*list(net.children())[:count])

    model = vision_model(arch, 2, pretrained=False, cut=first_stages)
    assert model.body.n_features == short.n_features
    assert model(torch.rand(2, 3, 64, 64)).shape == (2, 2)


def test_a_cut_that_leaves_no_features_is_an_error() -> None:
    with pytest.raises(ModelError, match=r"gives \[1, 197, 192\](.|\n)*`cut=`"):
        vision_model("vit_tiny_patch16_224", 2, pretrained=False, cut=lambda net: Tokens(net))


class Tokens(nn.Module):
    """The token map of a transformer, which is no feature map."""

    def __init__(self, net: Any) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.forward_features(x)


def test_own_module_that_gives_a_map_is_used_whole() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.Conv2d(8, 6, 3))
    model = vision_model(net, 4)
    assert model.body.model is net and model.body.n_features == 6 and not model.pretrained
    assert model.body.mean.flatten().tolist() == [0, 0, 0]


def test_own_classifier_is_cut_before_its_last_pooling() -> None:
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 9)
    )
    body = vision_model(net, 4).body
    assert len(list(body.model.children())) == 2 and not body.pooled
    x = torch.rand(2, 3, 16, 16)
    assert torch.equal(body(x), net[:2](x))


def test_own_classifier_for_one_image_size_is_cut_too() -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8 * 13 * 13, 10)
    )
    assert vision_model(net, 4, n_in=1, image_size=(28, 28)).body.n_features == 8


def test_own_module_that_gives_vectors_is_used_whole() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 12), nn.ReLU())
    model = vision_model(net, 4, image_size=(8, 8))
    assert model.body.pooled and model(torch.rand(2, 3, 8, 8)).shape == (2, 4)


def test_own_timm_instance_is_treated_as_timms() -> None:
    net = timm.create_model(
        "swin_tiny_patch4_window7_224", num_classes=7, img_size=64, window_size=2, depths=(1, 1)
    )
    model = vision_model(net, 4, image_size=(64, 64)).eval()
    assert model.body.layout == "NHWC" and model.body.n_features == net.num_features
    assert model.body(torch.rand(1, 3, 64, 64)).shape == (1, net.num_features, 8, 8)


@pytest.mark.parametrize("n_in", [1, 2, 4, 6])
def test_first_layer_of_pretrained_torchvision_weights(n_in: int) -> None:
    net = torchvision.models.squeezenet1_1(weights=None)
    old = net.features[0].weight.detach().clone()
    adapt_first_conv(net, n_in, pretrained=True)
    new = net.features[0].weight.detach()
    if n_in == 1:
        expected = old[:, :1] + old[:, 1:2] + old[:, 2:]
    elif n_in == 2:
        expected = old[:, :2] * 1.5
    else:
        expected = torch.zeros(64, n_in, 3, 3)
        expected[:, :3] = old
    torch.testing.assert_close(new, expected)
    assert net.features[0].stride == (2, 2) and net.features[0].bias is not None


@pytest.mark.parametrize("arch", ["test_resnet", torchvision.models.squeezenet1_1])
@pytest.mark.parametrize("n_in", [1, 2, 5])
def test_other_numbers_of_channels_train(arch: Any, n_in: int) -> None:
    model = vision_model(arch, 3, n_in=n_in, pretrained=False)
    assert model.body.mean.shape == (1, n_in, 1, 1)
    assert model(torch.rand(2, n_in, 64, 64)).shape == (2, 3)
