"""Importance and dependence of columns against scikit-learn's, with the same model behind both."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.inspection import partial_dependence as their_dependence
from sklearn.inspection import permutation_importance as their_importance
from torch import nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.errors import ArgumentError, DataError
from wiggly.interpret.classification import ClassificationInterpretation
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.tables.dependence import partial_dependence
from wiggly.interpret.tables.embedding import embedding_map
from wiggly.interpret.tables.importance import permutation_importance
from wiggly.tabular.learner import tabular_learner
from wiggly.tabular.loaders import TabularDataLoaders
from wiggly.train.learner import Learner


def people(n: int = 600) -> pd.DataFrame:
    """`buys` depends on age and city, not on shoes; some ages are missing."""
    draw = np.random.default_rng(0)
    age, city = draw.uniform(18, 80, n), draw.choice(["Rome", "Oslo", "Bonn"], n)
    chance = 1 / (1 + np.exp(-(age - 50) / 8 - 2 * (city == "Oslo")))
    buys = np.where(draw.random(n) < chance, "yes", "no")
    age[draw.random(n) < 0.1] = np.nan
    left = [f"row {k}" for k in range(n)]
    return pd.DataFrame(
        {"age": age, "city": city, "shoes": draw.integers(30, 50, n), "buys": buys, "note": left}
    )


@pytest.fixture(scope="module")
def learn() -> Any:
    torch.manual_seed(0)
    dls = TabularDataLoaders.from_df(
        people(),
        cat_names=["city"],
        cont_names=["age", "shoes"],
        y_names="buys",
        bs=32,
        seed=0,
        verbose=False,
    )
    made = tabular_learner(dls)
    with made.no_bar(), made.no_logging():
        made.fit_one_cycle(5, 1e-2)
    return made


class AsScikit(ClassifierMixin, BaseEstimator):
    """The learner's model over a matrix of encoded columns: city, whether the age is missing, age, shoes."""

    def __init__(self, learn: Any = None) -> None:
        self.learn = learn
        self.classes_ = np.array([0, 1])
        self.fitted_ = True

    def fit(self, x: Any, y: Any) -> AsScikit:
        return self

    def predict_proba(self, x: Any) -> Any:
        model = self.learn.model.eval()
        with torch.no_grad():
            cats, conts = torch.from_numpy(x[:, :2]).long(), torch.from_numpy(x[:, 2:]).float()
            return model(cats, conts).softmax(1).numpy()

    def predict(self, x: Any) -> Any:
        return self.predict_proba(x).argmax(1)


def matrix(learn: Any) -> tuple[Any, Any]:
    data = learn.dls.valid.dataset
    return np.concatenate([data.cats.numpy().astype(np.float64), data.conts.numpy()], 1), data.targets[
        0
    ].numpy()


def test_importance_is_scikit_learns(learn: Any) -> None:
    x, y = matrix(learn)
    theirs = their_importance(AsScikit(learn), x, y, n_repeats=30, random_state=0, scoring="accuracy")
    found = permutation_importance(learn, n_repeats=30)
    ours = dict(zip(found.columns, found.rises.mean(1), strict=True))
    assert ours["city"] == pytest.approx(theirs.importances_mean[0], abs=0.015)
    assert ours["shoes"] == pytest.approx(theirs.importances_mean[3], abs=0.015)
    assert found.columns[0] == "age"
    assert found.score == pytest.approx((AsScikit(learn).predict(x) != y).mean())
    assert found.n == len(y)
    frame = found.to_frame()
    assert list(frame["column"]) == found.columns
    assert frame["rise"].is_monotonic_decreasing


def test_a_shuffle_moves_a_number_with_its_missing_flag(learn: Any) -> None:
    """Shuffled alone, the flag would say missing where a number is; together the pairs stay pairs."""
    seen: list[torch.Tensor] = []
    handle = learn.model.register_forward_pre_hook(lambda _, inputs: seen.append(torch.cat(inputs, 1)))
    permutation_importance(learn, columns=["age"], n_repeats=1)
    handle.remove()
    plain, shuffled = seen
    assert not torch.equal(plain[:, 2], shuffled[:, 2])
    pairs = [sorted(map(tuple, rows[:, [1, 2]].tolist())) for rows in (plain, shuffled)]
    assert pairs[0] == pairs[1]
    assert torch.equal(plain[:, [0, 3]], shuffled[:, [0, 3]])


def test_same_seed_same_importance_and_rows_are_bounded(learn: Any) -> None:
    first, second = (permutation_importance(learn, n_repeats=2, max_rows=50) for _ in range(2))
    np.testing.assert_array_equal(first.rises, second.rises)
    assert first.n == 50
    for wrong in ({"columns": ["buys"]}, {"n_repeats": 0}):
        with pytest.raises(ArgumentError):
            permutation_importance(learn, **wrong)
    with pytest.raises(DataError, match="needs targets"):
        permutation_importance(learn, dl=learn.dls.test_dl(people().drop(columns="buys")))


def test_dependence_is_scikit_learns(learn: Any) -> None:
    x, _ = matrix(learn)
    ours = partial_dependence(learn, "shoes")
    spec = learn.dls.table.encoder.numbers[1]
    grid = [(value - spec.center - spec.mean) / spec.std for value in ours.values]
    theirs = their_dependence(
        AsScikit(learn),
        x,
        [3],
        method="brute",
        response_method="predict_proba",
        custom_values={3: np.array(grid)},
    )
    np.testing.assert_allclose(ours.means[:, 1], theirs["average"][0], atol=1e-5)
    np.testing.assert_allclose(ours.means.sum(1), 1, atol=1e-6)
    values = learn.dls.table.valid.conts["shoes"]  # the rows beyond both ends are left out
    assert ours.weights.sum() == pytest.approx(values.between(min(grid) - 1e-6, max(grid) + 1e-6).mean())
    assert 0.85 < ours.weights.sum() < 1


def test_dependence_says_what_the_data_say(learn: Any) -> None:
    age = partial_dependence(learn, "age")
    assert len(age.values) == 40
    assert 18 <= min(age.values) < 25
    assert age.means[-1, 1] > age.means[0, 1] + 0.3
    city = partial_dependence(learn, "city")
    assert city.values == ["Bonn", "Oslo", "Rome"]
    assert city.values[int(city.means[:, 1].argmax())] == "Oslo"
    assert city.names == ["P(buys = no)", "P(buys = yes)"]
    given = partial_dependence(learn, "age", values=[20, 70])
    assert given.values == [20, 70]
    assert given.means[0, 1] < given.means[1, 1]
    assert partial_dependence(learn, "city", values=["Rome"]).values == ["Rome"]
    with pytest.raises(ArgumentError, match="among those of 'city'"):
        partial_dependence(learn, "city", values=["Paris"])
    with pytest.raises(ArgumentError, match="one that the model reads"):
        partial_dependence(learn, "note")


def test_a_map_of_embeddings_keeps_distances(learn: Any) -> None:
    """Three vectors span two directions, so the map has their true distances."""
    made = embedding_map(learn, "city")
    vocab = list(learn.dls.classes["city"])
    vectors = learn.model.embeds[0].weight.detach()[[vocab.index(value) for value in made.values]].double()
    true, drawn = torch.cdist(vectors, vectors), torch.cdist(*[torch.from_numpy(made.places)] * 2)
    torch.testing.assert_close(drawn, true)
    assert made.kept == pytest.approx(1)
    assert made.shares.sum() == pytest.approx(1)
    with pytest.raises(ArgumentError, match="category of the model"):
        embedding_map(learn, "age")


def test_pictures_have_the_numbers(learn: Any) -> None:
    interp = ClassificationInterpretation.from_learner(learn)
    bars = interp.plot_importance()
    names = [label.get_text() for label in bars.get_yticklabels()]
    assert sorted(names) == ["age", "city", "shoes"]
    curve = interp.plot_partial_dependence("age")
    line: Any = curve.lines[0]
    np.testing.assert_allclose(line.get_ydata(), interp.partial_dependence("age").means[:, 1])
    assert len(interp.plot_partial_dependence("city").patches) == 3
    assert {text.get_text() for text in interp.plot_embedding("city").texts} == {"Bonn", "Oslo", "Rome"}
    plt.close("all")


def test_worst_rows_are_printed(learn: Any, capsys: pytest.CaptureFixture[str]) -> None:
    interp = Interpretation.from_learner(learn)
    table = interp.top_table(5)
    assert list(table.columns[:3]) == ["actual", "predicted", "loss"]
    assert table["loss"].is_monotonic_decreasing
    worst = learn.dls.valid.dataset.rows[interp.positions[interp.top_rows(1)[0]]]
    original = people().iloc[int(worst)]
    assert table["city"].iloc[0] == original["city"]
    assert table["actual"].iloc[0] == original["buys"]
    interp.plot_top_losses(3)
    assert "predicted" in capsys.readouterr().out


def test_other_learners_have_no_columns() -> None:
    pairs = [(torch.randn(2), i % 2) for i in range(8)]
    dls = DataLoaders(DataLoader(pairs, bs=4), DataLoader(pairs, bs=4))
    other = Learner(dls, nn.Linear(2, 2), loss_func=nn.CrossEntropyLoss())
    with pytest.raises(DataError, match="only a model of tables"):
        permutation_importance(other)
    with pytest.raises(DataError, match="made by `tabular_learner`"):
        embedding_map(other, "x")
