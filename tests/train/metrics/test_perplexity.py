"""Perplexity against torch's cross entropy of the whole set."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from tests.train.support import digit_learner

from wiggly.train.metrics.perplexity import Perplexity


def test_is_the_exponential_of_the_loss_of_the_whole_set() -> None:
    draws = torch.Generator().manual_seed(0)
    scores, wanted = torch.randn(50, 7, 9, generator=draws), torch.randint(0, 9, (50, 7), generator=draws)
    wanted[:20, :5] = -100  # batches count unequally much
    metric = Perplexity()
    for rows in (slice(0, 20), slice(20, 25), slice(25, 50)):
        metric.accumulate(scores[rows], (wanted[rows],))
    assert metric.value() == pytest.approx(
        math.exp(F.cross_entropy(scores.reshape(-1, 9), wanted.reshape(-1)))
    )
    metric.reset()
    metric.accumulate(torch.tensor([[0.0, 1e6]]), (torch.tensor([0]),))
    assert metric.value() == math.inf


def test_stands_in_the_table_beside_the_loss() -> None:
    learn = digit_learner(metrics=Perplexity)
    learn.fit(1)
    assert learn.recorder.metric_names[3] == "perplexity"
    _, loss, perplexity = learn.recorder.values[0]
    assert perplexity == pytest.approx(math.exp(loss), rel=1e-4)
