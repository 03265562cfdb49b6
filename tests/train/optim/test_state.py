"""State of one optimizer in another: refused by name, unless all that is missing is a newer setting."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.support import digit_learner

from wiggly.errors import ModelError


@pytest.mark.parametrize(
    ("saved", "other"), [("adamw", "sgd"), ("lookahead_radam", "rmsprop"), ("sgd", "lion")]
)
def test_state_of_another_optimizer_is_refused(saved: str, other: str, tmp_path: Path) -> None:
    learn = digit_learner(opt_func=saved)
    learn.fit(1)
    path = learn.save(tmp_path / "kept")
    receiver = digit_learner(opt_func=other)
    with pytest.raises(ModelError, match="same kind of optimizer"):
        receiver.load(path.with_suffix(""))
    receiver.load(path.with_suffix(""), with_opt=False)
    receiver.fit(1)
    assert receiver.recorder.values


def test_a_setting_that_an_older_torch_did_not_have() -> None:
    learn = digit_learner(opt_func="adamw")
    learn.fit(1)
    state = learn.opt.state_dict()
    older = [{k: v for k, v in group.items() if k != "maximize"} for group in state["param_groups"]]
    learn.opt.load_state_dict({**state, "param_groups": older})
    learn.fit(1)
    assert all(torch.isfinite(p).all() for p in learn.model.parameters())
