"""Named optimizers against the papers' formulas in numpy, and against torch's and timm's own classes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import timm.optim
import torch
from tests.train.support import digit_learner
from torch import nn

from wiggly.errors import ArgumentError
from wiggly.train.optim.base import SGD, Adam, Optimizer
from wiggly.train.optim.more import AdamW, Lamb, Lookahead, Muon, RAdam, RMSProp, ranger

RNG = np.random.default_rng(0)
START = RNG.normal(size=(6, 5))
GRADIENTS = RNG.normal(size=(20, 6, 5))


def run(make: Callable[..., Any], start: np.ndarray = START, gradients: np.ndarray = GRADIENTS) -> np.ndarray:
    """The weights after steps with given gradients."""
    weight = nn.Parameter(torch.tensor(start))
    optimizer = make([weight])
    for gradient in gradients:
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        optimizer.zero_grad()
    return weight.detach().numpy()


def same(ours: Callable[..., Any], theirs: Callable[..., Any], rtol: float = 1e-9) -> None:
    np.testing.assert_allclose(run(ours), run(theirs), rtol=rtol)


def test_adamw_has_torchs_defaults() -> None:
    same(partial(AdamW, lr=0.1), partial(torch.optim.AdamW, lr=0.1))


@pytest.mark.parametrize("decouple_wd", [True, False])
def test_radam_is_torchs(decouple_wd: bool) -> None:
    settings = {"betas": (0.9, 0.99), "eps": 1e-5, "weight_decay": 0.1, "decoupled_weight_decay": decouple_wd}
    theirs = partial(torch.optim.RAdam, lr=0.1, **settings)
    same(partial(RAdam, lr=0.1, wd=0.1, decouple_wd=decouple_wd), theirs)


def test_rmsprop_is_torchs_and_decays_apart() -> None:
    theirs = partial(torch.optim.RMSprop, lr=0.01, alpha=0.99, momentum=0.9)
    same(partial(RMSProp, lr=0.01, mom=0.9), theirs)
    coupled = partial(torch.optim.RMSprop, lr=0.01, alpha=0.99, weight_decay=0.1)
    same(partial(RMSProp, lr=0.01, wd=0.1, decouple_wd=False), coupled)
    still = partial(RMSProp, lr=0.1, wd=0.5)
    np.testing.assert_allclose(run(still, gradients=np.zeros((3, 6, 5))), START * 0.95**3, rtol=1e-12)


@pytest.mark.parametrize("wd", [0.0, 0.1])
def test_lamb_equals_algorithm_2_of_its_paper(wd: float) -> None:
    lr, beta1, beta2, eps = 0.05, 0.9, 0.99, 1e-5
    weight, mean, square = START.copy(), np.zeros_like(START), np.zeros_like(START)
    for t, gradient in enumerate(GRADIENTS, 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        ratio = (mean / (1 - beta1**t)) / (np.sqrt(square / (1 - beta2**t)) + eps)
        step = ratio + wd * weight
        weight = weight - lr * np.linalg.norm(weight) / np.linalg.norm(step) * step
    np.testing.assert_allclose(run(partial(Lamb, lr=lr, wd=wd)), weight, rtol=1e-9)


def test_muon_is_torchs_for_a_matrix_and_flattens_filters() -> None:
    settings = {"weight_decay": 0.1, "momentum": 0.9, "adjust_lr_fn": "match_rms_adamw"}
    theirs = partial(torch.optim.Muon, lr=0.02, **settings)
    ours = partial(Muon, lr=0.02, mom=0.9, wd=0.1)
    same(ours, theirs, rtol=1e-2)  # the orthogonal step is computed in bfloat16
    filters = run(ours, START.reshape(6, 5, 1, 1), GRADIENTS.reshape(20, 6, 5, 1, 1))
    np.testing.assert_array_equal(filters.reshape(6, 5), run(ours))


def test_muons_step_is_orthogonal_and_as_long_as_adams() -> None:
    rows, columns = 48, 32
    gradient = np.random.default_rng(1).normal(size=(1, rows, columns))
    step = run(partial(Muon, lr=1.0, wd=0.0), np.zeros((rows, columns)), gradient)
    values = np.linalg.svd(step, compute_uv=False) / (0.2 * np.sqrt(rows))
    assert values.min() > 0.6  # Jordan's polynomial brings singular values to between 0.7 and 1.2
    assert values.max() < 1.3
    assert np.sqrt((step**2).mean()) == pytest.approx(0.2, rel=0.15)  # AdamW's, measured: arXiv:2502.16982


def test_muon_leaves_first_last_and_vectors_to_adam() -> None:
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Linear(8, 8), nn.Linear(8, 4)
    )
    optimizer = Muon([list(model[:2].parameters()), list(model[2:].parameters())], lr=1e-3)
    assert optimizer.n_groups == 2
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.set_lrs([1e-3, 2e-3])
    optimizer.step()
    by_muon = {n for n, p in model.named_parameters() if "momentum_buffer" in optimizer.inner.state[p]}
    assert by_muon == {"2.weight", "3.weight"}
    assert optimizer.lrs == [1e-3, 2e-3]


def lookahead_by_hand(k: int, alpha: float, lr: float) -> np.ndarray:
    """Algorithm 1 of arXiv:1907.08610 over plain gradient descent."""
    fast, slow = START.copy(), START.copy()
    for step, gradient in enumerate(GRADIENTS, 1):
        fast = fast - lr * gradient
        if step % k == 0:
            slow = slow + alpha * (fast - slow)
            fast = slow.copy()
    return fast


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.5), (5, 0.5), (6, 0.8), (7, 0.0)])
def test_lookahead_equals_algorithm_1_of_its_paper(k: int, alpha: float) -> None:
    made = run(lambda params: Lookahead(SGD(params, 0.1), k, alpha))
    np.testing.assert_allclose(made, lookahead_by_hand(k, alpha, 0.1), rtol=1e-9)


def test_ranger_is_radam_with_timms_lookahead_begun_at_the_start() -> None:
    class FromTheStart(timm.optim.Lookahead):
        """timm lets the slow weights begin at the first meeting, six steps late."""

        def step(self, closure: Any = None) -> None:
            starts = {p: p.detach().clone() for g in self.param_groups for p in g["params"]}
            super().step(closure)
            for parameter, start in starts.items():
                self._base_optimizer.state[parameter].setdefault("lookahead_slow_buff", start)

    settings = {"betas": (0.95, 0.99), "eps": 1e-6, "weight_decay": 0.01, "decoupled_weight_decay": True}
    same(partial(ranger, lr=0.1), lambda params: FromTheStart(torch.optim.RAdam(params, lr=0.1, **settings)))


def test_lookahead_keeps_what_it_wraps() -> None:
    decayed = run(lambda params: Lookahead(SGD(params, 0.1, wd=0.5), k=100), gradients=np.zeros((3, 6, 5)))
    np.testing.assert_allclose(decayed, START * 0.95**3, rtol=1e-12)
    weight = nn.Parameter(torch.ones(2))
    optimizer = Lookahead(Adam([weight], wd=0.3))
    optimizer.set_wd(0.1)
    optimizer.set_wd(None)
    assert optimizer.param_groups[0]["weight_decay"] == 0.3
    assert repr(optimizer) == "Lookahead of AdamW with 1 parameter groups at rates 0.001"
    for wrong in ({"k": 0}, {"alpha": 1.5}):
        with pytest.raises(ArgumentError, match="must be at least 1"):
            Lookahead(Adam([weight]), **wrong)


def test_slow_weights_leave_out_what_is_frozen() -> None:
    learning, frozen = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = Lookahead(SGD([learning, frozen], 0.1), k=1)
    learning.grad = torch.ones(2)
    optimizer.step()
    assert frozen.tolist() == [1.0, 1.0]
    assert "lookahead_slow" not in optimizer.state_dict()["state"].get(1, {})


def test_lookahead_follows_a_model_into_another_memory_format() -> None:
    def weights(memory_format: torch.memory_format) -> torch.Tensor:
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3)
        optimizer = ranger(conv.parameters(), lr=0.1)
        for step in range(8):
            if step == 3:
                conv.to(memory_format=memory_format)
                optimizer.align()
            conv(torch.ones(2, 3, 8, 8)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return conv.weight.detach()

    torch.testing.assert_close(weights(torch.contiguous_format), weights(torch.channels_last))


@pytest.mark.parametrize("make", [AdamW, RMSProp, RAdam, Lamb, Muon, ranger])
def test_each_learns_digits_with_rates_by_group(make: Callable[..., Optimizer]) -> None:
    learn = digit_learner(opt_func=make)
    learn.fit_flat_cos(20, slice(2e-3, 2e-2))
    assert learn.validate()[0] < 0.6  # 2.3 is guessing
    assert learn.opt.n_groups == 2
