"""Heads: the layer list that fastai's users know, pooling against torch, and where training starts."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.vision.heads import AdaptiveConcatPool2d, SigmoidRange, create_head, init_head


def described(head: nn.Sequential) -> list[str]:
    """`Linear 8>4 bias` and the like."""
    words: list[str] = []
    for layer in head:
        if isinstance(layer, nn.Linear):
            bias = " bias" if layer.bias is not None else ""
            words.append(f"Linear {layer.in_features}>{layer.out_features}{bias}")
        elif isinstance(layer, nn.BatchNorm1d):
            words.append(f"BN {layer.num_features}")
        elif isinstance(layer, nn.Dropout):
            words.append(f"Dropout {layer.p:g}")
        else:
            words.append(type(layer).__name__)
    return words


def test_default_head_is_that_of_the_behaviour_page() -> None:
    assert described(create_head(768, 37)) == [
        "AdaptiveConcatPool2d",
        "Flatten",
        "BN 1536",
        "Dropout 0.25",
        "Linear 1536>512",
        "ReLU",
        "BN 512",
        "Dropout 0.5",
        "Linear 512>37",
    ]


def test_vectors_are_neither_pooled_nor_doubled() -> None:
    assert described(create_head(192, 10, pool=False))[:2] == ["BN 192", "Dropout 0.25"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"concat_pool": False, "lin_ftrs": []}, "AdaptiveAvgPool2d Flatten BN 8 Dropout 0.5 Linear 8>2"),
        ({"pool": False, "lin_ftrs": [], "ps": 0.0, "first_bn": False}, "Linear 8>2 bias"),
        (
            {"pool": False, "lin_ftrs": [6, 4], "ps": [0.1, 0.2, 0.3]},
            "BN 8 Dropout 0.1 Linear 8>6 ReLU BN 6 Dropout 0.2 Linear 6>4 ReLU BN 4 Dropout 0.3 Linear 4>2",
        ),
        (
            {"pool": False, "lin_ftrs": [6], "lin_first": True},
            "Dropout 0.25 Linear 8>6 ReLU BN 6 Dropout 0.5 Linear 6>2 bias",
        ),
        (
            {"pool": False, "lin_ftrs": [], "bn_final": True, "y_range": (0, 5)},
            "BN 8 Dropout 0.5 Linear 8>2 BN 2 SigmoidRange",
        ),
    ],
)
def test_arguments(arguments: dict[str, object], expected: str) -> None:
    assert " ".join(described(create_head(8, 2, **arguments))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize("ps", [[0.1, 0.2, 0.3], 1.0, -0.1])
def test_bad_dropout_is_refused(ps: float | list[float]) -> None:
    with pytest.raises(ArgumentError, match="`ps` must be one probability"):
        create_head(8, 2, ps=ps)


def test_concat_pool_is_maximum_then_mean() -> None:
    x = torch.randn(3, 5, 7, 4, generator=torch.Generator().manual_seed(0))
    expected = torch.cat([x.amax((2, 3)), x.mean((2, 3))], 1)
    torch.testing.assert_close(AdaptiveConcatPool2d()(x).flatten(1), expected)


def test_sigmoid_range_stays_inside() -> None:
    y = SigmoidRange(-1.0, 3.0)(torch.tensor([-1e3, 0.0, 1e3]))
    assert y.tolist() == [-1.0, 1.0, 3.0]


def test_weights_are_kaiming_normal() -> None:
    torch.manual_seed(0)
    head = create_head(1024, 10)
    init_head(head, nn.init.kaiming_normal_)
    hidden, last = (layer for layer in head if isinstance(layer, nn.Linear))
    assert hidden.weight.std().item() == pytest.approx(math.sqrt(2 / 2048), rel=0.01)  # He et al. 2015
    assert last.weight.std().item() == pytest.approx(math.sqrt(2 / 512), rel=0.05)
