"""A report, a map and groups of a model of ratings."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA
from tests.tabular.collab.support import planted

from wiggly.data.basics import set_seed
from wiggly.interpret.interpretation import Interpretation
from wiggly.interpret.tables.embedding import embedding_map
from wiggly.interpret.tables.importance import permutation_importance
from wiggly.tabular.collab.learner import CollabLearner, collab_learner
from wiggly.tabular.collab.loaders import CollabDataLoaders


@pytest.fixture(scope="module")
def learn() -> CollabLearner:
    set_seed(0)
    table = planted(40, 30, 1, 0.2, 0.6)
    dls = CollabDataLoaders.from_df(table, seed=0, bs=32, device="cpu", verbose=False)
    made = collab_learner(dls, n_factors=4, y_range=(-4, 10))
    with made.no_bar(), made.no_logging():
        made.fit_one_cycle(5, 0.05)
    return made


def test_both_users_and_items_matter(learn: CollabLearner) -> None:
    found = permutation_importance(learn, n_repeats=2)
    assert set(found.columns) == {"user", "item"}
    assert found.rises.min() > 0.3
    assert found.score == pytest.approx(learn.validate()[1], abs=1e-5)


def test_the_map_is_that_of_the_principal_components(learn: CollabLearner) -> None:
    found = embedding_map(learn, "item")
    vectors = learn.model.weight(found.values).numpy()
    expected = PCA(2).fit_transform(vectors.astype(np.float64))
    assert np.allclose(np.abs(found.places), np.abs(expected), atol=1e-4)


def test_worst_rows_have_names(learn: CollabLearner) -> None:
    found = Interpretation.from_learner(learn)
    table = found.top_table(3)
    assert list(table.columns) == ["actual", "predicted", "loss", "user", "item"]
    assert table["item"].str.startswith("item ").all()
    assert torch.allclose(found.losses.mean(), torch.tensor(learn.validate()[0]), atol=1e-5)


def test_the_report_tells_the_error_beside_simpler_models(learn: CollabLearner, tmp_path: Path) -> None:
    page = learn.report(tmp_path / "report.html").read_text()
    said = re.sub(r"<[^>]+>", " ", page)
    assert re.search(rf"{learn.validate()[1]:.4g}\s+RMSE of rating on \d+ validation rows", said)
    for rival in ("always the mean", "linear regression", "gradient boosting"):
        assert rival in said
    assert "Prediction of rating" in said
