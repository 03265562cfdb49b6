"""Models: description and rebuilding, parameter groups, and names inside the model."""

from __future__ import annotations

import json
import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest
import torch
import torchvision.models
from torch import nn

from wiggly.errors import ModelError
from wiggly.vision.models import (
    body_groups,
    build_model,
    create_body,
    create_head,
    model_config,
    vision_model,
)


@pytest.mark.parametrize(
    ("arch", "arguments"),
    [
        ("test_resnet", {}),
        ("test_resnet", {"n_in": 1, "ps": [0.1, 0.2], "lin_ftrs": [64], "bn_final": True}),
        ("test_vit", {"arch_args": {"img_size": [64, 64]}, "normalize": False}),
        ("test_mambaout", {"concat_pool": False}),
        ("mobilenetv3_small_050", {"pool": False}),
        ("test_convnext", {"cut": 2, "y_range": (0.0, 5.0)}),
        (torchvision.models.resnet18, {"cut": -3, "n_in": 4}),
        (torchvision.models.squeezenet1_1, {"stats": ([0.1], [0.2]), "lin_first": True}),
    ],
)
def test_rebuilt_model_gives_the_same_bits(arch: Any, arguments: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = vision_model(arch, 4, pretrained=False, **arguments).eval()
    config = json.loads(json.dumps(model_config(model)))
    again = build_model(config).eval()
    again.load_state_dict(model.state_dict())
    side = 64
    x = torch.rand(2, arguments.get("n_in", 3), side, side)
    with torch.no_grad():
        assert torch.equal(again(x), model(x))
    assert model_config(again) == config


def test_what_has_no_description() -> None:
    own_head = vision_model("test_resnet", 2, pretrained=False, custom_head=nn.Flatten())
    own_cut = vision_model(
        "test_resnet", 2, pretrained=False, cut=lambda net: nn.Sequential(*list(net.children())[:3])
    )
    own_body = vision_model(nn.Conv2d(3, 4, 3), 2)
    not_ours = nn.Linear(1, 1)
    assert [model_config(m) for m in (own_head, own_cut, own_body, not_ours)] == [None] * 4


@pytest.mark.parametrize("damage", [{"body": {}}, {"head": {"n_out": 2}}, {"mean": None}])
def test_damaged_description_is_an_error(damage: dict[str, Any]) -> None:
    config = model_config(vision_model("test_resnet", 2, pretrained=False))
    assert config is not None
    with pytest.raises(ModelError, match="description"):
        build_model({**config, **damage})


def test_unknown_architecture_in_a_description() -> None:
    config = deepcopy(model_config(vision_model("test_resnet", 2, pretrained=False)))
    assert config is not None
    config["body"]["arch"] = "resnet_of_tomorrow"
    with pytest.raises(ModelError, match="installed timm"):
        build_model(config)


def test_description_survives_deepcopy() -> None:
    model = vision_model("test_resnet", 2, pretrained=False)
    assert model_config(deepcopy(model)) == model_config(model)


@pytest.mark.parametrize(
    ("arch", "count"),
    [
        (torchvision.models.resnet18, 3),
        (torchvision.models.alexnet, 3),
        (torchvision.models.squeezenet1_1, 3),
        (torchvision.models.densenet121, 3),
        pytest.param(torchvision.models.vgg11, 3, marks=pytest.mark.slow),
        (torchvision.models.mobilenet_v3_small, 2),
        ("test_resnet", 2),
    ],
)
def test_parameter_groups(arch: Any, count: int) -> None:
    model = vision_model(arch, 2, pretrained=False)
    groups = body_groups(model)
    assert len(groups) == count and all(groups)
    flat = [p for group in groups for p in group]
    assert [id(p) for p in flat] == [id(p) for p in model.parameters()]
    assert {id(p) for p in groups[-1]} == {id(p) for p in model.head.parameters()}


def test_resnet_is_divided_after_its_second_stage() -> None:
    model = vision_model(torchvision.models.resnet18, 2, pretrained=False)
    names = {id(p): name for name, p in model.named_parameters()}
    first, second, _ = body_groups(model)
    assert names[id(first[-1])].startswith("0.model.layer2")
    assert names[id(second[0])].startswith("0.model.layer3")


def test_groups_need_a_vision_model() -> None:
    with pytest.raises(ModelError, match="vision_model"):
        body_groups(nn.Linear(1, 1))


def test_parts_are_found_under_the_names_their_authors_gave() -> None:
    assert vision_model("convnext_atto", 2, pretrained=False).get_submodule("0.model.stages.1") is not None
    resnet = vision_model(torchvision.models.resnet18, 2, pretrained=False)
    assert isinstance(resnet.get_submodule("0.model.layer4.1.conv2"), nn.Conv2d)


def test_custom_head_is_left_as_it_is() -> None:
    torch.manual_seed(0)
    head = create_head(96, 3)
    before = deepcopy(head.state_dict())
    model = vision_model("test_resnet", 3, pretrained=False, custom_head=head)
    assert model.head is head
    assert all(torch.equal(before[n], t) for n, t in head.state_dict().items())


def test_a_body_alone_is_that_of_the_whole_model() -> None:
    x = torch.rand(2, 1, 64, 64)
    torch.manual_seed(0)
    body = create_body("test_resnet", n_in=1, pretrained=False).eval()
    torch.manual_seed(0)
    whole = vision_model("test_resnet", 3, n_in=1, pretrained=False).eval()
    assert torch.equal(body(x), whole.body(x))
    shallow = create_body(torchvision.models.resnet18, pretrained=False, cut=6)
    assert shallow(torch.rand(1, 3, 64, 64)).shape == (1, 128, 8, 8)


def test_init_fills_the_head() -> None:
    model = vision_model("test_resnet", 3, pretrained=False, init=nn.init.ones_)
    assert (model.get_parameter("1.4.weight") == 1).all()


def test_models_need_neither_data_nor_training_code() -> None:
    code = (
        "import sys, wiggly.vision.models\n"
        "rooms = ('wiggly.train', 'wiggly.data', 'wiggly.interpret')\n"
        "bad = [m for m in sys.modules if m.startswith(rooms)]\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
