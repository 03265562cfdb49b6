"""Ratings that follow a rule, and a small model whose people have names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch

from wiggly.tabular.collab.models import EmbeddingDotBias


def planted(n_users: int, n_items: int, rank: int, noise: float, share: float, seed: int = 0) -> pd.DataFrame:
    """Ratings around 3 that are a product of `rank` factors plus two biases plus noise, of some pairs."""
    draw = np.random.default_rng(seed)
    product = draw.normal(size=(n_users, rank)) @ draw.normal(size=(rank, n_items)) / rank**0.5
    clean = 3 + product + draw.normal(size=(n_users, 1)) / 2 + draw.normal(size=n_items) / 2
    users, items = np.nonzero(draw.random((n_users, n_items)) < share)
    ratings = clean[users, items] + noise * draw.normal(size=len(users))
    names = np.array([f"item {i}" for i in range(n_items)])
    return pd.DataFrame({"user": users * 10 + 7, "item": names[items], "rating": ratings})


def named_model(y_range: Any = None, n_factors: int = 4) -> EmbeddingDotBias:
    """A model of 3 users and 5 items with random weights of usual size."""
    torch.manual_seed(0)
    classes = {"user": ["#na#", "ann", "bob", "cem"], "book": ["#na#", *"abcde"]}
    model = EmbeddingDotBias.from_classes(n_factors, classes, y_range=y_range)
    for table in (*model.tables[0], *model.tables[1]):
        torch.nn.init.normal_(table.weight)
    return model.eval()
