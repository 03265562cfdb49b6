"""What weight decay spares, against timm's own rule on its models."""

from __future__ import annotations

import pytest
import timm
from tests.train.support import digit_learner
from timm.optim import param_groups_weight_decay
from torch import nn

from wiggly.train.optim.base import SGD
from wiggly.train.optim.groups import without_decay


@pytest.mark.parametrize(
    "arch",
    [
        "vit_tiny_patch16_224",  # position embedding and class token
        "convnext_atto",  # scales of layers
        "cait_xxs24_224",
        "swin_tiny_patch4_window7_224",  # tables of relative positions
        "levit_128s",
        "resnet18",
        "efficientnet_lite0",
        "mobilevit_xxs",
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_what_does_not_decay_is_what_timm_spares(arch: str, wrapped: bool) -> None:
    body = timm.create_model(arch, pretrained=False, num_classes=3)
    listed = body.no_weight_decay() if hasattr(body, "no_weight_decay") else ()
    groups = param_groups_weight_decay(body, 0.1, no_weight_decay_list=listed)
    spared = {p for group in groups if group["weight_decay"] == 0 for p in group["params"]}
    model = nn.Sequential(body, nn.Linear(3, 2, bias=False)) if wrapped else body
    assert without_decay(model) == spared


def test_wildcards_and_inner_models_count() -> None:
    class Body(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens = nn.ParameterList([nn.Parameter(nn.Linear(2, 2).weight) for _ in range(2)])
            self.layer = nn.Linear(2, 2, bias=False)

        def no_weight_decay(self) -> set[str]:
            return {"tokens.*"}

    body = Body()
    model = nn.Sequential(nn.Sequential(body), nn.Linear(2, 2))
    assert without_decay(model) == {*body.tokens, model[1].bias}


def test_norms_of_any_shape_are_spared() -> None:
    model = nn.Sequential(nn.LayerNorm((3, 4, 4)), nn.GroupNorm(1, 3), nn.RMSNorm(4), nn.PReLU(3))
    assert without_decay(model) == set(model.parameters())


def test_the_learner_follows_the_rule() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.PReLU(16), nn.Linear(16, 10))
    learn = digit_learner(model=model, opt_func=SGD, splitter=lambda m: [list(m.parameters())])
    spared = {p for group in learn.opt.param_groups if not group["decay"] for p in group["params"]}
    assert spared == {model[1].bias, model[2].weight, model[3].bias}
