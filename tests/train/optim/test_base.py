"""Optimizers against numpy written from the papers' formulas, and against torch's own."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from tests.train.support import body_and_head, digit_learner, small_model
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.train.optim.base import SGD, Adam, Optimizer
from wiggly.train.optim.by_name import make_optimizer, wrap_optimizer
from wiggly.train.optim.groups import hold_norms, layer_groups, norm_and_bias, set_frozen, trainable_params

RNG = np.random.default_rng(0)
START = RNG.normal(size=(3, 2))
GRADIENTS = RNG.normal(size=(20, 3, 2))


def run(make, **changes) -> np.ndarray:
    """The weights after 20 steps with given gradients; `changes` maps a step to a call on the optimizer."""
    weight = nn.Parameter(torch.tensor(START))
    optimizer = make([weight])
    for step, gradient in enumerate(GRADIENTS):
        for call in changes.get(f"at_{step}", ()):
            call(optimizer)
        weight.grad = torch.tensor(gradient)
        optimizer.step()
        optimizer.zero_grad()
    return weight.detach().numpy()


def adam_by_hand(lr, beta1s, beta2, eps, wd) -> np.ndarray:
    """Algorithm 2 of arXiv:1711.05101 with eps as in Algorithm 1 of arXiv:1412.6980."""
    weight, mean, square = START.copy(), np.zeros_like(START), np.zeros_like(START)
    for t, (gradient, beta1) in enumerate(zip(GRADIENTS, beta1s, strict=True), 1):
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        weight = weight * (1 - lr * wd)
        weight = weight - lr * (mean / (1 - beta1**t)) / (np.sqrt(square / (1 - beta2**t)) + eps)
    return weight


def test_adam_equals_the_papers_with_its_defaults() -> None:
    wanted = adam_by_hand(0.1, [0.9] * 20, 0.99, 1e-5, 0.01)
    np.testing.assert_allclose(run(partial(Adam, lr=0.1)), wanted, rtol=1e-9)


def test_adam_follows_a_momentum_schedule() -> None:
    momenta = [0.95 - 0.005 * step for step in range(20)]
    changes = {f"at_{step}": (lambda opt, m=m: opt.set_momentum(m),) for step, m in enumerate(momenta)}
    wanted = adam_by_hand(0.05, momenta, 0.99, 1e-5, 0.1)
    np.testing.assert_allclose(run(partial(Adam, lr=0.05, wd=0.1), **changes), wanted, rtol=1e-9)


def test_adam_with_coupled_decay_is_torchs_adam() -> None:
    def theirs(params):
        return torch.optim.Adam(params, lr=0.1, betas=(0.9, 0.99), eps=1e-5, weight_decay=0.1)

    ours = run(partial(Adam, lr=0.1, wd=0.1, decouple_wd=False))
    np.testing.assert_allclose(ours, run(theirs), rtol=1e-9)


@pytest.mark.parametrize("decouple_wd", [True, False])
def test_sgd_equals_its_formula(decouple_wd: bool) -> None:
    lr, mom, wd = 0.1, 0.9, 0.2
    weight, total = START.copy(), np.zeros_like(START)
    for gradient in GRADIENTS:
        gradient = gradient if decouple_wd else gradient + wd * weight
        weight = weight * (1 - lr * wd) if decouple_wd else weight
        total = mom * total + gradient
        weight = weight - lr * total
    made = run(partial(SGD, lr=lr, mom=mom, wd=wd, decouple_wd=decouple_wd))
    np.testing.assert_allclose(made, weight, rtol=1e-9)


def test_plain_sgd_takes_parameters_and_rate_by_position() -> None:
    model = nn.Linear(2, 1)
    optimizer = SGD(model.parameters(), 0.5)
    before = model.weight.detach().clone()
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model.weight.detach(), before - 0.5)
    optimizer.zero_grad()
    assert model.weight.grad is None


def test_channels_last_weights_give_the_same_numbers() -> None:
    def weights(memory_format):
        torch.manual_seed(0)
        conv = nn.Conv2d(3, 4, 3).to(memory_format=memory_format)
        optimizer = Adam(conv.parameters(), lr=0.1)
        for _ in range(5):
            conv(torch.ones(2, 3, 8, 8).to(memory_format=memory_format)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        return conv.weight.detach()

    torch.testing.assert_close(weights(torch.contiguous_format), weights(torch.channels_last))


def test_norms_and_biases_do_not_decay() -> None:
    learn = digit_learner(lr=1.0, opt_func=partial(SGD, wd=0.5))
    model = learn.model
    before = [p.detach().clone() for p in model.parameters()]
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    learn.opt.step()
    for (name, parameter), old in zip(model.named_parameters(), before, strict=True):
        decays = name in ("0.0.weight", "0.3.weight", "1.1.weight")
        torch.testing.assert_close(parameter.detach(), old * 0.5 if decays else old, msg=name)


def test_with_wd_bn_bias_everything_decays() -> None:
    learn = digit_learner(wd_bn_bias=True)
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.01, 0.01]


def test_norm_and_bias_finds_layer_norms_too() -> None:
    model = nn.Sequential(
        nn.Linear(2, 2), nn.LayerNorm(2), nn.GroupNorm(1, 2), nn.InstanceNorm1d(2, affine=True)
    )
    norms, biases = norm_and_bias(model)
    assert norms == {p for layer in list(model)[1:] for p in layer.parameters()}
    assert biases == {model[0].bias}


def test_wd_of_a_fit_holds_for_that_fit() -> None:
    learn = digit_learner()
    learn.fit(1, wd=0.3)
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.3, 0.0, 0.3, 0.0]
    learn.fit(1)
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.01, 0.0, 0.01, 0.0]


def test_any_torch_optimizer_learns_by_groups() -> None:
    for make in (torch.optim.SGD, torch.optim.RMSprop, wrap_optimizer(torch.optim.AdamW, betas=(0.8, 0.999))):
        learn = digit_learner(opt_func=make)
        learn.fit(1, slice(1e-4, 1e-3))
        learn.fit_one_cycle(1, slice(1e-4, 1e-3))
        assert learn.recorder.losses[-1] < 2.4
        assert learn.opt.n_groups == 2
    assert learn.opt.param_groups[0]["betas"][1] == 0.999


def test_what_is_no_optimizer_is_refused() -> None:
    with pytest.raises(ArgumentError, match="opt_func"):
        digit_learner(opt_func=lambda params, lr: 3).fit(1)
    with pytest.raises(ArgumentError, match="got none"):
        Adam([])
    with pytest.raises(ArgumentError, match="weight decay"):
        digit_learner(opt_func=torch.optim.Rprop).fit(1, wd=0.1)


def test_groups_come_from_the_splitter() -> None:
    model = small_model()
    assert [len(g) for g in layer_groups(model, body_and_head)] == [8, 2]
    assert [len(g) for g in layer_groups(model, trainable_params)] == [10]
    model.requires_grad_(False)
    with pytest.raises(ModelError, match="must have parameters"):
        layer_groups(model, trainable_params)


def test_frozen_groups_keep_their_norms_learning_only_if_asked() -> None:
    model = small_model()
    groups = layer_groups(model, body_and_head)
    set_frozen(model, groups, 1, train_norms=True)
    learning = {name for name, p in model.named_parameters() if p.requires_grad}
    assert learning == {"0.1.weight", "0.1.bias", "0.4.weight", "0.4.bias", "1.1.weight", "1.1.bias"}
    set_frozen(model, groups, 1, train_norms=False)
    assert {name for name, p in model.named_parameters() if p.requires_grad} == {"1.1.weight", "1.1.bias"}
    set_frozen(model, groups, 0, train_norms=False)
    assert all(p.requires_grad for p in model.parameters())


def test_held_norms_keep_their_statistics_even_without_parameters() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2, affine=False)),
        nn.BatchNorm2d(2),
        nn.Conv2d(2, 1, 1),
    )
    hold_norms(model.train(), set(model[0].parameters()))
    model(torch.randn(4, 1, 3, 3))
    assert model[0][1].running_mean.eq(0).all()
    assert model[1].running_mean.ne(0).any()


def test_state_goes_over_into_another_optimizer() -> None:
    def trained(steps, state=None):
        weight = nn.Parameter(torch.tensor(START))
        optimizer = Adam([weight], lr=0.1)
        if state is not None:
            weight.data, saved = state[0].clone(), state[1]
            optimizer.load_state_dict(saved)
        for gradient in GRADIENTS[steps]:
            weight.grad = torch.tensor(gradient)
            optimizer.step()
        return weight.detach(), optimizer.state_dict()

    half = trained(slice(0, 10))
    assert torch.equal(trained(slice(10, 20), half)[0], trained(slice(0, 20))[0])


def test_state_of_other_groups_is_refused() -> None:
    one = Adam([nn.Parameter(torch.ones(2))])
    two = Adam([[nn.Parameter(torch.ones(2))], [nn.Parameter(torch.ones(2))]])
    with pytest.raises(ModelError, match="fit the parameter groups"):
        one.load_state_dict(two.state_dict())


def test_weight_decay_can_still_be_reset_after_loading() -> None:
    optimizer = make_optimizer(Adam, [[nn.Parameter(torch.ones(2))]], 0.1, set())
    optimizer.set_wd(0.5)
    optimizer.load_state_dict(optimizer.state_dict())
    optimizer.set_wd(None)
    assert optimizer.param_groups[0]["weight_decay"] == 0.01


def test_the_text_names_groups_and_rates() -> None:
    optimizer = Adam([[nn.Parameter(torch.ones(1))], [nn.Parameter(torch.ones(1))]], lr=1e-3)
    optimizer.set_lrs([1e-4, 1e-3])
    assert repr(optimizer) == "AdamW with 2 parameter groups at rates 0.0001, 0.001"
    assert isinstance(optimizer, Optimizer)


def test_one_parameter_alone() -> None:
    weight = nn.Parameter(torch.ones(2))
    optimizer = SGD(weight, 0.1)
    weight.sum().backward()
    optimizer.step()
    assert torch.equal(weight.detach(), torch.tensor([0.9, 0.9]))
