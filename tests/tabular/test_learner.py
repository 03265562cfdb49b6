"""Learners of tables: what they ask of the loaders, losses, predictions of a row, TabM, real data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

from wiggly.data.blocks import MultiCategoryBlock
from wiggly.data.split import RandomSplitter
from wiggly.errors import ArgumentError, ModelError
from wiggly.interpret.compare import compare
from wiggly.tabular.learner import get_emb_sz, tabular_config, tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.tabular.losses import MembersLoss, SeveralLosses, weights_of_classes
from wiggly.tabular.table import TabularPandas
from wiggly.train.callback import Callback
from wiggly.train.losses.core import CrossEntropyLossFlat, MSELossFlat, loss_per_item
from wiggly.train.metrics.core import accuracy, rmse
from wiggly.vision.learner import vision_learner


def houses(n: int = 400) -> pd.DataFrame:
    """Prices of some 200,000 that follow from size and town; whether a house was sold."""
    draw = np.random.default_rng(0)
    town, size = draw.choice(["Rome", "Oslo", "Bonn"], n), draw.uniform(40, 200, n)
    price = 1000 * size + 50_000 * (town == "Oslo") + draw.normal(0, 3000, n)
    dear = np.where(price > 150_000, "dear", "cheap")
    return pd.DataFrame({"town": town, "size": size, "price": price, "class": dear, "rent": price / 300})


def loaders(y_names: Any, **settings: Any) -> TabularDataLoaders:
    return TabularDataLoaders.from_df(
        houses(),
        cat_names=["town"],
        cont_names=["size"],
        y_names=y_names,
        bs=32,
        seed=0,
        verbose=False,
        **settings,
    )


def trained(learn: Any, epochs: int, lr: float = 1e-2) -> list[float]:
    with learn.no_bar(), learn.no_logging():
        learn.fit_one_cycle(epochs, lr)
    return learn.validate()


@pytest.mark.parametrize("arch", ["mlp", "tabm"])
def test_a_price_is_learnt_in_its_own_unit(arch: str) -> None:
    torch.manual_seed(0)
    dls = loaders("price")
    learn = tabular_learner(dls, arch=arch, metrics=rmse)
    prices = dls.train.dataset.targets[0].double()
    first = learn.get_preds(ds_idx=0)[0]
    assert abs(first.mean() - prices.mean()) < prices.std()
    error = trained(learn, 12)[1]
    assert error < 0.2 * float(prices.std())
    row, index, probs = learn.predict(houses().iloc[3])
    assert probs.shape == index.shape == (1,)
    assert row.decode()["price"].tolist() == pytest.approx([probs.item()])


def test_y_range_bounds_predictions() -> None:
    learn = tabular_learner(loaders("price"), y_range=(100_000, 200_000))
    trained(learn, 2)
    preds = learn.get_preds()[0]
    assert float(preds.min()) >= 100_000
    assert float(preds.max()) <= 200_000
    assert not learn.model.outputs.scaled
    with pytest.raises(ArgumentError, match="`y_range` bounds numbers"):
        tabular_learner(loaders("class"), y_range=(0, 1))


@pytest.mark.parametrize("arch", ["mlp", "tabm"])
def test_several_numbers_at_once(arch: str) -> None:
    dls = loaders(["price", "rent"])
    learn = tabular_learner(dls, arch=arch)
    trained(learn, 8)
    preds, targets = learn.get_preds()
    assert preds.shape == targets.shape
    r2 = 1 - (preds - targets).square().mean(0) / targets.var(0)
    assert bool((r2 > 0.8).all())
    assert learn.predict(houses().iloc[0]).decoded == pytest.approx(
        tuple(learn.predict(houses().iloc[0]).probs.tolist())
    )


@pytest.mark.parametrize("arch", ["mlp", "tabm"])
def test_a_label_and_a_number_at_once(arch: str, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    learn = tabular_learner(loaders(["class", "price"]), arch=arch, lr=1e-2)
    trained(learn, 12)
    (labels, prices), (true_labels, true_prices) = learn.get_preds()
    assert float((labels.argmax(1) == true_labels).float().mean()) > 0.85
    torch.testing.assert_close(labels.sum(1), torch.ones(len(labels)))
    assert float((prices.flatten() - true_prices).square().mean().sqrt()) < 0.5 * float(true_prices.std())
    answer = learn.predict(houses().iloc[0])
    assert answer.decoded[0] in ("cheap", "dear")
    assert answer.row.decode()[["class", "price"]].iloc[0].tolist() == list(answer.decoded)
    capsys.readouterr()
    learn.show_results(max_n=2)
    assert "class_pred" in capsys.readouterr().out


def test_losses_of_two_targets_weigh_alike() -> None:
    """The number's squared error is divided by its variance, so that the label is learnt as well."""
    learn = tabular_learner(loaders(["class", "price"]))
    prices = learn.dls.train.dataset.targets[1].double()
    loss: Any = learn.loss_func
    assert loss.weights == pytest.approx([1.0, 1 / float(prices.var(correction=0))])


def test_several_labels_per_row() -> None:
    df = houses().assign(dear=lambda t: t["price"] > 150_000, far=lambda t: t["town"] == "Oslo")
    dls = TabularDataLoaders.from_df(
        df,
        cat_names=["town"],
        cont_names=["size"],
        y_names=["dear", "far"],
        y_block=MultiCategoryBlock(encoded=True, vocab=["dear", "far"]),
        bs=32,
        seed=0,
        verbose=False,
    )
    for arch in ("mlp", "tabm"):
        torch.manual_seed(0)
        learn = tabular_learner(dls, arch=arch)
        trained(learn, 6)
        preds, targets = learn.get_preds()
        assert float(((preds > 0.5) == (targets > 0.5)).float().mean()) > 0.85


def test_prediction_of_a_row_shows_it(capsys: pytest.CaptureFixture[str]) -> None:
    df = houses()
    learn = tabular_learner(loaders("class"))
    row, index, probs = learn.predict(df.iloc[7])
    row.show()
    shown = capsys.readouterr().out
    assert df["town"].iloc[7] in shown
    assert learn.dls.vocab[int(index)] in shown
    assert probs.shape == (2,)
    assert int(probs.argmax()) == int(index)
    asked = learn.predict({"town": "Paris", "size": None, "class": "unheard of"})  # its own label is not read
    assert asked.decoded in ("cheap", "dear")
    for several in (df.iloc[:2], df.iloc[:0]):
        with pytest.raises(ArgumentError, match="takes one row"):
            learn.predict(several)


def test_members_have_a_loss_each_and_one_mean() -> None:
    torch.manual_seed(0)
    scores, targets = torch.randn(6, 4, 3), torch.randint(0, 3, (6,))
    loss = MembersLoss(CrossEntropyLossFlat())
    by_hand = torch.stack([F.cross_entropy(scores[:, k], targets) for k in range(4)]).mean()
    torch.testing.assert_close(loss(scores, targets), by_hand)
    each = loss_per_item(loss, scores, (targets,))
    torch.testing.assert_close(each.mean(), by_hand)
    assert loss.reduction == "mean"
    torch.testing.assert_close(loss(scores[:, 0], targets), F.cross_entropy(scores[:, 0], targets))
    plain = MembersLoss(F.mse_loss)
    torch.testing.assert_close(plain(scores[..., :1], torch.zeros(6, 1)), scores[..., :1].square().mean())


def test_sum_of_losses_and_losses_of_rows() -> None:
    scores, numbers = torch.randn(5, 2), torch.randn(5, 1)
    labels, goals = torch.tensor([0, 1, 1, 0, 1]), torch.randn(5)
    loss = SeveralLosses([CrossEntropyLossFlat(), MSELossFlat()], [2.0, 0.5])
    expected = 2 * F.cross_entropy(scores, labels) + 0.5 * (numbers[:, 0] - goals).square().mean()
    torch.testing.assert_close(loss((scores, numbers), labels, goals), expected)
    each = loss_per_item(loss, (scores, numbers), (labels, goals))
    assert each.shape == (5,)
    torch.testing.assert_close(each.mean(), expected)


def test_class_weights_are_those_of_scikit_learn() -> None:
    targets = torch.tensor([0] * 7 + [1] * 2 + [2])
    balanced = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    found = weights_of_classes("balanced", ["a", "b", "c"], targets)
    np.testing.assert_allclose(found.numpy(), balanced, rtol=1e-6)
    assert weights_of_classes({"b": 5}, ["a", "b", "c"], targets).tolist() == [1, 5, 1]
    dls = loaders("class")
    learn = tabular_learner(dls, class_weights="balanced")
    loss: Any = learn.loss_func
    n = len(dls.train.dataset)
    counts = torch.bincount(dls.train.dataset.targets[0])
    torch.testing.assert_close(loss.weight, n / (2 * counts.float()))
    for wrong in ("much", {"x": 1}, [1.0], [0.0, 0.0], [1.0, -1.0]):
        with pytest.raises(ArgumentError, match="`class_weights`"):
            tabular_learner(dls, class_weights=wrong)
    with pytest.raises(ArgumentError, match="one target with labels"):
        tabular_learner(loaders("price"), class_weights="balanced")


def test_settings_of_the_network() -> None:
    dls = loaders("class")
    assert get_emb_sz(dls) == [(4, 3)] == dls.embs
    learn = tabular_learner(dls, [20, 10], {"town": 7}, tabular_config(ps=0.1, embed_p=0.2))
    assert learn.model.embeds[0].weight.shape == (4, 7)
    assert [m.p for m in learn.model.modules() if isinstance(m, torch.nn.Dropout)] == [0.2, 0.1, 0.1]
    learn = tabular_learner(dls, arch="tabm", layers=[16], config=tabular_config(members=3, n_bins=5))
    assert learn.model.config["members"] == 3
    assert max(learn.model.config["bins"]) <= 5
    with pytest.raises(ArgumentError, match="no `dropuot`"):
        tabular_config(dropuot=0.1)
    with pytest.raises(ArgumentError, match="arch='tabm'"):
        tabular_learner(dls, config={"members": 3})
    with pytest.raises(ArgumentError, match="`arch` must be"):
        tabular_learner(dls, arch="forest")
    with pytest.raises(ArgumentError, match="must name categories"):
        tabular_learner(dls, emb_szs={"size": 3})


def test_tabm_is_saved_and_read(tmp_path: Path) -> None:
    dls = loaders("class")
    learn = tabular_learner(dls, arch="tabm", layers=[16], path=tmp_path)
    trained(learn, 1)
    learn.save("one")
    other = tabular_learner(dls, arch="tabm", layers=[16], path=tmp_path).load("one")
    torch.testing.assert_close(other.get_preds()[0], learn.get_preds()[0])


def test_a_network_is_better_than_always_the_same_answer_on_titanic(shared: Path) -> None:
    df = pd.read_csv(shared / "data" / "tabular" / "titanic_train.csv")
    to = TabularPandas(
        df,
        cat_names=["Sex", "Pclass", "Embarked"],
        cont_names=["Age", "Fare", "SibSp", "Parch"],
        y_names="Survived",
        splits=RandomSplitter(seed=0)(df),
        verbose=False,
    )
    for arch in ("mlp", "tabm"):
        torch.manual_seed(0)
        learn = tabular_learner(to.dataloaders(bs=64, seed=0), arch=arch, metrics=accuracy)
        assert trained(learn, 6)[1] > 0.75


def test_a_small_network_runs_on_one_thread_and_gives_the_others_back() -> None:
    seen: list[int] = []

    class Count(Callback):
        def before_batch(self, state: Any) -> None:
            seen.append(torch.get_num_threads())

    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        table = {"city": ["Rome", "Oslo"] * 32, "age": list(range(64)), "sold": ["yes", "no"] * 32}
        dls = TabularDataLoaders.from_df(table, y_names="sold", seed=0, bs=16, device="cpu", verbose=False)
        for layers, wanted in (([8], 1), ([4000, 1000], 3)):
            seen.clear()
            learn = tabular_learner(dls, layers=layers)
            with learn.no_bar(), learn.no_logging():
                learn.fit(1, cbs=Count())
            assert set(seen) == {wanted} and torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("arch", ["mlp", "tabm"])
def test_of_two_numbers_the_one_in_the_smaller_unit_is_learnt_too(arch: str) -> None:
    torch.manual_seed(0)
    table = houses()
    table["size"] /= 10
    table["sold"] = -table["size"] + 3.0 * (table["town"] == "Rome")  # about 10 beside prices of 100,000
    dls = TabularDataLoaders.from_df(
        table,
        cat_names=["town"],
        cont_names=["size"],
        y_names=["sold", "price"],
        bs=32,
        seed=0,
        verbose=False,
    )
    learn = tabular_learner(dls, arch=arch)
    trained(learn, 12)
    preds, targets = learn.get_preds()
    unexplained = (preds - targets).square().mean(0) / targets.var(0)
    assert float(unexplained.max()) < 0.1


def test_lists_of_labels_in_a_column_are_a_target() -> None:
    table = houses()
    table["tags"] = [["dear", "big"] if price > 150_000 else ["cheap"] for price in table["price"]]
    dls = TabularDataLoaders.from_df(
        table,
        cat_names=["town"],
        cont_names=["size"],
        y_names="tags",
        y_block=MultiCategoryBlock,
        seed=0,
        verbose=False,
    )
    assert list(dls.vocab) == ["big", "cheap", "dear"]
    learn = tabular_learner(dls)
    trained(learn, 6)
    assert learn.predict({"town": "Oslo", "size": 195.0}).decoded == ["big", "dear"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"layers": 100}, "`layers` must be"),
        ({"layers": [0]}, "`layers` must be"),
        ({"emb_szs": 5}, "`emb_szs` must be"),
        ({"emb_szs": [(4, 3), (3, 3)]}, "for each category"),
        ({"emb_szs": [(2, 3)]}, "room for its 4 values"),
        ({"config": {"ps": 1.5}}, "`ps` must be from 0 to 1"),
        ({"config": {"embed_p": "much"}}, "`embed_p` must be from 0 to 1"),
        ({"config": {"n_bins": 0}}, "`n_bins` must be"),
        ({"arch": "tabm", "config": {"members": 0}}, "`members` must be"),
        ({"arch": "tabm", "config": {"num_width": 0}}, "`num_width` must be"),
    ],
)
def test_arguments_out_of_range_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ArgumentError, match=said):
        tabular_learner(loaders("class"), **settings)


def test_a_table_is_no_loaders_and_tables_are_no_pictures() -> None:
    dls = loaders("class")
    with pytest.raises(ArgumentError, match="takes the loaders of a table"):
        tabular_learner(houses())  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="tables one for tables"):
        vision_learner(dls, "test_resnet", pretrained=False)
    with pytest.raises(ArgumentError, match="takes loaders of images"):
        compare(dls, ["test_resnet"])
    with pytest.raises(ModelError, match="fit_one_cycle"):
        tabular_learner(dls).probe()


def test_values_with_a_meaning_of_their_own_are_learnt() -> None:
    """One number in the middle of others decides: a line through its neighbours does not show it."""
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    age = draw.integers(0, 60, 2000)
    table = pd.DataFrame({"age": age, "wins": np.where(np.isin(age, [7, 23, 40, 41, 55]), "yes", "no")})
    dls = TabularDataLoaders.from_df(
        table, cat_names=[], cont_names=["age"], y_names="wins", bs=64, seed=0, verbose=False
    )
    learn = tabular_learner(dls, config=tabular_config(num_embeddings="piecewise"), metrics=accuracy)
    assert learn.model.config["levels"] == [60]
    assert trained(learn, 4)[1] > 0.99
    without = tabular_learner(dls, config=tabular_config(num_embeddings="piecewise", n_levels=0))
    assert without.model.config["levels"] is None


@pytest.mark.parametrize("arch", ["mlp", "tabm"])
def test_odd_rows_are_answered_near_what_training_had(arch: str) -> None:
    """Where numbers are held within the range of training, answers are, too: as trees have it."""
    torch.manual_seed(0)
    more = {"arch": arch, "config": tabular_config(num_embeddings="piecewise")}
    learn = tabular_learner(loaders("price"), **more)
    low, high = learn.model.outputs.low.item(), learn.model.outputs.high.item()
    prices = learn.dls.table.train.y
    margin = 0.1 * (prices.max() - prices.min())
    assert low == pytest.approx(prices.min() - margin) and high == pytest.approx(prices.max() + margin)
    with torch.no_grad():  # as far off as a network may be on a row unlike all others
        (learn.model.last if arch == "tabm" else learn.model.layers[-1]).weight.mul_(1000)
    found = learn.get_preds()[0]
    assert found.min() >= low and found.max() <= high  # of TabM the mean of bounded members
    learn.model.outputs.bounded = False
    assert learn.get_preds()[0].abs().max() > 1.5 * high
    assert not tabular_learner(loaders("class"), **more).model.outputs.bounded
    assert not tabular_learner(loaders("price")).model.outputs.bounded
    bounded = tabular_learner(loaders("price"), y_range=(0, 1e6), **more)
    assert not bounded.model.outputs.bounded


def test_of_several_targets_the_numbers_are_bounded() -> None:
    learn = tabular_learner(loaders(["class", "price"]), config=tabular_config(num_embeddings="piecewise"))
    outputs = learn.model.outputs
    assert outputs.bounded and outputs.high[2] < 1e6 < outputs.high[0] and outputs.low[1] < -1e6
