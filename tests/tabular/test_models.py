"""The networks for tables against formulas by hand and the published packages."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import rtdl_num_embeddings
import tabm
import torch
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.tabular.models import TabMModel, TabularModel, averaged, build_model, emb_sz_rule, model_config
from wiggly.tabular.parts import Embeddings, Levels, Numbers, Outputs, bins_of, levels_of

SIZES = [(10, 6), (17, 8), (3, 3), (1, 1)]


def rows(n: int = 32, m: int = 3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(seed)
    return torch.stack([torch.randint(0, n_values, (n,)) for n_values, _ in SIZES], 1), torch.randn(n, m)


def test_widths_of_embeddings_are_the_known_rule() -> None:
    assert [emb_sz_rule(n) for n in (2, 3, 7, 10, 43, 100, 10**5)] == [2, 3, 5, 6, 13, 21, 600]
    assert all(emb_sz_rule(n) == min(600, round(1.6 * n**0.56)) for n in range(1, 1000))


def test_looking_up_all_at_once_is_looking_up_one_by_one() -> None:
    embeds, (cats, _) = Embeddings(SIZES, std=0.5), rows()
    weight = torch.randn(embeds.width)
    found: list[tuple[torch.Tensor, list[torch.Tensor]]] = []
    for training in (True, False):
        embeds.train(training)
        embeds.zero_grad()
        out = embeds(cats)
        (out * weight).sum().backward()
        found.append((out.detach(), [table.weight.grad.clone() for table in embeds]))
    torch.testing.assert_close(found[0], found[1])
    expected = torch.cat([nn.functional.embedding(cats[:, k], t.weight) for k, t in enumerate(embeds)], 1)
    torch.testing.assert_close(found[0][0], expected.detach())


def test_names_in_a_state_dict_are_those_of_the_parts() -> None:
    names = list(TabularModel([(3, 2), (4, 3)], 2, 2, [8]).state_dict())
    assert names[:2] == ["embeds.0.weight", "embeds.1.weight"]
    assert {name.split(".")[0] for name in names} == {"embeds", "bn_cont", "layers"}


def test_the_default_network_is_the_formula() -> None:
    model, (cats, conts) = TabularModel(SIZES, 3, 2), rows()
    for norm in (model.bn_cont, model.layers[2], model.layers[5]):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
    model.eval()

    def norm_of(layer: Any, x: torch.Tensor) -> torch.Tensor:
        scale = layer.weight / (layer.running_var + layer.eps).sqrt()
        return (x - layer.running_mean) * scale + layer.bias

    parts = [table.weight[cats[:, k]] for k, table in enumerate(model.embeds)]
    x = torch.cat([*parts, norm_of(model.bn_cont, conts)], 1)
    for linear, norm in ((0, 2), (3, 5)):
        assert model.layers[linear].bias is None
        x = norm_of(model.layers[norm], (x @ model.layers[linear].weight.T).clamp(min=0))
    expected = x @ model.layers[6].weight.T + model.layers[6].bias
    torch.testing.assert_close(model(cats, conts), expected)
    assert [layer.out_features for layer in model.layers if isinstance(layer, nn.Linear)] == [200, 100, 2]
    spread = torch.cat([table.weight.flatten() for table in model.embeds])
    assert 0.005 < float(spread.detach().std()) < 0.015


def test_order_of_layers_and_dropout() -> None:
    def names(**settings: Any) -> list[str]:
        return [type(part).__name__ for part in TabularModel(SIZES, 3, 2, [8, 4], **settings).layers]

    hidden = ["Linear", "ReLU", "BatchNorm1d", "Dropout"]
    assert names(ps=[0.1, 0.2]) == [*hidden, *hidden, "Linear"]
    assert names(use_bn=False) == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert names(bn_final=True)[-2:] == ["Linear", "BatchNorm1d"]
    assert names(lin_first=False, ps=0.1)[:4] == ["BatchNorm1d", "Dropout", "Linear", "ReLU"]
    with pytest.raises(ArgumentError, match="one for each of `layers`"):
        TabularModel(SIZES, 3, 2, [8], ps=[0.1, 0.2])
    with pytest.raises(ArgumentError, match="needs a column"):
        TabularModel([], 0, 2)


def test_outputs_lie_in_their_range_or_unit() -> None:
    scores = torch.tensor([[-100.0], [0.0], [100.0]])
    assert Outputs([1], (0, 5.5))(scores).flatten().tolist() == [0, 2.75, 5.5]
    scaled = Outputs([1], None, scaled=True)
    scaled.mean.fill_(200_000.0)
    scaled.std.fill_(50.0)
    assert scaled(torch.tensor([[2.0]])).item() == 200_100
    first, second = Outputs([2, 1])(torch.arange(3.0)[None])
    assert first.tolist() == [[0, 1]]
    assert second.tolist() == [[2]]
    with pytest.raises(ArgumentError, match="least and the largest"):
        Outputs([1], (5, 0))


def test_tabm_is_the_published_package() -> None:
    """The same weights in the package's own model, whose one-hot categories are our identity tables."""
    sizes, m, k = [(4, 4), (3, 3)], 3, 5
    torch.manual_seed(0)
    theirs = tabm.TabM.make(
        n_num_features=m, cat_cardinalities=[4, 3], d_out=2, k=k, n_blocks=2, d_block=16, dropout=0.0
    )
    ours = TabMModel(sizes, m, 2, [16, 16], members=k, dropout=0.0, num_embeddings=None)
    with torch.no_grad():
        for table in ours.embeds:
            table.weight.copy_(torch.eye(len(table.weight)))
    ours.last.load_state_dict(theirs.output.state_dict())
    state = theirs.backbone.state_dict()
    # The package has numbers before categories.
    for name in [n for n in state if n.endswith(("blocks.0.0.weight", "blocks.0.0.r"))]:
        state[name] = torch.cat([state[name][..., m:], state[name][..., :m]], -1)
    ours.backbone.load_state_dict(state)
    cats, conts = torch.tensor([[0, 2], [3, 1]]), torch.randn(2, m)
    expected = theirs(conts, cats)
    torch.testing.assert_close(ours(cats, conts), expected)
    ours.eval()
    mean = expected.softmax(-1).mean(1)
    torch.testing.assert_close(ours(cats, conts).softmax(1), mean)


@pytest.mark.parametrize("kind", ["linear", "periodic", "piecewise"])
def test_numbers_are_embedded_by_the_published_package(kind: str) -> None:
    conts = torch.randn(500, 3)
    bins = bins_of(conts, 8)
    assert [b.tolist() for b in bins] == [b.tolist() for b in rtdl_num_embeddings.compute_bins(conts, 8)]
    made: Any = {
        "linear": lambda: rtdl_num_embeddings.LinearReLUEmbeddings(3, 5),
        "periodic": lambda: rtdl_num_embeddings.PeriodicEmbeddings(3, 5, lite=False),
        "piecewise": lambda: rtdl_num_embeddings.PiecewiseLinearEmbeddings(
            bins, 5, activation=False, version="B"
        ),
    }[kind]()
    ours = Numbers(kind, 3, 5, bins)
    for parameter in made.parameters():
        nn.init.normal_(parameter)
    ours.vectors.load_state_dict(made.state_dict())
    torch.testing.assert_close(ours(conts), made(conts).flatten(1))


def test_borders_are_where_a_tree_splits() -> None:
    x = torch.linspace(-1, 1, 1001)
    target = (x > 0.25).long()
    borders = bins_of(torch.stack([x, torch.zeros(1001)], 1), 48, target)
    assert borders[0].tolist() == pytest.approx([-1, 0.251, 1], abs=2e-3)
    assert borders[1].tolist() == [-0.5, 0.5]  # a constant column has one piece
    theirs = rtdl_num_embeddings.compute_bins(
        x[:, None],
        6,
        tree_kwargs={"min_samples_leaf": 15},
        y=torch.sin(4 * x),
        regression=True,
    )
    assert bins_of(x[:, None], 6, torch.sin(4 * x))[0].tolist() == pytest.approx(theirs[0].tolist())


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", "none"])
def test_members_are_averaged_after_the_activation(activation: str) -> None:
    members = torch.randn(6, 4, 3) * 3
    acts: dict[str, Any] = {
        "softmax": lambda x: x.softmax(-1),
        "sigmoid": torch.sigmoid,
        "none": lambda x: x,
    }
    act = acts[activation]
    torch.testing.assert_close(act(averaged(members, activation)), act(members).mean(1))
    large = torch.full((1, 2, 2), 300.0)
    assert bool(averaged(large, activation).isfinite().all())


@pytest.mark.parametrize(
    "model",
    [
        TabularModel(SIZES, 3, 2, [8]),
        TabularModel([], 3, 1, [8], y_range=(0, 5), ps=0.1, embed_p=0.2, bn_cont=False),
        TabularModel(SIZES, 0, [2, 1], [8], scaled=True),
        TabularModel(SIZES, 3, 2, [8], num_embeddings="periodic", num_width=4),
        TabularModel(SIZES, 3, 2, [8], num_embeddings="piecewise", bins=bins_of(rows()[1], 5)),
        TabMModel(SIZES, 3, 2, [8, 8], members=3, bins=bins_of(torch.tensor(np.eye(40, 3)).float(), 7)),
        TabMModel(SIZES, 3, 1, [8], members=3, num_embeddings="linear", activations=["none"], scaled=True),
    ],
)
def test_a_network_is_made_again_of_json(model: Any) -> None:
    config = json.loads(json.dumps(model_config(model)))
    again = build_model(config)
    again.load_state_dict(model.state_dict())
    cats, conts = rows()
    cats, conts = cats[:, : len(model.embeds)], conts[:, : model.n_cont]
    torch.testing.assert_close(again.eval()(cats, conts), model.eval()(cats, conts))
    assert model_config(again) == config
    assert model_config(nn.Linear(1, 1)) is None


def test_a_damaged_description_is_refused() -> None:
    config = model_config(TabularModel(SIZES, 3, 2, [8]))
    assert config is not None
    for wrong in ({**config, "arch": "other"}, {**config, "colour": 1}, {"arch": "mlp"}):
        with pytest.raises(ModelError, match="description of a network for tables"):
            build_model(wrong)
    with pytest.raises(ArgumentError, match="same width"):
        TabMModel(SIZES, 3, 2, [8, 4], num_embeddings=None)
    with pytest.raises(ArgumentError, match="`num_embeddings` must be one of"):
        TabularModel(SIZES, 3, 2, num_embeddings="fourier")


def test_the_mean_of_probabilities_is_exact_for_many_members() -> None:
    one = averaged(torch.randn(2, 1, 3), "softmax")
    assert math.isclose(float(one.exp().sum(1)[0]), 1, rel_tol=1e-5)


def test_levels_are_a_look_up_of_the_values_seen_often() -> None:
    values = torch.tensor([0.0, 0.5, 2.0])
    conts = torch.cat([values.repeat(6), torch.tensor([7.0, 7.0])])[:, None]
    conts = torch.cat([conts, torch.randn(len(conts), 1)], dim=1)
    found = levels_of(conts, most=4)
    torch.testing.assert_close(found[0], values)  # 7 was seen twice
    assert not len(found[1]) and not len(levels_of(conts, most=3)[0])
    levels = Levels(found, std=1.0).eval()
    weight = levels.embeds[0].weight
    codes = torch.tensor([1, 2, 3] * 6 + [0, 0])
    torch.testing.assert_close(levels(conts), weight[codes])
    between = torch.tensor([[0.25, 0.0], [-1.0, 0.0], [float("inf"), 0.0]])
    assert not levels(between).any()


def test_a_network_with_levels_is_built_again() -> None:
    cats, conts = rows(200)
    conts[:, 0] = conts[:, 0].round()
    bins, levels = bins_of(conts, 8), levels_of(conts, 20)
    for kind, more in ((TabularModel, {}), (TabMModel, {"members": 3})):
        model = kind(SIZES, 3, 2, [8], num_embeddings="piecewise", bins=bins, levels=levels, **more).eval()
        again = build_model(json.loads(json.dumps(model_config(model)))).eval()
        again.load_state_dict(model.state_dict())
        torch.testing.assert_close(again(cats, conts), model(cats, conts))


def test_beyond_the_numbers_of_training_a_piecewise_embedding_stays_as_it_is() -> None:
    conts = torch.linspace(-1, 1, 50)[:, None]
    numbers = Numbers("piecewise", 1, 4, bins_of(conts, 5))
    torch.testing.assert_close(numbers(torch.tensor([[1.0]])), numbers(torch.tensor([[999.0]])))


def test_numbers_are_held_between_the_bounds_in_evaluation_alone() -> None:
    outputs = Outputs([1, 2], scaled=True, bounded=True)
    outputs.std.fill_(10.0)
    outputs.low[0], outputs.high[0] = -5.0, 20.0
    raw = torch.tensor([[9.0, 9.0, -9.0], [-9.0, 1.0, 1.0]])
    number, rest = outputs.train()(raw)
    assert number.flatten().tolist() == [90.0, -90.0]
    number, rest = outputs.eval()(raw)
    assert number.flatten().tolist() == [20.0, -5.0]
    assert rest.tolist() == [[90.0, -90.0], [10.0, 10.0]]  # without bounds of its own
    assert not [name for name, _ in Outputs([1], (0.0, 1.0), bounded=True).named_buffers()]
