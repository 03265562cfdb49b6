"""Learner: it learns real digits, and its methods do what their users expect."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.train.support import digit_learner, digit_loaders, equal, weights_of
from torch import nn

from wiggly.errors import ArgumentError, ModelError
from wiggly.train.learner import Learner
from wiggly.train.metrics.core import accuracy


def test_it_learns_digits() -> None:
    learn = digit_learner(dls=digit_loaders(1437, 360), metrics=accuracy)
    learn.fit_one_cycle(5, 2e-2)
    assert learn.recorder.values[-1][2] > 0.95
    assert learn.recorder.losses[-1] < learn.recorder.losses[0] / 4


def test_fine_tune_learns_digits() -> None:
    learn = digit_learner(dls=digit_loaders(1437, 360), metrics=accuracy)
    learn.fine_tune(5, 2e-2, lr_mult=2)
    assert learn.recorder.values[-1][2] > 0.93
    assert all(p.requires_grad for p in learn.model.parameters())


def test_fine_tune_is_its_two_phases() -> None:
    def by_hand():
        learn = digit_learner()
        learn.freeze()
        learn.fit_one_cycle(1, slice(2e-3), pct_start=0.99)
        learn.unfreeze()
        learn.fit_one_cycle(2, slice(1e-5, 1e-3), pct_start=0.3, div=5.0)
        return weights_of(learn)

    learn = digit_learner()
    learn.fine_tune(2)
    assert equal(by_hand(), weights_of(learn))


def test_fine_tune_may_skip_a_phase() -> None:
    learn = digit_learner()
    learn.fine_tune(1, freeze_epochs=0)
    assert [phase["first_unfrozen"] for phase in learn.recorder.phases] == [0]
    learn = digit_learner()
    learn.fine_tune(0, freeze_epochs=2)
    assert [phase["epochs"] for phase in learn.recorder.phases] == [2]
    assert all(p.requires_grad for p in learn.model.parameters())


@pytest.mark.parametrize("wrong", [0, -1])
def test_numbers_of_epochs_are_checked(wrong: int) -> None:
    for method in (Learner.fit, Learner.fit_one_cycle):
        with pytest.raises(ArgumentError, match="n_epoch"):
            method(digit_learner(), wrong)
    with pytest.raises(ArgumentError, match="epochs"):
        digit_learner().fine_tune(wrong, freeze_epochs=0)


def test_the_learners_own_rate_is_the_default() -> None:
    learn = digit_learner(lr=slice(1e-4, 1e-2))
    learn.fit(1)
    assert learn.opt.lrs == pytest.approx([1e-4, 1e-2])


def test_its_parts_are_reachable(tmp_path: Path) -> None:
    learn = digit_learner()
    assert learn.path == learn.dls.path == Path()
    assert digit_learner(path=tmp_path).path == tmp_path
    assert learn.get_submodule("0.3") is learn.model[0][3]
    assert learn.model_config is None
    assert learn.lr == 1e-3


def test_a_wrong_submodule_suggests_near_names() -> None:
    model = nn.Sequential()
    model.add_module("stages", nn.Sequential(nn.Identity(), nn.Identity()))
    model.add_module("head", nn.Linear(1, 1))
    learn = digit_learner(model=model)
    with pytest.raises(ModelError, match=r"there is no 'stage\.1'[\s\S]*Nearest: stages\.1"):
        learn.get_submodule("stage.1")


def test_the_doors_write_at_exactly_the_path_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    calls = []

    def record(learn, path, **_):
        calls.append((learn, path))
        return path

    monkeypatch.setitem(sys.modules, "wiggly.bundle.export", SimpleNamespace(export_bundle=record))  # pyright: ignore
    monkeypatch.setitem(sys.modules, "wiggly.interpret.report", SimpleNamespace(write_report=record))  # pyright: ignore
    learn = digit_learner(path=tmp_path)
    assert learn.export() == Path("export.wiggly")
    assert learn.export("model.anything") == Path("model.anything")
    assert learn.report() == Path("report.html")
    assert learn.report("/elsewhere.html") == Path("/elsewhere.html")
    assert all(call[0] is learn for call in calls)


def test_no_bar_and_no_logging_put_back_what_was() -> None:
    learn = digit_learner()
    learn.show_bar, learn.show_table = True, True

    def silent() -> None:
        with learn.no_bar(), learn.no_logging():
            assert (learn.show_bar, learn.show_table) == (False, False)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        silent()
    assert (learn.show_bar, learn.show_table) == (True, True)


def test_momentum_and_decay_are_the_learners(tmp_path: Path) -> None:
    learn = digit_learner(wd=0.2, moms=(0.8, 0.7, 0.8))
    learn.fit_one_cycle(1)
    assert [group["weight_decay"] for group in learn.opt.param_groups] == [0.2, 0.0, 0.2, 0.0]
    assert learn.recorder.phases[-1]["moms"] == [0.8, 0.7, 0.8]
    assert all(0.7 <= group["betas"][0] <= 0.8 for group in learn.opt.param_groups)


def test_it_learns_what_linear_regression_finds() -> None:
    """The minimum is known in closed form: numpy's least squares."""
    import numpy as np

    from wiggly.data.loader import DataLoader
    from wiggly.data.loaders import DataLoaders
    from wiggly.train.optim.base import SGD

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 3)).astype("float32"), rng.normal(size=32).astype("float32")
    wanted = np.linalg.lstsq(np.c_[x, np.ones(32)], y, rcond=None)[0]
    rows = [(torch.tensor(a), torch.tensor(b)) for a, b in zip(x, y, strict=True)]
    dls = DataLoaders(DataLoader(rows, 32), DataLoader(rows, 32), device="cpu")
    from wiggly.train.losses.core import MSELossFlat

    learn = Learner(dls, nn.Linear(3, 1), loss_func=MSELossFlat(), opt_func=SGD)
    with learn.no_bar(), learn.no_logging():
        learn.fit(150, 0.2)
    found = torch.cat([learn.model.weight[0], learn.model.bias]).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-5)
