"""A learner finds what was planted, recommends what is new, and runs what a notebook types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from tests.tabular.collab.support import planted
from torch import nn

from wiggly.data.basics import set_seed
from wiggly.errors import ArgumentError
from wiggly.tabular.collab.learner import CollabLearner, collab_learner
from wiggly.tabular.collab.loaders import CollabDataLoaders
from wiggly.tabular.collab.models import EmbeddingNN, build_recommender
from wiggly.tabular.collab.parts import Embedding, Module, sigmoid_range
from wiggly.train.learner import Learner
from wiggly.train.losses.core import MSELossFlat


def loaders(table: Any, **options: Any) -> CollabDataLoaders:
    return CollabDataLoaders.from_df(table, **{"seed": 0, "device": "cpu", "verbose": False, **options})


def quietly(learn: Learner, epochs: int, lr: float, **options: Any) -> Learner:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr, **options)
    return learn


def rmse_of(learn: Learner) -> float:
    preds, targets = learn.get_preds()
    return (preds.reshape(-1) - targets).square().mean().sqrt().item()


@pytest.fixture(scope="module")
def trained() -> CollabLearner:
    set_seed(0)
    learn = collab_learner(loaders(planted(60, 40, 2, 0.2, 0.5)), n_factors=8, y_range=(-4, 10))
    quietly(learn, 8, 0.05)
    return learn


def test_planted_factors_are_learnt_to_the_level_of_the_noise() -> None:
    set_seed(0)
    noise, table = 0.2, planted(100, 80, 2, 0.2, 0.5)
    learn = collab_learner(loaders(table), n_factors=4)
    before = rmse_of(learn)
    after = rmse_of(quietly(learn, 8, 0.05, wd=0.01))
    assert before > 5 * noise
    # 3,200 ratings to learn 180 times 2 factors and a bias from: no method comes to the noise itself.
    assert noise < after < 1.3 * noise


def test_biases_find_who_is_liked() -> None:
    draw = np.random.default_rng(0)
    better = np.linspace(-1, 1, 30)
    users, items = np.nonzero(draw.random((80, 30)) < 0.4)
    table = pd.DataFrame({"u": users, "i": items, "r": 3 + better[items] + draw.normal(size=len(users)) / 10})
    set_seed(0)
    learn = collab_learner(loaders(table), n_factors=2)
    quietly(learn, 8, 0.02)
    bias = learn.model.bias(list(range(30))).numpy()
    assert np.corrcoef(bias, better)[0, 1] > 0.99
    assert [label for label, _ in learn.recommend(-1, n=3)] == [29, 28, 27]


@pytest.mark.parametrize("use_nn", [False, True])
def test_it_starts_at_the_mean_and_asks_the_loaders(use_nn: bool) -> None:
    dls = loaders(planted(30, 20, 2, 0.2, 0.5))
    learn = collab_learner(dls, use_nn=use_nn, y_range=(-2, 8))
    mean = dls.train_ds.targets[0].mean()
    preds, _ = learn.get_preds()
    assert (preds - mean).abs().max() < 0.3
    assert isinstance(learn.loss_func, MSELossFlat)
    assert [metric.name for metric in learn.metrics] == ["rmse"]
    assert learn.model_config is not None
    again = build_recommender(learn.model_config)
    again.load_state_dict(learn.model.state_dict())
    assert learn.model.u_count.sum() == learn.model.i_count.sum() == len(dls.train_ds)
    assert learn.wd == 0.2


@pytest.mark.parametrize("n_factors", [0, -2, 2.5, "many"])
def test_factors_must_be_a_number_of_them(n_factors: Any) -> None:
    with pytest.raises(ArgumentError, match="`n_factors` must be"):
        collab_learner(loaders(planted(20, 10, 1, 0.2, 0.6)), n_factors)


def test_a_network_learns_too() -> None:
    set_seed(0)
    learn = collab_learner(
        loaders(planted(60, 40, 1, 0.2, 0.6)),
        use_nn=True,
        emb_szs={"item": 7},
        layers=[40, 20],
        config={"ps": 0.05},
        y_range=(-4, 10),
    )
    assert isinstance(learn.model, EmbeddingNN)
    assert learn.model.i_weight.embedding_dim == 7
    before = rmse_of(learn)
    assert rmse_of(quietly(learn, 8, 0.01)) < 0.6 * before
    assert len(learn.nearest("item 3", n=4)) == 4
    assert len(learn.recommend(7, n=4)) == 4


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layers": [10]}, "`layers` describes a network; `use_nn` is False"),
        ({"use_nn": True, "n_factors": 8}, "`n_factors` belongs to the dot product; `use_nn` is True"),
        ({"config": {}}, "`config` describes a network"),
        ({"use_nn": True, "emb_szs": {"film": 3}}, "`emb_szs` must name categories; 'film'"),
        ({"use_nn": True, "config": {"depth": 3}}, "`config` may have `ps` and `embed_p`; it has 'depth'"),
        ({"y_range": (5, 1)}, "y_range"),
    ],
)
def test_arguments_that_do_not_go_together_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        collab_learner(loaders(planted(10, 8, 1, 0.2, 0.9)), **options)


def test_one_row_is_predicted_as_the_model_would(trained: CollabLearner) -> None:
    dls = trained.dls
    user, item = 107, "item 5"
    pair = torch.tensor([[dls.classes["user"].o2i[user], dls.classes["item"].o2i[item]]])
    with torch.no_grad():
        expected = trained.model.eval()(pair).item()
    found = trained.predict({"user": user, "item": item})
    assert found[2].item() == pytest.approx(expected)
    assert trained.predict(pd.Series({"user": user, "item": item}))[2].item() == pytest.approx(expected)
    preds, _ = trained.get_preds(dl=dls.test_dl(pd.DataFrame({"user": [user] * 2, "item": [item] * 2})))
    assert preds.tolist() == pytest.approx([expected] * 2)


def test_somebody_unseen_is_the_mean_user(trained: CollabLearner) -> None:
    model = trained.model.eval()
    found = trained.predict({"user": -5, "item": "item 5"})[2].item()
    item = trained.dls.classes["item"].o2i["item 5"]
    users, bias = (table.weight[1:].mean(0) for table in (model.u_weight, model.u_bias))
    raw = users @ model.i_weight.weight[item] + bias + model.i_bias.weight[item]
    assert found == pytest.approx(sigmoid_range(raw, -4, 10).item(), abs=1e-4)
    assert np.isfinite(trained.predict({"user": -5, "item": "?"})[2].item())


def test_what_a_user_has_rated_is_not_recommended_again(trained: CollabLearner) -> None:
    table = planted(60, 40, 2, 0.2, 0.5)
    rated = set(table[table["user"] == 107]["item"])
    found = trained.recommend(107, n=100)
    assert {label for label, _ in found} == set(table["item"]) - rated
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert {label for label, _ in trained.recommend(107, n=100, seen=True)} == set(table["item"])
    best = trained.recommend(107, n=1)[0]
    assert best[1] == pytest.approx(trained.predict({"user": 107, "item": best[0]})[2].item(), abs=1e-5)


def test_weights_are_kept_and_come_back(trained: CollabLearner, tmp_path: Path) -> None:
    path = trained.save(tmp_path / "ratings")
    other = collab_learner(trained.dls, n_factors=8, y_range=(-4, 10))
    other.load(path.with_suffix(""))
    assert other.recommend(107) == trained.recommend(107)


def test_a_model_of_ones_own_learns_from_the_same_loaders() -> None:
    """What the course has its readers write."""

    class DotProduct(Module):
        def __init__(self, n_users: int, n_items: int, n_factors: int) -> None:
            self.users, self.items = Embedding(n_users, n_factors), Embedding(n_items, n_factors)
            self.bias = nn.Parameter(torch.zeros(n_items))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            users, items = self.users(x[:, 0]), self.items(x[:, 1])
            return sigmoid_range((users * items).sum(dim=1) + self.bias[x[:, 1]], -4, 10)

    set_seed(0)
    dls = loaders(planted(60, 40, 2, 0.2, 0.5))
    model = DotProduct(len(dls.classes["user"]), len(dls.classes["item"]), 8)
    learn = Learner(dls, model, loss_func=MSELossFlat())
    before = rmse_of(learn)
    assert rmse_of(quietly(learn, 5, 0.05, wd=0.1)) < 0.7 * before


def test_the_small_sample_of_real_ratings(shared: Path) -> None:
    set_seed(0)
    dls = CollabDataLoaders.from_csv(
        shared / "data" / "tabular" / "movie_lens_sample" / "ratings.csv", seed=0, verbose=False, device="cpu"
    )
    assert list(dls.classes) == ["userId", "movieId"]
    learn = collab_learner(dls, y_range=(0, 5.5))
    before = rmse_of(learn)
    assert rmse_of(quietly(learn, 5, 5e-3)) < 0.93 < before


@pytest.mark.slow
def test_movielens_is_predicted_to_ninety_one_hundredths(shared: Path) -> None:
    names = ["user", "movie", "rating", "timestamp"]
    table = pd.read_csv(
        shared / "data" / "tabular" / "ml-100k" / "u.data", sep="\t", header=None, names=names
    )
    found: list[float] = []
    for seed in range(3):
        set_seed(seed)
        learn = collab_learner(loaders(table, seed=seed), y_range=(0, 5.5))
        found.append(rmse_of(quietly(learn, 5, 5e-3)))
    assert np.mean(found) <= 0.91


def test_a_notebook_finds_its_names_and_attributes(trained: CollabLearner) -> None:
    """Two networks written by hand over `get_emb_sz`, and films looked up in the attributes of ours."""
    names: dict[str, Any] = {}
    exec("from wiggly.collab import *\nfrom wiggly.tabular.all import *", names)
    sizes = names["get_emb_sz"](trained.dls)
    assert sizes == [(61, 16), (41, 13)]

    class Layers(names["Module"]):
        def __init__(self, user_sz: tuple[int, int], item_sz: tuple[int, int], n_act: int = 10) -> None:
            self.users, self.items = names["Embedding"](*user_sz), names["Embedding"](*item_sz)
            width = user_sz[1] + item_sz[1]
            self.layers = nn.Sequential(nn.Linear(width, n_act), nn.ReLU(), nn.Linear(n_act, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            both = self.users(x[:, 0]), self.items(x[:, 1])
            return names["sigmoid_range"](self.layers(torch.cat(both, dim=1)), -4, 10)

    learn = names["Learner"](trained.dls, Layers(*sizes), loss_func=names["MSELossFlat"]())
    before = rmse_of(learn)
    assert rmse_of(quietly(learn, 3, 0.01)) < before

    model, items = trained.model, trained.dls.classes["item"]
    lowest = model.i_bias.weight.squeeze().argsort()[:3]
    assert [items[i] for i in lowest] == items[lowest]
    factors, place = model.i_weight.weight, items.o2i["item 5"]
    cosines = nn.CosineSimilarity(dim=1)(factors, factors[place][None])
    order = [int(i) for i in cosines.argsort(descending=True) if i not in (0, place)]
    assert items[order[0]] == trained.nearest("item 5", n=1)[0][0]
