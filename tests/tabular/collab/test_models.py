"""Models compute the formulas of the papers, and are made again from their description."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tests.tabular.collab.support import named_model

from wiggly.errors import ArgumentError, ModelError
from wiggly.tabular.collab.models import EmbeddingDotBias, EmbeddingNN, build_recommender
from wiggly.train.optim.groups import without_decay

PAIRS = torch.tensor([[1, 2], [3, 5], [1, 4], [2, 1], [1, 2]])


def by_hand(model: EmbeddingDotBias) -> np.ndarray[Any, Any]:
    u, i, ub, ib = (
        table.weight.detach().double().numpy()
        for table in (model.u_weight, model.i_weight, model.u_bias, model.i_bias)
    )
    found = [
        sum(u[a, k] * i[b, k] for k in range(u.shape[1])) + ub[a, 0] + ib[b, 0] for a, b in PAIRS.tolist()
    ]
    return np.array(found)


def test_the_dot_product_with_biases_is_the_formula() -> None:
    free, bounded = named_model(), named_model((0, 5.5))
    assert np.allclose(free(PAIRS).detach().numpy(), by_hand(free), atol=1e-5)
    assert np.allclose(bounded(PAIRS).detach().numpy(), 5.5 / (1 + np.exp(-by_hand(bounded))), atol=1e-5)
    assert bounded(PAIRS[:1]).shape == (1,)


def test_gradients_are_those_of_the_formula() -> None:
    model, targets = named_model((1, 5)), torch.tensor([3.0, 4.0, 1.0, 5.0, 2.0])
    ((model(PAIRS) - targets) ** 2).mean().backward()
    share = 1 / (1 + np.exp(-by_hand(model)))
    slope = 2 * (1 + 4 * share - targets.numpy()) / 5 * 4 * share * (1 - share)
    expected = {name: np.zeros(table.shape) for name, table in model.named_parameters()}
    weights = {name: table.detach().numpy() for name, table in model.named_parameters()}
    for (a, b), s in zip(PAIRS.tolist(), slope, strict=True):
        expected["u_weight.weight"][a] += s * weights["i_weight.weight"][b]
        expected["i_weight.weight"][b] += s * weights["u_weight.weight"][a]
        expected["u_bias.weight"][a] += s
        expected["i_bias.weight"][b] += s
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        assert np.allclose(parameter.grad.numpy(), expected[name], atol=1e-5), name


def test_the_network_is_its_layers_one_after_the_other() -> None:
    torch.manual_seed(0)
    model = EmbeddingNN([(4, 3), (6, 5)], [7, 2], (0, 1), ps=0.5, embed_p=0.1).eval()
    state = model.state_dict()
    x = torch.cat([state["u_weight.weight"][PAIRS[:, 0]], state["i_weight.weight"][PAIRS[:, 1]]], 1)
    linears = [key for key in state if key.startswith("layers.") and state[key].ndim == 2]
    assert len(linears) == 2
    for key in linears:
        x = F.relu(x @ state[key].T) / (1 + 1e-5) ** 0.5  # batch norm with the statistics it starts with
    x = torch.sigmoid(x @ state["last.weight"].T + state["last.bias"]).squeeze(1)
    assert torch.allclose(model(PAIRS), x, atol=1e-6)
    drops = [layer.p for layer in model.layers if isinstance(layer, torch.nn.Dropout)]
    assert drops == [0.1, 0.5, 0.5]


def test_weight_decay_spares_the_biases_alone() -> None:
    model = named_model()
    spared = without_decay(model)
    assert {name for name, p in model.named_parameters() if p in spared} == {"u_bias.weight", "i_bias.weight"}


@pytest.mark.parametrize("y_range", [None, (0, 5.5), (1, 5)])
@pytest.mark.parametrize("kind", ["dot", "network"])
def test_a_new_model_starts_at_the_mean(y_range: Any, kind: str) -> None:
    model = (
        EmbeddingDotBias(5, 4, 6, y_range) if kind == "dot" else EmbeddingNN([(4, 3), (6, 2)], [5], y_range)
    )
    model.start_at(3.7)
    assert (model.eval()(PAIRS) - 3.7).abs().max() < 0.12


@pytest.mark.parametrize(
    "model",
    [
        EmbeddingDotBias(3, 4, 6),
        EmbeddingDotBias(3, 4, 6, (0, 5)),
        EmbeddingNN([(4, 3), (6, 2)], [5, 4], (1, 5), ps=[0.1, 0.0], embed_p=0.2),
        EmbeddingNN([(4, 3), (6, 2)], []),
    ],
)
def test_a_model_is_made_again_from_json(model: EmbeddingDotBias | EmbeddingNN) -> None:
    again = build_recommender(json.loads(json.dumps(model.config)))
    assert str(again) == str(model)
    again.load_state_dict(model.state_dict())
    assert torch.equal(again.eval()(PAIRS), model.eval()(PAIRS))
    assert again.config == model.config


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"arch": "tree"},
        {"arch": "dot", "n_factors": 3},
        {"arch": "dot", "n_factors": 3, "n_users": -1, "n_items": 2, "y_range": None},
        {"arch": "dot", "n_factors": 3, "n_users": 2, "n_items": 2, "y_range": [5, 1]},
        {"arch": "dot", "n_factors": "x", "n_users": 2, "n_items": 2},
        {"arch": "layers", "emb_szs": [[3, 2]], "layers": [2]},
        {"arch": "layers", "emb_szs": [[3, 2], [3, 2]], "layers": [2], "ps": [0.1, 0.2]},
        {"arch": "layers", "emb_szs": [[3, 2], [3, 2]], "layers": [2], "evil": 1},
    ],
)
def test_a_damaged_description_is_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ModelError, match="description"):
        build_recommender(config)


def test_a_range_that_is_none_is_refused() -> None:
    with pytest.raises(ArgumentError, match="y_range"):
        EmbeddingDotBias(3, 4, 6, (5, 1))
