"""Small real data and models for the tests of training: scikit-learn's digits, 8×8 pixels."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from wiggly.data.loader import DataLoader
from wiggly.data.loaders import DataLoaders
from wiggly.train.learner import Learner


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Images `(1797, 1, 8, 8)` in [0, 1] and labels, in a fixed random order."""
    data: Any = load_digits()
    order = torch.randperm(len(data.target), generator=torch.Generator().manual_seed(0))
    images = torch.tensor(data.images / 16, dtype=torch.float32).unsqueeze(1)
    return images[order], torch.tensor(data.target)[order]


def digit_loaders(n_train: int = 256, n_valid: int = 100, bs: int = 64, seed: int = 1) -> DataLoaders:
    """Loaders over the first digits for training and the last for validation."""
    x, y = digits()
    pairs = list(zip(x, y, strict=True))
    train = DataLoader(pairs[:n_train], bs, shuffle=True, drop_last=True, seed=seed)
    return DataLoaders(train, DataLoader(pairs[-n_valid:], bs), device="cpu")


def small_model(seed: int = 0) -> nn.Sequential:
    """A body with two batch norms and a linear head."""
    torch.manual_seed(seed)
    first = (nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
    second = (nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU())
    return nn.Sequential(nn.Sequential(*first, *second), nn.Sequential(nn.Flatten(), nn.Linear(256, 10)))


def body_and_head(model: nn.Module) -> list[list[nn.Parameter]]:
    """A splitter: one parameter group per child."""
    return [list(child.parameters()) for child in model.children()]


def digit_learner(**settings: Any) -> Learner:
    """A quiet learner on a few digits; `settings` replace its arguments."""
    chosen: dict[str, Any] = {
        "dls": digit_loaders(),
        "model": small_model(),
        "loss_func": nn.CrossEntropyLoss(),
        "splitter": body_and_head,
    }
    learn = Learner(**{**chosen, **settings})
    learn.show_bar = learn.show_table = False
    return learn


def weights_of(learn: Learner) -> dict[str, Tensor]:
    """A copy of all weights and buffers."""
    return {name: value.clone() for name, value in learn.model.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    """Whether two such copies are the same, bit by bit."""
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
