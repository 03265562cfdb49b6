"""Every optimizer that torch and timm have, by name, against the same one run by hand."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm.optim
import torch
from tests.train.support import body_and_head, digit_learner, digits, equal, small_model, weights_of
from torch import Tensor, nn

from wiggly.errors import ArgumentError, DependencyError
from wiggly.train.checkpoint import load_checkpoint, save_checkpoint
from wiggly.train.optim.base import Adam, Optimizer
from wiggly.train.optim.by_name import (
    OptimWrapper,
    as_opt_func,
    list_optimizers,
    make_optimizer,
    wrap_optimizer,
)
from wiggly.train.optim.groups import layer_groups, without_decay

TORCH = {
    name.lower(): getattr(torch.optim, name)
    for name in torch.optim.__all__
    if isinstance(getattr(torch.optim, name), type) and name != "Optimizer"
}
REFUSED = ["lbfgs", "sparseadam", "adahessian"]
USABLE = [n for n in list_optimizers() if n not in REFUSED and not n.startswith(("fused", "bnb"))]
USABLE += ["lookahead_radam", "torch.optim.Adagrad", "timm.sgd", "Lion"]
# Kron makes a triangular matrix for every dimension, even of small layers.
NAMES = [pytest.param(name, marks=pytest.mark.slow) if "kron" in name else name for name in USABLE]
OWN = ("muon", "ranger")  # see test_optimizers.py
RATES = [1e-3, 3e-3]


@pytest.fixture(autouse=True)
def _eager_kron(monkeypatch: pytest.MonkeyPatch) -> None:
    """timm's Kron compiles its parts for half a minute."""
    monkeypatch.setattr("timm.optim.kron.has_dynamo", False)


# Kron would like a package that plans products; it is not needed for small layers.
pytestmark = pytest.mark.filterwarnings("ignore:It is highly recommended to have 'opt_einsum'")


def model_and(name: str, wd: float | None = None) -> tuple[nn.Module, Optimizer]:
    # In double precision: biases before a batch norm have a gradient of rounding errors, which Adam and its
    # kin would blow up to whole steps.
    model = small_model().double()
    groups = layer_groups(model, body_and_head)
    optimizer = make_optimizer(as_opt_func(name), groups, 1e-3, without_decay(model))
    optimizer.start_fit(wd)
    optimizer.set_lrs(RATES)
    return model, optimizer


def train(model: nn.Module, optimizer: Any, steps: int, seed: int = 0) -> list[float]:
    torch.manual_seed(seed)  # Kron draws
    x, y = digits()
    losses: list[float] = []
    for _ in range(steps):
        loss = nn.functional.cross_entropy(model(x[:32].double()), y[:32])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


def by_hand(name: str, model: nn.Module) -> torch.optim.Optimizer:
    """The bare optimizer, over groups written out: per layer the weights, then what does not decay."""
    groups: list[dict[str, Any]] = []
    for part, lr in zip(model.children(), RATES, strict=True):
        decays = [m.weight for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        rest = [p for p in part.parameters() if all(p is not other for other in decays)]
        groups += [{"params": decays, "lr": lr}, {"params": rest, "lr": lr}]
    plain = name.lower().removeprefix("torch.optim.").removeprefix("timm.")
    if plain not in TORCH or name.startswith("timm."):
        return timm.optim.create_optimizer_v2(groups, plain, lr=1e-3)
    optimizer = TORCH[plain](groups, lr=1e-3)
    for group in optimizer.param_groups[1::2]:
        if "weight_decay" in group:
            group["weight_decay"] = 0.0
    return optimizer


def tensors(model: nn.Module) -> list[Tensor]:
    return [value.clone() for value in model.state_dict().values()]


def test_all_names_are_there() -> None:
    assert set(TORCH) | set(timm.optim.list_optimizers()) | {"ranger"} == set(list_optimizers())


@pytest.mark.parametrize("name", NAMES)
def test_by_name_it_learns_as_the_bare_one_does(name: str) -> None:
    model, optimizer = model_and(name)
    losses = train(model, optimizer, 8)
    assert losses[-1] < losses[0]
    if name in OWN:
        return
    bare = small_model().double()
    if "corrected_weight_decay" not in optimizer.param_groups[0]:
        train(bare, by_hand(name, bare), 8)
        torch.testing.assert_close(tensors(model), tensors(bare), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", NAMES)
def test_by_name_its_state_goes_through_a_file(name: str, tmp_path: Path) -> None:
    model, optimizer = model_and(name)
    train(model, optimizer, 7)  # past the step where Lookahead first moves
    save_checkpoint(tmp_path / "half.safetensors", model, optimizer)
    train(model, optimizer, 7, seed=1)
    again, other = model_and(name)
    train(again, other, 2)
    assert load_checkpoint(tmp_path / "half.safetensors", again, other)
    train(again, other, 7, seed=1)
    assert all(map(torch.equal, tensors(model), tensors(again)))


@pytest.mark.parametrize("name", NAMES)
def test_by_name_it_starts_afresh_when_cleared(name: str) -> None:
    model, optimizer = model_and(name)
    train(model, optimizer, 4)
    optimizer.clear_state()
    fresh, other = model_and(name)
    fresh.load_state_dict(model.state_dict())
    if "kron" in name:  # its own generator is no running average
        other.inner.rng.setstate(optimizer.inner.rng.getstate())  # pyright: ignore
    train(model, optimizer, 8)
    train(fresh, other, 8)
    assert all(map(torch.equal, tensors(model), tensors(fresh)))


@pytest.mark.parametrize("name", [n for n in NAMES if n not in ("rprop", "asgd")])  # none; one of its own
def test_by_name_norms_and_biases_do_not_decay(name: str) -> None:
    model, optimizer = model_and(name, wd=0.5)
    before = {key: p.detach().clone() for key, p in model.named_parameters()}
    for _ in range(2):  # Adopt only looks at the first
        for parameter in model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()
    decayed = {key for key, p in model.named_parameters() if not torch.equal(p, before[key])}
    assert decayed == {"0.0.weight", "0.3.weight", "1.1.weight"}
    for key in decayed:
        assert dict(model.named_parameters())[key].norm() < before[key].norm()


@pytest.mark.parametrize("name", REFUSED)
def test_those_that_need_more_than_a_gradient_are_refused(name: str) -> None:
    with pytest.raises(ArgumentError, match="gradients of one batch"):
        digit_learner(opt_func=name).opt  # noqa: B018
    if name == "lbfgs":
        with pytest.raises(ArgumentError, match="several times"):
            digit_learner(opt_func=torch.optim.LBFGS)


def test_an_unknown_name_has_its_nearest() -> None:
    with pytest.raises(ArgumentError, match=r"there is no 'adamm'\.\nNearest: adamw|Nearest: adam"):
        digit_learner(opt_func="adamm")
    with pytest.raises(ArgumentError, match=r"there is no 'torch\.optim\.lion'"):
        digit_learner(opt_func="torch.optim.lion")
    with pytest.raises(ArgumentError, match="there is no 'quick'"):
        wrap_optimizer("quick")


def test_names_that_need_other_packages_say_so() -> None:
    with pytest.raises(DependencyError, match="CUDA"):
        digit_learner(opt_func="bnbadam").fit(1)


def test_what_is_no_function_is_refused_before_training() -> None:
    for wrong in (3, None, torch.optim.SGD([nn.Parameter(torch.zeros(1))], 0.1)):
        with pytest.raises(ArgumentError, match="`opt_func` must be a function"):
            digit_learner(opt_func=wrong)


def test_what_an_optimizer_minds_is_passed_on() -> None:
    with pytest.raises(ArgumentError, match="Muon only supports 2D"):
        digit_learner(opt_func=torch.optim.Muon).fit(1)
    with pytest.raises(ArgumentError, match="unexpected keyword argument 'lr'"):
        digit_learner(opt_func=lambda params: Adam(params)).fit(1)


def test_settings_go_with_a_name() -> None:
    learn = digit_learner(opt_func=wrap_optimizer("lion", betas=(0.8, 0.98), weight_decay=0.3))
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.3, 0.0, 0.3, 0.0]
    assert learn.opt.param_groups[0]["betas"] == (0.8, 0.98)
    assert wrap_optimizer("ranger", k=3)([nn.Parameter(torch.ones(1))]).k == 3


def test_momentum_schedules_reach_whatever_has_momentum() -> None:
    for name, key in (("adamw", "betas"), ("lion", "betas"), ("momentum", "momentum"), ("muon", "momentum")):
        opt = digit_learner(opt_func=name).opt
        opt.set_momentum(0.7)
        values = [group[key][0] if key == "betas" else group[key] for group in opt.param_groups]
        assert values == [0.7] * len(values)
        assert opt.momentum == 0.7
        opt.set_momentum(None)
        assert opt.momentum in (0.9, 0.95)
    opt = digit_learner(opt_func="rmsprop").opt  # made without: it has no buffer
    opt.set_momentum(0.7)
    assert [group["momentum"] for group in opt.param_groups] == [0] * 4


@pytest.mark.parametrize("name", ["adamw", "lamb", "muon", "ranger", "lookahead_radam", "adagrad"])
def test_a_learner_freezes_fits_and_loads_with_it(name: str, tmp_path: Path) -> None:
    learn = digit_learner(opt_func=name, path=tmp_path)
    learn.fine_tune(1, base_lr=5e-3)
    assert learn.recorder.losses[-1] < 2.4
    learn.save("half")
    learn.fit_one_cycle(1, slice(1e-4, 3e-3))
    other = digit_learner(opt_func=name, path=tmp_path)
    other.load("half")
    other.dls.train.load_state_dict({**other.dls.train.state_dict(), "epoch": 2})
    other.fit_one_cycle(1, slice(1e-4, 3e-3))
    assert equal(weights_of(learn), weights_of(other))


def test_corrected_decay_knows_the_highest_rate_of_the_fit() -> None:
    """timm multiplies weight decay by rate / highest rate, and takes the learner's 1e-3 for the highest."""
    learn = digit_learner(opt_func=wrap_optimizer("sgdc", weight_decay=0.1), lr=1e-3)
    learn.fit_flat_cos(1, 1e-1)
    assert learn.opt.param_groups[0]["max_lr_snapshot"] == 1e-1
    learn.fit_flat_cos(1, 1e-4)
    assert learn.opt.param_groups[0]["max_lr_snapshot"] == 1e-4


def test_a_bare_class_of_torch_comes_fused() -> None:
    for kind in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD, "adamw"):
        assert all(group["fused"] for group in digit_learner(opt_func=kind).opt.param_groups)
    own = partial(torch.optim.AdamW, fused=False)
    assert not any(group["fused"] for group in digit_learner(opt_func=own).opt.param_groups)


def test_the_error_names_a_place_that_has_all_names() -> None:
    with pytest.raises(ArgumentError, match=r"wiggly\.train\.optim\.by_name\.list_optimizers"):
        as_opt_func("admw")


def test_torchs_muon_points_to_the_one_that_works() -> None:
    with pytest.raises(ArgumentError, match="Pass opt_func='muon'"):
        _ = digit_learner(opt_func=torch.optim.Muon).opt


def test_the_wrapper_that_readers_of_the_course_know() -> None:
    learn = digit_learner(opt_func=partial(OptimWrapper, opt=torch.optim.AdamW, betas=(0.8, 0.9)))
    assert isinstance(learn.opt.inner, torch.optim.AdamW)
    assert learn.opt.param_groups[0]["betas"] == (0.8, 0.9)
    learn.fit(1, slice(1e-4, 1e-2))
    assert learn.opt.lrs == [1e-4, 1e-2]
